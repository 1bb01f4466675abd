//! Files that may be anything: read whole, but never beyond a bound.
//!
//! A device, a pipe or a video under the wrong name must not fill the memory. Knows no format.

use std::{
    fs::File,
    io::{Error, ErrorKind, Read as _, Result},
    path::Path,
};

/// A file's bytes; `FileTooLarge` when there are more than `bytes_max`.
pub fn bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let told = format!("it has more than {bytes_max} bytes, so it is another kind of file");
        return Err(Error::new(ErrorKind::FileTooLarge, told));
    }
    Ok(bytes)
}

/// A file's text, which must be UTF-8.
pub fn text(path: &Path, bytes_max: u64) -> Result<String> {
    String::from_utf8(bytes(path, bytes_max)?)
        .map_err(|_not_utf8| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_refused_and_never_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "four").unwrap();
        assert_eq!(text(&path, 4).unwrap(), "four");
        let error = bytes(&path, 3).unwrap_err().to_string();
        assert_eq!(error, "it has more than 3 bytes, so it is another kind of file");
        assert_eq!(bytes(Path::new("/dev/zero"), 9).unwrap_err().kind(), ErrorKind::FileTooLarge);
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(text(&path, 9).unwrap_err().to_string(), "it is not UTF-8 text");
    }
}

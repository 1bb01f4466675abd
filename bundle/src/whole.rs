//! Files that are there whole or not at all, even where the power goes.
//!
//! Owns the order: beside the place, synced, renamed into it, the folder synced. Knows no format.

use std::{fs::Permissions, io::Write as _, os::unix::fs::PermissionsExt as _, path::Path};

/// Writes `bytes` in the place of what is at `path`.
pub fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = folder_of(path);
    let mut file = beside(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    std::fs::File::open(folder)?.sync_all()
}

/// Whether [`write()`] could write there.
pub fn check_writable(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    beside(folder_of(path)).map(drop)
}

/// The folder of a file.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that is gone again unless it is persisted.
fn beside(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    // As any file that a program creates: the umask decides, where a temporary file is its owner's alone.
    let everybody = Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(".unfinished-").permissions(everybody).tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_the_place_of_the_one_before_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for text in ["a long first text", "short"] {
            write(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        check_writable(&path).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(check_writable(folder.path()).is_err());
        assert!(write(&folder.path().join("none/file"), b"").is_err());
    }
}

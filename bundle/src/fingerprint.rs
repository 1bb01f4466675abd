//! Fingerprints: SHA-256 of a file's bytes, and of a whole data set.
//!
//! Pure. The order in which files are found does not matter, their names and bytes do.

use sha2::{Digest as _, Sha256};

/// SHA-256 in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The fingerprint of a data set: relative path and [`sha256`] of every file.
pub fn of_files(mut files: Vec<(String, String)>) -> String {
    files.sort();
    let mut hash = Sha256::new();
    for (path, digest) in files {
        hash.update(path.as_bytes());
        hash.update([0]);
        hash.update(digest.as_bytes());
        hash.update([0]);
    }
    hex(&hash.finalize())
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digest_and_independence_of_order() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let file = |path: &str, digest: &str| (path.to_owned(), digest.to_owned());
        let one = of_files(vec![file("a", "1"), file("b", "2")]);
        assert_eq!(one, of_files(vec![file("b", "2"), file("a", "1")]));
        assert_ne!(one, of_files(vec![file("a", "2"), file("b", "1")]));
    }
}

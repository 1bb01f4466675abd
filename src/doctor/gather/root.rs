//! Where the machine's files lie: below `/`, or below a folder in which a test has planted another machine's.
//!
//! Owns the bounds of what is read. Knows no file's meaning.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bundle::bounded;

/// dpkg's list is ten megabytes on a desktop; no other file comes near it.
const BYTES_MAX: u64 = 64 << 20;
/// More than any of the folders has.
const NAMES_MAX: usize = 4096;

/// The folder that stands for `/`.
#[derive(Clone, Debug)]
pub struct Root {
    folder: PathBuf,
}

impl Root {
    /// This machine's own.
    pub fn system() -> Self {
        Self::at(Path::new("/"))
    }

    /// A machine whose files lie below this folder.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// Whether it is this machine's own: only then are libraries and devices asked.
    pub fn is_system(&self) -> bool {
        self.folder == Path::new("/")
    }

    /// Where a file of that absolute path lies.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.folder.join(absolute.trim_start_matches('/'))
    }

    /// A file's text without the white space and zero bytes around it; what is no text is made one. `None` where there
    /// is none, or something that is no file: a pipe would block.
    pub(super) fn text(&self, absolute: &str) -> Option<String> {
        let path = self.path(absolute);
        if !path.is_file() {
            return None;
        }
        let bytes = bounded::bytes(&path, BYTES_MAX).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// A number that is a file's text.
    pub(super) fn number(&self, absolute: &str) -> Option<u64> {
        self.text(absolute)?.parse().ok()
    }

    /// What a folder has, sorted; empty where there is none.
    pub(super) fn names(&self, absolute: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(absolute)) else { return Vec::new() };
        let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
        let mut names: Vec<_> =
            names.filter_map(|name| name.into_string().ok()).take(NAMES_MAX).collect();
        names.sort();
        names
    }

    /// Whether there is something, a link to nowhere not counted.
    pub(super) fn has(&self, absolute: &str) -> bool {
        self.path(absolute).exists()
    }
}

//! The hub's cache on disk, in the layout that every client of the hub shares, so that a file which another
//! program fetched is found, and one that this program fetched is found by others.
//!
//! Owns paths and the order of writing: a name that others look for appears by renaming, and last. Knows no network.
//!
//! ```text
//! models--timm--resnet18.tv_in1k/
//!   refs/main                                  the commit that `main` was when it was fetched
//!   blobs/<etag>                               a file's bytes; the ETag of a large file is its SHA-256
//!   blobs/<etag>.incomplete                    what has come of it so far
//!   snapshots/<commit>/model.safetensors       a link to its blob
//! .locks/models--timm--resnet18.tv_in1k/<etag>.lock
//! ```

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::hub::RemoteFile;

/// A file of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Where it lies.
    pub path: PathBuf,
    /// The commit that it belongs to, 40 hexadecimal digits.
    pub commit: String,
}

/// The folder of the cache.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// A cache in this folder, which need not exist.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file at the commit that `main` was when it was fetched; `None` where it was not.
    pub fn find(&self, file: RemoteFile) -> Option<Cached> {
        let commit = fs::read_to_string(self.reference(file)).ok()?.trim().to_owned();
        let path = self.snapshot(file, &commit);
        (is_hex(&commit, 40) && path.is_file()).then_some(Cached { path, commit })
    }

    /// The lock under which a blob is fetched, shared with the hub's other clients; `None` where one of them has it.
    pub fn try_lock(&self, file: RemoteFile, etag: &str) -> io::Result<Option<File>> {
        let folder = self.root.join(".locks").join(folder_name(file));
        fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join(format!("{etag}.lock")))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// What has come of a blob so far, to be read and extended.
    pub fn open_incomplete(&self, file: RemoteFile, etag: &str) -> io::Result<(File, PathBuf)> {
        let path = self.incomplete(file, etag);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        Ok((file, path))
    }

    /// Whether a blob is there, whatever commit it was fetched for.
    pub fn has_blob(&self, file: RemoteFile, etag: &str) -> bool {
        self.blob(file, etag).is_file()
    }

    /// Makes what has come of a blob the whole of it.
    pub fn complete(&self, file: RemoteFile, etag: &str) -> io::Result<()> {
        fs::rename(self.incomplete(file, etag), self.blob(file, etag))
    }

    /// Gives a blob its name in a commit, and makes this commit the one that is found.
    pub fn publish(&self, file: RemoteFile, etag: &str, commit: &str) -> io::Result<Cached> {
        let path = self.snapshot(file, commit);
        for folder in [path.parent(), self.reference(file).parent()].into_iter().flatten() {
            fs::create_dir_all(folder)?;
        }
        replace(&path, |side| symlink(format!("../../blobs/{etag}"), side))?;
        replace(&self.reference(file), |side| fs::write(side, commit))?;
        Ok(Cached { path, commit: commit.to_owned() })
    }

    fn repository(&self, file: RemoteFile) -> PathBuf {
        self.root.join(folder_name(file))
    }

    fn reference(&self, file: RemoteFile) -> PathBuf {
        self.repository(file).join("refs/main")
    }

    fn snapshot(&self, file: RemoteFile, commit: &str) -> PathBuf {
        self.repository(file).join("snapshots").join(commit).join(file.name)
    }

    fn blob(&self, file: RemoteFile, etag: &str) -> PathBuf {
        self.repository(file).join("blobs").join(etag)
    }

    fn incomplete(&self, file: RemoteFile, etag: &str) -> PathBuf {
        self.repository(file).join("blobs").join(format!("{etag}.incomplete"))
    }
}

/// A repository's folder in any cache.
pub fn folder_name(file: RemoteFile) -> String {
    format!("models--{}", file.repository.replace('/', "--"))
}

/// The SHA-256 that the name of a cached file's blob promises; `None` for small files and for caches without links.
pub fn promised_sha256(cached: &Path) -> Option<String> {
    let blob = fs::canonicalize(cached).ok()?;
    let name = blob.file_name()?.to_str()?;
    is_hex(name, 64).then(|| name.to_owned())
}

/// A file's SHA-256, in hexadecimal digits.
pub fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        digest.update(&buffer[..count]);
    }
}

/// Whether a text is that many lower-case hexadecimal digits: safe as a file's name, too.
pub fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Makes a file beside `path` and renames it into place.
fn replace(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut side = path.as_os_str().to_owned();
    side.push(format!(".{}", std::process::id()));
    let side = PathBuf::from(side);
    make(&side)?;
    fs::rename(&side, path)
}

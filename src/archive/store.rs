//! The archive's folder on the disk.
//!
//! Owns the order in which a frame's evidence comes and goes: files written and synced in a folder of a temporary name,
//! that folder synced and renamed, the folder above synced; and back by renaming before anything is deleted. So a folder
//! of a frame's name is whole, whatever ended the process. Knows no ledger and no policy. Only names of `names` are
//! touched; links are not followed.

use std::{
    fs::{self, File as FsFile, OpenOptions},
    io::{self, Write as _},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};

use super::{
    names::{self, File, Named},
    pictures::bytes_on_disk,
};
use crate::{
    fault::why_unwritable,
    frame::{CameraId, FrameId},
};

/// What is written to find out whether the disk takes anything.
const PROBE: &str = "probe.tmp";
/// What nobody else may hold while the archive is written.
const LOCK: &str = "archive.lock";
/// More is no file of ours.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The folder, held by one process.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// Held for as long as the archive is written.
    _lock: FsFile,
}

impl Store {
    /// Opens the archive, or makes it.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let wrong = |cause: io::Error| StoreError::Folder { path: root.into(), cause };
        fs::create_dir_all(root).map_err(wrong)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(root.join(LOCK))
            .map_err(wrong)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.into(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(StoreError::InUse { path: root.into() }),
            Err(fs::TryLockError::Error(cause)) => Err(wrong(cause)),
        }
    }

    /// Bytes that the file system has left for us.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let system = rustix::fs::statvfs(&self.root)?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    }

    /// Writes a frame's evidence, whole or not at all.
    pub fn put(&self, id: &FrameId, files: &[(File, Vec<u8>)]) -> io::Result<()> {
        let lane = self.make_lane(id)?;
        let unfinished = lane.join(names::unfinished(id.number));
        let written = write(&lane, &unfinished, &lane.join(id.number.to_string()), files, sync);
        if written.is_err() {
            // A full disk leaves half of it; what cannot be removed either goes at the next start.
            drop(clear(&unfinished));
        }
        written
    }

    fn make_lane(&self, id: &FrameId) -> io::Result<PathBuf> {
        let camera = self.root.join(&*id.camera.0);
        let lane = camera.join(id.epoch.to_string());
        if is_folder(&camera)? && is_folder(&lane)? {
            return Ok(lane);
        }
        fs::create_dir_all(&lane)?;
        sync(&camera)?;
        sync(&self.root)?;
        Ok(lane)
    }

    /// Removes a frame's evidence: out of sight at once, then from the disk.
    pub fn remove(&self, id: &FrameId) -> io::Result<()> {
        let camera = self.root.join(&*id.camera.0);
        let lane = camera.join(id.epoch.to_string());
        let unfinished = lane.join(names::unfinished(id.number));
        fs::rename(lane.join(id.number.to_string()), &unfinished)?;
        clear(&unfinished)?;
        // Neither is empty while the other frames are there; an emptied one is made again when it is wanted.
        drop(fs::remove_dir(&lane));
        drop(fs::remove_dir(&camera));
        Ok(())
    }

    /// Whether the disk takes anything.
    pub fn probe(&self) -> io::Result<()> {
        let path = self.root.join(PROBE);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let probed = options.open(&path).and_then(|mut file| {
            file.write_all(&[0; 8192])?;
            file.sync_all()
        });
        drop(fs::remove_file(&path));
        probed
    }

    /// The numberings that have a folder.
    pub fn lanes(&self) -> io::Result<Vec<(CameraId, u64)>> {
        let mut lanes = Vec::new();
        for name in folders(&self.root)? {
            let Some(camera) = names::camera(&name) else { continue };
            for epoch in folders(&self.root.join(&name))? {
                lanes.extend(names::number(&epoch).map(|epoch| (camera.clone(), epoch)));
            }
        }
        Ok(lanes)
    }

    /// What lies in a numbering's folder, by number.
    pub fn frames(&self, (camera, epoch): &(CameraId, u64)) -> io::Result<Vec<Named>> {
        let lane = self.root.join(&*camera.0).join(epoch.to_string());
        Ok(folders(&lane)?.iter().filter_map(|name| names::named(name)).collect())
    }

    /// Removes what a crash left of a frame's evidence.
    pub fn sweep(&self, (camera, epoch): &(CameraId, u64), number: u64) -> io::Result<()> {
        let lane = self.root.join(&*camera.0).join(epoch.to_string());
        clear(&lane.join(names::unfinished(number)))
    }

    /// What a frame's evidence says of itself, and what it takes of the disk.
    pub fn read(&self, id: &FrameId) -> io::Result<(serde_json::Value, u64)> {
        let verdict = bytes(&self.root, id, File::Verdict)?;
        Ok((serde_json::from_slice(&verdict)?, taken(&self.root, id)?))
    }
}

/// What a frame's evidence takes of the disk; an error where it is not whole.
pub fn taken(root: &Path, id: &FrameId) -> io::Result<u64> {
    let mut lengths = Vec::new();
    for file in File::ALL {
        match open(root, id, file) {
            Ok((_, length)) => lengths.push(length),
            // A frame without a threshold has no mask.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !file.is_always_there() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes_on_disk(lengths))
}

fn write(
    lane: &Path,
    unfinished: &Path,
    whole: &Path,
    files: &[(File, Vec<u8>)],
    sync: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    match fs::create_dir(unfinished) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            clear(unfinished)?;
            fs::create_dir(unfinished)?;
        }
        made => made?,
    }
    for (file, bytes) in files {
        let mut file = FsFile::create_new(unfinished.join(file.name()))?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    sync(unfinished)?;
    fs::rename(unfinished, whole)?;
    // Nobody may find a folder under that name of which it is said that it was not written.
    sync(lane).inspect_err(|_| drop(fs::rename(whole, unfinished)))
}

/// Reads a file of a frame's evidence. Every step is ours: no name leads out of the archive, and no link is followed.
pub fn bytes(root: &Path, id: &FrameId, file: File) -> io::Result<Vec<u8>> {
    let (mut file, length) = open(root, id, file)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    io::Read::read_to_end(&mut file, &mut bytes)?;
    Ok(bytes)
}

fn open(root: &Path, id: &FrameId, file: File) -> io::Result<(FsFile, u64)> {
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at: OwnedFd = rustix::fs::open(root, folder, Mode::empty())?;
    for name in [&*id.camera.0, &id.epoch.to_string(), &id.number.to_string()] {
        at = rustix::fs::openat(&at, name, folder | OFlags::NOFOLLOW, Mode::empty())?;
    }
    // Not blocked by a pipe that somebody put there.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = FsFile::from(rustix::fs::openat(&at, file.name(), flags, Mode::empty())?);
    let about = opened.metadata()?;
    if !about.is_file() || about.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("it is no file of the archive"));
    }
    Ok((opened, about.len()))
}

/// Whether a folder is there; what else has its name is refused, for it would lead elsewhere.
fn is_folder(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => Ok(true),
        Ok(_) => Err(io::Error::other(format!("{} is no folder of the archive", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The names of a folder's folders; links are none.
fn folders(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

/// Removes a frame's folder with our files in it, and nothing else: a folder with somebody's file in it stays.
fn clear(folder: &Path) -> io::Result<()> {
    for file in File::ALL {
        match fs::remove_file(folder.join(file.name())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    fs::remove_dir(folder)
}

fn sync(folder: &Path) -> io::Result<()> {
    FsFile::open(folder)?.sync_all()
}

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process writes it.
    #[error("archive {}: another sightline writes it: stop that one, or give this one a folder of its own", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The folder.
    #[error("archive {} cannot be written: {}", path.display(), why_unwritable(cause))]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_surely_on_the_disk_has_no_frames_name() {
        let folder = tempfile::tempdir().unwrap();
        let lane = folder.path();
        let (unfinished, whole) = (lane.join(names::unfinished(7)), lane.join("7"));
        let files = [(File::Verdict, b"{}".to_vec())];
        let fails = |path: &Path| {
            // The folder itself is written; that it is in the one above is not.
            if path == lane { Err(io::Error::other("the disk is gone")) } else { sync(path) }
        };
        write(lane, &unfinished, &whole, &files, fails).unwrap_err();
        assert!(!whole.exists() && unfinished.exists());
        // What is left of it is in nobody's way.
        write(lane, &unfinished, &whole, &files, sync).unwrap();
        assert!(whole.exists() && !unfinished.exists());
    }
}

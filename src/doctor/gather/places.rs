//! Where ledger, archive or engines lie: what is free there, and on what kind of file system.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{
    Root, Wanted,
    permissions::{WRITE_AND_ENTER, Who},
};
use crate::doctor::{facts::Place, parse};

/// `None` where not even the root is there.
pub(super) fn look(root: &Root, wanted: &Wanted, what: String, path: &Path) -> Option<Place> {
    let mounts = root.text("/proc/self/mounts").unwrap_or_default();
    let who = Who::of(root, wanted.user.as_deref()).ok();
    let path = nearest(path)?;
    let shown = path.display().to_string();
    let (kind, is_read_only) =
        parse::mount_of(&mounts, &shown).map_or((None, false), |(kind, ro)| (Some(kind), ro));
    let space = rustix::fs::statvfs(&path).ok();
    let is_writable = std::fs::metadata(&path)
        .ok()
        .zip(who.as_ref())
        .is_none_or(|(it, who)| who.may(WRITE_AND_ENTER, it.mode(), it.uid(), it.gid()));
    Some(Place {
        what,
        path: shown,
        is_late: false,
        kind,
        free_bytes: space.as_ref().map(|space| space.f_bavail.saturating_mul(space.f_frsize)),
        size_bytes: space.as_ref().map(|space| space.f_blocks.saturating_mul(space.f_frsize)),
        free_files: space.filter(|space| space.f_files > 0).map(|space| space.f_favail),
        is_read_only,
        is_writable,
    })
}

/// The folder itself, or the nearest one above it that is there.
fn nearest(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let there = path.ancestors().find(|path| path.is_dir())?;
    Some(there.canonicalize().unwrap_or_else(|_| there.to_path_buf()))
}

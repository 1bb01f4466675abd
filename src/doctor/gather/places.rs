//! Where ledger, archive and engines lie: what is free there, and on what kind of file system.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{
    Root, Wanted,
    permissions::{Access, Who},
};
use crate::doctor::{facts::Place, parse};

pub(super) fn look(root: &Root, wanted: &Wanted) -> Vec<Place> {
    let mounts = root.text("/proc/self/mounts").unwrap_or_default();
    let who = Who::of(root, wanted.user.as_deref()).ok();
    let each = wanted.places.iter().filter_map(|(what, path)| {
        let path = nearest(path)?;
        let shown = path.display().to_string();
        let (kind, is_read_only) =
            parse::mount_of(&mounts, &shown).map_or((None, false), |(kind, ro)| (Some(kind), ro));
        let space = rustix::fs::statvfs(&path).ok();
        let is_writable = std::fs::metadata(&path)
            .ok()
            .zip(who.as_ref())
            .is_none_or(|(it, who)| who.may(Access::WriteAndEnter, it.mode(), it.uid(), it.gid()));
        Some(Place {
            what: what.clone(),
            path: shown,
            kind,
            free_bytes: space.as_ref().map(|space| space.f_bavail.saturating_mul(space.f_frsize)),
            size_bytes: space.as_ref().map(|space| space.f_blocks.saturating_mul(space.f_frsize)),
            free_files: space.filter(|space| space.f_files > 0).map(|space| space.f_favail),
            is_read_only,
            is_writable,
        })
    });
    each.collect()
}

/// The folder itself, or the nearest one above it that is there.
fn nearest(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let there = path.ancestors().find(|path| path.is_dir())?;
    Some(there.canonicalize().unwrap_or_else(|_| there.to_path_buf()))
}

//! Which devices the service's user may open, by owner, group and mode. Access lists are not looked at.
//!
//! NVIDIA's ask for what they give their own group: `/dev/nvmap` is for reading only, whoever uses it.

use std::os::unix::fs::MetadataExt as _;

use super::{Root, Wanted};
use crate::doctor::{facts::Permissions, parse};

/// What a station may have to open: cameras, NVIDIA's devices, lines of a PLC.
const DEVICES: [&str; 6] = ["video", "media", "nvhost-", "nvmap", "nvidia", "gpiochip"];
const OF_NVIDIA: &str = "/dev/nv";
/// Folders of a GPU's devices; NVIDIA's has one more for each GPU.
const FOLDERS: [&str; 2] = ["/dev/dri", "/dev/nvgpu"];
const DEEP_MAX: usize = 2;
/// Of a folder: the ledger makes files in it.
pub(super) const WRITE_AND_ENTER: u32 = 0o3;
const READ_AND_WRITE: u32 = 0o6;

pub(super) fn look(root: &Root, wanted: &Wanted) -> Permissions {
    let who = match Who::of(root, wanted.user.as_deref()) {
        Ok(who) => who,
        Err(unknown) => {
            let user = wanted.user.clone().unwrap_or_default();
            return Permissions { user, unknown: Some(unknown), ..Permissions::default() };
        }
    };
    let group = root.text("/etc/group").unwrap_or_default();
    let (mut opens, mut closed) = (Vec::new(), Vec::new());
    for path in devices(root) {
        let Ok(data) = std::fs::metadata(root.path(&path)) else { continue };
        if data.is_dir() {
            continue;
        }
        let asked = match (path.starts_with(OF_NVIDIA), (data.mode() >> 3) & READ_AND_WRITE) {
            (false, _) => READ_AND_WRITE,
            // What a driver keeps for root is for NVIDIA's own tools.
            (true, 0) => continue,
            (true, of_group) => of_group,
        };
        if who.may(asked, data.mode(), data.uid(), data.gid()) {
            opens.push(path);
        } else {
            let owner = parse::name_of(&group, data.gid());
            closed.push((path, owner.map_or_else(|| data.gid().to_string(), Into::into)));
        }
    }
    Permissions { user: who.name, unknown: None, opens, closed }
}

/// The paths of what a station may have to open.
fn devices(root: &Root) -> Vec<String> {
    let names = root.names("/dev").into_iter();
    let names = names.filter(|name| DEVICES.iter().any(|device| name.starts_with(device)));
    let mut paths: Vec<_> = names.map(|name| format!("/dev/{name}")).collect();
    for folder in FOLDERS {
        below(root, folder, DEEP_MAX, &mut paths);
    }
    paths
}

fn below(root: &Root, folder: &str, deep_max: usize, paths: &mut Vec<String>) {
    for name in root.names(folder) {
        let path = format!("{folder}/{name}");
        // A link is another name of a device that is listed itself.
        let Ok(data) = std::fs::symlink_metadata(root.path(&path)) else { continue };
        if data.is_dir() && deep_max > 0 {
            below(root, &path, deep_max - 1, paths);
        } else if !data.is_symlink() {
            paths.push(path);
        }
    }
}

/// A user with its groups.
#[derive(Clone, Debug)]
pub(super) struct Who {
    name: String,
    uid: u32,
    gids: Vec<u32>,
}

impl Who {
    /// The user of that name, or whoever asks; an error says why nothing is known.
    pub(super) fn of(root: &Root, name: Option<&str>) -> Result<Self, String> {
        let passwd = root.text("/etc/passwd").unwrap_or_default();
        let Some(name) = name else {
            let uid = rustix::process::geteuid().as_raw();
            let mut gids: Vec<_> = rustix::process::getgroups()
                .unwrap_or_default()
                .into_iter()
                .map(rustix::process::Gid::as_raw)
                .collect();
            gids.push(rustix::process::getegid().as_raw());
            let name = parse::name_of(&passwd, uid).map_or_else(|| uid.to_string(), Into::into);
            return Ok(Self { name, uid, gids });
        };
        let (uid, gid) = parse::user(&passwd, name)
            .ok_or_else(|| format!("there is no user {name} in /etc/passwd"))?;
        let mut gids = parse::groups(&root.text("/etc/group").unwrap_or_default(), name);
        gids.push(gid);
        Ok(Self { name: name.to_owned(), uid, gids })
    }

    /// Whether it has these bits of read (4), write (2) and enter (1), by the first of owner, group and others that it
    /// is, as Linux decides; root may everything.
    pub(super) fn may(&self, wanted: u32, mode: u32, owner: u32, group: u32) -> bool {
        let bits = match (self.uid == owner, self.gids.contains(&group)) {
            (true, _) => mode >> 6,
            (_, true) => mode >> 3,
            _ => mode,
        };
        self.uid == 0 || bits & wanted == wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_goes_by_the_first_of_owner_group_and_others() {
        let who = Who { name: "sightline".into(), uid: 998, gids: vec![44, 997] };
        let opens = |mode, owner, group| who.may(READ_AND_WRITE, mode, owner, group);
        assert!(opens(0o660, 0, 44) && opens(0o600, 998, 0) && opens(0o666, 0, 0));
        assert!(!opens(0o660, 0, 986) && !opens(0o640, 0, 44) && !opens(0o606, 0, 44));
        // The owner is no member of the others.
        assert!(!opens(0o066, 998, 44));
        assert!(who.may(WRITE_AND_ENTER, 0o755, 998, 0));
        assert!(!who.may(WRITE_AND_ENTER, 0o755, 0, 44));
        let root = Who { name: "root".into(), uid: 0, gids: Vec::new() };
        assert!(root.may(READ_AND_WRITE, 0, 5, 5));
    }
}

//! Which devices the service's user may open, by owner, group and mode. Access lists are not looked at.

use std::os::unix::fs::MetadataExt as _;

use super::{Root, Wanted};
use crate::doctor::{facts::Permissions, parse};

/// What a station may have to open: cameras, NVIDIA's devices, lines of a PLC, serial ports.
const DEVICES: [&str; 9] =
    ["video", "media", "nvhost-", "nvmap", "nvidia", "dri/", "gpiochip", "ttyUSB", "ttyACM"];

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
    for name in root
        .names("/dev")
        .into_iter()
        .filter(|name| DEVICES.iter().any(|device| name.starts_with(device)))
    {
        let path = format!("/dev/{name}");
        let Ok(data) = std::fs::metadata(root.path(&path)) else { continue };
        if data.is_dir() {
            continue;
        }
        if who.may(Access::ReadAndWrite, data.mode(), data.uid(), data.gid()) {
            opens.push(path);
        } else {
            let owner = parse::name_of(&group, data.gid());
            closed.push((path, owner.map_or_else(|| data.gid().to_string(), Into::into)));
        }
    }
    Permissions { user: who.name, unknown: None, opens, closed }
}

/// A user with its groups.
#[derive(Clone, Debug)]
pub(super) struct Who {
    name: String,
    uid: u32,
    gids: Vec<u32>,
}

/// What somebody wants of a file or folder.
#[derive(Clone, Copy, Debug)]
pub(super) enum Access {
    /// Of a device.
    ReadAndWrite,
    /// Of a folder.
    WriteAndEnter,
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

    /// By the first of owner, group and others that the user is, as Linux decides; root may everything.
    pub(super) fn may(&self, access: Access, mode: u32, owner: u32, group: u32) -> bool {
        let bits = match (self.uid == owner, self.gids.contains(&group)) {
            (true, _) => mode >> 6,
            (_, true) => mode >> 3,
            _ => mode,
        };
        let wanted = match access {
            Access::ReadAndWrite => 0o6,
            Access::WriteAndEnter => 0o3,
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
        let opens = |mode, owner, group| who.may(Access::ReadAndWrite, mode, owner, group);
        assert!(opens(0o660, 0, 44) && opens(0o600, 998, 0) && opens(0o666, 0, 0));
        assert!(!opens(0o660, 0, 986) && !opens(0o640, 0, 44) && !opens(0o606, 0, 44));
        // The owner is no member of the others.
        assert!(!opens(0o066, 998, 44));
        assert!(who.may(Access::WriteAndEnter, 0o755, 998, 0));
        assert!(!who.may(Access::WriteAndEnter, 0o755, 0, 44));
        let root = Who { name: "root".into(), uid: 0, gids: Vec::new() };
        assert!(root.may(Access::ReadAndWrite, 0, 5, 5));
    }
}

//! The formats of the files that `gather` reads.
//!
//! Pure. Any text is taken: what is not understood is left out.

use std::collections::BTreeMap;

use super::facts::{L4t, Mode};

/// `# R36 (release), REVISION: 4.3, GCID: ...` of `/etc/nv_tegra_release`.
pub fn l4t(text: &str) -> Option<L4t> {
    let line = text.lines().next()?;
    let release = line.trim_start_matches(['#', ' ', 'R']).split(' ').next()?.parse().ok()?;
    let revision = line.split_once("REVISION:")?.1.split(',').next()?.trim();
    Some(L4t { release, revision: revision.to_owned() }).filter(|_| !revision.is_empty())
}

/// A value of /etc/os-release, without its quotes.
pub fn os_release(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

/// Name and version of each installed package of dpkg's status file that is wanted.
pub fn installed(status: &str, is_wanted: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let mut packages = BTreeMap::new();
    for paragraph in status.split("\n\n") {
        let field = |name: &str| {
            paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let Some(name) = field("Package").filter(|name| is_wanted(name)) else { continue };
        let is_installed = field("Status").is_some_and(|status| status.ends_with(" installed"));
        if let Some(version) = field("Version").filter(|_| is_installed) {
            packages.insert(name.to_owned(), version.to_owned());
        }
    }
    packages
}

/// The release of L4T in a version of a package nvidia-l4t-*: `36.4.3-20250107174145`, whose end is when it was built,
/// or the kernel's `5.15.148-tegra-36.4.3-20250107174145`.
pub fn l4t_package(version: &str) -> &str {
    let release = version.split_once("-tegra-").map_or(version, |(_kernel, release)| release);
    release.split('-').next().unwrap_or(release)
}

/// The file of that name, whatever stands behind it, that /proc/self/maps has in memory.
pub fn mapped<'a>(maps: &'a str, name: &str) -> Option<&'a str> {
    maps.lines().find_map(|line| {
        let path = &line[line.find('/')?..];
        path.rsplit('/').next()?.starts_with(name).then_some(path)
    })
}

/// The modes of /etc/nvpmodel.conf: `< POWER_MODEL ID=0 NAME=15W >`.
pub fn power_modes(text: &str) -> Vec<Mode> {
    let modes = text.lines().filter_map(|line| {
        let inside = line.trim().strip_prefix('<')?.strip_suffix('>')?.trim();
        let fields = inside.strip_prefix("POWER_MODEL ")?;
        let field = |name| {
            fields.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        Some(Mode { id: field("ID")?.parse().ok()?, name: field("NAME")?.to_owned() })
    });
    modes.collect()
}

/// The mode of /var/lib/nvpmodel/status: `pmode:0002`, with the fan's behind it on some boards.
pub fn power_mode_id(text: &str) -> Option<u32> {
    text.split_whitespace().find_map(|word| word.strip_prefix("pmode:"))?.parse().ok()
}

/// A user of /etc/passwd: its number and its own group's.
pub fn user(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The name of a user or group of that number in /etc/passwd or /etc/group.
pub fn name_of(table: &str, number: u32) -> Option<&str> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(number)).then_some(name)
    })
}

/// The numbers of the groups of /etc/group that a user is a member of.
pub fn groups(group: &str, user: &str) -> Vec<u32> {
    let numbers = group.lines().filter_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [_, _, number, members] = fields[..] else { return None };
        members.split(',').any(|member| member.trim() == user).then(|| number.parse().ok())?
    });
    numbers.collect()
}

/// The kind of the file system of /proc/self/mounts that a path lies on, and whether it is read-only: the longest
/// place above the path, the last of equals.
pub fn mount_of(mounts: &str, path: &str) -> Option<(String, bool)> {
    let mut best: Option<(usize, String, bool)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(place), Some(kind), Some(options)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let place = place.replace("\\040", " ");
        let rest = path.strip_prefix(place.trim_end_matches('/'));
        let is_above = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if is_above && best.as_ref().is_none_or(|(len, ..)| *len <= place.len()) {
            let is_read_only = options.split(',').any(|option| option == "ro");
            best = Some((place.len(), kind.to_owned(), is_read_only));
        }
    }
    best.map(|(_, kind, is_read_only)| (kind, is_read_only))
}

/// Names such as `libnvinfer.so.10` that a library's table of needed libraries has, wherever in the file that is.
pub fn linked(file: &[u8], stems: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    for stem in stems {
        let mut rest = file;
        while let Some(at) = find(rest, stem.as_bytes()) {
            let number = &rest[at + stem.len()..];
            let digits = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
            // A name in the table ends with a zero byte; one in a message does not.
            let is_name = number.get(digits) == Some(&0) && (1..=3).contains(&digits);
            if is_name {
                let number = String::from_utf8_lossy(&number[..digits]);
                let name = format!("{stem}{number}");
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            rest = number;
        }
    }
    names
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, _) = needle.split_first()?;
    let mut from = 0;
    while let Some(at) = haystack.get(from..)?.iter().position(|byte| byte == first) {
        if haystack[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// Major and minor of a version such as `1.23.2` or `10.3.0`.
pub fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(['.', '-', '+']).map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_jetsons_files_are_understood() {
        let release = l4t("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n");
        assert_eq!(release, Some(L4t { release: 36, revision: "4.3".into() }));
        assert_eq!(l4t("# R35 (release), REVISION: 5.0, GCID: 1").unwrap().release, 35);
        let conf = "# a comment\n< PARAM TYPE=FILE NAME=CPU_ONLINE >\n< POWER_MODEL ID=0 NAME=15W >\n\
                    CPU_ONLINE CORE_0 1\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< PM_CONFIG DEFAULT=0 >\n";
        let modes: Vec<_> =
            power_modes(conf).into_iter().map(|mode| (mode.id, mode.name)).collect();
        assert_eq!(modes, [(0, "15W".to_owned()), (2, "MAXN_SUPER".to_owned())]);
        assert_eq!(power_mode_id("pmode:0001 fmode:quiet\n"), Some(1));
        assert_eq!(power_mode_id("pmode:0002\n"), Some(2));
    }

    #[test]
    fn packages_are_those_that_are_installed() {
        let status = "Package: nvidia-l4t-core\nStatus: install ok installed\nVersion: 36.4.3-20250107174145\n\n\
                      Package: nvidia-l4t-gone\nStatus: deinstall ok config-files\nVersion: 36.3.0-1\n\n\
                      Package: libc6\nStatus: install ok installed\nDescription: C\n Version: none\nVersion: 2.35-0ubuntu3\n";
        let found = installed(status, |name| name.starts_with("nvidia-l4t-") || name == "libc6");
        let found: Vec<_> = found.iter().map(|(name, version)| (&**name, &**version)).collect();
        assert_eq!(
            found,
            [("libc6", "2.35-0ubuntu3"), ("nvidia-l4t-core", "36.4.3-20250107174145")]
        );
    }

    #[test]
    fn the_kernels_packages_are_of_a_release_of_l4t_too() {
        assert_eq!(l4t_package("36.4.3-20250107174145"), "36.4.3");
        assert_eq!(l4t_package("5.15.148-tegra-36.4.3-20250107174145"), "36.4.3");
        assert_eq!(l4t_package("36.4.3"), "36.4.3");
    }

    #[test]
    fn a_library_in_memory_is_found_by_its_name() {
        let maps = "7f00-7f01 r--p 00000000 08:01 131 /usr/lib/libonnx.so.1\n7f02-7f03 rw-p 00000000 00:00 0\n\
                    7f04-7f05 r-xp 00000000 08:01 132 /usr/lib/a b/libonnxruntime.so.1.23.2\n";
        assert_eq!(
            mapped(maps, "libonnxruntime.so"),
            Some("/usr/lib/a b/libonnxruntime.so.1.23.2")
        );
        assert_eq!(mapped(maps, "libnone.so"), None);
    }

    #[test]
    fn users_and_groups_are_found_by_name_and_number() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nsightline:x:998:997::/:/usr/sbin/nologin\n";
        let group = "root:x:0:\nvideo:x:44:ada,sightline\ngpio:x:999:ada\n";
        assert_eq!(user(passwd, "sightline"), Some((998, 997)));
        assert_eq!(user(passwd, "sight"), None);
        assert_eq!(groups(group, "sightline"), [44]);
        assert_eq!(name_of(group, 44), Some("video"));
        assert_eq!(name_of(passwd, 998), Some("sightline"));
    }

    #[test]
    fn the_nearest_mount_is_the_one_that_holds() {
        let mounts = "/dev/root / ext4 rw,relatime 0 0\ntmpfs /run tmpfs rw 0 0\n//nas/x /mnt/na\\040s cifs ro,user 0 0\n";
        let kind = |path| mount_of(mounts, path).unwrap();
        assert_eq!(kind("/var/lib/sightline"), ("ext4".to_owned(), false));
        assert_eq!(kind("/run/sightline"), ("tmpfs".to_owned(), false));
        assert_eq!(kind("/running"), ("ext4".to_owned(), false));
        assert_eq!(kind("/mnt/na s/ledger"), ("cifs".to_owned(), true));
    }

    #[test]
    fn a_librarys_needs_are_told_from_its_messages() {
        let file = b"\x7fELF\0libnvinfer.so.10\0libcudart.so.12\0see libnvinfer.so.8 for more\0libnvinfer.so.10\0";
        assert_eq!(
            linked(file, &["libnvinfer.so.", "libcudart.so."]),
            ["libnvinfer.so.10", "libcudart.so.12"]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "(?s)[ -~\n:<>=#,.]{0,200}", name in "[a-z]{0,4}", bytes: Vec<u8>) {
            l4t(&text);
            os_release(&text, &name);
            installed(&text, |_| true);
            l4t_package(&text);
            mapped(&text, &name);
            power_modes(&text);
            power_mode_id(&text);
            user(&text, &name);
            name_of(&text, 0);
            groups(&text, &name);
            mount_of(&text, &format!("/{name}"));
            linked(&bytes, &["a", "lib"]);
            major_minor(&text);
        }
    }
}

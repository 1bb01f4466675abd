//! The board and its system: which JetPack that is, whether it is supported, whether its packages fit together.
//!
//! Pure. Owns the table of JetPack releases.

use crate::doctor::{
    Area, Finding,
    facts::{L4t, System},
};

const AREA: Area = Area::Machine;

/// The JetPack of a release of Linux for Tegra, for a person; `None` for one that is not known here.
fn jetpack(l4t: &L4t) -> Option<&'static str> {
    let revision = l4t.revision.as_str();
    match l4t.release {
        32 => Some("4"),
        34 | 35 => Some("5"),
        36 if revision.starts_with(['2', '3']) => Some("6.0"),
        36 if revision == "4" || revision.starts_with("4.0") => Some("6.1"),
        36 => Some("6.2"),
        38 => Some("7.0 or 7.1"),
        39 => Some("7.2"),
        _ => None,
    }
}

pub(super) fn findings(system: &System) -> Vec<Finding> {
    let mut findings = vec![system_itself(system)];
    match (&system.l4t, &system.board) {
        (Some(l4t), board) => {
            findings.push(release(l4t, board.as_deref().unwrap_or("a board without a name")));
            findings.push(packages(system, l4t));
        }
        (None, Some(board)) if board.contains("Jetson") || board.contains("Orin") => {
            let what =
                format!("{board}, without Linux for Tegra's release in /etc/nv_tegra_release");
            let remedy = "install JetPack's own image: other systems have neither its drivers nor its GStreamer elements";
            findings.push(Finding::bad(AREA, what, remedy));
        }
        (None, board) => {
            let board = board.as_deref().unwrap_or("no board with a device tree");
            findings.push(Finding::note(AREA, format!("no Jetson ({board}): the network runs on the processor, or on a GPU of one's own"), None));
        }
    }
    findings
}

fn system_itself(system: &System) -> Finding {
    let name = system.distribution.as_deref().unwrap_or("a system without /etc/os-release");
    let glibc =
        system.glibc.as_deref().map_or(String::new(), |glibc| format!(", C library {glibc}"));
    let what = format!("{name} on {}{glibc}", system.architecture);
    if ["aarch64", "x86_64"].contains(&system.architecture.as_str()) {
        return Finding::ok(AREA, what);
    }
    Finding::warn(AREA, what, "Sightline is tested on aarch64 and x86_64 only")
}

fn release(l4t: &L4t, board: &str) -> Finding {
    let L4t { release, revision } = l4t;
    let told = |jetpack: &str| format!("{board}, JetPack {jetpack} (L4T {release}.{revision})");
    match jetpack(l4t) {
        Some(old @ ("4" | "5")) => Finding::bad(
            AREA,
            told(old),
            "JetPack 4 and 5 are not supported: the newest ONNX Runtime with a GPU that was built for them is 1.16.3 and 1.17 is \
             needed, and their C library and GStreamer are too old; install JetPack 6.2 or later",
        ),
        Some(known) => Finding::ok(AREA, told(known)),
        None => Finding::warn(
            AREA,
            told("unknown"),
            "this release is not in docs/jetson.md: run board-check and compare its report with what the page says",
        ),
    }
}

/// CUDA fails with illegal memory accesses where packages of several releases are mixed.
fn packages(system: &System, l4t: &L4t) -> Finding {
    if !system.has_packages {
        return Finding::note(AREA, "dpkg's list of packages cannot be read", None);
    }
    let told: Vec<_> = system
        .l4t_packages
        .iter()
        .map(|(version, count)| format!("{count} of {version}"))
        .collect();
    let release = format!("{}.{}", l4t.release, l4t.revision);
    let is_release = |version: &String| {
        // 36.4 is packaged as 36.4.0.
        *version == release
            || *version == format!("{release}.0")
            || format!("{version}.0") == release
    };
    let remedy = "CUDA fails with error 700 where releases are mixed: `sudo apt-get update && sudo apt-get dist-upgrade`, \
                  then restart; `dpkg --list 'nvidia-l4t-*'` shows which";
    let told = told.join(", ");
    match system.l4t_packages.len() {
        0 => Finding::note(AREA, "no package nvidia-l4t-*: is this a container?", None),
        1 if system.l4t_packages.keys().all(is_release) => {
            Finding::ok(AREA, format!("packages of L4T: {told}"))
        }
        1 => Finding::warn(
            AREA,
            format!("packages of L4T: {told}, on a system of {release}"),
            remedy,
        ),
        _ => Finding::bad(AREA, format!("packages of L4T are mixed: {told}"), remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_release_has_its_jetpack_and_old_ones_are_refused() {
        let check = |release, revision: &str, level, word: &str| {
            let found = super::release(&L4t { release, revision: revision.into() }, "Orin Nano");
            assert_eq!(found.level, level, "{found:?}");
            assert!(found.what.contains(word), "{found:?}");
        };
        check(32, "7.1", Level::Bad, "JetPack 4");
        check(35, "5.0", Level::Bad, "JetPack 5 (L4T 35.5.0)");
        check(36, "3.0", Level::Ok, "JetPack 6.0");
        check(36, "4.0", Level::Ok, "JetPack 6.1");
        check(36, "4.3", Level::Ok, "JetPack 6.2");
        check(39, "2.0", Level::Ok, "JetPack 7.2");
        check(41, "1.0", Level::Warn, "unknown");
    }

    #[test]
    fn mixed_packages_are_told() {
        let check = |packages: &[(&str, usize)], level| {
            let l4t = L4t { release: 36, revision: "4.3".into() };
            let l4t_packages =
                packages.iter().map(|(name, many)| ((*name).into(), *many)).collect();
            let system = System { l4t_packages, has_packages: true, ..System::default() };
            assert_eq!(super::packages(&system, &l4t).level, level, "{packages:?}");
        };
        check(&[("36.4.3", 40)], Level::Ok);
        check(&[("36.4.4", 40)], Level::Warn);
        check(&[("36.4.3", 39), ("36.3.0", 1)], Level::Bad);
        check(&[], Level::Note);
    }
}

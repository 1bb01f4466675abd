//! The board, its system and its packages, from /etc, the device tree and dpkg.

use std::collections::BTreeMap;

use super::Root;
use crate::doctor::{facts::System, parse};

const L4T_PACKAGES: &str = "nvidia-l4t-";

pub(super) fn look(root: &Root) -> System {
    let status = root.text("/var/lib/dpkg/status").unwrap_or_default();
    let is_wanted = |name: &str| name.starts_with(L4T_PACKAGES) || name == "libc6";
    let installed = parse::installed(&status, is_wanted);
    let mut l4t_packages = BTreeMap::new();
    for (_, version) in installed.iter().filter(|(name, _)| name.starts_with(L4T_PACKAGES)) {
        *l4t_packages.entry(parse::l4t_package(version).to_owned()).or_default() += 1;
    }
    System {
        architecture: std::env::consts::ARCH.to_owned(),
        distribution: root
            .text("/etc/os-release")
            .and_then(|text| parse::os_release(&text, "PRETTY_NAME")),
        board: root.text("/proc/device-tree/model"),
        l4t: root.text("/etc/nv_tegra_release").and_then(|text| parse::l4t(&text)),
        glibc: installed.get("libc6").cloned(),
        l4t_packages,
        has_packages: !status.is_empty(),
    }
}

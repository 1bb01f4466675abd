//! Wired interfaces and socket buffers, from /sys/class/net and /proc/sys.

use super::{Root, Wanted};
use crate::doctor::facts::{Interface, Network};

const INTERFACES: &str = "/sys/class/net";
/// Ethernet, in Linux's numbers of link layers (`ARPHRD_ETHER`).
const ETHERNET: u64 = 1;
/// The source of cameras that come by GigE Vision.
const GIGE: &str = "aravissrc";

pub(super) fn look(root: &Root, wanted: &Wanted) -> Network {
    let interfaces = root.names(INTERFACES).into_iter().filter_map(|name| {
        let file = |what: &str| format!("{INTERFACES}/{name}/{what}");
        // What has a device behind it is no bridge and no container's; what has `wireless` is no wire.
        let is_wire = root.number(&file("type")) == Some(ETHERNET)
            && root.has(&file("device"))
            && !root.has(&file("wireless"));
        // Drivers that do not say whether their link is up leave it at `unknown`.
        let state = root.text(&file("operstate"));
        let is_up = matches!(state.as_deref(), Some("up" | "unknown"));
        if !is_wire || !is_up {
            return None;
        }
        let mtu_bytes = root.number(&file("mtu"))?;
        // A driver that does not know it says -1, or nothing.
        let speed_mbit = root.number(&file("speed")).filter(|speed| *speed > 0);
        Some(Interface { name, mtu_bytes, speed_mbit })
    });
    Network {
        is_wanted: wanted.cameras.iter().any(|camera| camera.has(GIGE)),
        interfaces: interfaces.collect(),
        receive_buffer_max_bytes: root.number("/proc/sys/net/core/rmem_max"),
    }
}

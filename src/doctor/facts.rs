//! What was seen of a machine: plain values, as `doctor --json` shows them under `facts`.
//!
//! Pure: types alone. What could not be seen is `None` or empty.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::gpu::Gpu;

/// Everything that was seen.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Facts {
    /// The board and its system.
    pub system: System,
    /// What runs the network.
    pub engine: Engine,
    /// What plays the cameras.
    pub gstreamer: Gstreamer,
    /// Devices that give pictures.
    pub cameras: Cameras,
    /// What cameras come in by.
    pub network: Network,
    /// Power and heat.
    pub power: Power,
    /// Where things are kept.
    pub places: Vec<Place>,
    /// The time.
    pub clock: Clock,
    /// Who the service is, and what it cannot open.
    pub permissions: Permissions,
    /// Looks that did not come back within their time.
    pub late: Vec<&'static str>,
}

/// The board and its system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct System {
    /// In Rust's words: `aarch64`, `x86_64`.
    pub architecture: String,
    /// The distribution's own name.
    pub distribution: Option<String>,
    /// The board's name, from its device tree.
    pub board: Option<String>,
    /// The release of Linux for Tegra.
    pub l4t: Option<L4t>,
    /// The version of the C library's package.
    pub glibc: Option<String>,
    /// The versions of the packages nvidia-l4t-*, each with how many have it.
    pub l4t_packages: BTreeMap<String, usize>,
    /// Whether Debian's list of packages could be read.
    pub has_packages: bool,
}

/// A release of Linux for Tegra, such as 36.4.3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct L4t {
    /// 36.
    pub release: u32,
    /// 4.3.
    pub revision: String,
}

/// What runs the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Engine {
    /// ONNX Runtime, where it is.
    pub library: Option<Library>,
    /// Why there is none.
    pub missing: Option<String>,
    /// The GPU and NVIDIA's libraries.
    pub gpu: Gpu,
    /// The providers that are wanted, best first.
    pub wanted: Vec<String>,
}

/// ONNX Runtime's library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Library {
    /// Where it lies.
    pub path: String,
    /// Its version.
    pub version: String,
    /// What is known to go wrong with it here.
    pub warning: Option<String>,
    /// The providers that it was built with.
    pub providers: Vec<String>,
    /// The libraries of NVIDIA's that its providers were linked with, such as `libnvinfer.so.10`.
    pub linked: Vec<String>,
    /// Those of them that the loader does not find here.
    pub linked_missing: Vec<String>,
    /// Providers' own files beside it that are missing.
    pub files_missing: Vec<String>,
    /// Whether it is not known in which folder it lies: nothing was seen of its providers' files.
    pub is_folder_unknown: bool,
}

/// What plays the cameras.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gstreamer {
    /// Its version.
    pub version: Option<String>,
    /// Why it does not start.
    pub failure: Option<String>,
    /// What the presets need.
    pub needs: Vec<Need>,
}

/// Elements of which one is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Need {
    /// The preset.
    pub preset: String,
    /// Whether a camera of the configuration uses it.
    pub is_used: bool,
    /// Any of them will do.
    pub elements: Vec<String>,
    /// The one that is there.
    pub found: Option<String>,
    /// How to come by the first.
    pub remedy: String,
}

/// Devices that give pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cameras {
    /// Video4Linux devices that capture.
    pub devices: Vec<Device>,
    /// Those of the configuration that read a device.
    pub configured: Vec<Configured>,
    /// Whether the Jetson's camera service has its socket.
    pub has_argus: bool,
}

/// A device that gives pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Such as `/dev/video0`: another camera after a replugging.
    pub path: String,
    /// What it calls itself.
    pub name: Option<String>,
    /// Names that stay: by serial number, by socket.
    pub stable: Vec<String>,
    /// Its formats, as GStreamer tells them.
    pub formats: Vec<String>,
}

/// A camera of the configuration that reads a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Configured {
    /// Its name.
    pub camera: String,
    /// Its preset.
    pub preset: String,
    /// Whether its frames come from the Jetson's camera service.
    pub is_argus: bool,
    /// The device that it names.
    pub device: Option<String>,
    /// Whether that is there; `None` where it names none.
    pub is_there: Option<bool>,
}

/// What cameras come in by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Whether a camera of the configuration comes by GigE Vision: its preset has Aravis's source.
    pub is_wanted: bool,
    /// Wired interfaces that are up.
    pub interfaces: Vec<Interface>,
    /// `net.core.rmem_max`.
    pub receive_buffer_max_bytes: Option<u64>,
}

/// A wired interface that is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The largest packet.
    pub mtu_bytes: u64,
    /// Its speed, where the driver tells it.
    pub speed_mbit: Option<u64>,
}

/// Power and heat.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Power {
    /// The power mode that holds.
    pub mode: Option<Mode>,
    /// All that this board has.
    pub modes: Vec<Mode>,
    /// Clocks that may change: name, lowest and highest that is allowed now.
    pub clocks: Vec<Range>,
    /// Degrees Celsius by zone.
    pub temperatures: Vec<(String, f64)>,
    /// What holds the machine back: device and share, above 0.
    pub held_back: Vec<(String, f64)>,
    /// How often each over-current guard struck, where it did.
    pub over_currents: Vec<(String, u64)>,
}

/// A power mode of nvpmodel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mode {
    /// What `nvpmodel -m` takes.
    pub id: u32,
    /// Its name, such as 15W or MAXN.
    pub name: String,
}

/// What a clock may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Range {
    /// Whose.
    pub name: String,
    /// At least.
    pub min_hz: u64,
    /// At most.
    pub max_hz: u64,
}

/// Where things are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// What is kept there: `ledger`, `archive`, `engines`.
    pub what: String,
    /// The folder, or the nearest one above it that is there.
    pub path: String,
    /// Whether it did not answer in time: nothing else of it is known.
    pub is_late: bool,
    /// The kind of its file system, such as ext4.
    pub kind: Option<String>,
    /// What is free to this user.
    pub free_bytes: Option<u64>,
    /// The size of the file system.
    pub size_bytes: Option<u64>,
    /// Files that may still be made; `None` where the file system does not count.
    pub free_files: Option<u64>,
    /// Whether it is mounted so that nothing can be written.
    pub is_read_only: bool,
    /// Whether the service's user may write there.
    pub is_writable: bool,
}

/// The time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Clock {
    /// Seconds since 1970, as the machine has it.
    pub now_secs: u64,
    /// Who keeps it.
    pub kept_by: Option<String>,
    /// Whether it was set by another clock since the start; `None` where that is not told.
    pub is_synchronised: Option<bool>,
}

/// Who the service is, and what it cannot open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Permissions {
    /// The user.
    pub user: String,
    /// Why nothing is known of that user.
    pub unknown: Option<String>,
    /// Devices that it may open.
    pub opens: Vec<String>,
    /// Devices that it may not open, each with the group that may.
    pub closed: Vec<(String, String)>,
}

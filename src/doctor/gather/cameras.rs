//! Video devices, their stable names and their formats; the Jetson's camera service.

use std::collections::BTreeMap;

use super::{Root, Wanted};
use crate::{
    camera::inventory,
    doctor::facts::{Cameras, Configured, Device},
};

const DEVICES: &str = "/sys/class/video4linux";
/// Links that udev makes: by serial number, by socket.
const LINKS: [&str; 2] = ["/dev/v4l/by-id", "/dev/v4l/by-path"];
/// Where nvargus-daemon listens.
const ARGUS: &str = "/tmp/argus_socket";
/// The source that asks it for frames.
const ARGUS_SOURCE: &str = "nvarguscamerasrc";
/// Formats that are told of a device.
const FORMATS_MAX: usize = 12;

pub(super) fn look(root: &Root, wanted: &Wanted) -> Cameras {
    // A device may be there for its file only: formats need the driver.
    let formats = if root.is_system() { inventory::formats() } else { BTreeMap::new() };
    let stable = stable_names(root);
    let devices = root.names(DEVICES).into_iter().filter_map(|name| {
        // A camera's further nodes carry metadata, no pictures.
        if root.number(&format!("{DEVICES}/{name}/index")).is_some_and(|index| index > 0) {
            return None;
        }
        let path = format!("/dev/{name}");
        Some(Device {
            name: root.text(&format!("{DEVICES}/{name}/name")),
            stable: stable.get(&name).cloned().unwrap_or_default(),
            formats: formats
                .get(&path)
                .map(|formats| formats.iter().take(FORMATS_MAX).cloned().collect())
                .unwrap_or_default(),
            path,
        })
    });
    let configured = wanted.cameras.iter().map(|camera| Configured {
        camera: camera.name.clone(),
        preset: camera.preset.clone(),
        is_argus: camera.has(ARGUS_SOURCE),
        is_there: camera.device.as_deref().map(|device| match inventory::device(device) {
            Some(resolved) => resolved.is_ok_and(|path| root.has(&path)),
            None => root.has(device),
        }),
        device: camera.device.clone(),
    });
    Cameras {
        devices: devices.collect(),
        configured: configured.collect(),
        has_argus: root.has(ARGUS),
    }
}

/// The links of each device, by the device's name.
fn stable_names(root: &Root) -> BTreeMap<String, Vec<String>> {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in LINKS {
        for link in root.names(folder) {
            let path = format!("{folder}/{link}");
            let Ok(target) = std::fs::read_link(root.path(&path)) else { continue };
            let Some(device) = target.file_name().and_then(|name| name.to_str()) else { continue };
            names.entry(device.to_owned()).or_default().push(path);
        }
    }
    names
}

//! What GStreamer has on this machine: its version, the elements that presets need, the formats of devices.
//!
//! Owns which elements stand behind a preset's `decodebin`. Builds and plays nothing.

use std::collections::BTreeMap;

use gstreamer::{self as gst, prelude::*};

use super::{CameraError, Platform, Preset, packages, pipeline, serial};

/// What a preset's decoder takes for the formats that it is made for; of each row one is needed.
const DECODERS: [(&str, &[&str]); 5] = [
    ("usb", &["jpegdec"]),
    ("files", &["avdec_h264", "openh264dec", "nvv4l2decoder"]),
    ("rtsp", &["rtph264depay"]),
    ("rtsp", &["h264parse"]),
    ("rtsp", &["avdec_h264", "openh264dec", "nvv4l2decoder"]),
];

/// Elements of which a preset needs one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The preset's name or file.
    pub preset: String,
    /// Any of them will do, the first is the usual one.
    pub elements: Vec<String>,
}

/// GStreamer's version.
pub fn version() -> Result<String, CameraError> {
    pipeline::init()?;
    let (major, minor, micro, _nano) = gst::version();
    Ok(format!("{major}.{minor}.{micro}"))
}

/// What the presets built in and those that are used need, each preset once.
pub fn needs(used: &[&str]) -> Vec<Need> {
    let mut names = super::preset::names();
    names.extend(used.iter().filter(|name| !name.is_empty()));
    let mut seen = Vec::new();
    let mut needs = Vec::new();
    for name in names {
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let Ok(preset) = Preset::find(name, Platform::here()) else { continue };
        let own = preset.elements().into_iter().map(|element| vec![element]);
        let decoders = DECODERS.iter().filter(|(preset, _)| *preset == name);
        let decoders = decoders.map(|(_, any)| any.iter().map(|it| (*it).to_owned()).collect());
        let mut rows: Vec<Vec<String>> = own.chain(decoders).collect();
        rows.sort();
        rows.dedup();
        needs.extend(rows.into_iter().map(|elements| Need { preset: name.into(), elements }));
    }
    needs
}

/// Whether an element is installed.
pub fn has(element: &str) -> bool {
    gst::ElementFactory::find(element).is_some()
}

/// How to come by an element.
pub fn remedy(element: &str) -> String {
    packages::remedy(element)
}

/// The device that a stable name such as `serial:40123456` stands for now; `None` for a name that stands for itself.
pub fn device(name: &str) -> Option<Result<String, CameraError>> {
    serial::device(name).transpose()
}

/// The formats of every device that gives pictures, by the device's file, or by its name where it has none.
pub fn formats() -> BTreeMap<String, Vec<String>> {
    let mut formats = BTreeMap::new();
    if pipeline::init().is_err() {
        return formats;
    }
    let monitor = gst::DeviceMonitor::new();
    monitor.add_filter(Some("Video/Source"), None);
    if monitor.start().is_err() {
        return formats;
    }
    for device in monitor.devices() {
        let file = device.properties().and_then(|properties| {
            ["device.path", "api.v4l2.path"]
                .iter()
                .find_map(|key| properties.get::<String>(*key).ok())
        });
        let caps = device.caps().map(|caps| caps.iter().map(ToString::to_string).collect());
        let name = file.unwrap_or_else(|| device.display_name().to_string());
        formats.insert(name, caps.unwrap_or_default());
    }
    monitor.stop();
    formats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_needs_its_elements_and_the_decoders_behind_decodebin() {
        let needs = needs(&["usb"]);
        let usb: Vec<_> = needs.iter().filter(|need| need.preset == "usb").collect();
        let has = |element: &str| usb.iter().any(|need| need.elements == [element]);
        assert!(
            has("v4l2src") && has("jpegdec") && has("videoscale") && has("decodebin"),
            "{usb:?}"
        );
        assert!(!usb.iter().any(|need| need.elements[0].contains(['/', '='])), "{usb:?}");
        let csi = needs.iter().filter(|need| need.preset == "csi");
        let csi: Vec<_> = csi.map(|need| need.elements[0].as_str()).collect();
        assert_eq!(csi, ["capsfilter", "nvarguscamerasrc", "nvvidconv", "videoconvert"]);
    }
}

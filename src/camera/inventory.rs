//! What GStreamer has on this machine: its version, the elements that presets need, the formats of devices.
//!
//! Owns which elements stand behind a preset's `decodebin`. Builds and plays nothing.

use std::{collections::BTreeMap, path::Path};

use gstreamer::{self as gst, prelude::*};

use super::{CameraError, Platform, Preset, packages, pipeline, serial};

/// What `decodebin` behind a source takes for what usually comes from there; of each row one is needed.
const DECODERS: [(&str, &[&str]); 4] = [
    ("v4l2src", &["jpegdec"]),
    ("rtspsrc", &["rtph264depay"]),
    ("rtspsrc", &["h264parse"]),
    ("rtspsrc", H264),
];
const H264: &[&str] = &["avdec_h264", "openh264dec", "nvv4l2decoder"];
/// What the end of a file's name says of what is in it; other files may hold anything.
const FILES: [(&str, &[&str]); 5] = [
    ("mp4", H264),
    ("m4v", H264),
    ("mov", H264),
    ("webm", &["vp8dec", "vp9dec"]),
    ("webm", &["matroskademux"]),
];

/// A preset that a camera plays.
#[derive(Clone, Copy, Debug)]
pub struct Used<'a> {
    /// Its name or file.
    pub preset: &'a str,
    /// The file or address that the camera gives it.
    pub location: Option<&'a str>,
}

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
pub fn needs(used: &[Used<'_>]) -> Vec<Need> {
    let mut names = super::preset::names();
    names.extend(used.iter().map(|used| used.preset).filter(|name| !name.is_empty()));
    let mut seen = Vec::new();
    let mut needs = Vec::new();
    for name in names {
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let Ok(preset) = Preset::find(name, Platform::here()) else { continue };
        let elements = preset.elements();
        let locations = used.iter().filter(|used| used.preset == name);
        let locations: Vec<_> = locations.filter_map(|used| used.location).collect();
        let mut rows = decoders(&elements, &locations);
        rows.extend(elements.into_iter().map(|element| vec![element]));
        rows.sort();
        rows.dedup();
        needs.extend(rows.into_iter().map(|elements| Need { preset: name.into(), elements }));
    }
    needs
}

/// What stands behind the `decodebin` of these elements, as far as the source and the files tell.
fn decoders(elements: &[String], locations: &[&str]) -> Vec<Vec<String>> {
    let has = |name: &str| elements.iter().any(|element| element == name);
    if !has("decodebin") {
        return Vec::new();
    }
    let of_source = DECODERS.iter().filter(|(source, _)| has(source)).map(|(_, any)| any);
    let ends = |end: &str| {
        let ends = locations.iter().filter_map(|path| Path::new(path).extension());
        has("filesrc") && ends.into_iter().any(|other| other.eq_ignore_ascii_case(end))
    };
    let of_files = FILES.iter().filter(|(end, _)| ends(end)).map(|(_, any)| any);
    let rows = of_source.chain(of_files);
    rows.map(|any| any.iter().map(|it| (*it).to_owned()).collect()).collect()
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
        let needs = needs(&[Used { preset: "usb", location: None }]);
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

    #[test]
    fn a_file_needs_the_decoder_that_its_name_tells() {
        let needs_h264 = |location: Option<&str>| {
            let needs = needs(&[Used { preset: "files", location }]);
            let files = needs.iter().filter(|need| need.preset == "files");
            files.into_iter().any(|need| need.elements.iter().any(|it| it == "avdec_h264"))
        };
        // The demo's clip plays with what `make run` installs, and a folder of pictures needs no decoder at all.
        assert!(!needs_h264(Some("models/demo.webm")) && !needs_h264(Some("parts")));
        assert!(!needs_h264(None) && needs_h264(Some("line.MP4")));
        let demo = needs(&[Used { preset: "files", location: Some("models/demo.webm") }]);
        let vp8 = demo.iter().find(|need| need.elements.contains(&"vp8dec".into()));
        assert_eq!(vp8.map(|need| &*need.preset), Some("files"));
    }

    #[test]
    fn a_copied_preset_needs_what_its_source_needs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ours.toml");
        std::fs::write(&path, include_str!("../../pipelines/rtsp.toml")).unwrap();
        let preset = path.to_str().unwrap();
        let needs = needs(&[Used { preset, location: Some("rtsp://camera/line") }]);
        let of_ours: Vec<_> = needs.iter().filter(|need| need.preset == preset).collect();
        assert!(of_ours.iter().any(|need| need.elements == H264), "{of_ours:?}");
    }
}

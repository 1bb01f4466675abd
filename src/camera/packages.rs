//! Which package brings a GStreamer element that is missing.
//!
//! Pure. Covers the elements of the presets and what people put into their own.

/// Elements by the package that brings them on Debian and Ubuntu.
const PACKAGES: [(&str, &[&str]); 5] = [
    (
        "gstreamer1.0-plugins-base",
        &[
            "videotestsrc",
            "videoconvert",
            "videoscale",
            "videorate",
            "decodebin",
            "uridecodebin",
            "appsrc",
            "appsink",
        ],
    ),
    (
        "gstreamer1.0-plugins-good",
        &[
            "v4l2src",
            "rtspsrc",
            "rtph264depay",
            "rtph265depay",
            "rtpjpegdepay",
            "jpegdec",
            "pngdec",
            "vp8dec",
            "vp9dec",
            "matroskademux",
            "qtdemux",
            "avidemux",
            "multifilesrc",
            "videocrop",
            "videoflip",
        ],
    ),
    (
        "gstreamer1.0-plugins-bad",
        &["h264parse", "h265parse", "openh264dec", "bayer2rgb", "jpegparse", "srtsrc"],
    ),
    ("gstreamer1.0-plugins-ugly", &["x264enc"]),
    ("gstreamer1.0-libav", &["avdec_h264", "avdec_h265", "avdec_mjpeg"]),
];

/// How to come by an element, as the rest of a sentence.
pub(super) fn remedy(element: &str) -> String {
    if let Some((package, _)) = PACKAGES.iter().find(|(_, elements)| elements.contains(&element)) {
        return format!("install the package {package}");
    }
    if element.starts_with("nv") {
        return "it comes with JetPack (package nvidia-l4t-gstreamer) and runs on a Jetson only"
            .into();
    }
    if element.starts_with("aravis") {
        return "Debian has no package of it: build Aravis 0.8 with its GStreamer plugin".into();
    }
    format!(
        "`apt-file search {element}` may know the package; `gst-inspect-1.0` lists what is there"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_brought_by_one_package() {
        let mut seen = std::collections::BTreeSet::new();
        for element in PACKAGES.iter().flat_map(|(_, elements)| *elements) {
            assert!(seen.insert(element), "{element} is listed twice");
        }
        assert_eq!(remedy("v4l2src"), "install the package gstreamer1.0-plugins-good");
        assert!(remedy("nvarguscamerasrc").contains("JetPack"));
        assert!(remedy("aravissrc").contains("Aravis"));
    }
}

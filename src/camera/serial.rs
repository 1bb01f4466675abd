//! Devices by what does not change: `serial:40123456` instead of `/dev/video0`.
//!
//! Owns the search in the folder that udev keeps. A name such as /dev/v4l/by-path/... is stable by itself.

use std::path::Path;

use super::CameraError;

/// What marks a value as a serial number.
const MARK: &str = "serial:";
/// Links that udev makes for each video device, named after vendor, model and serial number.
const BY_ID: &str = "/dev/v4l/by-id";

/// The device of that serial number; `None` when the value names something else.
pub(super) fn device(value: &str) -> Result<Option<String>, CameraError> {
    let Some(serial) = value.strip_prefix(MARK) else { return Ok(None) };
    find(Path::new(BY_ID), serial).map(Some)
}

fn find(folder: &Path, serial: &str) -> Result<String, CameraError> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        // A camera's further nodes carry metadata, no pictures.
        .filter(|name| name.ends_with("-video-index0"))
        .collect();
    names.sort();
    let is_it =
        |name: &&String| name.trim_end_matches("-video-index0").rsplit('_').next() == Some(serial);
    match names.iter().find(is_it) {
        Some(name) => Ok(folder.join(name).display().to_string()),
        None => Err(CameraError::Serial {
            serial: serial.into(),
            there: if names.is_empty() { "none".into() } else { names.join(", ") },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_found_by_its_serial_number_alone() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "usb-046d_HD_Pro_Webcam_C920_5A6B-video-index0",
            "usb-046d_HD_Pro_Webcam_C920_5A6B-video-index1",
            "usb-Basler_daA_40123456-video-index0",
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = find(folder.path(), "5A6B").unwrap();
        assert!(found.ends_with("C920_5A6B-video-index0"), "{found}");
        // A part of a serial number is another camera's.
        let error = find(folder.path(), "A6B").unwrap_err().to_string();
        assert_eq!(
            error,
            "no camera with the serial number A6B is plugged in; there are: usb-046d_HD_Pro_Webcam_C920_5A6B-video-index0, \
             usb-Basler_daA_40123456-video-index0"
        );
        assert!(device("/dev/video0").unwrap().is_none());
    }
}

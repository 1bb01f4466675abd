//! Any bytes as a site's calibration: what is accepted is sound, and survives being written and read.
#![no_main]

use bundle::calibration_file::CalibrationFile;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = std::path::Path::new("site.json");
    if let Ok(file) = CalibrationFile::parse(path, bytes) {
        assert!(file.classes.values().all(|made| made.scores().is_sorted() && made.distances().is_sorted()));
        let written = serde_json::to_vec(&file).expect("numbers and texts have a JSON form");
        assert_eq!(CalibrationFile::parse(path, &written).expect("it was just written"), file);
    }
});

//! Any bytes as a model file: what is accepted is consistent, and its golden frames decode or do not.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = bundle::model_file::read_bytes(bytes) {
        file.document.validate().expect("what was accepted is consistent");
        file.document.golden.iter().for_each(|golden| drop(golden.decode()));
    }
});

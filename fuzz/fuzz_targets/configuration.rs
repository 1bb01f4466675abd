//! Any text as a configuration file: settings, or an error whose text can be written.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _refused = sightline::config::read(text, std::path::Path::new("/line")).map_err(|error| error.to_string());
});

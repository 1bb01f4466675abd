//! Any text as a preset of one's own, and as the value of each of its parameters.
#![no_main]

use std::collections::BTreeMap;

use sightline::camera::Preset;

libfuzzer_sys::fuzz_target!(|given: (&str, &str, &str)| {
    let (text, name, value) = given;
    if let Ok(preset) = Preset::parse("own", text) {
        let parameters = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        for parameters in [BTreeMap::new(), parameters] {
            if let Ok(filled) = preset.with(&parameters) {
                drop((filled.source(), filled.stills(), filled.tail(None), filled.remedy()));
            }
        }
    }
});

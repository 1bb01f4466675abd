//! GStreamer's version, and what the presets need of it.

use super::Wanted;
use crate::{
    camera::inventory,
    doctor::facts::{Gstreamer, Need},
};

pub(super) fn look(wanted: &Wanted) -> Gstreamer {
    let version = match inventory::version() {
        Ok(version) => version,
        Err(error) => {
            return Gstreamer { failure: Some(error.to_string()), ..Gstreamer::default() };
        }
    };
    let used: Vec<_> = wanted.cameras.iter().map(|camera| camera.preset.as_str()).collect();
    let needs = inventory::needs(&used).into_iter().map(|need| Need {
        is_used: used.contains(&need.preset.as_str()),
        preset: need.preset,
        found: need.elements.iter().find(|element| inventory::has(element)).cloned(),
        remedy: need.elements.first().map_or_else(String::new, |first| inventory::remedy(first)),
        elements: need.elements,
    });
    Gstreamer { version: Some(version), failure: None, needs: needs.collect() }
}

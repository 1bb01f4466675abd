//! GStreamer's version, and what the presets need of it.

use super::Wanted;
use crate::{
    camera::inventory::{self, Used},
    doctor::facts::{Gstreamer, Need},
};

pub(super) fn look(wanted: &Wanted) -> Gstreamer {
    let version = match inventory::version() {
        Ok(version) => version,
        Err(error) => {
            return Gstreamer { failure: Some(error.to_string()), ..Gstreamer::default() };
        }
    };
    let used = wanted
        .cameras
        .iter()
        .map(|camera| Used { preset: &camera.preset, location: camera.location.as_deref() });
    let used: Vec<_> = used.collect();
    let needs = inventory::needs(&used).into_iter().map(|need| Need {
        is_used: used.iter().any(|used| used.preset == need.preset),
        preset: need.preset,
        found: need.elements.iter().find(|element| inventory::has(element)).cloned(),
        remedy: need.elements.first().map_or_else(String::new, |first| inventory::remedy(first)),
        elements: need.elements,
    });
    Gstreamer { version: Some(version), failure: None, needs: needs.collect() }
}

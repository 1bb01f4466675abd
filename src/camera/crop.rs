//! The elements that turn a picture and cut the region out of it.
//!
//! Owns that the region follows the camera's format: `videocrop` counts in pixels, so that its edges are set anew by
//! each format before the first buffer of it comes. Knows no model and no scaling.

use bundle::geometry::Size;
use gstreamer::{self as gst, prelude::*};

use super::{
    pipeline::Pipeline,
    view::{Area, Edges, Turn, View},
};

const CROP: &str = "sightline-crop";

/// The launch line of a view; `None` for the whole picture as it comes. `download` brings the source's buffers to where
/// these elements can read them, where they are not there already.
pub(super) fn line(view: &View, download: Option<&str>) -> Option<String> {
    let crop = view.region.map(|_| format!("videocrop name={CROP}"));
    let turn = match view.turn {
        Turn::None => None,
        Turn::Right => Some("90r"),
        Turn::Half => Some("180"),
        Turn::Left => Some("90l"),
    };
    // First the cut: the rest need not be turned.
    let turn = turn.map(|direction| format!("videoflip video-direction={direction}"));
    let elements: Vec<_> = crop.into_iter().chain(turn).collect();
    if elements.is_empty() {
        return None;
    }
    let download = download.map(str::to_owned);
    Some(download.into_iter().chain(elements).collect::<Vec<_>>().join(" ! "))
}

/// Lets the pipeline's crop follow the camera's format.
pub(super) fn follow(pipeline: &Pipeline, view: &View) {
    let crop = pipeline.element::<gst::Element>(CROP);
    let (Some(region), Some(crop)) = (view.region, crop) else { return };
    let area = region.before(view.turn);
    let (Some(sink), Some(src)) = (crop.static_pad("sink"), crop.static_pad("src")) else { return };
    let crop = crop.downgrade();
    let kinds = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::QUERY_DOWNSTREAM;
    sink.add_probe(kinds, move |pad, info| match &mut info.data {
        Some(gst::PadProbeData::Event(event)) => {
            if let (gst::EventView::Caps(caps), Some(crop)) = (event.view(), crop.upgrade()) {
                set(&crop, &area, caps.caps());
            }
            gst::PadProbeReturn::Ok
        }
        // The edges of the format before say nothing about the next one: a camera that becomes smaller would be told
        // that such small pictures are not taken.
        Some(gst::PadProbeData::Query(query)) => answer(query, pad, &src),
        _ => gst::PadProbeReturn::Ok,
    });
}

fn set(crop: &gst::Element, area: &Area, caps: &gst::CapsRef) {
    let side = |name| caps.structure(0).and_then(|format| format.get::<i32>(name).ok());
    let (Some(width), Some(height)) = (side("width"), side("height")) else { return };
    let size = Size { width: width.unsigned_abs(), height: height.unsigned_abs() };
    let Edges { left, right, top, bottom } = area.edges(size);
    let cut = [
        ("left", left),
        ("right", size.width - right),
        ("top", top),
        ("bottom", size.height - bottom),
    ];
    for (name, pixels) in cut {
        crop.set_property(name, i32::try_from(pixels).unwrap_or(i32::MAX));
    }
}

/// Any size in any format that comes out again is taken.
fn answer(query: &mut gst::QueryRef, sink: &gst::Pad, src: &gst::Pad) -> gst::PadProbeReturn {
    let taken = || {
        let mut taken = src.peer_query_caps(None);
        for format in taken.make_mut().iter_mut() {
            for side in ["width", "height"] {
                format.set(side, gst::IntRange::new(1, i32::MAX));
            }
        }
        sink.pad_template_caps().intersect(&taken)
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is the element's own")]
    match query.view_mut() {
        gst::QueryViewMut::Caps(caps) => {
            let taken = match caps.filter_owned() {
                Some(filter) => filter.intersect_with_mode(&taken(), gst::CapsIntersectMode::First),
                None => taken(),
            };
            caps.set_result(&taken);
            gst::PadProbeReturn::Handled
        }
        gst::QueryViewMut::AcceptCaps(caps) => {
            let is_taken = caps.caps().can_intersect(&taken());
            caps.set_result(is_taken);
            gst::PadProbeReturn::Handled
        }
        _ => gst::PadProbeReturn::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_built_for_the_whole_picture_as_it_comes() {
        assert_eq!(line(&View::default(), Some("nvvidconv")), None);
        let view = View { turn: Turn::Right, region: Some(Area::WHOLE) };
        assert_eq!(
            line(&view, Some("nvvidconv")).unwrap(),
            "nvvidconv ! videocrop name=sightline-crop ! videoflip video-direction=90r"
        );
        let turned = View { turn: Turn::Half, region: None };
        assert_eq!(line(&turned, None).unwrap(), "videoflip video-direction=180");
    }
}

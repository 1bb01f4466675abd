//! From launch lines to elements.
//!
//! Owns the shape of every pipeline, `source ! tail ! RGB ! appsink`, and what its errors mean for a person.

use gstreamer::{self as gst, prelude::*};
use gstreamer_app::AppSink;

use super::{CameraError, packages, secret};

const FRAMES: &str = "sightline-frames";
const TAIL: &str = "sightline-tail";
const STOP: &str = "sightline-stop";

/// Starts GStreamer, once.
pub(super) fn init() -> Result<(), CameraError> {
    gst::init().map_err(|error| CameraError::Start(error.to_string()))
}

/// A pipeline and its two ends.
pub(super) struct Pipeline {
    pub(super) elements: gst::Pipeline,
    pub(super) sink: AppSink,
    /// What the tail is given: the pad whose buffers are in the camera's own size and format.
    pub(super) tail: gst::Pad,
}

impl Pipeline {
    /// `source ! tail ! RGB ! appsink`; `paced` lets the sink hold frames back until their time.
    pub(super) fn build(source: &str, tail: &str, paced: bool) -> Result<Self, CameraError> {
        init()?;
        // One waiting sample: more would hide from the channel, which owns the queue. Nothing may be
        // dropped here, for nothing is numbered yet; and no decoder may skip frames for a late sink.
        let line = format!(
            "{source} ! identity name={TAIL} silent=true ! {tail} ! capsfilter caps=video/x-raw,format=RGB \
             ! appsink name={FRAMES} max-buffers=1 drop=false sync={paced} qos=false enable-last-sample=false"
        );
        let wrong = |cause: &str| CameraError::Launch { cause: secret::masked(cause) };
        let mut context = gst::ParseContext::new();
        let built =
            gst::parse::launch_full(&line, Some(&mut context), gst::ParseFlags::FATAL_ERRORS);
        let element = built.map_err(|error| match context.missing_elements().first() {
            Some(element) => CameraError::MissingElement {
                element: element.clone(),
                remedy: packages::remedy(element),
            },
            None => wrong(error.message()),
        })?;
        let pipeline =
            element.downcast::<gst::Pipeline>().map_err(|_element| wrong("it is one element"))?;
        let sink = pipeline.by_name(FRAMES).and_then(|sink| sink.downcast::<AppSink>().ok());
        let tail = pipeline.by_name(TAIL).and_then(|identity| identity.static_pad("src"));
        let (Some(sink), Some(tail)) = (sink, tail) else {
            return Err(wrong("its ends are not there"));
        };
        wait_for_key_pictures(&pipeline);
        Ok(Self { elements: pipeline, sink, tail })
    }

    /// The element of that name.
    pub(super) fn element<T: IsA<gst::Element>>(&self, name: &str) -> Option<T> {
        self.elements.by_name(name).and_then(|element| element.downcast::<T>().ok())
    }

    /// Where its messages come out.
    pub(super) fn bus(&self) -> Option<gst::Bus> {
        self.elements.bus()
    }

    /// How long a frame lasts at the rate that was negotiated; `None` where frames come as they like.
    pub(super) fn frame_duration(&self) -> Option<gst::ClockTime> {
        frame_duration(&*self.tail.current_caps()?)
    }

    /// Lets it play; why it does not is told by the bus, if anywhere.
    pub(super) fn play(&self) -> Result<(), CameraError> {
        match self.elements.set_state(gst::State::Playing) {
            Ok(_) => Ok(()),
            Err(_state_change) => Err(self.pending_error()),
        }
    }

    /// Ends all its threads; it can play again.
    pub(super) fn rest(&self) {
        // Going to NULL cannot fail; GStreamer says that it never does.
        let _always = self.elements.set_state(gst::State::Null);
    }

    /// Ends it for good.
    pub(super) fn end(&self) {
        self.rest();
        // The callbacks hold the channel: with them it closes.
        self.sink.set_callbacks(gstreamer_app::AppSinkCallbacks::builder().build());
    }

    /// The error that it has posted, if there is one.
    pub(super) fn failure(&self) -> Option<CameraError> {
        let message = self.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
        message.as_ref().and_then(failure)
    }

    fn pending_error(&self) -> CameraError {
        self.failure().unwrap_or_else(|| CameraError::Pipeline {
            element: "pipeline".into(),
            message: "it does not play".into(),
            debug: String::new(),
            remedy: None,
        })
    }
}

/// How long a frame of that format lasts; `None` where frames come as they like.
pub(super) fn frame_duration(caps: &gst::CapsRef) -> Option<gst::ClockTime> {
    let rate = caps.structure(0)?.get::<gst::Fraction>("framerate").ok()?;
    let (frames, seconds) = (u64::try_from(rate.numer()).ok()?, u64::try_from(rate.denom()).ok()?);
    // 0/1 is GStreamer's word for a rate that varies.
    if frames == 0 { None } else { gst::ClockTime::SECOND.mul_div_round(seconds, frames) }
}

/// After a lost packet a decoder fills in what is missing, and says nothing: what looks like a part then is half an
/// older one. The depayloader is told to give nothing until the next whole picture, which is then counted as lost.
fn wait_for_key_pictures(pipeline: &gst::Pipeline) {
    // GStreamer 1.20 and later, H.264 and H.265.
    const WAIT: &str = "wait-for-keyframe";
    let tell = |element: &gst::Element| {
        if element.find_property(WAIT).is_some() {
            element.set_property(WAIT, true);
        }
    };
    pipeline.iterate_recurse().into_iter().flatten().for_each(|element| tell(&element));
    pipeline.connect_deep_element_added(move |_pipeline, _bin, element| tell(element));
}

/// What an error message says to a person.
pub(super) fn failure(message: &gst::Message) -> Option<CameraError> {
    let gst::MessageView::Error(error) = message.view() else { return None };
    let source = error.src().and_then(|source| source.downcast_ref::<gst::Element>());
    let element = source.and_then(ElementExt::factory).map(|factory| factory.name());
    // The details begin with a place in GStreamer's source and end with what people understand.
    let debug = error.debug().unwrap_or_default();
    let debug = debug.lines().last().unwrap_or_default().trim();
    let debug = if debug.contains(".c(") { "" } else { debug };
    let message = error.error().message().trim_end_matches('.').replace('\n', " ");
    Some(CameraError::Pipeline {
        element: element.map_or_else(|| "pipeline".into(), |name| name.to_string()),
        message: secret::masked(&message),
        debug: secret::masked(debug.trim_end_matches('.')),
        remedy: None,
    })
}

/// What a missing plug-in's message says to a person.
pub(super) fn missing_plugin(message: &gst::Message) -> Option<CameraError> {
    let gst::MessageView::Element(element) = message.view() else { return None };
    let structure = element.structure().filter(|s| s.name() == "missing-plugin")?;
    let what = structure.get::<String>("name").unwrap_or_else(|_| "plug-in for this stream".into());
    Some(CameraError::MissingPlugin { what })
}

/// Wakes up whoever reads a pipeline's messages.
pub(super) fn wake(bus: &gst::Bus) {
    let message = gst::message::Application::new(gst::Structure::new_empty(STOP));
    // A bus that flushes belongs to a pipeline that has ended.
    let _ended = bus.post(message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_varies_has_no_duration() {
        init().unwrap();
        let check = |rate: (i32, i32), expected| {
            let caps = gst::Caps::builder("video/x-raw")
                .field("framerate", gst::Fraction::new(rate.0, rate.1))
                .build();
            assert_eq!(frame_duration(&caps).map(gst::ClockTime::mseconds), expected, "{rate:?}");
        };
        check((25, 1), Some(40));
        check((1, 2), Some(2000));
        check((0, 1), None);
    }
}

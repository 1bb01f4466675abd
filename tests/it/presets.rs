//! Every preset: played where its source is here, parsed with stand-ins where it is not, failing as documented.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bundle::geometry::Size;
use gstreamer::{self as gst, glib, prelude::*, subclass::prelude::*};
use sightline::{
    camera::{
        CameraEvent, CameraOptions, Platform, Preset, View, preset,
        view::{Area, Turn},
    },
    channel::Overflow,
    frame::Picture,
};

use crate::{
    rtsp,
    support::{self, Scratch, stderr},
};

const INPUT: Size = Size { width: 64, height: 48 };

fn options(preset: Preset, parameters: &[(&str, &str)]) -> CameraOptions {
    let parameters: BTreeMap<String, String> =
        parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    CameraOptions {
        preset,
        parameters,
        view: View::default(),
        trigger: None,
        plc: None,
        scale_to: Some(INPUT),
        keep_full: false,
        overflow: Overflow::Latest,
        queue_len: 2,
        realtime: true,
        repeat: false,
        first_frame_within: Duration::from_mins(2),
        reconnect: None,
    }
}

fn find(name: &str) -> Preset {
    Preset::find(name, Platform::Any).unwrap()
}

#[test]
fn rtsp_is_played_and_stopped() {
    let location = format!("rtsp://127.0.0.1:{}/line", rtsp::serve_beside());
    let camera =
        support::camera("top", &options(find("rtsp"), &[("location", &location)])).unwrap();
    let (frames, account) = (camera.frames().clone(), Arc::clone(camera.account()));
    let (event, events) = crossbeam_channel::bounded(1);
    let playing = camera.play(event).unwrap();
    let mut seen = 0;
    for frame in frames.iter().take(10) {
        let Picture::Pixels(pixels) = &frame.picture else { panic!("{frame:?}") };
        assert_eq!(pixels.view().size(), INPUT);
        seen += 1;
    }
    playing.stop();
    let waiting = frames.iter().count() as u64;
    assert!(playing.join());
    assert!(matches!(events.recv().unwrap(), CameraEvent::Ended(_)));
    assert_eq!(seen, 10);
    let balance = account.balance();
    assert_eq!(balance.captured, 10 + waiting + balance.dropped_total(), "{balance}");
    assert_eq!(balance.lost_upstream, 0, "over TCP nothing is lost");
}

#[test]
fn a_network_camera_may_change_its_size_in_mid_stream() {
    let location = format!("rtsp://127.0.0.1:{}/changing", rtsp::serve_beside());
    let view = View { turn: Turn::None, region: Some(Area::new(0.5, 0.0, 0.5, 1.0).unwrap()) };
    let options = CameraOptions {
        scale_to: None,
        view,
        overflow: Overflow::Every,
        ..options(find("rtsp"), &[("location", &location)])
    };
    let camera = support::camera("top", &options).unwrap();
    let frames = camera.frames().clone();
    let (event, events) = crossbeam_channel::bounded(1);
    let playing = camera.play(event).unwrap();
    let mut sizes = Vec::new();
    for frame in frames.iter().take(60) {
        let Picture::Pixels(pixels) = &frame.picture else { panic!("{frame:?}") };
        sizes.push(pixels.view().size());
    }
    assert!(playing.end(&frames));
    assert!(matches!(events.recv().unwrap(), CameraEvent::Ended(_)));
    assert_eq!(sizes.len(), 60);
    sizes.dedup();
    let expected = [Size { width: 160, height: 240 }, Size { width: 80, height: 120 }];
    assert_eq!(sizes, expected);
}

#[test]
fn what_the_network_loses_is_told_in_frames() {
    let location = format!("rtsp://127.0.0.1:{}/lossy", rtsp::serve_beside());
    // None is taken out here: those that came are those that were captured.
    let options = CameraOptions {
        overflow: Overflow::Every,
        ..options(find("rtsp"), &[("location", &location)])
    };
    let camera = support::camera("top", &options).unwrap();
    let (frames, account) = (camera.frames().clone(), Arc::clone(camera.account()));
    let (event, _events) = crossbeam_channel::bounded(1);
    let playing = camera.play(event).unwrap();
    let began = std::time::Instant::now();
    // In frames.
    let mut times = Vec::new();
    // Until losses are told, however slow the machine is.
    for frame in &frames {
        times.push(frame.stamp.pts.unwrap().as_secs_f64() * 25.0);
        if times.len() > 100 && account.balance().lost_upstream >= 15 {
            break;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{}", account.balance());
    }
    playing.stop();
    times.extend(frames.iter().map(|frame| frame.stamp.pts.unwrap().as_secs_f64() * 25.0));
    assert!(playing.join());
    let balance = account.balance();
    let streamed = times[times.len() - 1] - times[0] + 1.0;
    let told = (balance.captured + balance.lost_upstream) as f64;
    // Without the rest of a picture, none is shown until the next whole one: of ten, some come early and some late.
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]);
    let longest = longest.fold(0.0, f64::max);
    assert!(longest > 3.5, "no gap is longer than {longest} frames");
    // Nothing that is missing is hidden; what is lost after the last frame may be told as well.
    assert!(told + 2.0 >= streamed, "{streamed} frames were sent: {balance}");
}

/// What a camera that cannot play says.
fn failure(options: &CameraOptions) -> String {
    let camera = support::camera("top", options).unwrap();
    let frames = camera.frames().clone();
    let (event, events) = crossbeam_channel::bounded(1);
    let playing = camera.play(event).unwrap();
    assert_eq!(frames.iter().count(), 0);
    assert!(playing.join());
    let event = events.recv().unwrap();
    let CameraEvent::Failed(_, error) = event else { panic!("{event:?} is no failure") };
    error.to_string()
}

#[test]
fn a_network_camera_that_is_not_there_is_a_failure_with_its_reason() {
    // Nothing listens on port 1.
    let told = failure(&options(find("rtsp"), &[("location", "rtsp://127.0.0.1:1/line")]));
    assert!(told.starts_with("rtspsrc: "), "{told}");
    assert!(told.contains("does rtsp://127.0.0.1:1/line answer"), "{told}");
}

#[test]
fn a_usb_camera_that_is_not_there_is_a_failure_that_names_its_device() {
    let told = failure(&options(find("usb"), &[("device", "/dev/video99")]));
    assert!(told.starts_with("v4l2src: "), "{told}");
    assert!(told.contains("is /dev/video99 plugged in, may this user read it"), "{told}");
}

#[test]
fn a_source_that_gives_nothing_is_found_out() {
    // An appsrc that nobody feeds is what a camera that hangs looks like.
    let scratch = Scratch::new();
    scratch.write("silent.toml", "description = \"Silent\"\nlive = true\nlaunch = \"appsrc caps=video/x-raw,format=RGB,width=8,height=8,framerate=1/1\"\n");
    let preset =
        Preset::find(scratch.path("silent.toml").to_str().unwrap(), Platform::Any).unwrap();
    let options =
        CameraOptions { first_frame_within: Duration::from_millis(300), ..options(preset, &[]) };
    let told = failure(&options);
    assert!(told.starts_with("no frame within 0 s"), "{told}");
}

/// Elements under the names, and with the properties, of those that only a Jetson or Aravis has.
mod stand_in {
    use super::*;
    use super::{OnceLock, glib, gst};

    fn template(name: &str, direction: gst::PadDirection) -> gst::PadTemplate {
        let any = gst::Caps::new_any();
        gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &any).unwrap()
    }

    macro_rules! stand_in {
        ($module:ident, $name:literal, sink: $sink:expr, properties: $properties:expr) => {
            pub mod $module {
                use super::*;

                #[derive(Default)]
                pub struct Imp;

                #[glib::object_subclass]
                impl ObjectSubclass for Imp {
                    const NAME: &'static str = concat!("StandIn_", $name);
                    type Type = StandIn;
                    type ParentType = gst::Element;
                }

                impl ObjectImpl for Imp {
                    fn properties() -> &'static [glib::ParamSpec] {
                        static PROPERTIES: OnceLock<Vec<glib::ParamSpec>> = OnceLock::new();
                        PROPERTIES.get_or_init(|| $properties)
                    }

                    fn set_property(&self, _: usize, _: &glib::Value, _: &glib::ParamSpec) {}

                    fn constructed(&self) {
                        self.parent_constructed();
                        for template in Self::pad_templates() {
                            self.obj().add_pad(&gst::Pad::from_template(template)).unwrap();
                        }
                    }
                }

                impl GstObjectImpl for Imp {}

                impl ElementImpl for Imp {
                    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
                        static METADATA: OnceLock<gst::subclass::ElementMetadata> = OnceLock::new();
                        Some(METADATA.get_or_init(|| {
                            gst::subclass::ElementMetadata::new(
                                $name,
                                "Test",
                                "Stands in",
                                "Sightline",
                            )
                        }))
                    }

                    fn pad_templates() -> &'static [gst::PadTemplate] {
                        static TEMPLATES: OnceLock<Vec<gst::PadTemplate>> = OnceLock::new();
                        TEMPLATES.get_or_init(|| {
                            let sink = $sink.then(|| template("sink", gst::PadDirection::Sink));
                            sink.into_iter()
                                .chain([template("src", gst::PadDirection::Src)])
                                .collect()
                        })
                    }
                }

                glib::wrapper! {
                    pub struct StandIn(ObjectSubclass<Imp>) @extends gst::Element, gst::Object;
                }

                pub fn register() {
                    gst::Element::register(None, $name, gst::Rank::NONE, StandIn::static_type())
                        .unwrap();
                }
            }
        };
    }

    fn int(name: &str) -> glib::ParamSpec {
        glib::ParamSpecInt::builder(name).write_only().build()
    }

    fn double(name: &str) -> glib::ParamSpec {
        glib::ParamSpecDouble::builder(name).minimum(-1.0).write_only().build()
    }

    fn text(name: &str) -> glib::ParamSpec {
        glib::ParamSpecString::builder(name).write_only().build()
    }

    stand_in!(argus, "nvarguscamerasrc", sink: false, properties: vec![int("sensor-id")]);
    stand_in!(converter, "nvvidconv", sink: true, properties: vec![int("interpolation-method")]);
    stand_in!(decoder, "nvv4l2decoder", sink: true, properties: vec![]);
    stand_in!(aravis, "aravissrc", sink: false,
        properties: vec![text("camera-name"), double("exposure"), double("gain")]);
}

/// Registers them, once in this process.
pub fn register_stand_ins() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        stand_in::argus::register();
        stand_in::converter::register();
        stand_in::decoder::register();
        stand_in::aravis::register();
    });
}

#[test]
fn every_preset_is_a_pipeline_with_the_real_elements_properties() {
    register_stand_ins();
    let scratch = Scratch::new();
    scratch.write("belt.webm", "parsed, not played");
    let location = scratch.path("belt.webm").display().to_string();
    let mut names = Vec::new();
    for (name, preset) in Preset::built_in() {
        names.push(name);
        let parameters: &[(&str, &str)] = match name {
            "files" => &[("location", &location)],
            "rtsp" => &[("location", "rtsp://192.0.2.1/stream")],
            "gige" => &[("camera", "Basler-acA1920 (40123456)")],
            _ => &[],
        };
        let region = Some(Area::new(0.25, 0.0, 0.5, 1.0).unwrap());
        for (scale_to, view) in [
            (Some(INPUT), View::default()),
            (None, View::default()),
            (Some(INPUT), View { turn: Turn::Right, region }),
            (None, View { turn: Turn::Half, region: None }),
        ] {
            let options =
                CameraOptions { scale_to, view, ..options(preset.clone().unwrap(), parameters) };
            if let Err(error) = support::camera("top", &options) {
                panic!("{name}, {scale_to:?}, {view}: {error}");
            }
        }
    }
    names.dedup();
    assert_eq!(names, preset::names());
}

#[test]
fn an_element_that_is_missing_is_named_with_where_it_comes_from() {
    let scratch = Scratch::new();
    let config = |preset: &str, more: &str| {
        format!(
            "[model]\npath = \"model.onnx\"\n[judge]\nfalse_reject_rate = 0.02\n\
             [[camera]]\nname = \"top\"\npreset = \"{preset}\"\n{more}"
        )
    };
    scratch.write("csi.toml", config("csi", ""));
    scratch.write("gige.toml", config("gige", "parameters = { camera = \"x\" }\n"));
    for (file, words) in
        [("csi.toml", ["nvarguscamerasrc", "JetPack"]), ("gige.toml", ["aravissrc", "Aravis"])]
    {
        for command in ["run", "check"] {
            let output = scratch.run(&[command, file]);
            let told = stderr(&output);
            assert_eq!(output.status.code(), Some(6), "{command} {file}: {told}");
            for word in words {
                assert!(told.contains(word), "{command} {file}: {told}");
            }
        }
    }
}

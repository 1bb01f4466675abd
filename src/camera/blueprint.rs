//! From a camera's options to pipelines: one at the start, and a new one whenever the old one is lost.
//!
//! Owns what both have in common. Its sources are as stable as what names them: a device by its serial number is looked
//! up anew each time, for replugging changes the device's name.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use gstreamer_app::AppSrc;

use super::{
    CameraError, CameraOptions, Location,
    capture::{self, Capture},
    crop,
    pipeline::{self, Pipeline},
    serial,
    stills::{self, Feed, Notes},
};

/// Everything that a pipeline is made of.
#[derive(Clone, Debug)]
pub(super) struct Blueprint {
    options: CameraOptions,
}

/// A pipeline whose sink gives frames to a capture.
pub(super) struct Built {
    pub(super) pipeline: Pipeline,
    /// Feeds it, where its source is stills.
    pub(super) feed: Option<Feed>,
    /// What the preset says when it fails.
    pub(super) remedy: Option<String>,
}

impl Blueprint {
    pub(super) fn new(options: &CameraOptions) -> Self {
        Self { options: options.clone() }
    }

    /// Builds the first pipeline. A live camera that is not plugged in yet is lost like any other: what its device is
    /// called is asked again when the pipeline is built anew.
    pub(super) fn first(&self, capture: &Arc<Mutex<Capture>>) -> Result<Built, CameraError> {
        let options = &self.options;
        match self.parameters() {
            Err(_not_there) if options.preset.live && options.reconnect.is_some() => {
                self.build(&options.parameters, capture)
            }
            parameters => self.build(&parameters?, capture),
        }
    }

    /// Builds a new one.
    pub(super) fn again(&self, capture: &Arc<Mutex<Capture>>) -> Result<Built, CameraError> {
        self.build(&self.parameters()?, capture)
    }

    /// The preset's parameters with the devices that stable names stand for now.
    fn parameters(&self) -> Result<BTreeMap<String, String>, CameraError> {
        let mut parameters = self.options.parameters.clone();
        for value in parameters.values_mut() {
            if let Some(device) = serial::device(value)? {
                *value = device;
            }
        }
        Ok(parameters)
    }

    /// `capture` is given the stills' notes, if there are any, and hung into the pipeline.
    fn build(
        &self,
        parameters: &BTreeMap<String, String>,
        capture: &Arc<Mutex<Capture>>,
    ) -> Result<Built, CameraError> {
        pipeline::init()?;
        let options = &self.options;
        let filled = options.preset.with(parameters)?;
        let stills = match (filled.stills(), filled.value("location")) {
            (Some(line), Some(location)) => match stills::locate(location)? {
                Location::Stills(paths) => Some((line?, paths)),
                Location::Video => None,
            },
            _ => None,
        };
        let tail = filled.tail(options.scale_to)?;
        let paced = options.realtime && !options.preset.live;
        let source = match &stills {
            Some((line, _)) => line.clone(),
            None => filled.source()?,
        };
        let source = match crop::line(&options.view, filled.download()?.as_deref()) {
            Some(view) => format!("{source} ! {view}"),
            None => source,
        };
        let pipeline = Pipeline::build(&source, &tail, paced)?;
        crop::follow(&pipeline, &options.view);
        let notes = Notes::default();
        let feed = match stills {
            Some((_, paths)) => Some(Feed {
                source: pipeline.element::<AppSrc>("stills").ok_or_else(|| {
                    CameraError::Launch { cause: "it has no appsrc named stills".into() }
                })?,
                paths,
                per_second: rate(filled.value("rate"))?,
                repeat: options.repeat,
                notes: notes.clone(),
            }),
            None => None,
        };
        let full = options.keep_full.then(|| capture::remember_full(&pipeline.tail));
        if feed.is_some() {
            capture.lock().unwrap_or_else(std::sync::PoisonError::into_inner).notes = Some(notes);
        }
        capture::hang_into(capture, &pipeline.sink, full);
        Ok(Built { pipeline, feed, remedy: filled.remedy() })
    }
}

/// Images per second: a quarter of an hour for each, to more than can be decoded. Time has to fit in its nanoseconds.
const RATES: std::ops::RangeInclusive<f64> = 0.001..=1000.0;

fn rate(given: Option<&str>) -> Result<f64, CameraError> {
    let text = given.unwrap_or("10");
    let rate = text.parse().ok().filter(|rate: &f64| RATES.contains(rate));
    rate.ok_or_else(|| CameraError::Parameter {
        name: "rate",
        value: text.into(),
        expected: "it must be a number from 0.001 to 1000",
    })
}

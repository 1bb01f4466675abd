//! `sightline check`: says whether a configuration, its model and its pipelines hold together.
//!
//! Owns the list of checks and the tolerance of a preset's scaler. Each check is a line; all of them are made,
//! and the exit code is that of the first that failed.

use std::{path::PathBuf, sync::Arc};

use bundle::geometry::{Geometry, RgbImage, Size};

use super::{Global, access, cameras, load, mqtt, plc, print};
use crate::{
    camera::{Camera, CameraEvent, CameraOptions, View, tail},
    clock::{Clock as _, SystemClock},
    config::{CameraSettings, Settings},
    fault::{Class, Fault, OrFault as _},
    frame::Picture,
    judge::{Judge, Recipe},
    state::Board,
};

/// How far the pipeline's scaler may be from the trainer's: the mean difference of a channel, in grey levels of 255.
/// `videoscale method=bilinear2` is 0.02 away; its default (1.81) and swapped channels are beyond it. Known pictures
/// are RGB: what a camera's own colours become is not seen here.
const SCALER_TOLERANCE: f64 = 1.0;
/// Known pictures are enlarged so much across and down, and the pipeline scales them down again. Not alike, so that
/// a scaler which keeps the shape of a frame is found out.
const ENLARGED: [u32; 2] = [3, 2];
/// A few say as much as all.
const PICTURES: usize = 3;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file; without one, the demo line.
    #[arg(value_name = "CONFIG")]
    config: Option<PathBuf>,

    /// Also plays each camera until its first frame.
    #[arg(long)]
    play: bool,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<()> {
    let mut checks = Checks::default();
    let settings = match &arguments.config {
        Some(path) => cameras::read(path)?,
        None => cameras::demo()?,
    };
    checks.tell("configuration", Ok(format!("{} camera(s)", settings.cameras.len())))?;
    if let Some(http) = &settings.http {
        checks.tell("access", access::checked(http, std::time::SystemTime::now()))?;
    }
    if let Some(settings_of) = &settings.mqtt {
        let has_ledger = cameras::ledger_path(&settings.ledger).is_some();
        checks.tell("mqtt", mqtt::checked(settings_of, has_ledger))?;
    }
    let model = load::Model::read(&settings.model);
    if let Ok(model) = &model {
        checks.tell("calibration", Ok(calibrated(model)))?;
        judges(&mut checks, &settings, model)?;
        checks.tell("engine", engine(model, &settings, global))?;
        if let Some(checked) = plc::checked(&settings, model) {
            checks.tell("plc", checked)?;
        }
    }
    let known = model.as_ref().ok().map(known_pictures);
    checks.tell("model", model.map(|model| describe(&model)))?;
    for camera in &settings.cameras {
        let name = format!("camera {}", camera.name);
        checks.tell(&name, pipeline(camera, known.as_ref()))?;
        if arguments.play {
            checks.tell(&name, play(camera, known.as_ref()))?;
        }
    }
    checks.close()
}

fn describe(model: &load::Model) -> String {
    let document = &model.file.document;
    format!(
        "{}: {} {}, {} products, input {}",
        model.path.display(),
        document.model.name,
        document.model.version,
        document.classes.len(),
        document.geometry.input
    )
}

/// Where each product's calibration comes from, and the lowest rate that it supports.
fn calibrated(model: &load::Model) -> String {
    let products = model.products.iter().map(|product| match &product.calibration {
        Some(calibration) => format!(
            "{} from {:.4} % ({} frames)",
            product.name,
            calibration.smallest_rate() * 100.0,
            calibration.count()
        ),
        None => format!("{} none", product.name),
    });
    let products: Vec<_> = products.collect();
    let file = model.calibration.as_ref().map_or("the model's own".into(), |path| {
        format!("{} over the model's own", path.display())
    });
    format!("{file}; false-reject rates: {}", products.join(", "))
}

fn judges(checks: &mut Checks, settings: &Settings, model: &load::Model) -> anyhow::Result<()> {
    for camera in &settings.cameras {
        let own = camera.recipe.is_none().then_some(None);
        // What may be chosen while the line runs must hold as well.
        for name in own.into_iter().chain(camera.recipes.iter().map(Some)) {
            let by = name.map_or(String::new(), |name| format!(" by recipe {name}"));
            let what = format!("judge of camera {}{by}", camera.name);
            let recipe = match cameras::recipe(settings, camera, name.map(String::as_str)) {
                Ok(recipe) => recipe,
                Err(fault) => {
                    checks.tell(&what, Err(fault))?;
                    continue;
                }
            };
            checks.tell(&what, model.judge(&recipe).map(|judge| rated(&judge, &recipe)))?;
            for told in wanted(&recipe) {
                checks.tell(&what, Ok(told))?;
            }
        }
    }
    Ok(())
}

/// What a recipe wants beside a rate.
fn wanted(recipe: &Recipe) -> Vec<String> {
    let Recipe { attention, part, .. } = recipe;
    let mut told = Vec::new();
    if attention.ignores_anything() {
        let percent = attention.ignored_share() * 100.0;
        told.push(format!("{percent:.1} % of the frame are ignored"));
    }
    if attention.area_min_px > 1 {
        let pixels = attention.area_min_px;
        told.push(format!("a defect counts from {pixels} pixels of the model's input on"));
    }
    if let Some(part) = part {
        let rate = part.reject_rate_bound(recipe.rate.get()) * 100.0;
        told.push(format!(
            "a part has {} frames within {} ms and is refused with {} of them: at most {rate} % of good parts are",
            part.frames,
            part.within.as_millis(),
            part.fails
        ));
    }
    told
}

fn rated(judge: &Judge, recipe: &Recipe) -> String {
    let percent = recipe.rate.get() * 100.0;
    let own: Vec<_> = recipe
        .rates
        .iter()
        .map(|(product, rate)| format!("{product} {} %", rate.get() * 100.0))
        .collect();
    let own = if own.is_empty() { String::new() } else { format!(" ({})", own.join(", ")) };
    let which = recipe.expected.as_ref().map_or("every product".into(), |expected| {
        expected.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    });
    let unrated: Vec<_> = judge.unrated_products().collect();
    if unrated.is_empty() {
        return format!(
            "the calibration of {which} supports a false-reject rate of {percent} %{own}"
        );
    }
    format!("a false-reject rate of {percent} %{own} is not promised for {}", unrated.join(", "))
}

fn engine(model: &load::Model, settings: &Settings, global: &Global) -> Result<String, Fault> {
    let runtime = load::runtime(global, &settings.engine)?;
    let built = model.engine(&runtime, &settings.engine, &load::Building::default())?;
    let agreed = built.engine.deviation();
    let refused: Vec<_> =
        built.refused.iter().map(|refused| format!("; {} is not used", refused.attempt)).collect();
    Ok(format!(
        "ONNX Runtime {} ({}), {}: {} golden frames agree, score within {:.1e}, map within {:.1e}{}",
        runtime.version(),
        runtime.library().display(),
        built.attempt,
        agreed.frames,
        agreed.score,
        agreed.map,
        refused.concat()
    ))
}

/// The pipeline, on an account that ends with the check.
fn open(settings: &CameraSettings, options: &CameraOptions) -> Result<Camera, Fault> {
    let clock = SystemClock::start();
    let account = Arc::new(cameras::unrecorded(settings, clock.wall()));
    Camera::open(options, account, Arc::new(Board::new(1)), Arc::new(clock))
        .map_err(|error| cameras::failed(&settings.name, &error))
}

/// Pictures whose scaling is known, and the geometry that says how.
struct Known {
    geometry: Geometry,
    pictures: Vec<RgbImage>,
}

/// The model's golden frames are pictures of real parts.
fn known_pictures(model: &load::Model) -> Known {
    let document = &model.file.document;
    let golden = document.golden.iter().filter_map(|golden| golden.decode().ok());
    Known { geometry: document.geometry.clone(), pictures: golden.take(PICTURES).collect() }
}

fn pipeline(camera: &CameraSettings, known: Option<&Known>) -> Result<String, Fault> {
    let failed = |error| cameras::failed(&camera.name, &error);
    let scale_to = known.and_then(|known| camera.scaling.pipeline_size(&known.geometry));
    let options = cameras::options(camera, scale_to)?;
    open(camera, &options)?;
    let description = options.preset.description.clone();
    let (Some(known), Some(size)) = (known, scale_to) else {
        return Ok(format!("{description}: the pipeline can be built; frames are fitted exactly"));
    };
    let mut own_size: f64 = 0.0;
    let mut worst: f64 = 0.0;
    for picture in &known.pictures {
        own_size = own_size.max(distance(&options, picture, picture, size).map_err(failed)?);
        let enlarged = enlarge(picture);
        let wanted = known.geometry.input_from_frame(&enlarged.view()).or_fault(Class::Model)?;
        for wanted in &wanted {
            worst = worst.max(distance(&options, &enlarged, wanted, size).map_err(failed)?);
        }
    }
    let told = format!(
        "{description}: {} known pictures through the pipeline's scaler differ from the trainer's by {own_size:.2} grey \
         levels in the model's size and {worst:.2} at {} x {} times that (tolerance 0 and {SCALER_TOLERANCE})",
        known.pictures.len(),
        ENLARGED[0],
        ENLARGED[1]
    );
    if own_size == 0.0 && worst <= SCALER_TOLERANCE {
        return Ok(told);
    }
    let remedy = "set scaling = \"exact\", or correct the preset's scaler";
    Err(Fault::new(Class::Camera, format!("camera {}: {told}; {remedy}", camera.name)))
}

/// The mean difference of a channel, after the preset's tail.
fn distance(
    options: &CameraOptions,
    picture: &RgbImage,
    wanted: &RgbImage,
    size: Size,
) -> Result<f64, crate::camera::CameraError> {
    let scaled = tail::scaled(&options.preset.with(&options.parameters)?, picture, size)?;
    let sum: u64 = std::iter::zip(&scaled.pixels, &wanted.pixels)
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum();
    Ok(sum as f64 / wanted.pixels.len().max(1) as f64)
}

/// Each pixel as a block of pixels, which no scaler can tell from a sharper picture.
fn enlarge(picture: &RgbImage) -> RgbImage {
    let [across, down] = ENLARGED;
    let Size { width, height } = picture.size;
    let size = Size { width: width * across, height: height * down };
    let view = picture.view();
    let mut pixels = Vec::with_capacity(picture.pixels.len() * (across * down) as usize);
    for y in 0..size.height {
        for pixel in view.row(y / down).chunks(3) {
            for _ in 0..across {
                pixels.extend_from_slice(pixel);
            }
        }
    }
    RgbImage { size, pixels }
}

/// Plays the pipeline that `run` would play, until the first frame.
fn play(camera: &CameraSettings, known: Option<&Known>) -> Result<String, Fault> {
    let failed = |error| cameras::failed(&camera.name, &error);
    let thread = |error: std::io::Error| {
        Fault::new(Class::Camera, format!("a thread cannot be started: {error}"))
    };
    let scale_to = known.and_then(|known| camera.scaling.pipeline_size(&known.geometry));
    // The first frame, whatever it shows, and what it was scaled from.
    let keep_full = scale_to.is_some();
    let options = CameraOptions { trigger: None, keep_full, ..cameras::options(camera, scale_to)? };
    let view = options.view;
    let camera = open(camera, &options)?;
    let frames = camera.frames().clone();
    let (event, events) = crossbeam_channel::bounded(1);
    let playing = camera.play(event).map_err(thread)?;
    // A camera that is silent fails by itself, and its channel closes.
    let first = frames.recv().map(|frame| match frame.picture {
        Picture::Pixels(pixels) => {
            let size = pixels.view().size();
            let full = frame.full.and_then(|full| Some(full.to_rgb().ok()?.size));
            let full = full.map_or(String::new(), |full| format!(", scaled from {full}"));
            let is_changed = view != View::default();
            let view = if is_changed { format!("; {view}") } else { String::new() };
            Ok(format!("plays: the first frame has {size} pixels{full}{view}"))
        }
        Picture::Unreadable(reason) => {
            let line = format!("the first frame cannot be decoded: {reason}");
            Err(Fault::new(Class::Data, line))
        }
    });
    if !playing.end(&frames) {
        return Err(Fault::new(Class::Bug, "the camera's thread panicked; please report it"));
    }
    match (first, events.try_recv()) {
        (Ok(first), _) => first,
        (Err(_), Ok(CameraEvent::Failed(_, error))) => Err(failed(error)),
        // A check reconnects to nothing: there are no losses and returns.
        (Err(_), Ok(other)) => {
            let line = format!("camera {}: it ended without a frame", other.camera());
            Err(Fault::new(Class::Camera, line))
        }
        (Err(_), Err(_)) => Err(Fault::new(Class::Bug, "the camera's thread said nothing")),
    }
}

/// Tells each check as it is made, and remembers the first that failed.
#[derive(Default)]
struct Checks {
    failed: Option<Fault>,
}

impl Checks {
    fn tell(&mut self, what: &str, outcome: Result<String, Fault>) -> Result<(), Fault> {
        match outcome {
            Ok(text) => print::line(&format!("ok      {what}: {text}")),
            Err(fault) => {
                // A camera's failure begins with its name, a model's with its path.
                let told = fault.to_string();
                let told = told.strip_prefix(&format!("{what}: ")).unwrap_or(&told);
                print::line(&format!("FAILED  {what}: {told}"))?;
                self.failed.get_or_insert(fault);
                Ok(())
            }
        }
    }

    fn close(self) -> anyhow::Result<()> {
        match self.failed {
            None => Ok(()),
            Some(fault) => Err(fault.into()),
        }
    }
}

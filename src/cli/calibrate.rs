//! `sightline calibrate`: measures good parts through the pipeline and the engine that will judge them, and writes the
//! site's calibration file.
//!
//! Owns where frames come from, the bar, and what a person is told; the rules are `calibration`'s. Nothing is written
//! unless all of it can be.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bundle::{
    calibration::{Calibration, RejectRate},
    calibration_file::{CalibrationFile, ForReview, Put, Quantiles},
    geometry::{Map, RgbView},
};
use crossbeam_channel::{Receiver, select};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    Global, cameras, load,
    loading::{self, Patience},
    print,
    recipes::Recipes,
};
use crate::{
    calibration::{
        collection::{Beside, Collection, Shown},
        desk::Basis,
        gallery::{self, Gallery},
        site::{Aim, Site, Support, Told, Written, review_folder},
    },
    camera::{Camera, CameraEvent},
    channel::Overflow,
    clock::{Clock, SystemClock},
    config::{CameraSettings, Settings},
    engine::Inference,
    fault::{Class, Fault, OrFault as _, one_line},
    frame::{Frame, Picture},
    images,
    inspector::{InspectError, Inspector},
    judge::{Evidence, Recipe, Unrated, appearance::Appearance},
    preprocess::Inputs,
    service::Manager,
    shutdown::{self, StopRequested},
    state::Board,
};

/// So many frames in a row that the engine fails for are no accident.
const ENGINE_FAILURES: u32 = 10;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// The configuration file of the line.
    #[arg(value_name = "CONFIG", required = true)]
    config: Option<PathBuf>,

    /// The product that passes the camera; only good parts of it may.
    #[arg(long, value_name = "NAME", required = true)]
    product: Option<String>,

    /// Which of the configuration's cameras; the first by default.
    #[arg(long, value_name = "NAME")]
    camera: Option<String>,

    /// Measures images and folders of good parts, as `capture` records them, instead of playing the camera.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    images: Vec<PathBuf>,

    /// Good parts to collect; as many as the configured false-reject rate needs, or all images, by default.
    #[arg(long, value_name = "N")]
    count: Option<usize>,

    /// Takes one frame of so many, so that each is another part.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,

    /// Frames to let pass before the first one that is taken.
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: u64,

    /// Adds to the product's calibration in the file, instead of taking its place.
    #[arg(long)]
    append: bool,

    /// The calibration file; the configuration's, or the one beside the model, by default.
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,

    #[command(flatten)]
    all_the_same: AllTheSame,

    /// Files play as fast as they can be measured.
    #[arg(long)]
    fast: bool,
}

/// What is written although it is not what was asked for.
#[derive(Debug, clap::Args)]
struct AllTheSame {
    /// Writes what there is when the camera ends or the command is stopped before all are collected.
    #[arg(long)]
    keep_partial: bool,

    /// Writes a calibration that is too small for the configured false-reject rate.
    #[arg(long)]
    allow_unrated: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Take frames that a person has looked at out of a calibration; their number stays in it.
    Exclude(ExcludeArguments),
    /// Say what is in a calibration file, and which rates it supports.
    Show(ShowArguments),
}

#[derive(Debug, clap::Args)]
struct ExcludeArguments {
    /// The calibration file.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The product.
    #[arg(long, value_name = "NAME")]
    product: String,

    /// The numbers of the frames.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<usize>,
}

#[derive(Debug, clap::Args)]
struct ShowArguments {
    /// The calibration file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<()> {
    match &arguments.command {
        Some(Command::Exclude(arguments)) => exclude(arguments),
        Some(Command::Show(arguments)) => show(arguments),
        None => collect(arguments, global),
    }
}

/// What a running line's collection starts from; without a configuration that of the demo line.
pub(super) fn basis(
    config: Option<&Path>,
    camera: &str,
    recipes: &Recipes,
) -> Result<Basis, Fault> {
    let settings = match config {
        Some(path) => cameras::read(path)?,
        None => cameras::demo()?,
    };
    let settings = recipes.over(&settings);
    let shown = config.map_or("the demo line".into(), |path| path.display().to_string());
    let file = load::calibration_target(&settings.model);
    let model = load::Model::bare(&settings.model)?;
    let (_, recipe) = camera_and_recipe(&settings, Some(camera), &shown)?;
    Ok(Basis {
        products: names(&model),
        model_sha256: model.file.sha256,
        geometry: model.file.document.geometry,
        recipe,
        file,
    })
}

/// The camera that is wanted, with all that its judge goes by: what it ignores changes scores.
fn camera_and_recipe(
    settings: &Settings,
    wanted: Option<&str>,
    shown: &str,
) -> Result<(CameraSettings, Recipe), Fault> {
    let camera = cameras::pick(settings.cameras.clone(), wanted, shown)?;
    let recipes = cameras::recipes(settings)?;
    let mut both = std::iter::zip(&settings.cameras, recipes);
    let found = both.find(|(other, _)| other.name == camera.name);
    found
        .map(|(_, recipe)| (camera, recipe))
        .ok_or_else(|| Fault::new(Class::Bug, "a camera has no recipe; please report it"))
}

fn names(model: &load::Model) -> Vec<String> {
    model.file.document.classes.iter().map(|class| class.name.clone()).collect()
}

fn collect(arguments: &Arguments, global: &Global) -> anyhow::Result<()> {
    let (Some(config), Some(product)) = (&arguments.config, &arguments.product) else {
        // The parser has seen to both.
        return Err(Fault::new(Class::Usage, "CONFIG and --product are needed").into());
    };
    // Before anything slow: a request to stop must not be lost.
    let stop = shutdown::on_signals()
        .map_err(|error| Fault::new(Class::Bug, format!("signals cannot be handled: {error}")))?;
    let settings = cameras::read(config)?;
    let file = arguments.into.clone().unwrap_or_else(|| load::calibration_target(&settings.model));
    let shown = config.display().to_string();
    let (camera, recipe) = camera_and_recipe(&settings, arguments.camera.as_deref(), &shown)?;
    let mut model = load::Model::bare(&settings.model)?;
    let how = if arguments.append { Put::Add } else { Put::Replace };
    let mut aim = Aim::new(product, how, &recipe, &names(&model))?;
    if arguments.all_the_same.allow_unrated {
        aim.unrated = Unrated::Allowed;
    }
    // Everything that is cheap to be wrong, before hours of collecting.
    let site = Site::open(&file, &model.file.sha256, aim)?;
    let images = match &*arguments.images {
        [] => Vec::new(),
        paths => images::find(paths)?,
    };
    let stride = usize::try_from(arguments.every).unwrap_or(usize::MAX);
    let asked = match images.len() {
        0 => arguments.count,
        all => {
            let skipped = usize::try_from(arguments.after).unwrap_or(usize::MAX);
            arguments.count.or(Some(all.saturating_sub(skipped).div_ceil(stride)))
        }
    };
    let wanted = site.count(asked)?;
    print::note(&format!("collecting {wanted} good parts of {product} into {}", file.display()));
    site.file().apply(&model.file.sha256, &mut model.products).or_fault(Class::Model)?;
    // What judges today may be too small for the rate: that is why there is a calibration to be made.
    let judge = model.judge(&Recipe { unrated: Unrated::Allowed, ..recipe })?;
    let runtime = load::runtime(global, &settings.engine)?;
    let model = Arc::new(model);
    let patience = Patience::OF_A_PERSON;
    let (mut manager, tick) = (Manager::from_environment(), |_: &mut Manager, _how_far| {});
    let engine = &settings.engine;
    let loaded = loading::engine(&model, &runtime, engine, &stop, patience, &mut manager, tick)?;
    let Some((built, _took)) = loaded else {
        let line = "stopped before the engine was there; nothing was collected";
        return Err(Fault::new(Class::Engine, line).into());
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let began = now(&*clock);
    let mut work = Work {
        inspector: model.inspector(built.engine, vec![judge]),
        collection: Collection::new(product, wanted, site.first_id()),
        gallery: Gallery::default(),
        beside: Beside::default(),
        bar: bar(wanted),
        passed: 0,
        after: arguments.after,
        every: arguments.every,
        failures: 0,
        stop,
    };
    let (from, ended) = if images.is_empty() {
        (format!("camera {}", camera.name), work.play(&camera, arguments.fast, &clock)?)
    } else {
        let from = arguments.images.iter().map(|path| path.display().to_string());
        (from.collect::<Vec<_>>().join(", "), work.images(&images)?)
    };
    work.bar.finish_and_clear();
    let is_all = images.is_empty() || arguments.count.is_some() || ended == Ended::Stopped;
    if !work.collection.is_full() && is_all && !arguments.all_the_same.keep_partial {
        return Err(work.unfinished(ended).into());
    }
    let Work { collection, gallery, beside, .. } = work;
    let told = Told { from, times: [began, now(&*clock)], every: arguments.every, beside };
    tell(product, &site.write(&collection, &gallery, told)?)
}

fn now(clock: &dyn Clock) -> String {
    humantime::format_rfc3339_seconds(clock.wall()).to_string()
}

fn bar(wanted: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(wanted as u64), ProgressDrawTarget::stderr());
    let style =
        ProgressStyle::with_template("{bar:30} {pos} of {len} good parts, {eta} left  {msg}");
    // The template is a constant: the default style would do as well.
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// Why no more frames come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Full,
    Source,
    Stopped,
}

struct Work {
    inspector: Inspector,
    collection: Collection,
    gallery: Gallery,
    beside: Beside,
    bar: ProgressBar,
    passed: u64,
    after: u64,
    every: u64,
    /// Of the engine, one after another.
    failures: u32,
    stop: Receiver<StopRequested>,
}

impl Work {
    /// The camera as `run` would play it.
    fn play(
        &mut self,
        settings: &CameraSettings,
        fast: bool,
        clock: &Arc<dyn Clock>,
    ) -> Result<Ended, Fault> {
        let scale_to = settings.scaling.pipeline_size(self.inspector.geometry());
        let mut options = cameras::options(settings, scale_to)?;
        options.overflow = Overflow::Every;
        options.repeat = false;
        options.realtime &= !fast;
        let account = Arc::new(cameras::unrecorded(settings, clock.wall()));
        let camera = Camera::open(&options, account, Arc::new(Board::new(1)), Arc::clone(clock))
            .map_err(|error| cameras::failed(&settings.name, &error))?;
        let frames = camera.frames().clone();
        let (event, events) = crossbeam_channel::bounded(1);
        let playing = camera.play(event).map_err(|error| {
            Fault::new(Class::Camera, format!("a thread cannot be started: {error}"))
        })?;
        let outcome = self.take(&frames);
        let is_sound = playing.end(&frames);
        let ended = outcome?;
        if !is_sound {
            return Err(Fault::new(Class::Bug, "the camera's thread panicked; please report it"));
        }
        match events.try_recv() {
            Ok(CameraEvent::Failed(id, error)) if ended == Ended::Source => {
                Err(cameras::failed(&id.to_string(), &error))
            }
            Ok(_) | Err(_) => Ok(ended),
        }
    }

    fn take(&mut self, frames: &Receiver<Frame>) -> Result<Ended, Fault> {
        let stop = self.stop.clone();
        while !self.collection.is_full() {
            select! {
                recv(frames) -> frame => match frame {
                    Ok(frame) => match &frame.picture {
                        Picture::Pixels(pixels) => {
                            let view = pixels.view();
                            self.one(|| frame.id.to_string(), Ok(view))?;
                        }
                        Picture::Unreadable(reason) => {
                            self.one(|| frame.id.to_string(), Err(reason))?;
                        }
                    },
                    Err(_closed) => return Ok(Ended::Source),
                },
                recv(stop) -> _ => return Ok(Ended::Stopped),
            }
        }
        Ok(Ended::Full)
    }

    fn images(&mut self, images: &[images::Image]) -> Result<Ended, Fault> {
        for image in images {
            if self.collection.is_full() {
                return Ok(Ended::Full);
            }
            if self.stop.try_recv().is_ok() {
                return Ok(Ended::Stopped);
            }
            let name = || image.path.display().to_string();
            match images::decode(&image.path) {
                Ok(picture) => self.one(name, Ok(picture.view()))?,
                Err(reason) => self.one(name, Err(&reason))?,
            }
        }
        Ok(if self.collection.is_full() { Ended::Full } else { Ended::Source })
    }

    /// Measures a frame whose turn it is.
    fn one(
        &mut self,
        name: impl Fn() -> String,
        picture: Result<RgbView<'_>, &String>,
    ) -> Result<(), Fault> {
        self.passed += 1;
        let Some(past) = self.passed.checked_sub(self.after + 1) else { return Ok(()) };
        if !past.is_multiple_of(self.every) {
            return Ok(());
        }
        let view = match picture {
            Ok(view) => view,
            Err(reason) => return self.fault(&name(), reason),
        };
        let inspection = match self.inspector.inspect(view, 0) {
            Ok(inspection) => inspection,
            Err(error @ InspectError::Engine(_)) => {
                self.failures += 1;
                if self.failures == ENGINE_FAILURES {
                    return Err(error).or_fault(Class::Engine);
                }
                return self.fault(&name(), &one_line(&error));
            }
            Err(error) => return self.fault(&name(), &one_line(&error)),
        };
        self.failures = 0;
        let look = match Inputs::from_frame(self.inspector.geometry(), view) {
            Ok(inputs) => Appearance::of(inputs.views()),
            Err(error) => return self.fault(&name(), &one_line(&error)),
        };
        let product = self.collection.product();
        let whole = Evidence::of(&inspection.inferences).score;
        let Some(shown) = Shown::of(&inspection.verdict, whole, product, look) else {
            let reason = inspection.verdict.reason.unwrap_or_default();
            return self.fault(&name(), &reason);
        };
        let (score, distance) = (shown.score, shown.distance);
        let Some(id) = self.collection.add(name(), shown) else { return Ok(()) };
        if self.gallery.wants(score, distance) {
            let map = self.map(&inspection.inferences, view);
            match gallery::draw(&view, &map, &inspection.verdict) {
                Ok(png) => self.gallery.keep(id, score, distance, png),
                Err(error) => self.note(&format!("{}: no picture can be kept: {error}", name())),
            }
        }
        self.bar.inc(1);
        Ok(())
    }

    fn map(&self, inferences: &[Inference], view: RgbView<'_>) -> Map {
        self.inspector.frame_from_map(inferences, view.size())
    }

    /// Not collected, but counted.
    #[expect(clippy::unnecessary_wraps, reason = "the end of `one`")]
    fn fault(&mut self, name: &str, reason: &str) -> Result<(), Fault> {
        self.beside.faults += 1;
        self.note(&format!("{name}: not judged, not collected: {reason}"));
        Ok(())
    }

    fn note(&self, text: &str) {
        self.bar.suspend(|| print::note(text));
    }

    fn unfinished(&self, ended: Ended) -> Fault {
        let why = match ended {
            Ended::Stopped => "stopped",
            Ended::Source | Ended::Full => "the source ended",
        };
        let line = format!(
            "{why} after {} of {} good parts; nothing is written (--keep-partial writes what there is)",
            self.collection.count(),
            self.collection.wanted()
        );
        Fault::new(Class::Data, line)
    }
}

fn tell(product: &str, written: &Written) -> anyhow::Result<()> {
    let Written { file, review, support, session, for_review } = written;
    let seen = format!(
        "{product}: {} good parts from {}, one frame of {}; {} not judged",
        session.frames, session.from, session.every, session.faults
    );
    print::line(&seen)?;
    print::line(&format!("  scores     {}", quantiles(&session.scores)))?;
    print::line(&format!("  distances  {}", quantiles(&session.distances)))?;
    if let Some(refused) = session.refused_before {
        let frames = session.frames;
        print::line(&format!("  the limits of before would have refused {refused} of {frames}"))?;
    }
    if session.repeats > 0 {
        print::note(&format!(
            "{} frames are exact repeats of others: they are no parts of their own, and the rate is not theirs to \
             support; let the belt move, or raise --every",
            session.repeats
        ));
    }
    if !for_review.is_empty() {
        print::line(&format!(
            "{} suspicious frames; look at these, all of them still in the calibration, in {}",
            session.suspicious,
            review.display()
        ))?;
        for frame in for_review {
            print::line(&listed(frame))?;
        }
        let shown = file.display();
        print::line(&format!(
            "exclude those that are no good parts: sightline calibrate exclude {shown} --product {product} ID..."
        ))?;
    }
    print::line(&format!("{}: {product} {}", file.display(), supports(support)))?;
    Ok(())
}

fn quantiles(values: &Quantiles) -> String {
    let Quantiles { lowest, median, p90, p99, highest } = values;
    format!("{lowest:.4} to {highest:.4}, median {median:.4}, 90 % {p90:.4}, 99 % {p99:.4}")
}

fn listed(frame: &ForReview) -> String {
    let ForReview { id, frame, score, distance, why, picture, excluded } = frame;
    let picture = picture.as_deref().unwrap_or("no picture");
    let excluded = if *excluded { ", excluded" } else { "" };
    format!(
        "  {id:>6}  {frame}  score {score:.4}, distance {distance:.4}: {why} ({picture}){excluded}"
    )
}

fn supports(support: &Support) -> String {
    let Support { frames, excluded, confused, lowest_rate, rate, is_supported, frames_needed } =
        support;
    let percent = |rate: f64| format!("{:.4} %", rate * 100.0);
    let counted = format!(
        "has {frames} frames ({excluded} excluded, {confused} taken for another product) and supports false-reject \
         rates from {}",
        percent(*lowest_rate)
    );
    if *is_supported {
        format!("{counted}; the configured {} holds", percent(*rate))
    } else {
        format!(
            "{counted}; the configured {} needs {frames_needed} and is not promised",
            percent(*rate)
        )
    }
}

fn exclude(arguments: &ExcludeArguments) -> anyhow::Result<()> {
    let ExcludeArguments { file: path, product, ids } = arguments;
    let mut file = CalibrationFile::read(path).or_fault(Class::Model)?;
    file.exclude(product, ids).or_fault(Class::Usage)?;
    file.write(path).or_fault(Class::Output)?;
    if let Some(calibration) = file.classes.get(product) {
        print::line(&format!("{product}: {}", described(calibration)))?;
    }
    Ok(())
}

fn show(arguments: &ShowArguments) -> anyhow::Result<()> {
    let path = &arguments.file;
    let file = CalibrationFile::read(path).or_fault(Class::Model)?;
    print::line(&format!("model SHA-256  {}", file.model_sha256))?;
    for (product, calibration) in &file.classes {
        print::line(&format!("{product}: {}", described(calibration)))?;
        print::line(&format!("  from       {}", calibration.source()))?;
        for (name, values) in
            [("scores", calibration.scores()), ("distances", calibration.distances())]
        {
            if let Some(values) = Quantiles::of(values) {
                print::line(&format!("  {name:9}  {}", quantiles(&values)))?;
            }
        }
        for (name, spread) in
            [("brightness", calibration.brightness()), ("focus", calibration.focus())]
        {
            if let Some(spread) = spread {
                let (mean, sigma) = (spread.mean, spread.standard_deviation);
                print::line(&format!("  {name:10} {mean:.2}, standard deviation {sigma:.2}"))?;
            }
        }
        let Some(collected) = file.collected.get(product) else { continue };
        for session in &collected.sessions {
            print::line(&format!(
                "  {} to {}: {} frames from {}, {} suspicious, {} repeats, {} not judged",
                session.began,
                session.ended,
                session.frames,
                session.from,
                session.suspicious,
                session.repeats,
                session.faults
            ))?;
        }
        for frame in &collected.for_review {
            print::line(&listed(frame))?;
        }
    }
    if file.collected.values().any(|collected| !collected.for_review.is_empty()) {
        print::line(&format!("pictures in {}", review_folder(path).display()))?;
    }
    Ok(())
}

fn described(calibration: &Calibration) -> String {
    let (excluded, confused) = (calibration.excluded(), calibration.confused());
    let lowest = calibration.smallest_rate();
    let holds = if RejectRate::new(lowest).is_ok() {
        format!("supports false-reject rates from {:.4} %", lowest * 100.0)
    } else {
        "supports no false-reject rate".into()
    };
    format!(
        "{} frames ({excluded} excluded, {confused} taken for another product), {holds}",
        calibration.count()
    )
}

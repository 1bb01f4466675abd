//! `sightline capture`: records good parts through a camera's own pipeline into a training folder.
//!
//! Owns which frames are kept and what their files are called: `DIR/PRODUCT/train/good/000001.png`, the layout
//! that `sightline-train` reads. What training sees then went through the scaler and the decoder that `run` uses.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use bundle::geometry::Size;
use crossbeam_channel::{Receiver, select};

use super::{Global, cameras, print};
use crate::{
    camera::{Camera, CameraEvent, Policy, View},
    channel::Overflow,
    clock::{Clock, SystemClock},
    config::{CameraSettings, Scaling},
    fault::{Class, Fault},
    frame::{Frame, Picture},
    images, shutdown,
    state::Board,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file whose camera is used.
    #[arg(value_name = "CONFIG", required_unless_present = "preset")]
    config: Option<PathBuf>,

    /// Which of its cameras; the first by default.
    #[arg(long, value_name = "NAME", conflicts_with = "preset")]
    camera: Option<String>,

    /// Uses a preset, without a configuration file.
    #[arg(long, value_name = "PRESET", conflicts_with = "config")]
    preset: Option<String>,

    /// A parameter of that preset, such as location=parts.webm.
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "preset")]
    parameters: Vec<String>,

    /// The product that passes the camera.
    #[arg(long, value_name = "NAME")]
    product: String,

    /// The training folder.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,

    /// Lets the pipeline scale frames, to the size that the model will take; the camera's own size by default.
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = size)]
    size: Option<Size>,

    /// Frames to keep; all of them by default.
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// Frames to let pass before the first one that is kept.
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: u64,

    /// Keeps one frame of so many.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,

    /// Files play as fast as they can be written.
    #[arg(long)]
    fast: bool,
}

pub(super) fn run(arguments: &Arguments, _global: &Global) -> anyhow::Result<()> {
    let settings = settings(arguments)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let mut options = cameras::options(&settings, arguments.size)?;
    // A recording in which frames are missing would not be what passed the camera.
    options.overflow = Overflow::Every;
    options.repeat = false;
    options.realtime &= !arguments.fast;
    let stop = shutdown::on_signals()
        .map_err(|error| Fault::new(Class::Bug, format!("signals cannot be handled: {error}")))?;
    let folder = folder(&arguments.into, &arguments.product)?;
    let account = Arc::new(cameras::unrecorded(&settings, clock.wall()));
    let camera = Camera::open(&options, account, Arc::new(Board::new(1)), clock)
        .map_err(|error| cameras::failed(&settings.name, &error))?;
    let frames = camera.frames().clone();
    let (event, events) = crossbeam_channel::bounded(1);
    let playing = camera.play(event).map_err(|error| {
        Fault::new(Class::Camera, format!("a thread cannot be started: {error}"))
    })?;
    let mut recording =
        Recording { arguments, next: next_number(&folder)?, folder, seen: 0, kept: 0 };
    let outcome = recording.keep(&frames, &stop);
    let is_sound = playing.end(&frames);
    outcome?;
    if !is_sound {
        return Err(Fault::new(Class::Bug, "the camera's thread panicked; please report it").into());
    }
    if let Ok(CameraEvent::Failed(id, error)) = events.try_recv() {
        return Err(cameras::failed(&id.to_string(), &error).into());
    }
    let Recording { folder, kept, seen, .. } = recording;
    print::line(&format!("{kept} of {seen} frames kept in {}", folder.display()))?;
    match kept {
        0 => Err(Fault::new(Class::Data, "no frame was kept: see --after and --every").into()),
        _ => Ok(()),
    }
}

fn settings(arguments: &Arguments) -> Result<CameraSettings, Fault> {
    if let Some(preset) = &arguments.preset {
        let mut parameters = BTreeMap::new();
        for given in &arguments.parameters {
            let (name, value) = given.split_once('=').ok_or_else(|| {
                Fault::new(Class::Usage, format!("--set {given}: write it as NAME=VALUE"))
            })?;
            parameters.insert(name.to_owned(), value.to_owned());
        }
        return Ok(CameraSettings {
            name: preset.clone(),
            preset: preset.clone(),
            parameters,
            overflow: Overflow::Every,
            queue_len: 2,
            scaling: Scaling::Pipeline,
            realtime: true,
            repeat: false,
            reconnect: Policy::default(),
            products: None,
            view: View::default(),
            trigger: None,
            plc: None,
            ignore: Vec::new(),
            ignore_mask: None,
            defect_area_min_px: 1,
            part: None,
            recipe: None,
            recipes: Vec::new(),
        });
    }
    let path = arguments.config.as_deref().unwrap_or(Path::new(""));
    let shown = path.display().to_string();
    cameras::pick(cameras::read(path)?.cameras, arguments.camera.as_deref(), &shown)
}

fn size(text: &str) -> Result<Size, String> {
    let sides = text.split_once('x').and_then(|(width, height)| {
        Some(Size { width: width.parse().ok()?, height: height.parse().ok()? })
    });
    sides
        .filter(|size| size.width > 0 && size.height > 0)
        .ok_or_else(|| "write it as 256x256".into())
}

fn folder(into: &Path, product: &str) -> Result<PathBuf, Fault> {
    let is_plain =
        !product.is_empty() && !product.starts_with('.') && !product.contains(['/', '\\']);
    if !is_plain {
        let line = format!(
            "--product {product}: it becomes a folder's name, so it has no slash and no leading dot"
        );
        return Err(Fault::new(Class::Usage, line));
    }
    let folder = into.join(product).join("train").join("good");
    std::fs::create_dir_all(&folder).map_err(|error| {
        Fault::new(Class::Output, format!("folder {} cannot be made: {error}", folder.display()))
    })?;
    Ok(folder)
}

/// After the pictures of earlier recordings, none of which is ever written over.
fn next_number(folder: &Path) -> Result<u64, Fault> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        Fault::new(Class::Output, format!("folder {} cannot be read: {error}", folder.display()))
    })?;
    let numbers = entries
        .flatten()
        .filter_map(|entry| entry.path().file_stem()?.to_str()?.parse::<u64>().ok());
    Ok(numbers.max().unwrap_or(0) + 1)
}

struct Recording<'a> {
    arguments: &'a Arguments,
    folder: PathBuf,
    next: u64,
    seen: u64,
    kept: u64,
}

impl Recording<'_> {
    fn keep(
        &mut self,
        frames: &Receiver<Frame>,
        stop: &Receiver<shutdown::StopRequested>,
    ) -> Result<(), Fault> {
        while self.arguments.count.is_none_or(|count| self.kept < count) {
            select! {
                recv(frames) -> frame => match frame {
                    Ok(frame) => self.one(&frame)?,
                    Err(_ended) => return Ok(()),
                },
                recv(stop) -> _ => return Ok(()),
            }
        }
        Ok(())
    }

    fn one(&mut self, frame: &Frame) -> Result<(), Fault> {
        self.seen += 1;
        let Some(past) = self.seen.checked_sub(self.arguments.after + 1) else { return Ok(()) };
        if past % self.arguments.every != 0 {
            return Ok(());
        }
        match &frame.picture {
            Picture::Unreadable(reason) => {
                print::note(&format!("frame {}: {reason}", frame.id.number));
                Ok(())
            }
            Picture::Pixels(pixels) => {
                let path = self.folder.join(format!("{:06}.png", self.next));
                images::write_png(&path, &pixels.view().to_image())?;
                self.next += 1;
                self.kept += 1;
                Ok(())
            }
        }
    }
}

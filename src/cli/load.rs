//! From paths and settings to a verified engine and a judge: what most commands begin with.
//!
//! Owns the environment variables and the search for ONNX Runtime's library. The model file is read once, so
//! that its document and its network are of one and the same file even if it is replaced meanwhile.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use bundle::{
    bounded,
    calibration_file::CalibrationFile,
    geometry::Geometry,
    model_file::{self, ModelFile},
    schema::Class as Product,
};

use super::{Global, print};
use crate::{
    config::{EngineSettings, ModelSettings},
    engine::{
        self, Attempt, Built, EngineError, Onnx, Progress, Provider, Runtime, Verified,
        cache::{Cache, Key, Place},
        gpu::{Gpu, Places},
        library::Search,
        onnx::{self, ENGINE_OPTIONS},
        plan,
    },
    fault::{Class, Fault, OrFault as _, one_line},
    inspector::Inspector,
    judge::{Judge, Recipe},
    record::ModelLabel,
    state::{Event, Trouble},
    telemetry::EngineLabels,
};

/// Where wheels of ONNX Runtime that were installed for the whole machine put its library.
const PYTHON_PACKAGES: [&str; 2] = [
    "/usr/local/lib/python3*/dist-packages/onnxruntime/capi",
    "/usr/lib/python3*/dist-packages/onnxruntime/capi",
];
/// Where the Debian package `sightline-onnxruntime` puts it.
const INSTALLED: &str = "/usr/lib/sightline";

/// Ours first, then the one that `ort` itself would read.
const LIBRARY_VARIABLES: [&str; 2] = ["SIGHTLINE_ONNXRUNTIME", "ORT_DYLIB_PATH"];

/// A model file with the site's calibration laid over its own.
pub(super) struct Model {
    pub(super) path: PathBuf,
    pub(super) file: ModelFile,
    /// The classes that the judge goes by.
    pub(super) products: Vec<Product>,
    /// The calibration file that overrides the model's.
    pub(super) calibration: Option<PathBuf>,
    /// When the site calibrated products last, where its file says so.
    pub(super) calibrated: BTreeMap<String, SystemTime>,
    bytes: Vec<u8>,
}

/// What a judge of a model is made from, without the model: products with their calibration, and how frames are fitted.
#[derive(Clone, Debug)]
pub(super) struct Standards {
    pub(super) products: Vec<Product>,
    geometry: Geometry,
}

impl Standards {
    pub(super) fn judge(&self, recipe: &Recipe) -> Result<Judge, Fault> {
        recipe.attention.check_geometry(&self.geometry).or_fault(Class::Configuration)?;
        Judge::new(&self.products, recipe).or_fault(Class::Configuration)
    }
}

impl Model {
    pub(super) fn read(settings: &ModelSettings) -> Result<Self, Fault> {
        let mut model = Self::bare(settings)?;
        model.calibration = calibration_path(settings);
        if let Some(path) = &model.calibration {
            let site = CalibrationFile::read(path).or_fault(Class::Model)?;
            site.apply(&model.file.sha256, &mut model.products).or_fault(Class::Model)?;
            let ended = site.collected.into_iter().filter_map(|(product, collected)| {
                let ended = &collected.sessions.last()?.ended;
                Some((product, humantime::parse_rfc3339_weak(ended).ok()?))
            });
            model.calibrated = ended.collect();
        }
        Ok(model)
    }

    /// Without the site's calibration: for whoever is about to make one.
    pub(super) fn bare(settings: &ModelSettings) -> Result<Self, Fault> {
        let path = &settings.path;
        let bytes = read(path)?;
        let file = model_file::read_bytes(&bytes).map_err(|error| {
            Fault::new(Class::Model, format!("model {}: {error}", path.display()))
        })?;
        let products = file.document.classes.clone();
        Ok(Self {
            path: path.clone(),
            file,
            products,
            calibration: None,
            calibrated: BTreeMap::new(),
            bytes,
        })
    }

    /// The file itself, as it was read.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn label(&self) -> ModelLabel {
        let Self { file, .. } = self;
        let name = &file.document.model;
        ModelLabel {
            name: name.name.clone(),
            version: name.version.clone(),
            sha256: file.sha256.clone(),
        }
    }

    pub(super) fn judge(&self, recipe: &Recipe) -> Result<Judge, Fault> {
        self.standards().judge(recipe)
    }

    /// What judges are made from.
    pub(super) fn standards(&self) -> Standards {
        let geometry = self.file.document.geometry.clone();
        Standards { products: self.products.clone(), geometry }
    }

    /// Puts everything together that judges a frame.
    pub(super) fn inspector(&self, engine: Verified, judges: Vec<Judge>) -> Inspector {
        Inspector::new(engine, self.file.document.geometry.clone(), judges, self.label())
    }

    /// A judge for each recipe.
    pub(super) fn judges(&self, recipes: &[Recipe]) -> Result<Vec<Judge>, Fault> {
        recipes.iter().map(|recipe| self.judge(recipe)).collect()
    }

    /// The first engine of the wish that agrees with the golden frames. What `TensorRT` has to build for it is told to
    /// `building`, and kept for the next start.
    pub(super) fn engine(
        &self,
        runtime: &Runtime,
        settings: &EngineSettings,
        building: &Building,
    ) -> Result<Built, Fault> {
        let document = &self.file.document;
        let attempts = plan::attempts(&settings.wish, &document.precision);
        let gpu = if attempts.iter().any(Attempt::builds) {
            Gpu::probe(&Places::default(), settings.onnx.device)
        } else {
            Gpu::default()
        };
        let cache = cache(settings);
        let load = |attempt: &Attempt| {
            let session = |folder: Option<&Path>| {
                let input = document.geometry.input;
                Onnx::load(runtime, &self.bytes, input, &settings.onnx, attempt, folder)
            };
            if !attempt.builds() {
                return session(None);
            }
            onnx::check_available(runtime, attempt)?;
            let key = self.key(runtime, settings, attempt, gpu.clone());
            with_cache(&cache, &key, attempt, building, |folder| session(Some(folder)))
        };
        let built =
            engine::build::build(&attempts, document, load, |progress| building.stage(&progress));
        building.verified();
        let built = built.map_err(|error| {
            let (class, text) = (error.class(), one_line(&error));
            let is_models = class == Class::Model;
            let prefix = format!("model {}: ", self.path.display());
            Fault::new(class, if is_models { prefix + &text } else { text })
        })?;
        for refused in &built.refused {
            let why = one_line(&refused.why);
            print::note(&format!("{} is not used: {why}", refused.attempt));
        }
        Ok(built)
    }

    /// Where an engine lies that `TensorRT` built; `None` for those that are not built.
    pub(super) fn engine_folder(
        &self,
        runtime: &Runtime,
        settings: &EngineSettings,
        attempt: &Attempt,
    ) -> Option<PathBuf> {
        let gpu = || Gpu::probe(&Places::default(), settings.onnx.device);
        let key = || self.key(runtime, settings, attempt, gpu());
        attempt.builds().then(|| cache(settings).folder(&key()))
    }

    fn key(
        &self,
        runtime: &Runtime,
        settings: &EngineSettings,
        attempt: &Attempt,
        gpu: Gpu,
    ) -> Key {
        Key {
            model_sha256: self.file.sha256.clone(),
            onnxruntime: runtime.version().to_string(),
            gpu,
            options: ENGINE_OPTIONS,
            arithmetic: attempt.arithmetic.to_string(),
            providers: attempt.providers.iter().map(ToString::to_string).collect(),
            batch_max: settings.onnx.batch_max,
            gpu_memory_max: settings.onnx.gpu_memory_max,
        }
    }
}

/// Whether another provider runs the network than the operator wants most, for the station's state.
pub(super) fn fell_back(built: &Built, settings: &EngineSettings) -> Event {
    if built.attempt.providers.first() == settings.wish.providers.first() {
        return Event::Ends(Trouble::Provider);
    }
    Event::Begins(Trouble::Provider)
}

/// Loads with the engine of the cache, or has it built and keeps it.
fn with_cache<T>(
    cache: &Cache,
    key: &Key,
    attempt: &Attempt,
    building: &Building,
    mut load: impl FnMut(&Path) -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let why = cache.why_anew(key);
    let mut place = cache.place(key)?;
    if place.built.is_some() {
        match load(&place.folder) {
            Ok(loaded) => return Ok(kept(cache, &place, loaded)),
            Err(error @ EngineError::Fatal { .. }) => return Err(error),
            // Files of the right length may hold anything after a power cut.
            Err(error) => {
                tracing::warn!("the engine of the cache does not load, it is built anew: {error}");
                place = place.begin_anew()?;
            }
        }
    }
    building.begin(attempt, place.expected, why);
    let started = Instant::now();
    let loaded = load(&place.folder);
    building.end(started.elapsed());
    let loaded = loaded?;
    // What cannot be kept is built again next time; the engine that is there is as good as any.
    if let Err(error) = place.finish(started.elapsed()) {
        tracing::warn!("the engine was built and cannot be kept: {}", one_line(&error));
    }
    Ok(kept(cache, &place, loaded))
}

/// Looks after the cache when an engine was loaded.
fn kept<T>(cache: &Cache, place: &Place, loaded: T) -> T {
    let surprises = place.surprises();
    if !surprises.is_empty() {
        tracing::warn!(
            "TensorRT built {} although the cache has an engine: the next start may take as long again",
            surprises.join(", ")
        );
    }
    if let Err(error) = cache.sweep(place) {
        tracing::warn!("{}", one_line(&error));
    }
    loaded
}

/// An engine that is being built, for whoever wants to know how far that is, and how long all of it took.
#[derive(Debug, Default)]
pub(super) struct Building {
    now: Mutex<Option<(String, Instant, Option<Duration>)>>,
    took: Mutex<(Took, Option<Instant>)>,
}

/// How long it took to come by the engine that is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Took {
    /// To build it; `None` where nothing was built.
    pub(super) build: Option<Duration>,
    /// To load it, with its building.
    pub(super) load: Duration,
    /// To run its golden frames, the first runs that warm it up among them.
    pub(super) verify: Duration,
}

impl Building {
    fn begin(&self, attempt: &Attempt, expected: Option<Duration>, why: Option<String>) {
        let why = why.map_or(String::new(), |why| format!(", for {why}"));
        let last = last_took(expected);
        print::note(&format!(
            "the engine for {attempt} is being built{why}; this takes minutes{last}"
        ));
        *self.now() = Some((attempt.to_string(), Instant::now(), expected));
    }

    fn end(&self, took: Duration) {
        *self.now() = None;
        self.times().0.build = Some(took);
    }

    /// Another stage of the way to an engine begins; those of an engine that was refused do not count.
    fn stage(&self, progress: &Progress) {
        tracing::debug!("{progress:?}");
        let mut times = self.times();
        let (took, began) = &mut *times;
        match progress {
            Progress::Loads(_) => *took = Took::default(),
            Progress::Verifies(_) => took.load = began.map_or(Duration::ZERO, |at| at.elapsed()),
        }
        *began = Some(Instant::now());
    }

    fn verified(&self) {
        let mut times = self.times();
        times.0.verify = times.1.map_or(Duration::ZERO, |at| at.elapsed());
    }

    /// How long it took.
    pub(super) fn took(&self) -> Took {
        self.times().0
    }

    fn times(&self) -> MutexGuard<'_, (Took, Option<Instant>)> {
        self.took.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In words, while one is being built.
    pub(super) fn how_far(&self) -> Option<String> {
        self.now().as_ref().map(|(what, since, expected)| {
            format!("{what}, {} s so far{}", since.elapsed().as_secs(), last_took(*expected))
        })
    }

    fn now(&self) -> MutexGuard<'_, Option<(String, Instant, Option<Duration>)>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn last_took(expected: Option<Duration>) -> String {
    expected.map_or(String::new(), |took| format!(" (the last one took {} s)", took.as_secs()))
}

fn cache(settings: &EngineSettings) -> Cache {
    Cache::at(&cache_path(settings))
}

/// The folder of the engines that `TensorRT` builds.
pub(super) fn cache_path(settings: &EngineSettings) -> PathBuf {
    settings.cache.clone().unwrap_or_else(cache_folder)
}

/// What a service manager gives us, or the user's own.
fn cache_folder() -> PathBuf {
    let folder =
        |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("CACHE_DIRECTORY")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("sightline")))
        .or_else(|| Some(folder("HOME")?.join(".cache/sightline")))
        .unwrap_or_else(|| std::env::temp_dir().join("sightline"))
}

/// Everything that judges a frame, with a judge for each recipe.
pub(super) fn inspector(
    model: &ModelSettings,
    engine: &EngineSettings,
    recipes: &[Recipe],
    global: &Global,
) -> Result<(Inspector, Model), Fault> {
    let model = Model::read(model)?;
    // Before the engine: it is the cheaper thing to be wrong.
    let judges = model.judges(recipes)?;
    let runtime = runtime(global, engine)?;
    let built = model.engine(&runtime, engine, &Building::default())?;
    Ok((model.inspector(built.engine, judges), model))
}

/// What judges, by name: with these providers.
pub(super) fn engine_labels(providers: &[Provider], model: ModelLabel) -> EngineLabels {
    let providers: Vec<_> = providers.iter().map(ToString::to_string).collect();
    let ModelLabel { name, version, sha256 } = model;
    EngineLabels {
        providers: providers.join(","),
        onnxruntime: Runtime::started()
            .map_or_else(String::new, |runtime| runtime.version().to_string()),
        model: name,
        model_version: version,
        model_sha256: sha256,
    }
}

pub(super) fn runtime(global: &Global, settings: &EngineSettings) -> Result<Runtime, Fault> {
    let runtime = Runtime::start(&search(global, settings)).or_fault(Class::Engine)?;
    if let Some(warning) = runtime.version().warning(std::env::consts::ARCH) {
        tracing::warn!("ONNX Runtime {}: {warning}", runtime.version());
    }
    Ok(runtime)
}

/// Where ONNX Runtime is looked for.
pub(super) fn search(global: &Global, settings: &EngineSettings) -> Search {
    let environment = LIBRARY_VARIABLES.iter().find_map(|variable| {
        let path = std::env::var_os(variable).filter(|path| !path.is_empty())?;
        Some(((*variable).to_owned(), PathBuf::from(path)))
    });
    let executable = std::env::current_exe().ok();
    let beside = executable.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    Search {
        named: global.onnxruntime.clone().or_else(|| settings.library.clone()),
        environment,
        folders: beside.into_iter().chain(executable.as_deref().and_then(checkouts)).collect(),
        system: true,
        last: python_packages().chain([PathBuf::from(INSTALLED)]).collect(),
    }
}

/// The folder of a checkout whose own build this executable is. One below the current folder would let whoever may write
/// there have root run his code.
fn checkouts(executable: &Path) -> Option<PathBuf> {
    let target = executable.ancestors().find(|folder| folder.ends_with("target"))?;
    Some(target.parent()?.join(".deps/onnxruntime"))
}

/// Folders of the machine's Python that may hold the library: JetPack's builds come as wheels.
fn python_packages() -> impl Iterator<Item = PathBuf> {
    let found = PYTHON_PACKAGES.iter().filter_map(|pattern| glob::glob(pattern).ok());
    found.flatten().filter_map(Result::ok)
}

fn calibration_path(settings: &ModelSettings) -> Option<PathBuf> {
    // One that is named must be there; the one beside the model may be.
    // In any form: a link to nowhere is a calibration that is missing, not none.
    let is_named = settings.calibration.is_some();
    Some(calibration_target(settings)).filter(|path| is_named || path.symlink_metadata().is_ok())
}

/// Where the site's calibration is, or is to be.
pub(super) fn calibration_target(settings: &ModelSettings) -> PathBuf {
    let beside = || settings.path.with_extension("calibration.json");
    settings.calibration.clone().unwrap_or_else(beside)
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    if path.is_dir() {
        let line = format!("model {} is a folder; name the .onnx file in it", path.display());
        return Err(Fault::new(Class::Model, line));
    }
    bounded::bytes(path, model_file::BYTES_MAX).map_err(|error| {
        let is_absent = error.kind() == std::io::ErrorKind::NotFound;
        let remedy =
            if is_absent { "; name an .onnx file that sightline-train exported" } else { "" };
        Fault::new(
            Class::Model,
            format!("model {} cannot be read: {error}{remedy}", path.display()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_checkouts_own_build_looks_into_it() {
        let of = |path: &str| checkouts(Path::new(path));
        let inside = Some(PathBuf::from("/home/ann/sightline/.deps/onnxruntime"));
        assert_eq!(of("/home/ann/sightline/target/debug/sightline"), inside);
        assert_eq!(of("/home/ann/sightline/target/debug/deps/it-0a"), inside);
        assert_eq!(of("/usr/bin/sightline"), None);
    }

    #[test]
    fn an_engine_is_built_once_and_people_hear_of_it_while_it_is() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let (fp16, fp32) = (engine::Arithmetic::Fp16, bundle::precision::Precision::Fp32);
        let attempt = Attempt::new(vec![Provider::TensorRt], fp16, &fp32);
        let key = |batch_max| Key {
            model_sha256: "a".repeat(64),
            onnxruntime: "1.23.2".into(),
            gpu: Gpu::default(),
            options: ENGINE_OPTIONS,
            arithmetic: "fp16".into(),
            providers: vec!["tensorrt".into()],
            batch_max,
            gpu_memory_max: None,
        };
        let building = Building::default();
        // What `TensorRT` does: it builds what is not in the folder.
        let load = |batch_max, fails: bool| {
            with_cache(&cache, &key(batch_max), &attempt, &building, |folder| {
                let engine = folder.join("graph.engine");
                let is_there = engine.is_file();
                let told = building.how_far();
                if fails {
                    return Err(EngineError::Load { cause: "no memory".into() });
                }
                std::fs::write(engine, "engine").unwrap();
                Ok((is_there, told))
            })
        };
        load(1, true).unwrap_err();
        assert_eq!(building.how_far(), None);
        let (is_there, told) = load(1, false).unwrap();
        assert!(!is_there);
        assert_eq!(told.as_deref(), Some("tensorrt in fp16, 0 s so far"));
        assert_eq!(load(1, false).unwrap(), (true, None));
        // A file of the right length that is no engine any more.
        let mut loads = 0;
        let rebuilt = with_cache(&cache, &key(1), &attempt, &building, |folder| {
            loads += 1;
            if folder.join("graph.engine").is_file() {
                return Err(EngineError::Load { cause: "could not deserialize".into() });
            }
            std::fs::write(folder.join("graph.engine"), "engine").unwrap();
            Ok(())
        });
        assert!(rebuilt.is_ok());
        assert_eq!(loads, 2);
        assert_eq!(load(1, false).unwrap(), (true, None));
        let (is_there, told) = load(2, false).unwrap();
        assert!(!is_there);
        assert!(told.unwrap().ends_with("(the last one took 0 s)"));
        assert!(building.took().build.is_some());
        building.stage(&Progress::Loads(attempt.clone()));
        assert_eq!(load(2, false).unwrap(), (true, None));
        assert_eq!(building.took().build, None, "what was built before is another start's");
    }
}

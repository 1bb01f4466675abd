//! The engines that `TensorRT` built, each in a folder of its own under a key of everything that decides it.
//!
//! Owns the key, the folders and their manifests. Invariants: an engine is used only for the model, the libraries, the
//! GPU and the options that it was built with, for ONNX Runtime's own cache does not look at the weights; a folder
//! without a whole manifest is a build that was interrupted, and is cleared; at most [`ENGINES_MAX`] folders are kept.
//! Must not know how an engine is built, and deletes nothing that it has not made.

use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bundle::{fingerprint, whole};
use serde::{Deserialize, Serialize};

use super::gpu::Gpu;

/// A board that changes between a few models keeps the engines of all of them; each is up to 100 MB.
pub const ENGINES_MAX: usize = 8;

const MANIFEST: &str = "engine.json";
/// The extension of the file beside a folder that is locked while somebody builds there.
const LOCK: &str = "lock";
/// Folders of this cache are told from others by it.
const PREFIX: &str = "engine-";

/// Everything that decides what `TensorRT` builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// SHA-256 of the model file, in hexadecimal: of its weights as well as of its graph.
    pub model_sha256: String,
    /// ONNX Runtime's version.
    pub onnxruntime: String,
    /// The GPU and its libraries.
    pub gpu: Gpu,
    /// Which set of options it is built with; see [`super::onnx::ENGINE_OPTIONS`].
    pub options: u32,
    /// What it computes in.
    pub arithmetic: String,
    /// The providers that take what `TensorRT` does not know.
    pub providers: Vec<String>,
    /// The largest batch.
    pub batch_max: usize,
    /// What it may use of the GPU's memory, in bytes.
    pub gpu_memory_max: Option<usize>,
}

/// What lies beside an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What it was built for.
    pub key: Key,
    /// When, in seconds since 1970.
    pub built_at_secs: u64,
    /// How long that took.
    pub took_secs: u64,
    /// The files of the engine, by name; their sizes in bytes.
    pub files: Vec<(String, u64)>,
}

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the folder of built engines {} cannot be {verb}: {source}; name another one in engine.cache", path.display())]
pub struct CacheError {
    path: PathBuf,
    verb: &'static str,
    source: std::io::Error,
}

/// A folder of engines.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// The place of one engine.
#[derive(Debug)]
pub struct Place {
    /// Its folder; it exists.
    pub folder: PathBuf,
    /// The engine that is there; `None` where it has to be built.
    pub built: Option<Manifest>,
    /// How long the last engine took that this machine built.
    pub expected: Option<Duration>,
    key: Key,
    /// Held by whoever builds there or has just loaded: no other process clears the folder meanwhile.
    _lock: File,
}

impl Key {
    /// As a name: the same for equal keys only.
    pub fn id(&self) -> String {
        // Fields are written in their order; there is no map in it.
        let text = serde_json::to_vec(self).unwrap_or_default();
        fingerprint::sha256(&text)
    }

    /// What differs from another key, for a person.
    pub fn changes(&self, other: &Self) -> Vec<String> {
        let value = |key: &Self| serde_json::to_value(key).unwrap_or_default();
        let (ours, theirs) = (value(self), value(other));
        let mut changes = Vec::new();
        differences("", &ours, &theirs, &mut changes);
        changes
    }
}

fn differences(
    name: &str,
    ours: &serde_json::Value,
    theirs: &serde_json::Value,
    into: &mut Vec<String>,
) {
    match (ours, theirs) {
        (serde_json::Value::Object(ours), serde_json::Value::Object(theirs)) => {
            for (field, value) in ours {
                let other = theirs.get(field).unwrap_or(&serde_json::Value::Null);
                differences(field, value, other, into);
            }
        }
        (ours, theirs) if ours != theirs => into.push(format!("{name} was {theirs}, is {ours}")),
        _ => {}
    }
}

impl Cache {
    /// The cache in that folder, which is made when the first engine comes.
    pub fn at(root: &Path) -> Self {
        // ONNX Runtime resolves it at a time of its own.
        Self { root: std::path::absolute(root).unwrap_or_else(|_| root.to_path_buf()) }
    }

    /// The folder of an engine, whether or not there is one.
    pub fn folder(&self, key: &Key) -> PathBuf {
        self.root.join(format!("{PREFIX}{}", key.id()))
    }

    /// The place of an engine. What an interrupted build left there is gone.
    pub fn place(&self, key: &Key) -> Result<Place, CacheError> {
        let folder = self.folder(key);
        std::fs::create_dir_all(&self.root).map_err(|source| error(&self.root, "made", source))?;
        let lock = lock(&folder).map_err(|source| error(&folder, "locked", source))?;
        let built =
            read(&folder).filter(|manifest| manifest.key == *key && manifest.is_whole(&folder));
        if built.is_none() && folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(|source| error(&folder, "cleared", source))?;
        }
        std::fs::create_dir_all(&folder).map_err(|source| error(&folder, "made", source))?;
        // As old as its last use: what has not been used for long is swept first.
        let touched = File::open(&folder).and_then(|folder| folder.set_modified(SystemTime::now()));
        if let Err(error) = touched {
            tracing::debug!("{} keeps its age: {error}", folder.display());
        }
        let expected = self.manifests().into_iter().max_by_key(|manifest| manifest.built_at_secs);
        let expected = expected.map(|manifest| Duration::from_secs(manifest.took_secs));
        Ok(Place { folder, built, expected, key: key.clone(), _lock: lock })
    }

    /// Why an engine has to be built although there are others of the same model: what has changed since the newest.
    pub fn why_anew(&self, key: &Key) -> Option<String> {
        let same = |manifest: &Manifest| manifest.key.model_sha256 == key.model_sha256;
        let newest = self.manifests().into_iter().filter(same).max_by_key(|m| m.built_at_secs)?;
        Some(key.changes(&newest.key).join(", ")).filter(|changes| !changes.is_empty())
    }

    /// Deletes the engines that have not been used for longest, so that few enough are left; how many went.
    pub fn sweep(&self, kept: &Place) -> Result<usize, CacheError> {
        let mut folders: Vec<_> = self
            .folders()
            .into_iter()
            .filter(|folder| *folder != kept.folder)
            .map(|folder| {
                let used = std::fs::metadata(&folder).and_then(|data| data.modified());
                (used.unwrap_or(SystemTime::UNIX_EPOCH), folder)
            })
            .collect();
        folders.sort();
        let too_many = (folders.len() + 1).saturating_sub(ENGINES_MAX);
        let mut gone = 0;
        for (_, folder) in &folders[..too_many] {
            let path = folder.with_extension(LOCK);
            let file = File::create(&path).map_err(|source| error(&path, "locked", source))?;
            // Somebody builds there.
            if file.try_lock().is_err() {
                continue;
            }
            std::fs::remove_dir_all(folder).map_err(|source| error(folder, "removed", source))?;
            std::fs::remove_file(&path).map_err(|source| error(&path, "removed", source))?;
            gone += 1;
        }
        Ok(gone)
    }

    fn manifests(&self) -> Vec<Manifest> {
        self.folders().iter().filter_map(|folder| read(folder)).collect()
    }

    fn folders(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.root) else { return Vec::new() };
        entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect()
    }
}

/// Waits for another process that builds the same engine: two would take the GPU's memory, and each other's files.
fn lock(folder: &Path) -> std::io::Result<File> {
    let file = File::create(folder.with_extension(LOCK))?;
    if file.try_lock().is_err() {
        tracing::warn!("another process builds this engine: waiting for it");
        file.lock()?;
    }
    Ok(file)
}

impl Place {
    /// The same place, cleared: what lies there does not load.
    pub fn begin_anew(self) -> Result<Self, CacheError> {
        let folder = &self.folder;
        std::fs::remove_dir_all(folder).map_err(|source| error(folder, "cleared", source))?;
        std::fs::create_dir_all(folder).map_err(|source| error(folder, "made", source))?;
        Ok(Self { built: None, ..self })
    }

    /// The engine that lies there now is whole, and took that long to build.
    pub fn finish(&self, took: Duration) -> Result<(), CacheError> {
        // Before the manifest says that they are whole.
        for (name, _) in files(&self.folder) {
            let path = self.folder.join(name);
            File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(|source| error(&path, "written", source))?;
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let manifest = Manifest {
            key: self.key.clone(),
            built_at_secs: now.as_secs(),
            took_secs: took.as_secs(),
            files: files(&self.folder),
        };
        let path = self.folder.join(MANIFEST);
        let failed = |source| error(&path, "written", source);
        let text = serde_json::to_vec_pretty(&manifest).map_err(|error| failed(error.into()))?;
        whole::write(&path, &text).map_err(failed)
    }

    /// Files that have appeared although nothing should have been built: ONNX Runtime did not take the engine.
    pub fn surprises(&self) -> Vec<String> {
        let known: BTreeSet<_> =
            self.built.iter().flat_map(|built| &built.files).map(|(name, _)| name).collect();
        let now = files(&self.folder).into_iter().map(|(name, _)| name);
        if self.built.is_none() {
            Vec::new()
        } else {
            now.filter(|name| !known.contains(name)).collect()
        }
    }
}

impl Manifest {
    /// Whether every file is there as it was.
    fn is_whole(&self, folder: &Path) -> bool {
        let now = files(folder);
        // The timing cache grows; an engine is what it was.
        self.files.iter().all(|(name, bytes)| {
            now.iter().any(|(other, len)| other == name && (len == bytes || !is_engine(name)))
        })
    }
}

fn is_engine(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "engine")
}

fn files(folder: &Path) -> Vec<(String, u64)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let data = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            (!name.starts_with(MANIFEST)).then_some((name, data.len()))
        })
        .collect();
    files.sort();
    files
}

fn read(folder: &Path) -> Option<Manifest> {
    let bytes = std::fs::read(folder.join(MANIFEST)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn error(path: &Path, verb: &'static str, source: std::io::Error) -> CacheError {
    CacheError { path: path.to_path_buf(), verb, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key {
            model_sha256: "a".repeat(64),
            onnxruntime: "1.23.2".into(),
            gpu: Gpu { tensorrt: Some("10.3.0".into()), ..Gpu::default() },
            options: 1,
            arithmetic: "fp16".into(),
            providers: vec!["tensorrt".into()],
            batch_max: 4,
            gpu_memory_max: None,
        }
    }

    /// What `TensorRT` would leave behind.
    fn build(place: &Place) {
        std::fs::write(place.folder.join("subgraph_0_sm87.engine"), "weights").unwrap();
        std::fs::write(place.folder.join("sm87.timing"), "times").unwrap();
    }

    #[test]
    fn an_engine_is_found_again_and_only_for_its_own_key() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let place = cache.place(&key()).unwrap();
        assert_eq!((place.built.is_none(), place.expected), (true, None));
        build(&place);
        place.finish(Duration::from_mins(4)).unwrap();
        drop(place);
        let again = cache.place(&key()).unwrap();
        assert_eq!(again.built.as_ref().unwrap().took_secs, 240);
        assert_eq!(again.surprises(), [""; 0]);
        std::fs::write(again.folder.join("subgraph_0_sm87_other.engine"), "").unwrap();
        assert_eq!(again.surprises(), ["subgraph_0_sm87_other.engine"]);

        // Each of these decides what is built.
        let gpu = |gpu: Gpu| Key { gpu, ..key() };
        for other in [
            Key { model_sha256: "b".repeat(64), ..key() },
            Key { onnxruntime: "1.24.0".into(), ..key() },
            Key { arithmetic: "fp32".into(), ..key() },
            Key { providers: vec!["tensorrt".into(), "cpu".into()], ..key() },
            Key { batch_max: 8, ..key() },
            Key { options: 2, ..key() },
            Key { gpu_memory_max: Some(1), ..key() },
            gpu(Gpu { tensorrt: Some("10.7.0".into()), ..Gpu::default() }),
            gpu(Gpu { cuda: Some("12.6".into()), ..key().gpu }),
            gpu(Gpu { compute_capability: Some("8.7".into()), ..key().gpu }),
            gpu(Gpu { l4t: Some("R36".into()), ..key().gpu }),
            gpu(Gpu { name: Some("Orin".into()), ..key().gpu }),
        ] {
            let place = cache.place(&other).unwrap();
            assert!(place.built.is_none(), "{other:?}");
            assert_eq!(place.expected, Some(Duration::from_mins(4)));
        }
        let newer = gpu(Gpu { tensorrt: Some("10.7.0".into()), ..Gpu::default() });
        let why = cache.why_anew(&newer).unwrap();
        assert_eq!(why, "tensorrt was \"10.3.0\", is \"10.7.0\"");
        assert_eq!(cache.why_anew(&key()), None);
    }

    #[test]
    fn a_build_that_was_interrupted_or_damaged_begins_anew() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let interrupted = cache.place(&key()).unwrap();
        build(&interrupted);
        drop(interrupted);
        let place = cache.place(&key()).unwrap();
        assert!(place.built.is_none());
        assert_eq!(files(&place.folder), []);
        drop(place);
        for damage in [
            |folder: &Path| std::fs::write(folder.join(MANIFEST), "{").unwrap(),
            |folder: &Path| std::fs::write(folder.join("subgraph_0_sm87.engine"), "wei").unwrap(),
            |folder: &Path| std::fs::remove_file(folder.join("subgraph_0_sm87.engine")).unwrap(),
        ] {
            let place = cache.place(&key()).unwrap();
            build(&place);
            place.finish(Duration::from_secs(1)).unwrap();
            let folder = place.folder.clone();
            drop(place);
            assert!(cache.place(&key()).unwrap().built.is_some());
            damage(&folder);
            assert!(cache.place(&key()).unwrap().built.is_none());
        }
    }

    #[test]
    fn few_engines_are_kept_and_nothing_else_is_touched() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        std::fs::create_dir(root.path().join("photos")).unwrap();
        for batch_max in 0..ENGINES_MAX + 3 {
            let place = cache.place(&Key { batch_max, ..key() }).unwrap();
            build(&place);
            place.finish(Duration::from_secs(1)).unwrap();
            let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(batch_max as u64);
            File::open(&place.folder).unwrap().set_modified(long_ago).unwrap();
        }
        // The oldest is in use.
        let kept = cache.place(&Key { batch_max: 0, ..key() }).unwrap();
        assert_eq!(cache.sweep(&kept).unwrap(), 3);
        let left = |batch_max| {
            root.path().join(format!("{PREFIX}{}", Key { batch_max, ..key() }.id())).exists()
        };
        assert!(left(0) && !left(1) && !left(2) && !left(3) && left(4));
        assert!(root.path().join("photos").exists());
        assert_eq!(cache.sweep(&kept).unwrap(), 0);
    }

    #[test]
    fn nobody_clears_what_another_builds() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let building = cache.place(&key()).unwrap();
        build(&building);
        let other = cache.clone();
        let waiting = std::thread::spawn(move || other.place(&key()).unwrap().built.is_some());
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished());
        assert_eq!(files(&building.folder).len(), 2);
        building.finish(Duration::from_secs(1)).unwrap();
        drop(building);
        assert!(waiting.join().unwrap(), "the other takes what was built");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Cache::at(&file).place(&key()).unwrap_err().to_string();
        assert!(error.contains("cannot be made") && error.contains("engine.cache"), "{error}");
    }
}

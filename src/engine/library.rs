//! Finds ONNX Runtime's shared library and asks it for its version before `ort` is touched.
//!
//! Owns `dlopen` of that library and one C entry point.
//! A library that is missing, unfit or stuck is told in one line, whereas `ort` would panic or hang.
//! Must not know sessions or models, and reads no environment: where to look comes in as [`Search`].
#![expect(unsafe_code, reason = "dlopen, and a call through a C function pointer")]

use std::{
    ffi::{CStr, c_char, c_void},
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use crossbeam_channel::RecvTimeoutError;
use libloading::Library;

/// What `ort` with its lowest API feature needs.
pub const OLDEST: Version = Version { major: 1, minor: 17, patch: 0 };

/// Loading takes about 0.1 s; a folder on a dead network share would take for ever.
const PROBE_TIMEOUT: Duration = Duration::from_secs(20);

/// The names that a system's packages install.
const SYSTEM_NAMES: [&str; 2] = ["libonnxruntime.so", "libonnxruntime.so.1"];

/// Where to look, in this order.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Named by the command line or the configuration: nothing else is tried.
    pub named: Option<PathBuf>,
    /// Named by an environment variable, with the variable's name: nothing else is tried either.
    pub environment: Option<(String, PathBuf)>,
    /// Folders that may hold the library: beside the executable, a checkout's own.
    pub folders: Vec<PathBuf>,
    /// Whether the system's library path comes next.
    pub system: bool,
    /// Folders for when nothing else has it, the first whose library fits: of Python's packages, and of the package
    /// `sightline-onnxruntime`.
    pub last: Vec<PathBuf>,
}

/// A version of ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        // A build of one's own may say 1.23.2-dev.
        let mut parts = text.split(['.', '-', '+']).map(str::parse);
        let mut next = || parts.next().and_then(Result::ok);
        Some(Self { major: next()?, minor: next()?, patch: next().unwrap_or(0) })
    }
}

impl Version {
    /// What is known to go wrong with this version on that architecture, in the words of `std::env::consts::ARCH`.
    pub fn warning(self, architecture: &str) -> Option<&'static str> {
        let minor = (self.major, self.minor);
        // microsoft/onnxruntime issue 28231: the convolution of KleidiAI keeps memory at every run; mended in 1.27.
        (architecture == "aarch64" && ((1, 24)..=(1, 26)).contains(&minor)).then_some(
            "versions 1.24 to 1.26 leak memory at every frame on some Arm processors: use 1.23 or 1.27",
        )
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Why there is no usable library.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// Nothing was named and nothing was found.
    #[error(
        "ONNX Runtime's library was not found (looked in {looked}); `make run` fetches it, the package sightline-onnxruntime has it, or name it with --onnxruntime FILE"
    )]
    NotFound {
        /// The places, joined by commas.
        looked: String,
    },
    /// A file was named and is not there.
    #[error("ONNX Runtime's library {} ({named_by}) does not exist; name the file libonnxruntime.so of version {OLDEST} or later", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The option, key or variable that named it.
        named_by: String,
    },
    /// The loader refused the file.
    #[error("ONNX Runtime's library {} cannot be loaded on this machine ({cause}); it must be a shared library for this processor", path.display())]
    NotALibrary {
        /// The file.
        path: PathBuf,
        /// The loader's words.
        cause: String,
    },
    /// A library, but another one.
    #[error("{} is a library, but not ONNX Runtime's: it has no OrtGetApiBase; name libonnxruntime.so", path.display())]
    NotOnnxRuntime {
        /// The file.
        path: PathBuf,
    },
    /// A version string that is none.
    #[error("{} calls itself ONNX Runtime version {version:?}, which is no version; name another libonnxruntime.so", path.display())]
    NoVersion {
        /// The file.
        path: PathBuf,
        /// What it said.
        version: String,
    },
    /// Older than what `ort` needs.
    #[error("{} is ONNX Runtime {version}, but {OLDEST} or later is needed", path.display())]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: Version,
    },
    /// A file system, the loader or the library's constructors did not come back.
    #[error(
        "ONNX Runtime's library could not be loaded within {} s from {places}; is that on a network share that is away?",
        PROBE_TIMEOUT.as_secs()
    )]
    Stuck {
        /// Where it was looked for.
        places: String,
    },
    /// No thread for the probe.
    #[error("no thread to load ONNX Runtime's library with: {0}")]
    NoThread(#[source] std::io::Error),
}

/// A library that answered, kept loaded so that `ort` gets the very same one.
#[derive(Debug)]
pub struct Probed {
    /// What to hand to `ort`: a path, or a bare name on the system's library path.
    pub path: PathBuf,
    /// What it calls itself.
    pub version: Version,
    _library: Library,
}

/// Finds the library and asks it for its version.
pub fn probe(search: &Search) -> Result<Probed, LibraryError> {
    let search = search.clone();
    let places = search.places();
    within(PROBE_TIMEOUT, &places, move || match find(&search) {
        Err(LibraryError::NotFound { looked }) => {
            let candidates = search.last.iter().filter_map(|folder| in_folder(folder));
            first_fit(candidates, load).unwrap_or(Err(LibraryError::NotFound { looked }))
        }
        found => load(&found?),
    })
}

impl Search {
    /// Where is looked, for a person.
    fn places(&self) -> String {
        if let Some(path) = self.named.as_ref().or(self.environment.as_ref().map(|(_, path)| path))
        {
            return path.display().to_string();
        }
        let mut looked: Vec<String> =
            self.folders.iter().map(|folder| folder.display().to_string()).collect();
        if self.system {
            looked.push("the system's library path".into());
        }
        looked.extend(self.last.iter().map(|folder| folder.display().to_string()));
        looked.join(", ")
    }
}

/// The first of the candidates that fits: nobody chose them, so that one which does not fit must not hide the next.
/// The first one's error where none does; `None` without candidates.
fn first_fit<T>(
    candidates: impl Iterator<Item = PathBuf>,
    load: impl Fn(&Path) -> Result<T, LibraryError>,
) -> Option<Result<T, LibraryError>> {
    let mut first = None;
    for candidate in candidates {
        match load(&candidate) {
            Ok(fit) => {
                if let Some(why) = first {
                    tracing::warn!("passed over: {why}; {} is used", candidate.display());
                }
                return Some(Ok(fit));
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    first.map(Err)
}

/// Where somebody named it, or where it is looked for before the last folders.
fn find(search: &Search) -> Result<PathBuf, LibraryError> {
    if let Some(path) = &search.named {
        return named(path, "named by --onnxruntime or engine.library");
    }
    if let Some((variable, path)) = &search.environment {
        return named(path, &format!("named by {variable}"));
    }
    if let Some(path) = search.folders.iter().find_map(|folder| in_folder(folder)) {
        return Ok(path);
    }
    if search.system {
        // SAFETY: as in `load`; the system's own library path is trusted like the executable.
        let loads = |name: &str| unsafe { Library::new(name) }.is_ok();
        if let Some(name) = SYSTEM_NAMES.into_iter().find(|name| loads(name)) {
            return Ok(PathBuf::from(name));
        }
    }
    Err(LibraryError::NotFound { looked: search.places() })
}

fn named(path: &Path, named_by: &str) -> Result<PathBuf, LibraryError> {
    // A FIFO or a device would block the loader, so only regular files go on.
    if path.is_file() {
        // The loader takes a name without a slash for one on the library path.
        return Ok(std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()));
    }
    if let Some(inside) = in_folder(path) {
        return Ok(inside);
    }
    Err(LibraryError::Missing { path: path.to_path_buf(), named_by: named_by.into() })
}

/// The plain name first, then the highest version.
fn in_folder(folder: &Path) -> Option<PathBuf> {
    let mut versioned: Vec<(Option<Version>, PathBuf)> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let rest = name.strip_prefix("libonnxruntime.so")?;
            Some((Version::parse(rest.trim_start_matches('.')), entry.path()))
        })
        .filter(|(_, path)| path.is_file())
        .collect();
    versioned.sort();
    let plain = folder.join("libonnxruntime.so");
    let path = if plain.is_file() { plain } else { versioned.pop()?.1 };
    Some(std::path::absolute(&path).unwrap_or(path))
}

/// Probes on a thread of its own: neither a file system, nor the loader, nor a constructor can be interrupted.
fn within(
    timeout: Duration,
    places: &str,
    probe: impl FnOnce() -> Result<Probed, LibraryError> + Send + 'static,
) -> Result<Probed, LibraryError> {
    let (answer, answered) = crossbeam_channel::bounded(1);
    std::thread::Builder::new()
        .name("ort-probe".into())
        .spawn(move || {
            // Nobody waits any more after the time-out.
            drop(answer.send(probe()));
        })
        .map_err(LibraryError::NoThread)?;
    match answered.recv_timeout(timeout) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            Err(LibraryError::Stuck { places: places.into() })
        }
    }
}

/// The head of ONNX Runtime's C interface, unchanged since 1.0 (`onnxruntime_c_api.h`).
#[repr(C)]
struct OrtApiBase {
    get_api: unsafe extern "C" fn(u32) -> *const c_void,
    get_version_string: unsafe extern "C" fn() -> *const c_char,
}

fn load(path: &Path) -> Result<Probed, LibraryError> {
    // SAFETY: loading runs the library's constructors. The file was named by the operator or lies where
    // the installation put it, and is trusted like the executable itself.
    let library = unsafe { Library::new(path) }.map_err(|error| LibraryError::NotALibrary {
        path: path.to_path_buf(),
        cause: crate::fault::one_line(&error),
    })?;
    let text = version_string(&library)
        .ok_or_else(|| LibraryError::NotOnnxRuntime { path: path.to_path_buf() })?;
    let Some(version) = Version::parse(&text) else {
        return Err(LibraryError::NoVersion { path: path.to_path_buf(), version: text });
    };
    if version < OLDEST {
        return Err(LibraryError::TooOld { path: path.to_path_buf(), version });
    }
    Ok(Probed { path: path.to_path_buf(), version, _library: library })
}

fn version_string(library: &Library) -> Option<String> {
    // SAFETY: the symbol's type is that of the public header for every version of ONNX Runtime.
    let get_base: libloading::Symbol<'_, unsafe extern "C" fn() -> *const OrtApiBase> =
        unsafe { library.get(b"OrtGetApiBase\0") }.ok()?;
    // SAFETY: the function takes nothing and returns a pointer to a static structure, or null.
    let base = unsafe { get_base().as_ref() }?;
    // SAFETY: as above; it returns a static string that ends with a zero byte, or null.
    let version = unsafe { (base.get_version_string)() };
    if version.is_null() {
        return None;
    }
    // SAFETY: not null, and static in the library, which is loaded while `library` lives.
    Some(unsafe { CStr::from_ptr(version) }.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("1.9.0") < OLDEST);
        assert!(version("1.17.0-dev") >= OLDEST);
        assert!(version("1.23.2") > version("1.17.3"));
        assert_eq!(Version::parse("garbage"), None);
    }

    #[test]
    fn versions_that_leak_are_known() {
        let warned =
            |text, architecture| Version::parse(text).unwrap().warning(architecture).is_some();
        assert!(warned("1.24.0", "aarch64") && warned("1.26.3", "aarch64"));
        assert!(!warned("1.23.2", "aarch64") && !warned("1.27.0", "aarch64"));
        assert!(!warned("1.25.0", "x86_64"));
    }

    #[test]
    fn a_library_that_does_not_come_back_is_given_up() {
        let asleep = || {
            std::thread::park();
            Err(LibraryError::NotFound { looked: String::new() })
        };
        let stuck = within(Duration::from_millis(20), "slow.so", asleep).unwrap_err();
        assert!(matches!(stuck, LibraryError::Stuck { .. }));
        assert!(stuck.to_string().contains("slow.so"), "{stuck}");
    }

    #[test]
    fn a_library_that_does_not_fit_hides_none_that_does() {
        let check = |candidates: &[&str], expected: Option<Result<&str, &str>>| {
            let load = |path: &Path| match path.to_str() {
                Some("old") => Err(LibraryError::TooOld {
                    path: path.into(),
                    version: Version { major: 1, minor: 16, patch: 3 },
                }),
                Some("broken") => {
                    Err(LibraryError::NotALibrary { path: path.into(), cause: "garbage".into() })
                }
                _ => Ok(path.to_path_buf()),
            };
            match (first_fit(candidates.iter().map(PathBuf::from), load), expected) {
                (None, None) => {}
                (Some(Ok(path)), Some(Ok(fit))) => assert_eq!(path, Path::new(fit)),
                (Some(Err(error)), Some(Err(told))) => {
                    assert!(error.to_string().contains(told), "{error}");
                }
                (found, _) => panic!("{candidates:?}: {found:?}"),
            }
        };
        check(&[], None);
        check(&["fit", "old"], Some(Ok("fit")));
        check(&["old", "broken", "fit", "fit too"], Some(Ok("fit")));
        check(&["old", "broken"], Some(Err("old is ONNX Runtime 1.16.3")));
        check(&["broken", "old"], Some(Err("garbage")));
    }

    #[test]
    fn the_last_folders_are_tried_one_after_another() {
        let (unfit, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(unfit.path().join("libonnxruntime.so"), "no library").unwrap();
        let folders = |last: &[&Path]| Search {
            last: last.iter().map(|folder| folder.to_path_buf()).collect(),
            ..Search::default()
        };
        let refused = probe(&folders(&[empty.path(), unfit.path()])).unwrap_err();
        assert!(matches!(refused, LibraryError::NotALibrary { .. }), "{refused}");
        let absent = probe(&folders(&[empty.path()])).unwrap_err();
        assert!(matches!(absent, LibraryError::NotFound { .. }), "{absent}");
    }

    #[test]
    fn the_plain_name_wins_over_versions_and_versions_are_compared_as_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let touch = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
        assert_eq!(in_folder(folder.path()), None);
        touch("libonnxruntime.so.1.9.0");
        touch("libonnxruntime.so.1.23.2");
        touch("libonnxruntime_providers_shared.so");
        let found = in_folder(folder.path()).unwrap();
        assert!(found.ends_with("libonnxruntime.so.1.23.2"), "{}", found.display());
        touch("libonnxruntime.so");
        assert!(in_folder(folder.path()).unwrap().ends_with("libonnxruntime.so"));
    }
}

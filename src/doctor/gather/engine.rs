//! ONNX Runtime's library with what it was built for, and the GPU with its libraries.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{Root, Wanted};
use crate::{
    doctor::{
        facts::{Engine, Library},
        parse,
    },
    engine::{
        Provider, Runtime,
        gpu::{self, Gpu, Places},
        onnx,
    },
    fault::one_line,
};

/// How the library's file is called, up to its version.
const LIBRARY: &str = "libonnxruntime.so";
/// The files of the providers, beside the library.
const SHARED: &str = "libonnxruntime_providers_shared.so";
const PROVIDERS: [(Provider, &str); 2] = [
    (Provider::TensorRt, "libonnxruntime_providers_tensorrt.so"),
    (Provider::Cuda, "libonnxruntime_providers_cuda.so"),
];
/// CUDA's provider has its kernels in it, hundreds of megabytes: it is read in pieces, and no further than this.
const PROVIDER_BYTES_MAX: usize = 2 << 30;
const PIECE: usize = 1 << 20;
/// Longer than the name of any library that is looked for.
const OVERLAP: usize = 64;
/// Libraries whose major version is in their name.
const LINKED: [&str; 4] = ["libnvinfer.so.", "libcudart.so.", "libcudnn.so.", "libcublas.so."];

pub(super) fn look(root: &Root, wanted: &Wanted) -> Engine {
    let places = Places { l4t: root.path("/etc/nv_tegra_release"), ..Places::default() };
    let gpu = if root.is_system() { Gpu::probe(&places, 0) } else { Gpu::default() };
    let wanted_names = wanted.providers.iter().map(ToString::to_string).collect();
    let found = Runtime::start(&wanted.search);
    let (library, missing) = match found {
        Ok(runtime) => (Some(library(root, &runtime)), None),
        Err(error) => (None, Some(one_line(&error))),
    };
    Engine { library, missing, gpu, wanted: wanted_names }
}

fn library(root: &Root, runtime: &Runtime) -> Library {
    let providers: Vec<_> =
        Provider::ALL.into_iter().filter(|provider| onnx::has(runtime, *provider)).collect();
    let folder = folder(root, runtime.library());
    let files = PROVIDERS.iter().filter(|(provider, _)| providers.contains(provider));
    let (mut linked, mut files_missing) = (Vec::new(), Vec::new());
    if let Some(folder) = &folder {
        let mut is_needed = false;
        for (_, file) in files {
            is_needed = true;
            match linked_by(&folder.join(file)) {
                Ok(names) => linked.extend(names),
                Err(_absent) => files_missing.push((*file).to_owned()),
            }
        }
        if is_needed && !folder.join(SHARED).is_file() {
            files_missing.push(SHARED.to_owned());
        }
    }
    linked.sort();
    linked.dedup();
    let linked_missing = not_loaded(&linked, folder.as_deref());
    Library {
        path: runtime.library().display().to_string(),
        version: runtime.version().to_string(),
        warning: runtime.version().warning(std::env::consts::ARCH).map(Into::into),
        providers: providers.iter().map(ToString::to_string).collect(),
        linked,
        linked_missing,
        files_missing,
        is_folder_unknown: folder.is_none(),
    }
}

/// Where the library lies; of a bare name on the system's path the loader knows, which has it in memory.
fn folder(root: &Root, library: &Path) -> Option<PathBuf> {
    let named = library.parent().filter(|folder| folder.is_dir()).map(Path::to_path_buf);
    named.or_else(|| {
        let maps = root.text("/proc/self/maps")?;
        Path::new(parse::mapped(&maps, LIBRARY)?).parent().map(Path::to_path_buf)
    })
}

/// Those that the loader finds neither by its own ways nor beside the provider.
fn not_loaded(names: &[String], folder: Option<&Path>) -> Vec<String> {
    let beside = |name: &str| folder.map(|folder| folder.join(name)).filter(|path| path.is_file());
    let loads = |name: &str| {
        gpu::loads(name) || beside(name).is_some_and(|path| gpu::loads(&path.to_string_lossy()))
    };
    names.iter().filter(|name| !loads(name)).cloned().collect()
}

/// The libraries that a provider's file names among those it needs.
fn linked_by(path: &Path) -> std::io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let (mut piece, mut kept, mut names) = (vec![0; PIECE], 0, Vec::new());
    for _ in 0..PROVIDER_BYTES_MAX / (PIECE - OVERLAP) {
        let read = file.read(&mut piece[kept..])?;
        if read == 0 {
            break;
        }
        let len = kept + read;
        names.extend(parse::linked(&piece[..len], &LINKED));
        // A name may lie across the edge of two pieces.
        kept = len.min(OVERLAP);
        piece.copy_within(len - kept..len, 0);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_across_two_pieces_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(PROVIDERS[0].1);
        let mut bytes = vec![b'x'; PIECE - 9];
        bytes.extend(b"\0libnvinfer.so.8\0");
        bytes.resize(2 * PIECE, b'y');
        bytes.extend(b"\0libcudart.so.11\0");
        std::fs::write(&path, bytes).unwrap();
        let mut names = linked_by(&path).unwrap();
        names.dedup();
        assert_eq!(names, ["libnvinfer.so.8", "libcudart.so.11"]);
        assert!(linked_by(&folder.path().join("none.so")).is_err());
    }

    #[test]
    fn a_library_that_the_loader_does_not_find_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["libm.so.6", "libcudnn.so.999"].map(String::from);
        assert_eq!(not_loaded(&names, None), ["libcudnn.so.999"]);
        // A file of that name that is no library does not help.
        std::fs::write(folder.path().join("libcudnn.so.999"), "no library").unwrap();
        assert_eq!(not_loaded(&names, Some(folder.path())), ["libcudnn.so.999"]);
    }

    #[test]
    fn a_library_on_the_systems_path_lies_where_the_loader_has_it() {
        let planted = tempfile::tempdir().unwrap();
        let maps = planted.path().join("proc/self/maps");
        std::fs::create_dir_all(maps.parent().unwrap()).unwrap();
        std::fs::write(maps, "7f-80 r-xp 0 08:01 9 /opt/ort/libonnxruntime.so.1.23.2\n").unwrap();
        let root = Root::at(planted.path());
        assert_eq!(folder(&root, Path::new(LIBRARY)), Some("/opt/ort".into()));
        assert_eq!(folder(&root, &planted.path().join(LIBRARY)), Some(planted.path().into()));
        assert_eq!(folder(&Root::at(Path::new("/nowhere")), Path::new(LIBRARY)), None);
    }
}

//! Which GPU is here, and with which libraries: what an engine that `TensorRT` built depends on.
//!
//! Owns the calls into NVIDIA's libraries, which are looked for and never linked: where there is none, there is no GPU.
//! Must not know ONNX Runtime; it asks for versions only and computes nothing.
#![expect(unsafe_code, reason = "dlopen, and calls through C function pointers")]

use std::{
    ffi::{c_char, c_int},
    path::Path,
};

use libloading::{Library, Symbol};
use serde::{Deserialize, Serialize};

/// NVIDIA's names, the newest first.
const TENSORRT: [&str; 3] = ["libnvinfer.so.10", "libnvinfer.so.8", "libnvinfer.so"];
const DRIVER: [&str; 2] = ["libcuda.so.1", "libcuda.so"];
/// The release of Linux for Tegra, on Jetson boards.
const L4T: &str = "/etc/nv_tegra_release";
/// Attributes of a device in `cuda.h`, unchanged since CUDA 5.
const COMPUTE_CAPABILITY: [c_int; 2] = [75, 76];
const NAME_LEN_MAX: u8 = 255;

/// The GPU and what it runs with; a part that is not here is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpu {
    /// Its name.
    pub name: Option<String>,
    /// Its compute capability, such as 8.7.
    pub compute_capability: Option<String>,
    /// The CUDA version that the driver is for, such as 12.6.
    pub cuda: Option<String>,
    /// The version of `TensorRT`, such as 10.3.0.
    pub tensorrt: Option<String>,
    /// The release of Linux for Tegra, such as "R36 REVISION: 4.3".
    pub l4t: Option<String>,
}

/// Where to look.
#[derive(Clone, Debug)]
pub struct Places {
    /// Names or paths of `TensorRT`'s library.
    pub tensorrt: Vec<String>,
    /// Names or paths of the driver's library.
    pub driver: Vec<String>,
    /// The file that names the release of Linux for Tegra.
    pub l4t: std::path::PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            tensorrt: TENSORRT.map(String::from).to_vec(),
            driver: DRIVER.map(String::from).to_vec(),
            l4t: L4T.into(),
        }
    }
}

impl Gpu {
    /// What is here, for a device counted from 0.
    pub fn probe(places: &Places, device: i32) -> Self {
        let driver = open(&places.driver).and_then(|library| driver(&library, device));
        let (name, compute_capability, cuda) = driver.unwrap_or_default();
        Self {
            name,
            compute_capability,
            cuda,
            tensorrt: open(&places.tensorrt).and_then(|library| tensorrt(&library)),
            l4t: l4t(&places.l4t),
        }
    }
}

/// Whether the loader finds and loads a library of that name or path, with all that it needs itself.
pub fn loads(name: &str) -> bool {
    open(&[name.to_owned()]).is_some()
}

fn open(names: &[String]) -> Option<Library> {
    // SAFETY: loading runs the library's constructors; the system's own libraries are trusted like the executable.
    names.iter().find_map(|name| unsafe { Library::new(name) }.ok())
}

/// `getInferLibVersion` of `NvInferRuntime.h`: 100300 is 10.3.0 since version 10, 8602 is 8.6.2 before.
fn tensorrt(library: &Library) -> Option<String> {
    // SAFETY: the symbol's type is that of the public header since TensorRT 5.
    let version: Symbol<'_, unsafe extern "C" fn() -> i32> =
        unsafe { library.get(b"getInferLibVersion\0") }.ok()?;
    // SAFETY: it takes nothing and returns a number.
    let number = unsafe { version() };
    let major = if number >= 100_000 { 10_000 } else { 1_000 };
    Some(format!("{}.{}.{}", number / major, number % major / 100, number % 100))
}

type Driver = (Option<String>, Option<String>, Option<String>);

/// Name, compute capability and CUDA version, by the driver's interface (`cuda.h`).
fn driver(library: &Library, device: c_int) -> Option<Driver> {
    type Init = unsafe extern "C" fn(u32) -> c_int;
    type OfInt = unsafe extern "C" fn(*mut c_int) -> c_int;
    type Get = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
    type Name = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
    type Attribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;
    // SAFETY: the symbols' types are those of the public header.
    let (init, version, get, name, attribute) = unsafe {
        (
            library.get::<Init>(b"cuInit\0").ok()?,
            library.get::<OfInt>(b"cuDriverGetVersion\0").ok()?,
            library.get::<Get>(b"cuDeviceGet\0").ok()?,
            library.get::<Name>(b"cuDeviceGetName\0").ok()?,
            library.get::<Attribute>(b"cuDeviceGetAttribute\0").ok()?,
        )
    };
    let (mut number, mut handle) = (0, 0);
    // SAFETY: each writes one number through a pointer that is valid for the call.
    let (has_version, has_device) = unsafe {
        // Without it every other call fails; so it does where there is a library and no GPU.
        let is_up = init(0) == 0;
        (version(&raw mut number) == 0, is_up && get(&raw mut handle, device) == 0)
    };
    let cuda = has_version.then(|| format!("{}.{}", number / 1000, number % 1000 / 10));
    if !has_device {
        return Some((None, None, cuda));
    }
    let mut text = vec![0u8; usize::from(NAME_LEN_MAX)];
    // SAFETY: it writes at most the length that it is told, with a zero byte at the end.
    let has_name =
        unsafe { name(text.as_mut_ptr().cast(), c_int::from(NAME_LEN_MAX), handle) } == 0;
    let name = has_name.then(|| {
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        String::from_utf8_lossy(&text[..end]).into_owned()
    });
    let capability = COMPUTE_CAPABILITY.map(|which| {
        let mut value = 0;
        // SAFETY: as above.
        (unsafe { attribute(&raw mut value, which, handle) } == 0).then_some(value)
    });
    let capability = match capability {
        [Some(major), Some(minor)] => Some(format!("{major}.{minor}")),
        _ => None,
    };
    Some((name, capability, cuda))
}

/// The first line is `# R36 (release), REVISION: 4.3, GCID: ...`; what follows the revision changes without a new release.
fn l4t(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim_start_matches(['#', ' ']);
    let mut parts = line.split(", ");
    let (release, revision) = (parts.next()?, parts.next()?);
    Some(format!("{} {revision}", release.trim_end_matches(" (release)")))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Stand-ins with NVIDIA's names and signatures, built by the machine's own C compiler.
    const STAND_INS: &str = r#"
        #include <string.h>
        int getInferLibVersion(void) { return VERSION; }
        int cuInit(unsigned flags) { return flags; }
        int cuDriverGetVersion(int *version) { *version = 12060; return 0; }
        int cuDeviceGet(int *device, int index) { *device = index + 40; return index == 0 ? 0 : 101; }
        int cuDeviceGetName(char *name, int len, int device) { strncpy(name, "Orin", len); return device != 40; }
        int cuDeviceGetAttribute(int *value, int which, int device) { *value = which == 75 ? 8 : 7; return device != 40; }
    "#;

    fn built(folder: &Path, version: u32) -> String {
        let source = folder.join("stand_ins.c");
        std::fs::write(&source, STAND_INS).unwrap();
        let library = folder.join(format!("libstandins-{version}.so"));
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", &format!("-DVERSION={version}"), "-o"])
            .args([&library, &source])
            .status()
            .unwrap();
        assert!(status.success());
        library.display().to_string()
    }

    #[test]
    fn the_libraries_are_asked_by_their_public_interface() {
        let folder = tempfile::tempdir().unwrap();
        let l4t = folder.path().join("nv_tegra_release");
        std::fs::write(&l4t, "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n")
            .unwrap();
        let library = built(folder.path(), 100_300);
        let places =
            Places { tensorrt: vec![library.clone()], driver: vec![library], l4t: l4t.clone() };
        let orin = Gpu {
            name: Some("Orin".into()),
            compute_capability: Some("8.7".into()),
            cuda: Some("12.6".into()),
            tensorrt: Some("10.3.0".into()),
            l4t: Some("R36 REVISION: 4.3".into()),
        };
        assert_eq!(Gpu::probe(&places, 0), orin);
        // A device that is not there leaves what the libraries say of themselves.
        let absent = Gpu { name: None, compute_capability: None, ..orin };
        assert_eq!(Gpu::probe(&places, 1), absent);
        let old = Places { tensorrt: vec![built(folder.path(), 8602)], ..places };
        assert_eq!(Gpu::probe(&old, 0).tensorrt.as_deref(), Some("8.6.2"));
    }

    #[test]
    fn where_there_is_no_gpu_nothing_is_known() {
        let nowhere = Places {
            tensorrt: vec!["libnone.so.9".into()],
            driver: vec!["libnone.so.9".into()],
            l4t: "/nonexistent".into(),
        };
        assert_eq!(Gpu::probe(&nowhere, 0), Gpu::default());
    }
}

//! ONNX Runtime against TensorRT, CUDA and the GPU: which pairs are known to go wrong.
//!
//! Pure. Owns the table of pairs.

use crate::doctor::{
    Area, Finding,
    facts::{Engine, Library, System},
    parse,
};

const AREA: Area = Area::Engine;

/// The release of TensorRT that each minor release of ONNX Runtime 1 is made and tested with
/// (onnxruntime.ai, "TensorRT execution provider", requirements).
const PAIRS: [(u32, (u32, u32)); 7] = [
    (16, (8, 6)),
    (17, (8, 6)),
    (18, (10, 0)),
    (19, (10, 2)),
    (20, (10, 4)),
    (21, (10, 8)),
    (22, (10, 9)),
];

pub(super) fn findings(engine: &Engine, system: &System) -> Vec<Finding> {
    let mut findings = Vec::new();
    match (&engine.library, &engine.missing) {
        (Some(library), _) => {
            findings.push(Finding::ok(
                AREA,
                format!(
                    "ONNX Runtime {} ({}), with {}",
                    library.version,
                    library.path,
                    library.providers.join(", ")
                ),
            ));
            findings.extend(of_library(library));
            findings.extend(providers(engine, library, system.l4t.is_some()));
            findings.extend(pairs(engine, library));
        }
        (None, missing) => {
            let what = missing.clone().unwrap_or_else(|| "ONNX Runtime was not found".into());
            let remedy = if system.l4t.is_some() {
                "docs/jetson.md says for each JetPack which ONNX Runtime to install, and how"
            } else {
                "install ONNX Runtime 1.23.2 and name its file in engine.library"
            };
            findings.push(Finding::bad(AREA, what, remedy));
        }
    }
    findings.push(gpu(engine));
    findings
}

fn of_library(library: &Library) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(warning) = &library.warning {
        let what = format!("ONNX Runtime {}: {warning}", library.version);
        findings.push(Finding::warn(
            AREA,
            what,
            "install another version; docs/jetson.md names one for each JetPack",
        ));
    }
    if !library.files_missing.is_empty() {
        let what = format!("{} lacks {}", library.path, library.files_missing.join(", "));
        let remedy = "copy them from the same build into the folder of libonnxruntime.so: a provider is loaded from there";
        findings.push(Finding::bad(AREA, what, remedy));
    }
    findings
}

/// Whether what is wanted is there.
fn providers(engine: &Engine, library: &Library, is_jetson: bool) -> Vec<Finding> {
    let missing: Vec<_> =
        engine.wanted.iter().filter(|wanted| !library.providers.contains(wanted)).collect();
    if let [first, ..] = missing[..] {
        let what =
            format!("engine.providers wants {first}, and this ONNX Runtime was built without it");
        let remedy = if is_jetson {
            "install the ONNX Runtime that docs/jetson.md names for this JetPack, or take it out of engine.providers"
        } else {
            "install a build of ONNX Runtime that has it, or take it out of engine.providers"
        };
        return vec![Finding::bad(AREA, what, remedy)];
    }
    let has_gpu_provider = library.providers.iter().any(|name| name == "tensorrt");
    if is_jetson && !has_gpu_provider {
        let what = "this ONNX Runtime runs on the processor only, on a board with a GPU";
        return vec![Finding::warn(
            AREA,
            what,
            "install the ONNX Runtime that docs/jetson.md names for this JetPack",
        )];
    }
    let wants_processor_only = engine.wanted.iter().all(|name| name == "cpu");
    if has_gpu_provider && !engine.wanted.is_empty() && wants_processor_only {
        let what = "TensorRT is there, and engine.providers lists the processor only";
        return vec![Finding::note(
            AREA,
            what,
            Some("engine.providers = [\"tensorrt\", \"cuda\", \"cpu\"] uses it"),
        )];
    }
    Vec::new()
}

/// ONNX Runtime's providers against NVIDIA's libraries of this machine.
fn pairs(engine: &Engine, library: &Library) -> Vec<Finding> {
    if !library.providers.iter().any(|name| name == "tensorrt" || name == "cuda") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let linked = |stem: &str| {
        library.linked.iter().find_map(|name| name.strip_prefix(stem)?.parse::<u32>().ok())
    };
    let tensorrt = engine.gpu.tensorrt.as_deref().and_then(parse::major_minor);
    let cuda = engine.gpu.cuda.as_deref().and_then(parse::major_minor);
    let version = &library.version;
    match (linked("libnvinfer.so."), tensorrt) {
        (Some(built), Some((here, _))) if built != here => {
            let what = format!(
                "ONNX Runtime {version} was built for TensorRT {built}, and here is {here}"
            );
            findings.push(Finding::bad(AREA, what, "its TensorRT provider cannot be loaded: install the build that docs/jetson.md names for this JetPack"));
        }
        (built, Some(here)) => findings.extend(tested(version, here, built.is_some())),
        (Some(_), None) => {
            let remedy = "install it: `sudo apt-get install tensorrt` on JetPack, or list only what is there in engine.providers";
            findings.push(Finding::bad(AREA, "TensorRT's library libnvinfer is not here", remedy));
        }
        (None, None) => {}
    }
    if let (Some(built), Some((here, minor))) = (linked("libcudart.so."), cuda)
        && built > here
    {
        let what = format!(
            "ONNX Runtime {version} was built for CUDA {built}, and the driver is for {here}.{minor}"
        );
        findings.push(Finding::bad(
            AREA,
            what,
            "install a build for this CUDA: an older driver runs no newer CUDA",
        ));
    }
    findings
}

/// Another minor release than the tested one usually works, and is the first thing to change when it does not. Another
/// major one never does, unless the build `is_linked` with the one that is here, whatever others of that version are.
fn tested(version: &str, here: (u32, u32), is_linked: bool) -> Option<Finding> {
    let (major, minor) = parse::major_minor(version)?;
    let told = format!("ONNX Runtime {version} on TensorRT {}.{}", here.0, here.1);
    let pair = PAIRS.iter().find(|(known, _)| (1, *known) == (major, minor));
    match pair {
        Some((_, tested)) if tested.0 != here.0 && !is_linked => {
            let what = format!("{told}: it is made for {}.{}", tested.0, tested.1);
            Some(Finding::bad(
                AREA,
                what,
                "TensorRT 8 and 10 have different interfaces: install the build that docs/jetson.md names for this JetPack",
            ))
        }
        Some((_, tested)) if *tested != here => {
            let what = format!("{told}: it is tested with {}.{}", tested.0, tested.1);
            Some(Finding::note(
                AREA,
                what,
                Some(
                    "if the golden frames disagree or the build fails, take the version of ONNX Runtime that is tested with this TensorRT (docs/jetson.md)",
                ),
            ))
        }
        Some(_) => Some(Finding::ok(AREA, format!("{told}, a tested pair"))),
        None => Some(Finding::note(
            AREA,
            format!("{told}: no tested pair is known of that version"),
            None,
        )),
    }
}

fn gpu(engine: &Engine) -> Finding {
    let gpu = &engine.gpu;
    let library = |name: &str, version: &Option<String>| {
        version.as_ref().map_or(format!("no {name}"), |version| format!("{name} {version}"))
    };
    let libraries =
        format!("{}, {}", library("CUDA", &gpu.cuda), library("TensorRT", &gpu.tensorrt));
    let wants_gpu = engine.wanted.iter().any(|name| name != "cpu");
    match (&gpu.name, wants_gpu) {
        (Some(name), _) => {
            let capability = gpu.compute_capability.as_deref().unwrap_or("unknown");
            Finding::ok(AREA, format!("GPU {name} of compute capability {capability}; {libraries}"))
        }
        (None, true) => Finding::bad(
            AREA,
            format!("engine.providers wants a GPU, and none answers ({libraries})"),
            "is its driver loaded, may this user open its devices (group video)? On a Jetson restart the board",
        ),
        (None, false) => Finding::note(AREA, format!("no NVIDIA GPU; {libraries}"), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{doctor::Level, engine::gpu::Gpu};

    fn engine(version: &str, tensorrt: &str, linked: &[&str]) -> Engine {
        let library = Library {
            path: "/usr/lib/libonnxruntime.so".into(),
            version: version.into(),
            warning: None,
            providers: vec!["tensorrt".into(), "cuda".into(), "cpu".into()],
            linked: linked.iter().map(|name| (*name).to_owned()).collect(),
            files_missing: Vec::new(),
        };
        let gpu = Gpu {
            name: Some("Orin".into()),
            compute_capability: Some("8.7".into()),
            cuda: Some("12.6".into()),
            tensorrt: Some(tensorrt.into()),
            l4t: None,
        };
        Engine { library: Some(library), missing: None, gpu, wanted: vec!["tensorrt".into()] }
    }

    #[test]
    fn known_pairs_of_onnx_runtime_and_tensorrt_are_told() {
        let check = |version, tensorrt, linked: &[&str], level, word: &str| {
            let found = findings(&engine(version, tensorrt, linked), &System::default());
            let worst = found.iter().max_by_key(|finding| finding.level).unwrap();
            assert_eq!(worst.level, level, "{version} {tensorrt}: {found:?}");
            assert!(found.iter().any(|finding| finding.what.contains(word)), "{word}: {found:?}");
        };
        check(
            "1.20.0",
            "10.4.0",
            &["libnvinfer.so.10", "libcudart.so.12"],
            Level::Ok,
            "tested pair",
        );
        check("1.19.2", "10.3.0", &["libnvinfer.so.10"], Level::Note, "it is tested with 10.2");
        check("1.18.0", "8.6.2", &["libnvinfer.so.8"], Level::Note, "it is tested with 10.0");
        check("1.17.0", "10.3.0", &[], Level::Bad, "it is made for 8.6");
        // What it was linked with is known, whatever the table says.
        check(
            "1.25.1",
            "8.6.2",
            &["libnvinfer.so.10"],
            Level::Bad,
            "built for TensorRT 10, and here is 8",
        );
        check(
            "1.24.2",
            "10.13.0",
            &["libnvinfer.so.10", "libcudart.so.13"],
            Level::Bad,
            "built for CUDA 13",
        );
        check("1.26.0", "10.16.2", &["libnvinfer.so.10"], Level::Note, "no tested pair is known");
    }

    #[test]
    fn a_wish_that_this_machine_cannot_fulfil_is_bad() {
        let mut engine = engine("1.20.0", "10.4.0", &[]);
        engine.gpu = Gpu::default();
        let told = |engine: &Engine| {
            let found = findings(engine, &System::default());
            found.into_iter().filter(|finding| finding.level == Level::Bad).collect::<Vec<_>>()
        };
        assert!(told(&engine)[0].what.contains("none answers"));
        engine.library.as_mut().unwrap().providers = vec!["cpu".into()];
        assert!(told(&engine)[0].what.contains("built without it"));
        engine.wanted = vec!["cpu".into()];
        assert_eq!(told(&engine), []);
        let nothing = Engine::default();
        assert!(told(&nothing)[0].remedy.as_ref().unwrap().contains("engine.library"));
    }
}

//! ONNX Runtime against TensorRT, CUDA and the GPU: which pairs are known to go wrong.
//!
//! Pure. Owns the table of pairs.

use crate::doctor::{
    Area, Finding, Level,
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
    let wish = Wish { wanted: &engine.wanted, is_jetson: system.l4t.is_some() };
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
            findings.extend(leak(library, wish));
            findings.extend(files(library, wish));
            findings.extend(providers(library, wish));
            findings.extend(pairs(engine, library, wish));
        }
        (None, missing) => {
            let what = missing.clone().unwrap_or_else(|| "ONNX Runtime was not found".into());
            let remedy = if wish.is_jetson {
                "docs/jetson.md says for each JetPack which ONNX Runtime to install, and how"
            } else {
                "install ONNX Runtime 1.23.2 and name its file in engine.library"
            };
            findings.push(Finding::bad(AREA, what, remedy));
        }
    }
    findings.push(gpu(engine, wish));
    findings
}

/// What the line is to run on, as far as a configuration says.
#[derive(Clone, Copy)]
struct Wish<'a> {
    wanted: &'a [String],
    is_jetson: bool,
}

impl Wish<'_> {
    /// How much it matters that none of these providers works: who does not want them loses nothing. Where nobody said
    /// what is wanted, a Jetson is there for its GPU.
    fn level(self, providers: &[&str]) -> Level {
        if self.wanted.iter().any(|wanted| providers.contains(&wanted.as_str())) {
            Level::Bad
        } else if self.wanted.is_empty() && self.is_jetson {
            Level::Warn
        } else {
            Level::Note
        }
    }

    fn finding(self, providers: &[&str], what: String, remedy: &str) -> Finding {
        let level = self.level(providers);
        Finding { area: AREA, level, what, remedy: Some(remedy.to_owned()) }
    }
}

const TENSORRT: &[&str] = &["tensorrt"];
const CUDA: &[&str] = &["cuda"];
/// TensorRT's provider needs what CUDA's needs.
const EITHER: &[&str] = &["tensorrt", "cuda"];

/// The providers that cannot be loaded without a file or library of that name.
fn needing(name: &str) -> &'static [&'static str] {
    if name.contains("tensorrt") || name.starts_with("libnvinfer") {
        TENSORRT
    } else if name.contains("providers_cuda") {
        CUDA
    } else {
        EITHER
    }
}

/// The leak of some versions on Arm: it is the processor's, and some releases of `JetPack` have no choice.
fn leak(library: &Library, wish: Wish<'_>) -> Option<Finding> {
    let warning = library.warning.as_ref()?;
    let what = format!("ONNX Runtime {}: {warning}", library.version);
    let is_tensorrt_first = wish.wanted.first().is_some_and(|first| first == "tensorrt");
    Some(if is_tensorrt_first && library.providers.iter().any(|name| name == "tensorrt") {
        let remedy = "TensorRT is first, and does not leak; watch the memory where the line falls back to the processor";
        Finding::note(AREA, what, Some(remedy))
    } else {
        let remedy = "take such a version where one is built for this machine; where there is none, with TensorRT first in engine.providers the processor computes nothing";
        Finding::warn(AREA, what, remedy)
    })
}

/// What the providers are loaded from.
fn files(library: &Library, wish: Wish<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &library.files_missing {
        let what = format!("{} lacks {file}", library.path);
        let remedy = "copy it from the same build into the folder of libonnxruntime.so: a provider is loaded from there";
        findings.push(wish.finding(needing(file), what, remedy));
    }
    for name in &library.linked_missing {
        let what = format!(
            "ONNX Runtime {} was built for {name}, which the loader does not find here",
            library.version
        );
        let remedy = "install it, or the build of ONNX Runtime that docs/jetson.md names for this JetPack: a wheel of another JetPack looks for another CUDA, cuDNN or TensorRT";
        findings.push(wish.finding(needing(name), what, remedy));
    }
    if library.is_folder_unknown && library.providers.iter().any(|name| name != "cpu") {
        let what = format!(
            "it is not known where {} lies: what its providers were linked with is not checked",
            library.path
        );
        findings.push(Finding::note(AREA, what, Some("name its file in engine.library")));
    }
    findings
}

/// Whether what is wanted is there.
fn providers(library: &Library, wish: Wish<'_>) -> Vec<Finding> {
    let missing: Vec<_> =
        wish.wanted.iter().filter(|wanted| !library.providers.contains(wanted)).collect();
    if let [first, ..] = missing[..] {
        let what =
            format!("engine.providers wants {first}, and this ONNX Runtime was built without it");
        let remedy = if wish.is_jetson {
            "install the ONNX Runtime that docs/jetson.md names for this JetPack, or take it out of engine.providers"
        } else {
            "install a build of ONNX Runtime that has it, or take it out of engine.providers"
        };
        return vec![Finding::bad(AREA, what, remedy)];
    }
    let of_gpu = library.providers.iter().find(|name| *name != "cpu");
    let wants_processor_only = wish.wanted.iter().all(|name| name == "cpu");
    match of_gpu {
        None if wish.is_jetson => {
            let what = "this ONNX Runtime runs on the processor only, on a board with a GPU";
            let remedy = "install the ONNX Runtime that docs/jetson.md names for this JetPack";
            vec![Finding::warn(AREA, what, remedy)]
        }
        Some(name) if !wish.wanted.is_empty() && wants_processor_only => {
            let what = format!("{name} is there, and engine.providers lists the processor only");
            let remedy = format!("engine.providers = [\"{name}\", \"cpu\"] uses it");
            vec![Finding::note(AREA, what, Some(&remedy))]
        }
        _ => Vec::new(),
    }
}

/// ONNX Runtime's providers against NVIDIA's libraries of this machine.
fn pairs(engine: &Engine, library: &Library, wish: Wish<'_>) -> Vec<Finding> {
    if !library.providers.iter().any(|name| EITHER.contains(&name.as_str())) {
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
            findings.push(wish.finding(TENSORRT, what, "its TensorRT provider cannot be loaded: install the build that docs/jetson.md names for this JetPack"));
        }
        (built, Some(here)) => findings.extend(tested(version, here, built.is_some(), wish)),
        (Some(_), None) => {
            let remedy = "install it: `sudo apt-get install tensorrt` on JetPack, or list only what is there in engine.providers";
            let what = "TensorRT's library libnvinfer is not here".to_owned();
            findings.push(wish.finding(TENSORRT, what, remedy));
        }
        (None, None) => {}
    }
    if let (Some(built), Some((here, minor))) = (linked("libcudart.so."), cuda)
        && built > here
    {
        let what = format!(
            "ONNX Runtime {version} was built for CUDA {built}, and the driver is for {here}.{minor}"
        );
        let remedy = "install a build for this CUDA: an older driver runs no newer CUDA";
        findings.push(wish.finding(EITHER, what, remedy));
    }
    findings
}

/// Another minor release than the tested one usually works, and is the first thing to change when it does not. Another
/// major one never does, unless the build `is_linked` with the one that is here, whatever others of that version are.
fn tested(version: &str, here: (u32, u32), is_linked: bool, wish: Wish<'_>) -> Option<Finding> {
    let (major, minor) = parse::major_minor(version)?;
    let told = format!("ONNX Runtime {version} on TensorRT {}.{}", here.0, here.1);
    let pair = PAIRS.iter().find(|(known, _)| (1, *known) == (major, minor));
    match pair {
        Some((_, tested)) if tested.0 != here.0 && !is_linked => {
            let what = format!("{told}: it is made for {}.{}", tested.0, tested.1);
            Some(wish.finding(
                TENSORRT,
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

fn gpu(engine: &Engine, wish: Wish<'_>) -> Finding {
    let gpu = &engine.gpu;
    let library = |name: &str, version: &Option<String>| {
        version.as_ref().map_or(format!("no {name}"), |version| format!("{name} {version}"))
    };
    let libraries =
        format!("{}, {}", library("CUDA", &gpu.cuda), library("TensorRT", &gpu.tensorrt));
    let wants_gpu = engine.wanted.iter().any(|name| name != "cpu");
    let remedy = "is its driver loaded, may this user open its devices (groups video and render)? On a Jetson restart the board";
    match &gpu.name {
        Some(name) => {
            let capability = gpu.compute_capability.as_deref().unwrap_or("unknown");
            Finding::ok(AREA, format!("GPU {name} of compute capability {capability}; {libraries}"))
        }
        None if wants_gpu => {
            let what = format!("engine.providers wants a GPU, and none answers ({libraries})");
            Finding::bad(AREA, what, remedy)
        }
        // Where nobody said what is wanted, a Jetson is there for its GPU.
        None if wish.is_jetson && engine.wanted.is_empty() => {
            Finding::warn(AREA, format!("this board's GPU does not answer ({libraries})"), remedy)
        }
        None => Finding::note(AREA, format!("no NVIDIA GPU; {libraries}"), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{doctor::facts::L4t, engine::gpu::Gpu};

    fn engine(version: &str, tensorrt: &str, linked: &[&str]) -> Engine {
        let library = Library {
            path: "/usr/lib/libonnxruntime.so".into(),
            version: version.into(),
            warning: None,
            providers: vec!["tensorrt".into(), "cuda".into(), "cpu".into()],
            linked: linked.iter().map(|name| (*name).to_owned()).collect(),
            linked_missing: Vec::new(),
            files_missing: Vec::new(),
            is_folder_unknown: false,
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

    fn jetson() -> System {
        System { l4t: Some(L4t { release: 38, revision: "4.0".into() }), ..System::default() }
    }

    /// The finding that has these words.
    fn told(engine: &Engine, system: &System, words: &str) -> Finding {
        let found = findings(engine, system);
        let finding = found.iter().find(|finding| finding.what.contains(words));
        finding.unwrap_or_else(|| panic!("{words}: {found:?}")).clone()
    }

    #[test]
    fn a_wheel_of_another_jetpack_is_bad_for_whom_wants_its_provider() {
        // A wheel of JetPack 6 on JetPack 7: TensorRT and the driver fit, CUDA and cuDNN are of another release.
        let mut engine = engine("1.22.0", "10.13.0", &["libnvinfer.so.10", "libcudart.so.12"]);
        engine.gpu.cuda = Some("13.0".into());
        let library = engine.library.as_mut().unwrap();
        library.linked_missing = ["libcudart.so.12", "libcudnn.so.9"].map(Into::into).into();
        library.files_missing = vec!["libonnxruntime_providers_cuda.so".into()];
        for name in ["libcudart.so.12", "libcudnn.so.9"] {
            assert_eq!(told(&engine, &jetson(), name).level, Level::Bad);
        }
        // TensorRT is wanted, and CUDA's provider is not.
        assert_eq!(told(&engine, &jetson(), "providers_cuda").level, Level::Note);
        let check = |wanted: &[&str], system: &System, level| {
            let wanted = wanted.iter().map(|name| (*name).to_owned()).collect();
            let engine = Engine { wanted, ..engine.clone() };
            for words in ["libcudnn.so.9", "providers_cuda"] {
                assert_eq!(told(&engine, system, words).level, level, "{:?}", engine.wanted);
            }
        };
        check(&["cuda"], &jetson(), Level::Bad);
        check(&["cpu"], &jetson(), Level::Note);
        check(&[], &System::default(), Level::Note);
        // Nobody said what is wanted, and a Jetson is there for its GPU.
        check(&[], &jetson(), Level::Warn);
    }

    #[test]
    fn a_pair_that_does_not_fit_is_a_note_where_nobody_wants_it() {
        let check = |wanted: &str, tensorrt, linked: &[&str], level, words: &str| {
            let engine =
                Engine { wanted: vec![wanted.into()], ..engine("1.17.0", tensorrt, linked) };
            assert_eq!(told(&engine, &jetson(), words).level, level, "{wanted}: {words}");
        };
        for (wanted, level) in
            [("tensorrt", Level::Bad), ("cuda", Level::Note), ("cpu", Level::Note)]
        {
            check(wanted, "8.6.2", &["libnvinfer.so.10"], level, "built for TensorRT 10");
            check(wanted, "none", &["libnvinfer.so.10"], level, "libnvinfer is not here");
            check(wanted, "10.3.0", &[], level, "it is made for 8.6");
        }
        for (wanted, level) in
            [("tensorrt", Level::Bad), ("cuda", Level::Bad), ("cpu", Level::Note)]
        {
            check(wanted, "8.6.2", &["libcudart.so.13"], level, "built for CUDA 13");
        }
    }

    #[test]
    fn a_jetson_whose_gpu_does_not_answer_is_more_than_a_note() {
        let mut engine = engine("1.20.0", "10.4.0", &[]);
        engine.gpu.name = None;
        let mut check = |wanted: &[&str], system: &System, level, words| {
            engine.wanted = wanted.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(told(&engine, system, words).level, level, "{wanted:?}");
        };
        check(&[], &jetson(), Level::Warn, "GPU does not answer");
        check(&["cpu"], &jetson(), Level::Note, "no NVIDIA GPU");
        check(&["cuda"], &jetson(), Level::Bad, "none answers");
        check(&[], &System::default(), Level::Note, "no NVIDIA GPU");
    }

    #[test]
    fn the_processors_leak_is_a_note_where_tensorrt_is_first() {
        let mut engine = engine("1.26.0", "10.16.2", &["libnvinfer.so.10"]);
        engine.library.as_mut().unwrap().warning = Some("leaks".into());
        assert_eq!(told(&engine, &jetson(), "leaks").level, Level::Note);
        engine.wanted = vec!["cpu".into()];
        assert_eq!(told(&engine, &jetson(), "leaks").level, Level::Warn);
    }

    #[test]
    fn cuda_alone_is_a_gpu_and_an_unknown_folder_is_told() {
        let mut engine = engine("1.23.0", "10.3.0", &[]);
        let library = engine.library.as_mut().unwrap();
        library.providers = vec!["cuda".into(), "cpu".into()];
        library.is_folder_unknown = true;
        engine.wanted = vec!["cpu".into()];
        assert_eq!(told(&engine, &jetson(), "cuda is there").level, Level::Note);
        assert_eq!(told(&engine, &jetson(), "it is not known where").level, Level::Note);
        let found = findings(&engine, &jetson());
        assert!(!found.iter().any(|finding| finding.what.contains("processor only, on a board")));
    }
}

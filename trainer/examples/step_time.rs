//! Times training steps on random frames: seconds per iteration by width, losses and layout.

#![expect(clippy::print_stderr, reason = "its output")]

use network::shapes::Shapes;
use network::weights::Weights;
use network::{Architecture, ProjectorKind};
use tch::{Device, Kind, Tensor};
use trainer::recipe::{Ccl, Recipe};
use trainer::training::{Batch, Trainer};

fn main() -> anyhow::Result<()> {
    trainer::torch::keep_freed_memory();
    let args: Vec<f64> = std::env::args().skip(1).map(|a| a.parse()).collect::<Result<_, _>>()?;
    let width = args.first().copied().unwrap_or(1.0);
    let ccl = if args.get(1).copied().unwrap_or(1.0) > 0.0 { Ccl::Both } else { Ccl::None };
    let recipe = Recipe {
        architecture: Architecture {
            width,
            projector: if args.len() > 2 { ProjectorKind::Depthwise } else { ProjectorKind::Dense },
            ..Architecture::resnet18(256)
        },
        ccl,
        precision: if std::env::var_os("BF16").is_some() {
            trainer::torch::Precision::Bf16
        } else {
            trainer::torch::Precision::F32
        },
        local_locations_max: 1024,
        ..Recipe::default()
    };
    let (shapes, _) = Shapes::of(&recipe.architecture);
    eprintln!("{} parameters, {} GMAC", shapes.parameter_count(), shapes.macs as f64 / 1e9);
    let teacher: Vec<_> =
        shapes.parameters.into_iter().filter(|p| p.name.starts_with("teacher.")).collect();
    let mut trainer = Trainer::new(recipe, &Weights::random(&teacher, 1), Device::Cpu)?;
    let frames = || Tensor::randint(255, [16, 256, 256, 3], (Kind::Uint8, Device::Cpu));
    let batch = Batch {
        frames: frames(),
        views: Some(frames()),
        classes: (0..16).map(|i| i / 4).collect(),
    };
    for _ in 0..4 {
        let start = std::time::Instant::now();
        let report = trainer.step(&batch)?;
        eprintln!("{:.2} s  {report:?}", start.elapsed().as_secs_f64());
    }
    Ok(())
}

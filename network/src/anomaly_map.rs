//! The anomaly map: where the student fails to reconstruct the teacher.

use crate::{Architecture, Blur, Graph};

/// The final smoothing: sigma 4, cut at four sigmas.
pub const BLUR: Blur = Blur { sigma_px: 4.0, radius_px: 16 };

/// How often the memory's distance counts where the student's counts once: trainer/RESULTS.md, "A memory beside the
/// student", says what it was chosen by.
pub const MEMORY_COUNTS: usize = 3;

/// Fuses `1 - cos(f_k, g_k)` of the three scales: each upsampled to the input size and blurred, and averaged, which is
/// the blurred average. Where there is a memory, its distance `[N, 1, h, w]` weighs three times as much as the three
/// together. Result `[N, H, W]`, values in 0..2.
pub fn anomaly_map<G: Graph>(
    g: &mut G,
    teacher: &[G::Tensor; 3],
    student: &[G::Tensor; 3],
    remembered: Option<&G::Tensor>,
    arch: &Architecture,
) -> G::Tensor {
    let (height, width) = (arch.input_height, arch.input_width);
    let maps: [G::Tensor; 3] = std::array::from_fn(|scale| {
        let distance = g.cosine_distance(&teacher[scale], &student[scale]);
        g.resize_blurred(&distance, height, width, BLUR)
    });
    let mut fused = g.mean(&maps);
    if let Some(distance) = remembered {
        let mut terms = vec![fused];
        terms.resize(1 + MEMORY_COUNTS, g.resize_blurred(distance, height, width, BLUR));
        fused = g.mean(&terms);
    }
    g.drop_channel(&fused)
}

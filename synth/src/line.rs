//! The indexed belt: a product comes to rest, is seen for some frames, moves on.
//!
//! Owns the schedule and the truth of every frame. Empty pockets and moving frames are part of the truth, because
//! a camera that runs free sees them.

use bundle::geometry::{RgbImage, Size};
use rand::{RngExt as _, seq::SliceRandom as _};
use serde::{Deserialize, Serialize};

use crate::{
    defect::{Defect, spoil},
    product::Product,
    render::{Part, Placed, photograph},
    seeds::{Purpose, mix, stream},
};

/// From pocket to pocket, in product coordinates; the frame spans 2.
const PITCH: f32 = 2.7;
/// The sizes that defects are drawn with, as shares of the frame.
pub const AREA_FRACTIONS: [f64; 4] = [0.001, 0.003, 0.01, 0.03];

/// What a line carries and how it moves.
#[derive(Clone, Debug)]
pub struct LineOptions {
    /// Of everything.
    pub seed: u64,
    /// Of the frames.
    pub size: Size,
    /// Products that come in any order.
    pub products: Vec<Product>,
    /// Pockets of the belt.
    pub pockets: u64,
    /// Frames from pocket to pocket.
    pub moving_frames: u64,
    /// Frames at rest.
    pub rest_frames: u64,
    /// Share of pockets without a part.
    pub empty_share: f64,
    /// Share of parts with a defect.
    pub defect_share: f64,
}

/// What the camera sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// An empty pocket at rest.
    Empty,
    /// The belt moves.
    Moving,
    /// A part at rest.
    Rest,
}

/// What is really there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameTruth {
    /// From 1.
    pub frame: u64,
    /// What the camera sees.
    pub state: State,
    /// The part at rest, from 1.
    pub part: Option<u64>,
    /// What it is.
    pub product: Option<Product>,
    /// What is wrong with it.
    pub defect: Option<Defect>,
    /// How much of the frame the defect changed; 0 for a good part.
    pub area_fraction: f64,
}

/// A frame and its truth.
#[derive(Clone, Debug)]
pub struct LineFrame {
    /// What the camera took.
    pub image: RgbImage,
    /// What was there.
    pub truth: FrameTruth,
}

struct Pocket {
    part: Option<Part>,
    number: u64,
    defect: Option<Defect>,
    area_fraction: f64,
}

/// A belt with its parts.
pub struct Line {
    options: LineOptions,
    pockets: Vec<Pocket>,
}

impl Line {
    /// Loads the belt; the parts of one seed are the same whatever the schedule.
    pub fn new(options: LineOptions) -> Self {
        let mut order = stream(options.seed, Purpose::Order, 0);
        // Every product comes equally often, in any order.
        let mut round: Vec<Product> = Vec::new();
        let mut number = 0;
        let mut spoilt = 0_usize;
        let mut pockets = Vec::new();
        for _ in 0..options.pockets {
            if options.products.is_empty() || order.random_bool(options.empty_share) {
                pockets.push(Pocket { part: None, number: 0, defect: None, area_fraction: 0.0 });
                continue;
            }
            if round.is_empty() {
                round.clone_from(&options.products);
                round.shuffle(&mut order);
            }
            let Some(product) = round.pop() else { continue };
            number += 1;
            let seed = mix(options.seed, Purpose::Line, number);
            let good = Part::good(product, seed);
            let is_spoilt = order.random_bool(options.defect_share);
            let kinds = Defect::of(product);
            let kind = kinds[order.random_range(0..kinds.len())];
            pockets.push(if is_spoilt {
                let area = AREA_FRACTIONS[spoilt % AREA_FRACTIONS.len()];
                spoilt += 1;
                let (part, mask) = spoil(&good, kind, area, seed, options.size);
                let area_fraction = mask.area_fraction();
                Pocket { part: Some(part), number, defect: Some(kind), area_fraction }
            } else {
                Pocket { part: Some(good), number, defect: None, area_fraction: 0.0 }
            });
        }
        Self { options, pockets }
    }

    /// Frames of the whole line.
    pub fn frame_count(&self) -> u64 {
        self.options.pockets * (self.options.moving_frames + self.options.rest_frames)
    }

    /// The frames in their order.
    pub fn frames(&self) -> impl Iterator<Item = LineFrame> + '_ {
        (0..self.frame_count()).map(|index| self.frame(index))
    }

    fn frame(&self, index: u64) -> LineFrame {
        let LineOptions { moving_frames, rest_frames, seed, size, .. } = self.options;
        let period = moving_frames + rest_frames;
        let (pocket, phase) = (index / period, index % period);
        let noise_seed = mix(seed, Purpose::Noise, index);
        let is_moving = phase < moving_frames;
        // The pocket comes from the right; at the last moving frame it is one step away.
        let away = if is_moving {
            PITCH * (moving_frames - phase) as f32 / (moving_frames + 1) as f32
        } else {
            0.0
        };
        let mut rng = stream(noise_seed, Purpose::Order, 1);
        // A quarter of a pixel of 256: the belt never stands quite still.
        let vibration = rng.random_range(-0.002..0.002);
        let belt_shift = away + vibration - pocket as f32 * PITCH;
        let here = usize::try_from(pocket).ok().and_then(|at| self.pockets.get(at));
        let before =
            pocket.checked_sub(1).and_then(|at| self.pockets.get(usize::try_from(at).ok()?));
        let placed = |pocket: Option<&'_ Pocket>, shift: f32| {
            pocket.and_then(|pocket| pocket.part.clone()).map(|part| (part, shift))
        };
        let visible: Vec<(Part, f32)> = [
            placed(here, away + vibration),
            placed(before.filter(|_| is_moving), away + vibration - PITCH),
        ]
        .into_iter()
        .flatten()
        .filter(|(_, shift)| shift.abs() < 2.1)
        .collect();
        let parts: Vec<Placed<'_>> =
            visible.iter().map(|(part, shift)| Placed { part, shift: *shift }).collect();
        let image = photograph(size, belt_shift, &parts, noise_seed);
        let at_rest = here.filter(|pocket| !is_moving && pocket.part.is_some());
        let state = match at_rest {
            Some(_) => State::Rest,
            None if is_moving => State::Moving,
            None => State::Empty,
        };
        let truth = FrameTruth {
            frame: index + 1,
            state,
            part: at_rest.map(|pocket| pocket.number),
            product: at_rest.and_then(|pocket| pocket.part.as_ref()).map(Part::product),
            defect: at_rest.and_then(|pocket| pocket.defect),
            area_fraction: at_rest.map_or(0.0, |pocket| pocket.area_fraction),
        };
        LineFrame { image, truth }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seed: u64) -> Line {
        Line::new(LineOptions {
            seed,
            size: Size { width: 32, height: 32 },
            products: Product::ALL.to_vec(),
            pockets: 20,
            moving_frames: 2,
            rest_frames: 3,
            empty_share: 0.2,
            defect_share: 0.5,
        })
    }

    #[test]
    fn the_truth_is_consistent() {
        let line = line(1);
        let truths: Vec<FrameTruth> = line.frames().map(|frame| frame.truth).collect();
        assert_eq!(truths.len() as u64, line.frame_count());
        for (index, truth) in truths.iter().enumerate() {
            assert_eq!(truth.frame, index as u64 + 1);
            assert_eq!(truth.state == State::Rest, truth.product.is_some());
            assert_eq!(truth.defect.is_some(), truth.area_fraction > 0.0);
        }
        for state in [State::Empty, State::Moving, State::Rest] {
            assert!(truths.iter().any(|truth| truth.state == state), "{state:?}");
        }
        let row = serde_json::to_string(&truths[4]).unwrap();
        assert_eq!(serde_json::from_str::<FrameTruth>(&row).unwrap(), truths[4]);
    }

    #[test]
    fn a_seed_gives_one_line_and_another_seed_another() {
        let frames = |seed| line(seed).frames().map(|f| f.image).collect::<Vec<_>>();
        assert_eq!(frames(1), frames(1));
        assert_ne!(frames(1), frames(2));
    }

    #[test]
    fn a_part_at_rest_stays_and_the_belt_moves() {
        let line = line(1);
        let frames: Vec<LineFrame> = line.frames().collect();
        let difference = |a: &RgbImage, b: &RgbImage| {
            let sum: u32 =
                a.pixels.iter().zip(&b.pixels).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
            f64::from(sum) / a.pixels.len() as f64
        };
        let rest = frames.iter().position(|frame| frame.truth.state == State::Rest).unwrap();
        let still = difference(&frames[rest].image, &frames[rest + 1].image);
        let moving = difference(&frames[rest + 2].image, &frames[rest + 3].image);
        assert!(still < 8.0 && moving > still, "{still} {moving}");
    }
}

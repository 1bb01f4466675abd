//! Draws a scene: belt, parts, defects, lamp, camera.
//!
//! Owns the order of these and the camera's noise. A picture is a function of its parts, their shifts and a seed.

use bundle::geometry::{RgbImage, Size};
use rand_distr::{Distribution as _, StandardNormal};

use crate::{
    defect::Defective,
    field::{Colour, Place, at, blend, clouds, lit, noise},
    product::{Product, Variation, look},
    seeds::{Purpose, stream},
};

/// Standard deviation of the sensor's noise, of full scale: 2 of 255.
const NOISE_SIGMA: f32 = 0.008;
/// The belt's colour.
pub(crate) const RUBBER: Colour = [0.17, 0.18, 0.19];
/// Half the length of a web's sheet: at rest it fills the frame whatever the vibration.
const SHEET_HALF: f32 = 1.03;
/// Of the belt's texture; the belt is the same on every line.
const BELT_SEED: u64 = 77;

/// One physical part.
#[derive(Clone, Debug)]
pub struct Part {
    product: Product,
    variation: Variation,
    defective: Option<Defective>,
}

impl Part {
    /// A good part.
    pub fn good(product: Product, seed: u64) -> Self {
        Self { product, variation: Variation::of(product, seed), defective: None }
    }

    /// The same part with a defect.
    #[must_use]
    pub fn with(mut self, defective: Defective) -> Self {
        self.defective = Some(defective);
        self
    }

    /// What it is.
    pub fn product(&self) -> Product {
        self.product
    }

    pub(crate) fn variation(&self) -> &Variation {
        &self.variation
    }

    /// A place of the frame in the part's own coordinates.
    pub(crate) fn part_from_frame(&self, frame: Place) -> Place {
        let v = &self.variation;
        frame.minus(v.offset).turned(-v.angle).times(1.0 / v.scale)
    }

    /// Where the camera sees a place of the part.
    pub(crate) fn frame_from_part(&self, part: Place) -> Place {
        let v = &self.variation;
        part.times(v.scale).turned(v.angle).plus(v.offset)
    }

    /// Colour and coverage at a place of the frame, the part lying at rest.
    fn seen(&self, frame: Place) -> (Colour, f32) {
        let v = &self.variation;
        let mut p = self.part_from_frame(frame);
        let mut flaw = crate::product::Flaw::default();
        if let Some(defective) = &self.defective {
            p = defective.warped(p);
            flaw = defective.flaw();
        }
        let (mut colour, mut coverage) = look(self.product, p, v, &flaw);
        if let Some(defective) = &self.defective {
            colour = defective.overlaid(colour, p, v.seed);
        }
        if self.product.is_texture() && frame.x.abs() > SHEET_HALF {
            coverage = 0.0;
        }
        let lamp = v.gain * (1.0 + v.slope.x * frame.x + v.slope.y * frame.y);
        (std::array::from_fn(|channel| colour[channel] * lamp * v.tint[channel]), coverage)
    }
}

/// A part and how far it is from its place of rest, in product coordinates.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// The part.
    pub part: &'a Part,
    /// To the right of rest.
    pub shift: f32,
}

/// What lies under the camera, seen by the camera.
pub fn photograph(size: Size, belt_shift: f32, parts: &[Placed<'_>], noise_seed: u64) -> RgbImage {
    let mut rng = stream(noise_seed, Purpose::Noise, 0);
    let mut pixels = Vec::with_capacity(size.width as usize * size.height as usize * 3);
    for colour in scene(size, belt_shift, parts) {
        for value in colour {
            let grain: f32 = StandardNormal.sample(&mut rng);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped to 0..=255; the cast saturates"
            )]
            pixels.push(((value + NOISE_SIGMA * grain).clamp(0.0, 1.0) * 255.0).round() as u8);
        }
    }
    RgbImage { size, pixels }
}

/// A part at rest, alone.
pub fn portrait(part: &Part, size: Size, noise_seed: u64) -> RgbImage {
    photograph(size, 0.0, &[Placed { part, shift: 0.0 }], noise_seed)
}

/// The picture before the camera: no noise, not yet bytes; rows first.
pub(crate) fn scene(size: Size, belt_shift: f32, parts: &[Placed<'_>]) -> Vec<Colour> {
    let mut pixels = Vec::with_capacity(size.width as usize * size.height as usize);
    for y in 0..size.height {
        for x in 0..size.width {
            let frame = at(
                (x as f32 + 0.5) / size.width as f32 * 2.0 - 1.0,
                (y as f32 + 0.5) / size.height as f32 * 2.0 - 1.0,
            );
            let mut colour = belt(at(frame.x - belt_shift, frame.y));
            for placed in parts {
                let (over, coverage) = placed.part.seen(at(frame.x - placed.shift, frame.y));
                colour = blend(colour, over, coverage);
            }
            pixels.push(colour);
        }
    }
    pixels
}

fn belt(p: Place) -> Colour {
    let rib = 0.04 * (p.x * 40.0).sin() * (p.y * 40.0).sin();
    let grain = 0.12 * (noise(BELT_SEED, p.times(60.0)) - 0.5);
    lit(RUBBER, 1.0 + rib + grain + 0.08 * (clouds(BELT_SEED, p.times(1.5)) - 0.5))
}

//! Defects: scratch, hole, stain, missing part, misprint, deformation.
//!
//! Owns where they may occur, how large they are and the mask of what they changed. A defect of a wanted area is
//! found by drawing it, measuring the mask and correcting its size; the area that is stated is the measured one.

use bundle::geometry::Size;
use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

use crate::{
    field::{Colour, Place, at, blend, inside, lit, noise, segment, step},
    product::{Flaw, Product, look},
    render::{Part, Placed, RUBBER, scene},
    seeds::{Purpose, stream},
};

/// Kinds of defects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Defect {
    /// A bright or dark line in the surface.
    Scratch,
    /// Something torn or punched through.
    Hole,
    /// A blot of another liquid.
    Stain,
    /// A piece that was never mounted or broke off.
    MissingPart,
    /// A print beside its place.
    Misprint,
    /// A dent, a bulge, a pulled thread.
    Deformation,
}

impl Defect {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Scratch,
        Self::Hole,
        Self::Stain,
        Self::MissingPart,
        Self::Misprint,
        Self::Deformation,
    ];

    /// Its name in folders.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scratch => "scratch",
            Self::Hole => "hole",
            Self::Stain => "stain",
            Self::MissingPart => "missing_part",
            Self::Misprint => "misprint",
            Self::Deformation => "deformation",
        }
    }

    /// What can happen to a product.
    pub const fn of(product: Product) -> &'static [Self] {
        use Defect::{Deformation, Hole, Misprint, MissingPart, Scratch, Stain};
        match product {
            Product::Weave | Product::Grid => &[Scratch, Hole, Stain, Deformation],
            Product::Wood | Product::Leather => &[Scratch, Hole, Stain],
            Product::Cap => &[Scratch, Stain, Misprint, Deformation],
            Product::Gear => &[Scratch, Stain, MissingPart, Deformation],
            Product::Board => &[Scratch, Stain, MissingPart, Misprint],
            Product::Blister => &[Hole, Stain, MissingPart, Misprint],
        }
    }
}

/// A defect at its place and of its size.
#[derive(Clone, Debug)]
pub struct Defective {
    kind: Defect,
    seed: u64,
    centre: Place,
    direction: f32,
    /// What is corrected until the area fits; its meaning depends on the kind.
    size: f32,
    /// Of a stain or a scratch.
    ink: Colour,
    /// Whether a print is turned as well as displaced.
    is_turned: bool,
    piece: usize,
}

/// Dirt in a scratch, and bare metal or fibre.
const SCRATCHES: [Colour; 2] = [[0.10, 0.09, 0.09], [0.93, 0.92, 0.90]];
/// Oil, rust, lime, coolant.
const STAINS: [Colour; 4] =
    [[0.13, 0.10, 0.05], [0.32, 0.17, 0.06], [0.86, 0.84, 0.70], [0.08, 0.38, 0.62]];

/// A print beside its place is off by at least this, in product coordinates: 13 pixels of 256.
const PRINT_OFF_LEAST: f32 = 0.1;

/// Where a picture differs from the good part's.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    /// Of the picture.
    pub size: Size,
    /// Rows first.
    pub defective: Vec<bool>,
}

impl Mask {
    /// Share of the frame.
    pub fn area_fraction(&self) -> f64 {
        let count = self.defective.iter().filter(|&&defective| defective).count();
        count as f64 / self.defective.len().max(1) as f64
    }
}

/// Puts a defect of about `area_fraction` of the frame on a good part; the mask says what became of it.
pub fn spoil(good: &Part, kind: Defect, area_fraction: f64, seed: u64, size: Size) -> (Part, Mask) {
    /// Each correction halves the error or better.
    const CORRECTIONS: usize = 4;
    /// Close enough.
    const TOLERANCE: f64 = 0.12;
    let clean = scene(size, 0.0, &[Placed { part: good, shift: 0.0 }]);
    let mut rng = stream(seed, Purpose::Defect, 0);
    let mut defective = Defective::place(good, kind, area_fraction, &mut rng);
    let draw = |defective: &Defective| {
        let part = good.clone().with(defective.clone());
        let spoilt = scene(size, 0.0, &[Placed { part: &part, shift: 0.0 }]);
        let mask = difference(&clean, &spoilt, size);
        (part, mask)
    };
    let mut best = draw(&defective);
    for _ in 0..CORRECTIONS {
        let ratio = area_fraction / best.1.area_fraction().max(1e-5);
        // A piece is there or it is not.
        if kind == Defect::MissingPart || (ratio - 1.0).abs() < TOLERANCE {
            break;
        }
        #[expect(clippy::cast_possible_truncation, reason = "f64 to f32 rounds")]
        let factor = ratio.sqrt().clamp(0.4, 2.5) as f32;
        defective.size *= factor;
        if kind == Defect::Misprint {
            // A print that is off by less is within what a printer does.
            defective.size = defective.size.max(PRINT_OFF_LEAST);
        }
        let next = draw(&defective);
        let error = |mask: &Mask| (mask.area_fraction().max(1e-5) / area_fraction).ln().abs();
        if error(&next.1) < error(&best.1) {
            best = next;
        }
    }
    best
}

fn difference(clean: &[Colour], spoilt: &[Colour], size: Size) -> Mask {
    /// Of full scale: what a person sees at a glance. The soft rim of a stain is no defect area.
    const VISIBLE: f32 = 0.15;
    let differs =
        |(a, b): (&Colour, &Colour)| a.iter().zip(b).any(|(a, b)| (a - b).abs() > VISIBLE);
    Mask { size, defective: clean.iter().zip(spoilt).map(differs).collect() }
}

impl Defective {
    fn place(part: &Part, kind: Defect, area_fraction: f64, rng: &mut impl Rng) -> Self {
        // The frame has an area of 4 in product coordinates.
        #[expect(clippy::cast_possible_truncation, reason = "f64 to f32 rounds")]
        let area = (4.0 * area_fraction) as f32;
        let radius = (area / std::f32::consts::PI).sqrt();
        let product = part.product();
        let size = match kind {
            Defect::Scratch | Defect::Hole | Defect::Stain | Defect::MissingPart => radius,
            Defect::Deformation => 1.6 * radius,
            Defect::Misprint => (0.4 * area.sqrt()).max(PRINT_OFF_LEAST),
        };
        let centre = place_on(part, rng);
        Self {
            kind,
            centre,
            direction: rng.random_range(0.0..std::f32::consts::TAU),
            size,
            ink: ink(if kind == Defect::Stain { &STAINS } else { &SCRATCHES }, part, rng),
            is_turned: rng.random_bool(0.5),
            piece: piece(product, area_fraction, rng),
            seed: rng.random(),
        }
    }

    pub(crate) fn flaw(&self) -> Flaw {
        match self.kind {
            Defect::MissingPart => Flaw { missing: Some(self.piece), print: None },
            Defect::Misprint => {
                let by = at(self.direction.cos(), self.direction.sin()).times(self.size.min(0.3));
                let turn = if self.is_turned { self.size.min(0.3) } else { 0.0 };
                Flaw { missing: None, print: Some((by, turn)) }
            }
            Defect::Scratch | Defect::Hole | Defect::Stain | Defect::Deformation => Flaw::default(),
        }
    }

    /// A dent draws the surface aside.
    pub(crate) fn warped(&self, p: Place) -> Place {
        if self.kind != Defect::Deformation {
            return p;
        }
        let distance = p.minus(self.centre).len() / self.size;
        if distance >= 1.0 {
            return p;
        }
        let pull = 0.42 * self.size * (1.0 - distance * distance).powi(2);
        p.plus(at(self.direction.cos(), self.direction.sin()).times(pull))
    }

    pub(crate) fn overlaid(&self, colour: Colour, p: Place, part_seed: u64) -> Colour {
        let q = p.minus(self.centre);
        let ragged = noise(self.seed, at(q.angle() * 2.5, 3.0)) - 0.5;
        match self.kind {
            Defect::MissingPart | Defect::Misprint => colour,
            Defect::Deformation => {
                // A dent is darker on one side and brighter on the other.
                let distance = q.len() / self.size;
                let side = (q.angle() - self.direction).cos();
                let slope = (1.0 - distance).max(0.0) * distance * 4.0;
                lit(colour, 1.0 + 0.65 * side * slope)
            }
            Defect::Scratch => {
                let area = std::f32::consts::PI * self.size * self.size;
                let length = (5.0 * self.size).min(1.1);
                let half_width = 0.55 * area / length;
                let along = at(self.direction.cos(), self.direction.sin()).times(length / 2.0);
                let bow = at(-along.y, along.x).times(0.15);
                let middle = self.centre.plus(bow);
                let distance = segment(p, self.centre.minus(along), middle).min(segment(
                    p,
                    middle,
                    self.centre.plus(along),
                ));
                let fray = half_width * (0.75 + 0.5 * noise(part_seed ^ 0x15, p.times(30.0)));
                let share = inside(distance - fray, 0.008);
                blend(colour, self.ink, 0.8 * share)
            }
            Defect::Hole => {
                let edge = self.size * (1.0 + 0.5 * ragged);
                let rim = inside((q.len() - edge).abs() - 0.018, 0.014);
                let torn = blend(colour, [0.90, 0.88, 0.84], 0.6 * rim);
                blend(torn, [0.03, 0.03, 0.035], inside(q.len() - edge, 0.008))
            }
            Defect::Stain => {
                let edge = self.size * (1.05 + 0.7 * ragged);
                let share = 1.0 - step(0.75 * edge, 1.1 * edge, q.len());
                blend(colour, self.ink, 0.8 * share)
            }
        }
    }
}

/// Which of several inks a defect has: any that stands out from nearly all of the part and of the belt around it, or the
/// one that does so most. What has the colour of its ground is nothing that a camera could see.
fn ink(inks: &[Colour], part: &Part, rng: &mut impl Rng) -> Colour {
    /// Of full scale, in the channel where it is largest.
    const STANDS_OUT: f32 = 0.4;
    /// Places that are looked at; the ink may be like a tenth of them.
    const PLACES: usize = 100;
    let grounds: Vec<Colour> = (0..PLACES)
        .map(|_| {
            let p = at(rng.random_range(-0.8..0.8), rng.random_range(-0.8..0.8));
            let (colour, coverage) = look(part.product(), p, part.variation(), &Flaw::default());
            blend(RUBBER, colour, coverage)
        })
        .collect();
    let contrast = |ink: &Colour| {
        let mut contrasts: Vec<f32> = grounds
            .iter()
            .map(|ground| ink.iter().zip(ground).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max))
            .collect();
        contrasts.sort_by(f32::total_cmp);
        contrasts[PLACES / 10]
    };
    let mut ranked: Vec<(f32, Colour)> = inks.iter().map(|ink| (contrast(ink), *ink)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let visible = ranked.iter().filter(|(contrast, _)| *contrast > STANDS_OUT).count().max(1);
    ranked[rng.random_range(0..visible)].1
}

/// A place on the product that the camera sees, away from the product's rim.
fn place_on(part: &Part, rng: &mut impl Rng) -> Place {
    /// More than enough: a third of the frame at least is product.
    const TRIES: usize = 200;
    const MARGIN: f32 = 0.05;
    /// Of half a frame: what lies further out is hardly seen.
    const SEEN: f32 = 0.85;
    let (product, v) = (part.product(), part.variation());
    let flaw = Flaw::default();
    for _ in 0..TRIES {
        let p = at(rng.random_range(-0.72..0.72), rng.random_range(-0.72..0.72));
        let around = [(0.0, 0.0), (MARGIN, 0.0), (-MARGIN, 0.0), (0.0, MARGIN), (0.0, -MARGIN)];
        let covered = |(dx, dy)| look(product, p.plus(at(dx, dy)), v, &flaw).1 > 0.9;
        let frame = part.frame_from_part(p);
        let is_seen = frame.x.abs().max(frame.y.abs()) < SEEN;
        if is_seen && around.into_iter().all(covered) {
            return p;
        }
    }
    at(0.3, 0.3)
}

/// Of the pieces that can be missing one whose area is nearest to the wanted one.
fn piece(product: Product, area_fraction: f64, rng: &mut impl Rng) -> usize {
    let off = |index: usize| {
        (crate::objects::piece_area_fraction(product, index) / area_fraction).ln().abs()
    };
    let least = (0..product.pieces()).map(off).fold(f64::INFINITY, f64::min);
    let nearest: Vec<usize> =
        (0..product.pieces()).filter(|&index| off(index) < least + 0.1).collect();
    if nearest.is_empty() { 0 } else { nearest[rng.random_range(0..nearest.len())] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{line::AREA_FRACTIONS, render::portrait};

    const SIZE: Size = Size { width: 128, height: 128 };

    #[test]
    fn every_defect_of_every_product_shows_and_has_about_the_wanted_area() {
        for product in Product::ALL {
            let good = Part::good(product, 3);
            for kind in Defect::of(product) {
                let errors: Vec<f64> = AREA_FRACTIONS
                    .iter()
                    .map(|&area| {
                        let (_, mask) = spoil(&good, *kind, area, 11, SIZE);
                        let found = mask.area_fraction();
                        assert!(found > 0.0, "{product:?} {kind:?} {area}");
                        (found / area).ln().abs()
                    })
                    .collect();
                // Pieces and prints come in the sizes they have.
                let is_free = !matches!(kind, Defect::MissingPart | Defect::Misprint);
                let close = errors.iter().filter(|error| **error < 0.5).count();
                assert!(!is_free || close >= 3, "{product:?} {kind:?} {errors:?}");
            }
        }
    }

    #[test]
    fn outside_the_mask_the_part_is_the_good_one() {
        let good = Part::good(Product::Cap, 5);
        let (part, mask) = spoil(&good, Defect::Hole, 0.01, 5, SIZE);
        let pictures = [&good, &part].map(|part| portrait(part, SIZE, 1));
        for (index, defective) in mask.defective.iter().enumerate() {
            let [a, b] = pictures.each_ref().map(|picture| &picture.pixels[3 * index..][..3]);
            let largest = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(*defective || largest <= 40, "pixel {index}: {largest}");
        }
    }

    #[test]
    fn a_broken_tooth_is_gone() {
        let (_, mask) = spoil(&Part::good(Product::Gear, 1), Defect::MissingPart, 0.01, 1, SIZE);
        assert!((0.002..0.02).contains(&mask.area_fraction()), "{}", mask.area_fraction());
    }
}

//! Classes of pictures that formulas generate, for pretraining without photographs.
//!
//! Formula-driven supervised learning (Kataoka et al., ACCV 2020; radial contours: Kataoka et al., CVPR 2022).
//! A class is a design in one of a few palettes; a picture varies place, turn, size, light, contrast, colour and
//! noise, which a class must be recognised through. Many classes share a palette, and every design comes in several:
//! neither colour nor shape alone tells a class, so that a teacher must learn both.
//! Pure and cheap: rendered in parallel, never stored.

use bundle::geometry::{RgbImage, Size};
use rand::{Rng, RngExt as _};

use crate::{
    field::{Colour, Place, at, blend, cells, clouds, inside, lit, mix as mixed, noise, segment},
    seeds::{Purpose, stream},
};

/// A generator of classes.
#[derive(Clone, Debug)]
pub struct FormulaClasses {
    seed: u64,
    classes: Vec<Class>,
}

/// Classes that are the same design in other colours.
const PALETTES_OF_A_DESIGN: usize = 4;
/// Palettes that all designs draw from.
const PALETTES: usize = 24;

#[derive(Clone, Debug)]
struct Class {
    design: Design,
    colours: [Colour; 4],
}

/// What a class shows, whatever its colours.
#[derive(Clone, Debug)]
struct Design {
    foreground: Pattern,
    background: Pattern,
    figure: Figure,
}

/// What stands before the background.
#[derive(Clone, Debug)]
enum Figure {
    /// The foreground is everywhere.
    Everything,
    /// A closed contour.
    Contour(Contour),
    /// Strokes, as of a character.
    Glyph([(Place, Place); 5], f32),
}

/// Radius as a sum of harmonics: polygons, gears, stars, petals.
#[derive(Clone, Debug)]
struct Contour {
    base: f32,
    harmonics: [(f32, f32); 3],
    rings: f32,
}

#[derive(Clone, Debug)]
enum Pattern {
    /// Two gratings.
    Gratings([(f32, f32); 2]),
    /// Cells, with lines between them.
    Cells(f32, f32),
    /// A lattice of dots.
    Dots(f32, f32),
    /// Noise, stretched.
    Grain(f32, f32),
    /// Checks, turned.
    Checks(f32, f32),
    /// Nothing.
    Plain,
}

impl FormulaClasses {
    /// `count` classes.
    pub fn new(count: usize, seed: u64) -> Self {
        let mut rng = stream(seed, Purpose::Formula, 0);
        let mut colour = || std::array::from_fn(|_| rng.random_range(0.05..0.95));
        let palettes: [[Colour; 4]; PALETTES] =
            std::array::from_fn(|_| std::array::from_fn(|_| colour()));
        let class = |index: usize| {
            let (design, variant) = (index / PALETTES_OF_A_DESIGN, index % PALETTES_OF_A_DESIGN);
            let mut rng = stream(seed, Purpose::Formula, 1 + design as u64);
            // Apart from each other by more than one, so that no design has a palette twice.
            let palette =
                rng.random_range(0..PALETTES) + variant * (PALETTES / PALETTES_OF_A_DESIGN);
            Class { design: Design::draw(&mut rng), colours: palettes[palette % PALETTES] }
        };
        Self { seed, classes: (0..count).map(class).collect() }
    }

    /// A picture of a class.
    ///
    /// # Panics
    /// When there is no such class.
    pub fn render(&self, class: usize, picture: u64, side_px: u32) -> RgbImage {
        let mut rng = stream(self.seed ^ picture, Purpose::FormulaPicture, class as u64);
        self.classes[class].render(&mut rng, side_px)
    }
}

impl Pattern {
    const KINDS: u8 = 6;

    /// Any of the first `kinds`; the last of all is the plain one.
    fn draw(kinds: u8, rng: &mut impl Rng) -> Self {
        let frequency = rng.random_range(2.5_f32..13.0);
        let other = rng.random_range(0.0_f32..1.0);
        match rng.random_range(0..kinds) {
            0 => Self::Gratings([
                (frequency, other * std::f32::consts::PI),
                (rng.random_range(2.0..16.0), rng.random_range(0.0..std::f32::consts::PI)),
            ]),
            1 => Self::Cells(0.7 * frequency, 0.05 + 0.3 * other),
            2 => Self::Dots(0.8 * frequency, 0.15 + 0.25 * other),
            3 => Self::Grain(frequency, 1.0 + 7.0 * other),
            4 => Self::Checks(0.6 * frequency, other * std::f32::consts::FRAC_PI_2),
            _ => Self::Plain,
        }
    }

    /// From 0 to 1.
    fn value(&self, p: Place, seed: u64) -> f32 {
        let wave = |frequency: f32, angle: f32| {
            let phase = (p.x * angle.cos() + p.y * angle.sin()) * frequency;
            0.5 + 0.5 * (phase * std::f32::consts::TAU / 2.0).sin()
        };
        match *self {
            Self::Gratings([(f1, a1), (f2, a2)]) => 0.5 * (wave(f1, a1) + wave(f2, a2)),
            Self::Cells(scale, line) => {
                let (first, second, own) = cells(seed, p.times(scale));
                if second - first < line { 0.0 } else { 0.35 + 0.65 * own }
            }
            Self::Dots(scale, radius) => {
                let q = p.times(scale);
                let d = at(q.x - q.x.floor() - 0.5, q.y - q.y.floor() - 0.5);
                inside(d.len() - radius, 0.06)
            }
            Self::Grain(scale, stretch) => clouds(seed, at(p.x * scale / stretch, p.y * scale)),
            Self::Checks(scale, angle) => {
                let q = p.turned(angle).times(scale);
                let odd = (q.x.floor() + q.y.floor()).rem_euclid(2.0);
                odd * 0.9
            }
            Self::Plain => 0.5,
        }
    }
}

impl Design {
    fn draw(rng: &mut impl Rng) -> Self {
        let figure = Figure::draw(rng);
        // One plain colour everywhere would show nothing.
        let is_everything = matches!(figure, Figure::Everything);
        let foreground = Pattern::draw(Pattern::KINDS - u8::from(is_everything), rng);
        Self { figure, foreground, background: Pattern::draw(Pattern::KINDS, rng) }
    }
}

impl Figure {
    fn draw(rng: &mut impl Rng) -> Self {
        match rng.random_range(0..10) {
            0..3 => Self::Everything,
            3..7 => Self::Contour(Contour {
                base: rng.random_range(0.40..0.75),
                harmonics: std::array::from_fn(|index| {
                    let most = [0.22, 0.14, 0.08][index];
                    let order: u8 = rng.random_range([2..8_u8, 4..16, 8..30][index].clone());
                    (f32::from(order), rng.random_range(0.0..most))
                }),
                rings: if rng.random_bool(0.4) { rng.random_range(1.5..6.0) } else { 0.0 },
            }),
            _ => {
                let mut end = || at(rng.random_range(-0.7..0.7), rng.random_range(-0.7..0.7));
                let strokes = std::array::from_fn(|_| (end(), end()));
                Self::Glyph(strokes, rng.random_range(0.025..0.10))
            }
        }
    }

    /// How much of a place it covers.
    fn share(&self, p: Place, edge: f32) -> f32 {
        match self {
            Self::Everything => 1.0,
            Self::Contour(contour) => contour.share(p, edge),
            Self::Glyph(strokes, half_width) => {
                let distance = strokes
                    .iter()
                    .fold(f32::INFINITY, |nearest, (a, b)| nearest.min(segment(p, *a, *b)));
                inside(distance - half_width, edge)
            }
        }
    }

    fn rings(&self) -> f32 {
        match self {
            Self::Contour(contour) => contour.rings,
            Self::Everything | Self::Glyph(..) => 0.0,
        }
    }
}

impl Class {
    fn render(&self, rng: &mut impl Rng, side_px: u32) -> RgbImage {
        /// Sensor noise and the share of light that a picture may gain or lose.
        const NOISE: f32 = 0.03;
        let mut within = |limit: f32| rng.random_range(-limit..=limit);
        let offset = at(within(0.25), within(0.25));
        let turn = within(0.30);
        let zoom = 1.0 + within(0.22);
        let light = 1.0 + within(0.35);
        let tint: Colour = std::array::from_fn(|_| 1.0 + within(0.15));
        // Colours may lie close together: what is faint must be seen as well.
        let contrast = 0.65 + within(0.35);
        let middle: Colour = std::array::from_fn(|channel| {
            self.colours.iter().map(|colour| colour[channel]).sum::<f32>() / 4.0
        });
        let colours = self.colours.map(|colour| blend(middle, colour, contrast));
        let phase = at(within(3.0), within(3.0));
        let seed: u64 = rng.random();
        let edge = 2.0 / side_px as f32;
        let mut pixels = Vec::with_capacity(side_px as usize * side_px as usize * 3);
        let place = |index: u32| (index as f32 + 0.5) / side_px as f32 * 2.0 - 1.0;
        for y in 0..side_px {
            for x in 0..side_px {
                let p = at(place(x), place(y)).minus(offset).turned(turn).times(zoom);
                let [a, b, c, d] = colours;
                let ground = self.design.background.value(p.plus(phase), seed);
                let mut colour = blend(c, d, ground);
                let share = self.design.figure.share(p, edge);
                if share > 0.0 {
                    let mut figure = self.design.foreground.value(p.minus(phase), seed ^ 1);
                    let rings = self.design.figure.rings();
                    if rings > 0.0 {
                        let ring = 0.5 + 0.5 * (p.len() * rings * 6.3).cos();
                        figure = mixed(figure, ring, 0.6);
                    }
                    colour = blend(colour, blend(a, b, figure), share);
                }
                let grain = NOISE * 2.0 * (noise(seed ^ 2, at(x as f32, y as f32)) - 0.5);
                let seen = lit(colour, light);
                pixels.extend((0..3).map(|channel| {
                    let value = (seen[channel] * tint[channel] + grain).clamp(0.0, 1.0);
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "from 0 to 255"
                    )]
                    let byte = (value * 255.0).round() as u8;
                    byte
                }));
            }
        }
        RgbImage { size: Size { width: side_px, height: side_px }, pixels }
    }
}

impl Contour {
    fn share(&self, p: Place, edge: f32) -> f32 {
        let angle = p.angle();
        let radius = self
            .harmonics
            .iter()
            .fold(self.base, |radius, (order, height)| radius + height * (order * angle).cos());
        inside(p.len() - radius, edge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_differ_and_pictures_of_a_class_vary() {
        let classes = FormulaClasses::new(4, 1);
        assert_eq!(classes.render(2, 5, 32), classes.render(2, 5, 32));
        assert_ne!(classes.render(2, 5, 32), classes.render(2, 6, 32));
        assert_ne!(classes.render(2, 5, 32), classes.render(3, 5, 32));
    }

    #[test]
    fn a_design_comes_in_several_palettes_and_a_palette_in_several_designs() {
        let classes = FormulaClasses::new(400, 1).classes;
        let colours = |class: &Class| format!("{:?}", class.colours);
        for design in classes.chunks(PALETTES_OF_A_DESIGN) {
            let palettes: std::collections::BTreeSet<String> = design.iter().map(colours).collect();
            assert_eq!(palettes.len(), PALETTES_OF_A_DESIGN);
        }
        let palettes: std::collections::BTreeSet<String> = classes.iter().map(colours).collect();
        assert!(palettes.len() <= PALETTES);
    }
}

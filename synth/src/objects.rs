//! Products that lie on the belt: cap, gear, circuit board, blister card.
//!
//! Each gives colour and coverage at a place of the part's own coordinates. Pieces are numbered, so that one can
//! be missing.

use std::f32::consts::{PI, TAU};

use crate::{
    field::{
        Colour, Place, at, blend, cell, clouds, hash, inside, lit, mix, noise, rectangle, segment,
        step,
    },
    product::{Flaw, Product, Variation},
};

/// Half a pixel of a 256-pixel frame: edges are as soft as a lens makes them.
const EDGE: f32 = 0.006;

pub(crate) const TEETH: usize = 18;
pub(crate) const CAPSULES: usize = 8;
pub(crate) const COMPONENTS: usize = PARTS.len();

pub(crate) fn cap(p: Place, v: &Variation, flaw: &Flaw) -> (Colour, f32) {
    const PAINT: Colour = [0.70, 0.13, 0.14];
    const PRINT: Colour = [0.93, 0.90, 0.82];
    const FLUTES: f32 = 21.0;
    let radius = p.len();
    let angle = p.angle();
    let flute = (angle * FLUTES).cos();
    let edge = 0.74 + 0.012 * flute + 0.003 * v.tolerance[0];
    let coverage = inside(radius - edge, EDGE);
    // The skirt falls away from the light in waves.
    let skirt = step(0.60, 0.66, radius);
    let shade = mix(1.0, 0.55 + 0.35 * flute * (0.5 + 0.5 * (angle + 0.8).cos()), skirt);
    let crown = 1.0 + 0.10 * (-(p.x + p.y) * 0.7) - 0.12 * step(0.5, 0.62, radius);
    let gloss = 0.35 * inside(p.minus(at(-0.22, -0.26)).len() - 0.10, 0.16);
    let grain = 0.97 + 0.06 * noise(v.seed, p.times(45.0));
    let metal = lit(PAINT, shade * crown * grain);
    let q = match flaw.print {
        Some((by, turn)) => p.minus(by).turned(turn),
        None => p.minus(at(0.006 * v.tolerance[1], 0.0)),
    };
    let ring = inside((q.len() - 0.50).abs() - 0.016, EDGE);
    let ink = ring.max(star(q, 0.30)).max(caption(q));
    let printed = blend(metal, lit(PRINT, crown), 0.94 * ink);
    (blend(printed, [1.0, 0.96, 0.93], gloss), coverage)
}

/// A star of five points.
fn star(p: Place, radius: f32) -> f32 {
    let sector = TAU / 5.0;
    let angle = (p.angle() + PI / 2.0 + sector / 2.0).rem_euclid(sector) - sector / 2.0;
    let q = at(p.len() * angle.cos(), p.len() * angle.sin().abs());
    // The edge runs from the point at `radius` to the dent at 0.42 of it.
    let dent = at(0.42 * radius * (sector / 2.0).cos(), 0.42 * radius * (sector / 2.0).sin());
    let (ex, ey) = (dent.x - radius, dent.y);
    let side = (ex * q.y - ey * (q.x - radius)) / ex.hypot(ey);
    inside(-side, EDGE)
}

/// Four strokes of lettering below the star.
fn caption(p: Place) -> f32 {
    let letters = [-0.135_f32, -0.045, 0.045, 0.135];
    let stroke = |x: f32| rectangle(p.minus(at(x, 0.385)), at(0.028, 0.038), 0.01);
    let gap = |x: f32| rectangle(p.minus(at(x, 0.392)), at(0.010, 0.022), 0.0);
    letters
        .iter()
        .fold(0.0, |ink: f32, &x| ink.max(inside(stroke(x), EDGE) * (1.0 - inside(gap(x), EDGE))))
}

pub(crate) fn gear(p: Place, v: &Variation, flaw: &Flaw) -> (Colour, f32) {
    const STEEL: Colour = [0.60, 0.61, 0.63];
    let radius = p.len();
    let angle = p.angle();
    let turns = (angle / TAU).rem_euclid(1.0) * TEETH as f32;
    let tooth = cell(turns.floor()).unsigned_abs() as usize % TEETH;
    let phase = turns - turns.floor();
    // Flanks narrow towards the tip.
    let from_middle = (phase - 0.5).abs();
    let half = mix(0.31, 0.17, step(0.62, 0.80, radius));
    let is_there = flaw.missing != Some(tooth);
    let flank = (from_middle - half) * radius * TAU / TEETH as f32;
    let tip = radius - (0.80 + 0.004 * v.tolerance[0]);
    let outline = if is_there { (radius - 0.66).min(flank.max(tip)) } else { radius - 0.66 };
    let bore = 0.17 - radius;
    let key = -rectangle(p.minus(at(0.0, -0.18)), at(0.045, 0.05), 0.0);
    let sector = TAU / 5.0;
    let local = (angle + 0.3).rem_euclid(sector) - sector / 2.0;
    let window = at(radius * local.cos() - 0.42, radius * local.sin());
    let window = -(window.len() - 0.115);
    let coverage = inside(outline.max(bore).max(key).max(window), EDGE);
    let turned = 0.90 + 0.16 * noise(v.seed, at(radius * 60.0, angle * 2.0));
    let sheen = 1.0 + 0.16 * (2.0 * angle + 1.0).cos() * step(0.1, 0.4, radius);
    let hub = 0.14 * inside((radius - 0.27).abs() - 0.02, 0.02);
    let bevel = 0.30 * inside((radius - 0.655).abs() - 0.012, 0.014);
    let body = lit(STEEL, turned * sheen * (1.0 + hub - bevel));
    (blend(body, [0.25, 0.25, 0.26], 0.4 * inside(-outline - 0.012, 0.01)), coverage)
}

/// A component of the board.
struct Component {
    kind: Kind,
    centre: Place,
    half: Place,
}

enum Kind {
    /// A package with legs on two sides.
    Chip,
    /// A package with legs on four sides.
    Quad,
    /// A film resistor or ceramic capacitor.
    Film,
    /// An electrolytic capacitor.
    Can,
    /// A row of contacts.
    Socket,
}

const fn component(kind: Kind, x: f32, y: f32, half_x: f32, half_y: f32) -> Component {
    Component { kind, centre: at(x, y), half: at(half_x, half_y) }
}

const PARTS: [Component; 15] = [
    component(Kind::Quad, -0.12, 0.02, 0.19, 0.19),
    component(Kind::Chip, 0.42, -0.30, 0.15, 0.09),
    component(Kind::Chip, 0.42, 0.02, 0.15, 0.09),
    component(Kind::Can, -0.56, -0.36, 0.105, 0.105),
    component(Kind::Can, -0.56, -0.08, 0.105, 0.105),
    component(Kind::Socket, 0.0, 0.52, 0.36, 0.075),
    component(Kind::Film, -0.30, -0.40, 0.055, 0.028),
    component(Kind::Film, -0.14, -0.40, 0.055, 0.028),
    component(Kind::Film, 0.02, -0.40, 0.055, 0.028),
    component(Kind::Film, -0.58, 0.18, 0.055, 0.028),
    component(Kind::Film, -0.58, 0.28, 0.055, 0.028),
    component(Kind::Film, 0.40, 0.24, 0.055, 0.028),
    component(Kind::Film, 0.56, 0.24, 0.055, 0.028),
    component(Kind::Film, 0.24, 0.34, 0.028, 0.055),
    component(Kind::Film, -0.34, 0.34, 0.028, 0.055),
];

pub(crate) fn board(p: Place, v: &Variation, flaw: &Flaw) -> (Colour, f32) {
    const MASK: Colour = [0.06, 0.32, 0.19];
    const COPPER: Colour = [0.11, 0.42, 0.25];
    const SILK: Colour = [0.88, 0.90, 0.88];
    let outline = rectangle(p, at(0.80, 0.68), 0.05);
    let corner = at(p.x.abs() - 0.70, p.y.abs() - 0.58).len();
    let coverage = inside(outline.max(0.055 - corner), EDGE);
    let mut colour = lit(MASK, 0.95 + 0.10 * clouds(v.seed, p.times(3.0)));
    colour = blend(colour, COPPER, 0.8 * traces(p));
    colour = blend(colour, [0.75, 0.62, 0.30], inside((corner - 0.075).abs() - 0.018, EDGE));
    let q = match flaw.print {
        Some((by, turn)) => p.minus(by).turned(turn),
        None => p,
    };
    colour = blend(colour, SILK, 0.9 * silk(q));
    for (index, part) in PARTS.iter().enumerate() {
        let place = at(
            0.012 * (hash(v.seed, 1, cell(index as f32)) - 0.5),
            0.012 * (hash(v.seed, 2, cell(index as f32)) - 0.5),
        );
        let q = p.minus(part.centre).minus(place);
        // A component and its legs reach no further.
        if q.x.abs() > part.half.x + 0.06 || q.y.abs() > part.half.y + 0.06 {
            continue;
        }
        colour = if flaw.missing == Some(index) {
            pads(colour, q, part)
        } else {
            populated(colour, q, part, v)
        };
    }
    (colour, coverage)
}

fn traces(p: Place) -> f32 {
    const RUNS: [[Place; 3]; 7] = [
        [at(-0.30, -0.40), at(-0.30, -0.10), at(-0.12, -0.02)],
        [at(-0.14, -0.40), at(-0.14, -0.20), at(-0.12, 0.0)],
        [at(0.02, -0.40), at(0.16, -0.30), at(0.42, -0.30)],
        [at(0.05, 0.02), at(0.24, 0.02), at(0.42, 0.02)],
        [at(-0.12, 0.2), at(-0.12, 0.36), at(-0.05, 0.52)],
        [at(0.40, 0.24), at(0.40, 0.40), at(0.22, 0.52)],
        [at(-0.58, 0.18), at(-0.40, 0.10), at(-0.25, 0.06)],
    ];
    RUNS.iter().fold(0.0, |copper: f32, [a, b, c]| {
        let distance = segment(p, *a, *b).min(segment(p, *b, *c));
        copper.max(inside(distance - 0.012, EDGE))
    })
}

/// Lettering and a frame around the large package.
fn silk(p: Place) -> f32 {
    let frame =
        inside(rectangle(p.minus(at(-0.12, 0.02)), at(0.27, 0.27), 0.02).abs() - 0.006, EDGE);
    let letters = (0..7).fold(0.0, |ink: f32, index| {
        let x = -0.36 + 0.075 * index as f32;
        let tall = if index % 3 == 1 { 0.022 } else { 0.034 };
        let stroke = rectangle(p.minus(at(x, -0.55)), at(0.024, tall), 0.0);
        let hole = rectangle(p.minus(at(x + 0.004, -0.55)), at(0.010, tall - 0.012), 0.0);
        ink.max(inside(stroke, EDGE) * (1.0 - inside(hole, EDGE)))
    });
    frame.max(letters)
}

fn pads(under: Colour, q: Place, part: &Component) -> Colour {
    const TIN: Colour = [0.74, 0.75, 0.74];
    let pads = match part.kind {
        Kind::Chip | Kind::Quad | Kind::Socket => legs(q, part),
        Kind::Film => {
            let (long, short) = (part.half.x.max(part.half.y), part.half.x.min(part.half.y));
            let along = if part.half.x > part.half.y { q } else { at(q.y, q.x) };
            let pad = at(along.x.abs() - long * 0.75, along.y);
            inside(rectangle(pad, at(long * 0.3, short), 0.0), EDGE)
        }
        Kind::Can => inside(at(q.x.abs() - 0.05, q.y).len() - 0.022, EDGE),
    };
    blend(under, TIN, pads)
}

fn legs(q: Place, part: &Component) -> f32 {
    /// Legs per unit.
    const PITCH: f32 = 20.0;
    let leg = |along: f32| inside((along * PITCH - (along * PITCH).round()).abs() - 0.24, 0.12);
    let reach = |across: f32, half: f32| inside((across.abs() - half - 0.012).abs() - 0.022, EDGE);
    let within = |along: f32, half: f32| inside(along.abs() - half + 0.02, EDGE);
    let below = reach(q.y, part.half.y) * leg(q.x) * within(q.x, part.half.x);
    let beside = reach(q.x, part.half.x) * leg(q.y) * within(q.y, part.half.y);
    match part.kind {
        Kind::Quad => below.max(beside),
        Kind::Chip | Kind::Socket => below,
        Kind::Film | Kind::Can => 0.0,
    }
}

fn populated(under: Colour, q: Place, part: &Component, v: &Variation) -> Colour {
    const PLASTIC: Colour = [0.12, 0.12, 0.13];
    let with_legs = pads(under, q, part);
    let shadow = lit(
        with_legs,
        1.0 - 0.35 * inside(rectangle(q.minus(at(0.012, 0.014)), part.half, 0.01), 0.02),
    );
    let grain = 0.95 + 0.10 * noise(v.seed ^ 9, q.times(60.0));
    match part.kind {
        Kind::Chip | Kind::Quad => {
            let body = inside(rectangle(q, part.half, 0.01), EDGE);
            let mark = at(q.x + part.half.x - 0.04, q.y + part.half.y - 0.04).len();
            let label = (0..3).fold(0.0, |ink: f32, row| {
                let line = at(q.x, q.y - 0.03 * (row as f32 - 1.0));
                ink.max(inside(rectangle(line, at(part.half.x * 0.55, 0.006), 0.0), EDGE))
            });
            let top = blend(lit(PLASTIC, grain), [0.42, 0.42, 0.42], 0.7 * label);
            blend(shadow, blend(top, [0.3, 0.3, 0.3], inside(mark - 0.016, EDGE)), body)
        }
        Kind::Film => {
            let body = inside(rectangle(q, part.half, 0.0), EDGE);
            let along = if part.half.x > part.half.y { q.x } else { q.y };
            let long = part.half.x.max(part.half.y);
            let cap = step(0.62 * long, 0.68 * long, along.abs());
            blend(shadow, blend(lit([0.16, 0.13, 0.12], grain), [0.80, 0.80, 0.79], cap), body)
        }
        Kind::Can => {
            let radius = q.len();
            let body = inside(radius - part.half.x, EDGE);
            let sheen = 0.85 + 0.2 * (q.angle() * 2.0 + 0.6).cos() * step(0.02, 0.08, radius);
            let stripe = step(0.045, 0.055, q.x);
            let top = blend(lit([0.72, 0.73, 0.75], sheen), [0.10, 0.10, 0.14], stripe);
            blend(shadow, top, body)
        }
        Kind::Socket => {
            let body = inside(rectangle(q, part.half, 0.008), EDGE);
            let contact = at((q.x * 14.0 - (q.x * 14.0).round()) / 14.0, q.y);
            let hole = inside(rectangle(contact, at(0.018, 0.030), 0.004), EDGE)
                * inside(q.x.abs() - part.half.x + 0.04, EDGE);
            let top = blend(lit([0.84, 0.82, 0.74], grain), [0.20, 0.18, 0.14], hole);
            blend(shadow, top, body)
        }
    }
}

pub(crate) fn blister(p: Place, v: &Variation, flaw: &Flaw) -> (Colour, f32) {
    const FOIL: Colour = [0.74, 0.76, 0.78];
    const INK: Colour = [0.16, 0.28, 0.55];
    let coverage = inside(rectangle(p, at(0.62, 0.84), 0.09), EDGE);
    // Foil is embossed with a fine lattice.
    let emboss = (p.x * 60.0).sin() * (p.y * 60.0).sin();
    let mut colour = lit(FOIL, 0.96 + 0.035 * emboss + 0.05 * (clouds(v.seed, p.times(4.0)) - 0.5));
    let q = match flaw.print {
        Some((by, turn)) => p.minus(by).turned(turn),
        None => p,
    };
    let stripe = inside(rectangle(q.minus(at(0.0, -0.745)), at(0.44, 0.030), 0.01), EDGE);
    let date = (0..6).fold(0.0, |ink: f32, index| {
        let digit =
            rectangle(q.minus(at(-0.25 + 0.1 * index as f32, 0.755)), at(0.030, 0.024), 0.0);
        let hole = rectangle(q.minus(at(-0.25 + 0.1 * index as f32, 0.755)), at(0.014, 0.008), 0.0);
        ink.max(inside(digit, EDGE) * (1.0 - inside(hole, EDGE)))
    });
    colour = blend(colour, INK, 0.9 * stripe.max(date));
    for index in 0..CAPSULES {
        let (column, row) = (index % 2, index / 2);
        let centre = at(-0.27 + 0.54 * column as f32, -0.51 + 0.34 * row as f32);
        let q = p.minus(centre);
        if q.x.abs() > 0.26 || q.y.abs() > 0.16 {
            continue;
        }
        colour = pocket(colour, q, index, v, flaw);
    }
    (colour, coverage)
}

fn pocket(under: Colour, q: Place, index: usize, v: &Variation, flaw: &Flaw) -> Colour {
    let bubble = rectangle(q, at(0.225, 0.125), 0.125);
    let wall = inside((bubble + 0.006).abs() - 0.012, 0.008);
    let shine = 1.0 + 0.25 * wall * (-(q.x + 2.0 * q.y)).signum();
    let mut colour = lit(blend(under, [0.66, 0.69, 0.72], 0.7 * inside(bubble, EDGE)), shine);
    let key = cell(index as f32);
    let jitter = at(hash(v.seed, 11, key) - 0.5, hash(v.seed, 12, key) - 0.5).times(0.03);
    let turn = 0.10 * (hash(v.seed, 13, key) - 0.5);
    let pill = q.minus(jitter).turned(turn);
    if flaw.missing != Some(index) {
        let body = rectangle(pill, at(0.185, 0.082), 0.082);
        let half = step(-0.008, 0.008, pill.x - 0.01);
        let dome = 0.72 + 0.36 * (1.0 - (pill.y / 0.082).powi(2)).max(0.0).sqrt();
        let skin = blend([0.86, 0.35, 0.12], [0.92, 0.86, 0.66], half);
        let shadow = inside(rectangle(pill.minus(at(0.014, 0.018)), at(0.185, 0.082), 0.082), 0.03);
        colour = lit(colour, 1.0 - 0.35 * shadow);
        colour = blend(colour, lit(skin, dome), inside(body, EDGE));
    }
    // The plastic dome above reflects the lamp, pill or no pill.
    let lamp = inside(segment(q, at(-0.10, -0.05), at(0.08, -0.05)) - 0.010, 0.012);
    blend(colour, [1.0, 1.0, 1.0], 0.55 * lamp)
}

/// About how much of the frame a piece covers.
pub(crate) fn piece_area_fraction(product: Product, index: usize) -> f64 {
    match product {
        // Half sides of 1 would cover the frame.
        Product::Board => PARTS.get(index).map_or(0.0, |part| f64::from(part.half.x * part.half.y)),
        Product::Gear => 0.008,
        Product::Blister => 0.014,
        Product::Weave | Product::Wood | Product::Grid | Product::Leather | Product::Cap => 0.0,
    }
}

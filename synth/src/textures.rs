//! Products that fill the frame: cloth, wood, sheet metal, leather.
//!
//! Each is a colour at a place. Irregularities come from the part's seed; period and colours are the product's.

use crate::{
    field::{Colour, Place, at, blend, cell, cells, clouds, hash, inside, lit, noise, step},
    product::Variation,
};

/// Threads from edge to edge, in units of half a frame.
const THREADS: f32 = 17.0;

pub(crate) fn weave(p: Place, v: &Variation) -> Colour {
    const WARP: Colour = [0.22, 0.34, 0.56];
    const WEFT: Colour = [0.62, 0.68, 0.76];
    let wander = at(noise(v.seed, p.times(2.0)) - 0.5, noise(v.seed ^ 1, p.times(2.0)) - 0.5);
    let q = p.times(THREADS).plus(wander.times(0.35));
    let (column, row) = (cell(q.x.floor()), cell(q.y.floor()));
    let warp_on_top = (column + row).rem_euclid(2) == 0;
    let (fx, fy) = (q.x - q.x.floor(), q.y - q.y.floor());
    let (across, along, thread, colour) = if warp_on_top {
        (fx, fy, hash(v.seed ^ 7, column, 0), WARP)
    } else {
        (fy, fx, hash(v.seed ^ 8, row, 0), WEFT)
    };
    let round = (std::f32::consts::PI * across).sin().max(0.0).sqrt();
    let arch = 0.75 + 0.25 * (std::f32::consts::PI * along).sin();
    let fibre = 0.94 + 0.12 * noise(v.seed ^ 3, at(across * 4.0, q.x + q.y).plus(q));
    lit(colour, (0.35 + 0.65 * round) * arch * fibre * (0.93 + 0.14 * thread))
}

pub(crate) fn wood(p: Place, v: &Variation) -> Colour {
    const EARLY: Colour = [0.80, 0.62, 0.42];
    const LATE: Colour = [0.56, 0.36, 0.20];
    let bend = clouds(v.seed, at(p.x * 0.7, p.y * 2.0)) * 1.6;
    let rings = (p.y * (9.0 + v.tolerance[0]) + bend * 4.0) % 1.0;
    let rings = rings.rem_euclid(1.0);
    // Early wood grows slowly darker, then the ring ends.
    let late = step(0.25, 0.9, rings) * (1.0 - step(0.92, 1.0, rings));
    let fibre = noise(v.seed ^ 2, at(p.x * 6.0, p.y * 90.0));
    let pore = step(0.82, 0.95, noise(v.seed ^ 3, at(p.x * 9.0, p.y * 120.0)));
    let base = blend(EARLY, LATE, 0.75 * late);
    lit(base, 0.92 + 0.14 * fibre - 0.16 * pore)
}

pub(crate) fn grid(p: Place, v: &Variation) -> Colour {
    const METAL: Colour = [0.66, 0.68, 0.70];
    const BEHIND: Colour = [0.07, 0.07, 0.08];
    /// Holes per unit.
    const PITCH: f32 = 7.0;
    // Rows of a hexagonal lattice, every other one half a hole along.
    let row = (p.y * PITCH / 0.866).round();
    let shift = if cell(row).rem_euclid(2) == 0 { 0.0 } else { 0.5 };
    let column = (p.x * PITCH - shift).round();
    let centre = at(column + shift, row * 0.866);
    let distance = p.times(PITCH).minus(centre);
    let radius = 0.30 + 0.012 * (hash(v.seed, cell(column), cell(row)) - 0.5);
    let from_edge = distance.len() - radius;
    let brushed = 0.9 + 0.2 * noise(v.seed ^ 4, at(p.x * 3.0, p.y * 70.0));
    // A punched edge catches the light from above and throws a shadow below.
    let rim = inside((from_edge - 0.04).abs() - 0.04, 0.04);
    let glint = 1.0 + rim * 0.45 * (-distance.y / distance.len().max(0.01));
    blend(lit(METAL, brushed * glint), BEHIND, inside(from_edge, 0.05))
}

pub(crate) fn leather(p: Place, v: &Variation) -> Colour {
    const HIDE: Colour = [0.45, 0.24, 0.13];
    let q = p.times(12.0);
    let wander = at(noise(v.seed, q.times(0.6)), noise(v.seed ^ 1, q.times(0.6)));
    let (first, second, own) = cells(v.seed ^ 2, q.plus(wander.times(0.6)));
    let crease = step(0.0, 0.28, second - first);
    let (lower, _, _) = cells(v.seed ^ 2, q.plus(wander.times(0.6)).plus(at(0.12, 0.12)));
    let relief = (lower - first) * 1.1;
    let pore = noise(v.seed ^ 5, p.times(70.0));
    lit(HIDE, (0.5 + 0.5 * crease) * (1.0 + relief) * (0.9 + 0.12 * own + 0.14 * pore))
}

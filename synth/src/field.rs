//! The mathematics of pictures: noise, soft edges, distances, colours.
//!
//! Pure functions over product coordinates. Knows no product.

use crate::seeds::splitmix;

/// A place in product coordinates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) x: f32,
    pub(crate) y: f32,
}

/// Red, green and blue from 0 to 1, as a camera encodes them.
pub(crate) type Colour = [f32; 3];

pub(crate) const fn at(x: f32, y: f32) -> Place {
    Place { x, y }
}

impl Place {
    pub(crate) fn minus(self, other: Self) -> Self {
        at(self.x - other.x, self.y - other.y)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        at(self.x + other.x, self.y + other.y)
    }

    pub(crate) fn times(self, factor: f32) -> Self {
        at(self.x * factor, self.y * factor)
    }

    pub(crate) fn len(self) -> f32 {
        self.x.hypot(self.y)
    }

    /// Anticlockwise from the x axis.
    pub(crate) fn angle(self) -> f32 {
        self.y.atan2(self.x)
    }

    pub(crate) fn turned(self, angle: f32) -> Self {
        let (sin, cos) = angle.sin_cos();
        at(cos * self.x - sin * self.y, sin * self.x + cos * self.y)
    }
}

/// A number from 0 to 1 for every lattice point.
pub(crate) fn hash(seed: u64, x: i32, y: i32) -> f32 {
    let key = seed ^ (u64::from(x.cast_unsigned()) << 32 | u64::from(y.cast_unsigned()));
    (splitmix(key) >> 40) as f32 / (1_u32 << 24) as f32
}

/// Smooth value noise from 0 to 1, one lattice cell per unit.
pub(crate) fn noise(seed: u64, p: Place) -> f32 {
    let (fx, fy) = (p.x.floor(), p.y.floor());
    let (ix, iy) = (cell(fx), cell(fy));
    let (sx, sy) = (smooth(p.x - fx), smooth(p.y - fy));
    let corner = |dx, dy| hash(seed, ix.wrapping_add(dx), iy.wrapping_add(dy));
    mix(mix(corner(0, 0), corner(1, 0), sx), mix(corner(0, 1), corner(1, 1), sx), sy)
}

/// Three octaves of [`noise`], from 0 to 1.
pub(crate) fn clouds(seed: u64, p: Place) -> f32 {
    let mut sum = 0.0;
    let mut scale = 1.0;
    for octave in 0..3_u64 {
        sum += noise(seed.wrapping_add(octave), p.times(scale)) / scale;
        scale *= 2.0;
    }
    sum / 1.75
}

/// Distances to the nearest and second nearest point of a jittered lattice, and the nearest cell's own number.
pub(crate) fn cells(seed: u64, p: Place) -> (f32, f32, f32) {
    let (ix, iy) = (cell(p.x.floor()), cell(p.y.floor()));
    let (mut first, mut second, mut own) = (9.0_f32, 9.0_f32, 0.0);
    for dy in -1..=1 {
        for dx in -1..=1 {
            let (cx, cy) = (ix.wrapping_add(dx), iy.wrapping_add(dy));
            let point = at(
                cx as f32 + 0.15 + 0.7 * hash(seed, cx, cy),
                cy as f32 + 0.15 + 0.7 * hash(seed ^ 0xabcd, cx, cy),
            );
            let distance = p.minus(point).len();
            if distance < first {
                (second, first, own) = (first, distance, hash(seed ^ 0x1234, cx, cy));
            } else if distance < second {
                second = distance;
            }
        }
    }
    (first, second, own)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "coordinates are far below 2^31; the cast saturates"
)]
pub(crate) fn cell(floor: f32) -> i32 {
    floor as i32
}

pub(crate) fn mix(from: f32, to: f32, share: f32) -> f32 {
    from + (to - from) * share
}

fn smooth(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

/// 0 below `from`, 1 above `to`, smooth between.
pub(crate) fn step(from: f32, to: f32, value: f32) -> f32 {
    smooth(((value - from) / (to - from)).clamp(0.0, 1.0))
}

/// How far inside: 1 at negative distances, 0 at positive ones, soft over `edge`.
pub(crate) fn inside(distance: f32, edge: f32) -> f32 {
    1.0 - step(-edge, edge, distance)
}

/// Signed distance of a rectangle with half sides and rounded corners.
pub(crate) fn rectangle(p: Place, half: Place, radius: f32) -> f32 {
    let q = at(p.x.abs() - half.x + radius, p.y.abs() - half.y + radius);
    at(q.x.max(0.0), q.y.max(0.0)).len() + q.x.max(q.y).min(0.0) - radius
}

/// Distance from the line between two places.
pub(crate) fn segment(p: Place, a: Place, b: Place) -> f32 {
    let (pa, ba) = (p.minus(a), b.minus(a));
    let along = (pa.x * ba.x + pa.y * ba.y) / (ba.x * ba.x + ba.y * ba.y).max(1e-9);
    pa.minus(ba.times(along.clamp(0.0, 1.0))).len()
}

pub(crate) fn blend(under: Colour, over: Colour, share: f32) -> Colour {
    std::array::from_fn(|channel| mix(under[channel], over[channel], share))
}

pub(crate) fn lit(colour: Colour, light: f32) -> Colour {
    colour.map(|value| value * light)
}

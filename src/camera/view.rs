//! Which part of a camera's picture is looked at, and which way up it stands.
//!
//! Pure. Owns the arithmetic between the picture that a person sees and the one that the camera sends.

pub use crate::area::{Area, Edges};

/// What is looked at; by default the whole picture as the camera sends it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct View {
    /// How the camera's picture is turned.
    pub turn: Turn,
    /// The part of the turned picture that is kept; `None` for all of it.
    pub region: Option<Area>,
}

/// Clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// Not at all.
    #[default]
    None,
    /// By 90 degrees.
    Right,
    /// By 180 degrees.
    Half,
    /// By 270 degrees.
    Left,
}

impl Turn {
    /// The turn by so many degrees, clockwise.
    pub const fn of_degrees(degrees: i64) -> Option<Self> {
        match degrees {
            0 => Some(Self::None),
            90 => Some(Self::Right),
            180 => Some(Self::Half),
            270 => Some(Self::Left),
            _ => None,
        }
    }

    /// Degrees, clockwise.
    pub const fn degrees(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Right => 90,
            Self::Half => 180,
            Self::Left => 270,
        }
    }
}

impl Area {
    /// The same part of the picture before it was turned.
    #[must_use]
    pub fn before(self, turn: Turn) -> Self {
        let Self { x, y, width, height } = self;
        let (from_right, from_bottom) = (1.0 - x - width, 1.0 - y - height);
        match turn {
            Turn::None => self,
            Turn::Right => Self { x: y, y: from_right, width: height, height: width },
            Turn::Half => Self { x: from_right, y: from_bottom, width, height },
            Turn::Left => Self { x: from_bottom, y: x, width: height, height: width },
        }
    }
}

impl std::fmt::Display for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.turn {
            Turn::None => f.write_str("not turned")?,
            turn @ (Turn::Right | Turn::Half | Turn::Left) => {
                write!(f, "turned by {} degrees", turn.degrees())?;
            }
        }
        match self.region {
            None => f.write_str(", the whole picture"),
            Some(Area { x, y, width, height }) => {
                write!(f, ", a region of {width} x {height} at ({x}, {y}) of the picture")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bundle::geometry::Size;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn edges_lie_within_the_picture_and_hold_a_pixel(
            x in 0.0..0.99, y in 0.0..0.99, w in 0.01..1.0, h in 0.01..1.0, width in 1_u32..5000, height in 1_u32..5000
        ) {
            let area = Area::new(x, y, f64::min(w, 1.0 - x), f64::min(h, 1.0 - y)).unwrap();
            for turn in [Turn::None, Turn::Right, Turn::Half, Turn::Left] {
                let Edges { left, right, top, bottom } = area.before(turn).edges(Size { width, height });
                prop_assert!(left < right && right <= width, "{left} {right} {width}");
                prop_assert!(top < bottom && bottom <= height, "{top} {bottom} {height}");
            }
        }

        /// A turn takes the corner of the region to where a turn of the whole takes it.
        #[test]
        fn turning_back_and_forth_is_nothing(x in 0.0..0.5, y in 0.0..0.5, w in 0.1..0.5, h in 0.1..0.5) {
            let area = Area::new(x, y, w, h).unwrap();
            for (one, other) in [(Turn::Right, Turn::Left), (Turn::Half, Turn::Half)] {
                let back = area.before(one).before(other);
                for (a, b) in [(back.x, x), (back.y, y), (back.width, w), (back.height, h)] {
                    prop_assert!((a - b).abs() < 1e-12);
                }
            }
        }
    }
}

//! Which part of a camera's picture is looked at, and which way up it stands.
//!
//! Pure. Owns the arithmetic between the picture that a person sees and the one that the camera sends. An area is
//! given in fractions, not in pixels: it means the same part of the picture when the camera's format changes in
//! mid-stream, and it can be refused before any camera plays.

use bundle::geometry::Size;

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

/// A rectangle in fractions of a picture's width and height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// A rectangle in pixels, from `left` to before `right`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edges {
    /// First column.
    pub left: u32,
    /// Column after the last.
    pub right: u32,
    /// First row.
    pub top: u32,
    /// Row after the last.
    pub bottom: u32,
}

/// Sums of decimal fractions miss 1 by less than this.
const ROUNDING: f64 = 1e-9;

impl Area {
    /// The whole picture.
    pub const WHOLE: Self = Self { x: 0.0, y: 0.0, width: 1.0, height: 1.0 };

    /// Refuses, with the reason, what is no part of a picture.
    pub fn new(x: f64, y: f64, width: f64, height: f64) -> Result<Self, String> {
        let sides = [("x", x, "width", width), ("y", y, "height", height)];
        for (at, from, side, len) in sides {
            if !(0.0..=1.0).contains(&from) || !(0.0..=1.0).contains(&len) {
                return Err(format!(
                    "{at} and {side} are fractions of the picture's {side}, from 0 to 1, not pixels"
                ));
            }
            if len <= 0.0 {
                return Err(format!("its {side} must be above 0"));
            }
            if from + len > 1.0 + ROUNDING {
                return Err(format!(
                    "it reaches beyond the picture: {at} + {side} is {} and must be at most 1",
                    from + len
                ));
            }
        }
        Ok(Self { x, y, width, height })
    }

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

    /// Its pixels in a picture of that size, at least two across and down where there are. Edges within the picture are
    /// even: the colours of most cameras' formats are shared by two pixels.
    pub fn edges(&self, size: Size) -> Edges {
        let (left, right) = span(self.x, self.width, size.width);
        let (top, bottom) = span(self.y, self.height, size.height);
        Edges { left, right, top, bottom }
    }
}

fn span(from: f64, len: f64, side: u32) -> (u32, u32) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to half of a side"
    )]
    let even = |fraction: f64| {
        let pixel = fraction.clamp(0.0, 1.0) * f64::from(side);
        ((pixel / 2.0).round() as u32 * 2).min(side)
    };
    let is_to_the_end = from + len >= 1.0 - ROUNDING;
    let end = if is_to_the_end { side } else { even(from + len) };
    let start = even(from).min((side.saturating_sub(1) / 2) * 2);
    (start, end.max(start + 2).min(side))
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_part_of_a_picture_is_refused_with_the_reason() {
        let check = |x, y, width, height, expected: &str| {
            let told = Area::new(x, y, width, height).map_or_else(|error| error, |_| "ok".into());
            assert!(told.starts_with(expected), "{told}");
        };
        check(0.0, 0.0, 1.0, 1.0, "ok");
        check(0.7, 0.1, 0.3, 0.9, "ok");
        check(0.8, 0.0, 0.3, 1.0, "it reaches beyond the picture: x + width is 1.1");
        check(0.0, 0.5, 1.0, 0.6, "it reaches beyond the picture: y + height is 1.1");
        check(100.0, 0.0, 200.0, 1.0, "x and width are fractions of the picture's width");
        check(0.0, -0.1, 0.5, 0.5, "y and height are fractions");
        check(0.0, 0.0, f64::NAN, 0.5, "x and width are fractions");
        check(0.0, 0.0, 0.0, 0.5, "its width must be above 0");
    }

    #[test]
    fn edges_are_even_within_the_picture() {
        let check = |x, width, side, expected| {
            let size = Size { width: side, height: 9 };
            let edges = Area::new(x, 0.0, width, 1.0).unwrap().edges(size);
            assert_eq!((edges.left, edges.right), expected);
            assert_eq!((edges.top, edges.bottom), (0, 9));
        };
        check(0.25, 0.5, 640, (160, 480));
        check(0.0, 1.0, 333, (0, 333));
        check(0.5, 0.5, 333, (166, 333));
        check(0.3, 0.1, 101, (30, 40));
        check(0.999, 0.001, 10, (8, 10));
        check(0.2, 0.0001, 10, (2, 4));
        check(0.9, 0.1, 1, (0, 1));
    }

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

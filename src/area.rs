//! A part of a picture, in fractions of its sides.
//!
//! Pure. Given in fractions, not in pixels, it means the same part of the picture when a camera's format changes in
//! mid-stream, and it can be refused before any camera plays. Knows neither cameras nor judges.

use bundle::geometry::Size;

/// A rectangle in fractions of a picture's width and height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
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

    /// Whether a point of the picture, in the same fractions, lies in it.
    pub fn holds(&self, x: f64, y: f64) -> bool {
        (self.x..self.x + self.width).contains(&x) && (self.y..self.y + self.height).contains(&y)
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

#[cfg(test)]
mod tests {
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
}

//! The colours of an anomaly map: the same in the inspector's overlays and in the trainer's report.
//!
//! Pure. Heat is a value relative to the product's threshold, so that two pictures can be compared: what glows red is
//! what is refused, and the outline encloses it.

use crate::geometry::Map;

/// How much of the picture still shines through the hottest spot.
const OPACITY: f32 = 0.75;

/// The colour of the line around what lies above the limit.
pub const OUTLINE: [u8; 3] = [255, 255, 255];

/// The grey of a value at the limit: as much room above it as below.
pub const AT_LIMIT: u8 = 128;

/// The map in grey: 0 is no heat, [`AT_LIMIT`] the limit, 255 twice it or more.
pub fn greys(map: &Map, limit: f32) -> Vec<u8> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and what is not a number is no heat"
    )]
    let grey = |value: &f32| (value / limit * f32::from(AT_LIMIT)).round() as u8;
    map.values.iter().map(grey).collect()
}

/// What heat is relative to: the threshold, or the hottest spot where there is none above 0.
pub fn limit(map: &Map, threshold: Option<f32>) -> f32 {
    threshold.filter(|threshold| *threshold > 0.0).unwrap_or_else(|| highest(map))
}

/// The value at a pixel, 0 outside of the map.
pub fn value(map: &Map, x: u32, y: u32) -> f32 {
    map.values.get((y * map.size.width + x) as usize).copied().unwrap_or(0.0)
}

/// The map's highest value, above 0: the limit of a picture whose product has none.
pub fn highest(map: &Map) -> f32 {
    map.values.iter().copied().fold(f32::MIN_POSITIVE, f32::max)
}

/// A pixel above the limit with a neighbour that is not: the edge of the refused region.
pub fn is_outline(map: &Map, x: u32, y: u32, limit: f32) -> bool {
    let above = |x: u32, y: u32| value(map, x, y) > limit;
    let inside_x = |x: u32| x.min(map.size.width.saturating_sub(1));
    let inside_y = |y: u32| y.min(map.size.height.saturating_sub(1));
    above(x, y)
        && !(above(x.saturating_sub(1), y)
            && above(inside_x(x + 1), y)
            && above(x, y.saturating_sub(1))
            && above(x, inside_y(y + 1)))
}

/// A pixel under its heat (value divided by limit): blue from a quarter of the limit, yellow below it, red at and
/// above it.
pub fn heated(pixel: [u8; 3], heat: f32) -> [u8; 3] {
    const STOPS: [(f32, [f32; 3]); 4] = [
        (0.25, [20.0, 40.0, 160.0]),
        (0.6, [30.0, 200.0, 200.0]),
        (0.85, [255.0, 220.0, 40.0]),
        (1.0, [235.0, 20.0, 20.0]),
    ];
    let coldest = STOPS[0].0;
    if heat.is_nan() || heat <= coldest {
        return pixel;
    }
    let heat = heat.min(1.0);
    let opacity = OPACITY * (heat - coldest) / (1.0 - coldest);
    let upper = STOPS.iter().position(|stop| heat <= stop.0).unwrap_or(STOPS.len() - 1).max(1);
    let ((low, from), (high, to)) = (STOPS[upper - 1], STOPS[upper]);
    let share = (heat - low) / (high - low);
    std::array::from_fn(|channel| {
        let colour = from[channel] + share * (to[channel] - from[channel]);
        let mixed = f32::from(pixel[channel]) * (1.0 - opacity) + colour * opacity;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mixture of two values from 0 to 255"
        )]
        let mixed = mixed.round() as u8;
        mixed
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    #[test]
    fn heat_begins_at_a_quarter_of_the_limit_and_is_red_from_the_limit_on() {
        let check = |heat: f32, expected: [u8; 3]| {
            assert_eq!(heated([100; 3], heat), expected, "{heat}");
        };
        check(0.0, [100; 3]);
        check(0.25, [100; 3]);
        check(f32::NAN, [100; 3]);
        check(1.0, [201, 40, 40]);
        check(9.0, [201, 40, 40]);
    }

    #[test]
    fn grey_is_128_at_the_limit_and_never_wraps() {
        let size = Size { width: 8, height: 1 };
        let values = vec![0.0, -3.0, 0.5, 0.75, 1.0, 1e9, f32::INFINITY, f32::NAN];
        let map = Map { size, values };
        assert_eq!(greys(&map, 0.5), [0, 0, 128, 192, 255, 255, 255, 0]);
        let hottest = Map { size: Size { width: 2, height: 1 }, values: vec![0.2, 0.4] };
        for (threshold, expected) in [(Some(0.3), 0.3), (Some(0.0), 0.4), (None, 0.4)] {
            assert!((limit(&hottest, threshold) - expected).abs() < f32::EPSILON);
        }
    }

    #[test]
    fn the_outline_is_the_edge_of_what_lies_above_the_limit() {
        let size = Size { width: 5, height: 5 };
        let mut map = Map { size, values: vec![0.0; 25] };
        for y in 1..4 {
            for x in 1..4 {
                map.values[y * 5 + x] = 2.0;
            }
        }
        let outlined: Vec<(u32, u32)> = (0..25)
            .map(|at| (at % 5, at / 5))
            .filter(|&(x, y)| is_outline(&map, x, y, 1.0))
            .collect();
        assert_eq!(outlined.len(), 8);
        assert!(!outlined.contains(&(2, 2)));
        assert!((highest(&map) - 2.0).abs() < f32::EPSILON);
    }
}

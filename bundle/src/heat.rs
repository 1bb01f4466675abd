//! The colours of an anomaly map: the same in the inspector's overlays and in the trainer's report.
//!
//! Pure. Heat is a value relative to the product's threshold, so that two pictures can be compared: what glows red is
//! what is refused, and the outline encloses it.

use crate::geometry::Map;

/// How much of the picture still shines through the hottest spot.
const OPACITY: f32 = 0.75;

/// The colour of the line around what lies above the limit.
pub const OUTLINE: [u8; 3] = [255, 255, 255];

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

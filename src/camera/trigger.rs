//! The software trigger: one frame for each part that passes a region of the picture.
//!
//! Pure: no clock, no pixels kept. The region is seen as 16 x 16 cells of mean brightness. A cell differs when it is more
//! than `contrast` grey levels from the empty belt; a part is there from the frame in which a share of `presence` of the
//! cells differs until `gap_frames` frames in a row in which less than half of that does (hysteresis and minimum gap
//! in one). Of its frames the one is chosen in which the centre of gravity of the differing cells is nearest to the
//! middle of the region; it is known as soon as a later one is clearly farther away, or the part is gone.
//!
//! The empty belt is learned first: the median of each cell over the first frames, so that parts which pass meanwhile leave
//! no trace. Then it follows the light by a fixed small step towards each new frame (the sigma-delta background of
//! Manzanera and Richefeu, 2007), and not while a part is there. What stays longer than `longest` is told, again after
//! each further `longest`, and becomes the background within seconds: a belt that stopped, a new light, parts that touch.
//!
//! Invariants: a presence yields exactly one frame, or is still holding one; every frame is held, or given its reason.

use std::time::Duration;

use bundle::geometry::RgbView;

use super::view::{Area, Edges};

/// Cells across and down: a part of a sixteenth of the region is seen.
const ACROSS: u8 = 16;
const SIDE: usize = ACROSS as usize;
const CELLS: usize = SIDE * SIDE;
/// Samples of a cell across and down; more tell no more.
const SAMPLES: u32 = 8;
/// Frames that teach the empty belt: a second. Odd, so that the median is one of them.
const LEARNED_FROM: usize = 31;
/// Grey levels that the empty belt may follow the light by each frame.
const STEP: f32 = 0.5;
/// The same where something stays that is no part: from black to white within four seconds.
const STEP_LONG: f32 = 2.0;
/// So much farther from the middle, as a share of the region, is no noise.
const CLEARLY_FARTHER: f64 = 0.1;

/// When a part is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Where parts pass, in fractions of the frame.
    pub area: Area,
    /// Grey levels, of 255, by which a cell differs from the empty belt.
    pub contrast: f64,
    /// The share of cells that differ where a part is.
    pub presence: f64,
    /// Frames without a part that end it; at least 1.
    pub gap_frames: usize,
    /// No part is there for longer.
    pub longest: Duration,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            area: Area::WHOLE,
            contrast: 16.0,
            presence: 0.1,
            gap_frames: 2,
            longest: Duration::from_secs(5),
        }
    }
}

/// A region's mean brightness, cell by cell, rows first, in grey levels.
#[derive(Clone, Debug, PartialEq)]
pub struct Cells([f32; CELLS]);

impl Cells {
    /// The cells of that area of a frame.
    pub fn of(frame: &RgbView<'_>, area: &Area) -> Self {
        let Edges { left, right, top, bottom } = area.edges(frame.size());
        let (columns, rows) = (spans(left, right), spans(top, bottom));
        let mut cells = [0.0; CELLS];
        let by_row = cells.chunks_exact_mut(SIDE).zip(&rows);
        for (cells, &(first, last)) in by_row {
            let down = samples(first, last);
            for (cell, &(start, end)) in cells.iter_mut().zip(&columns) {
                let (mut sum, mut count) = (0_u32, 0_u32);
                for y in (first..last).step_by(down) {
                    let row = frame.row(y);
                    for x in (start..end).step_by(samples(start, end)) {
                        let at = x as usize * 3;
                        sum += row[at..at + 3].iter().map(|value| u32::from(*value)).sum::<u32>();
                        count += 3;
                    }
                }
                *cell = sum as f32 / count.max(1) as f32;
            }
        }
        Self(cells)
    }
}

/// Where the cells between two edges begin and end, each at least a pixel wide.
fn spans(from: u32, to: u32) -> [(u32, u32); SIDE] {
    let at = |cell: u32| from + (to - from) * cell / u32::from(ACROSS);
    let mut spans = [(from, to); SIDE];
    for (cell, span) in (0..).zip(&mut spans) {
        let start = at(cell).min(to - 1);
        *span = (start, at(cell + 1).max(start + 1));
    }
    spans
}

fn samples(from: u32, to: u32) -> usize {
    ((to - from) / SAMPLES).max(1) as usize
}

/// What becomes of the frame that was just seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum This {
    /// It teaches the empty belt.
    Learned,
    /// It shows no part, or a part that another frame shows better.
    NotWanted,
    /// It shows a part, and best so far: it is held, and what was held before is not wanted any more.
    Held,
}

/// What one more frame means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The frame that was held before is the part's: it goes on to the engine.
    pub releases: bool,
    /// What becomes of this frame.
    pub this: This,
    /// A part has come.
    pub is_new: bool,
    /// The part has now been there for longer than any part is, once or once more.
    pub is_long: bool,
}

impl Step {
    const fn nothing(this: This) -> Self {
        Self { releases: false, this, is_new: false, is_long: false }
    }
}

/// A part that is there.
#[derive(Clone, Debug)]
struct Presence {
    /// How far from the middle the frame is that is held; `None` once it has been released.
    held: Option<f64>,
    empty_frames: usize,
    /// It came then, or was told then to be too long.
    told: Duration,
    is_long: bool,
}

/// The trigger of one camera.
#[derive(Clone, Debug)]
pub struct Trigger {
    rule: Rule,
    learning: Vec<Cells>,
    /// The empty belt; `None` while it is being learned.
    background: Option<Cells>,
    presence: Option<Presence>,
}

impl Trigger {
    /// It has to learn the empty belt first.
    pub fn new(rule: Rule) -> Self {
        Self { rule, learning: Vec::new(), background: None, presence: None }
    }

    /// Where parts pass.
    pub fn area(&self) -> &Area {
        &self.rule.area
    }

    /// One more frame; `at` is its time on a clock that the camera's frames share.
    pub fn see(&mut self, cells: Cells, at: Duration) -> Step {
        let Some(background) = &mut self.background else {
            self.learning.push(cells);
            if self.learning.len() == LEARNED_FROM {
                self.background = Some(medians(&std::mem::take(&mut self.learning)));
            }
            return Step::nothing(This::Learned);
        };
        let Rule { contrast, presence: share_of_part, gap_frames, longest, .. } = self.rule;
        let (share, off_centre) = difference(&cells, background, contrast);
        let Some(presence) = &mut self.presence else {
            if share < share_of_part {
                follow(background, &cells, STEP);
                return Step::nothing(This::NotWanted);
            }
            self.presence = Some(Presence {
                held: Some(off_centre),
                empty_frames: 0,
                told: at,
                is_long: false,
            });
            return Step { is_new: true, ..Step::nothing(This::Held) };
        };
        let is_empty = share < share_of_part / 2.0;
        presence.empty_frames = if is_empty { presence.empty_frames + 1 } else { 0 };
        if presence.empty_frames >= gap_frames {
            let releases = presence.held.is_some();
            self.presence = None;
            return Step { releases, ..Step::nothing(This::NotWanted) };
        }
        let is_long = at.saturating_sub(presence.told) > longest;
        if is_long {
            (presence.told, presence.is_long) = (at, true);
        }
        if presence.is_long {
            follow(background, &cells, STEP_LONG);
        }
        let step = Step { is_long, ..Step::nothing(This::NotWanted) };
        let Some(held) = presence.held else { return step };
        if is_long || (!is_empty && off_centre > held + CLEARLY_FARTHER) {
            presence.held = None;
            return Step { releases: true, ..step };
        }
        if is_empty || off_centre >= held {
            return step;
        }
        presence.held = Some(off_centre);
        Step { this: This::Held, ..step }
    }

    /// Frames end here, or nobody wants them for a while; `true` when the frame that is held is a part's.
    #[must_use = "a frame that is held has no disposition yet"]
    pub fn end(&mut self) -> bool {
        self.presence.take().is_some_and(|presence| presence.held.is_some())
    }
}

/// The share of cells that differ, and how far their centre of gravity is from the region's middle, as a share of its
/// sides.
fn difference(cells: &Cells, background: &Cells, contrast: f64) -> (f64, f64) {
    let (mut count, mut across, mut down) = (0_u32, 0_usize, 0_usize);
    for (index, (cell, empty)) in std::iter::zip(&cells.0, &background.0).enumerate() {
        if f64::from((cell - empty).abs()) > contrast {
            count += 1;
            across += index % SIDE;
            down += index / SIDE;
        }
    }
    let count = f64::from(count);
    let off = |sum: usize| (sum as f64 / count.max(1.0) + 0.5) / SIDE as f64 - 0.5;
    (count / CELLS as f64, off(across).hypot(off(down)))
}

fn follow(background: &mut Cells, cells: &Cells, step: f32) {
    for (empty, cell) in std::iter::zip(&mut background.0, &cells.0) {
        *empty += (cell - *empty).clamp(-step, step);
    }
}

fn medians(frames: &[Cells]) -> Cells {
    Cells(std::array::from_fn(|index| {
        let mut values: Vec<f32> = frames.iter().map(|cells| cells.0[index]).collect();
        values.sort_by(f32::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use bundle::geometry::{RgbImage, Size};
    use proptest::prelude::*;

    use super::*;

    /// A belt of that level with a part of six columns and all rows but two, whose left edge is at `part`.
    fn belt(level: u8, part: Option<i32>) -> Cells {
        let size = Size { width: 160, height: 80 };
        let mut pixels = vec![level; 160 * 80 * 3];
        for (at, pixel) in pixels.chunks_mut(3).enumerate() {
            let (x, y) = (i32::try_from(at % 160).unwrap(), at / 160);
            let is_part = part.is_some_and(|left| (left..left + 60).contains(&x));
            if is_part && (10..70).contains(&y) {
                pixel.fill(level.wrapping_add(100));
            }
        }
        Cells::of(&RgbImage { size, pixels }.view(), &Area::WHOLE)
    }

    fn armed(rule: Rule) -> Trigger {
        let mut trigger = Trigger::new(rule);
        for at in 0..LEARNED_FROM {
            // A part passes meanwhile.
            let part = (at % 5 == 0).then_some(i32::try_from(at).unwrap() * 4);
            assert_eq!(trigger.see(belt(50, part), Duration::ZERO).this, This::Learned);
        }
        trigger
    }

    /// 25 frames a second.
    fn time(frame: usize) -> Duration {
        Duration::from_millis(40 * frame as u64)
    }

    /// What a script of part positions, `-` for none, comes to: for each frame a letter.
    fn check(rule: Rule, script: &str, expected: &str) {
        let mut trigger = armed(rule);
        let mut told = Vec::new();
        for (at, word) in script.split_whitespace().enumerate() {
            let step = trigger.see(belt(50, word.parse().ok()), time(at));
            let this = match step.this {
                This::Learned => "learned",
                This::NotWanted => ".",
                This::Held => "held",
            };
            let mark = |is: bool, mark: &'static str| if is { mark } else { "" };
            let marks = [
                mark(step.is_new, "new:"),
                mark(step.is_long, "long:"),
                mark(step.releases, "judge,"),
            ];
            told.push(marks.concat() + this);
        }
        assert_eq!(told.join(" "), expected, "{script}");
    }

    #[test]
    fn of_a_part_that_passes_the_frame_in_the_middle_is_judged() {
        check(
            Rule::default(),
            "- -50 -20 10 40 60 90 120 155 - - -",
            ". . new:held held held . judge,. . . . . .",
        );
    }

    #[test]
    fn a_part_that_stops_in_the_middle_is_judged_when_it_leaves_or_is_too_long() {
        let rule = Rule { longest: Duration::from_millis(200), ..Rule::default() };
        check(rule, "50 50 50 - -", "new:held . . . judge,.");
        check(rule, "50 50 50 50 50 50 50 50 - -", "new:held . . . . . long:judge,. . . .");
        let rule = Rule { longest: Duration::from_millis(100), ..rule };
        check(rule, "50 50 50 50 50 50 50 - -", "new:held . . long:judge,. . . long:. . .");
    }

    #[test]
    fn a_flicker_within_a_part_makes_no_second_one_and_a_gap_does() {
        check(Rule::default(), "50 - 50 - 50 - -", "new:held . . . . . judge,.");
        check(Rule::default(), "50 - - 50 - -", "new:held . judge,. new:held . judge,.");
        let quick = Rule { gap_frames: 1, ..Rule::default() };
        check(quick, "50 - 50 -", "new:held judge,. new:held judge,.");
    }

    #[test]
    fn what_is_held_at_the_end_is_a_parts() {
        let mut trigger = armed(Rule::default());
        assert!(!trigger.end());
        assert_eq!(trigger.see(belt(50, Some(20)), time(0)).this, This::Held);
        assert!(trigger.end());
        assert!(!trigger.end());
    }

    #[test]
    fn slow_light_is_no_part_and_what_stays_becomes_the_background() {
        let mut trigger = armed(Rule::default());
        for frame in 0..200_u8 {
            // Half a grey level each frame, up to the contrast of any part.
            let step = trigger.see(belt(50 + frame / 2, None), time(frame.into()));
            assert_eq!(step, Step::nothing(This::NotWanted), "frame {frame}");
        }
        let mut seen = (0, 0, 0);
        for frame in 200..500 {
            let step = trigger.see(belt(230, None), time(frame));
            seen.0 += u32::from(step.is_new);
            seen.1 += u32::from(step.is_long);
            seen.2 += u32::from(step.releases);
        }
        assert_eq!(seen, (1, 1, 1), "a light that was switched on is told once");
        assert!(trigger.presence.is_none(), "and then it is the belt");
    }

    #[test]
    fn a_region_of_a_few_pixels_has_cells_too() {
        let size = Size { width: 3, height: 2 };
        let image = RgbImage { size, pixels: (0..18).collect() };
        let cells = Cells::of(&image.view(), &Area::WHOLE);
        let ends = [cells.0[0], cells.0[CELLS - 1]];
        assert_eq!(ends.map(|level| format!("{level}")), ["1", "16"]);
    }

    proptest! {
        /// Whatever passes: a frame that is held is released once or replaced, and no presence yields two.
        #[test]
        fn every_presence_yields_exactly_one_frame(
            // Where a part is; 220 stands for none.
            frames in prop::collection::vec(prop_oneof![Just(220_usize), 0..220_usize], 0..120),
            gap_frames in 1_usize..4,
            longest_ms in 1_u64..2_000,
        ) {
            static BELTS: OnceLock<(Trigger, Vec<Cells>)> = OnceLock::new();
            let (armed, belts) = BELTS.get_or_init(|| {
                let parts = (-60..160).map(Some).chain([None]);
                (armed(Rule::default()), parts.map(|part| belt(50, part)).collect())
            });
            let rule = Rule { gap_frames, longest: Duration::from_millis(longest_ms), ..Rule::default() };
            let mut trigger = Trigger { rule, ..armed.clone() };
            let (mut parts, mut judged, mut is_held) = (0, 0, false);
            for (at, part) in frames.into_iter().enumerate() {
                let step = trigger.see(belts[part].clone(), time(at));
                if step.releases {
                    prop_assert!(is_held, "nothing was held");
                    is_held = false;
                    judged += 1;
                }
                parts += u32::from(step.is_new);
                prop_assert!(!step.is_long || !is_held, "what is too long has been released");
                prop_assert!(!step.is_new || step.this == This::Held);
                is_held |= step.this == This::Held;
                prop_assert!(judged + u32::from(is_held) == parts, "{judged} of {parts}");
            }
            prop_assert_eq!(trigger.end(), is_held);
        }
    }
}

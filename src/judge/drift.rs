//! Whether parts and pictures stay as they were: a sequential test for each camera, product and figure.
//!
//! Pure: figures of passed frames come in, changes of an alarm go out. Owns the test; it alarms, it never judges.
//!
//! A figure's new values are compared with reference values: a score with the product's calibration, so that the test
//! asks whether p-values stay uniform; brightness and focus with those of the calibration's pictures, or of the first good frames after the start. For some levels
//! j the share of values beyond the j-th most extreme of n reference values is looked at, on both sides. Given the
//! reference, a value of the same distribution is beyond it with a probability that is Beta(j, n + 1 - j) distributed
//! over references (order statistics), whatever the distribution of values; Chernoff's bound gives one that it exceeds
//! for one reference in [`UNLUCKY_REFERENCES`] only. That is the allowance for a finite, fixed calibration: few
//! reference values alarm late, and never too often.
//!
//! Against each bound m bets are placed block by block: capital is multiplied by 1 + b (X - m), where X is the share of
//! a block's frames beyond the level (betting on bounded means: Waudby-Smith and Ramdas, J. R. Statist. Soc. B 86,
//! 2024). Frames within a block may depend on one another; only the mean of X given the past must not exceed m.
//! A bet begins at every block (Shiryaev and Roberts; e-detectors: Shin, Ramdas and Rinaldo, New England J. Statist.
//! Data Sci. 2, 2024), so that a long good past costs nothing: the capital of all minus the number of blocks is a
//! supermartingale, and so within T blocks a false alarm has a probability of at most T / [`ALARM_AT`] (Ville).

use std::{fmt, sync::Arc};

use bundle::{
    calibration::{Calibration, Limits},
    spread::Spread,
};

use super::appearance::Appearance;

/// Frames of a block, which may depend on one another.
pub const BLOCK_FRAMES: u32 = 32;
/// Capital at which the alarm begins; blocks between false alarms in the mean, at least.
pub const ALARM_AT: f64 = 1e8;
/// While the alarm lasts the capital starts anew; so much of it says that the alarm is still right.
const STILL_AT: f64 = 100.0;
/// So many blocks without that end the alarm.
pub const QUIET_BLOCKS: u32 = 64;
/// One reference in so many is allowed to be so unlucky that its bounds do not hold.
pub const UNLUCKY_REFERENCES: f64 = 1e4;
/// Shares of the reference values that lie beyond a level.
const LEVELS: [f64; 4] = [1.0 / 16.0, 1.0 / 8.0, 1.0 / 4.0, 1.0 / 2.0];
/// Stakes, as shares of what a bet could lose.
const STAKES: [f64; 3] = [0.25, 0.5, 0.9];
/// A level whose bound is above this could hardly gain.
const BOUND_MAX: f64 = 0.9;
/// Brightness may wander so far, in grey levels of 255: daylight and lamps do, without harm.
pub const BRIGHTNESS_TOLERANCE: f32 = 6.0;
/// Focus may wander by this share of what it was.
pub const FOCUS_TOLERANCE: f32 = 0.2;

/// How it is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriftOptions {
    /// Passed frames of a product from which brightness and focus are learnt.
    pub reference_frames: usize,
}

impl Default for DriftOptions {
    /// Ten seconds at 30 frames per second.
    fn default() -> Self {
        Self { reference_frames: 300 }
    }
}

/// Pictures of a calibration that are counted at most: more do not move a limit.
const REFERENCE_MAX: usize = 10_000;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Figure {
    /// The anomaly score.
    Score,
    /// [`Appearance::brightness`].
    Brightness,
    /// [`Appearance::focus`].
    Focus,
}

impl Figure {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Score, Self::Brightness, Self::Focus];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Brightness => "brightness",
            Self::Focus => "focus",
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where values lie that are not as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Above the reference.
    Higher,
    /// Below it.
    Lower,
}

/// The alarm begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Values are no longer as they were.
    Begins(Side),
    /// They are again.
    Ends,
}

/// The sequential test of one figure.
#[derive(Clone, Debug)]
pub struct Detector {
    levels: Vec<Level>,
    /// Frames of the block that is not complete.
    frames: u32,
    /// While there is an alarm: blocks since the capital last said that it is right.
    quiet: Option<u32>,
}

/// One level of one side, with its bets.
#[derive(Clone, Debug)]
struct Level {
    side: Side,
    /// Values beyond this count.
    limit: f32,
    /// The largest share of them in the long run.
    bound: f64,
    /// Frames of the block that were beyond it.
    beyond: u32,
    /// Of each stake.
    capital: [f64; STAKES.len()],
}

impl Detector {
    /// Whether it watches for the very same: what has been seen then counts on.
    fn is_like(&self, other: &Self) -> bool {
        let what = |level: &Level| (level.side, level.limit.to_bits(), level.bound.to_bits());
        self.levels.iter().map(what).eq(other.levels.iter().map(what))
    }

    /// From reference values, ascending; values within `tolerance` of a limit are not beyond it.
    ///
    /// `passing` is the least share of values that is seen at all: others are kept back by the same figure.
    fn new(reference: &[f32], tolerance: f32, sides: &[Side], passing: f64) -> Self {
        let len = reference.len();
        let mut levels = Vec::new();
        for (&side, share) in
            sides.iter().flat_map(|side| LEVELS.iter().map(move |share| (side, share)))
        {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a length"
            )]
            let rank = ((share * (len + 1) as f64) as usize).max(1);
            let bound = beyond_at_most(rank, len) / passing;
            let at = match side {
                Side::Higher => len.checked_sub(rank),
                Side::Lower => Some(rank - 1),
            };
            let Some(limit) = at.and_then(|at| reference.get(at)) else { continue };
            // Written so that a NaN is no level.
            if bound > 0.0 && bound <= BOUND_MAX {
                let limit = match side {
                    Side::Higher => limit + tolerance,
                    Side::Lower => limit - tolerance,
                };
                levels.push(Level { side, limit, bound, beyond: 0, capital: Default::default() });
            }
        }
        Self { levels, frames: 0, quiet: None }
    }

    /// For the scores of passed frames of a product. Where parts of maps do not count, scores are lower than the
    /// calibration's: then only the higher side says anything.
    pub fn of_scores(calibration: &Calibration, limits: &Limits, counts_everything: bool) -> Self {
        let len = calibration.count();
        let ranks = |share: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rank, from 0 to n"
            )]
            let rank = (share * (len + 1) as f64).round() as usize;
            rank
        };
        // A value of an event has this probability at most to be beyond it and seen, over the one to be seen.
        let kept_back = beyond_at_most(ranks(limits.unknown), len)
            + beyond_at_most(ranks(limits.refused - limits.unknown), len);
        let both = [Side::Higher, Side::Lower];
        let sides = if counts_everything { &both[..] } else { &both[..1] };
        Self::new(calibration.scores(), 0.0, sides, 1.0 - kept_back)
    }

    /// Whether the reference is too small for any test.
    pub fn is_blind(&self) -> bool {
        self.levels.is_empty()
    }

    /// Whether the alarm is on.
    pub fn is_alarmed(&self) -> bool {
        self.quiet.is_some()
    }

    /// The capital: how strongly the figures of late speak against the reference.
    pub fn capital(&self) -> f64 {
        let bets = (self.levels.len() * STAKES.len()).max(1);
        self.levels.iter().flat_map(|level| level.capital).sum::<f64>() / bets as f64
    }

    /// One more value; what changes by it.
    pub fn observe(&mut self, value: f32) -> Option<Change> {
        for level in &mut self.levels {
            level.beyond += u32::from(match level.side {
                Side::Higher => value > level.limit,
                Side::Lower => value < level.limit,
            });
        }
        self.frames += 1;
        if self.frames < BLOCK_FRAMES {
            return None;
        }
        let frames = f64::from(std::mem::take(&mut self.frames));
        for level in &mut self.levels {
            let share = f64::from(std::mem::take(&mut level.beyond)) / frames;
            for (capital, stake) in std::iter::zip(&mut level.capital, STAKES) {
                let gain = 1.0 + stake / level.bound * (share - level.bound);
                // Bounded, so that years of alarm do not end in infinity; less capital is always allowed.
                *capital = ((*capital + 1.0) * gain).min(ALARM_AT * 1e6);
            }
        }
        self.conclude()
    }

    fn conclude(&mut self) -> Option<Change> {
        let capital = self.capital();
        match self.quiet {
            None if capital >= ALARM_AT => {
                let side = self.strongest();
                self.quiet = Some(0);
                self.start_anew();
                Some(Change::Begins(side))
            }
            None => None,
            Some(_) if capital >= STILL_AT => {
                self.quiet = Some(0);
                self.start_anew();
                None
            }
            Some(quiet) if quiet + 1 < QUIET_BLOCKS => {
                self.quiet = Some(quiet + 1);
                None
            }
            Some(_) => {
                self.quiet = None;
                self.start_anew();
                Some(Change::Ends)
            }
        }
    }

    fn strongest(&self) -> Side {
        let of = |level: &Level| level.capital.iter().sum::<f64>();
        let strongest = self.levels.iter().max_by(|a, b| of(a).total_cmp(&of(b)));
        strongest.map_or(Side::Higher, |level| level.side)
    }

    fn start_anew(&mut self) {
        for level in &mut self.levels {
            level.capital = Default::default();
        }
    }
}

/// The probability with which a value is beyond the `rank`-th most extreme of `len` others, at most, for all but one in
/// [`UNLUCKY_REFERENCES`] references: Chernoff's bound on P(Bin(len, b) < rank), solved for b.
fn beyond_at_most(rank: usize, len: usize) -> f64 {
    if rank == 0 || rank > len {
        return if rank == 0 { 0.0 } else { 1.0 };
    }
    // Each side's levels and the two limits of passing have bounds of their own.
    let bounds = (2 * LEVELS.len() + 2) as f64;
    let wanted = (UNLUCKY_REFERENCES * bounds).ln() / len as f64;
    let share = (rank - 1) as f64 / len as f64;
    let (mut low, mut high) = (share, 1.0);
    // As exact as the numbers are.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if divergence(share, middle) < wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Kullback and Leibler's divergence of a coin of probability `p` from one of `q`.
fn divergence(p: f64, q: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    part(p, q) + part(1.0 - p, 1.0 - q)
}

/// All figures of one product at one camera.
#[derive(Clone, Debug)]
pub struct Watch {
    options: DriftOptions,
    /// `None` where the product has no calibration.
    score: Option<Detector>,
    look: Look,
    brightness: Optic,
    focus: Optic,
}

/// How the calibration's pictures looked, where it says so.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Look {
    /// Their brightness.
    pub brightness: Option<Spread>,
    /// Their focus.
    pub focus: Option<Spread>,
}

/// A figure of the picture, whose reference is the calibration's or else learnt.
#[derive(Clone, Debug)]
enum Optic {
    Learning(Vec<f32>),
    Watching(Detector),
}

impl Watch {
    /// With the product's scores and pictures, where it has a calibration that knows them; the rest is learnt.
    pub fn new(options: DriftOptions, score: Option<Detector>, look: Look) -> Self {
        let brightness = Optic::of(look.brightness, |_usual| BRIGHTNESS_TOLERANCE);
        let focus = Optic::of(look.focus, |usual| usual * FOCUS_TOLERANCE);
        Self { options, score, look, brightness, focus }
    }

    /// The calibration may be another one; what has been seen counts on where it is the same. The alarms that end by it.
    pub fn recalibrate(&mut self, score: Option<Detector>, look: Look) -> Vec<Figure> {
        let alarmed = |watch: &Self| -> Vec<Figure> {
            watch.figures().filter(|(_, _, is_alarmed)| *is_alarmed).map(|(f, _, _)| f).collect()
        };
        let before = alarmed(self);
        let is_same = |before: &Detector| score.as_ref().is_some_and(|score| score.is_like(before));
        if !self.score.as_ref().is_some_and(is_same) {
            self.score = score;
        }
        if look != self.look {
            let Self { brightness, focus, .. } = Self::new(self.options, None, look);
            (self.look, self.brightness, self.focus) = (look, brightness, focus);
        }
        let still = alarmed(self);
        before.into_iter().filter(|figure| !still.contains(figure)).collect()
    }

    /// One more passed frame; what changes by it.
    pub fn passed(&mut self, score: f32, appearance: Option<Appearance>) -> Vec<(Figure, Change)> {
        let mut changes = Vec::new();
        if let Some(change) = self.score.as_mut().and_then(|detector| detector.observe(score)) {
            changes.push((Figure::Score, change));
        }
        if let Some(Appearance { brightness, focus }) = appearance {
            let wanted = self.options.reference_frames;
            let brightness = self.brightness.observe(brightness, wanted, |_| BRIGHTNESS_TOLERANCE);
            let focus = self.focus.observe(focus, wanted, |usual| usual * FOCUS_TOLERANCE);
            changes.extend(brightness.map(|change| (Figure::Brightness, change)));
            changes.extend(focus.map(|change| (Figure::Focus, change)));
        }
        changes
    }

    /// Each figure's capital and whether its alarm is on, for those that are watched already.
    pub fn figures(&self) -> impl Iterator<Item = (Figure, f64, bool)> + '_ {
        let detectors = [
            (Figure::Score, self.score.as_ref()),
            (Figure::Brightness, self.brightness.detector()),
            (Figure::Focus, self.focus.detector()),
        ];
        detectors.into_iter().filter_map(|(figure, detector)| {
            detector.map(|detector| (figure, detector.capital(), detector.is_alarmed()))
        })
    }
}

impl Optic {
    /// The calibration keeps mean and deviation of its pictures. They are taken for a logistic distribution, whose tails
    /// are longer than the normal's: an alarm comes rather later than wrongly.
    fn of(spread: Option<Spread>, tolerance: impl Fn(f32) -> f32) -> Self {
        let learning = Self::Learning(Vec::new());
        let Some(Spread { frames, mean, standard_deviation }) = spread else { return learning };
        let len = frames.min(REFERENCE_MAX);
        #[expect(clippy::cast_possible_truncation, reason = "a figure for ranks")]
        let values: Vec<f32> = (0..len)
            .map(|rank| {
                let share = (rank as f64 + 0.5) / len as f64;
                let scale = standard_deviation * 3.0_f64.sqrt() / std::f64::consts::PI;
                (mean + scale * (share / (1.0 - share)).ln()) as f32
            })
            .collect();
        #[expect(clippy::cast_possible_truncation, reason = "a figure for ranks")]
        let usual = mean as f32;
        let detector = Detector::new(&values, tolerance(usual), &[Side::Higher, Side::Lower], 1.0);
        if detector.is_blind() { learning } else { Self::Watching(detector) }
    }

    fn observe(
        &mut self,
        value: f32,
        wanted: usize,
        tolerance: impl Fn(f32) -> f32,
    ) -> Option<Change> {
        match self {
            Self::Watching(detector) => detector.observe(value),
            Self::Learning(values) => {
                values.push(value);
                if values.len() >= wanted {
                    values.sort_by(f32::total_cmp);
                    let usual = values.get(values.len() / 2).copied().unwrap_or(0.0);
                    let sides = [Side::Higher, Side::Lower];
                    // Both are seen of passed frames only: nothing is kept back from either.
                    *self = Self::Watching(Detector::new(values, tolerance(usual), &sides, 1.0));
                }
                None
            }
        }
    }

    fn detector(&self) -> Option<&Detector> {
        match self {
            Self::Watching(detector) => Some(detector),
            Self::Learning(_) => None,
        }
    }
}

/// An alarm for people: which product, and how its figures are.
pub fn told(product: &Arc<str>, figure: Figure, change: Change) -> String {
    let how = match (figure, change) {
        (figure, Change::Ends) => return format!("product {product}: {figure} is as it was"),
        (Figure::Score, Change::Begins(Side::Higher)) => {
            "scores of passed frames are higher than the calibration's: look at camera, light and parts, or calibrate anew"
        }
        (Figure::Score, Change::Begins(Side::Lower)) => {
            "scores of passed frames are lower than the calibration's: look whether the camera still sees the parts, or calibrate anew"
        }
        (Figure::Brightness, Change::Begins(Side::Higher)) => {
            "pictures are brighter than they were: look at exposure and light"
        }
        (Figure::Brightness, Change::Begins(Side::Lower)) => {
            "pictures are darker than they were: look at lamp, aperture and lens"
        }
        (Figure::Focus, Change::Begins(Side::Higher)) => {
            "pictures are sharper or noisier than they were: look at lens and gain"
        }
        (Figure::Focus, Change::Begins(Side::Lower)) => {
            "pictures are less sharp than they were: look at focus, lens and distance"
        }
    };
    format!("product {product}: {how}")
}

#[cfg(test)]
mod tests {
    use bundle::calibration::RejectRate;
    use proptest::prelude::*;

    use super::*;

    /// Uniform numbers from 0 to 1 (Steele, Lea and Flood: splitmix64).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> f32 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
        }
    }

    /// A calibration of uniform scores, its limits at 2 / (n + 1), and a detector.
    fn calibrated(len: usize, random: &mut Random) -> (Limits, Detector) {
        let scores: Vec<f32> = (0..len).map(|_| random.next()).collect();
        let distances = (0..len).map(|_| random.next()).collect();
        let calibration = Calibration::new(scores, distances, "test").unwrap();
        let rate = RejectRate::new((2.5 / (len + 1) as f64).max(0.02)).unwrap();
        let limits = calibration.limits(rate).unwrap();
        let detector = Detector::of_scores(&calibration, &limits, true);
        (limits, detector)
    }

    /// Frames until the alarm, of those that pass.
    fn until_alarm(
        detector: &mut Detector,
        limits: &Limits,
        most: u32,
        mut score: impl FnMut() -> f32,
    ) -> Option<u32> {
        let passed = (0..most).filter_map(|_| Some(score()).filter(|s| *s <= limits.threshold));
        (1..).zip(passed).find(|(_, score)| detector.observe(*score).is_some()).map(|(at, _)| at)
    }

    #[test]
    fn the_same_distribution_raises_no_alarm_in_a_hundred_thousand_frames() {
        // 3,125 blocks each: one false alarm in 32,000 such runs is what is promised.
        for (seed, len) in (1..).zip([99, 99, 199, 199, 500, 500, 2_000, 2_000, 10_000, 10_000]) {
            let mut random = Random(seed * 77);
            let (limits, mut detector) = calibrated(len, &mut random);
            assert!(!detector.is_blind(), "{len}");
            let found = until_alarm(&mut detector, &limits, 100_000, || random.next());
            assert_eq!(found, None, "seed {seed}, {len} frames");
        }
    }

    #[test]
    fn at_the_very_edge_of_what_is_allowed_alarms_are_as_rare_as_promised() {
        // Whole blocks beyond a level, as often as its bound allows: the worst that is no drift. Capital of 1,000 within
        // 100 blocks has a probability of at most a tenth.
        let mut random = Random(8);
        let (_, fresh) = calibrated(500, &mut random);
        for index in 0..fresh.levels.len() {
            let level = fresh.levels[index].clone();
            let mut reached = 0_u32;
            for _run in 0..400 {
                let mut detector = Detector { levels: vec![level.clone()], frames: 0, quiet: None };
                let is_reached = (0..100).any(|_block| {
                    let is_beyond = f64::from(random.next()) < level.bound;
                    let value = match (is_beyond, level.side) {
                        (true, Side::Higher) | (false, Side::Lower) => level.limit + 1.0,
                        (true, Side::Lower) | (false, Side::Higher) => level.limit - 1.0,
                    };
                    for _frame in 0..BLOCK_FRAMES {
                        detector.observe(value);
                    }
                    detector.capital() >= 1e3
                });
                reached += u32::from(is_reached);
            }
            // Forty, and three standard deviations of chance.
            assert!(reached <= 58, "level {index}: {reached} of 400");
        }
    }

    #[test]
    fn frames_of_a_block_that_are_all_alike_raise_no_alarm() {
        // A part that stays in view for a whole block: 32 frames with the very same score.
        let mut random = Random(5);
        let (limits, mut detector) = calibrated(500, &mut random);
        let mut frame = 0_u32;
        let mut score = 0.0;
        let found = until_alarm(&mut detector, &limits, 100_000, || {
            if frame.is_multiple_of(BLOCK_FRAMES) {
                // Never refused, so that blocks of frames and blocks of the test stay together.
                score = random.next() * limits.threshold;
            }
            frame += 1;
            score
        });
        assert_eq!(found, None);
    }

    #[test]
    fn a_shifted_distribution_is_found_soon() {
        let check = |len: usize, shift: &dyn Fn(f32) -> f32, most: u32| {
            for seed in 1..=5 {
                let mut random = Random(seed * 1_001);
                let (limits, mut detector) = calibrated(len, &mut random);
                // After an hour of good frames at 30 fps: the past costs nothing.
                assert_eq!(until_alarm(&mut detector, &limits, 108_000, || random.next()), None);
                let found = until_alarm(&mut detector, &limits, 100_000, || shift(random.next()));
                assert!(found.is_some_and(|at| at <= most), "{len} frames, {seed}: {found:?}");
            }
        };
        // Scores as the upper half of the calibration's, then as its upper quarter, then as its lower.
        check(500, &|score| 0.5 + score / 2.0, 3_000);
        check(500, &|score| 0.75 + score / 4.0, 1_500);
        check(500, &|score| score / 4.0, 1_500);
        check(2_000, &|score| score.sqrt(), 4_000);
        // A small calibration finds what is large.
        check(99, &|score| 0.8 + score / 5.0, 3_000);
    }

    #[test]
    fn an_alarm_lasts_while_it_is_right_and_ends_by_itself() {
        let mut random = Random(9);
        let (limits, mut detector) = calibrated(500, &mut random);
        let drifted = |random: &mut Random| 0.7 + 0.3 * random.next();
        assert!(until_alarm(&mut detector, &limits, 5_000, || drifted(&mut random)).is_some());
        assert!(detector.is_alarmed());
        assert_eq!(until_alarm(&mut detector, &limits, 50_000, || drifted(&mut random)), None);
        assert!(detector.is_alarmed());
        let ended = until_alarm(&mut detector, &limits, 50_000, || random.next()).unwrap();
        assert!(!detector.is_alarmed());
        assert!((QUIET_BLOCKS * BLOCK_FRAMES / 2..10_000).contains(&ended), "{ended}");
    }

    #[test]
    fn where_parts_of_maps_do_not_count_lower_scores_are_no_drift() {
        let mut random = Random(3);
        let scores: Vec<f32> = (0..500).map(|_| random.next()).collect();
        let distances = vec![0.1; 500];
        let calibration = Calibration::new(scores, distances, "test").unwrap();
        let limits = calibration.limits(RejectRate::new(0.02).unwrap()).unwrap();
        let mut detector = Detector::of_scores(&calibration, &limits, false);
        let lower = until_alarm(&mut detector, &limits, 100_000, || random.next() / 10.0);
        assert_eq!(lower, None);
        let higher = until_alarm(&mut detector, &limits, 5_000, || 0.9 + random.next() / 20.0);
        assert!(higher.is_some());
    }

    #[test]
    fn too_small_a_calibration_is_blind_and_says_so() {
        for (len, is_blind) in [(3, true), (25, true), (40, false)] {
            let scores = (0..len).map(|score: u8| f32::from(score)).collect();
            let distances = vec![0.1; usize::from(len)];
            let few = Calibration::new(scores, distances, "test").unwrap();
            let limits = few.outermost_limits().unwrap();
            let mut detector = Detector::of_scores(&few, &limits, true);
            assert_eq!(detector.is_blind(), is_blind, "{len}");
            let highest = f32::from(len - 1);
            let found = until_alarm(&mut detector, &limits, 10_000, || highest);
            assert_eq!(found.is_none(), is_blind, "{len}");
        }
    }

    #[test]
    fn brightness_and_focus_are_learnt_and_then_watched() {
        let mut random = Random(4);
        let mut watch = Watch::new(DriftOptions::default(), None, Look::default());
        let mut give = |frames: u32, brightness: f32, focus: f32| {
            let mut changes = Vec::new();
            for _ in 0..frames {
                let appearance = Appearance {
                    brightness: brightness + random.next(),
                    focus: focus * (0.98 + 0.04 * random.next()),
                };
                changes.extend(watch.passed(0.0, Some(appearance)));
            }
            changes
        };
        // What wanders within the tolerance is no drift.
        assert_eq!(give(5_000, 100.0, 2.0), []);
        assert_eq!(give(5_000, 104.0, 1.8), []);
        let (begins, ends) = (Change::Begins, Change::Ends);
        assert_eq!(give(1_500, 90.0, 2.0), [(Figure::Brightness, begins(Side::Lower))]);
        assert_eq!(give(5_000, 100.0, 2.0), [(Figure::Brightness, ends)]);
        assert_eq!(give(1_500, 100.0, 1.2), [(Figure::Focus, begins(Side::Lower))]);
        assert_eq!(watch.figures().filter(|(_, _, is_alarmed)| *is_alarmed).count(), 1);
    }

    #[test]
    fn a_camera_that_is_dark_from_the_start_is_found_where_the_calibration_knows_its_pictures() {
        let spread =
            |mean, standard_deviation| Some(Spread { frames: 400, mean, standard_deviation });
        let look = Look { brightness: spread(120.0, 2.0), focus: spread(2.0, 0.05) };
        let mut random = Random(8);
        let mut watch = Watch::new(DriftOptions::default(), None, look);
        let mut give = |watch: &mut Watch, frames: u32, brightness: f32| {
            let mut changes = Vec::new();
            for _ in 0..frames {
                let appearance =
                    Appearance { brightness: brightness + 4.0 * (random.next() - 0.5), focus: 2.0 };
                changes.extend(watch.passed(0.0, Some(appearance)));
            }
            changes
        };
        assert_eq!(give(&mut watch, 20_000, 121.0), []);
        let darker = (Figure::Brightness, Change::Begins(Side::Lower));
        assert_eq!(give(&mut watch, 3_000, 100.0), [darker]);
        // A new calibration on what is seen now ends it, and keeps what has not changed.
        assert_eq!(watch.recalibrate(None, look), []);
        let now = Look { brightness: spread(100.0, 2.0), ..look };
        assert_eq!(watch.recalibrate(None, now), [Figure::Brightness]);
        assert_eq!(give(&mut watch, 5_000, 100.0), []);
        let mut dark = Watch::new(DriftOptions::default(), None, look);
        assert_eq!(give(&mut dark, 3_000, 100.0), [darker]);
    }

    proptest! {
        /// Against the exact tail of the binomial distribution, summed.
        #[test]
        fn the_bound_on_a_level_holds_and_is_not_loose(len in 20_usize..2_000, percent in 0_usize..100) {
            let rank = (percent * len / 100).max(1);
            let bound = beyond_at_most(rank, len);
            let unlucky = 1.0 / UNLUCKY_REFERENCES / (2 * LEVELS.len() + 2) as f64;
            prop_assume!(bound < 1.0 - 1e-9);
            let tail = |b: f64| {
                let mut term = len as f64 * (1.0 - b).ln();
                let mut sum = 0.0;
                for i in 0..rank {
                    sum += term.exp();
                    term += ((len - i) as f64 / (i + 1) as f64).ln() + (b / (1.0 - b)).ln();
                }
                sum
            };
            prop_assert!(tail(bound) <= unlucky * (1.0 + 1e-6), "{}", tail(bound));
            // Two fifths of the way back to the mean would be too far.
            let closer = bound - (bound - rank as f64 / len as f64) * 0.4;
            prop_assert!(tail(closer) > unlucky, "{} {}", tail(closer), bound);
        }
    }
}

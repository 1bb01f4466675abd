//! From the verdicts about frames to one about the part that they show.
//!
//! Pure: times come in. Owns which frames are of one part, and what their verdicts amount to; the table of decisions
//! is in `docs/verdict-lines.md`. Invariants: a part passes only where no frame that nobody judged could have changed
//! that; each number is of exactly one told part; a pass never rests on the frames of two parts whose pause is longer
//! than [`PartRule::within`].

use std::{fmt, ops::RangeInclusive, sync::Arc, time::Duration};

use super::Accepted;
use crate::{
    frame::Stamp,
    verdict::{Decision, Verdict},
};

/// A frame may be on its way for so long after its part's time is over.
const GRACE: Duration = Duration::from_millis(500);

/// How the frames of a camera make parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartRule {
    /// Frames of a part, at least 1.
    pub frames: u32,
    /// So many refused ones refuse the part: from 1 to `frames`.
    pub fails: u32,
    /// From a part's first frame to its last at most; the pause before the next part is longer.
    pub within: Duration,
}

impl PartRule {
    /// The share of good parts that is refused at most, where `rate` is that of good frames.
    ///
    /// Of n frames n * rate are refused in the mean, however they depend on one another; so at least k of them are
    /// with a probability of at most n * rate / k (Markov's inequality).
    pub fn reject_rate_bound(&self, rate: f64) -> f64 {
        (f64::from(self.frames) * rate / f64::from(self.fails.max(1))).min(1.0)
    }
}

/// What is known of a part's frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Passed.
    pub passed: u32,
    /// Failed.
    pub failed: u32,
    /// Of no known product, or of one that is not expected.
    pub unknown: u32,
    /// Not judged, for something failed.
    pub faulted: u32,
    /// Dropped, or never came.
    pub missing: u32,
}

/// The verdict about a part, or about a run of parts that nobody saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its place in the camera's epoch, from 1.
    pub number: u64,
    /// How many parts this is about: more than one only where whole parts were dropped.
    pub parts: u64,
    /// The numbers of its frames, missing ones among them.
    pub frames: RangeInclusive<u64>,
    /// What becomes of it.
    pub decision: Decision,
    /// The product that most of the passed frames show; without any, the one that most of the others are nearest to.
    pub product: Option<Arc<str>>,
    /// What it rests on.
    pub counts: Counts,
    /// The share of good parts that is refused at most; `None` where no frame was judged.
    pub reject_rate_bound: Option<f64>,
    /// The rate of one of the frames is not promised.
    pub unrated: bool,
    /// Why it is no plain pass or fail.
    pub reason: Option<String>,
}

/// Gathers one camera's frames into parts.
#[derive(Clone, Debug)]
pub struct Parts {
    rule: PartRule,
    /// The last number that is of a part.
    last: u64,
    /// Parts told.
    told: u64,
    open: Option<Open>,
    /// The first and the last moment of the part that last began with a frame that came.
    window: Option<[Moment; 2]>,
}

/// A part that is not complete.
#[derive(Clone, Debug)]
struct Open {
    frames: RangeInclusive<u64>,
    seen: Vec<Seen>,
    missing: u32,
}

/// What a frame's verdict says of its part.
#[derive(Clone, Debug)]
struct Seen {
    decision: Decision,
    product: Option<Arc<str>>,
    reject_rate: f64,
    unrated: bool,
}

/// When a frame was captured.
#[derive(Clone, Copy, Debug)]
struct Moment {
    monotonic: Duration,
    pts: Option<Duration>,
}

impl Moment {
    /// How long after `self` the other was; `None` when it was before, on a stream that began anew.
    fn until(self, later: Self) -> Option<Duration> {
        // The stream's own clock where it has one: the other runs on while a camera is held back.
        if let (Some(first), Some(second)) = (self.pts, later.pts) {
            return second.checked_sub(first);
        }
        later.monotonic.checked_sub(self.monotonic)
    }
}

impl Parts {
    /// Nothing has come yet.
    pub fn new(rule: PartRule) -> Self {
        Self { rule, last: 0, told: 0, open: None, window: None }
    }

    /// Frames up to this number are of no part, and so many parts have been told before.
    pub fn from(rule: PartRule, last: u64, told: u64) -> Self {
        Self { last, told, ..Self::new(rule) }
    }

    /// Parts told.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// The rule that frames are gathered by.
    pub fn rule(&self) -> &PartRule {
        &self.rule
    }

    /// A frame has its verdict; what has become complete by it, in order.
    pub fn frame(&mut self, number: u64, stamp: &Stamp, verdict: &Verdict) -> Vec<Part> {
        let mut done = Vec::new();
        if number <= self.last {
            // Numbers are consecutive: a bug of ours, and no reason to tell a part twice.
            return done;
        }
        self.skip(self.last + 1, number - 1, &mut done);
        self.last = number;
        let at = Moment { monotonic: stamp.monotonic, pts: stamp.pts };
        let is_in_window = self.window.is_some_and(|[first, latest]| {
            let is_later = latest.until(at).is_some_and(|gap| gap > Duration::ZERO);
            is_later && first.until(at).is_some_and(|since| since <= self.rule.within)
        });
        let has_begun = self.open.as_ref().is_some_and(|open| !open.seen.is_empty());
        match (is_in_window, has_begun) {
            // A frame more of a part that is told already: it must begin no other one.
            (true, false) => {
                self.close(&mut done);
                self.told += 1;
                done.push(self.surplus(number, verdict));
                return done;
            }
            (false, true) => self.close(&mut done),
            (true, true) | (false, false) => {}
        }
        self.window = match self.window {
            Some([first, _]) if is_in_window => Some([first, at]),
            _ => Some([at, at]),
        };
        let open =
            self.open.get_or_insert(Open { frames: number..=number, seen: vec![], missing: 0 });
        open.frames = *open.frames.start()..=number;
        open.seen.push(Seen {
            decision: verdict.decision,
            product: verdict.recognition.as_ref().map(|nearest| Arc::clone(&nearest.product)),
            reject_rate: verdict.reject_rate,
            unrated: verdict.unrated,
        });
        self.close_if_complete(&mut done);
        done
    }

    /// The open part whose time is over, so that nobody waits for frames that never come.
    pub fn overdue(&mut self, now: Duration) -> Option<Part> {
        let [first, _] = self.window?;
        let has_begun = self.open.as_ref().is_some_and(|open| !open.seen.is_empty());
        let is_over = now > first.monotonic.saturating_add(self.rule.within).saturating_add(GRACE);
        let mut done = Vec::new();
        if has_begun && is_over {
            self.close(&mut done);
        }
        done.pop()
    }

    /// No more frames come: the part that is not complete.
    pub fn finish(&mut self) -> Option<Part> {
        let mut done = Vec::new();
        self.close(&mut done);
        done.pop()
    }

    /// These numbers will never get a verdict here.
    fn skip(&mut self, first: u64, last: u64, done: &mut Vec<Part>) {
        let mut first = first;
        if first > last {
            return;
        }
        let whole = u64::from(self.rule.frames.max(1));
        if let Some(open) = &mut self.open {
            let free = whole.saturating_sub(open.slots());
            let taken = free.min(last - first + 1);
            open.missing = open.missing.saturating_add(u32::try_from(taken).unwrap_or(u32::MAX));
            open.frames = *open.frames.start()..=first + taken - 1;
            first += taken;
            self.close_if_complete(done);
        }
        // Not a line for each of what may be an hour of parts.
        let parts = (last + 1 - first) / whole;
        if parts > 0 {
            let end = first + parts * whole - 1;
            done.push(self.dropped(parts, first..=end));
            self.told += parts;
            first = end + 1;
        }
        if first <= last {
            let missing = u32::try_from(last + 1 - first).unwrap_or(u32::MAX);
            self.open = Some(Open { frames: first..=last, seen: vec![], missing });
        }
    }

    fn close_if_complete(&mut self, done: &mut Vec<Part>) {
        let whole = u64::from(self.rule.frames);
        if self.open.as_ref().is_some_and(|open| open.slots() >= whole) {
            self.close(done);
        }
    }

    fn close(&mut self, done: &mut Vec<Part>) {
        if let Some(open) = self.open.take() {
            self.told += 1;
            done.push(open.decide(&self.rule, self.told));
        }
    }

    fn dropped(&self, parts: u64, frames: RangeInclusive<u64>) -> Part {
        let (first, last) = (frames.start(), frames.end());
        let reason = format!("nobody saw it: frames {first} to {last} were dropped");
        let missing = u32::try_from(last - first + 1).unwrap_or(u32::MAX);
        Part {
            parts,
            reason: Some(reason),
            counts: Counts { missing, ..Counts::default() },
            ..Part::fault(self.told + 1, frames)
        }
    }

    fn surplus(&self, number: u64, verdict: &Verdict) -> Part {
        let mut counts = Counts::default();
        counts.add(verdict.decision);
        let PartRule { frames, within, .. } = self.rule;
        let reason = format!(
            "a frame more than the part's {frames} came within {} ms of its first, or too late: correct camera.part or the trigger",
            within.as_millis()
        );
        Part { counts, reason: Some(reason), ..Part::fault(self.told, number..=number) }
    }
}

impl Part {
    fn fault(number: u64, frames: RangeInclusive<u64>) -> Self {
        Self {
            number,
            parts: 1,
            frames,
            decision: Decision::Fault,
            product: None,
            counts: Counts::default(),
            reject_rate_bound: None,
            unrated: false,
            reason: None,
        }
    }
}

impl Counts {
    fn add(&mut self, decision: Decision) {
        match decision {
            Decision::Pass(_) => self.passed += 1,
            Decision::Fail => self.failed += 1,
            Decision::UnknownProduct => self.unknown += 1,
            Decision::Fault => self.faulted += 1,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, unknown, faulted, missing } = self;
        write!(f, "{passed} passed, {failed} failed, {unknown} unknown, ")?;
        write!(f, "{faulted} faulted, {missing} missing")
    }
}

impl Open {
    fn slots(&self) -> u64 {
        self.seen.len() as u64 + u64::from(self.missing)
    }

    fn decide(self, rule: &PartRule, number: u64) -> Part {
        let Self { frames, seen, missing } = self;
        let came = u32::try_from(seen.len()).unwrap_or(u32::MAX).saturating_add(missing);
        let missing = missing.saturating_add(rule.frames.saturating_sub(came));
        let mut counts = Counts { missing, ..Counts::default() };
        for frame in &seen {
            counts.add(frame.decision);
        }
        let passed: Vec<_> = seen.iter().filter(|frame| frame.decision.is_pass()).collect();
        let others: Vec<_> = seen.iter().filter(|frame| !frame.decision.is_pass()).collect();
        let of_passed = most(&passed);
        // Frames that passed as another product than most are no sign of a good part.
        let strangers = counts.passed - of_passed.as_ref().map_or(0, |(_, frames)| *frames);
        let refused = counts.failed + counts.unknown + strangers;
        let undecided = counts.faulted + counts.missing;
        let decision = if refused >= rule.fails {
            if counts.unknown + strangers > counts.failed {
                Decision::UnknownProduct
            } else {
                Decision::Fail
            }
        } else if refused + undecided >= rule.fails {
            Decision::Fault
        } else {
            Decision::Pass(Accepted(()))
        };
        let reason = if decision == Decision::Fault {
            Some(format!("{counts}: those that nobody judged could have refused it"))
        } else if strangers > 0 {
            Some(format!("{strangers} of its frames show another product than most"))
        } else {
            None
        };
        let product = of_passed.or_else(|| most(&others)).map(|(product, _)| product);
        let rates = seen.iter().filter(|frame| frame.decision != Decision::Fault);
        let rate = rates.map(|frame| frame.reject_rate).reduce(f64::max);
        Part {
            decision,
            product,
            counts,
            reject_rate_bound: rate.map(|rate| rule.reject_rate_bound(rate)),
            unrated: seen.iter().any(|frame| frame.unrated),
            reason,
            ..Part::fault(number, frames)
        }
    }
}

/// The product that most of the frames show, the first of several, and how many do.
fn most(frames: &[&Seen]) -> Option<(Arc<str>, u32)> {
    let mut counted: Vec<(Arc<str>, u32)> = Vec::new();
    for product in frames.iter().filter_map(|frame| frame.product.as_ref()) {
        match counted.iter_mut().find(|(known, _)| known == product) {
            Some((_, frames)) => *frames += 1,
            None => counted.push((Arc::clone(product), 1)),
        }
    }
    let largest = counted.iter().map(|(_, frames)| *frames).max()?;
    counted.into_iter().find(|(_, frames)| *frames == largest)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;
    use crate::verdict::Recognition;

    const RULE: PartRule = PartRule { frames: 3, fails: 2, within: Duration::from_millis(100) };

    fn verdict(decision: Decision, product: &str) -> Verdict {
        let nearest = Recognition { product: product.into(), distance: 0.0, radius: None };
        Verdict { decision, recognition: Some(nearest), reason: None, ..Verdict::fault(0.01, "") }
    }

    /// `p`ass, pass as `o`ther product, `f`ail, `u`nknown, fault `x`.
    fn of(letter: char) -> Verdict {
        match letter {
            'p' => verdict(Decision::Pass(Accepted(())), "cap"),
            'o' => verdict(Decision::Pass(Accepted(())), "gear"),
            'f' => verdict(Decision::Fail, "cap"),
            'u' => verdict(Decision::UnknownProduct, "cap"),
            _ => Verdict::fault(0.01, "decode"),
        }
    }

    fn stamp(millis: u64) -> Stamp {
        let time = Duration::from_millis(millis);
        Stamp { monotonic: time, wall: SystemTime::UNIX_EPOCH, pts: Some(time) }
    }

    /// The part of these frames; `-` is one that is missing.
    fn part(rule: PartRule, letters: &str) -> Part {
        let mut parts = Parts::new(rule);
        let mut done = Vec::new();
        for (index, letter) in (0..).zip(letters.chars()).filter(|(_, letter)| *letter != '-') {
            done.extend(parts.frame(index + 1, &stamp(index), &of(letter)));
        }
        done.extend(parts.finish());
        assert_eq!(done.len(), 1, "{letters}: {done:?}");
        done.remove(0)
    }

    #[test]
    fn the_table_of_decisions() {
        let check = |letters: &str, expected: &str| {
            assert_eq!(part(RULE, letters).decision.name(), expected, "{letters}");
        };
        check("ppp", "pass");
        check("ppf", "pass");
        check("pff", "fail");
        check("fff", "fail");
        check("uuf", "unknown-product");
        check("puu", "unknown-product");
        check("puf", "fail");
        // One that nobody judged could not have refused it alone.
        check("ppx", "pass");
        check("-pp", "pass");
        check("fpx", "fault");
        check("pxx", "fault");
        check("p--", "fault");
        check("xxx", "fault");
        // Refused whatever the others would have shown.
        check("ffx", "fail");
        check("u-u", "unknown-product");
        // Two products in one part.
        check("ppo", "pass");
        check("pof", "fail");
        check("pou", "unknown-product");
        let strict = PartRule { fails: 1, ..RULE };
        assert_eq!(part(strict, "ppx").decision, Decision::Fault);
        assert_eq!(part(strict, "ppf").decision, Decision::Fail);
        assert_eq!(part(strict, "ppo").decision, Decision::UnknownProduct);
        let told = part(RULE, "fpx");
        assert_eq!(
            told.reason.as_deref(),
            Some(
                "1 passed, 1 failed, 0 unknown, 1 faulted, 0 missing: those that nobody judged could have refused it"
            )
        );
        assert_eq!((told.product.as_deref(), told.frames), (Some("cap"), 1..=3));
        assert!((told.reject_rate_bound.unwrap() - 0.015).abs() < 1e-12);
    }

    #[test]
    fn a_part_that_is_short_or_long_puts_no_other_out_of_step() {
        let mut parts = Parts::new(RULE);
        let mut give = |number: u64, millis: u64, letter: char| -> Vec<_> {
            let done = parts.frame(number, &stamp(millis), &of(letter));
            done.into_iter().map(|part| (part.number, part.frames, part.decision.name())).collect()
        };
        // The second part's trigger was missed once before it could be counted.
        assert!(give(1, 1_000, 'p').is_empty() && give(2, 1_050, 'p').is_empty());
        assert_eq!(give(3, 1_100, 'p'), [(1, 1..=3, "pass")]);
        assert!(give(4, 2_000, 'f').is_empty() && give(5, 2_050, 'p').is_empty());
        assert_eq!(give(6, 3_000, 'p'), [(2, 4..=5, "fault")]);
        assert!(give(7, 3_050, 'p').is_empty());
        assert_eq!(give(8, 3_100, 'p'), [(3, 6..=8, "pass")]);
        // One too many.
        assert_eq!(give(9, 3_100, 'p'), []);
        assert_eq!(give(10, 4_000, 'p'), [(4, 9..=9, "fault")]);
        assert!(give(11, 4_001, 'p').is_empty());
        assert_eq!(give(12, 4_002, 'p'), [(5, 10..=12, "pass")]);
        assert_eq!(give(13, 4_003, 'p'), [(6, 13..=13, "fault")]);
        // Whole parts were dropped: one line.
        // 20 and 21 were dropped as well, and are of the part that 22 is of.
        assert_eq!(give(22, 9_000, 'p'), [(7, 14..=19, "fault"), (9, 20..=22, "fault")]);
    }

    #[test]
    fn nobody_waits_for_frames_that_never_come() {
        let mut parts = Parts::new(RULE);
        assert_eq!(parts.overdue(Duration::from_secs(9)), None);
        parts.frame(1, &stamp(1_000), &of('p'));
        assert_eq!(parts.overdue(Duration::from_millis(1_600)), None);
        let told = parts.overdue(Duration::from_millis(1_601)).unwrap();
        assert_eq!((told.decision, told.counts.missing), (Decision::Fault, 2));
        // It comes after all: told as too late, and begins no part.
        let late = parts.frame(2, &stamp(1_050), &of('p'));
        assert_eq!((late.len(), late[0].decision), (1, Decision::Fault));
        assert_eq!(parts.finish(), None);
    }

    #[test]
    fn a_stream_that_begins_anew_begins_another_part() {
        let mut parts = Parts::new(RULE);
        parts.frame(1, &stamp(10), &of('p'));
        parts.frame(2, &stamp(50), &of('p'));
        let again = Stamp { pts: Some(Duration::from_millis(20)), ..stamp(60_000) };
        let told = parts.frame(3, &again, &of('p'));
        assert_eq!((told.len(), told[0].frames.clone()), (1, 1..=2));
    }

    fn completions(letters: &str) -> Vec<String> {
        letters.chars().fold(vec![String::new()], |all, letter| {
            let choices = if "x-".contains(letter) { "pofu".into() } else { letter.to_string() };
            let extended = |head: &String| {
                choices.chars().map(|next| format!("{head}{next}")).collect::<Vec<_>>()
            };
            all.iter().flat_map(extended).collect()
        })
    }

    proptest! {
        #[test]
        fn whatever_the_unjudged_frames_had_shown_a_pass_is_a_pass_and_a_refusal_one(
            letters in "[pofux-]{1,5}",
            fails in 1_u32..=5,
        ) {
            let frames = u32::try_from(letters.len()).unwrap();
            let rule = PartRule { frames, fails: fails.min(frames), ..RULE };
            // With nothing but missing frames at the end there would be no part to finish.
            prop_assume!(letters.ends_with(|letter| letter != '-'));
            let decision = part(rule, &letters).decision;
            for completed in completions(&letters) {
                let whole = part(rule, &completed).decision;
                prop_assert_ne!(whole, Decision::Fault);
                if decision.is_pass() {
                    prop_assert!(whole.is_pass(), "{} as {}", letters, completed);
                } else if decision != Decision::Fault {
                    prop_assert!(!whole.is_pass(), "{} as {}", letters, completed);
                }
            }
        }

        #[test]
        fn a_pass_rests_on_one_part_and_every_frame_is_told_once(
            frames in 1_u32..5,
            fails in 1_u32..5,
            // For each trigger: seen, dropped, lost before it is counted, or seen twice.
            fates in prop::collection::vec(prop::sample::select(vec!["s", "s", "s", "d", "l", "ss"]), 1..60),
        ) {
            let rule = PartRule { frames, fails: fails.min(frames), ..RULE };
            let mut parts = Parts::new(rule);
            let mut told = Vec::new();
            let mut shown = vec![None];
            for (trigger, fate) in (0_u64..).zip(&fates) {
                let (physical, place) = (trigger / u64::from(frames), trigger % u64::from(frames));
                for (again, what) in (0..).zip(fate.chars()).filter(|(_, what)| *what != 'l') {
                    shown.push((what == 's').then_some(physical));
                    if what == 's' {
                        let at = 1_000 * physical + 20 * place + again;
                        told.extend(parts.frame(shown.len() as u64 - 1, &stamp(at), &of('p')));
                    }
                }
            }
            told.extend(parts.finish());
            let mut next = 1;
            for part in &told {
                prop_assert_eq!(*part.frames.start(), next, "{:?}", told);
                next = part.frames.end() + 1;
                if part.decision.is_pass() {
                    let shown = |number: u64| shown[usize::try_from(number).unwrap()];
                    let seen: Vec<u64> = part.frames.clone().filter_map(shown).collect();
                    prop_assert_eq!(seen.len(), part.counts.passed as usize);
                    prop_assert!(seen.windows(2).all(|two| two[0] == two[1]), "{:?}", part);
                }
            }
            let numbers: Vec<u64> = told.iter().map(|part| part.number).collect();
            let mut expected = 1;
            for (part, number) in told.iter().zip(numbers) {
                prop_assert_eq!(number, expected);
                expected += part.parts;
            }
        }
    }
}

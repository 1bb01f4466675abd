//! When the pusher strikes: a pulse for each part that is not passed, at the place where that part is by then.
//!
//! Pure: times and positions come in. Owns where a part's place is (so long after its trigger, or so many counts of the
//! belt's encoder), how pulses that overlap become one, the stretches of the belt on which everything is struck because
//! parts there were never seen, and the encoder's wrap-around. Invariants: each part that is to be rejected is told as struck
//! when that was shown with half of its pulse left, or as missed; outside of those stretches no other part is struck.
//! A belt that stands still keeps its parts waiting.

use std::{collections::VecDeque, time::Duration};

/// Parts that may wait for their place, or whose pulse may wait to be seen: more are on no belt.
const DUE_MAX: usize = 4_096;
/// So far behind is every place from before an encoder began anew: no belt goes as far.
pub const LEAP: i64 = 1 << 40;
/// Stretches that may wait or run.
const STRETCHES_MAX: usize = 64;

/// Where a part is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// So long after its trigger.
    After(Duration),
    /// So many counts of the encoder after its trigger.
    Counts(u32),
}

/// How parts are struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where.
    pub place: Place,
    /// For how long.
    pub pulse: Duration,
    /// Whether a pulse lasts until somebody has read of it, for no line shows it.
    pub is_held: bool,
}

/// When a part came, and where the belt was then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// When.
    pub at: Duration,
    /// The encoder's position; 0 where there is none.
    pub position: i64,
}

/// What became of a part that is to be rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The pusher strikes, and it was shown in time.
    Struck(u64),
    /// It was not struck in its place: it may have gone on with the good ones.
    Missed(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    At(Duration),
    Position(i64),
}

impl Due {
    fn is_reached(self, here: Origin) -> bool {
        match self {
            Self::At(at) => at <= here.at,
            Self::Position(position) => position <= here.position,
        }
    }
}

/// A pulse that has begun, and that nobody is known to have seen.
#[derive(Clone, Copy, Debug)]
struct Begun {
    trigger: u64,
    end: Duration,
}

impl Begun {
    /// Whether it is seen in time by who sees it now.
    fn is_in_time(self, rule: Rule, now: Duration) -> bool {
        // Whoever reads it strikes by itself, a little later.
        let end = if rule.is_held { self.end + rule.pulse } else { self.end };
        end.saturating_sub(now) >= rule.pulse / 2
    }
}

/// A stretch of the belt on which everything is struck.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: Due,
    to: Due,
    runs: bool,
}

/// The pulses that are to come.
#[derive(Clone, Debug)]
pub struct Pusher {
    rule: Rule,
    due: VecDeque<(u64, Due)>,
    begun: Vec<Begun>,
    /// A pulse has begun of which nobody has read yet, whatever became of its part; only where pulses are held.
    is_unread: bool,
    stretches: VecDeque<Stretch>,
    active_until: Option<Duration>,
}

impl Pusher {
    /// Nothing is to be struck.
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            due: VecDeque::new(),
            begun: Vec::new(),
            is_unread: false,
            stretches: VecDeque::new(),
            active_until: None,
        }
    }

    fn place_of(&self, origin: Origin) -> Due {
        match self.rule.place {
            Place::After(after) => Due::At(origin.at.saturating_add(after)),
            Place::Counts(counts) => {
                Due::Position(origin.position.saturating_add(i64::from(counts)))
            }
        }
    }

    /// The part of that trigger is to be struck. What there is no room for, or what has gone by, is missed.
    pub fn reject(&mut self, trigger: u64, origin: Origin, here: Origin) -> Option<Told> {
        let due = self.place_of(origin);
        let is_gone = matches!(due, Due::Position(place) if place < here.position);
        if is_gone || self.is_full() {
            return Some(Told::Missed(trigger));
        }
        self.due.push_back((trigger, due));
        None
    }

    /// Whether there is no room for another part.
    pub fn is_full(&self) -> bool {
        self.due.len() >= DUE_MAX
    }

    /// Strikes whatever was before the sensor's place by now: all that is between sensor and pusher.
    pub fn strike_all(&mut self, here: Origin) {
        // They begin now and end as late as any of those that run.
        self.stretches.retain(|stretch| !stretch.runs);
        let from = match self.rule.place {
            Place::After(_) => Due::At(here.at),
            Place::Counts(_) => Due::Position(here.position),
        };
        let to = self.place_of(here);
        self.stretches.push_front(Stretch { from, to, runs: true });
    }

    /// Strikes whatever came between the two; `false` where there is no room to remember it.
    #[must_use]
    pub fn strike_between(&mut self, from: Origin, to: Origin) -> bool {
        if self.stretches.len() >= STRETCHES_MAX {
            return false;
        }
        let (from, to) = (self.place_of(from), self.place_of(to));
        self.stretches.push_back(Stretch { from, to, runs: false });
        true
    }

    /// Whether a part of that origin is struck in any case, for it lies where everything is.
    pub fn is_struck_anyway(&self, origin: Origin) -> bool {
        let place = self.place_of(origin);
        let pulse = self.rule.pulse;
        self.stretches.iter().any(|stretch| match (place, stretch.from, stretch.to) {
            (Due::At(place), Due::At(from), Due::At(to)) => from <= place && place < to + pulse,
            (Due::Position(place), Due::Position(from), Due::Position(to)) => {
                (from..=to).contains(&place)
            }
            _ => false,
        })
    }

    /// Where the belt is says nothing of where it was: whatever waits for a position is missed.
    pub fn lose_positions(&mut self) -> Vec<Told> {
        if matches!(self.rule.place, Place::After(_)) {
            return Vec::new();
        }
        self.stretches.clear();
        self.due.drain(..).map(|(trigger, _)| Told::Missed(trigger)).collect()
    }

    /// Time goes by, and the belt, which was last looked at then.
    pub fn advance(&mut self, here: Origin, looked: Duration) -> Vec<Told> {
        let mut told = Vec::new();
        let (pulse, mut until) = (self.rule.pulse, self.active_until);
        let (begun, is_unread) = (&mut self.begun, &mut self.is_unread);
        let is_held = self.rule.is_held;
        self.due.retain(|(trigger, due)| {
            if !due.is_reached(here) {
                return true;
            }
            let end = match due {
                // It ends where it would have ended, had the thread been in time.
                Due::At(at) => *at + pulse,
                // Somewhere since the last look it went by.
                Due::Position(_) => looked.min(here.at) + pulse,
            };
            if end > here.at {
                // With counts the pulse begins as late as it is seen.
                let end = if matches!(due, Due::Position(_)) { here.at + pulse } else { end };
                until = until.max(Some(end));
                *is_unread |= is_held;
                if begun.len() < DUE_MAX {
                    begun.push(Begun { trigger: *trigger, end });
                } else {
                    told.push(Told::Missed(*trigger));
                }
            } else {
                told.push(Told::Missed(*trigger));
            }
            false
        });
        self.stretches.retain_mut(|stretch| {
            stretch.runs |= stretch.from.is_reached(here);
            let is_over = stretch.to.is_reached(here);
            if is_over {
                let end = match stretch.to {
                    Due::At(at) => at,
                    Due::Position(_) => here.at,
                };
                until = until.max(Some(end + pulse));
            }
            !is_over
        });
        self.active_until = until.filter(|until| *until > here.at);
        // What nobody set or read for so long has shown nothing; a pulse that is held goes on, for who reads it late.
        let rule = self.rule;
        self.begun.retain(|begun| {
            let is_there = begun.is_in_time(rule, here.at);
            if !is_there {
                told.push(Told::Missed(begun.trigger));
            }
            is_there
        });
        told
    }

    /// What is active has been shown: what that means for the parts that are struck.
    pub fn shown(&mut self, now: Duration) -> Vec<Told> {
        let rule = self.rule;
        self.is_unread = false;
        let told = self.begun.drain(..).map(|begun| {
            if begun.is_in_time(rule, now) {
                Told::Struck(begun.trigger)
            } else {
                Told::Missed(begun.trigger)
            }
        });
        told.collect()
    }

    /// Whether it strikes now.
    pub fn is_active(&self, now: Duration) -> bool {
        let is_running = self.stretches.iter().any(|stretch| stretch.runs);
        is_running || self.is_unread || self.active_until.is_some_and(|until| now < until)
    }

    /// Parts that wait for their place.
    pub fn waiting(&self) -> usize {
        self.due.len() + self.stretches.len()
    }

    /// When it has to be looked at again, if the belt does not say so before.
    pub fn next_due(&self) -> Option<Duration> {
        let stretches = self.stretches.iter().map(|it| if it.runs { it.to } else { it.from });
        let dues = self.due.iter().map(|(_, due)| *due).chain(stretches);
        let times = dues.filter_map(|due| match due {
            Due::At(at) => Some(at),
            Due::Position(_) => None,
        });
        times.chain(self.active_until).min()
    }
}

/// How wide an encoder's counter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// It wraps after 65,535.
    Bits16,
    /// It wraps after 4,294,967,295.
    Bits32,
}

/// An encoder's counter, without its wrap-around.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    width: Width,
    last: Option<u32>,
    position: i64,
}

impl Encoder {
    /// At 0, wherever the counter is.
    pub fn new(width: Width) -> Self {
        Self { width, last: None, position: 0 }
    }

    /// What the counter says next says nothing of how far the belt has gone since.
    pub fn restart(&mut self) -> i64 {
        self.last = None;
        self.position += LEAP;
        self.position
    }

    /// The counter says so: where the belt is. Between two looks it must not go by half of its range.
    pub fn see(&mut self, raw: u32) -> i64 {
        let last = self.last.replace(raw).unwrap_or(raw);
        let moved = match self.width {
            // The lower half is what there is of it.
            Width::Bits16 => {
                let low = |value: u32| (value & 0xffff) as u16;
                i64::from(low(raw).wrapping_sub(low(last)).cast_signed())
            }
            Width::Bits32 => i64::from(raw.wrapping_sub(last).cast_signed()),
        };
        self.position += moved;
        self.position
    }

    /// Where the belt is.
    pub fn position(&self) -> i64 {
        self.position
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn here(millis: u64, position: i64) -> Origin {
        Origin { at: Duration::from_millis(millis), position }
    }

    fn rule(place: Place) -> Rule {
        Rule { place, pulse: Duration::from_millis(20), is_held: false }
    }

    /// The pusher looks, and what it shows is seen at once.
    fn look(pusher: &mut Pusher, here: Origin, looked: u64) -> Vec<Told> {
        let mut told = pusher.advance(here, Duration::from_millis(looked));
        told.extend(pusher.shown(here.at));
        told
    }

    fn active(pusher: &mut Pusher, until: u64) -> Vec<u64> {
        let is_active = |at: &u64| {
            look(pusher, here(*at, 0), *at);
            pusher.is_active(Duration::from_millis(*at))
        };
        (0..until).filter(is_active).collect()
    }

    #[test]
    fn a_pulse_begins_so_long_after_the_trigger_and_overlapping_ones_are_one() {
        let mut pusher = Pusher::new(rule(Place::After(Duration::from_millis(100))));
        assert_eq!(pusher.reject(1, here(0, 0), here(50, 0)), None);
        assert_eq!(pusher.reject(2, here(10, 0), here(60, 0)), None);
        assert_eq!(active(&mut pusher, 200), (100..130).collect::<Vec<_>>());
        // Known too late, or looked at too late.
        assert_eq!(pusher.reject(3, here(0, 0), here(121, 0)), None);
        assert_eq!(pusher.reject(4, here(300, 0), here(350, 0)), None);
        assert_eq!(look(&mut pusher, here(420, 0), 420), [Told::Missed(3), Told::Missed(4)]);
        assert!(!pusher.is_active(Duration::from_millis(420)));
    }

    #[test]
    fn a_part_is_struck_only_when_that_was_shown_with_half_of_its_pulse_left() {
        let mut pusher = Pusher::new(rule(Place::After(Duration::from_millis(100))));
        let ms = Duration::from_millis;
        for trigger in 1..=3 {
            assert_eq!(pusher.reject(trigger, here(0, 0), here(9, 0)), None);
            assert!(pusher.advance(here(101, 0), ms(101)).is_empty());
            let told = match trigger {
                1 => pusher.shown(ms(110)),
                2 => pusher.shown(ms(111)),
                // Nobody could set the line.
                _ => pusher.advance(here(111, 0), ms(111)),
            };
            let expected = if trigger == 1 { Told::Struck(trigger) } else { Told::Missed(trigger) };
            assert_eq!(told, [expected]);
        }
        // Without a line the pulse lasts until somebody has read of it.
        let rule = Rule { is_held: true, ..rule(Place::After(ms(100))) };
        let mut pusher = Pusher::new(rule);
        assert_eq!(pusher.reject(1, here(0, 0), here(9, 0)), None);
        pusher.advance(here(100, 0), ms(100));
        pusher.advance(here(128, 0), ms(128));
        assert!(pusher.is_active(ms(128)));
        assert_eq!(pusher.shown(ms(128)), [Told::Struck(1)]);
        assert!(!pusher.is_active(ms(128)));
        // Where nobody reads, that is told, and nothing heaps up; it strikes on for whoever reads at last.
        let mut told = Vec::new();
        for trigger in 2..100 {
            let at = 100 * trigger;
            assert_eq!(pusher.reject(trigger, here(at, 0), here(at, 0)), None);
            told.extend(pusher.advance(here(at + 100, 0), ms(at + 100)));
            assert!(pusher.begun.len() <= 1 && pusher.is_active(ms(at + 100)));
        }
        assert_eq!(told, (2..99).map(Told::Missed).collect::<Vec<_>>());
        assert_eq!(pusher.shown(ms(10_031)), [Told::Missed(99)]);
        assert!(!pusher.is_active(ms(10_031)));
    }

    #[test]
    fn a_belt_that_stands_still_keeps_its_parts() {
        let mut pusher = Pusher::new(rule(Place::Counts(500)));
        assert_eq!(pusher.reject(1, here(0, 100), here(5, 120)), None);
        assert!(look(&mut pusher, here(10, 599), 10).is_empty());
        assert!(look(&mut pusher, here(3_600_000, 599), 3_600_000).is_empty());
        assert_eq!(look(&mut pusher, here(3_600_001, 600), 3_600_000), [Told::Struck(1)]);
        assert!(pusher.is_active(Duration::from_millis(3_600_020)));
        assert!(!pusher.is_active(Duration::from_millis(3_600_021)));
        assert_eq!(pusher.reject(2, here(0, 0), here(1, 501)), Some(Told::Missed(2)));
    }

    #[test]
    fn a_place_that_went_by_unseen_for_longer_than_a_pulse_is_missed() {
        let mut pusher = Pusher::new(rule(Place::Counts(500)));
        assert_eq!(pusher.reject(1, here(0, 100), here(5, 120)), None);
        assert_eq!(look(&mut pusher, here(100, 700), 80), [Told::Missed(1)]);
        assert_eq!(pusher.reject(2, here(100, 700), here(100, 700)), None);
        assert_eq!(look(&mut pusher, here(200, 1_300), 181), [Told::Struck(2)]);
        // An encoder that begins anew tells nothing of those that wait.
        assert_eq!(pusher.reject(3, here(200, 1_300), here(200, 1_300)), None);
        assert_eq!(pusher.lose_positions(), [Told::Missed(3)]);
        assert_eq!(pusher.waiting(), 0);
    }

    #[test]
    fn all_that_lies_before_the_pusher_is_struck_and_nothing_behind_it() {
        let after = Duration::from_millis(100);
        let mut pusher = Pusher::new(rule(Place::After(after)));
        pusher.strike_all(here(0, 0));
        assert!(pusher.is_struck_anyway(here(19, 0)) && !pusher.is_struck_anyway(here(20, 0)));
        assert_eq!(active(&mut pusher, 300), (0..120).collect::<Vec<_>>());
        let mut pusher = Pusher::new(rule(Place::After(after)));
        assert!(pusher.strike_between(here(10, 0), here(40, 0)));
        assert_eq!(active(&mut pusher, 300), (110..160).collect::<Vec<_>>());
        // By counts it lasts for as long as the belt takes.
        let mut pusher = Pusher::new(rule(Place::Counts(500)));
        pusher.strike_all(here(0, 100));
        for (at, position, is_active) in
            [(5_000, 599, true), (5_001, 600, true), (5_020, 700, true), (5_021, 700, false)]
        {
            look(&mut pusher, here(at, position), at);
            assert_eq!(pusher.is_active(Duration::from_millis(at)), is_active, "{at}");
        }
    }

    #[test]
    fn parts_beyond_those_that_may_wait_are_missed() {
        let mut pusher = Pusher::new(rule(Place::After(Duration::from_millis(100))));
        for trigger in 0..DUE_MAX as u64 {
            assert_eq!(pusher.reject(trigger, here(0, 0), here(0, 0)), None);
        }
        assert!(pusher.is_full());
        assert_eq!(pusher.reject(9_999, here(0, 0), here(0, 0)), Some(Told::Missed(9_999)));
    }

    #[test]
    fn an_encoder_wraps_and_may_turn_back_a_little() {
        let mut narrow = Encoder::new(Width::Bits16);
        let positions: Vec<i64> =
            [65_530, 65_535, 3, 1, 30_000, 60_000, 10].map(|raw| narrow.see(raw)).into();
        assert_eq!(positions, [0, 5, 9, 7, 30_006, 60_006, 65_552]);
        let mut wide = Encoder::new(Width::Bits32);
        assert_eq!([u32::MAX, 4, 2].map(|raw| wide.see(raw)), [0, 5, 3]);
    }

    proptest! {
        /// On a belt that goes on by fits and starts, with a counter that wraps: each rejected part is struck once, within
        /// one look of its place, and no passed one is.
        #[test]
        fn each_rejected_part_is_struck_once_at_its_place(
            steps in prop::collection::vec((0_u32..40, prop::option::of(any::<bool>())), 1..200),
            start in 65_000_u32..65_535,
            wide in any::<bool>(),
        ) {
            let mut encoder = Encoder::new(if wide { Width::Bits32 } else { Width::Bits16 });
            let mut pusher = Pusher::new(rule(Place::Counts(400)));
            let mut raw = start;
            let mut places = Vec::new();
            let mut struck = BTreeSet::new();
            encoder.see(raw);
            // At the end the belt runs empty.
            let rest = std::iter::repeat_n((20, None), 40);
            for (now, (moved, part)) in (0_u64..).zip(steps.into_iter().chain(rest)) {
                raw = if wide { raw.wrapping_add(moved) } else { (raw + moved) & 0xffff };
                let position = encoder.see(raw);
                for told in look(&mut pusher, here(now, position), now) {
                    let Told::Struck(trigger) = told else { panic!("{told:?}") };
                    prop_assert!(struck.insert(trigger));
                    let (place, is_good): (i64, bool) = places[usize::try_from(trigger).unwrap()];
                    prop_assert!(!is_good);
                    prop_assert!((place..place + 40).contains(&position), "{place} at {position}");
                }
                if let Some(is_good) = part {
                    let trigger = places.len() as u64;
                    places.push((position + 400, is_good));
                    if !is_good {
                        prop_assert_eq!(pusher.reject(trigger, here(now, position), here(now, position)), None);
                    }
                }
            }
            let rejected = (0_u64..).zip(&places).filter(|(_, (_, is_good))| !is_good);
            prop_assert!(struck.into_iter().eq(rejected.map(|(trigger, _)| trigger)));
            prop_assert_eq!(pusher.waiting(), 0);
        }
    }
}

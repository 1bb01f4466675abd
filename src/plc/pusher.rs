//! When the pusher strikes: a pulse for each part that is not passed, at the place where that part is by then.
//!
//! Pure: times and positions come in. Owns where a part's place is (so long after its trigger, or so many counts of the
//! belt's encoder), how pulses that overlap become one, and the encoder's wrap-around. Invariants: each part that is to be
//! rejected gets one pulse or is told as missed; no other part gets one. A belt that stands still keeps its parts waiting.

use std::{collections::VecDeque, time::Duration};

use super::PARTS_MAX;

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
    /// The pusher strikes.
    Struck(u64),
    /// Its place had gone by before anybody knew: it goes on with the good ones.
    Missed(u64),
}

#[derive(Clone, Copy, Debug)]
enum Due {
    At(Duration),
    Position(i64),
}

/// The pulses that are to come.
#[derive(Clone, Debug)]
pub struct Pusher {
    rule: Rule,
    due: VecDeque<(u64, Due)>,
    active_until: Option<Duration>,
}

impl Pusher {
    /// Nothing is to be struck.
    pub fn new(rule: Rule) -> Self {
        Self { rule, due: VecDeque::new(), active_until: None }
    }

    /// The part of that trigger is to be struck.
    pub fn reject(&mut self, trigger: u64, origin: Origin, here: Origin) -> Option<Told> {
        let (due, is_gone) = match self.rule.place {
            Place::After(after) => (Due::At(origin.at + after), origin.at + after < here.at),
            Place::Counts(counts) => {
                let place = origin.position + i64::from(counts);
                (Due::Position(place), place < here.position)
            }
        };
        if is_gone || self.due.len() >= PARTS_MAX {
            return Some(Told::Missed(trigger));
        }
        self.due.push_back((trigger, due));
        None
    }

    /// Time goes by, and the belt.
    pub fn advance(&mut self, here: Origin) -> Vec<Told> {
        let mut told = Vec::new();
        let (pulse, mut until) = (self.rule.pulse, self.active_until);
        self.due.retain(|(trigger, due)| {
            let end = match due {
                Due::At(at) if *at > here.at => return true,
                // It ends where it would have ended, had the thread been in time.
                Due::At(at) => *at + pulse,
                Due::Position(place) if *place > here.position => return true,
                Due::Position(_) => here.at + pulse,
            };
            if end > here.at {
                until = until.max(Some(end));
                told.push(Told::Struck(*trigger));
            } else {
                told.push(Told::Missed(*trigger));
            }
            false
        });
        self.active_until = until.filter(|until| *until > here.at);
        told
    }

    /// Whether it strikes now.
    pub fn is_active(&self, now: Duration) -> bool {
        self.active_until.is_some_and(|until| now < until)
    }

    /// Parts that wait for their place.
    pub fn waiting(&self) -> usize {
        self.due.len()
    }

    /// When it has to be looked at again, if the belt does not say so before.
    pub fn next_due(&self) -> Option<Duration> {
        let times = self.due.iter().filter_map(|(_, due)| match due {
            Due::At(at) => Some(*at),
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
        Rule { place, pulse: Duration::from_millis(20) }
    }

    #[test]
    fn a_pulse_begins_so_long_after_the_trigger_and_overlapping_ones_are_one() {
        let mut pusher = Pusher::new(rule(Place::After(Duration::from_millis(100))));
        assert_eq!(pusher.reject(1, here(0, 0), here(50, 0)), None);
        assert_eq!(pusher.reject(2, here(10, 0), here(60, 0)), None);
        let active: Vec<u64> = (0..200)
            .filter(|at| {
                pusher.advance(here(*at, 0));
                pusher.is_active(Duration::from_millis(*at))
            })
            .collect();
        assert_eq!(active, (100..130).collect::<Vec<_>>());
        // Known too late, or looked at too late.
        assert_eq!(pusher.reject(3, here(0, 0), here(101, 0)), Some(Told::Missed(3)));
        assert_eq!(pusher.reject(4, here(300, 0), here(350, 0)), None);
        assert_eq!(pusher.advance(here(420, 0)), [Told::Missed(4)]);
        assert!(!pusher.is_active(Duration::from_millis(420)));
    }

    #[test]
    fn a_belt_that_stands_still_keeps_its_parts() {
        let mut pusher = Pusher::new(rule(Place::Counts(500)));
        assert_eq!(pusher.reject(1, here(0, 100), here(5, 120)), None);
        assert!(pusher.advance(here(10, 599)).is_empty());
        assert!(pusher.advance(here(3_600_000, 599)).is_empty());
        assert_eq!(pusher.advance(here(3_600_001, 600)), [Told::Struck(1)]);
        assert!(pusher.is_active(Duration::from_millis(3_600_020)));
        assert!(!pusher.is_active(Duration::from_millis(3_600_021)));
        assert_eq!(pusher.reject(2, here(0, 0), here(1, 501)), Some(Told::Missed(2)));
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
                for told in pusher.advance(here(now, position)) {
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

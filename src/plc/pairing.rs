//! Which frame shows the part that the PLC announced.
//!
//! Pure: times come in. Owns the windows of time in which a frame can be a part's, and what is told of a part that has
//! none, or for which another frame could be meant. Nothing is counted from one part to the next, so that a frame which is
//! lost, or one too many, costs the parts in whose windows it lies and no other: that is the rule by which it is always in step.
//!
//! [`Frames::First`], a free-running camera: a part's is the first frame from `delay` after its trigger on, if it comes
//! within `within`. Where one frame is the first of two parts, nobody knows whose it is: both are faults.
//!
//! [`Frames::Each`], a camera that the same signal triggers: a part's frame comes `delay` after its trigger, `within`
//! earlier or later. The frame may be seen before the trigger is. A pair is certain when its windows are over and hold one
//! trigger and one frame, no more; anything else that hangs together by its windows is a fault.
//!
//! Invariants: each trigger is settled once; each frame is at most one part's.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use super::PARTS_MAX;

/// Which frames a camera gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// It runs freely: the first frame after the trigger is the part's.
    First,
    /// It is triggered as well: each frame is a part's.
    Each,
}

/// When a frame can be a part's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which frames there are.
    pub frames: Frames,
    /// From the trigger to the frame.
    pub delay: Duration,
    /// How much later a first frame may come; how much earlier or later each frame.
    pub within: Duration,
}

/// Why a part has no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// None came in time.
    NoFrame,
    /// It cannot be said whose the frames are.
    Crowded,
    /// More parts are on their way than can be.
    TooMany,
}

/// What is known for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The frame is the part's.
    Tied {
        /// The trigger's running number.
        trigger: u64,
        /// The frame's number.
        frame: u64,
    },
    /// The part has no frame.
    Missed {
        /// The trigger's running number.
        trigger: u64,
        /// Why.
        why: Missed,
    },
    /// The frame is nobody's.
    Stray {
        /// Its number.
        frame: u64,
    },
}

/// Whether somebody asked for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It goes to the engine.
    Yes,
    /// No part asked for it.
    No,
}

/// A trigger or a frame with its place in time: when it came, or when its frame is expected.
type Placed = (u64, Duration);

/// Ties the frames of one camera to triggers.
#[derive(Clone, Debug)]
pub struct Pairing {
    rule: Rule,
    /// Triggers without a frame, with the moment at which one is expected.
    triggers: VecDeque<Placed>,
    /// Frames without a trigger, where each may have one.
    frames: VecDeque<Placed>,
    /// When the last frame came.
    last: Option<Duration>,
}

impl Pairing {
    /// Nothing has come yet.
    pub fn new(rule: Rule) -> Self {
        Self { rule, triggers: VecDeque::new(), frames: VecDeque::new(), last: None }
    }

    /// A part came at that time.
    pub fn trigger(&mut self, trigger: u64, at: Duration) -> Vec<Settled> {
        let expected = at + self.rule.delay;
        let is_gone =
            self.rule.frames == Frames::First && self.last.is_some_and(|last| last >= expected);
        if is_gone {
            return vec![Settled::Missed { trigger, why: Missed::NoFrame }];
        }
        if self.triggers.len() >= PARTS_MAX {
            return vec![Settled::Missed { trigger, why: Missed::TooMany }];
        }
        // One whose telling was held up belongs before those that came after it.
        let place = self.triggers.partition_point(|(_, other)| *other <= expected);
        self.triggers.insert(place, (trigger, expected));
        Vec::new()
    }

    /// A frame was captured at that time.
    pub fn frame(&mut self, frame: u64, at: Duration) -> (Wanted, Vec<Settled>) {
        let mut settled = self.advance(at);
        self.last = Some(at);
        match self.rule.frames {
            Frames::First => {
                let due = self.triggers.iter().filter(|(_, expected)| *expected <= at).count();
                let due: Vec<u64> =
                    self.triggers.drain(..due).map(|(trigger, _)| trigger).collect();
                if let [trigger] = due[..] {
                    settled.push(Settled::Tied { trigger, frame });
                    return (Wanted::Yes, settled);
                }
                let crowded = |trigger| Settled::Missed { trigger, why: Missed::Crowded };
                settled.extend(due.into_iter().map(crowded));
                (Wanted::No, settled)
            }
            Frames::Each => {
                if self.frames.len() >= PARTS_MAX
                    && let Some((frame, _)) = self.frames.pop_front()
                {
                    settled.push(Settled::Stray { frame });
                }
                self.frames.push_back((frame, at));
                (Wanted::Yes, settled)
            }
        }
    }

    /// Time goes by: what is certain now.
    pub fn advance(&mut self, now: Duration) -> Vec<Settled> {
        let within = self.rule.within;
        let mut settled = Vec::new();
        match self.rule.frames {
            Frames::First => {
                let is_over = |(_, expected): &&Placed| *expected + within < now;
                let over = self.triggers.iter().take_while(is_over).count();
                let missed = |(trigger, _)| Settled::Missed { trigger, why: Missed::NoFrame };
                settled.extend(self.triggers.drain(..over).map(missed));
            }
            Frames::Each => self.settle_groups(now, &mut settled),
        }
        settled
    }

    /// When [`Self::advance`] may have something to say, if nothing comes before.
    pub fn next_due(&self) -> Option<Duration> {
        let times = self.triggers.iter().chain(&self.frames).map(|(_, at)| *at);
        // A window is over after its last moment.
        times.min().map(|at| at + self.rule.within + Duration::from_millis(1))
    }

    /// What hangs together by its windows and can get no more members.
    fn settle_groups(&mut self, now: Duration, settled: &mut Vec<Settled>) {
        let within = self.rule.within;
        let mut left: VecDeque<Placed> = std::mem::take(&mut self.triggers);
        while let Some(first) = left.pop_front() {
            let (triggers, frames) = self.group(first, &mut left);
            let members = triggers.iter().chain(&frames);
            // A trigger or a frame of the group's last moment may still be told.
            let is_over = members.map(|(_, at)| *at + within).max().is_some_and(|end| end < now);
            if !is_over {
                self.triggers.extend(triggers);
                continue;
            }
            let numbers: BTreeSet<u64> = frames.iter().map(|(frame, _)| *frame).collect();
            self.frames.retain(|(frame, _)| !numbers.contains(frame));
            match (&triggers[..], &frames[..]) {
                ([(trigger, _)], [(frame, _)]) => {
                    settled.push(Settled::Tied { trigger: *trigger, frame: *frame });
                }
                (triggers, frames) => {
                    let why = if frames.is_empty() { Missed::NoFrame } else { Missed::Crowded };
                    settled.extend(
                        triggers
                            .iter()
                            .map(|(trigger, _)| Settled::Missed { trigger: *trigger, why }),
                    );
                    settled
                        .extend(frames.iter().map(|(frame, _)| Settled::Stray { frame: *frame }));
                }
            }
        }
        self.triggers.make_contiguous().sort_unstable_by_key(|(trigger, at)| (*at, *trigger));
        // Frames that no trigger is near: none can come any more, for a trigger is expected after it came.
        let near = |at: Duration, (_, expected): &Placed| expected.abs_diff(at) <= within;
        let triggers = &self.triggers;
        self.frames.retain(|(frame, at)| {
            let is_kept = *at + within >= now || triggers.iter().any(|it| near(*at, it));
            if !is_kept {
                settled.push(Settled::Stray { frame: *frame });
            }
            is_kept
        });
    }

    /// Everything that hangs together with a trigger; its triggers are taken out of `left`.
    fn group(&self, first: Placed, left: &mut VecDeque<Placed>) -> (Vec<Placed>, Vec<Placed>) {
        let is_near = |one: &Placed, other: &Placed| one.1.abs_diff(other.1) <= self.rule.within;
        let (mut triggers, mut frames): (Vec<Placed>, Vec<Placed>) = (vec![first], Vec::new());
        loop {
            let before = triggers.len() + frames.len();
            for frame in &self.frames {
                let is_in = triggers.iter().any(|trigger| is_near(trigger, frame));
                if is_in && !frames.contains(frame) {
                    frames.push(*frame);
                }
            }
            left.retain(|trigger| {
                let is_in = frames.iter().any(|frame| is_near(trigger, frame));
                if is_in {
                    triggers.push(*trigger);
                }
                !is_in
            });
            if triggers.len() + frames.len() == before {
                return (triggers, frames);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Plays `t10` (trigger at 10 ms) and `f15` (frame) in turn; triggers and frames are numbered from 1.
    fn play(rule: Rule, script: &str) -> String {
        let mut pairing = Pairing::new(rule);
        let (mut triggers, mut frames) = (0, 0);
        let mut told = Vec::new();
        for step in script.split_whitespace() {
            let at = ms(step[1..].parse().unwrap());
            if step.starts_with('t') {
                triggers += 1;
                told.extend(pairing.advance(at));
                told.extend(pairing.trigger(triggers, at));
            } else {
                frames += 1;
                told.extend(pairing.frame(frames, at).1);
            }
        }
        told.extend(pairing.advance(ms(1_000_000)));
        assert_eq!(pairing.next_due(), None);
        let words = told.into_iter().map(|settled| match settled {
            Settled::Tied { trigger, frame } => format!("{trigger}={frame}"),
            Settled::Missed { trigger, why } => format!("{trigger}:{why:?}"),
            Settled::Stray { frame } => format!("stray {frame}"),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_free_running_cameras_first_frame_is_the_parts() {
        let rule = Rule { frames: Frames::First, delay: ms(20), within: ms(40) };
        let check = |script, expected| assert_eq!(play(rule, script), expected, "{script}");
        // Not before its delay, and no later than its window.
        check("t0 f10 f20 f30", "1=2");
        check("t0 f10 f60", "1=2");
        check("t0 f10 f61", "1:NoFrame");
        check("f100 t100 f110 f133", "1=3");
        // Two are told in the wrong order: each has its own frame all the same.
        check("t50 t0 f30 f80", "2=1 1=2");
        // A trigger that is told after its frame has been let go has none.
        check("f200 t180", "1:NoFrame");
        // Both would be shown by one frame.
        check("t0 t10 f40 t50 f80", "1:Crowded 2:Crowded 3=2");
        check("t0 t30 f40 f60", "1=1 2=2");
    }

    #[test]
    fn a_triggered_cameras_frame_is_the_parts_in_whose_window_it_is_alone() {
        let rule = Rule { frames: Frames::Each, delay: ms(20), within: ms(10) };
        let check = |script, expected| assert_eq!(play(rule, script), expected, "{script}");
        check("t0 f20 t100 f115", "1=1 2=2");
        // The frame is seen before its trigger is told.
        check("f25 t5 t100 f120", "1=1 2=2");
        // None, one too many, one that nobody asked for: the next part has its own all the same.
        check("t0 t100 f120", "1:NoFrame 2=1");
        check("t0 f18 f22 t100 f120", "1:Crowded stray 1 stray 2 2=3");
        check("t0 f20 f60 t100 f120", "1=1 stray 2 2=3");
        // Two parts so near one another that a frame could be either's.
        check("t0 t15 f25 f33", "1:Crowded 2:Crowded stray 1 stray 2");
        check("t0 t15 f21 f38 t100 f120", "1=1 2=2 3=3");
    }

    /// A part with its trigger and its frame: when each comes, and whether it does.
    #[derive(Clone, Copy, Debug)]
    struct Way {
        pause: u64,
        jitter: u64,
        is_triggered: bool,
        frames: u64,
    }

    fn ways() -> impl Strategy<Value = Vec<Way>> {
        let way = (
            30_u64..120,
            0_u64..=10,
            prop::bool::weighted(0.95),
            prop::sample::select(vec![0, 1, 1, 1, 1, 2]),
        );
        let way = way.prop_map(|(pause, jitter, is_triggered, frames)| Way {
            pause,
            jitter,
            is_triggered,
            frames,
        });
        prop::collection::vec(way, 1..60)
    }

    proptest! {
        /// Whatever is lost, comes twice or is late: no part is tied to a frame of another.
        #[test]
        fn no_part_gets_another_parts_frame(ways in ways(), each in any::<bool>()) {
            // Parts are at least 30 ms apart, frames come 20 to 30 ms after their trigger.
            let rule = if each {
                Rule { frames: Frames::Each, delay: ms(25), within: ms(5) }
            } else {
                Rule { frames: Frames::First, delay: ms(20), within: ms(10) }
            };
            let mut steps = Vec::new();
            let mut at = 0;
            for (part, way) in (1_u64..).zip(&ways) {
                at += way.pause;
                if way.is_triggered {
                    steps.push((at, true, part));
                }
                for more in 0..way.frames {
                    steps.push((at + 20 + (way.jitter + more).min(10), false, part));
                }
            }
            steps.sort_unstable();
            let mut pairing = Pairing::new(rule);
            let mut shown = vec![0];
            let mut told = Vec::new();
            for (at, is_trigger, part) in steps {
                if is_trigger {
                    told.extend(pairing.trigger(part, ms(at)));
                } else {
                    let frame = shown.len() as u64;
                    shown.push(part);
                    told.extend(pairing.frame(frame, ms(at)).1);
                }
            }
            told.extend(pairing.advance(ms(1_000_000)));
            let mut settled = BTreeSet::new();
            let mut tied = BTreeSet::new();
            for one in told {
                match one {
                    Settled::Tied { trigger, frame } => {
                        prop_assert_eq!(shown[usize::try_from(frame).unwrap()], trigger);
                        prop_assert!(tied.insert(frame));
                        prop_assert!(settled.insert(trigger));
                    }
                    Settled::Missed { trigger, .. } => prop_assert!(settled.insert(trigger)),
                    Settled::Stray { frame } => prop_assert!(tied.insert(frame)),
                }
            }
            let triggered = (1_u64..).zip(&ways).filter(|(_, way)| way.is_triggered);
            prop_assert!(settled.into_iter().eq(triggered.map(|(part, _)| part)));
            // Nothing goes wrong where nothing is wrong.
            if ways.iter().all(|way| way.is_triggered && way.frames == 1) {
                prop_assert!(shown.len() - 1 == ways.len());
            }
        }
    }
}

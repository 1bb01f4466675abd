//! The handshake with the PLC: ready, busy, completed, valid, acknowledged.
//!
//! Pure: events and times come in. Owns which parts are open, what each of them ends with, in which order results are
//! given, and when none may be. A part is open from its trigger to its end; ends are given in the order of the triggers,
//! one at a time, each until the PLC acknowledges it. What fails on the way (the station's state, the PLC itself, a
//! deadline) ends every open part as not passed, and takes a result back that nobody has acknowledged.
//!
//! Invariants: each trigger ends once; a part passes only by its own verdict, in time, while everything is trusted; a result
//! is shown at most once, and never changes while it is shown.

use std::{collections::VecDeque, time::Duration};

use super::PARTS_MAX;

/// A part that the PLC announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The trigger's running number, from 1.
    pub trigger: u64,
    /// The PLC's number of the part.
    pub number: u32,
    /// The PLC's code of the product that it expects; 0 for none.
    pub hint: u16,
    /// When it came.
    pub at: Duration,
    /// Where the belt was then, by its encoder.
    pub position: i64,
}

/// What a part ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may go on.
    Pass,
    /// It is refused.
    Fail,
    /// It is of no known product, or of another than the PLC expects.
    UnknownProduct,
    /// Nobody judged it.
    Fault,
    /// It was not judged in time: it is refused, whatever its verdict will be.
    Late,
}

impl Outcome {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 5] =
        [Self::Pass, Self::Fail, Self::UnknownProduct, Self::Fault, Self::Late];

    /// The word for it, as the ledger's table allows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::UnknownProduct => "unknown-product",
            Self::Fault => "fault",
            Self::Late => "late",
        }
    }

    /// The register's value.
    pub const fn code(self) -> u16 {
        self as u16 + 1
    }
}

/// Why a part did not simply pass or fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its verdict says all.
    Verdict,
    /// The station does not run as it should.
    State,
    /// The PLC gave no sign of life, or did not acknowledge.
    Plc,
    /// No frame came in the part's time.
    NoFrame,
    /// It cannot be said which frame is the part's.
    Crowded,
    /// Its frame was lost before it could be judged.
    FrameLost,
    /// The recognised product is not the one that the PLC expects.
    OtherProduct,
    /// The configuration knows no product of that code.
    UnknownHint,
    /// No verdict came in time.
    Deadline,
    /// More parts are on their way than can be.
    TooMany,
    /// It cannot be said when it came, or others came unseen.
    Undated,
}

impl Why {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 11] = [
        Self::Verdict,
        Self::State,
        Self::Plc,
        Self::NoFrame,
        Self::Crowded,
        Self::FrameLost,
        Self::OtherProduct,
        Self::UnknownHint,
        Self::Deadline,
        Self::TooMany,
        Self::Undated,
    ];

    /// The words for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::State => "the station does not run",
            Self::Plc => "the PLC is not there",
            Self::NoFrame => "no frame in time",
            Self::Crowded => "two parts too close",
            Self::FrameLost => "its frame was lost",
            Self::OtherProduct => "another product than announced",
            Self::UnknownHint => "unknown product code",
            Self::Deadline => "no verdict in time",
            Self::TooMany => "too many parts at once",
            Self::Undated => "its time is not certain",
        }
    }

    /// The register's value.
    pub const fn code(self) -> u16 {
        self as u16
    }
}

/// How a part ended, with what the PLC may want to know of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct End {
    /// What it ends with.
    pub outcome: Outcome,
    /// Why.
    pub why: Why,
    /// The code of the recognised product; 0 for none.
    pub product: u16,
    /// The anomaly score.
    pub score: Option<f32>,
    /// Its p-value.
    pub p_value: Option<f64>,
    /// The frame that shows it.
    pub frame: Option<u64>,
}

impl End {
    /// Of a part that nobody judged.
    pub const fn unjudged(outcome: Outcome, why: Why) -> Self {
        Self { outcome, why, product: 0, score: None, p_value: None, frame: None }
    }
}

/// What happened to a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Told {
    /// It came to its end.
    Ended(Part, End),
    /// The PLC has its result.
    Acknowledged(Part),
    /// Its result is not given, or was taken back: it is not passed, whatever it ended with.
    Withdrawn(Part, Outcome),
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// From the trigger to the verdict.
    pub verdict_within: Duration,
    /// From a result to its acknowledgement; `None` where nobody acknowledges, as on lines.
    pub acknowledged_within: Option<Duration>,
    /// Whether a part must be alone from its trigger to its end, for what says its result names no part.
    pub is_alone: bool,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    part: Part,
    end: Option<End>,
}

/// A result that is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    /// The part.
    pub part: Part,
    /// What it ended with.
    pub end: End,
    /// Since when.
    pub since: Duration,
}

/// What the PLC sees.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a bit of a register")]
pub struct Outputs {
    /// A part may come.
    pub ready: bool,
    /// A part is being inspected.
    pub busy: bool,
    /// Changes with each inspection that is completed.
    pub completed: bool,
    /// Nothing that is shown may be trusted: the outputs are in their safe state.
    pub safe: bool,
    /// The number of the result that is or was shown last.
    pub count: u16,
    /// The result, which is valid; `None` where there is none.
    pub shown: Option<Shown>,
    /// Results that wait to be shown.
    pub waiting: usize,
}

/// The handshake of one camera's parts.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "any of them may hold beside any other")]
pub struct Handshake {
    rule: Rule,
    is_trusted: bool,
    is_connected: bool,
    /// A result was not acknowledged in time.
    is_slow: bool,
    open: VecDeque<Open>,
    shown: Option<Shown>,
    count: u16,
    completed: bool,
}

impl Handshake {
    /// No part has come, and nothing is trusted yet.
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            is_trusted: false,
            is_connected: rule.acknowledged_within.is_none(),
            is_slow: false,
            open: VecDeque::new(),
            shown: None,
            count: 0,
            completed: false,
        }
    }

    /// A part came.
    pub fn trigger(&mut self, part: Part) -> Vec<Told> {
        let why = match (self.is_trusted, self.is_connected && !self.is_slow) {
            _ if self.open.len() >= PARTS_MAX => {
                // There is no place to tell it by: the PLC waits for it in vain.
                let end = End::unjudged(Outcome::Fault, Why::TooMany);
                return vec![Told::Ended(part, end), Told::Withdrawn(part, end.outcome)];
            }
            (true, true) if self.rule.is_alone && self.outputs().busy => Some(Why::Crowded),
            (true, true) => None,
            (false, _) => Some(Why::State),
            (true, false) => Some(Why::Plc),
        };
        let mut told = Vec::new();
        if why == Some(Why::Crowded) {
            self.end_open(Why::Crowded, &mut told);
        }
        let end = why.map(|why| End::unjudged(Outcome::Fault, why));
        self.open.push_back(Open { part, end });
        told.extend(end.map(|end| Told::Ended(part, end)));
        self.go_on(part.at, &mut told);
        told
    }

    /// Whether that trigger's part still waits for its end.
    pub fn waits_for(&self, trigger: u64) -> bool {
        self.open.iter().any(|open| open.part.trigger == trigger && open.end.is_none())
    }

    /// The part of that trigger has been judged, or cannot be. What comes after its deadline is late.
    pub fn end(&mut self, trigger: u64, end: End, at: Duration) -> Vec<Told> {
        let mut told = self.advance(at);
        let waits = |open: &&mut Open| open.part.trigger == trigger && open.end.is_none();
        if let Some(open) = self.open.iter_mut().find(waits) {
            open.end = Some(end);
            told.push(Told::Ended(open.part, end));
        }
        self.go_on(at, &mut told);
        told
    }

    /// Nobody knows any more which parts those are that are open.
    pub fn refuse(&mut self, why: Why, at: Duration) -> Vec<Told> {
        let mut told = self.advance(at);
        self.end_open(why, &mut told);
        self.go_on(at, &mut told);
        told
    }

    /// The PLC says which result it has. It says so again and again: only the one that is shown counts.
    pub fn acknowledge(&mut self, count: u16, at: Duration) -> Vec<Told> {
        let mut told = self.advance(at);
        if count == self.count {
            self.is_slow = false;
            if let Some(shown) = self.shown.take() {
                told.push(Told::Acknowledged(shown.part));
            }
        }
        self.go_on(at, &mut told);
        told
    }

    /// The PLC is there again: results are numbered on from the one that it says it has.
    pub fn connect(&mut self, acknowledged: u16) {
        self.is_connected = true;
        self.is_slow = false;
        self.count = acknowledged;
    }

    /// The PLC gives no sign of life.
    pub fn disconnect(&mut self) -> Vec<Told> {
        self.is_connected = false;
        self.give_nothing(Why::Plc)
    }

    /// Whether the station's verdicts may be relied on now.
    pub fn trust(&mut self, is_trusted: bool, at: Duration) -> Vec<Told> {
        let was_trusted = std::mem::replace(&mut self.is_trusted, is_trusted);
        if is_trusted || !was_trusted {
            return Vec::new();
        }
        let mut told = Vec::new();
        self.end_open(Why::State, &mut told);
        // What passed and has not been taken is not to be relied on either; what is refused stays refused.
        let passed = |end: &End| end.outcome == Outcome::Pass;
        if let Some(shown) = self.shown.take_if(|shown| passed(&shown.end)) {
            told.push(Told::Withdrawn(shown.part, Outcome::Pass));
        }
        self.open.retain(|open| {
            let is_passed = open.end.as_ref().is_some_and(passed);
            if is_passed {
                told.push(Told::Withdrawn(open.part, Outcome::Pass));
            }
            !is_passed
        });
        self.go_on(at, &mut told);
        told
    }

    /// Time goes by: deadlines.
    pub fn advance(&mut self, now: Duration) -> Vec<Told> {
        let mut told = Vec::new();
        let within = self.rule.verdict_within;
        for open in self.open.iter_mut().filter(|open| open.end.is_none()) {
            if open.part.at + within < now {
                let end = End::unjudged(Outcome::Late, Why::Deadline);
                open.end = Some(end);
                told.push(Told::Ended(open.part, end));
            }
        }
        let since = self.shown.map(|shown| shown.since);
        if let (Some(since), Some(within)) = (since, self.rule.acknowledged_within)
            && since + within < now
        {
            self.is_slow = true;
            told.extend(self.give_nothing(Why::Plc));
        }
        self.go_on(now, &mut told);
        told
    }

    /// When [`Self::advance`] has something to say, if nothing happens before.
    pub fn next_due(&self) -> Option<Duration> {
        let waiting = self.open.iter().filter(|open| open.end.is_none());
        let verdicts = waiting.map(|open| open.part.at + self.rule.verdict_within);
        let within = self.rule.acknowledged_within;
        let acknowledged = self.shown.zip(within).map(|(shown, within)| shown.since + within);
        // A deadline is missed after its last moment.
        verdicts.chain(acknowledged).min().map(|due| due + Duration::from_millis(1))
    }

    /// Whether a result was not acknowledged in time, and none has been since.
    pub fn is_slow(&self) -> bool {
        self.is_slow
    }

    /// What the PLC sees.
    pub fn outputs(&self) -> Outputs {
        let is_safe = !(self.is_trusted && self.is_connected && !self.is_slow);
        let waiting = self.open.iter().filter(|open| open.end.is_some()).count();
        Outputs {
            ready: !is_safe && self.open.len() < PARTS_MAX,
            busy: waiting < self.open.len(),
            completed: self.completed,
            safe: is_safe,
            count: self.count,
            shown: self.shown,
            waiting,
        }
    }

    /// Ends what is open and takes back what is shown.
    fn give_nothing(&mut self, why: Why) -> Vec<Told> {
        let mut told = Vec::new();
        self.end_open(why, &mut told);
        let open = self.open.drain(..).filter_map(|open| Some((open.part, open.end?)));
        let shown = self.shown.take().map(|shown| (shown.part, shown.end));
        let withdrawn = shown.into_iter().chain(open);
        told.extend(withdrawn.map(|(part, end)| Told::Withdrawn(part, end.outcome)));
        told
    }

    fn end_open(&mut self, why: Why, told: &mut Vec<Told>) {
        for open in self.open.iter_mut().filter(|open| open.end.is_none()) {
            let end = End::unjudged(Outcome::Fault, why);
            open.end = Some(end);
            told.push(Told::Ended(open.part, end));
        }
    }

    /// Shows the next result where the last one has been taken.
    fn go_on(&mut self, at: Duration, told: &mut Vec<Told>) {
        while self.is_connected && !self.is_slow {
            let is_free = self.shown.is_none() || self.rule.acknowledged_within.is_none();
            let next = self.open.front().and_then(|open| open.end.map(|end| (open.part, end)));
            let (true, Some((part, end))) = (is_free, next) else { return };
            self.open.pop_front();
            self.shown = Some(Shown { part, end, since: at });
            // 0 is what an empty register says.
            self.count = self.count.checked_add(1).unwrap_or(1);
            self.completed = !self.completed;
            if self.rule.acknowledged_within.is_none() {
                told.push(Told::Acknowledged(part));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const RULE: Rule = Rule {
        verdict_within: Duration::from_millis(100),
        acknowledged_within: Some(Duration::from_millis(50)),
        is_alone: false,
    };

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn part(trigger: u64, at: u64) -> Part {
        let number = 1_000 + u32::try_from(trigger).unwrap();
        Part { trigger, number, hint: 0, at: ms(at), position: 0 }
    }

    fn judged(outcome: Outcome) -> End {
        End { product: 1, score: Some(0.5), ..End::unjudged(outcome, Why::Verdict) }
    }

    fn running() -> Handshake {
        let mut handshake = Handshake::new(RULE);
        handshake.connect(0);
        assert!(handshake.trust(true, ms(0)).is_empty());
        handshake
    }

    /// What the PLC sees, as it would be drawn.
    fn seen(handshake: &Handshake) -> String {
        let Outputs { ready, busy, completed, safe, count, shown, waiting } = handshake.outputs();
        let shown =
            shown.map_or("-".into(), |it| format!("{}:{}", it.part.trigger, it.end.outcome.name()));
        let flag = |is_on: bool, letter: char| if is_on { letter } else { '.' };
        format!(
            "{}{}{}{} {count} {shown} +{waiting}",
            flag(ready, 'R'),
            flag(busy, 'B'),
            flag(completed, 'C'),
            flag(safe, 'S')
        )
    }

    #[test]
    fn results_are_shown_in_the_order_of_triggers_until_each_is_acknowledged() {
        let mut it = running();
        assert_eq!(seen(&it), "R... 0 - +0");
        it.trigger(part(1, 0));
        it.trigger(part(2, 10));
        assert_eq!(seen(&it), "RB.. 0 - +0");
        // The second is judged first, and waits.
        it.end(2, judged(Outcome::Fail), ms(20));
        assert_eq!(seen(&it), "RB.. 0 - +1");
        it.end(1, judged(Outcome::Pass), ms(30));
        assert_eq!(seen(&it), "R.C. 1 1:pass +1");
        // An old acknowledgement, as it stands in the register, changes nothing.
        assert!(it.acknowledge(0, ms(31)).is_empty());
        assert_eq!(it.acknowledge(1, ms(40)), [Told::Acknowledged(part(1, 0))]);
        assert_eq!(seen(&it), "R... 2 2:fail +0");
        it.acknowledge(2, ms(50));
        assert_eq!(seen(&it), "R... 2 - +0");
        assert!(it.end(1, judged(Outcome::Fail), ms(51)).is_empty());
    }

    #[test]
    fn a_verdict_that_comes_too_late_never_passes() {
        let mut it = running();
        it.trigger(part(1, 0));
        assert_eq!(it.next_due(), Some(ms(101)));
        assert!(it.advance(ms(100)).is_empty());
        let late = End::unjudged(Outcome::Late, Why::Deadline);
        assert_eq!(it.end(1, judged(Outcome::Pass), ms(101)), [Told::Ended(part(1, 0), late)]);
        assert_eq!(seen(&it), "R.C. 1 1:late +0");
    }

    #[test]
    fn a_plc_that_goes_or_is_slow_gets_nothing_until_it_is_in_step_again() {
        let mut it = running();
        it.trigger(part(1, 0));
        it.end(1, judged(Outcome::Pass), ms(10));
        it.trigger(part(2, 20));
        let fault = End::unjudged(Outcome::Fault, Why::Plc);
        let told = it.advance(ms(61));
        let expected = [
            Told::Ended(part(2, 20), fault),
            Told::Withdrawn(part(1, 0), Outcome::Pass),
            Told::Withdrawn(part(2, 20), Outcome::Fault),
        ];
        assert_eq!(told, expected);
        assert_eq!(seen(&it), "..CS 1 - +0");
        assert_eq!(it.trigger(part(3, 70)), [Told::Ended(part(3, 70), fault)]);
        it.acknowledge(1, ms(80));
        // Its fault is told at once, and it is in step.
        assert_eq!(seen(&it), "R... 2 3:fault +0");
        it.disconnect();
        assert_eq!(seen(&it), "...S 2 - +0");
        it.connect(7);
        it.trigger(part(4, 90));
        it.end(4, judged(Outcome::Pass), ms(95));
        assert_eq!(seen(&it), "R.C. 8 4:pass +0");
    }

    #[test]
    fn a_station_that_does_not_run_takes_passes_back_and_refuses_the_rest() {
        let mut it = running();
        for trigger in 1..=4 {
            it.trigger(part(trigger, trigger));
        }
        it.end(1, judged(Outcome::Pass), ms(10));
        it.end(2, judged(Outcome::Pass), ms(11));
        it.end(3, judged(Outcome::Fail), ms(12));
        let told = it.trust(false, ms(20));
        let fault = End::unjudged(Outcome::Fault, Why::State);
        let expected = [
            Told::Ended(part(4, 4), fault),
            Told::Withdrawn(part(1, 1), Outcome::Pass),
            Told::Withdrawn(part(2, 2), Outcome::Pass),
        ];
        assert_eq!(told, expected);
        assert_eq!(seen(&it), "...S 2 3:fail +1");
        it.trigger(part(5, 21));
        it.acknowledge(2, ms(25));
        assert_eq!(seen(&it), "..CS 3 4:fault +1");
    }

    #[test]
    fn where_nobody_acknowledges_each_end_is_final() {
        let mut it = Handshake::new(Rule { acknowledged_within: None, ..RULE });
        it.trust(true, ms(0));
        it.trigger(part(1, 0));
        let told = it.end(1, judged(Outcome::Pass), ms(1));
        assert_eq!(told.last(), Some(&Told::Acknowledged(part(1, 0))));
        it.trigger(part(2, 5));
        it.end(2, judged(Outcome::Fail), ms(6));
        assert_eq!(seen(&it), "R... 2 2:fail +0");
    }

    #[test]
    fn where_results_name_no_part_two_at_once_are_both_faults() {
        let mut it = Handshake::new(Rule { acknowledged_within: None, is_alone: true, ..RULE });
        it.trust(true, ms(0));
        it.trigger(part(1, 0));
        it.end(1, judged(Outcome::Pass), ms(4));
        assert_eq!(seen(&it), "R.C. 1 1:pass +0");
        it.trigger(part(2, 5));
        let told = it.trigger(part(3, 6));
        let crowded = End::unjudged(Outcome::Fault, Why::Crowded);
        for trigger in [2, 3] {
            let at = trigger + 3;
            assert!(told.contains(&Told::Ended(part(trigger, at), crowded)), "{told:?}");
        }
        assert!(it.end(2, judged(Outcome::Pass), ms(7)).is_empty());
        assert_eq!(seen(&it), "R.C. 3 3:fault +0");
        it.trigger(part(4, 8));
        it.end(4, judged(Outcome::Pass), ms(9));
        assert_eq!(seen(&it), "R... 4 4:pass +0");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Trigger,
        Judge(u64, Outcome),
        Acknowledge(u16),
        Trust(bool),
        Connect(u16),
        Disconnect,
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let outcome =
            prop::sample::select(vec![Outcome::Pass, Outcome::Pass, Outcome::Fail, Outcome::Fault]);
        let step = prop_oneof![
            4 => Just(Step::Trigger),
            6 => (0_u64..6, outcome).prop_map(|(back, outcome)| Step::Judge(back, outcome)),
            5 => prop_oneof![4 => Just(0_u16), 1 => 1_u16..5].prop_map(Step::Acknowledge),
            1 => any::<bool>().prop_map(Step::Trust),
            1 => (0_u16..9).prop_map(Step::Connect),
            1 => Just(Step::Disconnect),
            4 => (0_u64..60).prop_map(Step::Wait),
        ];
        prop::collection::vec(step, 0..120)
    }

    proptest! {
        /// Whatever happens, in whatever order.
        #[test]
        fn a_part_ends_once_and_passes_only_by_its_own_verdict_in_time(steps in steps()) {
            let mut it = running();
            let (mut now, mut triggers) = (0, 0_u64);
            let mut judged_at: BTreeMap<u64, (u64, Outcome)> = BTreeMap::new();
            let mut came: BTreeMap<u64, u64> = BTreeMap::new();
            let mut ended: BTreeMap<u64, Outcome> = BTreeMap::new();
            let mut settled: BTreeMap<u64, bool> = BTreeMap::new();
            let mut last: Option<Shown> = None;
            let (mut is_trusted, mut is_connected) = (true, true);
            for step in steps {
                let told = match step {
                    Step::Trigger => {
                        triggers += 1;
                        came.insert(triggers, now);
                        it.trigger(part(triggers, now))
                    }
                    Step::Judge(back, outcome) => {
                        let trigger = triggers.saturating_sub(back);
                        judged_at.entry(trigger).or_insert((now, outcome));
                        let outcome = judged_at[&trigger].1;
                        it.end(trigger, judged(outcome), ms(now))
                    }
                    Step::Acknowledge(off) => {
                        let count = it.outputs().count.wrapping_sub(off);
                        it.acknowledge(count, ms(now))
                    }
                    Step::Trust(trust) => {
                        is_trusted = trust;
                        it.trust(trust, ms(now))
                    }
                    // It is connected anew only after it was gone.
                    Step::Connect(_) if is_connected => Vec::new(),
                    Step::Connect(count) => {
                        is_connected = true;
                        it.connect(count);
                        Vec::new()
                    }
                    Step::Disconnect => {
                        is_connected = false;
                        it.disconnect()
                    }
                    Step::Wait(millis) => {
                        now += millis;
                        it.advance(ms(now))
                    }
                };
                for one in told {
                    match one {
                        Told::Ended(part, end) => {
                            prop_assert!(ended.insert(part.trigger, end.outcome).is_none());
                            if end.outcome == Outcome::Pass {
                                let (at, outcome) = judged_at[&part.trigger];
                                prop_assert_eq!(outcome, Outcome::Pass);
                                prop_assert!(at <= came[&part.trigger] + 100 && is_trusted && is_connected);
                            }
                        }
                        Told::Acknowledged(part) => prop_assert!(settled.insert(part.trigger, true).is_none()),
                        Told::Withdrawn(part, _) => prop_assert!(settled.insert(part.trigger, false).is_none()),
                    }
                }
                let outputs = it.outputs();
                prop_assert!(outputs.safe || (is_trusted && is_connected));
                prop_assert!(!(outputs.safe && outputs.ready));
                if let Some(shown) = outputs.shown {
                    prop_assert_eq!(ended[&shown.part.trigger], shown.end.outcome);
                    prop_assert!(!settled.contains_key(&shown.part.trigger));
                    prop_assert!(is_connected);
                    // Only while everything is trusted does anything say "pass".
                    prop_assert!(shown.end.outcome != Outcome::Pass || !outputs.safe);
                    if let Some(last) = last {
                        // In the order of triggers; the same one is shown unchanged.
                        prop_assert!(shown.part.trigger >= last.part.trigger);
                        prop_assert!(shown.part.trigger > last.part.trigger || shown == last);
                    }
                    last = Some(shown);
                }
            }
            it.advance(ms(now + 1_000));
            it.disconnect();
            prop_assert!(it.outputs().shown.is_none() && it.open.is_empty());
        }
    }
}

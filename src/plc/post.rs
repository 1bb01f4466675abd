//! One camera's parts on their way from the trigger to the result: pairing, handshake and pusher put together.
//!
//! Pure: times come in. Owns which trigger a verdict is about, what a verdict means for the PLC (a product that is not the
//! announced one never passes), when the PLC counts as there, and what the lines say. Invariant: a result is given for the
//! part whose frame was judged, or it is no pass.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    PARTS_MAX,
    handshake::{self, End, Handshake, Outcome, Outputs, Part, Why},
    map::Commands,
    pairing::{self, Missed, Pairing, Settled, Wanted},
    pusher::{self, Encoder, Origin, Pusher, Width},
};
use crate::{
    state::State,
    verdict::{Decision, Verdict},
};

/// Facts that may wait to be told; what is beyond is counted.
const FACTS_MAX: usize = 1_024;
/// A trigger count that jumps by more is no count of triggers any more, but another program's.
const STEPS_MAX: u16 = 1_000;

/// What the lines do where nothing may be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safe {
    /// Every part is struck.
    Reject,
    /// The line is stopped, for nothing is ready.
    Stop,
}

/// What is configured for one camera's parts.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which frame is a part's.
    pub pairing: pairing::Rule,
    /// Deadlines.
    pub handshake: handshake::Rule,
    /// When parts are struck; `None` where nobody strikes.
    pub pusher: Option<pusher::Rule>,
    /// What the lines do where nothing may be relied on.
    pub safe: Safe,
    /// How wide the encoder's register is; `None` where the PLC writes none.
    pub encoder: Option<Width>,
    /// How long the PLC may give no sign of life; `None` where there are lines alone.
    pub watchdog: Option<Duration>,
    /// Products by their codes.
    pub products: BTreeMap<u16, String>,
}

/// Something that happened to a part, or to the PLC.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A part came.
    Triggered(Part),
    /// It came to its end, with that frame where it had one.
    Ended(Part, End, Option<u64>),
    /// The PLC has its result.
    Acknowledged(Part),
    /// Its result is not given, whatever it was.
    Withdrawn(Part),
    /// It was struck.
    Struck(u64),
    /// It was to be struck, and was not in its place.
    PulseMissed(u64),
    /// A verdict came after its part's end.
    VerdictLate {
        /// The frame.
        frame: u64,
        /// The part.
        number: u32,
    },
    /// The PLC is there.
    Connected,
    /// It gives no sign of life, or acknowledges nothing.
    Lost(&'static str),
    /// So many of its triggers were never seen.
    Skipped(u16),
    /// Another connection gives the commands.
    Changed,
    /// Lines told of fewer parts than came.
    EdgesLost,
    /// The encoder went by so much at once that it says nothing of the belt.
    EncoderJumped(u64),
}

/// What is known of a frame that a part has, or may have.
#[derive(Clone, Debug)]
struct Tie {
    part: Part,
    frame: Option<u64>,
}

/// A verdict, as far as the PLC is concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The decision.
    pub outcome: Outcome,
    /// The recognised product.
    pub product: Option<Arc<str>>,
    /// The score.
    pub score: Option<f32>,
    /// Its p-value.
    pub p_value: Option<f64>,
}

impl Judged {
    /// What the PLC is told of a verdict.
    pub fn of(verdict: &Verdict) -> Self {
        let outcome = match verdict.decision {
            Decision::Pass(_) => Outcome::Pass,
            Decision::Fail => Outcome::Fail,
            Decision::UnknownProduct => Outcome::UnknownProduct,
            Decision::Fault => Outcome::Fault,
        };
        let product = verdict.recognition.as_ref().map(|nearest| Arc::clone(&nearest.product));
        Self { outcome, product, score: verdict.score, p_value: verdict.p_value }
    }
}

/// Something that the PLC said.
#[derive(Clone, Copy, Debug)]
struct Said {
    /// It was composed no earlier, and the belt was no less far by then.
    after: Origin,
    /// When it was looked at here, which may be long after it came, and where the belt was by then.
    seen: Origin,
}

/// What the PLC reads of a camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// The handshake's.
    pub outputs: Outputs,
    /// Changes while the station lives.
    pub heartbeat: u16,
    /// How the station is.
    pub state: State,
    /// The trigger that was seen last.
    pub triggered: u16,
    /// The pusher strikes.
    pub strikes: bool,
}

/// What the lines say: true is active, whatever level that is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a line of its own")]
pub struct Levels {
    /// The last part passed, and none has come since.
    pub ok: bool,
    /// The part at the pusher is to go.
    pub reject: bool,
    /// A part is being inspected.
    pub busy: bool,
    /// Parts may come.
    pub ready: bool,
}

/// One camera's parts.
#[derive(Clone, Debug)]
pub struct Post {
    rule: Rule,
    pairing: Pairing,
    handshake: Handshake,
    pusher: Option<Pusher>,
    encoder: Option<Encoder>,
    /// The belt's position where lines tell it.
    position: i64,
    triggers: u64,
    /// Parts that have not ended, by their triggers, and those whose end was another than their verdict.
    ties: BTreeMap<u64, Tie>,
    /// Verdicts of frames of which it is not known yet whose they are.
    judged: BTreeMap<u64, Result<Judged, Why>>,
    /// What the PLC wrote last; `None` until it is in step.
    commands: Option<Commands>,
    /// Its last words, whatever they were; `None` until it is in step.
    said: Option<Said>,
    /// The last trigger count that parts are known up to.
    counted: Option<u16>,
    /// When it last gave a sign of life.
    heard: Option<Duration>,
    is_lost: bool,
    /// Parts may have come that nobody saw, and lie between sensor and pusher.
    is_unseen: bool,
    /// When the belt's position was last read, and the last reading that the pusher has looked at.
    read_at: Duration,
    looked: Duration,
    facts: VecDeque<Fact>,
    facts_lost: u64,
}

impl Post {
    /// Nothing is trusted, and nobody is there yet.
    pub fn new(rule: Rule) -> Self {
        Self {
            pairing: Pairing::new(rule.pairing),
            handshake: Handshake::new(rule.handshake),
            pusher: rule.pusher.map(Pusher::new),
            encoder: rule.encoder.map(Encoder::new),
            position: 0,
            triggers: 0,
            ties: BTreeMap::new(),
            judged: BTreeMap::new(),
            commands: None,
            said: None,
            counted: None,
            heard: None,
            is_lost: true,
            is_unseen: true,
            read_at: Duration::ZERO,
            looked: Duration::ZERO,
            facts: VecDeque::new(),
            facts_lost: 0,
            rule,
        }
    }

    /// The PLC's registers are looked at, for which it was asked then; `None` where it writes them by itself.
    pub fn command(&mut self, commands: Commands, asked: Option<Duration>, at: Duration) {
        // First of all: a deadline that has passed is not saved by a write that comes after it.
        self.advance(at);
        let since = self.since(asked, at);
        self.see_encoder(commands.encoder, at);
        if let Some(said) = &mut self.said {
            said.seen.position = self.position;
        }
        let Some(before) = self.commands.replace(commands) else {
            self.counted.get_or_insert(commands.trigger_count);
            return;
        };
        let is_alive = (before.heartbeat, before.trigger_count, before.acknowledged)
            != (commands.heartbeat, commands.trigger_count, commands.acknowledged);
        if is_alive {
            self.heard = Some(at);
        }
        if self.is_lost {
            if is_alive {
                self.connect(commands, at);
            }
            return;
        }
        let told = self.handshake.acknowledge(commands.acknowledged, at);
        self.take(told, at);
        if commands.trigger_count != before.trigger_count {
            self.counted = Some(commands.trigger_count);
            self.count_to(&before, &commands, since, at);
        }
        self.begin(at);
    }

    /// From when on what these registers say anew may have come about: after those before were composed. When they were
    /// looked at says nothing of that, for the thread may have stood still while they waited.
    fn since(&mut self, asked: Option<Duration>, at: Duration) -> Origin {
        let here = Origin { at, position: self.position };
        let before = self.said;
        // It writes anew when its last write was answered, and answers when it was asked: not before.
        let last = before.map_or(Origin { at: Duration::ZERO, ..here }, |said| said.seen);
        let after = Origin { at: asked.unwrap_or(last.at), ..last };
        self.said = Some(Said { after, seen: here });
        before.map_or(after, |said| said.after)
    }

    /// Where the PLC is when it begins to live: a trigger from before is not a part that comes now.
    fn connect(&mut self, commands: Commands, at: Duration) {
        self.is_lost = false;
        self.handshake.connect(commands.acknowledged);
        self.tell(Fact::Connected);
        let counted = self.counted.replace(commands.trigger_count);
        let unseen = counted.and_then(|counted| steps(counted, commands.trigger_count));
        if let Some(unseen) = unseen.filter(|unseen| *unseen > 0) {
            self.tell(Fact::Skipped(unseen));
        }
        self.lose_positions();
        self.is_unseen = true;
        self.begin(at);
    }

    /// The trigger's count is another one than at the last write.
    fn count_to(&mut self, before: &Commands, now: &Commands, since: Origin, at: Duration) {
        if now.trigger_count == 0 {
            // It counts anew: what came meanwhile nobody knows.
            self.is_unseen = true;
            return;
        }
        // 0 is none: it begins to count.
        let steps = if before.trigger_count == 0 {
            Some(1)
        } else {
            steps(before.trigger_count, now.trigger_count)
        };
        let skipped = steps.map_or(0, |steps| steps.saturating_sub(1));
        if skipped > 0 {
            self.tell(Fact::Skipped(skipped));
        }
        // It came since the words before were composed: the longer ago that is, the more frames could be its.
        let is_late = since.at + self.rule.pairing.within < at;
        let is_doubtful = is_late || skipped > 0 || steps.is_none();
        if is_doubtful {
            let here = Origin { at, position: self.position };
            let has_room = self.pusher.as_mut().is_none_or(|it| it.strike_between(since, here));
            self.is_unseen |= !has_room || steps.is_none();
        }
        self.arrive(now.part, now.hint, at, is_doubtful);
    }

    /// Another one gives commands from now on, whose registers are to be learned first.
    pub fn resync(&mut self, at: Duration) {
        self.advance(at);
        self.commands = None;
        self.said = None;
        self.heard = None;
        if !self.is_lost {
            self.disconnect(at);
            self.tell(Fact::Changed);
        }
    }

    fn disconnect(&mut self, at: Duration) {
        self.is_lost = true;
        let told = self.handshake.disconnect();
        self.take(told, at);
        self.lose_positions();
        self.is_unseen = true;
    }

    /// The belt's counter says so.
    fn see_encoder(&mut self, raw: u32, at: Duration) {
        let Some(encoder) = &mut self.encoder else { return };
        let before = encoder.position();
        let position = encoder.see(raw);
        self.read_at = at;
        let place = self.rule.pusher.map(|pusher| pusher.place);
        let moved = position.abs_diff(before);
        if let Some(pusher::Place::Counts(counts)) = place
            && moved > u64::from(counts)
        {
            // From a sensor to the pusher and further between two looks: that is no belt.
            self.tell(Fact::EncoderJumped(moved));
            let told = self.handshake.refuse(Why::Undated, at);
            self.take(told, at);
            self.lose_positions();
            self.is_unseen = true;
        } else {
            self.position = position;
        }
    }

    /// Nothing is known any more of where parts are by the encoder.
    fn lose_positions(&mut self) {
        if let Some(encoder) = &mut self.encoder {
            self.position = encoder.restart();
        }
        let missed = self.pusher.as_mut().map(Pusher::lose_positions).unwrap_or_default();
        for told in missed {
            self.pulse(told);
        }
    }

    /// Lines told of fewer parts than came.
    pub fn edges_lost(&mut self, at: Duration) {
        self.tell(Fact::EdgesLost);
        let told = self.handshake.refuse(Why::Undated, at);
        self.take(told, at);
        self.lose_positions();
        self.is_unseen = true;
        self.begin(at);
    }

    /// As soon as all is trusted again, whatever lies between sensor and pusher is struck: parts may be among it that
    /// nobody saw, and what comes from now on is behind them.
    fn begin(&mut self, at: Duration) {
        if !self.is_unseen || self.handshake.outputs().safe {
            return;
        }
        self.is_unseen = false;
        let here = Origin { at, position: self.position };
        if let Some(pusher) = &mut self.pusher {
            pusher.strike_all(here);
        }
    }

    /// A part came, by that number.
    pub fn trigger(&mut self, number: u32, hint: u16, at: Duration) {
        self.arrive(number, hint, at, false);
    }

    fn arrive(&mut self, number: u32, hint: u16, at: Duration, is_doubtful: bool) {
        self.advance(at);
        self.triggers += 1;
        let part = Part { trigger: self.triggers, number, hint, at, position: self.position };
        self.ties.insert(part.trigger, Tie { part, frame: None });
        self.tell(Fact::Triggered(part));
        let told = self.handshake.trigger(part);
        self.take(told, at);
        let origin = Origin { at, position: part.position };
        let is_struck = self.pusher.as_ref().is_some_and(|it| it.is_struck_anyway(origin));
        if is_doubtful || is_struck {
            let why = if is_doubtful { Why::Undated } else { Why::Crowded };
            let told = self.handshake.end(part.trigger, End::unjudged(Outcome::Fault, why), at);
            self.take(told, at);
        }
        // Even one that has ended: a frame in its time may be its, and not the next part's.
        let settled = self.pairing.trigger(part.trigger, at);
        self.settle(settled, at);
        self.forget();
    }

    /// A part came by a line, which says no number: they are counted.
    pub fn edge(&mut self, position: i64, at: Duration) {
        self.position = position;
        let number = u32::try_from((self.triggers + 1) & u64::from(u32::MAX)).unwrap_or(0);
        self.trigger(number, 0, at);
    }

    /// The belt's encoder on lines says so.
    pub fn belt(&mut self, position: i64, at: Duration) {
        self.position = position;
        self.read_at = at;
    }

    /// A frame was captured; whether a part asked for it.
    pub fn frame(&mut self, frame: u64, at: Duration) -> Wanted {
        let (wanted, settled) = self.pairing.frame(frame, at);
        self.settle(settled, at);
        wanted
    }

    /// The PLC's number of the part that the frame shows, as far as that is certain.
    pub fn part_of(&self, frame: u64) -> Option<u32> {
        let tie = self.ties.values().rev().find(|tie| tie.frame == Some(frame));
        tie.map(|tie| tie.part.number)
    }

    /// A frame has its verdict.
    pub fn verdict(&mut self, frame: u64, judged: Judged, at: Duration) {
        self.known(frame, Ok(judged), at);
    }

    /// A frame has none, and will have none.
    pub fn lost(&mut self, frame: u64, at: Duration) {
        self.known(frame, Err(Why::FrameLost), at);
    }

    fn known(&mut self, frame: u64, judged: Result<Judged, Why>, at: Duration) {
        self.advance(at);
        let tie = self.ties.values().find(|tie| tie.frame == Some(frame)).cloned();
        if let Some(tie) = tie {
            self.end(&tie, judged, at);
        } else if self.rule.pairing.frames == pairing::Frames::Each {
            self.judged.insert(frame, judged);
            while self.judged.len() > PARTS_MAX {
                self.judged.pop_first();
            }
        }
    }

    /// Whether the station's verdicts may be relied on now.
    pub fn trust(&mut self, is_trusted: bool, at: Duration) {
        let told = self.handshake.trust(is_trusted, at);
        self.take(told, at);
        self.begin(at);
    }

    /// Time goes by: deadlines.
    pub fn advance(&mut self, now: Duration) {
        let settled = self.pairing.advance(now);
        self.settle(settled, now);
        let before = self.handshake.outputs();
        let told = self.handshake.advance(now);
        // Only a result that nobody took makes it unsafe by itself.
        let is_slow = !before.safe && self.handshake.outputs().safe;
        self.take(told, now);
        if is_slow {
            self.tell(Fact::Lost("a result was not acknowledged in time"));
        }
        let is_silent = |within| self.heard.is_some_and(|heard| heard + within < now);
        if !self.is_lost && self.rule.watchdog.is_some_and(is_silent) {
            self.disconnect(now);
            self.tell(Fact::Lost("no sign of life"));
        }
        self.begin(now);
    }

    /// The pusher's turn, by whoever sets the lines next: [`Self::shown`] is to follow.
    pub fn drive(&mut self, now: Duration) {
        self.advance(now);
        let here = Origin { at: now, position: self.position };
        let looked = std::mem::replace(&mut self.looked, self.read_at);
        let pusher = self.pusher.as_mut();
        let missed = pusher.map(|pusher| pusher.advance(here, looked)).unwrap_or_default();
        for told in missed {
            self.pulse(told);
        }
    }

    /// The lines are as [`Self::levels`] says: what is struck is struck.
    pub fn shown(&mut self, now: Duration) {
        if !self.is_held() {
            self.struck(now);
        }
    }

    /// What lines should have shown they may not have shown.
    pub fn not_shown(&mut self) {
        self.is_unseen = true;
    }

    fn is_held(&self) -> bool {
        self.rule.pusher.is_some_and(|pusher| pusher.is_held)
    }

    fn struck(&mut self, now: Duration) {
        let struck = self.pusher.as_mut().map(|pusher| pusher.shown(now)).unwrap_or_default();
        for told in struck {
            self.pulse(told);
        }
    }

    /// When [`Self::advance`] has something to do, if nothing happens before.
    pub fn next_due(&self) -> Option<Duration> {
        let silent = self.heard.zip(self.rule.watchdog).filter(|_| !self.is_lost);
        let silent = silent.map(|(heard, within)| heard + within + Duration::from_millis(1));
        let pusher = self.pusher.as_ref().and_then(Pusher::next_due);
        let parts = [self.pairing.next_due(), self.handshake.next_due(), pusher, silent];
        parts.into_iter().flatten().min()
    }

    /// The PLC has read that the pusher strikes, where no line shows it.
    pub fn was_read(&mut self, now: Duration) {
        if self.is_held() {
            self.struck(now);
        }
    }

    /// Whether the PLC's registers tell where the belt is.
    pub fn has_encoder(&self) -> bool {
        self.encoder.is_some()
    }

    /// What the PLC reads.
    pub fn status(&self, now: Duration, state: State) -> Status {
        let outputs = self.handshake.outputs();
        Status {
            outputs,
            heartbeat: u16::try_from((now.as_millis() / 100) & 0xffff).unwrap_or(0),
            state,
            triggered: self.commands.map_or(0, |commands| commands.trigger_count),
            strikes: self.strikes(now, &outputs),
        }
    }

    /// What the lines say.
    pub fn levels(&self, now: Duration) -> Levels {
        let outputs = self.handshake.outputs();
        let passed = outputs.shown.is_some_and(|shown| shown.end.outcome == Outcome::Pass);
        Levels {
            ok: passed && !outputs.safe && !outputs.busy && outputs.waiting == 0,
            reject: self.strikes(now, &outputs),
            busy: outputs.busy,
            ready: outputs.ready,
        }
    }

    fn strikes(&self, now: Duration, outputs: &Outputs) -> bool {
        let is_safe = outputs.safe && self.rule.safe == Safe::Reject;
        is_safe || self.pusher.as_ref().is_some_and(|pusher| pusher.is_active(now))
    }

    /// Whether the PLC is there, and takes its results.
    pub fn is_connected(&self) -> bool {
        self.rule.watchdog.is_none() || !(self.is_lost || self.handshake.is_slow())
    }

    /// Whether a part waits for its place at the pusher.
    pub fn strikes_soon(&self) -> bool {
        self.pusher.as_ref().is_some_and(|pusher| pusher.waiting() > 0)
    }

    /// What happened since it was last asked, and how much more there was no room for.
    pub fn take_facts(&mut self) -> (Vec<Fact>, u64) {
        (self.facts.drain(..).collect(), std::mem::take(&mut self.facts_lost))
    }

    fn tell(&mut self, fact: Fact) {
        if self.facts.len() < FACTS_MAX {
            self.facts.push_back(fact);
        } else {
            self.facts_lost += 1;
        }
    }

    fn settle(&mut self, settled: Vec<Settled>, at: Duration) {
        for one in settled {
            match one {
                Settled::Tied { trigger, frame } => {
                    let Some(tie) = self.ties.get_mut(&trigger) else { continue };
                    tie.frame = Some(frame);
                    let tie = tie.clone();
                    if let Some(judged) = self.judged.remove(&frame) {
                        self.end(&tie, judged, at);
                    }
                }
                Settled::Missed { trigger, why } => {
                    let why = match why {
                        Missed::NoFrame => Why::NoFrame,
                        Missed::Crowded => Why::Crowded,
                        Missed::TooMany => Why::TooMany,
                    };
                    let end = End::unjudged(Outcome::Fault, why);
                    let told = self.handshake.end(trigger, end, at);
                    self.take(told, at);
                }
                Settled::Stray { frame } => drop(self.judged.remove(&frame)),
            }
        }
    }

    fn end(&mut self, tie: &Tie, judged: Result<Judged, Why>, at: Duration) {
        let Tie { part, frame, .. } = tie;
        if !self.handshake.waits_for(part.trigger) {
            if let (Some(frame), true) = (*frame, judged.is_ok()) {
                self.tell(Fact::VerdictLate { frame, number: part.number });
            }
            self.ties.remove(&part.trigger);
            return;
        }
        let end = match judged {
            Ok(judged) => End { frame: *frame, ..self.weighed(part, &judged) },
            Err(why) => End { frame: *frame, ..End::unjudged(Outcome::Fault, why) },
        };
        let told = self.handshake.end(part.trigger, end, at);
        self.take(told, at);
    }

    /// What a verdict means for a part of which the PLC may expect a product.
    fn weighed(&self, part: &Part, judged: &Judged) -> End {
        let Judged { outcome, product, score, p_value } = judged;
        let products = &self.rule.products;
        let code = product.as_ref().and_then(|product| {
            products.iter().find(|(_, name)| ***name == **product).map(|(code, _)| *code)
        });
        let expected = products.get(&part.hint);
        let (outcome, why) = match outcome {
            Outcome::Pass if part.hint != 0 && expected.is_none() => {
                (Outcome::Fault, Why::UnknownHint)
            }
            Outcome::Pass if part.hint != 0 && code != Some(part.hint) => {
                (Outcome::UnknownProduct, Why::OtherProduct)
            }
            Outcome::Pass
            | Outcome::Fail
            | Outcome::UnknownProduct
            | Outcome::Fault
            | Outcome::Late => (*outcome, Why::Verdict),
        };
        End {
            outcome,
            why,
            product: code.unwrap_or(0),
            score: *score,
            p_value: *p_value,
            frame: None,
        }
    }

    fn take(&mut self, told: Vec<handshake::Told>, at: Duration) {
        for one in told {
            match one {
                handshake::Told::Ended(part, end) => {
                    let tie = self.ties.get(&part.trigger);
                    let frame = tie.and_then(|tie| tie.frame);
                    self.tell(Fact::Ended(part, end, frame));
                    if end.outcome != Outcome::Pass {
                        self.strike(part, at);
                    }
                    // A frame that is still on its way may have a verdict yet, which is late then.
                    if frame.is_none() || end.frame.is_some() {
                        self.ties.remove(&part.trigger);
                    }
                }
                handshake::Told::Acknowledged(part) => self.tell(Fact::Acknowledged(part)),
                handshake::Told::Withdrawn(part, outcome) => {
                    self.tell(Fact::Withdrawn(part));
                    // Whatever else ended was struck when it did.
                    if outcome == Outcome::Pass {
                        self.strike(part, at);
                    }
                }
            }
        }
    }

    fn strike(&mut self, part: Part, at: Duration) {
        let origin = Origin { at: part.at, position: part.position };
        let here = Origin { at, position: self.position };
        let Some(pusher) = &mut self.pusher else { return };
        let is_full = pusher.is_full();
        let told = pusher.reject(part.trigger, origin, here);
        // Whichever it is that found no place: all go.
        self.is_unseen |= is_full;
        if let Some(told) = told {
            self.pulse(told);
        }
    }

    fn pulse(&mut self, told: pusher::Told) {
        self.tell(match told {
            pusher::Told::Struck(trigger) => Fact::Struck(trigger),
            pusher::Told::Missed(trigger) => Fact::PulseMissed(trigger),
        });
    }

    /// Parts whose frame never got a verdict are not remembered for ever.
    fn forget(&mut self) {
        while self.ties.len() > 2 * PARTS_MAX {
            let Some(trigger) = self.ties.keys().copied().find(|it| !self.handshake.waits_for(*it))
            else {
                return;
            };
            self.ties.remove(&trigger);
        }
    }
}

/// From one count to another, of which 0 is none; `None` where they are not of one row.
fn steps(before: u16, now: u16) -> Option<u16> {
    if now == 0 && before != 0 {
        return None;
    }
    let steps = if now >= before { now - before } else { now.saturating_add(u16::MAX - before) };
    (steps <= STEPS_MAX).then_some(steps)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn rule() -> Rule {
        let frames = pairing::Frames::First;
        Rule {
            pairing: pairing::Rule { frames, delay: ms(0), within: ms(50) },
            handshake: handshake::Rule {
                verdict_within: ms(100),
                acknowledged_within: Some(ms(200)),
                is_alone: false,
            },
            pusher: Some(pusher::Rule {
                place: pusher::Place::After(ms(300)),
                pulse: ms(20),
                is_held: false,
            }),
            safe: Safe::Reject,
            encoder: None,
            watchdog: Some(ms(200)),
            products: BTreeMap::from([(1, "cap".to_owned()), (2, "gear".to_owned())]),
        }
    }

    fn judged(outcome: Outcome, product: &str) -> Judged {
        Judged { outcome, product: Some(product.into()), score: Some(0.1), p_value: Some(0.5) }
    }

    /// A post whose PLC has said its first words at 0, and on whose belt nothing is left from before.
    fn post(rule: Rule) -> Post {
        let pusher = rule.pusher.map(Pusher::new);
        let mut post = Post::new(rule);
        post.trust(true, ms(0));
        post.command(commands(99, 0, 0), None, ms(0));
        post.command(Commands::default(), None, ms(0));
        post.pusher = pusher;
        post
    }

    fn commands(beat: u16, trigger_count: u16, hint: u16) -> Commands {
        let part = 500 + u32::from(trigger_count);
        Commands { heartbeat: beat, trigger_count, part, hint, ..Commands::default() }
    }

    /// How the part of one trigger with that hint ends by that verdict.
    fn ends(hint: u16, judged: Judged) -> (Outcome, Why, u16) {
        let mut post = post(rule());
        post.command(commands(1, 1, hint), None, ms(1));
        assert_eq!(post.frame(7, ms(10)), Wanted::Yes);
        assert_eq!(post.part_of(7), Some(501));
        post.verdict(7, judged, ms(20));
        let shown = post.status(ms(20), State::Running).outputs.shown.unwrap();
        assert_eq!((shown.part.number, shown.end.frame), (501, Some(7)));
        (shown.end.outcome, shown.end.why, shown.end.product)
    }

    #[test]
    fn a_product_that_is_not_the_announced_one_never_passes() {
        let pass = |product| judged(Outcome::Pass, product);
        assert_eq!(ends(0, pass("cap")), (Outcome::Pass, Why::Verdict, 1));
        assert_eq!(ends(1, pass("cap")), (Outcome::Pass, Why::Verdict, 1));
        assert_eq!(ends(2, pass("cap")), (Outcome::UnknownProduct, Why::OtherProduct, 1));
        assert_eq!(ends(2, pass("nut")), (Outcome::UnknownProduct, Why::OtherProduct, 0));
        assert_eq!(ends(9, pass("cap")), (Outcome::Fault, Why::UnknownHint, 1));
        assert_eq!(ends(2, judged(Outcome::Fail, "cap")), (Outcome::Fail, Why::Verdict, 1));
    }

    #[test]
    fn a_trigger_from_before_the_first_words_is_no_part() {
        let mut post = Post::new(rule());
        post.trust(true, ms(0));
        post.command(commands(1, 56, 0), None, ms(1));
        // Still what it said first: nobody knows whether it lives.
        post.command(commands(1, 56, 0), None, ms(1));
        assert!(!post.is_connected());
        post.command(commands(2, 57, 0), None, ms(2));
        assert!(post.is_connected());
        assert_eq!(post.frame(1, ms(5)), Wanted::No);
        post.command(commands(3, 58, 0), None, ms(6));
        assert_eq!(post.frame(2, ms(10)), Wanted::Yes);
        // Two more, of which one was never seen.
        post.command(commands(4, 60, 0), None, ms(20));
        let (facts, _) = post.take_facts();
        assert!(facts.contains(&Fact::Skipped(1)), "{facts:?}");
        assert_eq!(
            [(0, 9), (65_535, 1), (65_534, 1), (57, 1), (3, 4), (3, 0), (7, 7)]
                .map(|(a, b)| steps(a, b)),
            [Some(9), Some(1), Some(2), None, Some(1), None, Some(0)]
        );
    }

    #[test]
    fn a_plc_whose_registers_stand_still_is_gone_and_everything_is_struck() {
        let mut post = post(rule());
        post.command(commands(1, 1, 0), None, ms(1));
        post.frame(1, ms(5));
        post.verdict(1, judged(Outcome::Pass, "cap"), ms(6));
        // It goes on to write the same.
        for at in (10..=200).step_by(10) {
            post.command(commands(1, 1, 0), None, ms(at));
        }
        assert!(post.levels(ms(201)).ready && post.is_connected());
        post.command(commands(1, 1, 0), None, ms(202));
        let (facts, _) = post.take_facts();
        // That is no sign of life, however often it comes.
        assert!(matches!(facts[..], [.., Fact::Lost(_)]), "{facts:?}");
        let withdrawn =
            facts.iter().any(|fact| matches!(fact, Fact::Withdrawn(part) if part.number == 501));
        assert!(withdrawn, "{facts:?}");
        // Its pass was taken back: it is struck at its place.
        post.drive(ms(301));
        post.shown(ms(301));
        assert!(post.take_facts().0.contains(&Fact::Struck(1)));
        assert!(post.levels(ms(302)).reject);
        post.drive(ms(500));
        assert_eq!(post.levels(ms(500)), Levels { reject: true, ..Levels::default() });
    }

    #[test]
    fn a_part_is_struck_where_the_belts_counter_says_that_it_is() {
        let place = pusher::Place::Counts(100);
        let pusher = Some(pusher::Rule { place, pulse: ms(20), is_held: false });
        let mut post = post(Rule { pusher, encoder: Some(Width::Bits16), ..rule() });
        let mut at = |beat: u16, encoder: u32, trigger_count: u16| {
            let now = u64::from(beat) * 10;
            let commands = Commands { encoder, ..commands(beat, trigger_count, 0) };
            post.command(commands, None, ms(now));
            if beat == 2 {
                assert_eq!(post.frame(1, ms(now)), Wanted::Yes);
                post.verdict(1, judged(Outcome::Fail, "cap"), ms(now));
            }
            post.drive(ms(now));
            post.levels(ms(now)).reject
        };
        // The counter wraps on the way, and the belt stands still for a while before the place.
        assert!(!at(1, 65_500, 1) && !at(2, 65_510, 1) && !at(3, 20, 1));
        assert!(!at(4, 63, 1) && !at(5, 63, 1) && !at(6, 63, 1));
        assert!(at(7, 64, 1) && at(8, 70, 1) && !at(9, 90, 1));
    }

    #[test]
    fn a_verdict_after_its_deadline_is_told_and_changes_nothing() {
        let mut post = post(Rule { safe: Safe::Stop, ..rule() });
        post.command(commands(1, 1, 0), None, ms(1));
        post.frame(3, ms(5));
        post.command(commands(2, 1, 0), None, ms(102));
        post.verdict(3, judged(Outcome::Pass, "cap"), ms(103));
        let (facts, _) = post.take_facts();
        let last = facts.last();
        assert_eq!(last, Some(&Fact::VerdictLate { frame: 3, number: 501 }), "{facts:?}");
        let shown = post.status(ms(104), State::Running).outputs.shown.unwrap();
        assert_eq!(shown.end.outcome, Outcome::Late);
        assert_eq!(post.part_of(3), None);
    }

    #[test]
    fn what_lay_on_the_belt_at_the_start_is_struck_until_it_has_gone_by() {
        let mut post = Post::new(rule());
        post.trust(true, ms(0));
        post.command(commands(1, 5, 0), None, ms(90));
        post.command(commands(2, 7, 0), None, ms(100));
        // Two came before it was in step.
        assert!(post.take_facts().0.contains(&Fact::Skipped(2)));
        for at in 100..600 {
            if at % 10 == 0 {
                post.command(commands(u16::try_from(at).unwrap(), 7, 0), None, ms(at));
            }
            post.drive(ms(at));
            post.shown(ms(at));
            assert_eq!(post.levels(ms(at)).reject, at < 420, "{at}");
        }
    }

    #[test]
    fn a_trigger_that_comes_late_is_a_fault_and_takes_no_other_parts_frame() {
        let mut post = post(rule());
        // The PLC did not write for longer than a frame may take: whose frame comes next nobody knows.
        post.command(commands(1, 1, 0), None, ms(51));
        post.frame(1, ms(60));
        post.verdict(1, judged(Outcome::Pass, "cap"), ms(61));
        let shown = post.status(ms(62), State::Running).outputs.shown.unwrap();
        assert_eq!((shown.end.outcome, shown.end.why), (Outcome::Fault, Why::Undated));
        let count = post.status(ms(62), State::Running).outputs.count;
        post.command(Commands { acknowledged: count, ..commands(2, 1, 0) }, None, ms(70));
        post.command(Commands { acknowledged: count, ..commands(3, 2, 0) }, None, ms(80));
        post.frame(2, ms(90));
        post.verdict(2, judged(Outcome::Pass, "cap"), ms(91));
        let shown = post.status(ms(92), State::Running).outputs.shown.unwrap();
        assert_eq!((shown.part.number, shown.end.outcome), (502, Outcome::Pass));
        // Wherever between the two writes the late one came, it is struck there.
        for at in 92..600 {
            if at % 10 == 0 {
                let beat = u16::try_from(at).unwrap();
                post.command(
                    Commands { acknowledged: count + 1, ..commands(beat, 2, 0) },
                    None,
                    ms(at),
                );
            }
            post.drive(ms(at));
            assert_eq!(post.levels(ms(at)).reject, (300..371).contains(&at), "{at}");
        }
    }

    /// What becomes of a part that comes at 10 and is told at 132, while the thread stood still from 2 to 130 and the write
    /// before, or the answer, waited; the next part's frame comes at 140.
    fn ends_after_a_halt(asked: [Option<u64>; 3]) -> (Outcome, Why) {
        let mut post = post(rule());
        let [first, second, third] = asked.map(|asked| asked.map(ms));
        post.command(commands(1, 0, 0), first, ms(1));
        assert_eq!(post.frame(1, ms(20)), Wanted::No);
        post.command(commands(2, 0, 0), second, ms(130));
        post.command(commands(3, 1, 0), third, ms(132));
        post.frame(2, ms(140));
        post.verdict(2, judged(Outcome::Pass, "cap"), ms(141));
        let shown = post.status(ms(142), State::Running).outputs.shown.unwrap();
        // Wherever it came, it is struck.
        for at in 142..500 {
            if at % 10 == 0 {
                post.command(commands(u16::try_from(at).unwrap(), 1, 0), None, ms(at));
            }
            post.drive(ms(at));
            if (310..330).contains(&at) {
                assert!(post.levels(ms(at)).reject, "{at}");
            }
        }
        (shown.end.outcome, shown.end.why)
    }

    #[test]
    fn a_part_that_came_while_the_thread_stood_still_takes_no_other_parts_frame() {
        let undated = (Outcome::Fault, Why::Undated);
        assert_eq!(ends_after_a_halt([None; 3]), undated);
        // A PLC that is asked answered the second time at once, and was read at the end.
        assert_eq!(ends_after_a_halt([Some(0), Some(2), Some(131)]), undated);
        // One that is asked has time between two rounds, as long as both are near.
        let mut post = post(rule());
        post.command(commands(1, 0, 0), Some(ms(1)), ms(2));
        post.command(commands(2, 0, 0), Some(ms(22)), ms(23));
        post.command(commands(3, 1, 0), Some(ms(43)), ms(72));
        assert_eq!(post.frame(2, ms(80)), Wanted::Yes);
        post.verdict(2, judged(Outcome::Pass, "cap"), ms(81));
        let shown = post.status(ms(82), State::Running).outputs.shown.unwrap();
        assert_eq!(shown.end.outcome, Outcome::Pass);
    }

    #[test]
    fn another_connections_registers_are_no_part() {
        let mut post = post(rule());
        post.command(commands(1, 1, 0), None, ms(1));
        post.take_facts();
        post.resync(ms(5));
        let (facts, _) = post.take_facts();
        assert!(facts.contains(&Fact::Changed) && !post.is_connected(), "{facts:?}");
        // The first words say where it is, the second that it lives.
        post.command(commands(9, 44, 0), None, ms(6));
        assert!(!post.is_connected());
        post.command(commands(10, 44, 0), None, ms(7));
        assert!(post.is_connected());
        let (facts, _) = post.take_facts();
        assert!(!facts.iter().any(|fact| matches!(fact, Fact::Triggered(_))), "{facts:?}");
    }

    #[test]
    fn an_encoder_that_jumps_says_nothing_of_parts_on_the_belt() {
        let place = pusher::Place::Counts(100);
        let pusher = Some(pusher::Rule { place, pulse: ms(20), is_held: false });
        let mut post = post(Rule { pusher, encoder: Some(Width::Bits32), ..rule() });
        let mut at = |beat: u16, encoder: u32, trigger_count: u16| {
            let now = u64::from(beat) * 10;
            let commands = Commands { encoder, ..commands(beat, trigger_count, 0) };
            post.command(commands, None, ms(now));
            if beat == 2 {
                post.frame(1, ms(now));
                post.verdict(1, judged(Outcome::Fail, "cap"), ms(now));
            }
            post.drive(ms(now));
            post.shown(ms(now));
            (post.levels(ms(now)).reject, post.take_facts().0)
        };
        assert!(!at(1, 10, 1).0 && !at(2, 20, 1).0);
        let (is_struck, facts) = at(3, 5_000, 1);
        assert!(facts.contains(&Fact::PulseMissed(1)), "{facts:?}");
        assert!(facts.contains(&Fact::EncoderJumped(4_980)) && is_struck, "{facts:?}");
        // All that may lie there is struck, until a whole way has gone by.
        assert!(at(4, 5_001, 1).0 && at(5, 5_099, 1).0 && at(6, 5_102, 1).0);
        assert!(at(7, 5_110, 1).0 && !at(8, 5_120, 1).0);
    }

    #[test]
    fn edges_that_were_lost_make_faults_of_open_parts() {
        let handshake = handshake::Rule { acknowledged_within: None, ..rule().handshake };
        let mut post = Post::new(Rule { handshake, watchdog: None, ..rule() });
        post.trust(true, ms(0));
        post.pusher = rule().pusher.map(Pusher::new);
        post.edge(0, ms(1));
        assert!(!post.levels(ms(2)).ok && post.levels(ms(2)).busy);
        post.edges_lost(ms(3));
        let (facts, _) = post.take_facts();
        let is_refused =
            |fact: &Fact| matches!(fact, Fact::Ended(_, end, _) if end.why == Why::Undated);
        assert!(facts.iter().any(is_refused) && facts.contains(&Fact::EdgesLost), "{facts:?}");
        post.drive(ms(4));
        assert!(post.levels(ms(4)).reject && post.levels(ms(322)).reject);
    }

    #[test]
    fn the_line_ok_is_active_only_while_no_other_part_is_there() {
        let handshake = handshake::Rule { acknowledged_within: None, ..rule().handshake };
        let mut post = Post::new(Rule { handshake, watchdog: None, pusher: None, ..rule() });
        post.trust(true, ms(0));
        post.edge(0, ms(1));
        post.frame(1, ms(2));
        post.verdict(1, judged(Outcome::Pass, "cap"), ms(3));
        assert!(post.levels(ms(3)).ok);
        post.edge(0, ms(4));
        assert!(!post.levels(ms(4)).ok);
        post.frame(2, ms(5));
        post.verdict(2, judged(Outcome::Fail, "cap"), ms(6));
        assert!(!post.levels(ms(6)).ok && !post.levels(ms(6)).busy);
    }

    /// What a frame goes through.
    #[derive(Clone, Copy, Debug)]
    #[expect(clippy::struct_excessive_bools, reason = "each may happen with any other")]
    struct Way {
        pause: u64,
        is_good: bool,
        is_lost: bool,
        is_dropped: bool,
        takes: u64,
        extra: bool,
    }

    fn ways() -> impl Strategy<Value = Vec<Way>> {
        let rare = || prop::bool::weighted(0.1);
        let way = (40_u64..90, any::<bool>(), rare(), rare(), 1_u64..130, rare());
        let way = way.prop_map(|(pause, is_good, is_lost, is_dropped, takes, extra)| Way {
            pause,
            is_good,
            is_lost,
            is_dropped,
            takes,
            extra,
        });
        prop::collection::vec(way, 1..50)
    }

    /// What goes wrong, from when on and for how long.
    #[derive(Clone, Copy, Debug)]
    enum Trouble {
        /// The PLC's program stands still: what comes meanwhile it announces afterwards, as one.
        Silent,
        /// The station does not run.
        Untrusted,
        /// The PLC takes no results.
        Deaf,
        /// The station is dead, and begins anew.
        Dead,
        /// The thread stands still: the PLC waits for an answer, and the camera goes on.
        Stalled,
    }

    fn troubles() -> impl Strategy<Value = Vec<(Trouble, u64, u64)>> {
        use Trouble::{Dead, Deaf, Silent, Stalled, Untrusted};
        let kinds = vec![Silent, Silent, Untrusted, Deaf, Dead, Dead, Stalled, Stalled, Stalled];
        let kind = prop::sample::select(kinds);
        prop::collection::vec((kind, 400_u64..2_500, 5_u64..500), 0..4)
    }

    /// A belt with the sensor at 0 and the pusher 300 ms behind it, with its PLC and its camera.
    struct Belt {
        post: Post,
        troubles: Vec<(Trouble, u64, u64)>,
        /// When each part comes and whether it is good.
        parts: Vec<(u64, bool)>,
        /// Its result as far as the PLC has taken it, and whether somebody was told that it was missed.
        taken: BTreeMap<usize, Outcome>,
        missed: Vec<usize>,
        triggers: BTreeMap<u64, usize>,
        /// What the line says at each millisecond; `None` while nobody sets it.
        reject: Vec<Option<bool>>,
        acknowledged: u16,
        /// What the PLC wrote, and nobody has looked at.
        unanswered: Option<Commands>,
        /// Verdicts that nobody has looked at.
        verdicts: Vec<(u64, Outcome)>,
    }

    impl Belt {
        fn new(ways: &[Way], troubles: Vec<(Trouble, u64, u64)>) -> Self {
            let mut at = 100;
            let parts = ways.iter().map(|way| {
                at += way.pause;
                (at, way.is_good)
            });
            Self {
                post: Post::new(Self::rule()),
                troubles,
                parts: parts.collect(),
                taken: BTreeMap::new(),
                missed: Vec::new(),
                triggers: BTreeMap::new(),
                reject: Vec::new(),
                acknowledged: 0,
                unanswered: None,
                verdicts: Vec::new(),
            }
        }

        fn rule() -> Rule {
            let frames = pairing::Frames::First;
            let pairing = pairing::Rule { frames, delay: ms(10), within: ms(15) };
            Rule { pairing, ..rule() }
        }

        fn is(&self, now: u64, which: fn(Trouble) -> bool) -> bool {
            let mut troubles = self.troubles.iter();
            troubles.any(|(kind, from, len)| which(*kind) && (*from..from + len).contains(&now))
        }

        fn words(&self, now: u64) -> Commands {
            let came = self.parts.iter().filter(|(at, _)| *at <= now).count();
            Commands {
                heartbeat: u16::try_from(now / 5).unwrap(),
                trigger_count: u16::try_from(came).unwrap(),
                part: u32::try_from(came).unwrap().saturating_sub(1),
                acknowledged: self.acknowledged,
                ..Commands::default()
            }
        }

        /// The PLC's write is looked at, and it reads.
        fn plc(&mut self, commands: Commands, now: u64) {
            self.post.command(commands, None, ms(now));
            let outputs = self.post.status(ms(now), State::Running).outputs;
            if self.is(now, |it| matches!(it, Trouble::Deaf)) {
                return;
            }
            // The ladder of the book.
            match outputs.shown {
                Some(shown) if outputs.count != self.acknowledged => {
                    let part = usize::try_from(shown.part.number).unwrap();
                    self.taken.insert(part, shown.end.outcome);
                    self.acknowledged = outputs.count;
                }
                None if outputs.safe => self.acknowledged = outputs.count,
                Some(_) | None => {}
            }
        }

        fn step(&mut self, now: u64) {
            if self.is(now, |it| matches!(it, Trouble::Dead)) {
                self.reject.push(None);
                self.post = Post::new(Self::rule());
                self.triggers.clear();
                self.unanswered = None;
                self.verdicts.clear();
                return;
            }
            for (part, (at, is_good)) in (0_u64..).zip(self.parts.clone()) {
                if now == at + 25 {
                    // By the camera's own thread.
                    self.post.frame(part + 1, ms(now));
                }
                if now == at + 60 {
                    let outcome = if is_good { Outcome::Pass } else { Outcome::Fail };
                    self.verdicts.push((part + 1, outcome));
                }
            }
            let speaks = !self.is(now, |it| matches!(it, Trouble::Silent));
            let is_its_turn = now.is_multiple_of(5);
            if self.is(now, |it| matches!(it, Trouble::Stalled)) {
                if speaks && is_its_turn && self.unanswered.is_none() {
                    self.unanswered = Some(self.words(now));
                }
                self.reject.push(None);
                return;
            }
            let is_trusted = !self.is(now, |it| matches!(it, Trouble::Untrusted));
            self.post.trust(is_trusted, ms(now));
            let waited = self.unanswered.take();
            if let Some(commands) = waited {
                self.plc(commands, now);
            }
            // It writes anew as soon as it was answered.
            if speaks && (is_its_turn || waited.is_some()) {
                let commands = self.words(now);
                self.plc(commands, now);
            }
            for (frame, outcome) in std::mem::take(&mut self.verdicts) {
                self.post.verdict(frame, judged(outcome, "cap"), ms(now));
            }
            self.post.drive(ms(now));
            self.reject.push(Some(self.post.levels(ms(now)).reject));
            self.post.shown(ms(now));
            for fact in self.post.take_facts().0 {
                if let Fact::Triggered(part) = fact {
                    self.triggers.insert(part.trigger, usize::try_from(part.number).unwrap());
                } else if let Fact::PulseMissed(trigger) = fact {
                    self.missed.push(self.triggers[&trigger]);
                }
            }
        }

        /// For how many milliseconds it is struck as it passes the pusher; `None` where the station was dead by then.
        fn strikes(&self, came: u64) -> Option<usize> {
            let from = usize::try_from(came + 300).unwrap();
            let levels: Option<Vec<bool>> = self.reject[from..from + 30].iter().copied().collect();
            levels.map(|levels| levels.into_iter().filter(|is_on| *is_on).count())
        }
    }

    proptest! {
        /// Whatever is written wherever, as often and as late as one likes: nothing passes that nobody judged.
        #[test]
        fn registers_alone_never_make_a_pass(
            writes in prop::collection::vec(
                (0_u16..120, prop::collection::vec(any::<u16>(), 0..12), 0_u64..120, any::<bool>()),
                0..80,
            ),
        ) {
            let mut post = post(rule());
            let mut written = crate::plc::map::Written::new(crate::plc::map::WordOrder::Little, 1, false);
            let mut now = ms(0);
            for (frame, (address, words, wait, sees)) in (0_u64..).zip(writes) {
                now += ms(wait);
                if let Ok((_, Some(commands))) = written.write(address, &words) {
                    post.command(commands, None, now);
                }
                if sees && post.frame(frame, now) == Wanted::Yes {
                    post.lost(frame, now);
                }
                post.advance(now);
                let outputs = post.status(now, State::Running).outputs;
                prop_assert!(outputs.shown.is_none_or(|shown| shown.end.outcome != Outcome::Pass));
                prop_assert!(outputs.waiting <= PARTS_MAX && post.ties.len() <= 2 * PARTS_MAX + 1);
            }
        }

        /// The PLC stands still, takes nothing, the station does not run, stands still or dies, while parts are on their way: whatever
        /// passes the pusher without having been passed is struck, or told as missed.
        #[test]
        fn no_part_that_was_not_passed_goes_by_untold(ways in ways(), troubles in troubles()) {
            let mut belt = Belt::new(&ways, troubles);
            let end = belt.parts.last().unwrap().0 + 400;
            for now in 0..end {
                belt.step(now);
            }
            let is_calm = belt.troubles.is_empty();
            for (index, (came, is_good)) in belt.parts.iter().enumerate() {
                let is_passed = belt.taken.get(&index) == Some(&Outcome::Pass);
                prop_assert!(*is_good || !is_passed, "{} {:?}", index, belt.troubles);
                let Some(strikes) = belt.strikes(*came) else { continue };
                let is_told = belt.missed.contains(&index);
                prop_assert!(is_passed || strikes >= 10 || is_told, "{} of {}: {} {:?}", index, came, strikes, belt.troubles);
                // Long after the first words, and with nothing wrong: those that are good go on, and only they.
                if is_calm && *came > 150 {
                    prop_assert_eq!(is_passed, *is_good);
                    prop_assert_eq!(strikes == 0, *is_good);
                }
            }
        }

        /// From triggers to results, with frames lost, dropped, doubled and judged too late: what the PLC is told of a
        /// part is that part's own, and whatever went wrong is no pass. Each part that is not passed is struck, no other is.
        #[test]
        fn each_part_gets_its_own_result(ways in ways(), each in any::<bool>()) {
            let frames = if each { pairing::Frames::Each } else { pairing::Frames::First };
            let pairing = pairing::Rule { frames, delay: ms(10), within: ms(15) };
            let mut post = post(Rule { pairing, ..rule() });
            // At each millisecond: triggers, frames with what they show, verdicts.
            let mut events: BTreeMap<u64, Vec<(char, usize)>> = BTreeMap::new();
            let mut at = 10;
            for (index, way) in ways.iter().enumerate() {
                at += way.pause;
                events.entry(at).or_default().push(('t', index));
                if !way.is_lost {
                    events.entry(at + 12).or_default().push(('f', index));
                }
                if way.extra {
                    events.entry(at + 14).or_default().push(('f', index));
                }
            }
            let end = at + 1_000;
            let (mut frame, mut beat, mut count, mut acknowledged) = (0_u64, 0_u16, 0_u16, 0_u16);
            let mut verdicts: BTreeMap<u64, Vec<(u64, usize)>> = BTreeMap::new();
            let mut given: BTreeMap<usize, Outcome> = BTreeMap::new();
            let mut struck = Vec::new();
            for now in 0..end {
                for (kind, index) in events.remove(&now).unwrap_or_default() {
                    if kind == 't' {
                        count += 1;
                        let part = u32::try_from(index).unwrap();
                        let commands = Commands { heartbeat: beat, trigger_count: count, part, acknowledged, ..Commands::default() };
                        post.command(commands, None, ms(now));
                        continue;
                    }
                    frame += 1;
                    if post.frame(frame, ms(now)) == Wanted::Yes {
                        if ways[index].is_dropped {
                            post.lost(frame, ms(now));
                        } else {
                            verdicts.entry(now + ways[index].takes).or_default().push((frame, index));
                        }
                    }
                }
                for (frame, index) in verdicts.remove(&now).unwrap_or_default() {
                    let outcome = if ways[index].is_good { Outcome::Pass } else { Outcome::Fail };
                    post.verdict(frame, judged(outcome, "cap"), ms(now));
                }
                post.drive(ms(now));
                post.shown(ms(now));
                if now % 5 == 0 {
                    beat += 1;
                    let part = u32::from(count.saturating_sub(1));
                    post.command(Commands { heartbeat: beat, trigger_count: count, part, acknowledged, ..Commands::default() }, None, ms(now));
                    let outputs = post.status(ms(now), State::Running).outputs;
                    prop_assert!(!outputs.safe);
                    if let Some(shown) = outputs.shown {
                        let index = usize::try_from(shown.part.number).unwrap();
                        let before = given.insert(index, shown.end.outcome);
                        prop_assert!(before.is_none_or(|before| before == shown.end.outcome));
                        acknowledged = outputs.count;
                    }
                }
                for fact in post.take_facts().0 {
                    prop_assert!(!matches!(fact, Fact::PulseMissed(_)), "{:?}", fact);
                    if let Fact::Struck(trigger) = fact {
                        struck.push(usize::try_from(trigger).unwrap() - 1);
                    }
                }
            }
            prop_assert_eq!(given.len(), ways.len());
            for (index, way) in ways.iter().enumerate() {
                let outcome = given[&index];
                if outcome == Outcome::Pass {
                    prop_assert!(way.is_good && way.takes + 12 <= 103, "{} {:?}", index, way);
                }
                // In a triggered camera's time two frames are one too many.
                let is_alone = !(way.is_lost || way.is_dropped || each && way.extra);
                if is_alone && way.takes < 80 {
                    prop_assert_eq!(outcome, if way.is_good { Outcome::Pass } else { Outcome::Fail });
                }
                prop_assert_eq!(struck.iter().filter(|it| **it == index).count(), usize::from(outcome != Outcome::Pass));
            }
        }
    }
}

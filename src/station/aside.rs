//! What is concluded from several frames of a camera: parts, and whether their figures drift.
//!
//! Owns what each camera's judge knows from one frame to the next, and where its conclusions go: lines, ledger, metrics,
//! board. Decides nothing: that is `judge::part` and `judge::drift`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::worker::{Lane, Worker};
use crate::{
    frame::{CameraId, Frame},
    inspector::Inspector,
    judge::{
        Judge, PartRule,
        appearance::Appearance,
        drift::{self, BLOCK_FRAMES, Change, Figure, Watch},
        part::{Part, Parts},
    },
    ledger::book::Event,
    record::PartRecord,
    sinks::line::Line,
    state::{self, Trouble},
    verdict::Verdict,
};

/// What the judges of all cameras know from one frame to the next.
#[derive(Debug)]
pub(super) struct Aside(Vec<Memory>);

/// Of one camera.
#[derive(Debug)]
struct Memory {
    parts: Option<Parts>,
    /// Parts told by earlier rules: numbers go on.
    told: u64,
    watches: BTreeMap<Arc<str>, Watched>,
}

#[derive(Debug)]
struct Watched {
    watch: Watch,
    frames: u32,
}

impl Memory {
    /// Parts by another rule, or none any more: the part that is open under the old one.
    fn begin_parts(&mut self, rule: Option<PartRule>, lane: &Lane) -> Option<Part> {
        let left = self.parts.as_mut().and_then(Parts::finish);
        self.told = self.parts.as_ref().map_or(self.told, Parts::told);
        // Numbers go on: only what comes from now on is of the new parts.
        let from = lane.account.balance().captured;
        self.parts = rule.map(|rule| Parts::from(rule, from, self.told));
        left
    }
}

impl Aside {
    pub(super) fn new(judges: &[Judge]) -> Self {
        let memory = |judge: &Judge| Memory {
            parts: judge.recipe().part.map(Parts::new),
            told: 0,
            watches: BTreeMap::new(),
        };
        Self(judges.iter().map(memory).collect())
    }
}

impl Worker {
    /// A frame of that lane has its verdict.
    pub(super) fn conclude(
        &mut self,
        frame: &Frame,
        lane: &Lane,
        verdict: &Verdict,
        appearance: Option<Appearance>,
    ) {
        let Some(memory) = self.aside.0.get_mut(lane.camera) else { return };
        let parts = memory
            .parts
            .as_mut()
            .map(|parts| parts.frame(frame.id.number, &frame.stamp, verdict))
            .unwrap_or_default();
        for part in parts {
            self.tell_part(part, lane);
        }
        if verdict.decision.is_pass() {
            self.watch(&frame.id.camera, lane.camera, verdict, appearance);
        }
    }

    fn watch(
        &mut self,
        camera: &CameraId,
        index: usize,
        verdict: &Verdict,
        appearance: Option<Appearance>,
    ) {
        let (Some(judge), Some(memory)) =
            (self.inspector.judges().get(index), self.aside.0.get_mut(index))
        else {
            return;
        };
        let (Some(options), Some(nearest), Some(score)) =
            (judge.recipe().drift, &verdict.recognition, verdict.score)
        else {
            return;
        };
        let product = &nearest.product;
        // As many as the model has products.
        let watched = memory.watches.entry(Arc::clone(product)).or_insert_with(|| {
            let scores = judge.drift_of_scores(product);
            if scores.as_ref().is_none_or(drift::Detector::is_blind) {
                tracing::info!(%camera, %product, "too few calibration frames to watch whether scores drift");
            }
            let look = judge.look_of(product);
            Watched { watch: Watch::new(options, scores, look), frames: 0 }
        });
        let changes = watched.watch.passed(score, appearance);
        watched.frames += 1;
        if watched.frames == BLOCK_FRAMES || !changes.is_empty() {
            watched.frames = 0;
            for (figure, capital, is_alarmed) in watched.watch.figures() {
                self.telemetry.drift(camera, product, figure, capital, is_alarmed);
            }
        }
        for (figure, change) in changes {
            self.tell_drift(camera, product, figure, change);
        }
    }

    fn tell_drift(&self, camera: &CameraId, product: &Arc<str>, figure: Figure, change: Change) {
        let text = drift::told(product, figure, change);
        let trouble =
            Trouble::Drift { camera: camera.clone(), product: Arc::clone(product), figure };
        let (kind, event) = match change {
            Change::Begins(_) => {
                tracing::warn!(%camera, "drift: {text}");
                ("drift", state::Event::Begins(trouble))
            }
            Change::Ends => {
                tracing::info!(%camera, "drift has ended: {text}");
                ("drift-ended", state::Event::Ends(trouble))
            }
        };
        self.board.post(event);
        if let Some(notes) = &self.notes {
            notes.note(Event::ours(self.clock.wall(), kind, &camera.0, text));
        }
    }

    fn tell_part(&mut self, part: Part, lane: &Lane) {
        let account = &lane.account;
        self.telemetry.part(account.camera(), &part);
        let record = PartRecord {
            camera: Arc::clone(&account.camera().0),
            epoch: account.epoch(),
            time: self.clock.wall(),
            model: Arc::clone(self.inspector.model()),
            part,
        };
        // Its frames' lines were there before it.
        self.print(Line::Part(Box::new(record.clone())), None, lane.when_full);
        account.part(record);
    }

    /// Parts whose frames did not all come in time; not while some of them may wait in the channel.
    pub(super) fn tell_overdue(&mut self, lanes: &[Lane], now: Duration) {
        for lane in lanes.iter().filter(|lane| lane.frames.is_empty()) {
            let memory = self.aside.0.get_mut(lane.camera);
            let parts = memory.and_then(|memory| memory.parts.as_mut());
            if let Some(part) = parts.and_then(|parts| parts.overdue(now)) {
                self.tell_part(part, lane);
            }
        }
    }

    /// A lane has ended: what its last frames leave.
    pub(super) fn conclude_lane(&mut self, lane: &Lane) {
        let memory = self.aside.0.get_mut(lane.camera);
        let parts = memory.and_then(|memory| memory.parts.as_mut());
        if let Some(part) = parts.and_then(Parts::finish) {
            self.tell_part(part, lane);
        }
    }

    /// Another inspector judges: its calibrations and rules hold from now on; what was learnt of pictures stays.
    pub(super) fn recall(&mut self, lanes: &[Lane], before: &Inspector) {
        for lane in lanes {
            let index = lane.camera;
            let (Some(judge), Some(memory)) =
                (self.inspector.judges().get(index), self.aside.0.get_mut(index))
            else {
                continue;
            };
            let recipe = judge.recipe();
            let was = before.judges().get(index).map(|judge| judge.recipe().clone());
            let mut ended = Vec::new();
            // Focus depends on what the network is given, and on how large that is.
            let is_other = before.geometry() != self.inspector.geometry()
                || was.as_ref().is_none_or(|was| was.drift != recipe.drift);
            for (product, watched) in &mut memory.watches {
                let is_known = judge.knows(product);
                if is_other || !is_known {
                    let alarmed = watched.watch.figures().filter(|(_, _, is_alarmed)| *is_alarmed);
                    ended.extend(alarmed.map(|(figure, _, _)| (Arc::clone(product), figure)));
                } else {
                    let (scores, look) = (judge.drift_of_scores(product), judge.look_of(product));
                    let figures = watched.watch.recalibrate(scores, look);
                    ended.extend(figures.into_iter().map(|figure| (Arc::clone(product), figure)));
                }
            }
            memory.watches.retain(|product, _| !is_other && judge.knows(product));
            let rule = recipe.part;
            let is_other_rule = memory.parts.as_ref().map(|parts| *parts.rule()) != rule;
            let left = is_other_rule.then(|| memory.begin_parts(rule, lane)).flatten();
            self.tell_ended(lane, ended, left);
        }
    }

    /// Another judge has a camera: nothing that was learnt or counted under the old one goes on.
    pub(super) fn begin_anew(&mut self, lanes: &[Lane], camera: usize) {
        let Some(rule) = self.inspector.judges().get(camera).map(|judge| judge.recipe().part)
        else {
            return;
        };
        for lane in lanes.iter().filter(|lane| lane.camera == camera) {
            let Some(memory) = self.aside.0.get_mut(camera) else { continue };
            let mut ended = Vec::new();
            for (product, watched) in std::mem::take(&mut memory.watches) {
                let alarmed = watched.watch.figures().filter(|(_, _, is_alarmed)| *is_alarmed);
                ended.extend(alarmed.map(|(figure, _, _)| (Arc::clone(&product), figure)));
            }
            let left = memory.begin_parts(rule, lane);
            self.tell_ended(lane, ended, left);
        }
    }

    fn tell_ended(&mut self, lane: &Lane, ended: Vec<(Arc<str>, Figure)>, left: Option<Part>) {
        let camera = lane.account.camera().clone();
        for (product, figure) in ended {
            self.telemetry.drift(&camera, &product, figure, 0.0, false);
            self.tell_drift(&camera, &product, figure, Change::Ends);
        }
        if let Some(part) = left {
            self.tell_part(part, lane);
        }
    }
}

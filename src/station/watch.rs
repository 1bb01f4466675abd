//! What happens beside the frames, told to everybody who has to know: board, ledger, metrics, log, service manager.
//!
//! Owns that each event is told once, in one place. Decides nothing: what a state follows from is `state`.

use std::{sync::Arc, time::Duration};

use crate::{
    camera::CameraError,
    clock::Clock,
    fault::one_line,
    frame::CameraId,
    ledger::{
        Account,
        balance::Parts,
        book::Event,
        writer::{Health, Notes},
    },
    service::Manager,
    state::{self, Board, Trouble},
    telemetry::Telemetry,
};

/// Posts what happens, and tells it to the ledger and the service manager.
pub(super) struct Watch {
    pub(super) board: Arc<Board>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) manager: Manager,
    pub(super) notes: Option<Notes>,
    pub(super) health: Option<Arc<Health>>,
    pub(super) clock: Arc<dyn Clock>,
    /// The cameras' accounts, with the parts that have been told.
    pub(super) parts: Vec<(Arc<Account>, Parts)>,
}

impl Watch {
    pub(super) fn ready(&mut self) {
        self.post(state::Event::Ready);
        self.manager.ready();
    }

    pub(super) fn stopping(&mut self) {
        self.post(state::Event::Stopping);
        self.manager.stopping();
    }

    /// Another part of the end begins, which may take as long as any: the manager's patience begins anew.
    pub(super) fn drains_on(&self) {
        self.manager.extend();
    }

    pub(super) fn lost(&mut self, id: &CameraId, error: &CameraError, again: Duration) {
        let why = one_line(error);
        tracing::error!(camera = %id, "lost, tried again in {:.1} s: {why}", again.as_secs_f64());
        self.telemetry.lost(id);
        self.note("camera-lost", &id.0, why);
        self.post(state::Event::Begins(Trouble::Camera(id.clone())));
    }

    pub(super) fn back(&mut self, id: CameraId, gone: Duration, attempt: Duration) {
        let [gone, attempt] = [gone, attempt].map(|time| time.as_secs_f64());
        let when = format!("after {gone:.1} s, {attempt:.2} s into the attempt");
        tracing::warn!(camera = %id, "frames come again {when}");
        self.note("camera-back", &id.0, when);
        self.post(state::Event::Ends(Trouble::Camera(id)));
    }

    /// What nobody tells has to be looked at.
    pub(super) fn round(&mut self) {
        let is_failing = self.health.as_ref().is_some_and(|health| health.trouble().is_some());
        self.post(if is_failing {
            state::Event::Begins(Trouble::Ledger)
        } else {
            state::Event::Ends(Trouble::Ledger)
        });
        self.parts();
        let now = self.clock.monotonic();
        self.manager.alive(now, self.board.since_beat(now));
    }

    /// What software triggers saw and nobody judged.
    pub(super) fn parts(&mut self) {
        let mut parts = std::mem::take(&mut self.parts);
        for (account, told) in &mut parts {
            let Some(now) = account.balance().parts else { continue };
            let missed = now.missed.saturating_sub(told.missed);
            let too_long = now.too_long.saturating_sub(told.too_long);
            if missed > 0 {
                self.note("parts-missed", &account.camera().0, format!("{missed} not judged"));
            }
            if too_long > 0 {
                let detail = "one stays for longer than any does".to_owned();
                self.note("part-too-long", &account.camera().0, detail);
            }
            *told = now;
        }
        self.parts = parts;
    }

    fn post(&mut self, event: state::Event) {
        let (_, after) = self.board.post(event);
        // The engine's thread and people post as well: the manager hears of it at the next round.
        self.manager.status(&after.to_string());
    }

    pub(super) fn note(&self, kind: &'static str, subject: &str, detail: String) {
        if let Some(notes) = &self.notes {
            notes.note(Event::ours(self.clock.wall(), kind, subject, detail));
        }
    }
}

//! Talking to the service manager: ready, status, still alive, stopping.
//!
//! Owns the protocol of `sd_notify(3)`. Without a manager that listens, every call does nothing.
//! The watchdog is fed by whoever calls [`Manager::alive`]: the station does, as long as the engine's thread comes round.

use std::time::Duration;

use sd_notify::NotifyState;

/// For so long the manager is asked to wait, again and again.
const PATIENCE: Duration = Duration::from_secs(90);

/// The service manager that started this process, if one did.
#[derive(Debug)]
pub struct Manager {
    /// How often it wants to hear that we are alive; half of what it waits.
    alive_every: Option<Duration>,
    last_alive: Option<Duration>,
    status: String,
}

impl Manager {
    /// What the environment says about one.
    pub fn from_environment() -> Self {
        let alive_every = sd_notify::watchdog_enabled().map(|within| within / 2);
        Self { alive_every, last_alive: None, status: String::new() }
    }

    /// Everything works: units that wait for this one may start.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// What `systemctl status` shows; told when it changes.
    pub fn status(&mut self, status: &str) {
        if self.status != status {
            status.clone_into(&mut self.status);
            tell(&[NotifyState::Status(status)]);
        }
    }

    /// The engine's thread came round that long ago: within the watchdog's rhythm, the manager is told.
    pub fn alive(&mut self, now: Duration, since_beat: Duration) {
        let Some(every) = self.alive_every else { return };
        // Twice as often as half its patience: a busy machine may be late.
        let is_due = self.last_alive.is_none_or(|last| now.saturating_sub(last) >= every / 2);
        if is_due && since_beat < every {
            tell(&[NotifyState::Watchdog]);
            self.last_alive = Some(now);
        }
    }

    /// The start takes longer, or a part of the end: the manager is asked for more time, which runs out unless it is asked again.
    pub fn extend(&self) {
        let micros = u32::try_from(PATIENCE.as_micros()).unwrap_or(u32::MAX);
        tell(&[NotifyState::ExtendTimeoutUsec(micros)]);
    }

    /// It drains.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    // A manager that does not hear us restarts us; there is nobody else to tell.
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("the service manager cannot be told: {error}");
    }
}

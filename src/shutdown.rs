//! Requests by signal: the first SIGTERM or SIGINT drains, the second ends the process at once; SIGHUP reloads.
//!
//! Owns the process's signal handlers, which are set once. Knows nothing of what is being stopped.

use std::sync::{Arc, atomic::AtomicBool};

use crossbeam_channel::{Receiver, Sender};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
    iterator::Signals,
};

/// Somebody wants the process to drain and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopRequested;

/// Somebody wants the model and the judge's settings to be loaded anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReloadRequested;

/// The SIGHUPs from its beginning on, which no longer end the process.
#[derive(Debug)]
pub struct Hangups(Signals);

impl Hangups {
    /// Holds them until somebody listens.
    pub fn hold() -> std::io::Result<Self> {
        Ok(Self(Signals::new([SIGHUP])?))
    }

    /// At each does what is to be done `at_once`, and asks for a reload; one that comes while another waits is the same
    /// one.
    pub fn listen(
        mut self,
        request: Sender<ReloadRequested>,
        at_once: impl Fn() + Send + 'static,
    ) -> std::io::Result<()> {
        std::thread::Builder::new().name("hangups".into()).spawn(move || {
            for _signal in self.0.forever() {
                at_once();
                if request.try_send(ReloadRequested).is_err_and(|error| error.is_disconnected()) {
                    break;
                }
            }
        })?;
        Ok(())
    }
}

/// Listens for signals; the receiver gets one item at the first of them.
pub fn on_signals() -> std::io::Result<Receiver<StopRequested>> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first signal finds the flag unset and sets it, the second finds it set.
        flag::register_conditional_default(signal, Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
    }
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (request, requests) = crossbeam_channel::bounded(1);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _signal in signals.forever() {
            // Full: it was asked for already. Disconnected: nobody is left to stop.
            if request.try_send(StopRequested).is_err() {
                break;
            }
        }
    })?;
    Ok(requests)
}

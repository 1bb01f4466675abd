//! Requests to stop: the first SIGTERM or SIGINT drains, the second ends the process at once.
//!
//! Owns the process's signal handlers, which are set once. Knows nothing of what is being stopped.

use std::sync::{Arc, atomic::AtomicBool};

use crossbeam_channel::Receiver;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
    iterator::Signals,
};

/// Somebody wants the process to drain and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopRequested;

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

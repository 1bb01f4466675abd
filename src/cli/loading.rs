//! Loads an engine on a thread of its own, for neither loading nor building can be interrupted: who asks for the end is
//! not kept waiting for minutes, and people hear how far it is.
//!
//! Owns that thread, the waiting, and for how long the service manager is asked for more time. What else is told to whom
//! is the caller's.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, select};

use super::load::{Building, Model, Took};
use crate::{
    config::EngineSettings,
    engine::{Built, Runtime},
    fault::{Class, Fault},
    service::Manager,
    shutdown::StopRequested,
};

/// The slowest board builds the largest network in a quarter of an hour, and may try three precisions. What is not
/// there by then hangs, and the manager's patience ends.
const LOADED_WITHIN: Duration = Duration::from_hours(1);

/// How the waiting goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// How often it is told how far the engine is.
    pub(super) tick_every: Duration,
    /// Most engines are there within a second, and are taken down in order: for so long it is waited after a request to
    /// stop.
    pub(super) after_stop: Duration,
}

impl Patience {
    /// Of whoever waits at a terminal.
    pub(super) const OF_A_PERSON: Self =
        Self { tick_every: Duration::from_millis(500), after_stop: Duration::from_secs(1) };
}

/// The engine and how long it took, or `None` when the stop was asked for meanwhile. `tick` hears how far the building
/// is, or that nothing is being built; the manager waits meanwhile.
pub(super) fn engine(
    model: &Arc<Model>,
    runtime: &Runtime,
    settings: &EngineSettings,
    stop: &Receiver<StopRequested>,
    patience: Patience,
    manager: &mut Manager,
    mut tick: impl FnMut(&mut Manager, Option<String>),
) -> Result<Option<(Built, Took)>, Fault> {
    let building = Arc::new(Building::default());
    let (done, built) = crossbeam_channel::bounded(1);
    let work = {
        let (model, runtime) = (Arc::clone(model), runtime.clone());
        let (engine, building) = (settings.clone(), Arc::clone(&building));
        move || {
            // Nobody waits any more after a request to stop.
            let _gone = done.send(model.engine(&runtime, &engine, &building));
        }
    };
    std::thread::Builder::new().name("loading".into()).spawn(work).map_err(|error| {
        Fault::new(Class::Engine, format!("a thread cannot be started: {error}"))
    })?;
    let began = Instant::now();
    let built = unless_stopped(&built, stop, patience, || {
        if began.elapsed() < LOADED_WITHIN {
            manager.extend();
        }
        tick(manager, building.how_far());
    })?;
    Ok(built.map(|built| (built, building.took())))
}

/// What another thread comes to, or `None` when the stop was asked for before; `tick` is called meanwhile.
fn unless_stopped<T>(
    done: &Receiver<Result<T, Fault>>,
    stop: &Receiver<StopRequested>,
    patience: Patience,
    mut tick: impl FnMut(),
) -> Result<Option<T>, Fault> {
    loop {
        select! {
            recv(done) -> outcome => {
                let panicked = |_gone| {
                    Fault::new(Class::Bug, "the thread loading panicked; please report it")
                };
                return outcome.map_err(panicked)?.map(Some);
            }
            recv(stop) -> _ => {
                drop(done.recv_timeout(patience.after_stop));
                return Ok(None);
            }
            default(patience.tick_every) => tick(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_is_asked_to_end_does_not_wait_for_an_engine_that_is_being_built() {
        let every = |tick_every| Patience { tick_every, after_stop: tick_every };
        let (short, long) = (every(Duration::from_millis(1)), every(Duration::from_mins(10)));
        let (done, outcomes) = crossbeam_channel::bounded(1);
        let (request, stop) = crossbeam_channel::bounded(1);
        let mut ticks = 0;
        // Nothing is built; the request comes with the third tick.
        let ended = unless_stopped::<u8>(&outcomes, &stop, short, || {
            ticks += 1;
            if ticks == 3 {
                request.send(StopRequested).unwrap();
            }
        });
        assert_eq!((ended.unwrap(), ticks), (None, 3));
        done.send(Ok(7)).unwrap();
        assert_eq!(unless_stopped(&outcomes, &stop, long, || {}).unwrap(), Some(7));
        done.send(Err(Fault::new(Class::Model, "damaged"))).unwrap();
        let failed = unless_stopped::<u8>(&outcomes, &stop, long, || {}).unwrap_err();
        assert_eq!(failed.class, Class::Model);
        drop(done);
        let gone = unless_stopped::<u8>(&outcomes, &stop, long, || {}).unwrap_err();
        assert_eq!(gone.class, Class::Bug);
    }
}

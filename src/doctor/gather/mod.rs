//! Looks at the machine: a file to an area, each a thin reader of what Linux, dpkg, GStreamer and NVIDIA's libraries tell.
//!
//! Owns the order, and the time that each look may take: it runs on a thread of its own, for neither a dead file
//! system nor a driver can be interrupted. Decides nothing.

mod cameras;
mod clock;
mod engine;
mod gstreamer;
mod machine;
mod network;
mod permissions;
mod places;
mod power;
mod root;

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

pub use self::root::Root;
use super::facts::Facts;
use crate::engine::{Provider, library::Search};

/// Reading files takes milliseconds; a disk that is away takes for ever.
pub const FILES_WITHIN: Duration = Duration::from_secs(5);
/// GStreamer reads all its plugins at its first start on a machine, and a GPU takes seconds to wake up.
const LIBRARIES_WITHIN: Duration = Duration::from_mins(1);

/// What the machine is wanted for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Cameras of the configuration; none where the machine is looked at as it is.
    pub cameras: Vec<WantedCamera>,
    /// What is kept, and where.
    pub places: Vec<(String, PathBuf)>,
    /// The providers of the configuration, best first; empty where nobody asked for any.
    pub providers: Vec<Provider>,
    /// Where ONNX Runtime is looked for.
    pub search: Search,
    /// The user that the service runs as; `None` for whoever asks.
    pub user: Option<String>,
}

/// A camera that is to be played.
#[derive(Clone, Debug)]
pub struct WantedCamera {
    /// Its name.
    pub name: String,
    /// Its preset's name or file.
    pub preset: String,
    /// Its device, where it has one.
    pub device: Option<String>,
}

/// Everything that can be seen of the machine below that root.
pub fn gather(root: &Root, wanted: &Wanted, now: SystemTime) -> Facts {
    let mut late = Vec::new();
    let mut facts = Facts {
        system: look("machine", FILES_WITHIN, &mut late, root, wanted, |root, _| {
            machine::look(root)
        }),
        power: look("power", FILES_WITHIN, &mut late, root, wanted, |root, _| power::look(root)),
        network: look("network", FILES_WITHIN, &mut late, root, wanted, network::look),
        places: look("disk", FILES_WITHIN, &mut late, root, wanted, places::look),
        clock: look("clock", FILES_WITHIN, &mut late, root, wanted, move |root, _| {
            clock::look(root, now)
        }),
        permissions: look("permissions", FILES_WITHIN, &mut late, root, wanted, permissions::look),
        gstreamer: look("gstreamer", LIBRARIES_WITHIN, &mut late, root, wanted, |_, wanted| {
            gstreamer::look(wanted)
        }),
        cameras: look("cameras", LIBRARIES_WITHIN, &mut late, root, wanted, cameras::look),
        engine: look("engine", LIBRARIES_WITHIN, &mut late, root, wanted, engine::look),
        late: Vec::new(),
    };
    facts.late = late;
    facts
}

/// What a look comes to, or nothing when it does not come back in time.
fn look<T: Default + Send + 'static>(
    what: &'static str,
    within: Duration,
    late: &mut Vec<&'static str>,
    root: &Root,
    wanted: &Wanted,
    look: impl FnOnce(&Root, &Wanted) -> T + Send + 'static,
) -> T {
    let (root, wanted) = (root.clone(), wanted.clone());
    let seen = in_time(within, move || look(&root, &wanted));
    if seen.is_none() {
        late.push(what);
    }
    seen.unwrap_or_default()
}

/// What work on a thread of its own comes to; `None` when it takes too long, and is left behind, or panics in a library.
pub fn in_time<T: Send + 'static>(
    within: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (answer, answered) = crossbeam_channel::bounded(1);
    let work = move || {
        // Nobody waits any more after the time-out.
        drop(answer.send(work()));
    };
    let started = std::thread::Builder::new().name("doctor".into()).spawn(work);
    started.ok().and_then(|_thread| answered.recv_timeout(within).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_come_back_is_late_and_holds_nobody() {
        let mut late = Vec::new();
        let (root, wanted) = (Root::system(), Wanted::default());
        let millis = Duration::from_millis(20);
        let seen: u8 = look("disk", millis, &mut late, &root, &wanted, |_, _| {
            std::thread::park();
            7
        });
        assert_eq!((seen, &late[..]), (0, &["disk"][..]));
        let seen = look("clock", Duration::from_mins(1), &mut late, &root, &wanted, |_, _| 7);
        assert_eq!((seen, late.len()), (7, 1));
    }
}

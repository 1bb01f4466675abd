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
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

pub use self::root::Root;
use super::facts::{Facts, Place};
use crate::engine::{Provider, library::Search};

/// Reading files takes milliseconds; a disk that is away takes for ever.
pub const FILES_WITHIN: Duration = Duration::from_secs(5);
/// GStreamer reads all its plugins at its first start on a machine, and a GPU takes seconds to wake up.
pub const LIBRARIES_WITHIN: Duration = Duration::from_mins(1);

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
    /// Its preset's elements: they say what a copied preset plays, too.
    pub elements: Vec<String>,
    /// Its file or address, where it has one.
    pub location: Option<String>,
    /// Its device, where it has one.
    pub device: Option<String>,
}

impl WantedCamera {
    fn has(&self, element: &str) -> bool {
        self.elements.iter().any(|it| it == element)
    }
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
        places: places(root, wanted, FILES_WITHIN, places::look),
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

/// Each place in a look of its own: a share that is away hides nothing of the others.
fn places(
    root: &Root,
    wanted: &Wanted,
    within: Duration,
    look: fn(&Root, &Wanted, String, &Path) -> Option<Place>,
) -> Vec<Place> {
    let each = wanted.places.iter().filter_map(|(what, path)| {
        let work = {
            let (root, wanted, what, path) =
                (root.clone(), wanted.clone(), what.clone(), path.clone());
            move || look(&root, &wanted, what, &path)
        };
        in_time(within, work).unwrap_or_else(|| {
            let (what, path) = (what.clone(), path.display().to_string());
            Some(Place { what, path, is_late: true, ..Place::default() })
        })
    });
    each.collect()
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

    #[test]
    fn a_place_that_is_away_hides_no_other() {
        let places = ["ledger", "archive", "engines"].map(|it| (it.to_owned(), PathBuf::from("/")));
        let wanted = Wanted { places: places.into(), ..Wanted::default() };
        // The archive's is away for as long as this test is there to see it.
        let seen = super::places(
            &Root::system(),
            &wanted,
            Duration::from_millis(500),
            |root, wanted, what, path| {
                if what == "archive" {
                    std::thread::sleep(Duration::from_mins(10));
                }
                places::look(root, wanted, what, path)
            },
        );
        let late: Vec<_> = seen.iter().map(|place| (&*place.what, place.is_late)).collect();
        assert_eq!(late, [("ledger", false), ("archive", true), ("engines", false)]);
        assert!(seen[2].size_bytes.is_some() && seen[1].size_bytes.is_none(), "{seen:?}");
    }
}

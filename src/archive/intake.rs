//! The engine's end of the archive.
//!
//! Owns the hand-off and its bound. Never waits: what finds no room is missing, and the ledger is told so.

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use crossbeam_channel::{RecvTimeoutError, Sender, TrySendError};

use super::{ArchiveOptions, Store, Tally, keeper::Keeper, policy::Policy};
use crate::{
    clock::{Clock, Epoch},
    fault::{Class, Fault},
    frame::FrameId,
    inspected::{Inspected, Onlooker},
    ledger::{
        evidence::{Evidence, Kind, Missing, State},
        writer::EvidenceRows,
    },
    machine::yield_to_others,
    record::Record,
    state::Board,
};

/// Frames that wait to be encoded: one in hand, two waiting. Each pins a buffer of its camera's pipeline.
const QUEUE_LEN: usize = 2;

/// A judged frame whose pictures are wanted.
pub(super) struct Wanted {
    pub(super) inspected: Arc<Inspected>,
    pub(super) kind: Kind,
}

/// What the archive reaches the rest of the station by.
pub struct Means {
    /// Where it is told what became of pictures.
    pub rows: EvidenceRows,
    /// Where it is told that the disk takes nothing.
    pub board: Arc<Board>,
    /// What is counted.
    pub tally: Arc<Tally>,
    /// For ages.
    pub clock: Arc<dyn Clock>,
    /// Since when civil time is held against it: the ledger's.
    pub epoch: Epoch,
}

/// Takes judged frames to the thread `archive`, which ends when this is gone.
pub struct Intake {
    policy: Policy,
    /// What the frame that was last asked about is kept as.
    wanted: Option<Kind>,
    /// The thread has ended by itself.
    is_lost: bool,
    frames: Sender<Wanted>,
    rows: EvidenceRows,
    tally: Arc<Tally>,
    /// Disconnected when the thread has ended.
    ended: crossbeam_channel::Receiver<std::convert::Infallible>,
    thread: JoinHandle<()>,
}

impl Intake {
    /// Starts the thread.
    pub fn start(store: Store, options: ArchiveOptions, means: Means) -> std::io::Result<Self> {
        let (frames, queue) = crossbeam_channel::bounded(QUEUE_LEN);
        let (alive, ended) = crossbeam_channel::bounded(0);
        let policy = Policy::new(options.passes_every);
        let (rows, tally) = (means.rows.clone(), Arc::clone(&means.tally));
        let thread = std::thread::Builder::new().name("archive".into()).spawn(move || {
            yield_to_others("archive");
            Keeper::new(store, options, means, queue).run();
            drop(alive);
        })?;
        Ok(Self { policy, wanted: None, is_lost: false, frames, rows, tally, ended, thread })
    }
}

/// The row of a frame whose pictures are missing.
pub(super) fn missing(record: &Record, id: &FrameId, kind: Kind, reason: Missing) -> Evidence {
    Evidence { id: id.clone(), time: record.origin.time, kind, state: State::Missing(reason) }
}

impl Onlooker for Intake {
    fn wants(&mut self, record: &Record) -> bool {
        self.wanted = self.policy.wants(record);
        self.wanted.is_some()
    }

    fn show(&mut self, inspected: &Arc<Inspected>) {
        let Some(kind) = self.wanted.take() else { return };
        self.tally.wait();
        let refused = match self.frames.try_send(Wanted { inspected: Arc::clone(inspected), kind })
        {
            Ok(()) => return,
            Err(TrySendError::Full(wanted)) => wanted,
            Err(TrySendError::Disconnected(wanted)) => {
                self.is_lost = true;
                wanted
            }
        };
        self.tally.done();
        self.tally.miss(Missing::Busy);
        let Inspected { frame, record, .. } = &*refused.inspected;
        // Full: the disk takes no rows either, and the frame's own row is not there.
        let _full = self.rows.put(missing(record, &frame.id, kind, Missing::Busy));
    }

    fn is_lost(&self) -> bool {
        self.is_lost
    }

    fn close(self: Box<Self>, within: Duration) -> Result<(), Fault> {
        let Self { frames, ended, thread, .. } = *self;
        drop(frames);
        if ended.recv_timeout(within) == Err(RecvTimeoutError::Timeout) {
            // The ledger says at its end what is missing: no reason to lose the exit code over.
            tracing::error!("the archive's disk is too slow: what it did not take is missing");
            return Ok(());
        }
        let panicked =
            |_panic| Fault::new(Class::Bug, "the thread archive panicked; please report it");
        thread.join().map_err(panicked)
    }
}

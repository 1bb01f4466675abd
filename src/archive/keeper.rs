//! The thread `archive`: encodes what it is given, makes room, writes, and tells the ledger.
//!
//! Encoding comes first, for each frame that waits pins a buffer of its camera's pipeline; what is encoded waits here,
//! bounded, for the disk. Owns what happens while the disk takes nothing (frames are missing, the state is degraded, the
//! disk is tried again) and what a start finds: leftovers, folders without a row, rows without a folder. Decides nothing
//! about what goes: that is `retention`.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    time::{Duration, SystemTime},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};

use super::{
    ArchiveOptions, Caps, Means, Store,
    intake::{Wanted, missing},
    names::Named,
    pictures::{self, Pictures},
    retention::Shelf,
};
use crate::{
    fault::one_line,
    frame::{CameraId, FrameId},
    inspected::Inspected,
    ledger::{
        LedgerError,
        audit::{Audit, Wanted as WantedRows},
        evidence::{Bound, Evidence, Kind, Missing, Resolution, State},
    },
    state::{Event, Trouble},
};

/// Frames that are encoded and wait for the disk: half a second of a camera that refuses everything.
const BACKLOG_LEN: usize = 16;
/// Bytes of them.
const BACKLOG_BYTES: usize = 64 << 20;
/// How long rows that say `removed` are waited for before their files go. A ledger that takes no rows must not keep a full
/// disk from being freed.
const REMOVED_WITHIN: Duration = Duration::from_secs(2);
/// For so long the disk must be at ease before the alarm ends.
const SQUEEZED_FOR: Duration = Duration::from_secs(10);
/// How often ages and the file system's room are looked at while nothing comes.
const LOOK_UP_EVERY: Duration = Duration::from_secs(1);
/// Rows that a start writes before it waits for the ledger to have them.
const ROWS_AT_ONCE: usize = 512;
/// How long it waits.
const ROWS_WITHIN: Duration = Duration::from_secs(10);

/// Others took what the file system has to keep free, and more than the archive could give back.
const NO_ROOM: &str = "the file system has too little room left";

/// The thread's own.
pub(super) struct Keeper {
    store: Store,
    options: ArchiveOptions,
    means: Means,
    frames: Receiver<Wanted>,
    shelf: Shelf,
    backlog: VecDeque<Encoded>,
    /// Numberings that the start has not looked at yet.
    unseen: Vec<(CameraId, u64)>,
    rows_put: usize,
    last_looked: Duration,
    /// Why the disk takes nothing.
    trouble: Option<String>,
    /// When what was refused last had to go because the file system lacks room.
    squeezed_at: Option<Duration>,
    /// Whether it was told that the full resolution is not to be had.
    is_lack_told: bool,
}

/// A frame's evidence that waits for the disk.
struct Encoded {
    id: FrameId,
    time: SystemTime,
    kind: Kind,
    pictures: Pictures,
}

/// Why a frame's evidence was not written.
enum Refused {
    NoRoom(Bound),
    Disk(io::Error),
}

impl Keeper {
    pub(super) fn new(
        store: Store,
        options: ArchiveOptions,
        means: Means,
        frames: Receiver<Wanted>,
    ) -> Self {
        Self {
            store,
            options,
            means,
            frames,
            shelf: Shelf::default(),
            backlog: VecDeque::new(),
            unseen: Vec::new(),
            rows_put: 0,
            last_looked: Duration::ZERO,
            trouble: None,
            squeezed_at: None,
            is_lack_told: false,
        }
    }

    /// Works until the intake is gone and everything is written.
    pub(super) fn run(mut self) {
        self.remember();
        loop {
            let mut is_closed = false;
            while self.has_place() {
                match self.frames.try_recv() {
                    Ok(wanted) => self.encode(wanted),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        is_closed = true;
                        break;
                    }
                }
            }
            if let Some(encoded) = self.backlog.pop_front() {
                self.settle(encoded);
                self.look_at_next();
                continue;
            }
            if is_closed {
                return;
            }
            if self.look_at_next() {
                continue;
            }
            self.look_round();
            match self.frames.recv_timeout(LOOK_UP_EVERY) {
                Ok(wanted) => self.encode(wanted),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    fn has_place(&self) -> bool {
        let bytes = self.backlog.iter().flat_map(|encoded| &encoded.pictures.files);
        let bytes: usize = bytes.map(|(_, bytes)| bytes.len()).sum();
        self.backlog.len() < BACKLOG_LEN && bytes < BACKLOG_BYTES
    }

    /// Encodes a frame, and lets go of its pixels.
    fn encode(&mut self, Wanted { inspected, kind }: Wanted) {
        let Inspected { frame, record, .. } = &*inspected;
        match pictures::draw(&inspected, self.options.jpeg_quality) {
            Ok(pictures) => {
                if let Some(why) = pictures.lacking.as_ref().filter(|_| !self.is_lack_told) {
                    self.is_lack_told = true;
                    tracing::warn!("pictures are kept in the model's size: {why}");
                }
                self.backlog.push_back(Encoded {
                    id: frame.id.clone(),
                    time: record.origin.time,
                    kind,
                    pictures,
                });
            }
            Err(error) => {
                tracing::error!(frame = %frame.id, "its pictures cannot be made: {error}");
                self.means.tally.done();
                self.miss(missing(record, &frame.id, kind, Missing::NoPixels), Missing::NoPixels);
            }
        }
    }

    /// Writes a frame's evidence, or says why it is missing.
    fn settle(&mut self, encoded: Encoded) {
        let written = self.write(&encoded);
        self.means.tally.done();
        let Encoded { id, time, kind, pictures } = encoded;
        let (bytes, resolution) = (pictures.bytes_on_disk(), pictures.resolution);
        let refused = match written {
            Ok(()) => {
                self.ends_unless_squeezed();
                self.shelf.add(id.clone(), kind, time, bytes);
                self.means.tally.keep(kind);
                self.told();
                let state = State::Kept { bytes, resolution };
                // Full: the next start finds the folder and writes its row.
                let _full = self.means.rows.put(Evidence { id, time, kind, state });
                return;
            }
            Err(refused) => refused,
        };
        let reason = match refused {
            // What is worth less than everything that is kept is no trouble.
            Refused::NoRoom(bound) => {
                if bound == Bound::FreeSpace && kind != Kind::Pass {
                    self.begins(NO_ROOM.into());
                }
                Missing::NoRoom
            }
            Refused::Disk(error) => {
                self.begins(error.to_string());
                Missing::Unwritten
            }
        };
        self.miss(Evidence { id, time, kind, state: State::Missing(reason) }, reason);
    }

    fn miss(&self, evidence: Evidence, reason: Missing) {
        self.means.tally.miss(reason);
        // Full: the end of the run, or the next start, says that it is missing.
        let _full = self.means.rows.put(evidence);
    }

    fn write(&mut self, encoded: &Encoded) -> Result<(), Refused> {
        let Encoded { id, kind, pictures, .. } = encoded;
        let incoming = Some((*kind, pictures.bytes_on_disk()));
        self.make_room(incoming).map_err(Refused::NoRoom)?;
        match self.store.put(id, &pictures.files) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.put_for_others(id, *kind, pictures)
            }
            put => put.map_err(Refused::Disk),
        }
    }

    /// Writes in the place of others on a disk that has less than it says: its inodes may be used up, or others were
    /// quicker. So what it says is not asked for again; some go, and if that does not help nothing else will.
    fn put_for_others(
        &mut self,
        id: &FrameId,
        kind: Kind,
        pictures: &Pictures,
    ) -> Result<(), Refused> {
        let incoming = Some((kind, pictures.bytes_on_disk()));
        let caps = Caps { free_min_bytes: 0, ..self.caps() };
        let plan = self.shelf.plan(incoming, &caps, 0, self.means.clock.wall());
        if plan.remove.is_empty() {
            return Err(Refused::NoRoom(Bound::FreeSpace));
        }
        self.remove(plan.remove);
        self.store.put(id, &pictures.files).map_err(Refused::Disk)
    }

    /// How much is kept: of any age where civil time does not say how old something is, which the ledger tells.
    fn caps(&mut self) -> Caps {
        let Means { epoch, clock, .. } = &mut self.means;
        match epoch.leap(&**clock) {
            Some(_leap) => Caps { age_max: Duration::MAX, ..self.options.caps },
            None => self.options.caps,
        }
    }

    /// Removes what has to go; the bound that lacks room all the same.
    fn make_room(&mut self, incoming: Option<(Kind, u64)>) -> Result<(), Bound> {
        loop {
            // A file system that does not say how much room it has is not held to it.
            let free = self.store.free_bytes().unwrap_or(u64::MAX);
            let now = self.means.clock.wall();
            let caps = self.caps();
            let plan = self.shelf.plan(incoming, &caps, free, now);
            let is_last = plan.remove.is_empty();
            self.remove(plan.remove);
            match plan.lacking {
                None => return Ok(()),
                Some(bound) if is_last => return Err(bound),
                Some(_) => {}
            }
        }
    }

    /// Removes evidence: first the rows say so, then the files go.
    fn remove(&mut self, gone: Vec<(FrameId, Bound)>) {
        if gone.is_empty() {
            return;
        }
        for (id, bound) in &gone {
            let Some((kind, time)) = self.shelf.remove(id) else { continue };
            self.means.tally.remove(*bound);
            if *bound == Bound::FreeSpace && kind != Kind::Pass {
                self.squeezed_at = Some(self.means.clock.monotonic());
            }
            let state = State::Removed(*bound);
            let _full = self.means.rows.put(Evidence { id: id.clone(), time, kind, state });
        }
        if !self.means.rows.is_written(REMOVED_WITHIN) {
            tracing::warn!("the ledger takes no rows: pictures are removed all the same");
        }
        for (id, _) in gone {
            if let Err(error) = self.store.remove(&id) {
                tracing::warn!(frame = %id, "its pictures cannot be removed: {error}");
            }
        }
        self.told();
    }

    fn told(&self) {
        self.means.tally.holds(self.shelf.frames(), self.shelf.bytes());
    }

    /// While nothing comes: ages, the file system's room, and whether the disk takes anything again.
    fn look_round(&mut self) {
        let now = self.means.clock.monotonic();
        if now.saturating_sub(self.last_looked) < LOOK_UP_EVERY {
            return;
        }
        self.last_looked = now;
        let room = self.make_room(None);
        if room == Err(Bound::FreeSpace) {
            self.begins(NO_ROOM.into());
            return;
        }
        let is_well = || room.is_ok() && self.store.probe().is_ok();
        if self.is_squeezed() || (self.trouble.is_some() && is_well()) {
            self.ends_unless_squeezed();
        }
    }

    /// Whether what was refused goes for want of room, now or a moment ago: what comes and goes within seconds is one
    /// alarm.
    fn is_squeezed(&self) -> bool {
        let now = self.means.clock.monotonic();
        self.squeezed_at.is_some_and(|at| now.saturating_sub(at) < SQUEEZED_FOR)
    }

    /// The disk takes pictures; but while rejects have to go for that it is no good sign.
    fn ends_unless_squeezed(&mut self) {
        if self.is_squeezed() {
            self.begins("the file system is full, and rejects go for that".into());
        } else {
            self.ends();
        }
    }

    fn begins(&mut self, why: String) {
        if self.trouble.as_ref() != Some(&why) {
            tracing::error!("pictures are lost, inspection goes on: {why}");
        }
        self.trouble = Some(why);
        self.means.board.post(Event::Begins(Trouble::Archive));
    }

    fn ends(&mut self) {
        if self.trouble.take().is_some() {
            tracing::warn!("the archive is well again");
            self.means.board.post(Event::Ends(Trouble::Archive));
        }
    }
}

/// What a start finds.
impl Keeper {
    /// What the ledger says that there is, and which numberings are to be looked at.
    fn remember(&mut self) {
        let read = Audit::open(&self.options.ledger).and_then(|audit| {
            audit.kept(&WantedRows::default(), |row| {
                self.shelf.add(row.id, row.kind, row.time, row.bytes);
                Ok::<_, LedgerError>(())
            })
        });
        if let Err(error) = read {
            tracing::warn!("what the archive holds cannot be read: {}", one_line(&error));
        }
        // Numberings whose folder is gone are looked at as well.
        let mut lanes: BTreeSet<_> = self.shelf.lanes().collect();
        match self.store.lanes() {
            Ok(found) => lanes.extend(found),
            Err(error) => tracing::warn!("the archive cannot be looked through: {error}"),
        }
        self.unseen = lanes.into_iter().collect();
        self.told();
    }

    /// Looks at one numbering that has not been looked at since the start; `false` where there is none.
    fn look_at_next(&mut self) -> bool {
        let Some(lane) = self.unseen.pop() else { return false };
        match self.store.frames(&lane) {
            Ok(found) => self.compare(&lane, found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.compare(&lane, Vec::new());
            }
            // It may be there, and nothing is said of it.
            Err(error) => {
                tracing::warn!("camera {} epoch {} cannot be looked at: {error}", lane.0, lane.1);
            }
        }
        self.told();
        true
    }

    fn compare(&mut self, lane: &(CameraId, u64), found: Vec<Named>) {
        let id = |number| FrameId { camera: lane.0.clone(), epoch: lane.1, number };
        let mut there = BTreeSet::new();
        for named in found {
            match named {
                Named::Unfinished(number) => {
                    if let Err(error) = self.store.sweep(lane, number) {
                        tracing::warn!(frame = %id(number), "a leftover cannot be removed: {error}");
                    }
                }
                Named::Frame(number) => {
                    there.insert(number);
                    if !self.shelf.holds(&id(number)) {
                        self.adopt(id(number));
                    }
                }
            }
        }
        let known: Vec<FrameId> = self.shelf.of_lane(&id(0)).cloned().collect();
        for id in known.into_iter().filter(|id| !there.contains(&id.number)) {
            let Some((kind, time)) = self.shelf.remove(&id) else { continue };
            tracing::warn!(frame = %id, "its pictures are gone");
            self.means.tally.miss(Missing::Gone);
            self.put_surely(Evidence { id, time, kind, state: State::Missing(Missing::Gone) });
        }
    }

    /// A whole folder without a row gets one: a crash came between the two.
    fn adopt(&mut self, id: FrameId) {
        let Some((time, kind, resolution, bytes)) =
            self.store.read(&id).ok().and_then(|(told, bytes)| {
                let time = humantime::parse_rfc3339(told.get("time")?.as_str()?).ok()?;
                let kind = Kind::named(told.get("decision")?.as_str()?)?;
                let resolution = told.get("evidence")?.get("resolution")?.as_str()?;
                Some((time, kind, Resolution::named(resolution)?, bytes))
            })
        else {
            tracing::warn!(frame = %id, "its folder is not as the archive leaves one: left alone");
            return;
        };
        self.shelf.add(id.clone(), kind, time, bytes);
        self.put_surely(Evidence { id, time, kind, state: State::Kept { bytes, resolution } });
    }

    /// A start may have more rows than the ledger's queue has room for.
    fn put_surely(&mut self, evidence: Evidence) {
        self.rows_put += 1;
        if self.rows_put.is_multiple_of(ROWS_AT_ONCE) {
            let _late = self.means.rows.is_written(ROWS_WITHIN);
        }
        let _full = self.means.rows.put(evidence);
    }
}

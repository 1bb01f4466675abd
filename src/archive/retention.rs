//! What is removed, and when a frame's pictures find no room.
//!
//! Pure: knows what is kept, and decides. What is too old goes first, whatever it is. Where room is wanted the oldest that
//! passed go first, then the oldest of no known product, and what was refused last; and nothing ever goes for something
//! that is worth less than it.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crate::{
    frame::{CameraId, FrameId},
    ledger::evidence::{Bound, Kind},
};

/// Frames that one plan removes at most: their rows are written before any of them goes.
pub const REMOVED_AT_ONCE: usize = 64;
/// Where room has to be made, the archive is brought below its cap by this part of it, so that the next frame need not
/// wait for rows again.
const SLACK: u64 = 64;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Bytes on the disk.
    pub bytes_max: u64,
    /// Frames: the list of them is held in memory, some 150 bytes each.
    pub frames_max: usize,
    /// Since the capture.
    pub age_max: Duration,
    /// What the file system has left for others.
    pub free_min_bytes: u64,
}

/// What is kept, by what it is worth and by its age.
#[derive(Debug, Default)]
pub struct Shelf {
    kinds: [BTreeMap<(SystemTime, FrameId), u64>; Kind::ALL.len()],
    places: BTreeMap<FrameId, (Kind, SystemTime)>,
    bytes: [u64; Kind::ALL.len()],
}

/// What to do before a frame's pictures are written.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// What has to go, and for which bound.
    pub remove: Vec<(FrameId, Bound)>,
    /// Why there is no room after that: yet, where something has to go; otherwise at all.
    pub lacking: Option<Bound>,
}

impl Shelf {
    /// Adds what is kept; what was known of that frame is forgotten.
    pub fn add(&mut self, id: FrameId, kind: Kind, time: SystemTime, bytes: u64) {
        let _before = self.remove(&id);
        self.places.insert(id.clone(), (kind, time));
        self.kinds[kind as usize].insert((time, id), bytes);
        self.bytes[kind as usize] += bytes;
    }

    /// Takes out what is kept no longer: as what, and when it was captured.
    pub fn remove(&mut self, id: &FrameId) -> Option<(Kind, SystemTime)> {
        let (kind, time) = self.places.remove(id)?;
        let bytes = self.kinds[kind as usize].remove(&(time, id.clone())).unwrap_or(0);
        self.bytes[kind as usize] -= bytes;
        Some((kind, time))
    }

    /// Whether that frame's pictures are kept.
    pub fn holds(&self, id: &FrameId) -> bool {
        self.places.contains_key(id)
    }

    /// Frames of one numbering, by their numbers.
    pub fn of_lane<'a>(&'a self, first: &FrameId) -> impl Iterator<Item = &'a FrameId> + use<'a> {
        let last = FrameId { number: u64::MAX, ..first.clone() };
        self.places.range(first.clone()..=last).map(|(id, _)| id)
    }

    /// The numberings that something is kept of.
    pub fn lanes(&self) -> impl Iterator<Item = (CameraId, u64)> + '_ {
        self.places.keys().map(|id| (id.camera.clone(), id.epoch))
    }

    /// How many frames are kept.
    pub fn frames(&self) -> usize {
        self.places.len()
    }

    /// Bytes of all.
    pub fn bytes(&self) -> u64 {
        self.bytes.iter().sum()
    }

    /// What has to go now, and whether there is room for `incoming` then: as what it comes and how many bytes it has.
    /// Without it room is made for what the file system has to keep free. `free_bytes` is what the file system has left.
    ///
    /// Whoever follows a plan asks again, until nothing has to go.
    pub fn plan(
        &self,
        incoming: Option<(Kind, u64)>,
        caps: &Caps,
        free_bytes: u64,
        now: SystemTime,
    ) -> Plan {
        let mut remove = self.too_old(caps, now);
        let (most, more_bytes) = incoming.unwrap_or((Kind::Fail, 0));
        let more_frames = usize::from(incoming.is_some());
        let gone = |remove: &[(FrameId, Bound)]| -> u64 {
            remove.iter().map(|(id, _)| self.bytes_of(id)).sum()
        };
        let lacks = |frames: usize, bytes: u64| -> Option<Bound> {
            let left = self.bytes() - bytes;
            if left + more_bytes > caps.bytes_max {
                Some(Bound::Size)
            } else if self.frames() - frames + more_frames > caps.frames_max {
                Some(Bound::Count)
            } else if free_bytes.saturating_add(bytes) < caps.free_min_bytes.saturating_add(more_bytes)
            {
                Some(Bound::FreeSpace)
            } else {
                None
            }
        };
        let mut gone_bytes = gone(&remove);
        let Some(first_lacking) = lacks(remove.len(), gone_bytes) else {
            return Plan { remove, lacking: None };
        };
        // All that may go: is it enough? Otherwise nothing goes in vain. The file system's room is everybody's.
        let givable = &Kind::ALL[..=most as usize];
        let may_go: usize = givable.iter().map(|&kind| self.kinds[kind as usize].len()).sum();
        let may_go_bytes: u64 = givable.iter().map(|&kind| self.bytes[kind as usize]).sum();
        let too_old_above = remove.iter().filter(|(id, _)| self.kind_of(id) > Some(most));
        let too_old_above: Vec<_> = too_old_above.cloned().collect();
        let all = (may_go + too_old_above.len(), may_go_bytes + gone(&too_old_above));
        if let Some(lacking) = lacks(all.0, all.1)
            && (incoming.is_some() || lacking != Bound::FreeSpace)
        {
            return Plan { remove, lacking: Some(lacking) };
        }
        let slack = caps.bytes_max / SLACK;
        let mut lacking = Some(first_lacking);
        let mut wanted = Some(first_lacking);
        let candidates = givable.iter().flat_map(|&kind| self.kinds[kind as usize].keys());
        let too_old = remove.len();
        for (_, id) in candidates {
            let Some(bound) = wanted.filter(|_| remove.len() < REMOVED_AT_ONCE) else { break };
            if remove[..too_old].iter().any(|(old, _)| old == id) {
                continue;
            }
            gone_bytes += self.bytes_of(id);
            remove.push((id.clone(), bound));
            lacking = lacks(remove.len(), gone_bytes);
            // Once room has to be made, some more; but only of the cheapest, and never for the sake of it.
            wanted = lacking.or_else(|| lacks(remove.len(), gone_bytes.saturating_sub(slack)));
        }
        Plan { remove, lacking }
    }

    fn too_old(&self, caps: &Caps, now: SystemTime) -> Vec<(FrameId, Bound)> {
        let Some(before) = now.checked_sub(caps.age_max) else { return Vec::new() };
        let old = self.kinds.iter().flat_map(|kind| {
            kind.keys().take_while(|(time, _)| *time < before).map(|(_, id)| (id.clone(), Bound::Age))
        });
        old.take(REMOVED_AT_ONCE).collect()
    }

    fn bytes_of(&self, id: &FrameId) -> u64 {
        let place = self.places.get(id);
        let bytes = place.and_then(|(kind, time)| self.kinds[*kind as usize].get(&(*time, id.clone())));
        bytes.copied().unwrap_or(0)
    }

    fn kind_of(&self, id: &FrameId) -> Option<Kind> {
        self.places.get(id).map(|(kind, _)| *kind)
    }
}

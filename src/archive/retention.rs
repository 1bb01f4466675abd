//! What is removed, and when a frame's pictures find no room.
//!
//! Pure: knows what is kept, and decides. What is too old goes first, whatever it is. Where room is wanted the oldest that
//! passed go first, then the oldest of no known product, and what was refused last; and nothing ever goes for something
//! that is worth less than it, nor what was refused for free space that others would have to give.

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
            } else if free_bytes.saturating_add(bytes)
                < caps.free_min_bytes.saturating_add(more_bytes)
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
        // All that may go: is it enough? Otherwise nothing goes in vain for a frame. The file system's room is everybody's:
        // for that alone what is cheap goes all the same, but no reject.
        let givable = &Kind::ALL[..=most as usize];
        let may_go: usize = givable.iter().map(|&kind| self.kinds[kind as usize].len()).sum();
        let may_go_bytes: u64 = givable.iter().map(|&kind| self.bytes[kind as usize]).sum();
        let too_old_above = remove.iter().filter(|(id, _)| self.kind_of(id) > Some(most));
        let too_old_above: Vec<_> = too_old_above.cloned().collect();
        let all = (may_go + too_old_above.len(), may_go_bytes + gone(&too_old_above));
        let never = lacks(all.0, all.1);
        if incoming.is_some() && never.is_some() {
            return Plan { remove, lacking: never };
        }
        let slack = caps.bytes_max / SLACK;
        let mut lacking = Some(first_lacking);
        let mut wanted = Some(first_lacking);
        let candidates = givable
            .iter()
            .flat_map(|&kind| self.kinds[kind as usize].keys().map(move |(_, id)| (kind, id)));
        let too_old = remove.len();
        for (kind, id) in candidates {
            let Some(bound) = wanted.filter(|_| remove.len() < REMOVED_AT_ONCE) else { break };
            if kind == Kind::Fail && never == Some(bound) {
                break;
            }
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
            kind.keys()
                .take_while(|(time, _)| *time < before)
                .map(|(_, id)| (id.clone(), Bound::Age))
        });
        old.take(REMOVED_AT_ONCE).collect()
    }

    fn bytes_of(&self, id: &FrameId) -> u64 {
        let place = self.places.get(id);
        let bytes =
            place.and_then(|(kind, time)| self.kinds[*kind as usize].get(&(*time, id.clone())));
        bytes.copied().unwrap_or(0)
    }

    fn kind_of(&self, id: &FrameId) -> Option<Kind> {
        self.places.get(id).map(|(kind, _)| *kind)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_000;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn shelf(kept: &[(usize, u64, u64)]) -> Shelf {
        let mut shelf = Shelf::default();
        for (number, &(kind, time, bytes)) in kept.iter().enumerate() {
            let id = FrameId {
                camera: CameraId("top".into()),
                epoch: number as u64 % 2,
                number: number as u64,
            };
            shelf.add(id, Kind::ALL[kind], at(time), bytes);
        }
        shelf
    }

    /// Follows plans to their end: what went, what was lacking, and what the file system has left then.
    fn follow(
        shelf: &mut Shelf,
        incoming: Option<(Kind, u64)>,
        caps: &Caps,
        mut free: u64,
    ) -> (Vec<(Kind, SystemTime, Bound)>, Option<Bound>, u64) {
        let mut gone = Vec::new();
        loop {
            let Plan { remove, lacking } = shelf.plan(incoming, caps, free, at(NOW));
            assert!(remove.len() <= REMOVED_AT_ONCE);
            let is_last = remove.is_empty() || lacking.is_none();
            for (id, bound) in remove {
                free += shelf.bytes_of(&id);
                let (kind, time) = shelf.remove(&id).unwrap();
                gone.push((kind, time, bound));
            }
            if is_last {
                return (gone, lacking, free);
            }
        }
    }

    proptest! {
        #[test]
        fn the_caps_hold_and_nothing_goes_for_something_that_is_worth_less(
            kept in prop::collection::vec((0_usize..3, 0_u64..NOW, 1_u64..50), 0..150),
            incoming in prop::option::of((0_usize..3, 1_u64..60)),
            (bytes_max, frames_max, age_max) in (1_u64..2_000, 1_usize..120, 1_u64..2_000),
            (free_min_bytes, free) in (prop_oneof![0_u64..300, 0_u64..3_000], 0_u64..400),
        ) {
            let mut shelf = shelf(&kept);
            let before: u64 = kept.iter().map(|(_, _, bytes)| bytes).sum();
            prop_assert_eq!((shelf.frames(), shelf.bytes()), (kept.len(), before));
            let incoming = incoming.map(|(kind, bytes)| (Kind::ALL[kind], bytes));
            let age_max = Duration::from_secs(age_max);
            let caps = Caps { bytes_max, frames_max, age_max, free_min_bytes };
            let (gone, lacking, free) = follow(&mut shelf, incoming, &caps, free);
            prop_assert_eq!(shelf.frames() + gone.len(), kept.len());
            let (kind, bytes) = incoming.unwrap_or((Kind::Fail, 0));
            if lacking.is_none() {
                prop_assert!(shelf.bytes() + bytes <= bytes_max);
                prop_assert!(shelf.frames() + usize::from(incoming.is_some()) <= frames_max);
                prop_assert!(free >= free_min_bytes + bytes);
            } else if incoming.is_some() {
                // Nothing went in vain.
                prop_assert!(gone.iter().all(|(_, _, bound)| *bound == Bound::Age));
            } else {
                // What the file system lacks is more than there is to give: the other bounds hold, and no reject went for it.
                prop_assert_eq!(lacking, Some(Bound::FreeSpace));
                prop_assert!(free + shelf.bytes() < free_min_bytes);
                prop_assert!(shelf.bytes() <= bytes_max && shelf.frames() <= frames_max);
                let rejects = shelf.kinds[Kind::Fail as usize].len();
                prop_assert_eq!(shelf.frames(), rejects);
                let in_vain = |&(kind, _, bound): &_| (kind, bound) == (Kind::Fail, Bound::FreeSpace);
                prop_assert!(!gone.iter().any(in_vain));
            }
            for (gone_kind, gone_time, bound) in gone {
                if bound == Bound::Age {
                    prop_assert!(at(NOW).duration_since(gone_time).unwrap() > age_max);
                    continue;
                }
                prop_assert!(gone_kind <= kind);
                // Whatever is left was worth more, or is younger.
                for (left, times) in std::iter::zip(Kind::ALL, &shelf.kinds) {
                    for (time, _) in times.keys() {
                        prop_assert!(left > gone_kind || (left == gone_kind && *time >= gone_time));
                    }
                }
            }
        }
    }

    #[test]
    fn no_reject_goes_for_free_space_that_others_take() {
        let caps = Caps {
            bytes_max: 1_000,
            frames_max: 10,
            age_max: Duration::from_secs(NOW),
            free_min_bytes: 100,
        };
        let kept = [(0, 1, 10), (1, 2, 10), (2, 3, 10), (2, 4, 10)];
        let kinds = |free| -> Vec<Kind> {
            let (gone, ..) = follow(&mut shelf(&kept), None, &caps, free);
            gone.into_iter().map(|(kind, ..)| kind).collect()
        };
        assert_eq!(kinds(60), [Kind::Pass, Kind::UnknownProduct, Kind::Fail, Kind::Fail]);
        // One byte more is taken by another program.
        assert_eq!(kinds(59), [Kind::Pass, Kind::UnknownProduct]);
        // The archive's own cap is held all the same.
        let caps = Caps { bytes_max: 15, ..caps };
        let (gone, lacking, _) = follow(&mut shelf(&kept), None, &caps, 59);
        assert_eq!((gone.len(), lacking), (3, Some(Bound::FreeSpace)));
    }

    #[test]
    fn without_anything_to_do_nothing_is_done() {
        let caps = Caps {
            bytes_max: 100,
            frames_max: 10,
            age_max: Duration::from_secs(100),
            free_min_bytes: 10,
        };
        let shelf = shelf(&[(0, NOW - 1, 40), (2, NOW - 100, 40)]);
        let nothing = Plan { remove: Vec::new(), lacking: None };
        assert_eq!(shelf.plan(None, &caps, 10, at(NOW)), nothing);
        assert_eq!(shelf.plan(Some((Kind::Pass, 20)), &caps, 30, at(NOW)), nothing);
        // One byte more, and what passed goes, though it is the younger one.
        let plan = shelf.plan(Some((Kind::Pass, 21)), &caps, 31, at(NOW));
        assert_eq!((plan.remove.len(), plan.lacking), (1, None));
        assert_eq!(plan.remove[0].0.number, 0);
        // And a clock that is before 1970 by an age is no reason to remove anything.
        assert_eq!(shelf.plan(None, &caps, 10, at(0)), nothing);
    }
}

//! Which row may be what the broker ends connections for.
//!
//! Pure. Brokers close a connection for a message that they do not like, and do not say for which. Owns how often a row
//! was the first of its kind on its way when a connection ended: the same one twice goes with its texts cut off, and for a
//! while each row goes alone, so that the next end tells which one it was. What others had acknowledged says nothing.
//! Invariant: as many suspects as there are numberings at most; a row that is acknowledged is none.

use std::{collections::BTreeMap, sync::Arc};

use crate::ledger::outbox::Mark;

/// After so many connections that ended with the same row at the front it may be that row.
const ENDED_MAX: u32 = 2;

/// Frames or parts of a numbering, or events: rows that are settled one after the other.
type Queue = Option<(Arc<str>, u64, bool)>;

/// What ended connections.
#[derive(Clone, Debug, Default)]
pub struct Suspicion {
    /// The first row on its way of each queue, and how many connections in a row ended with it.
    fronts: BTreeMap<Queue, (Mark, u32)>,
    /// So many rows go alone.
    alone: u16,
}

impl Suspicion {
    /// A connection ended with these rows on their way, in the order in which they were sent; so many are sent at once.
    pub fn ended<'a>(&mut self, on_the_way: impl Iterator<Item = &'a Mark>, window: u16) {
        let mut seen = Vec::new();
        for mark in on_the_way {
            let queue = queue(mark);
            if seen.contains(&queue) {
                continue;
            }
            let times = match self.fronts.get(&queue) {
                Some((before, times)) if before == mark => times.saturating_add(1),
                Some(_) | None => 1,
            };
            if times >= ENDED_MAX {
                self.alone = window;
            }
            self.fronts.insert(queue.clone(), (mark.clone(), times));
            seen.push(queue);
        }
    }

    /// The broker has that row, and all of its queue before it.
    pub fn settled(&mut self, mark: &Mark) {
        self.fronts.remove(&queue(mark));
        self.alone = self.alone.saturating_sub(1);
    }

    /// Whether one row is sent at a time.
    pub const fn is_careful(&self) -> bool {
        self.alone > 0
    }

    /// Whether that row goes with its texts cut off.
    pub fn is_suspect(&self, mark: &Mark) -> bool {
        let front = self.fronts.get(&queue(mark));
        front.is_some_and(|(front, times)| front == mark && *times >= ENDED_MAX)
    }
}

fn queue(mark: &Mark) -> Queue {
    match mark {
        Mark::Frames { camera, epoch, .. } => Some((Arc::clone(camera), *epoch, false)),
        Mark::Parts { camera, epoch, .. } => Some((Arc::clone(camera), *epoch, true)),
        Mark::Event { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(camera: &str, to: u64) -> Mark {
        Mark::Frames { camera: camera.into(), epoch: 1, to }
    }

    #[test]
    fn the_row_that_ends_connections_is_found_whatever_others_did() {
        let mut suspicion = Suspicion::default();
        let poison = frame("top", 7);
        for connection in 0_u64..2 {
            assert!(!suspicion.is_careful() && !suspicion.is_suspect(&poison));
            // The other camera's rows are acknowledged each time, and others of them are on their way at the end.
            let side = frame("side", connection + 1);
            suspicion.settled(&frame("side", connection));
            suspicion.ended([&side, &poison, &frame("top", 8)].into_iter(), 4);
        }
        assert!(suspicion.is_careful() && suspicion.is_suspect(&poison));
        assert!(
            !suspicion.is_suspect(&frame("side", 2)) && !suspicion.is_suspect(&frame("top", 8))
        );
        // It came through.
        suspicion.settled(&poison);
        assert!(suspicion.is_careful() && !suspicion.is_suspect(&poison));
        for to in 8..11 {
            suspicion.settled(&frame("top", to));
        }
        assert!(!suspicion.is_careful());
    }

    #[test]
    fn a_row_in_the_middle_is_found_when_each_goes_alone() {
        let mut suspicion = Suspicion::default();
        // Acknowledgements of the rows before it are lost with the connection.
        for _ in 0..2 {
            suspicion.ended([&frame("top", 1), &frame("top", 2), &frame("top", 3)].into_iter(), 64);
        }
        assert!(suspicion.is_suspect(&frame("top", 1)));
        for to in 1..=2 {
            suspicion.settled(&frame("top", to));
        }
        for _ in 0..2 {
            assert!(suspicion.is_careful() && !suspicion.is_suspect(&frame("top", 3)));
            suspicion.ended([&frame("top", 3)].into_iter(), 64);
        }
        assert!(suspicion.is_suspect(&frame("top", 3)));
    }

    #[test]
    fn brokers_that_are_restarted_make_nobody_suspect() {
        let mut suspicion = Suspicion::default();
        for to in 1..=5 {
            suspicion.ended([&frame("top", to)].into_iter(), 64);
            suspicion.settled(&frame("top", to));
        }
        assert!(!suspicion.is_careful());
        // Nothing was on its way.
        suspicion.ended(std::iter::empty(), 64);
        assert!(!suspicion.is_careful());
    }
}

//! Which frames are run through the network together.
//!
//! Owns the batch: the first frame that is there, then the others in turns, one of each camera before a second of any.
//! Must not know what is done with them; a camera's own order is kept.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, TryRecvError};

/// When a batch is complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until {
    /// With so many items.
    pub(super) batch_max: usize,
    /// Or after so long.
    pub(super) wait: Duration,
}

/// The batch that begins with `first`: items with the index of the lane that each came from.
pub(super) fn gather<T>(
    first: (usize, T),
    lanes: &[&Receiver<T>],
    until: Until,
) -> Vec<(usize, T)> {
    // Not the station's clock, which tests may stop: this is how long a thread sleeps.
    let deadline = Instant::now() + until.wait;
    let mut next = first.0 + 1;
    let mut batch = vec![first];
    let mut is_closed = vec![false; lanes.len()];
    while batch.len() < until.batch_max {
        match ready(next, lanes, &mut is_closed) {
            Some((lane, item)) => {
                next = lane + 1;
                batch.push((lane, item));
            }
            None if !wait(lanes, &is_closed, deadline) => break,
            None => {}
        }
    }
    batch
}

/// The next item that is there already, from lane `next` on and round.
fn ready<T>(next: usize, lanes: &[&Receiver<T>], is_closed: &mut [bool]) -> Option<(usize, T)> {
    (next..next + lanes.len()).find_map(|lane| {
        let lane = lane % lanes.len();
        match lanes[lane].try_recv() {
            Ok(item) => Some((lane, item)),
            Err(TryRecvError::Empty) => None,
            // Whoever gathers the next batch finds it closed again.
            Err(TryRecvError::Disconnected) => {
                is_closed[lane] = true;
                None
            }
        }
    })
}

/// Whether something is there before the deadline.
fn wait<T>(lanes: &[&Receiver<T>], is_closed: &[bool], deadline: Instant) -> bool {
    let mut select = Select::new();
    let mut open = 0;
    for (lane, is_closed) in std::iter::zip(lanes, is_closed) {
        if !is_closed {
            select.recv(lane);
            open += 1;
        }
    }
    open > 0 && Instant::now() < deadline && select.ready_deadline(deadline).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lanes with so many items each, numbered within their lane.
    fn lanes(lens: &[usize]) -> Vec<Receiver<usize>> {
        lens.iter()
            .map(|len| {
                let (sender, receiver) = crossbeam_channel::bounded(8);
                (0..*len).for_each(|item| sender.send(item).unwrap());
                receiver
            })
            .collect()
    }

    fn gathered(lens: &[usize], first: usize, batch_max: usize) -> Vec<(usize, usize)> {
        let lanes = lanes(lens);
        let item = lanes[first].try_recv().unwrap();
        let until = Until { batch_max, wait: Duration::from_mins(1) };
        // Every sender is gone: nothing is waited for in vain.
        gather((first, item), &lanes.iter().collect::<Vec<_>>(), until)
    }

    #[test]
    fn each_camera_has_its_turn_and_its_order() {
        let check = |lens: &[usize], first, batch_max, expected: &[(usize, usize)]| {
            assert_eq!(gathered(lens, first, batch_max), expected, "{lens:?}");
        };
        check(&[3, 3], 0, 4, &[(0, 0), (1, 0), (0, 1), (1, 1)]);
        check(&[3, 1, 2], 1, 5, &[(1, 0), (2, 0), (0, 0), (2, 1), (0, 1)]);
        check(&[5, 0], 0, 3, &[(0, 0), (0, 1), (0, 2)]);
        check(&[2, 1], 0, 8, &[(0, 0), (1, 0), (0, 1)]);
        check(&[2, 2], 1, 1, &[(1, 0)]);
    }

    #[test]
    fn a_batch_that_does_not_fill_waits_for_its_deadline_and_no_longer_than_it_must() {
        let (sender, receiver) = crossbeam_channel::bounded(8);
        let until = |wait| Until { batch_max: 2, wait };
        assert_eq!(gather((0, 0), &[&receiver], until(Duration::ZERO)), [(0, 0)]);
        assert_eq!(gather((0, 0), &[&receiver], until(Duration::from_millis(1))), [(0, 0)]);
        let late = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            sender.send(1).unwrap();
            sender
        });
        // Far beyond what a busy machine needs: it ends because the item came.
        assert_eq!(gather((0, 0), &[&receiver], until(Duration::from_mins(5))), [(0, 0), (0, 1)]);
        drop(late.join().unwrap());
    }
}

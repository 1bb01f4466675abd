//! The bounded channel between a camera and the engine.
//!
//! Owns the bound and the overflow policy. Knows neither pixels nor verdicts: generic over `T`.
//! Invariant: every item pushed leaves exactly once: through the receiver, as [`Pushed::Displaced`], or as
//! [`Pushed::Refused`]. Cost: crossbeam's array flavour, a lock-free ring that allocates in [`bounded`] only.

use crossbeam_channel::{Receiver, Sender, TrySendError};

/// What happens when the engine is slower than the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Free-running cameras: the oldest waiting item is taken out, so that the newest is judged.
    Latest,
    /// Triggered parts: nothing is taken out, the camera is held back.
    Every,
}

/// What became of an item that was pushed.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is displaced or refused has to be accounted for"]
pub enum Pushed<T> {
    /// It waits; nothing else had to go.
    Accepted,
    /// It waits, and this older one was taken out for it.
    Displaced(T),
    /// Nobody receives any more; here it is back.
    Refused(T),
}

/// The camera's end. There is one for each channel: it is not `Clone`, and `push` takes `&mut self`.
#[derive(Debug)]
pub struct Pusher<T> {
    sender: Sender<T>,
    /// Takes the oldest item out under [`Overflow::Latest`]; `None` under [`Overflow::Every`], where a
    /// receiver of its own would hide from the pusher that the engine is gone.
    oldest: Option<Receiver<T>>,
}

/// A channel for at most `len` items, at least one.
///
/// The receiver is crossbeam's own, so that one thread can select over many cameras.
/// Under [`Overflow::Every`] it must be read until the pusher is dropped, or the pusher waits for ever.
pub fn bounded<T>(len: usize, overflow: Overflow) -> (Pusher<T>, Receiver<T>) {
    let (sender, receiver) = crossbeam_channel::bounded(len.max(1));
    let oldest = match overflow {
        Overflow::Latest => Some(receiver.clone()),
        Overflow::Every => None,
    };
    (Pusher { sender, oldest }, receiver)
}

impl<T> Pusher<T> {
    /// Pushes an item; under [`Overflow::Every`] it waits for a free place.
    pub fn push(&mut self, item: T) -> Pushed<T> {
        let Some(oldest) = &self.oldest else {
            return self
                .sender
                .send(item)
                .map_or_else(|back| Pushed::Refused(back.0), |()| Pushed::Accepted);
        };
        let item = match self.sender.try_send(item) {
            Ok(()) => return Pushed::Accepted,
            Err(TrySendError::Disconnected(item)) => return Pushed::Refused(item),
            Err(TrySendError::Full(item)) => item,
        };
        // Nobody else pushes: whoever took the oldest item out, there is a free place now.
        let displaced = oldest.try_recv().ok();
        match (self.sender.try_send(item), displaced) {
            (Ok(()), Some(oldest)) => Pushed::Displaced(oldest),
            (Ok(()), None) => Pushed::Accepted,
            (Err(back), _) => Pushed::Refused(back.into_inner()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn latest_keeps_the_newest_and_returns_the_oldest() {
        let (mut pusher, receiver) = bounded(2, Overflow::Latest);
        assert_eq!(pusher.push(1), Pushed::Accepted);
        assert_eq!(pusher.push(2), Pushed::Accepted);
        assert_eq!(pusher.push(3), Pushed::Displaced(1));
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn every_holds_the_pusher_back_and_loses_nothing() {
        let (mut pusher, receiver) = bounded(1, Overflow::Every);
        let reader = std::thread::Builder::new()
            .name("reader".into())
            .spawn(move || receiver.iter().collect::<Vec<_>>())
            .unwrap();
        for item in 0..1_000 {
            assert_eq!(pusher.push(item), Pushed::Accepted);
        }
        drop(pusher);
        assert_eq!(reader.join().unwrap(), (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn under_every_a_receiver_that_is_gone_refuses() {
        let (mut pusher, receiver) = bounded(1, Overflow::Every);
        drop(receiver);
        assert_eq!(pusher.push(1), Pushed::Refused(1));
    }

    proptest! {
        /// Against a model: a queue that loses its front when it is full.
        #[test]
        fn every_item_leaves_exactly_once(len in 1_usize..5, pushes in prop::collection::vec(any::<bool>(), 0..200)) {
            let (mut pusher, receiver) = bounded(len, Overflow::Latest);
            let mut model = std::collections::VecDeque::new();
            for (item, push) in pushes.into_iter().enumerate() {
                if push {
                    let oldest = (model.len() == len).then(|| model.pop_front()).flatten();
                    model.push_back(item);
                    let expected = oldest.map_or(Pushed::Accepted, Pushed::Displaced);
                    prop_assert_eq!(pusher.push(item), expected);
                } else {
                    prop_assert_eq!(receiver.try_recv().ok(), model.pop_front());
                }
            }
            prop_assert_eq!(receiver.try_iter().collect::<Vec<_>>(), Vec::from(model));
        }
    }

    #[test]
    fn under_latest_two_threads_account_for_every_item() {
        let (mut pusher, receiver) = bounded(2, Overflow::Latest);
        let reader = std::thread::Builder::new()
            .name("reader".into())
            .spawn(move || receiver.iter().collect::<Vec<u32>>())
            .unwrap();
        let mut all = Vec::new();
        for item in 0..100_000 {
            match pusher.push(item) {
                Pushed::Accepted => {}
                Pushed::Displaced(item) | Pushed::Refused(item) => all.push(item),
            }
        }
        drop(pusher);
        all.extend(reader.join().unwrap());
        all.sort_unstable();
        assert_eq!(all, (0..100_000).collect::<Vec<_>>());
    }
}

//! Which messages are on their way, and how far everything before is acknowledged.
//!
//! Pure. The client library gives a message its packet id only when it leaves, in the order in which they were handed
//! over; a broker may acknowledge in another one. Owns that bookkeeping for one connection.
//! Invariant: a mark comes out when its message and every one before it are acknowledged, once, in order.

use std::collections::VecDeque;

/// The messages of one connection that are not acknowledged.
#[derive(Clone, Debug)]
pub struct Window<M> {
    messages: VecDeque<Message<M>>,
    /// Of these, so many at the front have left.
    left: usize,
}

#[derive(Clone, Debug)]
struct Message<M> {
    mark: Option<M>,
    packet: Option<u16>,
    is_acknowledged: bool,
}

/// A packet id that no message on its way has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown(pub u16);

impl<M> Default for Window<M> {
    fn default() -> Self {
        Self { messages: VecDeque::new(), left: 0 }
    }
}

impl<M> Window<M> {
    /// Messages that were handed over and are not done with.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The marks of these, in order.
    pub fn marks(&self) -> impl Iterator<Item = &M> {
        self.messages.iter().filter_map(|message| message.mark.as_ref())
    }

    /// A message was handed over, with what is done when it is acknowledged.
    pub fn push(&mut self, mark: Option<M>) {
        self.messages.push_back(Message { mark, packet: None, is_acknowledged: false });
    }

    /// The eldest that had not left did, by this packet id; 0 for one that nobody acknowledges, which is done with.
    pub fn left(&mut self, packet: u16) -> Result<(), Unknown> {
        let message = self.messages.get_mut(self.left).ok_or(Unknown(packet))?;
        message.packet = Some(packet);
        message.is_acknowledged = packet == 0;
        self.left += 1;
        Ok(())
    }

    /// The broker has that one.
    pub fn acknowledged(&mut self, packet: u16) -> Result<(), Unknown> {
        let mut left = self.messages.iter_mut().take(self.left);
        let waiting =
            left.find(|message| message.packet == Some(packet) && !message.is_acknowledged);
        waiting.ok_or(Unknown(packet))?.is_acknowledged = true;
        Ok(())
    }

    /// Takes out what is done with all before it; its marks, in order.
    pub fn settle(&mut self) -> Vec<M> {
        let mut marks = Vec::new();
        while self.messages.front().is_some_and(|message| message.is_acknowledged) {
            self.left -= 1;
            marks.extend(self.messages.pop_front().and_then(|message| message.mark));
        }
        marks
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn marks_wait_for_their_elders() {
        let mut window = Window::default();
        for mark in [Some(1), None, Some(3)] {
            window.push(mark);
        }
        assert_eq!(window.acknowledged(7), Err(Unknown(7)));
        for packet in [7, 8, 9] {
            window.left(packet).unwrap();
        }
        assert_eq!(window.left(10), Err(Unknown(10)));
        window.acknowledged(9).unwrap();
        assert_eq!(window.acknowledged(9), Err(Unknown(9)));
        assert!(window.settle().is_empty());
        window.acknowledged(7).unwrap();
        assert_eq!(window.settle(), [1]);
        window.acknowledged(8).unwrap();
        assert_eq!(window.settle(), [3]);
        assert!(window.is_empty());
    }

    #[test]
    fn what_nobody_acknowledges_is_done_with_when_it_has_left() {
        // Births of an idle station: nothing else comes that would settle them.
        let mut window = Window::<u8>::default();
        window.push(None);
        window.push(None);
        for _ in 0..2 {
            assert!(!window.is_empty());
            window.left(0).unwrap();
            assert!(window.settle().is_empty());
        }
        assert!(window.is_empty());
        assert_eq!(window.acknowledged(0), Err(Unknown(0)));
        // Between others it waits for its elder.
        window.push(Some(1));
        window.push(Some(2));
        window.left(5).unwrap();
        window.left(0).unwrap();
        assert!(window.settle().is_empty());
        window.acknowledged(5).unwrap();
        assert_eq!(window.settle(), [1, 2]);
        assert!(window.is_empty());
    }

    proptest! {
        /// Against the list of what was acknowledged: packet ids are given again, acknowledgements come in any order.
        #[test]
        fn agrees_with_a_plain_list(steps in prop::collection::vec((0_u8..3, 0_usize..8), 0..200)) {
            let mut window = Window::default();
            // Mark, packet id, acknowledged.
            let mut twin: Vec<(u32, Option<u16>, bool)> = Vec::new();
            let (mut next, mut settled, mut expected) = (0, Vec::new(), Vec::new());
            for (step, which) in steps {
                match step {
                    0 => {
                        window.push(Some(next));
                        twin.push((next, None, false));
                        next += 1;
                    }
                    1 => {
                        let free = (1..=16).find(|id| {
                            !twin.iter().any(|(_, packet, done)| *packet == Some(*id) && !done)
                        });
                        let waiting = twin.iter_mut().find(|(_, packet, _)| packet.is_none());
                        if let (Some(id), Some(waiting)) = (free, waiting) {
                            waiting.1 = Some(id);
                            prop_assert_eq!(window.left(id), Ok(()));
                        }
                    }
                    _ => {
                        let mut open: Vec<_> = twin.iter_mut().filter(|(_, packet, done)| packet.is_some() && !done).collect();
                        let many = open.len().max(1);
                        if let Some((_, Some(id), done)) = open.get_mut(which % many) {
                            *done = true;
                            prop_assert_eq!(window.acknowledged(*id), Ok(()));
                        }
                    }
                }
                settled.extend(window.settle());
                while twin.first().is_some_and(|(.., done)| *done) {
                    expected.push(twin.remove(0).0);
                }
                prop_assert_eq!(&settled, &expected);
                prop_assert_eq!(window.len(), twin.len());
            }
        }
    }
}

//! What each client of the live channel gets next.
//!
//! Owns the events, each made once and shared by all. State and pictures are cells: what is new takes the place of what
//! is old, so that a slow client gets the newest when it has room. What passes (points, rejects) is kept for a while; who
//! is too slow for that is told that he missed some, and may ask for all of it elsewhere. Pure.

use std::collections::VecDeque;

use bytes::Bytes;

/// Events that pass and are kept: several seconds of them.
const PASSING_MAX: usize = 64;
/// And their bytes: a tick's points of a thousand verdicts are some 150 kB.
const PASSING_BYTES_MAX: usize = 1_000_000;
/// Tells a client that events passed without it.
const MISSED: Bytes = Bytes::from_static(b"event: missed\ndata: {}\n\n");

#[derive(Clone, Debug)]
struct Event {
    number: u64,
    bytes: Bytes,
}

/// The events that there are.
#[derive(Debug)]
pub(super) struct Feed {
    /// The last event's number; they count from 1.
    last: u64,
    state: Option<Event>,
    /// One for each camera.
    pictures: Vec<Option<Event>>,
    passing: VecDeque<Event>,
    /// The number of the last that passed and is not kept any more.
    gone: u64,
}

/// How far a client has come: the numbers of the last events that it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    state: u64,
    pictures: Vec<u64>,
    passing: u64,
}

impl Feed {
    pub(super) fn new(cameras: usize) -> Self {
        Self {
            last: 0,
            state: None,
            pictures: vec![None; cameras],
            passing: VecDeque::new(),
            gone: 0,
        }
    }

    /// For a client that knows the state, and nothing else.
    pub(super) fn cursor(&self) -> Cursor {
        Cursor { state: self.last, pictures: vec![0; self.pictures.len()], passing: self.last }
    }

    fn number(&mut self, bytes: Bytes) -> Event {
        self.last += 1;
        Event { number: self.last, bytes }
    }

    pub(super) fn state(&mut self, bytes: Bytes) {
        self.state = Some(self.number(bytes));
    }

    pub(super) fn picture(&mut self, camera: usize, bytes: Bytes) {
        let event = self.number(bytes);
        if let Some(cell) = self.pictures.get_mut(camera) {
            *cell = Some(event);
        }
    }

    /// Nobody watches: whoever comes next wants none from before.
    pub(super) fn forget_pictures(&mut self) {
        self.pictures.fill(None);
    }

    pub(super) fn passes(&mut self, bytes: Bytes) {
        let event = self.number(bytes);
        self.passing.push_back(event);
        let mut kept: usize = self.passing.iter().map(|event| event.bytes.len()).sum();
        while self.passing.len() > PASSING_MAX || kept > PASSING_BYTES_MAX {
            let Some(oldest) = self.passing.pop_front() else { return };
            kept -= oldest.bytes.len();
            self.gone = oldest.number;
        }
    }

    /// The next event for a client: the state first, then what passes in its order, then the picture that it has waited
    /// for the longest.
    pub(super) fn next(&self, cursor: &mut Cursor) -> Option<Bytes> {
        if let Some(state) = self.state.as_ref().filter(|state| state.number > cursor.state) {
            cursor.state = state.number;
            return Some(state.bytes.clone());
        }
        if cursor.passing < self.gone {
            cursor.passing = self.gone;
            return Some(MISSED);
        }
        if let Some(event) = self.passing.iter().find(|event| event.number > cursor.passing) {
            cursor.passing = event.number;
            return Some(event.bytes.clone());
        }
        let seen = cursor.pictures.iter_mut();
        let unseen = std::iter::zip(&self.pictures, seen)
            .filter_map(|(cell, seen)| Some((cell.as_ref()?, seen)))
            .filter(|(event, seen)| event.number > **seen);
        // Who was shown the longest ago: no camera waits for another's pictures.
        let (event, seen) = unseen.min_by_key(|(_, seen)| **seen)?;
        *seen = event.number;
        Some(event.bytes.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(feed: &Feed, cursor: &mut Cursor) -> Vec<String> {
        std::iter::from_fn(|| feed.next(cursor))
            .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn a_slow_client_gets_the_newest_and_a_quick_one_gets_all() {
        let mut feed = Feed::new(2);
        let (mut quick, mut slow) = (feed.cursor(), feed.cursor());
        for tick in 0..3 {
            feed.passes(format!("points {tick}").into());
            feed.picture(0, format!("top {tick}").into());
            feed.picture(1, format!("side {tick}").into());
            feed.state(format!("state {tick}").into());
            let expected = ["state", "points", "top", "side"].map(|word| format!("{word} {tick}"));
            assert_eq!(all(&feed, &mut quick), expected);
        }
        let expected = ["state 2", "points 0", "points 1", "points 2", "top 2", "side 2"];
        assert_eq!(all(&feed, &mut slow), expected);
        assert_eq!(all(&feed, &mut slow), [""; 0]);
    }

    #[test]
    fn the_same_bytes_are_shared_by_all() {
        let mut feed = Feed::new(1);
        let (mut one, mut other) = (feed.cursor(), feed.cursor());
        feed.picture(0, "top".to_owned().into());
        let [a, b] = [&mut one, &mut other].map(|cursor| feed.next(cursor).unwrap());
        assert_eq!(a.as_ptr(), b.as_ptr());
    }

    #[test]
    fn a_client_that_comes_later_gets_the_picture_that_is_there_and_nothing_that_passed() {
        let mut feed = Feed::new(1);
        feed.passes("points".into());
        feed.picture(0, "top".into());
        feed.state("state".into());
        assert_eq!(all(&feed, &mut feed.cursor()), ["top"]);
        feed.forget_pictures();
        assert_eq!(all(&feed, &mut feed.cursor()), [""; 0]);
    }

    #[test]
    fn what_passes_is_bounded_and_who_missed_some_is_told_once() {
        let mut feed = Feed::new(1);
        let mut slow = feed.cursor();
        for number in 0..=PASSING_MAX {
            feed.passes(number.to_string().into());
        }
        let got = all(&feed, &mut slow);
        assert_eq!((got.len(), &*got[0], &*got[1]), (PASSING_MAX + 1, MISSED_TEXT, "1"));
        // By bytes, too.
        for _large in 0..3 {
            feed.passes(vec![b'x'; PASSING_BYTES_MAX / 2].into());
        }
        let got = all(&feed, &mut slow);
        assert_eq!((got.len(), &*got[0]), (3, MISSED_TEXT));
        assert!(
            feed.passing.iter().map(|event| event.bytes.len()).sum::<usize>() <= PASSING_BYTES_MAX
        );
    }

    const MISSED_TEXT: &str = "event: missed\ndata: {}\n\n";
}

//! The last rejects with small pictures, in memory.
//!
//! Owns how many and how large. Pure. What is to last is the archive's.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::{facts::Facts, picture::Picture};
use crate::frame::FrameId;

/// As many as somebody scrolls through.
const REJECTS_MAX: usize = 50;
/// All their pictures: 50 of 100 kB, and three times as much for pictures that hardly compress.
const PICTURES_BYTES_MAX: usize = 16_000_000;

/// Which of a reject's pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The frame, as JPEG.
    Frame,
    /// Its heat, as grey PNG.
    Heat,
}

/// A reject as clients get it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Row {
    /// The frame's verdict.
    #[serde(flatten)]
    pub facts: Facts,
    /// Where its picture is; `None` where none is kept.
    pub picture: Option<String>,
    /// Where its heat is.
    pub heat: Option<String>,
    /// Somebody said that it was a good part.
    pub is_false: bool,
}

#[derive(Debug)]
struct Reject {
    frame: FrameId,
    facts: Facts,
    picture: Option<Picture>,
    is_false: bool,
}

impl Reject {
    fn row(&self) -> Row {
        let FrameId { camera, epoch, number } = &self.frame;
        let url = |file: &str| format!("/api/v1/rejects/{camera}/{epoch}/{number}/{file}");
        let picture = self.picture.as_ref();
        Row {
            facts: self.facts.clone(),
            picture: picture.map(|_| url("frame.jpg")),
            heat: picture.and_then(|picture| picture.heat.as_ref()).map(|_| url("heat.png")),
            is_false: self.is_false,
        }
    }
}

/// The last rejects, the newest first.
#[derive(Debug, Default)]
pub(super) struct Rejects(VecDeque<Reject>);

impl Rejects {
    /// Keeps one more; its row.
    pub(super) fn add(&mut self, frame: FrameId, facts: Facts, picture: Option<Picture>) -> Row {
        let reject = Reject { frame, facts, picture, is_false: false };
        let row = reject.row();
        self.0.push_front(reject);
        self.0.truncate(REJECTS_MAX);
        let mut kept = 0;
        for reject in &mut self.0 {
            kept += reject.picture.as_ref().map_or(0, Picture::bytes);
            if kept > PICTURES_BYTES_MAX {
                reject.picture = None;
            }
        }
        row
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        self.0.iter().map(Reject::row).collect()
    }

    pub(super) fn picture(&self, frame: &FrameId, of: Of) -> Option<Bytes> {
        let picture = self.0.iter().find(|reject| reject.frame == *frame)?.picture.as_ref()?;
        match of {
            Of::Frame => Some(picture.jpeg.clone()),
            Of::Heat => picture.heat.clone(),
        }
    }

    /// Its row as it is now; `None` where it is not among the last ones.
    pub(super) fn mark(&mut self, frame: &FrameId, is_false: bool) -> Option<Row> {
        let reject = self.0.iter_mut().find(|reject| reject.frame == *frame)?;
        reject.is_false = is_false;
        Some(reject.row())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{frame::CameraId, verdict::Verdict};

    fn frame(number: u64) -> FrameId {
        FrameId { camera: CameraId("top".into()), epoch: 1, number }
    }

    fn facts() -> Facts {
        Facts {
            camera: "top".into(),
            epoch: 1,
            frame: 1,
            time: String::new(),
            decision: Verdict::fault(0.1, "").decision.name(),
            product: None,
            score: None,
            threshold: None,
            p_value: None,
            words: String::new(),
            reason: None,
        }
    }

    fn picture(bytes: usize) -> Picture {
        Picture { jpeg: vec![1; bytes].into(), heat: Some(vec![2; 10].into()) }
    }

    #[test]
    fn the_last_ones_are_kept_the_newest_first_and_may_be_marked() {
        let mut rejects = Rejects::default();
        for number in 1..=60 {
            rejects.add(frame(number), facts(), Some(picture(10)));
        }
        let row = rejects.add(frame(61), facts(), None);
        assert_eq!((row.picture, row.heat, row.is_false), (None, None, false));
        let rows = rejects.rows();
        assert_eq!(
            (rows.len(), rejects.0[0].frame.number, rejects.0[49].frame.number),
            (50, 61, 12)
        );
        assert_eq!(rows[1].picture.as_deref(), Some("/api/v1/rejects/top/1/60/frame.jpg"));
        assert_eq!(rows[1].heat.as_deref(), Some("/api/v1/rejects/top/1/60/heat.png"));
        assert!(rejects.mark(&frame(60), true).unwrap().is_false);
        assert!(rejects.mark(&frame(1), true).is_none());
        assert!(rejects.rows()[1].is_false);
        assert!(!rejects.mark(&frame(60), false).unwrap().is_false && !rejects.rows()[1].is_false);
        assert_eq!(rejects.picture(&frame(60), Of::Frame).unwrap().len(), 10);
        assert_eq!(rejects.picture(&frame(60), Of::Heat).unwrap()[0], 2);
        assert_eq!(rejects.picture(&frame(61), Of::Frame), None);
        assert_eq!(rejects.picture(&frame(1), Of::Frame), None);
    }

    #[test]
    fn large_pictures_go_before_their_rows_do_and_the_oldest_first() {
        let mut rejects = Rejects::default();
        for number in 1..=50 {
            rejects.add(frame(number), facts(), Some(picture(1_000_000)));
        }
        let with_picture = rejects.rows().iter().filter(|row| row.picture.is_some()).count();
        assert_eq!((rejects.rows().len(), with_picture), (50, 15));
        assert!(rejects.rows()[..15].iter().all(|row| row.picture.is_some()));
    }
}

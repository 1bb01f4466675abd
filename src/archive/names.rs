//! The archive's own names: a folder for each frame, and what lies in it.
//!
//! Pure. `CAMERA/EPOCH/NUMBER/` holds a frame's evidence; `CAMERA/EPOCH/NUMBER.tmp/` is on its way to be, or from having
//! been, one. A name that this module would not have given is nobody's business here: it is neither read nor removed.

use crate::frame::{CameraId, FrameId};

/// A camera's name stands in paths; the configuration allows no more.
const CAMERA_CHARS_MAX: usize = 64;
/// What ends the name of a folder that is not whole.
const UNFINISHED: &str = ".tmp";

/// What lies in a frame's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum File {
    /// The frame.
    Frame,
    /// The anomaly map at the frame's size: 0 is no heat, 128 the threshold, 255 twice it or more.
    Heat,
    /// What of it is above the threshold: 255, and 0 elsewhere.
    Mask,
    /// The verdict line, with what is to be known of the pictures.
    Verdict,
}

impl File {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Frame, Self::Heat, Self::Mask, Self::Verdict];

    /// The file's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frame => "frame.jpg",
            Self::Heat => "heat.png",
            Self::Mask => "mask.png",
            Self::Verdict => "verdict.json",
        }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Frame => "image/jpeg",
            Self::Heat | Self::Mask => "image/png",
            Self::Verdict => "application/json",
        }
    }

    /// Whether no evidence is without it.
    pub const fn is_always_there(self) -> bool {
        match self {
            Self::Frame | Self::Verdict => true,
            Self::Heat | Self::Mask => false,
        }
    }

    /// The file of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file| file.name() == name)
    }
}

/// A folder below a numbering's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A frame's evidence.
    Frame(u64),
    /// What a crash left of one.
    Unfinished(u64),
}

/// The camera of that name, where it is one.
pub fn camera(name: &str) -> Option<CameraId> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_plain = !name.is_empty() && name.len() <= CAMERA_CHARS_MAX && name.chars().all(plain);
    is_plain.then(|| CameraId(name.into()))
}

/// An epoch or a frame's number as it is written, and in no other way.
pub fn number(name: &str) -> Option<u64> {
    name.parse().ok().filter(|number: &u64| number.to_string() == name)
}

/// What a folder below a numbering's is; `None` for somebody else's.
pub fn named(name: &str) -> Option<Named> {
    match name.strip_suffix(UNFINISHED) {
        Some(number) => self::number(number).map(Named::Unfinished),
        None => number(name).map(Named::Frame),
    }
}

/// The frame that three parts of a path name.
pub fn frame(camera: &str, epoch: &str, number: &str) -> Option<FrameId> {
    Some(FrameId {
        camera: self::camera(camera)?,
        epoch: self::number(epoch)?,
        number: self::number(number)?,
    })
}

/// The name of a frame's folder while it is not whole.
pub fn unfinished(number: u64) -> String {
    format!("{number}{UNFINISHED}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_our_own_making_are_ours() {
        let check = |camera: &str, epoch: &str, number: &str, is_ours: bool| {
            assert_eq!(
                frame(camera, epoch, number).is_some(),
                is_ours,
                "{camera}/{epoch}/{number}"
            );
        };
        check("top", "1764", "12", true);
        for foreign in
            ["", ".", "..", "a/b", "/etc", "top\0", "t p", "%2e%2e", "töp", &"x".repeat(65)]
        {
            check(foreign, "1", "1", false);
        }
        for foreign in
            ["", "-1", "+1", "01", "1.0", " 1", "1 ", "..", "18446744073709551616", "1/2"]
        {
            check("top", foreign, "1", false);
            check("top", "1", foreign, false);
        }
        assert_eq!(named("12.tmp"), Some(Named::Unfinished(12)));
        for foreign in ["12.tmp.tmp", ".tmp", "x.tmp", "notes.txt", "12.jpg"] {
            assert_eq!(named(foreign), None, "{foreign}");
        }
        for file in File::ALL {
            assert_eq!(File::named(file.name()), Some(file));
        }
        assert_eq!(File::named("../frame.jpg"), None);
    }
}

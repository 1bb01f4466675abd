//! What the markers of a JPEG file say before it is decoded.
//!
//! Owns two facts that a lenient decoder hides: whether the file is whole, and how many channels it has. Knows no
//! pixel. Source: ITU-T T.81, annex B.

const START_OF_SCAN_STUFFING: u8 = 0x00;
const TEMPORARY: u8 = 0x01;
const RESTART: std::ops::RangeInclusive<u8> = 0xd0..=0xd7;
const END_OF_IMAGE: u8 = 0xd9;
/// Frame headers, among which T.81 put three other markers.
const FRAME: std::ops::RangeInclusive<u8> = 0xc0..=0xcf;
const NO_FRAME: [u8; 3] = [0xc4, 0xc8, 0xcc];
/// From a frame header's length field to its number of channels: length 2, precision 1, height 2, width 2.
const CHANNELS_OFFSET: usize = 7;

/// What the markers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Markers {
    /// Channels of the frame: 1 grey, 3 colour, 4 CMYK; `None` without a frame header.
    pub(super) channels: Option<u8>,
    /// Whether the end-of-image marker was reached: a file that was cut off lacks it.
    pub(super) whole: bool,
}

/// Reads the markers of a file. Those inside a segment, such as a thumbnail's, are skipped with it.
pub(super) fn markers(bytes: &[u8]) -> Markers {
    let mut found = Markers::default();
    // The start-of-image marker.
    let mut at = 2;
    while let Some((marker, after)) = next(bytes, at) {
        if marker == END_OF_IMAGE {
            found.whole = true;
            return found;
        }
        if FRAME.contains(&marker) && !NO_FRAME.contains(&marker) {
            found.channels = bytes.get(after + CHANNELS_OFFSET).copied();
        }
        let Some(&[high, low]) = bytes.get(after..).and_then(<[u8]>::first_chunk) else { break };
        at = after + usize::from(u16::from_be_bytes([high, low]));
    }
    found
}

/// The next marker that begins a segment or ends the image, and the place after it.
fn next(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)? + 1;
        let marker = *bytes.get(at)?;
        // Not a marker: stuffed data, fill bytes. Without a segment: restarts.
        let stands_alone = marker == START_OF_SCAN_STUFFING
            || marker == TEMPORARY
            || marker == 0xff
            || RESTART.contains(&marker);
        if !stands_alone {
            return Some((marker, at + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], channels: Option<u8>, whole: bool) {
        assert_eq!(markers(bytes), Markers { channels, whole }, "{bytes:02x?}");
    }

    const FRAME_OF_3: [u8; 10] = [0xff, 0xc0, 0, 9, 8, 0, 1, 0, 1, 3];

    #[test]
    fn markers_are_walked_segment_by_segment() {
        check(&[], None, false);
        check(&[0xff, 0xd8], None, false);
        check(&[0xff, 0xd8, 0xff, 0xd9], None, true);
        // A thumbnail within a segment has an end of its own.
        check(&[0xff, 0xd8, 0xff, 0xe1, 0, 4, 0xff, 0xd9], None, false);
        // Tables are no frame.
        check(&[0xff, 0xd8, 0xff, 0xc4, 0, 2, 0xff, 0xd9], None, true);
        let scan = [0xff, 0xda, 0, 2, 1, 0xff, 0, 2, 0xff, 0xd0, 3, 0xff, 0xff];
        let frame = [&[0xff, 0xd8][..], &FRAME_OF_3, &[0], &scan].concat();
        check(&frame, Some(3), false);
        check(&[&frame[..], &[0xd9, 9, 9]].concat(), Some(3), true);
        // Cut off within a length.
        check(&frame[..5], None, false);
    }
}

//! What must not be told: user and password in the address of a camera.
//!
//! Pure. Everything that a preset or GStreamer says about an address passes here before anybody can log it.

/// The text with a mark in place of what stands between `://` and `@`.
pub(super) fn masked(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        told.push_str(before);
        told.push_str("://");
        let end = after.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(at) => {
                told.push_str("***");
                &after[at..]
            }
            None => after,
        };
    }
    told.push_str(rest);
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_never_told() {
        let check = |text: &str, expected: &str| assert_eq!(masked(text), expected);
        check("does rtsp://op:p@ss@10.0.0.8/1 answer?", "does rtsp://***@10.0.0.8/1 answer?");
        check("rtsp://10.0.0.8/a@b and http://x:y@h", "rtsp://10.0.0.8/a@b and http://***@h");
        check("no address, a@b", "no address, a@b");
        check("", "");
    }
}

//! Where a message goes: the names of topics.
//!
//! Pure. Owns what a level of a topic may be, and the one design of topics: `PREFIX/SITE/DEVICE/CAMERA/WHAT` for what a
//! camera's frames came to, `PREFIX/SITE/DEVICE/WHAT` for the station.

use std::fmt;

/// More is no name.
const CHARS_MAX: usize = 64;

/// One level of a topic, which stands for itself in every broker and in Sparkplug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level(String);

impl Level {
    /// The text as a level; an error says what one takes.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let is_plain = |c: char| !c.is_control() && !matches!(c, '+' | '#' | '/');
        let is_level = (1..=CHARS_MAX).contains(&text.chars().count())
            && text.chars().all(is_plain)
            // What begins with it is the broker's own.
            && !text.starts_with('$');
        if is_level {
            return Ok(Self(text.into()));
        }
        Err(
            "it is a level of topics: text without +, #, / and control characters, not beginning with $, at most 64 characters",
        )
    }

    /// The level.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The site.
    pub site: Level,
    /// The station, which no other on the broker may have.
    pub device: Level,
}

impl Identity {
    /// By which the broker knows the connection: one at a time.
    pub fn client_id(&self) -> String {
        format!("sightline-{}-{}", self.site, self.device)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.site, self.device)
    }
}

/// The topics of plain JSON.
#[derive(Clone, Debug)]
pub struct Topics {
    station: String,
}

impl Topics {
    /// Below `PREFIX/SITE/DEVICE`.
    pub fn new(prefix: &str, identity: &Identity) -> Self {
        Self { station: format!("{prefix}/{identity}") }
    }

    /// Of the station itself.
    pub fn station(&self, what: &str) -> String {
        format!("{}/{what}", self.station)
    }

    /// Of one of its cameras.
    pub fn camera(&self, camera: &str, what: &str) -> String {
        format!("{}/{camera}/{what}", self.station)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_level_is_no_wildcard_and_no_path() {
        for good in ["plant", "Werk 3", "line-1", "Fräse"] {
            assert_eq!(Level::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a/b", "+", "a#", "$SYS", "a\0", "a\n", &"x".repeat(65)] {
            assert!(Level::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn topics_are_of_one_design() {
        let level = |text: &str| Level::new(text).unwrap();
        let identity = Identity { site: level("plant"), device: level("line-1") };
        let topics = Topics::new("sightline", &identity);
        assert_eq!(topics.station("state"), "sightline/plant/line-1/state");
        assert_eq!(topics.camera("top", "verdict"), "sightline/plant/line-1/top/verdict");
        assert_eq!(identity.client_id(), "sightline-plant-line-1");
    }

    proptest! {
        /// What is a level is a topic of its own for the client library, and no filter.
        #[test]
        fn whatever_is_a_level_makes_a_valid_topic(text in ".{0,70}") {
            if let Ok(level) = Level::new(&text) {
                prop_assert!(rumqttc::valid_topic(level.as_str()));
                prop_assert_eq!(level.as_str().split('/').count(), 1);
            }
        }
    }
}

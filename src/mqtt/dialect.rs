//! What is said to a broker, whatever the form.
//!
//! Pure. Owns the seam between the connection (`client`) and the forms (`json`, `sparkplug`): which messages a connection
//! begins and ends with, what a row becomes, and what is listened to.

use std::time::SystemTime;

use crate::{ledger::outbox::Row, state::Condition};

/// The form of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Plain JSON topics.
    Json,
    /// Sparkplug B.
    Sparkplug,
}

/// A message for the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// How it is delivered.
    pub delivery: Delivery,
}

/// How a message is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Until the broker has it.
    Acknowledged,
    /// The same, and the broker tells whoever comes later.
    Retained,
    /// Once, and nobody says whether it came: what Sparkplug wants of births.
    Once,
}

/// A fixed header, the longest length, a packet id and no properties.
const HEAD_BYTES_MAX: usize = 1 + 4 + 2 + 2 + 1;

impl Message {
    /// Bytes of the packet, at most.
    pub fn packet_bytes(&self) -> usize {
        HEAD_BYTES_MAX + self.topic.len() + self.payload.len()
    }
}

/// How much is said of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Everything, in a packet of so many bytes at most.
    Whole(usize),
    /// Long texts cut off, likewise.
    Short(usize),
}

/// What somebody else's message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing of us.
    Nothing,
    /// To begin anew.
    Greet,
    /// The host that is waited for listens, or no longer does.
    Host {
        /// Whether it does.
        is_online: bool,
    },
}

/// A form.
pub trait Dialect: Send {
    /// What the broker says when the connection is lost. Called once for each connection, before everything else.
    fn will(&mut self, now: SystemTime) -> Message;

    /// What is listened to.
    fn subscriptions(&self) -> Vec<String>;

    /// Whether a host has to be listening before anything is said.
    fn waits_for_host(&self) -> bool;

    /// What a connection begins with, and whenever somebody asks for it.
    fn greeting(&mut self, condition: &Condition, now: SystemTime) -> Vec<Message>;

    /// A row, in a message of that length: the last of these; `None` where none can be that short.
    fn row(&mut self, row: &Row, length: Length, now: SystemTime) -> Option<Vec<Message>>;

    /// How the station is.
    fn state(&mut self, condition: &Condition, now: SystemTime) -> Vec<Message>;

    /// What somebody else said.
    fn heard(&mut self, topic: &str, payload: &[u8]) -> Heard;

    /// What a connection ends with that nobody lost.
    fn farewell(&mut self, now: SystemTime) -> Vec<Message>;
}

/// The text, or so much of it.
pub(super) fn cut(text: &str, length: Length) -> (String, bool) {
    /// A reason's first words, a file's folder.
    const SHORT_CHARS_MAX: usize = 64;
    match length {
        Length::Short(_) if text.chars().count() > SHORT_CHARS_MAX => {
            (text.chars().take(SHORT_CHARS_MAX).chain(['…']).collect(), true)
        }
        Length::Short(_) | Length::Whole(_) => (text.into(), false),
    }
}

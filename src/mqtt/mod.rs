//! What a broker is told: every frame's end, parts, events, state and alarms, over MQTT 5, acknowledged.
//!
//! `client` is the thread and its connection; `dialect` is the seam to the forms, `json` and `sparkplug`; `topic` names
//! things, `window` knows what is acknowledged, `suspicion` what a broker may not like, `failure` says what went wrong,
//! `tally` how it goes.
//!
//! The ledger is the queue: a row is read behind the cursor, sent, and the cursor moves when the broker has acknowledged
//! it and all before it. So nothing here has to survive a crash, no session is kept by the broker, and a connection that
//! ends is forgotten whole. Nobody waits for this thread: it reads the file, and posts what it reached into a slot.
//!
//! Invariants: a row leaves the queue only when it is acknowledged; those of a camera leave in order; a row that no
//! message can hold stays, and is told; what is on its way is bounded by [`client::WINDOW`].
//! No pictures. Knows neither frames nor SQL.

pub mod client;
pub mod dialect;
pub mod failure;
pub mod json;
pub mod sparkplug;
pub mod suspicion;
pub mod tally;
pub mod tls;
pub mod topic;
pub mod window;

pub use self::{
    client::{Means, MqttOptions, Publisher, Transport},
    dialect::Format,
    tally::Tally,
    topic::{Identity, Level},
};

//! Sightline inspects every frame of a production-line camera on the edge device itself.
//!
//! # The way of a frame
//! 1. `camera` plays a pipeline; a frame is numbered (`frame`) where it can first be counted.
//! 2. It waits in a bounded `channel`; what is displaced there is counted in the `ledger`.
//! 3. `preprocess` makes the model's input of it, without a copy where the pipeline scaled it already.
//! 4. The `engine` runs the network: anomaly map, score, embedding.
//! 5. The `judge` holds score and embedding against the product's calibration (`inspector` is 3 to 5).
//! 6. The `verdict` goes as a `record` to the `sinks`, and the frame's one disposition into the `ledger`.
//! 7. `station` wires all that: who owns which thread, in which order it starts and drains.
//! 8. Meanwhile the `state` is posted, `telemetry` measures, `http` serves both, and `service` tells systemd.
//! 9. A broker is told by `mqtt`, which reads the ledger behind what was acknowledged.
//! 10. Pictures of what is refused are kept by the `archive`, at their full resolution.
//! 11. The page sees pictures, rejects and trends by what `live` keeps.
//! 12. Good parts are measured for a `calibration`, by a command or beside the running line.
//! 13. `doctor` looks at the machine before any of it, and says what is missing.
//! 14. A `plc` announces parts and takes their results, where there is one.
//! 15. At the end `summary` says what it amounts to, and `fault` which exit code that is.

pub mod area;
pub mod frame;
pub mod channel;
pub mod camera;
pub mod preprocess;
pub mod engine;
pub mod judge;
pub mod inspector;
pub mod calibration;
pub mod verdict;
pub mod record;
pub mod inspected;
pub mod production;
pub mod ledger;
pub mod mqtt;
pub mod archive;
pub mod state;
pub mod alarm;
pub mod machine;
pub mod telemetry;
pub mod live;
pub mod plc;
pub mod access;
pub mod http;
pub mod service;
pub mod sinks;
pub mod station;
pub mod summary;
pub mod overlay;
pub mod images;
pub mod bench;
pub mod doctor;
pub mod config;
pub mod cli;
pub mod bind;
pub mod clock;
pub mod backoff;
pub mod shutdown;
pub mod fault;

//! The integration tests: one binary, one link, shared helpers.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::allow_attributes,
    clippy::panic,
    unreachable_pub,
    reason = "tests"
)]

mod line;
#[path = "../../bundle/tests/peak/mod.rs"]
mod peak;
mod support;

mod access;
mod actions;
mod archive;
mod bad_input;
mod bench;
mod board_check;
mod book;
mod calibrate;
mod check_and_capture;
mod demo;
mod doctor;
mod engines;
mod golden_refusal;
mod hostile;
mod inspect;
mod judging;
mod ledger;
mod live;
mod mqtt;
mod page;
mod plc;
mod precisions;
mod prepare;
mod presets;
mod recipes;
mod reconnect;
mod reload;
mod rtsp;
mod service;
mod tidy;
mod triggers;
mod units;
mod views;
mod way_of_a_frame;

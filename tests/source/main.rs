//! The source: what the sink has sent into a stream comes out of it again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../common/mod.rs"]
mod common;

mod archive;
mod credentials;
mod example;
mod faults;
mod fidelity;
mod live;
mod players;
mod seek;
mod states;
mod tools;
mod tracks;

/// When what is sent here began, to the nanosecond; no whole number of milliseconds.
const START: i64 = 1_795_145_031_916_700_001;

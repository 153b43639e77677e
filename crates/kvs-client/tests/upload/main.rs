//! An upload against the real service, over a path that can be cut, stopped, slowed down and refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Shared with tests that need more of them.
#![allow(dead_code)]

#[path = "../../../kvs-service/tests/service/client.rs"]
mod client;
#[path = "../../../kvs-service/tests/service/media.rs"]
mod media;
#[path = "../../../kvs-service/tests/service/running.rs"]
mod running;

mod credentials;
mod faults;
mod passing;
mod path;
mod policies;
mod scene;
mod start_and_stop;
mod whole;

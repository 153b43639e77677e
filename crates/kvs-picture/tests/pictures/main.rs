//! Pictures of real media: of the worker alone, and of the service that runs it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]
// Shared with the tests of the service, which use more of them.
#![allow(dead_code)]

#[path = "../../../kvs-service/tests/service/client.rs"]
mod client;
mod faults;
mod media;
mod rules;
#[path = "../../../kvs-service/tests/service/running.rs"]
mod running;
mod service;
mod worker;

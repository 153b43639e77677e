//! The client against the service in this process, and against peers that do what a service should not.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod chain;
mod child;
mod control;
mod fake;
mod file;
mod iot;
mod put_media;
mod running;
mod trust;

//! Who gets in, and what they may do then.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

mod access;
mod message;
mod sigv4;

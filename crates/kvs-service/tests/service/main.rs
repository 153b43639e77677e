//! The service on a port of its own, and clients of it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]
// The tests of the command share `client` and `media`, and use more of them.
#![allow(dead_code)]

mod client;
mod get_media;
mod listener;
mod media;
mod playback;
mod put_media;
mod running;

//! Stored fragments as MP4 and MPEG-TS, read back by others: `mp4_atom`, ffmpeg and GStreamer.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

mod clip;
mod init;
mod parsed;
mod players;
#[path = "../samples/mod.rs"]
mod samples;
mod segment;
mod stored;
mod timing;
mod ts;

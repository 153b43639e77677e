//! Matroska, codec headers, fragments and time for Kinesis Video Streams.
//!
//! Pure: no socket, no thread, no clock read, no randomness, no environment. Time and chance come in as arguments.
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

pub mod codec;
pub mod fragment;
pub mod mkv;
pub mod playback;
pub mod time;
mod track;

pub use track::{AudioShape, Track, TrackKind, TrackNumber, VideoShape};

//! What both ends of the Kinesis Video Streams wire call things.
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

mod decimal;
mod fragment_number;
mod text;
mod time;

pub use fragment_number::{FragmentNumber, FragmentNumberError, FragmentNumberParts};
pub use time::{EpochSeconds, TimeError};

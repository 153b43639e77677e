//! What both ends of the Kinesis Video Streams wire call things.
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

mod ack;
mod ack_reader;
#[cfg(test)]
mod ack_strategy;
mod decimal;
mod error_id;
mod fragment_number;
pub mod limits;
pub mod pattern;
mod refusals;
mod selector;
mod stream;
pub mod tags;
mod text;
mod time;

pub use ack::{Ack, AckError, AckEvent};
pub use ack_reader::AckReader;
pub use error_id::{ErrorId, Reaction};
pub use fragment_number::{FragmentNumber, FragmentNumberError, FragmentNumberParts};
pub use refusals::{Refusals, Verdict};
pub use selector::{
    ContinuationToken, ContinuationTokenError, FragmentSelector, FragmentSelectorType, SelectorError,
    StartSelector, TimestampRange,
};
pub use stream::{StreamArn, StreamArnError, StreamName, StreamNameError};
pub use time::{EpochSeconds, TimeError};

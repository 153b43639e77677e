//! What both ends of the Kinesis Video Streams wire call things: names, numbers, times and refusals, read and
//! printed. The client and the service share these and no behaviour.
//!
//! Pure: no socket, no thread, no clock read, no randomness, no environment. Whatever a peer sends is read or refused
//! with an error that says what and where, in time linear in its length and in bounded memory.
//!
//! # The upload session reads acks
//!
//! ```
//! use kvs_wire::{AckEvent, AckReader, Reaction, Refusals, Verdict};
//!
//! let mut acks = AckReader::new();
//! let mut refusals = Refusals::new();
//! let mut actions = Vec::new();
//! // What the socket gave, whole or not.
//! let mut bytes: &[u8] = br#"{"EventType":"PERSISTED","FragmentTimecode":1000,"FragmentNumber":"91343852333182006801812051225829315333083406205"}
//! {"EventType":"ERROR","FragmentTimecode":3000,"FragmentNumber":"91343852333182006801812051225829315333083406206","ErrorCode":"FRAMES_MISSING_FOR_TRACK","ErrorId":4011}
//! {"EventType":"BUFF"#;
//! while let Some(ack) = acks.read(&mut bytes) {
//!     match ack {
//!         // The session knows its fragments by their timecodes.
//!         Ok(ack) => match (ack.event, ack.fragment_timecode) {
//!             (AckEvent::Persisted, Some(timecode)) => {
//!                 refusals.settle_through(&timecode);
//!                 actions.push(format!("free {timecode}"));
//!             }
//!             (AckEvent::Error, Some(timecode)) => match (refusals.refuse(timecode, ack.error()), ack.reaction()) {
//!                 (Verdict::Drop, _) => actions.push(format!("drop {timecode}")),
//!                 (Verdict::Resend, Some(Reaction::ResendWithoutSilentTrack)) => {
//!                     actions.push(format!("resend {timecode} without its silent track"));
//!                 }
//!                 (Verdict::Resend, reaction) => actions.push(format!("{reaction:?}")),
//!             },
//!             _ => {}
//!         },
//!         // Worth a warning, and no reason to end the session.
//!         Err(error) => actions.push(error.to_string()),
//!     }
//! }
//! assert_eq!(actions, ["free 1000", "resend 3000 without its silent track"]);
//! ```
//!
//! # The service prints acks
//!
//! ```
//! use kvs_media::time::Utc;
//! use kvs_wire::{Ack, AckEvent, ErrorId, FragmentNumber};
//!
//! // Time and chance come in from outside.
//! let received_at = Utc::from_millis(1_704_164_645_000).unwrap();
//! let number = FragmentNumber::make(1, received_at, 1).unwrap();
//! let mut out = Vec::new();
//! Ack::of(AckEvent::Received, 1677613819540, number.clone()).write(&mut out);
//! Ack::refusal(ErrorId(4006), None).write(&mut out);
//! assert_eq!(
//!     std::str::from_utf8(&out).unwrap(),
//!     r#"{"EventType":"RECEIVED","FragmentTimecode":1677613819540,"FragmentNumber":"91343852333181432392682062659367423407745400833"}
//! {"EventType":"ERROR","ErrorCode":"INVALID_MKV_DATA","ErrorId":4006}
//! "#
//! );
//! ```
//!
//! # A reader goes through the tags of a chunk
//!
//! ```
//! use kvs_wire::StartSelector;
//! use kvs_wire::tags::ChunkTags;
//!
//! # let from_the_parser = [
//! #     ("AWS_KINESISVIDEO_FRAGMENT_NUMBER", "91343852333713038908964877623801423530396737899"),
//! #     ("AWS_KINESISVIDEO_SERVER_TIMESTAMP", "1537574915.281"),
//! #     ("AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", "1537574913.000"),
//! #     ("plate", "ZH 1234"),
//! #     ("AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", "910"),
//! #     ("AWS_KINESISVIDEO_CONTINUATION_TOKEN", "91343852333713038908964877623801423530396737899"),
//! # ];
//! let mut chunk = ChunkTags::default();
//! let mut of_the_producer = Vec::new();
//! for (name, value) in from_the_parser {
//!     if !chunk.read(name, value)? {
//!         of_the_producer.push((name, value));
//!     }
//! }
//! assert_eq!(chunk.producer_time.map(|time| time.millis()), Some(1537574913000));
//! assert_eq!(of_the_producer, [("plate", "ZH 1234")]);
//! // Only a chunk with its trailing group is whole; the next call begins behind it.
//! let next = chunk.continuation_token.map_or(StartSelector::Now, StartSelector::Continuation);
//! assert_eq!(next.type_name(), "CONTINUATION_TOKEN");
//! # Ok::<(), kvs_wire::tags::ChunkTagError>(())
//! ```
//!
//! # The service refuses a call, and a client understands
//!
//! ```
//! use kvs_wire::{Exception, Operation, Recovery, ServiceError, headers};
//!
//! assert_eq!(Operation::from_path("/describeStream"), Some(Operation::DescribeStream));
//! let exception = Exception::ResourceNotFound;
//! let head = (exception.status(), headers::ERROR_TYPE, exception.error_type());
//! let mut body = Vec::new();
//! exception.write_body("The requested stream is not found or not active.", &mut body);
//!
//! let error = ServiceError::read(head.0, Some(head.2), &body).unwrap();
//! assert_eq!(error.recovery(), Recovery::NoStream);
//! assert_eq!(
//!     error.to_string(),
//!     "ResourceNotFoundException (HTTP 404): The requested stream is not found or not active."
//! );
//! // A success is no error, unless it says what the service answers to unknown paths.
//! assert_eq!(ServiceError::read(200, None, b"{}"), None);
//! ```
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

mod ack;
mod ack_reader;
#[cfg(test)]
mod ack_strategy;
mod decimal;
mod error_id;
mod exception;
mod fragment_number;
pub mod headers;
pub mod limits;
mod operation;
pub mod pattern;
pub mod picture;
mod refusals;
mod selector;
mod stream;
pub mod tags;
mod text;
mod time;

pub use ack::{Ack, AckError, AckEvent};
pub use ack_reader::AckReader;
pub use error_id::{ErrorId, Reaction};
pub use exception::{Exception, Recovery, ServiceError};
pub use fragment_number::{FragmentNumber, FragmentNumberError, FragmentNumberParts};
pub use headers::FragmentTimecodeType;
pub use operation::{ApiName, Operation, Plane, UnknownApiName};
pub use refusals::{Refusals, Verdict};
pub use selector::{
    ContinuationToken, ContinuationTokenError, FragmentSelector, FragmentSelectorType, SelectorError,
    StartSelector, TimestampRange,
};
pub use stream::{StreamArn, StreamArnError, StreamName, StreamNameError};
pub use time::{EpochSeconds, TimeError};

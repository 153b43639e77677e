//! MP4 (ISO 14496-12, 14496-14, 14496-15) of stored frames: what stands around their bytes, never the bytes themselves.
//!
//! | what | for |
//! |---|---|
//! | [`Mp4Track`] | a track as MP4 describes it, and its codec string |
//! | [`init`] | the init segment of HLS and DASH |
//! | [`Segment`] | the head of a media segment: one track of one fragment |
//! | [`Clip`] | the head of a progressive file: many fragments, all tracks |
//!
//! Heads have an exact length that is known before they are written, so that `Content-Length`, `HEAD` and ranges can be
//! answered. The payload follows a head as it is stored, sample after sample.
//!
//! ```
//! use std::time::Duration;
//! use kvs_media::mp4::{Mp4Track, Segment, init};
//! use kvs_media::time::TimecodeScale;
//! use kvs_media::timing::{Place, Sample};
//! use kvs_media::{Track, TrackKind, TrackNumber};
//!
//! # fn main() -> Result<(), kvs_media::mp4::Mp4Error> {
//! let mut track = Track::new(TrackNumber(2), TrackKind::Audio, "A_AAC");
//! track.codec_private = vec![0x11, 0x90].into();
//! let track = Mp4Track::new(&track, TimecodeScale::MILLISECOND)?;
//! assert_eq!((track.rfc6381(), track.timescale()), ("mp4a.40.2", 48_000));
//! let header = init(&[&track])?;
//!
//! // Of the frame index: a fragment that begins two seconds into the session.
//! let samples = [0, 21, 42].map(|time| Sample { time, size: 300, key: true });
//! let next = Some(Duration::from_millis(2_064));
//! let place = Place { start: Duration::from_secs(2), scale: TimecodeScale::MILLISECOND, next };
//! let segment = Segment::new(&track, place, samples)?;
//! let head = segment.head(7);
//! assert_eq!(head.len() as u64 + 900, segment.len());
//! assert_eq!(segment.len(), track.segment_len(3, 900));
//! # let _ = header;
//! # Ok(()) }
//! ```

mod boxes;
mod clip;
mod error;
mod init;
mod segment;
mod track;

pub use clip::{Clip, ClipHead};
pub use error::Mp4Error;
pub use init::init;
pub use segment::Segment;
pub use track::Mp4Track;

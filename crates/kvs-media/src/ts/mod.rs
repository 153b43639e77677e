//! MPEG-TS (ISO 13818-1) of stored frames, as HLS plays it: H.264 and AAC.
//!
//! Nothing here is carried over as it is: pictures become Annex B and sound ADTS, and all is cut into packets of 188
//! bytes. Frames are given one after another as they are stored, and what comes out can be sent at once.
//!
//! # Segments that know nothing of one another
//!
//! A segment is made of its fragment alone, and yet a player reads many as one stream. So
//! - a decoder's clock and all times follow from the time line on which fragments lie ([`timing`](crate::timing));
//! - the counters of pictures and sound begin at 0 and end at 15: the last frame of each is spread over up to 15 packets
//!   more than it needs, so that what follows goes on where this ends;
//! - each begins with the tables that name its tracks. Their counters are 0 in each: a table that comes again is a
//!   duplicate to who counts, and the same to who reads it.
//!
//! A track that comes or goes, or whose private data change, needs a discontinuity in the playlist in any form.
//!
//! ```
//! use std::time::Duration;
//! use kvs_media::time::TimecodeScale;
//! use kvs_media::timing::{Place, Sample};
//! use kvs_media::ts::Program;
//! use kvs_media::{Track, TrackKind, TrackNumber};
//!
//! # fn main() -> Result<(), kvs_media::ts::TsError> {
//! let mut track = Track::new(TrackNumber(1), TrackKind::Audio, "A_AAC");
//! track.codec_private = vec![0x11, 0x90].into();
//! let program = Program::new(&[&track], TimecodeScale::MILLISECOND)?;
//! let place = Place { start: Duration::from_secs(10), scale: TimecodeScale::MILLISECOND, next: None };
//! let samples = [0, 21, 42].map(|time| (0, Sample { time, size: 300, key: true }));
//! let mut segment = program.segment(place, samples)?;
//! let mut out = Vec::new();
//! for _ in samples {
//!     segment.write(&[0x21; 300], &mut out)?;
//! }
//! segment.finish(&mut out);
//! assert_eq!(out.len() % 188, 0);
//! # Ok(()) }
//! ```

mod packet;
mod segment;
mod tables;

pub use segment::{Program, Segment, TsError};

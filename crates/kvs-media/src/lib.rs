//! Matroska, codec headers, fragments and time for Kinesis Video Streams.
//!
//! Pure: no socket, no thread, no clock read, no randomness, no environment. Time and chance come in as arguments, and
//! what to do and until when comes out. Untrusted bytes lead to a value or to an error that says what and where, in
//! memory that is bounded whatever they declare.
//!
//! | module | what it knows |
//! |---|---|
//! | [`mkv`] | the container: a push parser, and the bytes around payloads |
//! | [`codec`] | what a track carries: private data both ways, access units, descriptions, silence |
//! | [`timing`] | when stored frames are decoded, on the clock of a container |
//! | [`mp4`] | stored frames as MP4: init and media segments, clips |
//! | [`ts`] | stored frames as MPEG-TS |
//! | [`playback`] | which of the service's playback calls will take a stream, and why not |
//! | [`fragment`] | several tracks into one order, cut and mended so that the service takes every fragment |
//! | [`time`] | the kinds of time, as types that cannot be mixed up |
//! | [`moment`] | times and spans as people write them |
//!
//! # The service takes a stream in
//!
//! Bytes come in pieces; the fragment that is being received is known from its first bytes on, and its frames can be
//! forwarded before they are complete.
//!
//! ```
//! use bytes::Bytes;
//! use kvs_media::mkv::{Delivery, Event, Limits, Reader};
//!
//! # let pieces = [Bytes::from_static(include_bytes!("../tests/data/x264-closed-gop.mkv"))];
//! let mut reader = Reader::new(Limits::default(), Delivery::Parts);
//! let mut fragments = 0;
//! for mut piece in pieces {
//!     while let Some(event) = reader.read(&mut piece)? {
//!         match event {
//!             // Stored once for a session, and sent in front of every fragment of it.
//!             Event::Document(header) => assert_eq!(header.tracks.len(), 2),
//!             // Here the BUFFERING ack goes out.
//!             Event::Cluster(cluster) => assert!(cluster.timecode.ticks() >= 0),
//!             // An entry of the frame index: where the payload lies, when it is shown, whether it is a key frame.
//!             Event::FrameStart(frame) => assert!(frame.offset > 0),
//!             // To the live readers, at once.
//!             Event::FramePart(part) => assert!(!part.is_empty()),
//!             // Here the fragment is written, and RECEIVED goes out.
//!             Event::ClusterEnd { complete, .. } => fragments += i32::from(complete),
//!             _ => {}
//!         }
//!     }
//! }
//! while reader.finish()?.is_some() {}
//! assert_eq!(fragments, 2);
//! # Ok::<(), kvs_media::mkv::ReadError>(())
//! ```
//!
//! # A sink sends frames as they arrive
//!
//! The interleaver and the cutter see a frame's times and size, never its payload, which lies in the sink's own buffer
//! until the heads that the writer makes have gone out before it.
//!
//! ```
//! use std::time::Duration;
//! use kvs_media::fragment::{Arrival, Cutter, Filler, Interleaver, Pace, Rules, Step, Timing, TrackRule};
//! use kvs_media::mkv::{Block, Info, Writer};
//! use kvs_media::time::{Monotonic, RunningTime, Utc};
//! use kvs_media::{Track, TrackKind, TrackNumber};
//!
//! let tracks = [
//!     Track::new(TrackNumber(1), TrackKind::Video, "V_VP8"),
//!     Track::new(TrackNumber(2), TrackKind::Metadata, "D_KVS/CAPS"),
//! ];
//! let mut lanes = Interleaver::new(Duration::from_secs(1), Duration::from_millis(1));
//! lanes.add(TrackNumber(1), Pace::Leading);
//! lanes.add(TrackNumber(2), Pace::Sparse);
//! let (mut cutter, mut steps) = (Cutter::new(Rules::default())?, Vec::new());
//! cutter.set_tracks(tracks.iter().map(TrackRule::of), &mut steps)?;
//! let (mut writer, mut wire) = (None, Vec::new());
//!
//! // On a streaming thread: where the payload lies, when it is shown, and what kind of frame it is.
//! let (payload, now) = (&b"a picture"[..], Monotonic::default());
//! let timing = Timing { leading: false, ..Timing::at(RunningTime::ZERO) };
//! let pts = Utc::from_millis(1_790_000_000_000).unwrap();
//! lanes.push(TrackNumber(1), timing, now, (pts, payload));
//!
//! // In the task that sends, until `lanes.deadline()` or `cutter.deadline()` or the next frame.
//! let arrival = |track, &(pts, payload): &(Utc, &[u8])| Arrival {
//!     track,
//!     pts,
//!     key: timing.key,
//!     size: payload.len(),
//!     stray: false,
//! };
//! while let Some(released) = lanes.pop(now, |track, frame| cutter.begins(arrival(track, frame), now)) {
//!     let (track, (_, payload)) = (released.track, released.item);
//!     let frame = Arrival { stray: released.stray, ..arrival(track, &released.item) };
//!     cutter.push(frame, now, &mut steps);
//!     # cutter.finish(&mut steps);
//!     for step in steps.drain(..) {
//!         match step {
//!             Step::BeginSession(numbers) => {
//!                 let declared: Vec<Track> =
//!                     tracks.iter().filter(|track| numbers.contains(&track.number)).cloned().collect();
//!                 let (begun, header) = Writer::new(&Info::default(), &declared)?;
//!                 writer = Some(begun);
//!                 wire.extend_from_slice(&header);
//!             }
//!             step => {
//!                 let Some(writer) = &mut writer else { continue };
//!                 match step {
//!                     Step::BeginFragment { timecode, .. } => wire.extend_from_slice(&writer.cluster(timecode)?),
//!                     Step::Frame(timecode) => {
//!                         let block = Block { key: frame.key, ..Block::new(track, timecode) };
//!                         wire.extend_from_slice(&writer.frame(block, payload.len())?);
//!                         wire.extend_from_slice(payload);
//!                     }
//!                     // The sensor has said nothing: an empty block keeps the fragment whole.
//!                     Step::Filler(number, timecode) => {
//!                         let silent = tracks.iter().find(|track| track.number == number);
//!                         let filler = Filler::of(silent.expect("a track of ours"));
//!                         let head = writer.frame(filler.block(timecode), filler.payload().len())?;
//!                         wire.extend_from_slice(&head);
//!                         wire.extend_from_slice(filler.payload());
//!                     }
//!                     Step::EndFragment { marker: true } => wire.extend_from_slice(&writer.end_of_fragment()),
//!                     Step::Repaired(repair) => println!("{repair}"),
//!                     Step::Discard(reason) => println!("a frame is not sent: {reason}"),
//!                     _ => {}
//!                 }
//!             }
//!         }
//!     }
//! }
//! # assert_eq!(cutter.counts().fillers, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A source reads a stream back
//!
//! GetMedia sends a document per fragment, one after another, with tags that the service put in; a change of the header
//! is a change of caps.
//!
//! ```
//! use bytes::Bytes;
//! use kvs_media::codec::describe;
//! use kvs_media::fragment::is_filler;
//! use kvs_media::mkv::{Event, Reader};
//!
//! # let mut piece = Bytes::from_static(include_bytes!("../tests/data/documents.mkv"));
//! let mut reader = Reader::default();
//! let (mut scale, mut tracks, mut frames) = (Default::default(), Vec::new(), 0);
//! while let Some(event) = reader.read(&mut piece)? {
//!     match event {
//!         Event::Document(header) if header.tracks != tracks => {
//!             scale = header.info.scale;
//!             tracks.clone_from(&header.tracks);
//!             for track in &tracks {
//!                 let described = describe(track).expect("a codec that is known");
//!                 println!("track {}: {:?} {:?}", track.number, described.codec, described.rfc6381);
//!             }
//!         }
//!         // The fragment's number, its times, its continuation token: kvs_wire::tags reads them.
//!         Event::Tags(tags) => assert!(!tags.raw.is_empty()),
//!         Event::Frame(frame) => {
//!             let track = tracks.iter().find(|track| track.number == frame.head.track);
//!             if track.is_some_and(|track| is_filler(track.kind, &frame.head)) {
//!                 continue;
//!             }
//!             assert!(scale.instant(frame.head.timecode).is_some());
//!             frames += 1;
//!         }
//!         _ => {}
//!     }
//! }
//! # assert!(frames > 100);
//! # Ok::<(), kvs_media::mkv::ReadError>(())
//! ```
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

pub mod codec;
pub mod fragment;
pub mod mkv;
pub mod moment;
pub mod mp4;
pub mod playback;
pub mod time;
pub mod timing;
mod track;
pub mod ts;

pub use track::{AudioShape, Track, TrackKind, TrackNumber, VideoShape};

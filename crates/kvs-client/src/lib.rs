//! A client of Kinesis Video Streams: credentials, endpoints, control calls, streams that are sent and streams that
//! are read.
//!
//! | module | what it knows |
//! |---|---|
//! | [`client`] | one service as one user sees it: credentials, endpoints and calls, shared by who uses the same |
//! | [`upload`] | one stream that is being sent: frames in, fragments out, until they are persisted |
//! | [`download`] | one stream that is being read: live, from the archive, and from the one into the other |
//! | [`report`] | what both of them tell alike |
//! | [`clock`] | the one place that reads the time |
//!
//! # A camera is sent to a stream
//!
//! Frames are pushed by whatever thread has them; a task on the caller's runtime makes the stream if it is missing,
//! connects, sends, and begins again from the oldest fragment that is not stored, whatever happens.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use bytes::Bytes;
//! use kvs_client::upload::{Frame, Report, Settings, Upload};
//! use kvs_client::{Client, ClientSettings, clock};
//! use kvs_media::fragment::{Pace, Timing};
//! use kvs_media::time::RunningTime;
//! use kvs_media::{Track, TrackKind};
//!
//! # fn pictures() -> impl Iterator<Item = (RunningTime, bool, Bytes)> { std::iter::empty() }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
//! struct Log;
//!
//! impl kvs_client::upload::Listener for Log {
//!     fn tell(&self, report: Report) {
//!         tracing::info!(?report, "the upload");
//!     }
//! }
//!
//! let upload = Upload::new(Settings::new("front-door".parse()?))?;
//! let video = upload.add_track(Pace::Leading)?;
//! upload.set_header(video, Track::new(video, TrackKind::Video, "V_VP8"));
//! upload.start(Client::shared(ClientSettings::default()), runtime.handle(), Arc::new(Log));
//! for (pts, key, payload) in pictures() {
//!     let timing = Timing { key, leading: false, ..Timing::at(pts) };
//!     upload.push(video, Frame { payload, utc: clock::utc(), timing })?;
//! }
//! let left = upload.stop(std::time::Duration::from_secs(120), std::time::Duration::from_secs(5));
//! assert!(left.is_empty(), "{left:?} is not acknowledged");
//! # Ok(()) }
//! ```
//!
//! # A stream is read from ten minutes ago on, over into what comes
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use kvs_client::download::{Download, Item, Next, Place, Range, Report, Settings};
//! use kvs_client::{Client, ClientSettings, clock};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
//! struct Log;
//!
//! impl kvs_client::download::Listener for Log {
//!     fn tell(&self, report: Report) {
//!         tracing::info!(?report, "the download");
//!     }
//! }
//!
//! let from = clock::utc().checked_sub(Duration::from_secs(600)).ok_or("before all time")?;
//! let place = Place::Range(Range::since(from));
//! let download = Download::new(Settings::new("front-door".parse()?, place));
//! download.start(Client::shared(ClientSettings::default()), runtime.handle(), Arc::new(Log));
//! loop {
//!     match download.next(Duration::from_secs(1)) {
//!         Next::Item(Item::Fragment(fragment)) => tracing::info!(number = %fragment.number, "begins"),
//!         Next::Item(Item::Frame(frame)) => tracing::info!(time = %frame.time, bytes = frame.payload.len(), "a frame"),
//!         Next::Item(_) | Next::Nothing => {}
//!         Next::End | Next::Interrupted => break,
//!         Next::Failed(failure) => return Err(failure.into()),
//!     }
//! }
//! # Ok(()) }
//! ```

pub(crate) mod backoff;
pub mod client;
pub mod clock;
pub mod download;
pub mod report;
pub(crate) mod timer;
pub mod upload;

pub use client::{Client, ClientSettings};

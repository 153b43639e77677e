//! What is read, and how.

use std::time::Duration;

use kvs_media::mkv::Limits;
use kvs_media::time::Utc;
use kvs_wire::{FragmentSelectorType, StartSelector, StreamName};

/// What is read, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The stream.
    pub stream: StreamName,
    /// What of it.
    pub place: Place,
    /// Bytes that wait to be taken; one piece from the wire may come on top.
    pub prefetch: usize,
    /// What the container may be made of.
    pub limits: Limits,
    /// Frames of one fragment; with more of them it is damaged.
    pub fragment_frames: usize,
    /// Bytes of payload of one fragment; with more of them it is damaged.
    pub fragment_bytes: u64,
    /// Fragments that came to the service within this time may not be listed yet, or not all of them.
    pub settle: Duration,
}

impl Settings {
    /// What a source is set to that nobody has changed.
    pub fn new(stream: StreamName, place: Place) -> Self {
        Self {
            stream,
            place,
            prefetch: 16 << 20,
            limits: Limits::default(),
            fragment_frames: 1 << 17,
            fragment_bytes: 100_000_000,
            settle: Duration::from_secs(10),
        }
    }
}

/// What of a stream is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// What comes from a place on, for ever.
    Follow(StartSelector),
    /// What is recorded in a range, in the order of its time. Without an end it goes over into following.
    Range(Range),
}

/// Recorded fragments, in the order of their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The clock that all its times are of.
    pub timeline: FragmentSelectorType,
    /// The fragment that covers this instant is the first, else the next one. It comes whole, since what is in it needs
    /// its beginning.
    pub from: Utc,
    /// The last fragment begins no later, and comes whole. What lies in the future is waited for.
    pub to: Option<Utc>,
    /// Begin somewhere within it.
    pub begin: Option<Begin>,
    /// Find out first what parts of it are recorded, which lists all of it.
    pub spans: bool,
}

impl Range {
    /// From a time on by the producer's clock, over into following.
    pub const fn since(from: Utc) -> Self {
        Self { timeline: FragmentSelectorType::ProducerTimestamp, from, to: None, begin: None, spans: false }
    }
}

/// Where within a range to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// For this instant.
    pub at: Utc,
    /// At which key frame.
    pub snap: Snap,
}

/// Which key frame is meant by an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snap {
    /// The one at it or before, to decode from.
    Accurate,
    /// The one at it or before, to show.
    Before,
    /// The one at it or behind.
    After,
    /// The one that is nearer.
    Nearest,
}

//! What a reader gives.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_media::TrackNumber;
use kvs_media::mkv::{Header, SimpleTag};
use kvs_media::time::Utc;
use kvs_wire::{ContinuationToken, ErrorId, FragmentNumber};

use crate::report::Failure;

/// What comes next.
#[derive(Clone, Debug)]
pub enum Next {
    /// This.
    Item(Item),
    /// Nothing has come in the time that it was waited for.
    Nothing,
    /// Whoever waits is to do something else.
    Interrupted,
    /// The range is at its end, or the reader was stopped.
    End,
    /// It ends here: no later attempt can succeed. Comes behind all that was read before, and again for every call.
    Failed(Failure),
}

/// A piece of what is read, in the order of the recording.
#[derive(Clone, Debug)]
pub enum Item {
    /// What a range really has: once, and first.
    Range(Bounds),
    /// A fragment begins: the frames that follow are its.
    Fragment(Arc<Fragment>),
    /// A frame of it.
    Frame(Frame),
    /// It is whole.
    Done(FragmentEnd),
    /// All that is recorded was handed out: from here on it comes as it is sent. Once.
    Tip,
    /// Something cannot be had. What is behind it follows.
    Lost(Lost),
}

/// What a range really has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Where it begins: where its first fragment does, but not before the range. By the clock that the range is of.
    pub first: Utc,
    /// The last frame that is known now, but not behind the range.
    pub end: Utc,
    /// The parts of it that are recorded, without a gap in each; empty unless they were asked for.
    pub spans: Vec<Span>,
    /// More may come than is known now.
    pub open: bool,
}

/// From one instant to a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub from: Utc,
    /// Where it ends.
    pub to: Utc,
}

/// A fragment that begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Fragment {
    /// Its number.
    pub number: FragmentNumber,
    /// When its producer says that it begins.
    pub producer: Utc,
    /// When its first byte came to the service.
    pub server: Utc,
    /// Where it begins on the time line of its range: when the producer says, or, by the service's clock, when it came
    /// in, but behind all that came in before.
    pub begins: Utc,
    /// The producer's tags in front of its frames.
    pub tags: Vec<SimpleTag>,
    /// Its tracks. The same one as before for as long as nothing in it changes.
    pub header: Arc<Header>,
    /// The silence in front of it, when that is longer than two seconds, by the producer's clock.
    pub gap: Option<Span>,
    /// More of a fragment that was cut before it was whole; what was handed out of it does not come again. The number
    /// may be another one, when its producer has sent it again.
    pub resumed: bool,
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its track.
    pub track: TrackNumber,
    /// When it is shown, by the producer's clock.
    pub time: Utc,
    /// It can be decoded without any other.
    pub key: bool,
    /// Nothing else needs it.
    pub discardable: bool,
    /// To be decoded but not shown.
    pub invisible: bool,
    /// How long it lasts, where its block says so.
    pub duration: Option<Duration>,
    /// What the codec wrote.
    pub payload: Bytes,
}

/// A fragment that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FragmentEnd {
    /// Its number.
    pub number: FragmentNumber,
    /// All tags of its producer, those in front of its frames among them.
    pub tags: Vec<SimpleTag>,
    /// Where a later call goes on; not from the archive.
    pub token: Option<ContinuationToken>,
    /// How far behind the tip it is; not from the archive.
    pub behind_now: Option<Duration>,
    /// The latest time of a frame in it.
    pub last: Utc,
}

/// Something that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The fragment; `None` when what came does not even say that.
    pub number: Option<FragmentNumber>,
    /// Where it begins, by the producer's clock, when that is known.
    pub at: Option<Utc>,
    /// Why.
    pub why: LostReason,
}

/// Why something cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LostReason {
    /// The service does not have it any more.
    #[error("the service has it no longer")]
    Missing,
    /// The service has it, and cannot give it.
    #[error("the service cannot give it: {message} ({})", .id.map_or(0, |id| id.0))]
    Refused {
        /// The number of the error, when there was one.
        id: Option<ErrorId>,
        /// Its name, or what the service says.
        message: String,
    },
    /// What comes is not what it should be, each time again.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It was cut when its producer went, and its end was never sent.
    #[error("its end was never sent")]
    Cut,
}

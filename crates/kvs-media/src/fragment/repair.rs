//! What the cutter did that was not simply passing a frame on.

use std::fmt;
use std::time::Duration;

use crate::TrackNumber;
use crate::time::Timecode;

/// Something that had to be mended, so that the service takes the fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repair {
    /// A frame got another time: not after the fragment before, or too far from its own.
    TimeMoved {
        /// The track of the frame.
        track: TrackNumber,
        /// The time that it had.
        from: Timecode,
        /// The time that it goes out with.
        to: Timecode,
    },
    /// A fragment begins with a frame that needs an earlier one.
    CutWithoutKey(CutCause),
    /// A track had no frame in the fragment and got a filler.
    Filled(TrackNumber),
    /// A track that cannot be filled was silent: the session goes on without it.
    LeftOut(TrackNumber),
    /// A track that had been left out is back, in a new session.
    Rejoined(TrackNumber),
    /// Time went back by so much: a new session begins, since none may go back.
    TimeWentBack(Duration),
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimeMoved { track, from, to } => {
                write!(f, "a frame of track {track} was moved from {from} to {to}")
            }
            Self::CutWithoutKey(cause) => write!(f, "a fragment begins without a key frame: {cause}"),
            Self::Filled(track) => write!(f, "track {track} was silent for a fragment and was filled"),
            Self::LeftOut(track) => write!(f, "track {track} is silent and is left out"),
            Self::Rejoined(track) => write!(f, "track {track} is back"),
            Self::TimeWentBack(by) => write!(f, "time went back by {by:?}"),
        }
    }
}

/// Why a fragment ended where no key frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutCause {
    /// It had reached the longest duration that is allowed.
    Duration,
    /// It had reached the largest size that is allowed.
    Size,
    /// A block's 16 bits reach no further from the cluster at this scale.
    Offset,
    /// The fragment before was ended because nothing came.
    Idle,
    /// The codec data or the tracks changed.
    Tracks,
}

impl fmt::Display for CutCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duration => "the one before had reached the longest duration",
            Self::Size => "the one before had reached the largest size",
            Self::Offset => "no block can lie further from the beginning of the one before",
            Self::Idle => "nothing had come for a while",
            Self::Tracks => "the tracks changed",
        })
    }
}

/// Why a frame does not go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Discard {
    /// No key frame has come yet: nothing can be decoded.
    BeforeKeyFrame,
    /// It is larger than a whole fragment may be.
    TooLarge,
    /// Its track was not announced.
    UnknownTrack,
}

impl fmt::Display for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BeforeKeyFrame => "no key frame has come yet",
            Self::TooLarge => "it is larger than a fragment may be",
            Self::UnknownTrack => "its track is unknown",
        })
    }
}

/// How often each thing happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames that went out.
    pub frames: u64,
    /// Fragments that were begun.
    pub fragments: u64,
    /// Sessions that were begun.
    pub sessions: u64,
    /// Frames that got another time.
    pub times_moved: u64,
    /// Fragments that begin without a key frame.
    pub cuts_without_key: u64,
    /// Fillers that were put in.
    pub fillers: u64,
    /// Times that a track was left out.
    pub left_out: u64,
    /// Times that time went back.
    pub went_back: u64,
    /// Frames that were not sent because no key frame had come.
    pub before_key: u64,
    /// Frames that were not sent because they are too large.
    pub too_large: u64,
    /// Frames that were not sent because their track is unknown.
    pub unknown_track: u64,
}

impl Counts {
    pub(crate) const fn count_repair(&mut self, repair: Repair) {
        match repair {
            Repair::TimeMoved { .. } => self.times_moved += 1,
            Repair::CutWithoutKey(_) => self.cuts_without_key += 1,
            Repair::Filled(_) => self.fillers += 1,
            Repair::LeftOut(_) => self.left_out += 1,
            Repair::Rejoined(_) => {}
            Repair::TimeWentBack(_) => self.went_back += 1,
        }
    }

    pub(crate) const fn count_discard(&mut self, discard: Discard) {
        match discard {
            Discard::BeforeKeyFrame => self.before_key += 1,
            Discard::TooLarge => self.too_large += 1,
            Discard::UnknownTrack => self.unknown_track += 1,
        }
    }
}

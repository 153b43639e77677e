//! Why there is no MP4 of something.

use crate::TrackNumber;
use crate::codec::CodecError;
use crate::timing::TooFarApart;

/// Why frames cannot be packaged as MP4.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mp4Error {
    /// MP4 has no form for the codec here.
    #[error("the codec {codec_id:?} of track {track} is not packaged as MP4")]
    Unsupported {
        /// The track.
        track: TrackNumber,
        /// Its codec id.
        codec_id: String,
    },
    /// Matroska itself has compressed or encrypted the payload.
    #[error("the content of track {0} is encoded")]
    Encoded(TrackNumber),
    /// The private data does not describe the track.
    #[error("the codec private data of track {track}: {error}")]
    Private {
        /// The track.
        track: TrackNumber,
        /// What is wrong with it.
        error: CodecError,
    },
    /// The number is no id of a track: those are 1 to 2^32 - 2.
    #[error("track {0} has a number that MP4 cannot hold")]
    Number(TrackNumber),
    /// The picture has more columns or rows than a sample entry can say.
    #[error("the picture of track {track} is {width}x{height}, which MP4 cannot say")]
    Size {
        /// The track.
        track: TrackNumber,
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Two tracks have the same number.
    #[error("track {0} is there twice")]
    Twice(TrackNumber),
    /// A sample names a track that is not in the list.
    #[error("a sample of track {index} of {count}")]
    NoSuchTrack {
        /// The place in the list that it names.
        index: usize,
        /// How long the list is.
        count: usize,
    },
    /// Times cannot be written.
    #[error(transparent)]
    TooFarApart(#[from] TooFarApart),
    /// More samples than a table can hold.
    #[error("{samples} samples are more than MP4 can hold")]
    TooManySamples {
        /// How many.
        samples: usize,
    },
}

//! Why bytes could not be read.

use super::{Id, Path};
use crate::TrackNumber;

/// What is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset} in {path}")]
pub struct ReadError {
    /// Bytes from the start of the input to the element at fault, across all documents.
    pub offset: u64,
    /// The elements that were open, down to the one at fault.
    pub path: Path,
    /// What is wrong.
    pub kind: ReadErrorKind,
}

/// What can be wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// The input does not begin with an EBML header.
    #[error("no EBML header")]
    NotEbml,
    /// The EBML header is that of another format.
    #[error("the document type is not matroska or webm")]
    NotMatroska,
    /// The document wants ids longer than four bytes or sizes longer than eight.
    #[error("ids or sizes are longer than Matroska allows")]
    UnsupportedEbml,
    /// No id begins with this byte.
    #[error("no element id begins with byte 0x{0:02X}")]
    InvalidId(u8),
    /// A variable-length integer longer than its place allows.
    #[error("invalid variable-length integer")]
    InvalidVint,
    /// The element stands where it does not belong.
    #[error("element {0} does not belong here")]
    Unexpected(Id),
    /// The element is there again, and says something else.
    #[error("element {0} contradicts the one before")]
    Contradiction(Id),
    /// Only Segment and Cluster may leave their size open.
    #[error("element {0} has no size")]
    UnknownSize(Id),
    /// The element is said to be longer than the one it is in.
    #[error("element {0} is longer than its parent")]
    ExceedsParent(Id),
    /// The element is larger than the reader was told to hold.
    #[error("element {id} of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// The element.
        id: Id,
        /// Its size with what is already held for the same purpose.
        size: u64,
        /// The limit that was set.
        limit: u64,
    },
    /// Elements are nested deeper than any document needs.
    #[error("elements are nested too deeply")]
    TooDeep,
    /// More tracks than the reader was told to hold.
    #[error("more than {0} tracks")]
    TooManyTracks(usize),
    /// More groups and pairs of tags than the reader was told to hold.
    #[error("more tags than the limit")]
    TooManyTags,
    /// A number or string has a size that its type cannot have.
    #[error("element {0} has a size that its type cannot have")]
    InvalidSize(Id),
    /// A number that is not finite.
    #[error("element {0} holds no number")]
    InvalidNumber(Id),
    /// The scale is zero.
    #[error("the timecode scale is zero")]
    ZeroScale,
    /// A track without a number, or with the number of another.
    #[error("a track has no number of its own")]
    InvalidTrackNumber,
    /// A cluster whose first block comes before its Timecode, or that ends without one.
    #[error("a cluster has no timecode")]
    MissingTimecode,
    /// A cluster with two Timecodes.
    #[error("a cluster has two timecodes")]
    SecondTimecode,
    /// The time cannot be held in 63 bits.
    #[error("the time is out of range")]
    TimecodeOutOfRange,
    /// A block names a track that the header did not declare.
    #[error("track {0} is not declared")]
    UnknownTrack(TrackNumber),
    /// A block is too short for its own header.
    #[error("a block is too short for its header")]
    ShortBlock,
    /// The sizes of a lace do not add up to its block.
    #[error("the sizes of laced frames do not add up")]
    InvalidLace,
    /// A block group without a block, or with two.
    #[error("a block group does not have exactly one block")]
    InvalidBlockGroup,
    /// The input ended inside an element.
    #[error("the input ends here, inside an element")]
    Truncated,
}

impl ReadErrorKind {
    pub(crate) const fn at(self, offset: u64, path: Path) -> ReadError {
        ReadError { offset, path, kind: self }
    }
}

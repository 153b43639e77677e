//! The bytes around the payloads.

use std::ops::Deref;

use bytes::Bytes;

use super::block::BlockHead;
use super::header::{self, Info, UNKNOWN_SIZE};
use super::tags::{self, Sizes, Tag};
use super::{END_OF_FRAGMENT, Id, vint};
use crate::time::Timecode;
use crate::{Track, TrackNumber};

/// Writes one document in the layout that producers send: a header, and then clusters that are left open, so that
/// every frame can leave as it arrives.
///
/// Nothing is held and no payload is touched: each call returns the bytes that come next, and what belongs behind
/// the head of a frame is the payload itself. The same calls return the same bytes.
///
/// ```
/// use kvs_media::mkv::{Block, Info, Writer};
/// use kvs_media::time::Timecode;
/// use kvs_media::{Track, TrackKind, TrackNumber};
///
/// let track = Track::new(TrackNumber(1), TrackKind::Video, "V_MPEG4/ISO/AVC");
/// let (mut writer, header) = Writer::new(&Info::default(), &[track])?;
/// let mut wire = header.to_vec();
/// wire.extend_from_slice(&writer.cluster(Timecode::from_ticks(1_790_000_000_000))?);
/// let payload = [0, 0, 0, 1, 0x65];
/// let block = Block::new(TrackNumber(1), Timecode::from_ticks(1_790_000_000_000)).key();
/// wire.extend_from_slice(&writer.frame(block, payload.len())?);
/// wire.extend_from_slice(&payload);
/// # Ok::<(), kvs_media::mkv::WriteError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Writer {
    tracks: Vec<TrackNumber>,
    cluster: Option<Timecode>,
}

/// What is said of a frame in front of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The track that it belongs to.
    pub track: TrackNumber,
    /// Its time in the document.
    pub timecode: Timecode,
    /// It can be decoded without any other.
    pub key: bool,
    /// Nothing else needs it.
    pub discardable: bool,
    /// To be decoded but not shown.
    pub invisible: bool,
}

impl Block {
    /// A frame that depends on others.
    pub const fn new(track: TrackNumber, timecode: Timecode) -> Self {
        Self { track, timecode, key: false, discardable: false, invisible: false }
    }

    /// The same as a key frame.
    #[must_use]
    pub const fn key(self) -> Self {
        Self { key: true, ..self }
    }
}

/// Why something cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Two tracks of the same number, or one with number 0 or beyond what a block can name.
    #[error("track number {0} is not possible, or is there twice")]
    InvalidTrackNumber(TrackNumber),
    /// A track whose payload Matroska itself compressed or encrypted: how is not kept.
    #[error("track {0} is encoded in a way that cannot be written again")]
    EncodedTrack(TrackNumber),
    /// A cluster's time is unsigned.
    #[error("a cluster cannot begin at {0}, before time zero")]
    NegativeTimecode(Timecode),
    /// A frame outside any cluster.
    #[error("no cluster is open")]
    NoCluster,
    /// A frame of a track that the header does not declare.
    #[error("track {0} is not declared")]
    UnknownTrack(TrackNumber),
    /// No element can be so large.
    #[error("a payload of {0} bytes is larger than any element")]
    TooLarge(usize),
    /// A frame too far from the beginning of its cluster for the 16 bits that a block has.
    #[error("a frame at {frame} is too far from its cluster at {cluster}")]
    OffsetOutOfRange {
        /// The time of the frame.
        frame: Timecode,
        /// The time of the cluster.
        cluster: Timecode,
    },
}

impl Writer {
    /// A document, and its header section.
    pub fn new(info: &Info, tracks: &[Track]) -> Result<(Self, Bytes), WriteError> {
        if let Some(track) = tracks.iter().find(|track| track.encoded) {
            return Err(WriteError::EncodedTrack(track.number));
        }
        let numbers: Vec<TrackNumber> = tracks.iter().map(|track| track.number).collect();
        for (index, number) in numbers.iter().enumerate() {
            let again = numbers.iter().take(index).any(|other| other == number);
            if again || number.0 == 0 || number.0 > MAX_NUMBER {
                return Err(WriteError::InvalidTrackNumber(*number));
            }
        }
        Ok((Self { tracks: numbers, cluster: None }, header::write(info, tracks)))
    }

    /// Begins a cluster, and with it a fragment.
    pub fn cluster(&mut self, timecode: Timecode) -> Result<Head, WriteError> {
        let ticks = u64::try_from(timecode.ticks()).map_err(|_| WriteError::NegativeTimecode(timecode))?;
        self.cluster = Some(timecode);
        let mut out = Head::default();
        vint::put_id(&mut out, Id::CLUSTER);
        out.extend([UNKNOWN_SIZE]);
        let length = 8 - (ticks.leading_zeros() as usize / 8).min(7);
        vint::put_id(&mut out, Id::TIMECODE);
        vint::put(&mut out, length as u64, 1);
        out.extend(ticks.to_be_bytes().into_iter().skip(8 - length));
        Ok(out)
    }

    /// What stands in front of a payload of `length` bytes.
    pub fn frame(&self, block: Block, length: usize) -> Result<Head, WriteError> {
        let cluster = self.cluster.ok_or(WriteError::NoCluster)?;
        if !self.tracks.contains(&block.track) {
            return Err(WriteError::UnknownTrack(block.track));
        }
        let offset = block
            .timecode
            .block_offset(cluster)
            .ok_or(WriteError::OffsetOutOfRange { frame: block.timecode, cluster })?;
        let Block { track, key, discardable, invisible, .. } = block;
        let size = (length as u64).saturating_add(vint::length_of(track.0) as u64 + 3);
        if size > MAX_NUMBER {
            return Err(WriteError::TooLarge(length));
        }
        let mut out = Head::default();
        vint::put_id(&mut out, Id::SIMPLE_BLOCK);
        vint::put(&mut out, size, vint::length_of(size));
        BlockHead::new(track, offset, key, discardable, invisible).write(&mut out);
        Ok(out)
    }

    /// Tags: they belong to the cluster that comes next, and end the one before. Nothing for no tags.
    pub fn tags(&mut self, tags: &[Tag]) -> Bytes {
        if !tags.is_empty() {
            self.cluster = None;
        }
        tags::write(tags, Sizes::Tight)
    }

    /// Ends a fragment without beginning another, so that the service can store it at once (kvs-api 3.10).
    pub fn end_of_fragment(&mut self) -> Bytes {
        self.tags(&[Tag::text(END_OF_FRAGMENT, "")])
    }
}

/// The largest number, and so the largest size, that eight bytes can say.
const MAX_NUMBER: u64 = (1 << 56) - 2;

/// What stands in front of a cluster's frames or of a payload: a few bytes, held in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    bytes: [u8; Self::CAPACITY],
    length: usize,
}

impl Head {
    /// Id and size of a block (1 + 8), track number (8), offset (2) and flags (1); a cluster's head is shorter.
    const CAPACITY: usize = 20;
}

impl Extend<u8> for Head {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
        for (slot, byte) in self.bytes.iter_mut().skip(self.length).zip(bytes) {
            *slot = byte;
            self.length += 1;
        }
    }
}

impl Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Head {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

//! What a document says of its tracks.

use std::time::Duration;

use bytes::Bytes;

/// The number by which blocks name their track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackNumber(pub u64);

impl std::fmt::Display for TrackNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a track carries, by Matroska's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrackKind {
    /// Pictures (1).
    Video,
    /// Sound (2).
    Audio,
    /// Timed data of any other kind: JSON, KLV, sensor samples (33).
    Metadata,
    /// Subtitles (17) and whatever else a foreign muxer declares.
    Other(u64),
}

impl TrackKind {
    /// The TrackType number.
    pub const fn number(self) -> u64 {
        match self {
            Self::Video => 1,
            Self::Audio => 2,
            Self::Metadata => 33,
            Self::Other(number) => number,
        }
    }

    /// From the TrackType number.
    pub const fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Video,
            2 => Self::Audio,
            33 => Self::Metadata,
            other => Self::Other(other),
        }
    }
}

/// A track as a document's header declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// The number that blocks use.
    pub number: TrackNumber,
    /// The identity of the track across documents.
    pub uid: u64,
    /// What it carries.
    pub kind: TrackKind,
    /// A name for people; empty when there is none.
    pub name: String,
    /// Matroska's codec id, such as `V_MPEG4/ISO/AVC`.
    pub codec_id: String,
    /// What the codec needs before the first frame, in Matroska's form; empty when there is none.
    pub codec_private: Bytes,
    /// The language, as declared (ISO 639-2 or BCP 47); empty when there is none.
    pub language: String,
    /// How long a frame lasts, when all last the same.
    pub frame_duration: Option<Duration>,
    /// Size of the picture, when declared.
    pub video: Option<VideoShape>,
    /// Shape of the sound, when declared.
    pub audio: Option<AudioShape>,
    /// The payload is compressed or encrypted by Matroska itself (ContentEncodings) and is not what the codec wrote.
    pub encoded: bool,
}

impl Track {
    /// A track with nothing but its number, kind and codec; the number is its identity.
    pub fn new(number: TrackNumber, kind: TrackKind, codec_id: impl Into<String>) -> Self {
        Self {
            number,
            uid: number.0,
            kind,
            name: String::new(),
            codec_id: codec_id.into(),
            codec_private: Bytes::new(),
            language: String::new(),
            frame_duration: None,
            video: None,
            audio: None,
            encoded: false,
        }
    }
}

/// Size of the picture of a video track, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoShape {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// Shape of the sound of an audio track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AudioShape {
    /// Samples a second.
    pub rate: f64,
    /// Channels.
    pub channels: u32,
    /// Bits a sample, for the codecs that have such a thing.
    pub bit_depth: Option<u32>,
}

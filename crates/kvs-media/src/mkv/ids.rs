//! Element ids and where each belongs.

use std::fmt;

/// An element id, with its length marker.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(pub u32);

/// Where an element may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Level 0.
    Top,
    /// A child of Segment.
    Segment,
    /// A child of Cluster.
    Cluster,
    /// Anywhere.
    Global,
    /// Deeper, inside an element that is read whole.
    Nested,
}

macro_rules! ids {
    ($($name:ident = $id:literal, $text:literal, $place:ident;)*) => {
        impl Id {
            $(#[doc = $text] pub const $name: Self = Self($id);)*

            /// The element's name and place; `None` when this code does not know it.
            const fn known(self) -> Option<(&'static str, Place)> {
                match self.0 {
                    $($id => Some(($text, Place::$place)),)*
                    _ => None,
                }
            }
        }
    };
}

ids! {
    EBML = 0x1A45_DFA3, "EBML", Top;
    EBML_MAX_ID_LENGTH = 0x42F2, "EBMLMaxIDLength", Nested;
    EBML_MAX_SIZE_LENGTH = 0x42F3, "EBMLMaxSizeLength", Nested;
    EBML_VERSION = 0x4286, "EBMLVersion", Nested;
    EBML_READ_VERSION = 0x42F7, "EBMLReadVersion", Nested;
    DOC_TYPE = 0x4282, "DocType", Nested;
    DOC_TYPE_VERSION = 0x4287, "DocTypeVersion", Nested;
    DOC_TYPE_READ_VERSION = 0x4285, "DocTypeReadVersion", Nested;
    SEGMENT = 0x1853_8067, "Segment", Top;
    VOID = 0xEC, "Void", Global;
    CRC_32 = 0xBF, "CRC-32", Global;
    SEEK_HEAD = 0x114D_9B74, "SeekHead", Segment;
    INFO = 0x1549_A966, "Info", Segment;
    TIMECODE_SCALE = 0x002A_D7B1, "TimecodeScale", Nested;
    SEGMENT_UID = 0x73A4, "SegmentUID", Nested;
    DURATION = 0x4489, "Duration", Nested;
    TITLE = 0x7BA9, "Title", Nested;
    MUXING_APP = 0x4D80, "MuxingApp", Nested;
    WRITING_APP = 0x5741, "WritingApp", Nested;
    TRACKS = 0x1654_AE6B, "Tracks", Segment;
    TRACK_ENTRY = 0xAE, "TrackEntry", Nested;
    TRACK_NUMBER = 0xD7, "TrackNumber", Nested;
    TRACK_UID = 0x73C5, "TrackUID", Nested;
    TRACK_TYPE = 0x83, "TrackType", Nested;
    FLAG_LACING = 0x9C, "FlagLacing", Nested;
    DEFAULT_DURATION = 0x0023_E383, "DefaultDuration", Nested;
    NAME = 0x536E, "Name", Nested;
    LANGUAGE = 0x0022_B59C, "Language", Nested;
    LANGUAGE_BCP47 = 0x0022_B59D, "LanguageBCP47", Nested;
    CODEC_ID = 0x86, "CodecID", Nested;
    CODEC_PRIVATE = 0x63A2, "CodecPrivate", Nested;
    VIDEO = 0xE0, "Video", Nested;
    PIXEL_WIDTH = 0xB0, "PixelWidth", Nested;
    PIXEL_HEIGHT = 0xBA, "PixelHeight", Nested;
    AUDIO = 0xE1, "Audio", Nested;
    SAMPLING_FREQUENCY = 0xB5, "SamplingFrequency", Nested;
    CHANNELS = 0x9F, "Channels", Nested;
    BIT_DEPTH = 0x6264, "BitDepth", Nested;
    CONTENT_ENCODINGS = 0x6D80, "ContentEncodings", Nested;
    CLUSTER = 0x1F43_B675, "Cluster", Segment;
    TIMECODE = 0xE7, "Timecode", Cluster;
    SILENT_TRACKS = 0x5854, "SilentTracks", Cluster;
    POSITION = 0xA7, "Position", Cluster;
    PREV_SIZE = 0xAB, "PrevSize", Cluster;
    SIMPLE_BLOCK = 0xA3, "SimpleBlock", Cluster;
    BLOCK_GROUP = 0xA0, "BlockGroup", Cluster;
    ENCRYPTED_BLOCK = 0xAF, "EncryptedBlock", Cluster;
    BLOCK = 0xA1, "Block", Nested;
    BLOCK_DURATION = 0x9B, "BlockDuration", Nested;
    REFERENCE_BLOCK = 0xFB, "ReferenceBlock", Nested;
    CUES = 0x1C53_BB6B, "Cues", Segment;
    ATTACHMENTS = 0x1941_A469, "Attachments", Segment;
    CHAPTERS = 0x1043_A770, "Chapters", Segment;
    TAGS = 0x1254_C367, "Tags", Segment;
    TAG = 0x7373, "Tag", Nested;
    TARGETS = 0x63C0, "Targets", Nested;
    SIMPLE_TAG = 0x67C8, "SimpleTag", Nested;
    TAG_NAME = 0x45A3, "TagName", Nested;
    TAG_STRING = 0x4487, "TagString", Nested;
    TAG_BINARY = 0x4485, "TagBinary", Nested;
}

impl Id {
    /// The element's name; `None` when this code does not know it.
    pub fn name(self) -> Option<&'static str> {
        self.known().map(|(name, _)| name)
    }

    pub(crate) fn place(self) -> Option<Place> {
        self.known().map(|(_, place)| place)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:X}", self.0),
        }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The elements from level 0 down to where something is: `Segment/Cluster/SimpleBlock`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Path {
    ids: [Option<Id>; Self::DEPTH],
}

impl Path {
    const DEPTH: usize = 8;

    /// The path of a child of this element. Deeper than any element that is read, the path stays as it is.
    #[must_use]
    pub(crate) fn child(mut self, id: Id) -> Self {
        if let Some(free) = self.ids.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(id);
        }
        self
    }

    /// The ids, outermost first.
    pub fn ids(&self) -> impl Iterator<Item = Id> {
        self.ids.iter().copied().flatten()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ids = self.ids();
        match ids.next() {
            None => f.write_str("the top level")?,
            Some(first) => first.fmt(f)?,
        }
        ids.try_for_each(|id| write!(f, "/{id}"))
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

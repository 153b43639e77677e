//! What stands in a fragment for a track that had nothing to say.

use bytes::Bytes;

use crate::codec::silence;
use crate::mkv::{Block, FrameHead};
use crate::time::Timecode;
use crate::{Track, TrackKind, TrackNumber};

use super::TrackRule;

impl TrackRule {
    /// The rule for a track.
    pub const fn of(track: &Track) -> Self {
        Self { number: track.number, kind: track.kind }
    }
}

/// A frame for a fragment that would lack one of this track: the service refuses a fragment without (kvs-api 3.6, 4011).
///
/// It is encoded silence, an empty block for data, and an empty block where the codec has no silence. Its block is
/// marked invisible and discardable at once, which no encoder does, so that [`is_filler`] tells it from what was
/// recorded. A player that does not know the mark hears silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filler {
    track: TrackNumber,
    key: bool,
    payload: Bytes,
}

impl Filler {
    /// The filler of a track.
    pub fn of(track: &Track) -> Self {
        let key = track.kind != TrackKind::Video;
        Self {
            track: track.number,
            key,
            payload: silence(track).map(|silence| silence.data).unwrap_or_default(),
        }
    }

    /// Its payload.
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Its block, at a time.
    pub fn block(&self, timecode: Timecode) -> Block {
        let Self { track, key, .. } = *self;
        Block { track, timecode, key, discardable: true, invisible: true }
    }
}

/// Whether a frame is a [`Filler`], to be dropped by who reads what was recorded.
pub const fn is_filler(kind: TrackKind, frame: &FrameHead) -> bool {
    let marked = frame.invisible && frame.discardable;
    // A hidden frame of a video codec is no filler unless it is empty.
    marked && (frame.size == 0 || !matches!(kind, TrackKind::Video))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrackNumber;

    #[test]
    fn a_hidden_frame_of_a_video_codec_is_no_filler() {
        let head = |size, invisible, discardable| FrameHead {
            track: TrackNumber(1),
            timecode: Timecode::default(),
            duration: None,
            key: false,
            discardable,
            invisible,
            size,
            offset: 0,
        };
        // VP8 and VP9 hide their alternative reference frames.
        assert!(!is_filler(TrackKind::Video, &head(100, true, true)));
        assert!(is_filler(TrackKind::Video, &head(0, true, true)));
        for kind in [TrackKind::Audio, TrackKind::Metadata] {
            assert!(is_filler(kind, &head(100, true, true)) && is_filler(kind, &head(0, true, true)));
            assert!(!is_filler(kind, &head(0, true, false)) && !is_filler(kind, &head(0, false, true)));
        }
    }
}

//! What the service gives back.

use std::sync::Arc;

use bytes::Bytes;
use kvs_media::fragment::is_filler;
use kvs_media::mkv::{Event, Header, Reader, TagValue};
use kvs_media::time::Utc;
use kvs_media::{Track, TrackKind, TrackNumber};
use kvs_wire::tags::ChunkTags;

/// A fragment that the service gave back, as a document of its own.
#[derive(Clone, Debug)]
pub(crate) struct Fragment {
    pub(crate) document: Bytes,
    pub(crate) header: Arc<Header>,
    /// What the service says of it.
    pub(crate) own: ChunkTags,
    /// What its producer says of it.
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) frames: Vec<Frame>,
}

/// A frame of it.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) track: TrackNumber,
    pub(crate) utc: Utc,
    pub(crate) key: bool,
    /// It stands for a track that had nothing to say.
    pub(crate) filler: bool,
    pub(crate) payload: Bytes,
}

impl Fragment {
    /// Reads the one document that there is.
    pub(crate) fn read(document: Bytes) -> Self {
        let mut reader = Reader::default();
        let mut rest = document.clone();
        let mut fragment: Option<Self> = None;
        let mut take = |event: Event| match (event, &mut fragment) {
            (Event::Document(header), None) => {
                let (own, tags, frames) = (ChunkTags::default(), Vec::new(), Vec::new());
                fragment = Some(Self { document: document.clone(), header, own, tags, frames });
            }
            (Event::Document(_), Some(_)) => panic!("two documents for one fragment"),
            (Event::Tags(tags), Some(fragment)) => {
                for pair in tags.tags.into_iter().flat_map(|tag| tag.pairs) {
                    let TagValue::Text(value) = pair.value else { panic!("a binary tag") };
                    if !fragment.own.read(&pair.name, &value).unwrap() {
                        fragment.tags.push((pair.name, value));
                    }
                }
            }
            (Event::Frame(frame), Some(fragment)) => {
                let track = fragment.header.track(frame.head.track).expect("a frame of no track");
                fragment.frames.push(Frame {
                    track: frame.head.track,
                    utc: fragment.header.info.scale.instant(frame.head.timecode).unwrap(),
                    key: frame.head.key,
                    filler: is_filler(track.kind, &frame.head),
                    payload: frame.payload,
                });
            }
            _ => {}
        };
        while let Some(event) = reader.read(&mut rest).unwrap() {
            take(event);
        }
        while let Some(event) = reader.finish().unwrap() {
            take(event);
        }
        fragment.expect("no document")
    }

    /// The track of a kind.
    pub(crate) fn track(&self, kind: TrackKind) -> &Track {
        let found = self.header.tracks.iter().find(|track| track.kind == kind);
        found.unwrap_or_else(|| panic!("no track of {kind:?} in {:?}", self.header))
    }

    /// What was recorded of a kind.
    pub(crate) fn frames_of(&self, kind: TrackKind) -> impl Iterator<Item = &Frame> {
        let number = self.header.tracks.iter().find(|track| track.kind == kind).map(|track| track.number);
        self.frames.iter().filter(move |frame| Some(frame.track) == number && !frame.filler)
    }
}

/// What was recorded of a kind, over all fragments.
pub(crate) fn frames_of(fragments: &[Fragment], kind: TrackKind) -> Vec<Frame> {
    fragments.iter().flat_map(|fragment| fragment.frames_of(kind)).cloned().collect()
}

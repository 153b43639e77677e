//! The bytes around a fragment in GetMedia and GetMediaForFragmentList (kvs-api 5.3, 6.3).
//!
//! Each fragment is a Matroska document of its own: the header section as the producer sent it, with the size of its
//! Segment left open; the producer's tags of this fragment; the service's tags; the cluster as it was sent; and, for
//! GetMedia, a last group of the service's tags.

use bytes::Bytes;
use kvs_media::mkv::{Header, Info, SimpleTag, Sizes, Tag, Writer, write_tags};
use kvs_media::time::Utc;
use kvs_wire::tags::ChunkTag;
use kvs_wire::{ContinuationToken, ErrorId, FragmentNumber};

/// Id and open size of a Segment, as the service writes them.
const SEGMENT: [u8; 12] = [0x18, 0x53, 0x80, 0x67, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];

/// The header section of a session as it goes out in every chunk: as the producer sent it, with an open Segment.
pub fn header(sent: &Header) -> Bytes {
    let (before, rest) = sent.raw.split_at_checked(sent.segment.start).unwrap_or_default();
    let after = rest.get(sent.segment.len()..).unwrap_or_default();
    [before, &SEGMENT, after].concat().into()
}

/// What is needed to write the beginning and the end of a chunk; its cluster goes between them.
#[derive(Clone, Debug)]
pub struct Chunk<'a> {
    /// The header section of the fragment's session, by [`header`].
    pub header: &'a [u8],
    /// The Tags elements in front of the fragment, as they were sent.
    pub tags: &'a [u8],
    /// Its number.
    pub number: &'a FragmentNumber,
    /// When its first byte came in.
    pub server_time: Utc,
    /// When the producer says that it begins.
    pub producer_time: Utc,
}

impl Chunk<'_> {
    /// What stands in front of the cluster.
    pub fn beginning(&self) -> Bytes {
        let Self { header, tags, number, server_time, producer_time } = *self;
        let own = group(&ChunkTag::leading(number.clone(), server_time, producer_time));
        [header, tags, &own].concat().into()
    }

    /// What stands behind the cluster in GetMedia: how far behind the tip the reader is, and where to go on.
    pub fn end(millis_behind_now: u64, token: ContinuationToken) -> Bytes {
        group(&ChunkTag::trailing(millis_behind_now, token))
    }
}

/// The document that stands in the place of a fragment that cannot be given, or that ends an answer.
pub fn failure(id: ErrorId, number: Option<FragmentNumber>) -> Bytes {
    let tags: Vec<ChunkTag> = ChunkTag::failure(id, number).collect();
    // A document without tracks cannot be refused.
    let header = Writer::new(&Info::default(), &[]).map(|(_, header)| header).unwrap_or_default();
    let ebml = header.windows(4).position(|id| id == SEGMENT.get(..4).unwrap_or_default());
    let ebml = header.get(..ebml.unwrap_or_default()).unwrap_or_default();
    [ebml, &SEGMENT, &group(&tags)].concat().into()
}

/// One group of the service's tags.
fn group(tags: &[ChunkTag]) -> Bytes {
    let pairs = tags.iter().map(|tag| SimpleTag::text(tag.name(), tag.to_string())).collect();
    write_tags(&[Tag { pairs, ..Tag::default() }], Sizes::FourBytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvs_media::mkv::{Block, Event, Reader, TagValue};
    use kvs_media::time::Timecode;
    use kvs_media::{Track, TrackKind, TrackNumber};
    use kvs_wire::tags::ChunkTags;
    use std::sync::Arc;

    const NUMBER: &str = "91343852333713038908964877623801423530396737899";

    fn events(bytes: Vec<u8>) -> Vec<Event> {
        let (mut reader, mut rest, mut found) = (Reader::default(), Bytes::from(bytes), Vec::new());
        while let Some(event) = reader.read(&mut rest).unwrap() {
            found.push(event);
        }
        while let Some(event) = reader.finish().unwrap() {
            found.push(event);
        }
        found
    }

    /// A header with a track, of a Segment of known or unknown size, and a cluster.
    fn sent(known: bool) -> (Arc<Header>, Vec<u8>) {
        let track = Track::new(TrackNumber(1), TrackKind::Video, "V_VP8");
        let (mut writer, header) = Writer::new(&Info::default(), &[track]).unwrap();
        let mut cluster = writer.cluster(Timecode::from_ticks(5_000)).unwrap().to_vec();
        let block = Block::new(TrackNumber(1), Timecode::from_ticks(5_000)).key();
        cluster.extend_from_slice(&writer.frame(block, 3).unwrap());
        cluster.extend_from_slice(b"key");
        let mut bytes = header.to_vec();
        if known {
            let at = bytes.windows(4).position(|id| id == [0x18, 0x53, 0x80, 0x67]).unwrap() + 4;
            let size = u32::try_from(bytes.len() - at - 1 + cluster.len()).unwrap() | 0x1000_0000;
            bytes.splice(at..=at, size.to_be_bytes());
        }
        bytes.extend_from_slice(&cluster);
        let Some(Event::Document(header)) = events(bytes).into_iter().next() else { panic!("no header") };
        (header, cluster)
    }

    fn own(events: &[Event]) -> ChunkTags {
        let mut tags = ChunkTags::default();
        for event in events {
            let Event::Tags(found) = event else { continue };
            for pair in found.tags.iter().flat_map(|tag| &tag.pairs) {
                let TagValue::Text(value) = &pair.value else { panic!("{pair:?}") };
                tags.read(&pair.name, value).unwrap();
            }
        }
        tags
    }

    #[test]
    fn a_chunk_has_the_captured_layout_whatever_the_size_of_the_segment_was() {
        for known in [false, true] {
            let (header, cluster) = sent(known);
            let number: FragmentNumber = NUMBER.parse().unwrap();
            let user = write_tags(&[Tag::text("plate", "ZH 1234")], Sizes::Tight);
            let server_time = Utc::from_millis(1_537_574_915_281).unwrap();
            let chunk = Chunk {
                header: &super::header(&header),
                tags: &user,
                number: &number,
                server_time,
                producer_time: Utc::EPOCH,
            };
            let token: ContinuationToken = NUMBER.parse().unwrap();
            let (beginning, end) = (chunk.beginning(), Chunk::end(910, token.clone()));
            // kvs-api D.5.
            let leading = beginning.len() - 8 - 0xE2;
            assert_eq!(beginning[leading..leading + 8], [0x12, 0x54, 0xC3, 0x67, 0x10, 0x00, 0x00, 0xE2]);
            assert_eq!(beginning[leading - user.len()..leading], user);
            assert_eq!(end[..8], [0x12, 0x54, 0xC3, 0x67, 0x10, 0x00, 0x00, 0xA1]);
            assert_eq!(end.len(), 8 + 0xA1);
            let at = header.segment.start;
            assert_eq!((&beginning[..at], &beginning[at..at + 12]), (&header.raw[..at], &SEGMENT[..]));
            assert_eq!(beginning[at + 12..leading - user.len()], header.raw[header.segment.end..]);

            // Two chunks, one after another, as they go out.
            let one = [&beginning[..], &cluster, &end].concat();
            let found = events([&one[..], &one].concat());
            assert_eq!(found.iter().filter(|event| matches!(event, Event::Document(_))).count(), 2);
            assert_eq!(
                found.iter().filter(|event| matches!(event, Event::FrameStart(_) | Event::Frame(_))).count(),
                2
            );
            let tags = own(&found[..found.len() / 2]);
            assert_eq!((tags.fragment_number, tags.server_time), (Some(number), Some(server_time)));
            assert_eq!((tags.producer_time, tags.millis_behind_now), (Some(Utc::EPOCH), Some(910)));
            assert_eq!(tags.continuation_token, Some(token));
        }
    }

    #[test]
    fn a_failure_is_a_document_of_its_own() {
        let number: FragmentNumber = NUMBER.parse().unwrap();
        let bytes = failure(ErrorId(3000), Some(number.clone()));
        let found = events(bytes.to_vec().repeat(2));
        let tags = own(&found[..found.len() / 2]);
        assert!(tags.is_failure());
        assert_eq!((tags.error(), tags.fragment_number), (Some(ErrorId(3000)), Some(number)));
        assert_eq!(found.iter().filter(|event| matches!(event, Event::Document(_))).count(), 2);
    }
}

//! The reader, against bytes that were made by hand: every rule of the format, and bad input.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

mod samples;

use bytes::Bytes;
use kvs_media::TrackNumber;
use kvs_media::mkv::{Delivery, Event, Id, Limits, ReadErrorKind, Reader, TagValue};
use kvs_media::time::Timecode;
use proptest::prelude::*;
use samples::{events, frames, join_parts, names, parts_reader, read, read_in_pieces, sample, small_limits};

/// An element whose size is written in four bytes.
fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len()).unwrap() | 0x1000_0000;
    [id, &size.to_be_bytes(), body].concat()
}

fn lying_element(id: &[u8], size: u64, body: &[u8]) -> Vec<u8> {
    let size = size | 1 << 56;
    [id, &size.to_be_bytes(), body].concat()
}

const EBML: &[u8] = &[0x1A, 0x45, 0xDF, 0xA3];
const SEGMENT: &[u8] = &[0x18, 0x53, 0x80, 0x67];
const OPEN_SEGMENT: &[u8] = &[0x18, 0x53, 0x80, 0x67, 0xFF];
const INFO: &[u8] = &[0x15, 0x49, 0xA9, 0x66];
const TRACKS: &[u8] = &[0x16, 0x54, 0xAE, 0x6B];
const TRACK_ENTRY: &[u8] = &[0xAE];
const CLUSTER: &[u8] = &[0x1F, 0x43, 0xB6, 0x75];
const OPEN_CLUSTER: &[u8] = &[0x1F, 0x43, 0xB6, 0x75, 0xFF];
const TIMECODE_5: &[u8] = &[0xE7, 0x81, 0x05];
const BLOCK: &[u8] = &[0xA3, 0x85, 0x81, 0x00, 0x00, 0x80, 0x2A];
const VOID: &[u8] = &[0xEC];
const TAGS: &[u8] = &[0x12, 0x54, 0xC3, 0x67];
const TAG: &[u8] = &[0x73, 0x73];
const SIMPLE_TAG: &[u8] = &[0x67, 0xC8];

/// A header with one track, number 1.
fn header() -> Vec<u8> {
    let entry = [&[0xD7, 0x81, 1][..], &[0x83, 0x81, 2], &element(&[0x86], b"A_OPUS")].concat();
    let tracks = element(TRACKS, &element(TRACK_ENTRY, &entry));
    [element(EBML, &[0x42, 0x82, 0x84, b'w', b'e', b'b', b'm']), OPEN_SEGMENT.to_vec(), tracks].concat()
}

/// The error that a document ends in, by whole reading and byte by byte, which must agree.
fn error_of(bytes: &[u8], limits: Limits) -> Option<(ReadErrorKind, u64, String)> {
    let bytes = Bytes::copy_from_slice(bytes);
    let read = |delivery, length: usize| {
        let mut reader = Reader::new(limits, delivery);
        let (_, result) = read_in_pieces(&mut reader, bytes.clone(), std::iter::repeat(length));
        result.err().map(|error| (error.kind, error.offset, error.path.to_string()))
    };
    let whole = read(Delivery::Whole, usize::MAX);
    assert_eq!(whole, read(Delivery::Whole, 1));
    assert_eq!(whole, read(Delivery::Parts, 3));
    whole
}

#[test]
fn every_fault_is_named_with_its_place() {
    use ReadErrorKind as Kind;
    let header = header();
    let after = |rest: &[&[u8]]| [&header[..], &rest.concat()].concat();
    let at = header.len() as u64;
    let ebml = |body: &[u8]| element(EBML, body);
    let cluster = [OPEN_CLUSTER, TIMECODE_5].concat();
    let in_cluster = at + cluster.len() as u64;
    let huge = 1 << 50;
    let rows: Vec<(&str, Vec<u8>, Kind, u64, &str)> = vec![
        ("no id", vec![0x00, 0x80], Kind::NotEbml, 0, "the top level"),
        ("tracks first", after(&[]).split_off(4 + 4 + 7 + 5), Kind::NotEbml, 0, "the top level"),
        ("another format", ebml(&[0x42, 0x82, 0x83, b'a', b'v', b'i']), Kind::NotMatroska, 0, "EBML"),
        ("long ids", ebml(&[0x42, 0xF2, 0x81, 5]), Kind::UnsupportedEbml, 0, "EBML"),
        ("an EBML header without size", [EBML, &[0xFF]].concat(), Kind::UnknownSize(Id::EBML), 0, "EBML"),
        (
            "an EBML header without end",
            lying_element(EBML, huge, &[]),
            Kind::TooLarge { id: Id::EBML, size: huge, limit: 65_536 },
            0,
            "EBML",
        ),
        ("a second segment", after(&[OPEN_SEGMENT]), Kind::Unexpected(Id::SEGMENT), at, "Segment/Segment"),
        (
            "a block between clusters",
            after(&[BLOCK]),
            Kind::Unexpected(Id::SIMPLE_BLOCK),
            at,
            "Segment/SimpleBlock",
        ),
        (
            "a track in a cluster",
            after(&[&cluster, TRACK_ENTRY, &[0x80]]),
            Kind::Unexpected(Id::TRACK_ENTRY),
            in_cluster,
            "Segment/Cluster/TrackEntry",
        ),
        (
            "other tracks later",
            after(&[&cluster, &element(TRACKS, &[])]),
            Kind::Contradiction(Id::TRACKS),
            in_cluster,
            "Segment/Tracks",
        ),
        (
            "a block before the time",
            after(&[OPEN_CLUSTER, BLOCK]),
            Kind::MissingTimecode,
            at + 5,
            "Segment/Cluster/SimpleBlock",
        ),
        (
            "a cluster without time",
            after(&[OPEN_CLUSTER, OPEN_CLUSTER]),
            Kind::MissingTimecode,
            at,
            "Segment/Cluster",
        ),
        (
            "two times",
            after(&[&cluster, TIMECODE_5]),
            Kind::SecondTimecode,
            in_cluster,
            "Segment/Cluster/Timecode",
        ),
        (
            "a time beyond 63 bits",
            after(&[OPEN_CLUSTER, &[0xE7, 0x88, 0xFF, 0xFF, 0xFF, 0xFF, 0x84, 0, 0, 1]]),
            Kind::TimecodeOutOfRange,
            at + 5,
            "Segment/Cluster/Timecode",
        ),
        (
            "a time of nine bytes",
            after(&[OPEN_CLUSTER, &[0xE7, 0x89], &[0; 9]]),
            Kind::TooLarge { id: Id::TIMECODE, size: 9, limit: 8 },
            at + 5,
            "Segment/Cluster/Timecode",
        ),
        (
            "an unknown track",
            after(&[&cluster, &[0xA3, 0x85, 0x82, 0, 0, 0x80, 0]]),
            Kind::UnknownTrack(TrackNumber(2)),
            in_cluster,
            "Segment/Cluster/SimpleBlock",
        ),
        (
            "a block of three bytes",
            after(&[&cluster, &[0xA3, 0x83, 0x81, 0, 0]]),
            Kind::ShortBlock,
            in_cluster,
            "Segment/Cluster/SimpleBlock",
        ),
        (
            "an empty block",
            after(&[&cluster, &[0xA3, 0x80]]),
            Kind::ShortBlock,
            in_cluster,
            "Segment/Cluster/SimpleBlock",
        ),
        (
            "a block without track",
            after(&[&cluster, &[0xA3, 0x84, 0, 0, 0, 0]]),
            Kind::InvalidVint,
            in_cluster,
            "Segment/Cluster/SimpleBlock",
        ),
        (
            "a block that never ends",
            after(&[&cluster, &lying_element(&[0xA3], huge, &[])]),
            Kind::TooLarge { id: Id::SIMPLE_BLOCK, size: huge, limit: 262_144 },
            in_cluster,
            "Segment/Cluster/SimpleBlock",
        ),
        (
            "a block without size",
            after(&[&cluster, &[0xA3, 0xFF]]),
            Kind::UnknownSize(Id::SIMPLE_BLOCK),
            in_cluster,
            "Segment/Cluster/SimpleBlock",
        ),
        (
            "a lace that does not add up",
            after(&[&cluster, &[0xA3, 0x87, 0x81, 0, 0, 0x82, 1, 9, 0]]),
            Kind::InvalidLace,
            in_cluster,
            "Segment/Cluster/SimpleBlock",
        ),
        (
            "a lace of frames below zero",
            after(&[&cluster, &[0xA3, 0x88, 0x81, 0, 0, 0x86, 2, 0x81, 0x80, 0]]),
            Kind::InvalidLace,
            in_cluster,
            "Segment/Cluster/SimpleBlock",
        ),
        (
            "a fixed lace that does not divide",
            after(&[&cluster, &[0xA3, 0x88, 0x81, 0, 0, 0x84, 1, 1, 2, 3]]),
            Kind::InvalidLace,
            in_cluster,
            "Segment/Cluster/SimpleBlock",
        ),
        (
            "a group without block",
            after(&[&cluster, &element(&[0xA0], &[0x9B, 0x81, 1])]),
            Kind::InvalidBlockGroup,
            in_cluster,
            "Segment/Cluster/BlockGroup",
        ),
        (
            "a group with two",
            after(&[&cluster, &element(&[0xA0], &[0xA1, 0x84, 0x81, 0, 0, 0, 0xA1, 0x80])]),
            Kind::InvalidBlockGroup,
            in_cluster,
            "Segment/Cluster/BlockGroup",
        ),
        (
            "a block longer than its cluster",
            after(&[&element(CLUSTER, &[0xE7, 0x81, 0, 0xA3, 0x90])]),
            Kind::ExceedsParent(Id::SIMPLE_BLOCK),
            at + 8 + 3,
            "Segment/Cluster/SimpleBlock",
        ),
        (
            "a head longer than its cluster",
            after(&[&element(CLUSTER, &[0xE7, 0x81, 0, 0xA3])[..], &[0x84]]),
            Kind::ExceedsParent(Id::SIMPLE_BLOCK),
            at + 8 + 3,
            "Segment/Cluster/SimpleBlock",
        ),
        (
            "another cluster in one of known size",
            after(&[&element(CLUSTER, &[TIMECODE_5, OPEN_CLUSTER].concat())]),
            Kind::Unexpected(Id::CLUSTER),
            at + 8 + 3,
            "Segment/Cluster/Cluster",
        ),
        (
            "two tracks of one number",
            [
                &element(EBML, &[])[..],
                OPEN_SEGMENT,
                &element(
                    TRACKS,
                    &[element(TRACK_ENTRY, &[0xD7, 0x81, 1]), element(TRACK_ENTRY, &[0xD7, 0x81, 1])]
                        .concat(),
                ),
            ]
            .concat(),
            Kind::InvalidTrackNumber,
            8 + 5 + 8 + 8,
            "Segment/Tracks/TrackEntry",
        ),
        (
            "a track without number",
            [&element(EBML, &[])[..], OPEN_SEGMENT, &element(TRACKS, &element(TRACK_ENTRY, &[]))].concat(),
            Kind::InvalidTrackNumber,
            8 + 5 + 8,
            "Segment/Tracks/TrackEntry",
        ),
        (
            "too many tracks",
            [
                &element(EBML, &[])[..],
                OPEN_SEGMENT,
                &element(
                    TRACKS,
                    &(1..10).flat_map(|n| element(TRACK_ENTRY, &[0xD7, 0x81, n])).collect::<Vec<_>>(),
                ),
            ]
            .concat(),
            Kind::TooManyTracks(8),
            8 + 5 + 8 + 8 * 8,
            "Segment/Tracks/TrackEntry",
        ),
        (
            "a scale of zero",
            [&element(EBML, &[])[..], OPEN_SEGMENT, &element(INFO, &[0x2A, 0xD7, 0xB1, 0x81, 0])].concat(),
            Kind::ZeroScale,
            8 + 5 + 8,
            "Segment/Info/TimecodeScale",
        ),
        (
            "a rate of three bytes",
            [
                &element(EBML, &[])[..],
                OPEN_SEGMENT,
                &element(TRACKS, &element(TRACK_ENTRY, &element(&[0xE1], &[0xB5, 0x83, 0, 0, 0]))),
            ]
            .concat(),
            Kind::InvalidSize(Id::SAMPLING_FREQUENCY),
            8 + 5 + 8 + 5 + 5,
            "Segment/Tracks/TrackEntry/Audio/SamplingFrequency",
        ),
        (
            "tags deeper than any",
            after(&[&element(
                TAGS,
                &element(TAG, &(0..9).fold(Vec::new(), |inner, _| element(SIMPLE_TAG, &inner))),
            )]),
            Kind::TooDeep,
            at + 8 + 6 + 8 * 6,
            "Segment/Tags/Tag/SimpleTag/SimpleTag/SimpleTag/SimpleTag/SimpleTag",
        ),
        (
            "tags without end",
            after(&[&lying_element(TAGS, 20_000, &[])]),
            Kind::TooLarge { id: Id::TAGS, size: 20_000, limit: 16_384 },
            at,
            "Segment/Tags",
        ),
        (
            "a tag longer than its tags",
            after(&[&element(TAGS, &lying_element(TAG, 100, &[0; 5]))]),
            Kind::ExceedsParent(Id::TAG),
            at + 8,
            "Segment/Tags/Tag",
        ),
        ("half a head in tags", after(&[&element(TAGS, &[0x73])]), Kind::InvalidVint, at + 8, "Segment/Tags"),
        (
            "an unknown element without size",
            after(&[&cluster, &[0xC0, 0xFF]]),
            Kind::UnknownSize(Id(0xC0)),
            in_cluster,
            "Segment/Cluster/0xC0",
        ),
        (
            "an attachment too large for a header",
            [&element(EBML, &[])[..], OPEN_SEGMENT, &lying_element(&[0x19, 0x41, 0xA4, 0x69], 70_000, &[])]
                .concat(),
            Kind::TooLarge { id: Id::ATTACHMENTS, size: 70_000 + 13, limit: 65_536 },
            8 + 5,
            "Segment/Attachments",
        ),
        ("a header and no more", element(EBML, &[]), Kind::Truncated, 8, "the top level"),
        (
            "half a cluster",
            after(&[&element(CLUSTER, &[0xE7, 0x81, 0, 0xA3])]),
            Kind::Truncated,
            at + 12,
            "Segment/Cluster",
        ),
    ];
    for (name, bytes, kind, offset, path) in rows {
        assert_eq!(error_of(&bytes, small_limits()), Some((kind, offset, path.to_owned())), "{name}");
    }
}

#[test]
fn what_is_not_read_is_passed_over_and_said() {
    let header = header();
    let body = [
        &element(VOID, &[0; 300])[..],
        &[0xC0, 0x81, 7],
        &element(&[0x1C, 0x53, 0xBB, 0x6B], &[9; 90_000]),
        &[OPEN_CLUSTER, TIMECODE_5, &[0xC0, 0x81, 7], &element(VOID, &[0; 300_000]), BLOCK].concat(),
        &element(&[0x1C, 0x53, 0xBB, 0x6B], &[9; 90_000]),
        &element(VOID, &[]),
        &[OPEN_CLUSTER, TIMECODE_5, BLOCK].concat(),
    ]
    .concat();
    let bytes = Bytes::from([&header[..], &body].concat());
    let limits = Limits { header_bytes: 200_000, ..small_limits() };
    let (found, result) =
        read_in_pieces(&mut Reader::new(limits, Delivery::Whole), bytes, std::iter::repeat(5_000));
    assert_eq!(result, Ok(()));
    assert_eq!(frames(&found).len(), 2);
    let skipped = |event: &Event| match event {
        Event::Skipped { id, length, .. } => Some((*id, *length)),
        _ => None,
    };
    // In front of the first cluster they are part of the header.
    let skipped: Vec<_> = found.iter().filter_map(skipped).collect();
    assert_eq!(skipped, [(Id::CUES, 90_008), (Id::VOID, 5)]);
}

#[test]
fn a_new_document_ends_whatever_is_open() {
    let header = header();
    let cut = [&lying_element(CLUSTER, 1_000, TIMECODE_5)[..], BLOCK].concat();
    let bytes = [&header[..], &cut, &header, OPEN_CLUSTER, TIMECODE_5, &header].concat();
    let found = events(bytes.into());
    let kinds: Vec<String> = found
        .iter()
        .map(|event| match event {
            Event::Document(_) => "document".into(),
            Event::DocumentEnd { offset } => format!("end {offset}"),
            Event::Cluster(cluster) => format!("cluster {}", cluster.offset),
            Event::ClusterEnd { offset, complete } => format!("cluster end {offset} {complete}"),
            Event::Frame(_) => "frame".into(),
            other => panic!("{other:?}"),
        })
        .collect();
    let first = header.len();
    let second = first + cut.len();
    let third = second + first + 5 + 3;
    assert_eq!(
        kinds,
        [
            "document".to_owned(),
            format!("cluster {first}"),
            "frame".into(),
            format!("cluster end {second} false"),
            format!("end {second}"),
            "document".into(),
            format!("cluster {}", second + first),
            format!("cluster end {third} true"),
            format!("end {third}"),
            "document".into(),
            format!("end {}", third + first),
        ]
    );
}

#[test]
fn a_new_document_may_begin_where_the_one_before_was_cut_by_a_few_bytes() {
    let header = header();
    // Ten bytes are missing, and an EBML header with its body is longer than that.
    let cut = [&lying_element(CLUSTER, 20, TIMECODE_5)[..], BLOCK].concat();
    let bytes = Bytes::from([&header[..], &cut, &header, OPEN_CLUSTER, TIMECODE_5, BLOCK].concat());
    let (found, result) = read_in_pieces(&mut Reader::default(), bytes, std::iter::repeat(11));
    assert_eq!((result, frames(&found).len()), (Ok(()), 2));
}

#[test]
fn the_header_holds_all_that_comes_before_the_first_cluster_but_tags() {
    let (header, chapters) = (header(), element(&[0x10, 0x43, 0xA7, 0x70], &[0xEC, 0x81, 0]));
    let tags = element(TAGS, &[]);
    let bytes = [&header[..], &tags, &chapters, OPEN_CLUSTER, TIMECODE_5].concat();
    let found = events(bytes.into());
    let [Event::Document(document), Event::Tags(_), Event::Cluster(_), ..] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(document.raw, [&header[..], &chapters].concat());
}

#[test]
fn what_stands_behind_a_document_of_known_size_is_passed_over() {
    let header = header();
    let body = [&header[8 + 7 + 5..], &element(CLUSTER, &[TIMECODE_5, BLOCK].concat())[..]].concat();
    let bytes =
        [&header[..8 + 7], &element(SEGMENT, &body), &element(VOID, &[0; 5]), &[0xC0, 0x81, 1]].concat();
    assert_eq!(error_of(&bytes, small_limits()), None);
    let found = events(bytes.into());
    assert!(matches!(found[found.len() - 2..], [Event::Skipped { id: Id::VOID, .. }, Event::Skipped { .. }]));
}

#[test]
fn tracks_that_are_repeated_must_say_the_same() {
    let tracks = element(TRACKS, &element(TRACK_ENTRY, &[0xD7, 0x81, 1]));
    let start = [&element(EBML, &[])[..], OPEN_SEGMENT, &tracks].concat();
    let cluster = [OPEN_CLUSTER, TIMECODE_5].concat();
    assert_eq!(error_of(&[&start[..], &tracks, &cluster, &tracks, &cluster].concat(), small_limits()), None);
    for bytes in
        [[&start[..], &element(TRACKS, &[])].concat(), [&start[..], &cluster, &element(TRACKS, &[])].concat()]
    {
        assert_eq!(error_of(&bytes, small_limits()).unwrap().0, ReadErrorKind::Contradiction(Id::TRACKS));
    }
    // Where there was none before the first cluster, it is too late.
    let info = element(INFO, &[]);
    assert_eq!(
        error_of(&[&start[..], &cluster, &info].concat(), small_limits()).unwrap().0,
        ReadErrorKind::Unexpected(Id::INFO)
    );
}

#[test]
fn the_number_of_tags_is_bounded_as_their_bytes_are() {
    let pairs = |count: usize| element(TAGS, &element(TAG, &[SIMPLE_TAG, &[0x80]].concat().repeat(count)));
    let after = |rest: &[u8]| [&header()[..], rest, OPEN_CLUSTER, TIMECODE_5].concat();
    assert_eq!(error_of(&after(&pairs(99)), small_limits()), None);
    assert_eq!(error_of(&after(&pairs(100)), small_limits()).unwrap().0, ReadErrorKind::TooManyTags);
    // Before the first cluster they are held, and so are counted together.
    assert_eq!(error_of(&after(&pairs(8).repeat(10)), small_limits()), None);
    assert_eq!(error_of(&after(&pairs(8).repeat(11)), small_limits()).unwrap().0, ReadErrorKind::TooManyTags);
    let long = element(TAGS, &element(TAG, &element(SIMPLE_TAG, &element(&[0x44, 0x87], &[b'v'; 9_000]))));
    assert_eq!(error_of(&after(&long), small_limits()), None);
    let (kind, ..) = error_of(&after(&long.repeat(2)), small_limits()).unwrap();
    assert!(matches!(kind, ReadErrorKind::TooLarge { id: Id::TAGS, limit: 16_384, .. }), "{kind:?}");
    let between = [&after(&[])[..], &long.repeat(5), &pairs(8).repeat(100)].concat();
    assert_eq!(error_of(&between, small_limits()), None);
}

#[test]
fn what_a_header_says_of_a_track_is_read() {
    let entry = |rest: &[u8]| element(TRACKS, &element(TRACK_ENTRY, &[&[0xD7, 0x81, 1][..], rest].concat()));
    let track = |rest: &[u8]| {
        let found = events([&element(EBML, &[])[..], OPEN_SEGMENT, &entry(rest)].concat().into());
        let Event::Document(header) = &found[0] else { panic!("{found:?}") };
        header.tracks[0].clone()
    };
    assert!(track(&element(&[0x6D, 0x80], &[])).encoded && !track(&[]).encoded);
    // The newer form of a language wins, wherever it stands.
    let (old, new) = (element(&[0x22, 0xB5, 0x9C], b"ger"), element(&[0x22, 0xB5, 0x9D], b"de-CH"));
    assert_eq!(track(&old).language, "ger");
    assert_eq!(track(&[&old[..], &new].concat()).language, "de-CH");
    assert_eq!(track(&[&new[..], &old].concat()).language, "de-CH");
    // A rate that is no number is not equal to itself, and so not to its own repetition.
    let audio = element(&[0xE1], &element(&[0xB5], &f64::NAN.to_be_bytes()));
    let bytes = [&element(EBML, &[])[..], OPEN_SEGMENT, &entry(&audio)].concat();
    assert_eq!(
        error_of(&bytes, small_limits()).unwrap().0,
        ReadErrorKind::InvalidNumber(Id::SAMPLING_FREQUENCY)
    );
}

#[test]
fn the_duration_of_a_block_is_that_of_its_only_frame() {
    let group = |block: &[u8]| element(&[0xA0], &[element(&[0xA1], block), vec![0x9B, 0x81, 40]].concat());
    let bytes = |block: &[u8]| [&header()[..], OPEN_CLUSTER, TIMECODE_5, &group(block)].concat();
    let durations = |block: &[u8]| -> Vec<Option<u64>> {
        frames(&events(bytes(block).into())).iter().map(|frame| frame.head.duration).collect()
    };
    assert_eq!(durations(&[0x81, 0, 0, 0, 7]), [Some(40)]);
    assert_eq!(durations(&[0x81, 0, 0, 0x04, 1, 7, 8]), [None, None]);
}

#[test]
fn what_a_tag_speaks_of_is_kept() {
    let targets = [0x63, 0xC5, 0x81, 7];
    let tags = element(TAGS, &element(TAG, &element(&[0x63, 0xC0], &targets)));
    let found = events([&header()[..], &tags, OPEN_CLUSTER, TIMECODE_5].concat().into());
    let Event::Tags(tags) = &found[1] else { panic!("{found:?}") };
    assert_eq!(tags.tags[0].targets[..], targets);
}

#[test]
fn the_reserved_bits_of_a_block_in_a_group_say_nothing() {
    let group = element(&[0xA0], &element(&[0xA1], &[0x81, 0, 0, 0x89, 7]));
    let found = frames(&events([&header()[..], OPEN_CLUSTER, TIMECODE_5, &group].concat().into()));
    let head = found[0].head;
    assert_eq!((head.key, head.invisible, head.discardable), (true, true, false));
    let referring =
        element(&[0xA0], &[element(&[0xA1], &[0x81, 0, 0, 0x80, 7]), vec![0xFB, 0x81, 0xFF]].concat());
    let found = frames(&events([&header()[..], OPEN_CLUSTER, TIMECODE_5, &referring].concat().into()));
    assert!(!found[0].head.key);
}

#[test]
fn tags_in_front_of_the_tracks_come_after_the_header_and_are_not_in_it() {
    let tags = element(
        TAGS,
        &element(
            TAG,
            &element(
                SIMPLE_TAG,
                &[&element(&[0x45, 0xA3], b"A\0\0"), &element(&[0x44, 0x87], b"1")[..]].concat(),
            ),
        ),
    );
    let header = header();
    let split = header.len() - element(TRACKS, &[0; 0]).len() - (header.len() - 8 - 7 - 5 - 8);
    let bytes = [&header[..split], &tags, &header[split..], &tags, OPEN_CLUSTER, TIMECODE_5].concat();
    let found = events(bytes.into());
    let [Event::Document(document), Event::Tags(first), Event::Tags(second), ..] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(document.raw, header);
    assert_eq!((&first.raw[..], &second.raw[..]), (&tags[..], &tags[..]));
    assert_eq!(first.tags[0].pairs[0].name, "A");
    assert_eq!(first.tags[0].pairs[0].value, TagValue::Text("1".into()));
}

#[test]
fn an_error_document_without_tracks_is_read() {
    // GetMediaForFragmentList puts one in the place of a fragment that it does not find (kvs-api 6.3).
    let pair = |name: &[u8], value: &[u8]| {
        element(SIMPLE_TAG, &[element(&[0x45, 0xA3], name), element(&[0x44, 0x87], value)].concat())
    };
    let tag = [
        pair(b"AWS_KINESISVIDEO_ERROR_CODE", b"FRAGMENT_NOT_FOUND"),
        pair(b"AWS_KINESISVIDEO_ERROR_ID", b"3000"),
    ];
    let tags = element(TAGS, &element(TAG, &tag.concat()));
    for segment in [
        [SEGMENT, &[0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], &tags].concat(),
        element(SEGMENT, &tags),
    ] {
        let bytes =
            [element(EBML, &[0x42, 0x82, 0x88, b'm', b'a', b't', b'r', b'o', b's', b'k', b'a']), segment]
                .concat();
        let found = events(Bytes::from(bytes.repeat(2)));
        assert_eq!(found.len(), 6);
        assert!(
            matches!(&found[1], Event::Tags(tags) if tags.tags[0].pairs[1].name == "AWS_KINESISVIDEO_ERROR_ID")
        );
    }
}

#[test]
fn nul_padded_strings_are_read_without_the_padding() {
    let entry = [
        &[0xD7, 0x81, 1][..],
        &element(&[0x86], b"V_MPEG4/ISO/AVC\0\0\0\0"),
        &element(&[0x53, 0x6E], b"\0\0"),
    ]
    .concat();
    let ebml = element(EBML, &element(&[0x42, 0x82], b"matroska\0"));
    let bytes = [ebml, OPEN_SEGMENT.to_vec(), element(TRACKS, &element(TRACK_ENTRY, &entry))].concat();
    let found = events(bytes.into());
    let Event::Document(header) = &found[0] else { panic!("{found:?}") };
    assert_eq!(
        (header.doc_type.as_str(), header.tracks[0].codec_id.as_str()),
        ("matroska", "V_MPEG4/ISO/AVC")
    );
    assert_eq!(header.tracks[0].name, "");
}

#[test]
fn laced_frames_follow_each_other_by_the_duration_that_the_track_declares() {
    let entry = [&[0xD7, 0x81, 1][..], &[0x23, 0xE3, 0x83, 0x84, 0x01, 0x46, 0x1E, 0x85]].concat();
    let head =
        [element(EBML, &[]), OPEN_SEGMENT.to_vec(), element(TRACKS, &element(TRACK_ENTRY, &entry))].concat();
    // 21.372549 ms a frame; four of one byte, laced with one size.
    let block = [&[0xA3, 0x89, 0x81, 0xFF, 0xFF, 0x84, 3][..], &[1, 2, 3, 4]].concat();
    let bytes = [&head[..], OPEN_CLUSTER, &[0xE7, 0x81, 100], &block].concat();
    let times: Vec<i64> =
        frames(&events(bytes.into())).iter().map(|frame| frame.head.timecode.ticks()).collect();
    assert_eq!(times, [99, 120, 141, 163]);
}

#[test]
fn block_times_before_the_cluster_are_read_and_not_wrapped() {
    let block = |offset: i16| [&[0xA3, 0x84, 0x81][..], &offset.to_be_bytes(), &[0x00]].concat();
    let bytes =
        [&header()[..], OPEN_CLUSTER, TIMECODE_5, &block(-1), &block(i16::MIN), &block(i16::MAX)].concat();
    let times: Vec<_> = frames(&events(bytes.into())).iter().map(|frame| frame.head.timecode).collect();
    assert_eq!(times, [4, 5 - 32_768, 5 + 32_767].map(Timecode::from_ticks));
    let end = [0xE7, 0x88, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
    let bytes = [&header()[..], OPEN_CLUSTER, &end, &block(1)].concat();
    assert_eq!(error_of(&bytes, small_limits()).unwrap().0, ReadErrorKind::TimecodeOutOfRange);
}

#[test]
fn ten_thousand_tiny_elements_are_as_cheap_as_they_are_small() {
    let voids = VOID.iter().chain(&[0x80]).copied().cycle().take(20_000).collect::<Vec<u8>>();
    let tags = element(
        TAGS,
        &element(TAG, &SIMPLE_TAG.iter().chain(&[0x80]).copied().cycle().take(15_000).collect::<Vec<u8>>()),
    );
    let blocks: Vec<u8> = [0xA3, 0x84, 0x81, 0, 0, 0x80].into_iter().cycle().take(60_000).collect();
    let clusters: Vec<u8> = [OPEN_CLUSTER, TIMECODE_5].concat().into_iter().cycle().take(80_000).collect();
    let bytes = [&header()[..], &voids, &tags, OPEN_CLUSTER, TIMECODE_5, &voids, &blocks, &clusters].concat();
    let limits = Limits { tags: 10_000, ..small_limits() };
    let mut reader = Reader::new(limits, Delivery::Whole);
    let (found, result) = read_in_pieces(&mut reader, bytes.into(), std::iter::repeat(11));
    assert_eq!((result, frames(&found).len()), (Ok(()), 10_000));
}

#[test]
fn a_frame_of_fifty_million_bytes_is_read_and_a_larger_one_is_not() {
    // A block says four bytes less of payload than its size.
    let block = |size: usize| {
        let mut block = lying_element(&[0xA3], size as u64, &[0x81, 0, 0, 0x80]);
        block.resize(block.len() + size - 4, 7);
        Bytes::from([&header()[..], OPEN_CLUSTER, TIMECODE_5, &block].concat())
    };
    for length in [usize::MAX, 65_536, 1_000] {
        let (found, result) =
            read_in_pieces(&mut Reader::default(), block(50_000_000), std::iter::repeat(length));
        assert_eq!(result, Ok(()));
        let frames = frames(&found);
        assert!(frames[0].payload.len() == 49_999_996 && frames[0].payload.iter().all(|byte| *byte == 7));
    }
    let (_, result) = read(block(50_000_001));
    assert!(matches!(result.unwrap_err().kind, ReadErrorKind::TooLarge { id: Id::SIMPLE_BLOCK, .. }));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_that_are_turned_over_never_make_it_panic(
        sample_index in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        lengths in proptest::collection::vec(1_usize..3_000, 1..20),
    ) {
        let names = names();
        let mut bytes = sample(&names[sample_index.index(names.len())]).to_vec();
        for (index, value) in changes {
            // Heads are where it hurts, and most of them are near the start.
            let length = bytes.len();
            let at = index.index(length * 2);
            bytes[if at < length { at } else { (at - length) % 600.min(length) }] = value;
        }
        let bytes = Bytes::from(bytes);
        let pieces = lengths.into_iter().cycle();
        let (whole, result) = read(bytes.clone());
        let (split, split_result) = read_in_pieces(&mut Reader::default(), bytes.clone(), pieces.clone());
        prop_assert_eq!((&split, &split_result), (&whole, &result));
        let (parts, parts_result) = read_in_pieces(&mut parts_reader(), bytes, pieces);
        prop_assert_eq!(&parts_result, &result);
        if result.is_ok() {
            prop_assert_eq!(join_parts(parts), whole);
        }
    }
}

//! What the writer makes, read by our reader and by other people's.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

mod samples;

use std::io::{Cursor, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use kvs_media::mkv::{
    Block, Event, Info, Reader, SimpleTag, Sizes, Tag, TagValue, WriteError, Writer, write_tags,
};
use kvs_media::time::{Timecode, TimecodeScale, Utc};
use kvs_media::{AudioShape, Track, TrackKind, TrackNumber, VideoShape};
use proptest::prelude::*;
use serde_json::Value;

use samples::{adler32, events, frames, names, read_in_pieces, sample};

/// A document, as calls of the writer.
#[derive(Clone, Debug)]
struct Media {
    info: Info,
    tracks: Vec<Track>,
    fragments: Vec<Fragment>,
    marked: bool,
}

#[derive(Clone, Debug)]
struct Fragment {
    tags: Vec<Tag>,
    timecode: Timecode,
    blocks: Vec<(Block, Bytes)>,
}

impl Media {
    fn write(&self) -> Bytes {
        let (mut writer, header) = Writer::new(&self.info, &self.tracks).unwrap();
        let mut out = header.to_vec();
        for fragment in &self.fragments {
            out.extend_from_slice(&writer.tags(&fragment.tags));
            out.extend_from_slice(&writer.cluster(fragment.timecode).unwrap());
            for (block, payload) in &fragment.blocks {
                out.extend_from_slice(&writer.frame(*block, payload.len()).unwrap());
                out.extend_from_slice(payload);
            }
        }
        if self.marked {
            out.extend_from_slice(&writer.end_of_fragment());
        }
        out.into()
    }
}

fn text() -> impl Strategy<Value = String> {
    // A string that ends in NULs cannot be told from one that was padded with them.
    "\\PC{0,40}"
}

fn track(number: u64) -> impl Strategy<Value = Track> {
    let names = (text(), "[A-Z_/0-9]{1,32}", "[a-z]{0,3}");
    let private = proptest::collection::vec(any::<u8>(), 0..300);
    let shape =
        (1_u32..10_000, 1_u32..10_000, 1_u32..=8, proptest::option::of(1_u32..=32), 1.0_f64..200_000.0);
    (names, any::<u64>(), 0_u64..40, private, proptest::option::of(1_u64..u64::MAX), shape).prop_map(
        move |((name, codec_id, language), uid, kind, private, duration, shape)| {
            let (width, height, channels, bit_depth, rate) = shape;
            let kind = TrackKind::from_number(kind);
            Track {
                uid,
                name,
                language,
                codec_private: private.into(),
                frame_duration: duration.map(Duration::from_nanos),
                video: (kind == TrackKind::Video).then_some(VideoShape { width, height }),
                audio: (kind == TrackKind::Audio).then_some(AudioShape { rate, channels, bit_depth }),
                ..Track::new(TrackNumber(number), kind, codec_id)
            }
        },
    )
}

fn tag() -> impl Strategy<Value = Tag> {
    let value = prop_oneof![
        text().prop_map(TagValue::Text),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| TagValue::Binary(bytes.into())),
    ];
    let pair = (text(), value).prop_map(|(name, value)| SimpleTag { name, value });
    let targets = proptest::collection::vec(any::<u8>(), 0..20);
    (proptest::collection::vec(pair, 0..4), targets)
        .prop_map(|(pairs, targets)| Tag { pairs, targets: targets.into() })
}

fn media() -> impl Strategy<Value = Media> {
    let info =
        (text(), text(), text(), any::<Option<[u8; 16]>>(), 1_u64..2_000_000_000, any::<Option<u32>>())
            .prop_map(|(title, muxing_app, writing_app, segment_uid, scale, duration)| Info {
                scale: TimecodeScale::from_nanos(scale).unwrap(),
                segment_uid,
                title,
                muxing_app,
                writing_app,
                duration: duration.map(f64::from),
            });
    let numbers = (1_u64..126, 127_u64..20_000, 1_u64 << 40..1 << 55);
    let tracks =
        numbers.prop_flat_map(|(a, b, c)| (track(a), track(b), track(c)).prop_map(|(a, b, c)| vec![a, b, c]));
    let block =
        (0_usize..3, any::<i16>(), any::<[bool; 3]>(), proptest::collection::vec(any::<u8>(), 0..400));
    let fragment = (
        proptest::collection::vec(tag(), 0..3),
        prop_oneof![0_i64..100, 1_790_000_000_000_i64..1_890_000_000_000, Just(i64::MAX - 40_000)],
        proptest::collection::vec(block, 0..20),
    );
    (info, tracks, proptest::collection::vec(fragment, 0..6), any::<bool>()).prop_map(
        |(info, tracks, fragments, marked)| {
            let fragments = fragments
                .into_iter()
                .map(|(tags, start, blocks)| {
                    let blocks =
                        blocks.into_iter().map(|(track, offset, [key, discardable, invisible], payload)| {
                            let (track, timecode) =
                                (tracks[track].number, Timecode::from_ticks(start + i64::from(offset)));
                            (Block { track, timecode, key, discardable, invisible }, Bytes::from(payload))
                        });
                    Fragment { tags, timecode: Timecode::from_ticks(start), blocks: blocks.collect() }
                })
                .collect();
            Media { info, tracks, fragments, marked }
        },
    )
}

/// What was read, as calls of the writer.
fn media_of(found: Vec<Event>) -> Media {
    let mut media = Media { info: Info::default(), tracks: Vec::new(), fragments: Vec::new(), marked: false };
    let mut tags = Vec::new();
    for event in found {
        match event {
            Event::Document(header) => {
                (media.info, media.tracks) = (header.info.clone(), header.tracks.clone());
            }
            Event::Tags(found) => tags = found.tags,
            Event::Cluster(cluster) => media.fragments.push(Fragment {
                tags: std::mem::take(&mut tags),
                timecode: cluster.timecode,
                blocks: Vec::new(),
            }),
            Event::Frame(frame) => {
                let head = frame.head;
                let block = Block {
                    track: head.track,
                    timecode: head.timecode,
                    key: head.key,
                    discardable: head.discardable,
                    invisible: head.invisible,
                };
                media.fragments.last_mut().unwrap().blocks.push((block, frame.payload));
            }
            Event::ClusterEnd { complete, .. } => assert!(complete),
            Event::DocumentEnd { .. } => {
                media.marked = tags == [Tag::text("AWS_KINESISVIDEO_END_OF_FRAGMENT", "")];
            }
            other => panic!("{other:?}"),
        }
    }
    media
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_media_in_any_pieces_is_the_same_media(
        media in media(),
        lengths in proptest::collection::vec(1_usize..700, 1..10),
    ) {
        let bytes = media.write();
        prop_assert_eq!(&bytes, &media.write(), "the same calls make the same bytes");
        let (found, result) = read_in_pieces(&mut Reader::default(), bytes, lengths.into_iter().cycle());
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(format!("{:?}", media_of(found)), format!("{media:?}"));
    }

    #[test]
    fn times_are_floored_to_the_scale_and_the_error_never_accumulates(
        start in 0_i64..2_000_000_000_000_000_000,
        // 30 frames a second are 33.3 ms and AAC frames 21.3: neither is a whole number of ticks.
        frame in 1_000_000_i64..100_000_000,
        scale in prop_oneof![Just(1_000_000_u64), Just(100_000), Just(10_000_000)],
    ) {
        let scale = TimecodeScale::from_nanos(scale).unwrap();
        let track = Track::new(TrackNumber(1), TrackKind::Audio, "A_OPUS");
        let info = Info { scale, ..Info::default() };
        let (mut writer, header) = Writer::new(&info, &[track]).unwrap();
        let mut out = header.to_vec();
        let instants: Vec<Utc> = (0..1_000).map(|index| Utc::from_nanos(start + index * frame)).collect();
        let mut cluster: Option<Timecode> = None;
        for instant in &instants {
            let timecode = scale.floor(*instant);
            if cluster.is_none_or(|cluster| timecode.block_offset(cluster).is_none()) {
                out.extend_from_slice(&writer.cluster(timecode).unwrap());
                cluster = Some(timecode);
            }
            out.extend_from_slice(&writer.frame(Block::new(TrackNumber(1), timecode).key(), 0).unwrap());
        }
        let found = frames(&events(out.into()));
        prop_assert_eq!(found.len(), instants.len());
        for (frame, instant) in found.iter().zip(instants) {
            let lost = instant.since(scale.instant(frame.head.timecode).unwrap()).unwrap();
            prop_assert!(lost < Duration::from_nanos(scale.nanos()));
        }
    }
}

#[test]
fn what_cannot_be_written_is_refused_and_not_wrapped() {
    let track = |number| Track::new(TrackNumber(number), TrackKind::Video, "V_VP8");
    let number = TrackNumber(1);
    assert_eq!(
        Writer::new(&Info::default(), &[track(1), track(1)]).unwrap_err(),
        WriteError::InvalidTrackNumber(number)
    );
    let encoded = Track { encoded: true, ..track(1) };
    assert_eq!(Writer::new(&Info::default(), &[encoded]).unwrap_err(), WriteError::EncodedTrack(number));
    for bad in [0, (1 << 56) - 1, u64::MAX] {
        let error = Writer::new(&Info::default(), &[track(bad)]).unwrap_err();
        assert_eq!(error, WriteError::InvalidTrackNumber(TrackNumber(bad)));
    }
    let (mut writer, _) = Writer::new(&Info::default(), &[track(1)]).unwrap();
    let at = |ticks| Block::new(number, Timecode::from_ticks(ticks));
    assert_eq!(writer.frame(at(0), 0), Err(WriteError::NoCluster));
    let before = Timecode::from_ticks(-1);
    assert_eq!(writer.cluster(before), Err(WriteError::NegativeTimecode(before)));
    let cluster = Timecode::from_ticks(50_000);
    writer.cluster(cluster).unwrap();
    let unknown = Block::new(TrackNumber(2), cluster);
    assert_eq!(writer.frame(unknown, 0), Err(WriteError::UnknownTrack(TrackNumber(2))));
    for ticks in [50_000 - 32_769, 50_000 + 32_768] {
        let frame = Timecode::from_ticks(ticks);
        assert_eq!(writer.frame(at(ticks), 0), Err(WriteError::OffsetOutOfRange { frame, cluster }));
    }
    assert!(writer.frame(at(50_000 - 32_768), 0).is_ok() && writer.frame(at(50_000 + 32_767), 0).is_ok());
    for length in [(1 << 56) - 5, usize::MAX] {
        assert_eq!(writer.frame(at(50_000), length), Err(WriteError::TooLarge(length)));
    }
    assert_eq!(writer.frame(at(50_000), (1 << 56) - 6).unwrap().len(), 13);
    writer.end_of_fragment();
    assert_eq!(writer.frame(at(50_000), 0), Err(WriteError::NoCluster));
}

#[test]
fn the_layout_is_that_of_put_media_with_sizes_as_short_as_they_go() {
    let track = Track {
        codec_private: Bytes::from_static(&[1, 2]),
        ..Track::new(TrackNumber(1), TrackKind::Video, "V_X")
    };
    let info = Info { muxing_app: "m".into(), ..Info::default() };
    let (mut writer, header) = Writer::new(&info, &[track]).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    assert_eq!(
        hex(&header),
        concat!(
            "1A45DFA3A3",
            "42868101",
            "42F78101",
            "42F28104",
            "42F38108",
            "4282886D6174726F736B61",
            "42878102",
            "42858102",
            "18538067FF",
            "1549A9668B",
            "2AD7B1830F4240",
            "4D80816D",
            "1654AE6B99",
            "AE97",
            "D78101",
            "73C58101",
            "838101",
            "9C8100",
            "8683565F58",
            "63A2820102",
        )
    );
    let start = Timecode::from_ticks(1_790_000_000_000);
    assert_eq!(hex(&writer.cluster(start).unwrap()), "1F43B675FFE78601A0C4506C00");
    let frame =
        writer.frame(Block::new(TrackNumber(1), start.checked_add(33).unwrap()).key(), 4_910).unwrap();
    assert_eq!(hex(&frame), "A3533281002180");
    let invisible = Block { discardable: true, invisible: true, ..Block::new(TrackNumber(1), start) };
    assert_eq!(hex(&writer.frame(invisible, 0).unwrap()), "A38481000009");
    assert_eq!(
        hex(&writer.end_of_fragment()),
        format!("1254C367AC7373A967C8A645A3A0{}448780", hex(b"AWS_KINESISVIDEO_END_OF_FRAGMENT"))
    );
    assert_eq!(hex(&writer.tags(&[])), "");
}

#[test]
fn the_tags_that_the_service_inserts_have_sizes_of_four_bytes() {
    // kvs-api D.5, from a capture.
    let number = "91343852333713038908964877623801423530396737899";
    let tag = Tag {
        pairs: vec![
            SimpleTag::text("AWS_KINESISVIDEO_FRAGMENT_NUMBER", number),
            SimpleTag::text("AWS_KINESISVIDEO_SERVER_TIMESTAMP", "1537574915.281"),
            SimpleTag::text("AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", "0.000"),
        ],
        targets: Bytes::new(),
    };
    let bytes = write_tags(&[tag], Sizes::FourBytes);
    let leading = [
        &[0x12, 0x54, 0xC3, 0x67, 0x10, 0x00, 0x00, 0xE2, 0x73, 0x73, 0x10, 0x00, 0x00, 0xDC][..],
        &[0x67, 0xC8, 0x10, 0x00, 0x00, 0x5B, 0x45, 0xA3, 0x10, 0x00, 0x00, 0x20],
        b"AWS_KINESISVIDEO_FRAGMENT_NUMBER",
        &[0x44, 0x87, 0x10, 0x00, 0x00, 0x2F],
        number.as_bytes(),
    ]
    .concat();
    assert_eq!(bytes[..leading.len()], leading);
    assert_eq!(bytes.len(), 8 + 0xE2);
}

/// Writes every sample anew, so that what our reader lost or our writer bent would show in another reader.
fn rewritten(name: &str) -> Bytes {
    let found = events(sample(name));
    let mut media = media_of(
        found.into_iter().filter(|event| !matches!(event, Event::Skipped { .. } | Event::Tags(_))).collect(),
    );
    // The durations of Info and Cues speak of the file as it was.
    media.info.duration = None;
    media.write()
}

/// The samples that are one document with a track that others can play.
fn playable() -> Vec<String> {
    names().into_iter().filter(|name| name != "documents").collect()
}

fn output(program: &str, arguments: &[&str], input: &Bytes) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/run.sh installs it"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn ffprobe_finds_in_what_we_wrote_what_it_found_before() {
    let packets = |bytes: &Bytes| -> Vec<[String; 4]> {
        let arguments = ["-v", "error", "-show_packets", "-show_data_hash", "adler32", "-of", "json", "-"];
        let found: Value = serde_json::from_str(&output("ffprobe", &arguments, bytes)).unwrap();
        let packets = found["packets"].as_array().unwrap();
        let keys = ["pts", "stream_index", "flags", "data_hash"];
        packets.iter().map(|packet| keys.map(|key| packet[key].to_string())).collect()
    };
    for name in playable() {
        let bytes = rewritten(&name);
        let (ours, before) = (packets(&bytes), packets(&sample(&name)));
        // Laces are written as single blocks, of which each has a time of its own; so times are not compared here.
        let without_time =
            |packets: &[[String; 4]]| packets.iter().map(|packet| packet[1..].join(" ")).collect::<Vec<_>>();
        assert!(without_time(&ours) == without_time(&before), "{name}");
        let found = frames(&events(bytes));
        assert_eq!(ours.len(), found.len(), "{name}");
        for (packet, frame) in ours.iter().zip(found) {
            assert_eq!(packet[0], frame.head.timecode.ticks().to_string(), "{name}");
            assert_eq!(packet[3], format!("\"adler32:{:08x}\"", adler32(&frame.payload)), "{name}");
        }
    }
}

#[test]
fn mkvinfo_finds_every_block_where_we_put_it() {
    let folder = std::env::temp_dir().join(format!("kvs-media-mkvinfo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for name in playable() {
        let bytes = rewritten(&name);
        let path = folder.join(&name).with_extension("mkv");
        std::fs::write(&path, &bytes).unwrap();
        let arguments = ["-v", "-v", "--ui-language", "en_US", path.to_str().unwrap()];
        let text = output("mkvinfo", &arguments, &Bytes::new());
        let scale = i64::try_from(
            events(bytes.clone())
                .iter()
                .find_map(|event| match event {
                    Event::Document(header) => Some(header.info.scale.nanos()),
                    _ => None,
                })
                .unwrap(),
        )
        .unwrap();
        let theirs: Vec<String> = text
            .lines()
            .filter_map(|line| line.split_once("Simple block: "))
            .map(|(_, block)| block.split(" at ").next().unwrap().to_owned())
            .collect();
        let ours: Vec<String> = frames(&events(bytes))
            .iter()
            .map(|frame| {
                let head = frame.head;
                let nanos = head.timecode.ticks() * scale;
                let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
                let time = format!(
                    "{:02}:{:02}:{:02}.{fraction:09}",
                    seconds / 3_600,
                    seconds / 60 % 60,
                    seconds % 60
                );
                let key = if head.key { "key, " } else { "" };
                let discardable = if head.discardable { "discardable, " } else { "" };
                format!("{key}{discardable}track number {}, 1 frame(s), timestamp {time}", head.track)
            })
            .collect();
        assert_eq!(theirs, ours, "{name}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn gstreamer_demuxes_what_we_wrote_as_it_demuxed_the_original() {
    let frames_of = |bytes: &Bytes, pad: &str| {
        let line = ["-q", "fdsrc", "!", "matroskademux", "name=d", pad, "!", "checksumsink", "hash=md5"];
        let text = output("gst-launch-1.0", &line, bytes);
        text.lines().map(|line| line.split_whitespace().last().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (name, pad) in [
        ("x264-closed-gop", "d.video_0"),
        ("x264-closed-gop", "d.audio_0"),
        ("x265-b-frames-opus", "d.video_0"),
        ("av1-aom", "d.video_0"),
        ("vp9-opus", "d.audio_0"),
        ("alaw", "d.audio_0"),
        ("gst-streamable", "d.audio_0"),
        ("mkvmerge-lacing-ebml", "d.audio_0"),
    ] {
        let ours = frames_of(&rewritten(name), pad);
        assert_eq!(ours, frames_of(&sample(name), pad), "{name} {pad}");
        assert!(ours.len() > 5, "{name} {pad}: {ours:?}");
    }
}

#[test]
fn the_crate_matroska_demuxer_reads_what_we_wrote() {
    for name in playable() {
        let bytes = rewritten(&name);
        let ours = frames(&events(bytes.clone()));
        let mut file = matroska_demuxer::MatroskaFile::open(Cursor::new(bytes)).unwrap();
        let mut frame = matroska_demuxer::Frame::default();
        for wanted in &ours {
            assert!(file.next_frame(&mut frame).unwrap(), "{name}: it ends early");
            assert_eq!((frame.track, &frame.data[..]), (wanted.head.track.0, &wanted.payload[..]), "{name}");
            assert_eq!(frame.timestamp.to_string(), wanted.head.timecode.ticks().to_string(), "{name}");
            assert_eq!(frame.is_keyframe, Some(wanted.head.key), "{name}");
        }
        assert!(!file.next_frame(&mut frame).unwrap(), "{name}: it goes on");
    }
}

//! MPEG-TS, taken apart here and played by others.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kvs_media::codec::nal::{annex_b, length_prefixed};
use kvs_media::codec::{CodecError, LengthSize, adts, h264};
use kvs_media::time::TimecodeScale;
use kvs_media::timing::{Place, Sample};
use kvs_media::ts::{Program, TsError};
use kvs_media::{Track, TrackKind, TrackNumber};
use proptest::prelude::*;

use crate::players::{decoded, packets};
use crate::samples::folder;
use crate::stored::{Stored, aac, video};

const MS: TimecodeScale = TimecodeScale::MILLISECOND;
/// What the times of a segment are later than on the time line.
const ORIGIN: i64 = 900_000;

/// A packet of 188 bytes.
#[derive(Debug)]
struct Packet<'a> {
    pid: u16,
    starts: bool,
    counter: u8,
    random_access: bool,
    pcr: Option<i64>,
    payload: &'a [u8],
}

fn taken_apart(bytes: &[u8]) -> Vec<Packet<'_>> {
    let (whole, rest) = bytes.as_chunks::<188>();
    assert!(rest.is_empty());
    whole
        .iter()
        .map(|packet| {
            assert_eq!(packet[0], 0x47);
            let control = packet[3] >> 4;
            assert!(control == 1 || control == 3, "not scrambled, with a payload: {control}");
            let (mut at, mut random_access, mut pcr) = (4, false, None);
            if control == 3 {
                at = 5 + usize::from(packet[4]);
                if packet[4] > 0 {
                    random_access = packet[5] & 0x40 != 0;
                    assert_eq!(packet[5] & !0x50, 0);
                    let mut stuffing = 6;
                    if packet[5] & 0x10 != 0 {
                        let field =
                            packet[6..12].iter().fold(0_i64, |value, byte| value << 8 | i64::from(*byte));
                        assert_eq!(field & 0x7fff, 0x7e00);
                        (pcr, stuffing) = (Some(field >> 15), 12);
                    }
                    assert!(packet[stuffing..at].iter().all(|byte| *byte == 0xff));
                }
            }
            let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
            let payload = &packet[at..];
            assert!(!payload.is_empty());
            Packet {
                pid,
                starts: packet[1] & 0x40 != 0,
                counter: packet[3] & 15,
                random_access,
                pcr,
                payload,
            }
        })
        .collect()
}

/// A PES packet.
#[derive(Debug)]
struct Pes {
    shown: i64,
    decoded: i64,
    pcr: Option<i64>,
    random_access: bool,
    payload: Vec<u8>,
}

fn timestamp(field: &[u8]) -> i64 {
    assert_eq!((field[0] & 1, field[2] & 1, field[4] & 1), (1, 1, 1));
    let part = |byte: u8, shift: u32| i64::from(byte) << shift;
    part(field[0] >> 1 & 7, 30)
        | part(field[1], 22)
        | part(field[2] >> 1, 15)
        | part(field[3], 7)
        | part(field[4] >> 1, 0)
}

/// The PES packets of each channel; counters have been checked to follow one another.
fn streams(bytes: &[u8]) -> BTreeMap<u16, Vec<Pes>> {
    let mut raw: BTreeMap<u16, Vec<Pes>> = BTreeMap::new();
    let mut counters: BTreeMap<u16, u8> = BTreeMap::new();
    for packet in taken_apart(bytes).into_iter().filter(|packet| packet.pid != 0 && packet.pid != 0x1000) {
        let before = counters.insert(packet.pid, packet.counter);
        assert_eq!(
            packet.counter,
            before.map_or(0, |before| (before + 1) & 15),
            "counters follow one another"
        );
        let stream = raw.entry(packet.pid).or_default();
        if packet.starts {
            let (pcr, random_access) = (packet.pcr, packet.random_access);
            stream.push(Pes { shown: 0, decoded: 0, pcr, random_access, payload: Vec::new() });
        }
        stream.last_mut().unwrap().payload.extend_from_slice(packet.payload);
    }
    assert!(counters.values().all(|counter| *counter == 15), "the next segment can begin at 0: {counters:?}");
    for (pid, stream) in &mut raw {
        for pes in stream {
            let head = std::mem::take(&mut pes.payload);
            assert_eq!(head[..4], [0, 0, 1, if *pid == 0x100 { 0xe0 } else { 0xc0 }]);
            let len = usize::from(u16::from_be_bytes([head[4], head[5]]));
            assert!(if *pid == 0x100 { len == 0 } else { len == head.len() - 6 });
            pes.shown = timestamp(&head[9..14]);
            pes.decoded = if head[7] == 0xc0 { timestamp(&head[14..19]) } else { pes.shown };
            pes.payload = head[9 + usize::from(head[8])..].to_vec();
        }
    }
    raw
}

/// The segments of a recording, one after another.
fn segments(stored: &Stored) -> Vec<Vec<u8>> {
    let tracks: Vec<&Track> = stored.tracks.iter().collect();
    let program = Program::new(&tracks, stored.scale).unwrap();
    let segment = |fragment: &crate::stored::Fragment| {
        let place = Place { start: fragment.start, scale: stored.scale, next: None };
        let mut segment =
            program.segment(place, fragment.frames.iter().map(|(of, sample, _)| (*of, *sample))).unwrap();
        let mut out = Vec::new();
        for (.., payload) in &fragment.frames {
            segment.write(payload, &mut out).unwrap();
        }
        assert!(matches!(segment.write(&[], &mut out), Err(TsError::NoSuchFrame(_))));
        segment.finish(&mut out);
        out
    };
    stored.fragments.iter().map(segment).collect()
}

fn recordings() -> Vec<(&'static str, Stored)> {
    let names = [
        "x264-closed-gop",
        "x264-open-gop",
        "aac-stereo-44100",
        "ffmpeg-epoch",
        "ffmpeg-short-clusters",
        "gst-seekable",
    ];
    names.map(|name| (name, Stored::sample(name))).into()
}

#[test]
fn a_segment_begins_with_its_tables() {
    let (name, stored) = ("x264-closed-gop", Stored::sample("x264-closed-gop"));
    for segment in segments(&stored) {
        let found = taken_apart(&segment);
        assert_eq!(
            (found[0].pid, found[1].pid, found[0].counter, found[1].counter),
            (0, 0x1000, 0, 0),
            "{name}"
        );
        // Program 1 is described in channel 0x1000; there H.264 in 0x100, with the clock, and ADTS in 0x101.
        assert_eq!(found[0].payload[..13], [0, 0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0]);
        let expected = [
            0, 2, 0xb0, 23, 0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0, 0x1b, 0xe1, 0, 0xf0, 0, 0x0f, 0xe1, 1, 0xf0,
            0,
        ];
        assert_eq!(found[1].payload[..23], expected);
    }
}

#[test]
fn every_frame_is_in_a_packet_with_its_times() {
    for (name, stored) in recordings() {
        for (segment, fragment) in segments(&stored).iter().zip(&stored.fragments) {
            let streams = streams(segment);
            for (index, track) in stored.tracks.iter().enumerate() {
                let frames: Vec<_> = fragment.frames.iter().filter(|(of, ..)| *of == index).collect();
                let at = |sample: &Sample| {
                    let units = fragment.start.as_millis() as i64 * 90 + i64::from(sample.time) * 90 + ORIGIN;
                    units & ((1 << 33) - 1)
                };
                if track.kind == TrackKind::Video {
                    let found = &streams[&0x100];
                    assert_eq!(found.len(), frames.len(), "{name}");
                    for (pes, (_, sample, payload)) in found.iter().zip(frames) {
                        assert_eq!(pes.shown, at(sample), "{name}");
                        assert!(
                            pes.decoded <= pes.shown && pes.random_access == sample.key,
                            "{name}: {pes:?}"
                        );
                        assert_eq!(pes.pcr, Some(pes.decoded - 63_000));
                        let units: Vec<&[u8]> = annex_b(&pes.payload).unwrap().collect();
                        let mut expected: Vec<&[u8]> = vec![&[9, 0xf0]];
                        let config = h264::AvcConfig::parse(&track.codec_private).unwrap();
                        if sample.key {
                            expected.extend(config.sps.iter().chain(&config.pps).map(|unit| &unit[..]));
                        }
                        let units_in = length_prefixed(payload, LengthSize::Four).map(Result::unwrap);
                        // Their own delimiter makes room for ours.
                        expected.extend(units_in.filter(|unit| unit[0] != 9));
                        assert!(units == expected, "{name}");
                    }
                } else {
                    let found = &streams[&0x101];
                    let mut frames = frames.iter();
                    for pes in found {
                        let mut after = 0;
                        for block in adts::blocks(&pes.payload) {
                            let (header, raw) = block.unwrap();
                            let (_, sample, payload) = frames.next().unwrap();
                            assert!(raw == &payload[..], "{name}");
                            let exact = pes.shown + after * 1024 * 90_000 / i64::from(header.rate);
                            assert!((exact - at(sample)).abs() <= 91, "{name}: {exact} {}", at(sample));
                            after += 1;
                        }
                        assert!(after <= 5, "{name}: sound does not wait for long");
                        assert_eq!(pes.pcr.is_some(), stored.tracks.len() == 1);
                    }
                    assert!(frames.next().is_none());
                }
            }
        }
    }
}

#[test]
fn ffmpeg_plays_segments_as_one_stream_and_finds_what_was_recorded() {
    for (name, stored) in recordings() {
        let bytes = segments(&stored).concat();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, &bytes).unwrap();
        // "warning" would tell of counters and times that do not follow one another.
        let (ours, recorded) =
            (decoded(file.path(), "warning"), decoded(&folder().join(name).with_extension("mkv"), "error"));
        for index in 0..stored.tracks.len() {
            let of = |frames: &[(usize, String)]| -> Vec<String> {
                frames.iter().filter(|(of, _)| *of == index).map(|(_, hash)| hash.clone()).collect()
            };
            let (ours, recorded) = (of(&ours), of(&recorded));
            assert!(
                !ours.is_empty() && ours == recorded,
                "{name} {index}: {} of {}",
                ours.len(),
                recorded.len()
            );
            // They wrap after 26 hours.
            if name == "ffmpeg-epoch" {
                continue;
            }
            let found = packets(&bytes);
            let mut times: Vec<f64> =
                found.iter().filter(|p| p.stream == index).map(|p| p.shown - 10.0).collect();
            times.sort_by(f64::total_cmp);
            let expected = stored.shown(index);
            assert_eq!(times.len(), expected.len(), "{name}");
            for (time, expected) in times.iter().zip(expected) {
                assert!((time - expected as f64 / 1e9).abs() < 0.0011, "{name}: {time} {expected}");
            }
        }
    }
}

#[test]
fn gstreamer_finds_every_frame() {
    for (name, pad, parser, caps) in [
        ("x264-closed-gop", "video_0_0100", "h264parse", "video/x-h264,stream-format=avc,alignment=au"),
        ("x264-closed-gop", "audio_0_0101", "aacparse", "audio/mpeg,stream-format=raw"),
        ("aac-stereo-44100", "audio_0_0101", "aacparse", "audio/mpeg,stream-format=raw"),
    ] {
        let stored = Stored::sample(name);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, segments(&stored).concat()).unwrap();
        let line = format!(
            "-v filesrc location={} ! tsdemux name=d d.{pad} ! queue ! {parser} ! {caps} ! identity silent=false ! fakesink",
            file.path().display()
        );
        let output = std::process::Command::new("gst-launch-1.0").args(line.split(' ')).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        let chained = said.lines().filter(|line| line.contains("identity0: last-message = chain")).count();
        let index = usize::from(pad.starts_with("audio") && stored.tracks.len() > 1);
        assert_eq!(chained, stored.shown(index).len(), "{name}");
    }
}

#[test]
fn frames_that_are_broken_are_named_and_the_rest_goes_on() {
    let (video, sound) = (video(), aac(48_000, 2));
    let program = Program::new(&[&video, &sound], MS).unwrap();
    let place = Place { start: Duration::from_secs(1), scale: MS, next: None };
    let samples = [(0, 0), (0, 40), (1, 0), (0, 80), (1, 21), (0, 120)];
    let sample = |(track, time)| (track, Sample { time, size: 9, key: time == 0 });
    let mut segment = program.segment(place, samples.map(sample)).unwrap();
    let mut out = Vec::new();
    let picture = [0, 0, 0, 2, 0x65, 1];
    segment.write(&picture, &mut out).unwrap();
    let whole = out.len();
    let error = |frame, error| Err(TsError::Frame { frame, error });
    let cut = kvs_media::codec::nal::NalError::CutUnit { offset: 0, declared: 9, left: 1 };
    assert_eq!(segment.write(&[0, 0, 0, 9, 1], &mut out), error(1, CodecError::Nal(cut)));
    let long = CodecError::Value { part: "ADTS", field: "frame_length", value: 8_185 };
    assert_eq!(segment.write(&[0; 8_185], &mut out), error(2, long));
    let empty = kvs_media::codec::nal::NalError::Empty { len: 0 };
    assert_eq!(segment.write(&[], &mut out), error(3, CodecError::Nal(empty)));
    assert_eq!(out.len(), whole);
    segment.write(&[1, 2, 3], &mut out).unwrap();
    segment.write(&picture, &mut out).unwrap();
    segment.finish(&mut out);
    let streams = streams(&out);
    assert_eq!((streams[&0x100].len(), streams[&0x101].len()), (2, 1));
}

#[test]
fn sound_behind_a_gap_has_a_time_of_its_own() {
    let sound = aac(48_000, 2);
    let program = Program::new(&[&sound], MS).unwrap();
    let place = Place { start: Duration::from_secs(1), scale: MS, next: None };
    // Two frames, one that is 10 ms late, and another.
    let times = [0, 21, 52, 74];
    let samples = times.map(|time| (0, Sample { time, size: 3, key: true }));
    let mut segment = program.segment(place, samples).unwrap();
    let mut out = Vec::new();
    for _ in times {
        segment.write(&[1, 2, 3], &mut out).unwrap();
    }
    segment.finish(&mut out);
    let found: Vec<_> = streams(&out)[&0x101].iter().map(|pes| (pes.shown, pes.payload.len())).collect();
    assert_eq!(found, [(ORIGIN + 90_000, 20), (ORIGIN + 90_000 + 52 * 90, 20)]);
}

#[test]
fn times_wrap_after_33_bits() {
    let sound = aac(48_000, 2);
    let program = Program::new(&[&sound], MS).unwrap();
    // Within the first millisecond after 2^33 units.
    let start = Duration::from_millis(((1 << 33) - 900_000) / 90 + 1);
    let place = Place { start, scale: MS, next: None };
    let mut segment = program.segment(place, [(0, Sample { time: 0, size: 3, key: true })]).unwrap();
    let mut out = Vec::new();
    segment.write(&[1, 2, 3], &mut out).unwrap();
    segment.finish(&mut out);
    let pes = &streams(&out)[&0x101][0];
    assert!(pes.shown < 90, "{pes:?}");
    assert_eq!(pes.pcr, Some(pes.shown - 63_000 + (1 << 33)));
}

#[test]
fn what_has_no_form_is_refused_with_its_reason() {
    let unsupported = |codec_id: &str, number| TsError::Unsupported {
        track: TrackNumber(number),
        codec_id: codec_id.to_owned(),
    };
    let refused = |tracks: &[&Track]| Program::new(tracks, MS).unwrap_err();
    assert_eq!(refused(&[]), TsError::NoTracks);
    let hevc = Track::new(TrackNumber(1), TrackKind::Video, "V_MPEGH/ISO/HEVC");
    assert_eq!(refused(&[&hevc]), unsupported("V_MPEGH/ISO/HEVC", 1));
    assert_eq!(refused(&[&video(), &video()]), unsupported("V_MPEG4/ISO/AVC", 1));
    assert_eq!(refused(&[&Track { encoded: true, ..video() }]), TsError::Encoded(TrackNumber(1)));
    let missing = Track { codec_private: Bytes::new(), ..video() };
    assert_eq!(
        refused(&[&missing]),
        TsError::Private { track: TrackNumber(1), error: CodecError::MissingPrivate }
    );
    // ADTS has a list of rates.
    let mut odd = aac(48_000, 2);
    odd.codec_private = kvs_media::codec::aac::AudioSpecificConfig::lc(44_101, 2).unwrap().write().unwrap();
    assert!(matches!(refused(&[&odd]), TsError::Private { track: TrackNumber(2), .. }));
    let program = Program::new(&[&video()], MS).unwrap();
    let place = Place { start: Duration::ZERO, scale: MS, next: None };
    let error = program.segment(place, [(1, Sample::default())]).unwrap_err();
    assert_eq!(error, TsError::NoSuchTrack { index: 1, count: 1 });
    let mut out = Vec::new();
    program.segment(place, []).unwrap().finish(&mut out);
    assert_eq!(out.len(), 2 * 188, "a fragment without frames has its tables");
}

proptest! {
    #[test]
    fn frames_of_any_size_and_order_come_out_as_they_went_in(
        start in 1_000_u64..2_000_000_000_000,
        frames in prop::collection::vec((0_usize..2, 0_i32..2_000, prop_oneof![1_usize..40, 1_usize..2_000], any::<bool>()), 1..60),
    ) {
        let (video, sound) = (video(), aac(48_000, 2));
        let program = Program::new(&[&video, &sound], MS).unwrap();
        let place = Place { start: Duration::from_millis(start), scale: MS, next: None };
        let payload = |track: usize, index: usize, len: usize| {
            let mut fill = vec![u8::try_from(index + 1).unwrap(); len];
            fill[0] = 0x61;
            if track == 0 { [&u32::try_from(len).unwrap().to_be_bytes()[..], &fill].concat() } else { fill }
        };
        let samples = frames.iter().map(|(track, time, _, key)| (*track, Sample { time: *time, size: 0, key: *key }));
        let mut segment = program.segment(place, samples).unwrap();
        let mut out = Vec::new();
        for (index, (track, _, len, _)) in frames.iter().enumerate() {
            segment.write(&payload(*track, index, *len), &mut out).unwrap();
            prop_assert_eq!(out.len() % 188, 0);
        }
        segment.finish(&mut out);
        let streams = streams(&out);
        let none = Vec::new();
        let pictures = streams.get(&0x100).unwrap_or(&none);
        let went_in = frames.iter().enumerate().filter(|(_, (track, ..))| *track == 0);
        prop_assert_eq!(pictures.len(), went_in.clone().count());
        let mut last = i64::MIN;
        for (pes, (index, (_, time, len, key))) in pictures.iter().zip(went_in) {
            let last_unit = annex_b(&pes.payload).unwrap().last().unwrap();
            prop_assert_eq!(last_unit, &payload(1, index, *len)[..]);
            let shown = (start as i64 + i64::from(*time)) * 90 + ORIGIN;
            prop_assert_eq!((pes.shown, pes.random_access), (shown & ((1 << 33) - 1), *key));
            // Times wrap; what is near is near on the circle.
            let late = (pes.shown - pes.decoded).rem_euclid(1 << 33);
            prop_assert!(late < 90 * 4_300);
            prop_assert!(shown - late >= last);
            last = shown - late;
        }
        let sounds: Vec<u8> = streams.get(&0x101).unwrap_or(&none).iter().flat_map(|pes| pes.payload.clone()).collect();
        let blocks: Vec<Vec<u8>> = adts::blocks(&sounds).map(|block| block.unwrap().1.to_vec()).collect();
        let went_in = frames.iter().enumerate().filter(|(_, (track, ..))| *track == 1);
        prop_assert_eq!(blocks, went_in.map(|(index, (_, _, len, _))| payload(1, index, *len)).collect::<Vec<_>>());
    }

    #[test]
    fn any_index_and_any_payload_are_borne(
        secs: u64, scale in 1_u64..,
        frames in prop::collection::vec((0_usize..2, any::<i32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..400)), 0..20),
    ) {
        let scale = TimecodeScale::from_nanos(scale).unwrap();
        let (video, sound) = (video(), aac(48_000, 2));
        let program = Program::new(&[&video, &sound], scale).unwrap();
        let place = Place { start: Duration::from_secs(secs), scale, next: None };
        let samples = frames.iter().map(|(track, time, key, payload)| {
            (*track, Sample { time: *time, size: u32::try_from(payload.len()).unwrap(), key: *key })
        });
        if let Ok(mut segment) = program.segment(place, samples) {
            let mut out = Vec::new();
            for (.., payload) in &frames {
                let _ = segment.write(payload, &mut out);
            }
            segment.finish(&mut out);
            taken_apart(&out);
        }
    }
}

//! Media segments, read back.

use std::time::Duration;

use kvs_media::mp4::{Mp4Track, Segment};
use kvs_media::time::TimecodeScale;
use kvs_media::timing::{Place, Sample};
use mp4_atom::Any;
use proptest::prelude::*;

use crate::parsed::{Found, boxes, moof, samples_of_segment};
use crate::stored::{Stored, aac, video};

const MS: TimecodeScale = TimecodeScale::MILLISECOND;

fn whole(segment: &Segment<'_>, sequence: u32) -> Vec<u8> {
    let mut bytes = segment.head(sequence).to_vec();
    bytes.resize(usize::try_from(segment.len()).unwrap(), 7);
    bytes
}

#[test]
fn a_segment_is_styp_moof_and_mdat() {
    let track = Mp4Track::new(&video(), MS).unwrap();
    let place = Place { start: Duration::from_secs(9), scale: MS, next: None };
    let samples = [(0, true), (80, false), (40, false)].map(|(time, key)| Sample { time, size: 10, key });
    let segment = Segment::new(&track, place, samples).unwrap();
    let bytes = whole(&segment, 77);
    let found = boxes(&bytes);
    assert!(matches!(found[..], [(0, Any::Styp(_)), (24, Any::Moof(_)), (_, Any::Mdat(_))]), "{found:?}");
    assert_eq!(moof(&bytes).1.mfhd.sequence_number, 77);
    assert_eq!(segment.duration(), Duration::from_millis(120));
    let payload = u64::try_from(bytes.len() - 30).unwrap();
    let row = |decode: i64, shown: i64, duration: u32, offset, key| Found {
        decode,
        shown: shown * 90,
        duration,
        offset: payload + offset,
        size: 10,
        key,
    };
    let expected = [
        row(810_000, 9_000, 1, 0, true),
        row(810_001, 9_080, 3_599, 10, false),
        row(813_600, 9_040, 7_200, 20, false),
    ];
    assert_eq!(samples_of_segment(&bytes), expected);
}

#[test]
fn a_payload_beyond_4_gib_has_a_long_mdat() {
    let track = Mp4Track::new(&video(), MS).unwrap();
    let place = Place { start: Duration::from_secs(1), scale: MS, next: None };
    let samples = [Sample { time: 0, size: u32::MAX, key: true }; 3];
    let segment = Segment::new(&track, place, samples).unwrap();
    let (head, payload) = (segment.head(1), 3 * u64::from(u32::MAX));
    assert_eq!(segment.len(), head.len() as u64 + payload);
    assert_eq!(head[head.len() - 16..head.len() - 8], *b"\0\0\0\x01mdat");
    assert_eq!(head[head.len() - 8..], (payload + 16).to_be_bytes());
    assert_eq!(track.segment_len(3, payload), segment.len());
}

#[test]
fn every_recording_is_found_in_its_segments_frame_by_frame() {
    for name in [
        "x264-closed-gop",
        "x264-open-gop",
        "alaw",
        "mulaw-stereo",
        "aac-stereo-44100",
        "ffmpeg-epoch",
        "mkvmerge-scale-100us",
    ] {
        let stored = Stored::sample(name);
        for (index, track) in stored.tracks.iter().enumerate() {
            let Ok(track) = Mp4Track::new(track, stored.scale) else { continue };
            let mut end = None;
            for fragment in 0..stored.fragments.len() {
                let samples = stored.samples(fragment, index);
                let segment =
                    Segment::new(&track, stored.place(fragment, index), samples.iter().copied()).unwrap();
                let mut bytes = segment.head(1).to_vec();
                bytes.extend(stored.payload(fragment, index));
                assert_eq!(bytes.len() as u64, segment.len());
                let found = samples_of_segment(&bytes);
                assert_eq!(found.len(), samples.len());
                let frames = stored.fragments[fragment].frames.iter().filter(|(of, ..)| *of == index);
                for (found, (_, sample, payload)) in found.iter().zip(frames) {
                    let at = usize::try_from(found.offset).unwrap();
                    assert!(bytes[at..at + payload.len()] == payload[..], "{name}");
                    assert_eq!(found.key, sample.key || track.sound().is_some());
                }
                // Segments follow one another without gap or overlap.
                if let (Some(end), Some(first)) = (end, found.first()) {
                    assert_eq!(first.decode, end, "{name}");
                }
                end = found.last().map(|last| last.decode + i64::from(last.duration)).or(end);
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_read_back_is_what_was_put_in(
        start in 0_u64..2_000_000_000_000, frames in prop::collection::vec((-5_000_i32..30_000, 0_u16..300, any::<bool>()), 0..60), sequence: u32,
    ) {
        let track = Mp4Track::new(&video(), MS).unwrap();
        let place = Place { start: Duration::from_millis(start), scale: MS, next: None };
        let samples = frames.iter().map(|(time, size, key)| Sample { time: *time, size: u32::from(*size), key: *key });
        let segment = Segment::new(&track, place, samples).unwrap();
        let bytes = whole(&segment, sequence);
        let payload: u64 = frames.iter().map(|(_, size, _)| u64::from(*size)).sum();
        prop_assert_eq!(track.segment_len(frames.len(), payload), bytes.len() as u64);
        let found = samples_of_segment(&bytes);
        prop_assert_eq!(found.len(), frames.len());
        let mut offset = bytes.len() as u64 - payload;
        for (found, (time, size, key)) in found.iter().zip(&frames) {
            prop_assert_eq!(found.shown, (start as i64 + i64::from(*time)) * 90);
            prop_assert_eq!((found.size, found.key, found.offset), (u32::from(*size), *key, offset));
            offset += u64::from(*size);
        }
    }

    #[test]
    fn sound_is_read_back_on_its_grid(start in 0_u64..2_000_000_000_000, sizes in prop::collection::vec(0_u16..300, 1..60)) {
        let track = Mp4Track::new(&aac(44_100, 2), MS).unwrap();
        let place = Place { start: Duration::from_millis(start), scale: MS, next: None };
        let at = |index: usize| i32::try_from(index * 1_024_000 / 44_100).unwrap();
        let samples = sizes.iter().enumerate().map(|(index, size)| Sample { time: at(index), size: u32::from(*size), key: true });
        let bytes = whole(&Segment::new(&track, place, samples).unwrap(), 1);
        let found = samples_of_segment(&bytes);
        prop_assert!(found.iter().all(|found| found.duration == 10_240 && found.key && found.shown == found.decode));
        prop_assert_eq!(found[0].decode, start as i64 * 441);
        prop_assert!(found.iter().map(|found| found.size).eq(sizes.iter().map(|size| u32::from(*size))));
    }
}

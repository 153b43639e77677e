//! What a frame costs: no allocation, and no copy of its payload.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use bytes::Bytes;
use kvs_media::fragment::{Arrival, Cutter, Interleaver, Pace, Rules, Timing, TrackRule};
use kvs_media::mkv::{Block, Delivery, Event, Info, Limits, Reader, Writer};
use kvs_media::mp4::{Mp4Track, Segment};
use kvs_media::time::{Monotonic, RunningTime, Timecode, TimecodeScale, Utc};
use kvs_media::timing::{Place, Sample};
use kvs_media::ts::Program;
use kvs_media::{Track, TrackKind, TrackNumber};

const TRACK: TrackNumber = TrackNumber(1);
const FRAMES: i64 = 1_000;
const SIZE: usize = 8_192;

/// A stream of 8 KB frames in one piece.
fn stream() -> Bytes {
    let track = Track::new(TRACK, TrackKind::Video, "V_MPEG4/ISO/AVC");
    let (mut writer, header) = Writer::new(&Info::default(), &[track]).unwrap();
    let mut out = header.to_vec();
    out.extend_from_slice(&writer.cluster(Timecode::from_ticks(0)).unwrap());
    for index in 0..FRAMES {
        out.extend_from_slice(
            &writer.frame(Block::new(TRACK, Timecode::from_ticks(index * 30)), SIZE).unwrap(),
        );
        out.resize(out.len() + SIZE, 7);
    }
    out.into()
}

#[test]
fn reading_a_frame_allocates_nothing_and_copies_nothing() {
    for delivery in [Delivery::Whole, Delivery::Parts] {
        let stream = stream();
        let range = stream.as_ptr_range();
        let mut reader = Reader::new(Limits::default(), delivery);
        // Past the header, whose reading does allocate, and once around to share the memory.
        let mut rest = stream.clone();
        while !matches!(reader.read(&mut rest).unwrap(), Some(Event::Cluster(_))) {}
        let mut frames = 0;
        let cost = allocation_counter::measure(|| {
            while let Some(event) = reader.read(&mut rest).unwrap() {
                let (Event::Frame(kvs_media::mkv::Frame { payload, .. }) | Event::FramePart(payload)) = event
                else {
                    continue;
                };
                assert!(payload.len() == SIZE && range.contains(&payload.as_ptr()));
                frames += 1;
            }
        });
        assert_eq!((frames, cost.count_total, cost.bytes_total), (FRAMES, 0, 0), "{delivery:?}");
    }
}

#[test]
fn a_frame_that_comes_in_pieces_is_copied_once_and_held_no_longer_than_it_takes() {
    let stream = stream();
    let mut reader = Reader::default();
    let mut frames = 0;
    let cost = allocation_counter::measure(|| {
        let mut rest = stream.clone();
        while !rest.is_empty() {
            let mut piece = rest.split_to(rest.len().min(1_460));
            while let Some(event) = reader.read(&mut piece).unwrap() {
                frames += i64::from(matches!(event, Event::Frame(_)));
            }
        }
    });
    assert_eq!(frames, FRAMES);
    // One buffer a frame, of the frame's own size; the header costs a few more.
    assert!(cost.count_total < FRAMES as u64 + 60, "{cost:?}");
    assert!(cost.bytes_total < (FRAMES as u64 + 20) * SIZE as u64, "{cost:?}");
    assert!(cost.bytes_max < 4 * SIZE as u64, "{cost:?}");
}

#[test]
fn a_size_that_lies_costs_what_was_sent_of_it() {
    let mut out = stream().slice(..200).to_vec();
    let cluster = out.windows(4).position(|window| window == [0x1F, 0x43, 0xB6, 0x75]).unwrap();
    out.truncate(cluster + 8);
    // 49 MB are announced and 100 KB come.
    out.extend_from_slice(&[0xA3, 0x12, 0xED, 0x00, 0x00, 0x81, 0, 0, 0x80]);
    out.resize(out.len() + 100_000, 7);
    let stream = Bytes::from(out);
    let cost = allocation_counter::measure(|| {
        let mut reader = Reader::default();
        let mut rest = stream.clone();
        while !rest.is_empty() {
            let mut piece = rest.split_to(rest.len().min(10_000));
            while reader.read(&mut piece).unwrap().is_some() {}
        }
    });
    assert!(cost.bytes_max < 400_000, "{cost:?}");
}

#[test]
fn writing_a_frame_allocates_nothing() {
    let track = Track::new(TRACK, TrackKind::Video, "V_MPEG4/ISO/AVC");
    let (mut writer, _) = Writer::new(&Info::default(), &[track]).unwrap();
    let cost = allocation_counter::measure(|| {
        for index in 0..FRAMES {
            let timecode = Timecode::from_ticks(index * 30);
            if index % 60 == 0 {
                assert_eq!(writer.cluster(timecode).unwrap().len(), 8 + usize::from(index > 8));
            }
            assert_eq!(writer.frame(Block::new(TRACK, timecode), SIZE).unwrap().len(), 7);
        }
    });
    assert_eq!(cost.count_total, 0);
}

#[test]
fn interleaving_and_cutting_a_frame_allocates_nothing() {
    let sound = TrackNumber(2);
    let mut lanes = Interleaver::new(Duration::from_secs(1), Duration::from_millis(1));
    let mut cutter = Cutter::new(Rules::default()).unwrap();
    let mut steps = Vec::with_capacity(16);
    let rule = |number, kind| TrackRule { number, kind };
    cutter.set_tracks([rule(TRACK, TrackKind::Video), rule(sound, TrackKind::Audio)], &mut steps).unwrap();
    lanes.add(TRACK, Pace::Leading);
    lanes.add(sound, Pace::Steady);
    let mut run = |from: i64, to: i64| {
        for index in from..to {
            let now = Monotonic::from_nanos(u64::try_from(index).unwrap() * 33_000_000);
            let pts = index * 33_000_000;
            for track in [TRACK, sound] {
                let timing = Timing::at(RunningTime::from_nanos(pts));
                assert!(lanes.push(track, timing, now, (pts, index % 30 == 0)).is_none());
            }
            let arrival = |track, &(pts, key): &(i64, bool)| Arrival {
                track,
                pts: Utc::from_nanos(pts),
                key,
                size: SIZE,
                stray: false,
            };
            while let Some(released) =
                lanes.pop(now, |track, frame| cutter.begins(arrival(track, frame), now))
            {
                cutter.push(arrival(released.track, &released.item), now, &mut steps);
                steps.clear();
            }
        }
    };
    // The first frames make the room that the later ones use.
    run(0, 100);
    let cost = allocation_counter::measure(|| run(100, FRAMES));
    assert_eq!(cost.count_total, 0);
}

/// A track of H.264, and where a fragment of it is that another follows.
fn stored() -> (Track, Place) {
    let mut track = Track::new(TRACK, TrackKind::Video, "V_MPEG4/ISO/AVC");
    track.codec_private = Bytes::from_static(include_bytes!("data/codec/h264-high.avcC"));
    let next = Some(Duration::from_secs(140));
    (track, Place { start: Duration::from_secs(100), scale: TimecodeScale::MILLISECOND, next })
}

#[test]
fn the_head_of_a_segment_takes_three_allocations_however_many_frames_it_has() {
    let (track, place) = stored();
    let track = Mp4Track::new(&track, TimecodeScale::MILLISECOND).unwrap();
    for count in [10, 1_000] {
        // Reordered: each pair is shown the other way round.
        let samples = (0..count).map(|index| Sample { time: (index ^ 1) * 33, size: 8_192, key: index == 0 });
        let cost = allocation_counter::measure(|| {
            let segment = Segment::new(&track, place, samples.clone()).unwrap();
            assert!(segment.head(1).len() < 200 + 16 * usize::try_from(count).unwrap());
        });
        // When frames are shown and decoded, the order of that, and the head.
        assert_eq!(cost.count_total, 3, "{cost:?}");
    }
}

#[test]
fn a_picture_becomes_transport_packets_without_an_allocation() {
    let (track, place) = stored();
    let program = Program::new(&[&track], TimecodeScale::MILLISECOND).unwrap();
    let samples = (0..100).map(|index| (0, Sample { time: index * 33, size: 8_196, key: index % 10 == 0 }));
    let mut segment = program.segment(place, samples).unwrap();
    let mut picture = vec![0x41; 8_196];
    picture[..4].copy_from_slice(&8_192_u32.to_be_bytes());
    let mut out = Vec::with_capacity(100 * 10_000);
    let cost = allocation_counter::measure(|| {
        for _ in 0..100 {
            segment.write(&picture, &mut out).unwrap();
        }
    });
    assert_eq!(cost.count_total, 0, "{cost:?}");
    // What packets cost beside the payload.
    assert!(out.len() < 100 * 8_196 * 105 / 100, "{}", out.len());
}

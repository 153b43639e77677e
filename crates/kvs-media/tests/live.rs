//! Live streams through interleaver and cutter, on the clocks of real encoders: a good stream is not mended.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use kvs_media::fragment::{Arrival, Counts, Cutter, Interleaver, Pace, Released, Rules, Timing, TrackRule};
use kvs_media::time::{Monotonic, RunningTime, Utc};
use kvs_media::{TrackKind, TrackNumber};

const VIDEO: TrackNumber = TrackNumber(1);
const AUDIO: TrackNumber = TrackNumber(2);
/// 2026-11-20 and a bit, so that nothing falls on whole milliseconds; in microseconds.
const BASE: i64 = 1_795_145_031_000_417;

/// A frame, with when it is delivered, in microseconds.
#[derive(Clone, Copy)]
struct Frame {
    track: TrackNumber,
    at: i64,
    timing: Timing,
}

fn frame(track: TrackNumber, pts: i64, at: i64, key: bool) -> Frame {
    Frame { track, at, timing: Timing { key, ..Timing::at(RunningTime::from_nanos(pts * 1_000)) } }
}

/// A minute of 30 pictures a second, a key frame each second.
fn pictures(delay: i64) -> Vec<Frame> {
    (0..1_800).map(|index| frame(VIDEO, index * 33_333, index * 33_333 + delay, index % 30 == 0)).collect()
}

/// A minute of AAC at 48 kHz.
fn sounds(delay: i64) -> Vec<Frame> {
    (0..2_800).map(|index| frame(AUDIO, index * 21_333, (index + 1) * 21_333 + delay, true)).collect()
}

fn run(tracks: impl IntoIterator<Item = Vec<Frame>>) -> Counts {
    let mut frames = tracks.into_iter().collect::<Vec<_>>().concat();
    frames.sort_by_key(|frame| frame.at);
    let mut lanes = Interleaver::new(Duration::from_secs(3), Duration::from_millis(1));
    lanes.add(VIDEO, Pace::Leading);
    lanes.add(AUDIO, Pace::Steady);
    let (mut cutter, mut steps) = (Cutter::new(Rules::default()).unwrap(), Vec::new());
    let rule = |number, kind| TrackRule { number, kind };
    cutter.set_tracks([rule(VIDEO, TrackKind::Video), rule(AUDIO, TrackKind::Audio)], &mut steps).unwrap();
    let mut went = 0;
    let mut drain = |now, lanes: &mut Interleaver<Frame>, cutter: &mut Cutter| {
        let arrival = |frame: &Frame| Arrival {
            track: frame.track,
            pts: Utc::from_nanos(BASE * 1_000 + frame.timing.pts.nanos()),
            key: frame.timing.key,
            size: 2_000,
            stray: false,
        };
        while let Some(Released { item, stray, .. }) =
            lanes.pop(now, |_, frame| cutter.begins(arrival(frame), now))
        {
            cutter.push(Arrival { stray, ..arrival(&item) }, now, &mut steps);
            went += 1;
        }
    };
    let count = frames.len();
    for frame in frames {
        let now = Monotonic::from_nanos(frame.at.unsigned_abs() * 1_000);
        while let Some(deadline) = lanes.deadline().filter(|deadline| *deadline < now) {
            drain(deadline, &mut lanes, &mut cutter);
        }
        assert!(lanes.push(frame.track, frame.timing, now, frame).is_none());
        drain(now, &mut lanes, &mut cutter);
    }
    while let Some(deadline) = lanes.deadline() {
        drain(deadline, &mut lanes, &mut cutter);
    }
    assert_eq!(went, count);
    *cutter.counts()
}

#[test]
fn whatever_the_encoders_latency_nothing_is_moved_dropped_or_filled() {
    for (video, audio) in [
        (5_000, 5_000),
        (20_000, 5_000),
        (5_000, 40_000),
        (5_000, 800_000),
        (1_300_000, 5_000),
        (2_500_000, 5_000),
    ] {
        let counts = run([pictures(video), sounds(audio)]);
        let Counts { sessions, times_moved, before_key, cuts_without_key, left_out, fillers, .. } = counts;
        assert_eq!(
            (sessions, times_moved, before_key, cuts_without_key, left_out),
            (1, 0, 0, 0, 0),
            "{video}/{audio}: {counts:?}"
        );
        // The first fragment may come before a late microphone's first sound.
        assert!(fillers <= u64::from(audio > 500_000), "{video}/{audio}: {counts:?}");
    }
}

#[test]
fn leading_pictures_keep_their_times_beside_sound() {
    // Decoded I(3) B(1) B(2) P(6) B(4) B(5): pictures 1 and 2 are shown before the key frame that they follow.
    let mut open = Vec::new();
    for group in 0..180_i64 {
        let first = group * 10;
        let order = [3, 1, 2, 6, 4, 5, 9, 7, 8, 10];
        for (index, shown) in order.into_iter().enumerate() {
            let pts = (first + shown) * 33_333;
            let at = (first + i64::try_from(index).unwrap()) * 33_333 + 120_000;
            let mut picture = frame(VIDEO, pts, at, index == 0);
            picture.timing.leading = index == 0;
            open.push(picture);
        }
    }
    for delay in [5_000, 60_000, 150_000] {
        let counts = run([open.clone(), sounds(delay)]);
        assert_eq!((counts.times_moved, counts.sessions), (0, 1), "{delay}: {counts:?}");
    }
}

#[test]
fn a_camera_that_is_joined_in_the_middle_keeps_the_sound_from_there_on() {
    // The first key frame comes after eight tenths of a second; sound is there from the start.
    let mut late = pictures(5_000);
    for picture in &mut late[..24] {
        picture.timing.key = false;
    }
    late[24].timing.key = true;
    let counts = run([late, sounds(5_000)]);
    assert_eq!((counts.before_key, counts.sessions, counts.times_moved), (24, 1, 0), "{counts:?}");
}

#[test]
fn one_wrong_time_of_the_sound_costs_that_frame() {
    let mut wrong = sounds(5_000);
    // An unsigned 32-bit subtraction of 40 ms.
    wrong[700].timing.pts = RunningTime::from_nanos(((1 << 32) - 40) * 1_000_000);
    let counts = run([pictures(5_000), wrong]);
    assert!(counts.times_moved <= 3 && counts.sessions == 1, "{counts:?}");
}

#[test]
fn an_hour_back_costs_a_session_and_at_most_a_group_of_pictures() {
    // At a key frame, and in the middle of a group.
    for (jump, moved) in [(29_999_000_000, 2), (30_300_000_000, 60)] {
        let mut tracks = [pictures(5_000), sounds(5_000)];
        for frame in tracks.iter_mut().flatten() {
            if frame.timing.pts < RunningTime::from_nanos(jump) {
                frame.timing.pts = frame.timing.pts.saturating_add(Duration::from_secs(3_600));
            }
        }
        let counts = run(tracks);
        assert_eq!((counts.sessions, counts.went_back), (2, 1), "{counts:?}");
        assert!(counts.times_moved <= moved, "{counts:?}");
    }
}

#[test]
fn a_microphone_that_stops_and_comes_back_keeps_the_session() {
    let mut sound = sounds(5_000);
    sound.drain(500..1_500);
    let counts = run([pictures(5_000), sound]);
    assert_eq!((counts.sessions, counts.times_moved, counts.left_out), (1, 0, 0), "{counts:?}");
    assert!((19..=22).contains(&counts.fillers), "{counts:?}");
}

#[test]
fn pictures_that_stop_are_left_out_and_come_back() {
    let mut video = pictures(5_000);
    video.drain(601..1_200);
    let counts = run([video, sounds(5_000)]);
    assert_eq!((counts.sessions, counts.left_out, counts.went_back), (3, 1, 0), "{counts:?}");
    assert_eq!(counts.before_key, 0, "{counts:?}");
}

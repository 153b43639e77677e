//! The order that several tracks come out in, and how long a frame waits for it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use kvs_media::TrackNumber;
use kvs_media::fragment::{Interleaver, LONGEST_HOLD, Pace, Released, Timing};
use kvs_media::time::{Monotonic, RunningTime};
use proptest::prelude::*;

const VIDEO: TrackNumber = TrackNumber(1);
const AUDIO: TrackNumber = TrackNumber(2);
const DATA: TrackNumber = TrackNumber(3);
const SILENCE: Duration = Duration::from_secs(2);

fn ms(ms: i64) -> RunningTime {
    RunningTime::from_nanos(ms * 1_000_000)
}

fn at(ms: i64) -> Monotonic {
    Monotonic::from_nanos(ms.unsigned_abs() * 1_000_000)
}

/// A frame: when it is shown, and whether a fragment begins with it.
type Frame = (i64, bool);

fn lanes(paces: &[(TrackNumber, Pace)]) -> Interleaver<Frame> {
    let mut lanes = Interleaver::new(SILENCE, Duration::from_millis(1));
    for (track, pace) in paces {
        lanes.add(*track, *pace);
    }
    lanes
}

fn av() -> Interleaver<Frame> {
    lanes(&[(VIDEO, Pace::Leading), (AUDIO, Pace::Steady)])
}

fn push(lanes: &mut Interleaver<Frame>, track: TrackNumber, time: i64, key: bool, now: i64) {
    let timing = Timing { key, ..Timing::at(ms(time)) };
    assert_eq!(lanes.push(track, timing, at(now), (time, key && track == VIDEO)), None);
}

/// All that may go, with a border at every key frame.
fn pop(lanes: &mut Interleaver<Frame>, now: i64) -> Vec<Released<Frame>> {
    std::iter::from_fn(|| lanes.pop(at(now), |_, frame| frame.1)).collect()
}

fn times(lanes: &mut Interleaver<Frame>, now: i64) -> Vec<i64> {
    pop(lanes, now).into_iter().map(|released| released.item.0).collect()
}

#[test]
fn pictures_go_at_once_and_sound_when_its_time_is_shown() {
    let mut lanes = av();
    push(&mut lanes, VIDEO, 0, true, 0);
    assert_eq!(times(&mut lanes, 0), [0]);
    for time in [0, 21, 42, 63] {
        push(&mut lanes, AUDIO, time, true, 1);
    }
    assert_eq!(times(&mut lanes, 1), [0]);
    push(&mut lanes, VIDEO, 33, false, 2);
    assert_eq!(times(&mut lanes, 2), [33, 21]);
    push(&mut lanes, VIDEO, 66, false, 3);
    assert_eq!(times(&mut lanes, 3), [66, 42, 63]);
}

#[test]
fn a_border_waits_until_the_sound_has_passed_the_fragment_before_and_no_longer() {
    let mut lanes = av();
    for (time, key) in [(0, true), (33, false), (66, false)] {
        push(&mut lanes, VIDEO, time, key, time);
    }
    assert_eq!(times(&mut lanes, 66), [0, 33, 66]);
    push(&mut lanes, AUDIO, 50, true, 70);
    push(&mut lanes, VIDEO, 100, true, 100);
    push(&mut lanes, VIDEO, 133, false, 133);
    // The sound of 66 ms may still come, and would belong in front of the border.
    assert_eq!(times(&mut lanes, 133), [50]);
    push(&mut lanes, AUDIO, 71, true, 134);
    // It is behind 66 ms: nothing that comes now can be before that. And what is in front of the border goes first.
    assert_eq!(times(&mut lanes, 134), [71, 100, 133]);
    push(&mut lanes, AUDIO, 92, true, 135);
    assert_eq!(times(&mut lanes, 135), [92]);
}

#[test]
fn of_an_open_group_no_sound_comes_between_its_border_and_its_leading_pictures() {
    let mut lanes = av();
    for (time, key) in [(0, true), (40, false)] {
        push(&mut lanes, VIDEO, time, key, 0);
    }
    for time in [10, 30, 50, 70, 90] {
        push(&mut lanes, AUDIO, time, true, 0);
    }
    let timing = Timing { leading: true, ..Timing::at(ms(120)) };
    assert_eq!(lanes.push(VIDEO, timing, at(0), (120, true)), None);
    push(&mut lanes, VIDEO, 80, false, 0);
    // 50, 70 and 90 behind the border: in front of it they would make 80 too early.
    assert_eq!(times(&mut lanes, 0), [0, 40, 10, 30, 120, 50, 70, 90, 80]);
}

#[test]
fn a_stream_begins_with_a_picture_although_sound_was_there_before_it() {
    let mut lanes = av();
    for time in [-21, 0, 21] {
        push(&mut lanes, AUDIO, time, true, 0);
    }
    assert_eq!(times(&mut lanes, 1_000), []);
    // A picture that cannot be decoded is no beginning.
    push(&mut lanes, VIDEO, 7, false, 1_000);
    assert_eq!(times(&mut lanes, 1_000), [7]);
    push(&mut lanes, VIDEO, 40, true, 1_500);
    assert_eq!(times(&mut lanes, 1_500), [40, -21, 0, 21]);
}

#[test]
fn a_silent_track_holds_the_others_for_the_bound_once() {
    let mut lanes = av();
    push(&mut lanes, VIDEO, 0, true, 0);
    push(&mut lanes, VIDEO, 33, false, 33);
    push(&mut lanes, VIDEO, 1_000, true, 1_000);
    assert_eq!(times(&mut lanes, 2_999), [0, 33]);
    assert_eq!(lanes.deadline(), Some(at(3_000)));
    assert_eq!(times(&mut lanes, 3_000), [1_000]);
    push(&mut lanes, VIDEO, 2_000, true, 3_001);
    assert_eq!(times(&mut lanes, 3_001), [2_000]);
    // A sound every five seconds is not waited for; one every 20 ms is.
    push(&mut lanes, VIDEO, 7_000, false, 8_000);
    push(&mut lanes, AUDIO, 6_990, true, 8_000);
    assert_eq!(times(&mut lanes, 8_000), [7_000, 6_990]);
    push(&mut lanes, VIDEO, 7_010, true, 8_010);
    assert_eq!(times(&mut lanes, 8_010), [7_010]);
    push(&mut lanes, AUDIO, 7_005, true, 8_020);
    push(&mut lanes, AUDIO, 7_008, true, 8_020);
    push(&mut lanes, VIDEO, 7_020, true, 8_020);
    assert_eq!(times(&mut lanes, 8_020), [7_005, 7_008]);
}

#[test]
fn sound_does_not_wait_for_ever_for_pictures_that_stop() {
    let mut lanes = av();
    push(&mut lanes, VIDEO, 0, true, 0);
    assert_eq!(times(&mut lanes, 0), [0]);
    push(&mut lanes, AUDIO, 20, true, 20);
    push(&mut lanes, AUDIO, 40, true, 40);
    assert_eq!(times(&mut lanes, 1_999), []);
    assert_eq!(lanes.deadline(), Some(at(2_000)));
    assert_eq!(
        pop(&mut lanes, 2_000),
        [20, 40].map(|time| Released { track: AUDIO, item: (time, false), stray: false })
    );
    push(&mut lanes, AUDIO, 60, true, 2_060);
    assert_eq!(times(&mut lanes, 2_060), [60]);
}

#[test]
fn a_sound_far_ahead_of_pictures_that_go_on_is_astray_and_delays_nothing_but_sound() {
    let mut lanes = av();
    let mut strays = 0;
    push(&mut lanes, VIDEO, 0, true, 0);
    assert_eq!(times(&mut lanes, 0), [0]);
    push(&mut lanes, AUDIO, (1 << 32) - 40, true, 0);
    for frame in 1..200 {
        let now = frame * 33;
        push(&mut lanes, VIDEO, now, frame % 30 == 0, now);
        if frame % 2 == 0 {
            push(&mut lanes, AUDIO, now - 20, true, now);
        }
        for released in pop(&mut lanes, now) {
            strays += i32::from(released.stray);
            assert!(released.track == AUDIO || released.item.0 == now, "{released:?} was held until {now}");
        }
    }
    assert_eq!(strays, 1);
    assert!(lanes.is_empty());
}

#[test]
fn a_sound_that_is_first_where_both_jump_ahead_is_not_astray() {
    let mut lanes = av();
    push(&mut lanes, VIDEO, 0, true, 0);
    assert_eq!(times(&mut lanes, 0), [0]);
    push(&mut lanes, AUDIO, 20_000, true, 100);
    assert_eq!(times(&mut lanes, 100), []);
    push(&mut lanes, VIDEO, 20_010, true, 120);
    let released = pop(&mut lanes, 120);
    assert!(released.iter().all(|released| !released.stray));
    assert_eq!(released.iter().map(|released| released.item.0).collect::<Vec<_>>(), [20_000, 20_010]);
}

#[test]
fn where_both_go_back_a_few_seconds_nothing_waits_for_them() {
    let mut lanes = av();
    for (time, now) in [(0, 0), (5_000, 5_000), (40, 5_040), (1_000, 6_000)] {
        push(&mut lanes, VIDEO, time, true, now);
        push(&mut lanes, AUDIO, time, true, now);
        assert_eq!(times(&mut lanes, now), [time, time]);
    }
}

#[test]
fn after_an_hour_back_nothing_waits_for_the_hour() {
    let mut lanes = av();
    for shift in [3_600_000, 0] {
        for frame in 0..100 {
            let now = 3_600_000 - shift + frame * 33;
            push(&mut lanes, VIDEO, shift + frame * 33, frame % 30 == 0, now);
            push(&mut lanes, AUDIO, shift + frame * 33, true, now);
            let went = times(&mut lanes, now);
            assert!(went.contains(&(shift + frame * 33)), "{frame} after {shift}: {went:?}");
        }
    }
}

#[test]
fn a_gap_an_end_and_a_sparse_track_hold_nothing() {
    let mut lanes = lanes(&[(VIDEO, Pace::Leading), (AUDIO, Pace::Steady), (DATA, Pace::Sparse)]);
    push(&mut lanes, VIDEO, 0, true, 0);
    push(&mut lanes, VIDEO, 60, true, 0);
    assert_eq!(times(&mut lanes, 0), [0]);
    lanes.advance(AUDIO, ms(-1));
    assert_eq!(times(&mut lanes, 0), []);
    lanes.advance(AUDIO, ms(0));
    assert_eq!(times(&mut lanes, 0), [60]);
    push(&mut lanes, VIDEO, 90, true, 0);
    assert_eq!(times(&mut lanes, 0), []);
    lanes.end(AUDIO);
    assert_eq!(times(&mut lanes, 0), [90]);
    push(&mut lanes, DATA, 95, true, 0);
    assert_eq!(times(&mut lanes, 0), []);
    lanes.end(VIDEO);
    assert_eq!(times(&mut lanes, 0), [95]);
    push(&mut lanes, DATA, 96, true, 0);
    assert_eq!(lanes.len(), 1);
    assert_eq!(lanes.remove(DATA).collect::<Vec<_>>(), [(96, false)]);
    assert_eq!(lanes.push(DATA, Timing::at(ms(120)), at(0), (120, false)), Some((120, false)));
}

#[test]
fn pictures_that_have_ended_lead_until_the_last_of_them_has_gone() {
    let mut lanes = av();
    push(&mut lanes, AUDIO, 0, true, 0);
    for (time, key) in [(0, true), (60, false), (30, false), (100, true), (130, false)] {
        push(&mut lanes, VIDEO, time, key, 0);
    }
    lanes.end(VIDEO);
    assert_eq!(times(&mut lanes, 0), [0, 0, 60, 30]);
    // Were they to follow the sound, 102 would belong to the fragment before 100.
    for time in [40, 61, 82, 102, 123, 144] {
        push(&mut lanes, AUDIO, time, true, 1);
    }
    assert_eq!(times(&mut lanes, 1), [40, 61, 82, 100, 130, 102, 123, 144]);
}

#[test]
fn after_a_flush_a_stream_begins_anew() {
    let mut lanes = av();
    push(&mut lanes, VIDEO, 1_500, true, 0);
    push(&mut lanes, AUDIO, 1_600, true, 0);
    assert_eq!(times(&mut lanes, 0), [1_500]);
    lanes.clear();
    assert!(lanes.is_empty() && lanes.deadline().is_none());
    push(&mut lanes, AUDIO, 0, true, 0);
    assert_eq!(times(&mut lanes, 0), []);
    // Nor does anything compare with the times before.
    push(&mut lanes, VIDEO, 0, true, 0);
    assert_eq!(times(&mut lanes, 0), [0, 0]);
    push(&mut lanes, VIDEO, 40, true, 0);
    assert_eq!(times(&mut lanes, 0), [40]);
}

/// Plays a minute of tracks in the order in which their encoders deliver, and says how long each frame of a track was
/// held, in milliseconds, longest first.
fn delays(mut frames: Vec<(TrackNumber, i64, bool, i64)>, wanted: TrackNumber) -> Vec<i64> {
    let mut lanes = av();
    frames.sort_by_key(|frame| frame.3);
    let mut arrivals = std::collections::HashMap::new();
    let (mut held, mut next) = (Vec::new(), frames.into_iter().peekable());
    while let Some((track, time, key, now)) = next.next() {
        push(&mut lanes, track, time, key, now);
        arrivals.insert((track, time), now);
        let mut take = |now: i64, lanes: &mut Interleaver<Frame>| {
            for released in pop(lanes, now) {
                if released.track == wanted {
                    held.push(now - arrivals[&(released.track, released.item.0)]);
                }
            }
        };
        take(now, &mut lanes);
        // What expires before the next frame comes.
        while let Some(deadline) = lanes.deadline()
            && let deadline = i64::try_from(deadline.nanos() / 1_000_000).unwrap()
            && next.peek().is_some_and(|frame| frame.3 > deadline)
        {
            take(deadline, &mut lanes);
        }
    }
    held.sort_unstable_by(|a, b| b.cmp(a));
    held
}

/// 30 pictures a second, a key frame every two seconds, and AAC frames; each delivered so long after it was whole.
fn live(video_delay: i64, audio_delay: i64) -> Vec<(TrackNumber, i64, bool, i64)> {
    let pictures = (0..1_800).map(|frame| {
        let time = frame * 1_000 / 30;
        (VIDEO, time, frame % 60 == 0, time + video_delay)
    });
    let sounds = (0..2_800).map(|frame| {
        let time = frame * 1_024_000 / 48_000;
        (AUDIO, time, true, time + 21 + audio_delay)
    });
    pictures.chain(sounds).collect()
}

#[test]
fn a_live_picture_does_not_wait_for_its_sound() {
    for (video_delay, audio_delay) in [(5, 5), (20, 5), (40, 5), (5, 20), (300, 5)] {
        let held = delays(live(video_delay, audio_delay), VIDEO);
        // Of 1800, 30 begin a fragment; only those may wait, and for less than a frame lasts.
        let waited = held.iter().filter(|held| **held > 0).count();
        assert!(
            waited <= 30 && held[0] <= 33,
            "{video_delay}/{audio_delay}: {waited} waited, {} ms",
            held[0]
        );
    }
}

#[test]
fn a_late_microphone_delays_the_beginning_of_a_fragment_and_nothing_else() {
    let held = delays(live(5, 150), VIDEO);
    assert!(held[0] <= 150, "{}", held[0]);
    // Behind a border that waits, pictures queue up; the rest goes at once.
    assert!(held.iter().filter(|held| **held > 0).count() <= 30 * 6);
}

#[test]
fn live_sound_waits_for_its_picture_and_no_longer() {
    let held = delays(live(40, 5), AUDIO);
    assert!(held[0] <= 40 + 34, "{}", held[0]);
    let held = delays(live(5, 40), AUDIO);
    assert!(held[0] <= 34, "{}", held[0]);
}

#[test]
fn an_encoder_that_looks_ahead_is_waited_for_as_long_as_it_goes_on() {
    // x264 looks a second ahead and more by default; some microphones are late.
    for (video_delay, audio_delay) in [(1_300, 5), (1_900, 5), (5, 800), (5, 1_900)] {
        let (mut lanes, mut frames) = (av(), live(video_delay, audio_delay));
        frames.sort_by_key(|frame| frame.3);
        let (mut latest, mut border, mut count) = (i64::MIN, i64::MIN, 0);
        for (track, time, key, now) in frames {
            push(&mut lanes, track, time, key, now);
            for released in pop(&mut lanes, now) {
                let (time, begins) = released.item;
                border = if begins { latest } else { border };
                latest = latest.max(time);
                count += 1;
                assert!(
                    !released.stray && time > border,
                    "{video_delay}/{audio_delay}: {time} behind {border}"
                );
            }
        }
        assert!(count > 4_300, "{video_delay}/{audio_delay}: only {count} went");
    }
}

#[test]
fn no_frame_is_held_for_longer_than_the_longest_hold() {
    // A microphone eight seconds late, which goes on; and one so late that it is given up.
    let held = delays(live(5, 8_000), VIDEO);
    assert!((7_000..=10_000).contains(&held[0]), "{}", held[0]);
    let held = delays(live(5, 12_000), VIDEO);
    assert!(held[0] <= 2_000, "{}", held[0]);
    // And one whose clock is an hour behind has nothing to do with the pictures.
    let mut frames = live(5, 5);
    for frame in frames.iter_mut().filter(|frame| frame.0 == AUDIO) {
        frame.1 -= 3_600_000;
    }
    let held = delays(frames, VIDEO);
    assert!(held[0] <= 40, "{}", held[0]);
}

#[test]
fn a_duration_says_that_nothing_shorter_comes() {
    let mut lanes = av();
    push(&mut lanes, VIDEO, 0, true, 0);
    push(&mut lanes, VIDEO, 33, false, 0);
    let timing = Timing { duration: Duration::from_millis(21), ..Timing::at(ms(12)) };
    assert_eq!(lanes.push(AUDIO, timing, at(0), (12, false)), None);
    push(&mut lanes, VIDEO, 66, true, 0);
    assert_eq!(times(&mut lanes, 0), [0, 33, 12, 66]);
}

#[test]
fn a_track_that_had_ended_and_goes_on_is_waited_for_again() {
    let mut lanes = av();
    push(&mut lanes, VIDEO, 0, true, 0);
    push(&mut lanes, AUDIO, 0, true, 0);
    lanes.end(AUDIO);
    push(&mut lanes, AUDIO, 10, true, 0);
    push(&mut lanes, VIDEO, 40, false, 0);
    push(&mut lanes, VIDEO, 80, true, 0);
    assert_eq!(times(&mut lanes, 0), [0, 0, 40, 10]);
}

#[test]
fn a_muted_microphone_costs_the_bound_once() {
    let pictures: Vec<_> = live(5, 5).into_iter().filter(|frame| frame.0 == VIDEO).collect();
    let held = delays(pictures, VIDEO);
    // From the first border, at two seconds, until the bound is over.
    assert!(held.iter().filter(|held| **held > 0).count() <= 61, "{:?}", &held[..70]);
}

#[test]
fn an_archive_interleaved_by_the_second_keeps_its_order() {
    // One thread reads a second of pictures, then a second of sound, as fast as it can.
    let mut lanes = av();
    let mut border = i64::MIN;
    let mut latest = i64::MIN;
    for second in 0..60 {
        for frame in 0..25 {
            push(&mut lanes, VIDEO, second * 1_000 + frame * 40, frame == 0, second);
        }
        for frame in 0..50 {
            push(&mut lanes, AUDIO, second * 1_000 + frame * 20, true, second);
        }
        for released in pop(&mut lanes, second) {
            let (time, begins) = released.item;
            if begins {
                (border, latest) = (latest, latest.max(time));
            }
            assert!(time > border, "{time} ms belongs in front of a border at {border}");
            latest = latest.max(time);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_frame_comes_out_in_the_order_of_its_track_and_in_time(
        frames in proptest::collection::vec((1_u64..=3, 0_i64..5_000, any::<bool>(), any::<bool>(), 0_i64..300), 1..200),
    ) {
        let mut lanes = Interleaver::new(SILENCE, Duration::from_millis(1));
        lanes.add(VIDEO, Pace::Leading);
        lanes.add(AUDIO, Pace::Steady);
        lanes.add(DATA, Pace::Sparse);
        let (mut now, mut out) = (0, Vec::new());
        for (serial, &(track, time, key, leading, wait)) in frames.iter().enumerate() {
            now += wait;
            let timing = Timing { pts: ms(time), key, leading, duration: Duration::ZERO };
            prop_assert_eq!(lanes.push(TrackNumber(track), timing, at(now), (serial, now, key)), None);
            while let Some(released) = lanes.pop(at(now), |_, item| item.2) {
                out.push(released);
            }
            // What is still held has not been held for longer than the bound.
            if let Some(deadline) = lanes.deadline() {
                prop_assert!(deadline > at(now) && deadline.saturating_since(at(now)) <= LONGEST_HOLD);
            }
        }
        while let Some(deadline) = lanes.deadline() {
            // Either something goes then, or one that was waited for is given up.
            let popped = lanes.pop(at(now).max(deadline), |_, item| item.2);
            prop_assert!(popped.is_some() || lanes.deadline().is_some_and(|next| next > deadline));
            out.extend(popped);
        }
        prop_assert_eq!(out.len(), frames.len());
        for wanted in [VIDEO, AUDIO, DATA] {
            let serials: Vec<_> =
                out.iter().filter(|released| released.track == wanted).map(|released| released.item.0).collect();
            prop_assert!(serials.is_sorted());
        }
    }
}

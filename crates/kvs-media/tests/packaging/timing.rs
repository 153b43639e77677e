//! Decoding times, and the grid of sound.

use std::num::NonZeroU32;
use std::time::Duration;

use kvs_media::time::TimecodeScale;
use kvs_media::timing::{Place, Run, Sample, Timescale, TrackClock, first_shown};
use kvs_media::{Track, TrackKind, TrackNumber};
use proptest::prelude::*;

use crate::samples::folder;
use crate::stored::{Stored, aac, video};

const MS: TimecodeScale = TimecodeScale::MILLISECOND;

fn place(start: u64, next: Option<u64>) -> Place {
    Place { start: Duration::from_millis(start), scale: MS, next: next.map(Duration::from_millis) }
}

fn samples(times: &[i32]) -> Vec<Sample> {
    times.iter().map(|time| Sample { time: *time, size: 100, key: *time == 0 }).collect()
}

fn pictures(start: u64, next: Option<u64>, times: &[i32]) -> Run {
    Run::with_lead(&TrackClock::of(&video(), MS).unwrap(), place(start, next), samples(times)).unwrap()
}

fn rows(run: &Run) -> Vec<(i64, i32, u32)> {
    run.samples().iter().map(|s| (s.decode / 90, s.offset / 90, s.duration / 90)).collect()
}

/// What the parameter sets of [`video`] say: two pictures of 40 ms, and a tick.
const LEAD: i64 = 81;

#[test]
fn a_picture_is_decoded_at_the_time_of_its_rank_less_the_lead() {
    // I P B B, then the next fragment.
    let run = pictures(1_000, Some(1_160), &[0, 120, 40, 80]);
    let expected =
        [(1_000 - LEAD, 81, 40), (1_040 - LEAD, 161, 40), (1_080 - LEAD, 41, 40), (1_120 - LEAD, 41, 40)];
    assert_eq!(rows(&run), expected);
    assert_eq!((run.start(), run.end(), run.bytes()), (90_000, 104_400, 400));
    assert_eq!(run.first_decoded(), 90_000 - LEAD * 90);
}

#[test]
fn a_fragment_of_an_open_group_begins_with_what_is_shown_first() {
    let run = pictures(1_000, Some(1_080), &[0, -80, -40, 40]);
    assert_eq!(rows(&run), [(839, 161, 40), (879, 41, 40), (919, 41, 40), (959, 81, 40)]);
    assert_eq!(run.start(), 90 * 920);
    // At the beginning of the time line there is nothing before zero.
    let run = pictures(0, Some(80), &[0, -80, -40, 40]);
    assert_eq!(rows(&run), [(0, 0, 0), (0, -80, 0), (0, -40, 0), (0, 40, 0)]);
}

#[test]
fn a_segment_begins_and_ends_with_what_is_shown_of_it() {
    let within = |start, next, times: &[i32]| {
        Run::within(&TrackClock::of(&video(), MS).unwrap(), place(start, Some(next)), samples(times)).unwrap()
    };
    let run = within(1_000, 1_120, &[0, 40, 80]);
    assert_eq!(rows(&run), [(1_000, 0, 40), (1_040, 0, 40), (1_080, 0, 40)]);
    // The key frame and what follows it are due at once: a unit apart.
    let run = within(1_000, 1_160, &[0, 120, 40, 80]);
    let found: Vec<_> = run.samples().iter().map(|s| (s.decode, s.shown() / 90, s.duration)).collect();
    let expected =
        [(90_000, 1_000, 1), (90_001, 1_120, 3_599), (93_600, 1_040, 3_600), (97_200, 1_080, 7_200)];
    assert_eq!(found, expected);
    // An open group begins with its leading pictures.
    let run = within(1_000, 1_080, &[0, -80, -40, 40]);
    assert_eq!(rows(&run), [(920, 80, 0), (920, 0, 40), (960, 0, 40), (1_000, 40, 80)]);
    assert_eq!((run.first_decoded(), run.start(), run.end()), (920 * 90, 920 * 90, 1_080 * 90));
    let run = within(0, 80, &[0, -80, -40, 40]);
    assert_eq!(rows(&run), [(0, 0, 0), (0, -80, 0), (0, -40, 0), (0, 40, 80)]);
}

#[test]
fn what_the_parameter_sets_do_not_tell_the_frames_do() {
    let clock = |private: &str| {
        let mut track = video();
        track.codec_private = std::fs::read(folder().join("codec").join(private)).unwrap().into();
        TrackClock::of(&track, MS).unwrap()
    };
    let lead = |private, times: &[i32]| {
        let run = Run::with_lead(&clock(private), place(1_000, None), samples(times)).unwrap();
        (run.start() - run.first_decoded()) / 90
    };
    // Baseline cannot reorder; if it does all the same, in steps.
    assert_eq!(lead("h264-baseline.avcC", &[0, 40, 80]), 0);
    assert_eq!(lead("h264-baseline.avcC", &[0, 120, 40, 80]), 100);
    assert_eq!(lead("h264-baseline.avcC", &[0, 121, 41, 80]), 100);
    assert_eq!(lead("h264-baseline.avcC", &[0, 160, 80, 40, 120]), 100);
    assert_eq!(lead("h264-baseline.avcC", &[0, 320, 160, 80, 40]), 300);
    // Told, it is the same whether a fragment needs it or not.
    for times in [&[0, 40, 80][..], &[0, 120, 40, 80], &[0, 160, 80, 40, 120], &[0]] {
        assert_eq!(lead("h264-high.avcC", times), LEAD);
    }
    assert_eq!(lead("h264-high.avcC", &[0, 320, 160, 80, 40]), 300);
}

#[test]
fn the_last_frame_lasts_until_the_next_fragment_or_as_long_as_others() {
    let last = |next, times: &[i32]| rows(&pictures(1_000, next, times)).last().unwrap().2;
    assert_eq!(last(Some(1_200), &[0, 33, 67, 100]), 100);
    assert_eq!(last(Some(1_050), &[0, 33, 67, 100]), 0);
    assert_eq!(last(None, &[0, 33, 67, 2_000]), 34);
    // By the parameter sets, else a guess.
    let alone = |track: &Track, times| {
        let run =
            Run::with_lead(&TrackClock::of(track, MS).unwrap(), place(5_000, None), samples(times)).unwrap();
        rows(&run).last().unwrap().2
    };
    let mut track = Stored::sample("x264-closed-gop").tracks[0].clone();
    track.frame_duration = None;
    assert_eq!((alone(&track, &[0]), alone(&track, &[0, 0, 0])), (50, 50));
    track.frame_duration = Some(Duration::from_millis(500));
    assert_eq!(alone(&track, &[0]), 500);
    assert_eq!(alone(&Track::new(TrackNumber(1), TrackKind::Video, "V_VP8"), &[0]), 40);
}

#[test]
fn equal_times_and_no_times_are_borne() {
    let at = 1_005 - LEAD;
    assert_eq!(rows(&pictures(1_005, Some(1_045), &[0, 0, 0])), [(at, 81, 0), (at, 81, 0), (at, 81, 40)]);
    let none = pictures(5, Some(45), &[]);
    assert_eq!((none.samples().len(), none.start(), none.end()), (0, 450, 450));
}

#[test]
fn sound_lies_on_the_grid_of_its_frames_from_the_true_beginning_on() {
    for rate in [48_000_u32, 44_100, 22_050, 11_025, 16_000] {
        let exact = |index: u32| f64::from(index) * 1024.0 / f64::from(rate);
        let times: Vec<i32> = (0..200).map(|index| (exact(index) * 1000.0) as i32).collect();
        let clock = TrackClock::of(&aac(rate, 2), MS).unwrap();
        let next = Some(3_007 + (exact(200) * 1000.0) as u64);
        let run = Run::with_lead(&clock, place(3_007, next), samples(&times)).unwrap();
        let timescale = clock.timescale().get();
        assert_eq!((timescale % rate, timescale % 1_000), (0, 0));
        assert_eq!(run.start(), i64::from(timescale) / 1_000 * 3_007, "the beginning is as it was");
        let lasts = 1024 * (timescale / rate);
        let (last, rest) = run.samples().split_last().unwrap();
        assert!(rest.iter().all(|sample| sample.duration == lasts && sample.offset == 0), "{rate}");
        // The next fragment's time is cut off to a millisecond as well.
        assert!(last.duration.abs_diff(lasts) <= timescale / 1_000);
        // Without a next one, exactly.
        let run = Run::with_lead(&clock, place(3_007, None), samples(&times)).unwrap();
        assert!(run.samples().iter().all(|sample| sample.duration == lasts));
    }
}

#[test]
fn a_gap_in_sound_stays_a_gap() {
    let clock = TrackClock::of(&aac(48_000, 2), MS).unwrap();
    let run = Run::with_lead(&clock, place(0, None), samples(&[0, 21, 42, 500, 521, 542])).unwrap();
    let decode: Vec<i64> = run.samples().iter().map(|sample| sample.decode).collect();
    assert_eq!(decode, [0, 1_024, 2_048, 24_000, 25_024, 26_048]);
}

#[test]
fn the_frames_of_a_lace_have_a_time_each() {
    let clock = TrackClock::of(&aac(48_000, 2), MS).unwrap();
    let run = Run::with_lead(&clock, place(0, None), samples(&[0, 0, 0, 64, 64, 64])).unwrap();
    assert!(run.samples().iter().all(|sample| sample.duration == 1_024), "{run:?}");
}

#[test]
fn ticks_of_any_length_do_not_drift() {
    for (nanos, timescale) in [
        (1_000_000, 90_000),
        (100_000, 90_000),
        (10_000_000, 90_000),
        (1_000, 1_000_000),
        (1_000_000_000, 90_000),
    ] {
        let scale = TimecodeScale::from_nanos(nanos).unwrap();
        let found = Timescale::of_pictures(scale);
        assert_eq!(found.get(), timescale, "{nanos}");
        // A tick is a whole number of units.
        assert_eq!(u128::from(nanos) * u128::from(timescale) % 1_000_000_000, 0);
        assert_eq!(
            found.units(Duration::from_nanos(nanos * 12_345)),
            (nanos * 12_345) as i64 * i64::from(timescale) / 1_000_000_000
        );
    }
    assert_eq!(Timescale::MPEG.units(Duration::from_nanos(16_666_666)), 1_500, "the nearest");
    // Where that cannot be, a microsecond is the error, whatever the time.
    let odd = TimecodeScale::from_nanos(333_333).unwrap();
    let clock = TrackClock::of(&video(), odd).unwrap();
    let place = Place { start: Duration::from_secs(1_795_145_031), scale: odd, next: None };
    let run = Run::with_lead(&clock, place, samples(&[0, 1_000_000])).unwrap();
    let (units, span) = (i64::from(clock.timescale().get()), run.samples()[0].duration);
    assert_eq!((units, span), (1_000_000, 333_333_000));
    assert_eq!(run.start(), 1_795_145_031 * units);
}

#[test]
fn the_scale_of_sound_is_its_rate_where_no_other_is_fine_enough() {
    let rate = |rate, nanos| {
        Timescale::of_sound(NonZeroU32::new(rate).unwrap(), TimecodeScale::from_nanos(nanos).unwrap()).get()
    };
    assert_eq!(rate(48_000, 1_000_000), 48_000);
    assert_eq!(rate(44_100, 1_000_000), 441_000);
    assert_eq!(rate(44_100, 1), 44_100);
    assert_eq!(rate(16_777_215, 1_000_000), 16_777_215);
}

#[test]
fn what_is_too_far_apart_is_refused_and_not_cut_off() {
    let clock = TrackClock::of(&video(), TimecodeScale::from_nanos(1_000_000_000).unwrap()).unwrap();
    let far =
        Place { start: Duration::ZERO, scale: TimecodeScale::from_nanos(1_000_000_000).unwrap(), next: None };
    let error = Run::with_lead(&clock, far, samples(&[0, 47_722])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "frames are 4294980000 units of 1/90000 s apart, which is more than a container can say"
    );
    assert!(Run::with_lead(&clock, far, samples(&[0, 47_721])).is_ok());
    assert!(Run::with_lead(&clock, far, samples(&[47_721, 0])).is_err(), "an offset has a sign");
}

#[test]
fn the_first_that_is_shown_is_where_the_next_fragment_begins() {
    let first =
        |times: &[i32]| first_shown(Duration::from_millis(50), MS, samples(times).into_iter()).as_millis();
    assert_eq!(
        (first(&[0, 40]), first(&[0, -40, 40]), first(&[0, -80]), first(&[]), first(&[7])),
        (50, 10, 0, 50, 57)
    );
}

proptest! {
    #[test]
    fn every_frame_is_shown_when_it_was_and_decoded_in_order(
        start in 0_u64..2_000_000_000_000, times in prop::collection::vec(-5_000_i32..30_000, 0..60), next in prop::option::of(0_u64..100_000),
    ) {
        let run = pictures(start, next.map(|next| start + next), &times);
        let mut sorted: Vec<i64> = times.iter().map(|time| (start as i64 + i64::from(*time)) * 90).collect();
        let shown: Vec<i64> = run.samples().iter().map(kvs_media::timing::Timed::shown).collect();
        prop_assert_eq!(&shown, &sorted);
        sorted.sort_unstable();
        let lead = sorted.iter().zip(run.samples()).map(|(rank, sample)| rank - sample.decode).max().unwrap_or(0);
        let decode: Vec<i64> = run.samples().iter().map(|sample| sample.decode).collect();
        prop_assert_eq!(decode, sorted.iter().map(|rank| (*rank - lead).max(0)).collect::<Vec<_>>());
        prop_assert!(run.samples().iter().all(|sample| sample.offset >= 0 || sample.shown() < 0));
        let sum: i64 = run.samples().iter().map(|sample| i64::from(sample.duration)).sum();
        prop_assert_eq!(run.first_decoded() + sum, (run.end() - lead).max(0).max(run.first_decoded()));
        // Within its own bounds.
        let place = place(start, next.map(|next| start + next));
        let run = Run::within(&TrackClock::of(&video(), MS).unwrap(), place, samples(&times)).unwrap();
        prop_assert!(run.samples().iter().map(kvs_media::timing::Timed::shown).eq(shown));
        prop_assert!(run.samples().iter().all(|sample| sample.offset >= 0 || sample.shown() < 0));
        prop_assert_eq!(run.first_decoded(), run.start().max(0));
        let sum: i64 = run.samples().iter().map(|sample| i64::from(sample.duration)).sum();
        prop_assert_eq!(run.first_decoded() + sum, run.end().max(run.first_decoded()));
    }

    #[test]
    fn every_frame_of_a_closed_group_lasts(times in prop::collection::hash_set(1_i32..30_000, 0..60)) {
        // In whatever order, behind the key frame.
        let times: Vec<i32> = std::iter::once(0).chain(times).collect();
        let run = Run::within(&TrackClock::of(&video(), MS).unwrap(), place(7, None), samples(&times)).unwrap();
        prop_assert!(run.samples().iter().all(|sample| sample.duration > 0 && sample.offset >= 0), "{run:?}");
        prop_assert_eq!(run.first_decoded(), 7 * 90);
    }

    #[test]
    fn any_index_and_any_place_are_borne(
        secs: u64, nanos in 0_u32..1_000_000_000, scale in 1_u64.., next in prop::option::of((any::<u64>(), 0_u32..1_000_000_000)), sound: bool,
        frames in prop::collection::vec((any::<i32>(), any::<u32>(), any::<bool>()), 0..30),
    ) {
        let scale = TimecodeScale::from_nanos(scale).unwrap();
        let place = Place { start: Duration::new(secs, nanos), scale, next: next.map(|(secs, nanos)| Duration::new(secs, nanos)) };
        let clock = TrackClock::of(&if sound { aac(44_100, 2) } else { video() }, scale).unwrap();
        let samples = frames.iter().map(|(time, size, key)| Sample { time: *time, size: *size, key: *key });
        let _ = first_shown(place.start, scale, samples.clone());
        let runs = [Run::with_lead(&clock, place, samples.clone()), Run::within(&clock, place, samples)];
        for run in runs.into_iter().flatten() {
            for pair in run.samples().windows(2) {
                prop_assert_eq!(pair[0].decode + i64::from(pair[0].duration), pair[1].decode);
            }
            prop_assert!(run.first_decoded() >= 0);
            prop_assert!(run.samples().first().is_none_or(|first| first.decode == run.first_decoded()));
            prop_assert!(!sound || run.samples().iter().all(|sample| sample.offset == 0));
        }
    }
}

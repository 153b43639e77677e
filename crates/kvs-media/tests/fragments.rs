//! Fragments, seen as the service sees them: a checker that knows the service's rules and nothing of the cutter.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use kvs_media::fragment::{
    Arrival, CutCause, Cutter, Discard, Interleaver, Pace, Repair, Rules, Step, Timing, TrackRule,
};
use kvs_media::time::{Monotonic, RunningTime, Timecode, Utc};
use kvs_media::{TrackKind, TrackNumber};
use proptest::prelude::*;

const VIDEO: TrackNumber = TrackNumber(1);
const AUDIO: TrackNumber = TrackNumber(2);
const DATA: TrackNumber = TrackNumber(3);
/// 2026-11-20, in milliseconds.
const BASE: i64 = 1_795_145_031_000;

fn rule(number: TrackNumber, kind: TrackKind, can_be_filled: bool) -> TrackRule {
    TrackRule { number, kind, can_be_filled }
}

fn video() -> TrackRule {
    rule(VIDEO, TrackKind::Video, false)
}

fn audio() -> TrackRule {
    rule(AUDIO, TrackKind::Audio, true)
}

fn data() -> TrackRule {
    rule(DATA, TrackKind::Metadata, true)
}

/// Takes steps as the service would take what they write, and refuses what it would refuse.
#[derive(Default)]
struct Service {
    declared: Vec<TrackNumber>,
    open: Option<Received>,
    done: Vec<Received>,
    sessions: usize,
    repairs: Vec<Repair>,
    discards: Vec<Discard>,
    keys_wanted: usize,
}

#[derive(Clone, Debug)]
struct Received {
    session: usize,
    start: i64,
    frames: Vec<(TrackNumber, i64, bool)>,
    bytes: u64,
    marker: bool,
}

impl Received {
    fn earliest(&self) -> i64 {
        self.frames.iter().map(|frame| frame.1).min().expect("a fragment without frames")
    }

    fn latest(&self) -> i64 {
        self.frames.iter().map(|frame| frame.1).max().expect("a fragment without frames")
    }

    fn of(&self, track: TrackNumber) -> Vec<i64> {
        self.frames.iter().filter(|frame| frame.0 == track).map(|frame| frame.1 - BASE).collect()
    }
}

impl Service {
    /// Takes the steps that a push led to, and says with which time the frame went out.
    fn take(&mut self, frame: Option<Arrival>, steps: &mut Vec<Step>, rules: &Rules) -> Option<i64> {
        let mut went_out = None;
        let mut answers = 0;
        for step in steps.drain(..) {
            match step {
                Step::BeginSession(tracks) => {
                    assert!(self.open.is_none(), "a session begins inside a fragment");
                    assert!(!tracks.is_empty(), "a session without tracks");
                    self.declared = tracks;
                    self.sessions += 1;
                }
                Step::BeginFragment(start) => {
                    assert!(self.open.is_none() && self.sessions > 0);
                    assert!(start.ticks() >= 0, "a cluster's time is unsigned");
                    let (session, start) = (self.sessions, start.ticks());
                    self.open =
                        Some(Received { session, start, frames: Vec::new(), bytes: 0, marker: false });
                }
                Step::Frame(timecode) => {
                    let frame = frame.expect("a frame out of nothing");
                    answers += 1;
                    went_out = Some(timecode.ticks());
                    self.block(frame.track, timecode, frame.key, frame.size, rules);
                }
                Step::Filler(track, timecode) => self.block(track, timecode, false, 0, rules),
                Step::EndFragment { marker } => {
                    let mut fragment = self.open.take().expect("no fragment to end");
                    fragment.marker = marker;
                    self.check(&fragment, rules);
                    self.done.push(fragment);
                }
                Step::Discard(discard) => {
                    answers += 1;
                    self.discards.push(discard);
                }
                Step::Repaired(repair) => self.repairs.push(repair),
                Step::KeyFrameWanted => self.keys_wanted += 1,
                step => panic!("unknown step {step:?}"),
            }
        }
        assert_eq!(answers, usize::from(frame.is_some()), "every frame goes out or is discarded, once");
        went_out
    }

    fn block(&mut self, track: TrackNumber, timecode: Timecode, key: bool, size: usize, rules: &Rules) {
        assert!(self.declared.contains(&track), "4010: track {track} is not declared");
        let fragment = self.open.as_mut().expect("a block outside a fragment");
        let offset = timecode.block_offset(Timecode::from_ticks(fragment.start));
        assert!(offset.is_some(), "{timecode} does not fit a block of {}", fragment.start);
        fragment.frames.push((track, timecode.ticks(), key));
        fragment.bytes += size as u64 + 16;
        assert!(fragment.bytes <= rules.largest + 1_000, "4001: too large");
    }

    fn check(&self, fragment: &Received, rules: &Rules) {
        for track in &self.declared {
            assert!(fragment.frames.iter().any(|frame| frame.0 == *track), "4011: nothing of track {track}");
        }
        let span = rules.scale.span(fragment.latest() - fragment.earliest()).unwrap();
        assert!(span <= rules.longest, "4002: {span:?}");
        if let Some(before) = self.done.last()
            && before.session == fragment.session
        {
            assert!(fragment.earliest() > before.latest(), "4004: {fragment:?} after {before:?}");
            assert!(fragment.start > before.start, "4004: the cluster's time does not grow");
        }
    }
}

struct Bench {
    cutter: Cutter,
    rules: Rules,
    service: Service,
    steps: Vec<Step>,
    now: Monotonic,
}

impl Bench {
    fn new(rules: Rules, tracks: &[TrackRule]) -> Self {
        let mut bench = Self {
            cutter: Cutter::new(rules),
            rules,
            service: Service::default(),
            steps: Vec::new(),
            now: Monotonic::default(),
        };
        bench.cutter.set_tracks(tracks.iter().copied(), &mut bench.steps);
        bench.settle(None);
        bench
    }

    fn settle(&mut self, frame: Option<Arrival>) -> Option<i64> {
        self.service.take(frame, &mut self.steps, &self.rules)
    }

    /// Pushes a frame at so many milliseconds, and says when it went out.
    fn push(&mut self, track: TrackNumber, ms: i64, key: bool) -> Option<i64> {
        let pts = Utc::from_millis(BASE + ms).unwrap();
        self.push_at(track, pts, key, 1_000).map(|tick| tick - BASE)
    }

    fn push_at(&mut self, track: TrackNumber, pts: Utc, key: bool, size: usize) -> Option<i64> {
        let frame = Arrival { track, pts, key, size };
        self.cutter.push(frame, self.now, &mut self.steps);
        self.settle(Some(frame))
    }

    fn finish(mut self) -> Service {
        self.cutter.finish(&mut self.steps);
        self.settle(None);
        self.service
    }

    fn starts(service: &Service) -> Vec<i64> {
        service.done.iter().map(|fragment| fragment.start - BASE).collect()
    }
}

#[test]
fn a_fragment_begins_at_every_key_frame_and_the_last_one_is_marked() {
    let mut bench = Bench::new(Rules::default(), &[video()]);
    for frame in 0..90 {
        assert_eq!(bench.push(VIDEO, frame * 33, frame % 30 == 0), Some(frame * 33));
    }
    let service = bench.finish();
    assert_eq!(Bench::starts(&service), [0, 990, 1980]);
    assert_eq!(service.sessions, 1);
    assert_eq!(service.done.iter().map(|fragment| fragment.marker).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!((service.repairs.len(), service.discards.len()), (0, 0));
}

#[test]
fn with_a_target_a_fragment_begins_at_the_first_key_frame_after_it() {
    let rules = Rules { at_key_frames: false, ..Rules::default() };
    let mut bench = Bench::new(rules, &[video()]);
    for frame in 0..150 {
        bench.push(VIDEO, frame * 33, frame % 20 == 0);
    }
    assert_eq!(Bench::starts(&bench.finish()), [0, 80 * 33]);
}

#[test]
fn where_every_frame_is_a_key_frame_the_target_says_where_to_cut() {
    let mut bench = Bench::new(Rules::default(), &[video()]);
    for frame in 0..100 {
        bench.push(VIDEO, frame * 100, true);
    }
    assert_eq!(Bench::starts(&bench.finish()), [0, 2_000, 4_000, 6_000, 8_000]);
}

#[test]
fn there_are_never_more_than_five_fragments_a_second() {
    let mut bench = Bench::new(Rules::default(), &[video()]);
    for frame in 0..100 {
        bench.push(VIDEO, frame * 50, frame % 2 == 0);
    }
    assert_eq!(Bench::starts(&bench.finish())[..4], [0, 200, 400, 600]);
}

#[test]
fn sound_alone_is_cut_by_the_target() {
    let mut bench = Bench::new(Rules::default(), &[audio()]);
    for frame in 0..300 {
        bench.push(AUDIO, frame * 20, true);
    }
    assert_eq!(Bench::starts(&bench.finish()), [0, 2_000, 4_000]);
}

#[test]
fn pictures_before_the_first_key_frame_are_counted_and_one_is_asked_for_while_the_sound_goes_out() {
    let mut bench = Bench::new(Rules::default(), &[video(), audio()]);
    for frame in 0..10 {
        assert_eq!(bench.push(VIDEO, frame * 33, false), None);
        assert_eq!(bench.push(AUDIO, frame * 33, true), Some(frame * 33));
    }
    assert_eq!(bench.service.declared, [AUDIO]);
    assert_eq!(bench.push(VIDEO, 330, true), Some(330));
    assert_eq!(bench.service.declared, [VIDEO, AUDIO]);
    assert_eq!(bench.cutter.counts().before_key, 10);
    bench.push(AUDIO, 333, true);
    let service = bench.finish();
    assert_eq!(service.discards, [Discard::BeforeKeyFrame; 10]);
    assert_eq!(service.keys_wanted, 1);
    assert_eq!(service.sessions, 2);
    assert_eq!(service.repairs, [Repair::LeftOut(VIDEO), Repair::Rejoined(VIDEO)]);
}

#[test]
fn a_key_frame_is_asked_for_again_when_none_comes() {
    let mut bench = Bench::new(Rules::default(), &[video()]);
    for second in 0..35 {
        bench.push(VIDEO, second * 1_000, false);
    }
    assert_eq!(bench.finish().keys_wanted, 4);
}

#[test]
fn a_long_group_of_pictures_is_asked_about_and_then_cut() {
    let mut bench = Bench::new(Rules::default(), &[video()]);
    for frame in 0..50 {
        bench.push(VIDEO, frame * 1_000, frame == 0);
    }
    assert_eq!(bench.cutter.counts().cuts_without_key, 2);
    let service = bench.finish();
    assert_eq!(Bench::starts(&service), [0, 20_000, 40_000]);
    assert_eq!(service.repairs, [Repair::CutWithoutKey(CutCause::Duration); 2]);
    assert_eq!(service.keys_wanted, 2);
}

#[test]
fn a_fragment_never_outgrows_its_largest_size() {
    let rules = Rules { largest: 10_000, ..Rules::default() };
    let mut bench = Bench::new(rules, &[video()]);
    for frame in 0..20 {
        let pts = Utc::from_millis(BASE + frame * 33).unwrap();
        bench.push_at(VIDEO, pts, frame == 0, 3_000);
    }
    assert_eq!(bench.push_at(VIDEO, Utc::from_millis(BASE + 700).unwrap(), false, 9_990), None);
    let service = bench.finish();
    assert_eq!(service.discards, [Discard::TooLarge]);
    assert!(service.repairs.iter().all(|repair| *repair == Repair::CutWithoutKey(CutCause::Size)));
    assert_eq!(service.done.len(), 7);
}

#[test]
fn a_time_equal_to_the_last_of_the_fragment_before_is_moved_by_a_tick() {
    let mut bench = Bench::new(Rules::default(), &[video(), audio()]);
    bench.push(VIDEO, 0, true);
    bench.push(VIDEO, 33, false);
    bench.push(AUDIO, 999, true);
    // Both fall on the same millisecond: the key frame has to come after it, and what is before the key frame too.
    assert_eq!(bench.push(VIDEO, 999, true), Some(1_000));
    assert_eq!(bench.push(AUDIO, 998, true), Some(1_000));
    assert_eq!(bench.push(AUDIO, 1_001, true), Some(1_001));
    assert_eq!(bench.cutter.counts().times_moved, 2);
    let ms = |ms| Timecode::from_ticks(BASE + ms);
    let moved = |track, from, to| Repair::TimeMoved { track, from: ms(from), to: ms(to) };
    assert_eq!(bench.finish().repairs, [moved(VIDEO, 999, 1_000), moved(AUDIO, 998, 1_000)]);
}

#[test]
fn leading_pictures_of_an_open_group_keep_their_times() {
    let mut bench = Bench::new(Rules::default(), &[video()]);
    for (ms, key) in [(0, true), (120, false), (40, false), (80, false)] {
        bench.push(VIDEO, ms, key);
    }
    // Shown in the order 160, 200, 240: the key frame is the last of them.
    for (ms, key) in [(240, true), (160, false), (200, false), (280, false)] {
        assert_eq!(bench.push(VIDEO, ms, key), Some(ms));
    }
    let service = bench.finish();
    assert_eq!(Bench::starts(&service), [0, 240]);
    assert_eq!(service.done[1].of(VIDEO), [240, 160, 200, 280]);
    assert_eq!(service.repairs, []);
}

#[test]
fn a_silent_microphone_is_filled_and_the_session_goes_on() {
    let mut bench = Bench::new(Rules::default(), &[video(), audio(), data()]);
    bench.push(VIDEO, 0, true);
    bench.push(AUDIO, 10, true);
    bench.push(DATA, 20, true);
    for frame in 1..100 {
        bench.push(VIDEO, frame * 100, frame % 10 == 0);
    }
    let service = bench.finish();
    assert_eq!((service.sessions, service.done.len()), (1, 10));
    let filled = |track| service.repairs.iter().filter(|repair| **repair == Repair::Filled(track)).count();
    assert_eq!((filled(AUDIO), filled(DATA)), (9, 9));
}

#[test]
fn pictures_that_stop_are_left_out_until_they_are_back() {
    let mut bench = Bench::new(Rules::default(), &[video(), audio()]);
    bench.push(VIDEO, 0, true);
    for frame in 0..2_000 {
        assert!(bench.push(AUDIO, frame * 20, true).is_some());
    }
    // A picture that cannot be decoded does not bring the track back.
    assert_eq!(bench.push(VIDEO, 40_000, false), None);
    assert_eq!(bench.push(VIDEO, 40_010, true), Some(40_010));
    bench.push(AUDIO, 40_020, true);
    assert_eq!(bench.service.declared, [VIDEO, AUDIO]);
    let service = bench.finish();
    assert_eq!(service.sessions, 3);
    assert_eq!(service.repairs, [Repair::LeftOut(VIDEO), Repair::Rejoined(VIDEO)]);
    let sounds: usize = service.done.iter().map(|fragment| fragment.of(AUDIO).len()).sum();
    assert_eq!(sounds, 2_001);
}

#[test]
fn sound_never_waits_for_pictures_that_do_not_come() {
    let mut bench = Bench::new(Rules::default(), &[video(), audio()]);
    assert!((0..400).all(|frame| bench.push(AUDIO, frame * 20, true).is_some()));
    assert_eq!(bench.service.declared, [AUDIO]);
    bench.push(VIDEO, 8_000, true);
    bench.push(AUDIO, 8_001, true);
    assert_eq!(bench.service.declared, [VIDEO, AUDIO]);
    bench.finish();
}

#[test]
fn new_codec_data_ends_the_session_before_the_frame_that_has_it() {
    let mut bench = Bench::new(Rules::default(), &[video(), audio()]);
    bench.push(VIDEO, 0, true);
    bench.push(AUDIO, 1, true);
    bench.push(VIDEO, 33, false);
    bench.cutter.renew_track(VIDEO, &mut bench.steps);
    bench.settle(None);
    // Sound goes on; a picture without a key frame cannot be decoded with the new data.
    assert_eq!(bench.push(AUDIO, 50, true), Some(50));
    assert_eq!(bench.push(VIDEO, 66, false), None);
    assert_eq!(bench.push(VIDEO, 99, true), Some(99));
    let service = bench.finish();
    assert_eq!(service.sessions, 2);
    assert_eq!(service.done[0].of(VIDEO), [0, 33]);
    assert_eq!(service.done[1].of(VIDEO), [99]);
    assert_eq!(service.repairs, []);
}

#[test]
fn time_that_goes_back_a_little_is_held_and_far_back_begins_a_session() {
    let mut bench = Bench::new(Rules::default(), &[video()]);
    for (at, key) in [(10_000, true), (11_000, false), (12_000, true), (12_033, false)] {
        assert_eq!(bench.push(VIDEO, at, key), Some(at));
    }
    // Behind the fragment before, by half a second: held at its end.
    assert_eq!(bench.push(VIDEO, 10_500, true), Some(11_001));
    assert_eq!(bench.push(VIDEO, 12_100, false), Some(12_100));
    // By seven seconds.
    assert_eq!(bench.push(VIDEO, 5_000, true), Some(5_000));
    assert_eq!(bench.push(VIDEO, 6_000, false), Some(6_000));
    let service = bench.finish();
    assert_eq!(service.sessions, 2);
    assert!(matches!(service.repairs[0], Repair::TimeMoved { .. }));
    assert!(matches!(service.repairs[1..], [Repair::TimeWentBack(by)] if by > Duration::from_secs(5)));
}

#[test]
fn a_sound_49_days_ahead_does_not_take_the_pictures_with_it() {
    // An unsigned 32-bit subtraction of 40 ms, as one camera sends it.
    let mut bench = Bench::new(Rules::default(), &[video(), audio()]);
    bench.push(VIDEO, 0, true);
    assert_eq!(bench.push(AUDIO, (1 << 32) - 40, true), Some(0));
    assert_eq!(bench.push(VIDEO, 33, false), Some(33));
    assert_eq!(bench.push(AUDIO, 20, true), Some(20));
    let service = bench.finish();
    assert_eq!((service.sessions, service.done.len(), service.repairs.len()), (1, 1, 1));
}

#[test]
fn a_fragment_ends_when_nothing_comes_and_goes_on_in_the_same_session() {
    let mut bench = Bench::new(Rules::default(), &[video()]);
    bench.push(VIDEO, 0, true);
    bench.push(VIDEO, 33, false);
    let deadline = bench.cutter.deadline().unwrap();
    assert_eq!(deadline.saturating_since(bench.now), Duration::from_secs(10));
    bench.cutter.poll(Monotonic::from_nanos(deadline.nanos() - 1), &mut bench.steps);
    assert_eq!(bench.steps, []);
    bench.cutter.poll(deadline, &mut bench.steps);
    assert_eq!(bench.steps, [Step::EndFragment { marker: true }]);
    bench.settle(None);
    assert_eq!(bench.cutter.deadline(), None);
    // An hour later; a picture that needs an earlier one is not lost, and it is said.
    assert_eq!(bench.push(VIDEO, 3_600_000, false), Some(3_600_000));
    assert_eq!(bench.push(VIDEO, 3_601_000, true), Some(3_601_000));
    let service = bench.finish();
    assert_eq!((service.sessions, service.done.len()), (1, 3));
    assert_eq!(service.repairs, [Repair::CutWithoutKey(CutCause::Idle)]);
}

#[test]
fn a_split_is_made_at_the_next_key_frame_however_short_the_fragment_is() {
    let mut bench = Bench::new(Rules { at_key_frames: false, ..Rules::default() }, &[video()]);
    bench.push(VIDEO, 0, true);
    bench.push(VIDEO, 33, false);
    bench.cutter.split();
    bench.push(VIDEO, 66, false);
    bench.push(VIDEO, 99, true);
    bench.push(VIDEO, 132, true);
    assert_eq!(Bench::starts(&bench.finish()), [0, 99]);
}

#[test]
fn a_track_that_comes_or_goes_begins_a_session() {
    let mut bench = Bench::new(Rules::default(), &[video()]);
    bench.push(VIDEO, 0, true);
    bench.cutter.set_tracks([video(), audio()], &mut bench.steps);
    bench.settle(None);
    assert_eq!(bench.push(AUDIO, 40, true), Some(40));
    assert_eq!(bench.push(VIDEO, 33, false), Some(33));
    bench.cutter.set_tracks([audio()], &mut bench.steps);
    bench.settle(None);
    assert_eq!(bench.push(VIDEO, 66, false), None);
    bench.push(AUDIO, 60, true);
    let service = bench.finish();
    assert_eq!(service.sessions, 3);
    assert_eq!(service.discards, [Discard::UnknownTrack]);
    assert_eq!(service.repairs, [Repair::CutWithoutKey(CutCause::Tracks)]);
}

#[derive(Clone, Debug)]
enum Act {
    Push { track: u64, step: i64, key: bool, size: usize, wait: u64 },
    Jump(i64),
    Poll(u64),
    Renew(u64),
    Tracks(u8),
    Split,
    Finish,
}

fn act() -> impl Strategy<Value = Act> {
    let push = (1_u64..=4, -200_i64..2_000, any::<bool>(), 0_usize..60_000, 0_u64..2_000);
    prop_oneof![
        60 => push.prop_map(|(track, step, key, size, wait)| Act::Push { track, step, key, size, wait }),
        3 => prop_oneof![-100_000_i64..100_000, Just(1 << 32), Just(-(1 << 32))].prop_map(Act::Jump),
        3 => (0_u64..20_000).prop_map(Act::Poll),
        2 => (1_u64..=4).prop_map(Act::Renew),
        2 => any::<u8>().prop_map(Act::Tracks),
        1 => Just(Act::Split),
        1 => Just(Act::Finish),
    ]
}

fn some_tracks(bits: u8) -> Vec<TrackRule> {
    let kinds = [TrackKind::Video, TrackKind::Audio, TrackKind::Metadata, TrackKind::Audio];
    (1..=4_u64)
        .zip(kinds)
        .filter(|(number, _)| bits >> (number - 1) & 1 == 1)
        .map(|(number, kind)| {
            rule(TrackNumber(number), kind, kind != TrackKind::Video && bits >> (number + 3) & 1 == 1)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_the_service_takes_every_fragment(
        tracks in 1_u8..=255,
        scale in prop_oneof![Just(1_000_000_u64), Just(10_000_000), Just(1_000_000_000), Just(1_000)],
        largest in prop_oneof![Just(49_900_000_u64), Just(100_000)],
        at_key_frames in any::<bool>(),
        start in prop_oneof![Just(BASE), Just(0), Just(-5_000)],
        acts in proptest::collection::vec(act(), 1..400),
    ) {
        let scale = kvs_media::time::TimecodeScale::from_nanos(scale).unwrap();
        let rules = Rules { scale, largest, at_key_frames, ..Rules::default() };
        let mut bench = Bench::new(rules, &some_tracks(tracks));
        let mut at = start;
        let mut pushed = 0;
        for act in acts {
            match act {
                Act::Push { track, step, key, size, wait } => {
                    at += step / 10;
                    bench.now = bench.now.saturating_add(Duration::from_millis(wait));
                    let pts = Utc::from_millis(at + step % 50).unwrap();
                    bench.push_at(TrackNumber(track), pts, key, size);
                    pushed += 1;
                }
                Act::Jump(by) => at += by,
                Act::Poll(wait) => {
                    bench.now = bench.now.saturating_add(Duration::from_millis(wait));
                    bench.cutter.poll(bench.now, &mut bench.steps);
                    bench.settle(None);
                }
                Act::Renew(track) => {
                    bench.cutter.renew_track(TrackNumber(track), &mut bench.steps);
                    bench.settle(None);
                }
                Act::Tracks(bits) => {
                    bench.cutter.set_tracks(some_tracks(bits), &mut bench.steps);
                    bench.settle(None);
                }
                Act::Split => bench.cutter.split(),
                Act::Finish => {
                    bench.cutter.finish(&mut bench.steps);
                    bench.settle(None);
                }
            }
        }
        let counts = *bench.cutter.counts();
        let service = bench.finish();
        let repairs = |wanted: fn(&Repair) -> bool| service.repairs.iter().filter(|repair| wanted(repair)).count() as u64;
        prop_assert_eq!(counts.frames + service.discards.len() as u64, pushed);
        prop_assert_eq!(counts.times_moved, repairs(|repair| matches!(repair, Repair::TimeMoved { .. })));
        prop_assert_eq!(counts.cuts_without_key, repairs(|repair| matches!(repair, Repair::CutWithoutKey(_))));
        prop_assert_eq!(counts.sessions, service.sessions as u64);
        prop_assert_eq!(counts.fragments, service.done.len() as u64);
    }

    #[test]
    fn no_times_make_the_cutter_panic(
        times in proptest::collection::vec((1_u64..=3, any::<i64>(), any::<bool>(), any::<usize>()), 1..50),
        scale in 1_u64..,
    ) {
        let scale = kvs_media::time::TimecodeScale::from_nanos(scale).unwrap();
        let mut cutter = Cutter::new(Rules { scale, ..Rules::default() });
        let mut steps = Vec::new();
        cutter.set_tracks([video(), audio(), data()], &mut steps);
        for (track, nanos, key, size) in times {
            let frame = Arrival { track: TrackNumber(track), pts: Utc::from_nanos(nanos), key, size };
            cutter.push(frame, Monotonic::default(), &mut steps);
        }
        cutter.finish(&mut steps);
    }

    #[test]
    fn the_interleaver_keeps_every_frame_and_the_order_within_a_track(
        frames in proptest::collection::vec((1_u64..=3, 0_i64..3_000, any::<bool>(), any::<bool>(), 0_u64..200), 1..200),
    ) {
        let skew = Duration::from_millis(500);
        let mut lanes = Interleaver::new(skew);
        lanes.add(VIDEO, Pace::Leading);
        lanes.add(AUDIO, Pace::Steady);
        lanes.add(DATA, Pace::Sparse);
        let (mut now, mut out) = (Monotonic::default(), Vec::new());
        for (serial, &(track, ms, key, leading, wait)) in frames.iter().enumerate() {
            now = now.saturating_add(Duration::from_millis(wait));
            let pts = RunningTime::from_nanos(ms * 1_000_000);
            let timing = Timing { pts, dts: None, key, leading };
            prop_assert_eq!(lanes.push(TrackNumber(track), timing, now, (serial, now)), None);
            while let Some((track, item)) = lanes.pop(now) {
                out.push((track, item));
            }
            // What is still held has not been held for longer than the bound.
            if let Some(deadline) = lanes.deadline() {
                prop_assert!(deadline > now && deadline.saturating_since(now) <= skew);
            }
        }
        while let Some(deadline) = lanes.deadline() {
            now = now.max(deadline);
            let popped = lanes.pop(now);
            prop_assert!(popped.is_some(), "nothing goes at the deadline");
            out.extend(popped);
        }
        prop_assert_eq!(out.len(), frames.len());
        for wanted in [VIDEO, AUDIO, DATA] {
            let serials: Vec<_> = out.iter().filter(|(track, _)| *track == wanted).map(|(_, item)| item.0).collect();
            prop_assert!(serials.is_sorted());
        }
    }
}

fn ms(ms: i64) -> RunningTime {
    RunningTime::from_nanos(ms * 1_000_000)
}

fn popped(lanes: &mut Interleaver<i64>, now: Monotonic) -> Vec<i64> {
    std::iter::from_fn(|| lanes.pop(now)).map(|(_, item)| item).collect()
}

#[test]
fn two_tracks_come_out_by_time_and_pictures_go_before_sound_of_the_same_time() {
    let mut lanes = Interleaver::new(Duration::from_secs(1));
    lanes.add(VIDEO, Pace::Leading);
    lanes.add(AUDIO, Pace::Steady);
    let now = Monotonic::default();
    for time in [0, 20, 40, 60, 80] {
        lanes.push(AUDIO, Timing::at(ms(time)), now, time * 10 + 1);
    }
    assert_eq!(popped(&mut lanes, now), []);
    for time in [0, 40, 80] {
        lanes.push(VIDEO, Timing::at(ms(time)), now, time * 10);
    }
    assert_eq!(popped(&mut lanes, now), [0, 1, 201, 400, 401, 601, 800, 801]);
}

#[test]
fn a_stream_begins_with_a_picture_although_sound_was_there_before_it() {
    let mut lanes = Interleaver::new(Duration::from_secs(1));
    lanes.add(VIDEO, Pace::Leading);
    lanes.add(AUDIO, Pace::Steady);
    let now = Monotonic::default();
    for time in [-21, 0, 21] {
        lanes.push(AUDIO, Timing::at(ms(time)), now, time);
    }
    assert_eq!(popped(&mut lanes, now), []);
    lanes.push(VIDEO, Timing::at(ms(40)), now, 40);
    assert_eq!(popped(&mut lanes, now), [40, -21, 0, 21]);
}

#[test]
fn a_silent_track_holds_the_others_for_the_bound_once() {
    let mut lanes = Interleaver::new(Duration::from_secs(1));
    lanes.add(VIDEO, Pace::Leading);
    lanes.add(AUDIO, Pace::Steady);
    let at = |ms: u64| Monotonic::from_nanos(ms * 1_000_000);
    lanes.push(VIDEO, Timing::at(ms(0)), at(0), 0);
    assert_eq!(popped(&mut lanes, at(999)), []);
    assert_eq!(lanes.deadline(), Some(at(1_000)));
    assert_eq!(popped(&mut lanes, at(1_000)), [0]);
    lanes.push(VIDEO, Timing::at(ms(33)), at(1_001), 33);
    assert_eq!(popped(&mut lanes, at(1_001)), [33]);
    // A sound every five seconds is not waited for; one every 20 ms is.
    lanes.push(VIDEO, Timing::at(ms(5_000)), at(5_000), 5_000);
    lanes.push(AUDIO, Timing::at(ms(5_000)), at(5_000), 5_001);
    assert_eq!(popped(&mut lanes, at(5_000)), [5_000, 5_001]);
    lanes.push(VIDEO, Timing::at(ms(5_010)), at(5_010), 5_010);
    assert_eq!(popped(&mut lanes, at(5_010)), [5_010]);
    lanes.push(AUDIO, Timing::at(ms(5_020)), at(5_020), 5_021);
    assert_eq!(popped(&mut lanes, at(5_020)), []);
    lanes.push(VIDEO, Timing::at(ms(5_043)), at(5_043), 5_043);
    assert_eq!(popped(&mut lanes, at(5_043)), [5_021]);
}

#[test]
fn a_source_faster_than_the_clock_is_bounded_by_media_time() {
    let mut lanes = Interleaver::new(Duration::from_secs(1));
    lanes.add(VIDEO, Pace::Leading);
    lanes.add(AUDIO, Pace::Steady);
    let now = Monotonic::default();
    for frame in 0..31 {
        lanes.push(VIDEO, Timing::at(ms(frame * 33)), now, frame);
    }
    assert_eq!(popped(&mut lanes, now), []);
    lanes.push(VIDEO, Timing::at(ms(31 * 33)), now, 31);
    assert_eq!(popped(&mut lanes, now), (0..32).collect::<Vec<_>>());
}

#[test]
fn a_gap_an_end_and_a_sparse_track_hold_nothing() {
    let mut lanes = Interleaver::new(Duration::from_secs(1));
    lanes.add(VIDEO, Pace::Leading);
    lanes.add(AUDIO, Pace::Steady);
    lanes.add(DATA, Pace::Sparse);
    let now = Monotonic::default();
    lanes.push(VIDEO, Timing::at(ms(0)), now, 0);
    assert_eq!(popped(&mut lanes, now), []);
    lanes.advance(AUDIO, ms(50));
    assert_eq!(popped(&mut lanes, now), [0]);
    lanes.push(VIDEO, Timing::at(ms(60)), now, 60);
    assert_eq!(popped(&mut lanes, now), []);
    lanes.end(AUDIO);
    assert_eq!(popped(&mut lanes, now), [60]);
    lanes.push(VIDEO, Timing::at(ms(90)), now, 90);
    assert_eq!(lanes.remove(VIDEO).collect::<Vec<_>>(), [90]);
    assert_eq!(lanes.push(VIDEO, Timing::at(ms(120)), now, 120), Some(120));
}

#[test]
fn sound_shown_before_a_key_frame_goes_before_it_and_b_frames_wait_for_nothing() {
    let mut lanes = Interleaver::new(Duration::from_secs(1));
    lanes.add(VIDEO, Pace::Leading);
    lanes.add(AUDIO, Pace::Steady);
    let now = Monotonic::default();
    let frame = |pts, dts, key, leading| Timing { pts: ms(pts), dts: Some(ms(dts)), key, leading };
    // Shown 0 40 80 120 | 160: decoded 0 120 40 80 | 160.
    for (pts, dts, key) in
        [(0, -80, true), (120, -40, false), (40, 0, false), (80, 40, false), (160, 80, true)]
    {
        lanes.push(VIDEO, frame(pts, dts, key, false), now, pts);
    }
    for time in [10, 50, 90, 130, 170] {
        lanes.push(AUDIO, Timing::at(ms(time)), now, time);
    }
    assert_eq!(popped(&mut lanes, now), [0, 120, 40, 10, 80, 50, 90, 130, 160]);
}

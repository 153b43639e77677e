//! Fragments, seen as the service sees them: a checker that knows the service's rules and nothing of the cutter.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use kvs_media::fragment::{Arrival, CutCause, Cutter, Discard, Repair, Rules, RulesError, Step, TrackRule};
use kvs_media::time::{Monotonic, Timecode, TimecodeScale, Utc};
use kvs_media::{TrackKind, TrackNumber};
use proptest::prelude::*;

const VIDEO: TrackNumber = TrackNumber(1);
const AUDIO: TrackNumber = TrackNumber(2);
const DATA: TrackNumber = TrackNumber(3);
/// 2026-11-20, in milliseconds.
const BASE: i64 = 1_795_145_031_000;

fn rule(number: TrackNumber, kind: TrackKind) -> TrackRule {
    TrackRule { number, kind }
}

fn video() -> TrackRule {
    rule(VIDEO, TrackKind::Video)
}

fn audio() -> TrackRule {
    rule(AUDIO, TrackKind::Audio)
}

fn data() -> TrackRule {
    rule(DATA, TrackKind::Metadata)
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
    key: bool,
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
                    assert!((1..=3).contains(&tracks.len()), "4005: {} tracks", tracks.len());
                    self.declared = tracks;
                    self.sessions += 1;
                }
                Step::BeginFragment { timecode, key } => {
                    assert!(self.open.is_none() && self.sessions > 0);
                    let (session, start) = (self.sessions, timecode.ticks());
                    assert!(start >= 0, "a cluster's time is unsigned");
                    let frames = Vec::new();
                    self.open = Some(Received { session, start, key, frames, bytes: 0, marker: false });
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
        let first = fragment.frames[0];
        assert!(!fragment.key || first.1 == fragment.start, "{fragment:?}");
        assert!(!fragment.key || first.2 || first.0 != VIDEO, "said to begin with a key frame: {fragment:?}");
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
            cutter: Cutter::new(rules).unwrap(),
            rules,
            service: Service::default(),
            steps: Vec::new(),
            now: Monotonic::default(),
        };
        bench.cutter.set_tracks(tracks.iter().copied(), &mut bench.steps).unwrap();
        bench.settle(None);
        bench
    }

    fn settle(&mut self, frame: Option<Arrival>) -> Option<i64> {
        self.service.take(frame, &mut self.steps, &self.rules)
    }

    /// Pushes a frame at so many milliseconds, and says when it went out.
    fn push(&mut self, track: TrackNumber, ms: i64, key: bool) -> Option<i64> {
        let pts = Utc::from_millis(BASE + ms).unwrap();
        // A camera: the clock runs as the pictures do.
        self.now = self.now.max(Monotonic::from_nanos(ms.unsigned_abs() * 1_000_000));
        self.push_at(track, pts, key, 1_000).map(|tick| tick - BASE)
    }

    fn push_at(&mut self, track: TrackNumber, pts: Utc, key: bool, size: usize) -> Option<i64> {
        let frame = Arrival { track, pts, key, size, stray: false };
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
fn frames_before_the_first_key_frame_are_counted_and_one_is_asked_for() {
    let mut bench = Bench::new(Rules::default(), &[video(), audio()]);
    for frame in 0..10 {
        assert_eq!(bench.push(VIDEO, frame * 33, false), None);
        assert_eq!(bench.push(AUDIO, frame * 33, true), None);
    }
    assert_eq!(bench.push(VIDEO, 330, true), Some(330));
    assert_eq!(bench.cutter.counts().before_key, 20);
    bench.push(AUDIO, 333, true);
    // Another codec: asked for at once, again.
    bench.cutter.renew_track(VIDEO, &mut bench.steps);
    bench.settle(None);
    assert_eq!(bench.push(VIDEO, 366, false), None);
    let service = bench.finish();
    assert_eq!(service.discards, [Discard::BeforeKeyFrame; 21]);
    assert_eq!(service.keys_wanted, 2);
    assert_eq!(service.sessions, 1);
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
        // Asked for at ten seconds, not later.
        assert_eq!(bench.service.keys_wanted > 0, frame >= 10, "{frame}");
    }
    assert_eq!(bench.cutter.counts().cuts_without_key, 2);
    let service = bench.finish();
    assert_eq!(Bench::starts(&service), [0, 20_000, 40_000]);
    assert_eq!(service.repairs, [Repair::CutWithoutKey(CutCause::Duration); 2]);
    // At ten seconds of each fragment, and where one begins without.
    assert_eq!(service.keys_wanted, 4);
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
fn pictures_that_never_come_do_not_keep_the_sound_for_ever() {
    let mut bench = Bench::new(Rules::default(), &[video(), audio()]);
    let went_out = (0..400).filter(|frame| bench.push(AUDIO, frame * 20, true).is_some()).count();
    assert_eq!(went_out, 149);
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
fn a_sound_whose_time_cannot_be_meant_gets_that_of_the_pictures() {
    // An unsigned 32-bit subtraction of 40 ms, as one camera sends it.
    let mut bench = Bench::new(Rules::default(), &[video(), audio()]);
    bench.push(VIDEO, 0, true);
    let pts = Utc::from_millis(BASE + (1 << 32) - 40).unwrap();
    let frame = Arrival { track: AUDIO, pts, key: true, size: 100, stray: true };
    bench.cutter.push(frame, bench.now, &mut bench.steps);
    assert_eq!(bench.settle(Some(frame)), Some(BASE));
    assert_eq!(bench.push(VIDEO, 33, false), Some(33));
    assert_eq!(bench.push(AUDIO, 20, true), Some(20));
    // The track that decides has nothing to be compared with.
    let pts = Utc::from_millis(BASE + 66).unwrap();
    let frame = Arrival { track: VIDEO, pts, key: false, size: 100, stray: true };
    bench.cutter.push(frame, bench.now, &mut bench.steps);
    assert_eq!(bench.settle(Some(frame)), Some(BASE + 66));
    let service = bench.finish();
    assert_eq!((service.sessions, service.done.len(), service.repairs.len()), (1, 1, 1));
}

#[test]
fn a_picture_49_days_ahead_costs_its_group_of_pictures_and_not_the_stream() {
    let mut bench = Bench::new(Rules::default(), &[video(), audio()]);
    for frame in 0..1_500 {
        let ms = frame * 40;
        let wrong = if frame == 137 { (1 << 32) - 40 } else { ms };
        bench.push(VIDEO, wrong, frame % 25 == 0);
        bench.push(AUDIO, ms + 1, true);
    }
    let counts = *bench.cutter.counts();
    assert!(counts.times_moved < 60 && counts.sessions == 2, "{counts:?}");
    bench.finish();
}

#[test]
fn two_tracks_that_go_back_an_hour_go_on_at_once() {
    let mut bench = Bench::new(Rules::default(), &[video(), audio()]);
    for shift in [3_600_000, 0] {
        for frame in 0..250 {
            bench.push(VIDEO, shift + frame * 40, frame % 25 == 0);
            bench.push(AUDIO, shift + frame * 40 + 1, true);
        }
    }
    let counts = *bench.cutter.counts();
    assert_eq!((counts.times_moved, counts.sessions, counts.went_back), (0, 2, 1));
    bench.finish();
}

#[test]
fn an_upload_faster_than_the_clock_begins_no_more_than_five_fragments_a_second() {
    let mut bench = Bench::new(Rules::default(), &[video()]);
    for frame in 0..3_000_i64 {
        // Twenty times as fast.
        bench.now = Monotonic::from_nanos(frame.unsigned_abs() * 2_000_000);
        let pts = Utc::from_millis(BASE + frame * 40).unwrap();
        bench.push_at(VIDEO, pts, frame % 25 == 0, 5_000);
    }
    let counts = *bench.cutter.counts();
    assert!(
        (25..=30).contains(&counts.fragments) && counts.cuts_without_key == 0,
        "{counts:?} in six seconds"
    );
    bench.finish();
}

#[test]
fn a_fourth_track_is_refused_and_nothing_else_changes() {
    let mut bench = Bench::new(Rules::default(), &[video()]);
    bench.push(VIDEO, 0, true);
    let four = (1..=4).map(|number| rule(TrackNumber(number), TrackKind::Audio));
    let error = bench.cutter.set_tracks(four, &mut bench.steps).unwrap_err();
    assert_eq!(error, RulesError::TooManyTracks { count: 4, most: 3 });
    assert_eq!(bench.push(VIDEO, 33, false), Some(33));
    assert_eq!(bench.finish().sessions, 1);
}

#[test]
fn a_track_that_joins_later_does_not_hold_up_the_others() {
    let mut bench = Bench::new(Rules::default(), &[audio()]);
    bench.push(AUDIO, 0, true);
    bench.cutter.set_tracks([video(), audio()], &mut bench.steps).unwrap();
    bench.settle(None);
    assert_eq!(bench.push(AUDIO, 20, true), Some(20));
    assert_eq!(bench.push(VIDEO, 30, false), None);
    assert_eq!(bench.push(VIDEO, 40, true), Some(40));
    bench.push(AUDIO, 41, true);
    assert_eq!(bench.service.declared, [VIDEO, AUDIO]);
    bench.finish();
}

#[test]
fn sound_of_a_codec_that_speaks_now_and_then_keeps_its_session() {
    let mut bench = Bench::new(Rules::default(), &[video(), audio()]);
    for frame in 0..1_500 {
        bench.push(VIDEO, frame * 40, frame % 25 == 0);
        if frame % 75 == 30 {
            bench.push(AUDIO, frame * 40, true);
        }
    }
    let counts = *bench.cutter.counts();
    assert_eq!((counts.sessions, counts.cuts_without_key, counts.fillers), (1, 0, 40 - 1));
    assert_eq!(bench.finish().done.len(), 60);
}

#[test]
fn only_the_pictures_may_go_back() {
    let mut bench = Bench::new(Rules::default(), &[video(), audio()]);
    for (at, key) in [(10_000, true), (11_000, false), (12_000, true)] {
        bench.push(VIDEO, at, key);
    }
    // The sound's clock is wrong; that is no reason for a session.
    assert_eq!(bench.push(AUDIO, 1_000, true), Some(11_001));
    let pts = Utc::from_millis(BASE + 1_000).unwrap();
    bench.cutter.finish(&mut bench.steps);
    bench.settle(None);
    assert_eq!(bench.push_at(AUDIO, pts, true, 10), Some(BASE + 12_001));
    assert_eq!(bench.finish().sessions, 1);
}

#[test]
fn the_idle_time_counts_from_the_last_frame() {
    let mut bench = Bench::new(Rules::default(), &[video()]);
    bench.push(VIDEO, 0, true);
    bench.push(VIDEO, 15_000, false);
    assert_eq!(bench.cutter.deadline(), Some(Monotonic::from_nanos(35_000_000_000)));
}

#[test]
fn no_block_lies_further_from_its_cluster_than_sixteen_bits_reach() {
    let scale = TimecodeScale::from_nanos(100_000).unwrap();
    let rules = Rules { scale, at_key_frames: false, target: Duration::from_secs(9), ..Rules::default() };
    let mut bench = Bench::new(rules, &[video()]);
    let at = |tick: i64| Utc::from_nanos(BASE * 1_000_000 + tick * 100_000);
    assert_eq!(bench.push_at(VIDEO, at(0), true, 10), Some(BASE * 10));
    assert_eq!(bench.push_at(VIDEO, at(32_767), false, 10), Some(BASE * 10 + 32_767));
    assert_eq!(bench.service.repairs, []);
    assert_eq!(bench.push_at(VIDEO, at(32_768), false, 10), Some(BASE * 10 + 32_768));
    assert_eq!(bench.finish().repairs, [Repair::CutWithoutKey(CutCause::Offset)]);
}

#[test]
fn a_scale_too_fine_for_a_fragment_is_refused() {
    let scale = TimecodeScale::from_nanos(30_000).unwrap();
    let error = Cutter::new(Rules { scale, ..Rules::default() }).unwrap_err();
    assert_eq!(error, RulesError::ScaleTooFine(scale));
    assert!(error.to_string().contains("30000 ns"));
}

#[test]
fn a_fragment_ends_when_nothing_comes_and_goes_on_in_the_same_session() {
    let mut bench = Bench::new(Rules::default(), &[video()]);
    bench.push(VIDEO, 0, true);
    bench.push(VIDEO, 33, false);
    let deadline = bench.cutter.deadline().unwrap();
    assert_eq!(deadline.saturating_since(bench.now), Duration::from_secs(20));
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
    bench.cutter.set_tracks([video(), audio()], &mut bench.steps).unwrap();
    bench.settle(None);
    assert_eq!(bench.push(AUDIO, 40, true), Some(40));
    assert_eq!(bench.push(VIDEO, 33, false), Some(33));
    bench.cutter.set_tracks([audio()], &mut bench.steps).unwrap();
    bench.settle(None);
    assert_eq!(bench.push(VIDEO, 66, false), None);
    bench.push(AUDIO, 60, true);
    let service = bench.finish();
    assert_eq!(service.sessions, 3);
    assert_eq!(service.discards, [Discard::UnknownTrack]);
    assert_eq!(service.repairs, [Repair::CutWithoutKey(CutCause::Tracks)]);
    // So that the next group of pictures stands alone.
    assert_eq!(service.keys_wanted, 1);
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
        .take(3)
        .map(|(number, kind)| rule(TrackNumber(number), kind))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_the_service_takes_every_fragment(
        tracks in 1_u8..=15,
        scale in prop_oneof![Just(1_000_000_u64), Just(10_000_000), Just(1_000_000_000), Just(100_000)],
        largest in prop_oneof![Just(49_900_000_u64), Just(100_000)],
        at_key_frames in any::<bool>(),
        start in prop_oneof![Just(BASE), Just(0), Just(-5_000)],
        acts in proptest::collection::vec(act(), 1..400),
    ) {
        let scale = TimecodeScale::from_nanos(scale).unwrap();
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
                    bench.cutter.set_tracks(some_tracks(bits), &mut bench.steps).unwrap();
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
        let scale = TimecodeScale::from_nanos(scale).unwrap();
        let Ok(mut cutter) = Cutter::new(Rules { scale, ..Rules::default() }) else { return Ok(()) };
        let mut steps = Vec::new();
        cutter.set_tracks([video(), audio(), data()], &mut steps).unwrap();
        for (track, nanos, key, size) in times {
            let frame = Arrival { track: TrackNumber(track), pts: Utc::from_nanos(nanos), key, size, stray: key };
            cutter.push(frame, Monotonic::default(), &mut steps);
        }
        cutter.finish(&mut steps);
    }
}

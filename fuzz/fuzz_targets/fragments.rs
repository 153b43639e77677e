//! Any frames through interleaver and cutter: none is lost unsaid, and every fragment keeps the rules of the service.
#![no_main]

use std::time::Duration;

use kvs_media::fragment::{
    Arrival, Cutter, Interleaver, LONGEST_HOLD, Pace, Released, Rules, Step, Timing, TrackRule,
};
use kvs_media::time::{Monotonic, RunningTime, Timecode, TimecodeScale, Utc};
use kvs_media::{TrackKind, TrackNumber};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    scale: u64,
    at_key_frames: bool,
    acts: Vec<Act>,
}

#[derive(Arbitrary, Debug)]
enum Act {
    Push { track: u8, pts: i64, key: bool, leading: bool, duration: u32, size: u32, wait: u32 },
    Jump(i64),
    Advance { track: u8, to: i64 },
    End(u8),
    Tracks(u8),
    Renew(u8),
    Poll(u64),
    Split,
    Finish,
}

struct Frame {
    pts: Utc,
    key: bool,
    size: usize,
}

/// What the service would have received.
#[derive(Default)]
struct Service {
    declared: Vec<TrackNumber>,
    open: Option<(i64, Vec<(TrackNumber, i64)>)>,
    latest: Option<i64>,
    answers: u64,
}

impl Service {
    fn take(&mut self, arrival: Option<Arrival>, steps: &mut Vec<Step>, rules: &Rules) {
        for step in steps.drain(..) {
            match step {
                Step::BeginSession(tracks) => {
                    assert!(self.open.is_none() && (1..=3).contains(&tracks.len()));
                    (self.declared, self.latest) = (tracks, None);
                }
                Step::BeginFragment { timecode, .. } => {
                    assert!(self.open.is_none() && timecode.ticks() >= 0);
                    self.open = Some((timecode.ticks(), Vec::new()));
                }
                Step::Frame(timecode) => {
                    self.answers += 1;
                    self.block(arrival.unwrap().track, timecode);
                }
                Step::Filler(track, timecode) => self.block(track, timecode),
                Step::Discard(_) => self.answers += 1,
                Step::EndFragment { .. } => self.end(rules),
                _ => {}
            }
        }
    }

    fn block(&mut self, track: TrackNumber, timecode: Timecode) {
        assert!(self.declared.contains(&track));
        let (start, blocks) = self.open.as_mut().unwrap();
        assert!(timecode.block_offset(Timecode::from_ticks(*start)).is_some());
        blocks.push((track, timecode.ticks()));
    }

    fn end(&mut self, rules: &Rules) {
        let (_, blocks) = self.open.take().unwrap();
        assert!(self.declared.iter().all(|track| blocks.iter().any(|block| block.0 == *track)));
        let earliest = blocks.iter().map(|block| block.1).min().unwrap();
        let latest = blocks.iter().map(|block| block.1).max().unwrap();
        assert!(self.latest.is_none_or(|before| earliest > before));
        assert!(latest - earliest <= rules.scale.ticks_in(rules.longest));
        self.latest = Some(latest);
    }
}

fn tracks(bits: u8) -> impl Iterator<Item = TrackRule> {
    let kinds = [TrackKind::Video, TrackKind::Audio, TrackKind::Metadata, TrackKind::Video];
    let chosen = (0..4_u8).zip(kinds).filter(move |(index, _)| bits >> index & 1 == 1);
    chosen.map(|(index, kind)| TrackRule { number: TrackNumber(index.into()), kind })
}

fuzz_target!(|input: Input| {
    // Those that people use, and any other.
    let nanos = match input.scale % 5 {
        0 | 1 => 1_000_000,
        2 => 100_000,
        3 => 10_000_000,
        _ => input.scale,
    };
    let Some(scale) = TimecodeScale::from_nanos(nanos) else { return };
    let rules = Rules { scale, at_key_frames: input.at_key_frames, ..Rules::default() };
    let Ok(mut cutter) = Cutter::new(rules) else { return };
    let (silence, tick) = (Duration::from_secs(1), scale.span(1).unwrap_or(Duration::MAX));
    let (mut lanes, mut service) = (Interleaver::new(silence, tick), Service::default());
    let (mut now, mut shift, mut pushed, mut steps) = (Monotonic::default(), 0_i64, 0_u64, Vec::new());
    cutter.set_tracks(tracks(0b0111), &mut steps).unwrap();
    service.take(None, &mut steps, &rules);
    for number in 0..4 {
        lanes.add(
            TrackNumber(number),
            [Pace::Leading, Pace::Steady, Pace::Sparse, Pace::Leading][number as usize],
        );
    }
    for act in input.acts {
        match act {
            Act::Push { track, pts, key, leading, duration, size, wait } => {
                now = now.saturating_add(Duration::from_micros(wait.into()));
                let duration = Duration::from_nanos(duration.into());
                let timing = Timing { pts: RunningTime::from_nanos(pts), key, leading, duration };
                let frame =
                    Frame { pts: Utc::from_nanos(pts.saturating_add(shift)), key, size: size as usize };
                if lanes.push(TrackNumber(u64::from(track % 5)), timing, now, frame).is_none() {
                    pushed += 1;
                }
            }
            Act::Jump(by) => shift = shift.saturating_add(by),
            Act::Advance { track, to } => {
                lanes.advance(TrackNumber(u64::from(track % 5)), RunningTime::from_nanos(to));
            }
            Act::End(track) => lanes.end(TrackNumber(u64::from(track % 5))),
            Act::Tracks(bits) => {
                assert_eq!(cutter.set_tracks(tracks(bits), &mut steps).is_err(), bits & 15 == 15);
            }
            Act::Renew(track) => cutter.renew_track(TrackNumber(u64::from(track % 5)), &mut steps),
            Act::Poll(wait) => {
                now = now.saturating_add(Duration::from_nanos(wait));
                cutter.poll(now, &mut steps);
            }
            Act::Split => cutter.split(),
            Act::Finish => cutter.finish(&mut steps),
        }
        service.take(None, &mut steps, &rules);
        drain(&mut lanes, &mut cutter, &mut service, now, &rules);
        assert!(lanes.deadline().is_none_or(|deadline| deadline.saturating_since(now) <= LONGEST_HOLD));
    }
    while let Some(deadline) = lanes.deadline() {
        let before = lanes.len();
        now = now.max(deadline);
        drain(&mut lanes, &mut cutter, &mut service, now, &rules);
        // Either something goes then, or one that was waited for is given up.
        assert!(lanes.len() < before || lanes.deadline().is_some_and(|next| next > deadline));
    }
    cutter.finish(&mut steps);
    service.take(None, &mut steps, &rules);
    assert_eq!(service.answers, pushed);
});

fn drain(
    lanes: &mut Interleaver<Frame>,
    cutter: &mut Cutter,
    service: &mut Service,
    now: Monotonic,
    rules: &Rules,
) {
    let arrival = |track, frame: &Frame| Arrival {
        track,
        pts: frame.pts,
        key: frame.key,
        size: frame.size,
        stray: false,
    };
    let mut steps = Vec::new();
    while let Some(Released { track, item, stray }) =
        lanes.pop(now, |track, frame| cutter.begins(arrival(track, frame), now))
    {
        let arrival = Arrival { stray, ..arrival(track, &item) };
        cutter.push(arrival, now, &mut steps);
        service.take(Some(arrival), &mut steps, rules);
    }
}

//! Any frames through interleaver and cutter: none is lost unsaid, and every fragment keeps the rules of the service.
#![no_main]

use std::time::Duration;

use kvs_media::fragment::{Arrival, Cutter, Interleaver, Pace, Rules, Step, Timing, TrackRule};
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
    Push { track: u8, pts: i64, dts: Option<i64>, key: bool, leading: bool, size: u32, wait: u32 },
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
                    assert!(self.open.is_none() && !tracks.is_empty());
                    (self.declared, self.latest) = (tracks, None);
                }
                Step::BeginFragment(start) => {
                    assert!(self.open.is_none() && start.ticks() >= 0);
                    self.open = Some((start.ticks(), Vec::new()));
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
    (0..4_u8).zip(kinds).filter(move |(index, _)| bits >> index & 1 == 1).map(move |(index, kind)| {
        TrackRule {
            number: TrackNumber(index.into()),
            kind,
            can_be_filled: kind != TrackKind::Video && bits >> (index + 4) & 1 == 1,
        }
    })
}

fuzz_target!(|input: Input| {
    let Some(scale) = TimecodeScale::from_nanos(input.scale) else { return };
    // Where 19 s are more ticks than a fragment can have without its latest time leaving the range.
    let rules = Rules { scale, at_key_frames: input.at_key_frames, ..Rules::default() };
    let skew = Duration::from_secs(1);
    let (mut lanes, mut cutter, mut service) =
        (Interleaver::new(skew), Cutter::new(rules), Service::default());
    let (mut now, mut shift, mut pushed, mut steps) = (Monotonic::default(), 0_i64, 0_u64, Vec::new());
    cutter.set_tracks(tracks(0b0111_0111), &mut steps);
    service.take(None, &mut steps, &rules);
    for number in 0..4 {
        lanes.add(
            TrackNumber(number),
            [Pace::Leading, Pace::Steady, Pace::Sparse, Pace::Leading][number as usize],
        );
    }
    for act in input.acts {
        match act {
            Act::Push { track, pts, dts, key, leading, size, wait } => {
                now = now.saturating_add(Duration::from_micros(wait.into()));
                let timing = Timing {
                    pts: RunningTime::from_nanos(pts),
                    dts: dts.map(RunningTime::from_nanos),
                    key,
                    leading,
                };
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
            Act::Tracks(bits) => cutter.set_tracks(tracks(bits), &mut steps),
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
        assert!(lanes.deadline().is_none_or(|deadline| deadline.saturating_since(now) <= skew));
    }
    while let Some(deadline) = lanes.deadline() {
        let before = lanes.len();
        drain(&mut lanes, &mut cutter, &mut service, now.max(deadline), &rules);
        assert!(lanes.len() < before, "nothing goes at the deadline");
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
    let mut steps = Vec::new();
    while let Some((track, Frame { pts, key, size })) = lanes.pop(now) {
        let arrival = Arrival { track, pts, key, size };
        cutter.push(arrival, now, &mut steps);
        service.take(Some(arrival), &mut steps, rules);
    }
}

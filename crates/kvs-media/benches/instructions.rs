//! Instructions for a thousand frames of 8 KB, counted by callgrind: the same whatever else the machine is doing.
//!
//! `cargo bench -p kvs-media --bench instructions`, with valgrind and `cargo install gungraun-runner`. A limit that
//! is broken fails the bench; what is below it is what a frame may cost.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]
// The macros qualify what they are given.
#![allow(unused_qualifications)]

mod media;

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use kvs_media::fragment::{Arrival, Cutter, Interleaver, Pace, Rules, Timing, TrackRule};
use kvs_media::mkv::Delivery;
use kvs_media::mp4::{Clip, Segment};
use kvs_media::time::TimecodeScale;
use kvs_media::time::{Monotonic, RunningTime, Utc};
use kvs_media::timing::{Place, Sample};
use kvs_media::{TrackKind, TrackNumber};
use media::{SIZE, Shown, Stored, TRACK, read, stored, stored_pair, stream, write};

const FRAMES: i64 = 1_000;

/// So many instructions a frame at the most.
fn limit(instructions: u64) -> LibraryBenchmarkConfig {
    let mut config = LibraryBenchmarkConfig::default();
    let most = instructions * u64::try_from(FRAMES).unwrap();
    config.tool(Callgrind::default().hard_limits([(EventKind::Ir, most)]));
    config
}

#[library_benchmark(setup = stream)]
#[bench::in_one_piece(args = (FRAMES), config = limit(850))]
fn read_whole(stream: Bytes) -> u64 {
    black_box(read(&stream, Delivery::Whole, usize::MAX))
}

#[library_benchmark(setup = stream)]
#[bench::in_pieces_of_64_kib(args = (FRAMES), config = limit(1_100))]
fn read_parts(stream: Bytes) -> u64 {
    black_box(read(&stream, Delivery::Parts, 65_536))
}

#[library_benchmark]
#[bench::blocks(args = (FRAMES), config = limit(300))]
fn write_heads(frames: i64) -> usize {
    black_box(write(frames))
}

#[library_benchmark]
#[bench::two_tracks(args = (FRAMES), config = limit(800))]
fn interleave_and_cut(frames: i64) -> u64 {
    let sound = TrackNumber(2);
    let mut lanes = Interleaver::new(Duration::from_secs(1), Duration::from_millis(1));
    let mut cutter = Cutter::new(Rules::default()).unwrap();
    let mut steps = Vec::with_capacity(16);
    let rule = |number, kind| TrackRule { number, kind };
    cutter.set_tracks([rule(TRACK, TrackKind::Video), rule(sound, TrackKind::Audio)], &mut steps).unwrap();
    lanes.add(TRACK, Pace::Leading);
    lanes.add(sound, Pace::Steady);
    for index in 0..frames / 2 {
        let nanos = index * 33_000_000;
        let now = Monotonic::from_nanos(nanos.unsigned_abs());
        for track in [TRACK, sound] {
            let _ =
                lanes.push(track, Timing::at(RunningTime::from_nanos(nanos)), now, (nanos, index % 30 == 0));
        }
        let arrival = |track, &(nanos, key): &(i64, bool)| Arrival {
            track,
            pts: Utc::from_nanos(nanos),
            key,
            size: SIZE,
            stray: false,
        };
        while let Some(released) = lanes.pop(now, |track, frame| cutter.begins(arrival(track, frame), now)) {
            cutter.push(arrival(released.track, &released.item), now, &mut steps);
            steps.clear();
        }
    }
    black_box(cutter.counts().frames)
}

// A segment's head: when each frame is decoded, and its row.
#[library_benchmark(setup = stored)]
#[bench::pictures_in_order(args = (Shown::InOrder), config = limit(170))]
#[bench::pictures_reordered(args = (Shown::Reordered), config = limit(270))]
#[bench::sound(args = (Shown::Sound), config = limit(200))]
fn segment_head(stored: Stored) -> usize {
    let segment = Segment::new(&stored.track, stored.place, stored.samples.iter().copied()).unwrap();
    black_box(segment.head(1)).len()
}

// A progressive file's head, of as many frames of sound as of pictures by turns, in fragments of 60.
#[library_benchmark(setup = stored_pair)]
#[bench::two_tracks(args = (Shown::Reordered), config = limit(960))]
fn clip_head([pictures, sound]: [Stored; 2]) -> u64 {
    let mut clip = Clip::new(&[&pictures.track, &sound.track]).unwrap();
    let pairs = pictures.samples.chunks(30).zip(sound.samples.chunks(30)).take(33);
    for (fragment, (pictures, sound)) in pairs.enumerate() {
        let start = Duration::from_millis(fragment as u64 * 1_000);
        let by_turns = pictures.iter().zip(sound).flat_map(|(picture, sound)| [(0, *picture), (1, *sound)]);
        let earlier =
            |(track, sample): (usize, Sample)| (track, Sample { time: sample.time % 1_000, ..sample });
        clip.push(Place { start, scale: TimecodeScale::MILLISECOND, next: None }, by_turns.map(earlier))
            .unwrap();
    }
    black_box(clip.finish().unwrap()).len()
}

library_benchmark_group!(
    name = frames,
    benchmarks = [read_whole, read_parts, write_heads, interleave_and_cut, segment_head, clip_head]
);
main!(library_benchmark_groups = frames);

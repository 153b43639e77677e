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
use kvs_media::time::{Monotonic, RunningTime, Utc};
use kvs_media::{TrackKind, TrackNumber};
use media::{SIZE, TRACK, read, stream, write};

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

library_benchmark_group!(
    name = frames,
    benchmarks = [read_whole, read_parts, write_heads, interleave_and_cut]
);
main!(library_benchmark_groups = frames);

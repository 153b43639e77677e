//! What a frame costs in the reader and in the writer.
//!
//! `cargo bench -p kvs-media --bench matroska`. The goal is at most a microsecond for a frame of 8 KB and at least
//! 5 GB of payload a second. Beside it, as calibration from the same minute: copying the same bytes once.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod media;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use kvs_media::mkv::Delivery;
use media::{SIZE, read, stream, write};

const FRAMES: i64 = 8_192;

fn bench(criterion: &mut Criterion) {
    let stream = stream(FRAMES);
    let payload = FRAMES as u64 * SIZE as u64;
    for throughput in [Throughput::Bytes(payload), Throughput::Elements(FRAMES as u64)] {
        let unit = if matches!(throughput, Throughput::Bytes(_)) { "payload" } else { "frames" };
        let mut group = criterion.benchmark_group(format!("8 KB frames, {unit}"));
        group.throughput(throughput).sample_size(20);
        group.bench_function("copy once (calibration)", |bencher| {
            bencher.iter_batched_ref(
                || vec![0_u8; stream.len()],
                |room| room.copy_from_slice(black_box(&stream)),
                BatchSize::PerIteration,
            );
        });
        for (name, delivery, piece) in [
            ("read, in one piece", Delivery::Whole, usize::MAX),
            ("read whole frames, in pieces of 64 KiB", Delivery::Whole, 65_536),
            ("read parts, in pieces of 64 KiB", Delivery::Parts, 65_536),
            ("read parts, in pieces of 1460 bytes", Delivery::Parts, 1_460),
        ] {
            group.bench_function(name, |bencher| {
                bencher.iter(|| assert_eq!(read(&stream, delivery, piece), payload));
            });
        }
        group.bench_function("write", |bencher| bencher.iter(|| write(FRAMES)));
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);

//! What a frame costs in the reader and in the writer.
//!
//! `cargo bench -p kvs-media --bench matroska`. The goal is at most a microsecond for a frame of 8 KB and at least
//! 5 GB of payload a second. Beside it, as calibration from the same minute: copying the same bytes once.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use kvs_media::mkv::{Block, Delivery, Event, Info, Limits, Reader, Writer};
use kvs_media::time::Timecode;
use kvs_media::{Track, TrackKind, TrackNumber};

const TRACK: TrackNumber = TrackNumber(1);
const FRAMES: i64 = 8_192;
const SIZE: usize = 8_192;

fn stream() -> Bytes {
    let track = Track::new(TRACK, TrackKind::Video, "V_MPEG4/ISO/AVC");
    let (mut writer, header) = Writer::new(&Info::default(), &[track]).unwrap();
    let mut out = header.to_vec();
    for index in 0..FRAMES {
        let timecode = Timecode::from_ticks(index * 33);
        if index % 60 == 0 {
            out.extend_from_slice(&writer.cluster(timecode).unwrap());
        }
        out.extend_from_slice(&writer.frame(Block::new(TRACK, timecode), SIZE).unwrap());
        out.resize(out.len() + SIZE, 7);
    }
    out.into()
}

fn read(stream: &Bytes, delivery: Delivery, piece: usize) -> u64 {
    let mut reader = Reader::new(Limits::default(), delivery);
    let mut rest = stream.clone();
    let mut payload = 0;
    while !rest.is_empty() {
        let mut piece = rest.split_to(piece.min(rest.len()));
        while let Some(event) = reader.read(&mut piece).unwrap() {
            match event {
                Event::Frame(frame) => payload += frame.payload.len() as u64,
                Event::FramePart(part) => payload += part.len() as u64,
                _ => {}
            }
        }
    }
    payload
}

fn write() -> usize {
    let track = Track::new(TRACK, TrackKind::Video, "V_MPEG4/ISO/AVC");
    let (mut writer, _) = Writer::new(&Info::default(), &[track]).unwrap();
    let mut length = 0;
    for index in 0..FRAMES {
        let timecode = Timecode::from_ticks(index * 33);
        if index % 60 == 0 {
            length += writer.cluster(timecode).unwrap().len();
        }
        length += black_box(writer.frame(Block::new(TRACK, timecode), SIZE).unwrap()).len();
    }
    length
}

fn bench(criterion: &mut Criterion) {
    let stream = stream();
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
        group.bench_function("write", |bencher| bencher.iter(write));
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);

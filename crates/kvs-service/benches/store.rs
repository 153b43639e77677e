//! The store in figures, beside what the machine does in the same minute. `cargo bench -p kvs-service --bench store`
//!
//! CPU is user and system time of the whole process. The restart is that of a process that was aborted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use bytes::Bytes;
use kvs_media::time::Utc;
use kvs_service::store::{
    After, Between, Commit, FrameEntry, FrameIndexWriter, Number, Settings, Store, StreamId, Upload,
};

const MB: usize = 1_000_000;
const FILL: &str = "KVS_STORE_BENCH_FILL";

fn main() {
    if let Some(folder) = std::env::var_os(FILL) {
        fill(Path::new(&folder), fragments());
    }
    let mut out = std::io::stdout();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let root = PathBuf::from(
        std::env::var_os("KVS_BENCH_FOLDER")
            .unwrap_or_else(|| concat!(env!("CARGO_TARGET_TMPDIR"), "/store").into()),
    );
    let _ = std::fs::remove_dir_all(&root);
    std::fs::create_dir_all(&root).unwrap();
    writeln!(out, "load {}", load.trim()).unwrap();
    for (name, value) in [calibrate(&root), ingest(&root), latency(&root), index(&root)].concat() {
        writeln!(out, "{name:<62} {value}").unwrap();
    }
    let _ = std::fs::remove_dir_all(&root);
}

type Rows = Vec<(String, String)>;

fn fragments() -> u64 {
    std::env::var("KVS_BENCH_FRAGMENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000)
}

/// CPU of this process in milliseconds: user and system.
fn cpu() -> [f64; 2] {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    [11, 12].map(|field: usize| fields[field].parse::<f64>().unwrap() * 10.0)
}

fn per_mb(name: &str, bytes: usize, work: impl FnOnce()) -> (String, String) {
    let (before, started) = (cpu(), Instant::now());
    work();
    #[allow(clippy::cast_precision_loss)]
    let megabytes = bytes as f64 / MB as f64;
    let (after, wall) = (cpu(), started.elapsed().as_secs_f64());
    let [user, system] = [0, 1].map(|which: usize| (after[which] - before[which]) / megabytes);
    let value = format!(
        "{:.3} CPU-ms/MB ({user:.3} user, {system:.3} system), {:.0} MB/s",
        user + system,
        megabytes / wall
    );
    (name.to_owned(), value)
}

fn calibrate(root: &Path) -> Rows {
    let block = vec![7_u8; 64 << 10];
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32]).unwrap());
    let blocks = 16_384_usize;
    let mut sealed = block.clone();
    let seal = per_mb("calibration: AES-256-GCM, 64 KiB", blocks * block.len(), || {
        for _ in 0..blocks {
            let nonce = Nonce::assume_unique_for_key([0; 12]);
            let _ = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut sealed).unwrap();
        }
    });
    let file = std::fs::File::create(root.join("calibration")).unwrap();
    let total = 4096 * block.len();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, total as u64).unwrap();
    let write = per_mb("calibration: buffered 64 KiB writes, allocated, one sync", total, || {
        for at in 0..4096 {
            file.write_all_at(&block, (at * block.len()) as u64).unwrap();
        }
        file.sync_data().unwrap();
    });
    let mut syncs: Vec<_> = (0..50_u64)
        .map(|at| {
            for part in 0..4 {
                file.write_all_at(&block, (at * 4 + part) * block.len() as u64).unwrap();
            }
            let started = Instant::now();
            file.sync_data().unwrap();
            started.elapsed()
        })
        .collect();
    vec![seal, write, ("calibration: fdatasync of 256 KiB".into(), percentiles(&mut syncs))]
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    format!("p50 {:.1?}, p99 {:.1?}, max {:.1?}", at(50), at(99), at(100))
}

fn commit(number: Number, frames: u32) -> Commit {
    let mut index = FrameIndexWriter::new();
    for frame in 0..frames {
        let entry = FrameEntry {
            offset: u64::from(frame) * 8_200 + 7,
            size: 8_190,
            time: i32::try_from(frame * 33).unwrap(),
            track: 1,
            key: frame == 0,
            ..FrameEntry::default()
        };
        index.push(&entry).unwrap();
    }
    Commit {
        producer_time: number.server_time().unwrap(),
        length_ms: frames * 33,
        timecode: 0,
        timecode_scale: 1_000_000,
        header: Bytes::from_static(&[3; 400]),
        tags: Bytes::new(),
        frames: index.finish(),
    }
}

fn now(step: u64) -> Utc {
    Utc::from_millis(1_800_000_000_000 + i64::try_from(step).unwrap()).unwrap()
}

/// Streams in parallel, each with one piece on its way, as producers behave.
fn ingest(root: &Path) -> Rows {
    const STREAMS: usize = 20;
    const PIECES: usize = 8;
    let rounds = 100;
    let (store, _) = Store::open(&root.join("ingest"), None, &Settings::default()).unwrap();
    let streams: Vec<_> =
        (0..STREAMS).map(|n| store.create_stream(&format!("s{n}"), None, b"").unwrap().id).collect();
    let piece = Bytes::from(vec![5_u8; 60 << 10]);
    let bytes = STREAMS * PIECES * rounds * piece.len();
    let (sender, answers) = mpsc::channel();
    let row = per_mb("ingest: 20 streams, 480 KiB fragments, durable", bytes, || {
        let begin = |stream: StreamId, step| {
            store
                .begin(stream, store.numbering(stream, Utc::EPOCH).unwrap().next(now(step), 1, false))
                .unwrap()
        };
        let mut uploads: Vec<Option<Upload>> = streams.iter().map(|stream| Some(begin(*stream, 0))).collect();
        let mut done = [0; STREAMS];
        for (n, upload) in uploads.iter_mut().enumerate() {
            let sender = sender.clone();
            upload
                .as_mut()
                .unwrap()
                .write(piece.clone(), move |result| sender.send((n, result.map(drop))).unwrap());
        }
        let mut running = STREAMS;
        while running > 0 {
            let (n, result) = answers.recv().unwrap();
            result.unwrap();
            done[n] += 1;
            let sender = sender.clone();
            let done_one = move |result| sender.send((n, result)).unwrap();
            match done[n] % (PIECES + 1) {
                PIECES => {
                    let upload = uploads[n].take().unwrap();
                    let number = upload.number();
                    upload.commit(commit(number, 60), done_one);
                }
                0 if done[n] == (PIECES + 1) * rounds => running -= 1,
                at => {
                    let upload = uploads[n].get_or_insert_with(|| begin(streams[n], (done[n] - at) as u64));
                    upload.write(piece.clone(), move |result| done_one(result.map(drop)));
                }
            }
        }
    });
    let read = per_mb("read: whole fragments, decrypted", bytes, || {
        let mut out = Vec::new();
        for stream in &streams {
            let all = Between::Numbers(Number::FIRST, Number::LAST);
            for row in store.list(*stream, all, None, 1000).unwrap() {
                let fragment = store.fragment(&row).unwrap();
                out.clear();
                store.payload(&fragment, 0..fragment.payload, &mut out).unwrap();
            }
        }
    });
    vec![row, read]
}

/// 500 fragments a second of 64 KiB: from the commit to its completion.
fn latency(root: &Path) -> Rows {
    let (store, _) = Store::open(&root.join("latency"), None, &Settings::default()).unwrap();
    let streams: Vec<_> =
        (0..500).map(|n| store.create_stream(&format!("s{n}"), None, b"").unwrap().id).collect();
    let piece = Bytes::from(vec![5_u8; 60 << 10]);
    let (sender, answers) = mpsc::channel();
    let started = Instant::now();
    let count = 2_000_u32;
    for n in 0..count {
        let due = started + Duration::from_millis(2) * n;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let stream = streams[n as usize % streams.len()];
        let number = store.numbering(stream, Utc::EPOCH).unwrap().next(now(n.into()), 1, false);
        let mut upload = store.begin(stream, number).unwrap();
        upload.write(piece.clone(), |_| {});
        let (sender, asked) = (sender.clone(), Instant::now());
        upload.commit(commit(number, 60), move |result| {
            result.unwrap();
            sender.send(asked.elapsed()).unwrap();
        });
    }
    let mut times: Vec<_> = answers.iter().take(count as usize).collect();
    vec![("commit to completion at 500 fragments/s".into(), percentiles(&mut times))]
}

/// Writes small fragments until there are so many, and dies.
fn fill(folder: &Path, count: u64) {
    let (store, _) = Store::open(folder, None, &Settings::default()).unwrap();
    let streams: Vec<_> =
        (0..10).map(|n| store.create_stream(&format!("s{n}"), None, b"").unwrap().id).collect();
    let (sender, answers) = mpsc::channel();
    let mut under_way = 0;
    for n in 0..count {
        let stream = streams[usize::try_from(n % 10).unwrap()];
        let number = store.numbering(stream, Utc::EPOCH).unwrap().next(now(n * 200), 1, false);
        let mut upload = store.begin(stream, number).unwrap();
        upload.write(Bytes::from_static(&[1; 64]), |_| {});
        let sender = sender.clone();
        upload.commit(commit(number, 60), move |result| sender.send(result).unwrap());
        under_way += 1;
        if under_way == 4000 {
            under_way -= 1;
            answers.recv().unwrap().unwrap();
        }
    }
    for _ in 0..under_way {
        answers.recv().unwrap().unwrap();
    }
    std::process::abort();
}

fn index(root: &Path) -> Rows {
    let folder = root.join("index");
    let count = fragments();
    let started = Instant::now();
    let _ = Command::new(std::env::current_exe().unwrap()).env(FILL, &folder).status().unwrap();
    let filled = started.elapsed();
    let started = Instant::now();
    let (store, recovery) = Store::open(&folder, None, &Settings::default()).unwrap();
    let opened = started.elapsed();
    let stream = store.streams()[0].id;
    let size = std::fs::metadata(folder.join("index.redb")).unwrap();
    let all = Between::Numbers(Number::FIRST, Number::LAST);
    let middle = store.list(stream, all, None, usize::try_from(count / 20).unwrap()).unwrap();
    let after = After::from(middle.last().unwrap());
    let mut rows = vec![
        (format!("{count} fragments written one block each"), format!("{filled:.1?}")),
        (
            "restart after abort".into(),
            format!(
                "{opened:.1?}, {} fragments taken up from {} segments",
                recovery.fragments, recovery.segments
            ),
        ),
        (
            "index on disk, bytes per fragment".into(),
            format!("{} ({} long)", size.blocks() * 512 / count, size.len() / count),
        ),
    ];
    for (name, between) in [
        ("number", all),
        ("producer time", Between::ProducerTimes(now(0), Utc::from_nanos(i64::MAX))),
        ("server time", Between::ServerTimes(now(0), Utc::from_nanos(i64::MAX))),
    ] {
        let mut times: Vec<_> = (0..200)
            .map(|_| {
                let started = Instant::now();
                assert_eq!(store.list(stream, between, Some(after), 1000).unwrap().len(), 1000);
                started.elapsed()
            })
            .collect();
        rows.push((format!("list 1,000 rows by {name}"), percentiles(&mut times)));
    }
    drop(store);
    let started = Instant::now();
    let settings = Settings { rebuild_index: true, ..Settings::default() };
    let (_store, recovery) = Store::open(&folder, None, &settings).unwrap();
    let rebuilt = format!("{:.1?}, {} fragments", started.elapsed(), recovery.fragments);
    rows.push(("index rebuilt from footers".into(), rebuilt));
    rows
}

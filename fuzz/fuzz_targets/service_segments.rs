//! Any damage to the files of a store: it opens or says why not, and what it then gives out is what was written. Any
//! records that open: it lives with them.
//!
//! Input: a byte of flags; then changes, each a byte for what it is, three for where, and two for how many bytes.
#![no_main]

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use kvs_media::time::{Monotonic, Utc};
use kvs_service::keys::{Key, Keyring};
use kvs_service::random::{Random, RandomError};
use kvs_service::store::fuzzing::{self, Forger};
use kvs_service::store::{
    Between, Commit, Disk, DiskFile, FragmentRow, FrameEntry, FrameIndexWriter, Number, RecordKind,
    SegmentId, Settings, Store, StoreError, StreamId,
};
use libfuzzer_sys::fuzz_target;

/// No file of this store is ever longer, unless damage makes it so.
const MOST_BYTES: u64 = 16 << 20;
const MOST_CHANGES: usize = 32;
const LENGTHS: [usize; 6] = [0, 1, 400, 3_000, 9_000, 70_000];

type Content = Arc<Mutex<Vec<u8>>>;

/// A disk in memory.
#[derive(Debug, Default)]
struct Memory(Mutex<BTreeMap<String, Content>>);

#[derive(Debug)]
struct MemoryFile(Content);

impl Memory {
    /// The same files, changed by themselves from here on.
    fn copy(&self) -> Self {
        let files = self.0.lock().unwrap();
        let copied = |(name, content): (&String, &Content)| {
            (name.clone(), Arc::new(Mutex::new(content.lock().unwrap().clone())))
        };
        Self(Mutex::new(files.iter().map(copied).collect()))
    }

    fn content(&self, name: &str) -> Option<Content> {
        self.0.lock().unwrap().get(name).cloned()
    }
}

impl Disk for Memory {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let content = self.content(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryFile(content)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let content = Content::default();
        if self.0.lock().unwrap().insert(name.to_owned(), Arc::clone(&content)).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(Arc::new(MemoryFile(content)))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{folder}/");
        let files = self.0.lock().unwrap();
        Ok(files.keys().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let content = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn sync_names(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn occupied(&self) -> io::Result<u64> {
        self.len()
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.0.lock().unwrap();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(content.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= MOST_BYTES);
        let end = usize::try_from(end.ok_or(io::ErrorKind::StorageFull)?).unwrap();
        let mut content = self.0.lock().unwrap();
        let length = content.len().max(end);
        content.resize(length, 0);
        content[end - bytes.len()..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        if length > MOST_BYTES {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.lock().unwrap().resize(usize::try_from(length).unwrap(), 0);
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.set_len(length.max(self.len()?))
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
        let range = within(offset)..within(offset.saturating_add(length));
        content[range].fill(0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Chance that is the same in every run.
#[derive(Debug, Default)]
struct Steps(Mutex<u64>);

impl Random for Steps {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        let mut state = self.0.lock().unwrap();
        for byte in bytes {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = state.to_be_bytes()[0];
        }
        Ok(())
    }
}

fn keyring() -> Keyring {
    Keyring::of("test", Key::new([5; 32]))
}

fn settings(rebuild_index: bool) -> Settings {
    Settings { shards: 1, segment_bytes: 100_000, rebuild_index }
}

fn open(disk: &Arc<Memory>, rebuild_index: bool) -> Result<Store, StoreError> {
    let random = Arc::new(Steps(Mutex::new(99)));
    let opened = fuzzing::open(Arc::clone(disk) as _, keyring(), random, &settings(rebuild_index));
    opened.map(|(store, _)| store)
}

/// What was written of a fragment.
struct Written {
    number: Number,
    payload: Vec<u8>,
}

fn commit(number: Number) -> Commit {
    let mut frames = FrameIndexWriter::new();
    frames.push(&FrameEntry { offset: 6, size: 10, track: 1, key: true, ..FrameEntry::default() }).unwrap();
    Commit {
        producer_time: Utc::from_nanos(number.sequence.cast_signed()),
        length_ms: 900,
        timecode: 5,
        timecode_scale: 1_000_000,
        header: Bytes::from_static(b"header"),
        tags: Bytes::from_static(b"tags"),
        frames: frames.finish(),
    }
}

/// Writes a fragment; says whether it is stored.
fn put(store: &Store, stream: StreamId, sequence: u64, length: usize) -> (Written, bool) {
    let number = Number { sequence, server_ms: 1_795_145_031_000, tail: 7 };
    let payload: Vec<u8> =
        (0..length as u64).map(|at| (at * 31 + sequence % 99 * 7).to_le_bytes()[0] | 1).collect();
    let stored = Arc::new(AtomicBool::new(false));
    if let Ok(mut upload) = store.begin(stream, number) {
        upload.write(Bytes::copy_from_slice(&payload), |_| {});
        let told = Arc::clone(&stored);
        upload.commit(commit(number), move |result| told.store(result.is_ok(), Ordering::Relaxed));
        fuzzing::turn(store, Monotonic::default());
    }
    (Written { number, payload }, stored.load(Ordering::Relaxed))
}

struct World {
    /// Sealed and open segments; the index knows all, or nothing.
    disks: [Arc<Memory>; 2],
    stream: StreamId,
    written: Vec<Written>,
    /// The segments with their bytes in use.
    segments: Vec<(String, SegmentId)>,
    forger: Forger,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    // redb panics where a page is not what it wrote; the store makes an error of it, and every other panic counts.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|location| location.file().contains("/redb-")) {
            report(panic);
        }
    }));
    let disk = Arc::new(Memory::default());
    let store = open(&disk, false).unwrap();
    let stream = store.create_stream("one", None, b"about it").unwrap().id;
    let put = |(sequence, length)| {
        let (written, stored) = put(&store, stream, sequence, length);
        assert!(stored);
        written
    };
    let written: Vec<Written> = (1..).zip(LENGTHS.into_iter().chain(LENGTHS)).map(put).collect();
    let crashed = Arc::new(disk.copy());
    drop(store);
    drop(open(&disk, false).unwrap());
    let names = disk.list("segments").unwrap();
    let id = |name: &String| SegmentId(u64::from_str_radix(name.strip_suffix(".seg").unwrap(), 16).unwrap());
    let segments: Vec<_> = names.iter().map(|name| (format!("segments/{name}"), id(name))).collect();
    let forger =
        Forger::new(Arc::new(disk.copy()), keyring(), Arc::new(Steps::default()), segments[0].1, stream);
    World { disks: [crashed, disk], stream, written, segments, forger: forger.unwrap() }
});

/// What was done to the files.
#[derive(Clone, Copy, Default)]
struct Damage {
    /// There are records that nobody wrote.
    forged: bool,
    /// The databases do not say what they said.
    databases: bool,
}

/// Changes the files.
fn damage(disk: &Memory, mut rest: &[u8]) -> Damage {
    let mut done = Damage::default();
    for _ in 0..MOST_CHANGES {
        let Some((&[what, a, b, c, high, low], tail)) = rest.split_first_chunk::<6>() else { break };
        let count = usize::from(u16::from_be_bytes([high, low]));
        let (bytes, tail) = tail.split_at(count.min(tail.len()));
        let (first, segments) = (&WORLD.segments[0].0, &WORLD.segments);
        let name = match what >> 4 {
            0..=9 => first,
            10..=12 => &segments[usize::from(what >> 4) % segments.len()].0,
            13 => "index.redb",
            14 => "catalog.redb",
            _ => first,
        };
        let Some(content) = disk.content(name) else { return done };
        done.databases |= name.ends_with(".redb");
        let mut content = content.lock().unwrap();
        let place = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let at = place % (content.len() + 1);
        let unit = at / 64 * 64;
        let end = (at + count).min(content.len());
        match what % 16 {
            0..=2 => {
                rest = tail;
                let end = (at + bytes.len()).min(content.len());
                content[at..end].copy_from_slice(&bytes[..end - at]);
                continue;
            }
            3 if at < content.len() => content[at] ^= high,
            4 => content[at..end].fill(low),
            5 => content.truncate(at),
            6 => content.resize(at + count, 0),
            7 => {
                // From another place of the same file.
                let from = unit.min(content.len());
                let part = content[from..(from + count).min(content.len())].to_vec();
                let to = (count * 64).min(content.len() - part.len());
                content[to..to + part.len()].copy_from_slice(&part);
            }
            8 => {
                let mut other = disk.content(&WORLD.segments[1].0).map(|other| match other.try_lock() {
                    Ok(other) => other.clone(),
                    Err(_) => Vec::new(),
                });
                if let Some(other) = &mut other {
                    let end = end.min(other.len()).max(at);
                    if let Some(part) = other.get(at..end) {
                        content[at..end].copy_from_slice(part);
                    }
                }
            }
            9 => {
                drop(content);
                disk.remove(name).unwrap();
            }
            kind @ 10..=12 if name == first => {
                rest = tail;
                done.forged = true;
                let kind =
                    [RecordKind::Block, RecordKind::Fragment, RecordKind::Footer][usize::from(kind) % 3];
                let record = WORLD.forger.record(kind, unit as u64, bytes).unwrap();
                let length = content.len().max(unit + record.len());
                content.resize(length, 0);
                content[unit..unit + record.len()].copy_from_slice(&record);
                continue;
            }
            13 if name == first => {
                rest = tail;
                done.forged = true;
                content.truncate(unit);
                let footer = WORLD.forger.footer(unit as u64, bytes).unwrap();
                content.extend_from_slice(&footer);
                continue;
            }
            _ => {}
        }
        rest = &rest[6..];
    }
    done
}

fn read(store: &Store, row: &FragmentRow) -> Result<Vec<u8>, StoreError> {
    let fragment = store.fragment(row)?;
    let mut out = Vec::new();
    // What a record says of itself is no reason to take memory.
    store.payload(&fragment, 0..fragment.payload.min(MOST_BYTES), &mut out)?;
    Ok(out)
}

fn check(store: &Store, damage: Damage) -> Result<(), StoreError> {
    let all = Between::Numbers(Number::FIRST, Number::LAST);
    let rows = store.list(WORLD.stream, all, None, 1_000)?;
    let mut unreadable = Vec::new();
    for row in &rows {
        match read(store, row) {
            Err(_) => unreadable.push((row.stream, row.number)),
            Ok(_) if damage.forged => {}
            Ok(payload) => {
                if row.number.sequence >= 1_000 {
                    continue;
                }
                let written = WORLD.written.iter().find(|written| written.number == row.number);
                let written = written.expect("a fragment that nobody wrote");
                assert!(payload == written.payload, "{} reads as something else", row.number);
                assert_eq!(store.fragment(row)?.commit, commit(row.number));
            }
        }
    }
    let verification = store.verify()?;
    if !damage.forged && !damage.databases {
        assert_eq!(verification.unreadable, unreadable);
    }
    // It goes on.
    let (last, stored) =
        put(store, WORLD.stream, rows.last().map_or(0, |row| row.number.sequence).saturating_add(1_000), 500);
    if stored {
        let row = store.get(WORLD.stream, last.number)?.expect("stored, and not listed");
        assert_eq!(read(store, &row)?, last.payload);
    }
    Ok(())
}

fuzz_target!(|input: &[u8]| {
    let Some((flags, changes)) = input.split_first() else { return };
    let disk = Arc::new(WORLD.disks[usize::from(flags & 1)].copy());
    let damage = damage(&disk, changes);
    // A damaged catalog opens for nobody, and says so.
    let Ok(store) = open(&disk, flags & 2 != 0) else { return };
    let _ = check(&store, damage);
    drop(store);
    if let Ok(store) = open(&disk, false) {
        let _ = check(&store, damage);
    }
});

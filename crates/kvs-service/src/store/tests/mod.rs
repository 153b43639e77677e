//! What the store promises, tried on a simulated disk and on real ones.
#![allow(clippy::cast_possible_truncation)]

mod damage;
mod folder;
mod full;
mod kill;
mod power_cut;
mod retention;
mod whole;
mod written;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use kvs_media::time::{Monotonic, Utc};

use super::sim::SimDisk;
use super::*;
use crate::files::TempFolder;
use crate::keys::{CryptError, Key, Keyring};
use crate::random::{Random, RandomError};

/// Chance that is the same in every run: splitmix64.
#[derive(Debug)]
struct Dice(Mutex<u64>);

impl Dice {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(seed)))
    }

    fn roll(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&self, bound: u64) -> u64 {
        self.roll() % bound
    }
}

impl Random for Dice {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        out.fill_with(|| self.roll().to_le_bytes()[0]);
        Ok(())
    }
}

fn keyring() -> Keyring {
    Keyring::of("test", Key::new([5; 32]))
}

fn small() -> Settings {
    Settings { shards: 2, segment_bytes: 48 << 10, rebuild_index: false }
}

fn open(disk: &SimDisk, dice: &Arc<Dice>, settings: &Settings) -> (Store, Recovery) {
    Store::open_on(Arc::new(disk.clone()), keyring(), Arc::clone(dice) as _, settings).unwrap()
}

fn utc(millis: u64) -> Utc {
    Utc::from_millis(i64::try_from(millis).unwrap()).unwrap()
}

/// Bytes that say whose they are.
fn payload(number: Number, length: usize) -> Vec<u8> {
    let seed = number.sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(number.tail);
    (0..length as u64).map(|at| (seed.rotate_left((at % 61) as u32) ^ at).to_le_bytes()[0]).collect()
}

fn commit(number: Number) -> Commit {
    let mut frames = FrameIndexWriter::new();
    frames.push(&FrameEntry { offset: 6, size: 10, track: 1, key: true, ..FrameEntry::default() }).unwrap();
    Commit {
        producer_time: utc(number.server_ms.saturating_sub(500)),
        length_ms: 1960,
        timecode: 0,
        timecode_scale: 1_000_000,
        header: Bytes::from_static(b"the header as it came"),
        tags: Bytes::from(number.sequence.to_string()),
        frames: frames.finish(),
    }
}

/// What completions said, by what was completed.
type Answers<T> = Arc<Mutex<Vec<(T, Result<(), AppendError>)>>>;

fn answer<T: Send + 'static>(
    answers: &Answers<T>,
    what: T,
) -> impl FnOnce(Result<(), AppendError>) + Send + use<T> {
    let answers = Arc::clone(answers);
    move |result| answers.lock().unwrap().push((what, result))
}

/// Puts one fragment and waits for it, without threads.
fn put(store: &Store, stream: StreamId, now: u64, length: usize) -> (Number, Result<(), AppendError>) {
    let number = store.numbering(stream, Utc::EPOCH).unwrap().next(utc(now), 7, false);
    let answers = Answers::default();
    let mut upload = store.begin(stream, number).unwrap();
    for piece in payload(number, length).chunks(10_000) {
        upload.write(Bytes::copy_from_slice(piece), |_| {});
    }
    upload.commit(commit(number), answer(&answers, ()));
    store.turn(Monotonic::from_nanos(now * 1_000_000));
    let result = answers.lock().unwrap().pop().unwrap().1;
    (number, result)
}

/// The whole payload of a fragment that is listed.
fn read(store: &Store, row: &FragmentRow) -> Result<Vec<u8>, StoreError> {
    let fragment = store.fragment(row)?;
    let mut out = Vec::new();
    store.payload(&fragment, 0..fragment.payload, &mut out)?;
    Ok(out)
}

fn all(store: &Store, stream: StreamId) -> Vec<FragmentRow> {
    store.list(stream, Between::Numbers(Number::FIRST, Number::LAST), None, usize::MAX).unwrap()
}

fn numbers(store: &Store, stream: StreamId) -> Vec<Number> {
    all(store, stream).iter().map(|row| row.number).collect()
}

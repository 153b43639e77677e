//! The service is killed under twenty producers, again and again: what it said was PERSISTED is there, as it was put,
//! and what it lists can be read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Shared with tests that need more of them.
#![allow(dead_code)]

#[path = "../command/child.rs"]
mod child;
#[path = "../../../kvs-service/tests/service/client.rs"]
mod client;
#[path = "../../../kvs-service/tests/service/media.rs"]
mod media;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use child::{Running, Scratch, answer, run};
use client::{Client, Keys};
use kvs_wire::{AckEvent, Operation};
use media::{BASE, Body, chunks};
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::Notify;

const STREAMS: u64 = 20;
const LIMITS: &str = "[limits]
control_calls = 100000
control_calls_per_stream = 100000
describe_calls = 100000
put_media_calls = 100000
put_media_fragments = 100000
fragment_metadata_points = 1000000
fragment_media_points = 1000000
";

/// What is in a fragment: known from its place, so that nothing has to be remembered of it.
fn payload(stream: u64, time: i64) -> Vec<u8> {
    let mut state = stream.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::try_from(time).unwrap();
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let length = 100 + next() % 90_000;
    (0..length.div_ceil(4)).flat_map(|_| u32::try_from(next() & 0xffff_ffff).unwrap().to_le_bytes()).collect()
}

/// Streams, and for each the numbers that were acknowledged with their times.
type Kept = BTreeMap<u64, BTreeMap<String, i64>>;

fn name(stream: u64) -> String {
    format!("cam{stream}")
}

/// Puts fragments until the service is gone. Says what it said was PERSISTED.
async fn produce(
    client: Client,
    stream: u64,
    first: i64,
    count: Arc<AtomicU64>,
    wake: Arc<Notify>,
) -> BTreeMap<String, i64> {
    let mut kept = BTreeMap::new();
    let mut put = client.put(&name(stream)).await;
    let mut body = Body::new(1);
    let (mut time, mut acked) = (first, first - 1_000);
    'session: loop {
        // A few ahead of what is acknowledged.
        while time <= acked + 4_000 {
            let bytes = body.fragment(time, &[&payload(stream, time)]);
            for piece in bytes.chunks(11_000) {
                if put.wire.try_chunk(piece).await.is_err() {
                    break 'session;
                }
            }
            time += 1_000;
        }
        match put.try_ack().await {
            Some(ack) if ack.event == AckEvent::Persisted => {
                acked = ack.fragment_timecode.unwrap();
                kept.insert(ack.fragment_number.unwrap().to_string(), acked);
                count.fetch_add(1, Ordering::Relaxed);
                wake.notify_one();
            }
            Some(ack) => assert_ne!(ack.event, AckEvent::Error, "{ack:?}"),
            None => break,
        }
    }
    kept
}

/// Everything that is listed is what was put, but for what was read before, and everything that was acknowledged is
/// listed.
async fn check(client: &Client, kept: &Kept, read: &mut BTreeSet<(u64, String)>) -> usize {
    let mut all = 0;
    for (stream, kept) in kept {
        let rows = client.fragments(&name(*stream)).await;
        let listed: Vec<&str> = rows.iter().map(|row| row["FragmentNumber"].as_str().unwrap()).collect();
        let unique: BTreeSet<&str> = listed.iter().copied().collect();
        assert_eq!(unique.len(), listed.len());
        for number in kept.keys() {
            assert!(
                unique.contains(number.as_str()),
                "{number} of stream {stream} was PERSISTED and is gone"
            );
        }
        let fresh: Vec<&str> =
            listed.iter().copied().filter(|number| read.insert((*stream, (*number).to_owned()))).collect();
        for numbers in fresh.chunks(50) {
            let asked = json!({ "StreamName": name(*stream), "Fragments": numbers });
            let mut answer = client.media(Operation::GetMediaForFragmentList, asked).await;
            let chunks = chunks(&answer.all().await);
            assert_eq!(chunks.len(), numbers.len());
            for (chunk, number) in chunks.iter().zip(numbers) {
                assert_eq!(chunk.number(), *number);
                let (_, time, _, bytes) = &chunk.frames[0];
                assert!(*bytes == payload(*stream, *time), "{number} of stream {stream} is not what was put");
                assert!(kept.get(*number).is_none_or(|kept| kept == time));
            }
        }
        all += listed.len();
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_persisted_outlives_a_kill_at_any_moment() {
    let folder = Scratch::new("killed");
    let config = folder.file("kvs.toml", LIMITS);
    let arguments = ["--config", config.to_str().unwrap()];
    let rounds = if std::env::var_os("KVS_LONG").is_some() { 200 } else { 10 };
    let mut kept: Kept = (0..STREAMS).map(|stream| (stream, BTreeMap::new())).collect();
    let (mut dice, mut read) = (7_u64, BTreeSet::new());
    for round in 0..rounds {
        let mut service = Running::serve(&folder, &arguments);
        let client = client_of(&mut service, &folder);
        if round == 0 {
            for stream in 0..STREAMS {
                client.create(&name(stream), 24).await;
            }
        }
        check(&client, &kept, &mut read).await;
        let (count, wake) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let producers: Vec<_> = (0..STREAMS)
            .map(|stream| {
                // No two rounds put the same.
                let first = BASE + i64::from(round) * 1_000_000;
                let (client, count, wake) = (client.clone(), Arc::clone(&count), Arc::clone(&wake));
                tokio::spawn(produce(client, stream, first, count, wake))
            })
            .collect();
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let enough = (dice >> 33) % 150;
        while count.load(Ordering::Relaxed) < enough {
            wake.notified().await;
        }
        // Somewhere between this fragment and the next.
        tokio::time::sleep(Duration::from_micros((dice >> 20) % 8_000)).await;
        service.signal(Signal::KILL);
        service.end();
        for (stream, producer) in producers.into_iter().enumerate() {
            kept.get_mut(&u64::try_from(stream).unwrap()).unwrap().extend(producer.await.unwrap());
        }
    }
    let mut service = Running::serve(&folder, &arguments);
    let client = client_of(&mut service, &folder);
    // And all of it once more.
    let listed = check(&client, &kept, &mut BTreeSet::new()).await;
    let acknowledged: usize = kept.values().map(BTreeMap::len).sum();
    assert!(acknowledged > 0 && listed >= acknowledged, "{listed} listed, {acknowledged} acknowledged");
    service.signal(Signal::TERM);
    assert!(service.end().0.success());
    answer(&run(&folder, &["verify", "--data", folder.data().to_str().unwrap()]));
}

fn client_of(service: &mut Running, folder: &Scratch) -> Client {
    let address = service.url().strip_prefix("http://").unwrap().parse().unwrap();
    Client { address, keys: Keys::of_folder(&folder.data()) }
}

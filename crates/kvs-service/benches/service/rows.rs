//! The rows of the table, by the names of the goals that they measure.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kvs_wire::Operation;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::child::{self, Server};
use crate::client::Wire;
use crate::load::{Film, Shared, Target, bulk, producers};
use crate::peers::{self, Nginx};
use crate::playback;
use crate::{Meter, middle, number, percentiles, row, seconds};

/// What comes before a measurement: connections, the first fragments.
const WARM: Duration = Duration::from_secs(4);
const REPEATS: usize = 5;

/// Fragments of the filled streams.
pub(crate) fn fragments() -> u64 {
    number("KVS_BENCH_FRAGMENTS", 2_000_000)
}

pub(crate) async fn all(root: &Path, wanted: impl Fn(&str) -> bool) {
    peers::calibrate(root);
    if wanted("b1") || wanted("b3") {
        many_producers(root).await;
    }
    if wanted("b2") {
        bulk_ingest(&Server::start(&root.join("b2"))).await;
    }
    if wanted("b4") {
        persisted(&Server::start(&root.join("b4"))).await;
    }
    if wanted("c1") {
        frame_to_frame(&Server::start(&root.join("c1"))).await;
    }
    if wanted("c2") {
        archive(&Server::start(&root.join("c2"))).await;
    }
    if wanted("c3") {
        live_readers(&Server::start(&root.join("c3"))).await;
    }
    if ["d1", "d2", "d4"].iter().any(|name| wanted(name)) {
        playback::all(&Server::start(&root.join("d"))).await;
    }
    if wanted("f1") || wanted("f3") {
        index(root).await;
    }
}

async fn create(server: &Server, count: usize, prefix: &str) -> Vec<String> {
    let names: Vec<_> = (0..count).map(|n| format!("{prefix}-{n}")).collect();
    for name in &names {
        let body = json!({ "StreamName": name, "DataRetentionInHours": 24 });
        server.plain.call(Operation::CreateStream, body).await;
    }
    names
}

/// CPU of a process over the time that is measured, and what this one used of its core.
async fn over_time(of: impl Fn() -> f64) -> (f64, String) {
    let this = Meter::new("self");
    let (before, own, started) = (of(), this.cpu(), Instant::now());
    sleep(seconds()).await;
    let wall = started.elapsed().as_secs_f64();
    let load = (this.cpu() - own) / wall / 10.0;
    ((of() - before) / wall, format!("load generator at {load:.0} %"))
}

fn counts() -> Vec<usize> {
    let list = std::env::var("KVS_BENCH_PRODUCERS").unwrap_or_else(|_| "50,200".to_owned());
    list.split(',').map(|count| count.trim().parse().unwrap()).collect()
}

async fn many_producers(root: &Path) {
    let film = Arc::new(Film::two_megabits());
    for count in counts() {
        let server = Server::start(&root.join(format!("b1-{count}")));
        let streams = create(&server, count, "s").await;
        let nginx = Nginx::start(&server);
        let mut own = Vec::new();
        for turn in ["nginx", "kvs", "kvs", "nginx"] {
            let tally = Shared::default();
            if turn == "nginx" {
                let Some(nginx) = &nginx else { continue };
                let tasks = producers(&nginx.tls, &streams, &film, &tally).await;
                sleep(WARM).await;
                let (cpu, load) = over_time(|| nginx.cpu()).await;
                let name = format!("calibration: nginx discards the same of {count} producers, TLS");
                let (each, record) = (cpu / count as f64, cpu / count as f64 / 30.0 * 1e3);
                row(&name, &format!("{each:.3} CPU-ms per producer-second, {record:.1} us/frame, {load}"));
                drop(tasks);
                continue;
            }
            let before = server.rss();
            let tasks = producers(&server.tls, &streams, &film, &tally).await;
            sleep(WARM).await;
            *tally.lock().unwrap() = Default::default();
            let (cpu, load) = over_time(|| server.cpu()).await;
            let each = cpu / count as f64;
            let late = tally.lock().unwrap().late;
            let value = format!(
                "{each:.3} CPU-ms per producer-second, {:.0} producers per core, {load}, late by {late:.1?} at most",
                1e3 / each
            );
            row(&format!("B1: {count} producers, 2 Mbit/s, TLS, durable, acked"), &value);
            row("    last byte to PERSISTED", &percentiles(&mut tally.lock().unwrap().persisted));
            own.push((server.rss() - before) / count as f64 / 1e6);
            let value = format!("{:.3} MB ({:.1} MB in all)", own[own.len() - 1], server.rss() / 1e6);
            row(&format!("B3: RSS per producer, {count} of them (turn {})", own.len()), &value);
            drop(tasks);
            sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn persisted(server: &Server) {
    let film = Arc::new(Film::new(8, 8_000, Duration::from_millis(500), false));
    let streams = create(server, 250, "s").await;
    for per_second in [100, 500] {
        let tally = Shared::default();
        let tasks = producers(&server.tls, &streams[..per_second / 2], &film, &tally).await;
        sleep(WARM).await;
        *tally.lock().unwrap() = Default::default();
        let (cpu, load) = over_time(|| server.cpu()).await;
        let times = percentiles(&mut tally.lock().unwrap().persisted);
        let name = format!("B4: last byte to PERSISTED, {per_second} fragments/s of 64 KB, TLS");
        row(&name, &format!("{times}; service at {:.0} %, {load}", cpu / 10.0));
        drop(tasks);
    }
}

/// CPU per MB of what fragments in bulk cost, in the order A B B A.
async fn bulk_ingest(server: &Server) {
    let film = Film::two_megabits();
    let nginx = Nginx::start(server);
    if nginx.is_none() {
        row("calibration: nginx is missing", "");
    }
    let size = (seconds().as_secs() as i64 * 25).clamp(25, 250);
    let megabytes = film.bytes() * size as f64 / 1e6;
    let kib = Some(64 << 10);
    for (what, tls, at_once, chunk) in [
        ("one, TLS, chunks of 64 KiB", true, 1, kib),
        ("four, TLS, chunks of 64 KiB", true, 4, kib),
        ("one, plain, chunks of 64 KiB", false, 1, kib),
        ("one, TLS, a chunk per frame", true, 1, None),
    ] {
        let (mut ours, mut theirs, mut rates) = (Vec::new(), Vec::new(), Vec::new());
        for repeat in 0..2 * REPEATS {
            // A B B A
            let own = matches!(repeat % 4, 1 | 2);
            let names =
                create(server, at_once, &format!("bulk-{}-{repeat}", what.replace([' ', ','], ""))).await;
            let of = |target: &Target| run_bulk(target.clone(), &names, &film, size / at_once as i64, chunk);
            let started = Instant::now();
            if own {
                let before = server.cpu();
                of(if tls { &server.tls } else { &server.plain }).await;
                ours.push((server.cpu() - before) / megabytes);
                rates.push(megabytes / started.elapsed().as_secs_f64());
            } else if let Some(nginx) = &nginx {
                let before = nginx.cpu();
                of(if tls { &nginx.tls } else { &nginx.plain }).await;
                theirs.push((nginx.cpu() - before) / megabytes);
            }
        }
        let value = format!("{}; {:.0} MB/s", beside(&mut ours, &mut theirs), middle_of(&rates));
        row(&format!("B2: bulk, {what}"), &value);
    }
    curl(server, nginx.as_ref(), &film, size).await;
}

fn middle_of(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn run_bulk(target: Target, streams: &[String], film: &Film, fragments: i64, chunk: Option<usize>) {
    futures_util::future::join_all(
        streams.iter().map(|stream| bulk(&target, stream, film, fragments, chunk)),
    )
    .await;
}

async fn curl(server: &Server, nginx: Option<&Nginx>, film: &Film, fragments: i64) {
    let (file, ca) = (server.folder.join("curl.mkv"), server.folder.join("tls-ca.pem"));
    film.write(&file, fragments);
    let megabytes = film.bytes() * fragments as f64 / 1e6;
    let (mut curls, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for (repeat, name) in create(server, 2 * REPEATS, "curl").await.iter().enumerate() {
        if matches!(repeat % 4, 1 | 2) {
            let before = server.cpu();
            let Some(cpu) = peers::curl(&server.tls, &ca, name, &file) else {
                return row("calibration: curl is missing", "");
            };
            curls.push(cpu / megabytes);
            ours.push((server.cpu() - before) / megabytes);
        } else if let Some(nginx) = nginx {
            let before = nginx.cpu();
            peers::curl(&nginx.tls, &ca, name, &file);
            theirs.push((nginx.cpu() - before) / megabytes);
        }
    }
    row("calibration: curl -T to the service, TLS", &format!("{} CPU-ms/MB in curl", middle(&mut curls)));
    row("B2: bulk, one, TLS, from curl", &beside(&mut ours, &mut theirs));
}

/// CPU per MB, and how much that is of what nginx needed.
pub(crate) fn beside(ours: &mut [f64], theirs: &mut [f64]) -> String {
    if theirs.is_empty() {
        return format!("{} CPU-ms/MB, nginx is missing", middle(ours));
    }
    let ratio = middle_of(ours) / middle_of(theirs);
    format!("{} CPU-ms/MB, {ratio:.2} x nginx ({})", middle(ours), middle(theirs))
}

async fn frame_to_frame(server: &Server) {
    let film = Arc::new(Film::two_megabits().stamped());
    let streams = create(server, 20, "s").await;
    let tally = Shared::default();
    let tasks = producers(&server.tls, &streams, &film, &tally).await;
    sleep(WARM).await;
    let mut readers = JoinSet::new();
    for stream in &streams {
        readers.spawn(server.tls.get(stream, "NOW").await.watch(Arc::clone(&tally)));
    }
    sleep(WARM).await;
    *tally.lock().unwrap() = Default::default();
    let (_, load) = over_time(|| 0.0).await;
    let times = percentiles(&mut tally.lock().unwrap().frames);
    row("C1: frame in to frame out, 20 producers and readers, TLS", &format!("{times}; {load}"));
    drop((tasks, readers));
}

async fn archive(server: &Server) {
    let film = Film::two_megabits();
    let name = &create(server, 1, "s").await[0];
    let size = (seconds().as_secs() as i64 * 40).clamp(40, 400);
    bulk(&server.tls, name, &film, size, Some(64 << 10)).await;
    let bytes = film.bytes() * size as f64;
    let (mut plain, mut tls) = (Vec::new(), Vec::new());
    for repeat in 0..2 * REPEATS {
        let secure = matches!(repeat % 4, 1 | 2);
        let target = if secure { &server.tls } else { &server.plain };
        let before = server.cpu();
        target.get(name, "EARLIEST").await.take(bytes).await;
        let each = (server.cpu() - before) / (bytes / 1e6);
        if secure { tls.push(each) } else { plain.push(each) }
    }
    row("C2: GetMedia from the archive, HTTP", &format!("{} CPU-ms/MB", middle(&mut plain)));
    row("C2: GetMedia from the archive, TLS", &format!("{} CPU-ms/MB", middle(&mut tls)));
}

async fn live_readers(server: &Server) {
    let film = Arc::new(Film::two_megabits());
    let streams = create(server, 1, "s").await;
    let tally = Shared::default();
    let tasks = producers(&server.tls, &streams, &film, &tally).await;
    sleep(WARM).await;
    let (alone, _) = over_time(|| server.cpu()).await;
    for count in [100, 300, 300, 100] {
        let mut readers = JoinSet::new();
        let before = server.rss();
        for _ in 0..count {
            readers.spawn(server.tls.get(&streams[0], "NOW").await.count(Arc::clone(&tally)));
        }
        sleep(WARM).await;
        tally.lock().unwrap().read = 0.0;
        let (cpu, load) = over_time(|| server.cpu()).await;
        let each = (cpu - alone) / f64::from(count);
        let read = tally.lock().unwrap().read / seconds().as_secs_f64() / f64::from(count) / 1e6;
        let rss = (server.rss() - before) / f64::from(count) / 1e6;
        let value = format!(
            "{each:.3} CPU-ms per reader-second, {:.0} readers per core; {read:.3} MB/s each, RSS {rss:.3} MB each, {load}",
            1e3 / each
        );
        row(&format!("C3: {count} live readers of one stream, TLS"), &value);
        drop(readers);
        sleep(Duration::from_secs(1)).await;
    }
    drop(tasks);
}

async fn index(root: &Path) {
    let folder = root.join("index");
    let server = Server::start(&folder);
    for name in child::FILLED {
        let body = json!({ "StreamName": name, "DataRetentionInHours": 24 });
        server.plain.call(Operation::CreateStream, body).await;
    }
    server.kill();
    child::run_fill(&folder);
    let server = Server::start(&folder);
    let ready = server.ready;
    row(&format!("F3: ready after SIGKILL with {} fragments", fragments()), &format!("{ready:.2?}"));
    let each = (fragments() as usize / child::FILLED.len()) as i64;
    let start = child::FILLED_FROM + each / 2 * child::FILLED_EVERY_MS / 1000;
    for kind in ["SERVER_TIMESTAMP", "PRODUCER_TIMESTAMP"] {
        let body = json!({
            "StreamName": child::FILLED[1],
            "MaxResults": 1000,
            "FragmentSelector": {
                "FragmentSelectorType": kind,
                "TimestampRange": { "StartTimestamp": start, "EndTimestamp": start + 1_000_000 },
            },
        })
        .to_string();
        let mut wire = Wire::connect(server.plain.client.address).await;
        let (before, path) = (server.cpu(), Operation::ListFragments.path());
        let mut times = Vec::new();
        for _ in 0..200 {
            let headers = server.plain.client.signed(path, &[], body.as_bytes());
            let started = Instant::now();
            wire.head("POST", path, &headers, Some(body.len())).await;
            wire.write(body.as_bytes()).await;
            let answer = wire.answer().await;
            times.push(started.elapsed());
            assert_eq!(answer.json()["Fragments"].as_array().map(Vec::len), Some(1000));
        }
        let cpu = (server.cpu() - before) / 200.0;
        let name = format!("F1: ListFragments, 1,000 rows of {each} by {kind}");
        row(&name, &format!("{}; {cpu:.2} CPU-ms", percentiles(&mut times)));
    }
}

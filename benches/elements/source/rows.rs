//! The rows of the table, by the names of the goals that they measure.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::source;
use crate::common::Bench;
use crate::common::child::{Player, cpu_of};
use crate::common::film::{LARGE, SMALL};
use crate::common::film_to_sink::sink;
use crate::common::machine::{middle, percentiles};
use crate::common::service::{REGION, Server};
use crate::common::table::{Goal, calibration, row};

const A3: Goal = Goal { id: "A3", goal: "1", stretch: "1", incumbent: "" };
const C1: Goal = Goal { id: "C1", goal: "p99 10 ms", stretch: "p99 3 ms", incumbent: "" };
/// The service's goal: what reads should not take more than what sends.
const C2: Goal = Goal { id: "C2", goal: "0.90 ms/MB", stretch: "0.75 ms/MB", incumbent: "" };

/// Seconds since 1970 at which the film begins that is read from the archive.
const BEGINS: u64 = 1_790_000_000;
/// What came within this time is not read by lists.
const SETTLES: Duration = Duration::from_secs(12);

/// Whose part the children play.
const ROLE: &str = "source";

pub(crate) fn all(bench: &Bench) {
    if bench.wants(&["C2"]) {
        archive(bench);
    }
    if bench.wants(&["C1"]) {
        live(bench);
    }
    if bench.wants(&["A3", "A4"]) {
        further_sources(bench);
    }
}

/// A recording, as fast as it goes, beside curl.
fn archive(bench: &Bench) {
    let film = LARGE.file(&bench.films);
    let megabytes = std::fs::metadata(&film).unwrap().len() as f64 / 1e6;
    let server = bench.server("c2", None);
    let stream = "recorded".to_owned();
    server.create(std::slice::from_ref(&stream));
    let begins = format!("start-time={}", BEGINS * 1_000_000_000);
    let kvs = sink(&server.url(), &server.ca(), &stream, &begins);
    let _: [f64; 3] = Player::start(&server, ROLE, &["bulk", &kvs, film.to_str().unwrap()]).said("bulk");
    std::thread::sleep(SETTLES);
    let range = format!("from={BEGINS} to={}", BEGINS + 3_600);
    for (what, url) in [("TLS", server.url()), ("in the clear", format!("http://{}", server.plain))] {
        let [mut costs, mut speeds, mut peaks, mut curls, mut ratios] = [const { Vec::new() }; 5];
        for round in 0..bench.amount(2, 6) {
            let read = || {
                let source = source(&url, &server.ca(), &stream, &range);
                let [cpu, wall, peak, frames] = Player::start(&server, ROLE, &["read", &source]).said("read");
                assert!(frames >= 7_000.0, "{frames}");
                [cpu / megabytes, megabytes / wall * 1e3, peak / 1e6]
            };
            let (curled, [cost, speed, peak]) = if round % 2 == 0 {
                let curled = curl(&server, &url, &stream);
                (curled, read())
            } else {
                let figures = read();
                (curl(&server, &url, &stream), figures)
            };
            costs.push(cost);
            speeds.push(speed);
            peaks.push(peak);
            if let Some(curled) = curled {
                curls.push(curled / megabytes);
                ratios.push(cost / curled * megabytes);
            }
        }
        let beside = format!("{} MB/s, peak RSS {} MB", middle(&mut speeds), middle(&mut peaks));
        let what = format!("archive, {what}, {megabytes:.0} MB of {}", LARGE.name);
        row(&C2, &what, &format!("{} ms/MB", middle(&mut costs)), &beside);
        if !ratios.is_empty() {
            row(&C2, "of it, to curl's of the same round", &format!("{} x curl", middle(&mut ratios)), "");
            calibration("curl of the same from GetMedia", &format!("{} ms/MB", middle(&mut curls)));
        }
    }
}

/// From the sink of one process to the pad of the source in another.
fn live(bench: &Bench) {
    for film in [SMALL, LARGE] {
        let file = film.file(&bench.films).display().to_string();
        let server = bench.server("c1", None);
        let mut late = Vec::new();
        for round in 0..bench.amount(1, 3) {
            let stream = format!("watched-{round}");
            server.create(std::slice::from_ref(&stream));
            let seconds = bench.amount(12, 30);
            let kvs = sink(&server.url(), &server.ca(), &stream, "");
            let source = source(&server.url(), &server.ca(), &stream, "start-selector=earliest");
            let mut reader = Player::start(&server, ROLE, &["watch", &source, &(seconds + 4).to_string()]);
            std::thread::sleep(Duration::from_secs(1));
            let mut camera = Player::start(&server, ROLE, &["paced", &kvs, &file, &seconds.to_string()]);
            let (sent, seen) = (camera.said_all("came"), reader.said_all("came"));
            assert!(seen.len() + 60 > sent.len(), "{} of {}", seen.len(), sent.len());
            // What came before the connections waited for them.
            let both = sent.iter().zip(&seen).skip(150);
            late.extend(both.map(|(sent, seen)| Duration::from_secs_f64((seen - sent).max(0.0))));
        }
        row(
            &C1,
            &format!("sink to source, {}", film.name),
            &percentiles(&mut late),
            "through the service, TLS",
        );
    }
}

/// Sound beside the pictures of a sink.
const SOUND: &str = "audiotestsrc is-live=true samplesperbuffer=160 ! audio/x-raw,rate=8000,channels=1 ! alawenc \
     ! queue ! sink.audio_0";

/// What one more source in the process takes: of one track, which its streaming thread brings, and of two, each of which
/// has a thread of its own behind it (decision 8).
fn further_sources(bench: &Bench) {
    further_sources_of(bench, &["video_0"], "");
    further_sources_of(bench, &["video_0", "audio_0"], SOUND);
}

/// Of these tracks, which a sink streams that has this beside its film.
fn further_sources_of(bench: &Bench, tracks: &[&str], more: &str) {
    let (from, to) = (2, 42);
    let file = SMALL.file(&bench.films).display().to_string();
    let server = bench.server(&format!("a3-{}", tracks.len()), None);
    let [mut threads, mut memories, mut costs] = [const { Vec::new() }; 3];
    for round in 0..bench.amount(1, 3) {
        let stream = format!("shared-{round}");
        server.create(std::slice::from_ref(&stream));
        let kvs = sink(&server.url(), &server.ca(), &stream, more);
        let _camera = Player::start(&server, ROLE, &["paced", &kvs, &file, "120"]);
        std::thread::sleep(Duration::from_secs(4));
        let source = source(&server.url(), &server.ca(), &stream, "");
        let (few, many, tracks) = (from.to_string(), to.to_string(), tracks.join(","));
        let mut player = Player::start(&server, ROLE, &["grow", &source, &tracks, &few, &many]);
        let [few, many]: [[f64; 3]; 2] = [player.said("grown"), player.said("grown")];
        let each = |figure: usize| (many[figure] - few[figure]) / f64::from(to - from);
        threads.push(each(0));
        memories.push(each(1) / 1e6);
        costs.push(many[2]);
    }
    let sound = if tracks.len() > 1 { " and sound" } else { "" };
    let what = format!("{} further sources, {}{sound}", to - from, SMALL.name);
    let beside =
        format!("{} MB RSS each, {} ms of CPU a second each", middle(&mut memories), middle(&mut costs));
    row(&A3, &what, &format!("{} threads each", middle(&mut threads)), &beside);
}

/// Milliseconds of CPU that curl needs to read a stream from its beginning, if it is there.
fn curl(server: &Server, url: &str, stream: &str) -> Option<f64> {
    let mut command = Command::new("taskset");
    command.args(["-c", "0", "curl", "-sS", "-f", "-o", "/dev/null", "-K", "-", "-X", "POST"]);
    command.arg("--cacert").arg(server.ca()).args(["-H", "Content-Type: application/json"]);
    command.args(["--aws-sigv4", &format!("aws:amz:{REGION}:kinesisvideo")]);
    let body = format!(r#"{{"StreamName":"{stream}","StartSelector":{{"StartSelectorType":"EARLIEST"}}}}"#);
    let mut child =
        command.args(["-d", &body]).arg(format!("{url}/getMedia")).stdin(Stdio::piped()).spawn().ok()?;
    let (id, secret) = &server.keys;
    writeln!(child.stdin.take().unwrap(), "user = \"{id}:{secret}\"").unwrap();
    Some(cpu_of(child))
}

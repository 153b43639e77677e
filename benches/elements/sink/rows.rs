//! The rows of the table, by the names of the goals that they measure.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::window::{self, Window};
use crate::common::Bench;
use crate::common::child::{Player, cpu_of};
use crate::common::film::{LARGE, SMALL};
use crate::common::film_to_sink::{FAKE, sink};
use crate::common::machine::{middle, percentiles};
use crate::common::service::{REGION, Server};
use crate::common::table::{Goal, calibration, row};

// What is held against what, from the table of goals.
const A1: Goal =
    Goal { id: "A1", goal: "0.87 x curl", stretch: "0.65 x curl", incumbent: "0.76 = 1.1 x curl" };
const A2_SMALL: Goal = Goal { id: "A2", goal: "0.50 ms/s", stretch: "0.25 ms/s", incumbent: "0.90 ms/s" };
const A2_LARGE: Goal = Goal { id: "A2", goal: "0.90 ms/s", stretch: "0.60 ms/s", incumbent: "1.64 ms/s" };
const A3: Goal = Goal { id: "A3", goal: "0", stretch: "0", incumbent: "2" };
const A4: Goal = Goal { id: "A4", goal: "0.8 MB", stretch: "0.5 MB", incumbent: "1.2 to 3 MB" };
const A6: Goal = Goal { id: "A6", goal: "6 cold, 3 warm", stretch: "3 cold, 1 warm", incumbent: "9" };
const A7: Goal = Goal { id: "A7", goal: "5 s", stretch: "0.5 s", incumbent: "up to 120 s" };
const A9: Goal = Goal { id: "A9", goal: "p99 20 ms", stretch: "p99 3 ms", incumbent: "p50 19, max 36 ms" };
const H1: Goal = Goal { id: "H1", goal: "10 MB, none", stretch: "", incumbent: "" };

/// Of the way that A6 goes, in each direction.
const DELAY: Duration = Duration::from_millis(50);

/// Whose part the children play.
const ROLE: &str = "sink";

/// What is measured together, by the names of its goals.
type Rows = (&'static [&'static str], fn(&Bench));

pub(crate) fn all(bench: &Bench) {
    let rows: [Rows; 6] = [
        (&["A1"], bulk),
        (&["A2"], real_time),
        (&["A3", "A4"], further_sinks),
        (&["A6"], round_trips),
        (&["A7"], stop),
        (&["A9"], delay),
    ];
    for (names, measure) in rows {
        if bench.wants(names) {
            measure(bench);
        }
    }
    if bench.wants(&["H1"]) {
        size(&bench.folder);
    }
}

/// As fast as it goes, beside curl, and without a sink. A scene of it tells what a start takes.
fn bulk(bench: &Bench) {
    let (scene, film) = (LARGE.scene(&bench.films), LARGE.file(&bench.films));
    let document = LARGE.matroska(&bench.films);
    let megabytes = |file: &Path| std::fs::metadata(file).unwrap().len() as f64 / 1e6;
    let (few, many) = (megabytes(&scene), megabytes(&film));
    let rounds = bench.amount(2, 6);
    let server = bench.server("a1", None);
    let streams = |round| ["film", "scene", "curl"].map(|what| format!("{what}-{round}"));
    server.create(&(0..rounds).flat_map(streams).collect::<Vec<_>>());
    let hour_ago = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - Duration::from_secs(3_600);
    let [mut all, mut marginal, mut starts, mut fakes] = [const { Vec::new() }; 4];
    let [mut speeds, mut peaks, mut curls, mut ratios] = [const { Vec::new() }; 4];
    for round in 0..rounds {
        let [film_stream, scene_stream, curl_stream] = streams(round);
        let start = format!("start-time={}", hour_ago.as_nanos());
        let kvs = |stream| sink(&server.url(), &server.ca(), stream, &start);
        let through = |sink: &str, film: &Path| {
            Player::start(&server, ROLE, &["bulk", sink, film.to_str().unwrap()]).said::<3>("bulk")
        };
        let ([mut fake, mut own, mut fake_scene, mut own_scene], mut curled) = ([[0.0; 3]; 4], None);
        // A B B A.
        let mut turns = [0, 1, 2, 3, 4];
        if round % 2 == 1 {
            turns.reverse();
        }
        for turn in turns {
            match turn {
                0 => fake = through(FAKE, &film),
                1 => own = through(&kvs(&film_stream), &film),
                2 => curled = curl(&server, &curl_stream, &document),
                3 => own_scene = through(&kvs(&scene_stream), &scene),
                _ => fake_scene = through(FAKE, &scene),
            }
        }
        let ([_, wall, peak], above) = (own, own[0] - fake[0]);
        let slope = (above - (own_scene[0] - fake_scene[0])) / (many - few);
        all.push(above / many);
        marginal.push(slope);
        starts.push(above - slope * many);
        fakes.push(fake[0] / many);
        speeds.push(many / wall * 1e3);
        peaks.push(peak / 1e6);
        if let Some(curled) = curled {
            curls.push(curled / many);
            ratios.push(above / curled);
        }
    }
    let beside = format!(
        "fakesink {} ms/MB, {} MB/s, peak RSS {} MB",
        middle(&mut fakes),
        middle(&mut speeds),
        middle(&mut peaks)
    );
    let what = format!("bulk, TLS, {many:.0} MB of 1080p 8 Mbps");
    row(&A1, &what, &format!("{} ms/MB", middle(&mut all)), &beside);
    let beside = format!("a start takes {} ms", middle(&mut starts));
    row(&A1, "of it, by the megabyte", &format!("{} ms/MB", middle(&mut marginal)), &beside);
    if !curls.is_empty() {
        row(&A1, "all of it, to curl's of the same round", &format!("{} x curl", middle(&mut ratios)), "");
        calibration("curl -T of the same, TLS", &format!("{} ms/MB", middle(&mut curls)));
    }
}

/// Many in one process.
fn real_time(bench: &Bench) {
    let cases = [(&A2_SMALL, SMALL, 40, false), (&A2_SMALL, SMALL, 40, true), (&A2_LARGE, LARGE, 10, false)];
    for (goal, film, count, phases) in cases {
        let file = film.file(&bench.films).display().to_string();
        let server = bench.server("a2", None);
        let (mut own, mut fakes, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let drain = drain();
        for round in 0..bench.amount(2, 5) {
            let streams: Vec<_> = (0..count).map(|n| format!("paced-{round}-{n}")).collect();
            server.create(&streams);
            let kvs = sink(&server.url(), &server.ca(), &format!("paced-{round}-{{n}}"), "");
            let (count, seconds) = (count.to_string(), bench.amount(8, 15).to_string());
            let phases = if phases { "phases" } else { "together" };
            let each = |sink: &str| {
                let [each] = Player::start(&server, ROLE, &["paced", sink, &file, &count, &seconds, phases])
                    .said("paced");
                each
            };
            let alone = {
                let (target, bytes) = (drain.to_string(), film.frame_bytes().to_string());
                let arguments = ["bare", &target, &count, &seconds, &bytes];
                let [alone] = Player::start(&server, ROLE, &arguments).said("bare");
                alone
            };
            let (fake, sunk) = if round % 2 == 0 {
                let fake = each(FAKE);
                (fake, each(&kvs))
            } else {
                let sunk = each(&kvs);
                (each(FAKE), sunk)
            };
            own.push(sunk - fake);
            fakes.push(fake);
            bare.push(alone);
            ratios.push((sunk - fake) / alone);
        }
        let when = if phases { "each at its own time" } else { "all at a time" };
        let what = format!("{count} x {}, {when}", film.name);
        let beside = format!("per stream; fakesink {} ms/s", middle(&mut fakes));
        row(goal, &what, &format!("{} ms/s", middle(&mut own)), &beside);
        let ratio = format!("{} x", middle(&mut ratios));
        row(goal, "of it, to the bare writes of the same round", &ratio, "one for each frame, without TLS");
        let bytes = film.frame_bytes();
        let what = format!("{count} x 30 writes of {bytes} bytes a second");
        calibration(&what, &format!("{} ms/s", middle(&mut bare)));
    }
}

/// What one more sink in the process takes.
fn further_sinks(bench: &Bench) {
    for (film, from, to) in [(SMALL, 2, 42), (LARGE, 2, 12)] {
        let file = film.file(&bench.films).display().to_string();
        let server = bench.server("a3", None);
        let (mut threads, mut memories) = (Vec::new(), Vec::new());
        for round in 0..bench.amount(1, 3) {
            let streams: Vec<_> = (0..to).map(|n| format!("grown-{round}-{n}")).collect();
            server.create(&streams);
            let kvs = sink(&server.url(), &server.ca(), &format!("grown-{round}-{{n}}"), "");
            let [fake, sunk] = [FAKE, &kvs].map(|sink| {
                let arguments = ["grow", sink, &file, &from.to_string(), &to.to_string()];
                let mut player = Player::start(&server, ROLE, &arguments);
                let [few, many]: [[f64; 2]; 2] = [player.said("grown"), player.said("grown")];
                [0, 1].map(|figure: usize| (many[figure] - few[figure]) / f64::from(to - from))
            });
            threads.push(sunk[0] - fake[0]);
            memories.push((sunk[1] - fake[1]) / 1e6);
        }
        let what = format!("{} further sinks, {}", to - from, film.name);
        row(&A3, &what, &format!("{} threads each", middle(&mut threads)), "above fakesink");
        row(&A4, &what, &format!("{} MB each", middle(&mut memories)), "RSS above fakesink");
    }
}

/// Until the first byte of media is there.
fn round_trips(bench: &Bench) {
    let file = SMALL.file(&bench.films).display().to_string();
    let window = Window::open(&bench.folder.join("a6-window"), DELAY);
    let server = bench.server("a6", Some(&window.url()));
    window.lead_to(server.plain);
    let rounds = bench.amount(1, 5);
    let streams = |round| [0, 1].map(|n| format!("started-{round}-{n}"));
    server.create(&(0..rounds).flat_map(streams).collect::<Vec<_>>());
    let (mut trips, mut waits) = ([const { Vec::new() }; 4], Vec::new());
    let way = window::round_trip(DELAY);
    calibration("a round trip through the window", &format!("{:.1} ms", way * 1e3));
    for round in 0..rounds {
        let before = window.calls().len();
        let kvs = sink(&window.url(), &window.ca, &format!("started-{round}-{{n}}"), "");
        let mut player = Player::start(&server, ROLE, &["start", &kvs, &file]);
        for trips in &mut trips {
            let [started, first_in] = player.said("started");
            let firsts = window.calls().into_iter().skip(before).filter_map(|call| call.first().copied());
            let arrived = firsts.filter(|at| *at > started).fold(f64::INFINITY, f64::min);
            trips.push((arrived - started) / way);
            waits.push((first_in - started) * 1e3);
        }
    }
    let whats = ["cold", "another stream beside it", "the same stream again", "again, when all have stopped"];
    for (what, trips) in whats.into_iter().zip(&mut trips) {
        let what = format!("round trips to the first byte, {what}");
        row(&A6, &what, &middle(trips), "0.5 of them is that byte's own way");
    }
    row(&A6, "a frame is taken after the start", &format!("{} ms", middle(&mut waits)), "");
}

/// With a network that is no more.
fn stop(bench: &Bench) {
    let file = SMALL.file(&bench.films).display().to_string();
    for (name, what) in
        [("fell", "stop, the network fell silent"), ("never", "stop, there never was a network")]
    {
        let (mut took, mut warned) = (Vec::new(), Vec::new());
        for round in 0..bench.amount(1, 3) {
            let name = format!("a7-{name}-{round}");
            let window = Window::open(&bench.folder.join(format!("{name}-window")), Duration::ZERO);
            let server = bench.server(&name, Some(&window.url()));
            window.lead_to(server.plain);
            let fell = name.contains("fell");
            if !fell {
                window.set_hole();
            }
            let kvs = sink(&window.url(), &window.ca, "stopped", "");
            let mut player = Player::start(&server, ROLE, &["stop", &kvs, &file]);
            let patience = std::time::Instant::now() + Duration::from_secs(20);
            while fell && !window.has_seen() {
                assert!(std::time::Instant::now() < patience, "no media come");
                std::thread::sleep(Duration::from_millis(20));
            }
            std::thread::sleep(Duration::from_secs(3));
            window.set_hole();
            std::thread::sleep(Duration::from_secs(2));
            player.tell("stop");
            let [seconds, warnings] = player.said("stopped");
            took.push(seconds);
            warned.push(warnings);
        }
        let beside = format!("warnings of what is not acknowledged: {}", middle(&mut warned));
        row(&A7, what, &format!("{} s", middle(&mut took)), &beside);
    }
}

/// From the sink to the service.
fn delay(bench: &Bench) {
    for film in [SMALL, LARGE] {
        let file = film.file(&bench.films).display().to_string();
        let window = Window::open(&bench.folder.join("a9-window"), Duration::ZERO);
        let server = bench.server("a9", Some(&window.url()));
        window.lead_to(server.plain);
        let mut late = Vec::new();
        for round in 0..bench.amount(1, 3) {
            let kvs = sink(&window.url(), &window.ca, &format!("watched-{round}"), "");
            let seconds = bench.amount(12, 30).to_string();
            let came = Player::start(&server, ROLE, &["watch", &kvs, &file, &seconds]).said_all("came");
            let arrived = window.calls().pop().unwrap();
            // What came before the connection waited for it.
            let both = came.iter().zip(&arrived).skip(60);
            late.extend(both.map(|(came, arrived)| Duration::from_secs_f64((arrived - came).max(0.0))));
        }
        row(
            &A9,
            &format!("sink to service, {}", film.name),
            &percentiles(&mut late),
            "through a window that ends TLS",
        );
    }
}

/// Reads and forgets, in a thread of its own.
fn drain() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((mut peer, _)) = listener.accept().await {
                tokio::spawn(async move { tokio::io::copy(&mut peer, &mut tokio::io::sink()).await });
            }
        });
    });
    address
}

/// Milliseconds of CPU that curl needs to send a file over TLS, if it is there.
fn curl(server: &Server, stream: &str, file: &Path) -> Option<f64> {
    let mut command = Command::new("taskset");
    command.args(["-c", "0", "curl", "-sS", "-f", "-o", "/dev/null", "-K", "-", "-X", "POST"]);
    command.arg("--cacert").arg(server.ca()).arg("-T").arg(file);
    command.args(["--aws-sigv4", &format!("aws:amz:{REGION}:kinesisvideo")]);
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 3_600;
    for (name, value) in [
        ("stream-name", stream),
        ("fragment-timecode-type", "RELATIVE"),
        ("fragment-acknowledgment-required", "1"),
        ("producer-start-timestamp", &start.to_string()),
    ] {
        command.arg("-H").arg(format!("x-amzn-{name}: {value}"));
    }
    let mut child = command.arg(format!("{}/putMedia", server.url())).stdin(Stdio::piped()).spawn().ok()?;
    let (id, secret) = &server.keys;
    writeln!(child.stdin.take().unwrap(), "user = \"{id}:{secret}\"").unwrap();
    Some(cpu_of(child))
}

/// The library as it is installed: optimised across crates, which Cargo does for a library of one kind only.
fn size(folder: &Path) {
    let mut build = Command::new(env!("CARGO"));
    build.args([
        "rustc",
        "--quiet",
        "--release",
        "--package",
        "gst-plugin-kvs",
        "--lib",
        "--crate-type",
        "cdylib",
    ]);
    if !build.current_dir(env!("CARGO_MANIFEST_DIR")).status().is_ok_and(|status| status.success()) {
        return row(&H1, "libgstkvs.so", "cannot be built", "");
    }
    let release = std::env::current_exe().unwrap().parent().and_then(Path::parent).map(Path::to_owned);
    let built = release.unwrap().join("libgstkvs.so");
    let stripped = folder.join("libgstkvs.so");
    let status = Command::new("strip").arg("-o").arg(&stripped).arg(&built).status();
    let Ok(true) = status.map(|status| status.success()) else {
        return row(&H1, "libgstkvs.so", "not there, or no strip", "");
    };
    let bytes = std::fs::metadata(&stripped).unwrap().len() as f64;
    let needs = Command::new("readelf").arg("-d").arg(&stripped).output().unwrap().stdout;
    let needs = String::from_utf8_lossy(&needs);
    let names = needs.lines().filter_map(|line| line.split_once("(NEEDED)")?.1.split(['[', ']']).nth(1));
    let own =
        ["libgst", "libglib", "libgobject", "libgmodule", "libgio", "libgcc_s", "libc.", "libm.", "ld-linux"];
    let names = names.filter(|name| !own.iter().any(|own| name.starts_with(own)));
    let others: Vec<_> = names.collect();
    row(
        &H1,
        "libgstkvs.so, stripped",
        &format!("{:.2} MB", bytes / 1e6),
        &format!("other libraries: {others:?}"),
    );
}

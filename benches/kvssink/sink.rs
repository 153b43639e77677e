//! What is measured: pipelines in a process of their own, which says what they took.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gst::prelude::*;

use crate::service::{REGION, Server};
use crate::{ROLE, now};

/// Connections and the first fragments, before something is measured.
const WARM: Duration = Duration::from_secs(6);
/// Nothing takes so long.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(120);
pub(crate) const FAKE: &str = "fakesink sync=false async=false";

/// A sink as a pipeline describes it: `{n}` is the pipeline's number. `more`: other properties.
pub(crate) fn sink(url: &str, ca: &Path, stream: &str, more: &str) -> String {
    let ca = ca.display();
    format!(
        "kvssink name=sink stream-name={stream} endpoint={url} ca-file={ca} aws-region={REGION} retention-period=24 {more}"
    )
}

/// A child that runs.
pub(crate) struct Player {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Player {
    pub(crate) fn start(server: &Server, arguments: &[&str]) -> Self {
        let runner = std::env::var("KVS_BENCH_RUNNER").unwrap_or_default();
        let program = std::env::current_exe().unwrap();
        let mut words = runner.split_whitespace();
        let mut command = match words.next() {
            Some(word) => {
                let mut command = Command::new(word);
                command.args(words).arg(program);
                command
            }
            None => Command::new(program),
        };
        let (id, secret) = &server.keys;
        command
            .args(arguments)
            .envs([(ROLE, "sink"), ("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// The next figures that it says under a name.
    pub(crate) fn said<const N: usize>(&mut self, name: &str) -> [f64; N] {
        self.said_all(name).try_into().unwrap_or_else(|all| panic!("{name} {all:?}"))
    }

    pub(crate) fn said_all(&mut self, name: &str) -> Vec<f64> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some(name), "the child says {line:?}");
        words.map(|word| word.parse().unwrap()).collect()
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // A runner has something to write at its end.
        if std::env::var_os("KVS_BENCH_RUNNER").is_none() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// The child: does what its arguments say, and ends.
pub(crate) fn play() {
    gst::init().unwrap();
    gstkvs::plugin_register_static().unwrap();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["bulk", sink, film] => bulk(sink, film),
        ["paced", sink, film, count, seconds, phases] => {
            paced(sink, film, count.parse().unwrap(), seconds.parse().unwrap(), phases == "phases");
        }
        ["bare", target, count, seconds, bytes] => bare(
            target.parse().unwrap(),
            count.parse().unwrap(),
            seconds.parse().unwrap(),
            bytes.parse().unwrap(),
        ),
        ["grow", sink, film, from, to] => grow(sink, film, from.parse().unwrap(), to.parse().unwrap()),
        ["watch", sink, film, seconds] => watch(sink, film, seconds.parse().unwrap()),
        ["start", sink, film] => start(sink, film),
        ["stop", sink, film] => stop(sink, film),
        _ => panic!("{words:?}"),
    }
}

fn say(name: &str, figures: &[f64]) {
    let figures: Vec<String> = figures.iter().map(ToString::to_string).collect();
    let mut out = std::io::stdout();
    writeln!(out, "{name} {}", figures.join(" ")).unwrap();
}

/// CPU of this process in milliseconds, of threads that have ended too.
fn cpu() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec as f64 * 1e3 + spent.tv_nsec as f64 / 1e6
}

/// Bytes of memory: now, and at most so far.
fn memory() -> [f64; 2] {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    ["VmRSS:", "VmHWM:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
    })
}

fn threads() -> f64 {
    std::fs::read_dir("/proc/self/task").unwrap().count() as f64
}

fn pipeline(film: &str, between: &str, sink: &str, number: usize) -> gst::Pipeline {
    let sink = sink.replace("{n}", &number.to_string());
    let description = format!(
        "filesrc location={film} ! qtdemux ! h264parse ! video/x-h264,stream-format=avc,alignment=au {between} ! {sink}"
    );
    gst::parse::launch(&description).unwrap().downcast().unwrap()
}

/// At the pace of the film, and each a little later than the one before, if they have phases of their own.
fn paced_pipeline(film: &str, sink: &str, number: usize, phase: Duration) -> gst::Pipeline {
    pipeline(film, &format!("! identity sync=true ts-offset={}", phase.as_nanos()), sink, number)
}

/// Waits for a message of the pipeline.
fn wait<T>(pipeline: &gst::Pipeline, what: impl Fn(&gst::Message) -> Option<T>) -> T {
    let bus = pipeline.bus().unwrap();
    loop {
        let message = bus.timed_pop(PATIENCE).expect("the pipeline is silent");
        if let gst::MessageView::Error(error) = message.view() {
            panic!("{error:?}");
        }
        if let Some(found) = what(&message) {
            return found;
        }
    }
}

fn is_end(message: &gst::Message) -> Option<()> {
    (message.type_() == gst::MessageType::Eos).then_some(())
}

fn is_persisted(message: &gst::Message) -> Option<()> {
    let ack = message.structure().filter(|structure| structure.name() == "kvs-fragment-ack")?;
    (ack.get::<&str>("type").ok()? == "PERSISTED").then_some(())
}

/// Nothing was lost on the way, or the figures are not what they say.
fn check(pipelines: &[gst::Pipeline]) {
    for pipeline in pipelines {
        let Some(sink) = pipeline.by_name("sink") else { continue };
        let stats: gst::Structure = sink.property("stats");
        let count = |name: &str| stats.get::<u64>(name).unwrap();
        assert!(count("num-fragments-persisted") > 0 && count("num-frames-dropped") == 0, "{stats}");
    }
}

/// A file as fast as it goes, until the end of the stream.
fn bulk(sink: &str, film: &str) {
    let pipeline = pipeline(film, "", sink, 0);
    let started = now();
    pipeline.set_state(gst::State::Playing).unwrap();
    wait(&pipeline, is_end);
    let wall = (now() - started).as_secs_f64() * 1e3;
    check(std::slice::from_ref(&pipeline));
    pipeline.set_state(gst::State::Null).unwrap();
    say("bulk", &[cpu(), wall, memory()[1]]);
}

fn paced(sink: &str, film: &str, count: usize, seconds: u64, phases: bool) {
    let step = Duration::from_nanos(if phases { 1_000_000_000 / 30 / count as u64 } else { 0 });
    let pipelines: Vec<_> =
        (0..count).map(|number| paced_pipeline(film, sink, number, step * number as u32)).collect();
    for pipeline in &pipelines {
        pipeline.set_state(gst::State::Playing).unwrap();
    }
    std::thread::sleep(WARM);
    let (before, began) = (cpu(), now());
    std::thread::sleep(Duration::from_secs(seconds));
    let each = (cpu() - before) / (now() - began).as_secs_f64() / count as f64;
    check(&pipelines);
    say("paced", &[each]);
    // Nobody is interested in the end.
    std::process::exit(0);
}

/// What the writes alone take: as many bytes at the same moments, and nothing around them.
fn bare(target: SocketAddr, count: usize, seconds: u64, bytes: usize) {
    let mut peers: Vec<_> = (0..count).map(|_| TcpStream::connect(target).unwrap()).collect();
    peers.iter().for_each(|peer| peer.set_nodelay(true).unwrap());
    let (piece, step) = (vec![0; bytes], Duration::from_nanos(1_000_000_000 / 30 / count as u64));
    let mut round = |writes: bool| {
        let (before, began) = (cpu(), now());
        let mut turn = 0;
        while now() - began < Duration::from_secs(seconds) {
            if writes {
                peers[turn as usize % count].write_all(&piece).unwrap();
            }
            turn += 1;
            std::thread::sleep((began + step * turn).saturating_sub(now()));
        }
        (cpu() - before) / seconds as f64 / count as f64
    };
    let idle = round(false);
    let each = round(true) - idle;
    say("bare", &[each]);
}

/// Some pipelines, then more: threads and memory of each time.
fn grow(sink: &str, film: &str, from: usize, to: usize) {
    let mut pipelines = Vec::new();
    for count in [from, to] {
        while pipelines.len() < count {
            let pipeline = paced_pipeline(film, sink, pipelines.len(), Duration::ZERO);
            pipeline.set_state(gst::State::Playing).unwrap();
            pipelines.push(pipeline);
        }
        std::thread::sleep(WARM * 2);
        check(&pipelines);
        say("grown", &[threads(), memory()[0]]);
    }
    std::process::exit(0);
}

/// When each frame came to the sink.
fn watch(sink: &str, film: &str, seconds: u64) {
    let pipeline = paced_pipeline(film, sink, 0, Duration::ZERO);
    let times = came(&pipeline);
    pipeline.set_state(gst::State::Playing).unwrap();
    std::thread::sleep(Duration::from_secs(seconds));
    pipeline.set_state(gst::State::Null).unwrap();
    say("came", &times.lock().unwrap());
}

/// Seconds at which frames come to the sink.
fn came(pipeline: &gst::Pipeline) -> Arc<Mutex<Vec<f64>>> {
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&times);
    let pad = pipeline.by_name("sink").unwrap().static_pad("video_0").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        noted.lock().unwrap().push(now().as_secs_f64());
        gst::PadProbeReturn::Ok
    });
    times
}

/// Starts when nothing is known, another stream beside that, the same one again, and again when all have stopped.
fn start(sink: &str, film: &str) {
    let play = |number| {
        let pipeline = paced_pipeline(film, sink, number, Duration::ZERO);
        let times = came(&pipeline);
        let started = now().as_secs_f64();
        pipeline.set_state(gst::State::Playing).unwrap();
        wait(&pipeline, is_persisted);
        say("started", &[started, times.lock().unwrap()[0]]);
        pipeline
    };
    let end = |pipeline: &gst::Pipeline| _ = pipeline.set_state(gst::State::Null).unwrap();
    let first = play(0);
    let beside = play(1);
    end(&first);
    end(&play(0));
    end(&beside);
    end(&play(0));
}

/// Stops when it is told to, and says how long that took and how much was said about it.
fn stop(sink: &str, film: &str) {
    let pipeline = paced_pipeline(film, sink, 0, Duration::ZERO);
    pipeline.set_state(gst::State::Playing).unwrap();
    std::io::stdin().lock().read_line(&mut String::new()).unwrap();
    let bus = pipeline.bus().unwrap();
    while bus.pop().is_some() {}
    // READY first: a pipeline that goes to NULL takes its messages with it.
    let stopped = now();
    pipeline.set_state(gst::State::Ready).unwrap();
    let took = (now() - stopped).as_secs_f64();
    let warnings = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning])).count();
    pipeline.set_state(gst::State::Null).unwrap();
    say("stopped", &[took, warnings as f64]);
}

//! What is measured: pipelines in a process of their own, which says what they took.

pub(crate) mod rows;
mod window;

use std::io::{BufRead as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use gst::prelude::*;

use crate::common::child::{cpu, memory, now, say, threads};
use crate::common::film_to_sink::{bulk, came, check, is_persisted, paced_pipeline, wait};

/// Connections and the first fragments, before something is measured.
const WARM: Duration = Duration::from_secs(6);

/// The child: does what its arguments say, and ends.
pub(crate) fn play(words: &[&str]) {
    match *words {
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
    let times = came(&pipeline, "video_0");
    pipeline.set_state(gst::State::Playing).unwrap();
    std::thread::sleep(Duration::from_secs(seconds));
    pipeline.set_state(gst::State::Null).unwrap();
    say("came", &times.lock().unwrap());
}

/// Starts when nothing is known, another stream beside that, the same one again, and again when all have stopped.
fn start(sink: &str, film: &str) {
    let play = |number| {
        let pipeline = paced_pipeline(film, sink, number, Duration::ZERO);
        let times = came(&pipeline, "video_0");
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

//! What is measured: pipelines in a process of their own, which says what they took.

pub(crate) mod rows;

use std::path::Path;
use std::time::Duration;

use gst::prelude::*;

use crate::common::child::{cpu, memory, now, say, threads};
use crate::common::film_to_sink::{FAKE, bulk, came, is_end, paced_pipeline, wait};
use crate::common::service::REGION;

/// Connections and the first fragments, before something is measured.
const WARM: Duration = Duration::from_secs(8);

/// A source as a pipeline describes it. `ca`: whom it trusts, where that is asked.
pub(crate) fn source(url: &str, ca: &Path, stream: &str, more: &str) -> String {
    let ca = ca.display();
    format!("kvssrc name=source stream-name={stream} endpoint={url} ca-file={ca} aws-region={REGION} {more}")
}

/// The child: does what its arguments say, and ends.
pub(crate) fn play(words: &[&str]) {
    match *words {
        ["bulk", sink, film] => bulk(sink, film),
        ["paced", sink, film, seconds] => paced(sink, film, seconds.parse().unwrap()),
        ["read", source] => read(source),
        ["watch", source, seconds] => watch(source, seconds.parse().unwrap()),
        ["grow", source, tracks, from, to] => {
            let tracks: Vec<&str> = tracks.split(',').collect();
            grow(source, &tracks, from.parse().unwrap(), to.parse().unwrap());
        }
        _ => panic!("{words:?}"),
    }
}

fn pipeline(source: &str) -> gst::Pipeline {
    launch(&format!("{source} ! {FAKE} name=sink"))
}

/// With a sink for each of these pads.
fn pipeline_of(source: &str, pads: &[&str]) -> gst::Pipeline {
    let ways: Vec<_> = pads.iter().map(|pad| format!("source.{pad} ! {FAKE}")).collect();
    launch(&format!("{source} {}", ways.join(" ")))
}

fn launch(description: &str) -> gst::Pipeline {
    gst::parse::launch(description).unwrap().downcast().unwrap()
}

/// When each frame came to the sink.
fn paced(sink: &str, film: &str, seconds: u64) {
    let pipeline = paced_pipeline(film, sink, 0, Duration::ZERO);
    let times = came(&pipeline, "video_0");
    pipeline.set_state(gst::State::Playing).unwrap();
    std::thread::sleep(Duration::from_secs(seconds));
    pipeline.set_state(gst::State::Null).unwrap();
    say("came", &times.lock().unwrap());
}

/// All of it, as fast as it comes.
fn read(source: &str) {
    let pipeline = pipeline(source);
    let started = now();
    let times = came(&pipeline, "sink");
    pipeline.set_state(gst::State::Playing).unwrap();
    wait(&pipeline, is_end);
    let wall = (now() - started).as_secs_f64() * 1e3;
    let frames = times.lock().unwrap().len();
    pipeline.set_state(gst::State::Null).unwrap();
    say("read", &[cpu(), wall, memory()[1], frames as f64]);
}

/// When each frame comes out.
fn watch(source: &str, seconds: u64) {
    let pipeline = pipeline(source);
    let times = came(&pipeline, "sink");
    pipeline.set_state(gst::State::Playing).unwrap();
    std::thread::sleep(Duration::from_secs(seconds));
    say("came", &times.lock().unwrap());
    pipeline.set_state(gst::State::Null).unwrap();
}

/// Some sources of these tracks, then more: threads and memory of each time, and CPU a second of the last.
fn grow(source: &str, tracks: &[&str], from: usize, to: usize) {
    let mut pipelines: Vec<gst::Pipeline> = Vec::new();
    for count in [from, to] {
        while pipelines.len() < count {
            let pipeline = pipeline_of(source, tracks);
            pipeline.set_state(gst::State::Playing).unwrap();
            pipelines.push(pipeline);
        }
        std::thread::sleep(WARM);
        let (before, began) = (cpu(), now());
        std::thread::sleep(WARM);
        let each = (cpu() - before) / (now() - began).as_secs_f64() / count as f64;
        pipelines.iter().for_each(|pipeline| check(pipeline, tracks));
        say("grown", &[threads(), memory()[0], each]);
    }
    std::process::exit(0);
}

/// All of its tracks come, or the figures are not what they say.
fn check(pipeline: &gst::Pipeline, tracks: &[&str]) {
    let source = pipeline.by_name("source").unwrap();
    let stats: gst::Structure = source.property("stats");
    assert!(stats.get::<u64>("num-frames").unwrap() > 0, "{stats}");
    assert!(tracks.iter().all(|track| source.static_pad(track).is_some_and(|pad| pad.is_linked())));
}

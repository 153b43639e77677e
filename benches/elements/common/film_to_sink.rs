//! Pipelines that stream a film into a sink.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gst::prelude::*;

use crate::common::child::{cpu, memory, now, say};
use crate::common::service::REGION;

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

pub(crate) fn pipeline(film: &str, between: &str, sink: &str, number: usize) -> gst::Pipeline {
    let sink = sink.replace("{n}", &number.to_string());
    let description = format!(
        "filesrc location={film} ! qtdemux ! h264parse ! video/x-h264,stream-format=avc,alignment=au {between} ! {sink}"
    );
    gst::parse::launch(&description).unwrap().downcast().unwrap()
}

/// At the pace of the film, and each a little later than the one before, if they have phases of their own.
pub(crate) fn paced_pipeline(film: &str, sink: &str, number: usize, phase: Duration) -> gst::Pipeline {
    pipeline(film, &format!("! identity sync=true ts-offset={}", phase.as_nanos()), sink, number)
}

/// Waits for a message of the pipeline.
pub(crate) fn wait<T>(pipeline: &gst::Pipeline, what: impl Fn(&gst::Message) -> Option<T>) -> T {
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

pub(crate) fn is_end(message: &gst::Message) -> Option<()> {
    (message.type_() == gst::MessageType::Eos).then_some(())
}

pub(crate) fn is_persisted(message: &gst::Message) -> Option<()> {
    let ack = message.structure().filter(|structure| structure.name() == "kvs-fragment-ack")?;
    (ack.get::<&str>("type").ok()? == "PERSISTED").then_some(())
}

/// Nothing was lost on the way, or the figures are not what they say.
pub(crate) fn check(pipelines: &[gst::Pipeline]) {
    for pipeline in pipelines {
        let Some(sink) = pipeline.by_name("sink") else { continue };
        let stats: gst::Structure = sink.property("stats");
        let count = |name: &str| stats.get::<u64>(name).unwrap();
        assert!(count("num-fragments-persisted") > 0 && count("num-frames-dropped") == 0, "{stats}");
    }
}

/// Seconds at which frames come to the sink.
pub(crate) fn came(pipeline: &gst::Pipeline, pad: &str) -> Arc<Mutex<Vec<f64>>> {
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&times);
    let pad = pipeline.by_name("sink").unwrap().static_pad(pad).unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        noted.lock().unwrap().push(now().as_secs_f64());
        gst::PadProbeReturn::Ok
    });
    times
}

/// A file as fast as it goes, until the end of the stream.
pub(crate) fn bulk(sink: &str, film: &str) {
    let pipeline = pipeline(film, "", sink, 0);
    let started = now();
    pipeline.set_state(gst::State::Playing).unwrap();
    wait(&pipeline, is_end);
    let wall = (now() - started).as_secs_f64() * 1e3;
    check(std::slice::from_ref(&pipeline));
    pipeline.set_state(gst::State::Null).unwrap();
    say("bulk", &[cpu(), wall, memory()[1]]);
}

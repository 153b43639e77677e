//! Beside `fakesink sync=false async=false`, an application sees the same.

use gst::prelude::*;

const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(20);

/// The sinks that are compared. Nobody listens at that port: nothing that is seen here waits for the network.
const FAKE: &str = "fakesink name=k sync=false async=false";
const OURS: &str =
    "kvssink name=k endpoint=http://127.0.0.1:1 access-key=AKIDEXAMPLE secret-key=s stop-stream-timeout=0";

struct Line {
    pipeline: gst::Pipeline,
    sink: gst::Element,
}

impl Line {
    fn new(topology: &str, sink: &str) -> Self {
        super::init();
        let text = topology.replace("SINK", sink);
        let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
        let sink = pipeline.by_name("k").unwrap();
        Self { pipeline, sink }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Both sinks in the same topology, looked at in the same way, look the same.
fn compare<T: PartialEq + std::fmt::Debug>(topologies: &[&str], look: impl Fn(&Line) -> T) {
    for topology in topologies {
        let fake = look(&Line::new(topology, FAKE));
        let ours = look(&Line::new(topology, OURS));
        assert_eq!(ours, fake, "{topology}");
    }
}

const TOPOLOGIES: &[&str] = &[
    "audiotestsrc num-buffers=5 ! alawenc ! SINK",
    "audiotestsrc num-buffers=5 ! alawenc ! queue ! SINK",
    "audiotestsrc num-buffers=5 is-live=true ! alawenc ! SINK",
    "audiotestsrc num-buffers=5 is-live=true ! alawenc ! queue ! SINK",
    "videotestsrc num-buffers=5 ! video/x-raw,width=64,height=48 ! vp8enc ! tee name=t t. ! queue ! fakesink async=false sync=false t. ! queue ! SINK",
    "audiotestsrc num-buffers=5 ! alawenc ! valve drop=false ! SINK",
    "audiotestsrc num-buffers=5 ! alawenc ! input-selector ! audio/x-alaw ! SINK",
];

#[test]
fn states_change_with_the_same_results() {
    use gst::State::{Null, Paused, Playing, Ready};
    compare(TOPOLOGIES, |line| {
        let results = [Ready, Paused, Playing, Paused, Playing, Ready, Playing, Null].map(|state| {
            let asked = line.pipeline.set_state(state).unwrap();
            let (reached, current, _) = line.pipeline.state(PATIENCE);
            (asked, reached.unwrap(), current)
        });
        results.map(|(asked, reached, current)| format!("{asked:?} {reached:?} {current:?}"))
    });
}

/// The kinds of messages of the sink itself, in order, up to the pipeline's EOS.
fn messages(line: &Line) -> Vec<String> {
    let bus = line.pipeline.bus().unwrap();
    line.pipeline.set_state(gst::State::Playing).unwrap();
    let (mut said, mut tags) = (Vec::new(), false);
    loop {
        let message = bus.timed_pop(PATIENCE).expect("EOS");
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{error:?}"),
            // The network is what differs.
            gst::MessageView::Element(_) | gst::MessageView::Warning(_) => {}
            // How often, the race of source and sink decides.
            gst::MessageView::Tag(_) => tags |= message.src() == Some(line.sink.upcast_ref()),
            // Forwarded by the pipeline for all its sinks.
            gst::MessageView::StreamStart(_) => said.push("pipeline: stream-start".to_owned()),
            gst::MessageView::StateChanged(change) if message.src() == Some(line.sink.upcast_ref()) => {
                said.push(format!("{:?} {:?}", change.current(), change.pending()));
            }
            _ => {}
        }
    }
    said.sort();
    said.push(format!("tags: {tags}"));
    said
}

#[test]
fn the_same_is_said_and_the_end_comes() {
    compare(TOPOLOGIES, messages);
}

#[test]
fn queries_have_the_same_answers() {
    compare(TOPOLOGIES, |line| {
        line.pipeline.set_state(gst::State::Playing).unwrap();
        line.pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &[gst::MessageType::Eos]).unwrap();
        let mut latency = gst::query::Latency::new();
        // A fakesink without sync denies that upstream is live; ours says what upstream says.
        let latency = line.pipeline.query(&mut latency).then(|| (latency.result().1, latency.result().2));
        let mut seeking = gst::query::Seeking::new(gst::Format::Time);
        let seeking = line.sink.query(&mut seeking).then(|| seeking.result().0);
        let duration = line.sink.query_duration::<gst::ClockTime>();
        let position = line.sink.query_position::<gst::ClockTime>().is_some();
        format!("{latency:?} {seeking:?} {duration:?} {position}")
    });
}

#[test]
fn a_seek_before_the_start_and_while_it_plays_is_taken_alike() {
    compare(&TOPOLOGIES[..2], |line| {
        let seek = || line.pipeline.seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::ZERO).is_ok();
        line.pipeline.set_state(gst::State::Paused).unwrap();
        line.pipeline.state(PATIENCE).0.unwrap();
        let before = seek();
        line.pipeline.set_state(gst::State::Playing).unwrap();
        let during = seek();
        let bus = line.pipeline.bus().unwrap();
        let ended = bus.timed_pop_filtered(PATIENCE, &[gst::MessageType::Eos]).is_some();
        (before, during, ended)
    });
}

#[test]
fn an_end_by_hand_ends_a_live_pipeline_alike() {
    compare(&["audiotestsrc is-live=true ! alawenc ! SINK"], |line| {
        line.pipeline.set_state(gst::State::Playing).unwrap();
        let bus = line.pipeline.bus().unwrap();
        bus.timed_pop_filtered(PATIENCE, &[gst::MessageType::StreamStart]).unwrap();
        let sent = line.pipeline.send_event(gst::event::Eos::new());
        (sent, bus.timed_pop_filtered(PATIENCE, &[gst::MessageType::Eos]).is_some())
    });
}

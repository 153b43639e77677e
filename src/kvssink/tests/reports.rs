//! What the upload tells, as the application hears it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;
use kvs_client::upload::{
    AckReport, ConnectionReport, ConnectionState, DropReason, Dropped, Failure, FailureKind, Report,
};
use kvs_media::TrackNumber;
use kvs_media::fragment::{Discard, Repair};
use kvs_media::time::Utc;
use kvs_wire::{Ack, AckEvent};

use super::super::KvsSink;
use super::super::outlet::Upload;
use super::super::outlet::recorded::Done;
use super::{buffer, harness, upload_of};

fn playing() -> (gst_check::Harness, KvsSink, Upload, gst::Bus) {
    let (mut harness, sink) = harness("audio_%u");
    let bus = gst::Bus::new();
    sink.set_bus(Some(&bus));
    harness.set_src_caps_str("audio/x-alaw,rate=8000,channels=1");
    let upload = upload_of(&sink);
    (harness, sink, upload, bus)
}

fn elements(bus: &gst::Bus) -> Vec<gst::Structure> {
    std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Element]))
        .map(|message| message.structure().unwrap().to_owned())
        .collect()
}

fn waiting(attempts: u32) -> Report {
    Report::Connection(ConnectionReport {
        state: ConnectionState::Waiting(Duration::from_secs(1)),
        endpoint: "http://127.0.0.1:1".to_owned(),
        attempts,
        cause: Some("connection refused".to_owned()),
        request_id: None,
    })
}

fn ack() -> Report {
    let number = "91343852333182006801812051225829315333083406205".parse().unwrap();
    let ack = Ack::of(AckEvent::Persisted, 1_000, number);
    Report::Ack(AckReport { ack, begin: Utc::from_millis(1_000), after: Some(Duration::from_millis(3)) })
}

#[test]
fn a_failure_is_one_error_and_one_signal_and_the_end_of_the_flow() {
    let (mut harness, sink, upload, bus) = playing();
    let status = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&status);
    sink.connect("stream-error", false, move |values| {
        seen.fetch_add(values[1].get::<u64>().unwrap(), Ordering::Relaxed);
        None
    });
    let failure = Failure {
        kind: FailureKind::NoStream,
        message: "the stream is not there".to_owned(),
        request_id: Some("r-1".to_owned()),
    };
    upload.tell(Report::Failed(failure.clone()));
    upload.tell(Report::Failed(failure));
    let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
    let gst::MessageView::Error(error) = message.view() else { panic!() };
    assert!(error.error().matches(gst::ResourceError::NotFound));
    assert_eq!(error.error().to_string(), "DEFAULT_STREAM: the stream is not there");
    assert!(error.debug().unwrap().contains("request id r-1"));
    assert_eq!(harness.push(buffer(b"a", 0)), Err(gst::FlowError::Error));
    assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_none());
    assert_eq!(status.load(Ordering::Relaxed), 0x5200_0017);
}

fn full() -> Failure {
    Failure { kind: FailureKind::Full, message: "the buffer is full".to_owned(), request_id: None }
}

#[test]
fn a_streaming_thread_that_knows_a_failure_first_says_it_before_it_returns() {
    let (mut harness, _sink, upload, bus) = playing();
    upload.with(|inner| (inner.failed, inner.failure) = (true, Some(full())));
    assert_eq!(harness.push(buffer(b"a", 0)), Err(gst::FlowError::Error));
    let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
    let gst::MessageView::Error(error) = message.view() else { panic!() };
    assert!(error.error().matches(gst::ResourceError::NoSpaceLeft));
    upload.tell(Report::Failed(full()));
    assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_none());
}

#[test]
fn no_error_comes_out_of_a_pad_while_the_cause_is_just_being_said() {
    let (mut harness, sink, upload, _) = playing();
    upload.with(|inner| (inner.failed, inner.failure) = (true, Some(full())));
    let (says, said) = std::sync::mpsc::channel();
    let pad = sink.sink_pads().remove(0);
    let bus = gst::Bus::new();
    // What is not yet on the bus is not said.
    bus.set_sync_handler(move |_, message| {
        if message.type_() == gst::MessageType::Error {
            says.send(pad.chain(buffer(b"a", 0))).unwrap();
        }
        gst::BusSyncReply::Pass
    });
    sink.set_bus(Some(&bus));
    upload.tell(Report::Failed(full()));
    assert_eq!(said.try_recv(), Ok(Ok(gst::FlowSuccess::Ok)));
    assert_eq!(harness.push(buffer(b"b", 20)), Err(gst::FlowError::Error));
    assert!(said.try_recv().is_err());
}

#[test]
fn a_run_is_heard_and_counted_while_it_stops_and_its_counts_stay_until_the_next() {
    let (mut harness, sink, upload, bus) = playing();
    harness.push(buffer(b"a", 0)).unwrap();
    let frames = |sink: &KvsSink| sink.property::<gst::Structure>("stats").get::<u64>("num-frames-in");
    upload.with(|inner| inner.waits = true);
    let stopping = sink.clone();
    let stop = std::thread::spawn(move || stopping.set_state(gst::State::Ready));
    upload.until(|inner| inner.done.iter().any(|done| matches!(done, Done::Stopped(..))));
    elements(&bus);
    upload.tell(ack());
    assert_eq!(elements(&bus).len(), 1);
    assert_eq!(frames(&sink), Ok(1));
    upload.with(|inner| inner.waits = false);
    stop.join().unwrap().unwrap();
    assert_eq!(frames(&sink), Ok(1));
    assert_eq!(sink.property::<gst::Structure>("stats").get("connected"), Ok(false));
    sink.set_state(gst::State::Null).unwrap();
    assert_eq!(frames(&sink), Ok(1));
    sink.set_state(gst::State::Playing).unwrap();
    assert_eq!(frames(&sink), Ok(0));
}

#[test]
fn an_ack_is_a_message_and_the_incumbents_signal() {
    let (_harness, sink, upload, bus) = playing();
    let pointers = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&pointers);
    sink.connect("fragment-ack", false, move |values| {
        assert!(!values[1].get::<glib::Pointer>().unwrap().is_null());
        seen.fetch_add(1, Ordering::Relaxed);
        None
    });
    upload.tell(ack());
    let said = elements(&bus);
    assert_eq!(
        said[0].to_string(),
        "kvs-fragment-ack, type=(string)PERSISTED, \
         fragment-number=(string)91343852333182006801812051225829315333083406205, timecode=(gint64)1000, \
         time=(guint64)1000000000, after=(guint64)3000000;"
    );
    assert_eq!((said.len(), pointers.load(Ordering::Relaxed)), (1, 1));
}

#[test]
fn a_storm_is_told_in_part_and_counted() {
    let (_harness, _sink, upload, bus) = playing();
    for _ in 0..1_000 {
        upload.tell(waiting(1));
    }
    let said = elements(&bus).len();
    // A second may end in between, and another begin.
    assert!((10..=30).contains(&said), "{said} messages");
}

#[test]
fn a_connection_that_does_not_come_is_worth_a_warning_and_no_more_than_one() {
    let (_harness, _sink, upload, bus) = playing();
    upload.tell(waiting(4));
    assert!(bus.pop_filtered(&[gst::MessageType::Warning]).is_none());
    for attempts in 5..9 {
        upload.tell(waiting(attempts));
    }
    let message = bus.pop_filtered(&[gst::MessageType::Warning]).unwrap();
    let gst::MessageView::Warning(warning) = message.view() else { panic!() };
    let text = warning.error().to_string();
    assert_eq!(text, "no connection after 5 attempts, it is tried again: connection refused");
    assert!(bus.pop_filtered(&[gst::MessageType::Warning]).is_none());
}

#[test]
fn what_is_lost_and_mended_has_its_message() {
    let (_harness, _sink, upload, bus) = playing();
    upload.tell(Report::Dropped(Dropped {
        reason: DropReason::Full,
        fragments: 2,
        frames: 60,
        bytes: 1_000,
        from: Utc::EPOCH,
        to: Utc::EPOCH,
    }));
    upload.tell(Report::Repaired(Repair::Filled(TrackNumber(2))));
    upload.tell(Report::Discarded(Discard::BeforeKeyFrame));
    assert!(bus.pop_filtered(&[gst::MessageType::Warning]).is_some());
    let said: Vec<_> = elements(&bus)
        .iter()
        .map(|structure| {
            let kind = structure.get::<&str>("reason").or(structure.get("kind")).unwrap();
            format!("{} {kind}", structure.name())
        })
        .collect();
    assert_eq!(said, ["kvs-dropped full", "kvs-repaired filled", "kvs-dropped discarded"]);
}

#[test]
fn metrics_are_emitted_at_the_first_frame_and_at_key_frames_when_asked_for() {
    let (mut harness, sink) = harness("audio_%u");
    sink.set_state(gst::State::Ready).unwrap();
    sink.set_property("get-kvs-metrics", true);
    let emitted = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&emitted);
    sink.connect("stream-client-metric", false, move |values| {
        assert!(!values[1].get::<glib::Pointer>().unwrap().is_null());
        seen.fetch_add(1, Ordering::Relaxed);
        None
    });
    sink.set_state(gst::State::Playing).unwrap();
    harness.set_src_caps_str("audio/x-alaw,rate=8000,channels=1");
    for at in [0, 20, 40] {
        harness.push(buffer(b"a", at)).unwrap();
    }
    // Every frame of sound is a key frame.
    assert_eq!(emitted.load(Ordering::Relaxed), 3);
}

#[test]
fn a_voice_keeps_no_sink_alive() {
    let (harness, sink, upload, bus) = playing();
    let listener = upload.with(|inner| inner.listener.clone()).unwrap();
    let weak = sink.downgrade();
    sink.set_state(gst::State::Null).unwrap();
    // Messages know their source.
    bus.set_flushing(true);
    drop((harness, sink, bus));
    assert!(weak.upgrade().is_none());
    listener.tell(ack());
}

#[test]
fn what_a_run_that_is_over_still_tells_is_not_said_and_ends_no_other() {
    let (mut harness, sink, first, bus) = playing();
    // Somebody who is still in a call of it, such as one that asks for the statistics, keeps it.
    let run = sink.imp().run().unwrap();
    let old = first.with(|inner| inner.listener.clone()).unwrap();
    sink.set_state(gst::State::Ready).unwrap();
    sink.set_state(gst::State::Playing).unwrap();
    assert!(harness.push_event(gst::event::StreamStart::new("again")));
    harness.set_src_caps_str("audio/x-alaw,rate=8000,channels=1");
    harness.push(buffer(b"a", 0)).unwrap();
    assert!(harness.push_event(gst::event::Eos::new()));
    let said = || {
        std::iter::from_fn(|| bus.pop()).map(|message| message.type_()).find(|kind| {
            [gst::MessageType::Element, gst::MessageType::Error, gst::MessageType::Eos].contains(kind)
        })
    };
    said();
    old.tell(ack());
    old.tell(Report::Drained);
    old.tell(Report::Failed(Failure {
        kind: FailureKind::NoStream,
        message: "of old".to_owned(),
        request_id: None,
    }));
    sink.imp().expired(&run, 1);
    assert_eq!(said(), None);
    assert!(!sink.imp().run().unwrap().has_failed());
    upload_of(&sink).tell(Report::Drained);
    assert_eq!(said(), Some(gst::MessageType::Eos));
}

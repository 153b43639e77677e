//! When frames are, in UTC.

use gst::prelude::*;
use kvs_client::clock;
use kvs_media::time::Utc;

use super::super::outlet::Upload;
use super::{Line, buffer, harness, upload_of};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;

/// A sink that is set so, and plays.
fn with(properties: &[(&str, &str)]) -> (gst_check::Harness, super::KvsSink, Upload) {
    let (mut harness, sink) = harness("audio_%u");
    sink.set_state(gst::State::Ready).unwrap();
    for (name, value) in properties {
        sink.set_property_from_str(name, value);
    }
    sink.set_state(gst::State::Playing).unwrap();
    harness.set_src_caps_str("audio/x-alaw,rate=8000,channels=1");
    let upload = upload_of(&sink);
    (harness, sink, upload)
}

fn utc(upload: &Upload) -> Vec<i64> {
    upload.frames().iter().map(|(_, frame)| frame.utc.nanos()).collect()
}

fn near(one: i64, other: i64) -> bool {
    (one - other).abs() < 2 * SECOND
}

#[test]
fn sinks_of_one_pipeline_agree_to_the_millisecond() {
    let line = Line::new(
        "audiotestsrc is-live=true num-buffers=20 samplesperbuffer=441 ! alawenc ! tee name=t \
         t. ! queue ! kvssink name=k t. ! queue ! kvssink name=other",
    );
    line.set(gst::State::Playing);
    let other = line.pipeline.by_name("other").unwrap().downcast().unwrap();
    let uploads = [line.upload(), upload_of(&other)];
    for upload in &uploads {
        upload.until(|inner| inner.done.iter().any(|done| matches!(done, super::Done::Finished)));
    }
    let [one, other] = uploads.map(|upload| utc(&upload));
    assert_eq!((one.len(), other.len()), (20, 20));
    assert!(one.iter().zip(&other).all(|(one, other)| (one - other).abs() < MS), "{one:?} {other:?}");
    assert!(near(one[19], clock::utc().nanos()));
}

#[test]
fn a_reference_of_upstream_is_taken_to_the_nanosecond_and_ntp_is_another_epoch() {
    let unix = 1_790_000_000_u64 * 1_000_000_000 + 123;
    for (caps, said) in
        [("timestamp/x-unix", unix), ("timestamp/x-ntp", unix + 2_208_988_800 * 1_000_000_000)]
    {
        let (mut harness, _sink, upload) = with(&[]);
        let mut first = buffer(b"a", 0);
        let reference = gst::Caps::new_empty_simple(caps);
        gst::ReferenceTimestampMeta::add(
            first.get_mut().unwrap(),
            &reference,
            gst::ClockTime::from_nseconds(said),
            gst::ClockTime::NONE,
        );
        harness.push(first).unwrap();
        harness.push(buffer(b"b", 20)).unwrap();
        let unix = i64::try_from(unix).unwrap();
        assert_eq!(utc(&upload), [unix, unix + 20 * MS], "{caps}");
    }
}

#[test]
fn times_come_from_where_they_are_said_to() {
    let recorded = 1_700_000_000 * SECOND;
    let now = clock::utc().nanos();
    for (properties, first) in [
        (&[("start-time", "2023-11-14T22:13:20Z")][..], recorded),
        (&[("streaming-type", "offline"), ("file-start-time", "1700000000")], recorded),
        (&[("streaming-type", "offline"), ("file-start-time", "0")], 0),
        (&[("use-original-pts", "true")], 10 * SECOND),
        (&[("timestamp-source", "buffer")], 10 * SECOND),
    ] {
        let (mut harness, _sink, upload) = with(properties);
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(gst::ClockTime::from_seconds(10));
        harness.push_event(gst::event::Segment::new(&segment));
        harness.push(buffer(b"a", 10_000)).unwrap();
        harness.push(buffer(b"b", 10_020)).unwrap();
        assert_eq!(utc(&upload), [first, first + 20 * MS], "{properties:?}");
    }
    for properties in [&[("timestamp-source", "arrival")][..], &[("frame-timecodes", "false")]] {
        let (mut harness, _sink, upload) = with(properties);
        harness.push(buffer(b"a", 900_000)).unwrap();
        assert!(near(utc(&upload)[0], now), "{properties:?}");
    }
    // A recording of which nobody says when begins when the element was made.
    let (mut harness, _sink, upload) = with(&[("streaming-type", "offline")]);
    harness.push(buffer(b"a", 0)).unwrap();
    assert!(near(utc(&upload)[0], now));
}

#[test]
fn a_frame_without_a_time_follows_the_one_before_and_that_is_said() {
    let (mut harness, sink, upload) = with(&[("start-time", "0")]);
    let bus = gst::Bus::new();
    sink.set_bus(Some(&bus));
    let mut first = buffer(b"a", 100);
    first.get_mut().unwrap().set_duration(gst::ClockTime::from_mseconds(20));
    harness.push(first).unwrap();
    harness.push(buffer(b"b", None)).unwrap();
    let mut third = buffer(b"c", None);
    third.get_mut().unwrap().set_dts(gst::ClockTime::from_mseconds(140));
    harness.push(third).unwrap();
    assert_eq!(utc(&upload), [100 * MS, 120 * MS, 140 * MS]);
    let said = bus.pop_filtered(&[gst::MessageType::Element]).unwrap();
    assert_eq!(said.structure().unwrap().get::<&str>("kind").unwrap(), "interpolated");
    assert_eq!(said.structure().unwrap().get::<&str>("pad").unwrap(), "audio_0");
    assert!(bus.pop_filtered(&[gst::MessageType::Element]).is_none());
    assert_eq!(sink.property::<gst::Structure>("stats").get::<u64>("num-interpolated").unwrap(), 1);
}

#[test]
fn what_lies_before_the_segment_is_before_its_start_and_not_lost() {
    let (mut harness, _sink, upload) = with(&[("start-time", "1000000000")]);
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::from_seconds(10));
    harness.push_event(gst::event::Segment::new(&segment));
    harness.push(buffer(b"a", 9_900)).unwrap();
    assert_eq!(upload.frames()[0].1.timing.pts.nanos(), -100 * MS);
    assert_eq!(utc(&upload), [900 * MS]);
}

#[test]
fn bytes_without_times_are_when_they_come() {
    let (mut harness, _sink, upload) = with(&[]);
    harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::format::Bytes>::new()));
    harness.push(buffer(b"a", None)).unwrap();
    let [at] = utc(&upload)[..] else { panic!() };
    assert!(near(at, clock::utc().nanos()), "{}", Utc::from_nanos(at));
}

#[test]
fn a_seek_in_a_live_pipeline_does_not_turn_back_the_calendar() {
    let (mut harness, sink, upload) = with(&[]);
    // As if it had played for an hour.
    let clock = sink.clock().unwrap();
    sink.set_base_time(clock.time() - gst::ClockTime::from_seconds(3_600));
    sink.set_state(gst::State::Paused).unwrap();
    sink.set_state(gst::State::Playing).unwrap();
    harness.push(buffer(b"a", 3_600_000)).unwrap();
    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
    harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
    harness.push(buffer(b"b", 0)).unwrap();
    let [before, after] = utc(&upload)[..] else { panic!() };
    assert!(near(before, clock::utc().nanos()) && near(before, after), "{before} {after}");
}

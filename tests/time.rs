//! When a frame was, as the stream tells it afterwards.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use gst::prelude::*;
use kvs_client::clock;
use kvs_media::TrackKind;
use kvs_media::time::Utc;

use common::stored::{Frame, frames_of};
use common::{Ground, H264, Line, live_pictures, pictures, record};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
/// 2026-11-20T03:23:51.916Z, and a little.
const MOMENT: i64 = 1_795_145_031_916_400_000;

fn video(ground: &Ground, stream: &str) -> Vec<Frame> {
    frames_of(&ground.stored(stream), TrackKind::Video)
}

#[test]
fn sinks_of_one_pipeline_agree_to_the_millisecond() {
    let ground = Ground::new();
    let second = ground.sink("right").replace("name=k ", "name=second ");
    // The same frames, by ways of different length.
    let line = Line::new(&format!(
        "{} ! {H264} ! tee name=t ! queue ! {} t. ! queue min-threshold-buffers=8 ! {second}",
        live_pictures(),
        ground.sink("left"),
    ));
    let begun = clock::utc();
    line.play();
    line.until_stat("num-frames-persisted", 30);
    line.end();
    let (left, right) = (video(&ground, "left"), video(&ground, "right"));
    assert_eq!(left.len(), right.len());
    for (left, right) in left.iter().zip(&right) {
        assert!(left.payload == right.payload);
        assert!((left.utc.nanos() - right.utc.nanos()).abs() <= MS);
    }
    // And they are now.
    let first = left[0].utc.nanos() - begun.nanos();
    assert!((-MS..5 * SECOND).contains(&first), "{first}");
}

#[test]
fn sinks_of_two_pipelines_agree_where_their_clock_is_the_same() {
    let ground = Ground::new();
    let lines = ["one", "two"].map(|stream| {
        Line::new(&format!(
            "{} ! {H264} ! {} timestamp-source=pipeline-clock",
            live_pictures(),
            ground.sink(stream)
        ))
    });
    let taken = lines.each_ref().map(|line| record(&line.pad("video_0")));
    for line in &lines {
        line.play();
    }
    for line in &lines {
        line.until_stat("num-frames-in", 15);
    }
    for line in &lines {
        line.end();
    }
    let clock = lines[0].pipeline.clock().unwrap();
    let base = lines.each_ref().map(|line| line.pipeline.base_time().unwrap().nseconds() as i64);
    assert_eq!(Some(clock), lines[1].pipeline.clock());
    let ahead = [0, 1].map(|at| {
        let stream = ["one", "two"][at];
        let first = video(&ground, stream)[0].utc.nanos();
        first - taken[at].lock().unwrap()[0].running.unwrap() - base[at]
    });
    assert!((ahead[0] - ahead[1]).abs() <= 2 * MS, "{ahead:?}");
}

#[test]
fn a_recording_has_the_times_that_it_was_made_at() {
    let ground = Ground::new();
    let start = i64::try_from(1_700_000_000_u64).unwrap() * SECOND;
    for (stream, setting, begins) in [
        ("seconds", "streaming-type=offline file-start-time=1700000000".to_owned(), start),
        ("rfc", "start-time=2026-11-20T03:23:51.9164Z".to_owned(), MOMENT),
        ("nanos", format!("start-time={MOMENT}"), MOMENT),
    ] {
        let line = Line::new(&format!("{} ! {H264} ! {} {setting}", pictures(40), ground.sink(stream)));
        let taken = record(&line.pad("video_0"));
        line.play_to_the_end();
        let frames = video(&ground, stream);
        let taken = taken.lock().unwrap();
        assert_eq!(frames.len(), 40);
        for (frame, taken) in frames.iter().zip(taken.iter()) {
            assert_eq!(frame.utc.nanos(), (begins + taken.running.unwrap()).div_euclid(MS) * MS, "{stream}");
        }
        assert_eq!(line.stat("num-frames-dropped"), 0);
    }
}

/// Pushes JPEG pictures with these times (ms) and references, and returns what is stored of them.
fn push(ground: &Ground, stream: &str, buffers: &[(u64, Option<(&str, i64)>)]) -> (Line, Vec<Frame>) {
    let line = Line::new(&format!(
        "appsrc name=a format=time is-live=true caps=image/jpeg,width=8,height=8 ! {}",
        ground.sink(stream)
    ));
    line.play();
    for (number, (pts, reference)) in buffers.iter().enumerate() {
        let mut buffer = gst::Buffer::from_slice(vec![0xff, 0xd8, u8::try_from(number).unwrap()]);
        let own = buffer.get_mut().unwrap();
        own.set_pts(gst::ClockTime::from_mseconds(*pts));
        if let Some((name, nanos)) = reference {
            let caps = gst::Caps::builder(*name).build();
            let time = gst::ClockTime::from_nseconds(u64::try_from(*nanos).unwrap());
            gst::ReferenceTimestampMeta::add(own, &caps, time, gst::ClockTime::NONE);
        }
        let source = line.element("a");
        assert_eq!(source.emit_by_name::<gst::FlowReturn>("push-buffer", &[&buffer]), gst::FlowReturn::Ok);
    }
    let ended = line.element("a").emit_by_name::<gst::FlowReturn>("end-of-stream", &[]);
    assert_eq!(ended, gst::FlowReturn::Ok);
    line.until_end();
    line.assert_adds_up();
    let frames = video(ground, stream);
    (line, frames)
}

#[test]
fn what_upstream_says_of_the_calendar_is_what_is_stored() {
    let ground = Ground::new();
    const NTP: i64 = 2_208_988_800 * SECOND;
    for (stream, name, epoch) in [("unix", "timestamp/x-unix", 0), ("ntp", "timestamp/x-ntp", NTP)] {
        let at = |number: i64| MOMENT + number * 333 * MS + number * number;
        let buffers: Vec<_> = (0..20_i64)
            .map(|number| (u64::try_from(number * 333).unwrap(), Some((name, epoch + at(number)))))
            .collect();
        let (line, frames) = push(&ground, stream, &buffers);
        let times: Vec<_> = frames.iter().map(|frame| frame.utc.nanos()).collect();
        let expected: Vec<_> = (0..20).map(|number| at(number).div_euclid(MS) * MS).collect();
        assert_eq!(times, expected);
        assert_eq!(line.stat("num-calendar-moved"), 0);
    }
}

#[test]
fn times_that_go_back_are_counted_and_the_stream_goes_on() {
    let ground = Ground::new();
    for (stream, back) in [("little", 700), ("much", 5_000)] {
        let there = (0..40).map(|number| 6_000 + number * 100);
        let again = (0..40).map(|number| 10_000 - back + number * 100);
        let buffers: Vec<_> = there.chain(again).map(|time| (time, None)).collect();
        let (line, frames) = push(&ground, stream, &buffers);
        let stats = line.stats();
        assert_eq!(frames.len(), 80, "{stats}");
        assert!(line.errors().is_empty() && line.stat("num-errors") == 0, "{stats}");
        // A little is what pictures that are reordered do, and harms nobody within a fragment.
        assert_eq!(line.stat("num-went-back"), u64::from(back > 1_000), "{stats}");
        let said = line.said("kvs-repaired");
        assert_eq!(said.iter().any(|said| said.get::<&str>("kind") == Ok("time-went-back")), back > 1_000);
    }
}

#[test]
fn a_session_may_count_from_its_own_beginning() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "{} ! {H264} ! {} absolute-fragment-times=false start-time={MOMENT}",
        pictures(30),
        ground.sink("relative")
    ));
    line.play_to_the_end();
    let fragments = ground.stored("relative");
    assert_eq!(frames_of(&fragments, TrackKind::Video).len(), 30);
    assert_eq!(fragments[0].frames[0].utc, Utc::EPOCH);
}

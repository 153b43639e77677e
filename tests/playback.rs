//! What is recorded, in the players of others: ffmpeg's, and GStreamer's own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gst::prelude::*;
use kvs_media::TrackKind;
use kvs_wire::Operation;
use serde_json::{Value, json};

use common::child::{finish, text};
use common::stored::{Fragment, Frame, frames_of};
use common::{Ground, Line};

/// 2026-11-20 03:23:51, in seconds.
const START: i64 = 1_795_145_031;
const PATIENCE: Duration = Duration::from_secs(30);

/// Eight seconds of pictures in groups with B-frames, and sound; `file` gets the same pictures.
fn record(ground: &Ground, file: &Path) {
    let line = Line::new(&format!(
        "videotestsrc pattern=ball num-buffers=240 ! video/x-raw,width=320,height=240,framerate=30/1 \
         ! x264enc key-int-max=45 bframes=2 ! h264parse ! tee name=t ! queue ! {} start-time={START}000000000 \
         t. ! queue ! matroskamux ! filesink location={} \
         audiotestsrc num-buffers=375 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! k.audio_0",
        ground.sink("cam"),
        file.display()
    ));
    line.play_to_the_end();
    line.assert_adds_up();
}

fn selector() -> Value {
    json!({ "FragmentSelectorType": "PRODUCER_TIMESTAMP",
        "TimestampRange": { "StartTimestamp": START - 60, "EndTimestamp": START + 60 } })
}

/// When the frames of a kind are shown, in seconds.
fn times(stored: &[Fragment], kind: TrackKind) -> Vec<f64> {
    let seconds = |frame: &Frame| (frame.utc.nanos() - START * 1_000_000_000) as f64 / 1e9;
    frames_of(stored, kind).iter().map(seconds).collect()
}

/// The URL of a session.
fn session(ground: &Ground, operation: Operation, mut body: Value) -> String {
    body["StreamName"] = "cam".into();
    let answer = ground.call(operation, body);
    let hls = operation == Operation::GetHLSStreamingSessionURL;
    answer[if hls { "HLSStreamingSessionURL" } else { "DASHStreamingSessionURL" }]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Each way in which it can be had: as a URL, or in a file.
fn ways(ground: &Ground, folder: &Path) -> BTreeMap<&'static str, String> {
    let demand = |container: &str| {
        json!({ "PlaybackMode": "ON_DEMAND", "HLSFragmentSelector": selector(),
            "DASHFragmentSelector": selector(), "ContainerFormat": container })
    };
    let hls = Operation::GetHLSStreamingSessionURL;
    let clip =
        ground.answer(Operation::GetClip, json!({ "StreamName": "cam", "ClipFragmentSelector": selector() }));
    let file = folder.join("clip.mp4");
    std::fs::write(&file, &clip).unwrap();
    BTreeMap::from([
        ("HLS", session(ground, hls, demand("FRAGMENTED_MP4"))),
        ("TS", session(ground, hls, demand("MPEG_TS"))),
        ("DASH", session(ground, Operation::GetDASHStreamingSessionURL, demand("FRAGMENTED_MP4"))),
        ("clip", file.to_str().unwrap().to_owned()),
    ])
}

/// The times of all packets of a kind, as ffprobe reads them: decoding and presentation. One kind at a time: of DASH it
/// reads no further than to the end of the first that ends.
fn packets(place: &str, kind: &str) -> Vec<(f64, f64)> {
    let mut command = Command::new("ffprobe");
    let kind = kind.get(..1).unwrap();
    command.args([
        "-v",
        "error",
        "-select_streams",
        kind,
        "-show_entries",
        "packet=pts_time,dts_time",
        "-of",
        "json",
    ]);
    command.arg(place).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = finish(command, PATIENCE);
    assert!(output.status.success(), "{place}: {}", text(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packets = found["packets"].as_array().unwrap().iter();
    let time = |packet: &Value, name: &str| packet[name].as_str().unwrap().parse::<f64>().unwrap();
    packets.map(|packet| (time(packet, "dts_time"), time(packet, "pts_time"))).collect()
}

#[test]
fn others_read_every_frame_at_its_time() {
    let ground = Ground::new();
    let folder = tempfile::tempdir().unwrap();
    record(&ground, &folder.path().join("pictures.mkv"));
    let stored = ground.stored("cam");
    for (way, place) in ways(&ground, folder.path()) {
        let packets = BTreeMap::from(["video", "audio"].map(|kind| (kind, packets(&place, kind))));
        for (kind, name) in [(TrackKind::Video, "video"), (TrackKind::Audio, "audio")] {
            let mut shown: Vec<f64> = times(&stored, kind);
            shown.sort_by(f64::total_cmp);
            let found = &packets[name];
            assert_eq!(found.len(), shown.len(), "{way} {name}");
            assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0), "{way} {name}: decoding goes back");
            let mut times: Vec<f64> = found.iter().map(|(_, pts)| *pts).collect();
            times.sort_by(f64::total_cmp);
            // Wherever the player's zero is, everything is as far from the first as it was; sound on its own grid.
            for (time, shown) in
                times.iter().map(|time| time - times[0]).zip(shown.iter().map(|time| time - shown[0]))
            {
                assert!((time - shown).abs() < 0.0021, "{way} {name}: {time} for {shown}");
            }
        }
        // Sound and pictures begin as far apart as they did.
        let first = |name: &str| packets[name].iter().map(|(_, pts)| *pts).fold(f64::INFINITY, f64::min);
        let stored_first = |kind| times(&stored, kind).into_iter().fold(f64::INFINITY, f64::min);
        let apart = first("video") - first("audio");
        let expected = stored_first(TrackKind::Video) - stored_first(TrackKind::Audio);
        assert!((apart - expected).abs() < 0.0021, "{way}: {apart} and not {expected}");
    }
}

/// What the pictures look like, decoded.
fn pictures(place: &str) -> Vec<String> {
    let mut command = Command::new("ffmpeg");
    command.args([
        "-v",
        "error",
        "-i",
        place,
        "-map",
        "0:v",
        "-fps_mode",
        "passthrough",
        "-f",
        "framemd5",
        "-",
    ]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = finish(command, PATIENCE);
    assert!(output.status.success() && output.stderr.is_empty(), "{place}: {}", text(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

#[test]
fn decoded_pictures_are_those_that_went_in() {
    let ground = Ground::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pictures.mkv");
    record(&ground, &file);
    let expected = pictures(file.to_str().unwrap());
    assert_eq!(expected.len(), 240);
    for (way, place) in ways(&ground, folder.path()) {
        assert_eq!(pictures(&place), expected, "{way}");
    }
}

#[test]
fn a_pipeline_plays_it() {
    let ground = Ground::new();
    let folder = tempfile::tempdir().unwrap();
    record(&ground, &folder.path().join("pictures.mkv"));
    for (way, place) in ways(&ground, folder.path()) {
        let pipeline = gst::Pipeline::new();
        // GStreamer's own uridecodebin3 does not always end with a file.
        let decoder = if way == "clip" {
            let file = gst::ElementFactory::make("filesrc").property("location", &place).build().unwrap();
            let decoder = gst::ElementFactory::make("decodebin").build().unwrap();
            pipeline.add_many([&file, &decoder]).unwrap();
            file.link(&decoder).unwrap();
            decoder
        } else {
            let decoder = gst::ElementFactory::make("uridecodebin3").property("uri", &place).build().unwrap();
            pipeline.add(&decoder).unwrap();
            decoder
        };
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let (weak, seen) = (pipeline.downgrade(), Arc::clone(&counts));
        decoder.connect_pad_added(move |_, pad| {
            let Some(pipeline) = weak.upgrade() else { return };
            let caps = pad.query_caps(None);
            let kind = caps.structure(0).unwrap().name().split('/').next().unwrap().to_owned();
            let sink = gst::ElementFactory::make("fakesink")
                .property("sync", false)
                .property("async", false)
                .build()
                .unwrap();
            pipeline.add(&sink).unwrap();
            sink.sync_state_with_parent().unwrap();
            let seen = Arc::clone(&seen);
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                *seen.lock().unwrap().entry(kind.clone()).or_insert(0) += 1;
                gst::PadProbeReturn::Ok
            });
            pad.link(&sink.static_pad("sink").unwrap()).unwrap();
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        let bus = pipeline.bus().unwrap();
        let begun = Instant::now();
        let all = |counts: &BTreeMap<String, usize>| {
            counts.get("video") == Some(&240) && counts.get("audio").is_some_and(|count| *count >= 370)
        };
        loop {
            let ends = [gst::MessageType::Eos, gst::MessageType::Error];
            if let Some(ended) = bus.timed_pop_filtered(gst::ClockTime::from_mseconds(100), &ends) {
                assert_eq!(ended.type_(), gst::MessageType::Eos, "{way}: {ended:?}");
                break;
            }
            // It has everything: uridecodebin3 of GStreamer 1.22 does not always say that this was the end.
            if begun.elapsed() > Duration::from_secs(5) && all(&counts.lock().unwrap()) {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{way} does not end: {:?}", counts.lock().unwrap());
        }
        pipeline.set_state(gst::State::Null).unwrap();
        let counts = counts.lock().unwrap();
        assert_eq!(counts.get("video"), Some(&240), "{way}: {counts:?}");
        assert!(counts.get("audio").is_some_and(|count| *count >= 370), "{way}: {counts:?}");
    }
}

#[test]
fn what_is_live_goes_on() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=30/1 \
         ! x264enc tune=zerolatency key-int-max=15 ! h264parse ! {} fragment-duration=500",
        ground.sink("cam"),
    ));
    line.play();
    line.until_stat("num-fragments-persisted", 4);
    let live = json!({ "HLSFragmentSelector": { "FragmentSelectorType": "PRODUCER_TIMESTAMP" },
        "DASHFragmentSelector": { "FragmentSelectorType": "PRODUCER_TIMESTAMP" } });
    for operation in [Operation::GetHLSStreamingSessionURL, Operation::GetDASHStreamingSessionURL] {
        let url = session(&ground, operation, live.clone());
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-i", &url, "-t", "3", "-map", "0:v", "-f", "framemd5", "-"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = finish(command, PATIENCE);
        assert!(output.status.success(), "{operation}: {}", text(&output));
        let read = String::from_utf8(output.stdout).unwrap();
        let frames = read.lines().filter(|line| !line.starts_with('#')).count();
        assert!((80..=100).contains(&frames), "{operation}: {frames} frames in three seconds");
    }
}

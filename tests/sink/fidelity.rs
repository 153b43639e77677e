//! Every codec into the service and out again: the same payloads, in Matroska's form, at the same times.

use std::sync::{Arc, Mutex};

use gst::prelude::*;

use super::running::Running;
use super::stored::{Line, reach_stream, stored_in};

/// What the test itself makes of a buffer.
type Expected = fn(&[u8]) -> Vec<u8>;

const VIDEO: &str =
    "videotestsrc num-buffers=25 ! video/x-raw,format=I420,width=160,height=120,framerate=30000/1001";
const SOUND: &str = "audiotestsrc num-buffers=60 samplesperbuffer=1024";

fn as_it_is(data: &[u8]) -> Vec<u8> {
    data.to_vec()
}

/// Annex B with start codes of four bytes only, as the parser makes it, to lengths.
fn with_lengths(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let starts: Vec<_> = (0..data.len()).filter(|at| data[*at..].starts_with(&[0, 0, 1])).collect();
    for (place, start) in starts.iter().enumerate() {
        let end = starts.get(place + 1).copied().unwrap_or(data.len());
        let mut unit = &data[start + 3..end];
        while let [rest @ .., 0] = unit {
            unit = rest;
        }
        out.extend_from_slice(&u32::try_from(unit.len()).unwrap().to_be_bytes());
        out.extend_from_slice(unit);
    }
    out
}

fn without_delimiter(data: &[u8]) -> Vec<u8> {
    data.strip_prefix(&[0x12, 0]).unwrap_or(data).to_vec()
}

fn without_adts(data: &[u8]) -> Vec<u8> {
    data[7..].to_vec()
}

/// When the recording begins: a fraction of a millisecond is floored away.
const START: i64 = 1_795_145_031_916_500_000;

async fn check(running: &Running, stream: &str, source: &str, expected: Expected) {
    let sink = reach_stream(running, stream);
    let line = Line::new(&format!("{source} ! {sink} start-time={START}"));
    let came = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&came);
    let pad = line.0.by_name("k").unwrap().sink_pads().remove(0);
    let segment = Arc::new(Mutex::new(gst::FormattedSegment::<gst::ClockTime>::new()));
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::EventView::Segment(event)) = info.event().map(|event| event.view()) {
            *segment.lock().unwrap() = event.segment().clone().downcast().unwrap();
        }
        if let Some(buffer) = info.buffer() {
            let map = buffer.map_readable().unwrap();
            if !map.starts_with(b"Opus") {
                let running = match segment.lock().unwrap().to_running_time_full(buffer.pts()).unwrap() {
                    gst::Signed::Positive(time) => i64::try_from(time.nseconds()).unwrap(),
                    gst::Signed::Negative(time) => -i64::try_from(time.nseconds()).unwrap(),
                };
                seen.lock().unwrap().push(((START + running).div_euclid(1_000_000), expected(&map)));
            }
        }
        gst::PadProbeReturn::Ok
    })
    .unwrap();
    let line = line.play_to_the_end().await;
    let stored: Vec<_> = stored_in(running, stream)
        .await
        .into_iter()
        .flat_map(|chunk| chunk.frames)
        .map(|(_, time, _, payload)| (time, payload.to_vec()))
        .collect();
    let came = came.lock().unwrap();
    assert!(came.len() > 10, "{source}");
    assert_eq!(stored.len(), came.len(), "{source}");
    for (place, (stored, came)) in stored.iter().zip(came.iter()).enumerate() {
        assert_eq!(stored.0, came.0, "{source}: the time of frame {place}");
        assert!(stored.1 == came.1, "{source}: the payload of frame {place}");
    }
    drop(line);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_come_out_as_they_went_in() {
    let running = Running::start().await;
    let x264 = "x264enc key-int-max=8 speed-preset=ultrafast";
    let x265 = "x265enc key-int-max=8 speed-preset=ultrafast option-string=log-level=none";
    let rows: [(&str, String, Expected); 10] = [
        ("avc", format!("{x264} bframes=0 ! video/x-h264,stream-format=avc"), as_it_is),
        ("avc3", format!("{x264} bframes=0 ! h264parse ! video/x-h264,stream-format=avc3"), as_it_is),
        ("annex-b", format!("{x264} bframes=0 ! video/x-h264,stream-format=byte-stream"), with_lengths),
        (
            "b-frames",
            "x264enc key-int-max=8 bframes=2 b-adapt=false ! video/x-h264,stream-format=avc".to_owned(),
            as_it_is,
        ),
        ("hvc1", format!("{x265} ! h265parse ! video/x-h265,stream-format=hvc1"), as_it_is),
        ("h265", format!("{x265} ! video/x-h265,stream-format=byte-stream"), with_lengths),
        (
            "av1",
            "av1enc cpu-used=8 keyframe-max-dist=8 lag-in-frames=0 ! av1parse ! video/x-av1,alignment=tu"
                .to_owned(),
            without_delimiter,
        ),
        ("vp8", "vp8enc deadline=1 keyframe-max-dist=8".to_owned(), as_it_is),
        ("vp9", "vp9enc deadline=1 cpu-used=8 keyframe-max-dist=8".to_owned(), as_it_is),
        ("jpeg", "jpegenc".to_owned(), as_it_is),
    ];
    for (stream, encoder, expected) in rows {
        check(&running, stream, &format!("{VIDEO} ! {encoder}"), expected).await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_and_data_come_out_as_they_went_in() {
    let running = Running::start().await;
    let rows: [(&str, &str, Expected); 8] = [
        ("aac", "audio/x-raw,rate=44100 ! avenc_aac", as_it_is),
        (
            "voaac",
            "audio/x-raw,rate=16000,channels=1 ! voaacenc ! aacparse ! audio/mpeg,stream-format=raw",
            as_it_is,
        ),
        (
            "adts",
            "audio/x-raw,rate=16000,channels=1 ! voaacenc ! aacparse ! audio/mpeg,stream-format=adts",
            without_adts,
        ),
        ("opus", "audioconvert ! audioresample ! opusenc", as_it_is),
        ("alaw", "audio/x-raw,rate=8000,channels=1 ! alawenc", as_it_is),
        ("mulaw", "audio/x-raw,rate=8000,channels=2 ! mulawenc", as_it_is),
        ("pcm", "audioconvert ! audio/x-raw,format=S16LE,rate=48000,channels=2", as_it_is),
        ("wide", "audioconvert ! audio/x-raw,format=S24BE,rate=48000,channels=2", as_it_is),
    ];
    for (stream, encoder, expected) in rows {
        check(&running, stream, &format!("{SOUND} ! {encoder}"), expected).await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_of_another_size_goes_on_in_another_session_and_nothing_is_lost() {
    let running = Running::start().await;
    let source = |width| {
        format!(
            "videotestsrc num-buffers=20 ! video/x-raw,format=I420,width={width},height=120,framerate=10/1 \
             ! x264enc key-int-max=10 bframes=0 ! video/x-h264,stream-format=avc ! c."
        )
    };
    let sink = reach_stream(&running, "cam");
    let line = Line::new(&format!("concat name=c ! {sink} {} {}", source(160), source(320)));
    let line = line.play_to_the_end().await;
    let stats = line.0.by_name("k").unwrap().property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("num-sessions").unwrap(), 2, "{stats}");
    assert_eq!(stats.get::<u64>("num-frames-persisted").unwrap(), 40, "{stats}");
    let chunks = stored_in(&running, "cam").await;
    assert_eq!(chunks.iter().map(|chunk| chunk.frames.len()).sum::<usize>(), 40);
    drop(line);
    running.stop().await;
}

//! Real encoders into the sink, and what the service gives back: the payloads are theirs, the times are those of the
//! pipeline, and others can decode it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gst::prelude::*;
use kvs_media::codec::{Codec, PcmFormat, describe};
use kvs_media::time::{TimecodeScale, Utc};
use kvs_media::{Track, TrackKind};
use serde_json::Value;

use common::form::{Form, as_it_is, opus, with_lengths, without_adts, without_delimiter};
use common::stored::frames_of;
use common::taken::Taken;
use common::{Fragment, Ground, Line, pictures, record};

/// When what is sent here began, to the nanosecond; no whole number of milliseconds.
const START: i64 = 1_795_145_031_916_700_001;
const SOUND: &str = "audiotestsrc num-buffers=250 samplesperbuffer=1024";

/// A track that goes in, and what it must become.
struct Expected {
    pad: &'static str,
    codec: Codec,
    form: Form,
}

const fn video(codec: Codec, form: Form) -> Expected {
    Expected { pad: "video_0", codec, form }
}

const fn sound(codec: Codec, form: Form) -> Expected {
    Expected { pad: "audio_0", codec, form }
}

/// Records a source as one track, and holds everything that comes back against what went in.
fn check(source: &str, expected: Expected) -> Vec<Fragment> {
    let ground = Ground::new();
    let description = format!("{source} ! k.{} {} start-time={START}", expected.pad, ground.sink("take"));
    let fragments = record_all(&ground, &description, std::slice::from_ref(&expected));
    assert_others_read(&fragments, &[expected.codec]);
    fragments
}

fn record_all(ground: &Ground, description: &str, expected: &[Expected]) -> Vec<Fragment> {
    let line = Line::new(description);
    let taken: Vec<_> = expected.iter().map(|expected| record(&line.pad(expected.pad))).collect();
    line.play_to_the_end();
    line.assert_adds_up();
    let stats = line.stats();
    for none in
        ["num-frames-dropped", "num-before-key", "num-reconnects", "num-interpolated", "num-unreadable"]
    {
        assert_eq!(line.stat(none), 0, "{stats}");
    }
    assert!(line.warnings().is_empty(), "{:?}", line.warnings());
    let fragments = ground.stored("take");
    assert!(fragments.len() > 1, "{description}: {} fragments", fragments.len());
    let kept: u64 = line.stat("num-frames-persisted");
    let came: usize =
        fragments.iter().map(|fragment| fragment.frames.iter().filter(|f| !f.filler).count()).sum();
    assert_eq!(u64::try_from(came).unwrap(), kept);
    for (expected, taken) in expected.iter().zip(&taken) {
        assert_same(description, expected, &taken.lock().unwrap(), &fragments);
    }
    fragments
}

/// What came back of a track is what went in.
fn assert_same(description: &str, expected: &Expected, taken: &[Taken], fragments: &[Fragment]) {
    let kind = expected.codec.kind();
    let formed = taken.iter().filter_map(|taken| Some(((expected.form)(&taken.payload)?, taken)));
    let formed: Vec<_> = formed.collect();
    let frames = frames_of(fragments, kind);
    assert!(frames.len() >= 20, "{description}: {} frames", frames.len());
    assert_eq!(frames.len(), formed.len(), "{description}");
    let scale = TimecodeScale::MILLISECOND;
    for (at, (frame, (payload, taken))) in frames.iter().zip(&formed).enumerate() {
        assert!(frame.payload == payload[..], "{description}: another payload, {at}");
        let utc = Utc::from_nanos(START + taken.running.unwrap());
        assert_eq!(Some(frame.utc), scale.instant(scale.floor(utc)), "{description}: another time, {at}");
        assert_eq!(frame.key, kind != TrackKind::Video || taken.key, "{description}: another flag, {at}");
    }
    for fragment in fragments {
        let track = fragment.track(kind);
        let described = describe(track).unwrap_or_else(|error| panic!("{description}: {error}"));
        assert_eq!(described.codec, expected.codec, "{description}");
        if kind == TrackKind::Video {
            let size = described.size.unwrap();
            assert_eq!((size.width, size.height), (160, 120), "{description}");
            assert!(fragment.frames.iter().find(|frame| frame.track == track.number).unwrap().key);
        }
        assert_eq!(fragment.header.tracks, fragments[0].header.tracks);
        assert!(fragment.own.producer_time.is_some());
    }
}

/// The names of ffmpeg.
fn name_of(codec: Codec) -> String {
    match codec {
        Codec::H264 => "h264".into(),
        Codec::H265 => "hevc".into(),
        Codec::Av1 => "av1".into(),
        Codec::Vp8 => "vp8".into(),
        Codec::Vp9 => "vp9".into(),
        Codec::Mjpeg => "mjpeg".into(),
        Codec::Aac => "aac".into(),
        Codec::Opus => "opus".into(),
        Codec::Alaw => "pcm_alaw".into(),
        Codec::Mulaw => "pcm_mulaw".into(),
        Codec::Pcm(format) => match (format.bits(), Some(format) == PcmFormat::integer(24, true)) {
            (16, _) => "pcm_s16le".into(),
            (24, true) => "pcm_s24be".into(),
            (32, _) => "pcm_f32le".into(),
            other => panic!("{other:?}"),
        },
        Codec::Data => "none".into(),
    }
}

/// ffprobe finds the same tracks and as many frames, and `decodebin` decodes the first fragment whole.
fn assert_others_read(fragments: &[Fragment], codecs: &[Codec]) {
    let folder = tempfile::tempdir().unwrap();
    for (fragment, name) in [(&fragments[0], "first.mkv"), (&fragments[fragments.len() - 1], "last.mkv")] {
        let file = folder.path().join(name);
        std::fs::write(&file, &fragment.document).unwrap();
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-count_packets", "-show_streams", "-of", "json"])
            .arg(&file)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: Value = serde_json::from_str(&text).unwrap();
        for codec in codecs.iter().filter(|codec| **codec != Codec::Data) {
            let streams = found["streams"].as_array().unwrap();
            let stream = streams.iter().find(|stream| stream["codec_name"] == name_of(*codec).as_str());
            let stream = stream.unwrap_or_else(|| panic!("{codec:?}: {found:#}"));
            let track = fragment.track(codec.kind());
            let frames = fragment.frames.iter().filter(|frame| frame.track == track.number).count();
            assert_eq!(stream["nb_read_packets"], frames.to_string().as_str(), "{codec:?}");
            // What others keep of the private data of G.711, WAVEFORMATEX, is not beside the stream.
            let private = has_private(track) && !matches!(codec, Codec::Alaw | Codec::Mulaw);
            assert_eq!(stream["extradata_size"].as_u64().unwrap_or(0) > 0, private, "{codec:?}");
        }
        let decoded = decode(&file);
        for codec in codecs.iter().filter(|codec| **codec != Codec::Data) {
            let frames = fragment.frames_of(codec.kind()).count();
            let came = decoded.get(&codec.kind().number()).copied().unwrap_or_default();
            match codec.kind() {
                // Open groups lose the pictures that lead the first, as they must.
                TrackKind::Video if name == "first.mkv" => assert_eq!(came, frames, "{codec:?}"),
                _ => assert!(came > 0, "{codec:?}: nothing of {frames} decoded"),
            }
        }
    }
}

fn has_private(track: &Track) -> bool {
    !track.codec_private.is_empty()
}

/// How many buffers `decodebin` makes of a file, by the kind of track.
fn decode(file: &std::path::Path) -> BTreeMap<u64, usize> {
    let pipeline = gst::parse::launch(&format!("filesrc location={} ! decodebin name=d", file.display()));
    let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    let (weak, seen) = (pipeline.downgrade(), Arc::clone(&counts));
    pipeline.by_name("d").unwrap().connect_pad_added(move |_, pad| {
        let caps = pad.current_caps().unwrap();
        let kind = match caps.structure(0).unwrap().name().as_str() {
            "video/x-raw" => TrackKind::Video.number(),
            "audio/x-raw" => TrackKind::Audio.number(),
            _ => TrackKind::Metadata.number(),
        };
        let sink = gst::ElementFactory::make("fakesink").property("sync", false).build().unwrap();
        let pipeline = weak.upgrade().unwrap();
        pipeline.add(&sink).unwrap();
        sink.sync_state_with_parent().unwrap();
        let target = sink.static_pad("sink").unwrap();
        let seen = Arc::clone(&seen);
        target.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            *seen.lock().unwrap().entry(kind).or_default() += 1;
            gst::PadProbeReturn::Ok
        });
        pad.link(&target).unwrap();
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(20), &ends);
    pipeline.set_state(gst::State::Null).unwrap();
    let message = message.expect("decoding does not end");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    let counts = counts.lock().unwrap();
    counts.clone()
}

fn h264(options: &str, form: &str) -> String {
    format!(
        "{} ! x264enc key-int-max=10 speed-preset=ultrafast {options} ! h264parse config-interval=-1 \
         ! video/x-h264,stream-format={form},alignment=au",
        pictures(45)
    )
}

#[test]
fn h264_of_every_form_comes_back_as_it_was() {
    for (form, expected) in [("avc", as_it_is as Form), ("avc3", as_it_is), ("byte-stream", with_lengths)] {
        check(&h264("bframes=0", form), video(Codec::H264, expected));
    }
    let without_parser = format!("{} ! x264enc key-int-max=10 bframes=0", pictures(45));
    check(&without_parser, video(Codec::H264, as_it_is));
}

#[test]
fn h264_with_b_frames_comes_back_in_its_order_from_the_first_group_on() {
    for options in ["bframes=3 b-adapt=false", "bframes=3 b-adapt=false option-string=open-gop=1"] {
        let fragments = check(&h264(options, "byte-stream"), video(Codec::H264, with_lengths));
        let times: Vec<_> = frames_of(&fragments, TrackKind::Video).iter().map(|frame| frame.utc).collect();
        assert!(!times.is_sorted(), "no frame was reordered");
        assert_eq!(times.iter().min(), times.first());
        let begins: Vec<_> = fragments.iter().map(|fragment| fragment.own.producer_time.unwrap()).collect();
        assert!(begins.is_sorted_by(|one, other| one < other), "{begins:?}");
    }
}

fn h265(options: &str, form: &str) -> String {
    format!(
        "{} ! x265enc key-int-max=10 speed-preset=ultrafast option-string=log-level=none{options} \
         ! h265parse config-interval=-1 ! video/x-h265,stream-format={form},alignment=au",
        pictures(45)
    )
}

#[test]
fn h265_of_every_form_comes_back_as_it_was() {
    for (form, expected) in [("hvc1", as_it_is as Form), ("hev1", as_it_is), ("byte-stream", with_lengths)] {
        check(&h265(":bframes=0", form), video(Codec::H265, expected));
    }
}

#[test]
fn h265_with_b_frames_comes_back_in_its_order() {
    for options in [":bframes=3:open-gop=0", ":bframes=3:open-gop=1"] {
        let fragments = check(&h265(options, "byte-stream"), video(Codec::H265, with_lengths));
        let times: Vec<_> = frames_of(&fragments, TrackKind::Video).iter().map(|frame| frame.utc).collect();
        assert!(!times.is_sorted(), "no frame was reordered");
    }
}

#[test]
fn av1_comes_back_without_its_delimiters() {
    let source = format!("{} ! av1enc cpu-used=8 keyframe-max-dist=10 lag-in-frames=0", pictures(45));
    let parsed = format!("{source} ! av1parse ! video/x-av1,alignment=tu");
    check(&parsed, video(Codec::Av1, without_delimiter));
}

#[test]
fn vp8_vp9_and_jpeg_come_back_as_they_were() {
    for (encoder, codec) in [
        ("vp8enc deadline=1 keyframe-max-dist=10", Codec::Vp8),
        ("vp9enc deadline=1 cpu-used=8 keyframe-max-dist=10", Codec::Vp9),
        ("jpegenc", Codec::Mjpeg),
    ] {
        check(&format!("{} ! {encoder}", pictures(45)), video(codec, as_it_is));
    }
}

#[test]
fn aac_comes_back_raw() {
    let raw = format!("{SOUND} ! audio/x-raw,rate=44100,channels=2 ! avenc_aac ! aacparse");
    check(&format!("{raw} ! audio/mpeg,stream-format=raw"), sound(Codec::Aac, as_it_is));
    let adts = format!("{SOUND} ! audio/x-raw,rate=48000,channels=1 ! voaacenc ! aacparse");
    check(&format!("{adts} ! audio/mpeg,stream-format=adts"), sound(Codec::Aac, without_adts));
    for rate in [8_000, 16_000] {
        let source = format!("{SOUND} ! audio/x-raw,rate={rate},channels=1 ! voaacenc ! aacparse");
        let fragments =
            check(&format!("{source} ! audio/mpeg,stream-format=raw"), sound(Codec::Aac, as_it_is));
        assert!(matches!(fragments[0].track(TrackKind::Audio).codec_private.len(), 2 | 5));
    }
}

#[test]
fn opus_comes_back_as_it_was() {
    check(&format!("{SOUND} ! audioconvert ! audioresample ! opusenc"), sound(Codec::Opus, opus));
}

#[test]
fn g711_and_pcm_come_back_as_they_were() {
    for (encoder, codec) in [("alawenc", Codec::Alaw), ("mulawenc", Codec::Mulaw)] {
        let fragments =
            check(&format!("{SOUND} ! audio/x-raw,rate=8000,channels=1 ! {encoder}"), sound(codec, as_it_is));
        assert_eq!(fragments[0].track(TrackKind::Audio).codec_private.len(), 18);
    }
    for (format, pcm) in [
        ("S16LE", PcmFormat::integer(16, false)),
        ("S24BE", PcmFormat::integer(24, true)),
        ("F32LE", PcmFormat::float(32)),
    ] {
        let source = format!("{SOUND} ! audioconvert ! audio/x-raw,format={format},rate=44100,channels=2");
        check(&source, sound(Codec::Pcm(pcm.unwrap()), as_it_is));
    }
}

/// A source of JSON that says something every quarter of a second.
fn push_json(line: &Line, count: u64) -> Vec<Taken> {
    let source = line.element("json");
    let mut pushed = Vec::new();
    for number in 0..count {
        let time = gst::ClockTime::from_mseconds(number * 250);
        let payload = format!("{{\"reading\":{number}}}").into_bytes();
        let mut buffer = gst::Buffer::from_slice(payload.clone());
        buffer.get_mut().unwrap().set_pts(time);
        assert_eq!(source.emit_by_name::<gst::FlowReturn>("push-buffer", &[&buffer]), gst::FlowReturn::Ok);
        pushed.push(Taken { payload, running: Some(i64::try_from(time.nseconds()).unwrap()), key: true });
    }
    assert_eq!(source.emit_by_name::<gst::FlowReturn>("end-of-stream", &[]), gst::FlowReturn::Ok);
    pushed
}

#[test]
fn data_comes_back_with_its_caps() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "appsrc name=json format=time caps=application/json,schema=(string)door ! k.meta_0 {} start-time={START}",
        ground.sink("take")
    ));
    line.play();
    let pushed = push_json(&line, 40);
    line.until_end();
    let fragments = ground.stored("take");
    let expected = Expected { pad: "meta_0", codec: Codec::Data, form: as_it_is };
    assert_same("json", &expected, &pushed, &fragments);
    let described = describe(fragments[0].track(TrackKind::Metadata)).unwrap();
    assert_eq!(described.media_type.as_deref(), Some("application/json"));
}

#[test]
fn picture_and_sound_come_back_together() {
    let ground = Ground::new();
    let sounds = "audiotestsrc num-buffers=210 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2";
    let description = format!(
        "{} ! queue ! k.video_0 {sounds} ! avenc_aac ! aacparse ! queue ! k.audio_0 {} start-time={START}",
        h264("bframes=2 b-adapt=false", "avc"),
        ground.sink("take")
    );
    let expected = [video(Codec::H264, as_it_is), sound(Codec::Aac, as_it_is)];
    let fragments = record_all(&ground, &description, &expected);
    assert_others_read(&fragments, &[Codec::H264, Codec::Aac]);
    for fragment in &fragments {
        assert!(fragment.frames_of(TrackKind::Video).count() > 0);
        assert!(fragment.frames.iter().any(|frame| Some(frame.track) == track(fragment, TrackKind::Audio)));
    }
}

fn track(fragment: &Fragment, kind: TrackKind) -> Option<kvs_media::TrackNumber> {
    Some(fragment.track(kind).number)
}

#[test]
fn three_tracks_come_back_together() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "{} ! queue ! k.video_0 \
         audiotestsrc num-buffers=225 samplesperbuffer=160 ! audio/x-raw,rate=8000,channels=1 ! alawenc ! queue ! k.audio_0 \
         appsrc name=json format=time caps=application/json ! k.meta_0 {} start-time={START}",
        h264("bframes=0", "avc"),
        ground.sink("take")
    ));
    let pictures = record(&line.pad("video_0"));
    let sounds = record(&line.pad("audio_0"));
    line.play();
    let readings = push_json(&line, 18);
    line.until_end();
    line.assert_adds_up();
    let fragments = ground.stored("take");
    assert!(fragments.iter().all(|fragment| fragment.header.tracks.len() == 3));
    let formed = |kind| -> Vec<Vec<u8>> {
        frames_of(&fragments, kind).into_iter().map(|frame| frame.payload.to_vec()).collect()
    };
    let payloads = |taken: &[Taken]| -> Vec<_> { taken.iter().map(|taken| taken.payload.clone()).collect() };
    assert!(formed(TrackKind::Video) == payloads(&pictures.lock().unwrap()));
    assert!(formed(TrackKind::Audio) == payloads(&sounds.lock().unwrap()));
    assert!(formed(TrackKind::Metadata) == payloads(&readings));
    // A time that is not after the fragment before is moved, by a tick.
    for kind in [TrackKind::Video, TrackKind::Audio, TrackKind::Metadata] {
        for (frame, taken) in frames_of(&fragments, kind).iter().zip(match kind {
            TrackKind::Video => pictures.lock().unwrap().clone(),
            TrackKind::Audio => sounds.lock().unwrap().clone(),
            _ => readings.clone(),
        }) {
            let off = frame.utc.nanos() - (START + taken.running.unwrap());
            assert!(
                off.abs() < 2 * i64::try_from(Duration::from_millis(1).as_nanos()).unwrap(),
                "{kind:?}: {off}"
            );
        }
    }
    assert_others_read(&fragments, &[Codec::H264, Codec::Alaw, Codec::Data]);
}

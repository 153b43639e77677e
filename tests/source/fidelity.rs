//! Real encoders into the sink, and what comes out of the source: the payloads are theirs, in caps that say what they are,
//! at the times at which they were made.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gst::prelude::*;

use super::START;
use super::common::form::{Form, as_it_is, opus, with_lengths, without_adts, without_delimiter};
use super::common::reader::Got;
use super::common::taken::Taken;
use super::common::{Ground, Line, Reader, pictures, record};

const RANGE: &str = "from=2026-11-20T03:00:00Z to=2026-11-20T04:00:00Z";
const SOUND: &str = "audiotestsrc num-buffers=250 samplesperbuffer=1024";

/// Records what a description sends into pads of `k`; what went in, by pad, and what comes out.
fn round(ground: &Ground, description: &str, pads: &[&str]) -> (Vec<Vec<Taken>>, Reader) {
    let line = Line::new(&format!("{description} {} start-time={START}", ground.sink("take")));
    let taken: Vec<_> = pads.iter().map(|pad| record(&line.pad(pad))).collect();
    line.play_to_the_end();
    line.assert_adds_up();
    let taken = taken.iter().map(|taken| taken.lock().unwrap().clone()).collect();
    let reader = Reader::of(ground, "take", RANGE);
    reader.play_to_the_end();
    (taken, reader)
}

/// What came out is what went in.
fn assert_same(what: &str, form: Form, taken: &[Taken], came: &[Got], origin: i64) {
    let formed: Vec<_> = taken.iter().filter_map(|taken| Some((form(&taken.payload)?, taken))).collect();
    assert_eq!(came.len(), formed.len(), "{what}");
    assert!(came.len() >= 18, "{what}: {}", came.len());
    for (at, (frame, (payload, taken))) in came.iter().zip(&formed).enumerate() {
        assert!(frame.payload == payload[..], "{what}: another payload, {at}");
        // To the tick of a millisecond, of which one may be added where a fragment begins.
        let late = START + taken.running.unwrap() - frame.utc;
        assert!((-1_000_000..1_000_000).contains(&late), "{what}: {late} ns, {at}");
        assert_eq!(i64::try_from(frame.pts).unwrap(), frame.utc - origin, "{what}: another position, {at}");
        let offset: i64 = frame.fragment.get("offset").unwrap();
        let producer: u64 = frame.fragment.get("producer-time").unwrap();
        assert_eq!(i64::try_from(producer).unwrap() + offset, frame.utc, "{what}, {at}");
    }
}

/// Records one track, and reads it again; the caps that come out have these fields.
fn check(pad: &str, source: &str, form: Form, caps: &str) -> Vec<Got> {
    let ground = Ground::new();
    let (taken, reader) = round(&ground, &format!("{source} ! k.{pad}"), &[pad]);
    assert_eq!(reader.pads(), [pad], "{source}");
    let came = reader.came(pad).frames;
    assert_same(source, form, &taken[0], &came, came[0].utc);
    let expected = caps.parse::<gst::Caps>().unwrap();
    assert!(came[0].caps.is_subset(&expected), "{source}: {} is not {caps}", came[0].caps);
    assert!(came.iter().all(|frame| frame.caps == came[0].caps), "{source}");
    assert!(reader.line.warnings().is_empty(), "{:?}", reader.line.warnings());
    if pad == "video_0" {
        let mut last = 0;
        for (frame, taken) in came.iter().zip(&taken[0]) {
            assert_eq!(frame.key, taken.key, "{source}");
            let dts = frame.dts.unwrap_or_else(|| panic!("{source}: no DTS"));
            assert!(dts >= last && dts <= frame.pts, "{source}: {dts} of {} after {last}", frame.pts);
            last = dts;
        }
    }
    assert_others_decode(&ground, source);
    came
}

/// `decodebin` makes pictures or sound of it.
fn assert_others_decode(ground: &Ground, source: &str) {
    let line =
        Line::new(&format!("{} {RANGE} ! decodebin ! fakesink name=f sync=false", ground.source("take")));
    let (counted, seen) = (Arc::new(AtomicUsize::new(0)), line.element("f").static_pad("sink").unwrap());
    let count = Arc::clone(&counted);
    seen.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    line.play_to_the_end();
    let decoded = counted.load(Ordering::Relaxed);
    assert!(decoded >= 18, "{source}: {decoded} decoded");
}

fn h264(options: &str, form: &str) -> String {
    format!(
        "{} ! x264enc key-int-max=10 speed-preset=ultrafast {options} ! h264parse config-interval=-1 \
         ! video/x-h264,stream-format={form},alignment=au",
        pictures(45)
    )
}

const AVC: &str = "video/x-h264,stream-format=avc,alignment=au,width=160,height=120,framerate=10/1";

#[test]
fn h264_comes_out_as_avc_whatever_it_was() {
    for (form, expected) in [("avc", as_it_is as Form), ("avc3", as_it_is), ("byte-stream", with_lengths)] {
        check("video_0", &h264("bframes=0", form), expected, AVC);
    }
}

#[test]
fn h264_with_b_frames_comes_out_in_its_order_with_decoding_times() {
    for options in [
        "bframes=3 b-adapt=false",
        "bframes=3 b-adapt=false b-pyramid=true",
        "bframes=3 b-adapt=false option-string=open-gop=1",
    ] {
        let came = check("video_0", &h264(options, "byte-stream"), with_lengths, AVC);
        let times: Vec<_> = came.iter().map(|frame| frame.pts).collect();
        assert!(!times.is_sorted(), "no frame was reordered");
        // Pictures are decoded when they are needed and no earlier: most are a few behind.
        let held = came.iter().map(|frame| frame.pts - frame.dts.unwrap()).max().unwrap();
        assert!(held <= 600_000_000, "{options}: {held}");
    }
}

#[test]
fn h265_comes_out_as_hvc1() {
    let h265 = |options: &str, form: &str| {
        format!(
            "{} ! x265enc key-int-max=10 speed-preset=ultrafast option-string=log-level=none{options} \
             ! h265parse config-interval=-1 ! video/x-h265,stream-format={form},alignment=au",
            pictures(45)
        )
    };
    let caps =
        "video/x-h265,stream-format={ hvc1, hev1 },alignment=au,width=160,height=120,profile=main,tier=main";
    for (form, expected) in [("hvc1", as_it_is as Form), ("byte-stream", with_lengths)] {
        check("video_0", &h265(":bframes=0", form), expected, caps);
    }
    for options in [":bframes=3:open-gop=0", ":bframes=3:open-gop=1"] {
        check("video_0", &h265(options, "byte-stream"), with_lengths, caps);
    }
}

#[test]
fn av1_vp8_vp9_and_jpeg_come_out_as_they_were() {
    let av1 = format!("{} ! av1enc cpu-used=8 keyframe-max-dist=10 lag-in-frames=0", pictures(45));
    let av1 = format!("{av1} ! av1parse ! video/x-av1,alignment=tu");
    let caps = "video/x-av1,stream-format=obu-stream,alignment=tu,width=160,height=120";
    check("video_0", &av1, without_delimiter, caps);
    for (encoder, caps) in [
        ("vp8enc deadline=1 keyframe-max-dist=10", "video/x-vp8,width=160,height=120"),
        ("vp9enc deadline=1 cpu-used=8 keyframe-max-dist=10", "video/x-vp9,width=160,height=120"),
        ("jpegenc", "image/jpeg,width=160,height=120"),
    ] {
        check("video_0", &format!("{} ! {encoder}", pictures(45)), as_it_is, caps);
    }
}

#[test]
fn sound_comes_out_as_it_was() {
    let raw = format!("{SOUND} ! audio/x-raw,rate=44100,channels=2 ! avenc_aac ! aacparse");
    let aac = |rate, channels| {
        format!("audio/mpeg,mpegversion=4,stream-format=raw,rate={rate},channels={channels}")
    };
    check("audio_0", &format!("{raw} ! audio/mpeg,stream-format=raw"), as_it_is, &aac(44_100, 2));
    let adts = format!("{SOUND} ! audio/x-raw,rate=48000,channels=1 ! voaacenc ! aacparse");
    check("audio_0", &format!("{adts} ! audio/mpeg,stream-format=adts"), without_adts, &aac(48_000, 1));
    let coded = format!("{SOUND} ! audioconvert ! audioresample ! opusenc");
    check("audio_0", &coded, opus, "audio/x-opus,channel-mapping-family=0,channels=1,rate=48000");
    for (encoder, name) in [("alawenc", "audio/x-alaw"), ("mulawenc", "audio/x-mulaw")] {
        let source = format!("{SOUND} ! audio/x-raw,rate=8000,channels=1 ! {encoder}");
        check("audio_0", &source, as_it_is, &format!("{name},rate=8000,channels=1"));
    }
    for format in ["S16LE", "S24BE", "F32LE"] {
        let caps = format!("audio/x-raw,format={format},rate=44100,channels=2");
        check("audio_0", &format!("{SOUND} ! audioconvert ! {caps}"), as_it_is, &caps);
    }
}

#[test]
fn three_tracks_come_out_of_three_pads_in_step() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "{} ! queue ! k.video_0 \
         audiotestsrc num-buffers=225 samplesperbuffer=160 ! audio/x-raw,rate=8000,channels=1 ! alawenc ! queue ! k.audio_0 \
         appsrc name=json format=time caps=application/json,schema=(string)door ! k.meta_0 {} start-time={START}",
        h264("bframes=2 b-adapt=false", "avc"),
        ground.sink("take")
    ));
    let taken = [record(&line.pad("video_0")), record(&line.pad("audio_0")), record(&line.pad("meta_0"))];
    line.play();
    let source = line.element("json");
    for number in 0..18_u64 {
        let mut buffer = gst::Buffer::from_slice(format!("{{\"reading\":{number}}}").into_bytes());
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(number * 250));
        let _ = source.emit_by_name::<gst::FlowReturn>("push-buffer", &[&buffer]);
    }
    let _ = source.emit_by_name::<gst::FlowReturn>("end-of-stream", &[]);
    line.until_end();
    let reader = Reader::of(&ground, "take", RANGE);
    reader.play_to_the_end();
    assert_eq!(reader.pads(), ["audio_0", "meta_0", "video_0"]);
    let origin = reader.came("video_0").frames[0].utc;
    for (pad, taken) in ["video_0", "audio_0", "meta_0"].into_iter().zip(&taken) {
        let came = reader.came(pad);
        assert_same(pad, as_it_is, &taken.lock().unwrap(), &came.frames, origin);
        let ids: Vec<_> = came
            .events
            .iter()
            .filter_map(|event| match event.view() {
                gst::EventView::StreamStart(start) => {
                    Some((start.stream_id().to_owned(), start.group_id().unwrap()))
                }
                _ => None,
            })
            .collect();
        assert_eq!(ids.len(), 1);
        assert_eq!(ids[0].0, format!("take/{pad}"));
    }
    let meta = reader.came("meta_0").frames[0].caps.to_string();
    assert_eq!(meta, "application/json, schema=(string)door");
    // A number of a fragment means the same on all pads.
    let numbers = |pad: &str| -> Vec<_> {
        let mut numbers: Vec<_> = reader.came(pad).frames.iter().map(Got::number).collect();
        numbers.dedup();
        numbers
    };
    assert_eq!(numbers("video_0"), numbers("audio_0"));
    assert_eq!(numbers("video_0").len(), reader.line.said("kvs-fragment").len());
}

#[test]
fn tags_travel_with_their_fragment() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "{} ! k.video_0 {} start-time={START}",
        h264("bframes=0", "avc"),
        ground.sink("take")
    ));
    line.set(gst::State::Paused);
    assert!(line.sink.emit_by_name::<bool>("add-metadata", &[&"plate", &"ZH 1234", &false]));
    assert!(line.sink.emit_by_name::<bool>("add-metadata", &[&"door", &"left", &true]));
    line.play();
    line.until_end();
    let reader = Reader::of(&ground, "take", RANGE);
    reader.play_to_the_end();
    let said = reader.line.said("kvs-fragment");
    let tags = |said: &gst::Structure| said.get::<gst::Structure>("tags").unwrap();
    assert_eq!(said.len(), 5);
    assert_eq!((tags(&said[0]).get("plate"), tags(&said[0]).get("door")), (Ok("ZH 1234"), Ok("left")));
    assert!(tags(&said[1]).get::<&str>("plate").is_err());
    assert!(said.iter().all(|said| tags(said).get("door") == Ok("left")));
    let frames = reader.came("video_0").frames;
    for said in &said {
        let own: Vec<_> = frames.iter().filter(|frame| Ok(frame.number()) == said.get("number")).collect();
        assert_eq!(own[0].pts, said.get::<u64>("position").unwrap());
        let listed = ground.listed("take");
        let row = listed.iter().find(|row| row["FragmentNumber"] == own[0].number().as_str()).unwrap();
        let producer: u64 = own[0].fragment.get("producer-time").unwrap();
        let server: u64 = own[0].fragment.get("server-time").unwrap();
        let seconds = |nanos: u64| serde_json::Number::from_f64(nanos as f64 / 1e9).unwrap().as_f64();
        assert!((row["ProducerTimestamp"].as_f64().unwrap() - seconds(producer).unwrap()).abs() < 0.001);
        assert!((row["ServerTimestamp"].as_f64().unwrap() - seconds(server).unwrap()).abs() < 0.001);
    }
}

//! Real encoders into the sink: the payloads are theirs, in the form that Matroska wants.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use kvs_media::TrackKind;
use kvs_media::codec::{Codec, describe};

use super::super::outlet::recorded::Done;
use super::Line;

/// What the test itself makes of a buffer.
type Expected = fn(&[u8]) -> Vec<u8>;

const VIDEO: &str =
    "videotestsrc num-buffers=12 ! video/x-raw,format=I420,width=160,height=120,framerate=10/1";
const SOUND: &str = "audiotestsrc num-buffers=12 samplesperbuffer=1024";

fn as_it_is(data: &[u8]) -> Vec<u8> {
    data.to_vec()
}

/// Annex B to lengths of four bytes, a byte at a time.
fn with_lengths(data: &[u8]) -> Vec<u8> {
    let mut units: Vec<Vec<u8>> = Vec::new();
    let mut zeros = 0;
    for byte in data {
        match byte {
            1 if zeros >= 2 => {
                if let Some(unit) = units.last_mut() {
                    unit.truncate(unit.len() - zeros);
                }
                units.push(Vec::new());
                zeros = 0;
                continue;
            }
            0 => zeros += 1,
            _ => zeros = 0,
        }
        if let Some(unit) = units.last_mut() {
            unit.push(*byte);
        }
    }
    let with_length =
        |unit: Vec<u8>| [u32::try_from(unit.len()).unwrap().to_be_bytes().to_vec(), unit].concat();
    units.into_iter().flat_map(with_length).collect()
}

fn without_delimiter(data: &[u8]) -> Vec<u8> {
    data.strip_prefix(&[0x12, 0]).unwrap_or(data).to_vec()
}

fn without_adts(data: &[u8]) -> Vec<u8> {
    data[7..].to_vec()
}

/// Plays the pipeline, and holds every payload against what its buffer should become.
fn check(source: &str, codec: Codec, expected: Expected) {
    let line = Line::new(&format!("{source} ! kvssink name=k"));
    let came = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&came);
    let pad = line.sink.sink_pads().remove(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let buffer = info.buffer().unwrap();
        let map = buffer.map_readable().unwrap();
        if !map.starts_with(b"Opus") {
            let delta = buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
            seen.lock().unwrap().push((expected(&map), delta, buffer.pts()));
        }
        gst::PadProbeReturn::Ok
    })
    .unwrap();
    let upload = line.play_to_the_end();
    let (came, frames) = (came.lock().unwrap(), upload.frames());
    assert!(came.len() >= 10, "{source}: {} buffers", came.len());
    assert_eq!(frames.len(), came.len(), "{source}");
    let mut first = None;
    for ((payload, delta, pts), (_, frame)) in came.iter().zip(&frames) {
        assert!(frame.payload == payload[..], "{source}: another payload");
        if codec.kind() == TrackKind::Video {
            assert_eq!(frame.timing.key, !delta, "{source}");
        } else {
            assert!(frame.timing.key);
        }
        // All times keep their distances, in UTC as in the pipeline.
        let utc = frame.utc.nanos() - i64::try_from(pts.unwrap().nseconds()).unwrap();
        assert_eq!(*first.get_or_insert(utc), utc, "{source}");
    }
    let headers = upload.headers();
    let [header] = &headers[..] else { panic!("{source}: {} headers", headers.len()) };
    let described = describe(header).unwrap_or_else(|error| panic!("{source}: {error}"));
    assert_eq!(described.codec, codec, "{source}");
    if codec.kind() == TrackKind::Video {
        let size = described.size.or(header.video).unwrap();
        assert_eq!((size.width, size.height), (160, 120), "{source}");
        assert_eq!(header.name, "kinesis_video");
    } else {
        assert_eq!(header.name, "audio");
    }
    assert!(line.said("kvs-repaired").is_empty() && line.said("kvs-dropped").is_empty());
}

#[test]
fn h264_of_every_form_goes_with_lengths() {
    let encoder = "x264enc key-int-max=5 bframes=0 speed-preset=ultrafast";
    for (form, expected) in [("avc", as_it_is as Expected), ("avc3", as_it_is), ("byte-stream", with_lengths)]
    {
        let source = format!(
            "{VIDEO} ! {encoder} ! h264parse config-interval=-1 ! video/x-h264,stream-format={form},alignment=au"
        );
        check(&source, Codec::H264, expected);
    }
    // As the incumbent takes it, without a parser.
    check(&format!("{VIDEO} ! {encoder}"), Codec::H264, as_it_is);
}

#[test]
fn h264_with_b_frames_and_open_groups_keeps_its_order_and_says_what_may_follow() {
    for (options, leads) in
        [("bframes=2 b-adapt=false", false), ("bframes=2 b-adapt=false option-string=open-gop=1", true)]
    {
        let line = Line::new(&format!(
            "videotestsrc num-buffers=40 ! video/x-raw,format=I420,width=160,height=120,framerate=10/1 \
             ! x264enc key-int-max=10 {options} ! video/x-h264,stream-format=byte-stream ! kvssink name=k"
        ));
        let frames = line.play_to_the_end().frames();
        assert_eq!(frames.len(), 40);
        let times: Vec<_> = frames.iter().map(|(_, frame)| frame.timing.pts).collect();
        assert!(!times.is_sorted(), "{options}: no reordering");
        let keys: Vec<_> = frames.iter().map(|(_, frame)| frame.timing).filter(|timing| timing.key).collect();
        assert!(keys.len() >= 3, "{options}: {} key frames", keys.len());
        assert!(!keys[0].leading);
        assert_eq!(keys[1].leading, leads, "{options}");
    }
}

#[test]
fn h265_of_every_form_goes_with_lengths() {
    let encoder = "x265enc key-int-max=5 speed-preset=ultrafast option-string=log-level=none";
    for (form, expected) in
        [("hvc1", as_it_is as Expected), ("hev1", as_it_is), ("byte-stream", with_lengths)]
    {
        let source = format!(
            "{VIDEO} ! {encoder} ! h265parse config-interval=-1 ! video/x-h265,stream-format={form},alignment=au"
        );
        check(&source, Codec::H265, expected);
    }
}

#[test]
fn h265_that_says_nothing_of_its_form_goes_with_lengths_whatever_it_is() {
    let encoder = "x265enc key-int-max=5 speed-preset=ultrafast option-string=log-level=none";
    for (form, expected) in [("byte-stream", with_lengths as Expected), ("hvc1", as_it_is)] {
        let line = Line::new(&format!(
            "{VIDEO} ! {encoder} ! h265parse ! video/x-h265,stream-format={form},alignment=au ! identity name=i ! kvssink name=k"
        ));
        // The form is not told: it is taken out of the caps that pass.
        let came = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&came);
        let pad = line.sink.sink_pads().remove(0);
        pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            match &mut info.data {
                Some(gst::PadProbeData::Event(event)) => {
                    if let gst::EventView::Caps(caps) = event.view() {
                        let mut caps = caps.caps_owned();
                        caps.make_mut().structure_mut(0).unwrap().remove_field("stream-format");
                        *event = gst::event::Caps::new(&caps);
                    }
                }
                Some(gst::PadProbeData::Buffer(buffer)) => {
                    seen.lock().unwrap().push(expected(&buffer.map_readable().unwrap()));
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        })
        .unwrap();
        let upload = line.play_to_the_end();
        let payloads: Vec<_> = upload.frames().iter().map(|(_, frame)| frame.payload.to_vec()).collect();
        assert!(payloads == *came.lock().unwrap(), "{form}");
        assert_eq!(describe(&upload.headers()[0]).unwrap().codec, Codec::H265);
    }
}

#[test]
fn a_picture_of_another_size_is_another_header_from_its_first_frame_on() {
    for form in ["avc", "byte-stream"] {
        let caps = |width| format!("video/x-raw,format=I420,width={width},height=120,framerate=10/1");
        let encoder = format!("x264enc key-int-max=5 bframes=0 ! video/x-h264,stream-format={form}");
        let line = Line::new(&format!(
            "concat name=c ! kvssink name=k \
             videotestsrc num-buffers=10 ! {} ! {encoder} ! c. videotestsrc num-buffers=10 ! {} ! {encoder} ! c.",
            caps(160),
            caps(320)
        ));
        let upload = line.play_to_the_end();
        let widths: Vec<_> = upload.headers().iter().map(|track| track.video.unwrap().width).collect();
        assert_eq!((widths, upload.frames().len()), (vec![160, 320], 20), "{form}");
        // Between the two headers lie exactly the frames of the first.
        let between = upload.with(|inner| {
            let header = |done: &Done| matches!(done, Done::Header(_));
            let first = inner.done.iter().position(header).unwrap();
            inner.done[first + 1..]
                .iter()
                .take_while(|done| !header(done))
                .filter(|done| matches!(done, Done::Pushed(..)))
                .count()
        });
        assert_eq!(between, 10, "{form}");
    }
}

#[test]
fn av1_goes_without_its_delimiters() {
    let source = format!("{VIDEO} ! av1enc cpu-used=8 keyframe-max-dist=5 lag-in-frames=0");
    check(&format!("{source} ! av1parse ! video/x-av1,alignment=tu"), Codec::Av1, without_delimiter);
}

#[test]
fn vp8_and_vp9_and_jpeg_go_as_they_are() {
    check(&format!("{VIDEO} ! vp8enc deadline=1 keyframe-max-dist=5"), Codec::Vp8, as_it_is);
    check(&format!("{VIDEO} ! vp9enc deadline=1 cpu-used=8 keyframe-max-dist=5"), Codec::Vp9, as_it_is);
    check(&format!("{VIDEO} ! jpegenc"), Codec::Mjpeg, as_it_is);
}

#[test]
fn aac_goes_raw() {
    for rate in [16_000, 44_100] {
        for channels in [1, 2] {
            let source =
                format!("{SOUND} ! audio/x-raw,rate={rate},channels={channels} ! audioconvert ! avenc_aac");
            check(&source, Codec::Aac, as_it_is);
            let voaac =
                format!("{SOUND} ! audio/x-raw,rate={rate},channels={channels} ! voaacenc ! aacparse");
            check(&format!("{voaac} ! audio/mpeg,stream-format=raw"), Codec::Aac, as_it_is);
            check(&format!("{voaac} ! audio/mpeg,stream-format=adts"), Codec::Aac, without_adts);
        }
    }
}

#[test]
fn opus_and_g711_and_pcm_go_as_they_are() {
    check(&format!("{SOUND} ! audioconvert ! audioresample ! opusenc"), Codec::Opus, as_it_is);
    let law = |encoder| format!("{SOUND} ! audio/x-raw,rate=8000,channels=1 ! {encoder}");
    check(&law("alawenc"), Codec::Alaw, as_it_is);
    check(&law("mulawenc"), Codec::Mulaw, as_it_is);
    for (format, bits, big) in [("S16LE", 16, false), ("S24BE", 24, true), ("U8", 8, false)] {
        let codec = Codec::Pcm(kvs_media::codec::PcmFormat::integer(bits, big).unwrap());
        check(
            &format!("{SOUND} ! audioconvert ! audio/x-raw,format={format},rate=48000,channels=2"),
            codec,
            as_it_is,
        );
    }
}

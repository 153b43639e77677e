//! Several tracks of one stream.

use gst::prelude::*;
use kvs_media::{AudioShape, Track, TrackKind, TrackNumber, VideoShape};

use super::START;
use super::common::media::Body;
use super::common::reader::Got;
use super::common::{Ground, H264, Line, Reader, pictures};

const RANGE: &str = "from=2026-11-20T03:00:00Z to=2026-11-20T04:00:00Z";
const MS: u64 = 1_000_000;
/// 1024 samples of 48,000, and what a tick may hide.
const SOUND: u64 = 21_333_334;

fn times(frames: &[Got]) -> Vec<u64> {
    frames.iter().map(|frame| frame.pts).collect()
}

#[test]
fn seeks_to_key_frames_with_a_stop_end_every_track_where_it_is() {
    let ground = Ground::with(|config| config.allow_faults = true);
    let sound = "audiotestsrc num-buffers=280 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=1 ! voaacenc ! aacparse";
    let source = format!("{} ! {H264} ! queue ! k.video_0 {sound} ! queue ! k.audio_0", pictures(60));
    ground.record("door", &source, START);
    ground.settle();
    let reader = Reader::of(&ground, "door", RANGE);
    reader.play_to_the_end();
    let (video, audio) = (reader.came("video_0").frames, times(&reader.came("audio_0").frames));
    let keys: Vec<_> = video.iter().filter(|frame| frame.key).map(|frame| frame.pts).collect();
    assert!(keys.len() >= 6 && audio.len() > 250, "{} and {}", keys.len(), audio.len());
    let length: gst::ClockTime = reader.line.sink.query_duration().unwrap();
    use gst::SeekFlags as Flags;
    for round in 0..24_u64 {
        let from = round * 217 * MS;
        let to = from + [700, 1_000, 1_850, 150][usize::try_from(round % 4).unwrap()] * MS;
        let (flags, key) = match round % 3 {
            0 => (Flags::SNAP_BEFORE, keys.iter().rfind(|key| **key <= from)),
            1 => (Flags::SNAP_AFTER, keys.iter().find(|key| **key >= from)),
            _ => (Flags::SNAP_NEAREST, keys.iter().min_by_key(|key| key.abs_diff(from))),
        };
        let Some(key) = key.copied() else { continue };
        let what = format!("round {round}: {from} to {to}, {flags:?}, {key}");
        let flushes = reader.came("audio_0").flushes;
        let (set, at) = (gst::SeekType::Set, gst::ClockTime::from_nseconds);
        let flags = flags | Flags::FLUSH | Flags::KEY_UNIT;
        reader.line.pipeline.seek(1.0, flags, set, at(from), set, at(to)).unwrap();
        reader.line.until("the end of both", |_| {
            ["video_0", "audio_0"].iter().all(|pad| {
                let came = reader.came(pad);
                came.flushes > flushes && came.has_ended()
            })
        });
        // What begins behind the stop is nothing.
        let to = to.max(key);
        for pad in ["video_0", "audio_0"] {
            let came = reader.came(pad);
            assert_eq!(came.flushes, flushes + 1, "{what}");
            let ends = came.events.iter().rev().take_while(|event| event.type_() == gst::EventType::Eos);
            assert_eq!(ends.count(), 1, "{what}, {pad}");
            for frame in &came.frames {
                assert_eq!(frame.segment.start(), Some(at(key)), "{what}, {pad}");
                // Behind everything, it is none.
                let stop = Some(at(to)).filter(|stop| *stop < length);
                assert_eq!(frame.segment.stop(), stop, "{what}, {pad}");
            }
        }
        let shown: Vec<_> =
            video.iter().map(|frame| frame.pts).filter(|time| (key..to).contains(time)).collect();
        assert_eq!(times(&reader.came("video_0").frames), shown, "{what}");
        let heard: Vec<_> =
            audio.iter().copied().filter(|time| time + SOUND > key + MS && *time < to).collect();
        let came = times(&reader.came("audio_0").frames);
        // What is heard into the first picture may be of the fragment before it.
        let missing = heard.len().checked_sub(came.len());
        assert!(missing.is_some_and(|missing| missing <= 1) && heard.ends_with(&came), "{what}: {came:?}");
    }
}

/// A track of eight frames in a fragment of two seconds, with these words about it.
fn track(number: u64, kind: TrackKind, name: &str, language: &str) -> Track {
    let codec = if kind == TrackKind::Video { "V_VP8" } else { "A_PCM/INT/LIT" };
    let mut track = Track::new(TrackNumber(number), kind, codec);
    if kind == TrackKind::Audio {
        track.audio = Some(AudioShape { rate: 8_000.0, channels: 1, bit_depth: Some(16) });
    }
    (track.name, track.language) = (name.to_owned(), language.to_owned());
    track
}

/// How the tracks of a fragment lie in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    ByTime,
    ByTrack,
}

/// Sends fragments of these tracks, each with so many frames of each.
fn send(ground: &Ground, tracks: &[Track], begin: i64, fragments: i64) {
    send_so(ground, tracks, begin, (fragments, 8), Order::ByTime);
}

fn send_so(ground: &Ground, tracks: &[Track], begin: i64, (fragments, each): (i64, i64), order: Order) {
    ground.runtime.block_on(async {
        let mut put = ground.client().put("door").await;
        let mut body = Body::of(tracks);
        for fragment in 0..fragments {
            let at = begin + fragment * each * 250;
            let mut bytes = body.cluster(at);
            let mut frames: Vec<_> =
                (0..each).flat_map(|frame| tracks.iter().map(move |track| (frame, track.number.0))).collect();
            if order == Order::ByTrack {
                frames.sort_by_key(|(_, track)| *track);
            }
            for (frame, track) in frames {
                bytes.extend(body.frame(track, at + frame * 250, frame == 0, &[7; 64]));
            }
            put.send(&bytes).await;
        }
        put.finish().await;
        put.acks().await;
    });
}

/// The spans of the GAP events of a pad.
fn gaps(reader: &Reader, pad: &str) -> Vec<(u64, u64)> {
    let gaps = reader.came(pad).events.into_iter().filter_map(|event| match event.view() {
        gst::EventView::Gap(gap) => Some(gap.get()),
        _ => None,
    });
    gaps.map(|(at, lasts)| (at.nseconds(), (at + lasts.unwrap()).nseconds())).collect()
}

/// The titles and languages that a pad has said.
fn said(reader: &Reader, pad: &str) -> Vec<(Option<String>, Option<String>)> {
    let tags = reader.came(pad).events.into_iter().filter_map(|event| match event.view() {
        gst::EventView::Tag(tag) => Some(tag.tag_owned()),
        _ => None,
    });
    let text = |tags: gst::TagList| {
        assert_eq!(tags.scope(), gst::TagScope::Stream);
        let title = tags.get::<gst::tags::Title>().map(|title| title.get().to_owned());
        (title, tags.get::<gst::tags::LanguageCode>().map(|code| code.get().to_owned()))
    };
    tags.map(text).collect()
}

#[test]
fn titles_and_languages_of_tracks_are_tags_of_their_pads() {
    let ground = Ground::new();
    ground.create("door");
    let begin = START / 1_000_000;
    let (video, audio) = (TrackKind::Video, TrackKind::Audio);
    let tracks = |second: &str, language: &str| {
        [
            track(1, video, "front door", "und"),
            track(2, audio, "street", "de"),
            track(3, audio, second, language),
        ]
    };
    send(&ground, &tracks("hall", "fr"), begin, 2);
    // Another session, in which the same track is told otherwise.
    send(&ground, &tracks("hall, upstairs", "it"), begin + 4_000, 2);
    let reader = Reader::of(&ground, "door", RANGE);
    reader.play_to_the_end();
    assert_eq!(reader.pads(), ["audio_0", "audio_1", "video_0"]);
    let some = |title: &str, code: Option<&str>| (Some(title.to_owned()), code.map(ToOwned::to_owned));
    assert_eq!(said(&reader, "video_0"), [some("front door", None)]);
    assert_eq!(said(&reader, "audio_0"), [some("street", Some("de"))]);
    let hall = [some("hall", Some("fr")), some("hall, upstairs", Some("it"))];
    assert_eq!(said(&reader, "audio_1"), hall);
    // Said in front of the first frame that they are of, and of the stream in the collection.
    let came = reader.came("audio_1");
    assert_eq!(came.frames.len(), 32);
    let collection = reader.line.last(gst::MessageType::StreamCollection).unwrap();
    let gst::MessageView::StreamCollection(collection) = collection.view() else { unreachable!() };
    let stream = collection
        .stream_collection()
        .iter()
        .find(|stream| stream.stream_id().is_some_and(|id| id == "door/audio_1"));
    let tags = stream.unwrap().tags().unwrap();
    assert_eq!(tags.get::<gst::tags::LanguageCode>().unwrap().get(), "it");
    // Who has nothing to say of its tracks says nothing.
    let (other, silent) = (Ground::new(), [track(1, video, "", ""), track(2, audio, "", "und")]);
    other.create("door");
    send(&other, &silent, begin, 1);
    let reader = Reader::of(&other, "door", RANGE);
    reader.play_to_the_end();
    assert!(said(&reader, "video_0").is_empty() && said(&reader, "audio_0").is_empty());
}

#[test]
fn what_nobody_knows_is_warned_of_once_for_each_track_and_counted() {
    let ground = Ground::new();
    ground.create("door");
    let begin = START / 1_000_000;
    for session in 0..5_u8 {
        let mut tracks = [track(1, TrackKind::Video, "", ""), track(2, TrackKind::Audio, "", "")];
        for track in &mut tracks {
            // Each session's is another.
            (track.codec_id, track.codec_private) = ("X_NONE".to_owned(), vec![session; 4].into());
        }
        send(&ground, &tracks, begin + i64::from(session) * 2_000, 1);
    }
    let reader = Reader::of(&ground, "door", RANGE);
    reader.play_to_the_end();
    let caps: std::collections::BTreeSet<_> =
        reader.came("video_0").frames.iter().map(|frame| frame.caps.to_string()).collect();
    assert_eq!(caps.len(), 5);
    let warnings = reader.line.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert_eq!(reader.line.stat("num-undescribed"), 10);
}

#[test]
fn what_comes_behind_another_track_in_its_fragment_is_no_gap() {
    let ground = Ground::new();
    ground.create("door");
    let mut tracks = [track(1, TrackKind::Video, "", ""), track(2, TrackKind::Audio, "", "")];
    tracks[0].video = Some(VideoShape { width: 160, height: 120 });
    // Four fragments of five seconds, with all pictures in front of all sound.
    send_so(&ground, &tracks, START / 1_000_000, (4, 20), Order::ByTrack);
    let reader = Reader::of(&ground, "door", RANGE);
    reader.play_to_the_end();
    let sound = reader.came("audio_0").frames;
    assert_eq!((sound.len(), reader.came("video_0").frames.len()), (80, 80));
    for (from, to) in gaps(&reader, "audio_0") {
        let over = sound.iter().find(|frame| (from..to).contains(&frame.pts));
        assert!(over.is_none(), "{from} to {to} is over sound at {:?}", over.map(|frame| frame.pts));
    }
    // Who waits for both gets both, however far apart they come.
    let line = Line::new(&format!(
        "{} {RANGE} matroskamux name=m ! fakesink k.video_0 ! m.video_0 k.audio_0 ! m.audio_0",
        ground.source("door")
    ));
    line.play_to_the_end();
    assert_eq!(line.stat("num-frames"), 160);
}

#[test]
fn a_track_that_has_nothing_to_say_says_so() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "{} ! {H264} ! queue ! k.video_0 appsrc name=json format=time caps=application/json ! k.meta_0 {} \
         start-time={START}",
        pictures(90),
        ground.sink("door")
    ));
    line.play();
    let source = line.element("json");
    for at in [0, 8_500] {
        let mut buffer = gst::Buffer::from_slice(*b"{}");
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(at));
        let _ = source.emit_by_name::<gst::FlowReturn>("push-buffer", &[&buffer]);
    }
    let _ = source.emit_by_name::<gst::FlowReturn>("end-of-stream", &[]);
    line.until_end();
    let reader = Reader::of(&ground, "door", RANGE);
    reader.play_to_the_end();
    assert_eq!(reader.came("meta_0").frames.len(), 2);
    let said = gaps(&reader, "meta_0");
    // While it is so, and not once it is over.
    assert!(said.len() >= 3 && said.iter().all(|(from, to)| from < to && *to <= 8_500 * MS), "{said:?}");
    assert!(said.last().unwrap().1 >= 6_000 * MS, "{said:?}");
}

//! States, selections, wrong settings.

use gst::prelude::*;

use super::START;
use super::common::{Ground, H264, Line, Reader, live_pictures, pictures};

const RANGE: &str = "from=2026-11-20T03:00:00Z to=2026-11-20T04:00:00Z";
const SOUND: &str = "audiotestsrc num-buffers=94 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=1 ! voaacenc ! aacparse";

fn recorded() -> Ground {
    let ground = Ground::new();
    ground.record(
        "door",
        &format!("{} ! {H264} ! queue ! k.video_0 {SOUND} ! queue ! k.audio_0", pictures(20)),
        START,
    );
    ground
}

#[test]
fn it_starts_and_stops_again_and_again() {
    let ground = recorded();
    for properties in [RANGE, "start-selector=earliest"] {
        let reader = Reader::of(&ground, "door", properties);
        for round in 0..10 {
            reader.output.lock().unwrap().clear();
            if round % 5 == 4 {
                // At whatever point that may be.
                reader.line.play();
            } else {
                reader.line.play();
                reader.until_frames("video_0", 20);
                reader.until_frames("audio_0", 90);
            }
            let begun = std::time::Instant::now();
            let state = [gst::State::Null, gst::State::Ready][round % 2];
            reader.line.set(state);
            assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
            assert!(reader.line.sink.src_pads().is_empty());
            assert!(reader.line.sink.downcast_ref::<gst::Bin>().unwrap().by_name("queue").is_none());
            for sink in reader.line.pipeline.children().iter().filter(|child| **child != reader.line.sink) {
                sink.set_state(gst::State::Null).unwrap();
                reader.line.pipeline.remove(sink).unwrap();
            }
        }
        assert!(reader.line.errors().is_empty());
    }
}

#[test]
fn that_no_more_pads_come_is_said_once_when_all_are_there() {
    let ground = recorded();
    for properties in [RANGE, "start-selector=earliest"] {
        let reader = Reader::of(&ground, "door", properties);
        let said = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let heard = std::sync::Arc::clone(&said);
        reader.line.sink.connect_no_more_pads(move |source| {
            heard.lock().unwrap().push(source.src_pads().len());
        });
        reader.line.play();
        reader.until_frames("video_0", 20);
        reader.until_frames("audio_0", 90);
        assert_eq!(*said.lock().unwrap(), [2], "{properties}");
    }
}

#[test]
fn a_pause_loses_nothing() {
    let ground = Ground::new();
    let camera = Line::new(&format!("{} ! {H264} ! queue ! {}", live_pictures(), ground.sink("door")));
    camera.play();
    camera.until_stat("num-fragments-persisted", 1);
    for properties in ["", "from=-10min"] {
        let reader = Reader::of(&ground, "door", properties);
        reader.line.play();
        reader.until_frames("video_0", 10);
        reader.line.set(gst::State::Paused);
        let sent = camera.stat("num-frames-sent");
        camera.until_stat("num-frames-sent", sent + 15);
        reader.line.play();
        let had = reader.came("video_0").frames.len();
        reader.until_frames("video_0", had + 25);
        let frames = reader.came("video_0").frames;
        for pair in frames.windows(2) {
            let step = pair[1].utc - pair[0].utc;
            assert!(
                (50_000_000..400_000_000).contains(&step),
                "{properties}: {step} ns behind {}",
                pair[0].utc
            );
        }
    }
}

#[test]
fn tracks_can_be_chosen() {
    let ground = recorded();
    let reader = Reader::of(&ground, "door", RANGE);
    let bus = reader.line.pipeline.bus().unwrap();
    let chosen = reader.line.sink.clone();
    // As soon as it is known what there is, from whatever thread says so.
    bus.set_sync_handler(move |_, message| {
        if let gst::MessageView::StreamCollection(collection) = message.view() {
            let collection = collection.stream_collection();
            assert_eq!(collection.len(), 2);
            let ids: Vec<_> =
                collection.iter().map(|stream| stream.stream_id().unwrap().to_string()).collect();
            assert_eq!(ids, ["door/video_0", "door/audio_0"]);
            chosen.send_event(gst::event::SelectStreams::new(["door/audio_0"]));
        }
        gst::BusSyncReply::Pass
    });
    reader.play_to_the_end();
    assert_eq!(reader.pads(), ["audio_0"]);
    bus.unset_sync_handler();
}

#[test]
fn tracks_can_be_chosen_again_and_again() {
    let ground = recorded();
    let reader = Reader::of(&ground, "door", RANGE);
    reader.play_to_the_end();
    let source = &reader.line.sink;
    for wanted in
        [&["audio_0"][..], &["audio_0", "video_0"], &["video_0"], &["audio_0"], &["audio_0", "video_0"]]
    {
        let ids: Vec<_> = wanted.iter().map(|name| format!("door/{name}")).collect();
        let choice = gst::event::SelectStreams::new(ids.iter().map(String::as_str));
        assert!(source.send_event(choice.clone()));
        reader.output.lock().unwrap().values_mut().for_each(|came| came.events.clear());
        source.seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::ZERO).unwrap();
        reader.line.until(&format!("{wanted:?}"), |_| {
            let mut there: Vec<_> = source.src_pads().iter().map(|pad| pad.name().to_string()).collect();
            there.sort_unstable();
            there == wanted && wanted.iter().all(|name| reader.came(name).has_ended())
        });
        for name in wanted {
            assert!(!reader.came(name).frames.is_empty(), "{name} of {wanted:?}");
        }
        let selected = reader.line.last(gst::MessageType::StreamsSelected).unwrap();
        assert_eq!(selected.seqnum(), choice.seqnum());
        let gst::MessageView::StreamsSelected(said) = selected.view() else { unreachable!() };
        assert_eq!(said.streams().len(), wanted.len());
        let queue = source.downcast_ref::<gst::Bin>().unwrap().by_name("queue").unwrap();
        assert_eq!(queue.sink_pads().len(), wanted.len());
    }
}

#[test]
fn a_track_that_is_not_wanted_any_more_ends_while_it_plays() {
    let ground = recorded();
    let source = format!("{} {RANGE}", ground.source("door"));
    let reader = Reader::with(&source, "queue max-size-buffers=1 ! fakesink sync=true");
    reader.line.play();
    reader.until_frames("video_0", 3);
    assert!(reader.line.sink.send_event(gst::event::SelectStreams::new(["door/audio_0"])));
    reader.line.until("the end", |line| line.has(gst::MessageType::Eos));
    let pads: Vec<_> = reader.line.sink.src_pads().iter().map(|pad| pad.name().to_string()).collect();
    assert!(!pads.contains(&"video_0".to_owned()) || reader.came("video_0").has_ended(), "{pads:?}");
}

#[test]
fn what_cannot_be_is_refused_before_anything_starts() {
    super::common::line::init();
    for (properties, said) in [
        ("", "`stream-name` is not set"),
        ("stream-name=door from=soon", "`from`: a time is such as"),
        ("stream-name=door from=now to=0", "is before `from`"),
        ("stream-name=door from=0 after-fragment=1", "both say where to begin"),
        ("stream-name=door start-selector=producer-timestamp", "needs `start-timestamp`"),
        ("stream-name=door endpoint=nowhere", "`endpoint`: "),
    ] {
        let line = Line::new(&format!("kvssrc name=k {properties} ! fakesink"));
        assert!(line.pipeline.set_state(gst::State::Ready).is_err(), "{properties}");
        let errors = line.errors();
        assert!(errors.len() == 1 && errors[0].contains(said), "{properties}: {errors:?}");
    }
}

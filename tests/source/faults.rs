//! Everything that breaks on the way: each frame comes out once, in order, whatever it is.

use serde_json::json;

use super::START;
use super::common::reader::Got;
use super::common::{Ground, H264, Line, Reader, live_pictures, pictures};

fn camera(ground: &Ground) -> Line {
    let line = Line::new(&format!("{} ! {H264} ! queue ! {}", live_pictures(), ground.sink("door")));
    line.play();
    line.until_stat("num-fragments-persisted", 2);
    line
}

/// Every frame once, in order: none is missing, none comes twice.
fn assert_whole(frames: &[Got]) {
    for pair in frames.windows(2) {
        let step = pair[1].utc - pair[0].utc;
        assert!((50_000_000..400_000_000).contains(&step), "{step} ns behind {}", pair[0].utc);
        // Time is where it was, whatever happened in between.
        assert_eq!(i64::try_from(pair[1].pts).unwrap() - i64::try_from(pair[0].pts).unwrap(), step);
    }
}

#[test]
fn calls_that_end_all_the_time_are_not_seen() {
    for fault in [
        json!({ "what": { "end_get_media": { "millis": 700 } } }),
        json!({ "what": { "close_after": { "bytes": 30_000 } } }),
    ] {
        let ground = Ground::with(|config| {
            config.allow_faults = true;
            config.limits.get_media_calls = 100;
        });
        let camera = camera(&ground);
        for properties in ["start-selector=earliest", "from=-10min"] {
            ground.fault(fault.clone());
            let reader = Reader::of(&ground, "door", properties);
            reader.line.play();
            let had = camera.stat("num-frames-sent");
            reader.until_frames("video_0", usize::try_from(had).unwrap() + 30);
            assert_whole(&reader.came("video_0").frames);
            ground.clear_faults();
        }
    }
}

#[test]
fn what_is_cut_within_a_fragment_goes_on_where_it_was() {
    let h264 = H264.replace("key-int-max=10", "key-int-max=20");
    assert_ne!(h264, H264);
    // Somewhere in the second fragment.
    let reset = json!({ "times": 5, "what": { "reset_after": { "bytes": 20_000 } } });
    let close = json!({ "times": 5, "what": { "close_after": { "bytes": 20_000 } } });
    for (properties, fault) in [
        ("", &close),
        ("start-selector=earliest", &reset),
        ("timeline=server start-selector=earliest", &reset),
        ("timeline=server from=-10min", &close),
    ] {
        let ground = Ground::with(|config| {
            config.allow_faults = true;
            config.limits.get_media_calls = 100;
        });
        let sink = ground.sink("door");
        let camera = Line::new(&format!("{} ! {h264} ! queue ! {sink}", live_pictures()));
        camera.play();
        camera.until_stat("num-fragments-persisted", 1);
        ground.fault(fault.clone());
        let reader = Reader::of(&ground, "door", properties);
        reader.line.play();
        reader.line.until_stat("num-duplicate-frames", 5);
        let had = reader.came("video_0").frames.len();
        reader.until_frames("video_0", had + 15);
        let frames = reader.came("video_0").frames;
        if properties.starts_with("timeline") {
            assert_whole_by_the_service(&frames);
        } else {
            assert_whole(&frames);
        }
        assert!(reader.line.said("kvs-repaired").is_empty());
        assert_eq!(reader.line.stat("num-time-moved"), 0);
    }
}

/// Every frame once, in order, and each fragment in one piece.
fn assert_whole_by_the_service(frames: &[Got]) {
    for pair in frames.windows(2) {
        let step = pair[1].utc - pair[0].utc;
        assert!((50_000_000..400_000_000).contains(&step), "{step} ns behind {}", pair[0].utc);
        let shown = i64::try_from(pair[1].pts).unwrap() - i64::try_from(pair[0].pts).unwrap();
        assert!(shown > 0 && (shown == step || pair[1].key), "{shown} for {step} behind {}", pair[0].utc);
    }
}

#[test]
fn lists_in_no_order_and_late_are_not_seen() {
    let ground = Ground::with(|config| {
        config.allow_faults = true;
        config.limits.fragment_metadata_points = 1_000_000;
    });
    let camera = camera(&ground);
    camera.until_stat("num-fragments-persisted", 6);
    ground.fault(json!({ "what": "shuffle_lists" }));
    ground.fault(json!({ "what": { "list_late": { "millis": 1_500 } } }));
    let reader = Reader::of(&ground, "door", "from=-10min");
    reader.line.play();
    reader.until_frames("video_0", 90);
    assert_whole(&reader.came("video_0").frames);
}

/// Sixty pictures in six fragments, as lists have them.
fn archive() -> Ground {
    let ground = Ground::with(|config| config.allow_faults = true);
    ground.record("door", &format!("{} ! {H264} ! k.", pictures(60)), START);
    ground.settle();
    ground
}

/// The numbers of its fragments, each with those of the pictures in it: how many there are depends on how fast they came.
fn pictures_of(ground: &Ground) -> Vec<(String, std::ops::Range<i64>)> {
    let mut begin = 0;
    let of = |row: &serde_json::Value| {
        let last = row["FragmentLengthInMilliseconds"].as_i64().unwrap() / 100;
        let pictures = begin..begin + last + 1;
        begin = pictures.end;
        (row["FragmentNumber"].as_str().unwrap().to_owned(), pictures)
    };
    let all: Vec<_> = ground.listed("door").iter().map(of).collect();
    assert!(all.len() >= 3 && begin == 60, "{all:?}");
    all
}

/// The numbers of pictures, by their times.
fn numbered(frames: &[Got]) -> Vec<i64> {
    frames.iter().map(|frame| (frame.utc - START + 50_000_000) / 100_000_000).collect()
}

const RANGE: &str = "from=2026-11-20T03:00:00Z to=2026-11-20T04:00:00Z";

#[test]
fn damage_on_the_way_is_not_seen_when_it_does_not_last() {
    for (properties, live) in [(RANGE, false), ("start-selector=earliest", true)] {
        let ground = archive();
        // The first document, and the inside of one that comes later.
        for at in [0, 3, 30_000] {
            ground.fault(json!({ "times": 1, "what": { "damage_media": { "at": at } } }));
        }
        let reader = Reader::of(&ground, "door", properties);
        if live {
            reader.line.play();
            reader.until_frames("video_0", 60);
        } else {
            reader.play_to_the_end();
        }
        let frames = reader.came("video_0").frames;
        assert_eq!(frames.len(), 60, "{properties}");
        assert_whole(&frames);
        assert!(reader.line.stat("num-reconnects") >= 2, "{}", reader.line.stats());
        assert!(reader.line.errors().is_empty());
    }
}

#[test]
fn damage_that_lasts_costs_what_is_damaged_and_is_said() {
    let ground = archive();
    // Each answer that is asked for, until the first fragment of it is given up.
    ground.fault(json!({ "times": 4, "what": { "damage_media": { "at": 0 } } }));
    let reader = Reader::of(&ground, "door", RANGE);
    reader.play_to_the_end();
    let rest = pictures_of(&ground)[0].1.end..60;
    assert_eq!(numbered(&reader.came("video_0").frames), rest.collect::<Vec<_>>());
    let dropped = reader.line.said("kvs-dropped");
    assert_eq!(dropped.len(), 1);
    assert_eq!(dropped[0].get::<&str>("reason").unwrap(), "damaged");
    assert_eq!(reader.line.stat("num-lost"), 1);
}

#[test]
fn a_range_of_which_nothing_can_be_read_is_one_clear_error() {
    let ground = Ground::with(|config| config.allow_faults = true);
    ground.record("door", &format!("{} ! {H264} ! k.", pictures(10)), START);
    ground.settle();
    let number = ground.listed("door")[0]["FragmentNumber"].clone();
    let lose = json!({ "what": { "lose_fragment": { "number": number } } });
    for (fault, reason) in
        [(lose, "missing"), (json!({ "what": { "damage_media": { "at": 0 } } }), "damaged")]
    {
        ground.fault(fault);
        let reader = Reader::of(&ground, "door", RANGE);
        reader.line.play();
        let errors =
            reader.line.wait("an error", |line| Some(line.errors()).filter(|errors| !errors.is_empty()));
        assert!(errors.len() == 1 && errors[0].contains("nothing of the range can be read"), "{errors:?}");
        let dropped = reader.line.said("kvs-dropped");
        assert_eq!(dropped.len(), 1);
        assert_eq!(dropped[0].get::<&str>("reason").unwrap(), reason);
        reader.line.set(gst::State::Null);
        assert_eq!(reader.line.errors().len(), 1);
        ground.clear_faults();
        ground.settle();
    }
}

#[test]
fn a_fragment_that_is_missing_is_said_and_the_rest_comes_out() {
    let ground = archive();
    let all = pictures_of(&ground);
    let (number, pictures) = &all[1];
    ground.fault(json!({ "what": { "lose_fragment": { "number": number } } }));
    let reader = Reader::of(&ground, "door", RANGE);
    reader.play_to_the_end();
    let rest: Vec<_> = (0..pictures.start).chain(pictures.end..60).collect();
    assert_eq!(numbered(&reader.came("video_0").frames), rest);
    let dropped = reader.line.said("kvs-dropped");
    assert_eq!(dropped.len(), 1);
    assert_eq!(dropped[0].get::<&str>("fragment-number").unwrap(), number);
    assert_eq!(reader.line.stat("num-lost"), 1);
    assert!(reader.line.errors().is_empty());
}

#[test]
fn a_stream_that_is_deleted_while_it_plays_is_one_clear_error() {
    let ground = archive();
    let reader = Reader::of(&ground, "door", "start-selector=earliest");
    reader.line.play();
    reader.until_frames("video_0", 60);
    ground.delete("door");
    let errors = reader.line.wait("an error", |line| Some(line.errors()).filter(|errors| !errors.is_empty()));
    assert!(errors.len() == 1 && errors[0].starts_with("door: "), "{errors:?}");
}

#[test]
fn a_service_that_is_started_again_is_read_on_from_where_it_was() {
    let mut ground = Ground::new();
    let camera = camera(&ground);
    let reader = Reader::of(&ground, "door", "from=-10min");
    reader.line.play();
    reader.line.until("the tip", |line| line.stats().get::<bool>("at-tip").unwrap());
    let folder = ground.stop();
    ground.start_again(folder);
    camera.until_stat("num-reconnects", 1);
    let had = reader.came("video_0").frames.len();
    reader.until_frames("video_0", had + 40);
    assert_whole(&reader.came("video_0").frames);
    let states: Vec<_> = reader.line.connections();
    assert!(states.contains(&"waiting".to_owned()), "{states:?}");
}

#[test]
fn a_slow_consumer_holds_the_service_and_loses_nothing() {
    let ground = Ground::new();
    let camera = camera(&ground);
    camera.until_stat("num-fragments-persisted", 5);
    // It plays in real time what is read much faster.
    let source = format!("{} from=-10min prefetch-bytes=4000", ground.source("door"));
    let reader = Reader::with(&source, "fakesink sync=true async=false");
    reader.line.play();
    reader.until_frames("video_0", 70);
    let held: u64 = reader.line.stat("held-bytes");
    assert!(held <= 200_000, "{held}");
    assert_whole(&reader.came("video_0").frames);
}

#[test]
fn no_permission_is_one_clear_error() {
    let ground = Ground::with(|config| config.allow_faults = true);
    let camera = camera(&ground);
    ground.fault(json!({ "what": { "refuse": { "operation": "GetMedia", "status": 403 } } }));
    let reader = Reader::of(&ground, "door", "");
    reader.line.play();
    let errors = reader.line.wait("an error", |line| Some(line.errors()).filter(|errors| !errors.is_empty()));
    assert!(errors.len() == 1 && errors[0].starts_with("door: "), "{errors:?}");
    reader.line.set(gst::State::Null);
    assert_eq!(reader.line.errors().len(), 1);
    camera.end();
}

//! What is followed from a place on.

use gst::prelude::*;

use super::START;
use super::common::reader::Got;
use super::common::{Ground, H264, Line, Reader, live_pictures, pictures};

#[test]
fn what_was_recorded_comes_out_when_it_is_followed_from_the_earliest_on() {
    let ground = Ground::new();
    ground.record("door", &format!("{} ! {H264} ! k.", pictures(45)), START);
    let reader = Reader::of(&ground, "door", "start-selector=earliest");
    reader.line.play();
    reader.until_frames("video_0", 45);
    let came = reader.came("video_0");
    assert_eq!(reader.pads(), ["video_0"]);
    let first = &came.frames[0];
    for (at, frame) in came.frames.iter().enumerate() {
        let at = u64::try_from(at).unwrap();
        let utc = (START + i64::try_from(at).unwrap() * 100_000_000) / 1_000_000 * 1_000_000;
        assert_eq!(frame.utc, utc);
        assert_eq!(frame.pts - first.pts, u64::try_from(frame.utc - first.utc).unwrap());
        assert_eq!(frame.dts, Some(frame.pts));
        assert_eq!(frame.key, at % 10 == 0);
        assert_eq!(frame.discont, at == 0);
    }
}

#[test]
fn what_is_sent_twice_comes_out_once_and_is_counted() {
    let ground = Ground::new();
    for _ in 0..2 {
        ground.record("door", &format!("{} ! {H264} ! k.", pictures(10)), START);
    }
    let reader = Reader::of(&ground, "door", "start-selector=earliest");
    reader.line.play();
    reader.line.until_stat("num-duplicates", 1);
    reader.until_frames("video_0", 10);
    assert_eq!(reader.came("video_0").frames.len(), 10);
    assert_eq!(reader.line.stat("num-duplicates"), 1);
    assert!(reader.line.said("kvs-repaired").is_empty());
}

#[test]
fn every_selector_begins_where_it_says() {
    let ground = Ground::new();
    ground.record("door", &format!("{} ! {H264} ! k.", pictures(60)), START);
    let reader = Reader::of(&ground, "door", "start-selector=earliest");
    reader.line.play();
    reader.until_frames("video_0", 60);
    let frames = reader.came("video_0").frames;
    let done =
        |line: &Line| line.said("kvs-fragment").into_iter().find(|said| said.has_field("continuation-token"));
    let token: String = reader.line.wait("a token", done).get("continuation-token").unwrap();
    let fragment = |of: &Got, field: &str| of.fragment.get::<u64>(field).unwrap();
    let seconds = |nanos: u64| format!("{}.{:03}", nanos / 1_000_000_000, nanos / 1_000_000 % 1_000);
    let first = frames[0].number();
    let second = frames.iter().find(|frame| frame.number() != first).unwrap();
    let at = frames.iter().position(|frame| frame.number() == second.number()).unwrap();
    // They came faster than they last: at that time the first is still going on, by the service's clock.
    let server = seconds(fragment(second, "server-time"));
    // In the middle of the fragment.
    let producer = seconds(u64::try_from(frames[at + 3].utc).unwrap());
    for (properties, at) in [
        (format!("after-fragment={first}"), at),
        (format!("start-selector=fragment-number after-fragment={first}"), at),
        (format!("start-selector=server-timestamp start-timestamp={server}"), 0),
        (format!("start-selector=producer-timestamp start-timestamp={producer}"), at),
    ] {
        let reader = Reader::of(&ground, "door", &properties);
        reader.line.play();
        reader.until_frames("video_0", 60 - at);
        let utc: Vec<_> = reader.came("video_0").frames.iter().map(|frame| frame.utc).collect();
        let expected: Vec<_> = frames[at..].iter().map(|frame| frame.utc).collect();
        assert_eq!(utc, expected, "{properties}");
    }
    // The token is that of the first fragment that was whole.
    let reader = Reader::of(&ground, "door", &format!("continuation-token={token}"));
    reader.line.play();
    reader.until_frames("video_0", 60 - at);
    assert_eq!(reader.came("video_0").frames[0].utc, second.utc);
}

/// A camera that sends for as long as the line is there.
fn camera(ground: &Ground, stream: &str) -> Line {
    let line = Line::new(&format!("{} ! {H264} ! queue ! {}", live_pictures(), ground.sink(stream)));
    line.play();
    line
}

/// Every frame once, in order.
fn assert_seamless(frames: &[Got]) {
    for pair in frames.windows(2) {
        let step = pair[1].utc - pair[0].utc;
        // By the tick, and the pace of a busy machine.
        assert!((50_000_000..400_000_000).contains(&step), "{step} ns behind {}", pair[0].utc);
        assert_eq!(i64::try_from(pair[1].pts).unwrap() - i64::try_from(pair[0].pts).unwrap(), step);
    }
}

#[test]
fn what_happens_now_comes_out_now() {
    let ground = Ground::new();
    let camera = camera(&ground, "door");
    camera.until_stat("num-fragments-persisted", 1);
    let reader = Reader::of(&ground, "door", "latency=300000000");
    reader.line.play();
    reader.until_frames("video_0", 25);
    let frames = reader.came("video_0").frames;
    assert!(frames[0].key);
    assert_seamless(&frames);
    let mut latency = gst::query::Latency::new();
    assert!(reader.line.sink.query(&mut latency));
    assert_eq!(latency.result(), (true, gst::ClockTime::from_mseconds(300), None));
    let mut seeking = gst::query::Seeking::new(gst::Format::Time);
    assert!(reader.line.sink.query(&mut seeking) && !seeking.result().0);
    let flags = gst::SeekFlags::FLUSH;
    assert!(reader.line.pipeline.seek_simple(flags, gst::ClockTime::ZERO).is_err());
    // The first frame is shown when it comes; the latest is as old as the fragment was then.
    let running = reader.line.pipeline.current_running_time().unwrap().nseconds();
    assert!(frames[0].pts < running, "{} of {running}", frames[0].pts);
    // A frame is at the pad well before its fragment is whole.
    reader.until_frames("video_0", frames.len() + 5);
    let now = kvs_client::clock::utc().nanos();
    let latest = reader.came("video_0").frames.last().unwrap().utc;
    assert!(now - latest < 900_000_000, "{} ms old", (now - latest) / 1_000_000);
    reader.line.until("how far it is behind", |line| line.stats().has_field("behind-time"));
    let behind = reader.line.stat("behind-time");
    assert!(behind < 2_000_000_000, "{behind}");
}

#[test]
fn the_archive_goes_over_into_what_happens_now_and_back() {
    let ground = Ground::new();
    let camera = camera(&ground, "door");
    camera.until_stat("num-fragments-persisted", 3);
    let reader = Reader::of(&ground, "door", "from=-10min");
    reader.line.play();
    let at_tip = |reader: &Reader| reader.line.stats().get::<bool>("at-tip").unwrap();
    reader.line.until("the tip", |_| at_tip(&reader));
    let recorded = reader.came("video_0").frames.len();
    reader.until_frames("video_0", recorded + 15);
    let first = reader.came("video_0").frames;
    assert_seamless(&first);
    assert_eq!(first[0].pts, 0);
    let mut latency = gst::query::Latency::new();
    assert!(reader.line.sink.query(&mut latency) && !latency.result().0);
    // Back to the beginning, and on into what happens now again.
    reader.line.pipeline.seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::ZERO).unwrap();
    reader.line.until("what came after the seek", |_| {
        let came = reader.came("video_0");
        came.flushes == 1 && came.frames.len() > first.len() + 5
    });
    let again = reader.came("video_0").frames;
    assert_seamless(&again);
    assert_eq!((again[0].utc, again[0].pts), (first[0].utc, 0));
    let duration: gst::ClockTime = reader.line.sink.query_duration().unwrap();
    assert!(duration.nseconds() >= first.last().unwrap().pts);
    // To a key frame, it goes on into what happens now as well.
    use gst::SeekFlags as Flags;
    let flags = Flags::FLUSH | Flags::KEY_UNIT | Flags::SNAP_AFTER;
    reader.line.pipeline.seek_simple(flags, gst::ClockTime::from_mseconds(500)).unwrap();
    reader.line.until("what came after that", |_| {
        let came = reader.came("video_0");
        came.flushes == 2 && came.frames.len() > first.len() + 5
    });
    assert_seamless(&reader.came("video_0").frames);
    assert_eq!(reader.line.stat("num-lost"), 0);
}

#[test]
fn a_camera_whose_clock_goes_back_is_followed_all_the_same() {
    let ground = Ground::new();
    let before = camera(&ground, "door");
    before.until_stat("num-fragments-persisted", 1);
    let reader = Reader::of(&ground, "door", "from=-20s");
    reader.line.play();
    reader.line.until("the tip", |line| line.stats().get::<bool>("at-tip").unwrap());
    before.end();
    let hour_ago = kvs_client::clock::utc().nanos() - 3_600_000_000_000;
    let sink = ground.sink("door");
    let line = format!("{} ! {H264} ! queue ! {sink} start-time={hour_ago}", live_pictures());
    let again = Line::new(&line);
    again.play();
    let since = |reader: &Reader| {
        let frames = reader.came("video_0").frames;
        let at = frames.iter().position(|frame| frame.utc < hour_ago + 1_800_000_000_000);
        (at.unwrap_or(frames.len()), frames)
    };
    reader.line.until("what comes by the other clock", |_| {
        let (at, frames) = since(&reader);
        frames.len() >= at + 25
    });
    let (at, frames) = since(&reader);
    // From the first one on.
    assert!(frames[at].utc - hour_ago < 1_000_000_000 && frames[at].key && frames[at].discont);
    assert_seamless(&frames[..at]);
    assert_seamless(&frames[at..]);
    assert!((1..2_000_000_000).contains(&(frames[at].pts - frames[at - 1].pts)));
    let said = reader.line.said("kvs-repaired");
    assert!(said.len() == 1 && said[0].get::<&str>("kind").unwrap() == "time-moved", "{said:?}");
    assert_eq!((reader.line.stat("num-time-moved"), reader.line.stat("num-before-origin")), (1, 0));
}

#[test]
fn a_stream_that_is_not_there_is_one_clear_error() {
    let ground = Ground::new();
    for properties in ["", "from=-10min"] {
        let reader = Reader::of(&ground, "nowhere", properties);
        reader.line.play();
        let errors =
            reader.line.wait("an error", |line| Some(line.errors()).filter(|errors| !errors.is_empty()));
        assert!(errors.len() == 1 && errors[0].starts_with("nowhere: "), "{errors:?}");
        reader.line.set(gst::State::Null);
        assert_eq!(reader.line.errors().len(), 1);
    }
}

#[test]
fn a_stream_to_which_nothing_is_sent_is_said_to_be_silent() {
    let ground = Ground::new();
    ground.create("door");
    let reader = Reader::of(&ground, "door", "no-data-timeout=2000000000");
    reader.line.play();
    let said = reader.line.wait("kvs-no-data", |line| line.said("kvs-no-data").into_iter().next());
    assert!(said.get::<u64>("since").unwrap() >= 2_000_000_000);
    // And what comes then comes out soon.
    let camera = camera(&ground, "door");
    camera.until_stat("num-frames-sent", 1);
    let begun = std::time::Instant::now();
    reader.until_frames("video_0", 1);
    assert!(begun.elapsed() < std::time::Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn a_service_that_does_not_answer_is_said_to_be_silent_too() {
    let ground = Ground::new();
    ground.create("door");
    for properties in ["", "from=-10min"] {
        for refuses in [true, false] {
            ground.path.weather(|weather| (weather.refuses, weather.hole) = (refuses, !refuses));
            let reader = Reader::of(&ground, "door", &format!("no-data-timeout=2000000000 {properties}"));
            reader.line.play();
            let said = reader.line.wait("kvs-no-data", |line| line.said("kvs-no-data").into_iter().next());
            let since = said.get::<u64>("since").unwrap();
            assert!((2_000_000_000..6_000_000_000).contains(&since), "{properties}, {refuses}: {since}");
            reader.line.set(gst::State::Null);
            // Once is enough.
            assert_eq!(reader.line.said("kvs-no-data").len(), 1);
        }
    }
}

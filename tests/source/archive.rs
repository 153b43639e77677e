//! What was recorded.

use gst::prelude::*;

use super::START;
use super::common::{Ground, H264, Line, Reader, pictures};

const MS: i64 = 1_000_000;
const RANGE: &str = "from=2026-11-20T03:00:00Z to=2026-11-20T04:00:00Z";

fn ground_truth(count: i64) -> Vec<i64> {
    (0..count).map(|at| (START + at * 100 * MS) / MS * MS).collect()
}

#[test]
fn a_range_comes_out_whole_and_ends() {
    let ground = Ground::new();
    ground.record("door", &format!("{} ! {H264} ! k.", pictures(45)), START);
    let reader = Reader::of(&ground, "door", "from=2026-11-20T03:00:00Z to=2026-11-20T04:00:00Z");
    reader.play_to_the_end();
    let came = reader.came("video_0");
    let utc: Vec<_> = came.frames.iter().map(|frame| frame.utc).collect();
    assert_eq!(utc, ground_truth(45));
    for frame in &came.frames {
        assert_eq!(frame.pts, u64::try_from(frame.utc - utc[0]).unwrap());
        assert_eq!(frame.segment.start(), Some(gst::ClockTime::ZERO));
    }
    let pipeline = &reader.line.pipeline;
    let duration: gst::ClockTime = reader.line.sink.query_duration().expect("no duration");
    // To the end of the last frame.
    assert_eq!(duration.nseconds(), u64::try_from(utc[44] - utc[0] + 100 * MS).unwrap());
    let mut seeking = gst::query::Seeking::new(gst::Format::Time);
    assert!(pipeline.query(&mut seeking));
    let (seekable, start, end) = seeking.result();
    assert!(seekable);
    assert_eq!((start, end), (gst::ClockTime::ZERO.into(), Some(duration).into()));
    assert_eq!(reader.line.said("kvs-fragment").len(), 5);
}

#[test]
fn a_range_ends_where_it_is_to_and_begins_with_the_fragment_that_covers_its_beginning() {
    let ground = Ground::new();
    ground.record("door", &format!("{} ! {H264} ! k.", pictures(45)), START);
    let utc = ground_truth(45);
    let at = |index: usize| format!("{}.{:03}", utc[index] / 1_000_000_000, utc[index] / MS % 1_000);
    let reader = Reader::of(&ground, "door", &format!("from={} to={}", at(15), at(33)));
    reader.play_to_the_end();
    let came: Vec<_> = reader.came("video_0").frames.iter().map(|frame| frame.utc).collect();
    assert_eq!(came, utc[10..=33]);
}

#[test]
fn a_range_is_as_long_as_what_is_in_it_and_ends_there() {
    let ground = Ground::new();
    let vp8 = "vp8enc deadline=1 keyframe-max-dist=10";
    let sound = "audiotestsrc num-buffers=94 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=1 ! voaacenc ! aacparse";
    ground.record("told", &format!("{} ! {H264} ! k.", pictures(45)), START);
    ground.record("seen", &format!("{} ! {vp8} ! k.", pictures(45)), START);
    ground.record(
        "two",
        &format!("{} ! {H264} ! queue ! k.video_0 {sound} ! queue ! k.audio_0", pictures(45)),
        START,
    );
    let nanos = |span: gst::ClockTime| i64::try_from(span.nseconds()).unwrap();
    let last = format!("from=0 to={}", (START + 3_350 * MS) / 1_000_000_000);
    for (stream, range, length) in [
        // How long a frame lasts is in its header, or seen.
        ("told", RANGE, 4_500 * MS),
        ("seen", RANGE, 4_500 * MS),
        ("two", RANGE, 4_500 * MS),
        // It goes on behind the range.
        ("told", &last, 3_084 * MS + 1),
    ] {
        let reader = Reader::of(&ground, stream, range);
        reader.play_to_the_end();
        reader.line.until("the end", |line| line.has(gst::MessageType::Eos));
        let duration: gst::ClockTime = reader.line.sink.query_duration().expect("no duration");
        let position: gst::ClockTime = reader.line.pipeline.query_position().expect("no position");
        let what = format!("{stream}, {range}: {position} of {duration}");
        assert!((nanos(duration) - length).abs() <= MS, "{what}");
        // How long a frame lasts that nothing tells, it does not say itself.
        let unsaid = if stream == "seen" { 100 * MS } else { 0 };
        assert!(position <= duration && nanos(duration - position) <= unsaid, "{what}");
        let frames = reader.came("video_0").frames;
        // What is said is said of all of it.
        let said = reader.line.last(gst::MessageType::DurationChanged);
        assert!(said.is_some() && frames.len() > 20, "{what}");
    }
}

#[test]
fn a_range_in_which_nothing_is_has_one_clear_error() {
    let ground = Ground::new();
    ground.record("door", &format!("{} ! {H264} ! k.", pictures(15)), START);
    let reader = Reader::of(&ground, "door", "from=2025-11-20T03:00:00Z to=2025-11-20T04:00:00Z");
    reader.line.play();
    let errors = reader.line.wait("an error", |line| Some(line.errors()).filter(|errors| !errors.is_empty()));
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("door: "), "{errors:?}");
    reader.line.set(gst::State::Null);
    assert_eq!(reader.line.errors().len(), 1);
}

#[test]
fn by_the_services_clock_fragments_come_when_they_came_in() {
    let ground = Ground::new();
    ground.record("door", &format!("{} ! {H264} ! k.", pictures(45)), START);
    // Its producer's time is long ago.
    let reader = Reader::of(&ground, "door", "timeline=server from=-10min to=now");
    reader.play_to_the_end();
    let frames = reader.came("video_0").frames;
    assert_eq!(frames.iter().map(|frame| frame.utc).collect::<Vec<_>>(), ground_truth(45));
    let times: Vec<_> = frames.iter().map(|frame| frame.pts).collect();
    assert!(times[0] == 0 && times.is_sorted_by(|one, other| one < other), "{times:?}");
    // It was sent in one go, and lies end to end.
    assert!(*times.last().unwrap() <= 4_400_000_000 && reader.line.stat("num-server-time-moved") > 0);
}

#[test]
fn what_was_recorded_together_has_the_same_times() {
    let ground = Ground::new();
    let names = ["left", "middle", "right"];
    let sinks: Vec<_> = names
        .iter()
        .map(|name| {
            format!(
                "t. ! queue ! {}",
                ground
                    .sink(name)
                    .replace("name=k ", &format!("name={} ", if *name == "left" { "k" } else { name }))
            )
        })
        .collect();
    let source = pictures(30).replace("num-buffers=30", "is-live=true num-buffers=30");
    let line = Line::new(&format!("{source} ! {H264} ! tee name=t {}", sinks.join(" ")));
    line.play_to_the_end();
    let utc = names.map(|name| {
        let reader = Reader::of(&ground, name, "from=-10min");
        reader.line.play();
        reader.until_frames("video_0", 30);
        reader.came("video_0").frames.iter().map(|frame| frame.utc).collect::<Vec<_>>()
    });
    assert_eq!(utc[0].len(), 30);
    for other in &utc[1..] {
        for (one, other) in utc[0].iter().zip(other) {
            assert!((one - other).abs() <= MS, "{one} and {other}");
        }
    }
}

#[test]
fn what_nobody_knows_comes_out_as_it_is_with_a_warning() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "{} ! {H264} ! k.video_0 {} codec-id=V_ELSE start-time={START}",
        pictures(25),
        ground.sink("door")
    ));
    line.play_to_the_end();
    let reader = Reader::of(&ground, "door", RANGE);
    reader.play_to_the_end();
    let frames = reader.came("video_0").frames;
    assert_eq!(frames.len(), 25);
    let structure = frames[0].caps.structure(0).unwrap();
    assert_eq!(structure.name(), "application/x-kvs-unknown");
    assert_eq!((structure.get("codec-id"), structure.get("kind")), (Ok("V_ELSE"), Ok("video")));
    let warnings = reader.line.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("V_ELSE"), "{warnings:?}");
}

//! More comes than the path carries: what becomes of it is what `buffer-policy` says, whole, counted and bounded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kvs_media::TrackKind;

use common::stored::frames_of;
use common::{Ground, Line, record};

/// A megabyte, which is what the sinks here may hold.
const STORAGE: u64 = 1 << 20;

/// Noise, which does not compress: about 300 kB a second in fragments of half a second.
fn noise(live: bool, count: u32) -> String {
    format!(
        "videotestsrc is-live={live} num-buffers={count} pattern=snow \
         ! video/x-raw,width=320,height=240,framerate=20/1 \
         ! x264enc key-int-max=10 bframes=0 speed-preset=ultrafast tune=zerolatency bitrate=2400 vbv-buf-capacity=200 \
         ! h264parse ! queue"
    )
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn over_a_slow_path_the_oldest_whole_fragments_of_a_live_source_go() {
    std::thread::scope(|scope| {
        for policy in ["auto", "drop-oldest"] {
            scope.spawn(move || drop_the_oldest(policy));
        }
    });
}

fn drop_the_oldest(policy: &str) {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "{} ! {} storage-size=1 buffer-policy={policy}",
        noise(true, 300),
        ground.sink("slow")
    ));
    let taken = record(&line.pad("video_0"));
    line.play();
    line.until_stat("num-frames-persisted", 20);
    let before = resident();
    ground.path.weather(|weather| weather.rate = Some(40_000));
    line.until_stat("num-frames-dropped", 60);
    assert!(line.stat("held-bytes") < STORAGE + STORAGE / 2, "{}", line.stats());
    // What is on its way through the path and the service is in this process too.
    assert!(resident() < before + (32 << 20), "{} {before}", resident());
    ground.path.weather(|weather| weather.rate = None);
    line.until_end();
    line.assert_adds_up();
    assert_eq!(line.stat("num-frames-in"), 300);
    let stats = line.stats();
    let said: u64 = line.said("kvs-dropped").iter().map(|said| said.get::<u64>("frames").unwrap()).sum();
    assert_eq!(said, line.stat("num-frames-dropped"), "{stats}");
    for said in line.said("kvs-dropped") {
        assert_eq!(said.get::<&str>("reason"), Ok("full"));
        assert!(said.get::<u64>("first-time").unwrap() <= said.get::<u64>("last-time").unwrap());
    }
    // Every fragment begins with its key frame and has all that came until the next one.
    let taken = taken.lock().unwrap();
    let fragments = ground.stored("slow");
    let mut stored = BTreeSet::new();
    for fragment in &fragments {
        let frames: Vec<_> = fragment.frames_of(TrackKind::Video).collect();
        let at = taken.iter().position(|taken| taken.payload == frames[0].payload[..]).expect("not ours");
        assert!(taken[at].key);
        let whole = taken[at..].iter().skip(1).take_while(|taken| !taken.key).count() + 1;
        assert_eq!(frames.len(), whole);
        assert!(frames.iter().zip(&taken[at..]).all(|(frame, taken)| frame.payload == taken.payload[..]));
        stored.extend(at..at + whole);
    }
    assert_eq!(stored.len() as u64, line.stat("num-frames-persisted"));
}

#[test]
fn over_a_slow_path_a_recording_waits_and_loses_nothing() {
    std::thread::scope(|scope| {
        for more in ["", "buffer-policy=block", "streaming-type=offline"] {
            scope.spawn(move || wait_for_room(more));
        }
    });
}

fn wait_for_room(more: &str) {
    let ground = Ground::new();
    ground.path.weather(|weather| weather.rate = Some(600_000));
    let line = Line::new(&format!("{} ! {} storage-size=1 {more}", noise(false, 200), ground.sink("file")));
    line.play();
    line.until("the end", |line| {
        assert!(line.stat("held-bytes") < STORAGE + STORAGE / 2, "{}", line.stats());
        line.has(gst::MessageType::Eos)
    });
    line.assert_adds_up();
    assert_eq!(line.stat("num-frames-persisted"), 200, "{more}: {}", line.stats());
    assert_eq!(line.stat("num-fragments-resent"), 0, "{more}: {}", line.stats());
    assert_eq!(frames_of(&ground.stored("file"), TrackKind::Video).len(), 200);
}

#[test]
fn who_waits_for_room_can_be_stopped() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "{} ! {} storage-size=1 buffer-policy=block stop-stream-timeout=1",
        noise(false, 2_000),
        ground.sink("stuck")
    ));
    ground.path.weather(|weather| weather.hole = true);
    line.play();
    line.until_stat("held-bytes", STORAGE * 3 / 4);
    let begun = Instant::now();
    line.set(gst::State::Ready);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(line.warnings().iter().any(|text| text.contains("stuck: stopped with")), "{:?}", line.warnings());
}

#[test]
fn no_room_is_one_error_where_that_was_asked_for() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "{} ! {} storage-size=1 buffer-policy=error stop-stream-timeout=1",
        noise(false, 2_000),
        ground.sink("strict")
    ));
    ground.path.weather(|weather| weather.hole = true);
    line.play();
    let found = |line: &Line| line.errors().into_iter().find(|text| text.starts_with("strict: "));
    let text = line.wait("the error", found);
    assert!(text.contains("no room"), "{text}");
    // What upstream makes of it comes after its cause.
    assert!(line.errors().first().is_some_and(|first| first.starts_with("strict: ")), "{:?}", line.errors());
    line.wait("the end of the flow", |line| (line.errors().len() > 1).then_some(()));
    assert_eq!(line.errors().iter().filter(|text| text.starts_with("strict: ")).count(), 1);
}

#[test]
fn a_buffer_that_is_full_in_time_drops_as_one_that_is_full_in_bytes() {
    let ground = Ground::new();
    ground.path.weather(|weather| weather.refuses = true);
    let line = Line::new(&format!(
        "{} ! {} buffer-duration=2 stop-stream-timeout=0",
        noise(true, 400),
        ground.sink("short")
    ));
    line.play();
    line.until_stat("num-frames-dropped", 40);
    let held = Duration::from_nanos(line.stat("held-time"));
    assert!(held < Duration::from_secs(3), "{held:?}");
    line.assert_adds_up();
}

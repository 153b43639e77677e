//! Credentials that expire while a stream is read.

use std::cell::Cell;
use std::time::{Duration, Instant};

use gst::prelude::*;
use serde_json::json;

use super::START;
use super::common::reader::Got;
use super::common::{Ground, H264, Line, Passing, Reader, live_pictures, pictures};

const LIFETIME: Duration = Duration::from_secs(3);

fn ground() -> Ground {
    Ground::with(|config| {
        Passing::prepare(config);
        config.allow_faults = true;
        config.limits.get_media_calls = 100;
    })
}

/// Each a tenth of a second behind the one before: none is missing, none comes twice.
fn assert_whole(frames: &[Got]) {
    for pair in frames.windows(2) {
        let step = pair[1].utc - pair[0].utc;
        assert!((50_000_000..400_000_000).contains(&step), "{step} ns behind {}", pair[0].utc);
        assert!(pair[1].pts > pair[0].pts);
    }
}

/// Others come before they expire, or a while after.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Renewed {
    InTime,
    Late,
}

/// Waits until something is true. The credentials are renewed meanwhile, for a service whose clock is so far ahead.
fn until(
    ground: &Ground,
    (reader, credentials): (&Reader, &Passing),
    (renewed, ahead): (Renewed, Duration),
    holds: impl Fn() -> bool,
) {
    let every = if renewed == Renewed::InTime { LIFETIME / 2 } else { LIFETIME + LIFETIME / 3 };
    let last = Cell::new(Instant::now());
    reader.line.until("what is read with credentials that pass", |_| {
        if last.get().elapsed() >= every {
            last.set(Instant::now());
            credentials.renew(ground.running(), ahead + LIFETIME);
        }
        holds()
    });
}

fn read_what_happens(renewed: Renewed) {
    let (ground, credentials, now) = (ground(), Passing::new(), (renewed, Duration::ZERO));
    let camera = Line::new(&format!("{} ! {H264} ! queue ! {}", live_pictures(), ground.sink("door")));
    camera.play();
    camera.until_stat("num-fragments-persisted", 2);
    // Who has a connection is not asked again: these end.
    ground.fault(json!({ "what": { "end_get_media": { "millis": 700 } } }));
    for properties in ["start-selector=earliest", "from=-10min"] {
        credentials.renew(ground.running(), LIFETIME);
        let source = format!("{} {properties}", ground.source_of("door", &credentials));
        let reader = Reader::with(&source, "fakesink sync=false async=false");
        let begun = Instant::now();
        reader.line.play();
        // Through the ends of three of them.
        until(&ground, (&reader, &credentials), now, || begun.elapsed() > LIFETIME * 3);
        let sent = usize::try_from(camera.stat("num-frames-sent")).unwrap();
        until(&ground, (&reader, &credentials), now, || reader.came("video_0").frames.len() >= sent);
        assert_whole(&reader.came("video_0").frames);
        assert_told(&reader, renewed);
        assert_eq!(reader.line.stat("num-gaps"), 0);
    }
}

/// In time, nobody is refused for it; late, it is waited for. Nothing is lost.
fn assert_told(reader: &Reader, renewed: Renewed) {
    let errors = reader.line.stat("num-errors");
    assert_eq!(errors > 0, renewed == Renewed::Late, "{errors} {:?}", reader.line.said("kvs-connection"));
    assert_eq!(reader.line.stat("num-lost"), 0);
}

fn read_the_archive(renewed: Renewed) {
    const COUNT: usize = 80;
    let (ground, credentials) = (ground(), Passing::new());
    ground.record("door", &format!("{} ! {H264} ! k.", pictures(80)), START);
    // That moves the service's clock.
    ground.settle();
    let ahead = Duration::from_secs(60);
    credentials.renew(ground.running(), ahead + LIFETIME);
    // Answers end within fragments: what is left is fetched anew.
    ground.fault(json!({ "what": { "close_after": { "bytes": 20_000 } } }));
    let range = "from=2026-11-20T03:00:00Z to=2026-11-20T04:00:00Z prefetch-bytes=4000";
    let source = format!("{} {range}", ground.source_of("door", &credentials));
    // As slowly as it was filmed.
    let reader = Reader::with(&source, "fakesink sync=true");
    reader.line.play();
    let came = || reader.came("video_0").frames;
    until(&ground, (&reader, &credentials), (renewed, ahead), || came().len() == COUNT);
    assert_whole(&came());
    // A seek lists and fetches anew.
    reader.line.pipeline.seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::from_seconds(4)).unwrap();
    until(&ground, (&reader, &credentials), (renewed, ahead), || reader.came("video_0").has_ended());
    assert_whole(&came());
    assert_told(&reader, renewed);
}

#[test]
fn what_happens_now_is_read_on_with_credentials_that_pass() {
    read_what_happens(Renewed::InTime);
}

#[test]
fn what_happens_now_is_read_on_when_credentials_come_late() {
    read_what_happens(Renewed::Late);
}

#[test]
fn the_archive_is_read_on_with_credentials_that_pass() {
    read_the_archive(Renewed::InTime);
}

#[test]
fn the_archive_is_read_on_when_credentials_come_late() {
    read_the_archive(Renewed::Late);
}

#[test]
fn who_starts_with_credentials_that_have_expired_waits_for_others() {
    let (ground, credentials) = (ground(), Passing::new());
    ground.record("door", &format!("{} ! {H264} ! k.", pictures(20)), START);
    ground.settle();
    // By the service's clock they have.
    credentials.renew(ground.running(), Duration::from_secs(30));
    let range = "from=2026-11-20T03:00:00Z to=2026-11-20T04:00:00Z";
    let source = format!("{} {range}", ground.source_of("door", &credentials));
    let reader = Reader::with(&source, "fakesink sync=false async=false");
    reader.line.play();
    reader.line.until_stat("num-errors", 4);
    assert!(reader.came("video_0").frames.is_empty());
    credentials.renew(ground.running(), Duration::from_secs(90));
    reader.until_end();
    assert_eq!(reader.came("video_0").frames.len(), 20);
}

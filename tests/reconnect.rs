//! Whatever the path and the service do: it is said in time, nothing is lost, nothing runs hot, nobody waits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gst::prelude::*;
use kvs_media::TrackKind;
use kvs_service::tls::Tls;
use serde_json::json;

use common::stored::frames_of;
use common::{Ground, H264, Line, live_pictures, record};

fn live(ground: &Ground, stream: &str) -> Line {
    Line::new(&format!("{} ! {H264} ! queue ! {}", live_pictures(), ground.sink(stream)))
}

/// All that went in is stored, in order, and no more than so many frames of it twice.
fn assert_nothing_lost(ground: &Ground, line: &Line, stream: &str, twice: usize) {
    line.assert_adds_up();
    let stats = line.stats();
    assert_eq!(line.stat("num-frames-in"), line.stat("num-frames-persisted"), "{stats}");
    let mut times: Vec<_> =
        frames_of(&ground.stored(stream), TrackKind::Video).iter().map(|frame| frame.utc).collect();
    let all = times.len();
    times.sort();
    times.dedup();
    assert_eq!(times.len() as u64, line.stat("num-frames-in"), "{stats}");
    assert!(all - times.len() <= twice, "{} frames came twice", all - times.len());
}

/// Waits until the next message of a connection in one of these states after the first `seen`.
fn until_state(line: &Line, seen: usize, states: &[&str]) -> gst::Structure {
    line.wait(&format!("{states:?}"), |line| {
        let said = line.said("kvs-connection");
        said.into_iter().skip(seen).find(|said| states.contains(&said.get::<&str>("state").unwrap()))
    })
}

#[test]
fn a_connection_that_is_cut_is_told_at_once_and_made_again() {
    let ground = Ground::new();
    let line = live(&ground, "cut");
    line.play();
    for round in 1..=3 {
        line.until_stat("num-frames-in", 12 * round);
        let seen = line.connections().len();
        let begun = Instant::now();
        ground.path.cut();
        let gone = until_state(&line, seen, &["connecting", "waiting"]);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert!(gone.get::<&str>("cause").is_ok_and(|cause| !cause.is_empty()), "{gone}");
        until_state(&line, seen, &["connected"]);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    line.end();
    assert_nothing_lost(&ground, &line, "cut", 3 * 20);
    assert!(line.stat("num-reconnects") >= 3);
}

#[test]
fn a_service_that_goes_and_comes_back_gets_everything() {
    let mut ground = Ground::new();
    let line = live(&ground, "restart");
    line.play();
    line.until_stat("num-frames-persisted", 10);
    let (seen, begun) = (line.connections().len(), Instant::now());
    let folder = ground.stop();
    until_state(&line, seen, &["connecting", "waiting"]);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let enough = line.stat("num-frames-in") + 50;
    line.until_stat("num-frames-in", enough);
    assert!(line.stat("num-frames-held") >= 40);
    let healed = Instant::now();
    ground.start_again(folder);
    let held = line.stat("num-frames-in");
    line.until_stat("num-frames-persisted", held);
    assert!(healed.elapsed() < Duration::from_secs(11), "{:?}", healed.elapsed());
    line.end();
    assert_nothing_lost(&ground, &line, "restart", 20);
}

#[test]
fn a_path_that_swallows_everything_is_left_again_and_again() {
    let ground = Ground::new();
    let line = live(&ground, "hole");
    line.play();
    line.until_stat("num-frames-persisted", 10);
    for _ in 0..2 {
        let seen = line.connections().len();
        ground.path.weather(|weather| weather.hole = true);
        until_state(&line, seen, &["connecting", "waiting"]);
        ground.path.weather(|weather| weather.hole = false);
        let held = line.stat("num-frames-in");
        line.until_stat("num-frames-persisted", held);
    }
    line.end();
    // A little goes out before it is clear that nothing arrives.
    assert_nothing_lost(&ground, &line, "hole", 2 * 40);
}

#[test]
fn an_error_ack_that_may_pass_costs_nothing_and_is_told() {
    for id in [4000, 4004, 4006, 5000] {
        let ground = Ground::new();
        ground.fault(json!({ "what": { "error_ack": { "fragment": 2, "id": id } }, "times": 1 }));
        let line = live(&ground, "acks");
        let signals = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&signals);
        line.sink.connect("fragment-ack", false, move |_| {
            seen.fetch_add(1, Ordering::Relaxed);
            None
        });
        line.play();
        line.until_stat("num-fragments-persisted", 3);
        line.end();
        assert_nothing_lost(&ground, &line, "acks", 20);
        let acks = line.said("kvs-fragment-ack");
        let errors: Vec<_> = acks.iter().filter(|ack| ack.get::<&str>("type") == Ok("ERROR")).collect();
        assert_eq!(errors.len(), 1, "{id}: {acks:?}");
        assert_eq!(errors[0].get::<u32>("error-id"), Ok(id));
        for kind in ["BUFFERING", "RECEIVED", "PERSISTED"] {
            assert!(acks.iter().any(|ack| ack.get::<&str>("type") == Ok(kind)), "{kind}");
        }
        assert!(signals.load(Ordering::Relaxed) >= acks.len() as u64);
        assert!(line.errors().is_empty());
    }
}

#[test]
fn an_error_ack_that_never_passes_is_one_error_and_a_prompt_stop() {
    for id in [4008, 4507] {
        let ground = Ground::new();
        ground.fault(json!({ "what": { "error_ack": { "fragment": 2, "id": id } } }));
        let line = live(&ground, "gone");
        let statuses = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&statuses);
        line.sink.connect("stream-error", false, move |_| {
            seen.fetch_add(1, Ordering::Relaxed);
            None
        });
        line.play();
        let found = |line: &Line| line.errors().into_iter().find(|text| text.starts_with("gone: "));
        let text = line.wait("the error", found);
        assert!(text.contains(&id.to_string()), "{text}");
        let begun = Instant::now();
        let _ = line.pipeline.set_state(gst::State::Null);
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        assert_eq!(statuses.load(Ordering::Relaxed), 1);
        assert_eq!(line.errors().iter().filter(|text| text.starts_with("gone: ")).count(), 1);
    }
}

#[test]
fn refusals_make_no_storm_and_are_got_over() {
    std::thread::scope(|scope| {
        for status in [400, 403, 404, 413, 429, 500, 503] {
            scope.spawn(move || get_over(status));
        }
    });
}

fn get_over(status: u16) {
    let ground = Ground::new();
    ground.fault(json!({ "what": { "refuse": { "operation": "PutMedia", "status": status } } }));
    let line = live(&ground, "refused");
    line.play();
    let said = until_state(&line, 0, &["waiting"]);
    assert!(said.get::<u64>("retry-in").is_ok());
    assert!(said.get::<&str>("cause").unwrap().contains(&status.to_string()), "{said}");
    line.until_stat("num-frames-in", 30);
    // Three seconds: the first attempts, and what asks for the endpoint and the credentials again.
    let made = ground.path.connections.load(Ordering::Relaxed);
    assert!(made <= 20, "{status}: {made} connections in three seconds");
    ground.clear_faults();
    let held = line.stat("num-frames-in");
    line.until_stat("num-frames-persisted", held);
    line.end();
    assert_nothing_lost(&ground, &line, "refused", 0);
}

#[test]
fn a_service_that_nobody_can_verify_makes_no_storm_and_is_told() {
    let ground = Ground::new();
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::self_signed(folder.path(), &[], kvs_client::clock::utc()).unwrap();
    let (address, attempts) = ground.runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let attempts = Arc::new(AtomicU64::new(0));
        let (seen, acceptor) = (Arc::clone(&attempts), tls.acceptor());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                seen.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(acceptor.accept(socket));
            }
        });
        (address, attempts)
    });
    let sink = ground.sink("untrusted").replace(&ground.path.url(), &format!("https://{address}"));
    let line = Line::new(&format!("{} ! {H264} ! queue ! {sink}", live_pictures()));
    line.play();
    let said = until_state(&line, 0, &["waiting"]);
    let cause = said.get::<String>("cause").unwrap();
    assert!(cause.to_lowercase().contains("certificate"), "{cause}");
    line.until_stat("num-frames-in", 30);
    let made = attempts.load(Ordering::Relaxed);
    assert!(made <= 20, "{made} connections in three seconds");
    assert!(line.errors().is_empty());
}

#[test]
fn a_service_that_is_not_there_at_the_start_delays_nothing_but_the_storing() {
    let mut ground = Ground::new();
    let folder = ground.stop();
    let line = live(&ground, "early");
    line.play();
    until_state(&line, 0, &["waiting"]);
    line.until_stat("num-frames-in", 30);
    assert_eq!(line.stat("num-frames-in"), line.stat("num-frames-held"));
    ground.start_again(folder);
    let held = line.stat("num-frames-in");
    line.until_stat("num-frames-persisted", held);
    line.end();
    assert_nothing_lost(&ground, &line, "early", 0);
}

#[test]
fn a_stream_that_is_missing_and_may_not_be_made_is_one_error() {
    let ground = Ground::new();
    let sink = format!("{} allow-create-stream=false", ground.sink("nowhere"));
    let line = Line::new(&format!("{} ! {H264} ! queue ! {sink}", live_pictures()));
    let begun = Instant::now();
    line.play();
    let bus = line.pipeline.bus().unwrap();
    let patience = gst::ClockTime::from_seconds(20);
    let message = bus.timed_pop_filtered(patience, &[gst::MessageType::Error]).expect("no error");
    assert!(begun.elapsed() < Duration::from_secs(5));
    let gst::MessageView::Error(error) = message.view() else { panic!() };
    assert!(error.error().matches(gst::ResourceError::NotFound), "{error:?}");
    assert!(error.error().to_string().contains("nowhere"));
    // What comes up when the chain ends is of the source.
    line.wait("the source's own error", |line| (!line.errors().is_empty()).then_some(()));
    assert!(line.errors().iter().all(|text| !text.contains("nowhere")), "{:?}", line.errors());
}

#[test]
fn a_start_that_takes_longer_than_it_may_is_an_error() {
    let ground = Ground::new();
    ground.path.weather(|weather| weather.refuses = true);
    let sink = format!("{} startup-timeout=1000000000", ground.sink("late"));
    let line = Line::new(&format!("{} ! {H264} ! queue ! {sink}", live_pictures()));
    line.play();
    let found = |line: &Line| line.errors().into_iter().find(|text| text.starts_with("late: "));
    let text = line.wait("the error", found);
    assert!(line.stat("num-frames-in") >= 5, "{text}");
}

#[test]
fn settings_that_cannot_be_fail_at_once_and_are_named() {
    common::line::init();
    for (setting, named) in [
        ("storage-size=0", "storage-size"),
        ("stream-name=no/slash", "stream-name"),
        ("access-key=AKIA", "secret-key"),
        ("start-time=soon", "start-time"),
        ("iot-endpoint=e", "iot-certificate-path"),
    ] {
        let line = Line::new(&format!("audiotestsrc ! alawenc ! kvssink name=k {setting}"));
        assert!(line.pipeline.set_state(gst::State::Playing).is_err(), "{setting}");
        let errors = line.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains(named), "{errors:?}");
    }
}

#[test]
fn a_state_change_takes_no_time_without_a_network() {
    let ground = Ground::new();
    for hole in [true, false] {
        ground.path.weather(|weather| (weather.hole, weather.refuses) = (hole, !hole));
        // The fastest of three is what the element takes, whoever else runs on the machine.
        let mut best = Duration::MAX;
        for round in 0..3 {
            let sink = ground.sink(&format!("dead-{round}"));
            let line =
                Line::new(&format!("audiotestsrc is-live=true ! alawenc ! {sink} stop-stream-timeout=0"));
            let begun = Instant::now();
            for state in [gst::State::Ready, gst::State::Paused, gst::State::Playing, gst::State::Paused] {
                line.set(state);
            }
            best = best.min(begun.elapsed());
            let begun = Instant::now();
            line.set(gst::State::Null);
            assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        }
        assert!(best < Duration::from_millis(50), "{best:?}");
    }
}

#[test]
fn a_stop_without_a_network_is_bounded_and_says_what_is_left() {
    let ground = Ground::new();
    let line = live(&ground, "cut-off");
    line.play();
    line.until_stat("num-frames-persisted", 10);
    ground.path.weather(|weather| weather.hole = true);
    let enough = line.stat("num-frames-in") + 10;
    line.until_stat("num-frames-in", enough);
    let begun = Instant::now();
    // At NULL a pipeline throws away what nobody has read.
    line.set(gst::State::Ready);
    assert!(begun.elapsed() < Duration::from_millis(7_000), "{:?}", begun.elapsed());
    let warnings = line.warnings();
    assert!(warnings.iter().any(|text| text.contains("cut-off: stopped with")), "{warnings:?}");
}

#[test]
fn a_service_that_never_stores_is_not_waited_for() {
    let ground = Ground::new();
    ground.fault(json!({ "what": { "drop_acks": { "event": "PERSISTED" } } }));
    let line = live(&ground, "unsaid");
    line.play();
    line.until_stat("num-fragments-received", 2);
    let begun = Instant::now();
    // At NULL a pipeline throws away what nobody has read.
    line.set(gst::State::Ready);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!(
        line.warnings().iter().any(|text| text.contains("unsaid: stopped with")),
        "{:?}",
        line.warnings()
    );
}

#[test]
fn a_source_that_pauses_for_longer_than_the_service_waits_goes_on() {
    let ground = Ground::with(|config| config.limits.session.idle = Duration::from_secs(2));
    let line = Line::new(&format!(
        "{} ! {H264} ! valve name=v ! queue ! {}",
        live_pictures(),
        ground.sink("doorbell")
    ));
    line.play();
    line.until_stat("num-frames-persisted", 10);
    let seen = line.connections().len();
    let before = line.stat("num-frames-in");
    line.element("v").set_property("drop", true);
    // The session ends on the service's side.
    until_state(&line, seen, &["idle", "waiting", "connecting"]);
    line.element("v").set_property("drop", false);
    line.until_stat("num-frames-persisted", before + 12);
    line.end();
    line.assert_adds_up();
    // What comes without its key frame cannot be decoded by anybody, and is no more than a group.
    assert!(line.stat("num-frames-dropped") < 10, "{}", line.stats());
    let said: u64 = line.said("kvs-dropped").iter().map(|said| said.get::<u64>("frames").unwrap()).sum();
    assert_eq!(said, line.stat("num-frames-dropped"));
    for fragment in ground.stored("doorbell") {
        assert!(fragment.frames[0].key);
    }
}

#[test]
fn what_is_seen_in_front_of_the_sink_is_what_it_counts() {
    let ground = Ground::new();
    let line = live(&ground, "count");
    let taken = record(&line.pad("video_0"));
    line.play();
    line.until_stat("num-fragments-persisted", 2);
    line.end();
    let taken = taken.lock().unwrap();
    assert_eq!(line.stat("num-frames-in"), taken.len() as u64);
    assert_eq!(line.stat("in-bytes"), taken.iter().map(|taken| taken.payload.len() as u64).sum::<u64>());
    let stats = line.stats();
    assert_eq!(stats.get::<u64>("num-frames-held"), Ok(0));
    let last = ground.listed("count").last().unwrap()["FragmentNumber"].as_str().unwrap().to_owned();
    assert_eq!(stats.get::<&str>("last-fragment-number"), Ok(last.as_str()));
}

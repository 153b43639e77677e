//! The sink in pipelines as people build them: lines of the incumbent, tees and selectors, pads that come and go,
//! formats that change, states that do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, Instant};

use gst::prelude::*;
use kvs_media::TrackKind;
use kvs_media::codec::describe;

use common::stored::frames_of;
use common::{Fragment, Ground, H264, Line, live_pictures, pictures, record};

/// All that a sink took is stored, and whole.
fn assert_complete(line: &Line) {
    line.assert_adds_up();
    let stats = line.stats();
    assert_eq!(line.stat("num-frames-in"), line.stat("num-frames-persisted"), "{stats}");
    assert!(line.warnings().is_empty(), "{:?}", line.warnings());
}

fn sizes(fragments: &[Fragment]) -> Vec<u32> {
    let of = |fragment: &Fragment| describe(fragment.track(TrackKind::Video)).unwrap().size.unwrap().width;
    fragments.iter().map(of).collect()
}

#[test]
fn lines_of_the_incumbent_run_as_they_are() {
    let ground = Ground::new();
    let common::client::Keys { access_key, secret, .. } = &ground.keys;
    let own = format!(
        "kvssink name=k endpoint={} aws-region=us-west-2 access-key={access_key} secret-key=\"{secret}\"",
        ground.path.url()
    );
    let avc = "h264parse ! video/x-h264,stream-format=avc,alignment=au";
    let x264 = "x264enc bframes=0 key-int-max=10 bitrate=500 tune=zerolatency";
    let test = pictures(30);
    let lines = [
        format!("{test} ! {x264} ! {avc} ! {own} stream-name=line"),
        format!(
            "{test} ! {x264} ! {avc},profile=baseline ! {own} stream-name=line storage-size=512 framerate=10"
        ),
        format!(
            "{test} ! videoconvert ! {x264} ! {avc} ! queue ! {own} stream-name=line streaming-type=offline \
             file-start-time=1700000000 retention-period=24 max-latency=30 log-config=kvs_log_configuration"
        ),
        format!(
            "{test} ! {x264} ! {avc} ! {own} stream-name=line content-type=video/h264 connection-staleness=20 \
             avg-bandwidth-bps=1000000 buffer-duration=60 replay-duration=10 rotation-period=600 \
             recalculate-metrics=false restart-on-error=true user-agent=mine codec-id=V_MPEG4/ISO/AVC \
             track-name=camera stream-tags=tags,site=door absolute-fragment-times=true fragment-acks=true"
        ),
        format!(
            "{own} stream-name=line {test} ! {x264} ! {avc} ! k. audiotestsrc num-buffers=140 samplesperbuffer=1024 \
             ! audioconvert ! audioresample ! avenc_aac ! queue ! audio/mpeg,stream-format=raw ! k."
        ),
    ];
    for (at, description) in lines.iter().enumerate() {
        let stream = format!("line-{at}");
        let line = Line::new(&description.replace("stream-name=line", &format!("stream-name={stream}")));
        line.play_to_the_end();
        assert_complete(&line);
        let fragments = ground.stored(&stream);
        assert_eq!(frames_of(&fragments, TrackKind::Video).len(), 30, "{description}");
        let name = if at == 3 { "camera" } else { "kinesis_video" };
        assert_eq!(fragments[0].track(TrackKind::Video).name, name);
        if at == 2 {
            assert_eq!(fragments[0].own.producer_time.unwrap().millis(), 1_700_000_000_000);
        }
    }
}

#[test]
fn one_encoder_feeds_two_streams_and_another_branch() {
    let ground = Ground::new();
    let second = ground.sink("other").replace("name=k ", "name=second ");
    let line = Line::new(&format!(
        "{} ! {H264} ! tee name=t ! queue ! {} t. ! queue ! {second} t. ! queue ! fakesink name=f sync=false",
        pictures(40),
        ground.sink("one"),
    ));
    let branch = record(&line.element("f").static_pad("sink").unwrap());
    line.play_to_the_end();
    assert_complete(&line);
    let branch = branch.lock().unwrap();
    for stream in ["one", "other"] {
        let frames = frames_of(&ground.stored(stream), TrackKind::Video);
        assert!(
            frames.iter().map(|frame| &frame.payload[..]).eq(branch.iter().map(|taken| &taken.payload[..]))
        );
    }
}

#[test]
fn what_a_tee_is_linked_to_without_a_name_is_not_taken_for_data() {
    let ground = Ground::new();
    let source = format!("{} ! {H264} ! tee name=t", pictures(40));
    let line = Line::new(&format!("{source} ! {}", ground.sink("tee")));
    assert_eq!(line.sink.pads()[0].name(), "meta_0");
    let _ = line.pipeline.set_state(gst::State::Playing);
    let found = |line: &Line| line.errors().into_iter().find(|text| text.contains("video/x-h264 is no data"));
    line.wait("the error", found);
    let line = Line::new(&format!("{source} ! k.video_0 {}", ground.sink("tee")));
    line.play_to_the_end();
    assert_complete(&line);
}

#[test]
fn a_valve_that_closes_for_a_while_costs_nothing_behind_the_next_key_frame() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "{} ! valve name=v drop-mode=transform-to-gap ! queue ! {H264} ! {}",
        live_pictures(),
        ground.sink("gaps")
    ));
    // Closed in front of the encoder, and behind it: deltas without their key frame come then.
    let behind = Line::new(&format!(
        "{} ! {H264} ! valve name=v ! queue ! {}",
        live_pictures(),
        ground.sink("doorbell")
    ));
    for line in [&line, &behind] {
        line.play();
        line.until_stat("num-frames-in", 12);
        for _ in 0..2 {
            line.element("v").set_property("drop", true);
            let before = line.stat("num-frames-in");
            let closed = Instant::now();
            line.until("a gap", |_| closed.elapsed() > Duration::from_millis(1_300));
            line.element("v").set_property("drop", false);
            line.until_stat("num-frames-in", before + 12);
        }
        line.end();
        line.assert_adds_up();
        assert_eq!(line.stat("num-errors"), 0);
        assert_eq!(line.stat("num-frames-dropped"), 0);
        assert!(line.warnings().is_empty(), "{:?}", line.warnings());
    }
    for stream in ["gaps", "doorbell"] {
        for fragment in ground.stored(stream) {
            assert!(fragment.frames[0].key);
        }
    }
}

#[test]
fn a_selector_switches_between_cameras_and_every_header_matches() {
    let ground = Ground::new();
    let camera = |width: u32, pad: u32| {
        format!(
            "videotestsrc is-live=true ! video/x-raw,width={width},height=120,framerate=10/1 ! {H264} ! queue ! s.sink_{pad}"
        )
    };
    let line = Line::new(&format!(
        "input-selector name=s sync-streams=false ! {} {} {}",
        ground.sink("switch"),
        camera(160, 0),
        camera(320, 1)
    ));
    let selector = line.element("s");
    selector.set_property("active-pad", selector.static_pad("sink_0").unwrap());
    line.play();
    for (at, pad) in ["sink_1", "sink_0", "sink_1"].into_iter().enumerate() {
        line.until_stat("num-frames-in", 25 * (u64::try_from(at).unwrap() + 1));
        selector.set_property("active-pad", selector.static_pad(pad).unwrap());
    }
    line.until_stat("num-frames-in", 100);
    line.end();
    line.assert_adds_up();
    assert_eq!((line.stat("num-errors"), line.stat("num-frames-dropped")), (0, 0));
    let fragments = ground.stored("switch");
    let mut sizes = sizes(&fragments);
    sizes.dedup();
    assert_eq!(sizes, [160, 320, 160, 320]);
    assert!(fragments.iter().all(|fragment| fragment.frames[0].key));
}

#[test]
fn another_size_begins_a_session_whose_header_matches() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "videotestsrc is-live=true ! videoscale ! capsfilter name=size caps=video/x-raw,width=160,height=120,framerate=10/1 \
         ! x264enc key-int-max=10 bframes=0 speed-preset=ultrafast tune=zerolatency \
         ! h264parse config-interval=-1 ! video/x-h264,stream-format=avc,alignment=au ! {}",
        ground.sink("sizes")
    ));
    let taken = record(&line.pad("video_0"));
    line.play();
    line.until_stat("num-frames-in", 15);
    let other: gst::Caps = "video/x-raw,width=640,height=480,framerate=10/1".parse().unwrap();
    line.element("size").set_property("caps", other);
    line.until_stat("num-frames-in", 35);
    line.end();
    assert_complete(&line);
    let fragments = ground.stored("sizes");
    let mut sizes = sizes(&fragments);
    sizes.dedup();
    assert_eq!(sizes, [160, 640]);
    // Every key frame has its parameter sets with it: they are those of the header.
    for fragment in &fragments {
        let private = &fragment.track(TrackKind::Video).codec_private;
        let set = fragment.frames[0]
            .payload
            .windows(5)
            .position(|window| window[4] & 0x1f == 7 && window[..3] == [0, 0, 0]);
        let set = &fragment.frames[0].payload[set.expect("no parameter set")..];
        let length = usize::from(set[3]);
        let set = &set[4..4 + length];
        assert!(private.windows(length).any(|window| window == set));
    }
    let frames = frames_of(&fragments, TrackKind::Video);
    assert!(
        frames.iter().map(|frame| &frame.payload[..]).eq(taken
            .lock()
            .unwrap()
            .iter()
            .map(|taken| &taken.payload[..]))
    );
}

#[test]
fn a_track_comes_and_goes_while_it_plays() {
    let ground = Ground::new();
    let line =
        Line::new(&format!("{} ! {H264} ! queue ! k.video_0 {}", live_pictures(), ground.sink("guests")));
    line.play();
    line.until_stat("num-fragments-persisted", 1);
    let guest =
        "audiotestsrc is-live=true samplesperbuffer=160 ! audio/x-raw,rate=8000,channels=1 ! alawenc ! queue";
    let guest = gst::parse::bin_from_description(guest, true).unwrap();
    line.pipeline.add(&guest).unwrap();
    let pad = line.sink.request_pad_simple("audio_%u").unwrap();
    let source = guest.static_pad("src").unwrap();
    source.link(&pad).unwrap();
    guest.sync_state_with_parent().unwrap();
    let enough = line.stat("num-fragments-persisted") + 3;
    line.until_stat("num-fragments-persisted", enough);
    // As applications do it: a probe holds what comes, and the pad goes.
    let (says, said) = std::sync::mpsc::channel();
    source
        .add_probe(gst::PadProbeType::BLOCK_DOWNSTREAM, move |source, _| {
            if let Some(peer) = source.peer() {
                let _ = source.unlink(&peer);
                let _ = says.send(peer);
            }
            gst::PadProbeReturn::Ok
        })
        .unwrap();
    let pad = said.recv_timeout(Duration::from_secs(10)).unwrap();
    line.sink.release_request_pad(&pad);
    guest.set_state(gst::State::Null).unwrap();
    line.pipeline.remove(&guest).unwrap();
    let enough = line.stat("num-fragments-persisted") + 3;
    line.until_stat("num-fragments-persisted", enough);
    line.end();
    line.assert_adds_up();
    assert_eq!((line.stat("num-errors"), line.stat("num-frames-dropped")), (0, 0));
    let fragments = ground.stored("guests");
    let mut tracks: Vec<_> = fragments.iter().map(|fragment| fragment.header.tracks.len()).collect();
    tracks.dedup();
    assert_eq!(tracks, [1, 2, 1]);
    assert_eq!(
        frames_of(&fragments, TrackKind::Video).len() as u64
            + frames_of(&fragments, TrackKind::Audio).len() as u64,
        line.stat("num-frames-in")
    );
}

#[test]
fn the_end_of_one_track_is_not_the_end() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "{} ! {H264} ! queue ! k.video_0 audiotestsrc is-live=true num-buffers=10 samplesperbuffer=1024 \
         ! audio/x-raw,rate=8000,channels=1 ! alawenc ! queue ! k.audio_0 {}",
        live_pictures().replace("is-live=true", "is-live=true num-buffers=30"),
        ground.sink("uneven")
    ));
    line.play_to_the_end();
    assert_complete(&line);
    let fragments = ground.stored("uneven");
    assert_eq!(frames_of(&fragments, TrackKind::Video).len(), 30);
    assert_eq!(frames_of(&fragments, TrackKind::Audio).len(), 10);
}

#[test]
fn live_picture_and_sound_lose_nothing_and_warn_of_nothing() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "videotestsrc is-live=true num-buffers=120 ! video/x-raw,width=160,height=120,framerate=30/1 \
         ! x264enc key-int-max=30 bframes=0 speed-preset=ultrafast tune=zerolatency ! h264parse ! queue ! k.video_0 \
         audiotestsrc is-live=true num-buffers=190 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=1 \
         ! avenc_aac ! aacparse ! queue ! k.audio_0 {}",
        ground.sink("both")
    ));
    line.play_to_the_end();
    assert_complete(&line);
    let fragments = ground.stored("both");
    assert_eq!(frames_of(&fragments, TrackKind::Video).len(), 120);
    assert!(frames_of(&fragments, TrackKind::Audio).len() >= 190);
    let time = |kind| frames_of(&fragments, kind)[0].utc.millis();
    assert!((time(TrackKind::Video) - time(TrackKind::Audio)).abs() < 100);
}

#[test]
fn a_pause_loses_nothing() {
    let ground = Ground::new();
    for (stream, source) in [("live", live_pictures().to_owned()), ("file", pictures(3_000))] {
        let line = Line::new(&format!("{source} ! {H264} ! queue ! {}", ground.sink(stream)));
        let taken = record(&line.pad("video_0"));
        line.play();
        for round in 1..=3 {
            line.until_stat("num-frames-in", 7 * round);
            line.set(gst::State::Paused);
            let held = line.stat("num-frames-in");
            let paused = Instant::now();
            line.until("a pause", |_| paused.elapsed() > Duration::from_millis(200));
            // What was on its way when it was held may have gone by.
            assert!(line.stat("num-frames-in") <= held + 1);
            line.play();
        }
        line.until_stat("num-frames-in", 28);
        line.set(gst::State::Null);
        let frames = frames_of(&ground.stored(stream), TrackKind::Video);
        let taken = taken.lock().unwrap();
        // The stop sends back the one that it finds.
        assert!(taken.len() - frames.len() <= 1, "{} {}", taken.len(), frames.len());
        assert!(frames.iter().zip(taken.iter()).all(|(frame, taken)| frame.payload == taken.payload[..]));
        assert!(frames.is_sorted_by(|one, other| one.utc < other.utc));
    }
}

#[test]
fn a_seek_that_flushes_goes_on_in_the_same_stream() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "{} ! identity sync=true ! {H264} ! queue ! {}",
        pictures(600),
        ground.sink("seek")
    ));
    line.play();
    for round in 1..=2 {
        line.until_stat("num-frames-in", 15 * round);
        line.pipeline.seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::from_seconds(3)).unwrap();
    }
    line.until_stat("num-frames-in", 50);
    line.end();
    line.assert_adds_up();
    assert_eq!((line.stat("num-errors"), line.stat("num-frames-dropped")), (0, 0));
    let frames = frames_of(&ground.stored("seek"), TrackKind::Video);
    assert_eq!(frames.len() as u64, line.stat("num-frames-persisted"));
    assert!(frames.is_sorted_by(|one, other| one.utc < other.utc), "the calendar went back");
}

#[test]
fn the_same_sink_runs_again_and_again_with_all_that_decoders_need() {
    let ground = Ground::new();
    let line = Line::new(&format!("{} ! {H264} ! {}", pictures(25), ground.sink("again")));
    for round in 1..=3 {
        line.play();
        line.wait("the end", |line| (line.stat("num-frames-persisted") == 25).then_some(()));
        line.set(gst::State::Null);
        let fragments = ground.stored("again");
        assert_eq!(frames_of(&fragments, TrackKind::Video).len(), 25 * round);
        for fragment in &fragments {
            assert!(describe(fragment.track(TrackKind::Video)).unwrap().picture.is_some());
        }
    }
    assert!(line.warnings().is_empty() && line.errors().is_empty());
}

#[test]
fn a_stop_without_an_end_stores_everything() {
    let ground = Ground::new();
    let line = Line::new(&format!("{} ! {H264} ! {}", live_pictures(), ground.sink("stop")));
    line.play();
    line.until_stat("num-frames-in", 27);
    let begun = Instant::now();
    line.set(gst::State::Null);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(line.warnings().is_empty(), "{:?}", line.warnings());
    assert!(frames_of(&ground.stored("stop"), TrackKind::Video).len() >= 27);
}

#[test]
fn a_group_of_a_hundred_seconds_is_cut_into_what_the_service_takes() {
    let ground = Ground::new();
    // Forty times as fast as life: the service takes no more than five fragments in a second.
    for (stream, asks) in [("asked", true), ("cut", false)] {
        let line = Line::new(&format!(
            "videotestsrc num-buffers=100 ! video/x-raw,width=160,height=120,framerate=1/1 \
             ! identity sleep-time=25000 ! x264enc key-int-max=1000 option-string=scenecut=0 bframes=0 speed-preset=ultrafast tune=zerolatency \
             ! {} start-time=2026-11-20T03:23:51Z send-force-keyunit={asks}",
            ground.sink(stream)
        ));
        line.play_to_the_end();
        line.assert_adds_up();
        assert_eq!((line.stat("num-errors"), line.stat("num-frames-dropped")), (0, 0));
        let fragments = ground.stored(stream);
        assert_eq!(frames_of(&fragments, TrackKind::Video).len(), 100);
        // An encoder that is asked makes key frames, and nothing has to be cut between them.
        let keys = fragments.iter().filter(|fragment| fragment.frames[0].key).count();
        let cuts = usize::try_from(line.stat("num-cuts-without-key")).unwrap();
        assert_eq!(cuts, fragments.len() - keys);
        assert_eq!(asks, cuts == 0, "{stream}: {cuts} of {}", fragments.len());
        for fragment in &fragments {
            let (first, last) = (fragment.frames[0].utc, fragment.frames.last().unwrap().utc);
            assert!(last.since(first).unwrap() < Duration::from_secs(20));
        }
    }
}

#[test]
fn sound_that_stops_stops_no_picture_and_comes_back() {
    let ground = Ground::new();
    let line = Line::new(&format!(
        "{} ! {H264} ! queue ! k.video_0 audiotestsrc is-live=true samplesperbuffer=160 \
         ! audio/x-raw,rate=8000,channels=1 ! alawenc ! valve name=v ! queue ! k.audio_0 {}",
        live_pictures(),
        ground.sink("muted")
    ));
    line.play();
    line.until_stat("num-fragments-persisted", 2);
    line.element("v").set_property("drop", true);
    let closed = line.stat("num-fragments-persisted");
    line.until_stat("num-fragments-persisted", closed + 8);
    line.element("v").set_property("drop", false);
    let opened = line.stat("num-fragments-persisted");
    line.until_stat("num-fragments-persisted", opened + 3);
    line.end();
    line.assert_adds_up();
    assert_eq!((line.stat("num-errors"), line.stat("num-frames-dropped")), (0, 0), "{}", line.stats());
    let fragments = ground.stored("muted");
    let pictures = frames_of(&fragments, TrackKind::Video);
    for pair in pictures.windows(2) {
        let apart = pair[1].utc.since(pair[0].utc).unwrap();
        assert!(apart < Duration::from_millis(250), "{apart:?}");
    }
    // With the sound back, both are together again.
    let last =
        fragments.iter().rev().find(|fragment| fragment.frames_of(TrackKind::Audio).count() > 5).unwrap();
    let first = |kind| last.frames_of(kind).next().unwrap().utc;
    assert!(first(TrackKind::Audio).nanos().abs_diff(first(TrackKind::Video).nanos()) < 150_000_000);
}

#[test]
fn tags_and_events_are_on_the_fragment_that_begins_behind_them() {
    let ground = Ground::new();
    let line = Line::new(&format!("{} ! {H264} ! queue ! {}", live_pictures(), ground.sink("tags")));
    let tag = |text: &str| {
        let structure: gst::Structure = text.parse().unwrap();
        line.sink.send_event(gst::event::CustomDownstream::new(structure))
    };
    line.play();
    line.until_stat("num-frames-in", 3);
    assert!(tag("kvs-add-metadata,name=once,value=\"ZH 1\",persist=false"));
    assert!(tag("kvs-add-metadata,name=always,value=left,persist=true"));
    assert!(tag("kvs-image-generation,prefix=door/"));
    assert!(tag("kvs-notification"));
    line.until_stat("num-frames-in", 23);
    assert!(tag("kvs-add-metadata,name=always,value=(string)\"\",persist=true"));
    assert!(!tag("kvs-add-metadata,name=AWS_mine,value=no,persist=true"));
    line.until("a warning", |line| {
        line.warnings().iter().any(|text| text.contains("fragment tag is refused"))
    });
    line.until_stat("num-frames-in", 33);
    line.end();
    let fragments = ground.stored("tags");
    let with = |name: &str| -> Vec<bool> {
        fragments.iter().map(|fragment| fragment.tags.iter().any(|(tag, _)| tag == name)).collect()
    };
    for name in ["once", "AWS_KINESISVIDEO_IMAGE_GENERATION", "AWS_KINESISVIDEO_NOTIFICATION"] {
        assert_eq!(with(name)[..4], [false, true, false, false], "{name}");
    }
    assert_eq!(with("always")[..4], [false, true, true, false]);
    assert!(fragments[1].tags.contains(&("AWS_KINESISVIDEO_IMAGE_PREFIX".into(), "door/".into())));
}

/// What an application sees of a pipeline: what states answer, which messages come, what queries say.
fn seen(topology: &str, sink: &str) -> Vec<String> {
    let description = topology.replace("SINK", sink);
    let line = Line::new(&description);
    let mut seen = Vec::new();
    let mut note = |text: String| seen.push(text);
    for state in [gst::State::Ready, gst::State::Paused, gst::State::Playing] {
        note(format!("{state:?}: {:?}", line.pipeline.set_state(state)));
    }
    // A sink that has taken something has a position.
    line.until("something", |line| line.has(gst::MessageType::StreamStart));
    line.wait("a position", |line| line.pipeline.query_position::<gst::ClockTime>());
    note(format!("seekable: {}", {
        let mut query = gst::query::Seeking::new(gst::Format::Time);
        line.pipeline.query(&mut query) && query.result().0
    }));
    note(format!("duration: {:?}", line.pipeline.query_duration::<gst::ClockTime>()));
    let mut latency = gst::query::Latency::new();
    // Beyond that it is answered they differ: one that does not sync calls no pipeline live.
    note(format!("latency: {}", line.pipeline.query(&mut latency)));
    note(format!("paused: {:?}", line.pipeline.set_state(gst::State::Paused)));
    note(format!("playing: {:?}", line.pipeline.set_state(gst::State::Playing)));
    line.end();
    for kind in [gst::MessageType::StreamStart, gst::MessageType::Eos, gst::MessageType::Latency] {
        note(format!("{kind:?}: {}", line.has(kind)));
    }
    assert!(line.errors().is_empty() && line.warnings().is_empty());
    note(format!("ready: {:?}", line.pipeline.set_state(gst::State::Ready)));
    note(format!("null: {:?}", line.pipeline.set_state(gst::State::Null)));
    seen
}

#[test]
fn an_application_sees_what_it_sees_of_a_fakesink() {
    let ground = Ground::new();
    let (live, file) = (live_pictures(), format!("{} ! identity sync=true", pictures(600)));
    let topologies = [
        format!("{live} ! {H264} ! SINK"),
        format!("{live} ! {H264} ! queue ! SINK"),
        format!("{file} ! {H264} ! queue ! SINK"),
        format!("{live} ! {H264} ! tee name=t ! queue ! SINK t. ! queue ! fakesink sync=false async=false"),
        format!("{live} ! valve ! {H264} ! queue ! SINK"),
        format!("input-selector name=s ! SINK {live} ! {H264} ! s.sink_0"),
    ];
    for topology in &topologies {
        let fake = seen(topology, "fakesink name=k sync=false async=false");
        assert_eq!(seen(topology, &ground.sink("like")), fake, "{topology}");
    }
}

//! Into the service and out again.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gst::prelude::*;
use kvs_wire::Operation;
use serde_json::json;

use super::media::{Chunk, chunks};
use super::running::Running;

const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(40);

/// What a sink needs to reach a service.
fn reach(running: &Running) -> String {
    reach_stream(running, "cam")
}

pub(crate) fn reach_stream(running: &Running, stream: &str) -> String {
    let keys = running.client().keys;
    format!(
        "kvssink name=k stream-name={stream} endpoint=http://{} access-key={} secret-key={}",
        running.address, keys.access_key, keys.secret
    )
}

/// Everything that is stored of the stream, in its order.
async fn stored(running: &Running) -> Vec<Chunk> {
    stored_in(running, "cam").await
}

pub(crate) async fn stored_in(running: &Running, stream: &str) -> Vec<Chunk> {
    let client = running.client();
    let numbers: Vec<_> =
        client.fragments(stream).await.iter().map(|row| row["FragmentNumber"].clone()).collect();
    let body = json!({ "StreamName": stream, "Fragments": numbers });
    let mut media = client.media(Operation::GetMediaForFragmentList, body).await;
    assert_eq!(media.head.status, 200);
    let mut chunks = chunks(&media.all().await);
    chunks.sort_by_key(|chunk| chunk.own.producer_time);
    chunks
}

pub(crate) struct Line(pub(crate) gst::Pipeline);

impl Line {
    pub(crate) fn new(description: &str) -> Self {
        super::init();
        Self(gst::parse::launch(description).unwrap().downcast().unwrap())
    }

    /// Plays until EOS on a thread that may wait.
    pub(crate) async fn play_to_the_end(self) -> Self {
        tokio::task::spawn_blocking(move || {
            self.0.set_state(gst::State::Playing).unwrap();
            let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
            let message = self.0.bus().unwrap().timed_pop_filtered(PATIENCE, &kinds).expect("an end");
            assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
            self
        })
        .await
        .unwrap()
    }

    fn stats(&self) -> gst::Structure {
        self.0.by_name("k").unwrap().property("stats")
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_in_comes_out_and_the_end_means_stored() {
    let running = Running::start().await;
    let line = Line::new(&format!(
        "videotestsrc num-buffers=40 ! video/x-raw,format=I420,width=160,height=120,framerate=10/1 \
         ! x264enc key-int-max=10 bframes=0 ! video/x-h264,stream-format=avc ! identity name=i ! {}",
        reach(&running)
    ));
    let came = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&came);
    let pad = line.0.by_name("i").unwrap().static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        seen.lock().unwrap().push(info.buffer().unwrap().map_readable().unwrap().to_vec());
        gst::PadProbeReturn::Ok
    })
    .unwrap();
    let line = line.play_to_the_end().await;
    let stats = line.stats();
    assert_eq!(stats.get::<u64>("num-frames-persisted").unwrap(), 40, "{stats}");
    assert_eq!(stats.get::<u64>("num-fragments-held").unwrap(), 0, "{stats}");
    let chunks = stored(&running).await;
    let payloads: Vec<_> = chunks.iter().flat_map(Chunk::payloads).map(<[u8]>::to_vec).collect();
    assert!(payloads == *came.lock().unwrap());
    assert_eq!(chunks.len(), 4);
    drop(line);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_without_an_end_stores_all_that_came() {
    let running = Running::start().await;
    let line = Line::new(&format!(
        "audiotestsrc num-buffers=50 samplesperbuffer=800 ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! {}",
        reach(&running)
    ));
    let bus = line.0.bus().unwrap();
    line.0.set_state(gst::State::Playing).unwrap();
    let line = tokio::task::spawn_blocking(move || {
        // Connected is soon enough: what was pushed by then and what was not are both stored.
        let connected = |message: &gst::Message| {
            message.structure().is_some_and(|said| said.get::<&str>("state") == Ok("connected"))
        };
        while !connected(&bus.timed_pop_filtered(PATIENCE, &[gst::MessageType::Element]).unwrap()) {}
        let begun = Instant::now();
        line.0.set_state(gst::State::Ready).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10));
        let warned = bus.pop_filtered(&[gst::MessageType::Warning]);
        assert!(warned.is_none(), "{warned:?}");
        line
    })
    .await
    .unwrap();
    assert!(!stored(&running).await.is_empty());
    drop(line);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_beside_pictures_and_data_and_tags_are_in_every_fragment() {
    let running = Running::start().await;
    let line = Line::new(&format!(
        "{} videotestsrc num-buffers=60 ! video/x-raw,format=I420,width=160,height=120,framerate=20/1 \
         ! x264enc key-int-max=20 ! queue ! k. \
         audiotestsrc num-buffers=130 ! audio/x-raw,rate=44100,channels=1 ! avenc_aac ! queue ! k.",
        reach(&running)
    ));
    let sink = line.0.by_name("k").unwrap();
    line.0.set_state(gst::State::Paused).unwrap();
    assert!(sink.emit_by_name::<bool>("add-metadata", &[&"door", &"left", &true]));
    let line = line.play_to_the_end().await;
    let chunks = stored(&running).await;
    assert!(chunks.len() >= 3, "{}", chunks.len());
    for chunk in &chunks {
        for track in [1, 2] {
            assert!(chunk.frames.iter().any(|(number, ..)| *number == track), "track {track}");
        }
        assert_eq!(chunk.tags, [("door".to_owned(), "left".to_owned())]);
    }
    drop(line);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_with_a_dead_network_is_prompt_and_says_what_is_lost() {
    super::init();
    let line = Line::new(
        "audiotestsrc num-buffers=20 ! alawenc ! kvssink name=k endpoint=http://127.0.0.1:1 access-key=AKIDEXAMPLE secret-key=s",
    );
    let bus = line.0.bus().unwrap();
    let begun = Instant::now();
    for state in [gst::State::Ready, gst::State::Paused, gst::State::Playing] {
        line.0.set_state(state).unwrap();
    }
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    tokio::task::spawn_blocking(move || {
        while line.stats().get::<u64>("num-frames-in").unwrap() < 20 {
            std::thread::yield_now();
        }
        let begun = Instant::now();
        line.0.set_state(gst::State::Ready).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
        let next = || bus.pop_filtered(&[gst::MessageType::Warning]);
        let said: Vec<_> = std::iter::from_fn(next)
            .map(|message| match message.view() {
                gst::MessageView::Warning(warning) => warning.error().to_string(),
                _ => String::new(),
            })
            .collect();
        let stopped = "DEFAULT_STREAM: stopped with 20 frames";
        assert!(said.iter().any(|text| text.starts_with(stopped)), "{said:?}");
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_an_error_that_says_whose() {
    let running = Running::start().await;
    let line = Line::new(&format!(
        "audiotestsrc is-live=true ! alawenc ! {} allow-create-stream=false",
        reach(&running)
    ));
    let bus = line.0.bus().unwrap();
    line.0.set_state(gst::State::Playing).unwrap();
    let message =
        tokio::task::spawn_blocking(move || bus.timed_pop_filtered(PATIENCE, &[gst::MessageType::Error]))
            .await
            .unwrap()
            .expect("an error");
    let gst::MessageView::Error(error) = message.view() else { panic!() };
    assert!(error.error().matches(gst::ResourceError::NotFound), "{error:?}");
    assert!(error.error().to_string().starts_with("cam: "), "{error:?}");
    drop(line);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_sinks_share_a_few_threads_and_all_is_stored() {
    let running = Running::start_with(|config| {
        config.limits.control_calls = 100_000;
        config.limits.describe_calls = 100_000;
    })
    .await;
    let keys = running.client().keys;
    super::init();
    let pipeline = gst::Pipeline::new();
    // Sources that need a thread each belong to the application; these are pushed by one.
    let mut pads = Vec::new();
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let name = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.unwrap().path().join("comm"))
        };
        tasks.filter_map(|task| name(task).ok()).map(|name| name.trim().to_owned()).collect::<Vec<_>>()
    };
    for number in 0..200 {
        let sink = gst::ElementFactory::make("kvssink")
            .property("stream-name", format!("cam-{number}"))
            .property("endpoint", format!("http://{}", running.address))
            .property("access-key", &keys.access_key)
            .property("secret-key", &keys.secret)
            .build()
            .unwrap();
        pipeline.add(&sink).unwrap();
        let source = gst::Pad::builder(gst::PadDirection::Src).build();
        source.set_active(true).unwrap();
        source.link(&sink.request_pad_simple("audio_%u").unwrap()).unwrap();
        pads.push(source);
    }
    let before = threads();
    let after = tokio::task::spawn_blocking(move || {
        pipeline.set_state(gst::State::Playing).unwrap();
        let caps = gst::Caps::builder("audio/x-alaw").field("rate", 8000).field("channels", 1).build();
        for pad in &pads {
            pad.push_event(gst::event::StreamStart::new("s"));
            pad.push_event(gst::event::Caps::new(&caps));
            pad.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
            for at in [0, 20] {
                let mut buffer = gst::Buffer::from_slice(vec![0xd5; 160]);
                buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(at));
                pad.push(buffer).unwrap();
            }
            pad.push_event(gst::event::Eos::new());
        }
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &kinds).expect("an end");
        assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
        let after = threads();
        pipeline.set_state(gst::State::Null).unwrap();
        after
    })
    .await
    .unwrap();
    let ours = |names: &[String]| names.iter().filter(|name| name.starts_with("kvs-io")).count();
    assert_eq!(ours(&before), 0);
    // Two that work, and what looks up names, which goes away.
    assert!((2..=10).contains(&ours(&after)), "{after:?}");
    let client = running.client();
    assert_eq!(client.fragments("cam-199").await.len(), 1);
    running.stop().await;
}

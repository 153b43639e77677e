//! Nothing goes wrong.

use std::time::Duration;

use kvs_client::upload::FragmentTag;
use kvs_wire::AckEvent;
use serde_json::json;

use super::media::chunks;
use super::scene::{STREAM, Scene};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_made_and_everything_is_persisted_once() {
    let mut scene = Scene::new().await;
    scene.film(100, 5_000).await;
    scene.drain().await;
    assert_eq!(scene.assert_all_stored().await, 0);
    let stats = scene.stats();
    assert_eq!((stats.fragments_persisted, stats.connections, stats.frames_held), (10, 1, 0));
    let acks = scene.told.acks();
    for event in [AckEvent::Buffering, AckEvent::Received, AckEvent::Persisted] {
        assert_eq!(acks.iter().filter(|ack| ack.event == event).count(), 10, "{event:?}");
    }
    assert!(scene.stop(Duration::from_secs(10)).await.is_empty());
}

/// One thread only, which waits for nothing between the push and the look: no task has run.
#[tokio::test]
async fn who_pushes_a_frame_has_sent_it() {
    let mut scene = Scene::new().await;
    scene.push(1_000).unwrap();
    scene.told.until("an ack", |told| (!told.acks().is_empty()).then_some(())).await;
    for sent in 1..9 {
        assert_eq!(scene.stats().frames_sent, sent);
        scene.push(1_000).unwrap();
    }
    assert_eq!(scene.stats().frames_sent, 9);
    scene.drain().await;
    assert_eq!(scene.assert_all_stored().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_goes_out_as_it_is() {
    let mut scene = Scene::new().await;
    scene.burst(600, 20_000);
    scene.drain().await;
    assert_eq!(scene.assert_all_stored().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_alone_brings_everything_through() {
    let mut scene = Scene::new().await;
    scene.film(35, 2_000).await;
    assert!(scene.stop(Duration::from_secs(10)).await.is_empty());
    assert_eq!(scene.assert_all_stored().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_are_stored_with_their_fragment() {
    let mut scene = Scene::new().await;
    let tag =
        |name: &str, value: &str, persist| FragmentTag { name: name.into(), value: value.into(), persist };
    scene.burst(10, 100);
    scene.upload.tag(Some(scene.video), &tag("plate", "ZH 1234", false)).unwrap();
    scene.upload.tag(Some(scene.video), &tag("place", "door", true)).unwrap();
    scene.burst(20, 100);
    scene.drain().await;
    let mut media = scene.running.client().get(STREAM, json!({ "StartSelectorType": "EARLIEST" })).await;
    let media =
        media.until(|bytes| chunks(bytes).iter().map(|chunk| chunk.frames.len()).sum::<usize>() >= 30).await;
    let tags: Vec<_> = chunks(&media).into_iter().map(|chunk| chunk.tags).collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(tags[0], []);
    assert!(tags[1].contains(&pair("plate", "ZH 1234")) && tags[1].contains(&pair("place", "door")));
    assert_eq!(tags[2], [pair("place", "door")]);
}

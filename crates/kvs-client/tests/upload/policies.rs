//! More comes than goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kvs_client::upload::{FailureKind, PushError, WhenFull};

use super::scene::{Scene, settings};

const FRAME: usize = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_room_gets_it_and_nothing_is_lost() {
    let mut settings = settings();
    settings.capacity.bytes = 1_500_000;
    let mut scene = Scene::with(settings).await;
    scene.path.weather(|weather| weather.rate = Some(3_000_000));
    for _ in 0..400 {
        while let Err(error) = scene.push(FRAME) {
            let PushError::Full(frame) = error else { panic!("{error}") };
            assert!(scene.stats().bytes_held <= 1_550_000);
            let (upload, video) = (scene.upload.clone(), scene.video);
            let waited = move || assert!(upload.wait_for_room(video, &frame, &|| false));
            tokio::task::spawn_blocking(waited).await.unwrap();
        }
    }
    scene.drain().await;
    assert_eq!(scene.assert_all_stored().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_room_can_be_called_away() {
    let mut settings = settings();
    settings.capacity.bytes = 500_000;
    let mut scene = Scene::with(settings).await;
    scene.path.weather(|weather| weather.hole = true);
    let frame = loop {
        match scene.push(FRAME) {
            Ok(()) => {}
            Err(PushError::Full(frame)) => break frame,
            Err(error) => panic!("{error}"),
        }
    };
    let (upload, video) = (scene.upload.clone(), scene.video);
    let cancelled = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&cancelled);
    let (looks, looked) = std::sync::mpsc::channel();
    let waiting = tokio::task::spawn_blocking(move || {
        upload.wait_for_room(video, &frame, &|| {
            let _ = looks.send(());
            seen.load(Ordering::SeqCst)
        })
    });
    // It has looked once, found no room, and waits.
    tokio::task::spawn_blocking(move || looked.recv()).await.unwrap().unwrap();
    cancelled.store(true, Ordering::SeqCst);
    scene.upload.wake();
    assert!(!waiting.await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_slow_path_the_oldest_whole_fragments_go_and_the_counters_add_up() {
    let mut settings = settings();
    settings.capacity.bytes = 1_500_000;
    settings.when_full = WhenFull::DropOldest;
    let mut scene = Scene::with(settings).await;
    scene.path.weather(|weather| weather.rate = Some(300_000));
    scene.film(600, FRAME).await;
    assert!(scene.stats().bytes_held < 2_500_000);
    scene.path.weather(|weather| weather.rate = None);
    scene.drain().await;
    let stats = scene.stats();
    assert!(stats.frames_dropped > 50, "{stats:#?}");
    assert_eq!(stats.frames_in, stats.frames_persisted + stats.frames_dropped);
    assert_eq!(scene.told.dropped().iter().map(|dropped| dropped.frames).sum::<u64>(), stats.frames_dropped);
    for fragment in scene.stored().await {
        assert_eq!(fragment[0] % 10, 0, "it begins with its key frame");
        assert!(fragment.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{fragment:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_room_fails_where_that_was_asked_for() {
    let mut settings = settings();
    settings.capacity.bytes = 500_000;
    settings.when_full = WhenFull::Fail;
    let mut scene = Scene::with(settings).await;
    scene.path.weather(|weather| weather.hole = true);
    scene.film(60, FRAME).await;
    let failures =
        scene.told.until("the failure", |told| Some(told.failures()).filter(|all| !all.is_empty())).await;
    assert_eq!(failures[0].kind, FailureKind::Full);
    assert_eq!(scene.push(10), Err(PushError::Ended));
    assert!(!scene.stop(Duration::from_secs(5)).await.is_empty());
}

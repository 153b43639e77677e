//! From the archive on into what comes: numbered frames, each once and in order, whatever happens.

use std::time::Duration;

use kvs_client::download::{Item, Place, Range, Settings};
use kvs_media::time::Utc;
use kvs_wire::FragmentSelectorType;
use serde_json::json;

use super::reader::{Reader, settings};
use super::running::Running;
use super::scene::{self, Scene, client};

/// A scene whose first frames have settled, and a reader from its beginning on.
async fn begun(
    scene: &mut Scene,
    settle: Duration,
    change: impl FnOnce(&mut Settings, &mut Range),
) -> Reader {
    let from = kvs_client::clock::utc().checked_sub(Duration::from_secs(60)).unwrap();
    scene.film(150, 3_000).await;
    let mut range = Range::since(from);
    let mut settings = Settings { settle, ..settings(Place::Range(range)) };
    change(&mut settings, &mut range);
    settings.place = Place::Range(range);
    Reader::start(&client(&scene.running, scene.path.url()), settings)
}

async fn to_the_end(scene: &mut Scene, reader: &mut Reader, frames: u64) {
    let all = scene.sent + frames;
    let read = reader.frames(all);
    tokio::join!(
        async {
            scene.film(frames, 3_000).await;
            scene.drain().await;
        },
        read
    );
    reader.assert_all(0, all);
    assert_eq!(reader.count(|item| matches!(item, Item::Range(_))), 1);
    reader.until("the tip", |reader| reader.count(|item| matches!(item, Item::Tip)) == 1).await;
}

const SETTLE: Duration = Duration::from_millis(1_000);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_to_be_seen_of_the_seam() {
    let mut scene = Scene::new().await;
    let mut reader = begun(&mut scene, SETTLE, |_, _| {}).await;
    to_the_end(&mut scene, &mut reader, 150).await;
    // Some of it came by lists, some of it as it came.
    let stats = reader.stats();
    assert!(stats.lists >= 1 && stats.connections >= 2 && stats.behind_now.is_some(), "{stats:#?}");
    assert_eq!((stats.lost, stats.duplicates, stats.gaps), (0, 0, 0), "{stats:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_by_the_clock_of_the_service() {
    let mut scene = Scene::new().await;
    let by_server =
        |_: &mut Settings, range: &mut Range| range.timeline = FragmentSelectorType::ServerTimestamp;
    let mut reader = begun(&mut scene, SETTLE, by_server).await;
    to_the_end(&mut scene, &mut reader, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_when_nothing_has_settled() {
    let mut scene = Scene::new().await;
    let mut reader = begun(&mut scene, Duration::from_secs(100), |_, _| {}).await;
    to_the_end(&mut scene, &mut reader, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_when_lists_are_late_and_in_no_order() {
    let mut scene = Scene::new().await;
    scene.fault(json!({ "what": "shuffle_lists" }));
    scene.fault(json!({ "what": { "list_late": { "millis": 900 } } }));
    let mut reader = begun(&mut scene, SETTLE, |_, _| {}).await;
    to_the_end(&mut scene, &mut reader, 150).await;
}

/// Every answer of GetMedia ends in this way.
async fn endings(fault: serde_json::Value) {
    let (running, path) = scene::service_with(|config| config.limits.get_media_readers = 1).await;
    let sending = client(&running, path.url());
    let mut scene = Scene::of(running, path, sending, scene::settings());
    scene.fault(json!({ "what": fault }));
    let mut reader = begun(&mut scene, SETTLE, |_, _| {}).await;
    to_the_end(&mut scene, &mut reader, 150).await;
    let stats = reader.stats();
    assert!(stats.reconnects >= 2, "{stats:#?}");
    // Every answer was closed before the next one was asked for: the service lets nobody in twice.
    assert_eq!(stats.failures, 0, "{stats:#?} {:#?}", reader.told.all());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_when_answers_end_again_and_again() {
    endings(json!({ "end_get_media": { "millis": 300 } })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_when_connections_end_within_fragments() {
    endings(json!({ "close_after": { "bytes": 70_000 } })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_when_connections_are_reset() {
    endings(json!({ "reset_after": { "bytes": 70_000 } })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_when_everything_is_refused_for_a_while() {
    for status in [400, 403, 503] {
        let mut scene = Scene::new().await;
        for operation in ["GetDataEndpoint", "ListFragments", "GetMediaForFragmentList", "GetMedia"] {
            // Who is denied from the beginning, and again, is denied for good.
            let times = if status == 403 { 1 } else { 3 };
            scene.fault(
                json!({ "what": { "refuse": { "operation": operation, "status": status } }, "times": times }),
            );
        }
        let mut reader = begun(&mut scene, SETTLE, |_, _| {}).await;
        to_the_end(&mut scene, &mut reader, 50).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_when_the_network_is_cut() {
    let mut scene = Scene::new().await;
    let mut reader = begun(&mut scene, SETTLE, |_, _| {}).await;
    for _ in 0..4 {
        scene.film(33, 3_000).await;
        scene.path.cut();
    }
    let sent = scene.sent;
    reader.frames(sent).await;
    to_the_end(&mut scene, &mut reader, 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_by_who_takes_slowly() {
    let mut scene = Scene::new().await;
    let mut reader = begun(&mut scene, SETTLE, |settings, _| settings.prefetch = 40_000).await;
    reader.slow = Duration::from_millis(400);
    to_the_end(&mut scene, &mut reader, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_when_the_service_is_stopped_and_started_again() {
    let patience = Duration::from_millis(500);
    let (running, path) = scene::service_with(|config| config.limits.stop_timeout = patience).await;
    let sending = client(&running, path.url());
    let mut scene = Scene::of(running, path, sending, scene::settings());
    let mut reader = begun(&mut scene, SETTLE, |_, _| {}).await;
    reader.frames(50).await;
    for _ in 0..2 {
        scene.film(25, 3_000).await;
        restart(&mut scene).await;
    }
    to_the_end(&mut scene, &mut reader, 60).await;
}

/// The same service again, on the same folder.
async fn restart(scene: &mut Scene) {
    let url = scene.path.url();
    let folder = std::mem::replace(&mut scene.running, Running::start().await).stop().await;
    scene.running = Running::on(folder, |config| {
        config.advertise = Some(url);
        config.allow_faults = true;
        config.limits.stop_timeout = Duration::from_millis(500);
    })
    .await;
    scene.path.lead_to(scene.running.address);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_whose_end_is_still_to_come_is_waited_for() {
    let mut scene = Scene::new().await;
    let mut until = None;
    let mut reader = begun(&mut scene, SETTLE, |_, range| {
        // Frames are filmed faster than life: this is the 200th of them.
        let begun = range.from.checked_add(Duration::from_secs(60)).unwrap();
        range.to = Some(begun.checked_add(Duration::from_millis(20_050)).unwrap());
        until = range.to;
    })
    .await;
    scene.film(150, 3_000).await;
    scene.drain().await;
    reader.read_to_the_end().await;
    let numbers = reader.numbers();
    assert!(numbers.iter().copied().eq(0..numbers.len() as u64) && numbers.len() >= 200, "{numbers:?}");
    let begins = |item: &Item| match item {
        Item::Fragment(fragment) => Some(fragment.producer),
        _ => None,
    };
    let last: Option<Utc> = reader.items.iter().filter_map(begins).max();
    assert!(last <= until, "{last:?} {until:?}");
}

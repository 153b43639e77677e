//! What is sent is read as it comes.

use kvs_client::download::{Item, Place};
use kvs_wire::StartSelector;

use super::reader::{Reader, settings};
use super::scene::{Scene, client};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_is_read_as_it_comes() {
    let mut scene = Scene::new().await;
    scene.film(15, 2_000).await;
    let mut reader = Reader::start(
        &client(&scene.running, scene.path.url()),
        settings(Place::Follow(StartSelector::Earliest)),
    );
    reader.frames(10).await;
    scene.film(45, 2_000).await;
    scene.drain().await;
    reader.frames(60).await;
    reader.until("the last end", |reader| reader.count(|item| matches!(item, Item::Done(_))) == 6).await;
    reader.assert_all(0, 60);
    assert_eq!(reader.count(|item| matches!(item, Item::Tip)), 1);
    assert_eq!(reader.stats().fragments, 6);
}

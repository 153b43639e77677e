//! What is sent is read as it comes.

use std::time::{Duration, Instant};

use kvs_client::client::{CredentialsFrom, StaticKeys};
use kvs_client::download::{FailureKind, Item, Next, Place, Report};
use kvs_wire::{Operation, StartSelector};
use serde_json::json;

use super::reader::{Reader, settings};
use super::recording::Recording;
use super::scene::{STREAM, Scene, client, of};

fn follow(selector: StartSelector) -> kvs_client::download::Settings {
    settings(Place::Follow(selector))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_is_read_as_it_comes() {
    let mut scene = Scene::new().await;
    scene.film(15, 2_000).await;
    let mut reader =
        Reader::start(&client(&scene.running, scene.path.url()), follow(StartSelector::Earliest));
    reader.frames(10).await;
    scene.film(45, 2_000).await;
    scene.drain().await;
    reader.frames(60).await;
    let whole = |reader: &Reader| reader.count(|item| matches!(item, Item::Done(_))) == 6;
    reader.until("the last end", whole).await;
    reader.assert_all(0, 60);
    assert_eq!(reader.count(|item| matches!(item, Item::Tip)), 1);
    assert_eq!(reader.stats().fragments, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_now_is_read_from_now_on() {
    let mut recording = Recording::of(10).await;
    let mut reader = Reader::start(&recording.client(), follow(StartSelector::Now));
    reader.until("the tip", |reader| reader.count(|item| matches!(item, Item::Tip)) == 1).await;
    // The last fragment has just come: that is now.
    reader.frames(10).await;
    recording.record(3).await;
    reader.frames(40).await;
    reader.assert_all(90, 130);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_pauses_is_asked_now_and_then_and_goes_on_at_once() {
    let mut recording = Recording::of(2).await;
    let mut reader = Reader::start(&recording.client(), follow(StartSelector::Earliest));
    reader.frames(20).await;
    let no_data = |reader: &Reader| {
        reader.told.all().iter().filter(|report| matches!(report, Report::NoData { .. })).count() >= 2
    };
    reader.until("no data", no_data).await;
    let calls = reader.stats().connections;
    assert!(calls <= 4, "{calls}");
    recording.pause(10_000);
    recording.record(1).await;
    let begun = Instant::now();
    reader.frames(30).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    reader.assert_all(0, 30);
    assert_eq!(reader.stats().gaps, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_producer_sends_again_comes_once() {
    let mut recording = Recording::of(5).await;
    recording.record_again(2).await;
    recording.record(2).await;
    let mut reader = Reader::start(&recording.client(), follow(StartSelector::Earliest));
    reader.frames(70).await;
    reader.assert_all(0, 70);
    assert_eq!(reader.stats().duplicates, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_not_there_is_one_clear_failure() {
    let recording = Recording::of(1).await;
    for place in
        [Place::Follow(StartSelector::Now), Place::Range(kvs_client::download::Range::since(recording.begun))]
    {
        let settings = kvs_client::download::Settings::new("nobody-s".parse().unwrap(), place);
        let mut reader = Reader::start(&recording.client(), settings);
        reader.read_to_the_end().await;
        let Some(Next::Failed(failure)) = &reader.end else { panic!("{:?}", reader.end) };
        assert_eq!(failure.kind, FailureKind::NoStream);
        let told: Vec<_> =
            reader.told.all().into_iter().filter(|report| matches!(report, Report::Failed(_))).collect();
        assert_eq!(told.len(), 1);
        assert!(matches!(reader.download.next(Duration::ZERO), Next::Failed(_)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_vanishes_while_it_is_read_is_a_failure() {
    let recording = Recording::of(3).await;
    let mut reader = Reader::start(&recording.client(), follow(StartSelector::Earliest));
    reader.frames(30).await;
    let service = recording.running.client();
    let described = service.ok(Operation::DescribeStream, json!({ "StreamName": STREAM })).await;
    let arn = &described["StreamInfo"]["StreamARN"];
    service.ok(Operation::DeleteStream, json!({ "StreamARN": arn })).await;
    reader.read_to_the_end().await;
    let Some(Next::Failed(failure)) = &reader.end else { panic!("{:?}", reader.end) };
    assert_eq!(failure.kind, FailureKind::NoStream);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_known_gets_one_clear_failure() {
    let recording = Recording::of(1).await;
    let keys = StaticKeys {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "sEcReT".into(),
        session_token: None,
    };
    let stranger = of(CredentialsFrom::Static(keys), recording.path.url());
    let mut reader = Reader::start(&stranger, follow(StartSelector::Now));
    reader.read_to_the_end().await;
    let Some(Next::Failed(failure)) = &reader.end else { panic!("{:?}", reader.end) };
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(!format!("{failure:?}").contains("sEcReT"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interruption_ends_a_wait_and_nothing_is_lost() {
    let mut recording = Recording::of(1).await;
    let mut reader = Reader::start(&recording.client(), follow(StartSelector::Earliest));
    reader.frames(10).await;
    let download = std::sync::Arc::clone(&reader.download);
    let waiting = tokio::task::spawn_blocking(move || {
        loop {
            match download.next(Duration::from_secs(30)) {
                Next::Item(_) => {}
                other => return other,
            }
        }
    });
    reader.download.interrupt(true);
    assert!(matches!(waiting.await.unwrap(), Next::Interrupted));
    assert!(matches!(reader.download.next(Duration::from_secs(30)), Next::Interrupted));
    recording.record(1).await;
    reader.download.interrupt(false);
    reader.frames(20).await;
    reader.assert_all(0, 20);
    reader.download.stop();
    assert!(matches!(reader.download.next(Duration::from_secs(30)), Next::End));
}

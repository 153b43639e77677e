//! The beginning and the end, with and without a network.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kvs_client::client::{Client, ClientSettings, CredentialsFrom, Environment, StaticKeys};
use kvs_client::upload::{FailureKind, Settings};
use kvs_service::auth::{Policy, file};
use kvs_service::random::SystemRandom;
use serde_json::json;

use super::running::Running;
use super::scene::{STREAM, Scene, client, of, service, settings};

/// The keys of a new user with this policy.
fn user(running: &Running, policy: &serde_json::Value) -> StaticKeys {
    let file = running.folder.path().join(kvs_service::IDENTITIES);
    let identities = file::load(&file).unwrap().with_user("camera", &SystemRandom).unwrap();
    let policy = Policy::parse(&policy.to_string()).unwrap();
    let identities = identities.with_policy("camera", "all", policy).unwrap();
    file::save(&file, &identities).unwrap();
    running.service.reload_identities().unwrap();
    let user = identities.users().iter().find(|user| user.name() == "camera").unwrap();
    let pair = &user.keys()[0];
    StaticKeys {
        access_key_id: pair.access_key_id.to_string(),
        secret_access_key: pair.secret_access_key.reveal().into(),
        session_token: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_network_frames_are_taken_from_the_first_on() {
    let (running, path) = service().await;
    path.weather(|weather| weather.refuses = true);
    let client = client(&running, path.url());
    let mut scene = Scene::of(running, path, client, settings());
    scene.film(120, 2_000).await;
    assert_eq!(scene.stats().frames_held, 120);
    scene.path.weather(|weather| weather.refuses = false);
    scene.drain().await;
    assert_eq!(scene.assert_all_stored().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_without_a_network_gives_up_and_says_what_is_left() {
    for hole in [true, false] {
        let mut scene = Scene::new().await;
        scene.film(25, 2_000).await;
        scene.path.weather(|weather| (weather.hole, weather.refuses) = (hole, !hole));
        scene.film(20, 2_000).await;
        let begun = Instant::now();
        let rest = scene.stop(Duration::from_secs(120)).await;
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(5_500), "{took:?}");
        assert!(rest.frames >= 20 && rest.frames <= 45, "{rest:?}");
    }
}

/// More than the path's own buffers take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_still_on_the_wire_is_no_sign_of_life() {
    let mut scene = Scene::new().await;
    scene.film(60, 30_000).await;
    scene.path.weather(|weather| weather.hole = true);
    scene.film(60, 30_000).await;
    let begun = Instant::now();
    let rest = scene.stop(Duration::from_secs(120)).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(5_500), "{took:?}");
    assert!(rest.frames >= 60, "{rest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_takes_no_longer_than_it_may() {
    let mut scene = Scene::new().await;
    scene.fault(json!({ "what": { "drop_acks": { "event": "PERSISTED" } } }));
    scene.film(25, 2_000).await;
    let begun = Instant::now();
    let rest = scene.stop(Duration::from_secs(1)).await;
    assert!(begun.elapsed() < Duration::from_millis(1_500));
    assert_eq!(rest.frames, 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_is_kept_the_end_does_not_wait_for_what_never_comes() {
    let (running, path) = service().await;
    running.client().create(STREAM, 0).await;
    let client = client(&running, path.url());
    let mut scene = Scene::of(running, path, client, settings());
    scene.film(30, 2_000).await;
    let begun = Instant::now();
    scene.drain().await;
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(scene.stats().frames_persisted, 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_only_put_media_is_enough_when_the_stream_is_there() {
    let (running, path) = service().await;
    running.client().create(STREAM, 24).await;
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["kinesisvideo:PutMedia", "kinesisvideo:GetDataEndpoint"], "Resource": "*" },
    ]});
    let keys = user(&running, &policy);
    let client = of(CredentialsFrom::Static(keys), path.url());
    let mut scene = Scene::of(running, path, client, settings());
    scene.film(30, 2_000).await;
    scene.drain().await;
    assert_eq!(scene.assert_all_stored().await, 0);
    assert!(scene.told.failures().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_credentials_at_all_are_a_failure_and_wrong_ones_are_not() {
    let (running, path) = service().await;
    let keys = StaticKeys {
        access_key_id: "AKIDNOBODY0000000000".into(),
        secret_access_key: "nobody".into(),
        session_token: None,
    };
    let wrong = of(CredentialsFrom::Static(keys), path.url());
    let mut scene = Scene::of(running, path, wrong, settings());
    scene.film(60, 500).await;
    scene
        .told
        .until("a refusal", |told| {
            let told = format!("{:?}", told.all());
            assert!(!told.contains("nobody"));
            told.contains("Waiting").then_some(())
        })
        .await;
    assert!(scene.told.failures().is_empty());
    let attempts = scene.path.connections.load(Ordering::Relaxed);
    assert!(attempts < 30, "{attempts} in half a second");

    let (running, path) = service().await;
    let file = running.folder.path().join("there-is-none");
    let none = Client::new(
        ClientSettings {
            region: Some("us-west-2".into()),
            endpoint: Some(path.url()),
            credentials: CredentialsFrom::File(file),
            ..ClientSettings::default()
        },
        Environment::default(),
    );
    let mut scene = Scene::of(running, path, none, Settings { ..settings() });
    scene.film(10, 500).await;
    let failures =
        scene.told.until("the failure", |told| Some(told.failures()).filter(|all| !all.is_empty())).await;
    assert_eq!(failures[0].kind, FailureKind::NoCredentials, "{failures:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_byte_takes_no_more_than_six_round_trips_and_three_when_the_endpoint_is_known() {
    let (running, path) = service().await;
    running.client().create(STREAM, 24).await;
    let client = client(&running, path.url());
    let trip = Duration::from_millis(100);
    path.weather(|weather| weather.delay = trip / 2);
    let mut scene = Scene::of(running, path, client.clone(), settings());
    for most in [6, 3] {
        let begun = Instant::now();
        scene.burst(1, 500);
        scene.told.until("a connection", |told| (told.connected() > 0).then_some(())).await;
        let took = begun.elapsed();
        assert!(took < trip * most + trip / 2, "{took:?}");
        scene.stop(Duration::from_secs(10)).await;
        let Scene { running, path, .. } = scene;
        scene = Scene::of(running, path, client.clone(), settings());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_nobody_holds_leaves_nothing_behind() {
    let mut scene = Scene::new().await;
    scene.path.weather(|weather| weather.hole = true);
    scene.film(10, 500).await;
    let Scene { upload, told, .. } = scene;
    drop(upload);
    // The task holds the listener until it ends.
    let ended = async {
        while std::sync::Arc::strong_count(&told) > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::scene::PATIENCE, ended).await.expect("the task ends");
}

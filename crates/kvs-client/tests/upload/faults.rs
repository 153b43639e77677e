//! The path and the service fail, and everything is there in the end.

use std::time::Duration;

use kvs_client::upload::FailureKind;
use kvs_wire::{ErrorId, Reaction};
use serde_json::json;

use super::scene::{Scene, service, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_cut_again_and_again_loses_nothing() {
    let mut scene = Scene::new().await;
    for _ in 0..5 {
        scene.film(37, 3_000).await;
        scene.path.cut();
    }
    scene.film(20, 3_000).await;
    scene.drain().await;
    let twice = scene.assert_all_stored().await;
    assert!(twice <= 5 * 20, "{twice}");
    assert!(scene.stats().reconnects >= 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_swallows_everything_for_a_while_loses_nothing() {
    let mut scene = Scene::new().await;
    scene.film(25, 3_000).await;
    scene.path.weather(|weather| weather.hole = true);
    scene.film(300, 3_000).await;
    scene.path.weather(|weather| weather.hole = false);
    scene.film(20, 3_000).await;
    scene.drain().await;
    assert!(scene.assert_all_stored().await <= 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_for_a_while_loses_nothing() {
    let mut scene = Scene::new().await;
    scene.film(25, 3_000).await;
    scene.path.weather(|weather| weather.refuses = true);
    scene.film(300, 3_000).await;
    scene.path.weather(|weather| weather.refuses = false);
    scene.drain().await;
    assert!(scene.assert_all_stored().await <= 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_of_the_call_is_got_over() {
    for status in [400, 403, 404, 413, 429, 500, 503] {
        let mut scene = Scene::new().await;
        scene.fault(
            json!({ "what": { "refuse": { "operation": "PutMedia", "status": status } }, "times": 3 }),
        );
        scene.film(30, 500).await;
        scene.drain().await;
        assert_eq!(scene.assert_all_stored().await, 0, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_the_control_plane_are_got_over() {
    for operation in ["GetDataEndpoint", "CreateStream", "DescribeStream"] {
        for status in [403, 500] {
            let mut scene = Scene::new().await;
            scene.fault(
                json!({ "what": { "refuse": { "operation": operation, "status": status } }, "times": 2 }),
            );
            scene.film(30, 500).await;
            scene.drain().await;
            assert_eq!(scene.assert_all_stored().await, 0, "{operation} {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_error_ack_of_the_service_is_met_as_the_table_says() {
    let mut scenes = Vec::new();
    for error in ErrorId::known() {
        scenes.push(tokio::spawn(async move {
            let mut scene = Scene::new().await;
            scene.fault(json!({ "what": { "error_ack": { "fragment": 2, "id": error.0 } }, "times": 1 }));
            scene.film(60, 500).await;
            if error.reaction() == Reaction::Stop {
                let failures = scene
                    .told
                    .until("the failure", |told| Some(told.failures()).filter(|all| !all.is_empty()))
                    .await;
                assert_eq!(failures.len(), 1);
                assert!(failures[0].message.contains(&error.to_string()), "{}", failures[0].message);
                let gone = matches!(error.0, 4008 | 4507);
                assert_eq!(failures[0].kind == FailureKind::NoStream, gone);
                return;
            }
            scene.drain().await;
            assert!(scene.assert_all_stored().await <= 20, "{error}");
            assert_eq!(scene.stats().errors, 1, "{error}");
        }));
    }
    for scene in scenes {
        scene.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_end_or_stall_in_the_middle_of_a_fragment_are_replaced() {
    for what in ["close_after", "reset_after", "stall_after"] {
        let mut scene = Scene::new().await;
        scene.fault(json!({ "what": { what: { "bytes": 40_000 } }, "times": 2 }));
        scene.film(100, 3_000).await;
        scene.drain().await;
        let twice = scene.assert_all_stored().await;
        assert!(twice <= 2 * 20, "{what}: {twice}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_the_service_ends_by_its_age_goes_on_in_another() {
    let mut scene = Scene::new().await;
    scene.fault(json!({ "what": { "expire_session": { "millis": 300 } }, "times": 4 }));
    scene.film(200, 1_000).await;
    scene.drain().await;
    scene.assert_all_stored().await;
    assert!(scene.stats().connections >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_and_missing_acks_do_no_harm() {
    for what in [
        json!({ "delay_acks": { "millis": 400 } }),
        json!({ "drop_acks": { "event": "BUFFERING" } }),
        json!({ "drop_acks": { "event": "RECEIVED" } }),
    ] {
        let mut scene = Scene::new().await;
        scene.fault(json!({ "what": what }));
        scene.film(60, 1_000).await;
        scene.drain().await;
        assert_eq!(scene.assert_all_stored().await, 0, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_wrong_is_learned_from_the_first_refusal() {
    for minutes in [-60, 60] {
        let mut scene = Scene::new().await;
        scene.fault(json!({ "what": { "skew_clock": { "millis": minutes * 60_000 } } }));
        scene.film(30, 500).await;
        scene.drain().await;
        assert_eq!(scene.stats().frames_persisted, 30, "{minutes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_started_again_elsewhere_gets_the_rest() {
    let mut scene = Scene::new().await;
    scene.film(45, 2_000).await;
    scene.path.weather(|weather| weather.refuses = true);
    scene.film(20, 2_000).await;
    let url = scene.path.url();
    let Scene { running, .. } = &mut scene;
    let (other, spare) = service().await;
    let old = std::mem::replace(running, other);
    let folder = old.stop().await;
    drop(spare);
    scene.film(50, 2_000).await;
    scene.running = super::running::Running::on(folder, |config| config.advertise = Some(url)).await;
    scene.path.lead_to(scene.running.address);
    scene.path.weather(|weather| weather.refuses = false);
    scene.film(20, 2_000).await;
    scene.drain().await;
    assert!(scene.assert_all_stored().await <= 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_missing_and_may_not_be_made_is_a_failure() {
    let mut settings = settings();
    settings.setup.create = false;
    let mut scene = Scene::with(settings).await;
    scene.film(10, 500).await;
    let failures =
        scene.told.until("the failure", |told| Some(told.failures()).filter(|all| !all.is_empty())).await;
    assert_eq!(failures[0].kind, FailureKind::NoStream);
    assert!(scene.push(500).is_err());
    // It has been reported, and nobody waits for what cannot be.
    let begun = std::time::Instant::now();
    assert!(!scene.stop(Duration::from_secs(60)).await.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(2));
}

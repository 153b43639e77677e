//! Credentials that do not last.

use std::time::Duration;

use kvs_client::client::CredentialsFrom;

use super::passing::Passing;
use super::scene::{Scene, of, service_with, settings};

/// Streams for a while with credentials that last for so long, and are renewed in a file in time.
async fn stream_with_short_credentials(lifetime: u64, span: Duration) -> Scene {
    let (credentials, lifetime) = (Passing::new(), Duration::from_secs(lifetime));
    let (running, path) = service_with(Passing::prepare).await;
    credentials.renew(&running, lifetime);
    let client = of(CredentialsFrom::File(credentials.file()), path.url());
    let mut scene = Scene::of(running, path, client, settings());
    let mut clock = tokio::time::interval(Duration::from_millis(100));
    let (mut renewed, mut passed) = (Duration::ZERO, Duration::ZERO);
    while passed < span {
        clock.tick().await;
        scene.push(2_000).unwrap();
        passed += Duration::from_millis(100);
        if passed - renewed >= lifetime / 2 {
            renewed = passed;
            credentials.renew(&scene.running, lifetime);
        }
    }
    scene.drain().await;
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_last_for_a_moment_are_followed_without_a_lost_frame() {
    let (lifetime, span) = if std::env::var_os("KVS_LONG").is_some() { (60, 300) } else { (30, 35) };
    let scene = stream_with_short_credentials(lifetime, Duration::from_secs(span)).await;
    assert_eq!(scene.assert_all_stored().await, 0);
    let stats = scene.stats();
    assert!(stats.connections >= 2, "{stats:#?}");
    assert_eq!((stats.reconnects, stats.errors, stats.frames_dropped), (0, 0, 0));
}

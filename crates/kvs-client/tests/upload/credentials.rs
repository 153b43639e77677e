//! Credentials that do not last.

use std::sync::Arc;
use std::time::Duration;

use kvs_client::client::CredentialsFrom;
use kvs_client::clock;
use kvs_service::auth::{Authenticator, Regions, file};
use kvs_service::keys::{Key, Keyring};
use kvs_service::random::SystemRandom;
use serde_json::Value;
use tempfile::TempDir;

use super::running::Running;
use super::scene::{Scene, of, service_with, settings};

/// Temporary credentials of the root user, as a line of the file that is renewed.
fn temporary(running: &Running, seconds: u64) -> String {
    let sessions = keyring().derive("sessions").unwrap();
    let identities = file::load(&running.folder.path().join(kvs_service::IDENTITIES)).unwrap();
    let root = Arc::clone(identities.root());
    let issuer = Authenticator::new("", Regions::Any, &sessions, identities).unwrap();
    let lifetime = Duration::from_secs(seconds);
    let made = issuer.issue(&root, lifetime, None, clock::utc(), &SystemRandom).unwrap();
    let json: Value = serde_json::from_str(&made.process_json()).unwrap();
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    format!(
        "CREDENTIALS {} {} {} {}",
        text("AccessKeyId"),
        text("Expiration"),
        text("SecretAccessKey"),
        text("SessionToken")
    )
}

/// The master key of these services: what they issue can be issued here.
fn keyring() -> Keyring {
    Keyring::of("test", Key::new([7; 32]))
}

/// Streams for a while with credentials that last for so long, and are renewed in a file in time.
async fn stream_with_short_credentials(lifetime: u64, span: Duration) -> Scene {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("credential");
    let (running, path) = service_with(|config| config.keyring = Some(keyring())).await;
    std::fs::write(&file, temporary(&running, lifetime)).unwrap();
    let client = of(CredentialsFrom::File(file.clone()), path.url());
    let mut scene = Scene::of(running, path, client, settings());
    let mut clock = tokio::time::interval(Duration::from_millis(100));
    let renewal = Duration::from_secs(lifetime) / 2;
    let (mut renewed, mut passed) = (Duration::ZERO, Duration::ZERO);
    while passed < span {
        clock.tick().await;
        scene.push(2_000).unwrap();
        passed += Duration::from_millis(100);
        if passed - renewed >= renewal {
            renewed = passed;
            let next = folder.path().join("next");
            std::fs::write(&next, temporary(&scene.running, lifetime)).unwrap();
            std::fs::rename(&next, &file).unwrap();
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

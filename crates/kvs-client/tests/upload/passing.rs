//! Credentials that do not last, in a file that is renewed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kvs_client::clock;
use kvs_service::Config;
use kvs_service::auth::{Authenticator, Regions, file};
use kvs_service::keys::{Key, Keyring};
use kvs_service::random::SystemRandom;
use serde_json::Value;
use tempfile::TempDir;

use super::running::Running;

/// No session of the service is shorter: those that are to be were issued earlier.
const SHORTEST: Duration = Duration::from_secs(30);

/// Temporary credentials of the root user, in a file.
pub(crate) struct Passing {
    folder: TempDir,
}

impl Passing {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    /// So that what a service issues can be issued here.
    pub(crate) fn prepare(config: &mut Config) {
        config.keyring = Some(keyring());
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("credential")
    }

    /// Others, which last from now on for so long, are in the file.
    pub(crate) fn renew(&self, running: &Running, lifetime: Duration) {
        let next = self.folder.path().join("next");
        std::fs::write(&next, line(running, lifetime)).unwrap();
        std::fs::rename(&next, self.file()).unwrap();
    }
}

/// The master key of these services.
fn keyring() -> Keyring {
    Keyring::of("test", Key::new([7; 32]))
}

fn line(running: &Running, lifetime: Duration) -> String {
    let sessions = keyring().derive("sessions").unwrap();
    let identities = file::load(&running.folder.path().join(kvs_service::IDENTITIES)).unwrap();
    let root = Arc::clone(identities.root());
    let issuer = Authenticator::new("", Regions::Any, &sessions, identities).unwrap();
    let passed = SHORTEST.saturating_sub(lifetime);
    let issued = clock::utc().checked_sub(passed).unwrap();
    let made = issuer.issue(&root, lifetime + passed, None, issued, &SystemRandom).unwrap();
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

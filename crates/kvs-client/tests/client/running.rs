//! A service that runs in the test's own process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kvs_client::client::{ClientSettings, CredentialsFrom, Environment, StaticKeys};
use kvs_client::{Client, clock};
use kvs_media::time::Utc;
use kvs_service::auth::{Authenticator, Identities, Regions, SessionCredentials};
use kvs_service::keys::{Key, Keyring};
use kvs_service::random::SystemRandom;
use kvs_service::tls::Tls;
use kvs_service::{Config, Service};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// No answer of a service that works takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A service and its data folder, both gone when this is dropped.
pub(crate) struct Running {
    service: Arc<Service>,
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    pub(crate) tls: Option<Tls>,
    identities: Arc<Identities>,
    issuer: Authenticator,
    _stop: oneshot::Sender<()>,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::run(false).await
    }

    /// With a certificate of its own authority.
    pub(crate) async fn with_tls() -> Self {
        Self::run(true).await
    }

    async fn run(secure: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::of("test", Key::generate(&SystemRandom).unwrap());
        let sessions = keyring.derive("sessions").unwrap();
        let mut config = Config { keyring: Some(keyring), allow_faults: true, ..Config::new(folder.path()) };
        // Tests are faster than people.
        config.limits.control_calls_per_stream = 1_000;
        config.limits.put_media_calls = 1_000;
        config.store.segment_bytes = 8 << 20;
        let (service, opened) =
            tokio::task::spawn_blocking(move || Service::open(config)).await.unwrap().unwrap();
        let identities = opened.identities;
        let issuer = Authenticator::new("", Regions::Any, &sessions, Identities::clone(&identities)).unwrap();
        let tls = secure.then(|| Tls::self_signed(folder.path(), &[], clock::utc()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let config = tls.as_ref().map(|tls| Arc::clone(tls.config()));
        tokio::spawn(Arc::clone(&service).run(listener, config, async {
            let _ = stopped.await;
        }));
        Self { service, address, folder, tls, identities, issuer, _stop: stop }
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.address.port())
    }

    /// The root user's lasting keys.
    pub(crate) fn keys(&self) -> StaticKeys {
        let pair = &self.identities.root().keys()[0];
        StaticKeys {
            access_key_id: pair.access_key_id.to_string(),
            secret_access_key: pair.secret_access_key.reveal().into(),
            session_token: None,
        }
    }

    /// Temporary ones.
    pub(crate) fn session(&self, lifetime: Duration) -> SessionCredentials {
        let root = self.identities.root();
        self.issuer.issue(root, lifetime, None, clock::utc(), &SystemRandom).unwrap()
    }

    /// What a container names to be given temporary ones.
    pub(crate) fn container_token(&self) -> String {
        self.issuer.container_token(self.identities.root()).reveal().to_owned()
    }

    /// What a user sets to reach it as the root user.
    pub(crate) fn settings(&self) -> ClientSettings {
        settings(self.url(), CredentialsFrom::Static(self.keys()), self.tls.as_ref())
    }

    pub(crate) fn fault(&self, json: &str) {
        self.service.faults().set(json.as_bytes()).unwrap();
    }

    pub(crate) fn client(&self) -> Arc<Client> {
        Client::new(self.settings(), Environment::default())
    }
}

pub(crate) fn settings(url: String, credentials: CredentialsFrom, tls: Option<&Tls>) -> ClientSettings {
    ClientSettings {
        region: Some("us-west-2".to_owned()),
        endpoint: Some(url),
        credentials,
        ca_file: tls.and_then(|tls| Some(tls.ca()?.to_owned())),
        ..ClientSettings::default()
    }
}

/// Keys that nobody knows.
pub(crate) fn some_keys() -> CredentialsFrom {
    CredentialsFrom::Static(StaticKeys {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "sEcReT".into(),
        session_token: Some("tOkEn".into()),
    })
}

/// The credential file of AWS's own element.
pub(crate) fn credential_file(session: &SessionCredentials) -> String {
    format!(
        "CREDENTIALS {} {} {} {}\n",
        session.access_key_id,
        session.expiration.extended(),
        session.secret_access_key.reveal(),
        session.session_token.reveal()
    )
}

pub(crate) fn utc(time: SystemTime) -> Utc {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Utc::from_nanos(since.as_nanos().try_into().unwrap())
}

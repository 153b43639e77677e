//! One service as one user sees it.

mod archive;
mod call;
mod context;
mod control;
mod credentials;
mod dial;
mod endpoints;
mod environment;
mod error;
mod get_media;
mod put_media;
mod region;
mod service_clock;
mod settings;
mod shared;
mod tls;
mod url;

pub use archive::{FragmentPage, ListedFragment};
pub use control::{NewStream, StreamDescription, StreamStatus};
pub use credentials::CredentialsError;
pub use environment::Environment;
pub use error::{CallError, SettingsError};
pub use get_media::{Media, OpenMedia};
pub use put_media::{Acks, Connection, ConnectionError, OpenPutMedia, PutMediaRequest};
pub use region::RegionConflict;
pub use settings::{ClientSettings, CredentialsFrom, IotSettings, Secret, StaticKeys};
pub use tls::Trust;
pub use url::ServiceUrl;

use std::sync::Arc;

use aws_credential_types::Credentials;
use kvs_media::time::Utc;
use tokio::sync::OnceCell;

use archive::ArchivePlane;
use call::ControlPlane;
use context::Context;
use credentials::{KeptCredentials, Source};
use endpoints::DataEndpoints;
use get_media::MediaPlane;

/// One service as one user sees it: credentials, endpoints, calls.
#[derive(Debug)]
pub struct Client {
    context: Context,
    credentials: KeptCredentials,
    control: OnceCell<ControlPlane>,
    media: OnceCell<MediaPlane>,
    archive: OnceCell<ArchivePlane>,
    endpoints: Arc<DataEndpoints>,
}

impl Client {
    /// Reads nothing and connects to nobody yet. Those with equal settings share one.
    pub fn shared(settings: ClientSettings) -> Arc<Self> {
        shared::client(settings)
    }

    /// One that nobody shares, in an environment that may be another than that of the process.
    pub fn new(settings: ClientSettings, environment: Environment) -> Arc<Self> {
        Self::with(settings, environment, Arc::default())
    }

    fn with(settings: ClientSettings, environment: Environment, endpoints: Arc<DataEndpoints>) -> Arc<Self> {
        let credentials = KeptCredentials::of(Source::of(&settings));
        let context = Context::new(settings, environment);
        Arc::new(Self {
            context,
            credentials,
            control: OnceCell::new(),
            media: OnceCell::new(),
            archive: OnceCell::new(),
            endpoints,
        })
    }

    /// What it was made from.
    pub const fn settings(&self) -> &ClientSettings {
        &self.context.settings
    }

    /// Says when the environment names another region than the settings, which count.
    pub fn region_conflict(&self) -> Option<RegionConflict> {
        region::conflict(self.settings(), &self.context.environment)
    }

    /// The credentials, which are fetched when there are none, before they expire, and when their file has changed.
    /// With `renew`, after a refusal, in any case, but once in a few seconds at most.
    ///
    /// # Errors
    /// When there are none, or none can be had just now.
    pub async fn credentials(&self, renew: bool) -> Result<Credentials, CredentialsError> {
        self.credentials.get(&self.context, renew).await
    }

    /// Now, by the service's clock as far as it is known: what signatures and expirations are counted by.
    pub fn now(&self) -> Utc {
        self.context.clock.utc()
    }
}

//! Where credentials come from.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;

use super::chain::{self, Chain};
use super::{CredentialsError, file, iot};
use crate::client::context::Context;
use crate::client::settings::{ClientSettings, CredentialsFrom};

/// Where credentials come from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    first: First,
    /// A role that is taken on with those.
    role: Option<String>,
}

#[derive(Clone, Debug)]
enum First {
    Fixed(Credentials),
    File(PathBuf),
    Iot(crate::client::settings::IotSettings),
    Chain(Chain),
}

/// What is seen of files from outside: two that differ are two versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<Option<(SystemTime, u64, u64)>>);

impl Stamp {
    fn of(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| Self::of_file(path)).collect())
    }

    /// When it was written, how long it is, and which file it is: a new one may be put in the place of an old one.
    fn of_file(path: &Path) -> Option<(SystemTime, u64, u64)> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    }
}

impl Source {
    pub(crate) fn of(settings: &ClientSettings) -> Self {
        let first = match &settings.credentials {
            CredentialsFrom::Chain => First::Chain(Chain::of(settings)),
            CredentialsFrom::Static(keys) => First::Fixed(Credentials::new(
                keys.access_key_id.clone(),
                keys.secret_access_key.expose(),
                keys.session_token.as_ref().map(|token| token.expose().to_owned()),
                None,
                "settings",
            )),
            CredentialsFrom::File(path) => First::File(path.clone()),
            CredentialsFrom::Iot(iot) => First::Iot(iot.clone()),
        };
        Self { first, role: settings.assume_role.clone().filter(|role| !role.is_empty()) }
    }

    /// How the files look that they are from. Reads no content.
    pub(crate) async fn stamp(&self, context: &Context) -> Stamp {
        let paths = match &self.first {
            First::File(path) => vec![path.clone()],
            First::Chain(_) => chain::files(&context.environment),
            First::Fixed(_) | First::Iot(_) => return Stamp::default(),
        };
        let stamped = tokio::task::spawn_blocking(move || Stamp::of(&paths)).await;
        stamped.unwrap_or_default()
    }

    /// Fetches them. Takes no longer than a few calls may.
    pub(crate) async fn fetch(&self, context: &Context) -> Result<Credentials, CredentialsError> {
        let bound = context.settings.call_timeout.saturating_mul(3);
        let fetched = tokio::time::timeout(bound, self.fetch_unbounded(context)).await;
        fetched.unwrap_or_else(|_| {
            Err(CredentialsError::Unavailable(format!("no answer within {} s", bound.as_secs_f32())))
        })
    }

    async fn fetch_unbounded(&self, context: &Context) -> Result<Credentials, CredentialsError> {
        let first = match &self.first {
            First::Fixed(credentials) => credentials.clone(),
            First::File(path) => file::read(path.clone(), context.clock.utc()).await?,
            First::Iot(settings) => iot::fetch(settings, &context.clock).await?,
            First::Chain(chain) => chain.fetch(context).await?,
        };
        let Some(role) = &self.role else { return Ok(first) };
        let config = context.sdk_config().await.map_err(|error| error.for_credentials())?;
        let provider = AssumeRoleProvider::builder(role).configure(&config).build_from_provider(first).await;
        let assumed = provider.provide_credentials().await;
        assumed.map_err(|error| CredentialsError::Unavailable(chain::reason(&error)))
    }
}

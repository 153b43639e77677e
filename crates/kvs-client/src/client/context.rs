//! What all calls of a client have in common.

use std::sync::Arc;

use aws_config::identity::IdentityCache;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use tokio::sync::OnceCell;

use super::credentials::CredentialsError;
use super::environment::Environment;
use super::error::SettingsError;
use super::region;
use super::service_clock::ServiceClock;
use super::settings::ClientSettings;
use super::tls::Trust;

/// What all calls of a client have in common. What takes files or the network is found out when it is first needed.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: ClientSettings,
    pub(crate) environment: Environment,
    pub(crate) clock: ServiceClock,
    trust: OnceCell<Trust>,
    region: OnceCell<Region>,
}

/// Why there is no context for a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContextError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the instance does not say just now in which region it is")]
    Region,
}

impl ContextError {
    /// The same where credentials were to be fetched.
    pub(crate) fn for_credentials(&self) -> CredentialsError {
        match self {
            Self::Settings(error) => CredentialsError::None(error.to_string()),
            Self::Region => CredentialsError::Unavailable(self.to_string()),
        }
    }
}

impl Context {
    pub(crate) fn new(settings: ClientSettings, environment: Environment) -> Self {
        let clock = ServiceClock::default();
        Self { settings, environment, clock, trust: OnceCell::new(), region: OnceCell::new() }
    }

    /// Whom to trust.
    pub(crate) async fn trust(&self) -> Result<&Trust, SettingsError> {
        let load = async || {
            let (file, environment) = (self.settings.ca_file.clone(), self.environment.clone());
            let loaded =
                tokio::task::spawn_blocking(move || Trust::load(file.as_deref(), &environment)).await;
            loaded.unwrap_or(Err(SettingsError::text("TLS", "the certificates were not read")))
        };
        self.trust.get_or_try_init(load).await
    }

    /// In which region. Asks nobody when settings or environment say it.
    pub(crate) async fn region(&self) -> Result<Region, ContextError> {
        let find = async || {
            if let Some(region) = region::named(&self.settings, &self.environment) {
                return Ok(Region::new(region));
            }
            let config = self.provider_config().await?;
            let found = region::found(self.settings.profile.as_deref(), &config).await;
            found.map(Region::new).ok_or(ContextError::Region)
        };
        self.region.get_or_try_init(find).await.cloned()
    }

    /// For AWS's providers of credentials and regions. They read the environment of the process by themselves.
    pub(crate) async fn provider_config(&self) -> Result<ProviderConfig, ContextError> {
        Ok(ProviderConfig::without_region()
            .with_http_client(self.trust().await?.http_client().clone())
            .with_time_source(self.clock.clone())
            .with_retry_config(retries())
            .with_timeout_config(self.timeouts()))
    }

    /// For AWS's clients: without credentials, and pointed where the SDK's own variables and files say.
    pub(crate) async fn sdk_config(&self) -> Result<SdkConfig, ContextError> {
        let region = self.region().await?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(region)
            .http_client(self.trust().await?.http_client().clone())
            .time_source(self.clock.clone())
            // The clock has the service's time already.
            .disable_clock_skew_correction(true)
            .retry_config(retries())
            .timeout_config(self.timeouts())
            // Each call has its bound. This counts every step between two readings of the clock: one that is set
            // right by decades would keep it busy for minutes.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // They come with each call.
            .identity_cache(IdentityCache::no_cache())
            .no_credentials();
        if let Some(profile) = &self.settings.profile {
            loader = loader.profile_name(profile);
        }
        if self.settings.use_fips {
            loader = loader.use_fips(true);
        }
        if self.settings.use_dual_stack {
            loader = loader.use_dual_stack(true);
        }
        Ok(loader.load().await)
    }

    /// The TLS of connections of our own.
    pub(crate) async fn tls(&self) -> Result<Arc<rustls::ClientConfig>, SettingsError> {
        Ok(Arc::clone(self.trust().await?.config()))
    }

    fn timeouts(&self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.settings.connect_timeout)
            .operation_timeout(self.settings.call_timeout)
            .build()
    }
}

/// None: whoever calls has a back-off that is his own, and one for all he does.
fn retries() -> RetryConfig {
    RetryConfig::disabled()
}

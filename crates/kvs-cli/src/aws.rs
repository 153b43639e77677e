//! AWS's own clients, pointed where the environment says: at AWS or at `kvs serve`.

use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_kinesisvideo::Client;
use aws_sdk_kinesisvideo::config::ProvideCredentials as _;
use aws_sdk_kinesisvideo::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_kinesisvideo::types::ApiName;
use indicatif::{ProgressBar, ProgressStyle};
use kvs_client::client::{Environment, Trust};

use crate::failure::Failure;

/// Limits are so many calls a second: whoever waits gets on.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);
const HINT: &str = r#"for kvs serve on this machine: eval "$(kvs env)""#;

/// Runs what waits for the network.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// What the environment and the files of AWS say. Fails when nobody would sign a call.
pub(crate) async fn config() -> Result<SdkConfig, Failure> {
    // AWS_CA_BUNDLE, which the SDK does not know.
    let trust = Trust::load(None, &Environment::of_process()).map_err(Failure::new)?;
    let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(trust.http_client().clone());
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(Failure::new(format_args!("no Region is set; {HINT}")));
    }
    let provider = config.credentials_provider();
    let provider = provider.ok_or_else(|| Failure::new(format_args!("no credentials are set; {HINT}")))?;
    provider.provide_credentials().await.map_err(|error| {
        Failure::new(format_args!("no credentials are set ({}); {HINT}", DisplayErrorContext(&error)))
    })?;
    Ok(config)
}

/// The client for what is stored of a stream, which has an address of its own.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    pub(crate) client: aws_sdk_kinesisvideoarchivedmedia::Client,
    /// Its address.
    pub(crate) place: Place,
}

/// Asks for that address.
pub(crate) async fn archive(config: &SdkConfig, client: &Client, stream: &str) -> Result<Archive, Failure> {
    let call = client.get_data_endpoint().stream_name(stream).api_name(ApiName::ListFragments);
    let endpoint = Place::of(config).patiently(|| call.clone().send()).await?.data_endpoint;
    let endpoint = endpoint.ok_or_else(|| Failure::new("GetDataEndpoint names no endpoint"))?;
    let config = aws_sdk_kinesisvideoarchivedmedia::config::Builder::from(config).endpoint_url(&*endpoint);
    let client = aws_sdk_kinesisvideoarchivedmedia::Client::from_conf(config.build());
    Ok(Archive { client, place: Place(Some(endpoint)) })
}

/// Where calls go: a URL, or none for AWS.
#[derive(Clone, Debug)]
pub(crate) struct Place(Option<String>);

impl Place {
    /// Where a configuration points.
    pub(crate) fn of(config: &SdkConfig) -> Self {
        Self(config.endpoint_url().map(Into::into))
    }

    /// Makes a call, and again while there are too many, which the SDK takes for the last word.
    pub(crate) async fn patiently<T, E, R, F>(&self, mut call: impl FnMut() -> F) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: Debug,
        F: Future<Output = Result<T, SdkError<E, R>>>,
    {
        for _ in 1..ATTEMPTS {
            match call().await {
                Err(error) if error.code() == Some("ClientLimitExceededException") => {
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other.map_err(|error| self.refused(&error)),
            }
        }
        call().await.map_err(|error| self.refused(&error))
    }

    /// What the service said, or why nobody was reached.
    pub(crate) fn refused<E, R>(&self, error: &SdkError<E, R>) -> Failure
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: Debug,
    {
        match (error.code(), error.message()) {
            (Some(code), Some(message)) => return Failure::new(format_args!("{code}: {message}")),
            (Some(code), None) => return Failure::new(code),
            _ => {}
        }
        let mut causes = vec![error.to_string()];
        let mut cause = error.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        match (error, &self.0) {
            (SdkError::DispatchFailure(_) | SdkError::TimeoutError(_), place) => {
                // The causes before the last are the layers of the client.
                let why = causes.last().map_or("", |why| why);
                Failure::new(match place {
                    Some(url) => format!(
                        "cannot reach {url}: {why}; start it with kvs serve, or point this shell at the one that \
                         runs: eval \"$(kvs env)\""
                    ),
                    None => format!("cannot reach AWS: {why}; {HINT}"),
                })
            }
            // The causes, without the Debug form that DisplayErrorContext ends with.
            _ => Failure::new(causes.join(": ")),
        }
    }
}

/// Shows on a terminal that something is going on; in a pipe it is silent.
pub(crate) fn spinner(what: impl Into<std::borrow::Cow<'static, str>>) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {human_pos} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

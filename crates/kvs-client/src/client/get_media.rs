//! A GetMedia call: opened here, and read by who has its body.

use std::pin::Pin;
use std::task::{Context, Poll};

use aws_sdk_kinesisvideomedia::config::{Builder, Credentials};
use aws_sdk_kinesisvideomedia::operation::RequestId as _;
use aws_sdk_kinesisvideomedia::primitives::{ByteStream, DateTime};
use aws_sdk_kinesisvideomedia::types::{StartSelector as SdkSelector, StartSelectorType as Kind};
use bytes::Bytes;
use kvs_media::time::Utc;
use kvs_wire::{Operation, StartSelector, StreamName};

use super::Client;
use super::error::{CallError, SettingsError, causes};
use super::put_media::ConnectionError;
use super::url::ServiceUrl;

const OPERATION: Operation = Operation::GetMedia;

/// The SDK's client; endpoints and credentials come with each call.
#[derive(Debug)]
pub(super) struct MediaPlane(aws_sdk_kinesisvideomedia::Client);

/// A call that the service answers with media.
#[derive(Debug)]
pub struct OpenMedia {
    /// What it answers.
    pub media: Media,
    /// The service's name for the request.
    pub request_id: Option<String>,
}

/// Media as they come from the wire. Dropped, the connection is closed.
pub struct Media(ByteStream);

impl Media {
    pub(super) fn of(stream: ByteStream) -> Self {
        Self(stream)
    }

    /// The next bytes; `None`: the answer is complete. Nothing is lost when this is not waited for.
    pub async fn next(&mut self) -> Option<Result<Bytes, ConnectionError>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same, for who polls.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ConnectionError>>> {
        let piece = Pin::new(&mut self.0).poll_next(cx);
        piece.map_err(|error| ConnectionError::new(causes(&error)))
    }
}

/// Without the bytes, which may be anything.
impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Media")
    }
}

impl Client {
    /// GetMedia: waits until the service begins to answer.
    ///
    /// # Errors
    /// When the service is not reached, does not answer in time, or refuses.
    pub async fn get_media(
        &self,
        endpoint: &ServiceUrl,
        stream: &StreamName,
        start: &StartSelector,
    ) -> Result<OpenMedia, CallError> {
        let plane = self.media_plane().await?;
        let (selector, url) = (selector(start)?, endpoint.to_string());
        let call = |credentials: Credentials| {
            let to = Builder::new().endpoint_url(&url).credentials_provider(credentials);
            let call = plane.0.get_media().stream_name(stream.as_str()).start_selector(selector.clone());
            call.customize().config_override(to).send()
        };
        let answer = self.signed(OPERATION, &url, call).await?;
        let request_id = answer.request_id().map(str::to_owned);
        Ok(OpenMedia { media: Media::of(answer.payload), request_id })
    }

    async fn media_plane(&self) -> Result<&MediaPlane, CallError> {
        let make = async || {
            let config = self.data_config(OPERATION).await?;
            let builder = Builder::from(&config).interceptor(self.clocked()).interceptor(self.user_agent());
            Ok(MediaPlane(aws_sdk_kinesisvideomedia::Client::from_conf(builder.build())))
        };
        self.media.get_or_try_init(make).await
    }
}

/// A time as the SDK has it.
pub(super) fn date_time(time: Utc) -> Result<DateTime, CallError> {
    DateTime::from_nanos(i128::from(time.nanos()))
        .map_err(|error| SettingsError::text("a time", causes(&error)).into())
}

fn selector(start: &StartSelector) -> Result<SdkSelector, CallError> {
    let builder = SdkSelector::builder();
    let builder = match start {
        StartSelector::Now => builder.start_selector_type(Kind::Now),
        StartSelector::Earliest => builder.start_selector_type(Kind::Earliest),
        StartSelector::AfterFragment(number) => {
            builder.start_selector_type(Kind::FragmentNumber).after_fragment_number(number.as_str())
        }
        StartSelector::ServerTime(time) => {
            builder.start_selector_type(Kind::ServerTimestamp).start_timestamp(date_time(*time)?)
        }
        StartSelector::ProducerTime(time) => {
            builder.start_selector_type(Kind::ProducerTimestamp).start_timestamp(date_time(*time)?)
        }
        StartSelector::Continuation(token) => {
            builder.start_selector_type(Kind::ContinuationToken).continuation_token(token.as_str())
        }
    };
    builder.build().map_err(|error| SettingsError::text("the start selector", causes(&error)).into())
}

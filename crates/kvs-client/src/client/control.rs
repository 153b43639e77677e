//! What is asked of the control plane about a stream.

use aws_sdk_kinesisvideo::types::Status;
use kvs_wire::{ApiName, Operation, StreamName};

use super::error::CallError;
use super::url::ServiceUrl;
use super::{Client, SettingsError};

/// What the service says of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDescription {
    /// Its ARN.
    pub arn: String,
    /// Whether it can be used.
    pub status: StreamStatus,
    /// How long it keeps what it is given, in hours; zero: not at all.
    pub retention_hours: u32,
    /// What its media are said to be.
    pub media_type: Option<String>,
    /// What a change of it has to name.
    pub version: Option<String>,
}

/// Whether a stream can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStatus {
    /// It is being made.
    Creating,
    /// It can.
    Active,
    /// It is being changed.
    Updating,
    /// It is being deleted.
    Deleting,
    /// The service says something new.
    Other,
}

/// A stream to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStream {
    /// How long it keeps what it is given, in hours; zero: not at all.
    pub retention_hours: u32,
    /// What its media are.
    pub media_type: Option<String>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

impl Client {
    /// DescribeStream.
    ///
    /// # Errors
    /// When the service does not say.
    pub async fn describe(&self, stream: &StreamName) -> Result<StreamDescription, CallError> {
        let operation = Operation::DescribeStream;
        let answer = self.call(operation, |sdk, signed| {
            sdk.describe_stream().stream_name(stream.as_str()).customize().config_override(signed).send()
        });
        let missing = |missing| CallError::Answer { operation, missing };
        let info = answer.await?.stream_info.ok_or_else(|| missing("StreamInfo"))?;
        Ok(StreamDescription {
            arn: info.stream_arn.ok_or_else(|| missing("StreamARN"))?,
            status: info.status.map_or(StreamStatus::Other, Into::into),
            // A negative number is none that the service gives.
            retention_hours: info
                .data_retention_in_hours
                .and_then(|hours| hours.try_into().ok())
                .unwrap_or(0),
            media_type: info.media_type,
            version: info.version,
        })
    }

    /// CreateStream. Answers with the ARN; the stream is not active at once.
    ///
    /// # Errors
    /// When the service does not make it.
    pub async fn create(&self, stream: &StreamName, new: &NewStream) -> Result<String, CallError> {
        let operation = Operation::CreateStream;
        let hours = i32::try_from(new.retention_hours);
        let hours =
            hours.map_err(|_| SettingsError::text("the retention", "it is more than the service keeps"))?;
        let answer = self.call(operation, |sdk, signed| {
            let mut call = sdk
                .create_stream()
                .stream_name(stream.as_str())
                .data_retention_in_hours(hours)
                .set_media_type(new.media_type.clone());
            for (key, value) in &new.tags {
                call = call.tags(key, value);
            }
            call.customize().config_override(signed).send()
        });
        answer.await?.stream_arn.ok_or(CallError::Answer { operation, missing: "StreamARN" })
    }

    /// TagStream. Tags that are there already get the new value.
    ///
    /// # Errors
    /// When the service does not take them.
    pub async fn tag(&self, stream: &StreamName, tags: &[(String, String)]) -> Result<(), CallError> {
        let answer = self.call(Operation::TagStream, |sdk, signed| {
            let mut call = sdk.tag_stream().stream_name(stream.as_str());
            for (key, value) in tags {
                call = call.tags(key, value);
            }
            call.customize().config_override(signed).send()
        });
        answer.await.map(|_| ())
    }

    /// GetDataEndpoint.
    pub(super) async fn ask_endpoint(
        &self,
        stream: &StreamName,
        api: ApiName,
    ) -> Result<ServiceUrl, CallError> {
        let operation = Operation::GetDataEndpoint;
        let answer = self.call(operation, |sdk, signed| {
            sdk.get_data_endpoint()
                .stream_name(stream.as_str())
                .api_name(api.name().into())
                .customize()
                .config_override(signed)
                .send()
        });
        let url = answer.await?.data_endpoint;
        let url = url.ok_or(CallError::Answer { operation, missing: "DataEndpoint" })?;
        // No setting, if it is none: the service may say something better later.
        ServiceUrl::parse("DataEndpoint", &url)
            .map_err(|_| CallError::Answer { operation, missing: "DataEndpoint that is a URL" })
    }
}

impl From<Status> for StreamStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Creating => Self::Creating,
            Status::Active => Self::Active,
            Status::Updating => Self::Updating,
            Status::Deleting => Self::Deleting,
            _ => Self::Other,
        }
    }
}

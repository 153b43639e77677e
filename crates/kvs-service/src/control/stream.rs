//! A stream, as it is kept and as it is described.

use std::collections::BTreeMap;

use kvs_media::time::Utc;
use kvs_wire::{EpochSeconds, StreamArn, StreamName};
use serde::{Deserialize, Serialize};

use super::configuration::{ImageGeneration, Notification, StorageTier};
use super::edge::Edge;

/// All that is set for a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// What it is called for ever, and by no other stream.
    pub arn: StreamArn,
    /// When it was made.
    pub created: EpochSeconds,
    /// 20 characters that change with each change.
    pub version: String,
    /// Stored, and used for nothing.
    pub device_name: Option<String>,
    /// What its producers send, such as `video/h264,audio/aac`.
    pub media_type: Option<String>,
    /// The key that its media is encrypted with.
    pub kms_key_id: String,
    /// How long its media is kept; 0 for not at all.
    pub retention_hours: u32,
    /// How soon stored media has to be there.
    pub tier: StorageTier,
    /// The stream's own tags.
    pub tags: BTreeMap<String, String>,
    /// Pictures of tagged fragments.
    pub image_generation: Option<ImageGeneration>,
    /// Messages about tagged fragments.
    pub notification: Option<Notification>,
    /// What an agent at the edge is to do.
    pub edge: Option<Edge>,
}

impl Stream {
    /// Its name.
    pub fn name(&self) -> &StreamName {
        self.arn.name()
    }

    /// The oldest media that is kept, by server time; `None` where nothing is.
    pub fn kept_since(&self, now: Utc) -> Option<Utc> {
        let hours = u64::from(self.retention_hours);
        (hours > 0).then(|| now.checked_sub(std::time::Duration::from_secs(hours * 3_600)))?
    }

    /// As `DescribeStream` shows it.
    pub(super) fn info(&self) -> StreamInfo<'_> {
        StreamInfo {
            creation_time: self.created,
            data_retention_in_hours: self.retention_hours,
            device_name: self.device_name.as_deref(),
            ingestion_configuration: None,
            kms_key_id: &self.kms_key_id,
            media_type: self.media_type.as_deref(),
            status: "ACTIVE",
            stream_arn: &self.arn,
            stream_name: self.name(),
            version: &self.version,
        }
    }
}

/// The service lists keys in the order of the alphabet, and absent ones as null (kvs-api 0.3).
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StreamInfo<'a> {
    creation_time: EpochSeconds,
    data_retention_in_hours: u32,
    device_name: Option<&'a str>,
    ingestion_configuration: Option<()>,
    kms_key_id: &'a str,
    media_type: Option<&'a str>,
    /// A change is complete when it is answered.
    status: &'static str,
    #[serde(rename = "StreamARN")]
    stream_arn: &'a StreamArn,
    stream_name: &'a StreamName,
    version: &'a str,
}

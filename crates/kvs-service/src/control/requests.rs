//! The bodies of requests. Unknown keys are passed over, as the service does; null is as good as absent.

use std::collections::BTreeMap;

use kvs_wire::{ApiName, StreamArn, StreamName};
use serde::Deserialize;

use super::configuration::{ImageGeneration, Notification, StorageConfiguration};
use super::edge::EdgeConfig;

/// Which stream: by name, by ARN, or by both where they agree.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Which {
    #[serde(default, rename = "StreamName")]
    pub(super) name: Option<StreamName>,
    #[serde(default, rename = "StreamARN")]
    pub(super) arn: Option<StreamArn>,
}

/// A request that says nothing but which stream.
#[derive(Debug, Deserialize)]
pub(super) struct Describe {
    #[serde(flatten)]
    pub(super) which: Which,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateStream {
    pub(super) stream_name: StreamName,
    pub(super) device_name: Option<String>,
    pub(super) media_type: Option<String>,
    pub(super) kms_key_id: Option<String>,
    pub(super) data_retention_in_hours: Option<i64>,
    pub(super) tags: Option<BTreeMap<String, String>>,
    pub(super) stream_storage_configuration: Option<StorageConfiguration>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListStreams {
    pub(super) max_results: Option<i64>,
    pub(super) next_token: Option<String>,
    pub(super) stream_name_condition: Option<NameCondition>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NameCondition {
    pub(super) comparison_operator: Option<Comparison>,
    pub(super) comparison_value: Option<StreamName>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Comparison {
    BeginsWith,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateStream {
    #[serde(flatten)]
    pub(super) which: Which,
    pub(super) current_version: String,
    pub(super) device_name: Option<String>,
    pub(super) media_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteStream {
    #[serde(rename = "StreamARN")]
    pub(super) stream_arn: StreamArn,
    pub(super) current_version: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateDataRetention {
    #[serde(flatten)]
    pub(super) which: Which,
    pub(super) current_version: String,
    pub(super) operation: RetentionChange,
    pub(super) data_retention_change_in_hours: i64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum RetentionChange {
    IncreaseDataRetention,
    DecreaseDataRetention,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateStorage {
    #[serde(flatten)]
    pub(super) which: Which,
    pub(super) current_version: String,
    pub(super) stream_storage_configuration: StorageConfiguration,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagStream {
    #[serde(flatten)]
    pub(super) which: Which,
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UntagStream {
    #[serde(flatten)]
    pub(super) which: Which,
    pub(super) tag_key_list: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct GetDataEndpoint {
    #[serde(flatten)]
    pub(super) which: Which,
    #[serde(rename = "APIName")]
    pub(super) api: ApiName,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateImageGeneration {
    #[serde(flatten)]
    pub(super) which: Which,
    /// Absent: the configuration is removed.
    pub(super) image_generation_configuration: Option<ImageGeneration>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateNotification {
    #[serde(flatten)]
    pub(super) which: Which,
    /// Absent: the configuration is removed.
    pub(super) notification_configuration: Option<Notification>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StartEdge {
    #[serde(flatten)]
    pub(super) which: Which,
    pub(super) edge_config: EdgeConfig,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListEdges {
    pub(super) hub_device_arn: String,
    pub(super) max_results: Option<i64>,
    pub(super) next_token: Option<String>,
}

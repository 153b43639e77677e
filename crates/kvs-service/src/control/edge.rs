//! What an agent at the edge is to do for a stream (kvs-api 1.9). It is checked, kept and described; as no agent speaks to
//! this service, it stays what it is when nobody takes it up.

use std::time::Duration;

use kvs_media::time::Utc;
use kvs_wire::EpochSeconds;
use serde::{Deserialize, Serialize};

/// So long an agent has to take a configuration up.
const SYNC_TIME: Duration = Duration::from_secs(15 * 60);

/// A configuration, with when it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// When the first configuration was given.
    pub created: EpochSeconds,
    /// When this one was.
    pub updated: EpochSeconds,
    /// What the agent is to do.
    pub config: EdgeConfig,
}

/// Whether the agent has taken a configuration up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum SyncStatus {
    Syncing,
    SyncFailed,
}

impl Edge {
    pub(super) fn status(&self, now: Utc) -> SyncStatus {
        match now.since(self.updated.0) {
            Some(waited) if waited >= SYNC_TIME => SyncStatus::SyncFailed,
            _ => SyncStatus::Syncing,
        }
    }

    pub(super) fn failure(&self, now: Utc) -> Option<&'static str> {
        (self.status(now) == SyncStatus::SyncFailed).then_some("No agent has taken the configuration up.")
    }
}

/// What the agent is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EdgeConfig {
    deletion_config: Option<Deletion>,
    pub(super) hub_device_arn: String,
    recorder_config: Recorder,
    uploader_config: Option<Uploader>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Recorder {
    media_source_config: MediaSource,
    schedule_config: Option<Schedule>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MediaSource {
    media_uri_secret_arn: String,
    media_uri_type: MediaUri,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum MediaUri {
    RtspUri,
    FileUri,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Uploader {
    schedule_config: Schedule,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Schedule {
    duration_in_seconds: u32,
    schedule_expression: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Deletion {
    delete_after_upload: Option<bool>,
    edge_retention_in_hours: Option<u32>,
    local_size_config: Option<LocalSize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LocalSize {
    #[serde(rename = "MaxLocalMediaSizeInMB")]
    max_local_media_size: Option<u32>,
    strategy_on_full_size: Option<FullSize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum FullSize {
    DeleteOldestMedia,
    DenyNewMedia,
}

impl EdgeConfig {
    /// What is wrong with it, if anything (kvs-api 1.1, 1.9).
    pub(super) fn fault(&self) -> Option<&'static str> {
        let schedule = |schedule: Option<&Schedule>| {
            schedule.is_none_or(|schedule| {
                (60..=3_600).contains(&schedule.duration_in_seconds)
                    && (11..=100).contains(&schedule.schedule_expression.chars().count())
            })
        };
        let uploader = self.uploader_config.as_ref().map(|uploader| &uploader.schedule_config);
        let deletion = self.deletion_config.as_ref();
        let retention = deletion.and_then(|deletion| deletion.edge_retention_in_hours);
        let size = deletion.and_then(|deletion| deletion.local_size_config.as_ref()?.max_local_media_size);
        if !is_thing_arn(&self.hub_device_arn) {
            Some("HubDeviceArn must be the ARN of a thing.")
        } else if !is_secret_arn(&self.recorder_config.media_source_config.media_uri_secret_arn) {
            Some("MediaUriSecretArn must be the ARN of a secret.")
        } else if !schedule(self.recorder_config.schedule_config.as_ref()) || !schedule(uploader) {
            Some("A ScheduleConfig has an expression of 11 to 100 characters and lasts 60 to 3600 seconds.")
        } else if !retention.is_none_or(|hours| (1..=720).contains(&hours)) {
            Some("EdgeRetentionInHours must be from 1 to 720.")
        } else if !size.is_none_or(|megabytes| (64..=2_000_000).contains(&megabytes)) {
            Some("MaxLocalMediaSizeInMB must be from 64 to 2000000.")
        } else {
            None
        }
    }
}

/// `arn:[a-z\\d-]+:iot:[a-z0-9-]+:[0-9]+:thing/[a-zA-Z0-9_.-]+`, at most 1024 characters.
pub(super) fn is_thing_arn(text: &str) -> bool {
    text.len() <= 1_024 && is_arn(text, "iot", |rest| rest.strip_prefix("thing/").is_some_and(is_name))
}

/// `arn:[a-z\\d-]+:secretsmanager:[a-z0-9-]+:[0-9]+:secret:[a-zA-Z0-9_.-]+`, 20 to 2048 characters.
fn is_secret_arn(text: &str) -> bool {
    let is_secret = |rest: &str| rest.strip_prefix("secret:").is_some_and(is_name);
    (20..=2_048).contains(&text.len()) && is_arn(text, "secretsmanager", is_secret)
}

fn is_arn(text: &str, service: &str, is_resource: impl Fn(&str) -> bool) -> bool {
    let word = |text: &str| {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !text.is_empty() && text.bytes().all(letter)
    };
    let mut parts = text.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (arn, partition, of, region, account, rest) = (next(), next(), next(), next(), next(), next());
    arn == "arn"
        && word(partition)
        && of == service
        && word(region)
        && !account.is_empty()
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && is_resource(rest)
}

fn is_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !text.is_empty() && text.bytes().all(letter)
}

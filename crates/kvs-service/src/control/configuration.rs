//! What can be configured for a stream (kvs-api 1.5 to 1.7), as requests say it, as it is kept, and as it is described.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How soon stored media has to be there. Kept and described; it changes nothing here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StorageTier {
    /// At once.
    #[default]
    Hot,
    /// For moderate access.
    Warm,
}

/// `{"DefaultStorageTier":...}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StorageConfiguration {
    pub(super) default_storage_tier: StorageTier,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Switch {
    Enabled,
    Disabled,
}

/// Pictures that are made of tagged fragments and sent elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageGeneration {
    destination_config: ImageDestination,
    format: ImageFormat,
    #[serde(default)]
    format_config: Option<BTreeMap<String, String>>,
    #[serde(default)]
    height_pixels: Option<u32>,
    image_selector_type: TimestampType,
    sampling_interval: u32,
    status: Switch,
    #[serde(default)]
    width_pixels: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageDestination {
    destination_region: String,
    uri: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ImageFormat {
    #[serde(rename = "JPEG")]
    Jpeg,
    #[serde(rename = "PNG")]
    Png,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum TimestampType {
    ServerTimestamp,
    ProducerTimestamp,
}

impl ImageGeneration {
    /// What is wrong with it, if anything (kvs-api 1.1, 1.6).
    pub(super) fn fault(&self) -> Option<&'static str> {
        let quality = |(key, value): (&String, &String)| {
            key == "JPEGQuality" && value.parse().is_ok_and(|quality: u8| (1..=100).contains(&quality))
        };
        let within = |pixels: Option<u32>, most| pixels.is_none_or(|pixels| (1..=most).contains(&pixels));
        if !is_uri(&self.destination_config.uri) {
            Some("DestinationConfig.Uri must be a URI of at most 255 characters.")
        } else if !is_region(&self.destination_config.destination_region) {
            Some("DestinationConfig.DestinationRegion must be the name of a Region.")
        } else if self.sampling_interval < 200 {
            Some("SamplingInterval must be at least 200 milliseconds.")
        } else if !self.format_config.iter().flatten().all(quality) {
            Some("FormatConfig may hold JPEGQuality, from 1 to 100.")
        } else if !within(self.width_pixels, 3_840) || !within(self.height_pixels, 2_160) {
            Some("WidthPixels must be from 1 to 3840 and HeightPixels from 1 to 2160.")
        } else {
            None
        }
    }
}

/// Messages about tagged fragments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Notification {
    destination_config: NotificationDestination,
    status: Switch,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NotificationDestination {
    uri: String,
}

impl Notification {
    /// What is wrong with it, if anything (kvs-api 1.7).
    pub(super) fn fault(&self) -> Option<&'static str> {
        let uri = &self.destination_config.uri;
        if !is_uri(uri) {
            Some("DestinationConfig.Uri must be a URI of at most 255 characters.")
        } else if uri.ends_with(".fifo") {
            Some("DestinationConfig.Uri must be a standard topic; FIFO topics are not supported.")
        } else {
            None
        }
    }
}

/// `^[a-zA-Z_0-9]+:(//)?([^/]+)/?([^*]*)$`, 1 to 255 characters.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let place = rest.split('/').next().unwrap_or_default();
    let path = rest.get(place.len()..).unwrap_or_default();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.chars().count() <= 255
        && !scheme.is_empty()
        && scheme.bytes().all(word)
        && !place.is_empty()
        && !path.contains('*')
}

/// `^[a-z]+(-[a-z]+)?-[a-z]+-[0-9]$`, 9 to 14 characters.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let digit = |part: &str| part.len() == 1 && part.bytes().all(|byte| byte.is_ascii_digit());
    (9..=14).contains(&text.len())
        && (3..=4).contains(&parts.len())
        && parts.split_last().is_some_and(|(last, words)| digit(last) && words.iter().all(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_and_regions_follow_the_model() {
        for uri in ["s3://bucket", "s3://bucket/prefix/", "arn:aws:sns:us-west-2:111122223333:topic"] {
            assert!(is_uri(uri), "{uri}");
        }
        for uri in
            ["", "bucket", "s3:", "s3://", ":x", "s-3://b", "s3://b/*", &format!("s3://{}", "b".repeat(251))]
        {
            assert!(!is_uri(uri), "{uri}");
        }
        for region in ["us-west-2", "ap-southeast-1", "us-gov-east-1"] {
            assert!(is_region(region), "{region}");
        }
        for region in ["", "us-west", "us-west-22", "US-west-2", "us--west-2", "a-b-c-d-e-2", "uswest-2"] {
            assert!(!is_region(region), "{region}");
        }
    }
}

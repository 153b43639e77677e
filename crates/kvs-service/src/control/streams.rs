//! The streams of an account, and the operations on them: a function of requests, time and chance.

use std::collections::BTreeMap;
use std::fmt;

use kvs_media::time::Utc;
use kvs_wire::{EpochSeconds, Exception, Operation, StreamArn, StreamName, limits, pattern};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::configuration::{ImageGeneration, Notification, StorageConfiguration};
use super::edge::{Edge, SyncStatus, is_thing_arn};
use super::requests as ask;
use super::stream::{Stream, StreamInfo};

/// Whose streams they are, and where: what ARNs say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The partition, such as `aws`.
    pub partition: String,
    /// The Region.
    pub region: String,
    /// Twelve digits.
    pub id: String,
}

impl Default for Account {
    /// The account number that AWS's own examples have, in the Region that the C++ producer falls back to.
    fn default() -> Self {
        let [partition, region, id] = ["aws", "us-west-2", "111122223333"].map(Into::into);
        Self { partition, region, id }
    }
}

/// A version that no stream has had: 20 letters and digits, by chance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// Of 20 bytes of chance.
    pub fn of(chance: [u8; 20]) -> Self {
        const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let letter =
            |byte: u8| LETTERS.get(usize::from(byte) % LETTERS.len()).copied().map_or('0', char::from);
        Self(chance.into_iter().map(letter).collect())
    }
}

/// What an operation answers, and what it changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The body of the response.
    pub body: Vec<u8>,
    /// To be stored first, then applied, and then the response goes out.
    pub change: Option<Change>,
}

/// What changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A stream is new, or other than before.
    Put(Box<Stream>),
    /// A stream is gone, and with it its media.
    Delete(StreamArn),
}

/// Why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it is called on the wire.
    pub exception: Exception,
    /// Why, for people.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(exception: Exception, message: impl Into<String>) -> Self {
        Self { exception, message: message.into() }
    }

    /// What went wrong within the service, in words that tell nobody how it is made.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Exception::InternalFailure, message)
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(Exception::InvalidArgument, message)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.exception.name(), self.message)
    }
}

/// The streams of an account.
#[derive(Clone, Debug)]
pub struct Streams {
    account: Account,
    most: usize,
    streams: BTreeMap<StreamName, Stream>,
}

type Done = Result<Answer, Refusal>;

impl Streams {
    /// Those that were stored. No more than `most` are made.
    pub fn new(account: Account, most: usize, stored: impl IntoIterator<Item = Stream>) -> Self {
        let streams = stored.into_iter().map(|stream| (stream.name().clone(), stream)).collect();
        Self { account, most, streams }
    }

    /// A stream by its name.
    pub fn get(&self, name: &StreamName) -> Option<&Stream> {
        self.streams.get(name)
    }

    /// A stream by its ARN, which a later stream of the same name does not have.
    pub fn get_by_arn(&self, arn: &StreamArn) -> Option<&Stream> {
        self.streams.get(arn.name()).filter(|stream| stream.arn == *arn)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.streams.values()
    }

    /// Takes over a change that was stored.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Put(stream) => drop(self.streams.insert(stream.name().clone(), *stream)),
            Change::Delete(arn) => drop(self.streams.remove(arn.name())),
        }
    }

    /// Answers an operation of the control plane and says what it changes, which is not done before it is stored:
    /// whoever drives this takes one change after another. `endpoint` is what GetDataEndpoint answers. `None` for an
    /// operation that is not on streams.
    pub fn handle(
        &self,
        operation: Operation,
        body: &[u8],
        now: Utc,
        version: Version,
        endpoint: &str,
    ) -> Option<Done> {
        Some(match operation {
            Operation::CreateStream => self.create(body, now, version),
            Operation::DescribeStream => self.describe(body),
            Operation::ListStreams => self.list(body),
            Operation::UpdateStream => self.update(body, version),
            Operation::DeleteStream => self.delete(body),
            Operation::UpdateDataRetention => self.update_retention(body, version),
            Operation::UpdateStreamStorageConfiguration => self.update_storage(body, version),
            Operation::DescribeStreamStorageConfiguration => self.describe_storage(body),
            Operation::TagStream => self.tag(body),
            Operation::UntagStream => self.untag(body),
            Operation::ListTagsForStream => self.list_tags(body),
            Operation::GetDataEndpoint => self.data_endpoint(body, endpoint),
            Operation::DescribeImageGenerationConfiguration => self.describe_images(body),
            Operation::UpdateImageGenerationConfiguration => self.update_images(body, version),
            Operation::DescribeNotificationConfiguration => self.describe_notification(body),
            Operation::UpdateNotificationConfiguration => self.update_notification(body, version),
            Operation::DescribeMappedResourceConfiguration => self.describe_mapped(body),
            Operation::StartEdgeConfigurationUpdate => self.start_edge(body, now),
            Operation::DescribeEdgeConfiguration => self.describe_edge(body, now),
            Operation::DeleteEdgeConfiguration => self.delete_edge(body),
            Operation::ListEdgeAgentConfigurations => self.list_edges(body, now),
            _ => return None,
        })
    }

    fn create(&self, body: &[u8], now: Utc, version: Version) -> Done {
        let ask: ask::CreateStream = read(body)?;
        let name = ask.stream_name;
        if self.streams.contains_key(&name) {
            return Err(Refusal::new(Exception::ResourceInUse, format!("The stream {name} already exists.")));
        }
        if self.streams.len() >= self.most {
            let message = format!("The account has {} streams, as many as it may.", self.most);
            return Err(Refusal::new(Exception::AccountStreamLimitExceeded, message));
        }
        check_names(ask.device_name.as_deref(), ask.media_type.as_deref())?;
        let tags = ask.tags.unwrap_or_default();
        check_tags(&tags, tags.len())?;
        let Account { partition, region, id } = &self.account;
        // No two streams have had the same ARN, not even two of one name within a millisecond of each other: the first
        // would still be there.
        let arn = format!("arn:{partition}:kinesisvideo:{region}:{id}:stream/{name}/{}", now.millis());
        let arn: StreamArn = arn.parse().map_err(|error| Refusal::argument(format!("{error}")))?;
        let default_key = || format!("arn:{partition}:kms:{region}:{id}:alias/aws/kinesisvideo");
        let kms_key_id = ask.kms_key_id.unwrap_or_else(default_key);
        if kms_key_id.is_empty() || kms_key_id.chars().count() > 2_048 {
            return Err(Refusal::argument("KmsKeyId must have 1 to 2048 characters."));
        }
        let body = json!({ "StreamARN": arn });
        let stream = Stream {
            arn,
            created: stamp(now),
            version: version.0,
            device_name: ask.device_name,
            media_type: ask.media_type,
            kms_key_id,
            retention_hours: hours(ask.data_retention_in_hours.unwrap_or(0))?,
            tier: ask.stream_storage_configuration.unwrap_or_default().default_storage_tier,
            tags,
            image_generation: None,
            notification: None,
            edge: None,
        };
        put(stream, &body)
    }

    fn describe(&self, body: &[u8]) -> Done {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Described<'a> {
            stream_info: StreamInfo<'a>,
        }
        let stream = self.find(&read::<ask::Describe>(body)?.which)?;
        answer(&Described { stream_info: stream.info() })
    }

    fn list(&self, body: &[u8]) -> Done {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Listed<'a> {
            next_token: Option<String>,
            stream_info_list: Vec<StreamInfo<'a>>,
        }
        let ask: ask::ListStreams = read(body)?;
        let most = results(ask.max_results, limits::LIST_STREAMS_RESULTS)?;
        let prefix = match ask.stream_name_condition {
            None => None,
            Some(ask::NameCondition { comparison_operator: Some(_), comparison_value: Some(prefix) }) => {
                Some(prefix)
            }
            Some(_) => {
                let message = "StreamNameCondition needs ComparisonOperator and ComparisonValue.";
                return Err(Refusal::argument(message));
            }
        };
        let after = ask.next_token.map(|token| name_of_token(&token)).transpose()?;
        let wanted = |stream: &&Stream| {
            let name = stream.name();
            prefix.as_ref().is_none_or(|prefix| name.as_str().starts_with(prefix.as_str()))
                && after.as_ref().is_none_or(|after| name > after)
        };
        let mut rest = self.streams.values().filter(wanted).peekable();
        let page: Vec<&Stream> = rest.by_ref().take(most).collect();
        let more = rest.peek().is_some();
        let next_token = page.last().filter(|_| more).map(|last| token_of_name(last.name()));
        answer(&Listed { next_token, stream_info_list: page.into_iter().map(Stream::info).collect() })
    }

    fn update(&self, body: &[u8], version: Version) -> Done {
        let ask: ask::UpdateStream = read(body)?;
        let mut stream = self.find_version(&ask.which, &ask.current_version)?;
        check_names(ask.device_name.as_deref(), ask.media_type.as_deref())?;
        stream.device_name = ask.device_name.or(stream.device_name);
        stream.media_type = ask.media_type.or(stream.media_type);
        renew(stream, version)
    }

    fn delete(&self, body: &[u8]) -> Done {
        let ask: ask::DeleteStream = read(body)?;
        let which = ask::Which { name: None, arn: Some(ask.stream_arn) };
        let stream = match ask.current_version {
            Some(version) => self.find_version(&which, &version)?,
            None => self.find(&which)?.clone(),
        };
        Ok(Answer { body: b"{}".to_vec(), change: Some(Change::Delete(stream.arn)) })
    }

    fn update_retention(&self, body: &[u8], version: Version) -> Done {
        let ask: ask::UpdateDataRetention = read(body)?;
        let mut stream = self.find_version(&ask.which, &ask.current_version)?;
        let change = ask.data_retention_change_in_hours;
        if change < 1 {
            return Err(Refusal::argument("DataRetentionChangeInHours must be at least 1."));
        }
        let before = i64::from(stream.retention_hours);
        stream.retention_hours = hours(match ask.operation {
            ask::RetentionChange::IncreaseDataRetention => before.saturating_add(change),
            ask::RetentionChange::DecreaseDataRetention => before.saturating_sub(change),
        })?;
        renew(stream, version)
    }

    fn update_storage(&self, body: &[u8], version: Version) -> Done {
        let ask: ask::UpdateStorage = read(body)?;
        let mut stream = self.find_version(&ask.which, &ask.current_version)?;
        stream.tier = ask.stream_storage_configuration.default_storage_tier;
        renew(stream, version)
    }

    fn describe_storage(&self, body: &[u8]) -> Done {
        let stream = self.find(&read::<ask::Describe>(body)?.which)?;
        let storage = StorageConfiguration { default_storage_tier: stream.tier };
        answer(&json!({
            "StreamARN": stream.arn,
            "StreamName": stream.name(),
            "StreamStorageConfiguration": storage,
        }))
    }

    fn tag(&self, body: &[u8]) -> Done {
        let ask: ask::TagStream = read(body)?;
        let mut stream = self.find(&ask.which)?.clone();
        if ask.tags.is_empty() {
            return Err(Refusal::argument("Tags must hold at least one tag."));
        }
        let fresh = ask.tags.keys().filter(|key| !stream.tags.contains_key(*key)).count();
        check_tags(&ask.tags, stream.tags.len() + fresh)?;
        stream.tags.extend(ask.tags);
        put(stream, &json!({}))
    }

    fn untag(&self, body: &[u8]) -> Done {
        let ask: ask::UntagStream = read(body)?;
        let mut stream = self.find(&ask.which)?.clone();
        let keys = &ask.tag_key_list;
        if !(1..=limits::TAGS_PER_STREAM).contains(&keys.len())
            || !keys.iter().all(|key| pattern::is_tag_key(key))
        {
            return Err(Refusal::argument("TagKeyList must hold 1 to 50 keys of tags."));
        }
        stream.tags.retain(|key, _| !keys.contains(key));
        put(stream, &json!({}))
    }

    fn list_tags(&self, body: &[u8]) -> Done {
        let stream = self.find(&read::<ask::Describe>(body)?.which)?;
        // All 50 fit a page.
        answer(&json!({ "NextToken": null, "Tags": stream.tags }))
    }

    fn data_endpoint(&self, body: &[u8], endpoint: &str) -> Done {
        let ask: ask::GetDataEndpoint = read(body)?;
        // One listener serves them all.
        let _: kvs_wire::ApiName = ask.api;
        self.find(&ask.which)?;
        answer(&json!({ "DataEndpoint": endpoint }))
    }

    fn describe_images(&self, body: &[u8]) -> Done {
        let stream = self.find(&read::<ask::Describe>(body)?.which)?;
        answer(&json!({ "ImageGenerationConfiguration": stream.image_generation }))
    }

    fn update_images(&self, body: &[u8], version: Version) -> Done {
        let ask: ask::UpdateImageGeneration = read(body)?;
        let mut stream = self.find_kept(&ask.which)?;
        if let Some(fault) = ask.image_generation_configuration.as_ref().and_then(ImageGeneration::fault) {
            return Err(Refusal::argument(fault));
        }
        stream.image_generation = ask.image_generation_configuration;
        renew(stream, version)
    }

    fn describe_notification(&self, body: &[u8]) -> Done {
        let stream = self.find(&read::<ask::Describe>(body)?.which)?;
        answer(&json!({ "NotificationConfiguration": stream.notification }))
    }

    fn update_notification(&self, body: &[u8], version: Version) -> Done {
        let ask: ask::UpdateNotification = read(body)?;
        let mut stream = self.find_kept(&ask.which)?;
        if let Some(fault) = ask.notification_configuration.as_ref().and_then(Notification::fault) {
            return Err(Refusal::argument(fault));
        }
        stream.notification = ask.notification_configuration;
        renew(stream, version)
    }

    /// Channels are mapped to streams, and there are none.
    fn describe_mapped(&self, body: &[u8]) -> Done {
        self.find(&read::<ask::Describe>(body)?.which)?;
        answer(&json!({ "MappedResourceConfigurationList": [], "NextToken": null }))
    }

    fn start_edge(&self, body: &[u8], now: Utc) -> Done {
        let ask: ask::StartEdge = read(body)?;
        let mut stream = self.find_kept(&ask.which)?;
        if let Some(fault) = ask.edge_config.fault() {
            return Err(Refusal::argument(fault));
        }
        if stream.edge.as_ref().is_some_and(|edge| edge.status(now) == SyncStatus::Syncing) {
            let message = "The edge configuration of the stream is just being synchronized.";
            return Err(Refusal::new(Exception::ResourceInUse, message));
        }
        let created = stream.edge.as_ref().map_or(stamp(now), |edge| edge.created);
        let edge = Edge { created, updated: stamp(now), config: ask.edge_config };
        let mut body = shown_edge(&stream, &edge, now);
        body.as_object_mut().and_then(|body| body.remove("EdgeAgentStatus"));
        stream.edge = Some(edge);
        put(stream, &body)
    }

    fn describe_edge(&self, body: &[u8], now: Utc) -> Done {
        let stream = self.find(&read::<ask::Describe>(body)?.which)?;
        answer(&shown_edge(stream, self.edge_of(stream)?, now))
    }

    fn delete_edge(&self, body: &[u8]) -> Done {
        let mut stream = self.find(&read::<ask::Describe>(body)?.which)?.clone();
        self.edge_of(&stream)?;
        stream.edge = None;
        put(stream, &json!({}))
    }

    fn list_edges(&self, body: &[u8], now: Utc) -> Done {
        let ask: ask::ListEdges = read(body)?;
        if !is_thing_arn(&ask.hub_device_arn) {
            return Err(Refusal::argument("HubDeviceArn must be the ARN of a thing."));
        }
        let most = ask.max_results.map_or(Ok(5), |asked| results(Some(asked), 10))?;
        let after = ask.next_token.map(|token| name_of_token(&token)).transpose()?;
        let mut rest = self
            .streams
            .values()
            .filter(|stream| after.as_ref().is_none_or(|after| stream.name() > after))
            .filter_map(|stream| stream.edge.as_ref().map(|edge| (stream, edge)))
            .filter(|(_, edge)| edge.config.hub_device_arn == ask.hub_device_arn)
            .peekable();
        let page: Vec<_> = rest.by_ref().take(most).collect();
        let more = rest.peek().is_some();
        let next_token = page.last().filter(|_| more).map(|(last, _)| token_of_name(last.name()));
        let shown: Vec<Value> =
            page.into_iter().map(|(stream, edge)| shown_edge(stream, edge, now)).collect();
        answer(&json!({ "EdgeConfigs": shown, "NextToken": next_token }))
    }

    fn edge_of<'a>(&self, stream: &'a Stream) -> Result<&'a Edge, Refusal> {
        let missing = "The stream has no edge configuration.";
        let edge = stream.edge.as_ref();
        edge.ok_or_else(|| Refusal::new(Exception::StreamEdgeConfigurationNotFound, missing))
    }

    fn find(&self, which: &ask::Which) -> Result<&Stream, Refusal> {
        let found = match (&which.name, &which.arn) {
            (None, None) => return Err(Refusal::argument("Either StreamName or StreamARN must be given.")),
            (Some(name), Some(arn)) if name != arn.name() => {
                return Err(Refusal::argument("StreamName and StreamARN are of two streams."));
            }
            (_, Some(arn)) => self.get_by_arn(arn),
            (Some(name), None) => self.get(name),
        };
        let missing = "The requested stream is not found or not active.";
        found.ok_or_else(|| Refusal::new(Exception::ResourceNotFound, missing))
    }

    fn find_version(&self, which: &ask::Which, version: &str) -> Result<Stream, Refusal> {
        let stream = self.find(which)?;
        if stream.version != version {
            let message = "The CurrentVersion that was given is not the latest version of the stream.";
            return Err(Refusal::new(Exception::VersionMismatch, message));
        }
        Ok(stream.clone())
    }

    /// A stream that keeps its media.
    fn find_kept(&self, which: &ask::Which) -> Result<Stream, Refusal> {
        let stream = self.find(which)?;
        if stream.retention_hours == 0 {
            let message = "The stream keeps no data: its retention is zero hours.";
            return Err(Refusal::new(Exception::NoDataRetention, message));
        }
        Ok(stream.clone())
    }
}

/// A change of a stream that has a new version with it.
fn renew(mut stream: Stream, version: Version) -> Done {
    stream.version = version.0;
    put(stream, &json!({}))
}

/// A change of a stream.
fn put(stream: Stream, body: &Value) -> Done {
    Ok(Answer { change: Some(Change::Put(Box::new(stream))), ..answer(body)? })
}

fn shown_edge(stream: &Stream, edge: &Edge, now: Utc) -> Value {
    json!({
        "CreationTime": edge.created,
        "EdgeAgentStatus": null,
        "EdgeConfig": edge.config,
        "FailedStatusDetails": edge.failure(now),
        "LastUpdatedTime": edge.updated,
        "StreamARN": stream.arn,
        "StreamName": stream.name(),
        "SyncStatus": edge.status(now),
    })
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    // A body that is not there is as good as one that says nothing.
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Refusal::argument(error.to_string()))
}

fn answer(body: &impl Serialize) -> Done {
    let body = serde_json::to_vec(body)
        .map_err(|error| Refusal::new(Exception::InternalFailure, error.to_string()))?;
    Ok(Answer { body, change: None })
}

/// A time that is kept: as exact as it is written, so that it is the same after a restart.
fn stamp(now: Utc) -> EpochSeconds {
    EpochSeconds(Utc::from_millis(now.millis()).unwrap_or(now))
}

fn hours(hours: i64) -> Result<u32, Refusal> {
    let within = u32::try_from(hours).ok().filter(|hours| *hours <= limits::RETENTION_HOURS);
    within.ok_or_else(|| Refusal::argument("Data retention must be from 0 to 87600 hours."))
}

fn results(asked: Option<i64>, most: usize) -> Result<usize, Refusal> {
    let Some(asked) = asked else { return Ok(most) };
    let within = usize::try_from(asked).ok().filter(|asked| (1..=most).contains(asked));
    within.ok_or_else(|| Refusal::argument(format!("MaxResults must be from 1 to {most}.")))
}

fn check_names(device: Option<&str>, media_type: Option<&str>) -> Result<(), Refusal> {
    let is_device = |text: &str| text.chars().count() <= 128 && text.parse::<StreamName>().is_ok();
    if !device.is_none_or(is_device) {
        return Err(Refusal::argument("DeviceName must be 1 to 128 letters, digits, '_', '.' and '-'."));
    }
    if !media_type.is_none_or(pattern::is_media_type) {
        return Err(Refusal::argument("MediaType must be one or more media types, separated by commas."));
    }
    Ok(())
}

/// Checks tags, of which the stream would then have `total`.
fn check_tags(tags: &BTreeMap<String, String>, total: usize) -> Result<(), Refusal> {
    let allowed = |(key, value): (&String, &String)| pattern::is_tag_key(key) && pattern::is_tag_value(value);
    if !tags.iter().all(allowed) {
        return Err(Refusal::argument(
            "A tag has 1 to 128 characters in its key and up to 256 in its value.",
        ));
    }
    if total > limits::TAGS_PER_STREAM {
        let message = format!("A stream has at most {} tags.", limits::TAGS_PER_STREAM);
        return Err(Refusal::new(Exception::TagsPerResourceExceededLimit, message));
    }
    Ok(())
}

/// A token of ListStreams: the name that a page ended with, in hexadecimal digits.
fn token_of_name(name: &StreamName) -> String {
    name.as_str().bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn name_of_token(token: &str) -> Result<StreamName, Refusal> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = token.as_bytes().chunks(2).map(byte).collect();
    let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|name| name.parse().ok());
    name.ok_or_else(|| Refusal::argument("NextToken is not one that this operation gave."))
}

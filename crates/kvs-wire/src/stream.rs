//! What a stream is called.

use std::fmt;
use std::str::FromStr;

use kvs_media::time::Utc;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::{ARN_CHARACTERS, STREAM_NAME_CHARACTERS};
use crate::text::shown;

/// The name of a stream: 1 to 256 of `[a-zA-Z0-9_.-]` (service model).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamName(Box<str>);

/// The ARN of a stream, `arn:<partition>:kinesisvideo:<region>:<account>:stream/<name>/<creation time in ms>`, as
/// it was given.
///
/// ```
/// use kvs_wire::StreamArn;
/// let text = "arn:aws:kinesisvideo:us-west-2:111122223333:stream/cam1/1588143003893";
/// let arn: StreamArn = text.parse().unwrap();
/// assert_eq!((arn.region(), arn.account(), arn.name().as_str()), ("us-west-2", "111122223333", "cam1"));
/// assert_eq!(arn.to_string(), text);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamArn {
    partition: Box<str>,
    region: Box<str>,
    account: Box<str>,
    name: StreamName,
    /// The digits as they were given: two ARNs are the same stream only when they are the same text.
    suffix: Box<str>,
}

/// Why a text is not the name of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StreamNameError {
    /// Nothing there.
    #[error("a stream name without characters")]
    Empty,
    /// More than 256 characters.
    #[error("a stream name of {length} bytes; at most {STREAM_NAME_CHARACTERS} characters are allowed")]
    TooLong {
        /// How long it is, in bytes.
        length: usize,
    },
    /// A character that is not allowed.
    #[error(
        "a stream name with {character:?} at byte {position}; letters, digits, '_', '.' and '-' are allowed"
    )]
    Character {
        /// The first that is not allowed.
        character: char,
        /// Where it stands, in bytes from the start.
        position: usize,
    },
}

/// Why a text is not the ARN of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StreamArnError {
    /// More than 1024 characters.
    #[error("an ARN of {length} bytes; at most {ARN_CHARACTERS} characters are allowed")]
    TooLong {
        /// How long it is, in bytes.
        length: usize,
    },
    /// Not `arn:<partition>:kinesisvideo:<region>:<account>:<kind>/<name>/<digits>`.
    #[error("not an ARN of Kinesis Video Streams, by its {part}: {text:?}")]
    Part {
        /// The part that is missing or wrong.
        part: &'static str,
        /// The ARN, cut when long.
        text: String,
    },
    /// An ARN of something else, such as a channel.
    #[error("the ARN of a {kind:?}, not of a stream")]
    Kind {
        /// What it is an ARN of.
        kind: String,
    },
    /// The name in it is not the name of a stream.
    #[error(transparent)]
    Name(#[from] StreamNameError),
}

impl StreamArnError {
    fn part(part: &'static str, arn: &str) -> Self {
        Self::Part { part, text: shown(arn) }
    }
}

impl StreamName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamName {
    type Err = StreamNameError;

    fn from_str(text: &str) -> Result<Self, StreamNameError> {
        check_name(text)?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for StreamName {
    type Error = StreamNameError;

    fn try_from(text: String) -> Result<Self, StreamNameError> {
        check_name(&text)?;
        Ok(Self(text.into()))
    }
}

fn check_name(text: &str) -> Result<(), StreamNameError> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-');
    if text.is_empty() {
        return Err(StreamNameError::Empty);
    }
    if let Some((position, character)) = text.char_indices().find(|(_, letter)| !allowed(*letter)) {
        return Err(StreamNameError::Character { character, position });
    }
    if text.len() > STREAM_NAME_CHARACTERS {
        return Err(StreamNameError::TooLong { length: text.len() });
    }
    Ok(())
}

impl From<StreamName> for String {
    fn from(name: StreamName) -> Self {
        name.0.into()
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl StreamArn {
    /// The ARN of a stream that was created at an instant; `None` when a part is not of its form.
    pub fn new(partition: &str, region: &str, account: &str, name: StreamName, created: Utc) -> Option<Self> {
        let suffix = u64::try_from(created.millis()).ok()?.to_string();
        let arn = Self {
            partition: partition.into(),
            region: region.into(),
            account: account.into(),
            name,
            suffix: suffix.into(),
        };
        let valid = is_partition(partition) && is_region(region) && is_digits(account);
        let length = arn.to_string().len();
        (valid && length <= ARN_CHARACTERS).then_some(arn)
    }

    /// `aws`, `aws-cn`, ...
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The region of the stream.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The digits of the account.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The name of the stream.
    pub const fn name(&self) -> &StreamName {
        &self.name
    }

    /// When the stream was created, which is what the number at the end says on the service; `None` beyond the
    /// range of time.
    pub fn created(&self) -> Option<Utc> {
        Utc::from_millis(self.suffix.parse().ok()?)
    }
}

impl FromStr for StreamArn {
    type Err = StreamArnError;

    fn from_str(text: &str) -> Result<Self, StreamArnError> {
        if text.len() > ARN_CHARACTERS {
            return Err(StreamArnError::TooLong { length: text.len() });
        }
        let (mut fields, part) = (text.splitn(6, ':'), |name| move || StreamArnError::part(name, text));
        fields.next().filter(|scheme| *scheme == "arn").ok_or_else(part("scheme"))?;
        let partition = fields.next().filter(|text| is_partition(text)).ok_or_else(part("partition"))?;
        fields.next().filter(|service| *service == "kinesisvideo").ok_or_else(part("service"))?;
        let region = fields.next().filter(|text| is_region(text)).ok_or_else(part("region"))?;
        let account = fields.next().filter(|text| is_digits(text)).ok_or_else(part("account"))?;
        let mut fields = fields.next().ok_or_else(part("resource"))?.splitn(3, '/');
        let kind = fields.next().filter(|text| is_kind(text)).ok_or_else(part("kind"))?;
        let name = fields.next().ok_or_else(part("name"))?;
        let suffix = fields.next().filter(|text| is_digits(text)).ok_or_else(part("creation time"))?;
        if kind != "stream" {
            return Err(StreamArnError::Kind { kind: shown(kind) });
        }
        Ok(Self {
            partition: partition.into(),
            region: region.into(),
            account: account.into(),
            name: name.parse()?,
            suffix: suffix.into(),
        })
    }
}

fn is_partition(text: &str) -> bool {
    is_region(text)
}

fn is_region(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn is_kind(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl TryFrom<String> for StreamArn {
    type Error = StreamArnError;

    fn try_from(text: String) -> Result<Self, StreamArnError> {
        text.parse()
    }
}

impl From<StreamArn> for String {
    fn from(arn: StreamArn) -> Self {
        arn.to_string()
    }
}

impl fmt::Display for StreamArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, region, account, name, suffix } = self;
        write!(f, "arn:{partition}:kinesisvideo:{region}:{account}:stream/{name}/{suffix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_of_the_allowed_characters_and_length_is_taken() {
        let longest = "x".repeat(256);
        for name in ["a", "DEFAULT_STREAM", "cam-1.north_side", longest.as_str()] {
            assert_eq!(name.parse::<StreamName>().unwrap().as_str(), name);
        }
        assert_eq!("".parse::<StreamName>(), Err(StreamNameError::Empty));
        assert_eq!("x".repeat(257).parse::<StreamName>(), Err(StreamNameError::TooLong { length: 257 }));
        for (name, character, position) in
            [("a/b", '/', 1), ("cam 1", ' ', 3), ("é", 'é', 0), ("a\n", '\n', 1)]
        {
            let error = StreamNameError::Character { character, position };
            assert_eq!(name.parse::<StreamName>(), Err(error));
        }
        assert!(serde_json::from_str::<StreamName>("\"a/b\"").is_err());
        let name: StreamName = serde_json::from_str("\"cam1\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"cam1\"");
    }

    #[test]
    fn an_arn_of_the_service_is_taken_apart() {
        let text = "arn:aws-cn:kinesisvideo:cn-north-1:111122223333:stream/cam1/1720751492346";
        let arn: StreamArn = text.parse().unwrap();
        assert_eq!(arn.partition(), "aws-cn");
        assert_eq!(arn.region(), "cn-north-1");
        assert_eq!(arn.account(), "111122223333");
        assert_eq!(arn.name().as_str(), "cam1");
        assert_eq!(arn.created(), Utc::from_millis(1_720_751_492_346));
        let json = format!("\"{text}\"");
        assert_eq!(serde_json::from_str::<StreamArn>(&json).unwrap(), arn);
        assert_eq!(serde_json::to_string(&arn).unwrap(), json);
    }

    #[test]
    fn what_is_no_stream_arn_is_refused_by_its_part() {
        for (text, expected) in [
            ("", "scheme"),
            ("arn", "partition"),
            ("arn:AWS:kinesisvideo:r:1:stream/a/1", "partition"),
            ("arn:aws:kinesis:r:1:stream/a/1", "service"),
            ("arn:aws:kinesisvideo::1:stream/a/1", "region"),
            ("arn:aws:kinesisvideo:r:x:stream/a/1", "account"),
            ("arn:aws:kinesisvideo:r:1", "resource"),
            ("arn:aws:kinesisvideo:r:1:/a/1", "kind"),
            ("arn:aws:kinesisvideo:r:1:stream", "name"),
            ("arn:aws:kinesisvideo:r:1:stream/a", "creation time"),
            ("arn:aws:kinesisvideo:r:1:stream/a/", "creation time"),
            ("arn:aws:kinesisvideo:r:1:stream/a/1/2", "creation time"),
        ] {
            match text.parse::<StreamArn>() {
                Err(StreamArnError::Part { part, .. }) => assert_eq!(part, expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(
            "arn:aws:kinesisvideo:r:1:channel/a/1".parse::<StreamArn>(),
            Err(StreamArnError::Kind { kind: "channel".into() })
        );
        assert_eq!(
            "arn:aws:kinesisvideo:r:1:stream//1".parse::<StreamArn>(),
            Err(StreamNameError::Empty.into())
        );
        let long = format!("arn:aws:kinesisvideo:r:1:stream/a/{}", "1".repeat(1_000));
        assert_eq!(long.parse::<StreamArn>(), Err(StreamArnError::TooLong { length: long.len() }));
    }

    #[test]
    fn an_arn_is_made_of_valid_parts_only() {
        let name = || "cam1".parse::<StreamName>().unwrap();
        let at = Utc::from_millis(1_588_143_003_893).unwrap();
        let arn = StreamArn::new("aws", "us-west-2", "111122223333", name(), at).unwrap();
        assert_eq!(arn.to_string(), "arn:aws:kinesisvideo:us-west-2:111122223333:stream/cam1/1588143003893");
        assert_eq!(StreamArn::new("aws", "us:west", "1", name(), at), None);
        assert_eq!(StreamArn::new("aws", "us-west-2", "", name(), at), None);
        assert_eq!(StreamArn::new("aws", "us-west-2", "1", name(), Utc::from_nanos(-1)), None);
    }

    proptest! {
        #[test]
        fn an_arn_is_printed_as_it_was_read(
            text in "arn:[a-z0-9-]{1,9}:kinesisvideo:[a-z0-9-]{1,9}:[0-9]{1,12}:stream/[a-zA-Z0-9_.-]{1,256}/[0-9]{1,30}",
        ) {
            prop_assert_eq!(text.parse::<StreamArn>().unwrap().to_string(), text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}", tail in "(arn|:|/|kinesisvideo|stream|aws|1){0,20}") {
            let _ = text.parse::<StreamArn>();
            let _ = text.parse::<StreamName>();
            let _ = tail.parse::<StreamArn>().map(|arn| arn.created());
        }
    }
}

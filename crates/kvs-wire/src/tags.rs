//! The names and values of the tags that the service puts beside a fragment, and of those a producer may send.
//!
//! Only names and values: the Matroska around them is kvs-media's.

use std::fmt;

use kvs_media::time::Utc;
use thiserror::Error;

use crate::limits::{FRAGMENT_TAG_NAME_BYTES, FRAGMENT_TAG_VALUE_BYTES};
use crate::text::shown;
use crate::{ContinuationToken, EpochSeconds, ErrorId, FragmentNumber, decimal};

/// The fragment's number; in the leading group, and beside an error.
pub const FRAGMENT_NUMBER: &str = "AWS_KINESISVIDEO_FRAGMENT_NUMBER";
/// When the first byte came in; in the leading group.
pub const SERVER_TIMESTAMP: &str = "AWS_KINESISVIDEO_SERVER_TIMESTAMP";
/// The archive API page's name for the same.
pub const SERVER_SIDE_TIMESTAMP: &str = "AWS_KINESISVIDEO_SERVER_SIDE_TIMESTAMP";
/// The producer's time of the fragment; in the leading group.
pub const PRODUCER_TIMESTAMP: &str = "AWS_KINESISVIDEO_PRODUCER_TIMESTAMP";
/// The archive API page's name for the same.
pub const PRODUCER_SIDE_TIMESTAMP: &str = "AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP";
/// How far the reader is behind; in the trailing group.
pub const MILLIS_BEHIND_NOW: &str = "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW";
/// Where a later call goes on; in the trailing group.
pub const CONTINUATION_TOKEN: &str = "AWS_KINESISVIDEO_CONTINUATION_TOKEN";
/// The symbolic name of what ended the body.
pub const ERROR_CODE: &str = "AWS_KINESISVIDEO_ERROR_CODE";
/// The archive API page's name for the same.
pub const EXCEPTION_ERROR_CODE: &str = "AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE";
/// The number of what ended the body.
pub const ERROR_ID: &str = "AWS_KINESISVIDEO_ERROR_ID";
/// What ended the body, in words; on the archive API page only.
pub const EXCEPTION_MESSAGE: &str = "AWS_KINESISVIDEO_EXCEPTION_MESSAGE";

/// Sent by a producer: make an image of this fragment.
pub const IMAGE_GENERATION: &str = "AWS_KINESISVIDEO_IMAGE_GENERATION";
/// Sent by a producer: the beginning of that image's name.
pub const IMAGE_PREFIX: &str = "AWS_KINESISVIDEO_IMAGE_PREFIX";
/// Sent by a producer: notify of this fragment.
pub const NOTIFICATION: &str = "AWS_KINESISVIDEO_NOTIFICATION";
pub use kvs_media::mkv::END_OF_FRAGMENT;

/// The names beginning `AWS` that a producer may send.
const OF_PRODUCERS: [&str; 4] = [IMAGE_GENERATION, IMAGE_PREFIX, NOTIFICATION, END_OF_FRAGMENT];

/// A tag of the service in a GetMedia or GetMediaForFragmentList body. `Display` is its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkTag {
    /// The fragment's number.
    FragmentNumber(FragmentNumber),
    /// When its first byte came in.
    ServerTime(Utc),
    /// The producer's time of it.
    ProducerTime(Utc),
    /// How far the reader is behind.
    MillisBehindNow(u64),
    /// Where a later call goes on.
    ContinuationToken(ContinuationToken),
    /// The symbolic name of what ended the body.
    ErrorCode(String),
    /// The number of what ended the body.
    ErrorId(ErrorId),
    /// What ended the body, in words.
    ErrorMessage(String),
}

/// A tag of the service with a value that it cannot have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the tag {name} cannot be {value:?}")]
pub struct ChunkTagError {
    /// The name.
    pub name: &'static str,
    /// The value, cut when long.
    pub value: String,
}

impl ChunkTag {
    /// Reads a tag; `None` when the name is not one of the service's: it is the producer's.
    pub fn read(name: &str, value: &str) -> Option<Result<Self, ChunkTagError>> {
        let time = || value.parse().ok().map(|EpochSeconds(time)| time);
        let whole = || decimal::whole(value).ok();
        let (name, tag) = match name {
            FRAGMENT_NUMBER => (FRAGMENT_NUMBER, value.parse().ok().map(Self::FragmentNumber)),
            SERVER_TIMESTAMP => (SERVER_TIMESTAMP, time().map(Self::ServerTime)),
            SERVER_SIDE_TIMESTAMP => (SERVER_SIDE_TIMESTAMP, time().map(Self::ServerTime)),
            PRODUCER_TIMESTAMP => (PRODUCER_TIMESTAMP, time().map(Self::ProducerTime)),
            PRODUCER_SIDE_TIMESTAMP => (PRODUCER_SIDE_TIMESTAMP, time().map(Self::ProducerTime)),
            // Clocks that differ make the tip lie ahead: that is not behind.
            MILLIS_BEHIND_NOW => (
                MILLIS_BEHIND_NOW,
                whole().map(|millis| Self::MillisBehindNow(u64::try_from(millis).unwrap_or_default())),
            ),
            CONTINUATION_TOKEN => (CONTINUATION_TOKEN, value.parse().ok().map(Self::ContinuationToken)),
            ERROR_CODE | EXCEPTION_ERROR_CODE => (ERROR_CODE, Some(Self::ErrorCode(shown(value)))),
            ERROR_ID => {
                (ERROR_ID, whole().and_then(|id| u32::try_from(id).ok()).map(|id| Self::ErrorId(ErrorId(id))))
            }
            EXCEPTION_MESSAGE => (EXCEPTION_MESSAGE, Some(Self::ErrorMessage(shown(value)))),
            _ => return None,
        };
        Some(tag.ok_or_else(|| ChunkTagError { name, value: shown(value) }))
    }

    /// The name, in the spelling of GetMedia.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::FragmentNumber(_) => FRAGMENT_NUMBER,
            Self::ServerTime(_) => SERVER_TIMESTAMP,
            Self::ProducerTime(_) => PRODUCER_TIMESTAMP,
            Self::MillisBehindNow(_) => MILLIS_BEHIND_NOW,
            Self::ContinuationToken(_) => CONTINUATION_TOKEN,
            Self::ErrorCode(_) => ERROR_CODE,
            Self::ErrorId(_) => ERROR_ID,
            Self::ErrorMessage(_) => EXCEPTION_MESSAGE,
        }
    }

    /// The group before a fragment's cluster, in the order of the service.
    pub const fn leading(number: FragmentNumber, server_time: Utc, producer_time: Utc) -> [Self; 3] {
        [Self::FragmentNumber(number), Self::ServerTime(server_time), Self::ProducerTime(producer_time)]
    }

    /// The group behind a fragment of GetMedia, in the order of the service.
    pub const fn trailing(millis_behind_now: u64, token: ContinuationToken) -> [Self; 2] {
        [Self::MillisBehindNow(millis_behind_now), Self::ContinuationToken(token)]
    }

    /// The group in the place of a fragment, in the order of the service. The number is the one that was asked for.
    pub fn failure(id: ErrorId, number: Option<FragmentNumber>) -> impl Iterator<Item = Self> {
        let code = id.name_to_reader().map(|name| Self::ErrorCode(name.to_owned()));
        code.into_iter().chain([Self::ErrorId(id)]).chain(number.map(Self::FragmentNumber))
    }
}

impl fmt::Display for ChunkTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FragmentNumber(number) => number.fmt(f),
            Self::ServerTime(time) | Self::ProducerTime(time) => EpochSeconds(*time).fmt(f),
            Self::MillisBehindNow(millis) => millis.fmt(f),
            Self::ContinuationToken(token) => token.fmt(f),
            Self::ErrorCode(text) | Self::ErrorMessage(text) => f.write_str(text),
            Self::ErrorId(ErrorId(id)) => id.fmt(f),
        }
    }
}

/// What the service says of a chunk, gathered from its tags: one value for each chunk, new with the next document.
///
/// ```
/// use kvs_wire::tags::ChunkTags;
/// let mut tags = ChunkTags::default();
/// assert_eq!(tags.read("AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", "1537574915.281"), Ok(true));
/// assert_eq!(tags.read("plate", "ZH 1234"), Ok(false));
/// assert_eq!(tags.producer_time.unwrap().to_string(), "2018-09-22T00:08:35.281Z");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkTags {
    /// The fragment's number; beside an error, the number that was asked for.
    pub fragment_number: Option<FragmentNumber>,
    /// When its first byte came in.
    pub server_time: Option<Utc>,
    /// The producer's time of it.
    pub producer_time: Option<Utc>,
    /// How far the reader is behind.
    pub millis_behind_now: Option<u64>,
    /// Where a later call goes on.
    pub continuation_token: Option<ContinuationToken>,
    /// The symbolic name of what ended the body.
    pub error_code: Option<String>,
    /// The number of what ended the body.
    pub error_id: Option<ErrorId>,
    /// What ended the body, in words.
    pub error_message: Option<String>,
}

impl ChunkTags {
    /// Takes a tag in; `false` when it is not the service's but the producer's. A name that comes twice keeps its
    /// last value, and a bad value leaves what is there.
    pub fn read(&mut self, name: &str, value: &str) -> Result<bool, ChunkTagError> {
        let Some(tag) = ChunkTag::read(name, value) else { return Ok(false) };
        match tag? {
            ChunkTag::FragmentNumber(number) => self.fragment_number = Some(number),
            ChunkTag::ServerTime(time) => self.server_time = Some(time),
            ChunkTag::ProducerTime(time) => self.producer_time = Some(time),
            ChunkTag::MillisBehindNow(millis) => self.millis_behind_now = Some(millis),
            ChunkTag::ContinuationToken(token) => self.continuation_token = Some(token),
            ChunkTag::ErrorCode(code) => self.error_code = Some(code),
            ChunkTag::ErrorId(id) => self.error_id = Some(id),
            ChunkTag::ErrorMessage(message) => self.error_message = Some(message),
        }
        Ok(true)
    }

    /// Whether the chunk of a GetMedia body is whole: only the trailing group says so. A body of the archive has no
    /// such group.
    pub const fn is_complete(&self) -> bool {
        self.continuation_token.is_some()
    }

    /// Whether these tags tell of a failure in the place of media.
    pub const fn is_failure(&self) -> bool {
        self.error_id.is_some() || self.error_code.is_some() || self.error_message.is_some()
    }

    /// The failure's id: as sent, else by its name.
    pub fn error(&self) -> Option<ErrorId> {
        self.error_id.or_else(|| ErrorId::from_name(self.error_code.as_deref()?))
    }
}

/// Why a producer's tag would be refused (4009, 4012).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FragmentTagError {
    /// No name.
    #[error("a fragment tag without a name")]
    Unnamed,
    /// A name of more than 128 bytes.
    #[error("a fragment tag with a name of {length} bytes; at most {FRAGMENT_TAG_NAME_BYTES} are allowed")]
    NameTooLong {
        /// Its length.
        length: usize,
    },
    /// A value of more than 256 bytes.
    #[error(
        "the fragment tag {name:?} with a value of {length} bytes; at most {FRAGMENT_TAG_VALUE_BYTES} are allowed"
    )]
    ValueTooLong {
        /// The name of the tag.
        name: String,
        /// The length of its value.
        length: usize,
    },
    /// A name that begins as the service's own.
    #[error("the fragment tag {name:?}: names that begin with AWS are the service's own")]
    Reserved {
        /// The name.
        name: String,
    },
}

/// Whether a name is the service's own, so that a producer's fragment with it is refused (4012): it begins with
/// `AWS_` and is none of those that producers send.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with("AWS_") && !OF_PRODUCERS.contains(&name)
}

/// Whether a producer may send this tag. Stricter than [`is_reserved`]: the quotas page keeps all that begins with
/// `AWS` from producers.
pub fn check_fragment_tag(name: &str, value: &str) -> Result<(), FragmentTagError> {
    if name.is_empty() {
        return Err(FragmentTagError::Unnamed);
    }
    if name.len() > FRAGMENT_TAG_NAME_BYTES {
        return Err(FragmentTagError::NameTooLong { length: name.len() });
    }
    if name.starts_with("AWS") && !OF_PRODUCERS.contains(&name) {
        return Err(FragmentTagError::Reserved { name: name.to_owned() });
    }
    if value.len() > FRAGMENT_TAG_VALUE_BYTES {
        return Err(FragmentTagError::ValueTooLong { name: name.to_owned(), length: value.len() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ack_strategy::any_number;
    use proptest::prelude::*;

    const NUMBER: &str = "91343852333713038908964877623801423530396737899";

    fn gather<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> ChunkTags {
        let mut tags = ChunkTags::default();
        for (name, value) in pairs {
            assert_eq!(tags.read(name, value), Ok(true), "{name}");
        }
        tags
    }

    #[test]
    fn both_groups_of_a_captured_chunk_are_read() {
        let tags = gather([
            ("AWS_KINESISVIDEO_FRAGMENT_NUMBER", NUMBER),
            ("AWS_KINESISVIDEO_SERVER_TIMESTAMP", "1537574915.281"),
            ("AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", "0.000"),
        ]);
        assert_eq!(tags.fragment_number.as_ref().map(FragmentNumber::as_str), Some(NUMBER));
        assert_eq!(tags.server_time, Utc::from_millis(1_537_574_915_281));
        assert_eq!(tags.producer_time, Some(Utc::EPOCH));
        assert!(!tags.is_complete() && !tags.is_failure());
        // The service's own clock is in the number too.
        assert_eq!(tags.fragment_number.unwrap().parts().unwrap().server_time, tags.server_time.unwrap());

        let tags = gather([
            ("AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", "910"),
            ("AWS_KINESISVIDEO_CONTINUATION_TOKEN", NUMBER),
        ]);
        assert_eq!(tags.millis_behind_now, Some(910));
        assert_eq!(tags.continuation_token.as_ref().map(ContinuationToken::as_str), Some(NUMBER));
        assert!(tags.is_complete());
    }

    #[test]
    fn both_spellings_of_the_archive_are_read() {
        let tags = gather([
            ("AWS_KINESISVIDEO_SERVER_SIDE_TIMESTAMP", "1.5"),
            ("AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP", "2.5"),
            ("AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE", "FRAGMENT_NOT_FOUND"),
            ("AWS_KINESISVIDEO_EXCEPTION_MESSAGE", "gone"),
        ]);
        assert_eq!(tags.server_time, Utc::from_millis(1_500));
        assert_eq!(tags.producer_time, Utc::from_millis(2_500));
        assert_eq!(tags.error(), Some(ErrorId(3000)));
        assert_eq!(tags.error_message.as_deref(), Some("gone"));
    }

    #[test]
    fn a_fragment_that_is_not_found_is_a_failure() {
        let pairs = [
            ("AWS_KINESISVIDEO_ERROR_CODE", "FRAGMENT_NOT_FOUND"),
            ("AWS_KINESISVIDEO_ERROR_ID", "3000"),
            ("AWS_KINESISVIDEO_FRAGMENT_NUMBER", NUMBER),
        ];
        let tags = gather(pairs);
        assert!(tags.is_failure());
        assert_eq!(tags.error(), Some(ErrorId(3000)));
        let printed: Vec<_> = ChunkTag::failure(ErrorId(3000), Some(NUMBER.parse().unwrap()))
            .map(|tag| (tag.name(), tag.to_string()))
            .collect();
        assert_eq!(printed, pairs.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn a_bad_value_is_told_with_its_name_and_leaves_the_rest() {
        let mut tags = gather([(SERVER_TIMESTAMP, "1.000")]);
        let kept = tags.clone();
        for (name, value) in [
            (FRAGMENT_NUMBER, "12x"),
            (SERVER_TIMESTAMP, "now"),
            (SERVER_SIDE_TIMESTAMP, ""),
            (PRODUCER_TIMESTAMP, "1e99"),
            (PRODUCER_SIDE_TIMESTAMP, "1.2.3"),
            (MILLIS_BEHIND_NOW, "soon"),
            (CONTINUATION_TOKEN, "a b"),
            (ERROR_ID, "-1"),
        ] {
            assert_eq!(tags.read(name, value), Err(ChunkTagError { name, value: value.into() }));
        }
        assert_eq!(tags, kept);
    }

    #[test]
    fn a_reader_ahead_of_the_tip_is_not_behind() {
        assert_eq!(gather([(MILLIS_BEHIND_NOW, "-3")]).millis_behind_now, Some(0));
    }

    #[test]
    fn a_producer_s_tag_is_checked_as_the_service_does() {
        let ok = |name: &str| check_fragment_tag(name, "").is_ok();
        assert!(ok("plate") && ok("aws_thing") && ok(&"n".repeat(128)));
        assert!(OF_PRODUCERS.iter().all(|name| ok(name) && !is_reserved(name)));
        assert!(is_reserved(FRAGMENT_NUMBER) && is_reserved("AWS_X") && !is_reserved("AWSOME"));
        let reserved = |name: &str| Err(FragmentTagError::Reserved { name: name.into() });
        assert_eq!(check_fragment_tag("AWSOME", ""), reserved("AWSOME"));
        assert_eq!(check_fragment_tag(FRAGMENT_NUMBER, ""), reserved(FRAGMENT_NUMBER));
        assert_eq!(check_fragment_tag("", "x"), Err(FragmentTagError::Unnamed));
        assert_eq!(
            check_fragment_tag(&"é".repeat(65), ""),
            Err(FragmentTagError::NameTooLong { length: 130 })
        );
        assert!(check_fragment_tag("n", &"v".repeat(256)).is_ok());
        assert_eq!(
            check_fragment_tag("n", &"é".repeat(129)),
            Err(FragmentTagError::ValueTooLong { name: "n".into(), length: 258 })
        );
    }

    proptest! {
        #[test]
        fn the_groups_are_read_as_they_are_printed(
            number in any_number(),
            millis in (-9_000_000_000_000_i64..9_000_000_000_000, -9_000_000_000_000_i64..9_000_000_000_000),
            behind in 0..=u64::try_from(i64::MAX).unwrap(),
            id: u32,
        ) {
            let time = |millis| Utc::from_millis(millis).unwrap();
            let printed = ChunkTag::leading(number.clone(), time(millis.0), time(millis.1))
                .into_iter()
                .chain(ChunkTag::trailing(behind, (&number).into()))
                .chain(ChunkTag::failure(ErrorId(id), None));
            for tag in printed {
                prop_assert_eq!(ChunkTag::read(tag.name(), &tag.to_string()), Some(Ok(tag)));
            }
        }

        #[test]
        fn any_value_is_read_or_refused(name in prop::sample::select(vec![
            FRAGMENT_NUMBER, SERVER_TIMESTAMP, PRODUCER_TIMESTAMP, MILLIS_BEHIND_NOW, CONTINUATION_TOKEN, ERROR_ID,
            ERROR_CODE,
        ]), value in ".{0,40}") {
            prop_assert!(ChunkTag::read(name, &value).is_some());
        }
    }
}

//! Where GetMedia begins and what ListFragments lists.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use kvs_media::time::Utc;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::CONTINUATION_TOKEN_CHARACTERS;
use crate::text::shown;
use crate::{EpochSeconds, FragmentNumber};

/// Where a GetMedia call begins. As JSON it is the object `StartSelector` of the request.
///
/// Reading refuses an unknown type and a type without its companion field; companions of other types, and null, are
/// passed over.
///
/// ```
/// use kvs_wire::StartSelector;
/// let json = r#"{"StartSelectorType":"FRAGMENT_NUMBER","AfterFragmentNumber":"12"}"#;
/// let selector: StartSelector = serde_json::from_str(json).unwrap();
/// assert_eq!(selector, StartSelector::AfterFragment("12".parse().unwrap()));
/// assert_eq!(serde_json::to_string(&selector).unwrap(), json);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StartFields", into = "StartFields")]
pub enum StartSelector {
    /// `NOW`: the latest fragment.
    Now,
    /// `EARLIEST`: the oldest fragment that is kept.
    Earliest,
    /// `FRAGMENT_NUMBER`: the fragment behind this one.
    AfterFragment(FragmentNumber),
    /// `SERVER_TIMESTAMP`: the fragment of this time of the service's clock.
    ServerTime(Utc),
    /// `PRODUCER_TIMESTAMP`: the fragment of this time of the producer's clock.
    ProducerTime(Utc),
    /// `CONTINUATION_TOKEN`: where an earlier call ended.
    Continuation(ContinuationToken),
}

/// Where a GetMedia call ended, in the service's words: 1 to 128 of `[a-zA-Z0-9_.-]`. Opaque.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContinuationToken(Box<str>);

/// Whose clock a range of fragments is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FragmentSelectorType {
    /// The producer's.
    #[serde(rename = "PRODUCER_TIMESTAMP")]
    ProducerTimestamp,
    /// The service's.
    #[serde(rename = "SERVER_TIMESTAMP")]
    ServerTimestamp,
}

/// Instants from the first to the last, both of them included; the first is not after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RangeFields", into = "RangeFields")]
pub struct TimestampRange {
    start: Utc,
    end: Utc,
}

/// The fragments that begin within a range. As JSON it is the object `FragmentSelector` of ListFragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FragmentSelector {
    /// The clock of the range.
    #[serde(rename = "FragmentSelectorType")]
    pub selector_type: FragmentSelectorType,
    /// The range.
    #[serde(rename = "TimestampRange")]
    pub range: TimestampRange,
}

/// Why a selector selects nothing. Each is an `InvalidArgumentException` of the service.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectorError {
    /// A type of start selector that there is not.
    #[error("{given:?} is no StartSelectorType")]
    Type {
        /// What was given.
        given: String,
    },
    /// The field that the type needs is not there.
    #[error("StartSelectorType {selector_type} needs {field}")]
    Missing {
        /// The type.
        selector_type: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A range that ends before it starts.
    #[error("a TimestampRange from {} to {}, which is before it", EpochSeconds(*.start), EpochSeconds(*.end))]
    Backwards {
        /// The start.
        start: Utc,
        /// The end.
        end: Utc,
    },
}

/// Why a text is not a continuation token. An `InvalidArgumentException` of the service.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a ContinuationToken has 1 to 128 letters, digits, '_', '.' or '-', unlike {given:?}")]
pub struct ContinuationTokenError {
    /// What was given, cut when long.
    pub given: String,
}

/// `StartSelector` as it stands in JSON.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartFields {
    start_selector_type: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_fragment_number: Option<FragmentNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_timestamp: Option<EpochSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continuation_token: Option<ContinuationToken>,
}

/// `TimestampRange` as it stands in JSON.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RangeFields {
    start_timestamp: EpochSeconds,
    end_timestamp: EpochSeconds,
}

impl StartSelector {
    /// The name of the type on the wire.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Now => "NOW",
            Self::Earliest => "EARLIEST",
            Self::AfterFragment(_) => "FRAGMENT_NUMBER",
            Self::ServerTime(_) => "SERVER_TIMESTAMP",
            Self::ProducerTime(_) => "PRODUCER_TIMESTAMP",
            Self::Continuation(_) => "CONTINUATION_TOKEN",
        }
    }
}

impl TryFrom<StartFields> for StartSelector {
    type Error = SelectorError;

    fn try_from(fields: StartFields) -> Result<Self, SelectorError> {
        let missing = |selector_type, field| SelectorError::Missing { selector_type, field };
        let time = |selector_type| {
            fields.start_timestamp.map(Utc::from).ok_or_else(|| missing(selector_type, "StartTimestamp"))
        };
        Ok(match &*fields.start_selector_type {
            "NOW" => Self::Now,
            "EARLIEST" => Self::Earliest,
            "FRAGMENT_NUMBER" => Self::AfterFragment(
                fields
                    .after_fragment_number
                    .ok_or_else(|| missing("FRAGMENT_NUMBER", "AfterFragmentNumber"))?,
            ),
            "SERVER_TIMESTAMP" => Self::ServerTime(time("SERVER_TIMESTAMP")?),
            "PRODUCER_TIMESTAMP" => Self::ProducerTime(time("PRODUCER_TIMESTAMP")?),
            "CONTINUATION_TOKEN" => Self::Continuation(
                fields
                    .continuation_token
                    .ok_or_else(|| missing("CONTINUATION_TOKEN", "ContinuationToken"))?,
            ),
            given => return Err(SelectorError::Type { given: shown(given) }),
        })
    }
}

impl From<StartSelector> for StartFields {
    fn from(selector: StartSelector) -> Self {
        let mut fields = Self {
            start_selector_type: Cow::Borrowed(selector.type_name()),
            after_fragment_number: None,
            start_timestamp: None,
            continuation_token: None,
        };
        match selector {
            StartSelector::Now | StartSelector::Earliest => {}
            StartSelector::AfterFragment(number) => fields.after_fragment_number = Some(number),
            StartSelector::ServerTime(time) | StartSelector::ProducerTime(time) => {
                fields.start_timestamp = Some(time.into());
            }
            StartSelector::Continuation(token) => fields.continuation_token = Some(token),
        }
        fields
    }
}

impl ContinuationToken {
    /// The token, as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The service's tokens are the number of the last fragment (all captures).
impl From<&FragmentNumber> for ContinuationToken {
    fn from(number: &FragmentNumber) -> Self {
        Self(number.as_str().into())
    }
}

impl FromStr for ContinuationToken {
    type Err = ContinuationTokenError;

    fn from_str(text: &str) -> Result<Self, ContinuationTokenError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        if text.is_empty() || text.len() > CONTINUATION_TOKEN_CHARACTERS || !text.bytes().all(allowed) {
            return Err(ContinuationTokenError { given: shown(text) });
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for ContinuationToken {
    type Error = ContinuationTokenError;

    fn try_from(text: String) -> Result<Self, ContinuationTokenError> {
        text.parse()
    }
}

impl From<ContinuationToken> for String {
    fn from(token: ContinuationToken) -> Self {
        token.0.into()
    }
}

impl fmt::Display for ContinuationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TimestampRange {
    /// From `start` to `end`, both included.
    pub fn new(start: Utc, end: Utc) -> Result<Self, SelectorError> {
        if start > end {
            return Err(SelectorError::Backwards { start, end });
        }
        Ok(Self { start, end })
    }

    /// The first instant.
    pub const fn start(&self) -> Utc {
        self.start
    }

    /// The last instant.
    pub const fn end(&self) -> Utc {
        self.end
    }

    /// Whether a fragment that begins at `instant` is in the range.
    pub fn contains(&self, instant: Utc) -> bool {
        self.start <= instant && instant <= self.end
    }
}

impl TryFrom<RangeFields> for TimestampRange {
    type Error = SelectorError;

    fn try_from(fields: RangeFields) -> Result<Self, SelectorError> {
        Self::new(fields.start_timestamp.into(), fields.end_timestamp.into())
    }
}

impl From<TimestampRange> for RangeFields {
    fn from(range: TimestampRange) -> Self {
        Self { start_timestamp: range.start.into(), end_timestamp: range.end.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ack_strategy::any_number;
    use proptest::prelude::*;

    fn error(json: &str) -> String {
        serde_json::from_str::<StartSelector>(json).unwrap_err().to_string()
    }

    #[test]
    fn each_start_selector_reads_and_prints() {
        let time = Utc::from_millis(1_537_574_915_281).unwrap();
        for (json, selector) in [
            (r#"{"StartSelectorType":"NOW"}"#, StartSelector::Now),
            (r#"{"StartSelectorType":"EARLIEST"}"#, StartSelector::Earliest),
            (
                r#"{"StartSelectorType":"FRAGMENT_NUMBER","AfterFragmentNumber":"91343852333181432392682062659367423407745400833"}"#,
                StartSelector::AfterFragment(
                    "91343852333181432392682062659367423407745400833".parse().unwrap(),
                ),
            ),
            (
                r#"{"StartSelectorType":"SERVER_TIMESTAMP","StartTimestamp":1537574915.281}"#,
                StartSelector::ServerTime(time),
            ),
            (
                r#"{"StartSelectorType":"PRODUCER_TIMESTAMP","StartTimestamp":1537574915.281}"#,
                StartSelector::ProducerTime(time),
            ),
            (
                r#"{"StartSelectorType":"CONTINUATION_TOKEN","ContinuationToken":"a_b.c-1"}"#,
                StartSelector::Continuation("a_b.c-1".parse().unwrap()),
            ),
        ] {
            assert_eq!(serde_json::from_str::<StartSelector>(json).unwrap(), selector);
            assert_eq!(serde_json::to_string(&selector).unwrap(), json);
        }
    }

    #[test]
    fn null_and_unknown_companions_are_passed_over() {
        let json = r#"{"x":[1],"StartTimestamp":1.537574915281E9,"AfterFragmentNumber":null,"ContinuationToken":null,"StartSelectorType":"NOW"}"#;
        assert_eq!(serde_json::from_str::<StartSelector>(json).unwrap(), StartSelector::Now);
    }

    #[test]
    fn what_selects_nothing_is_refused_with_its_reason() {
        assert!(error(r#"{"StartSelectorType":"LATER"}"#).starts_with(r#""LATER" is no StartSelectorType"#));
        assert!(error("{}").contains("StartSelectorType"));
        for (selector_type, field) in [
            ("FRAGMENT_NUMBER", "AfterFragmentNumber"),
            ("SERVER_TIMESTAMP", "StartTimestamp"),
            ("PRODUCER_TIMESTAMP", "StartTimestamp"),
            ("CONTINUATION_TOKEN", "ContinuationToken"),
        ] {
            let message = error(&format!(r#"{{"StartSelectorType":"{selector_type}"}}"#));
            assert!(message.contains(&format!("{selector_type} needs {field}")), "{message}");
        }
        assert!(
            error(r#"{"StartSelectorType":"FRAGMENT_NUMBER","AfterFragmentNumber":"x"}"#).contains("digit")
        );
        assert!(error(r#"{"StartSelectorType":"SERVER_TIMESTAMP","StartTimestamp":1e99}"#).contains("range"));
    }

    #[test]
    fn a_token_is_of_its_letters_and_length() {
        let longest = "x".repeat(128);
        assert!(longest.parse::<ContinuationToken>().is_ok());
        for text in ["", "a b", "é", "a/b", &format!("{longest}x")] {
            assert_eq!(text.parse::<ContinuationToken>(), Err(ContinuationTokenError { given: text.into() }));
        }
    }

    #[test]
    fn a_range_includes_both_ends() {
        // The guide's example: of fragments that begin at 0, 2, 4 and 6 s, the range 1 to 4 holds those at 2 and 4.
        let json = r#"{"FragmentSelectorType":"PRODUCER_TIMESTAMP","TimestampRange":{"StartTimestamp":1.000,"EndTimestamp":4.000}}"#;
        let selector: FragmentSelector = serde_json::from_str(json).unwrap();
        let within =
            [0, 2_000, 4_000, 4_001, 6_000].map(|ms| selector.range.contains(Utc::from_millis(ms).unwrap()));
        assert_eq!(within, [false, true, true, false, false]);
        assert_eq!(serde_json::to_string(&selector).unwrap(), json);
    }

    #[test]
    fn a_range_that_ends_before_it_starts_is_refused() {
        let (one, two) = (Utc::from_nanos(1), Utc::from_nanos(2));
        assert!(TimestampRange::new(one, one).is_ok());
        assert_eq!(TimestampRange::new(two, one), Err(SelectorError::Backwards { start: two, end: one }));
        for json in [
            r#"{"FragmentSelectorType":"SERVER_TIMESTAMP","TimestampRange":{"StartTimestamp":2,"EndTimestamp":1}}"#,
            r#"{"FragmentSelectorType":"SERVER_TIMESTAMP","TimestampRange":{"StartTimestamp":2}}"#,
            r#"{"FragmentSelectorType":"SERVER_TIMESTAMP"}"#,
            r#"{"FragmentSelectorType":"NOW","TimestampRange":{"StartTimestamp":1,"EndTimestamp":2}}"#,
        ] {
            assert!(serde_json::from_str::<FragmentSelector>(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn a_selector_survives_json(
            number in any_number(),
            millis in 0_i64..9_000_000_000_000,
            token in "[a-zA-Z0-9_.-]{1,128}",
        ) {
            let time = Utc::from_millis(millis).unwrap();
            for selector in [
                StartSelector::Continuation(ContinuationToken::from(&number)),
                StartSelector::AfterFragment(number),
                StartSelector::ServerTime(time),
                StartSelector::ProducerTime(time),
                StartSelector::Continuation(token.parse().unwrap()),
            ] {
                let json = serde_json::to_vec(&selector).unwrap();
                prop_assert_eq!(serde_json::from_slice::<StartSelector>(&json).unwrap(), selector);
            }
        }

        #[test]
        fn any_selector_is_read_or_refused(
            kind in "(NOW|FRAGMENT_NUMBER|SERVER_TIMESTAMP|CONTINUATION_TOKEN|.{0,9})",
            value in "(null|-?[0-9]{0,12}(e[0-9]{1,4})?|\"[0-9a-z]{0,9}\"|.{0,9})",
        ) {
            let json = format!(
                r#"{{"StartSelectorType":"{kind}","AfterFragmentNumber":{value},"StartTimestamp":{value},"ContinuationToken":{value}}}"#
            );
            let _ = serde_json::from_str::<StartSelector>(&json);
        }
    }
}

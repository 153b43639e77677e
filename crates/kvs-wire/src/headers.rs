//! Names and values of HTTP headers. Names are in lower case, as every HTTP library takes them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::text::shown;

/// PutMedia: the stream by name. Exactly one of this and [`STREAM_ARN`].
pub const STREAM_NAME: &str = "x-amzn-stream-name";
/// PutMedia: the stream by ARN.
pub const STREAM_ARN: &str = "x-amzn-stream-arn";
/// PutMedia: a [`FragmentTimecodeType`].
pub const FRAGMENT_TIMECODE_TYPE: &str = "x-amzn-fragment-timecode-type";
/// PutMedia: the [`EpochSeconds`](crate::EpochSeconds) that relative timecodes count from.
pub const PRODUCER_START_TIMESTAMP: &str = "x-amzn-producer-start-timestamp";
/// PutMedia: whether acks are wanted; see [`wants_acks`].
pub const FRAGMENT_ACKNOWLEDGMENT_REQUIRED: &str = "x-amzn-fragment-acknowledgment-required";
/// Any response: the name of the request, to quote to the service's people.
pub const REQUEST_ID: &str = "x-amzn-requestid";
/// A refusal: the [`Exception`](crate::Exception). The guide spells it `x-amz-ErrorType`, responses this way.
pub const ERROR_TYPE: &str = "x-amzn-errortype";

/// The content type of requests, of answers in JSON and of acks.
pub const JSON: &str = "application/json";
/// The content type of GetMedia and GetMediaForFragmentList bodies, although they are Matroska.
pub const MEDIA: &str = "video/webm";
/// The content type of a clip.
pub const CLIP: &str = "video/mp4";

/// What the timecodes of a PutMedia body count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FragmentTimecodeType {
    /// The Unix epoch.
    Absolute,
    /// The start that the request names.
    Relative,
}

/// A header with a value that it cannot have. An `InvalidArgumentException` of the service.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{header} cannot be {value:?}")]
pub struct HeaderError {
    /// The name.
    pub header: &'static str,
    /// The value, cut when long.
    pub value: String,
}

impl FragmentTimecodeType {
    /// The value of the header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absolute => "ABSOLUTE",
            Self::Relative => "RELATIVE",
        }
    }
}

impl FromStr for FragmentTimecodeType {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        match text {
            "ABSOLUTE" => Ok(Self::Absolute),
            "RELATIVE" => Ok(Self::Relative),
            _ => Err(HeaderError { header: FRAGMENT_TIMECODE_TYPE, value: shown(text) }),
        }
    }
}

impl fmt::Display for FragmentTimecodeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whether a PutMedia request with this value of [`FRAGMENT_ACKNOWLEDGMENT_REQUIRED`] is to be acknowledged.
/// Producers that leave the header out read acks all the same.
pub fn wants_acks(value: Option<&str>) -> Result<bool, HeaderError> {
    match value {
        None | Some("1") => Ok(true),
        Some("0") => Ok(false),
        Some(value) => Err(HeaderError { header: FRAGMENT_ACKNOWLEDGMENT_REQUIRED, value: shown(value) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timecode_type_reads_and_prints() {
        for kind in [FragmentTimecodeType::Absolute, FragmentTimecodeType::Relative] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        let error = "x-amzn-fragment-timecode-type cannot be \"absolute\"";
        assert_eq!("absolute".parse::<FragmentTimecodeType>().unwrap_err().to_string(), error);
    }

    #[test]
    fn acks_are_wanted_unless_refused() {
        assert_eq!([None, Some("1"), Some("0")].map(|value| wants_acks(value).unwrap()), [true, true, false]);
        assert!(wants_acks(Some("maybe")).is_err());
    }
}

//! Instants as the wire writes them.

use std::fmt;
use std::str::FromStr;

use kvs_media::time::Utc;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::decimal::{self, DecimalError};
use crate::text;

/// The first whole millisecond of [`Utc`]: what is before it rounds up, as nobody could read it below.
const FIRST_MILLI: i64 = i64::MIN / 1_000_000;

/// An instant as seconds since the Unix epoch with a decimal fraction: the form of every time in JSON bodies, of
/// the header `x-amzn-producer-start-timestamp` and of the fragment tags.
///
/// Reads from the text itself, exactly to the nanosecond (finer digits are rounded down): plain and exponent form
/// (the service prints Java doubles, `1.720751492346E9`), quoted or not, with unpadded fractions as the plain
/// decimals they are. Writes milliseconds, rounded down: `1720751492.346`, the service's own resolution.
///
/// In JSON it is read with serde_json only, and not below `#[serde(flatten)]` or `#[serde(untagged)]`, whose
/// buffering turns the text into a float first.
///
/// ```
/// use kvs_wire::EpochSeconds;
/// let java: EpochSeconds = serde_json::from_str("1.720751492346E9").unwrap();
/// assert_eq!(java, "1720751492.346".parse().unwrap());
/// assert_eq!(serde_json::to_string(&java).unwrap(), "1720751492.346");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochSeconds(pub Utc);

/// Why a text is not an instant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TimeError {
    /// Not a decimal number.
    #[error("not a number of seconds: {text:?}")]
    Malformed {
        /// What was there, cut when long.
        text: String,
    },
    /// A number beyond the years 1677 to 2262.
    #[error("a time out of range: {text}")]
    OutOfRange {
        /// What was there, cut when long.
        text: String,
    },
}

impl FromStr for EpochSeconds {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        match decimal::scaled(text, 9) {
            Ok(nanos) => Ok(Self(Utc::from_nanos(nanos.steps))),
            Err(DecimalError::Malformed) => Err(TimeError::Malformed { text: text::shown(text) }),
            Err(DecimalError::OutOfRange) => Err(TimeError::OutOfRange { text: text::shown(text) }),
        }
    }
}

impl fmt::Display for EpochSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.millis().max(FIRST_MILLI);
        let sign = if millis < 0 { "-" } else { "" };
        let size = millis.unsigned_abs();
        write!(f, "{sign}{}.{:03}", size / 1_000, size % 1_000)
    }
}

impl From<Utc> for EpochSeconds {
    fn from(instant: Utc) -> Self {
        Self(instant)
    }
}

impl From<EpochSeconds> for Utc {
    fn from(seconds: EpochSeconds) -> Self {
        seconds.0
    }
}

impl Serialize for EpochSeconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EpochSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        text::scalar(&raw).parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nanos(text: &str) -> Result<i64, TimeError> {
        text.parse().map(|EpochSeconds(instant)| instant.nanos())
    }

    #[test]
    fn the_service_s_java_doubles_read_exactly() {
        for (text, millis) in [
            ("1.720751492346E9", 1_720_751_492_346),
            ("1.72075149234E9", 1_720_751_492_340),
            ("1.7207514923E9", 1_720_751_492_300),
            ("1.720751492E9", 1_720_751_492_000),
            ("1.0E-3", 1),
            ("0.0", 0),
        ] {
            let EpochSeconds(read) = serde_json::from_str(text).unwrap();
            assert_eq!(read, Utc::from_millis(millis).unwrap(), "{text}");
        }
    }

    #[test]
    fn an_unpadded_start_header_is_a_plain_decimal() {
        // The C producer writes 7 ms as ".7": the number says 700 ms, and the number is what counts.
        assert_eq!(nanos("1600995182.7"), Ok(1_600_995_182_700_000_000));
        assert_eq!(nanos("1600995182.282"), Ok(1_600_995_182_282_000_000));
        assert_eq!(nanos("1600995182.000000001"), Ok(1_600_995_182_000_000_001));
        assert_eq!(nanos("0"), Ok(0));
    }

    #[test]
    fn a_quoted_time_reads_and_null_is_no_time() {
        let EpochSeconds(read) = serde_json::from_str("\"1537574915.281\"").unwrap();
        assert_eq!(read.millis(), 1_537_574_915_281);
        assert_eq!(serde_json::from_str::<Option<EpochSeconds>>("null").unwrap(), None);
        for json in ["null", "true", "{}", "[1]", "\"\"", "\"2024-01-02T03:04:05Z\""] {
            assert!(serde_json::from_str::<EpochSeconds>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_time_out_of_range_is_an_error() {
        for text in ["9223372037", "-9223372037", "1e300", "253402300799.999"] {
            assert_eq!(nanos(text), Err(TimeError::OutOfRange { text: text.into() }));
        }
        assert_eq!(nanos("soon"), Err(TimeError::Malformed { text: "soon".into() }));
    }

    #[test]
    fn a_time_is_written_with_three_decimals() {
        for (nanos, text) in [
            (1_720_751_492_346_000_000, "1720751492.346"),
            (1_720_751_492_000_000_000, "1720751492.000"),
            (1_600_995_182_007_999_999, "1600995182.007"),
            (0, "0.000"),
            (-1, "-0.001"),
            (-1_500_000_000, "-1.500"),
            (i64::MAX, "9223372036.854"),
            (i64::MIN + 775_808, "-9223372036.854"),
        ] {
            let seconds = EpochSeconds(Utc::from_nanos(nanos));
            assert_eq!(seconds.to_string(), text);
            assert_eq!(serde_json::to_string(&seconds).unwrap(), text);
        }
    }

    #[test]
    fn the_ends_of_the_range_print_so_that_they_read() {
        for nanos in [i64::MIN, i64::MIN + 1, i64::MIN + 775_808, i64::MAX] {
            let EpochSeconds(read) = EpochSeconds(Utc::from_nanos(nanos)).to_string().parse().unwrap();
            assert!(read.nanos().abs_diff(nanos) < 1_000_000);
        }
    }

    #[test]
    fn a_time_reads_through_a_json_value_and_a_reader() {
        let value = serde_json::json!({"at": 1_720_751_492.346_f64});
        let EpochSeconds(read) = serde_json::from_value(value["at"].clone()).unwrap();
        assert_eq!(read.millis(), 1_720_751_492_346);
        let EpochSeconds(read) = serde_json::from_reader(&b" 1.720751492346E9 "[..]).unwrap();
        assert_eq!(read.millis(), 1_720_751_492_346);
    }

    proptest! {
        #[test]
        fn a_millisecond_survives_text_and_json(millis in -9_000_000_000_000_i64..9_000_000_000_000) {
            let seconds = EpochSeconds(Utc::from_millis(millis).unwrap());
            prop_assert_eq!(seconds.to_string().parse(), Ok(seconds));
            let json = serde_json::to_string(&seconds).unwrap();
            prop_assert_eq!(serde_json::from_str::<EpochSeconds>(&json).unwrap(), seconds);
        }

        #[test]
        fn any_json_is_read_or_refused(json in ".{0,60}") {
            let _ = serde_json::from_str::<EpochSeconds>(&json);
        }
    }
}

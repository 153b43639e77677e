//! Times as people say them: RFC 3339, seconds since 1970, or `-10min`.

use std::time::{Duration, SystemTime};

use aws_sdk_kinesisvideo::primitives::{DateTime, DateTimeFormat};
use kvs_media::time::Utc;

use crate::amount;

/// A time, or how long ago it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    At(Utc),
    Ago(Duration),
}

impl Moment {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "a time is such as 2026-11-20T03:23:51Z, 1795144000 (seconds since 1970), -10min or now";
        if text == "now" {
            return Ok(Self::Ago(Duration::ZERO));
        }
        if let Some(span) = text.strip_prefix('-') {
            return amount::span(span).map(Self::Ago).map_err(|_| FORM.into());
        }
        let epoch = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let form = if epoch { DateTimeFormat::EpochSeconds } else { DateTimeFormat::DateTimeWithOffset };
        let time = DateTime::from_str(text, form).map_err(|_| FORM)?;
        let nanos = i64::try_from(time.as_nanos()).map_err(|_| "a time between 1678 and 2262")?;
        Ok(Self::At(Utc::from_nanos(nanos)))
    }

    /// When it is, of now.
    pub(crate) fn utc(self, now: Utc) -> Utc {
        match self {
            Self::At(utc) => utc,
            Self::Ago(span) => now.checked_sub(span).unwrap_or(Utc::EPOCH),
        }
    }
}

/// The system's time.
pub(crate) fn now() -> Utc {
    let nanos = DateTime::from(SystemTime::now()).as_nanos();
    Utc::from_nanos(i64::try_from(nanos).unwrap_or_default())
}

/// A time of AWS's, which has milliseconds but travels as a float.
pub(crate) fn utc(time: DateTime) -> Utc {
    let millis = (time.as_nanos() + 500_000).div_euclid(1_000_000);
    i64::try_from(millis).ok().and_then(Utc::from_millis).unwrap_or_default()
}

/// For AWS.
pub(crate) fn date_time(utc: Utc) -> DateTime {
    DateTime::from_nanos(utc.nanos().into()).unwrap_or(DateTime::from_secs(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_is_said_in_three_ways() {
        let at = |millis| Ok(Moment::At(Utc::from_millis(millis).unwrap()));
        assert_eq!(Moment::parse("2024-01-02T03:04:05Z"), at(1_704_164_645_000));
        assert_eq!(Moment::parse("2024-01-02T03:04:05.25+01:00"), at(1_704_161_045_250));
        assert_eq!(Moment::parse("1704164645.5"), at(1_704_164_645_500));
        assert_eq!(Moment::parse("-10min"), Ok(Moment::Ago(Duration::from_secs(600))));
        assert_eq!(Moment::parse("now"), Ok(Moment::Ago(Duration::ZERO)));
        for text in
            ["", "-", "-10", "10min", "yesterday", "2024-01-02", "2024-13-02T03:04:05Z", "1.2.3", "--1s"]
        {
            assert!(Moment::parse(text).is_err(), "{text}");
        }
        let now = Utc::from_millis(1_000_000).unwrap();
        assert_eq!(Moment::Ago(Duration::from_secs(1)).utc(now).millis(), 999_000);
    }

    proptest! {
        #[test]
        fn times_go_to_aws_and_back(millis in -9_000_000_000_000_i64..9_000_000_000_000, float in -400_000..400_000) {
            let time = Utc::from_millis(millis).unwrap();
            prop_assert_eq!(utc(date_time(time)), time);
            prop_assert_eq!(utc(date_time(Utc::from_nanos(time.nanos() + i64::from(float)))), time);
        }

        #[test]
        fn any_text_is_a_time_or_refused(text in "[0-9TZ:.+-]{0,30}|.{0,20}") {
            let _ = Moment::parse(&text);
        }
    }
}

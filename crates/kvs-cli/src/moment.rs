//! Times: the system's, AWS's, and as arguments.

use std::time::SystemTime;

use aws_sdk_kinesisvideo::primitives::DateTime;
use kvs_media::moment::{Moment, MomentError};
use kvs_media::time::Utc;

/// A time as an argument.
pub(crate) fn parse(text: &str) -> Result<Moment, String> {
    text.parse().map_err(|error: MomentError| error.to_string())
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

    proptest! {
        #[test]
        fn times_go_to_aws_and_back(millis in -9_000_000_000_000_i64..9_000_000_000_000, float in -400_000..400_000) {
            let time = Utc::from_millis(millis).unwrap();
            prop_assert_eq!(utc(date_time(time)), time);
            prop_assert_eq!(utc(date_time(Utc::from_nanos(time.nanos() + i64::from(float)))), time);
        }
    }
}

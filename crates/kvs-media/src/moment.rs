//! Times as people say them: RFC 3339, seconds since 1970, or `-10min`.

use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::time::Utc;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A time, or how long ago it is.
///
/// ```
/// use kvs_media::moment::Moment;
/// use kvs_media::time::Utc;
///
/// let now = Utc::from_millis(1_795_145_031_916).unwrap();
/// let at = |text: &str| text.parse::<Moment>().map(|moment| moment.utc(now).to_string());
/// assert_eq!(at("-1h30min").unwrap(), "2026-11-20T01:53:51.916Z");
/// assert_eq!(at("1795145031.5").unwrap(), "2026-11-20T03:23:51.500Z");
/// assert_eq!(at("2026-11-20T04:23:51+01:00").unwrap(), "2026-11-20T03:23:51.000Z");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This instant.
    At(Utc),
    /// So long before now.
    Ago(Duration),
}

/// Why a text is no time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MomentError {
    /// It is none of the three.
    #[error(
        "a time is such as 2026-11-20T03:23:51Z, 1795144000 (seconds since 1970), -10min or now, and not {0:?}"
    )]
    Form(String),
    /// RFC 3339 without the offset from UTC: nobody knows which time that is.
    #[error("{0:?} does not say of which zone it is: a time in UTC ends in Z")]
    Zone(String),
    /// A month, day, hour, minute or second that there is not.
    #[error("{text:?} is no time: there is no such {field}")]
    Field {
        /// What was given.
        text: String,
        /// What is wrong in it.
        field: &'static str,
    },
    /// Beyond the range of [`Utc`].
    #[error("{0:?} is no time between 1678 and 2262")]
    Range(String),
}

/// Why a text is no span.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a span is a number and ms, s, min, h or days, such as 45min or 1h30min, and not {0:?}")]
pub struct SpanError(String);

impl Moment {
    /// When it is, of now.
    pub fn utc(self, now: Utc) -> Utc {
        match self {
            Self::At(utc) => utc,
            Self::Ago(span) => now.checked_sub(span).unwrap_or(Utc::EPOCH),
        }
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        if text == "now" {
            return Ok(Self::Ago(Duration::ZERO));
        }
        if let Some(ago) = text.strip_prefix('-') {
            return span(ago).map(Self::Ago).map_err(|_| MomentError::Form(shown(text)));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return epoch(text).map(Self::At);
        }
        text.parse().map(Self::At)
    }
}

/// RFC 3339, to the nanosecond; finer digits are cut off.
impl FromStr for Utc {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        let form = || MomentError::Form(shown(text));
        let mut rest = Rest(text.as_bytes());
        let year = rest.digits(4).ok_or_else(form)?;
        rest.one_of(b"-").ok_or_else(form)?;
        let month = rest.digits(2).ok_or_else(form)?;
        rest.one_of(b"-").ok_or_else(form)?;
        let day = rest.digits(2).ok_or_else(form)?;
        rest.one_of(b"Tt ").ok_or_else(form)?;
        let hour = rest.digits(2).ok_or_else(form)?;
        rest.one_of(b":").ok_or_else(form)?;
        let minute = rest.digits(2).ok_or_else(form)?;
        rest.one_of(b":").ok_or_else(form)?;
        let second = rest.digits(2).ok_or_else(form)?;
        let fraction = if rest.one_of(b".").is_some() { rest.fraction().ok_or_else(form)? } else { 0 };
        if rest.0.is_empty() {
            return Err(MomentError::Zone(shown(text)));
        }
        let offset = rest.offset().ok_or_else(form)?;
        let check = |field, good| {
            if good { Ok(()) } else { Err(MomentError::Field { text: shown(text), field }) }
        };
        check("month", (1..=12).contains(&month))?;
        check("day", (1..=days_of_month(year, month)).contains(&day))?;
        check("hour", hour < 24)?;
        check("minute", minute < 60)?;
        // RFC 3339 5.6: a leap second is written as 60.
        check("second", second <= 60)?;
        check("offset", offset.abs() < 86_400)?;
        let seconds =
            days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
        let nanos = i128::from(seconds) * i128::from(NANOS_PER_SECOND) + i128::from(fraction);
        i64::try_from(nanos).map(Self::from_nanos).map_err(|_| MomentError::Range(shown(text)))
    }
}

/// A span from `30s`, `45min`, `24h`, `1h30min` or `1day 12h`.
///
/// # Errors
/// When it is none, or longer than there are seconds.
pub fn span(text: &str) -> Result<Duration, SpanError> {
    let error = || SpanError(shown(text));
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(error());
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(error)?;
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(after.len());
        let (name, after) = after.split_at(letters);
        let unit = unit(name).ok_or_else(error)?;
        let nanos = number.parse::<u64>().ok().and_then(|number| unit.checked_mul(u128::from(number)));
        let part = nanos.and_then(|nanos| {
            let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
            Some(Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).ok()?))
        });
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(error)?;
        rest = after.trim_start();
    }
    Ok(total)
}

/// Nanoseconds of a unit by its name.
fn unit(name: &str) -> Option<u128> {
    const SECOND: u128 = 1_000_000_000;
    Some(match name {
        "ns" | "nsec" => 1,
        "us" | "usec" => 1_000,
        "ms" | "msec" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * SECOND,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600 * SECOND,
        "d" | "day" | "days" => 86_400 * SECOND,
        "w" | "wk" | "wks" | "week" | "weeks" => 7 * 86_400 * SECOND,
        // Of the mean Gregorian year.
        "M" | "month" | "months" => 2_630_016 * SECOND,
        "y" | "yr" | "yrs" | "year" | "years" => 31_557_600 * SECOND,
        _ => return None,
    })
}

/// Seconds since 1970 with a fraction.
fn epoch(text: &str) -> Result<Utc, MomentError> {
    let form = || MomentError::Form(shown(text));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return Err(form());
    }
    let range = || MomentError::Range(shown(text));
    let seconds: i64 = whole.parse().map_err(|_| range())?;
    let fraction = Rest(fraction.as_bytes()).fraction().ok_or_else(form)?;
    let nanos = seconds.checked_mul(NANOS_PER_SECOND).and_then(|nanos| nanos.checked_add(fraction));
    nanos.map(Utc::from_nanos).ok_or_else(range)
}

/// As much of a text as an error repeats.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// What of a text is still to be read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    /// A number of exactly so many digits.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (number, after) = self.0.split_at_checked(count)?;
        self.0 = after;
        number
            .iter()
            .try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    }

    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (byte, after) = self.0.split_first()?;
        bytes.contains(byte).then(|| {
            self.0 = after;
            *byte
        })
    }

    /// At least one decimal of a second, in nanoseconds.
    fn fraction(&mut self) -> Option<i64> {
        let mut nanos = 0;
        let mut worth = NANOS_PER_SECOND;
        let mut any = false;
        while let Some(digit) = self.one_of(b"0123456789") {
            any = true;
            worth /= 10;
            nanos += i64::from(digit - b'0') * worth;
        }
        any.then_some(nanos)
    }

    /// `Z` or `+hh:mm`, to the end, in seconds.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return self.0.is_empty().then_some(0),
        };
        let hours = self.digits(2)?;
        self.one_of(b":")?;
        let minutes = self.digits(2)?;
        (self.0.is_empty() && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
    }
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970, in years that begin with March, so that the leap day comes last: the way back of `Display`.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_is_said_in_three_ways() {
        let at = |nanos| Ok(Moment::At(Utc::from_nanos(nanos)));
        let ago = |millis| Ok(Moment::Ago(Duration::from_millis(millis)));
        for (text, expected) in [
            ("2024-01-02T03:04:05Z", at(1_704_164_645_000_000_000)),
            ("2024-01-02t03:04:05.25+01:00", at(1_704_161_045_250_000_000)),
            ("2026-11-20 03:23:51.9160000019z", at(1_795_145_031_916_000_001)),
            ("1969-12-31T23:59:59.5Z", at(-500_000_000)),
            ("2016-12-31T23:59:60Z", at(1_483_228_800_000_000_000)),
            ("2024-02-29T00:00:00-00:30", at(1_709_166_600_000_000_000)),
            ("1704164645.5", at(1_704_164_645_500_000_000)),
            ("1704164645", at(1_704_164_645_000_000_000)),
            ("0.0000000019", at(1)),
            ("-10min", ago(600_000)),
            ("-1h30min", ago(5_400_000)),
            ("-1h 30min", ago(5_400_000)),
            ("-90s", ago(90_000)),
            ("-500ms", ago(500)),
            ("-0s", ago(0)),
            ("now", ago(0)),
        ] {
            assert_eq!(text.parse::<Moment>(), expected, "{text}");
        }
        let now = Utc::from_millis(1_000_000).unwrap();
        assert_eq!(Moment::Ago(Duration::from_secs(1)).utc(now).millis(), 999_000);
        assert_eq!(Moment::Ago(Duration::MAX).utc(now), Utc::EPOCH);
    }

    #[test]
    fn what_is_no_time_is_refused_and_says_why() {
        for (text, said) in [
            ("", "and not \"\""),
            ("-", "and not \"-\""),
            ("-10", "and not \"-10\""),
            ("10min", "a time is such as"),
            ("yesterday", "a time is such as"),
            ("--1s", "a time is such as"),
            ("+1s", "a time is such as"),
            ("1.2.3", "a time is such as"),
            ("1.", "a time is such as"),
            (".5", "a time is such as"),
            ("2024-01-02", "a time is such as"),
            ("2024-01-02T03:04Z", "a time is such as"),
            ("2024-01-02T03:04:05", "a time in UTC ends in Z"),
            ("2024-01-02T03:04:05.5", "a time in UTC ends in Z"),
            ("2024-01-02T03:04:05.Z", "a time is such as"),
            ("2024-01-02T03:04:05Zulu", "a time is such as"),
            ("2024-01-02T03:04:05+0100", "a time is such as"),
            ("2024-13-02T03:04:05Z", "no such month"),
            ("2023-02-29T03:04:05Z", "no such day"),
            ("2024-01-02T24:04:05Z", "no such hour"),
            ("2024-01-02T03:60:05Z", "no such minute"),
            ("2024-01-02T03:04:61Z", "no such second"),
            ("9999-01-02T03:04:05Z", "between 1678 and 2262"),
            ("99999999999", "between 1678 and 2262"),
            ("99999999999999999999", "between 1678 and 2262"),
        ] {
            let error = text.parse::<Moment>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn spans_have_a_unit() {
        assert_eq!(span("45min"), Ok(Duration::from_secs(45 * 60)));
        assert_eq!(span("1h 30s"), Ok(Duration::from_secs(3_630)));
        assert_eq!(span("10years"), Ok(Duration::from_secs(315_576_000)));
        for text in ["", "45", "-3s", "s", "1x", "1.5h", "99999999999999999999s", "18446744073709551615y"] {
            assert!(span(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_instant_reads_as_it_prints(nanos: i64) {
            prop_assert_eq!(Utc::from_nanos(nanos).to_string().parse(), Ok(Utc::from_nanos(nanos)));
        }

        #[test]
        fn any_text_is_a_time_or_refused(text in "[0-9TZ:.+-]{0,30}|-[0-9a-z ]{0,20}|.{0,20}") {
            let _ = text.parse::<Moment>();
            let _ = span(&text);
        }
    }
}

//! Times as signatures write them: `20240102T030405Z`.

use std::fmt;
use std::time::Duration;

use kvs_media::time::Utc;

/// A whole second of UTC, written in ISO 8601 basic form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(Utc);

impl Timestamp {
    /// The second that an instant lies in.
    pub fn of(instant: Utc) -> Self {
        let past = instant.nanos().rem_euclid(1_000_000_000).unsigned_abs();
        Self(instant.checked_sub(Duration::from_nanos(past)).unwrap_or(instant))
    }

    /// Reads `20240102T030405Z`, and no other form.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once('T')?;
        let time = time.strip_suffix('Z')?;
        let day = days(date)?;
        let (hour, minute, second) = (digits(time, 0, 2)?, digits(time, 2, 4)?, digits(time, 4, 6)?);
        if time.len() != 6 || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let seconds = day.checked_mul(86_400)?.checked_add(hour * 3_600 + minute * 60 + second)?;
        Utc::from_millis(seconds.checked_mul(1_000)?).map(Self)
    }

    /// Reads `20240102` as the first second of that day.
    pub fn parse_date(text: &str) -> Option<Self> {
        Utc::from_millis(days(text)?.checked_mul(86_400_000)?).map(Self)
    }

    /// The instant.
    pub const fn utc(self) -> Utc {
        self.0
    }

    /// Seconds since the Unix epoch.
    pub const fn seconds(self) -> i64 {
        self.0.millis().div_euclid(1_000)
    }

    /// The day alone: `20240102`.
    pub fn date(self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }

    /// The extended form, without a fraction: `2024-01-02T03:04:05Z`.
    pub fn extended(self) -> String {
        let mut text = self.0.to_string();
        text.truncate("2024-01-02T03:04:05".len());
        text.push('Z');
        text
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let seconds = text.split('.').next().unwrap_or_default();
        seconds.split(['-', ':']).try_for_each(|part| f.write_str(part))?;
        f.write_str("Z")
    }
}

/// Days since 1970-01-01 of a date `20240102` that exists.
fn days(text: &str) -> Option<i64> {
    let (year, month, day) = (digits(text, 0, 4)?, digits(text, 4, 6)?, digits(text, 6, 8)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if text.len() != 8 || !(1..=length).contains(&day) {
        return None;
    }
    // In years that begin with March the leap day comes last, and a month's start is a straight line.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468)
}

fn digits(text: &str, from: usize, to: usize) -> Option<i64> {
    let digits = text.get(from..to)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_dates_that_exist_are_read() {
        let read = Timestamp::parse("20240102T030405Z").unwrap();
        assert_eq!(read.utc().millis(), 1_704_164_645_000);
        assert_eq!(read.extended(), "2024-01-02T03:04:05Z");
        assert_eq!(Timestamp::parse_date("19700101").unwrap().utc(), Utc::EPOCH);
        assert!(
            Timestamp::parse("20240229T000000Z").is_some() && Timestamp::parse("20000229T000000Z").is_some()
        );
        for text in [
            "",
            "T",
            "20240102",
            "20240102T030405",
            "20240102T0304Z",
            "20240102T030405.0Z",
            "20240102t030405Z",
            "20230229T000000Z",
            "21000229T000000Z",
            "20241301T000000Z",
            "20240001T000000Z",
            "20240100T000000Z",
            "20240431T000000Z",
            "20240102T240000Z",
            "20240102T006000Z",
            "20240102T000060Z",
            "+0240102T030405Z",
            "202401020T30405Z",
            "202401020T030405Z",
            "00010101T000000Z",
            "99991231T235959Z",
            "2024010é030405ZZ",
            " 20240102T030405Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_timestamp_reads_back_as_it_was_printed(seconds in -9_000_000_000_i64..9_000_000_000) {
            let stamp = Timestamp::of(Utc::from_millis(seconds * 1_000 + 999).unwrap());
            prop_assert_eq!(stamp.utc().millis(), seconds * 1_000);
            prop_assert_eq!(Timestamp::parse(&stamp.to_string()), Some(stamp));
            let midnight = Timestamp::parse_date(&stamp.date()).unwrap();
            prop_assert_eq!(midnight.utc().millis(), seconds.div_euclid(86_400) * 86_400_000);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}|[0-9TZ]{14,18}") {
            if let Some(stamp) = Timestamp::parse(&text) {
                prop_assert_eq!(stamp.to_string(), text);
            }
        }
    }
}

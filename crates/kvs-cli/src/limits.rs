//! `[limits]` of the file of `--config`: every field of the service's limits.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use kvs_service::{Limits, ingest};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use crate::amount;

/// Bytes: a number, or a text such as `12.5MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// A number of things in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count<const LEAST: u64, const MOST: u64>(u64);

/// A size in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bytes<const LEAST: u64, const MOST: u64>(u64);

/// A text such as `45min`: at least so many milliseconds, and no more than can be added to any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span<const LEAST: u64>(Duration);

/// Ten years: times with this added to them are times still.
const LONGEST: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;
const MILLION: u64 = 1_000_000;
const BILLION: u64 = 1_000_000_000;
/// More than any disk or network has.
const PETABYTE: u64 = 1_000_000_000_000_000;
/// What is held in memory for each connection or session.
const GIGABYTE: u64 = 1_000_000_000;

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes or a text such as \"12.5MB\"")
            }

            fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes).map(Size).map_err(|_| E::custom("bytes are never less than none"))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                amount::bytes(text).map(Size).map_err(E::custom)
            }
        }
        from.deserialize_any(Bytes)
    }
}

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Count<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let count = u64::deserialize(from)?;
        within(count, LEAST..=MOST, |number| number.to_string()).map(Self)
    }
}

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Bytes<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Size(bytes) = Size::deserialize(from)?;
        within(bytes, LEAST..=MOST, amount::show_bytes).map(Self)
    }
}

impl<'de, const LEAST: u64> Deserialize<'de> for Span<LEAST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let span = amount::span(&String::deserialize(from)?).map_err(D::Error::custom)?;
        // Rounded up: a little more than the longest is too long, too.
        let millis = span.as_nanos().div_ceil(1_000_000);
        let show = |millis| match millis {
            LONGEST => "10 years".into(),
            millis => humantime::format_duration(Duration::from_millis(millis)).to_string(),
        };
        within(u64::try_from(millis).unwrap_or(u64::MAX), LEAST..=LONGEST, show).map(|_| Self(span))
    }
}

/// The value, when the service lives with it.
fn within<E: Error>(value: u64, range: RangeInclusive<u64>, show: impl Fn(u64) -> String) -> Result<u64, E> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(E::custom(format_args!("at least {} and at most {}", show(*range.start()), show(*range.end()))))
}

/// What a field of the limits is in the file.
trait Written<T> {
    fn value(self) -> T;
}

impl<const LEAST: u64, const MOST: u64> Written<usize> for Count<LEAST, MOST> {
    fn value(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const LEAST: u64, const MOST: u64> Written<u32> for Count<LEAST, MOST> {
    fn value(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

impl<const LEAST: u64, const MOST: u64> Written<u64> for Bytes<LEAST, MOST> {
    fn value(self) -> u64 {
        self.0
    }
}

impl<const LEAST: u64, const MOST: u64> Written<usize> for Bytes<LEAST, MOST> {
    fn value(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const LEAST: u64> Written<Duration> for Span<LEAST> {
    fn value(self) -> Duration {
        self.0
    }
}

/// A table with a key for each field; a field without a key does not compile.
macro_rules! table {
    ($(#[$doc:meta])* $table:ident of $limits:ty { $($field:ident: $type:ty,)* } $(beside $nested:ident: $nested_table:ty)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $table { $($field: Option<$type>,)* $($nested: $nested_table,)? }

        impl $table {
            /// Sets what the file says.
            pub(crate) fn apply(self, limits: &mut $limits) {
                let Self { $($field,)* $($nested,)? } = self;
                $(if let Some(value) = $field { limits.$field = value.value(); })*
                $($nested.apply(&mut limits.$nested);)?
            }

            /// The keys of the table.
            #[cfg(test)]
            pub(crate) fn keys(limits: $limits) -> Vec<&'static str> {
                // Names every field, so that a new one is not forgotten here.
                type Every = $limits;
                let Every { $($field: _,)* $($nested: _,)? } = limits;
                vec![$(stringify!($field),)*]
            }
        }
    };
}

table! {
    /// What clients may do.
    LimitsTable of Limits {
        streams: Count<0, MILLION>,
        control_calls_per_stream: Count<0, BILLION>,
        control_calls: Count<0, BILLION>,
        describe_calls: Count<0, BILLION>,
        put_media_sessions: Count<0, MILLION>,
        replaced_idle: Span<100>,
        put_media_calls: Count<0, BILLION>,
        put_media_bytes: Bytes<1_000, PETABYTE>,
        put_media_fragments: Count<1, BILLION>,
        get_media_readers: Count<0, MILLION>,
        get_media_calls: Count<0, BILLION>,
        get_media_bytes: Bytes<1_000, PETABYTE>,
        get_media_idle: Span<100>,
        get_media_duration: Span<100>,
        fragment_list_readers: Count<0, MILLION>,
        fragment_metadata_points: Count<0, BILLION>,
        fragment_media_points: Count<0, BILLION>,
        playback_calls: Count<0, BILLION>,
        playback_lists: Count<0, BILLION>,
        playback_media: Count<0, BILLION>,
        clip_fragments: Count<1, MILLION>,
        clip_bytes: Bytes<1_000, PETABYTE>,
        unretained: Span<100>,
        unretained_bytes: Bytes<1_000, PETABYTE>,
        unretained_total_bytes: Bytes<1_000, PETABYTE>,
        connections: Count<1, MILLION>,
        connections_per_address: Count<1, MILLION>,
        head_timeout: Span<100>,
        body_timeout: Span<100>,
        body_bytes: Bytes<1_000, GIGABYTE>,
        stall_timeout: Span<100>,
        stop_timeout: Span<0>,
    } beside session: SessionTable
}

table! {
    /// A PutMedia session.
    SessionTable of ingest::Limits {
        fragment_bytes: Bytes<1_000, GIGABYTE>,
        fragment_duration: Span<100>,
        tracks: Count<1, MILLION>,
        tags: Count<0, MILLION>,
        tag_name_bytes: Bytes<0, GIGABYTE>,
        tag_value_bytes: Bytes<0, GIGABYTE>,
        session_duration: Span<100>,
        idle: Span<100>,
        idle_ack: Span<100>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_set() {
        // What is not of a key's type is refused, so one of these three fits each.
        let set = |key: &str| {
            let read = |value: &str| {
                let table: Result<LimitsTable, _> = toml::from_str(&format!("{key} = {value}"));
                table.map(|table| {
                    let mut limits = Limits::default();
                    table.apply(&mut limits);
                    format!("{limits:?}")
                })
            };
            read("2031").or_else(|_| read("'31s'")).unwrap_or_else(|error| panic!("{key}: {error}"))
        };
        let default = format!("{:?}", Limits::default());
        for key in LimitsTable::keys(Limits::default()) {
            assert_ne!(set(key), default, "{key}");
        }
        for key in SessionTable::keys(ingest::Limits::default()) {
            assert_ne!(set(&format!("session.{key}")), default, "session.{key}");
        }
    }

    #[test]
    fn no_value_can_hang_or_end_the_service() {
        let refused = |key: &str, value: &str| {
            let table: Result<LimitsTable, _> = toml::from_str(&format!("{key} = {value}"));
            table.err().map(|error| error.message().to_owned())
        };
        for (key, least, less, most, more, range) in [
            ("connections", "1", "0", "1000000", "1000001", "at least 1 and at most 1000000"),
            ("put_media_calls", "0", "-1", "1000000000", "1000000001", "at least 0 and at most 1000000000"),
            ("body_bytes", "1000", "999", "'1GB'", "1000000001", "at least 1.0 kB and at most 1.0 GB"),
            (
                "session.idle_ack",
                "'100ms'",
                "'99ms'",
                "'3650days'",
                "'3650days 1ns'",
                "at least 100ms and at most 10 years",
            ),
            (
                "stop_timeout",
                "'0s'",
                "'-1s'",
                "'3650days'",
                "'18446744073709551615s'",
                "at least 0s and at most 10 years",
            ),
        ] {
            assert_eq!((refused(key, least), refused(key, most)), (None, None), "{key}");
            assert_eq!(refused(key, more).as_deref(), Some(range), "{key}");
            // Less than nothing is said in other words.
            assert!(refused(key, less).is_some_and(|said| said == range || less.contains('-')), "{key}");
        }
        for key in LimitsTable::keys(Limits::default()) {
            assert!(refused(key, "'18446744073709551615s'").is_some(), "{key}");
            assert!(refused(key, "9223372036854775807").is_some(), "{key}");
        }
        for key in SessionTable::keys(ingest::Limits::default()) {
            let key = format!("session.{key}");
            assert!(refused(&key, "'18446744073709551615s'").is_some(), "{key}");
            assert!(refused(&key, "9223372036854775807").is_some(), "{key}");
        }
    }
}

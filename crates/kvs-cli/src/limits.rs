//! `[limits]` of the file of `--config`: every field of the service's limits.

use std::fmt;
use std::time::Duration;

use kvs_service::{Limits, ingest};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use crate::amount;

/// Bytes: a number, or a text such as `12.5MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// A text such as `45min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span(Duration);

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

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        amount::span(&String::deserialize(from)?).map(Self).map_err(D::Error::custom)
    }
}

/// What a field of the limits is in the file.
trait Written<T> {
    fn value(self) -> T;
}

impl Written<Self> for usize {
    fn value(self) -> Self {
        self
    }
}

impl Written<Self> for u32 {
    fn value(self) -> Self {
        self
    }
}

impl Written<u64> for Size {
    fn value(self) -> u64 {
        self.0
    }
}

impl Written<usize> for Size {
    fn value(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Written<Duration> for Span {
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
        streams: usize,
        control_calls_per_stream: u32,
        control_calls: u32,
        describe_calls: u32,
        put_media_sessions: usize,
        replaced_idle: Span,
        put_media_calls: u32,
        put_media_bytes: Size,
        put_media_fragments: u32,
        get_media_readers: usize,
        get_media_calls: u32,
        get_media_bytes: Size,
        get_media_idle: Span,
        get_media_duration: Span,
        fragment_list_readers: usize,
        fragment_metadata_points: u32,
        fragment_media_points: u32,
        unretained: Span,
        unretained_bytes: Size,
        unretained_total_bytes: Size,
        connections: usize,
        head_timeout: Span,
        body_timeout: Span,
        body_bytes: Size,
        stall_timeout: Span,
        stop_timeout: Span,
    } beside session: SessionTable
}

table! {
    /// A PutMedia session.
    SessionTable of ingest::Limits {
        fragment_bytes: Size,
        fragment_duration: Span,
        tracks: usize,
        tags: usize,
        tag_name_bytes: Size,
        tag_value_bytes: Size,
        session_duration: Span,
        idle: Span,
        idle_ack: Span,
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
            read("31").or_else(|_| read("'31s'")).unwrap_or_else(|error| panic!("{key}: {error}"))
        };
        let default = format!("{:?}", Limits::default());
        for key in LimitsTable::keys(Limits::default()) {
            assert_ne!(set(key), default, "{key}");
        }
        for key in SessionTable::keys(ingest::Limits::default()) {
            assert_ne!(set(&format!("session.{key}")), default, "session.{key}");
        }
    }
}

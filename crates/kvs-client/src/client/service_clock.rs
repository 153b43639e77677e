//! The time as the service has it: signatures are refused that are minutes off (kvs-api 0.4).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_kinesisvideo::primitives::{DateTime, DateTimeFormat};
use aws_smithy_async::time::TimeSource;
use kvs_media::time::Utc;

use crate::clock;

/// Less is not worth a word: a `Date` has whole seconds, and some seconds may pass before it comes. The service bears
/// ten times as much.
const TOLERANCE: Duration = Duration::from_secs(30);

/// The time as the service has it: the machine's, and how far that was off when an answer said so. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceClock(Arc<AtomicI64>);

impl ServiceClock {
    /// Now.
    pub(crate) fn utc(&self) -> Utc {
        Utc::from_nanos(clock::utc().nanos().saturating_add(self.offset()))
    }

    /// How far the service is ahead of the machine, in nanoseconds: what was signed by another offset may be worth
    /// another signature.
    pub(crate) fn offset(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes the `Date` of an answer. True when it says something new.
    pub(crate) fn learn(&self, date: &str) -> bool {
        let Some(date) = read_date(date) else { return false };
        let off = date.nanos().saturating_sub(self.utc().nanos());
        if Duration::from_nanos(off.unsigned_abs()) < TOLERANCE {
            return false;
        }
        let offset = date.nanos().saturating_sub(clock::utc().nanos());
        self.0.store(offset, Ordering::Relaxed);
        tracing::warn!(seconds = offset / 1_000_000_000, "the service's clock is ahead of this machine's by");
        true
    }
}

impl TimeSource for ServiceClock {
    fn now(&self) -> SystemTime {
        system_time(self.utc())
    }
}

/// An HTTP date (RFC 9110 5.6.7).
pub(crate) fn read_date(text: &str) -> Option<Utc> {
    utc(DateTime::from_str(text, DateTimeFormat::HttpDate).ok()?)
}

/// A time of the SDK's.
pub(crate) fn utc(time: DateTime) -> Option<Utc> {
    Utc::from_millis(time.to_millis().ok()?)
}

/// For those who count from 1970 by spans.
pub(crate) fn system_time(time: Utc) -> SystemTime {
    let nanos = Duration::from_nanos(time.nanos().unsigned_abs());
    let moved = if time.nanos() < 0 { UNIX_EPOCH.checked_sub(nanos) } else { UNIX_EPOCH.checked_add(nanos) };
    moved.unwrap_or(UNIX_EPOCH)
}

/// The other way; what is out of range is as far as can be.
pub(crate) fn utc_of(time: SystemTime) -> Utc {
    let nanos = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => Utc::from_nanos(nanos(since)),
        Err(before) => Utc::from_nanos(-nanos(before.duration())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http_date(time: Utc) -> String {
        DateTime::from_millis(time.millis()).fmt(DateTimeFormat::HttpDate).unwrap()
    }

    #[test]
    fn a_clock_that_is_years_off_is_put_right_by_the_date_of_a_refusal() {
        for years in [-50_i64, 50] {
            let service = ServiceClock::default();
            let there = Utc::from_nanos(clock::utc().nanos() + years * 365 * 86_400 * 1_000_000_000);
            assert!(service.learn(&http_date(there)));
            let off = service.utc().nanos() - there.nanos();
            assert!(off.unsigned_abs() < 5_000_000_000, "{off}");
            assert!(!service.learn(&http_date(there)), "it says nothing new");
            assert!(service.learn(&http_date(clock::utc())), "the machine's clock was set");
        }
    }

    #[test]
    fn a_clock_that_is_seconds_off_is_let_alone() {
        let service = ServiceClock::default();
        assert!(!service.learn(&http_date(clock::utc())));
        for nonsense in ["", "yesterday", "Wed, 99 Feb 2019 19:40:29 GMT", "2019-02-06T19:40:29Z"] {
            assert!(!service.learn(nonsense), "{nonsense}");
        }
        assert_eq!(service.offset(), 0);
    }

    #[test]
    fn times_go_there_and_back() {
        for nanos in [0, 1_795_145_664_025_000_000, -1_000_000_001] {
            assert_eq!(utc_of(system_time(Utc::from_nanos(nanos))), Utc::from_nanos(nanos));
        }
    }
}

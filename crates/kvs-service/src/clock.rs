//! The one place where the service reads the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kvs_media::time::{Monotonic, Utc};

use crate::ingest::Moment;

/// The clocks of the machine. `skew` is what a test commands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now() }
    }

    pub(crate) fn monotonic(&self) -> Monotonic {
        Monotonic::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Now, by a calendar that is `skew` milliseconds ahead.
    pub(crate) fn now(&self, skew: i64) -> Moment {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        let utc = Utc::from_nanos(nanos.saturating_add(skew.saturating_mul(1_000_000)));
        Moment { utc, clock: self.monotonic() }
    }

    /// The instant of a time of [`monotonic`](Self::monotonic), for timers.
    pub(crate) fn instant(&self, time: Monotonic) -> Instant {
        self.origin + Duration::from_nanos(time.nanos())
    }
}

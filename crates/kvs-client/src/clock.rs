//! The one place that reads the time.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use kvs_media::time::{Monotonic, Utc};

/// Now, on the clock that never steps.
pub fn monotonic() -> Monotonic {
    static START: OnceLock<Instant> = OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed();
    // Not zero, so that spans before now can be told from no time at all.
    Monotonic::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).saturating_add(1))
}

/// Now, on the wall clock.
pub fn utc() -> Utc {
    let nanos = |span: std::time::Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Utc::from_nanos(nanos(since)),
        Err(before) => Utc::from_nanos(-nanos(before.duration())),
    }
}

//! Any time, scale and span: no arithmetic panics, and a tick never lies after the instant it came from.
#![no_main]

use kvs_media::time::{TimecodeScale, Utc};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (i64, u64)| {
    let (nanos, scale) = input;
    let instant = Utc::from_nanos(nanos);
    let text = instant.to_string();
    assert!(text.ends_with('Z'), "{text}");
    let Some(scale) = TimecodeScale::from_nanos(scale) else { return };
    let tick = scale.floor(instant);
    if let Some(start) = scale.instant(tick) {
        assert!(start <= instant, "{start} is after {instant}");
        assert_eq!(scale.floor(start), tick, "a tick does not survive the round trip");
    }
});

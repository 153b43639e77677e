//! The kinds of time there are, as types that cannot be mixed up.
//!
//! | type | what it is | who makes it |
//! |---|---|---|
//! | [`Utc`] | an instant of the calendar | a wall clock, an RTP sender report, a timecode with its scale |
//! | [`RunningTime`] | a position in a running pipeline | the elements, from segments |
//! | [`Monotonic`] | a reading of a clock that never steps | the tasks, for deadlines |
//! | [`Timecode`] | Matroska ticks, meaningless without a [`TimecodeScale`] | the writer and the reader |
//!
//! A span is a [`std::time::Duration`]. Epochs and scales are known here and nowhere else. Every conversion
//! starts from the absolute time, never from the previous result, so that no rounding accumulates.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

/// Seconds from the NTP era 0 epoch (1900) to the Unix epoch (1970).
const NTP_TO_UNIX_SECONDS: i64 = 2_208_988_800;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_MILLI: i64 = 1_000_000;

/// An instant in UTC: nanoseconds since 1970-01-01T00:00:00Z, without leap seconds. Reaches from 1677 to 2262.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Utc(i64);

impl Utc {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);

    /// From nanoseconds since the Unix epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the Unix epoch; `None` beyond the range of the type.
    pub const fn from_millis(millis: i64) -> Option<Self> {
        match millis.checked_mul(NANOS_PER_MILLI) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// From nanoseconds since the NTP epoch (1900-01-01), as `timestamp/x-ntp` counts them.
    pub fn from_ntp_nanos(nanos: u64) -> Option<Self> {
        i64::try_from(i128::from(nanos) - i128::from(NTP_TO_UNIX_SECONDS) * i128::from(NANOS_PER_SECOND))
            .ok()
            .map(Self)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(NANOS_PER_MILLI)
    }

    /// This instant and `span` later.
    pub fn checked_add(self, span: Duration) -> Option<Self> {
        self.0.checked_add(i64::try_from(span.as_nanos()).ok()?).map(Self)
    }

    /// This instant and `span` earlier.
    pub fn checked_sub(self, span: Duration) -> Option<Self> {
        self.0.checked_sub(i64::try_from(span.as_nanos()).ok()?).map(Self)
    }

    /// This instant moved by a position in a pipeline, forwards or backwards.
    pub const fn shifted(self, by: RunningTime) -> Option<Self> {
        match self.0.checked_add(by.0) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// How long after `earlier` this is; `None` when it is before it.
    pub fn since(self, earlier: Self) -> Option<Duration> {
        span_between(self.0, earlier.0)
    }
}

/// RFC 3339 with as many decimals as the instant needs, at least three: `2026-11-20T03:23:51.916Z`.
impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(NANOS_PER_SECOND);
        let nanos = self.0.rem_euclid(NANOS_PER_SECOND);
        let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Civil date from a day count, in years that begin with March, so that the leap day comes last.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (hour, minute, second) = (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match nanos {
            n if n % 1_000_000 == 0 => write!(f, ".{:03}Z", n / 1_000_000),
            n if n % 1_000 == 0 => write!(f, ".{:06}Z", n / 1_000),
            n => write!(f, ".{n:09}Z"),
        }
    }
}

/// A position in a running pipeline, in nanoseconds. Signed: a decoding time may lie before the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RunningTime(i64);

impl RunningTime {
    /// The start of the pipeline.
    pub const ZERO: Self = Self(0);

    /// From nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start; negative before it.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// This position and `span` later; stays at the end of the range when it would leave it.
    pub fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// This position and `span` earlier; stays at the start of the range when it would leave it.
    pub fn saturating_sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; `None` when it is before it.
    pub fn since(self, earlier: Self) -> Option<Duration> {
        span_between(self.0, earlier.0)
    }
}

/// A reading of a clock that never steps, in nanoseconds since a point that only its maker knows.
/// Pure code compares readings and adds spans to them; it never takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(u64);

impl Monotonic {
    /// From nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's own start.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// This reading and `span` later.
    pub fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A time in a Matroska document: ticks of that document's [`TimecodeScale`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timecode(i64);

impl Timecode {
    /// From ticks.
    pub const fn from_ticks(ticks: i64) -> Self {
        Self(ticks)
    }

    /// The number of ticks.
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// This time moved by `ticks`.
    pub const fn checked_add(self, ticks: i64) -> Option<Self> {
        match self.0.checked_add(ticks) {
            Some(ticks) => Some(Self(ticks)),
            None => None,
        }
    }

    /// The ticks from `base` to this, as a block stores them; `None` beyond a block's 16 bits.
    pub fn block_offset(self, base: Self) -> Option<i16> {
        i16::try_from(self.0.checked_sub(base.0)?).ok()
    }
}

impl fmt::Display for Timecode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many nanoseconds a tick of a document lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimecodeScale(NonZeroU64);

impl TimecodeScale {
    /// One millisecond a tick: Matroska's and the service's default.
    pub const MILLISECOND: Self = Self(NonZeroU64::new(1_000_000).unwrap());

    /// `None` for zero.
    pub const fn from_nanos(nanos: u64) -> Option<Self> {
        match NonZeroU64::new(nanos) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// Nanoseconds a tick.
    pub const fn nanos(self) -> u64 {
        self.0.get()
    }

    /// The last tick at or before `instant`.
    pub fn floor(self, instant: Utc) -> Timecode {
        match i64::try_from(self.nanos()) {
            Ok(scale) => Timecode(instant.0.div_euclid(scale)),
            // A tick longer than the whole range of `Utc`.
            Err(_) => Timecode(if instant.0 < 0 { -1 } else { 0 }),
        }
    }

    /// The instant at which a tick begins; `None` beyond the range of [`Utc`].
    pub fn instant(self, timecode: Timecode) -> Option<Utc> {
        i64::try_from(i128::from(timecode.0) * i128::from(self.nanos())).ok().map(Utc)
    }

    /// The instant at which a tick begins that is counted from `start`, as in a session of relative timecodes; `None`
    /// beyond the range of [`Utc`].
    pub fn instant_from(self, start: Utc, timecode: Timecode) -> Option<Utc> {
        let nanos = i128::from(start.0) + i128::from(timecode.0) * i128::from(self.nanos());
        i64::try_from(nanos).ok().map(Utc)
    }

    /// Whole ticks in a span, rounded down.
    pub fn ticks_in(self, span: Duration) -> i64 {
        i64::try_from(span.as_nanos() / u128::from(self.nanos())).unwrap_or(i64::MAX)
    }

    /// How long `ticks` last; `None` when negative or beyond the range.
    pub fn span(self, ticks: i64) -> Option<Duration> {
        let nanos = u128::try_from(ticks).ok()? * u128::from(self.nanos());
        u64::try_from(nanos).ok().map(Duration::from_nanos)
    }
}

impl Default for TimecodeScale {
    fn default() -> Self {
        Self::MILLISECOND
    }
}

fn span_between(later: i64, earlier: i64) -> Option<Duration> {
    u64::try_from(i128::from(later) - i128::from(earlier)).ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_instant_prints_as_rfc_3339() {
        let rows = [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_145_031_916_000_000, "2026-11-20T03:23:51.916Z"),
            (951_782_399_999_999_999, "2000-02-28T23:59:59.999999999Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000Z"),
            (-1_000, "1969-12-31T23:59:59.999999Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
            (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
        ];
        for (nanos, text) in rows {
            assert_eq!(Utc::from_nanos(nanos).to_string(), text);
        }
    }

    #[test]
    fn ntp_and_unix_agree_on_the_epoch() {
        assert_eq!(Utc::from_ntp_nanos(2_208_988_800_000_000_000), Some(Utc::EPOCH));
        assert_eq!(Utc::from_ntp_nanos(0), Some(Utc::from_nanos(-2_208_988_800_000_000_000)));
        assert_eq!(Utc::from_ntp_nanos(u64::MAX), None);
    }

    #[test]
    fn relative_times_count_from_their_start_both_ways() {
        let start = Utc::from_millis(1_700_000_000_000).unwrap();
        let scale = TimecodeScale::MILLISECOND;
        assert_eq!(scale.instant_from(start, Timecode::from_ticks(-33)), Utc::from_millis(1_699_999_999_967));
        assert_eq!(scale.instant_from(Utc::EPOCH, Timecode::from_ticks(i64::MAX)), None);
        assert_eq!(start.shifted(RunningTime::from_nanos(-33_000_000)), Utc::from_millis(1_699_999_999_967));
        assert_eq!(Utc::from_nanos(i64::MAX).shifted(RunningTime::from_nanos(1)), None);
    }

    #[test]
    fn a_block_offset_is_checked_and_not_wrapped() {
        let base = Timecode::from_ticks(100);
        assert_eq!(Timecode::from_ticks(100 + 32_767).block_offset(base), Some(i16::MAX));
        assert_eq!(Timecode::from_ticks(100 + 32_768).block_offset(base), None);
        assert_eq!(Timecode::from_ticks(100 - 32_768).block_offset(base), Some(i16::MIN));
        assert_eq!(Timecode::from_ticks(100 - 32_769).block_offset(base), None);
        assert_eq!(Timecode::from_ticks(i64::MAX).block_offset(Timecode::from_ticks(-1)), None);
    }

    proptest! {
        #[test]
        fn flooring_to_a_tick_loses_less_than_a_tick(nanos in any::<i64>(), scale in 1_u64..=10_000_000_000) {
            let scale = TimecodeScale::from_nanos(scale).unwrap();
            let tick = scale.floor(Utc::from_nanos(nanos));
            let start = i128::from(tick.ticks()) * i128::from(scale.nanos());
            prop_assert!(start <= i128::from(nanos));
            prop_assert!(i128::from(nanos) - start < i128::from(scale.nanos()));
            if let Some(instant) = scale.instant(tick) {
                prop_assert_eq!(scale.floor(instant), tick);
            }
        }

        #[test]
        fn no_time_arithmetic_panics(a in any::<i64>(), b in any::<i64>(), scale in any::<u64>(), span in any::<u64>()) {
            let span = Duration::from_nanos(span);
            let (x, y) = (Utc::from_nanos(a), Utc::from_nanos(b));
            let _ = (x.since(y), x.checked_add(span), x.checked_sub(span), x.to_string(), x.millis());
            let (x, y) = (RunningTime::from_nanos(a), RunningTime::from_nanos(b));
            let _ = (x.since(y), x.saturating_add(span), x.saturating_sub(span));
            let (x, y) = (Timecode::from_ticks(a), Timecode::from_ticks(b));
            let _ = (x.block_offset(y), x.checked_add(b));
            if let Some(scale) = TimecodeScale::from_nanos(scale) {
                let _ = (scale.floor(Utc::from_nanos(a)), scale.instant(x), scale.ticks_in(span), scale.span(a));
            }
        }
    }
}

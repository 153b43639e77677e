//! How often something may happen, and how fast bytes may flow.
//!
//! Both are token buckets that hold one second's worth. What is kept is not how full a bucket is but when it will be
//! full again: that needs no clock of its own, and a bucket that is full is worth nothing and forgotten.

use std::collections::HashMap;
use std::hash::Hash;

use kvs_media::time::Monotonic;

const SECOND: u64 = 1_000_000_000;

/// How often things may happen, each at a rate of its own.
///
/// Within any `t` seconds, a key is let through at most `limit * (t + 1)` times; what is refused costs nothing, so that
/// whoever asks too often still gets the limit. There are no more buckets than keys that were let through within the
/// last two seconds.
#[derive(Debug)]
pub(crate) struct Rates<K> {
    /// When each bucket is full again, in nanoseconds.
    full_at: HashMap<K, u64>,
    /// When full ones were last thrown away.
    swept_at: u64,
}

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Self { full_at: HashMap::new(), swept_at: 0 }
    }
}

impl<K: Copy + Eq + Hash> Rates<K> {
    /// Whether it may happen once more now, or what costs as much as `times` of it. A limit of zero lets nothing
    /// through, and what costs more than a second's worth waits for a whole second's.
    pub(crate) fn take(&mut self, key: K, limit_per_second: u32, times: u32, now: Monotonic) -> bool {
        let now = now.nanos();
        // Once a second: that costs no more than what was let through since the last time.
        if now.saturating_sub(self.swept_at) >= SECOND {
            self.swept_at = now;
            self.full_at.retain(|_, full_at| *full_at > now);
            self.full_at.shrink_to(2 * self.full_at.len());
        }
        let limit = u64::from(limit_per_second);
        if limit == 0 {
            return false;
        }
        // Rounded up, and the bucket with it: never faster, and a whole second's worth at once.
        let once = SECOND.div_ceil(limit);
        let cost = once.saturating_mul(u64::from(times).min(limit));
        let full_at = self.full_at.get(&key).copied().unwrap_or(0).max(now).saturating_add(cost);
        if full_at - now > once.saturating_mul(limit) {
            return false;
        }
        self.full_at.insert(key, full_at);
        true
    }
}

/// How fast bytes may flow, on one connection.
///
/// Bytes are spent when they are there, so that a pause comes after them: within any `t` seconds at most
/// `bytes_per_second * (t + 1)` are spent, and the last piece.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    bytes_per_second: u64,
    /// When the bucket is full again, in parts of a nanosecond, of which there are as many as bytes in a second: so
    /// nothing is rounded, and the smallest pieces flow as fast as large ones.
    full_at: u128,
}

impl Pace {
    /// So many bytes a second; at least one.
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), full_at: 0 }
    }

    /// So many bytes flow now. When to go on, if not at once.
    pub(crate) fn spend(&mut self, bytes: u64, now: Monotonic) -> Option<Monotonic> {
        let parts = u128::from(self.bytes_per_second);
        let cost = u128::from(bytes) * u128::from(SECOND);
        let now_in_parts = u128::from(now.nanos()) * parts;
        self.full_at = self.full_at.max(now_in_parts).saturating_add(cost);
        let go_on = self.full_at.saturating_sub(u128::from(SECOND) * parts).div_ceil(parts);
        let go_on = u64::try_from(go_on).unwrap_or(u64::MAX);
        (go_on > now.nanos()).then(|| Monotonic::from_nanos(go_on))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanos: u64) -> Monotonic {
        Monotonic::from_nanos(nanos)
    }

    #[test]
    fn a_seconds_worth_goes_at_once_and_then_the_limit_whatever_is_asked() {
        for limit in [1, 2, 3, 5, 7, 50, 300, 1_000_003] {
            let mut rates = Rates::default();
            let start = 17 * SECOND;
            let burst = (0..limit + 10).filter(|_| rates.take('a', limit, 1, at(start))).count();
            assert_eq!(burst, limit as usize);
            // Somebody who asks a hundred times as often as is allowed gets what is allowed.
            let asked = 100 * u64::from(limit.min(300));
            let let_through = (1..=asked)
                .filter(|n| rates.take('a', limit, 1, at(start + n * 10 * SECOND / asked)))
                .count();
            let allowed = usize::try_from((10 * u64::from(limit)).min(asked)).unwrap();
            assert!(allowed - let_through <= 1, "{limit}: {let_through}");
            assert!(rates.take('b', limit, 1, at(start)), "another has a bucket of its own");
        }
    }

    #[test]
    fn a_limit_that_divides_no_second_is_not_exceeded_either() {
        let (mut rates, limit) = (Rates::default(), 1_000_003);
        let times = std::iter::repeat_n(0, limit as usize).chain((0..SECOND).step_by(999));
        let let_through = times.filter(|now| rates.take((), limit, 1, at(SECOND + now))).count();
        assert!(let_through <= 2 * limit as usize, "{let_through}");
    }

    #[test]
    fn what_costs_more_takes_more_and_never_more_than_there_is() {
        let mut rates = Rates::default();
        assert!(rates.take(1, 100, 60, at(SECOND)) && !rates.take(1, 100, 60, at(SECOND)));
        assert!(rates.take(1, 100, 40, at(SECOND)));
        assert!(!rates.take(1, 100, 1_000, at(2 * SECOND - 1)) && rates.take(1, 100, 1_000, at(2 * SECOND)));
    }

    #[test]
    fn a_limit_of_zero_lets_nothing_through_and_keeps_nothing() {
        let mut rates = Rates::default();
        assert!(!rates.take(1, 0, 1, at(5 * SECOND)));
        assert!(rates.full_at.is_empty());
        // The end of time is no border case worth more than not to panic.
        let _ = rates.take(1, u32::MAX, 1, at(u64::MAX));
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let mut rates = Rates::default();
        for n in 0..100_000_u64 {
            // A thousand strangers a second, each once: those of the last second are remembered.
            assert!(rates.take(n, 1, 1, at(n * SECOND / 1000)));
            assert!(rates.full_at.len() <= 2 * 1000, "{n}: {}", rates.full_at.len());
        }
        assert!(rates.take(0, 1, 1, at(102 * SECOND)));
        assert!(rates.full_at.len() == 1 && rates.full_at.capacity() < 100, "{rates:?}");
        assert!(!rates.take(0, 1, 1, at(103 * SECOND - 1)), "a bucket that is not full is kept");
    }

    #[test]
    fn bytes_flow_at_their_pace_after_a_second_of_it() {
        let mut pace = Pace::new(1_000);
        assert_eq!(pace.spend(1_000, at(0)), None);
        assert_eq!(pace.spend(500, at(0)), Some(at(SECOND / 2)));
        assert_eq!(pace.spend(0, at(SECOND / 2)), None);
        assert_eq!(pace.spend(1, at(SECOND / 2)), Some(at(SECOND / 2 + 1_000_000)));
        // A pause fills it again, and no more than to the brim.
        assert_eq!(pace.spend(1_000, at(100 * SECOND)), None);
        assert_eq!(pace.spend(1, at(100 * SECOND)), Some(at(100 * SECOND + 1_000_000)));
        assert!(Pace::new(0).spend(u64::MAX, at(u64::MAX)).is_none());
    }

    #[test]
    fn the_smallest_pieces_flow_as_fast_as_large_ones() {
        let (mut small, mut large) = (Pace::new(3_000_000_007), Pace::new(3_000_000_007));
        let small = (0..1_000_000).fold(None, |_, _| small.spend(7_000, at(0)));
        assert_eq!(small, large.spend(7_000_000_000, at(0)));
    }

    proptest! {
        #[test]
        fn no_window_lets_more_through_than_its_limit(
            limit in prop_oneof![1..20_u32, 1..2_000_u32],
            steps in proptest::collection::vec(prop_oneof![0..1_000_u64, 0..SECOND / 10, 0..3 * SECOND], 1..400),
        ) {
            let mut rates = Rates::default();
            let (mut now, mut granted) = (0, Vec::new());
            for step in steps {
                now += step;
                if rates.take((), limit, 1, at(now)) {
                    granted.push(now);
                }
            }
            for (first, from) in granted.iter().enumerate() {
                for (count, to) in (1_u128..).zip(&granted[first..]) {
                    let allowed = u128::from(limit) * u128::from(to - from + SECOND);
                    prop_assert!(count * u128::from(SECOND) <= allowed, "{count} within {} ns", to - from);
                }
            }
        }

        #[test]
        fn whoever_is_refused_is_let_through_a_turn_after_the_last(
            limit in 1..2_000_u32,
            steps in proptest::collection::vec(prop_oneof![0..1_000_u64, 0..SECOND / 10], 1..200),
        ) {
            let mut rates = Rates::default();
            let turn = SECOND.div_ceil(u64::from(limit));
            let (mut now, mut last) = (0, None);
            for step in steps {
                now += step;
                if rates.take((), limit, 1, at(now)) {
                    last = Some(now);
                } else {
                    prop_assert!(last.is_some_and(|last| now < last + turn));
                }
            }
        }

        #[test]
        fn a_pace_is_never_exceeded_by_more_than_the_last_piece_and_never_wasted(
            rate in prop_oneof![1..100_u64, 1_000..100_000_000_u64],
            pieces in proptest::collection::vec((0..3_u64, 0..1_000_000_u64, 0..2 * SECOND), 1..100),
        ) {
            let mut pace = Pace::new(rate);
            let (mut now, mut spent): (u64, Vec<(u64, u64)>) = (0, Vec::new());
            for (kind, bytes, idle) in pieces {
                now += if kind == 0 { idle } else { 0 };
                let go_on = pace.spend(bytes, at(now));
                spent.push((now, bytes));
                // Not a nanosecond longer than the stretch that needs longest at this rate, and no shorter.
                let needed = (0..spent.len()).map(|first| {
                    let bytes: u64 = spent[first..].iter().map(|(_, bytes)| bytes).sum();
                    let time = (u128::from(bytes) * u128::from(SECOND)).div_ceil(u128::from(rate));
                    (u128::from(spent[first].0) + time).saturating_sub(u128::from(SECOND))
                });
                let needed = u64::try_from(needed.max().unwrap()).unwrap();
                prop_assert_eq!(go_on.map(Monotonic::nanos), Some(needed).filter(|needed| *needed > now));
                if let Some(go_on) = go_on {
                    now = go_on.nanos();
                }
            }
            for (first, (from, _)) in spent.iter().enumerate() {
                let mut sum = 0_u128;
                for (to, bytes) in &spent[first..] {
                    let allowed = u128::from(rate) * u128::from(to - from + SECOND);
                    prop_assert!(sum * u128::from(SECOND) <= allowed, "{sum} bytes within {} ns", to - from);
                    sum += u128::from(*bytes);
                }
            }
        }
    }
}

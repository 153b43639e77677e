//! How long to wait before the next attempt.

use std::time::Duration;

/// The first attempt after a success comes at once, the next after so long.
const FIRST: Duration = Duration::from_millis(100);

/// No attempt waits for longer, chance included: a path that heals is used again within ten seconds.
const LONGEST: Duration = Duration::from_millis(8_000);

/// Somebody has to do something before it can work. Seldom, and still no longer than fifteen seconds, in which nothing
/// would be on its way that could.
const AFTER_HELP: Duration = Duration::from_secs(12);

/// Waits that double up to a cap, each a quarter longer or shorter by chance, so that many clients of one service do
/// not come back at the same moment.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    failures: u32,
    chance: u64,
}

impl Backoff {
    /// After a success. `seed` makes the chance.
    pub(crate) const fn new(seed: u64) -> Self {
        Self { failures: 0, chance: seed }
    }

    /// How long to wait after one more failure.
    pub(crate) fn fail(&mut self) -> Duration {
        let failures = self.failures;
        self.failures = failures.saturating_add(1);
        match failures {
            0 => Duration::ZERO,
            // Doubled seven times it is beyond the cap.
            doublings => self.spread((FIRST * (1 << (doublings - 1).min(7))).min(LONGEST)),
        }
    }

    /// How long to wait when somebody else has to act first.
    pub(crate) fn fail_until_helped(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.spread(AFTER_HELP)
    }

    /// It works again.
    pub(crate) const fn succeed(&mut self) {
        self.failures = 0;
    }

    /// Failures since it last worked.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// A quarter less, up to a quarter more.
    pub(crate) fn spread(&mut self, span: Duration) -> Duration {
        span * 3 / 4 + span.mul_f64(self.fraction() / 2.0)
    }

    /// Evenly from 0 to 1: the generator SplitMix64.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what the fraction has")]
    const fn fraction(&mut self) -> f64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.chance;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_cap_below_ten_seconds_and_begin_anew_after_a_success() {
        for seed in 0..200 {
            let mut backoff = Backoff::new(seed);
            assert_eq!(backoff.fail(), Duration::ZERO);
            let mut middle = FIRST;
            for _ in 0..40 {
                let wait = backoff.fail();
                assert!(wait >= middle * 3 / 4 && wait <= middle * 5 / 4, "{wait:?} {middle:?}");
                assert!(wait <= Duration::from_secs(10));
                middle = (middle * 2).min(LONGEST);
            }
            backoff.succeed();
            assert_eq!((backoff.fail(), backoff.failures()), (Duration::ZERO, 1));
        }
    }

    #[test]
    fn who_waits_for_help_looks_every_fifteen_seconds_at_the_most() {
        let mut backoff = Backoff::new(5);
        for _ in 0..100 {
            let wait = backoff.fail_until_helped();
            assert!(wait >= Duration::from_secs(9) && wait <= Duration::from_secs(15), "{wait:?}");
        }
    }

    #[test]
    fn two_clients_do_not_wait_equally_long() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..8).map(|_| backoff.fail()).collect::<Vec<_>>()
        };
        assert_ne!(waits(1), waits(2));
        assert_eq!(waits(3), waits(3));
    }
}

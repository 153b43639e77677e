//! Whether who signs may make a kind of call.

use std::time::Duration;

use kvs_media::time::Monotonic;

use crate::report::Signer;

/// Who could read, and is denied it without a break for so long, is denied it for good. A change of policies or of a role
/// takes some seconds to be everywhere.
const FOR_GOOD: Duration = Duration::from_secs(60);

/// How one kind of call was answered so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    /// It came about, once.
    worked: bool,
    /// Since when it is refused, and how often, for who signs.
    denied: Option<(Monotonic, u32)>,
}

/// What is done about a refusal for who signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// Again, with what credentials there are then.
    Again,
    /// The same, but it takes somebody who acts first.
    Helpless,
    /// No later attempt can succeed.
    Final,
}

impl Standing {
    /// It came about.
    pub(super) const fn answered(&mut self) {
        *self = Self { worked: true, denied: None };
    }

    /// It was refused for who signs.
    pub(super) fn denied(&mut self, signer: Signer, now: Monotonic) -> Denial {
        if signer == Signer::Expired {
            return Denial::Again;
        }
        let Some((since, times)) = &mut self.denied else {
            self.denied = Some((now, 1));
            return Denial::Again;
        };
        *times = times.saturating_add(1);
        match self.worked {
            // Newer ones were tried, and once more.
            false => Denial::Final,
            true if signer == Signer::Denied && now.saturating_since(*since) >= FOR_GOOD => Denial::Final,
            true => Denial::Helpless,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn who_never_could_is_refused_the_second_time_and_who_could_after_a_minute_without_a_break() {
        let mut stranger = Standing::default();
        assert_eq!(
            [0, 0].map(|now| stranger.denied(Signer::Denied, at(now))),
            [Denial::Again, Denial::Final]
        );
        let mut reader = Standing::default();
        reader.answered();
        let verdicts = [100, 101, 159, 160].map(|now| reader.denied(Signer::Denied, at(now)));
        assert_eq!(verdicts, [Denial::Again, Denial::Helpless, Denial::Helpless, Denial::Final]);
        reader.answered();
        assert_eq!(
            [161, 163].map(|now| reader.denied(Signer::Denied, at(now))),
            [Denial::Again, Denial::Helpless]
        );
    }

    #[test]
    fn credentials_that_have_expired_may_be_renewed_at_any_time() {
        let mut stranger = Standing::default();
        for now in [0, 1, 2, 100_000] {
            assert_eq!(stranger.denied(Signer::Expired, at(now)), Denial::Again);
        }
    }

    #[test]
    fn who_signs_wrongly_from_the_beginning_is_told_and_later_may_be_put_right() {
        let mut stranger = Standing::default();
        let verdicts = [0, 1].map(|now| stranger.denied(Signer::Unproven, at(now)));
        assert_eq!(verdicts, [Denial::Again, Denial::Final]);
        let mut reader = Standing::default();
        reader.answered();
        let verdicts = [0, 1, 100_000].map(|now| reader.denied(Signer::Unproven, at(now)));
        assert_eq!(verdicts, [Denial::Again, Denial::Helpless, Denial::Helpless]);
    }
}

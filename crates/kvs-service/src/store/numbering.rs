//! The numbers that fragments of a stream get.

use std::sync::{Arc, Mutex, PoisonError};

use kvs_media::time::Utc;

use super::number::Number;

/// Numbers of a new session begin at the next multiple (kvs-api 7.1).
const SESSION_STRIDE: u64 = 1000;
/// More numbers than a stream ever takes in a second: five sessions may begin, and each skips a thousand.
const RATE: u64 = 10_000;
/// What a tail has room for.
const TAIL_BITS: u32 = 28;

/// Gives out the numbers of one stream. Clones give out of the same numbers, so that overlapping sessions of a stream
/// never get one twice.
#[derive(Clone, Debug)]
pub struct Numbering(Arc<Mutex<Last>>);

#[derive(Debug)]
struct Last {
    number: Option<Number>,
    /// Whether this run has given out a number yet.
    resumed: bool,
    /// When another run may have given out the first.
    since: Option<Utc>,
}

impl Numbering {
    /// Goes on behind what is stored, and behind what was given out by another run: that is not known, for what was
    /// never stored has numbers too, but there were fewer of them than `RATE` a second since `since`.
    pub(crate) fn behind(number: Option<Number>, since: Option<Utc>) -> Self {
        Self(Arc::new(Mutex::new(Last { number, resumed: false, since })))
    }

    /// The number of a fragment whose first byte came `now`; `tail` is chance.
    ///
    /// Numbers and their server times never go back, whatever sessions overlap and wherever the clock steps: a clock
    /// that was set back gives the last time again until it has caught up.
    pub fn next(&self, now: Utc, tail: u32, new_session: bool) -> Number {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // After a start in any case: what was given to fragments that were never finished is not given again.
        let new_session = !std::mem::replace(&mut last.resumed, true) || new_session;
        // Once in a run, and rounded up to where a session begins.
        let elapsed = last.since.take().map(|since| now.since(since).unwrap_or_default().as_millis());
        let floor = elapsed.map(|elapsed| {
            let rounds = u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_mul(RATE / 1000);
            (rounds / SESSION_STRIDE * SESSION_STRIDE).saturating_add(RATE).saturating_add(1)
        });
        let sequence = match last.number {
            None => 1,
            Some(last) if new_session => {
                (last.sequence / SESSION_STRIDE + 1).saturating_mul(SESSION_STRIDE).saturating_add(1)
            }
            Some(last) => last.sequence.saturating_add(1),
        };
        let sequence = sequence.max(floor.unwrap_or(0));
        let now = u64::try_from(now.millis()).unwrap_or(0);
        let server_ms = last.number.map_or(now, |last| last.server_ms.max(now));
        let number = Number { sequence, server_ms, tail: tail & ((1 << TAIL_BITS) - 1) };
        last.number = Some(number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utc(millis: i64) -> Utc {
        Utc::from_millis(millis).unwrap()
    }

    #[test]
    fn a_run_begins_behind_what_another_may_have_given_out() {
        let numbering = Numbering::behind(None, Some(utc(0)));
        let next = |now, new| numbering.next(utc(now), 0, new).sequence;
        // Five sessions a second for a hundred seconds are half of that.
        assert_eq!(next(100_000, true), 1_010_001);
        assert_eq!((next(100_000, false), next(900_000, true)), (1_010_002, 1_011_001));
    }

    #[test]
    fn a_stream_begins_at_1_and_a_session_at_the_next_thousand() {
        let numbering = Numbering::behind(None, None);
        let next = |now, new| numbering.clone().next(utc(now), 1 << 28 | 1, new);
        assert_eq!(next(5_000, true), Number { sequence: 1, server_ms: 5_000, tail: 1 });
        assert_eq!(next(6_000, true).sequence, 1001);
        // The older session goes on, and the clock was set back.
        assert_eq!(next(4_000, false), Number { sequence: 1002, server_ms: 6_000, tail: 1 });
        assert_eq!(next(-1, true), Number { sequence: 2001, server_ms: 6_000, tail: 1 });
    }

    #[test]
    fn what_was_given_before_a_start_is_not_given_again() {
        let last = Number { sequence: 1003, server_ms: 7_000, tail: 9 };
        let numbering = Numbering::behind(Some(last), None);
        assert_eq!(numbering.next(utc(1), 0, false), Number { sequence: 2001, server_ms: 7_000, tail: 0 });
        assert_eq!(numbering.next(utc(1), 0, false).sequence, 2002);
    }

    #[test]
    fn sessions_in_many_threads_get_no_number_twice() {
        let numbering = Numbering::behind(None, None);
        let sessions: Vec<_> = (0..4)
            .map(|_| {
                let numbering = numbering.clone();
                std::thread::spawn(move || {
                    (0..500).map(|n| numbering.next(utc(n), 0, n == 0).sequence).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut all: Vec<_> = sessions.into_iter().flat_map(|session| session.join().unwrap()).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2000);
    }

    proptest! {
        #[test]
        fn numbers_and_their_times_never_go_back(
            last in proptest::option::of((0..u64::MAX - 2000, 0..1_u64 << 50)),
            calls in proptest::collection::vec((-5_000..1_i64 << 42, any::<u32>(), any::<bool>()), 1..50),
        ) {
            let mut last = last.map(|(sequence, server_ms)| Number { sequence, server_ms, tail: 3 });
            let numbering = Numbering::behind(last, None);
            for (now, tail, new) in calls {
                let number = numbering.next(utc(now), tail, new);
                let behind = last.is_none_or(|last| {
                    let further = number.sequence > last.sequence || number.sequence == u64::MAX;
                    further && number.server_ms >= last.server_ms
                });
                prop_assert!(behind && number.tail < 1 << 28);
                prop_assert!(i128::from(number.server_ms) >= i128::from(now));
                last = Some(number);
            }
        }
    }
}

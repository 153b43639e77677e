//! Credentials that are fetched once for all who need them, and again before they expire.

use std::time::Duration;

use aws_credential_types::Credentials;
use kvs_media::time::{Monotonic, Utc};
use tokio::sync::Mutex;

use super::CredentialsError;
use super::source::{Source, Stamp};
use crate::client::context::Context;
use crate::client::service_clock::utc_of;
use crate::clock;

/// Newer ones are fetched so long before the old expire, or in the last quarter of their life if that is shorter.
const AHEAD: Duration = Duration::from_secs(5 * 60);
/// A refusal is no reason to ask again and again: so long after an attempt its result stands.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);
/// The same when there are none: every sink that wants them has a back-off of its own.
const PAUSE: Duration = Duration::from_secs(1);

/// Credentials that are fetched once for all who need them, and again before they expire.
#[derive(Debug)]
pub(crate) struct KeptCredentials {
    source: Source,
    /// Held while they are fetched, so that the others wait for that one result.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: Option<Kept>,
    attempt: Option<Attempt>,
}

/// The last one.
#[derive(Debug)]
struct Attempt {
    ended: Monotonic,
    failure: Option<CredentialsError>,
    stamp: Stamp,
}

#[derive(Clone, Debug)]
struct Kept {
    credentials: Credentials,
    /// By the service's clock; `None`: they do not expire as far as is known.
    due: Option<Utc>,
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Monotonic,
    renew: bool,
}

/// How it stands when it is one's turn.
#[derive(Clone, Copy, Debug)]
struct Now {
    monotonic: Monotonic,
    utc: Utc,
    /// The files that they are from are others than they were.
    changed: bool,
}

impl KeptCredentials {
    pub(crate) fn of(source: Source) -> Self {
        Self { source, state: Mutex::default() }
    }

    /// Those there are; newer ones when they are due, when their file has changed, or when `renew` says that the
    /// service has refused them.
    pub(crate) async fn get(&self, context: &Context, renew: bool) -> Result<Credentials, CredentialsError> {
        let asked = Asked { at: clock::monotonic(), renew };
        let mut state = self.state.lock().await;
        let stamp = self.source.stamp(context).await;
        let now = Now {
            monotonic: clock::monotonic(),
            utc: context.clock.utc(),
            changed: state.attempt.as_ref().is_some_and(|attempt| attempt.stamp != stamp),
        };
        if let Some(answer) = state.answer(asked, now) {
            return answer;
        }
        let fetched = self.source.fetch(context).await;
        state.take(fetched, stamp, context.clock.utc(), clock::monotonic(), renew)
    }
}

impl State {
    /// What is answered without an attempt; `None` when there has to be one.
    fn answer(&self, asked: Asked, now: Now) -> Option<Result<Credentials, CredentialsError>> {
        let attempt = self.attempt.as_ref()?;
        let known = || match (&self.kept, &attempt.failure) {
            // Without others, those that the service has refused are none.
            (Some(kept), Some(_)) if kept.is_good(now.utc) && !asked.renew => Ok(kept.credentials.clone()),
            (_, Some(failure)) => Err(failure.clone()),
            (Some(kept), None) => Ok(kept.credentials.clone()),
            (None, None) => Err(CredentialsError::Unavailable("nobody was asked".to_owned())),
        };
        // One attempt is for all who waited for it.
        if attempt.ended >= asked.at {
            return Some(known());
        }
        if now.changed {
            return None;
        }
        let age = now.monotonic.saturating_since(attempt.ended);
        let good = self.kept.as_ref().filter(|kept| kept.is_good(now.utc));
        let stands = match good {
            _ if asked.renew => age < RENEWAL_PAUSE,
            Some(kept) => age < PAUSE || kept.due.is_none_or(|due| now.utc < due),
            None => age < PAUSE,
        };
        stands.then(known)
    }

    /// Takes what an attempt brought.
    fn take(
        &mut self,
        fetched: Result<Credentials, CredentialsError>,
        stamp: Stamp,
        utc: Utc,
        ended: Monotonic,
        renew: bool,
    ) -> Result<Credentials, CredentialsError> {
        match fetched {
            Ok(credentials) => {
                let due = credentials.expiry().map(|expiry| due(utc_of(expiry), utc));
                self.kept = Some(Kept { credentials: credentials.clone(), due });
                self.attempt = Some(Attempt { ended, failure: None, stamp });
                Ok(credentials)
            }
            Err(error) => {
                let error = if self.kept.is_some() { error.passing() } else { error };
                self.attempt = Some(Attempt { ended, failure: Some(error.clone()), stamp });
                match &self.kept {
                    Some(kept) if !renew && kept.is_good(utc) => {
                        tracing::warn!(%error, "the credentials that there are go on");
                        Ok(kept.credentials.clone())
                    }
                    _ => Err(error),
                }
            }
        }
    }
}

impl Kept {
    fn is_good(&self, now: Utc) -> bool {
        self.credentials.expiry().is_none_or(|expiry| utc_of(expiry) > now)
    }
}

/// When those that expire then are to be replaced.
pub(crate) fn due(expiry: Utc, now: Utc) -> Utc {
    let left = expiry.since(now).unwrap_or_default();
    expiry.checked_sub(AHEAD.min(left / 4)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Monotonic = Monotonic::from_nanos(1_000_000_000_000);

    fn mono(seconds: u64) -> Monotonic {
        START.saturating_add(Duration::from_secs(seconds))
    }

    fn utc(seconds: u64) -> Utc {
        Utc::from_millis(1_795_145_664_000).unwrap().checked_add(Duration::from_secs(seconds)).unwrap()
    }

    fn keys(id: &str, expiry: Option<u64>) -> Credentials {
        let expiry = expiry.map(|seconds| crate::client::service_clock::system_time(utc(seconds)));
        Credentials::new(id, "secret", None, expiry, "test")
    }

    fn now(seconds: u64) -> Now {
        Now { monotonic: mono(seconds), utc: utc(seconds), changed: false }
    }

    fn asks(state: &State, seconds: u64, renew: bool) -> Option<Result<String, CredentialsError>> {
        let asked = Asked { at: mono(seconds), renew };
        let answer = state.answer(asked, now(seconds))?;
        Some(answer.map(|credentials| credentials.access_key_id().to_owned()))
    }

    fn take(
        state: &mut State,
        seconds: u64,
        fetched: Result<Credentials, CredentialsError>,
        renew: bool,
    ) -> bool {
        state.take(fetched, Stamp::default(), utc(seconds), mono(seconds), renew).is_ok()
    }

    fn down() -> CredentialsError {
        CredentialsError::Unavailable("down".to_owned())
    }

    #[test]
    fn credentials_are_replaced_in_the_last_minutes_of_an_hour_and_in_the_last_quarter_of_a_minute() {
        assert_eq!(due(utc(3_600), utc(0)), utc(3_300));
        assert_eq!(due(utc(60), utc(0)), utc(45));
        assert_eq!(due(utc(0), utc(10)), utc(0));
        let mut state = State::default();
        assert_eq!(asks(&state, 0, false), None);
        assert!(take(&mut state, 0, Ok(keys("one", Some(60))), false));
        assert_eq!(asks(&state, 44, false), Some(Ok("one".to_owned())));
        assert_eq!(asks(&state, 45, false), None);
        assert!(take(&mut state, 45, Ok(keys("two", Some(105))), false));
        assert_eq!(asks(&state, 46, false), Some(Ok("two".to_owned())));
    }

    #[test]
    fn credentials_that_are_good_go_on_while_newer_ones_cannot_be_had() {
        let mut state = State::default();
        take(&mut state, 0, Ok(keys("one", Some(60))), false);
        assert!(take(&mut state, 50, Err(down()), false), "the old ones");
        assert_eq!(asks(&state, 50, false), Some(Ok("one".to_owned())), "that was tried just now");
        assert_eq!(asks(&state, 52, false), None);
        assert!(!take(&mut state, 61, Err(down()), false), "they have expired");
        assert_eq!(asks(&state, 61, false), Some(Err(down())));
        assert_eq!(asks(&state, 63, false), None);
    }

    #[test]
    fn a_refusal_makes_one_attempt_every_few_seconds() {
        let mut state = State::default();
        take(&mut state, 0, Ok(keys("one", None)), false);
        assert_eq!(asks(&state, 1, true), Some(Ok("one".to_owned())), "they are new");
        assert_eq!(asks(&state, 6, true), None);
        assert!(!take(&mut state, 6, Err(down()), true), "the refused ones are none");
        assert_eq!(asks(&state, 8, true), Some(Err(down())));
        assert_eq!(asks(&state, 8, false), Some(Ok("one".to_owned())));
        assert_eq!(asks(&state, 12, true), None);
        take(&mut state, 12, Ok(keys("two", None)), true);
        assert_eq!(asks(&state, 13, true), Some(Ok("two".to_owned())));
    }

    #[test]
    fn one_attempt_answers_all_who_waited_for_it() {
        let mut state = State::default();
        for result in [Err(down()), Ok(keys("one", None))] {
            let ok = take(&mut state, 100, result, false);
            for renew in [false, true] {
                let waited = Asked { at: mono(1), renew };
                // However long ago it ended.
                assert_eq!(state.answer(waited, now(200)).unwrap().is_ok(), ok);
            }
        }
    }

    #[test]
    fn a_file_that_has_changed_is_reason_enough() {
        let mut state = State::default();
        take(&mut state, 0, Ok(keys("one", None)), false);
        for (seconds, renew) in [(2, false), (2, true), (100, false)] {
            let asked = Asked { at: mono(seconds), renew };
            assert!(state.answer(asked, Now { changed: true, ..now(seconds) }).is_none());
        }
        assert_eq!(asks(&state, 100, false), Some(Ok("one".to_owned())));
    }

    #[test]
    fn whoever_had_credentials_once_is_not_told_that_there_are_none_at_all() {
        let none = || Err(CredentialsError::None("no file".to_owned()));
        let mut state = State::default();
        take(&mut state, 0, none(), false);
        assert_eq!(asks(&state, 0, false), Some(Err(CredentialsError::None("no file".to_owned()))));
        take(&mut state, 2, Ok(keys("one", Some(10))), false);
        take(&mut state, 11, none(), false);
        let later = Err(CredentialsError::Unavailable("no file".to_owned()));
        assert_eq!(asks(&state, 11, false), Some(later));
    }
}

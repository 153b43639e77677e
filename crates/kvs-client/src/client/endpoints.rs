//! Where the data of streams go and come from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kvs_media::time::Monotonic;
use kvs_wire::limits::PUT_MEDIA_ROTATION;
use kvs_wire::{ApiName, StreamName};

use super::Client;
use super::error::CallError;
use super::url::ServiceUrl;
use crate::clock;

/// What is known of the data endpoints of streams.
#[derive(Debug, Default)]
pub(super) struct DataEndpoints(Mutex<HashMap<(StreamName, ApiName), Arc<Entry>>>);

/// One of them. Held while it is asked for, so that all who want it wait for that one answer.
#[derive(Debug, Default)]
struct Entry(tokio::sync::Mutex<Option<Known>>);

/// An answer, and when it came.
#[derive(Clone, Debug)]
struct Known {
    answer: Result<ServiceUrl, CallError>,
    at: Monotonic,
}

impl Known {
    /// Whether it answers who asked then: one call is for all who waited for it, and what it found holds for a while.
    fn answers(&self, asked: Monotonic, now: Monotonic) -> bool {
        self.at >= asked || (self.answer.is_ok() && now.saturating_since(self.at) < PUT_MEDIA_ROTATION)
    }
}

impl DataEndpoints {
    fn entry(&self, stream: &StreamName, api: ApiName) -> Arc<Entry> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (stream.clone(), api);
        if let Some(entry) = entries.get(&key) {
            return Arc::clone(entry);
        }
        // Those of streams that nobody has asked for in a while are no use.
        let now = clock::monotonic();
        entries.retain(|_, entry| {
            let unused = Arc::strong_count(entry) == 1;
            let old =
                || entry.0.try_lock().is_ok_and(|known| !known.as_ref().is_some_and(|k| k.answers(now, now)));
            !(unused && old())
        });
        Arc::clone(entries.entry(key).or_default())
    }

    fn forget(&self, stream: &StreamName, api: ApiName) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Who waits at this moment gets what was asked for before.
        entries.remove(&(stream.clone(), api));
    }
}

impl Client {
    /// Where an API serves a stream: asked once, and kept for 40 minutes.
    ///
    /// # Errors
    /// When the service does not say.
    pub async fn data_endpoint(&self, stream: &StreamName, api: ApiName) -> Result<ServiceUrl, CallError> {
        let asked = clock::monotonic();
        let entry = self.endpoints.entry(stream, api);
        let mut known = entry.0.lock().await;
        if let Some(known) = known.as_ref().filter(|known| known.answers(asked, clock::monotonic())) {
            return known.answer.clone();
        }
        let answer = self.ask_endpoint(stream, api).await;
        *known = Some(Known { answer: answer.clone(), at: clock::monotonic() });
        answer
    }

    /// The endpoint has failed: it is asked for again when it is needed.
    pub fn forget_data_endpoint(&self, stream: &StreamName, api: ApiName) {
        self.endpoints.forget(stream, api);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_answer_holds_for_forty_minutes_and_a_failure_for_those_who_waited() {
        let at = Monotonic::from_nanos(1_000_000_000);
        let later = |seconds| at.saturating_add(Duration::from_secs(seconds));
        let url = ServiceUrl::parse("endpoint", "http://localhost").unwrap();
        let answer = Known { answer: Ok(url), at };
        assert!(answer.answers(later(2_399), later(2_399)) && !answer.answers(later(2_400), later(2_400)));
        let failure = Known { answer: Err(SettingsOf::text()), at };
        assert!(failure.answers(at, later(100)) && !failure.answers(later(1), later(1)));
    }

    struct SettingsOf;

    impl SettingsOf {
        fn text() -> CallError {
            super::super::SettingsError::text("x", "y").into()
        }
    }
}

//! What is happening in a stream at this moment: fragments that are coming in, or that are in memory only.
//!
//! A producer's call pushes bytes into a [`Growing`] fragment; readers follow it at their own pace. A fragment leaves
//! [`Live`] when the store lists it, so that a reader who looks here first and in the store next misses none. What was
//! handed over to the store is read back from there, so that an open fragment takes no more memory than the blocks
//! that are on their way.

mod growing;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kvs_media::time::Monotonic;
use tokio::sync::watch;

pub(crate) use growing::{Completed, Growing, Opened, Part};

use crate::store::Number;

/// The fragments of a stream that the store does not list, or not yet.
#[derive(Debug)]
pub(crate) struct Live {
    fragments: Mutex<Fragments>,
    /// Moves with everything that happens.
    tick: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Fragments {
    /// In the order of their numbers.
    all: VecDeque<Arc<Growing>>,
    /// The number that was begun last, wherever its fragment is by now.
    last: Option<Number>,
    /// What those cost that are complete and not on their way into the store.
    kept: u64,
}

/// How much of a stream that keeps nothing stays in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    pub(crate) age: Duration,
    pub(crate) bytes: u64,
}

impl Fragments {
    fn oldest(&self) -> Option<Monotonic> {
        let oldest = self.all.front().filter(|oldest| !oldest.opened().stored)?;
        oldest.completed().map(|completed| completed.at)
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.all.pop_front() {
            self.kept = self.kept.saturating_sub(oldest.cost());
        }
    }
}

impl Live {
    pub(crate) fn new() -> Self {
        Self { fragments: Mutex::default(), tick: watch::Sender::default() }
    }

    /// A fragment begins; readers see it from here on.
    pub(crate) fn begin(&self, opened: Opened) -> Arc<Growing> {
        let mut fragments = self.fragments();
        let growing = Arc::new(Growing::new(opened, fragments.last));
        let number = growing.number();
        // Two sessions may begin at the same moment.
        let at = fragments.all.partition_point(|other| other.number() < number);
        fragments.all.insert(at, Arc::clone(&growing));
        fragments.last = fragments.last.max(Some(number));
        growing
    }

    /// A fragment is listed by the store, or it will never be there.
    pub(crate) fn remove(&self, number: Number) {
        let mut fragments = self.fragments();
        if let Ok(at) = fragments.all.binary_search_by_key(&number, |growing| growing.number()) {
            fragments.all.remove(at);
        }
    }

    /// A fragment is complete, and stays in memory.
    pub(crate) fn keep(&self, growing: &Growing, completed: Completed) {
        let mut fragments = self.fragments();
        growing.complete(completed);
        fragments.kept = fragments.kept.saturating_add(growing.cost());
    }

    /// Wakes whoever waits for something new.
    pub(crate) fn wake(&self) {
        self.tick.send_modify(|tick| *tick = tick.wrapping_add(1));
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        *self.fragments() = Fragments::default();
        self.wake();
    }

    /// To wait for something new.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.tick.subscribe()
    }

    /// The first fragment here behind a number.
    pub(crate) fn after(&self, number: Option<Number>) -> Option<Arc<Growing>> {
        let fragments = self.fragments();
        let at = fragments.all.partition_point(|growing| Some(growing.number()) <= number);
        fragments.all.get(at).cloned()
    }

    /// The newest fragment here.
    pub(crate) fn newest(&self) -> Option<Arc<Growing>> {
        self.fragments().all.back().cloned()
    }

    /// The newest number there ever was.
    pub(crate) fn last(&self) -> Option<Number> {
        self.fragments().last
    }

    /// All of them, in order.
    pub(crate) fn all(&self) -> Vec<Arc<Growing>> {
        self.fragments().all.iter().cloned().collect()
    }

    /// Lets the oldest of those go that are kept in memory, until what is left is young and small enough. Says what is
    /// left.
    pub(crate) fn forget_old(&self, keep: Keep, now: Monotonic) -> u64 {
        let mut fragments = self.fragments();
        while let Some(oldest) = fragments.oldest()
            && (fragments.kept > keep.bytes || now.saturating_since(oldest) >= keep.age)
        {
            fragments.forget_oldest();
        }
        fragments.kept
    }

    /// When the oldest of those was complete.
    pub(crate) fn oldest(&self) -> Option<Monotonic> {
        self.fragments().oldest()
    }

    /// Lets the oldest of those go. Says what is left.
    pub(crate) fn forget_oldest(&self) -> u64 {
        let mut fragments = self.fragments();
        if fragments.oldest().is_some() {
            fragments.forget_oldest();
        }
        fragments.kept
    }

    fn fragments(&self) -> MutexGuard<'_, Fragments> {
        self.fragments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use kvs_media::time::Utc;

    fn begin(live: &Live, sequence: u64, stored: bool) -> Arc<Growing> {
        let number = Number { sequence, server_ms: 1, tail: 0 };
        let growing = live.begin(Opened {
            number,
            wire_number: number.to_wire().unwrap(),
            server_time: Utc::EPOCH,
            producer_time: Utc::EPOCH,
            header: Bytes::new(),
            tags: Bytes::new(),
            begun: Monotonic::default(),
            stored,
        });
        growing.push(Bytes::from_static(&[7; 1000]));
        growing
    }

    fn completed(seconds: u64) -> Completed {
        Completed { length: Duration::ZERO, frames: 1, at: Monotonic::from_nanos(seconds * 1_000_000_000) }
    }

    #[test]
    fn what_is_only_in_memory_goes_by_age_and_by_size_and_what_is_being_stored_stays() {
        let live = Live::new();
        let keep = |age: u64, bytes: u64| Keep { age: Duration::from_secs(age), bytes };
        let now = completed(10).at;
        for sequence in 0..10 {
            let growing = begin(&live, sequence, false);
            live.keep(&growing, completed(sequence));
        }
        let cost = live.newest().unwrap().cost();
        assert_eq!(live.forget_old(keep(8, u64::MAX), now), 7 * cost);
        assert_eq!(live.forget_old(keep(100, 3 * cost), now), 3 * cost);
        assert_eq!(live.after(None).unwrap().number().sequence, 7);
        // One that is open, or on its way into the store, is nobody's to forget.
        let (open, stored) = (begin(&live, 10, false), begin(&live, 11, true));
        stored.complete(completed(11));
        assert_eq!(live.forget_old(keep(0, 0), now), 0);
        let left: Vec<_> = live.all().iter().map(|growing| growing.number()).collect();
        assert_eq!(left, [open.number(), stored.number()]);
        live.remove(stored.number());
        assert_eq!(live.newest().unwrap().number(), open.number());
    }

    #[test]
    fn pieces_become_blocks_and_read_the_same() {
        let live = Live::new();
        let growing = begin(&live, 1, false);
        let mut sent = vec![7; 1000];
        for piece in 0..40_u8 {
            let bytes = vec![piece; 9_000];
            sent.extend_from_slice(&bytes);
            if growing.push(bytes.into()) {
                let (_, block) = growing.take_block(false).unwrap();
                assert_eq!(block.len() % crate::store::BLOCK_BYTES, 0);
            }
        }
        growing.take_block(true).unwrap();
        assert!(growing.take_block(true).is_none());
        let (mut at, mut read) = (0, Vec::new());
        while let Part::Bytes(bytes) = growing.part(at) {
            at += u64::try_from(bytes.len()).unwrap();
            read.extend_from_slice(&bytes);
        }
        assert!(read == sent && matches!(growing.part(at), Part::Pending));
        growing.complete(completed(1));
        assert!(matches!(growing.part(at), Part::End(_)));
    }
}

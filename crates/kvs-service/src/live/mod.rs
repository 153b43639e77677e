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
}

/// How much of a stream that keeps nothing stays in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    pub(crate) age: Duration,
    pub(crate) bytes: u64,
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
        self.fragments().all.retain(|growing| growing.number() != number);
    }

    /// Wakes whoever waits for something new.
    pub(crate) fn wake(&self) {
        self.tick.send_modify(|tick| *tick = tick.wrapping_add(1));
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.fragments().all.clear();
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

    /// Lets the oldest complete fragments go, until what is left is young and small enough. Says how many bytes are
    /// left of those that are complete.
    pub(crate) fn forget_old(&self, keep: Keep, now: Monotonic) -> u64 {
        let mut fragments = self.fragments();
        let mut bytes: u64 = fragments
            .all
            .iter()
            .filter(|growing| growing.completed().is_some())
            .map(|growing| growing.len())
            .sum();
        fragments.all.retain(|growing| {
            let Some(completed) = growing.completed() else { return true };
            let stays = bytes <= keep.bytes && now.saturating_since(completed.at) < keep.age;
            if !stays {
                bytes = bytes.saturating_sub(growing.len());
            }
            stays
        });
        bytes
    }

    fn fragments(&self) -> MutexGuard<'_, Fragments> {
        self.fragments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What waits to be taken: bounded by bytes, filled by the task, emptied by a streaming thread.
//!
//! The one who takes takes a batch under one lock, and is woken only when he waits. The one who fills is woken when half
//! of the room is free again, so that a slow taker costs few wake-ups.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

use super::item::{Item, Next};
use super::stats::Stats;
use crate::report::Failure;

/// What an item costs beside its payload.
const ITEM: usize = 160;
/// Items that are taken at a time.
const BATCH: usize = 64;

/// Between the task and who takes.
#[derive(Debug)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    /// What was taken from it under one lock, and not handed out yet.
    batch: Mutex<VecDeque<Item>>,
    /// Interrupted or closed: what is in the batch is not handed out.
    halted: AtomicBool,
    /// Something came, or an interruption, or the end.
    came: Condvar,
    /// Wakes the task: room came, or the end.
    waker: AtomicWaker,
    most: usize,
}

#[derive(Debug)]
struct Inner {
    items: VecDeque<Item>,
    bytes: usize,
    /// So many wait.
    waiting: usize,
    /// The task waits for room.
    full: bool,
    interrupted: bool,
    /// Nothing more comes, and why.
    end: Option<End>,
    /// Nobody takes any more.
    closed: bool,
    stats: Stats,
}

#[derive(Clone, Debug)]
pub(super) enum End {
    Range,
    Failed(Failure),
}

fn cost(item: &Item) -> usize {
    match item {
        Item::Frame(frame) => ITEM.saturating_add(frame.payload.len()),
        _ => ITEM,
    }
}

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        let inner = Inner {
            items: VecDeque::new(),
            bytes: 0,
            waiting: 0,
            full: false,
            interrupted: false,
            end: None,
            closed: false,
            stats: Stats::default(),
        };
        Self {
            inner: Mutex::new(inner),
            batch: Mutex::default(),
            halted: AtomicBool::new(false),
            came: Condvar::new(),
            waker: AtomicWaker::new(),
            most: most.max(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in it is left half done by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes next, waited for no longer than `wait`.
    pub(super) fn next(&self, wait: Duration) -> Next {
        let mut batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.halted.load(Ordering::Acquire)
            && let Some(item) = batch.pop_front()
        {
            return Next::Item(item);
        }
        let mut until = None;
        let mut inner = self.lock();
        loop {
            if inner.interrupted {
                return Next::Interrupted;
            }
            if inner.closed {
                return Next::End;
            }
            if let Some(item) = inner.items.pop_front() {
                let mut freed = cost(&item);
                let more = inner.items.len().min(BATCH);
                let (mut count, enough) = (0, self.most / 8);
                for item in inner.items.iter().take(more) {
                    if freed >= enough {
                        break;
                    }
                    freed = freed.saturating_add(cost(item));
                    count += 1;
                }
                batch.extend(inner.items.drain(..count));
                inner.bytes = inner.bytes.saturating_sub(freed);
                let room = inner.full && inner.bytes <= self.most / 2;
                if room {
                    inner.full = false;
                }
                drop(inner);
                if room {
                    self.waker.wake();
                }
                return Next::Item(item);
            }
            match &inner.end {
                Some(End::Range) => return Next::End,
                Some(End::Failed(failure)) => return Next::Failed(failure.clone()),
                None => {}
            }
            let now = Instant::now();
            let until = *until.get_or_insert(now.checked_add(wait));
            let left = until.map_or(Duration::from_secs(3600), |until| until.saturating_duration_since(now));
            if left.is_zero() {
                return Next::Nothing;
            }
            inner.waiting += 1;
            let waited = self.came.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
            inner.waiting -= 1;
        }
    }

    /// Makes who waits return, and everybody who would wait, until it is taken back.
    pub(super) fn interrupt(&self, interrupted: bool) {
        let mut inner = self.lock();
        inner.interrupted = interrupted;
        self.halted.store(interrupted || inner.closed, Ordering::Release);
        drop(inner);
        self.came.notify_all();
    }

    /// Puts items in, all of `items`, and what is counted.
    pub(super) fn push(&self, items: &mut Vec<Item>, stats: Stats) {
        let mut inner = self.lock();
        inner.stats = stats;
        if items.is_empty() || inner.closed {
            items.clear();
            return;
        }
        inner.bytes = items.iter().map(cost).fold(inner.bytes, usize::saturating_add);
        inner.items.extend(items.drain(..));
        let wake = inner.waiting > 0;
        drop(inner);
        if wake {
            self.came.notify_all();
        }
    }

    /// Ready when something more may be put in, and when nobody takes any more.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        let mut inner = self.lock();
        inner.full = inner.bytes >= self.most || (inner.full && inner.bytes > self.most / 2);
        if inner.full && !inner.closed { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Nothing more comes.
    pub(super) fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.came.notify_all();
    }

    /// Nobody takes any more.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        self.halted.store(true, Ordering::Release);
        inner.bytes = 0;
        let items = mem::take(&mut inner.items);
        drop(inner);
        self.came.notify_all();
        self.waker.wake();
        drop(items);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub(super) fn stats(&self) -> Stats {
        let inner = self.lock();
        let held = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Stats { bytes_held: held(inner.bytes), items_held: held(inner.items.len()), ..inner.stats }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures_util::task::{ArcWake, waker};
    use kvs_media::TrackNumber;
    use kvs_media::time::Utc;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::super::item::Frame;

    const LONG: Duration = Duration::from_secs(30);

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl ArcWake for Woken {
        fn wake_by_ref(woken: &Arc<Self>) {
            woken.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn frame(id: i64, size: usize) -> Item {
        Item::Frame(Frame {
            track: TrackNumber(1),
            time: Utc::from_nanos(id),
            key: false,
            discardable: false,
            invisible: false,
            duration: None,
            payload: Bytes::from(vec![0; size]),
        })
    }

    fn id(next: Next) -> Option<i64> {
        if let Next::Item(Item::Frame(frame)) = next { Some(frame.time.nanos()) } else { None }
    }

    #[test]
    fn the_one_who_fills_waits_for_half_of_the_room_and_is_woken_once() {
        let queue = Queue::new(16_000);
        let woken = Arc::new(Woken::default());
        let waker = waker(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        assert!(queue.poll_room(&mut cx).is_ready());
        queue.push(&mut (0..16).map(|id| frame(id, 1_000 - ITEM)).collect(), Stats::default());
        assert!(queue.poll_room(&mut cx).is_pending());
        assert_eq!(queue.stats().bytes_held, 16_000);
        let mut taken = 0;
        while woken.0.load(Ordering::SeqCst) == 0 {
            assert_eq!(id(queue.next(Duration::ZERO)), Some(taken));
            taken += 1;
        }
        assert!((6..=8).contains(&taken), "{taken}");
        assert!(queue.poll_room(&mut cx).is_ready());
        assert!((taken..16).all(|expected| id(queue.next(Duration::ZERO)) == Some(expected)));
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(matches!(queue.next(Duration::ZERO), Next::Nothing));
        assert_eq!(queue.stats().bytes_held, 0);
    }

    #[test]
    fn one_item_that_is_larger_than_the_room_goes_through() {
        let queue = Queue::new(10);
        let woken = Arc::new(Woken::default());
        let waker = waker(woken);
        let mut cx = Context::from_waker(&waker);
        queue.push(&mut vec![frame(1, 100_000)], Stats::default());
        assert!(queue.poll_room(&mut cx).is_pending());
        assert_eq!(id(queue.next(LONG)), Some(1));
        assert!(queue.poll_room(&mut cx).is_ready());
    }

    #[test]
    fn who_waits_is_woken_by_what_comes_by_an_interruption_and_by_the_end() {
        let queue = Queue::new(1_000);
        let then = |act: &(dyn Fn() + Sync)| {
            std::thread::scope(|scope| {
                let waits = scope.spawn(|| queue.next(LONG));
                while queue.lock().waiting == 0 {
                    std::thread::yield_now();
                }
                act();
                waits.join().unwrap()
            })
        };
        assert_eq!(id(then(&|| queue.push(&mut vec![frame(7, 1)], Stats::default()))), Some(7));
        assert!(matches!(then(&|| queue.interrupt(true)), Next::Interrupted));
        queue.push(&mut vec![frame(8, 1)], Stats::default());
        assert!(matches!(queue.next(LONG), Next::Interrupted));
        queue.interrupt(false);
        assert_eq!(id(queue.next(LONG)), Some(8));
        assert!(matches!(then(&|| queue.end(End::Range)), Next::End));
        assert!(matches!(queue.next(LONG), Next::End));
    }

    #[test]
    fn the_end_comes_behind_what_is_there_and_a_stop_before() {
        let queue = Queue::new(1_000);
        queue.push(&mut vec![frame(1, 1), frame(2, 1)], Stats::default());
        queue.end(End::Range);
        assert_eq!(id(queue.next(LONG)), Some(1));
        queue.close();
        assert!(matches!(queue.next(LONG), Next::End));
        queue.push(&mut vec![frame(3, 1)], Stats::default());
        assert_eq!(queue.stats().items_held, 0);
    }
}

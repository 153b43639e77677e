//! A stream that is there, and what goes on in it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kvs_media::time::Monotonic;
use kvs_wire::{FragmentNumber, StreamArn, StreamName};
use tokio::sync::mpsc;

use crate::control;
use crate::live::Live;
use crate::metrics::StreamMetrics;
use crate::seats::Seats;
use crate::store::{AppendError, Number, StreamId};

/// What all calls on a stream share.
#[derive(Debug)]
pub(crate) struct ActiveStream {
    pub(crate) arn: StreamArn,
    /// Its name in the store.
    pub(crate) id: StreamId,
    retention_hours: AtomicU32,
    deleted: AtomicBool,
    /// The sessions that producers have on it.
    producers: Mutex<Vec<(u64, mpsc::UnboundedSender<Notice>)>>,
    /// Held from the number of a fragment to its beginning, so that readers see them begin in the order of their numbers.
    order: Mutex<()>,
    /// Fragments that broke in the middle: whoever comes again goes on behind them.
    broken: Mutex<HashSet<Number>>,
    /// Bytes that it has in memory only.
    pub(crate) unretained: AtomicU64,
    pub(crate) live: Live,
    pub(crate) metrics: Arc<StreamMetrics>,
    pub(crate) readers: Seats,
    pub(crate) list_readers: Seats,
}

/// What a producer's session is told from outside.
#[derive(Clone, Debug)]
pub(crate) enum Notice {
    /// A fragment of it that was complete at a time is stored, or cannot be.
    Stored(FragmentNumber, Monotonic, Result<(), AppendError>),
    /// The stream is gone.
    Deleted,
    /// The producer has begun another session: this one is over as soon as it falls silent.
    Replaced,
    /// The service stops: end with the fragment that is open.
    Stop,
}

/// A producer's place at a stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct Producing {
    stream: Arc<ActiveStream>,
    id: u64,
}

impl ActiveStream {
    pub(crate) fn new(stream: &control::Stream, id: StreamId, metrics: Arc<StreamMetrics>) -> Self {
        Self {
            arn: stream.arn.clone(),
            id,
            retention_hours: AtomicU32::new(stream.retention_hours),
            deleted: AtomicBool::new(false),
            producers: Mutex::default(),
            order: Mutex::default(),
            broken: Mutex::default(),
            unretained: AtomicU64::new(0),
            live: Live::new(),
            metrics,
            readers: Seats::default(),
            list_readers: Seats::default(),
        }
    }

    pub(crate) fn name(&self) -> &StreamName {
        self.arn.name()
    }

    /// Whether what comes in is kept.
    pub(crate) fn persists(&self) -> bool {
        self.retention_hours.load(Ordering::Relaxed) > 0
    }

    /// The retention was changed. Says whether it is shorter now.
    pub(crate) fn set_retention(&self, hours: u32) -> bool {
        self.retention_hours.swap(hours, Ordering::Relaxed) > hours
    }

    /// One producer's piece at a time gets its numbers.
    pub(crate) fn in_order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fragment could be read up to somewhere in its middle.
    pub(crate) fn set_broken(&self, number: Number) {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
    }

    pub(crate) fn is_broken(&self, number: Number) -> bool {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).contains(&number)
    }

    /// The stream is gone, and everybody who is at it learns it.
    pub(crate) fn delete(&self) {
        self.deleted.store(true, Ordering::Release);
        self.tell_all(&Notice::Deleted);
        self.live.clear();
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// A producer begins a session, unless there are as many as may be.
    pub(crate) fn produce(
        self: &Arc<Self>,
        most: usize,
        notices: mpsc::UnboundedSender<Notice>,
    ) -> Option<Producing> {
        let mut producers = self.producers();
        if producers.len() >= most {
            return None;
        }
        let id = producers.last().map_or(0, |(id, _)| id + 1);
        producers.push((id, notices));
        Some(Producing { stream: Arc::clone(self), id })
    }

    /// Tells all sessions something.
    pub(crate) fn tell_all(&self, notice: &Notice) {
        for (_, producer) in self.producers().iter() {
            // One that ends at this moment needs no telling.
            let _ = producer.send(notice.clone());
        }
    }

    fn producers(&self) -> MutexGuard<'_, Vec<(u64, mpsc::UnboundedSender<Notice>)>> {
        self.producers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Producing {
    /// Its first fragment has begun: sessions from before are of a connection that is over, or draining.
    pub(crate) fn replace_older(&self) {
        for (id, producer) in self.stream.producers().iter() {
            if *id < self.id {
                let _ = producer.send(Notice::Replaced);
            }
        }
    }
}

impl Drop for Producing {
    fn drop(&mut self) {
        self.stream.producers().retain(|(id, _)| *id != self.id);
    }
}

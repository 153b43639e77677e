//! One run of the source, from READY to READY.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kvs_client::Client;
use kvs_client::download::{Begin, Download, Place, Settings, Stats};
use tokio::runtime::Handle;

use super::listener::Voice;
use super::settings::{Plan, What};
use super::stats::{self, Tally};

/// One run: what was set when it began, and what happens in it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) plan: Plan,
    /// What was seen.
    pub(crate) tally: Tally,
    /// All pads are of it.
    pub(crate) group: gst::GroupId,
    voice: Arc<Voice>,
    runtime: Handle,
    readers: Mutex<Readers>,
    failed: AtomicBool,
    stretch: AtomicU64,
}

/// The reader that there is, and what those before it did.
#[derive(Debug, Default)]
struct Readers {
    current: Option<Arc<Download>>,
    past: Stats,
}

impl Run {
    /// A run by this plan. Nothing is read yet.
    pub(crate) fn new(
        plan: Plan,
        runtime: Handle,
        voice: impl FnOnce(&std::sync::Weak<Self>) -> Voice,
    ) -> Arc<Self> {
        Arc::new_cyclic(|run| Self {
            plan,
            tally: Tally::default(),
            group: gst::GroupId::next(),
            voice: Arc::new(voice(run)),
            runtime,
            readers: Mutex::default(),
            failed: AtomicBool::new(false),
            stretch: AtomicU64::new(stretch()),
        })
    }

    /// What is read from one seek to the next, or of one run, has a number that nothing else of this process has.
    pub(crate) fn stretch(&self) -> u64 {
        self.stretch.load(Ordering::Acquire)
    }

    /// Another stretch begins.
    pub(crate) fn go_elsewhere(&self) {
        self.stretch.store(stretch(), Ordering::Release);
    }

    /// Who says what happens.
    pub(crate) fn voice(&self) -> &Voice {
        &self.voice
    }

    /// Reads, from the beginning or from a place within. Whatever was read before is not any longer.
    pub(crate) fn read(&self, begin: Option<Begin>) -> Arc<Download> {
        self.close();
        // What failed before says nothing of this.
        self.failed.store(false, Ordering::Release);
        let mut place = self.plan.what.place();
        if let Place::Range(range) = &mut place {
            range.begin = begin;
        }
        let mut settings = Settings::new(self.plan.stream.clone(), place);
        settings.prefetch = self.plan.prefetch;
        let download = Arc::new(Download::new(settings));
        let listener = Arc::clone(&self.voice);
        download.start(Client::shared(self.plan.client.clone()), &self.runtime, listener);
        self.readers().current = Some(Arc::clone(&download));
        download
    }

    /// Ends what is being read.
    pub(crate) fn close(&self) {
        let mut readers = self.readers();
        if let Some(current) = readers.current.take() {
            let last = current.stats();
            readers.past = stats::sum(&readers.past, &Stats { bytes_held: 0, items_held: 0, ..last });
            drop(readers);
            current.stop();
        }
    }

    /// It can be sought in.
    pub(crate) const fn is_seekable(&self) -> bool {
        matches!(self.plan.what, What::Recorded(_))
    }

    /// What has happened so far.
    pub(crate) fn stats(&self) -> gst::Structure {
        let readers = self.readers();
        let now = readers.current.as_ref().map_or_else(
            || Stats { behind_now: readers.past.behind_now, ..Stats::default() },
            |current| current.stats(),
        );
        let sum = stats::sum(&readers.past, &now);
        drop(readers);
        stats::structure(&sum, &self.tally)
    }

    /// It has failed: true when that is new, and has to be said.
    pub(crate) fn fail(&self) -> bool {
        !self.failed.swap(true, Ordering::AcqRel)
    }

    /// It has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    fn readers(&self) -> std::sync::MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stretch() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

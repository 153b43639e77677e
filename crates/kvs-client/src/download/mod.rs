//! One stream that is being read: live, from the archive, and from the one into the other.
//!
//! A task fetches ahead, within a bound; a streaming thread takes what has come by a call that may wait. What is
//! handed out comes once and in order, whatever breaks on the way.

mod chunk;
mod entry;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod item;
mod layout;
mod listing;
mod order;
mod queue;
mod report;
mod session;
mod settings;
mod stats;
mod task;
#[cfg(test)]
mod tests;

pub use item::{Bounds, Fragment, FragmentEnd, Frame, Item, Lost, LostReason, Next, Span};
pub use report::{ConnectionReport, ConnectionState, Failure, FailureKind, Listener, Report};
pub use settings::{Begin, Place, Range, Settings, Snap};
pub use stats::Stats;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use self::queue::Queue;
use crate::Client;

/// One stream that is being read. It ends when this is dropped.
#[derive(Debug)]
pub struct Download {
    settings: Settings,
    queue: Arc<Queue>,
    /// Once it is started.
    task: Mutex<Option<AbortHandle>>,
}

impl Download {
    /// Nothing is read before [`start`](Self::start).
    pub fn new(settings: Settings) -> Self {
        let queue = Arc::new(Queue::new(settings.prefetch));
        Self { settings, queue, task: Mutex::default() }
    }

    /// Begins to read, in a task on `runtime`. The listener is called by that task, without any lock. Once.
    pub fn start(&self, client: Arc<Client>, runtime: &Handle, listener: Arc<dyn Listener>) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.is_some() || self.queue.is_closed() {
            return;
        }
        let run = task::run(Arc::clone(&self.queue), self.settings.clone(), client, listener);
        *task = Some(runtime.spawn(run).abort_handle());
    }

    /// What comes next. Waits for it, but no longer than so.
    pub fn next(&self, wait: Duration) -> Next {
        self.queue.next(wait)
    }

    /// With `true`, who waits for what comes next stops waiting, and nobody does until it is called with `false`. What
    /// is there stays there.
    pub fn interrupt(&self, interrupted: bool) {
        self.queue.interrupt(interrupted);
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        self.queue.stats()
    }

    /// Ends: every answer that is being read is closed, what was not taken is gone, and nothing more is told.
    pub fn stop(&self) {
        self.queue.close();
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            task.abort();
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.stop();
    }
}

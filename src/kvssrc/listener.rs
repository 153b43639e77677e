//! What the reader tells, said to the application.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use glib::WeakRef;
use glib::prelude::*;
use glib::subclass::prelude::*;
use kvs_client::clock;
use kvs_client::download::{ConnectionState, Failure, Listener, Report};

use super::run::Run;
use crate::log::FETCH;
use crate::message::{self, Ration};

/// Says on the bus what the reader of one run tells, not too often. It keeps no source alive, and no run.
#[derive(Debug)]
pub(crate) struct Voice {
    source: WeakRef<super::KvsSrc>,
    run: Weak<Run>,
    inner: Mutex<Inner>,
    /// That nothing comes was said.
    silent: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    connection: Ration,
    lost: Ration,
    warning: Ration,
}

const SECOND: Duration = Duration::from_secs(1);
/// After so many attempts in a row, people should know.
const WORRYING: u32 = 5;

impl Voice {
    /// That of a run of this source.
    pub(crate) fn of(source: &super::KvsSrc, run: &Weak<Run>) -> Self {
        Self {
            source: source.downgrade(),
            run: run.clone(),
            inner: Mutex::new(Inner {
                connection: Ration::new(10, SECOND),
                lost: Ration::new(10, SECOND),
                warning: Ration::new(1, Duration::from_secs(60)),
            }),
            silent: AtomicBool::new(false),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Something came: silence begins anew.
    pub(crate) fn has_data(&self) {
        // Every frame says so.
        if self.silent.load(Ordering::Relaxed) {
            self.silent.store(false, Ordering::Relaxed);
        }
    }

    /// Nothing came for so long, whether the stream is silent or the service: said once for each silence.
    pub(crate) fn no_data(&self, run: &Run, since: Duration) {
        let due = run.plan.no_data_timeout.is_some_and(|timeout| since >= timeout);
        let Some(source) = self.source.upgrade().filter(|_| due) else { return };
        if !self.silent.swap(true, Ordering::Relaxed) {
            source.imp().say(message::no_data(since));
        }
    }

    /// Posts a structure as an element message, unless there were too many.
    fn say(
        &self,
        source: &super::KvsSrc,
        which: impl FnOnce(&mut Inner) -> &mut Ration,
        make: impl FnOnce() -> gst::Structure,
    ) {
        let admitted = self.with(|inner| which(inner).admit(clock::monotonic()));
        let Some(left_out) = admitted else { return };
        let mut structure = make();
        if left_out > 0 {
            structure.set("left-out", left_out);
        }
        source.imp().say(structure);
    }

    fn warn(&self, source: &super::KvsSrc, text: impl FnOnce() -> String) {
        if self.with(|inner| inner.warning.admit(clock::monotonic())).is_some() {
            source.imp().warn(gst::ResourceError::Read, &text());
        }
    }

    /// The run has failed: said once, by whoever knows first.
    pub(crate) fn fail(&self, run: &Run, failure: &Failure) {
        if let Some(source) = self.source.upgrade().filter(|_| run.fail()) {
            source.imp().fail(message::error(failure, run.plan.stream.as_str()));
        }
    }
}

impl Listener for Voice {
    fn tell(&self, report: Report) {
        let (Some(source), Some(run)) = (self.source.upgrade(), self.run.upgrade()) else { return };
        if !source.imp().hears(&run) {
            gst::debug!(FETCH, obj = source, "of a run that is over: {report:?}");
            return;
        }
        match report {
            Report::Connection(report) => {
                gst::info!(FETCH, obj = source, "{report:?}");
                if report.attempts >= WORRYING && matches!(report.state, ConnectionState::Waiting(_)) {
                    self.warn(&source, || {
                        let cause = report.cause.as_deref().unwrap_or("the cause is not known");
                        format!(
                            "no connection after {} attempts, it is tried again: {cause}",
                            report.attempts
                        )
                    });
                }
                self.say(&source, |inner| &mut inner.connection, || message::connection(&report));
            }
            Report::Lost(lost) => {
                gst::warning!(FETCH, obj = source, "{lost:?}");
                self.warn(&source, || match &lost.number {
                    Some(number) => format!("fragment {number} cannot be read: {}", lost.why),
                    None => format!("a fragment cannot be read: {}", lost.why),
                });
                self.say(&source, |inner| &mut inner.lost, || message::lost(&lost));
            }
            Report::NoData { since } => {
                self.no_data(&run, since);
            }
            // The streaming thread says it, when all that was read before is out.
            Report::Failed(failure) => gst::error!(FETCH, obj = source, "{failure}"),
            other => gst::debug!(FETCH, obj = source, "{other:?}"),
        }
    }
}

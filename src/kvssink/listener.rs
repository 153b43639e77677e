//! What the upload tells, said to the application.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use glib::WeakRef;
use glib::prelude::*;
use glib::subclass::prelude::*;
use kvs_client::clock;
use kvs_client::upload::{ConnectionState, Listener, Report};

use super::legacy::FragmentAck;
use super::run::Run;
use crate::message::{self, Ration};

/// Says on the bus what the upload of one run tells, not too often. It keeps no sink alive, and no run; what comes
/// when the run is over is not said.
#[derive(Debug)]
pub(crate) struct Voice {
    sink: WeakRef<super::KvsSink>,
    run: Weak<Run>,
    rations: Mutex<Rations>,
}

/// How often each kind of thing is said.
#[derive(Debug)]
struct Rations {
    connection: Ration,
    ack: Ration,
    dropped: Ration,
    repaired: Ration,
    warning: Ration,
}

const SECOND: Duration = Duration::from_secs(1);
/// After so many attempts in a row, people should know.
const WORRYING: u32 = 5;

impl Voice {
    /// That of a run of this sink.
    pub(crate) fn of(sink: &super::KvsSink, run: &Arc<Run>) -> Self {
        Self {
            sink: sink.downgrade(),
            run: Arc::downgrade(run),
            rations: Mutex::new(Rations {
                connection: Ration::new(10, SECOND),
                // Five fragments a second, with three acks each, and what has piled up.
                ack: Ration::new(50, SECOND),
                dropped: Ration::new(10, SECOND),
                repaired: Ration::new(10, SECOND),
                warning: Ration::new(1, Duration::from_secs(60)),
            }),
        }
    }

    fn admit(&self, which: impl FnOnce(&mut Rations) -> &mut Ration) -> Option<u64> {
        let mut rations = self.rations.lock().unwrap_or_else(PoisonError::into_inner);
        which(&mut rations).admit(clock::monotonic())
    }

    /// Posts a structure as an element message, unless there were too many.
    fn say(
        &self,
        sink: &super::KvsSink,
        which: impl FnOnce(&mut Rations) -> &mut Ration,
        make: impl FnOnce() -> gst::Structure,
    ) {
        let Some(left_out) = self.admit(which) else { return };
        let mut structure = make();
        if left_out > 0 {
            structure.set("left-out", left_out);
        }
        sink.imp().post(gst::message::Element::builder(structure).src(sink).build());
    }

    /// Says that a frame's time was mended.
    pub(crate) fn repaired(&self, sink: &super::KvsSink, kind: &str, text: &str, pad: &str) {
        self.say(sink, |rations| &mut rations.repaired, || message::repaired(kind, text, Some(pad)));
    }

    /// Says that a frame was not pushed.
    pub(crate) fn discarded(&self, sink: &super::KvsSink, reason: &str, text: &str, pad: &str) {
        self.say(sink, |rations| &mut rations.dropped, || message::discarded(reason, text, Some(pad)));
    }

    fn warn(&self, sink: &super::KvsSink, class: gst::ResourceError, text: impl FnOnce() -> String) {
        if self.admit(|rations| &mut rations.warning).is_some() {
            sink.imp().warn(class, &text());
        }
    }
}

impl Listener for Voice {
    fn tell(&self, report: Report) {
        let (Some(sink), Some(run)) = (self.sink.upgrade(), self.run.upgrade()) else { return };
        if !sink.imp().state().hears(&run) {
            gst::debug!(crate::log::UPLOAD, obj = sink, "of a run that is over: {report:?}");
            return;
        }
        match report {
            Report::Connection(report) => {
                gst::info!(crate::log::UPLOAD, obj = sink, "{report:?}");
                if report.attempts >= WORRYING && matches!(report.state, ConnectionState::Waiting(_)) {
                    self.warn(&sink, gst::ResourceError::OpenWrite, || {
                        let cause = report.cause.as_deref().unwrap_or("the cause is not known");
                        format!(
                            "no connection after {} attempts, it is tried again: {cause}",
                            report.attempts
                        )
                    });
                }
                self.say(&sink, |rations| &mut rations.connection, || message::connection(&report));
            }
            Report::Ack(report) => {
                gst::debug!(crate::log::UPLOAD, obj = sink, "{report:?}");
                let mut legacy = FragmentAck::of(&report.ack);
                sink.emit_by_name::<()>("fragment-ack", &[&legacy.pointer()]);
                self.say(&sink, |rations| &mut rations.ack, || message::fragment_ack(&report));
            }
            Report::Repaired(repair) => {
                gst::info!(crate::log::UPLOAD, obj = sink, "{repair}");
                self.say(
                    &sink,
                    |rations| &mut rations.repaired,
                    || message::repaired(message::repair_kind(&repair), &repair.to_string(), None),
                );
            }
            Report::Discarded(discard) => {
                gst::info!(crate::log::UPLOAD, obj = sink, "a frame is not sent: {discard}");
                self.say(
                    &sink,
                    |rations| &mut rations.dropped,
                    || message::discarded("discarded", &discard.to_string(), None),
                );
            }
            Report::Dropped(dropped) => {
                gst::warning!(crate::log::UPLOAD, obj = sink, "{dropped:?}");
                self.warn(&sink, gst::ResourceError::Write, || {
                    let (frames, fragments) = (dropped.frames, dropped.fragments);
                    let (reason, from, to) = (&dropped.reason, dropped.from, dropped.to);
                    format!(
                        "{frames} frames in {fragments} fragments are lost ({reason:?}), from {from} to {to}"
                    )
                });
                self.say(&sink, |rations| &mut rations.dropped, || message::dropped(&dropped));
            }
            Report::Drained => sink.imp().drained(&run),
            Report::Failed(failure) => sink.imp().failed(&run, &failure),
            other => gst::debug!(crate::log::UPLOAD, obj = sink, "{other:?}"),
        }
    }
}

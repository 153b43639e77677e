//! One run of the sink, from READY to READY.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gst::prelude::*;
use kvs_client::Client;
use kvs_client::upload::{Listener, WhenFull};
use kvs_media::fragment::RulesError;

use super::outlet::Upload;
use super::settings::{Plan, Settings};
use super::stats::{self, Tally};
use super::timeline::Timeline;
use crate::utc::Calendar;

/// One run: what was set when it began, and what happens in it.
#[derive(Debug)]
pub(crate) struct Run {
    /// Where frames go.
    pub(crate) upload: Upload,
    /// The stream.
    pub(crate) stream: String,
    /// Where the time of frames comes from.
    pub(crate) calendar: Calendar,
    /// How far UTC is ahead.
    pub(crate) timeline: Timeline,
    /// A buffer that is full drops when upstream is live; of the pads that stream, none is known to be.
    pub(crate) drop_if_live: AtomicBool,
    /// Leave out what is marked as corrupted.
    pub(crate) drop_corrupted: bool,
    /// Ask encoders for key frames.
    pub(crate) send_force_keyunit: bool,
    /// Emit metrics.
    pub(crate) metrics: bool,
    /// Bytes that are kept at most.
    pub(crate) capacity: u64,
    /// What was mended and left out.
    pub(crate) tally: Tally,
    failed: AtomicBool,
    /// That it has failed is on the bus.
    said: AtomicBool,
    began: AtomicBool,
}

/// A stop waits no longer than this for an ack or a connection (design, section 3).
const PATIENCE: Duration = Duration::from_secs(5);

impl Run {
    /// A run by this plan. Nothing is sent yet.
    ///
    /// # Errors
    /// When the rules of the plan cannot be kept.
    pub(crate) fn new(plan: &Plan, settings: &Settings) -> Result<Self, RulesError> {
        Ok(Self {
            upload: Upload::new(plan.upload.clone())?,
            stream: plan.upload.stream.as_str().to_owned(),
            calendar: plan.calendar,
            timeline: Timeline::default(),
            drop_if_live: AtomicBool::new(plan.when_full.is_none()),
            drop_corrupted: settings.drop_corrupted,
            send_force_keyunit: settings.send_force_keyunit,
            metrics: settings.get_kvs_metrics,
            capacity: plan.upload.capacity.bytes,
            tally: Tally::default(),
            failed: AtomicBool::new(false),
            said: AtomicBool::new(false),
            began: AtomicBool::new(false),
        })
    }

    /// Begins to send.
    pub(crate) fn start(&self, plan: &Plan, runtime: &tokio::runtime::Handle, listener: Arc<dyn Listener>) {
        self.upload.start(Client::shared(plan.client.clone()), runtime, listener);
    }

    /// Ends. What is not acknowledged is told.
    pub(crate) fn stop(&self, timeout: Duration) -> Option<String> {
        let left = self.upload.stop(timeout, PATIENCE);
        (!left.is_empty()).then(|| {
            format!(
                "{}: stopped with {} frames ({} bytes) in {} fragments that are not acknowledged",
                self.stream, left.frames, left.bytes, left.fragments
            )
        })
    }

    /// What has happened so far.
    pub(crate) fn stats(&self) -> gst::Structure {
        stats::structure(&self.upload.stats(), &self.tally)
    }

    /// Something comes of a pad for the first time: only now does everybody upstream know whether it is live.
    pub(crate) fn meet(&self, pad: &super::KvsSinkPad) {
        if !self.drop_if_live.load(Ordering::Relaxed) {
            return;
        }
        let mut query = gst::query::Latency::new();
        if pad.peer_query(&mut query) && query.result().0 {
            self.drop_if_live.store(false, Ordering::Relaxed);
            self.upload.set_when_full(WhenFull::DropOldest);
        }
    }

    /// It has failed: true when that is new, and has to be said.
    pub(crate) fn fail(&self) -> bool {
        !self.failed.swap(true, Ordering::AcqRel)
    }

    /// It has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// That it has failed is said.
    pub(crate) fn has_said_so(&self) {
        self.said.store(true, Ordering::Release);
    }

    /// What a streaming thread returns when it has failed. While another thread is about to say so, nothing: who is
    /// upstream says an error of its own, which would come first and hide the cause.
    pub(crate) fn flow(&self) -> Result<(), gst::FlowError> {
        if self.said.load(Ordering::Acquire) { Err(gst::FlowError::Error) } else { Ok(()) }
    }

    /// A frame has come.
    pub(crate) fn has_begun(&self) -> bool {
        self.began.load(Ordering::Relaxed)
    }

    /// True for the first frame of all.
    pub(crate) fn begins(&self) -> bool {
        !self.began.swap(true, Ordering::Relaxed)
    }
}

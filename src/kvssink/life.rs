//! From READY to READY: a run begins, plays, pauses, comes to its end, fails, stops.

use std::sync::Arc;

use gst::prelude::*;
use gst::subclass::prelude::*;
use kvs_client::Client;
use kvs_client::client::RegionConflict;
use kvs_client::upload::Failure;

use super::KvsSinkPad;
use super::imp::{KvsSink, Patience, State};
use super::listener::Voice;
use super::run::Run;
use super::settings::{Plan, SettingsError};
use crate::connection::Around;
use crate::gate::Position;
use crate::log::SINK;
use crate::{message, runtime};

impl KvsSink {
    pub(super) fn refuse(&self, why: &str) -> gst::StateChangeError {
        self.post_error_message(gst::error_msg!(gst::ResourceError::Settings, ("{why}")));
        gst::StateChangeError
    }

    /// What a run needs, by the settings, the environment and the disk.
    pub(super) fn plan(&self) -> Result<Plan, SettingsError> {
        let settings = self.settings().clone();
        let plan = settings.plan(Around::of(&settings.connection).seen())?;
        settings.connection.check_files(&plan.client)?;
        Ok(plan)
    }

    /// NULL to READY: what is set can be.
    pub(super) fn check(&self) -> Result<(), gst::StateChangeError> {
        let plan = self.plan().map_err(|error| self.refuse(&error.to_string()))?;
        // In the incumbent the environment wins.
        if let Some(conflict) = Client::shared(plan.client).region_conflict() {
            let RegionConflict { set, variable, value } = conflict;
            let text = format!("aws-region={set} is used, and not {variable}={value}");
            self.warn(gst::ResourceError::Settings, &text);
        }
        Ok(())
    }

    /// READY to PAUSED: a run begins, and connects.
    pub(super) fn begin(&self) -> Result<(), gst::StateChangeError> {
        let plan = self.plan().map_err(|error| self.refuse(&error.to_string()))?;
        let settings = self.settings().clone();
        for name in settings.without_effect() {
            gst::debug!(SINK, imp = self, "{name} is accepted, and without effect");
        }
        let pads = self.pads();
        let run = Arc::new(Run::new(&plan, &settings).map_err(|error| self.refuse(&error.to_string()))?);
        let runtime =
            runtime::handle().map_err(|error| self.refuse(&format!("no thread can be started: {error}")))?;
        let voice = Arc::new(Voice::of(&self.obj(), &run));
        {
            let mut state = self.state();
            *state =
                State { run: Some(Arc::clone(&run)), voice: Some(Arc::clone(&voice)), ..State::default() };
        }
        for pad in pads {
            pad.imp().set_eos(false);
            pad.imp().set_position(None);
            self.gate.set_flushing(&pad.imp().leave, false);
            self.join(&run, &pad);
        }
        run.start(&plan, runtime, voice);
        self.gate.set(Position::Held);
        Ok(())
    }

    /// PAUSED to PLAYING: what was held goes on.
    pub(super) fn play(&self) {
        let element = self.obj();
        if let Some(run) = self.run() {
            run.timeline.play(element.clock().as_ref(), self.base_time());
        }
        self.gate.set(Position::Open);
        self.say_end();
    }

    /// PAUSED to READY, when no streaming thread is left: what was pushed is acknowledged, or said not to be.
    pub(super) fn end(&self) {
        let run = {
            let mut state = self.state();
            let run = state.run.take();
            *state = State { stopping: run.clone(), ..State::default() };
            run
        };
        for pad in self.pads() {
            pad.imp().set_track(None);
            pad.imp().lane().leave();
        }
        let Some(run) = run else { return };
        let timeout = self.settings().stop_timeout();
        let left = run.stop(timeout);
        let mut past = run.stats();
        // Its task may not have noticed yet.
        past.set("connected", false);
        *self.state() = State { past: Some(past), ..State::default() };
        if let Some(warning) = left {
            self.warn(gst::ResourceError::Write, &warning);
        }
    }

    /// STREAM_START of the first pad of a group is the sink's.
    pub(super) fn say_stream_start(&self, event: &gst::event::StreamStart) {
        let group = event.group_id();
        if self.state().group.replace(group) != Some(group) {
            let message = gst::message::StreamStart::builder()
                .src(&*self.obj())
                .seqnum(event.seqnum())
                .group_id_if_some(group)
                .build();
            self.post(message);
        }
    }

    /// Something comes: it is not over.
    pub(super) fn go_on(&self) {
        let mut state = self.state();
        state.ending.restart();
        state.patience = None;
    }

    /// Nothing comes on this pad until it is linked again. It waits for no streaming thread: one may wait for room.
    pub(super) fn unlinked(&self, pad: &KvsSinkPad) {
        if let (Some(run), Some(number)) = (self.run(), pad.imp().track()) {
            run.upload.end_track(number);
        }
        self.consider_end(None);
    }

    /// When nothing more comes on any pad that is linked, the stream ends: `end` names the event.
    pub(super) fn consider_end(&self, end: Option<gst::Seqnum>) {
        let linked: Vec<_> = self.pads().into_iter().filter(PadExt::is_linked).collect();
        if linked.is_empty() || !linked.iter().all(|pad| pad.imp().is_eos()) {
            return;
        }
        let Some(run) = self.run() else { return };
        let (sink, of, timeout) =
            (self.obj().downgrade(), Arc::downgrade(&run), self.settings().stop_timeout());
        {
            let mut state = self.state();
            if !state.is_of(&run) || !state.ending.is_streaming() {
                return;
            }
            let ticket = state.ending.begin(end.unwrap_or_else(gst::Seqnum::next));
            if let Ok(runtime) = runtime::handle() {
                let timer = runtime.spawn(async move {
                    tokio::time::sleep(timeout).await;
                    if let (Some(sink), Some(run)) = (sink.upgrade(), of.upgrade()) {
                        sink.imp().expired(&run, ticket);
                    }
                });
                state.patience = Some(Patience(timer.abort_handle()));
            }
        }
        run.upload.finish();
    }

    /// All of this run is acknowledged.
    pub(super) fn drained(&self, run: &Arc<Run>) {
        let ends = {
            let mut state = self.state();
            state.is_of(run) && state.ending.drain()
        };
        if ends {
            self.say_end();
        }
    }

    /// Nobody waits for the acks of this run any longer.
    pub(super) fn expired(&self, run: &Arc<Run>, ticket: u64) {
        let ends = {
            let mut state = self.state();
            state.is_of(run) && state.ending.expire(ticket)
        };
        if !ends {
            return;
        }
        let stats = run.upload.stats();
        let text = format!(
            "{}: the stream ends with {} frames ({} bytes) in {} fragments that are not acknowledged",
            run.stream, stats.frames_held, stats.bytes_held, stats.fragments_held
        );
        self.warn(gst::ResourceError::Write, &text);
        self.say_end();
    }

    /// Says EOS when it is there, and while the element plays.
    fn say_end(&self) {
        let end = self.state().ending.reached();
        if let Some(end) = end.filter(|_| self.gate.is_open()) {
            self.post(gst::message::Eos::builder().src(&*self.obj()).seqnum(end).build());
        }
    }

    /// This run ends here: said once, by whoever knows first, and every chain returns an error from then on.
    pub(super) fn failed(&self, run: &Run, failure: &Failure) {
        if !run.fail() {
            return;
        }
        self.post_error_message(message::error(failure, &run.stream));
        run.has_said_so();
        self.obj().emit_by_name::<()>("stream-error", &[&message::status(failure.kind)]);
        run.upload.wake();
    }
}

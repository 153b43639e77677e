//! What comes in on a pad: buffers, events, queries.

use gst::prelude::*;
use gst::subclass::prelude::*;
use kvs_client::upload::{Frame, PushError};
use kvs_media::{TrackKind, TrackNumber};

use super::KvsSinkPad;
use super::imp::KvsSink;
use super::legacy::Metric;
use super::run::Run;
use super::track::{Naming, Notice};
use crate::gate::SentAway;
use crate::log::SINK;
use crate::utc::Mended;

impl KvsSink {
    /// A buffer.
    pub(super) fn chain(
        &self,
        pad: &KvsSinkPad,
        buffer: &gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let own = pad.imp();
        if own.is_eos() {
            return Err(gst::FlowError::Eos);
        }
        self.gate.pass(&own.leave).map_err(|SentAway| gst::FlowError::Flushing)?;
        let mut notices = Vec::new();
        let (taken, run, number) = {
            let mut lane = own.lane();
            if lane.part().is_none() {
                drop(lane);
                self.join_late(pad);
                lane = own.lane();
            }
            let (run, number) =
                lane.part().map(|(run, number)| (run.clone(), number)).ok_or(gst::FlowError::Flushing)?;
            if run.has_failed() {
                return run.flow().map(|()| gst::FlowSuccess::Ok);
            }
            gst::log!(SINK, obj = pad, "{buffer:?}");
            let taken = lane.take(buffer, self.base_time(), &mut notices, |run, number, frame| {
                self.push(pad, run, number, frame)
            });
            own.set_position(lane.stream_time(buffer).or(own.position()));
            (taken, run, number)
        };
        if !notices.is_empty() {
            self.say(pad, &run, notices);
        }
        if run.send_force_keyunit && run.upload.takes_key_frame_wish(number) {
            gst::debug!(SINK, obj = pad, "asking for a key frame");
            let wish = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
            if !pad.push_event(wish) {
                gst::debug!(SINK, obj = pad, "nobody upstream makes key frames");
            }
        }
        // What was on its way when the pad was unlinked is its last.
        if !pad.is_linked() {
            self.go_on();
            self.unlinked(pad);
        }
        // Before upstream says that there was an error, it is said which.
        if let (Err(gst::FlowError::Error), Some(failure)) = (taken, run.upload.failure()) {
            self.failed(&run, &failure);
            return run.flow().map(|()| gst::FlowSuccess::Ok);
        }
        taken.map(|()| gst::FlowSuccess::Ok)
    }

    /// Pushes a frame; waits for room where that is the policy.
    fn push(
        &self,
        pad: &KvsSinkPad,
        run: &Run,
        number: TrackNumber,
        frame: Frame,
    ) -> Result<(), gst::FlowError> {
        let leave = &pad.imp().leave;
        let cancelled = || self.gate.sends_away(leave);
        let mut frame = frame;
        loop {
            match run.upload.push(number, frame) {
                Ok(()) => return Ok(()),
                Err(PushError::Full(back)) => {
                    if !run.upload.wait_for_room(number, &back, &cancelled) && cancelled() {
                        return Err(gst::FlowError::Flushing);
                    }
                    frame = back;
                }
                Err(error) => {
                    gst::debug!(SINK, obj = pad, "{error}");
                    return Err(gst::FlowError::Error);
                }
            }
        }
    }

    /// Says what happened beside.
    fn say(&self, pad: &KvsSinkPad, run: &Run, notices: Vec<Notice>) {
        let (sink, name) = (self.obj(), pad.name());
        let Some(voice) = self.voice() else { return };
        for notice in notices {
            match notice {
                Notice::Mended(Mended::Interpolated) => {
                    voice.repaired(
                        &sink,
                        "interpolated",
                        "a frame without a time follows the one before",
                        &name,
                    );
                }
                Notice::Mended(Mended::Arrived) => {
                    voice.repaired(
                        &sink,
                        "arrived",
                        "a first frame without a time is shown when it came",
                        &name,
                    );
                }
                Notice::Mended(Mended::Moved(by)) => {
                    let text = format!("the calendar moved by {by} ns");
                    voice.repaired(&sink, "calendar-moved", &text, &name);
                }
                Notice::WithoutHeader => {
                    let text = "what the decoder needs before the first frame has not come yet";
                    voice.discarded(&sink, "without-header", text, &name);
                }
                Notice::Unreadable(text) => voice.discarded(&sink, "unreadable", &text, &name),
                Notice::Corrupted => {
                    voice.discarded(
                        &sink,
                        "corrupted",
                        "upstream has marked it, and drop-corrupted is set",
                        &name,
                    );
                }
                Notice::Metrics(utc) => {
                    let mut metric = Metric::of(&run.upload.stats(), run.capacity, utc, run.begins());
                    sink.emit_by_name::<()>("stream-client-metric", &[&metric.pointer()]);
                }
            }
        }
    }

    fn join_late(&self, pad: &KvsSinkPad) {
        if let Some(run) = self.run() {
            self.join(&run, pad);
        }
    }

    /// An event.
    pub(super) fn sink_event(&self, pad: &KvsSinkPad, event: gst::Event) -> bool {
        let own = pad.imp();
        gst::log!(SINK, obj = pad, "{event:?}");
        match event.view() {
            gst::EventView::FlushStart(_) => {
                self.gate.set_flushing(&own.leave, true);
                if let Some(run) = self.run() {
                    run.upload.wake();
                }
                true
            }
            gst::EventView::FlushStop(stop) => {
                self.flushed(pad, stop);
                true
            }
            gst::EventView::StreamStart(start) => {
                self.say_stream_start(start);
                own.set_eos(false);
                self.go_on();
                self.join_late(pad);
                true
            }
            gst::EventView::Caps(caps) => self.set_caps(pad, caps.caps()),
            gst::EventView::Segment(segment) => {
                own.lane().set_segment(segment.segment());
                if let Some(run) = self.run() {
                    run.meet(pad);
                }
                true
            }
            gst::EventView::Gap(gap) => self.gate.pass(&own.leave).is_ok() && self.advance(pad, gap),
            gst::EventView::Eos(eos) => self.gate.pass(&own.leave).is_ok() && self.ended(pad, eos.seqnum()),
            gst::EventView::SegmentDone(done) => {
                if self.gate.pass(&own.leave).is_err() {
                    return false;
                }
                let message =
                    gst::message::SegmentDone::builder(done.get()).src(&*self.obj()).seqnum(done.seqnum());
                self.post(message.build());
                true
            }
            gst::EventView::Tag(tag) => {
                self.post(
                    gst::message::Tag::builder(tag.tag_owned())
                        .src(&*self.obj())
                        .seqnum(tag.seqnum())
                        .build(),
                );
                true
            }
            gst::EventView::Toc(toc) => {
                let (toc_, updated) = toc.toc_owned();
                let message =
                    gst::message::Toc::builder(&toc_, updated).src(&*self.obj()).seqnum(toc.seqnum());
                self.post(message.build());
                true
            }
            gst::EventView::CustomDownstream(custom) => {
                match custom.structure().and_then(super::metadata::metadata) {
                    Some(metadata) => {
                        let track = own.lane().part().map(|(_, number)| number);
                        self.tag_or_warn(track, metadata)
                    }
                    None => gst::Pad::event_default(pad, Some(&*self.obj()), event),
                }
            }
            _ => gst::Pad::event_default(pad, Some(&*self.obj()), event),
        }
    }

    fn flushed(&self, pad: &KvsSinkPad, stop: &gst::event::FlushStop) {
        let own = pad.imp();
        own.lane().flush();
        own.set_eos(false);
        own.set_position(None);
        self.go_on();
        if let Some(run) = self.run() {
            if let Some((_, track)) = own.lane().part() {
                run.upload.flush(track);
            }
            if stop.resets_time() {
                run.timeline.flush(stop.seqnum());
            }
        }
        self.gate.set_flushing(&own.leave, false);
        if stop.resets_time() {
            let message = gst::message::ResetTime::builder(gst::ClockTime::ZERO).src(&*self.obj());
            self.post(message.seqnum(stop.seqnum()).build());
        }
    }

    fn set_caps(&self, pad: &KvsSinkPad, caps: &gst::CapsRef) -> bool {
        self.join_late(pad);
        let own = pad.imp();
        let kind = own.kind();
        let mut naming = own.own_naming();
        self.complete_naming(&mut naming, pad, kind, caps);
        let set = own.lane().set_caps(caps, kind, &naming);
        if let Err(error) = &set {
            gst::element_imp_error!(self, gst::StreamError::Format, ("{}: {error}", pad.name()), ["{caps}"]);
        }
        set.is_ok()
    }

    /// What the pad does not say of its name, the element does.
    fn complete_naming(&self, naming: &mut Naming, pad: &KvsSinkPad, kind: TrackKind, caps: &gst::CapsRef) {
        let settings = self.settings();
        let is_h264 = caps.structure(0).is_some_and(|structure| structure.has_name("video/x-h264"));
        if naming.codec_id.is_none() && is_h264 {
            naming.codec_id.clone_from(&settings.codec_id);
        }
        if naming.name.is_none() {
            naming.name = Some(match kind {
                // The incumbent's names, of its one pad each.
                TrackKind::Video => settings.track_name.clone().unwrap_or_else(|| "kinesis_video".to_owned()),
                TrackKind::Audio => "audio".to_owned(),
                TrackKind::Metadata | TrackKind::Other(_) => pad.name().into(),
            });
        }
    }

    fn advance(&self, pad: &KvsSinkPad, gap: &gst::event::Gap) -> bool {
        let lane = pad.imp().lane();
        let (at, lasts) = gap.get();
        let to = lane.running(Some(at.saturating_add(lasts.unwrap_or(gst::ClockTime::ZERO))));
        if let (Some((run, number)), Some(to)) = (lane.part(), to) {
            run.upload.advance(number, to);
        }
        true
    }

    fn ended(&self, pad: &KvsSinkPad, end: gst::Seqnum) -> bool {
        let own = pad.imp();
        if let Some((run, number)) = own.lane().part() {
            run.upload.end_track(number);
        }
        own.set_eos(true);
        self.consider_end(Some(end));
        true
    }

    /// A query.
    pub(super) fn sink_query(&self, pad: &KvsSinkPad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            // What was pushed is copied: no memory of upstream is held.
            gst::QueryViewMut::Drain(_) => true,
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }
}

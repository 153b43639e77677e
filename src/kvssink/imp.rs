//! The element: properties, signals, states, pads.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use glib::subclass::Signal;
use gst::prelude::*;
use gst::subclass::prelude::*;
use kvs_client::clock;
use kvs_client::upload::FragmentTag;
use kvs_wire::limits;

use super::caps;
use super::ending::Ending;
use super::listener::Voice;
use super::metadata::{Metadata, MetadataError};
use super::properties::ROWS;
use super::run::Run;
use super::settings::Settings;
use super::{KvsSinkPad, stats};
use crate::gate::{Gate, Position};
use crate::log::SINK;

/// The name template of pads for video.
pub(super) const VIDEO_PADS: &str = "video_%u";
/// The name template of pads for sound.
pub(super) const AUDIO_PADS: &str = "audio_%u";
/// The name template of pads for timed data.
pub(super) const META_PADS: &str = "meta_%u";

/// The element.
#[derive(Debug, Default)]
pub(crate) struct KvsSink {
    settings: Mutex<Settings>,
    /// Where streaming threads wait while it is paused.
    pub(super) gate: Gate,
    state: Mutex<State>,
}

/// What changes between READY and READY.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) run: Option<Arc<Run>>,
    /// The run that is being stopped: nothing comes in any more, and its last acks are still heard.
    pub(super) stopping: Option<Arc<Run>>,
    /// What the statistics were when the last run was over.
    pub(super) past: Option<gst::Structure>,
    pub(super) voice: Option<Arc<Voice>>,
    pub(super) ending: Ending<gst::Seqnum>,
    /// Ends the waiting for the last acks.
    pub(super) patience: Option<Patience>,
    /// The group whose STREAM_START was said.
    pub(super) group: Option<Option<gst::GroupId>>,
}

impl State {
    /// It is this run's.
    pub(super) fn is_of(&self, run: &Arc<Run>) -> bool {
        self.run.as_ref().is_some_and(|own| Arc::ptr_eq(own, run))
    }

    /// This run is not over yet.
    pub(super) fn hears(&self, run: &Arc<Run>) -> bool {
        self.is_of(run) || self.stopping.as_ref().is_some_and(|own| Arc::ptr_eq(own, run))
    }
}

/// A timer; dropped, it is none.
#[derive(Debug)]
pub(super) struct Patience(pub(super) tokio::task::AbortHandle);

impl Drop for Patience {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[glib::object_subclass]
impl ObjectSubclass for KvsSink {
    const NAME: &'static str = "GstRsKvsSink";
    type Type = super::KvsSink;
    type ParentType = gst::Element;
    type Interfaces = (gst::ChildProxy,);
}

impl ObjectImpl for KvsSink {
    fn constructed(&self) {
        self.parent_constructed();
        // As the incumbent: a recording of which nobody says when begins when the element was made.
        self.settings().file_start_time = u64::try_from(clock::utc().millis() / 1_000).unwrap_or_default();
        self.obj().set_element_flags(gst::ElementFlags::SINK);
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> =
            LazyLock::new(|| ROWS.iter().map(crate::property::Row::spec).collect());
        &PROPERTIES
    }

    fn set_property(&self, id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let Some(row) = id.checked_sub(1).and_then(|place| ROWS.get(place)) else { return };
        row.set(&mut self.settings(), value);
        if !row.is_live() && self.run().is_some() {
            gst::info!(SINK, imp = self, "{} takes effect at the next start", pspec.name());
        }
    }

    fn property(&self, id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let row = id.checked_sub(1).and_then(|place| ROWS.get(place));
        row.and_then(|row| row.get(&mut self.settings())).unwrap_or_else(|| match pspec.name() {
            "stats" => self.stats().to_value(),
            _ => pspec.default_value().clone(),
        })
    }

    fn signals() -> &'static [Signal] {
        static SIGNALS: LazyLock<[Signal; 4]> = LazyLock::new(|| {
            [
                // The status of the incumbent's library.
                Signal::builder("stream-error").run_last().param_types([u64::static_type()]).build(),
                Signal::builder("fragment-ack").action().param_types([glib::Type::POINTER]).build(),
                Signal::builder("stream-client-metric").action().param_types([glib::Type::POINTER]).build(),
                Signal::builder("add-metadata")
                    .action()
                    .run_last()
                    .param_types([String::static_type(), String::static_type(), bool::static_type()])
                    .return_type::<bool>()
                    .class_handler(|values| Some(add_metadata(values).unwrap_or(false).to_value()))
                    .build(),
            ]
        });
        SIGNALS.as_ref()
    }
}

/// The handler of the action signal.
fn add_metadata(values: &[glib::Value]) -> Option<bool> {
    let [sink, name, value, persist] = values else { return None };
    let sink = sink.get::<super::KvsSink>().ok()?;
    let tag = FragmentTag {
        name: name.get().ok()?,
        value: value.get::<Option<String>>().ok()?.unwrap_or_default(),
        persist: persist.get().ok()?,
    };
    let added = sink.imp().tag(None, Ok(Metadata::Tag(tag)));
    if let Err(error) = &added {
        gst::warning!(SINK, obj = sink, "add-metadata: {error}");
    }
    Some(added.is_ok())
}

impl GstObjectImpl for KvsSink {}

impl ChildProxyImpl for KvsSink {
    fn child_by_index(&self, index: u32) -> Option<glib::Object> {
        let place = usize::try_from(index).ok()?;
        self.obj().pads().into_iter().nth(place).map(Cast::upcast)
    }

    fn child_by_name(&self, name: &str) -> Option<glib::Object> {
        self.obj().static_pad(name).map(Cast::upcast)
    }

    fn children_count(&self) -> u32 {
        u32::from(self.obj().num_pads())
    }
}

impl ElementImpl for KvsSink {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Kinesis Video Streams sink",
                "Sink/Network/Video/Audio",
                "Streams video, audio and timed data into a Kinesis Video Stream",
                "the gst-plugin-kvs authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            [
                (VIDEO_PADS, caps::VIDEO.clone()),
                (AUDIO_PADS, caps::AUDIO.clone()),
                (META_PADS, gst::Caps::new_any()),
            ]
            .into_iter()
            .filter_map(|(name, caps)| {
                let kind = KvsSinkPad::static_type();
                let (direction, presence) = (gst::PadDirection::Sink, gst::PadPresence::Request);
                gst::PadTemplate::with_gtype(name, direction, presence, &caps, kind).ok()
            })
            .collect()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => self.check()?,
            gst::StateChange::ReadyToPaused => self.begin()?,
            gst::StateChange::PausedToPlaying => self.play(),
            gst::StateChange::PlayingToPaused => self.gate.set(Position::Held),
            gst::StateChange::PausedToReady => {
                // Before the pads are deactivated, which waits for their threads.
                self.gate.set(Position::Away);
                if let Some(run) = self.run() {
                    run.upload.wake();
                }
            }
            _ => {}
        }
        // Neither preroll nor a peer is waited for: whatever the parent says of these is all there is to say.
        let changed = self.parent_change_state(transition);
        match (transition, changed) {
            (gst::StateChange::PausedToReady, Ok(_)) => self.end(),
            // No pad could be activated: it is not paused.
            (gst::StateChange::ReadyToPaused, Err(_)) => {
                self.gate.set(Position::Away);
                self.end();
            }
            _ => {}
        }
        changed
    }

    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        let element = self.obj();
        if usize::from(element.num_sink_pads()) >= limits::TRACKS {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Failed,
                ("no further pad: a stream takes at most {} tracks", limits::TRACKS)
            );
            return None;
        }
        let stem = template.name_template().trim_end_matches("%u");
        // Who links elements without naming pads asks by the name of the template.
        let name = match name.filter(|name| *name != template.name_template()) {
            Some(name) => name.to_owned(),
            None => (0..)
                .map(|number: u32| format!("{stem}{number}"))
                .find(|name| element.static_pad(name).is_none())?,
        };
        if element.static_pad(&name).is_some() {
            gst::warning!(SINK, imp = self, "a pad {name} is there already");
            return None;
        }
        let pad = self.make_pad(template, name);
        if element.current_state() > gst::State::Ready || element.pending_state() > gst::State::Ready {
            pad.set_active(true).ok()?;
        }
        element.add_pad(&pad).ok()?;
        if let Some(run) = self.run() {
            self.join(&run, &pad);
        }
        element.child_added(&pad, &pad.name());
        Some(pad.upcast())
    }

    fn release_pad(&self, pad: &gst::Pad) {
        let Some(pad) = pad.downcast_ref::<KvsSinkPad>() else { return };
        let own = pad.imp();
        self.gate.set_gone(&own.leave);
        if let Some(run) = self.run() {
            run.upload.wake();
        }
        // Waits for the streaming thread, which nothing holds any longer.
        let _ = pad.set_active(false);
        own.set_track(None);
        if let Some((run, number)) = own.lane().leave() {
            run.upload.remove_track(number);
        }
        let _ = self.obj().remove_pad(pad);
        self.obj().child_removed(pad, &pad.name());
        self.consider_end(None);
    }

    fn send_event(&self, event: gst::Event) -> bool {
        if let gst::EventView::CustomDownstream(custom) = event.view()
            && let Some(metadata) = custom.structure().and_then(super::metadata::metadata)
        {
            return self.tag_or_warn(None, metadata);
        }
        let pads = self.pads();
        if event.is_upstream() {
            // LATENCY is for those who wait for a clock.
            if event.type_() == gst::EventType::Latency {
                return true;
            }
            let linked: Vec<_> = pads.iter().filter(|pad| pad.is_linked()).collect();
            return !linked.is_empty() && linked.iter().all(|pad| pad.push_event(event.clone()));
        }
        !pads.is_empty() && pads.iter().all(|pad| pad.send_event(event.clone()))
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(latency) => self.latency(latency),
            gst::QueryViewMut::Position(position) => {
                let latest = self.pads().iter().filter_map(|pad| pad.imp().position()).max();
                match (position.format(), latest) {
                    (gst::Format::Time, Some(time)) => {
                        position.set(time);
                        true
                    }
                    _ => self.ask_upstream(query),
                }
            }
            gst::QueryViewMut::Duration(_)
            | gst::QueryViewMut::Seeking(_)
            | gst::QueryViewMut::Segment(_)
            | gst::QueryViewMut::Formats(_)
            | gst::QueryViewMut::Buffering(_)
            | gst::QueryViewMut::Convert(_) => self.ask_upstream(query),
            _ => self.parent_query(query),
        }
    }
}

impl KvsSink {
    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn run(&self) -> Option<Arc<Run>> {
        self.state().run.clone()
    }

    pub(super) fn voice(&self) -> Option<Arc<Voice>> {
        self.state().voice.clone()
    }

    pub(super) fn pads(&self) -> Vec<KvsSinkPad> {
        self.obj().sink_pads().into_iter().filter_map(|pad| pad.downcast().ok()).collect()
    }

    /// Posts a message. Nothing is locked when it is called: a handler may call anything.
    pub(super) fn post(&self, message: gst::Message) {
        // Without a bus nobody wants to know.
        let _ = self.obj().post_message(message);
    }

    /// Posts a WARNING.
    pub(super) fn warn(&self, class: gst::ResourceError, text: &str) {
        gst::warning!(SINK, imp = self, "{text}");
        self.post(gst::message::Warning::builder(class, text).src(&*self.obj()).build());
    }

    /// Base time in nanoseconds; zero while there is none.
    pub(super) fn base_time(&self) -> i64 {
        let base = self.obj().base_time().map(gst::ClockTime::nseconds);
        base.and_then(|base| i64::try_from(base).ok()).unwrap_or_default()
    }

    fn make_pad(&self, template: &gst::PadTemplate, name: String) -> KvsSinkPad {
        gst::PadBuilder::<KvsSinkPad>::from_template(template)
            .name(name)
            .chain_function(|pad, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |sink| sink.chain(pad, &buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |sink| sink.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |sink| sink.sink_query(pad, query))
            })
            .build()
    }

    /// Makes a pad that is linked part of the run. Others become one when something comes.
    pub(super) fn join(&self, run: &Arc<Run>, pad: &KvsSinkPad) {
        if !pad.is_linked() {
            return;
        }
        let mut lane = pad.imp().lane();
        if lane.part().is_some() {
            return;
        }
        let added = run.upload.add_track(pad.imp().pace());
        if let Ok(number) = added {
            lane.join(run, number);
            pad.imp().set_track(Some(number));
        }
        drop(lane);
        if let Err(error) = added {
            self.warn(gst::ResourceError::Write, &format!("{}: {error}", pad.name()));
        }
    }

    /// Hands tags on for the fragment that begins next.
    pub(super) fn tag(
        &self,
        track: Option<kvs_media::TrackNumber>,
        metadata: Result<Metadata, MetadataError>,
    ) -> Result<(), MetadataError> {
        let run = self.run().ok_or(MetadataError::NotStreaming)?;
        Ok(match metadata? {
            Metadata::Tag(tag) => run.upload.tag(track, &tag),
            Metadata::Event(pairs) => run.upload.tag_event(track, &pairs),
        }?)
    }

    /// As [`tag`](Self::tag); what is refused is said on the bus.
    pub(super) fn tag_or_warn(
        &self,
        track: Option<kvs_media::TrackNumber>,
        metadata: Result<Metadata, MetadataError>,
    ) -> bool {
        let tagged = self.tag(track, metadata);
        if let Err(error) = &tagged {
            self.warn(gst::ResourceError::Write, &format!("a fragment tag is refused: {error}"));
        }
        tagged.is_ok()
    }

    fn latency(&self, query: &mut gst::query::Latency) -> bool {
        let mut answered = false;
        let mut live = false;
        for pad in self.pads() {
            let mut upstream = gst::query::Latency::new();
            if pad.peer_query(&mut upstream) {
                answered = true;
                live |= upstream.result().0;
            }
        }
        // It waits for no clock: no branch is late because of it.
        query.set(live, gst::ClockTime::ZERO, gst::ClockTime::NONE);
        answered
    }

    fn ask_upstream(&self, query: &mut gst::QueryRef) -> bool {
        self.pads().iter().any(|pad| pad.peer_query(query))
    }

    fn stats(&self) -> gst::Structure {
        let (run, past) = {
            let state = self.state();
            (state.run.clone().or_else(|| state.stopping.clone()), state.past.clone())
        };
        match (run, past) {
            (Some(run), _) => run.stats(),
            (None, Some(past)) => past,
            (None, None) => stats::structure(&kvs_client::upload::Stats::default(), &stats::Tally::default()),
        }
    }
}

//! The element: a bin with the two halves, their pads, properties, states, and the address of a stream.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;
use gst::subclass::prelude::*;
use kvs_client::{Client, clock};

use super::demux::KvsDemux;
use super::fetch::KvsFetch;
use super::listener::Voice;
use super::properties::ROWS;
use super::run::Run;
use super::settings::{Plan, Settings, SettingsError, What};
use super::stats::{self, Tally};
use super::uri::{self, Address};
use crate::connection::Around;
use crate::log::SRC;
use crate::property::Row;
use crate::runtime;

/// The name of what gives each of several pads its thread.
const QUEUE: &str = "queue";

/// What it holds of one pad, in bytes, while another has nothing: a fragment, in which tracks may follow one another (50 MB
/// at most, kvs-api 3.7). It holds a few frames otherwise.
const QUEUED: u32 = 64 << 20;

/// The element.
#[derive(Debug)]
pub(crate) struct KvsSrc {
    settings: Mutex<Settings>,
    state: Mutex<State>,
    fetch: KvsFetch,
    demux: KvsDemux,
    /// Pads whose tracks are not wanted any more, until their queues are left.
    leaving: Mutex<Vec<Leaving>>,
}

/// A pad that leaves, and the way through the queue that leads to it.
#[derive(Debug)]
struct Leaving {
    ghost: gst::GhostPad,
    sink: gst::Pad,
    queue: gst::Element,
}

/// What changes between READY and READY.
#[derive(Debug, Default)]
struct State {
    run: Option<Arc<Run>>,
    /// What the statistics were when the last run was over.
    past: Option<gst::Structure>,
}

#[glib::object_subclass]
impl ObjectSubclass for KvsSrc {
    const NAME: &'static str = "GstRsKvsSrc";
    type Type = super::KvsSrc;
    type ParentType = gst::Bin;
    type Interfaces = (gst::URIHandler,);

    fn new() -> Self {
        Self {
            settings: Mutex::default(),
            state: Mutex::default(),
            fetch: glib::Object::builder().property("name", "fetch").build(),
            demux: glib::Object::builder().property("name", "demux").build(),
            leaving: Mutex::default(),
        }
    }
}

impl ObjectImpl for KvsSrc {
    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        element.set_suppressed_flags(gst::ElementFlags::SOURCE | gst::ElementFlags::SINK);
        element.set_element_flags(gst::ElementFlags::SOURCE);
        let joined = element
            .add_many([self.fetch.upcast_ref::<gst::Element>(), self.demux.upcast_ref()])
            .and_then(|()| self.fetch.link(&self.demux));
        if let Err(error) = joined {
            gst::error!(SRC, imp = self, "{error}");
        }
        let weak = element.downgrade();
        self.demux.connect_pad_added(move |_, pad| {
            if let Some(element) = weak.upgrade() {
                element.imp().show(pad);
            }
        });
        let weak = element.downgrade();
        self.demux.connect_pad_removed(move |_, pad| {
            if let Some(element) = weak.upgrade() {
                element.imp().hide(pad);
            }
        });
        let weak = element.downgrade();
        self.demux.connect_no_more_pads(move |_| {
            if let Some(element) = weak.upgrade() {
                element.no_more_pads();
            }
        });
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> =
            LazyLock::new(|| ROWS.iter().map(Row::spec).collect());
        &PROPERTIES
    }

    fn set_property(&self, id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let Some(row) = id.checked_sub(1).and_then(|place| ROWS.get(place)) else { return };
        {
            let mut settings = self.settings();
            row.set(&mut settings, value);
            settings.addressed.retain(|name| *name != row.name);
        }
        if !row.is_live() && self.run().is_some() {
            gst::info!(SRC, imp = self, "{} takes effect at the next start", pspec.name());
        }
    }

    fn property(&self, id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let row = id.checked_sub(1).and_then(|place| ROWS.get(place));
        row.and_then(|row| row.get(&mut self.settings())).unwrap_or_else(|| match pspec.name() {
            "stats" => self.stats().to_value(),
            _ => pspec.default_value().clone(),
        })
    }
}

impl GstObjectImpl for KvsSrc {}

impl ElementImpl for KvsSrc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Kinesis Video Streams source",
                "Source/Network/Video/Audio",
                "Streams a Kinesis Video Stream into a pipeline, live and from the archive",
                "the gst-plugin-kvs authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| templates().collect());
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => {
                self.plan().map(drop).map_err(|error| self.refuse(&error.to_string()))?;
            }
            gst::StateChange::ReadyToPaused => self.begin()?,
            _ => {}
        }
        let changed = self.parent_change_state(transition);
        if transition == gst::StateChange::PausedToReady
            || (transition == gst::StateChange::ReadyToPaused && changed.is_err())
        {
            self.end();
        }
        changed
    }

    fn send_event(&self, event: gst::Event) -> bool {
        match event.view() {
            // The half that can; no sink of this bin could tell it.
            gst::EventView::Seek(_) if self.obj().current_state() >= gst::State::Paused => {
                self.fetch.static_pad("src").is_some_and(|pad| pad.send_event(event))
            }
            gst::EventView::Seek(_) => self.fetch.imp().seek_later(&event, self.will_be_seekable()),
            gst::EventView::SelectStreams(select) => {
                self.demux.imp().choose(select);
                true
            }
            _ => self.parent_send_event(event),
        }
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view() {
            // No sink of this bin could tell.
            gst::QueryView::Latency(_) | gst::QueryView::Duration(_) | gst::QueryView::Seeking(_) => {
                self.fetch.query(query)
            }
            _ => self.parent_query(query),
        }
    }
}

impl BinImpl for KvsSrc {
    fn handle_message(&self, message: gst::Message) {
        // The cause was said; that the streaming thread stops for it is no second fault.
        let ours = message.src().is_some_and(|src| src == self.fetch.upcast_ref::<gst::Object>());
        let failed = || self.run().is_some_and(|run| run.has_failed());
        if message.type_() == gst::MessageType::Error && ours && failed() {
            return;
        }
        self.parent_handle_message(message);
    }
}

impl URIHandlerImpl for KvsSrc {
    const URI_TYPE: gst::URIType = gst::URIType::Src;

    fn protocols() -> &'static [&'static str] {
        &["kvs"]
    }

    fn uri(&self) -> Option<String> {
        let stream = self.settings().stream_name.as_deref()?.parse().ok()?;
        let mut properties = Vec::new();
        for row in ROWS.iter().filter(|row| uri::is_parameter(row.name)) {
            // What is as it always is needs no words.
            let (now, usual) = (row.get(&mut self.settings())?, row.get(&mut Settings::default())?);
            let text = |value: &glib::Value| value.serialize().ok();
            if text(&now) != text(&usual) {
                let plain = now.get::<Option<String>>().ok().flatten().map(Into::into);
                properties.push((row.name, plain.or(text(&now))?.to_string()));
            }
        }
        Some(Address { stream, properties }.to_string())
    }

    fn set_uri(&self, uri: &str) -> Result<(), glib::Error> {
        if self.run().is_some() {
            let text = "the address of a source cannot change while it plays";
            return Err(glib::Error::new(gst::URIError::BadState, text));
        }
        let bad = |text: String| glib::Error::new(gst::URIError::BadUri, &text);
        let address = Address::parse(uri).map_err(|error| bad(error.to_string()))?;
        let (connection, before) = {
            let settings = self.settings();
            (settings.connection.clone(), settings.addressed.clone())
        };
        let mut set = Settings { connection, ..Settings::default() };
        // What the address before has said of the connection was of that one.
        ROWS.iter().filter(|row| before.contains(&row.name)).for_each(|row| row.reset(&mut set));
        set.stream_name = Some(address.stream.as_str().to_owned());
        for (name, text) in &address.properties {
            let row = ROWS.iter().find(|row| row.name == *name);
            let row = row.ok_or_else(|| bad(format!("there is no property {name}")))?;
            let spec = row.spec();
            let value = if spec.value_type() == glib::Type::STRING {
                text.to_value()
            } else {
                glib::Value::deserialize_with_pspec(text, &spec)
                    .map_err(|_| bad(format!("{name} cannot be {text:?}")))?
            };
            row.set(&mut set, &value);
            set.addressed.push(row.name);
        }
        // Times are read now, so that a mistake is one of the address and not of a start.
        set.what(clock::utc()).map_err(|error| bad(error.to_string()))?;
        *self.settings() = set;
        let element = self.obj();
        let said = address.properties.iter().map(|(name, _)| *name);
        let reset = before.into_iter().filter(|name| !address.properties.iter().any(|(own, _)| own == name));
        said.chain(reset).chain(["stream-name"]).for_each(|name| element.notify(name));
        Ok(())
    }
}

/// Those of the pads for tracks.
pub(super) fn templates() -> impl Iterator<Item = gst::PadTemplate> {
    ["video_%u", "audio_%u", "meta_%u"].into_iter().filter_map(|name| {
        let (direction, presence) = (gst::PadDirection::Src, gst::PadPresence::Sometimes);
        gst::PadTemplate::new(name, direction, presence, &gst::Caps::new_any()).ok()
    })
}

impl KvsSrc {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) -> Option<Arc<Run>> {
        self.state().run.clone()
    }

    /// It is this run's.
    pub(super) fn hears(&self, run: &Arc<Run>) -> bool {
        self.run().is_some_and(|own| Arc::ptr_eq(&own, run))
    }

    fn refuse(&self, why: &str) -> gst::StateChangeError {
        self.fail(gst::error_msg!(gst::ResourceError::Settings, ("{why}")));
        gst::StateChangeError
    }

    /// Posts an ERROR.
    pub(super) fn fail(&self, error: gst::ErrorMessage) {
        self.post_error_message(error);
    }

    /// Posts a WARNING.
    pub(super) fn warn<T: MessageErrorDomain>(&self, class: T, text: &str) {
        gst::warning!(SRC, imp = self, "{text}");
        self.post(gst::message::Warning::builder(class, text).src(&*self.obj()).build());
    }

    /// Posts an element message.
    pub(super) fn say(&self, structure: gst::Structure) {
        self.post(gst::message::Element::builder(structure).src(&*self.obj()).build());
    }

    /// Nothing is locked when it is called: a handler may call anything.
    fn post(&self, message: gst::Message) {
        // Without a bus nobody wants to know.
        let _ = self.obj().post_message(message);
    }

    /// What a run needs, by the settings, the environment and the disk.
    fn plan(&self) -> Result<Plan, SettingsError> {
        let settings = self.settings().clone();
        let plan = settings.plan(Around::of(&settings.connection).seen(), clock::utc())?;
        settings.connection.check_files(&plan.client)?;
        Ok(plan)
    }

    /// As it is set, what it will read can be sought in.
    fn will_be_seekable(&self) -> bool {
        matches!(self.settings().what(clock::utc()), Ok(What::Recorded(_)))
    }

    /// READY to PAUSED: a run begins. The streaming thread connects.
    fn begin(&self) -> Result<(), gst::StateChangeError> {
        let plan = self.plan().map_err(|error| self.refuse(&error.to_string()))?;
        let runtime =
            runtime::handle().map_err(|error| self.refuse(&format!("no thread can be started: {error}")))?;
        // In the incumbent the environment wins.
        if let Some(conflict) = Client::shared(plan.client.clone()).region_conflict() {
            let text = format!(
                "aws-region={} is used, and not {}={}",
                conflict.set, conflict.variable, conflict.value
            );
            self.warn(gst::ResourceError::Settings, &text);
        }
        let run = Run::new(plan, runtime.clone(), |run| Voice::of(&self.obj(), run));
        *self.state() = State { run: Some(Arc::clone(&run)), past: None };
        self.fetch.imp().set_run(Some(Arc::clone(&run)));
        self.demux.imp().set_run(Some(run));
        Ok(())
    }

    /// PAUSED to READY, when no streaming thread is left.
    fn end(&self) {
        let run = self.state().run.take();
        if let Some(run) = run {
            run.close();
            self.state().past = Some(run.stats());
        }
        self.fetch.imp().set_run(None);
        self.demux.imp().set_run(None);
        let element = self.obj();
        if let Some(queue) = element.by_name(QUEUE) {
            let _ = queue.set_state(gst::State::Null);
            let _ = element.remove(&queue);
        }
    }

    /// A pad of the demuxer is one of this. Where there are several, each has a thread: who waits for all of them before
    /// taking more of one, as `playbin` does, would wait for ever otherwise.
    fn show(&self, pad: &gst::Pad) {
        let element = self.obj();
        // It is wanted again before it was gone.
        self.see_off(&pad.name(), true);
        let shown = if self.demux.imp().has_several() { self.queued(pad) } else { Ok(pad.clone()) };
        let shown = shown.and_then(|own| {
            let template = pad.pad_template().and_then(|own| element.pad_template(own.name_template()));
            let template = template.ok_or_else(|| glib::bool_error!("no template for {}", pad.name()))?;
            let ghost =
                gst::GhostPad::builder_from_template_with_target(&template, &own)?.name(pad.name()).build();
            ghost.set_active(true)?;
            element.add_pad(&ghost)
        });
        if let Err(error) = shown {
            gst::error!(SRC, imp = self, "{error}");
        }
    }

    /// The way out of a queue that begins at a pad.
    fn queued(&self, pad: &gst::Pad) -> Result<gst::Pad, glib::BoolError> {
        let element = self.obj();
        let queue = match element.by_name(QUEUE) {
            Some(queue) => queue,
            None => {
                let queue = gst::ElementFactory::make("multiqueue").name(QUEUE);
                let queue =
                    queue.property("max-size-time", 0_u64).property("max-size-bytes", QUEUED).build()?;
                element.add(&queue)?;
                queue.sync_state_with_parent()?;
                queue
            }
        };
        let none = || glib::bool_error!("{QUEUE} has no pad for {}", pad.name());
        let sink = queue.request_pad_simple("sink_%u").ok_or_else(none)?;
        let out = queue.static_pad(&sink.name().replace("sink", "src")).ok_or_else(none)?;
        pad.link(&sink).map_err(|error| glib::bool_error!("{error}"))?;
        // Whoever looks at a new pad wants to see its caps before anything has come through.
        pad.sticky_events_foreach(|event| {
            let _ = out.store_sticky_event(event);
            std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
        });
        Ok(out)
    }

    /// A pad of the demuxer goes, and ours with it. Who streams through its queue may be held downstream, and is waited
    /// for elsewhere.
    fn hide(&self, pad: &gst::Pad) {
        let element = self.obj();
        let Some(ghost) = element.static_pad(&pad.name()).and_downcast::<gst::GhostPad>() else { return };
        let queue = element.by_name(QUEUE);
        let way = queue.and_then(|queue| {
            let name = ghost.target()?.name().replace("src", "sink");
            Some((queue.static_pad(&name)?, queue))
        });
        let Some((sink, queue)) = way else {
            let _ = ghost.set_active(false);
            let _ = element.remove_pad(&ghost);
            return;
        };
        let streams = queue.current_state() >= gst::State::Paused;
        self.leaving().push(Leaving { ghost, sink, queue });
        let name = pad.name();
        if streams {
            element.call_async(move |element| element.imp().see_off(&name, false));
        } else {
            self.see_off(&name, false);
        }
    }

    /// Ends a pad that is leaving, once nothing streams through it any more: at once, where `hurries`.
    fn see_off(&self, name: &str, hurries: bool) {
        let leaving = {
            let mut all = self.leaving();
            let place = all.iter().position(|leaving| leaving.ghost.name() == name);
            place.map(|place| all.swap_remove(place))
        };
        let Some(Leaving { ghost, sink, queue }) = leaving else { return };
        if hurries {
            ghost.push_event(gst::event::FlushStart::new());
        }
        queue.release_request_pad(&sink);
        if hurries {
            ghost.push_event(gst::event::FlushStop::new(false));
        }
        // What was in the queue is not wanted; that nothing more comes, downstream has to know.
        ghost.push_event(gst::event::Eos::new());
        let _ = ghost.set_active(false);
        let _ = self.obj().remove_pad(&ghost);
    }

    fn leaving(&self) -> MutexGuard<'_, Vec<Leaving>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stats(&self) -> gst::Structure {
        let (run, past) = {
            let state = self.state();
            (state.run.clone(), state.past.clone())
        };
        match (run, past) {
            (Some(run), _) => run.stats(),
            (None, Some(past)) => past,
            (None, None) => stats::structure(&kvs_client::download::Stats::default(), &Tally::default()),
        }
    }
}

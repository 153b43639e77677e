//! A pipeline with a sink, and what it says.

use std::cell::RefCell;
use std::sync::Once;
use std::time::Instant;

use gst::prelude::*;

use super::PATIENCE;

/// A pipeline with a sink `k`, and what it has said so far.
pub(crate) struct Line {
    pub(crate) pipeline: gst::Pipeline,
    pub(crate) sink: gst::Element,
    said: RefCell<Vec<gst::Message>>,
}

/// GStreamer with the plugin in it.
pub(crate) fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstkvs::plugin_register_static().unwrap();
    });
}

impl Line {
    pub(crate) fn new(description: &str) -> Self {
        init();
        let pipeline =
            gst::parse::launch(description).unwrap_or_else(|error| panic!("{error}: {description}"));
        // One element alone is no pipeline.
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap_or_else(|element| {
            let pipeline = gst::Pipeline::new();
            pipeline.add(&element).unwrap();
            pipeline
        });
        // A player is a pipeline itself.
        let own = (pipeline.name() == "k").then(|| pipeline.clone().upcast());
        let sink = own.or_else(|| pipeline.by_name("k")).expect("no element k");
        Self { pipeline, sink, said: RefCell::default() }
    }

    /// A pad of the sink.
    pub(crate) fn pad(&self, name: &str) -> gst::Pad {
        self.sink.static_pad(name).unwrap_or_else(|| panic!("no pad {name}"))
    }

    /// An element by its name.
    pub(crate) fn element(&self, name: &str) -> gst::Element {
        self.pipeline.by_name(name).unwrap_or_else(|| panic!("no element {name}"))
    }

    pub(crate) fn set(&self, state: gst::State) {
        self.pipeline.set_state(state).unwrap();
    }

    pub(crate) fn play(&self) {
        self.set(gst::State::Playing);
    }

    /// Plays until EOS; an ERROR is a failure.
    pub(crate) fn play_to_the_end(&self) {
        self.play();
        self.until_end();
    }

    pub(crate) fn until_end(&self) {
        self.until("the end", |line| line.has(gst::MessageType::Eos));
    }

    /// Sends the end down from every source, and waits until it has come out.
    pub(crate) fn end(&self) {
        assert!(self.pipeline.send_event(gst::event::Eos::new()));
        self.until_end();
    }

    /// Waits until something is true, looking again at every message and now and then; an ERROR is a failure.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        self.wait(what, |line| {
            let errors = line.errors();
            assert!(errors.is_empty(), "{what}: {errors:?}");
            holds(line).then_some(())
        });
    }

    /// Waits until something is there.
    pub(crate) fn wait<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let bus = self.pipeline.bus().unwrap();
        let begun = Instant::now();
        loop {
            while let Some(message) = bus.pop() {
                self.said.borrow_mut().push(message);
            }
            if let Some(found) = look(self) {
                return found;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "never came: {what}; {}; {:#?}",
                self.stats(),
                self.said.borrow().iter().filter(|message| told(message)).collect::<Vec<_>>()
            );
            if let Some(message) = bus.timed_pop(gst::ClockTime::from_mseconds(20)) {
                self.said.borrow_mut().push(message);
            }
        }
    }

    fn take_messages(&self) {
        while let Some(message) = self.pipeline.bus().unwrap().pop() {
            self.said.borrow_mut().push(message);
        }
    }

    /// A message of this kind has come.
    pub(crate) fn has(&self, kind: gst::MessageType) -> bool {
        self.take_messages();
        self.said.borrow().iter().any(|message| message.type_() == kind)
    }

    /// The last message of a kind.
    pub(crate) fn last(&self, kind: gst::MessageType) -> Option<gst::Message> {
        self.take_messages();
        self.said.borrow().iter().rev().find(|message| message.type_() == kind).cloned()
    }

    /// The texts of all errors.
    pub(crate) fn errors(&self) -> Vec<String> {
        self.take_messages();
        let text = |message: &gst::Message| match message.view() {
            gst::MessageView::Error(error) => Some(error.error().to_string()),
            _ => None,
        };
        self.said.borrow().iter().filter_map(text).collect()
    }

    /// The texts of all warnings.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.take_messages();
        let text = |message: &gst::Message| match message.view() {
            gst::MessageView::Warning(warning) => Some(warning.error().to_string()),
            _ => None,
        };
        self.said.borrow().iter().filter_map(text).collect()
    }

    /// All element messages of a name.
    pub(crate) fn said(&self, name: &str) -> Vec<gst::Structure> {
        self.take_messages();
        let said = self.said.borrow();
        let structures = said.iter().filter(|message| message.type_() == gst::MessageType::Element);
        let named = structures.filter_map(|message| message.structure()).filter(|own| own.name() == name);
        named.map(ToOwned::to_owned).collect()
    }

    /// The states of the connection in the order in which they were said.
    pub(crate) fn connections(&self) -> Vec<String> {
        let state = |said: &gst::Structure| said.get::<String>("state").unwrap();
        self.said("kvs-connection").iter().map(state).collect()
    }

    pub(crate) fn stats(&self) -> gst::Structure {
        self.sink.property("stats")
    }

    /// A counter of the sink.
    pub(crate) fn stat(&self, name: &str) -> u64 {
        self.stats().get(name).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Waits until a counter is there.
    pub(crate) fn until_stat(&self, name: &str, least: u64) {
        self.until(&format!("{name} of {least}"), |line| line.stat(name) >= least);
    }

    /// Frames in are frames that are stored, dropped, held or counted as discarded.
    pub(crate) fn assert_adds_up(&self) {
        let stats = self.stats();
        let of = |name: &str| stats.get::<u64>(name).unwrap();
        let away = of("num-before-key") + of("num-too-large");
        let sum = of("num-frames-persisted") + of("num-frames-dropped") + of("num-frames-held") + away;
        assert_eq!(of("num-frames-in"), sum, "{stats}");
    }
}

fn told(message: &gst::Message) -> bool {
    use gst::MessageType as Kind;
    matches!(message.type_(), Kind::Element | Kind::Error | Kind::Warning | Kind::Eos)
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

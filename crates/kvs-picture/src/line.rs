//! Elements in a row between two pads of our own, driven by the caller's thread: what is pushed in at one end has come
//! out at the other when the push returns, without a task, a clock or a wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;

/// What has come out: a picture and its caps.
pub(crate) type Output = (gst::Caps, gst::Buffer);

/// A row of elements at work.
#[derive(Debug)]
pub(crate) struct Line {
    elements: Vec<gst::Element>,
    input: gst::Pad,
    output: gst::Pad,
    outputs: Arc<Mutex<VecDeque<Output>>>,
    bus: gst::Bus,
}

impl Line {
    /// Joins elements that give what `gives` says, and starts them.
    pub(crate) fn new(elements: Vec<gst::Element>, gives: &gst::Caps) -> Result<Self, gst::glib::BoolError> {
        let outputs = Arc::new(Mutex::new(VecDeque::new()));
        let template = |name, direction, caps: &gst::Caps| {
            gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps)
        };
        let input =
            gst::Pad::builder_from_template(&template("src", gst::PadDirection::Src, &gst::Caps::new_any())?)
                .event_function(|_, _, _| true)
                .build();
        let taken = Arc::clone(&outputs);
        let output = gst::Pad::builder_from_template(&template("sink", gst::PadDirection::Sink, gives)?)
            .event_function(|_, _, _| true)
            .query_function(|pad, parent, query| match query.view_mut() {
                // Frames may be shown as a part of what was decoded, without a copy.
                gst::QueryViewMut::Allocation(query) => {
                    query.add_allocation_meta::<gst_video::VideoMeta>(None);
                    true
                }
                _ => gst::Pad::query_default(pad, parent, query),
            })
            .chain_function(move |pad, _, buffer| {
                let caps = pad.current_caps().ok_or(gst::FlowError::NotNegotiated)?;
                lock(&taken).push_back((caps, buffer));
                Ok(gst::FlowSuccess::Ok)
            })
            .build();
        // What is no complaint is not kept.
        let bus = gst::Bus::new();
        bus.set_sync_handler(|_, message| match message.type_() {
            gst::MessageType::Error | gst::MessageType::Warning => gst::BusSyncReply::Pass,
            _ => gst::BusSyncReply::Drop,
        });
        // Stops the elements again when the rest of this fails.
        let line = Self { elements, input, output, outputs, bus };
        line.start()?;
        Ok(line)
    }

    fn start(&self) -> Result<(), gst::glib::BoolError> {
        let none = || gst::glib::bool_error!("an element without its pads");
        gst::Element::link_many(&self.elements)
            .or_else(|error| if self.elements.len() > 1 { Err(error) } else { Ok(()) })?;
        let first = self.elements.first().and_then(|first| first.static_pad("sink")).ok_or_else(none)?;
        let last = self.elements.last().and_then(|last| last.static_pad("src")).ok_or_else(none)?;
        let linked = |link: Result<_, gst::PadLinkError>| {
            link.map_err(|error| gst::glib::bool_error!("cannot link: {error}"))
        };
        linked(self.input.link(&first))?;
        linked(last.link(&self.output))?;
        self.output.set_active(true)?;
        for element in self.elements.iter().rev() {
            element.set_bus(Some(&self.bus));
            element
                .set_state(gst::State::Playing)
                .map_err(|error| gst::glib::bool_error!("{} does not start: {error}", element.name()))?;
        }
        self.input.set_active(true)?;
        self.input.push_event(gst::event::StreamStart::new("picture"));
        Ok(())
    }

    /// Buffers of these caps come next.
    pub(crate) fn begin(&self, caps: &gst::Caps) -> bool {
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        self.input.push_event(gst::event::Caps::new(caps))
            && self.input.push_event(gst::event::Segment::new(&segment))
    }

    pub(crate) fn push(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.input.push(buffer)
    }

    /// Everything is in: what was held back comes out.
    pub(crate) fn finish(&self) {
        self.input.push_event(gst::event::Eos::new());
    }

    /// As new, for other buffers.
    pub(crate) fn clear(&self) {
        self.input.push_event(gst::event::FlushStart::new());
        self.input.push_event(gst::event::FlushStop::new(true));
        lock(&self.outputs).clear();
        while self.bus.pop().is_some() {}
    }

    /// The next that has come out.
    pub(crate) fn take(&self) -> Option<Output> {
        lock(&self.outputs).pop_front()
    }

    /// What the elements had to complain of.
    pub(crate) fn complaint(&self) -> Option<String> {
        let mut messages = std::iter::from_fn(|| self.bus.pop());
        let complaint = messages.find_map(|message| match message.view() {
            gst::MessageView::Error(error) => Some(error.error().to_string()),
            gst::MessageView::Warning(warning) => Some(warning.error().to_string()),
            _ => None,
        });
        self.bus.set_flushing(true);
        self.bus.set_flushing(false);
        complaint
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for element in &self.elements {
            // It goes, whatever it says.
            let _ = element.set_state(gst::State::Null);
            element.set_bus(None);
        }
        // A message holds the element that holds the bus.
        self.bus.set_flushing(true);
        let _ = self.input.set_active(false);
        let _ = self.output.set_active(false);
    }
}

fn lock<T>(outputs: &Mutex<T>) -> MutexGuard<'_, T> {
    outputs.lock().unwrap_or_else(PoisonError::into_inner)
}

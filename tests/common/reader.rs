//! A pipeline with a source, and what came out of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use gst::prelude::*;

use super::{Ground, Line};

/// A buffer that came out.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) payload: Vec<u8>,
    pub(crate) pts: u64,
    pub(crate) dts: Option<u64>,
    pub(crate) key: bool,
    pub(crate) discont: bool,
    /// The caps in force.
    pub(crate) caps: gst::Caps,
    /// The segment in force.
    pub(crate) segment: gst::FormattedSegment<gst::ClockTime>,
    /// The reference timestamp: UTC in nanoseconds.
    pub(crate) utc: i64,
    /// The structure of the fragment's meta.
    pub(crate) fragment: gst::Structure,
}

impl Got {
    pub(crate) fn number(&self) -> String {
        self.fragment.get("number").unwrap()
    }
}

/// What came out of a pad.
#[derive(Clone, Debug, Default)]
pub(crate) struct Came {
    pub(crate) frames: Vec<Got>,
    pub(crate) events: Vec<gst::Event>,
    pub(crate) flushes: usize,
    caps: Option<gst::Caps>,
    segment: gst::FormattedSegment<gst::ClockTime>,
}

impl Came {
    pub(crate) fn has_ended(&self) -> bool {
        self.events.last().is_some_and(|event| event.type_() == gst::EventType::Eos)
    }

    fn event(&mut self, event: &gst::Event) {
        match event.view() {
            gst::EventView::Caps(caps) => self.caps = Some(caps.caps_owned()),
            gst::EventView::Segment(segment) => {
                self.segment = segment.segment().downcast_ref::<gst::ClockTime>().unwrap().clone();
            }
            gst::EventView::FlushStop(_) => {
                self.frames.clear();
                self.flushes += 1;
            }
            _ => {}
        }
        self.events.push(event.clone());
    }

    fn buffer(&mut self, buffer: &gst::BufferRef) {
        let meta =
            gst::meta::CustomMeta::from_buffer(buffer, "KvsFragmentMeta").expect("no meta of a fragment");
        let reference = buffer.meta::<gst::ReferenceTimestampMeta>().expect("no reference timestamp");
        assert_eq!(reference.reference().to_string(), "timestamp/x-unix");
        self.frames.push(Got {
            payload: buffer.map_readable().unwrap().to_vec(),
            pts: buffer.pts().expect("no PTS").nseconds(),
            dts: buffer.dts().map(gst::ClockTime::nseconds),
            key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            discont: buffer.flags().contains(gst::BufferFlags::DISCONT),
            caps: self.caps.clone().expect("no caps"),
            segment: self.segment.clone(),
            utc: i64::try_from(reference.timestamp().nseconds()).unwrap(),
            fragment: meta.structure().to_owned(),
        });
    }
}

/// What came out, by pad.
pub(crate) type Output = Arc<Mutex<BTreeMap<String, Came>>>;

/// A pipeline with a source `k`, each of whose pads goes into a sink that takes everything.
pub(crate) struct Reader {
    pub(crate) line: Line,
    pub(crate) output: Output,
}

impl Reader {
    /// A source with these properties, on a stream of this service.
    pub(crate) fn of(ground: &Ground, stream: &str, properties: &str) -> Self {
        Self::with(&format!("{} {properties}", ground.source(stream)), "fakesink sync=false async=false")
    }

    /// A source, and what each of its pads is linked to.
    pub(crate) fn with(source: &str, sink: &str) -> Self {
        let line = Line::new(source);
        let output = Output::default();
        let (pipeline, seen, sink) = (line.pipeline.downgrade(), Arc::clone(&output), sink.to_owned());
        line.sink.connect_pad_added(move |_, pad| {
            let Some(pipeline) = pipeline.upgrade() else { return };
            take(pad, &seen);
            let sink = gst::parse::bin_from_description(&sink, true).unwrap();
            pipeline.add(&sink).unwrap();
            sink.sync_state_with_parent().unwrap();
            let target = sink.static_pad("sink").unwrap();
            let ghost = pad.clone();
            ghost.link(&target).unwrap();
        });
        Self { line, output }
    }

    /// What came out of a pad so far.
    pub(crate) fn came(&self, pad: &str) -> Came {
        self.output.lock().unwrap().get(pad).cloned().unwrap_or_default()
    }

    /// The names of all pads that there were.
    pub(crate) fn pads(&self) -> Vec<String> {
        self.output.lock().unwrap().keys().cloned().collect()
    }

    /// Plays until every pad is at its end.
    pub(crate) fn play_to_the_end(&self) {
        self.line.play();
        self.until_end();
    }

    pub(crate) fn until_end(&self) {
        self.line.until("the end of every pad", |_| {
            let output = self.output.lock().unwrap();
            !output.is_empty() && output.values().all(Came::has_ended)
        });
    }

    pub(crate) fn until_frames(&self, pad: &str, least: usize) {
        self.line.until(&format!("{least} frames of {pad}"), |_| self.came(pad).frames.len() >= least);
    }
}

fn take(pad: &gst::Pad, output: &Output) {
    let (name, seen) = (pad.name().to_string(), Arc::clone(output));
    seen.lock().unwrap().entry(name.clone()).or_default();
    let kinds =
        gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH;
    let earlier = Arc::clone(&seen);
    // What stays on the pad was said before anybody listened.
    pad.sticky_events_foreach(|event| {
        earlier.lock().unwrap().get_mut(&name).unwrap().event(event);
        std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
    });
    pad.add_probe(kinds, move |_, info| {
        let mut output = seen.lock().unwrap();
        let came = output.get_mut(&name).unwrap();
        if let Some(event) = info.event() {
            came.event(event);
        }
        if let Some(buffer) = info.buffer() {
            came.buffer(buffer);
        }
        gst::PadProbeReturn::Ok
    });
}

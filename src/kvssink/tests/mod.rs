//! The element alone: what it makes of buffers and events, shown by what takes the upload's place.

mod codecs;
mod flow;
mod reach;
mod reports;
mod times;

use std::sync::Once;
use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::KvsSink;
use super::outlet::Upload;
use super::outlet::recorded::Done;
use kvs_client::upload::Report;

/// Longer than anything here takes.
pub(super) const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(20);

pub(super) fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        crate::plugin_register_static().unwrap();
    });
}

/// A pipeline with a sink `k`.
pub(super) struct Line {
    pub(super) pipeline: gst::Pipeline,
    pub(super) sink: KvsSink,
}

impl Line {
    pub(super) fn new(description: &str) -> Self {
        init();
        let pipeline = gst::parse::launch(description).unwrap().downcast::<gst::Pipeline>().unwrap();
        let sink = pipeline.by_name("k").unwrap().downcast().unwrap();
        Self { pipeline, sink }
    }

    pub(super) fn set(&self, state: gst::State) {
        self.pipeline.set_state(state).unwrap();
    }

    pub(super) fn upload(&self) -> Upload {
        self.sink.imp().run().unwrap().upload.clone()
    }

    /// Plays until nothing more comes, and all is acknowledged.
    pub(super) fn play_to_the_end(&self) -> Upload {
        self.set(gst::State::Paused);
        let upload = self.upload();
        self.set(gst::State::Playing);
        upload.until(|inner| inner.done.iter().any(|done| matches!(done, Done::Finished)));
        upload.tell(Report::Drained);
        self.expect(gst::MessageType::Eos);
        upload
    }

    /// The next message of this kind; an error is none.
    pub(super) fn expect(&self, kind: gst::MessageType) -> gst::Message {
        let kinds = [kind, gst::MessageType::Error];
        let message = self.pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &kinds);
        let message = message.unwrap_or_else(|| panic!("no {kind:?}"));
        assert_eq!(message.type_(), kind, "{message:?}");
        message
    }

    /// The element messages with this name, as far as they are there.
    pub(super) fn said(&self, name: &str) -> Vec<gst::Structure> {
        let bus = self.pipeline.bus().unwrap();
        let mut said = Vec::new();
        while let Some(message) = bus.pop_filtered(&[gst::MessageType::Element]) {
            said.extend(
                message.structure().filter(|structure| structure.name() == name).map(ToOwned::to_owned),
            );
        }
        said
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// A harness on a pad of a sink, with the clock of the system.
pub(super) fn harness(pad: &str) -> (gst_check::Harness, KvsSink) {
    init();
    let sink = gst::ElementFactory::make("kvssink").build().unwrap();
    let mut harness = gst_check::Harness::with_element(&sink, Some(pad), None);
    harness.use_systemclock();
    (harness, sink.downcast().unwrap())
}

pub(super) fn upload_of(sink: &KvsSink) -> Upload {
    sink.imp().run().unwrap().upload.clone()
}

/// A buffer with a time in milliseconds.
pub(super) fn buffer(payload: &[u8], pts: impl Into<Option<u64>>) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(payload.to_vec());
    let own = buffer.get_mut().unwrap();
    own.set_pts(pts.into().map(gst::ClockTime::from_mseconds));
    buffer
}

/// Returns within a bound, or the test fails.
pub(super) fn within<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (says, said) = std::sync::mpsc::channel();
    std::thread::spawn(move || says.send(act()));
    said.recv_timeout(Duration::from_secs(10)).unwrap_or_else(|_| panic!("{what} does not return"))
}

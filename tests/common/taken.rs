//! What went into a sink.

use std::sync::{Arc, Mutex};

use gst::prelude::*;

/// A buffer that went into a sink.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) payload: Vec<u8>,
    /// Running time in nanoseconds, by the segment that was in force.
    pub(crate) running: Option<i64>,
    pub(crate) key: bool,
}

/// Keeps what the peer of a pad sends it from now on.
pub(crate) fn record(pad: &gst::Pad) -> Arc<Mutex<Vec<Taken>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&seen);
    let segment = Mutex::new(gst::FormattedSegment::<gst::ClockTime>::new());
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    let peer = pad.peer().expect("nothing is linked");
    peer.add_probe(kinds, move |_, info| {
        if let Some(event) = info.event()
            && let gst::EventView::Segment(event) = event.view()
            && let Some(time) = event.segment().downcast_ref::<gst::ClockTime>()
        {
            *segment.lock().unwrap() = time.clone();
        }
        if let Some(buffer) = info.buffer() {
            let time = buffer.pts().and_then(|pts| segment.lock().unwrap().to_running_time_full(pts));
            let running = time.map(|time| match time {
                gst::Signed::Positive(time) => i64::try_from(time.nseconds()).unwrap(),
                gst::Signed::Negative(time) => -i64::try_from(time.nseconds()).unwrap(),
            });
            taken.lock().unwrap().push(Taken {
                payload: buffer.map_readable().unwrap().to_vec(),
                running,
                key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            });
        }
        gst::PadProbeReturn::Ok
    })
    .unwrap();
    seen
}

//! What has happened so far, for the property `stats`.

use std::sync::atomic::{AtomicU64, Ordering};

use kvs_client::upload::Stats;

use crate::message::{nanos, time};

/// What the element itself has mended and left out, before anything was pushed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Frames without a time that got one.
    pub(crate) interpolated: AtomicU64,
    /// Times that the calendar moved.
    pub(crate) moved: AtomicU64,
    /// Frames that came before their track's header was known.
    pub(crate) without_header: AtomicU64,
    /// Frames that could not be converted.
    pub(crate) unreadable: AtomicU64,
    /// Frames that upstream had marked as corrupted, where they are to be left out.
    pub(crate) corrupted: AtomicU64,
}

impl Tally {
    /// One more, and how many that makes.
    pub(crate) fn count(counter: &AtomicU64) -> u64 {
        counter.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }
}

/// `application/x-kvssink-stats`: counters are `num-*`, sizes `*-bytes`, spans and instants (since 1970) `*-time`, in ns.
pub(crate) fn structure(stats: &Stats, tally: &Tally) -> gst::Structure {
    let own = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let cut = &stats.cut;
    gst::Structure::builder("application/x-kvssink-stats")
        .field("connected", stats.connected)
        .field("num-connections", stats.connections)
        .field("num-reconnects", stats.reconnects)
        .field("num-errors", stats.errors)
        .field("num-frames-in", stats.frames_in)
        .field("in-bytes", stats.bytes_in)
        .field("num-fragments-in", stats.fragments_in)
        .field("num-frames-sent", stats.frames_sent)
        .field("sent-bytes", stats.bytes_sent)
        .field("num-fragments-sent", stats.fragments_sent)
        .field("num-fragments-resent", stats.fragments_resent)
        .field("num-fragments-received", stats.fragments_received)
        .field("num-fragments-persisted", stats.fragments_persisted)
        .field("num-frames-persisted", stats.frames_persisted)
        .field("num-fragments-dropped", stats.fragments_dropped)
        .field("num-frames-dropped", stats.frames_dropped)
        .field("dropped-bytes", stats.bytes_dropped)
        .field("num-fragments-held", stats.fragments_held)
        .field("num-frames-held", stats.frames_held)
        .field("held-bytes", stats.bytes_held)
        .field("held-time", nanos(stats.span_held))
        .field("lag-time", nanos(stats.lag))
        .field_if_some("last-fragment-number", stats.last_fragment_number.as_ref().map(ToString::to_string))
        .field_if_some("last-fragment-time", stats.last_fragment_time.map(time))
        .field_if_some("last-persisted-time", stats.last_persisted_at.map(time))
        .field("num-sessions", cut.sessions)
        .field("num-times-moved", cut.times_moved)
        .field("num-cuts-without-key", cut.cuts_without_key)
        .field("num-fillers", cut.fillers)
        .field("num-left-out", cut.left_out)
        .field("num-went-back", cut.went_back)
        .field("num-before-key", cut.before_key)
        .field("num-too-large", cut.too_large)
        .field("num-interpolated", own(&tally.interpolated))
        .field("num-calendar-moved", own(&tally.moved))
        .field("num-without-header", own(&tally.without_header))
        .field("num-unreadable", own(&tally.unreadable))
        .field("num-corrupted", own(&tally.corrupted))
        .build()
}

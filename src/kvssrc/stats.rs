//! What has happened so far, for the property `stats`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kvs_client::download::Stats;

use crate::message::nanos;

/// What the element itself has seen, behind the reader.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Silences that it was told of.
    pub(crate) gaps: AtomicU64,
    /// How long they lasted together.
    pub(crate) gap_nanos: AtomicU64,
    /// Times that the producer's clock has jumped.
    pub(crate) time_moved: AtomicU64,
    /// Fragments that came to the service faster than they last.
    pub(crate) server_moved: AtomicU64,
    /// Frames that are before the first one, and cannot be decoded.
    pub(crate) before_origin: AtomicU64,
    /// Pictures that came before any that could be decoded.
    pub(crate) before_key: AtomicU64,
    /// Frames without a decoding time, since the stream reorders more than it says.
    pub(crate) dts_missing: AtomicU64,
    /// Caps of which not all could be said that should be.
    pub(crate) undescribed: AtomicU64,
    /// All that is recorded was given.
    pub(crate) at_tip: AtomicBool,
}

impl Tally {
    /// So many more.
    pub(crate) fn add(counter: &AtomicU64, more: u64) {
        if more > 0 {
            counter.fetch_add(more, Ordering::Relaxed);
        }
    }
}

/// What several readers did after each other; what is of now is of the last.
pub(crate) fn sum(before: &Stats, now: &Stats) -> Stats {
    Stats {
        bytes: before.bytes.saturating_add(now.bytes),
        frames: before.frames.saturating_add(now.frames),
        fragments: before.fragments.saturating_add(now.fragments),
        duplicates: before.duplicates.saturating_add(now.duplicates),
        duplicate_frames: before.duplicate_frames.saturating_add(now.duplicate_frames),
        gaps: before.gaps.saturating_add(now.gaps),
        lost: before.lost.saturating_add(now.lost),
        connections: before.connections.saturating_add(now.connections),
        reconnects: before.reconnects.saturating_add(now.reconnects),
        lists: before.lists.saturating_add(now.lists),
        failures: before.failures.saturating_add(now.failures),
        behind_now: now.behind_now,
        bytes_held: now.bytes_held,
        items_held: now.items_held,
    }
}

/// `application/x-kvssrc-stats`: counters are `num-*`, sizes `*-bytes`, spans `*-time`, in ns.
pub(crate) fn structure(stats: &Stats, tally: &Tally) -> gst::Structure {
    let own = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    gst::Structure::builder("application/x-kvssrc-stats")
        .field("num-frames", stats.frames)
        .field("in-bytes", stats.bytes)
        .field("num-fragments", stats.fragments)
        .field("num-duplicates", stats.duplicates)
        .field("num-duplicate-frames", stats.duplicate_frames)
        .field("num-lost", stats.lost)
        .field("num-connections", stats.connections)
        .field("num-reconnects", stats.reconnects)
        .field("num-lists", stats.lists)
        .field("num-errors", stats.failures)
        .field("held-bytes", stats.bytes_held)
        .field_if_some("behind-time", stats.behind_now.map(nanos))
        .field("at-tip", tally.at_tip.load(Ordering::Relaxed))
        .field("num-gaps", own(&tally.gaps))
        .field("gap-time", own(&tally.gap_nanos))
        .field("num-time-moved", own(&tally.time_moved))
        .field("num-server-time-moved", own(&tally.server_moved))
        .field("num-before-origin", own(&tally.before_origin))
        .field("num-before-key", own(&tally.before_key))
        .field("num-without-dts", own(&tally.dts_missing))
        .field("num-undescribed", own(&tally.undescribed))
        .build()
}

//! The properties of the source.

use std::sync::LazyLock;

use glib::prelude::*;

use super::settings::Settings;
use crate::connection;
use crate::property::{Field, Row, choice};

/// All of them; the id that GObject calls one by is its place here, from 1.
pub(crate) static ROWS: LazyLock<Vec<Row<Settings>>> =
    LazyLock::new(|| own().into_iter().chain(connection::rows()).collect());

#[rustfmt::skip]
fn own() -> Vec<Row<Settings>> {
    vec![
        Row::new("stream-name", "Stream name",
            "Name of the stream: at most 256 letters, digits and any of _.-",
            Field::Text(|s| &mut s.stream_name, None)),
        Row::new("from", "From",
            "Read what was recorded since then: RFC 3339 (2026-11-20T03:23:51Z), seconds since 1970, or -10min. Begins with the fragment that covers it; without to, it goes over into what happens now",
            Field::Text(|s| &mut s.from, None)),
        Row::new("to", "To",
            "Read no further; as from",
            Field::Text(|s| &mut s.to, None)),
        Row::new("start-selector", "Start selector",
            "Without from and to: where GetMedia begins",
            choice!(start_selector: super::Selector)),
        Row::new("start-timestamp", "Start timestamp",
            "The time of start-selector=server-timestamp and producer-timestamp; as from",
            Field::Text(|s| &mut s.start_timestamp, None)),
        Row::new("after-fragment", "After fragment",
            "Begin behind the fragment with this number",
            Field::Text(|s| &mut s.after_fragment, None)),
        Row::new("continuation-token", "Continuation token",
            "Begin where the call ended that gave this token",
            Field::Text(|s| &mut s.continuation_token, None)),
        Row::new("timeline", "Time line",
            "Whose clock from, to and positions are of",
            choice!(timeline: super::TimelineOf)),
        Row::new("gap-policy", "Gap policy",
            "What becomes of silences of more than two seconds in a recording",
            choice!(gap_policy: super::GapPolicy)),
        Row::new("prefetch-bytes", "Prefetch",
            "Read ahead no more than this, in bytes",
            Field::Long(|s| &mut s.prefetch_bytes)),
        Row::new("latency", "Latency",
            "How late a live frame may come and still be shown in time, in ns",
            Field::Long(|s: &mut Settings| &mut s.latency)),
        Row::new("no-data-timeout", "No-data timeout",
            "Say kvs-no-data when nothing has come for so long, in ns, since nothing is sent to the stream or the service does not answer; 0: never",
            Field::Long(|s| &mut s.no_data_timeout)),
        Row::new("stats", "Statistics",
            "What has happened so far: application/x-kvssrc-stats",
            Field::Reading),
    ]
}

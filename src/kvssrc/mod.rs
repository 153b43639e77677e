//! # kvssrc
//!
//! Streams a Kinesis Video Stream into a pipeline: live, from the archive, and from the one into the other. Of AWS, or of
//! a service that speaks its wire protocol, such as `kvs serve`.
//!
//! ```sh
//! # What happens now, of the service that `eval "$(kvs env)"` names.
//! gst-launch-1.0 kvssrc stream-name=door ! decodebin ! autovideosink
//! # The last ten minutes, and on into what happens now.
//! gst-launch-1.0 kvssrc stream-name=door from=-10min ! decodebin ! autovideosink
//! # A quarter of an hour, as a file.
//! gst-launch-1.0 kvssrc stream-name=door from=2026-11-20T03:00:00Z to=2026-11-20T03:15:00Z \
//!     ! h264parse ! mp4mux ! filesink location=door.mp4
//! # By its address, in any player.
//! gst-play-1.0 'kvs://door?from=-10min'
//! ```
//!
//! **Pads** come when the first fragment does: `video_%u`, `audio_%u`, `meta_%u`, for what nobody knows too.
//!
//! **Time.** With `from`, zero is the beginning of the first fragment, and it can be sought in. Without, it is live. Each
//! buffer carries the producer's UTC as a reference timestamp (`timestamp/x-unix`), and a `KvsFragmentMeta` with number,
//! server-time and producer-time (ns since 1970) of its fragment, offset (its own in it, ns) and tags.
//! Tags are a structure; those of names beyond the first 1,000 of the process, which GLib would keep for ever, are in
//! more-tags, an array of structures with name and value.
//!
//! **Messages**, as elements, those that may come often at most so many a second, with `left-out` for the others:
//!
//! | structure | fields |
//! |---|---|
//! | `kvs-fragment` | number, server-time, producer-time, last-time (ns since 1970), position (ns), tags, more-tags, continuation-token, behind-now (ns) |
//! | `kvs-gap` | from, to (ns since 1970), duration (ns), position of its end |
//! | `kvs-connection` | state (connecting, connected, waiting, idle), endpoint, attempts, cause, request-id, retry-in (ns) |
//! | `kvs-dropped` | reason (missing, refused, damaged, cut), text, fragment-number, first-time |
//! | `kvs-no-data` | since (ns) |
//! | `kvs-repaired` | kind, text |

mod caps;
mod demux;
mod dts;
mod fetch;
mod imp;
mod lane;
mod listener;
mod mark;
mod properties;
mod reading;
mod run;
mod seek;
mod settings;
mod stats;
mod timeline;
mod uri;

use glib::prelude::*;
#[cfg(feature = "doc")]
use gst::prelude::*;

glib::wrapper! {
    /// The source.
    pub(crate) struct KvsSrc(ObjectSubclass<imp::KvsSrc>)
        @extends gst::Bin, gst::Element, gst::Object,
        @implements gst::ChildProxy, gst::URIHandler;
}

/// Where GetMedia begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRsKvsSrcStartSelector")]
pub(crate) enum Selector {
    /// The latest fragment.
    #[default]
    #[enum_value(name = "Now: the latest fragment", nick = "now")]
    Now = 0,
    /// The oldest that is kept.
    #[enum_value(name = "Earliest: the oldest fragment that is kept", nick = "earliest")]
    Earliest = 1,
    /// Behind a fragment.
    #[enum_value(name = "Fragment number: behind after-fragment", nick = "fragment-number")]
    FragmentNumber = 2,
    /// By the service's clock.
    #[enum_value(
        name = "Server timestamp: start-timestamp by the service's clock",
        nick = "server-timestamp"
    )]
    ServerTimestamp = 3,
    /// By the producer's clock.
    #[enum_value(
        name = "Producer timestamp: start-timestamp by the producer's clock",
        nick = "producer-timestamp"
    )]
    ProducerTimestamp = 4,
    /// Where a call ended.
    #[enum_value(
        name = "Continuation token: where the call of continuation-token ended",
        nick = "continuation-token"
    )]
    ContinuationToken = 5,
}

/// Whose clock times are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRsKvsSrcTimeline")]
pub(crate) enum TimelineOf {
    /// The producer's.
    #[default]
    #[enum_value(name = "Producer: when it was made", nick = "producer")]
    Producer = 0,
    /// The service's.
    #[enum_value(name = "Server: when its fragment came to the service", nick = "server")]
    Server = 1,
}

/// What becomes of silences in a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRsKvsSrcGapPolicy")]
pub(crate) enum GapPolicy {
    /// They last as long as they did.
    #[default]
    #[enum_value(name = "Keep: they last as long as they did", nick = "keep")]
    Keep = 0,
    /// They are closed.
    #[enum_value(name = "Skip: they are closed", nick = "skip")]
    Skip = 1,
}

/// Registers the element, and the meta that it puts onto buffers. Rank NONE: nothing plugs a source by its rank but who
/// looks for a handler of its URI, and that takes the only one that there is, whatever its rank.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    mark::register();
    #[cfg(feature = "doc")]
    {
        Selector::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
        TimelineOf::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
        GapPolicy::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    }
    gst::Element::register(Some(plugin), "kvssrc", gst::Rank::NONE, KvsSrc::static_type())
}

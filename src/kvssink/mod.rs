//! # kvssink
//!
//! Streams video, sound and timed data into a Kinesis Video Stream: of AWS, or of a service that speaks its wire
//! protocol, such as `kvs serve`.
//!
//! ```sh
//! # A camera, to the service of AWS, with the credentials that the environment or the profile has.
//! gst-launch-1.0 -e v4l2src ! videoconvert ! x264enc tune=zerolatency key-int-max=60 ! kvssink stream-name=door
//! # Picture and sound of an RTSP camera, with its own time, to the service that `eval "$(kvs env)"` names.
//! gst-launch-1.0 -e rtspsrc location=rtsp://… add-reference-timestamp-meta=true name=r \
//!     r. ! application/x-rtp,media=video ! rtph264depay ! h264parse ! queue ! kvssink name=k stream-name=yard \
//!     r. ! application/x-rtp,media=audio ! decodebin ! audioconvert ! avenc_aac ! queue ! k.
//! # A recording, as fast as the link is, at the time at which it was made.
//! gst-launch-1.0 filesrc location=tour.mp4 ! qtdemux ! h264parse \
//!     ! kvssink stream-name=tour streaming-type=offline start-time=2026-11-20T03:23:51Z
//! ```
//!
//! **Pads** come on request, three at most: `video_%u` (H.264, H.265, AV1, VP8, VP9, JPEG), `audio_%u` (AAC, Opus, G.711,
//! PCM), `meta_%u` (any caps). Each has the properties `track-name` and `codec-id` (`k.audio_0::track-name=door`).
//!
//! **Time.** It neither prerolls nor waits for the clock: `identity sync=true` replays a file in real time. What is sent is
//! UTC, by `timestamp-source`. EOS is posted when all is stored, or after `stop-stream-timeout` with a WARNING.
//!
//! **Messages**, as elements, at most so many a second, with `left-out` for the others:
//!
//! | structure | fields |
//! |---|---|
//! | `kvs-connection` | state (connecting, connected, waiting, idle), endpoint, attempts, cause, request-id, retry-in (ns) |
//! | `kvs-fragment-ack` | type (BUFFERING, RECEIVED, PERSISTED, ERROR, IDLE), fragment-number, timecode (ms), time (ns since 1970), after (ns), error-id, error-code |
//! | `kvs-dropped` | reason, text, fragments, frames, bytes, first-time, last-time (ns since 1970), pad |
//! | `kvs-repaired` | kind, text, pad |
//!
//! **Signals**: `fragment-ack`, `stream-error` and `stream-client-metric` of AWS's element, with its C structures. They come
//! on a thread of the element, or on a streaming thread: a handler returns soon and changes no state. The action signal
//! `add-metadata (name, value, persist) -> gboolean` tags the fragment that begins next.
//!
//! **Events**: see [`metadata`].

pub(crate) mod caps;
mod ending;
mod imp;
mod legacy;
mod life;
mod listener;
mod metadata;
mod outlet;
mod pad;
mod payload;
mod properties;
mod run;
mod settings;
mod stats;
mod stream;
mod timeline;
mod track;

#[cfg(test)]
mod tests;

use glib::prelude::*;
#[cfg(feature = "doc")]
use gst::prelude::*;

glib::wrapper! {
    /// The sink.
    pub(crate) struct KvsSink(ObjectSubclass<imp::KvsSink>)
        @extends gst::Element, gst::Object,
        @implements gst::ChildProxy;
}

glib::wrapper! {
    /// A track of the sink.
    pub(crate) struct KvsSinkPad(ObjectSubclass<pad::KvsSinkPad>)
        @extends gst::Pad, gst::Object;
}

/// What kind of stream it is; the incumbent's values and nicks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRsKvsSinkStreamingType")]
pub(crate) enum StreamingType {
    /// It happens now.
    #[default]
    #[enum_value(name = "Realtime: it happens now", nick = "realtime")]
    Realtime = 0,
    /// As realtime.
    #[enum_value(name = "Near-realtime: as realtime", nick = "near-realtime")]
    NearRealtime = 1,
    /// A recording.
    #[enum_value(name = "Offline: a recording", nick = "offline")]
    Offline = 2,
}

/// What happens when the buffer is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRsKvsSinkBufferPolicy")]
pub(crate) enum BufferPolicy {
    /// Drops when upstream is live, else blocks.
    #[default]
    #[enum_value(name = "Auto: drop the oldest when upstream is live, else block", nick = "auto")]
    Auto = 0,
    /// Upstream waits.
    #[enum_value(name = "Block: upstream waits", nick = "block")]
    Block = 1,
    /// The oldest whole fragments go.
    #[enum_value(name = "Drop oldest: the oldest whole fragments go", nick = "drop-oldest")]
    DropOldest = 2,
    /// It is an error.
    #[enum_value(name = "Error: it is an error", nick = "error")]
    Error = 3,
}

/// Where the time of a frame comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRsKvsSinkTimestampSource")]
pub(crate) enum TimestampSource {
    /// From upstream when it says so, else from the clock.
    #[default]
    #[enum_value(
        name = "Auto: reference timestamps (NTP, Unix) where upstream has them, else the pipeline's clock",
        nick = "auto"
    )]
    Auto = 0,
    /// From running time and the pipeline's clock.
    #[enum_value(name = "Pipeline clock: running time, mapped to UTC", nick = "pipeline-clock")]
    PipelineClock = 1,
    /// The moment of arrival.
    #[enum_value(name = "Arrival: the moment at which the frame arrives", nick = "arrival")]
    Arrival = 2,
    /// The buffer's own time.
    #[enum_value(name = "Buffer: the buffer's PTS, else its DTS, is UTC", nick = "buffer")]
    Buffer = 3,
}

/// Registers the element. Without a rank: `autovideosink` takes any sink of video that has one.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    #[cfg(feature = "doc")]
    {
        KvsSinkPad::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
        StreamingType::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
        BufferPolicy::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
        TimestampSource::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    }
    gst::Element::register(Some(plugin), "kvssink", gst::Rank::NONE, KvsSink::static_type())
}

//! What has happened so far.

use std::time::Duration;

use kvs_media::fragment::Counts;
use kvs_media::time::Utc;
use kvs_wire::FragmentNumber;

/// What has happened so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames that were pushed, and their bytes.
    pub frames_in: u64,
    /// Bytes of those.
    pub bytes_in: u64,
    /// Fragments that were begun.
    pub fragments_in: u64,
    /// Frames that went onto the wire, those that went again counted again.
    pub frames_sent: u64,
    /// Bytes that went onto the wire, everything included.
    pub bytes_sent: u64,
    /// Fragments that went onto the wire completely, those that went again counted again.
    pub fragments_sent: u64,
    /// Fragments that went again.
    pub fragments_resent: u64,
    /// Fragments that the service has received.
    pub fragments_received: u64,
    /// Fragments that are stored for good.
    pub fragments_persisted: u64,
    /// Frames in those.
    pub frames_persisted: u64,
    /// Fragments that were dropped.
    pub fragments_dropped: u64,
    /// Frames that were dropped.
    pub frames_dropped: u64,
    /// Bytes of those.
    pub bytes_dropped: u64,
    /// Fragments that wait to be acknowledged.
    pub fragments_held: u64,
    /// Frames in those, and what waits to be put in order.
    pub frames_held: u64,
    /// Bytes that are held for that.
    pub bytes_held: u64,
    /// Media time that is held.
    pub span_held: Duration,
    /// How old the oldest frame is that is not acknowledged; zero when all are.
    pub lag: Duration,
    /// Connections that were made.
    pub connections: u64,
    /// Those after the first that were not planned.
    pub reconnects: u64,
    /// Error acks.
    pub errors: u64,
    /// A connection is there.
    pub connected: bool,
    /// The number of the fragment that was acknowledged last.
    pub last_fragment_number: Option<FragmentNumber>,
    /// When it begins.
    pub last_fragment_time: Option<Utc>,
    /// When the last ack came that said that one is stored.
    pub last_persisted_at: Option<Utc>,
    /// What was mended, and what does not go out.
    pub cut: Counts,
}

/// What is not acknowledged at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remainder {
    /// Fragments.
    pub fragments: u64,
    /// Frames.
    pub frames: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

impl Remainder {
    /// All is acknowledged.
    pub const fn is_empty(&self) -> bool {
        self.frames == 0
    }
}

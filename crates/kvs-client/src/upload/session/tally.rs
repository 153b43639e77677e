//! What a session counts.

use kvs_media::time::Utc;
use kvs_wire::FragmentNumber;

use super::super::buffer::Fragment;

/// What a session counts.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) frames_sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) fragments_sent: u64,
    pub(crate) fragments_resent: u64,
    pub(crate) fragments_received: u64,
    pub(crate) fragments_persisted: u64,
    pub(crate) frames_persisted: u64,
    pub(crate) fragments_dropped: u64,
    pub(crate) frames_dropped: u64,
    pub(crate) bytes_dropped: u64,
    pub(crate) connections: u64,
    pub(crate) reconnects: u64,
    pub(crate) errors: u64,
    pub(crate) last_number: Option<FragmentNumber>,
    pub(crate) last_time: Option<Utc>,
    pub(crate) last_persisted_at: Option<Utc>,
}

impl Tally {
    /// A fragment is done with: stored for good, as far as anybody will say.
    pub(crate) fn settle(&mut self, fragment: &Fragment) {
        self.fragments_persisted += 1;
        self.frames_persisted += fragment.frames();
        self.last_time = Some(fragment.from);
    }

    /// A fragment is lost.
    pub(crate) fn lose(&mut self, fragment: &Fragment) {
        self.fragments_dropped += 1;
        self.frames_dropped += fragment.frames();
        self.bytes_dropped += fragment.payload();
    }
}

//! What has happened so far.

use std::time::Duration;

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of media that came.
    pub bytes: u64,
    /// Frames that were handed out.
    pub frames: u64,
    /// Fragments that were handed out whole.
    pub fragments: u64,
    /// Fragments that were passed over, since they had been handed out.
    pub duplicates: u64,
    /// Frames that were passed over in fragments that had been cut.
    pub duplicate_frames: u64,
    /// Silences between fragments.
    pub gaps: u64,
    /// What could not be had.
    pub lost: u64,
    /// Calls for media that the service has answered.
    pub connections: u64,
    /// Those of them that were made because another one broke or was ended by the service.
    pub reconnects: u64,
    /// Calls for lists.
    pub lists: u64,
    /// Attempts that did not come about.
    pub failures: u64,
    /// How far behind the tip the last whole fragment was, when it was read as it came.
    pub behind_now: Option<Duration>,
    /// Bytes that wait to be taken.
    pub bytes_held: u64,
    /// Items that wait to be taken.
    pub items_held: u64,
}

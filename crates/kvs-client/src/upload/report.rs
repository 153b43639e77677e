//! What a sender tells.

use std::time::Duration;

use kvs_media::fragment::{Discard, Repair};
use kvs_media::time::Utc;
use kvs_wire::Ack;

pub use crate::report::{ConnectionReport, ConnectionState, Failure, FailureKind};

/// Who is told. Called by the task that sends, without any lock; what takes long belongs elsewhere.
pub trait Listener: Send + Sync {
    /// Something happened.
    fn tell(&self, report: Report);
}

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Report {
    /// The connection came, went, or is being made.
    Connection(ConnectionReport),
    /// The service has said something of a fragment.
    Ack(AckReport),
    /// Media were mended.
    Repaired(Repair),
    /// A frame does not go out.
    Discarded(Discard),
    /// Media are lost.
    Dropped(Dropped),
    /// All that was pushed is acknowledged, after [`finish`](super::Upload::finish).
    Drained,
    /// It ends here: no later attempt can succeed. Comes once.
    Failed(Failure),
}

/// An ack, and what it speaks of.
#[derive(Clone, Debug)]
pub struct AckReport {
    /// As the service sent it.
    pub ack: Ack,
    /// When the fragment begins; `None` when the ack names none of ours.
    pub begin: Option<Utc>,
    /// From the last byte of the fragment on the wire to this ack.
    pub after: Option<Duration>,
}

/// Media that are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Why.
    pub reason: DropReason,
    /// Whole fragments of them.
    pub fragments: u64,
    /// Frames.
    pub frames: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// The first time in it.
    pub from: Utc,
    /// The last.
    pub to: Utc,
}

/// Why media are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// There was no room.
    Full,
    /// The service has refused the fragment again and again, the last time so.
    Refused(String),
}

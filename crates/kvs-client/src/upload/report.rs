//! What a sender tells.

use std::time::Duration;

use kvs_media::fragment::{Discard, Repair};
use kvs_media::time::Utc;
use kvs_wire::Ack;

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

/// How it stands with the connection.
#[derive(Clone, Debug)]
pub struct ConnectionReport {
    /// What it is now.
    pub state: ConnectionState,
    /// Where to; empty when that is not known yet.
    pub endpoint: String,
    /// Attempts since it was last there.
    pub attempts: u32,
    /// Why it went, or did not come.
    pub cause: Option<String>,
    /// The service's name for the request, to quote to its people.
    pub request_id: Option<String>,
}

/// What a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// Being made.
    Connecting,
    /// There.
    Connected,
    /// Not there; tried again after so long.
    Waiting(Duration),
    /// Not there, and nothing waits to be sent.
    Idle,
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

/// Why no later attempt can succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Of what kind.
    pub kind: FailureKind,
    /// For people: what, where, and what to do.
    pub message: String,
    /// The service's name for the request, when it was the service.
    pub request_id: Option<String>,
}

/// Of what kind a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Something that was set cannot be.
    Settings,
    /// There are no credentials at all.
    NoCredentials,
    /// The service refuses the name or the request itself.
    Refused,
    /// The stream is not there, and may not be made; or it is deleted.
    NoStream,
    /// Not connected within the time that was set.
    StartupTimeout,
    /// No room, and that was to be a failure.
    Full,
}

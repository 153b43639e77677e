//! What a reader tells.

use std::time::Duration;

use super::item::Lost;
pub use crate::report::{ConnectionReport, ConnectionState, Failure, FailureKind};

/// Who is told. Called by the task that reads, without any lock; what takes long belongs elsewhere.
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
    /// Something cannot be had. What is behind it follows.
    Lost(Lost),
    /// Nothing was sent to the stream. Told again every few seconds until something is.
    NoData {
        /// For so long.
        since: Duration,
    },
    /// It ends here: no later attempt can succeed. Comes once.
    Failed(Failure),
}

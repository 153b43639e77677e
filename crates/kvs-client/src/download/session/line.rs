//! One call, as the session sees it.

use kvs_media::time::{Monotonic, Utc};

/// The name of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in super::super) struct CallId(pub(in super::super) u64);

/// The time, by the clock that never steps and by the service's as far as that is known.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Now {
    pub(in super::super) clock: Monotonic,
    pub(in super::super) utc: Utc,
}

/// A call for media.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: CallId,
    /// The head of the answer has come.
    pub(super) open: bool,
    /// Fragments of it that have not come yet, where they are named.
    pub(super) rows: usize,
    /// So many were asked for.
    pub(super) asked: usize,
    /// Something has come.
    pub(super) fresh: bool,
    /// When the head of the answer came.
    pub(super) since: Monotonic,
    /// When something came last.
    pub(super) life: Monotonic,
}

impl Line {
    pub(super) const fn new(id: CallId, rows: usize, now: Monotonic) -> Self {
        Self { id, open: false, rows, asked: rows, fresh: false, since: now, life: now }
    }
}

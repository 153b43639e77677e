//! What can go wrong in the store, said precisely.

use std::io;

use super::encoding::Malformed;
use super::format::FormatError;
use super::number::{Number, SegmentId, StreamId};
use crate::files::FileError;
use crate::keys::CryptError;

/// Why the store cannot do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk.
    #[error("{what}: {source}")]
    Disk {
        /// What was being done.
        what: &'static str,
        /// What the disk said.
        source: io::Error,
    },
    /// Another process works in this folder.
    #[error("the data folder {0} is in use by another process")]
    InUse(String),
    /// Keys.
    #[error(transparent)]
    Crypt(#[from] CryptError),
    /// The key file cannot be read or made.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key file that says something wrong.
    #[error("{path}: {source}")]
    KeyFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: CryptError,
    },
    /// A database refuses.
    #[error("{name}: {source}")]
    Database {
        /// The file.
        name: &'static str,
        /// What it said.
        source: Box<redb::Error>,
    },
    /// Something stored makes no sense.
    #[error("{what}: {source}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// Where and what.
        source: Malformed,
    },
    /// A file of the segments folder is none.
    #[error("{segment}: {source}")]
    Segment {
        /// Which.
        segment: SegmentId,
        /// Why.
        source: FormatError,
    },
    /// A record that does not read as it was written.
    #[error("{segment} is damaged at byte {offset}")]
    Damaged {
        /// Where.
        segment: SegmentId,
        /// At which byte of it.
        offset: u64,
    },
    /// The fragment has expired, or its stream was deleted.
    #[error("fragment {number} of {stream} is gone")]
    Gone {
        /// Its stream.
        stream: StreamId,
        /// Its number.
        number: Number,
    },
    /// A range beyond the payload.
    #[error("bytes {start}..{end} of a payload of {length}")]
    Range {
        /// First byte.
        start: u64,
        /// Behind the last byte.
        end: u64,
        /// What there is.
        length: u64,
    },
    /// No such stream.
    #[error("no {0}")]
    NoStream(StreamId),
    /// A stream of that name exists.
    #[error("a stream named {0:?} exists")]
    NameTaken(String),
}

impl StoreError {
    pub(crate) fn disk(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { what, source }
    }

    pub(crate) fn malformed(what: &'static str) -> impl FnOnce(Malformed) -> Self {
        move |source| Self::Malformed { what, source }
    }
}

/// Why bytes were not stored. All of a batch that fails together get the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// No space left.
    #[error("no space left on the disk")]
    Full,
    /// The disk takes no writes.
    #[error("the disk is read-only")]
    ReadOnly,
    /// The disk failed otherwise.
    #[error("the disk failed: {0}")]
    Disk(String),
    /// Keys or random bytes failed.
    #[error(transparent)]
    Crypt(#[from] CryptError),
    /// The index takes no rows.
    #[error("the index takes no rows: {0}")]
    Index(String),
    /// Retention or deletion has passed this fragment before it was complete.
    #[error("expired before it was complete")]
    Expired,
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

impl From<&io::Error> for AppendError {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::Disk(error.to_string()),
        }
    }
}

//! What a reader tells.

use std::sync::Arc;

use bytes::Bytes;

use super::{Header, Id, Tag};
use crate::TrackNumber;
use crate::time::Timecode;

/// Something that a [`Reader`](super::Reader) found. Offsets count bytes from the start of the input.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The header section of a document is complete: its first cluster begins, or it has none.
    Document(Arc<Header>),
    /// A Tags element. Before a cluster it speaks of that cluster, by the service's definition. Those of the header
    /// section come behind [`Document`](Self::Document).
    Tags(Tags),
    /// A cluster began and its time is known.
    Cluster(Cluster),
    /// A frame.
    Frame(Frame),
    /// A frame began ([`Delivery::Parts`](super::Delivery::Parts)).
    FrameStart(FrameHead),
    /// More of that frame.
    FramePart(Bytes),
    /// That frame is complete.
    FrameEnd,
    /// The cluster is complete: the next element of its level, or the end of its declared size, was reached.
    ClusterEnd {
        /// The first byte that is not part of it.
        offset: u64,
        /// False when a new document began before the declared size of the cluster was reached.
        complete: bool,
    },
    /// An element between clusters that is not read: SeekHead, Cues, Chapters, Attachments, Void, or unknown.
    Skipped {
        /// The element.
        id: Id,
        /// Of its first byte.
        offset: u64,
        /// With id and size.
        length: u64,
    },
    /// The document is complete.
    DocumentEnd {
        /// The first byte that is not part of it.
        offset: u64,
    },
}

/// A Tags element.
#[derive(Clone, Debug, PartialEq)]
pub struct Tags {
    /// Of the element's first byte.
    pub offset: u64,
    /// The groups.
    pub tags: Vec<Tag>,
    /// The element as it was sent, with id and size.
    pub raw: Bytes,
}

/// The beginning of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Of the element's first byte.
    pub offset: u64,
    /// Its time.
    pub timecode: Timecode,
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What is known of it.
    pub head: FrameHead,
    /// What the codec wrote.
    pub payload: Bytes,
}

/// What is known of a frame before its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// The track that it belongs to.
    pub track: TrackNumber,
    /// Its time in the document (the cluster's and its own).
    pub timecode: Timecode,
    /// How long it lasts, in ticks, where its block says so.
    pub duration: Option<u64>,
    /// It can be decoded without any other.
    pub key: bool,
    /// Nothing else needs it.
    pub discardable: bool,
    /// To be decoded but not shown.
    pub invisible: bool,
    /// Bytes of payload.
    pub size: u64,
    /// Of the payload's first byte.
    pub offset: u64,
}

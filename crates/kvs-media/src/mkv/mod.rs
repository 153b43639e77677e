//! Matroska, as producers send it to the service and as the service sends it back.
//!
//! [`Reader`] takes bytes in pieces of any size and tells what is in them; [`Writer`] makes the bytes around
//! payloads that it never touches. Both know the whole of `PutMedia`'s layout, `GetMedia`'s (a document per
//! fragment, one after another), and what foreign muxers write. CRC-32 elements are passed over unchecked: the
//! transport below has better ones.

mod block;
mod document;
mod element;
mod error;
mod event;
mod header;
mod ids;
mod reader;
mod tags;
mod vint;
mod writer;

pub use error::{ReadError, ReadErrorKind};
pub use event::{Cluster, Event, Frame, FrameHead, Tags};
pub use header::{Header, Info};
pub use ids::{Id, Path};
pub use reader::{Delivery, Limits, Reader};
pub use tags::{END_OF_FRAGMENT, SimpleTag, Sizes, Tag, TagValue, write as write_tags};
pub use writer::{Block, Head, WriteError, Writer};

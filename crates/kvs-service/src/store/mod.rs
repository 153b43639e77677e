//! Where fragments are kept: durable, encrypted, indexed by time. `docs/storage.md` has the format and the promises.

mod base;
mod catalog;
mod crypt;
mod disk;
mod encoding;
mod error;
mod folder;
mod format;
mod fragment;
mod frames;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod log;
mod number;
mod numbering;
mod recovery;
mod retention;
mod segment;
mod shard;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
mod verify;
mod whole;

pub use catalog::Stream;
pub use disk::{Disk, DiskFile, FolderDisk};
pub use encoding::Malformed;
pub use error::{AppendError, StoreError};
pub use folder::Folder;
pub use format::{BLOCK_BYTES, FormatError, RecordKind};
pub use fragment::{Commit, Fragment};
pub use frames::{FrameEntry, FrameIndex, FrameIndexWriter, FrameRefused, Frames};
pub use index::{After, Between, RedbIndex, TimeIndex};
pub use log::SegmentStore;
pub use number::{FragmentRow, Number, Place, SegmentId, StreamId, Written};
pub use numbering::Numbering;
pub use recovery::{Damage, Recovery};
pub use shard::Upload;
pub use verify::Verification;
pub use whole::{Settings, Store};

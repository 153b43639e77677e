//! What goes out: the answers to GetMedia and to the calls of the archive.

mod chunk;

pub use chunk::{Chunk, failure, header};

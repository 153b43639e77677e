//! Pictures of real media: of the worker alone, and of the service that runs it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod media;
mod worker;

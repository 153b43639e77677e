//! The service on the network: one listener for control, media and archive, told apart by path.
//!
//! ```text
//! accept -> TLS -> Wire (stalls, resets) -> hyper -> route -> authenticate -> read the body -> authorize -> answer
//! ```
//!
//! A call that carries media is a stream of bytes that drives itself: it reads the request while it writes the
//! response, in the task of its connection, so that a frame wakes one task.

mod archive;
mod body;
mod call;
mod connection;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod get_media;
mod images;
mod listener;
mod page;
mod plain;
mod playback;
mod put_media;
mod route;
mod wire;

//! Playback: what is stored, packaged for players as they ask for it (kvs-api 6.2 to 6.6). Nothing is transcoded, and
//! nothing is kept twice.
//!
//! ```text
//! call -> Wish -> Ticket, sealed: the token ----> the player
//! token -> Ticket -> Timeline: which fragments, and when -> playlist, manifest
//!                        `-> Fragment -> head, and ranges of the payload: an Assembly -> the connection
//! ```
//!
//! A session has no state but its token. What was made of it is kept while there is room, and made again when it is
//! not there.

mod assembly;
pub(crate) mod dash;
mod facts;
mod generations;
pub(crate) mod hls;
mod packaging;
mod program;
mod request;
mod select;
mod sessions;
mod show;
mod ticket;
mod timeline;

pub(crate) use assembly::{Assembly, Piece, read};
pub(crate) use program::Unplayable;
pub(crate) use request::{ClipWish, Format, Mode, Wish};
pub(crate) use sessions::{Playback, PlaybackError};
pub(crate) use show::{MediaOf, Resource};
pub(crate) use ticket::{Ticket, TicketError};

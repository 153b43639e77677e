//! What the target `chunks` of `fuzz/` needs of the inside of a reader. No part of the crate's interface.

use bytes::Bytes;
use kvs_media::mkv::Limits;

use super::chunk::{Chunks, Found, Most, Source};

/// Frames that a fragment may have here.
pub const MOST_FRAMES: usize = 50;
/// Bytes of payload that it may have.
pub const MOST_BYTES: u64 = 20 << 10;

/// What was found in an answer, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What it was.
    pub kind: Kind,
    /// Bytes of payload of it.
    pub bytes: u64,
    /// All of it.
    pub text: String,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A fragment begins.
    Begin,
    /// A frame.
    Frame,
    /// A fragment ends, in one way or another, or something else is said of it.
    End,
}

/// Reads an answer in pieces of a size.
pub fn chunks(live: bool, bytes: &Bytes, size: usize) -> Vec<Told> {
    let limits =
        Limits { header_bytes: 16 << 10, tags_bytes: 4 << 10, frame_bytes: 32 << 10, tracks: 8, tags: 50 };
    let source = if live { Source::Live } else { Source::Archive };
    let mut chunks = Chunks::with(source, limits, Most { frames: MOST_FRAMES, bytes: MOST_BYTES });
    let (mut rest, mut told) = (bytes.clone(), Vec::new());
    while !rest.is_empty() {
        let mut piece = rest.split_to(size.clamp(1, rest.len()));
        while let Some(found) = chunks.read(&mut piece) {
            told.push(tell(&found));
        }
    }
    while let Some(found) = chunks.finish() {
        told.push(tell(&found));
    }
    told
}

fn tell(found: &Found) -> Told {
    let (kind, bytes) = match found {
        Found::Begin(_) => (Kind::Begin, 0),
        Found::Frame(frame) => (Kind::Frame, u64::try_from(frame.payload.len()).unwrap_or(u64::MAX)),
        _ => (Kind::End, 0),
    };
    Told { kind, bytes, text: format!("{found:?}") }
}

//! A fragment while it comes in.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kvs_media::time::{Monotonic, Utc};
use kvs_wire::FragmentNumber;

use crate::store::{BLOCK_BYTES, Number, Written};

/// What is known of a fragment when it begins.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) number: Number,
    pub(crate) wire_number: FragmentNumber,
    pub(crate) server_time: Utc,
    pub(crate) producer_time: Utc,
    /// The header section of its session, as it goes out.
    pub(crate) header: Bytes,
    /// Its tags, as they were sent.
    pub(crate) tags: Bytes,
    pub(crate) begun: Monotonic,
    /// It is on its way into the store, and does not stay in memory.
    pub(crate) stored: bool,
}

/// A fragment that is coming in, or that has come and is in memory.
pub(crate) struct Growing {
    opened: Opened,
    /// The number that was begun before this one.
    previous: Option<Number>,
    body: Mutex<Body>,
}

#[derive(Default)]
struct Body {
    /// In order, without a gap: blocks first, then what is no block yet.
    pieces: Vec<Piece>,
    /// How many of the pieces are blocks.
    blocks: usize,
    /// Where the blocks end, and where all ends.
    blocks_end: u64,
    end: u64,
    state: State,
}

struct Piece {
    start: u64,
    bytes: Place,
}

enum Place {
    Memory(Bytes),
    Store(Written),
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Complete(Completed),
    Aborted,
}

/// What is known of a fragment when all of it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Completed {
    /// From its earliest to its latest frame.
    pub(crate) length: Duration,
    pub(crate) frames: u64,
    pub(crate) at: Monotonic,
}

/// What there is to read at a place.
pub(crate) enum Part {
    /// These bytes.
    Bytes(Bytes),
    /// What was handed over to the store, from so many bytes on.
    Stored(Written, usize),
    /// More will come.
    Pending,
    /// This was all.
    End(Completed),
    /// It will never be complete.
    Aborted,
}

impl Growing {
    pub(super) fn new(opened: Opened, previous: Option<Number>) -> Self {
        Self { opened, previous, body: Mutex::default() }
    }

    pub(crate) fn opened(&self) -> &Opened {
        &self.opened
    }

    pub(crate) fn number(&self) -> Number {
        self.opened.number
    }

    pub(crate) fn previous(&self) -> Option<Number> {
        self.previous
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> u64 {
        self.body().end
    }

    /// What it takes in memory: its bytes, and what goes with the smallest of fragments.
    pub(crate) fn cost(&self) -> u64 {
        let around = self.opened.header.len() + self.opened.tags.len() + 1024;
        self.len().saturating_add(u64::try_from(around).unwrap_or(u64::MAX))
    }

    /// What is known since it is complete.
    pub(crate) fn completed(&self) -> Option<Completed> {
        match self.body().state {
            State::Complete(completed) => Some(completed),
            State::Open | State::Aborted => None,
        }
    }

    /// More bytes. Says whether there is enough for a block.
    pub(crate) fn push(&self, bytes: Bytes) -> bool {
        let mut body = self.body();
        if !bytes.is_empty() {
            let (start, length) = (body.end, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            body.pieces.push(Piece { start, bytes: Place::Memory(bytes) });
            body.end = start.saturating_add(length);
        }
        body.end - body.blocks_end >= BLOCK
    }

    /// Makes one piece of what is no block yet: whole blocks, or all of it at the `last`. Says which piece it is, for
    /// [`stored`](Self::stored).
    pub(crate) fn take_block(&self, last: bool) -> Option<(usize, Bytes)> {
        let mut body = self.body();
        let loose = body.end - body.blocks_end;
        let length = if last { loose } else { loose / BLOCK * BLOCK };
        if length == 0 {
            return None;
        }
        let (at, start) = (body.blocks, body.blocks_end);
        let loose = body.pieces.split_off(at);
        let (block, rest) = join(loose, usize::try_from(length).unwrap_or(usize::MAX));
        body.pieces.push(Piece { start, bytes: Place::Memory(block.clone()) });
        body.blocks = body.pieces.len();
        body.blocks_end = start + length;
        if !rest.is_empty() {
            let start = body.blocks_end;
            body.pieces.push(Piece { start, bytes: Place::Memory(rest) });
        }
        Some((at, block))
    }

    /// A block is in the store, and no longer needed here.
    pub(crate) fn stored(&self, block: usize, written: Written) {
        if let Some(piece) = self.body().pieces.get_mut(block) {
            piece.bytes = Place::Store(written);
        }
    }

    /// All of it has come.
    pub(crate) fn complete(&self, completed: Completed) {
        self.finish(State::Complete(completed));
    }

    /// It will never be complete.
    pub(crate) fn abort(&self) {
        self.finish(State::Aborted);
    }

    fn finish(&self, state: State) {
        let mut body = self.body();
        if body.state == State::Open {
            body.state = state;
        }
    }

    /// What there is at a place, at least a byte unless it ends here or more is to come.
    pub(crate) fn part(&self, position: u64) -> Part {
        let body = self.body();
        if position < body.end {
            let at = body.pieces.partition_point(|piece| piece.start <= position).saturating_sub(1);
            if let Some(Piece { start, bytes }) = body.pieces.get(at) {
                let skip = usize::try_from(position - start).unwrap_or(usize::MAX);
                return match bytes {
                    Place::Memory(bytes) => Part::Bytes(bytes.slice(skip.min(bytes.len())..)),
                    Place::Store(written) => Part::Stored(*written, skip),
                };
            }
        }
        match body.state {
            State::Open => Part::Pending,
            State::Complete(completed) => Part::End(completed),
            State::Aborted => Part::Aborted,
        }
    }

    fn body(&self) -> MutexGuard<'_, Body> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const BLOCK: u64 = BLOCK_BYTES as u64;

/// The first `length` bytes of some pieces as one, and the rest of the last piece that was touched.
fn join(pieces: Vec<Piece>, length: usize) -> (Bytes, Bytes) {
    let mut memory = pieces.into_iter().filter_map(|piece| match piece.bytes {
        Place::Memory(bytes) => Some(bytes),
        Place::Store(_) => None,
    });
    let Some(mut first) = memory.next() else { return (Bytes::new(), Bytes::new()) };
    // What came in one piece stays as it is, but no small part of a large buffer.
    if length >= BLOCK_BYTES && first.len() >= length {
        let block = first.split_to(length);
        let mut rest = BytesMut::from(&*first);
        memory.for_each(|bytes| rest.extend_from_slice(&bytes));
        return (block, rest.freeze());
    }
    let mut block = BytesMut::with_capacity(length);
    block.extend_from_slice(&first);
    let mut rest = BytesMut::new();
    for mut bytes in memory {
        let wanted = (length - block.len()).min(bytes.len());
        block.extend_from_slice(&bytes.split_to(wanted));
        rest.extend_from_slice(&bytes);
    }
    (block.freeze(), rest.freeze())
}

impl fmt::Debug for Growing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Growing").field("number", &self.opened.number).field("len", &self.len()).finish()
    }
}

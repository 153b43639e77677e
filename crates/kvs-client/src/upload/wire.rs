//! A fragment on the wire: the bytes around its payloads, and the payloads, without a copy.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use kvs_media::TrackNumber;
use kvs_media::mkv::{Block, Head, WriteError, Writer};
use kvs_media::time::{Timecode, TimecodeScale};

use super::buffer::{Entry, Fragment, SessionHeader};

/// Bytes that belong together, in several places.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    parts: VecDeque<Part>,
    remaining: usize,
}

#[derive(Debug)]
enum Part {
    /// What stands around payloads, and how much of it has gone.
    Head(Head, usize),
    Bytes(Bytes),
}

impl Part {
    fn rest(&self) -> &[u8] {
        match self {
            Self::Head(head, gone) => head.get(*gone..).unwrap_or_default(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl Gather {
    fn head(&mut self, head: Head) {
        self.remaining += head.len();
        self.parts.push_back(Part::Head(head, 0));
    }

    fn bytes(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.remaining += bytes.len();
            self.parts.push_back(Part::Bytes(bytes));
        }
    }
}

impl Buf for Gather {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map(Part::rest).unwrap_or_default()
    }

    fn chunks_vectored<'a>(&'a self, places: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (place, part) in places.iter_mut().zip(&self.parts) {
            *place = IoSlice::new(part.rest());
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        debug_assert!(count <= self.remaining, "beyond the end");
        self.remaining = self.remaining.saturating_sub(count);
        while let Some(first) = self.parts.front_mut() {
            let here = first.rest().len();
            if count < here {
                match first {
                    Part::Head(_, gone) => *gone += count,
                    Part::Bytes(bytes) => bytes.advance(count),
                }
                return;
            }
            count -= here;
            self.parts.pop_front();
        }
    }
}

/// The document of one connection.
#[derive(Debug)]
pub(crate) struct Document {
    header: Arc<SessionHeader>,
    without: Vec<TrackNumber>,
    writer: Writer,
    scale: TimecodeScale,
    /// What timecodes count from.
    base: Timecode,
}

impl Document {
    /// Begins the document that a fragment belongs to.
    pub(crate) fn begin(first: &Fragment, base: Timecode, out: &mut Gather) -> Result<Self, WriteError> {
        let header = Arc::clone(&first.header);
        let without = first.without.clone();
        let declared: Vec<_> =
            header.tracks.iter().filter(|track| !without.contains(&track.number)).cloned().collect();
        let (writer, bytes) = Writer::new(&header.info, &declared)?;
        out.bytes(bytes);
        Ok(Self { scale: header.info.scale, header, without, writer, base })
    }

    /// Whether a fragment belongs to it.
    pub(crate) fn takes(&self, fragment: &Fragment) -> bool {
        Arc::ptr_eq(&self.header, &fragment.header) && self.without == fragment.without
    }

    /// Begins a fragment. Returns the time, in milliseconds, by which acks will name it.
    pub(crate) fn fragment(&mut self, fragment: &Fragment, out: &mut Gather) -> Result<i64, WriteError> {
        out.bytes(self.writer.tags(&fragment.tags));
        let timecode = self.relative(fragment.timecode);
        out.head(self.writer.cluster(timecode)?);
        Ok(self.scale.instant(timecode).map_or(i64::MAX, kvs_media::time::Utc::millis))
    }

    /// A frame of it, unless its track is left out. True when it went out.
    pub(crate) fn frame(&self, entry: &Entry, out: &mut Gather) -> Result<bool, WriteError> {
        if self.without.contains(&entry.block.track) {
            return Ok(false);
        }
        let block = Block { timecode: self.relative(entry.block.timecode), ..entry.block };
        out.head(self.writer.frame(block, entry.payload.len())?);
        out.bytes(entry.payload.clone());
        Ok(true)
    }

    /// Says that no other follows at once.
    pub(crate) fn end_of_fragment(&mut self, out: &mut Gather) {
        out.bytes(self.writer.end_of_fragment());
    }

    const fn relative(&self, timecode: Timecode) -> Timecode {
        Timecode::from_ticks(timecode.ticks().saturating_sub(self.base.ticks()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_gather_list_reads_as_its_parts_however_it_is_taken(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..12),
            takes in prop::collection::vec(0_usize..50, 0..40),
        ) {
            let mut gather = Gather::default();
            let mut expected = Vec::new();
            for (index, part) in parts.iter().enumerate() {
                expected.extend_from_slice(part);
                if index % 2 == 0 {
                    gather.bytes(Bytes::copy_from_slice(part));
                } else {
                    let mut head = Head::default();
                    head.extend(part.iter().copied());
                    let fits = head.len();
                    gather.head(head);
                    expected.truncate(expected.len() - part.len() + fits);
                }
            }
            prop_assert_eq!(gather.remaining(), expected.len());
            let mut read = Vec::new();
            for take in takes {
                let mut places = [IoSlice::new(&[]); 4];
                let count = gather.chunks_vectored(&mut places);
                let joined: Vec<u8> = places[..count].iter().flat_map(|place| place.to_vec()).collect();
                prop_assert!(expected[read.len()..].starts_with(&joined));
                let take = take.min(gather.remaining());
                read.extend_from_slice(&gather.copy_to_bytes(take));
            }
            read.extend_from_slice(&gather.copy_to_bytes(gather.remaining()));
            prop_assert_eq!(read, expected);
        }
    }
}

//! An answer that is put together from what is stored, as it is sent.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::store::{Fragment, Store, StoreError};

/// Bytes that are read at a time, and that an answer has in memory.
const READ: u64 = 512 << 10;

/// Parts, one behind another.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    parts: VecDeque<Part>,
    length: u64,
}

#[derive(Debug)]
enum Part {
    Bytes(Bytes),
    /// Parts of a fragment's payload, in their order there.
    Stored {
        fragment: Arc<Fragment>,
        ranges: VecDeque<Range<u64>>,
    },
}

/// What is to be read next.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Nothing.
    Bytes(Bytes),
    /// These parts of a payload.
    Stored { fragment: Arc<Fragment>, ranges: Vec<Range<u64>> },
}

impl Assembly {
    pub(crate) fn bytes(&mut self, bytes: Bytes) {
        self.length = self.length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.parts.push_back(Part::Bytes(bytes));
    }

    /// Parts of a fragment's payload, in their order there.
    pub(crate) fn stored(&mut self, fragment: Arc<Fragment>, ranges: impl Iterator<Item = Range<u64>>) {
        let mut joined: VecDeque<Range<u64>> = VecDeque::new();
        for range in ranges.filter(|range| !range.is_empty()) {
            self.length = self.length.saturating_add(range.end - range.start);
            match joined.back_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => joined.push_back(range),
            }
        }
        self.parts.push_back(Part::Stored { fragment, ranges: joined });
    }

    /// Puts another behind it.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.length = self.length.saturating_add(other.length);
        self.parts.append(&mut other.parts);
    }

    pub(crate) const fn len(&self) -> u64 {
        self.length
    }

    /// Leaves this part of it, which is within it.
    pub(crate) fn cut(&mut self, wanted: &Range<u64>) {
        let (mut skip, mut take) = (wanted.start, wanted.end.saturating_sub(wanted.start));
        for part in &mut self.parts {
            match part {
                Part::Bytes(bytes) => {
                    let whole = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    let from = skip.min(whole);
                    let until = (from + take.min(whole - from)).min(whole);
                    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                    *bytes = bytes.slice(place(from)..place(until));
                    (skip, take) = (skip - from, take - (until - from));
                }
                Part::Stored { ranges, .. } => {
                    for range in ranges {
                        let whole = range.end - range.start;
                        let from = skip.min(whole);
                        let length = take.min(whole - from);
                        *range = range.start + from..range.start + from + length;
                        (skip, take) = (skip - from, take - length);
                    }
                }
            }
        }
        self.length = self.length.min(wanted.end.saturating_sub(wanted.start));
    }

    /// What comes next; none at the end.
    pub(crate) fn next(&mut self) -> Option<Piece> {
        loop {
            match self.parts.front_mut()? {
                Part::Bytes(bytes) => {
                    let bytes = std::mem::take(bytes);
                    self.parts.pop_front();
                    if !bytes.is_empty() {
                        return Some(Piece::Bytes(bytes));
                    }
                }
                Part::Stored { fragment, ranges } => {
                    let fragment = Arc::clone(fragment);
                    let group = group(ranges);
                    if ranges.is_empty() {
                        self.parts.pop_front();
                    }
                    if !group.is_empty() {
                        return Some(Piece::Stored { fragment, ranges: group });
                    }
                }
            }
        }
    }
}

/// As many of the first ranges as are read at a time.
fn group(ranges: &mut VecDeque<Range<u64>>) -> Vec<Range<u64>> {
    let mut group: Vec<Range<u64>> = Vec::new();
    let mut most = None;
    while let Some(range) = ranges.front_mut() {
        if range.is_empty() {
            ranges.pop_front();
            continue;
        }
        // What lies between is read too: blocks are sealed as a whole.
        let most = *most.get_or_insert(range.start.saturating_add(READ));
        if range.start >= most {
            break;
        }
        let end = range.end.min(most);
        group.push(range.start..end);
        range.start = end;
    }
    group
}

/// As many of the first ranges as are read at a time, each of them whole.
pub(crate) fn group_of_whole(ranges: &mut VecDeque<Range<u64>>) -> Vec<Range<u64>> {
    let first = ranges.front().map_or(0, |range| range.start);
    let within = ranges.iter().take_while(|range| range.end.saturating_sub(first) <= READ).count();
    ranges.drain(..within.max(1).min(ranges.len())).collect()
}

/// Reads parts of a payload. Waits for the disk.
pub(crate) fn read(store: &Store, fragment: &Fragment, ranges: &[Range<u64>]) -> Result<Bytes, StoreError> {
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return Ok(Bytes::new()) };
    let cover = first.start..last.end;
    let place = |at: u64| usize::try_from(at - cover.start).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(place(cover.end));
    store.payload(fragment, cover.clone(), &mut bytes)?;
    let mut kept = 0;
    for range in ranges {
        let (from, until) = (place(range.start), place(range.end).min(bytes.len()));
        if from != kept {
            bytes.copy_within(from.min(until)..until, kept);
        }
        kept += until.saturating_sub(from);
    }
    bytes.truncate(kept);
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Commit, FragmentRow, FrameIndexWriter, Number, Place, SegmentId, StreamId};
    use kvs_media::time::Utc;
    use proptest::prelude::*;

    fn fragment() -> Arc<Fragment> {
        let commit = Commit {
            producer_time: Utc::EPOCH,
            length_ms: 0,
            timecode: 0,
            timecode_scale: 1_000_000,
            header: Bytes::new(),
            tags: Bytes::new(),
            frames: FrameIndexWriter::new().finish(),
        };
        let row = FragmentRow {
            stream: StreamId(1),
            number: Number::FIRST,
            producer_time: Utc::EPOCH,
            length_ms: 0,
            size: 0,
            segment: SegmentId(1),
            place: Place { offset: 0, length: 0 },
        };
        Arc::new(Fragment { row, commit, payload: u64::MAX, blocks: Vec::new() })
    }

    /// What stands at a place of every payload.
    fn stands(at: u64) -> u8 {
        at.wrapping_mul(0x9E37_79B9).to_be_bytes()[4]
    }

    fn sent(mut assembly: Assembly) -> Vec<u8> {
        let mut sent = Vec::new();
        while let Some(piece) = assembly.next() {
            match piece {
                Piece::Bytes(bytes) => sent.extend_from_slice(&bytes),
                Piece::Stored { ranges, .. } => {
                    let cover = ranges.last().unwrap().end - ranges[0].start;
                    assert!(cover <= READ, "{cover} bytes at once");
                    sent.extend(ranges.into_iter().flatten().map(stands));
                }
            }
        }
        sent
    }

    /// A head, and ranges as gaps and lengths.
    type Given = (Vec<u8>, Vec<(u64, u64)>);

    fn assembly(parts: &[Given]) -> Assembly {
        let mut assembly = Assembly::default();
        for (head, ranges) in parts {
            assembly.bytes(head.clone().into());
            let mut end = 0;
            let ranges: Vec<_> = ranges
                .iter()
                .map(|(gap, length)| {
                    let start = end + gap;
                    end = start + length;
                    start..end
                })
                .collect();
            assembly.stored(fragment(), ranges.into_iter());
        }
        assembly
    }

    proptest! {
        #[test]
        fn a_part_is_the_same_part_of_the_whole(
            parts in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..40),
                    prop::collection::vec((prop_oneof![Just(0), 0_u64..700_000], 0_u64..3_000), 0..12)),
                0..4,
            ),
            (from, to) in any::<(u64, u64)>(),
        ) {
            let whole = sent(assembly(&parts));
            let total = whole.len() as u64;
            prop_assert_eq!(assembly(&parts).len(), total);
            let start = from % (total + 1);
            let end = start + to % (total - start + 1);
            let mut cut = assembly(&parts);
            cut.cut(&(start..end));
            prop_assert_eq!(cut.len(), end - start);
            let place = |at: u64| usize::try_from(at).unwrap();
            prop_assert!(sent(cut) == whole[place(start)..place(end)]);
        }
    }

    #[test]
    fn a_range_that_is_larger_than_what_is_read_comes_in_pieces() {
        let parts = [(Vec::new(), vec![(5, 3 * READ + 7), (0, 9), (READ, 1)])];
        let whole = sent(assembly(&parts));
        assert_eq!(whole.len() as u64, 3 * READ + 17);
        assert!(whole.iter().zip(5..).take(1_000).all(|(byte, at)| *byte == stands(at)));
        let mut ranges = VecDeque::from([0..10, 20..30, 40..2 * READ, 2 * READ..2 * READ + 5]);
        assert_eq!(group_of_whole(&mut ranges), [0..10, 20..30]);
        assert!(group_of_whole(&mut ranges).iter().eq([&(40..2 * READ)]));
        assert_eq!((group_of_whole(&mut ranges).len(), ranges.len()), (1, 0));
        assert!(group_of_whole(&mut ranges).is_empty());
    }
}

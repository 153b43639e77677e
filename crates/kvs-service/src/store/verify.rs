//! Walks everything that is stored and opens every record.

use std::collections::{HashMap, HashSet};

use super::error::StoreError;
use super::format::{ALIGN, RecordKind, SEGMENT_HEADER};
use super::fragment::Fragment;
use super::index::{Between, TimeIndex};
use super::log::SegmentLog;
use super::number::{FragmentRow, Number, Place, SegmentId, StreamId};
use super::recovery::{Damage, segments};
use super::segment::{Found, Segment};

/// What a walk over everything found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Segments walked.
    pub segments: u64,
    /// Records opened.
    pub records: u64,
    /// Fragments that read whole.
    pub fragments: u64,
    /// Bytes of their payload.
    pub bytes: u64,
    /// Torn and flipped records, and the fragments that they cost.
    pub damage: Vec<Damage>,
    /// Segments whose header is gone.
    pub lost: Vec<SegmentId>,
    /// Listed, and not whole in the segments.
    pub unreadable: Vec<(StreamId, Number)>,
    /// Whole in the segments, and not listed.
    pub unlisted: Vec<(StreamId, Number)>,
}

impl Verification {
    /// Nothing that was acknowledged is lost, and the lists are right.
    pub fn is_sound(&self) -> bool {
        self.unreadable.is_empty() && self.unlisted.is_empty() && self.lost.is_empty()
    }
}

pub(crate) fn verify(log: &SegmentLog) -> Result<Verification, StoreError> {
    let mut verification = Verification::default();
    let mut whole = HashSet::new();
    // What was listed before the walk must be found by it, and what is found must be listed after it: fragments that
    // arrive or expire meanwhile are on neither side.
    let before = listed(log)?;
    for id in segments(log)? {
        verification.segments += 1;
        match Segment::open(&*log.ground.disk, id) {
            Ok(segment) => verification.walk(log, &segment, &mut whole)?,
            Err(StoreError::Segment { .. }) => verification.lost.push(id),
            Err(error) => return Err(error),
        }
    }
    let after = listed(log)?;
    let live = |(stream, number): &(StreamId, Number)| {
        log.catalog.stream(*stream).is_some() && log.index.floor(*stream).is_none_or(|floor| *number > floor)
    };
    verification.unreadable =
        before.iter().filter(|row| !whole.contains(*row)).filter(|row| live(row)).copied().collect();
    verification.unlisted =
        whole.iter().filter(|row| !after.contains(*row)).filter(|row| live(row)).copied().collect();
    verification.unreadable.sort_unstable();
    verification.unlisted.sort_unstable();
    Ok(verification)
}

fn listed(log: &SegmentLog) -> Result<HashSet<(StreamId, Number)>, StoreError> {
    let mut all = HashSet::new();
    for stream in log.index.streams()? {
        let mut from = Number::FIRST;
        loop {
            let rows = log.index.list(stream, Between::Numbers(from, Number::LAST), None, 4096)?;
            let Some(last) = rows.last() else { break };
            from = last.number.next();
            all.extend(rows.iter().map(|row| (row.stream, row.number)));
        }
    }
    Ok(all)
}

impl Verification {
    fn walk(
        &mut self,
        log: &SegmentLog,
        segment: &Segment,
        whole: &mut HashSet<(StreamId, Number)>,
    ) -> Result<(), StoreError> {
        let end = match segment.trailer()? {
            Some(trailer) => {
                let rows = segment.footer(log.catalog.store_key(), trailer);
                if let Err(StoreError::Damaged { .. } | StoreError::Malformed { .. }) = rows {
                    self.damaged(segment.id(), trailer.footer.offset, u64::from(trailer.footer.length));
                }
                trailer.footer.offset - ALIGN
            }
            None => segment.file.len().map_err(StoreError::disk("read a segment"))?,
        };
        let mut sound: HashMap<u64, u32> = HashMap::new();
        let mut fragments: Vec<Fragment> = Vec::new();
        let mut keys = HashMap::new();
        let mut buffer = Vec::new();
        for found in segment.scan(SEGMENT_HEADER, end) {
            let (offset, header) = match found? {
                Found::Record(offset, header) => (offset, header),
                Found::Damage(from, to) => {
                    self.damaged(segment.id(), from, to - from);
                    continue;
                }
            };
            // The records of a deleted stream open for nobody.
            let Some(stream) = log.catalog.stream(header.stream) else { continue };
            if let std::collections::hash_map::Entry::Vacant(vacant) = keys.entry(stream.id) {
                vacant.insert(segment.records_key(&stream.data_key, stream.id)?);
            }
            let Some(key) = keys.get(&stream.id) else { continue };
            let place = Place { offset, length: header.length };
            self.records += 1;
            match segment.read(key, (header.kind, stream.id), place, &mut buffer) {
                Ok(_) if header.kind == RecordKind::Block => drop(sound.insert(offset, header.length)),
                Ok(body) => match Fragment::decode(body, stream.id, segment.id(), place) {
                    Ok(fragment) => fragments.push(fragment),
                    Err(_) => self.damaged(segment.id(), offset, header.extent()),
                },
                Err(StoreError::Damaged { .. }) => self.damaged(segment.id(), offset, header.extent()),
                Err(error) => return Err(error),
            }
        }
        for fragment in fragments {
            self.judge(log, &fragment, &sound, whole);
        }
        Ok(())
    }

    /// A fragment is whole when all its blocks are.
    fn judge(
        &mut self,
        log: &SegmentLog,
        fragment: &Fragment,
        sound: &HashMap<u64, u32>,
        whole: &mut HashSet<(StreamId, Number)>,
    ) {
        let FragmentRow { stream, number, segment, .. } = fragment.row;
        if log.index.floor(stream).is_some_and(|floor| number <= floor) {
            return;
        }
        let missing = fragment.blocks.iter().find(|block| sound.get(&block.offset) != Some(&block.length));
        let Some(block) = missing else {
            self.fragments += 1;
            self.bytes = self.bytes.saturating_add(fragment.payload);
            whole.insert((stream, number));
            return;
        };
        let within = |damage: &&mut Damage| {
            damage.segment == segment
                && block.offset < damage.offset + damage.length
                && damage.offset <= block.offset
        };
        match self.damage.iter_mut().find(within) {
            Some(damage) => damage.fragments.push((stream, number)),
            None => self.damage.push(Damage {
                segment,
                offset: block.offset,
                length: u64::from(block.length),
                fragments: vec![(stream, number)],
            }),
        }
    }

    fn damaged(&mut self, segment: SegmentId, offset: u64, length: u64) {
        self.damage.push(Damage { segment, offset, length, fragments: Vec::new() });
    }
}

//! What a start does: finds what the index does not know yet, and seals what a crash left open.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::crypt::Sealer;
use super::encoding::len64;
use super::error::StoreError;
use super::format::{ALIGN, RecordKind, SEGMENT_HEADER, SEGMENTS};
use super::fragment::Fragment;
use super::index::{SegmentUse, TimeIndex};
use super::log::{SegmentLog, read_fragment};
use super::number::{FragmentRow, Number, Place, SegmentId, StreamId};
use super::segment::{Found, Segment};
use crate::keys::CryptError;

/// Bytes of a segment that do not read as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: SegmentId,
    /// From this byte of it.
    pub offset: u64,
    /// So many bytes.
    pub length: u64,
    /// Fragments that are lost with it. None: it belonged to nothing that was acknowledged.
    pub fragments: Vec<(StreamId, Number)>,
}

/// What a start found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments looked into, because the index did not know all of them.
    pub segments: u64,
    /// Of those, so many were open at the end of the last run, and are sealed now.
    pub sealed: u64,
    /// Fragments that the index did not know yet.
    pub fragments: u64,
    /// Torn and flipped bytes.
    pub damage: Vec<Damage>,
    /// Segments that are missing or have lost their header, with what was in them.
    pub lost: Vec<SegmentId>,
}

/// Segments on the disk, oldest first.
pub(crate) fn segments(log: &SegmentLog) -> Result<Vec<SegmentId>, StoreError> {
    let names = log.ground.disk.list(SEGMENTS).map_err(StoreError::disk("list the segments"))?;
    let mut ids: Vec<_> = names.iter().filter_map(|name| SegmentId::from_file_name(name)).collect();
    ids.sort_unstable();
    Ok(ids)
}

pub(crate) fn recover(log: &SegmentLog) -> Result<Recovery, StoreError> {
    let mut recovery = Recovery::default();
    let uses = log.index.uses();
    let present = segments(log)?;
    for id in &present {
        let usage = uses.get(id).copied().unwrap_or_default();
        if usage.sealed == 0 {
            recovery.segments += 1;
            recovery.take_up(log, *id, usage)?;
        }
    }
    let present: HashSet<_> = present.into_iter().collect();
    recovery.lost.extend(uses.keys().filter(|id| !present.contains(id)));
    recovery.unlist_lost(log)?;
    log.index.write(&[])?;
    Ok(recovery)
}

impl Recovery {
    fn take_up(&mut self, log: &SegmentLog, id: SegmentId, usage: SegmentUse) -> Result<(), StoreError> {
        let segment = match Segment::open(&*log.ground.disk, id) {
            Ok(segment) => segment,
            Err(StoreError::Segment { .. }) if never_used(log, id)? => {
                return log
                    .ground
                    .disk
                    .remove(&id.file_name())
                    .map_err(StoreError::disk("remove an empty segment"));
            }
            Err(StoreError::Segment { source, .. }) => {
                tracing::error!(segment = %id, error = %source, "segment lost");
                self.lost.push(id);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let footer = match segment.trailer()? {
            Some(trailer) => segment.footer(log.catalog.store_key(), trailer).map(Some),
            None => Ok(None),
        };
        let (rows, length) = match footer {
            Ok(Some(rows)) => (rows, segment.file.len().map_err(StoreError::disk("read a segment"))?),
            // Without a footer, or with a damaged one.
            Ok(None) | Err(StoreError::Damaged { .. } | StoreError::Malformed { .. }) => {
                let (rows, end) = self.scan(log, &segment, usage.mark)?;
                let mut salt = [0; 32];
                log.ground.random.fill(&mut salt).map_err(CryptError::from)?;
                self.sealed += 1;
                let length = match segment.seal(log.catalog.store_key(), salt, &rows, end) {
                    Ok(length) => length,
                    // A full or read-only disk: what is there can be read; the next start tries again.
                    Err(error) => {
                        tracing::warn!(segment = %id, %error, "segment left unsealed");
                        0
                    }
                };
                (rows, length)
            }
            Err(error) => return Err(error),
        };
        let new = rows.iter().filter(|row| row.place.offset >= usage.mark);
        self.fragments += u64::try_from(new.count()).unwrap_or(0);
        // Rows of streams that are no more stay out; so do those that have expired.
        let rows: Vec<_> = rows.into_iter().filter(|row| log.catalog.stream(row.stream).is_some()).collect();
        let end = rows.last().map_or(SEGMENT_HEADER, |row| {
            row.place.offset.saturating_add(super::format::extent(row.place.length))
        });
        let _ = log.index.insert(&rows, end);
        if length > 0 {
            log.index.sealed(id, length);
        }
        log.index.write_when_enough()
    }

    /// The fragments of an unsealed segment that read whole, and where its bytes end.
    fn scan(
        &mut self,
        log: &SegmentLog,
        segment: &Segment,
        mark: u64,
    ) -> Result<(Vec<FragmentRow>, u64), StoreError> {
        let end = used(segment)?;
        let length = segment.file.len().map_err(StoreError::disk("read a segment"))?;
        let mut rows = Vec::new();
        let mut keys: HashMap<StreamId, Sealer> = HashMap::new();
        let mut buffer = Vec::new();
        for found in segment.scan(SEGMENT_HEADER, end.min(length)) {
            let (offset, header) = match found? {
                Found::Record(offset, header) if header.kind == RecordKind::Fragment => (offset, header),
                Found::Record(..) => continue,
                Found::Damage(from, to) => {
                    self.report(segment.id(), from, to - from, Vec::new());
                    continue;
                }
            };
            let Some(stream) = log.catalog.stream(header.stream) else { continue };
            let place = Place { offset, length: header.length };
            let key = match keys.entry(stream.id) {
                Entry::Occupied(key) => key.into_mut(),
                Entry::Vacant(vacant) => vacant.insert(segment.records_key(&stream.data_key, stream.id)?),
            };
            match read_fragment(segment, key, stream.id, place, &mut buffer) {
                Ok(fragment) => {
                    let gone = log.index.floor(stream.id).is_some_and(|floor| fragment.row.number <= floor);
                    if gone {
                        continue;
                    }
                    let lost = vec![(stream.id, fragment.row.number)];
                    // What the index took up before the crash was synced before that.
                    match if offset < mark { None } else { first_damage(segment, key, &fragment)? } {
                        None => rows.push(fragment.row),
                        Some(block) => {
                            self.report(segment.id(), block.offset, u64::from(block.length), lost);
                        }
                    }
                }
                Err(StoreError::Damaged { .. } | StoreError::Malformed { .. }) => {
                    self.report(segment.id(), offset, header.extent(), Vec::new());
                }
                Err(error) => return Err(error),
            }
        }
        Ok((rows, end))
    }

    fn report(&mut self, segment: SegmentId, offset: u64, length: u64, fragments: Vec<(StreamId, Number)>) {
        tracing::warn!(%segment, offset, length, fragments = fragments.len(), "damaged bytes in a segment");
        self.damage.push(Damage { segment, offset, length, fragments });
    }

    /// What cannot be read is not listed.
    fn unlist_lost(&self, log: &SegmentLog) -> Result<(), StoreError> {
        if self.lost.is_empty() {
            return Ok(());
        }
        let lost: HashSet<_> = self.lost.iter().copied().collect();
        for stream in log.index.streams()? {
            let mut from = Number::FIRST;
            loop {
                let rows = log.index.by_number(stream, from, Number::LAST, 4096)?;
                let Some(last) = rows.last() else { break };
                from = last.number.next();
                let gone: Vec<_> = rows.into_iter().filter(|row| lost.contains(&row.segment)).collect();
                if !gone.is_empty() {
                    log.index.write(&gone)?;
                }
            }
        }
        lost.into_iter().for_each(|id| log.index.forget(id));
        Ok(())
    }
}

/// The first Block record of a fragment that does not open.
fn first_damage(
    segment: &Segment,
    sealer: &Sealer,
    fragment: &Fragment,
) -> Result<Option<Place>, StoreError> {
    let mut buffer = Vec::new();
    for block in &fragment.blocks {
        match segment.read(sealer, (RecordKind::Block, fragment.row.stream), *block, &mut buffer) {
            Ok(_) => {}
            Err(StoreError::Damaged { .. }) => return Ok(Some(*block)),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Where the bytes of a segment end and the zeros that were allocated begin.
fn used(segment: &Segment) -> Result<u64, StoreError> {
    let length = segment.file.len().map_err(StoreError::disk("read a segment"))?;
    let written = segment.file.written(length).map_err(StoreError::disk("read a segment"))?;
    let mut chunk = vec![0; 1 << 18];
    // Most of what was allocated was never written, and need not be read to know it.
    for range in written.into_iter().rev() {
        let (mut end, floor) = (range.end, range.start.max(SEGMENT_HEADER));
        while end > floor {
            let start = end.saturating_sub(len64(&chunk)).max(floor);
            let part = usize::try_from(end - start).ok().and_then(|length| chunk.get_mut(..length));
            let Some(part) = part else { break };
            segment.file.read_at(part, start).map_err(StoreError::disk("read a segment"))?;
            if let Some(last) = part.iter().rposition(|byte| *byte != 0) {
                let last = start + u64::try_from(last).unwrap_or(0) + 1;
                // A record's own zeros may be its last bytes: it ends where its header says.
                return Ok(last.next_multiple_of(ALIGN).max(record_end(segment, last)?));
            }
            end = start;
        }
    }
    Ok(SEGMENT_HEADER)
}

/// The end of the last record with a sound header that begins before `last`.
fn record_end(segment: &Segment, last: u64) -> Result<u64, StoreError> {
    let length = segment.file.len().map_err(StoreError::disk("read a segment"))?;
    let mut end = SEGMENT_HEADER;
    for found in segment.scan(SEGMENT_HEADER, length) {
        match found? {
            Found::Record(at, header) if at < last => end = at + header.extent(),
            Found::Record(..) => break,
            Found::Damage(..) => {}
        }
    }
    Ok(end)
}

/// A file whose first page never became a header, and that has nothing behind it.
fn never_used(log: &SegmentLog, id: SegmentId) -> Result<bool, StoreError> {
    let file = log.ground.disk.open(&id.file_name()).map_err(StoreError::disk("open a segment"))?;
    let length = file.len().map_err(StoreError::disk("read a segment"))?;
    let mut chunk = vec![0; 1 << 18];
    let mut at = SEGMENT_HEADER;
    while at < length {
        let count = usize::try_from(length - at).unwrap_or(usize::MAX).min(chunk.len());
        let Some(part) = chunk.get_mut(..count) else { break };
        file.read_at(part, at).map_err(StoreError::disk("read a segment"))?;
        if part.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += len64(part);
    }
    Ok(true)
}

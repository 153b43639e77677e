//! What goes, and in which order: first the watermark (durable), so that nothing removed ever comes back; then the
//! bytes; then the rows. Whatever is cut short is finished by the next start.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use kvs_media::time::Utc;

use super::error::StoreError;
use super::format::{SEGMENT_HEADER, SEGMENTS, extent};
use super::index::{Between, TimeIndex};
use super::log::SegmentLog;
use super::number::{FragmentRow, Number, Place, SegmentId, StreamId};
use super::recovery::segments;
use super::segment::Found;

/// Rows that go in one transaction.
const AT_ONCE: usize = 1024;

/// Everything that came before its time is gone, of each stream. Says how many fragments.
pub(crate) fn expire(log: &SegmentLog, streams: &[(StreamId, Utc)]) -> Result<u64, StoreError> {
    let mut marks = Vec::new();
    for (stream, time) in streams {
        marks.extend(expired(log, *stream, *time)?.map(|last| (*stream, last)));
    }
    // A watermark is a sync of the disk, and this is asked every few seconds.
    if marks.is_empty() { Ok(0) } else { remove_up_to(log, &marks) }
}

/// The last row that came before a time, and not what lies between that and the next: a fragment that is still coming
/// in may have its number there.
fn expired(log: &SegmentLog, stream: StreamId, time: Utc) -> Result<Option<Number>, StoreError> {
    // As a rule the first is young enough.
    let (mut last, mut from, mut limit) = (None, Number::FIRST, 1);
    loop {
        let page = log.index.list(stream, Between::Numbers(from, Number::LAST), None, limit)?;
        let expired = page.iter().take_while(|row| row.number.server_time() < Some(time));
        let Some(row) = expired.last() else { return Ok(last) };
        last = Some(row.number);
        (from, limit) = (row.number.next(), AT_ONCE);
    }
}

/// Removes the oldest fragments of all streams until the segments take no more than `most` bytes.
pub(crate) fn shrink(log: &SegmentLog, most: u64) -> Result<u64, StoreError> {
    let mut removed = 0;
    loop {
        let excess = occupied(log)?.saturating_sub(most);
        if excess == 0 {
            return Ok(removed);
        }
        let marks = oldest(log, excess)?;
        if marks.is_empty() {
            return Ok(removed);
        }
        removed += remove_up_to(log, &marks)?;
    }
}

/// How far each stream must go, so that the oldest fragments of so many bytes go.
fn oldest(log: &SegmentLog, bytes: u64) -> Result<Vec<(StreamId, Number)>, StoreError> {
    let mut heap = BinaryHeap::new();
    let mut rows = HashMap::new();
    for stream in log.index.streams()? {
        next_page(log, stream, Number::FIRST, &mut rows, &mut heap)?;
    }
    let mut marks = std::collections::BTreeMap::new();
    let mut freed = 0;
    while freed < bytes
        && let Some(Reverse((_, stream))) = heap.pop()
    {
        let page: &mut std::collections::VecDeque<FragmentRow> = rows.entry(stream).or_default();
        let Some(row) = page.pop_front() else { continue };
        freed += row.size;
        marks.insert(stream, row.number);
        match page.front() {
            Some(next) => heap.push(Reverse((next.number.server_ms, stream))),
            None => next_page(log, stream, row.number.next(), &mut rows, &mut heap)?,
        }
    }
    Ok(marks.into_iter().collect())
}

type Pages = HashMap<StreamId, std::collections::VecDeque<FragmentRow>>;

fn next_page(
    log: &SegmentLog,
    stream: StreamId,
    from: Number,
    rows: &mut Pages,
    heap: &mut BinaryHeap<Reverse<(u64, StreamId)>>,
) -> Result<(), StoreError> {
    let page = log.index.list(stream, Between::Numbers(from, Number::LAST), None, 64)?;
    if let Some(first) = page.first() {
        heap.push(Reverse((first.number.server_ms, stream)));
        rows.insert(stream, page.into());
    }
    Ok(())
}

fn remove_up_to(log: &SegmentLog, marks: &[(StreamId, Number)]) -> Result<u64, StoreError> {
    log.catalog.raise_watermarks(marks)?;
    log.index.raise_floors(marks);
    let removed = sweep(log, marks.iter().map(|(stream, _)| *stream))?;
    remove_empty(log)?;
    Ok(removed)
}

/// Nothing of a stream can be read from here on. Its space comes back with [`reclaim`].
pub(crate) fn delete(log: &SegmentLog, stream: StreamId) -> Result<(), StoreError> {
    log.catalog.delete(stream)?;
    log.index.raise_floors(&[(stream, Number::LAST)]);
    Ok(())
}

/// Gives back the space of streams that were deleted.
pub(crate) fn reclaim(log: &SegmentLog) -> Result<(), StoreError> {
    let mut dead = log.index.streams()?;
    dead.retain(|stream| log.catalog.stream(*stream).is_none());
    if dead.is_empty() {
        return Ok(());
    }
    sweep(log, dead)?;
    remove_empty(log)
}

/// Removes what is no longer listed: bytes first, so that a row is there for as long as there are bytes to find.
fn sweep(log: &SegmentLog, streams: impl IntoIterator<Item = StreamId>) -> Result<u64, StoreError> {
    let mut removed = 0;
    let mut deleted_from = BTreeSet::new();
    let mut rows = Vec::new();
    let mut streams = streams.into_iter();
    let mut next = streams.next();
    while let Some(stream) = next {
        let room = AT_ONCE - rows.len();
        let dead = log.index.dead(stream, room)?;
        // What is dead stays so until its row is written off.
        if dead.len() < room {
            next = streams.next();
        }
        rows.extend(dead);
        if rows.len() == AT_ONCE || (next.is_none() && !rows.is_empty()) {
            give_back(log, &rows, &mut deleted_from);
            log.index.write(&rows)?;
            removed += u64::try_from(rows.len()).unwrap_or(0);
            rows.clear();
        }
    }
    Ok(removed)
}

/// Gives back the space of dead fragments: in one piece where nothing of a segment lives on.
fn give_back(log: &SegmentLog, rows: &[FragmentRow], deleted_from: &mut BTreeSet<(SegmentId, StreamId)>) {
    let mut dying: HashMap<SegmentId, (u64, u64)> = HashMap::new();
    for row in rows {
        let (count, end) = dying.entry(row.segment).or_default();
        // The record that commits a fragment is its last.
        (*count, *end) = (*count + 1, (*end).max(row.place.offset + extent(row.place.length)));
    }
    let uses = log.index.uses();
    dying.retain(|id, (count, end)| {
        let whole = uses.get(id).is_some_and(|usage| usage.sealed > 0 && usage.fragments <= *count);
        if whole {
            punch(log, *id, SEGMENT_HEADER, end.saturating_sub(SEGMENT_HEADER));
        }
        !whole
    });
    for row in rows.iter().filter(|row| dying.contains_key(&row.segment)) {
        if log.catalog.stream(row.stream).is_some() {
            punch_fragment(log, row);
        } else if deleted_from.insert((row.segment, row.stream)) {
            punch_stream(log, row.segment, row.stream);
        }
    }
}

/// Segments in which nothing lives any more go as files.
fn remove_empty(log: &SegmentLog) -> Result<(), StoreError> {
    let mut any = false;
    for (id, usage) in log.index.uses() {
        if usage.sealed > 0 && usage.fragments == 0 {
            log.forget(id);
            match log.ground.disk.remove(&id.file_name()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::Disk { what: "remove a segment", source: error });
                }
                _ => log.index.forget(id),
            }
            any = true;
        }
    }
    if any {
        log.ground.disk.sync_names(SEGMENTS).map_err(StoreError::disk("sync the segments"))?;
        log.index.write(&[])?;
    }
    Ok(())
}

/// Space that cannot be given back now is given back with the whole segment.
fn punch(log: &SegmentLog, segment: SegmentId, from: u64, length: u64) {
    let punched = log
        .segment(segment)
        .and_then(|segment| segment.file.punch(from, length).map_err(StoreError::disk("punch a hole")));
    if let Err(error) = punched {
        tracing::debug!(%segment, %error, "no hole");
    }
}

fn punch_fragment(log: &SegmentLog, row: &FragmentRow) {
    let Ok(segment) = log.segment(row.segment) else { return };
    let Some(stream) = log.catalog.stream(row.stream) else { return };
    let Ok(sealer) = segment.records_key(&stream.data_key, stream.id) else { return };
    let fragment = super::log::read_fragment(&segment, &sealer, stream.id, row.place, &mut Vec::new());
    let Ok(fragment) = fragment else { return };
    let mut runs = Runs::default();
    for Place { offset, length } in fragment.blocks.iter().chain([&row.place]) {
        runs.add(log, row.segment, *offset, extent(*length));
    }
    runs.end(log, row.segment);
}

/// Without its key the places of a fragment's blocks cannot be read; the plain headers say whose a record is.
fn punch_stream(log: &SegmentLog, segment: SegmentId, stream: StreamId) {
    let Ok(opened) = log.segment(segment) else { return };
    let Ok(end) = opened.file.len() else { return };
    let mut runs = Runs::default();
    for found in opened.scan(SEGMENT_HEADER, end) {
        match found {
            Ok(Found::Record(offset, header)) if header.stream == stream => {
                runs.add(log, segment, offset, header.extent());
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    runs.end(log, segment);
}

/// Records that lie one behind the other make one hole.
#[derive(Default)]
struct Runs(Option<(u64, u64)>);

impl Runs {
    fn add(&mut self, log: &SegmentLog, segment: SegmentId, offset: u64, length: u64) {
        match &mut self.0 {
            Some((_, end)) if *end == offset => *end += length,
            _ => {
                self.end(log, segment);
                self.0 = Some((offset, offset + length));
            }
        }
    }

    fn end(&mut self, log: &SegmentLog, segment: SegmentId) {
        if let Some((start, end)) = self.0.take() {
            punch(log, segment, start, end - start);
        }
    }
}

/// Bytes that the segments take on the disk.
pub(crate) fn occupied(log: &SegmentLog) -> Result<u64, StoreError> {
    segments(log)?.into_iter().try_fold(0_u64, |sum, id| {
        let file = match log.ground.disk.open(&id.file_name()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(sum),
            other => other.map_err(StoreError::disk("open a segment"))?,
        };
        Ok(sum.saturating_add(file.occupied().map_err(StoreError::disk("read a segment"))?))
    })
}

/// Finishes what the last run began.
pub(crate) fn finish(log: &SegmentLog) -> Result<(), StoreError> {
    let streams = log.index.streams()?;
    for stream in &streams {
        if log.catalog.stream(*stream).is_none() {
            log.index.raise_floors(&[(*stream, Number::LAST)]);
        }
    }
    sweep(log, streams)?;
    remove_empty(log)
}

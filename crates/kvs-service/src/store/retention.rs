//! What goes, and in which order: first the watermark (durable), so that nothing removed ever comes back; then the
//! bytes; then the rows. Whatever is cut short is finished by the next start.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

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

/// Everything of a stream that came before `time` is gone. Says how many fragments.
pub(crate) fn expire(log: &SegmentLog, stream: StreamId, time: Utc) -> Result<u64, StoreError> {
    // The last row that came before it, and not what lies between that and the next: a fragment that is still coming
    // in may have its number there.
    let (mut last, mut from) = (None, Number::FIRST);
    loop {
        let page = log.index.list(stream, Between::Numbers(from, Number::LAST), None, AT_ONCE)?;
        let expired = page.iter().take_while(|row| row.number.server_time() < Some(time));
        let Some(row) = expired.last() else { break };
        last = Some(row.number);
        from = row.number.next();
    }
    match last {
        Some(last) => remove_up_to(log, &[(stream, last)]),
        None => Ok(0),
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
    let mut rows = std::collections::HashMap::new();
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

type Pages = std::collections::HashMap<StreamId, std::collections::VecDeque<FragmentRow>>;

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
    let mut removed = 0;
    for (stream, _) in marks {
        removed += sweep(log, *stream)?;
    }
    remove_empty(log)?;
    Ok(removed)
}

/// Nothing of a stream can be read from here on, and its space comes back.
pub(crate) fn delete(log: &SegmentLog, stream: StreamId) -> Result<(), StoreError> {
    log.catalog.delete(stream)?;
    log.index.raise_floors(&[(stream, Number::LAST)]);
    sweep(log, stream)?;
    remove_empty(log)
}

/// Removes what is no longer listed: bytes first, so that a row is there for as long as there are bytes to find.
fn sweep(log: &SegmentLog, stream: StreamId) -> Result<u64, StoreError> {
    let mut removed = 0;
    let mut deleted_from = BTreeSet::new();
    loop {
        let rows = log.index.dead(stream, AT_ONCE)?;
        if rows.is_empty() {
            break;
        }
        let key_is_there = log.catalog.stream(stream).is_some();
        for row in &rows {
            if key_is_there {
                punch_fragment(log, row);
            } else if deleted_from.insert(row.segment) {
                punch_stream(log, row.segment, stream);
            }
        }
        log.index.write(&rows)?;
        removed += u64::try_from(rows.len()).unwrap_or(0);
    }
    Ok(removed)
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
    let mut run: Option<(u64, u64)> = None;
    for Place { offset, length } in fragment.blocks.iter().chain([&row.place]) {
        let end = offset + extent(*length);
        run = match run {
            Some((start, before)) if before == *offset => Some((start, end)),
            Some((start, before)) => {
                punch(log, row.segment, start, before - start);
                Some((*offset, end))
            }
            None => Some((*offset, end)),
        };
    }
    if let Some((start, end)) = run {
        punch(log, row.segment, start, end - start);
    }
}

/// Without its key the places of a fragment's blocks cannot be read; the plain headers say whose a record is.
fn punch_stream(log: &SegmentLog, segment: SegmentId, stream: StreamId) {
    let Ok(opened) = log.segment(segment) else { return };
    let Ok(end) = opened.file.len() else { return };
    for found in opened.scan(SEGMENT_HEADER, end) {
        match found {
            Ok(Found::Record(offset, header)) if header.stream == stream => {
                punch(log, segment, offset, header.extent());
            }
            Ok(_) => {}
            Err(_) => return,
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
    for stream in log.index.streams()? {
        if log.catalog.stream(stream).is_none() {
            log.index.raise_floors(&[(stream, Number::LAST)]);
        }
        sweep(log, stream)?;
    }
    remove_empty(log)
}

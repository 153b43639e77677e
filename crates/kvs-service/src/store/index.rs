//! Which fragments exist, by number and by time. Derived: everything in it can be made again from segments.
//!
//! New rows are in memory first (listed at once), and go into redb many at a time, in one durable transaction with
//! how far each segment has been taken up. A start takes up the rest from the segments.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use kvs_media::time::Utc;
use redb::{ReadTransaction, ReadableTable, TableDefinition};

use super::base::Base;
use super::disk::Disk;
use super::encoding::{Malformed, Reader, put_varint};
use super::error::{AppendError, StoreError};
use super::fragment::{put_row, read_row};
use super::number::{FragmentRow, Number, SegmentId, StreamId};

/// Which fragments of a stream. Both ends belong to it; times are those of a fragment's start (kvs-api 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// From one number to another.
    Numbers(Number, Number),
    /// By the producer's time; listed in its order.
    ProducerTimes(Utc, Utc),
    /// By the time of arrival.
    ServerTimes(Utc, Utc),
}

/// Where a listing goes on: behind this row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// Its producer time.
    pub producer_time: Utc,
    /// Its number.
    pub number: Number,
}

impl From<&FragmentRow> for After {
    fn from(row: &FragmentRow) -> Self {
        Self { producer_time: row.producer_time, number: row.number }
    }
}

/// "These fragments exist", "which between": what a database must answer to take the place of [`RedbIndex`].
pub trait TimeIndex: Send + Sync {
    /// These fragments of one segment are durable; the segment is taken up to `mark`. An answer for each.
    fn insert(&self, rows: &[FragmentRow], mark: u64) -> Vec<Result<(), AppendError>>;
    /// Nothing more will come in this segment; so long it is.
    fn sealed(&self, segment: SegmentId, length: u64);
    /// At most `limit` fragments, in order.
    fn list(
        &self,
        stream: StreamId,
        between: Between,
        after: Option<After>,
        limit: usize,
    ) -> Result<Vec<FragmentRow>, StoreError>;
    /// One fragment.
    fn get(&self, stream: StreamId, number: Number) -> Result<Option<FragmentRow>, StoreError> {
        Ok(self.list(stream, Between::Numbers(number, number), None, 1)?.pop())
    }
    /// The oldest.
    fn first(&self, stream: StreamId) -> Result<Option<FragmentRow>, StoreError> {
        Ok(self.list(stream, Between::Numbers(Number::FIRST, Number::LAST), None, 1)?.pop())
    }
    /// The newest.
    fn last(&self, stream: StreamId) -> Result<Option<FragmentRow>, StoreError>;
}

/// How much of a segment is in use, and how much of it the index knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentUse {
    /// Everything before this has been taken up.
    pub(crate) mark: u64,
    /// Its length when it is sealed, else zero.
    pub(crate) sealed: u64,
    pub(crate) fragments: u64,
    pub(crate) bytes: u64,
}

type RowKey = [u8; 28];
type TimeKey = [u8; 36];
const ROWS: TableDefinition<'_, &RowKey, &[u8]> = TableDefinition::new("fragments");
const TIMES: TableDefinition<'_, &TimeKey, ()> = TableDefinition::new("producer times");
const SEGMENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("segments");

const CACHE: usize = 32 << 20;
/// Rows in memory that are worth a transaction.
const ENOUGH: usize = 4096;
/// Rows in memory after which no more are taken, while the disk refuses them.
const MOST: usize = 1 << 20;
const FLUSH_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Fresh {
    rows: BTreeMap<(StreamId, Number), FragmentRow>,
    times: BTreeSet<(StreamId, Utc, Number)>,
    uses: HashMap<SegmentId, SegmentUse>,
    dirty: HashSet<SegmentId>,
    /// Nothing up to here is listed.
    floors: HashMap<StreamId, Number>,
}

/// The index on redb.
pub struct RedbIndex {
    base: Base,
    fresh: RwLock<Fresh>,
    /// One transaction at a time, from its picture of `fresh` until that is put right again.
    writing: Mutex<()>,
    enough: (Mutex<Wanted>, Condvar),
}

#[derive(Debug, Default)]
struct Wanted {
    flush: bool,
    closed: bool,
}

fn row_key(stream: StreamId, number: Number) -> RowKey {
    let mut key = [0; 28];
    let (head, tail) = key.split_at_mut(8);
    head.copy_from_slice(&stream.0.to_be_bytes());
    tail.copy_from_slice(&number.to_bytes());
    key
}

fn time_key(stream: StreamId, time: Utc, number: Number) -> TimeKey {
    let mut key = [0; 36];
    let (head, rest) = key.split_at_mut(8);
    let (middle, tail) = rest.split_at_mut(8);
    head.copy_from_slice(&stream.0.to_be_bytes());
    // The sign bit turned, so that bytes sort as the numbers do.
    middle.copy_from_slice(&(time.nanos().cast_unsigned() ^ (1 << 63)).to_be_bytes());
    tail.copy_from_slice(&number.to_bytes());
    key
}

fn number_of(key: &[u8]) -> Number {
    key.last_chunk::<20>().and_then(|bytes| Number::from_bytes(bytes)).unwrap_or(Number::FIRST)
}

fn stream_of(key: &[u8]) -> StreamId {
    StreamId(key.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
}

fn corrupt(error: Malformed) -> redb::Error {
    redb::Error::Corrupted(error.to_string())
}

fn row_of(key: &RowKey, value: &[u8]) -> Result<FragmentRow, redb::Error> {
    read_row(&mut Reader::new(value), stream_of(key), number_of(key)).map_err(corrupt)
}

impl SegmentUse {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for part in [self.mark, self.sealed, self.fragments, self.bytes] {
            put_varint(&mut out, part);
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut part = || reader.varint("segment use");
        Ok(Self { mark: part()?, sealed: part()?, fragments: part()?, bytes: part()? })
    }
}

impl RedbIndex {
    /// The file in the data folder.
    pub const FILE: &'static str = "index.redb";

    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        floors: impl IntoIterator<Item = (StreamId, Number)>,
    ) -> Result<Self, StoreError> {
        let base = Base::open(disk, Self::FILE, CACHE)?;
        base.write(|transaction| {
            transaction.open_table(ROWS)?;
            transaction.open_table(TIMES)?;
            transaction.open_table(SEGMENTS)?;
            Ok(())
        })?;
        let uses = base.read(|transaction| {
            let mut uses = HashMap::new();
            for row in transaction.open_table(SEGMENTS)?.iter()? {
                let (id, value) = row?;
                uses.insert(SegmentId(id.value()), SegmentUse::decode(value.value()).map_err(corrupt)?);
            }
            Ok(uses)
        })?;
        let fresh = Fresh { uses, floors: floors.into_iter().collect(), ..Fresh::default() };
        Ok(Self {
            base,
            fresh: RwLock::new(fresh),
            writing: Mutex::default(),
            enough: (Mutex::default(), Condvar::new()),
        })
    }

    fn fresh(&self) -> std::sync::RwLockReadGuard<'_, Fresh> {
        self.fresh.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh_mut(&self) -> std::sync::RwLockWriteGuard<'_, Fresh> {
        self.fresh.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn uses(&self) -> HashMap<SegmentId, SegmentUse> {
        self.fresh().uses.clone()
    }

    pub(crate) fn floor(&self, stream: StreamId) -> Option<Number> {
        self.fresh().floors.get(&stream).copied()
    }

    /// From now on nothing up to these numbers is listed or taken up.
    pub(crate) fn raise_floors(&self, marks: &[(StreamId, Number)]) {
        let mut fresh = self.fresh_mut();
        for (stream, number) in marks {
            let floor = fresh.floors.entry(*stream).or_insert(*number);
            *floor = (*floor).max(*number);
        }
    }

    /// Streams that have rows, listed or not.
    pub(crate) fn streams(&self) -> Result<Vec<StreamId>, StoreError> {
        let fresh = self.fresh();
        let mut streams: BTreeSet<_> = fresh.rows.keys().map(|(stream, _)| *stream).collect();
        streams.extend(self.base.read(|transaction| {
            let table = transaction.open_table(ROWS)?;
            let mut found = Vec::new();
            let mut from = Some(StreamId(0));
            while let Some(stream) = from {
                let next = table.range::<&RowKey>(&row_key(stream, Number::FIRST)..)?.next().transpose()?;
                from = next.and_then(|(key, _)| {
                    let stream = stream_of(key.value());
                    found.push(stream);
                    stream.0.checked_add(1).map(StreamId)
                });
            }
            Ok(found)
        })?);
        Ok(streams.into_iter().collect())
    }

    /// Rows that are no longer listed and still there, oldest first.
    pub(crate) fn dead(&self, stream: StreamId, limit: usize) -> Result<Vec<FragmentRow>, StoreError> {
        match self.floor(stream) {
            Some(floor) => self.by_number(stream, Number::FIRST, floor, limit),
            None => Ok(Vec::new()),
        }
    }

    /// Writes what is in memory and removes these rows, in one durable transaction.
    pub(crate) fn write(&self, removed: &[FragmentRow]) -> Result<(), StoreError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: HashSet<_> = removed.iter().map(|row| (row.stream, row.number)).collect();
        let mut fresh = self.fresh_mut();
        let mut dirty = std::mem::take(&mut fresh.dirty);
        let rows: Vec<_> =
            fresh.rows.values().filter(|row| !gone.contains(&(row.stream, row.number))).copied().collect();
        let mut lost: HashMap<SegmentId, (u64, u64)> = HashMap::new();
        for row in removed {
            let (fragments, bytes) = lost.entry(row.segment).or_default();
            (*fragments, *bytes) = (*fragments + 1, bytes.saturating_add(row.size));
        }
        dirty.extend(lost.keys());
        let less = |id: SegmentId, mut usage: SegmentUse| {
            let (fragments, bytes) = lost.get(&id).copied().unwrap_or_default();
            usage.fragments = usage.fragments.saturating_sub(fragments);
            usage.bytes = usage.bytes.saturating_sub(bytes);
            usage
        };
        let uses: Vec<_> =
            dirty.iter().map(|id| (*id, fresh.uses.get(id).map(|usage| less(*id, *usage)))).collect();
        drop(fresh);
        if rows.is_empty() && removed.is_empty() && uses.is_empty() {
            return Ok(());
        }
        let written = self.base.write(|transaction| {
            let mut table = transaction.open_table(ROWS)?;
            let mut times = transaction.open_table(TIMES)?;
            let mut segments = transaction.open_table(SEGMENTS)?;
            let mut value = Vec::new();
            for row in &rows {
                value.clear();
                put_row(&mut value, row);
                table.insert(&row_key(row.stream, row.number), value.as_slice())?;
                times.insert(&time_key(row.stream, row.producer_time, row.number), ())?;
            }
            for row in removed {
                table.remove(&row_key(row.stream, row.number))?;
                times.remove(&time_key(row.stream, row.producer_time, row.number))?;
            }
            for (id, usage) in &uses {
                match usage {
                    Some(usage) => segments.insert(id.0, usage.encode().as_slice())?,
                    None => segments.remove(id.0)?,
                };
            }
            Ok(())
        });
        let mut fresh = self.fresh_mut();
        if let Err(error) = written {
            fresh.dirty.extend(dirty);
            return Err(error);
        }
        for row in rows.iter().chain(removed) {
            fresh.rows.remove(&(row.stream, row.number));
            fresh.times.remove(&(row.stream, row.producer_time, row.number));
        }
        for id in lost.keys() {
            if let Some(usage) = fresh.uses.get_mut(id) {
                *usage = less(*id, *usage);
            }
        }
        Ok(())
    }

    /// Keeps memory bounded while many rows are taken up.
    pub(crate) fn write_when_enough(&self) -> Result<(), StoreError> {
        if self.fresh().rows.len() < ENOUGH { Ok(()) } else { self.write(&[]) }
    }

    /// The segment's file is gone.
    pub(crate) fn forget(&self, segment: SegmentId) {
        let mut fresh = self.fresh_mut();
        fresh.uses.remove(&segment);
        fresh.dirty.insert(segment);
    }

    /// Writes now and then, until [`close`](Self::close).
    pub(crate) fn run(&self) {
        let (wanted, signal) = &self.enough;
        loop {
            let guard = wanted.lock().unwrap_or_else(PoisonError::into_inner);
            let waited =
                signal.wait_timeout_while(guard, FLUSH_EVERY, |wanted| !wanted.flush && !wanted.closed);
            let (mut guard, _) = waited.unwrap_or_else(PoisonError::into_inner);
            guard.flush = false;
            let closed = guard.closed;
            drop(guard);
            if let Err(error) = self.write(&[]) {
                tracing::warn!(%error, "the index keeps its rows in memory");
            }
            if closed {
                return;
            }
        }
    }

    pub(crate) fn close(&self) {
        self.enough.0.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.enough.1.notify_all();
    }

    /// Rows in order, out of memory and redb as one.
    pub(crate) fn by_number(
        &self,
        stream: StreamId,
        from: Number,
        to: Number,
        limit: usize,
    ) -> Result<Vec<FragmentRow>, StoreError> {
        if from > to {
            return Ok(Vec::new());
        }
        // Held to the end: rows move from memory to redb only when nobody is between the two.
        let fresh = self.fresh();
        let new = || fresh.rows.range((stream, from)..=(stream, to)).map(|(_, row)| *row);
        self.base.read(|transaction| {
            let table = transaction.open_table(ROWS)?;
            let stored = table.range::<&RowKey>(&row_key(stream, from)..=&row_key(stream, to))?.map(|row| {
                let (key, value) = row?;
                row_of(key.value(), value.value())
            });
            merge(stored, new(), |row| row.number, limit)
        })
    }

    fn by_producer_time(
        &self,
        stream: StreamId,
        (from, to): ((Utc, Number), (Utc, Number)),
        limit: usize,
    ) -> Result<Vec<FragmentRow>, StoreError> {
        if from > to {
            return Ok(Vec::new());
        }
        let fresh = self.fresh();
        let floor = fresh.floors.get(&stream).copied();
        let listed = |number: Number| floor.is_none_or(|floor| number > floor);
        let new = || {
            fresh
                .times
                .range((stream, from.0, from.1)..=(stream, to.0, to.1))
                .filter(|(_, _, number)| listed(*number))
                .filter_map(|(_, _, number)| fresh.rows.get(&(stream, *number)).copied())
        };
        self.base.read(|transaction| {
            let (times, table) = (transaction.open_table(TIMES)?, transaction.open_table(ROWS)?);
            let (low, high) = (time_key(stream, from.0, from.1), time_key(stream, to.0, to.1));
            let stored = times.range::<&TimeKey>(&low..=&high)?.filter_map(|entry| {
                let row = || {
                    let number = number_of(entry?.0.value());
                    if !listed(number) {
                        return Ok(None);
                    }
                    let key = row_key(stream, number);
                    table.get(&key)?.map(|value| row_of(&key, value.value())).transpose()
                };
                row().transpose()
            });
            merge(stored, new(), |row| (row.producer_time, row.number), limit)
        })
    }

    /// The first number whose fragment came at `time` or later. Server times never go back within a stream.
    fn by_server_time(&self, stream: StreamId, from: Number, time: Utc) -> Result<Number, StoreError> {
        let fresh = self.fresh();
        let time =
            u64::try_from(time.nanos().div_euclid(1_000_000) + i64::from(time.nanos() % 1_000_000 != 0))
                .unwrap_or(0);
        self.base.read(|transaction| {
            let next = |number: Number| -> Result<Option<Number>, redb::Error> {
                let stored = next_stored(transaction, stream, number)?;
                let new = fresh
                    .rows
                    .range((stream, number)..=(stream, Number::LAST))
                    .next()
                    .map(|((_, number), _)| *number);
                Ok([stored, new].into_iter().flatten().min())
            };
            let late = |number: Option<Number>| number.is_none_or(|number| number.server_ms >= time);
            // The answer's sequence is within low..=high.
            let (mut low, mut high) = (from.sequence, u64::MAX);
            while low < high {
                let middle = low + (high - low) / 2;
                let at = Number { sequence: middle, ..Number::FIRST }.max(from);
                if late(next(at)?) { high = middle } else { low = middle + 1 }
            }
            Ok(Number { sequence: low, ..Number::FIRST }.max(from))
        })
    }
}

fn next_stored(
    transaction: &ReadTransaction,
    stream: StreamId,
    from: Number,
) -> Result<Option<Number>, redb::Error> {
    let table = transaction.open_table(ROWS)?;
    let row = table
        .range::<&RowKey>(&row_key(stream, from)..=&row_key(stream, Number::LAST))?
        .next()
        .transpose()?;
    Ok(row.map(|(key, _)| number_of(key.value())))
}

/// Two sorted runs as one; a row in both is listed once.
fn merge<K: Ord>(
    stored: impl Iterator<Item = Result<FragmentRow, redb::Error>>,
    new: impl Iterator<Item = FragmentRow>,
    key: impl Fn(&FragmentRow) -> K,
    limit: usize,
) -> Result<Vec<FragmentRow>, redb::Error> {
    let (mut stored, mut new) = (stored.peekable(), new.peekable());
    let mut rows = Vec::with_capacity(limit.min(1024));
    while rows.len() < limit {
        let order = match (stored.peek(), new.peek()) {
            (None, None) => break,
            (Some(_), None) | (Some(Err(_)), _) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(Ok(stored)), Some(new)) => key(stored).cmp(&key(new)),
        };
        if order.is_eq() {
            stored.next();
        }
        let row = if order.is_lt() { stored.next().transpose()? } else { new.next() };
        rows.extend(row);
    }
    Ok(rows)
}

impl TimeIndex for RedbIndex {
    fn insert(&self, rows: &[FragmentRow], mark: u64) -> Vec<Result<(), AppendError>> {
        let mut fresh = self.fresh_mut();
        let fresh = &mut *fresh;
        let results = rows
            .iter()
            .map(|row| {
                let usage = fresh.uses.entry(row.segment).or_default();
                let known = row.place.offset < usage.mark;
                if fresh.floors.get(&row.stream).is_some_and(|floor| row.number <= *floor) {
                    return Err(AppendError::Expired);
                }
                if known {
                    return Ok(());
                }
                if fresh.rows.len() >= MOST {
                    return Err(AppendError::Index("too many rows wait in memory".into()));
                }
                usage.fragments += 1;
                usage.bytes = usage.bytes.saturating_add(row.size);
                fresh.rows.insert((row.stream, row.number), *row);
                fresh.times.insert((row.stream, row.producer_time, row.number));
                Ok(())
            })
            .collect();
        for row in rows {
            let usage = fresh.uses.entry(row.segment).or_default();
            usage.mark = usage.mark.max(mark);
            fresh.dirty.insert(row.segment);
        }
        if fresh.rows.len() >= ENOUGH {
            self.enough.0.lock().unwrap_or_else(PoisonError::into_inner).flush = true;
            self.enough.1.notify_all();
        }
        results
    }

    fn sealed(&self, segment: SegmentId, length: u64) {
        let mut fresh = self.fresh_mut();
        let usage = fresh.uses.entry(segment).or_default();
        usage.sealed = length;
        usage.mark = usage.mark.max(length);
        fresh.dirty.insert(segment);
    }

    fn list(
        &self,
        stream: StreamId,
        between: Between,
        after: Option<After>,
        limit: usize,
    ) -> Result<Vec<FragmentRow>, StoreError> {
        let listed = self.floor(stream).map_or(Number::FIRST, Number::next);
        let behind = after.map_or(listed, |after| after.number.next().max(listed));
        match between {
            Between::Numbers(from, to) => self.by_number(stream, from.max(behind), to, limit),
            Between::ServerTimes(from, to) => {
                let from = self.by_server_time(stream, behind, from)?;
                // Not to the end of the stream: what comes behind is found as fast as what comes first.
                let beyond = to.millis().checked_add(1).and_then(Utc::from_millis);
                let to_number = match beyond {
                    Some(beyond) => self.by_server_time(stream, from, beyond)?.previous(),
                    None => Some(Number::LAST),
                };
                let Some(to_number) = to_number else { return Ok(Vec::new()) };
                let mut rows = self.by_number(stream, from, to_number, limit)?;
                rows.retain(|row| row.number.server_time().is_some_and(|time| time <= to));
                Ok(rows)
            }
            Between::ProducerTimes(from, to) => {
                let from = match after {
                    Some(after) if after.producer_time >= from => (after.producer_time, after.number.next()),
                    _ => (from, Number::FIRST),
                };
                self.by_producer_time(stream, (from, (to, Number::LAST)), limit)
            }
        }
    }

    fn last(&self, stream: StreamId) -> Result<Option<FragmentRow>, StoreError> {
        let fresh = self.fresh();
        let all = (stream, Number::FIRST)..=(stream, Number::LAST);
        let new = fresh.rows.range(all).next_back().map(|(_, row)| *row);
        let stored = self.base.read(|transaction| {
            let table = transaction.open_table(ROWS)?;
            let (low, high) = (row_key(stream, Number::FIRST), row_key(stream, Number::LAST));
            let last = table.range::<&RowKey>(&low..=&high)?.next_back().transpose()?;
            last.map(|(key, value)| row_of(key.value(), value.value())).transpose()
        })?;
        let floor = fresh.floors.get(&stream);
        let last = [stored, new].into_iter().flatten().max_by_key(|row| row.number);
        Ok(last.filter(|row| floor.is_none_or(|floor| row.number > *floor)))
    }
}

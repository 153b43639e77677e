//! The segments as one store of fragments: appended through shards, read at any place.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::catalog::{Catalog, Stream};
use super::crypt::Sealer;
use super::error::StoreError;
use super::format::RecordKind;
use super::fragment::Fragment;
use super::index::RedbIndex;
use super::number::{FragmentRow, Number, Place, SegmentId, StreamId, Written};
use super::segment::Segment;
use super::shard::{Ground, Job, Shard, Upload};

/// "Append this, tell me when it is durable", "read this range": what an object store must do to take the place of
/// the segments on a disk.
pub trait SegmentStore: Send + Sync {
    /// Begins a fragment; its bytes go in as they arrive.
    fn begin(&self, stream: StreamId, number: Number) -> Result<Upload, StoreError>;
    /// A fragment without its payload.
    fn fragment(&self, row: &FragmentRow) -> Result<Fragment, StoreError>;
    /// Appends a range of a fragment's payload to `out`; only the blocks that it touches are read.
    fn payload(&self, fragment: &Fragment, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError>;
    /// Appends what an upload has written to `out`, also while its fragment is not committed yet.
    fn written(&self, stream: StreamId, written: &Written, out: &mut Vec<u8>) -> Result<(), StoreError>;
}

/// Open files of sealed and growing segments that readers share.
const MOST_OPEN: usize = 128;

pub(crate) struct SegmentLog {
    pub(crate) ground: Arc<Ground>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) index: Arc<RedbIndex>,
    shards: Vec<Sender<Job>>,
    uploads: AtomicU64,
    open: Mutex<HashMap<SegmentId, Arc<Segment>>>,
}

impl SegmentLog {
    pub(crate) fn new(
        ground: Arc<Ground>,
        catalog: Arc<Catalog>,
        index: Arc<RedbIndex>,
        shards: u16,
    ) -> (Self, Vec<(Shard, Receiver<Job>)>) {
        let mut senders = Vec::new();
        let writers = (0..shards.max(1))
            .map(|number| {
                let (sender, receiver) = mpsc::channel();
                senders.push(sender);
                (Shard::new(number, Arc::clone(&ground)), receiver)
            })
            .collect();
        let open = Mutex::default();
        (Self { ground, catalog, index, shards: senders, uploads: AtomicU64::new(0), open }, writers)
    }

    pub(crate) fn close(&self) {
        for shard in &self.shards {
            // A shard that is gone has closed.
            let _ = shard.send(Job::Close);
        }
    }

    pub(crate) fn segment(&self, id: SegmentId) -> Result<Arc<Segment>, StoreError> {
        if let Some(segment) = self.open().get(&id) {
            return Ok(Arc::clone(segment));
        }
        let segment = Arc::new(Segment::open(&*self.ground.disk, id)?);
        let mut open = self.open();
        if open.len() >= MOST_OPEN
            && let Some(any) = open.keys().next().copied()
        {
            open.remove(&any);
        }
        open.insert(id, Arc::clone(&segment));
        Ok(segment)
    }

    pub(crate) fn forget(&self, id: SegmentId) {
        self.open().remove(&id);
    }

    fn open(&self) -> MutexGuard<'_, HashMap<SegmentId, Arc<Segment>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_gone(&self, stream: StreamId, number: Number) -> bool {
        self.catalog.stream(stream).is_none() || self.index.floor(stream).is_some_and(|floor| number <= floor)
    }

    /// What retention or deletion took away under a reader is gone, not damaged.
    fn or_gone<T>(
        &self,
        (stream, number): (StreamId, Number),
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match result {
            Err(_) if self.is_gone(stream, number) => Err(StoreError::Gone { stream, number }),
            result => result,
        }
    }

    fn stream(&self, stream: StreamId, number: Number) -> Result<Arc<Stream>, StoreError> {
        self.catalog.stream(stream).ok_or(StoreError::Gone { stream, number })
    }

    fn read_written(&self, stream: StreamId, written: &Written, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let stream = self.stream(stream, written.number)?;
        let segment = self.segment(written.segment)?;
        let sealer = segment.records_key(&stream.data_key, stream.id)?;
        let mut buffer = Vec::new();
        for block in written.blocks() {
            out.extend_from_slice(segment.read(
                &sealer,
                (RecordKind::Block, stream.id),
                block,
                &mut buffer,
            )?);
        }
        Ok(())
    }

    fn read_payload(
        &self,
        fragment: &Fragment,
        range: Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let segment = self.segment(fragment.row.segment)?;
        let stream = self.stream(fragment.row.stream, fragment.row.number)?;
        let sealer = segment.records_key(&stream.data_key, stream.id)?;
        let mut buffer = Vec::new();
        let mut start = 0_u64;
        for block in &fragment.blocks {
            let end = start + u64::from(block.length);
            if end > range.start && start < range.end {
                let body = segment.read(&sealer, (RecordKind::Block, stream.id), *block, &mut buffer)?;
                let within = |at: u64| usize::try_from(at.clamp(start, end) - start).unwrap_or(0);
                out.extend_from_slice(body.get(within(range.start)..within(range.end)).unwrap_or_default());
            }
            start = end;
        }
        Ok(())
    }
}

/// Reads and opens a Fragment record.
pub(crate) fn read_fragment(
    segment: &Segment,
    sealer: &Sealer,
    stream: StreamId,
    place: Place,
    buffer: &mut Vec<u8>,
) -> Result<Fragment, StoreError> {
    let body = segment.read(sealer, (RecordKind::Fragment, stream), place, buffer)?;
    Fragment::decode(body, stream, segment.id(), place).map_err(StoreError::malformed("a fragment"))
}

impl SegmentStore for SegmentLog {
    fn begin(&self, stream: StreamId, number: Number) -> Result<Upload, StoreError> {
        let shards = u64::try_from(self.shards.len()).unwrap_or(1).max(1);
        let shard = usize::try_from(stream.0 % shards).ok().and_then(|shard| self.shards.get(shard));
        let stream = self.catalog.stream(stream).ok_or(StoreError::NoStream(stream))?;
        let shard = shard.ok_or(StoreError::NoStream(stream.id))?.clone();
        let id = self.uploads.fetch_add(1, Ordering::Relaxed);
        Ok(Upload { shard, id, stream, number, begun: false })
    }

    fn fragment(&self, row: &FragmentRow) -> Result<Fragment, StoreError> {
        let read = || {
            let segment = self.segment(row.segment)?;
            let stream = self.stream(row.stream, row.number)?;
            let sealer = segment.records_key(&stream.data_key, row.stream)?;
            let fragment = read_fragment(&segment, &sealer, row.stream, row.place, &mut Vec::new())?;
            if fragment.row.number == row.number {
                Ok(fragment)
            } else {
                Err(StoreError::Damaged { segment: row.segment, offset: row.place.offset })
            }
        };
        self.or_gone((row.stream, row.number), read())
    }

    fn payload(&self, fragment: &Fragment, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let Range { start, end } = range;
        if start > end || end > fragment.payload {
            return Err(StoreError::Range { start, end, length: fragment.payload });
        }
        let before = out.len();
        let read = self.read_payload(fragment, range, out);
        if read.is_err() {
            out.truncate(before);
        }
        self.or_gone((fragment.row.stream, fragment.row.number), read)
    }

    fn written(&self, stream: StreamId, written: &Written, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let before = out.len();
        let mut read = self.read_written(stream, written, out);
        // Blocks that no row tells of stay in the file for as long as the segment does.
        if self.is_gone(stream, written.number) {
            read = Err(StoreError::Gone { stream, number: written.number });
        }
        if read.is_err() {
            out.truncate(before);
        }
        read
    }
}

//! One writer of segments: takes what has queued, writes it, syncs once, and then says so to everyone in the batch.
//!
//! [`Shard`] has no thread and reads no clock; [`run`] is the thread around it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kvs_media::time::{Monotonic, Utc};

use super::catalog::Stream;
use super::crypt::Sealer;
use super::disk::Disk;
use super::error::{AppendError, StoreError};
use super::format::{ALIGN, BLOCK_BYTES, RecordKind, SEGMENT_HEADER, SegmentHeader, put_record};
use super::fragment::Commit;
use super::index::TimeIndex;
use super::number::{FragmentRow, Number, Place, SegmentId, StreamId, Written};
use super::segment::Segment;
use crate::keys::{CryptError, Key};
use crate::random::Random;

/// Told once whether the bytes are where they should be; also when whoever should tell it is gone.
pub(crate) struct Done<T>(Option<Tell<T>>);

type Tell<T> = Box<dyn FnOnce(Result<T, AppendError>) + Send>;

impl<T> Done<T> {
    pub(crate) fn new(tell: impl FnOnce(Result<T, AppendError>) + Send + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }

    pub(crate) fn tell(mut self, result: Result<T, AppendError>) {
        if let Some(tell) = self.0.take() {
            tell(result);
        }
    }
}

impl<T> Drop for Done<T> {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell(Err(AppendError::Closed));
        }
    }
}

/// What an upload asks of its shard. One upload's jobs come in order.
pub(crate) enum Job {
    /// Payload, as it arrives. `first`: the upload is new to the shard.
    Block {
        upload: u64,
        first: bool,
        stream: Arc<Stream>,
        number: Number,
        payload: Bytes,
        done: Done<Written>,
    },
    /// The last word: it exists when this is durable.
    Commit {
        upload: u64,
        first: bool,
        stream: Arc<Stream>,
        number: Number,
        commit: Box<Commit>,
        done: Done<()>,
    },
    /// It will not be finished.
    Abort { upload: u64 },
    /// Seal everything and end.
    Close,
}

/// The most that is taken into one batch before it is synced.
const BATCH_BYTES: usize = 4 << 20;
/// Staged bytes that are written without waiting for the end of the batch.
const STAGED_BYTES: usize = 1 << 20;
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Gives out segment ids that were never given out before.
pub(crate) trait SegmentIds: Send + Sync {
    fn next(&self) -> Result<SegmentId, StoreError>;
}

/// What shards share.
pub(crate) struct Ground {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) store_key: Key,
    pub(crate) ids: Arc<dyn SegmentIds>,
    pub(crate) index: Arc<dyn TimeIndex>,
    pub(crate) segment_bytes: u64,
}

/// An upload between its first byte and its commit.
struct InFlight {
    segment: SegmentId,
    blocks: Vec<Place>,
    /// The segment failed under it; whatever comes is answered with this.
    failed: Option<AppendError>,
}

/// A segment that is being written.
struct Writing {
    segment: Segment,
    /// Where the next record goes.
    end: u64,
    /// Everything before this is synced.
    durable: u64,
    /// What is not written yet; stands right before `end`.
    staged: Vec<u8>,
    /// To be told when `staged` is in the file.
    staged_done: Vec<(Written, Done<Written>)>,
    /// Fragments to be told when it is synced.
    pending: Vec<(FragmentRow, Done<()>)>,
    /// What the footer will list.
    rows: Vec<FragmentRow>,
    keys: HashMap<StreamId, Sealer>,
    uploads: usize,
    limit: u64,
    failed: Option<AppendError>,
}

pub(crate) struct Shard {
    number: u16,
    ground: Arc<Ground>,
    current: Option<SegmentId>,
    writing: BTreeMap<SegmentId, Writing>,
    uploads: HashMap<u64, InFlight>,
    body: Vec<u8>,
    wait: Duration,
    retry: Option<(Monotonic, AppendError)>,
}

impl Shard {
    pub(crate) fn new(number: u16, ground: Arc<Ground>) -> Self {
        Self {
            number,
            ground,
            current: None,
            writing: BTreeMap::new(),
            uploads: HashMap::new(),
            body: Vec::new(),
            wait: FIRST_WAIT,
            retry: None,
        }
    }

    /// Does a batch: afterwards everything in it is written, every commit in it is durable or refused, and all are told.
    pub(crate) fn batch(&mut self, jobs: impl IntoIterator<Item = Job>, now: Monotonic) {
        for job in jobs {
            match job {
                Job::Block { upload, first, stream, number, payload, done } => {
                    match self.block(upload, first, &stream, number, &payload, now) {
                        Ok((writing, written)) => writing.staged_done.push((written, done)),
                        Err(error) => done.tell(Err(error)),
                    }
                }
                Job::Commit { upload, first, stream, number, commit, done } => {
                    match self.commit(upload, first, &stream, number, &commit, now) {
                        Ok((writing, row)) => writing.pending.push((row, done)),
                        Err(error) => done.tell(Err(error)),
                    }
                }
                Job::Abort { upload } => self.forget(upload),
                Job::Close => {}
            }
        }
        for writing in self.writing.values_mut() {
            writing.flush();
            writing.settle(&*self.ground.index);
        }
        self.after_failures();
        self.rotate();
    }

    /// Seals whatever is open; uploads that were not finished are dead bytes.
    pub(crate) fn close(&mut self) {
        self.current = None;
        for upload in std::mem::take(&mut self.uploads).into_values() {
            if let Some(writing) = self.writing.get_mut(&upload.segment) {
                writing.uploads = 0;
            }
        }
        self.rotate();
    }

    fn block(
        &mut self,
        upload: u64,
        first: bool,
        stream: &Stream,
        number: Number,
        payload: &[u8],
        now: Monotonic,
    ) -> Result<(&mut Writing, Written), AppendError> {
        if first && let Err(error) = self.begin(upload, number, now) {
            // What follows of this upload is answered with the same.
            let failed = InFlight { segment: SegmentId(0), blocks: Vec::new(), failed: Some(error.clone()) };
            self.uploads.insert(upload, failed);
            return Err(error);
        }
        let in_flight = self.uploads.get_mut(&upload).ok_or(AppendError::Closed)?;
        if let Some(error) = &in_flight.failed {
            return Err(error.clone());
        }
        let writing = self.writing.get_mut(&in_flight.segment).ok_or(AppendError::Closed)?;
        // Nothing comes between the blocks of one payload: its first place and its length name them all.
        let (segment, offset) = (in_flight.segment, writing.end);
        for block in payload.chunks(BLOCK_BYTES) {
            match writing.stage(stream, RecordKind::Block, block) {
                Ok(place) => in_flight.blocks.push(place),
                Err(error) => {
                    // A fragment with a hole in it must never be committed.
                    in_flight.failed = Some(error.clone());
                    return Err(error);
                }
            }
        }
        Ok((writing, Written { segment, number, offset, length: payload.len() as u64 }))
    }

    fn commit(
        &mut self,
        upload: u64,
        first: bool,
        stream: &Stream,
        number: Number,
        commit: &Commit,
        now: Monotonic,
    ) -> Result<(&mut Writing, FragmentRow), AppendError> {
        if first {
            self.begin(upload, number, now)?;
        }
        let in_flight = self.uploads.remove(&upload).ok_or(AppendError::Closed)?;
        if let Some(error) = in_flight.failed {
            return Err(error);
        }
        let writing = self.writing.get_mut(&in_flight.segment).ok_or(AppendError::Closed)?;
        writing.uploads = writing.uploads.saturating_sub(1);
        self.body.clear();
        commit.encode(number, &in_flight.blocks, &mut self.body);
        let place = writing.stage(stream, RecordKind::Fragment, &self.body)?;
        let row = FragmentRow {
            stream: stream.id,
            number,
            producer_time: commit.producer_time,
            length_ms: commit.length_ms,
            size: commit.size(&in_flight.blocks),
            segment: in_flight.segment,
            place,
        };
        Ok((writing, row))
    }

    fn forget(&mut self, upload: u64) {
        if let Some(in_flight) = self.uploads.remove(&upload)
            && let Some(writing) = self.writing.get_mut(&in_flight.segment)
        {
            writing.uploads = writing.uploads.saturating_sub(1);
        }
    }

    /// Gives an upload the segment in which it will finish.
    fn begin(&mut self, upload: u64, number: Number, now: Monotonic) -> Result<(), AppendError> {
        let usable = |id: &SegmentId| self.writing.get(id).is_some_and(|writing| writing.failed.is_none());
        let segment = match self.current.filter(usable) {
            Some(segment) => segment,
            None => self.open(number, now)?,
        };
        if let Some(writing) = self.writing.get_mut(&segment) {
            writing.uploads += 1;
        }
        self.uploads.insert(upload, InFlight { segment, blocks: Vec::new(), failed: None });
        Ok(())
    }

    /// Opens a new segment, unless the last attempt failed a moment ago.
    fn open(&mut self, number: Number, now: Monotonic) -> Result<SegmentId, AppendError> {
        if let Some((at, error)) = &self.retry
            && now < *at
        {
            return Err(error.clone());
        }
        match self.create(number) {
            Ok(writing) => {
                (self.retry, self.wait) = (None, FIRST_WAIT);
                let id = writing.segment.id();
                self.writing.insert(id, writing);
                self.current = Some(id);
                Ok(id)
            }
            Err(error) => {
                tracing::warn!(shard = self.number, %error, "no segment can be opened");
                self.back_off(&error, now);
                Err(error)
            }
        }
    }

    fn back_off(&mut self, error: &AppendError, now: Monotonic) {
        self.retry = Some((now.saturating_add(self.wait), error.clone()));
        self.wait = self.wait.saturating_mul(2).min(LONGEST_WAIT);
    }

    fn create(&self, number: Number) -> Result<Writing, AppendError> {
        let mut salt = [0; 32];
        self.ground.random.fill(&mut salt).map_err(CryptError::from)?;
        let id = self.ground.ids.next().map_err(|error| append_error(&error))?;
        let created = number.server_time().unwrap_or(Utc::EPOCH);
        let header = SegmentHeader { id, shard: self.number, created, salt };
        let made = Segment::create(&*self.ground.disk, header, self.ground.segment_bytes);
        let (segment, limit) = made.map_err(|error| AppendError::from(&error))?;
        Ok(Writing {
            segment,
            end: SEGMENT_HEADER,
            durable: SEGMENT_HEADER,
            staged: Vec::new(),
            staged_done: Vec::new(),
            pending: Vec::new(),
            rows: Vec::new(),
            keys: HashMap::new(),
            uploads: 0,
            limit,
            failed: None,
        })
    }

    /// Whoever was on its way into a failed segment learns it with the next word; what was durable there stays.
    fn after_failures(&mut self) {
        let failed: Vec<_> =
            self.writing.iter().filter_map(|(id, writing)| Some((*id, writing.failed.clone()?))).collect();
        for (id, error) in failed {
            tracing::warn!(segment = %id, %error, "segment given up");
            for upload in self.uploads.values_mut().filter(|upload| upload.segment == id) {
                upload.failed = Some(error.clone());
            }
            if let Some(mut writing) = self.writing.remove(&id) {
                writing.abandon();
                self.seal(&writing);
            }
            if self.current == Some(id) {
                self.current = None;
            }
        }
    }

    /// Closes the current segment to new uploads when it is full, and seals those that nobody writes to any more.
    fn rotate(&mut self) {
        if let Some(id) = self.current
            && self.writing.get(&id).is_none_or(|writing| writing.end >= writing.limit)
        {
            self.current = None;
        }
        let current = self.current;
        let drained: Vec<_> = self
            .writing
            .iter()
            .filter(|(id, writing)| writing.uploads == 0 && Some(**id) != current)
            .map(|(id, _)| *id)
            .collect();
        for id in drained {
            if let Some(writing) = self.writing.remove(&id) {
                self.seal(&writing);
            }
        }
    }

    /// A segment that cannot be sealed now is sealed by the next start, from a scan.
    fn seal(&self, writing: &Writing) {
        let seal = || {
            let mut salt = [0; 32];
            self.ground.random.fill(&mut salt).map_err(CryptError::from)?;
            let length = writing.segment.seal(&self.ground.store_key, salt, &writing.rows, writing.end)?;
            self.ground.index.sealed(writing.segment.id(), length);
            Ok::<_, StoreError>(())
        };
        if let Err(error) = seal() {
            tracing::warn!(segment = %writing.segment.id(), %error, "segment left unsealed");
        }
    }
}

impl Writing {
    /// Appends a record to what will be written.
    fn stage(&mut self, stream: &Stream, kind: RecordKind, body: &[u8]) -> Result<Place, AppendError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.staged.len() >= STAGED_BYTES {
            self.flush();
        }
        // The nonce counts places in 32 bits.
        if self.end / ALIGN > u64::from(u32::MAX - (1 << 21)) {
            return Err(AppendError::Full);
        }
        let key = match self.keys.entry(stream.id) {
            std::collections::hash_map::Entry::Occupied(key) => key.into_mut(),
            std::collections::hash_map::Entry::Vacant(vacant) => vacant.insert(
                self.segment
                    .records_key(&stream.data_key, stream.id)
                    .map_err(|error| append_error(&error))?,
            ),
        };
        let place = put_record(&mut self.staged, key, self.segment.id(), self.end, (kind, stream.id), body)?;
        self.end += super::format::extent(place.length);
        Ok(place)
    }

    /// Writes what is staged. A failure is kept, and told to everyone by `settle`.
    fn flush(&mut self) {
        if self.failed.is_none() && !self.staged.is_empty() {
            let at = self.end - self.staged.len() as u64;
            if let Err(error) = self.segment.file.write_at(&self.staged, at) {
                self.fail(&error);
            }
        }
        self.staged.clear();
        for (written, done) in self.staged_done.drain(..) {
            done.tell(self.failed.clone().map_or(Ok(written), Err));
        }
    }

    /// Syncs when a fragment waits for it, lists what is durable, and tells.
    fn settle(&mut self, index: &dyn TimeIndex) {
        if self.pending.is_empty() {
            return;
        }
        if self.failed.is_none() {
            match self.segment.file.sync() {
                Ok(()) => self.durable = self.end,
                // After a sync that failed, another that succeeds says nothing about these bytes.
                Err(error) => self.fail(&error),
            }
        }
        let pending = std::mem::take(&mut self.pending);
        if let Some(error) = &self.failed {
            pending.into_iter().for_each(|(_, done)| done.tell(Err(error.clone())));
            return;
        }
        let (rows, dones): (Vec<_>, Vec<_>) = pending.into_iter().unzip();
        self.rows.extend_from_slice(&rows);
        for (result, done) in index.insert(&rows, self.durable).into_iter().zip(dones) {
            done.tell(result);
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.failed = Some(AppendError::from(error));
    }

    /// Cuts what is not known to be durable, which also makes room for the footer on a full disk.
    fn abandon(&mut self) {
        self.end = self.durable;
        if let Err(error) = self.segment.file.set_len(self.end) {
            tracing::warn!(segment = %self.segment.id(), %error, "cannot cut");
        }
    }
}

fn append_error(error: &StoreError) -> AppendError {
    match error {
        StoreError::Disk { source, .. } => AppendError::from(source),
        StoreError::Crypt(error) => AppendError::Crypt(error.clone()),
        other => AppendError::Disk(other.to_string()),
    }
}

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Self::Block { payload, .. } => payload.len(),
            Self::Commit { commit, .. } => commit.header.len() + commit.frames.as_bytes().len(),
            Self::Abort { .. } | Self::Close => 0,
        }
    }
}

/// The thread of a shard: ends when it is told to close or when nobody can send any more.
pub(crate) fn run(mut shard: Shard, jobs: &Receiver<Job>) {
    let started = Instant::now();
    let mut batch = Vec::new();
    let mut open = true;
    while open {
        let Ok(first) = jobs.recv() else { break };
        let mut bytes = first.bytes();
        batch.push(first);
        while bytes < BATCH_BYTES
            && let Ok(job) = jobs.try_recv()
        {
            bytes += job.bytes();
            batch.push(job);
        }
        open = !batch.iter().any(|job| matches!(job, Job::Close));
        let now = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        shard.batch(batch.drain(..), Monotonic::from_nanos(now));
    }
    shard.close();
    // Whoever waits for what is left learns that it will not be done.
    jobs.try_iter().for_each(drop);
}

/// A fragment on its way in. Dropped without a commit, it never was.
pub struct Upload {
    pub(crate) shard: Sender<Job>,
    pub(crate) id: u64,
    pub(crate) stream: Arc<Stream>,
    pub(crate) number: Number,
    pub(crate) begun: bool,
}

impl Upload {
    /// The number it was begun with.
    pub fn number(&self) -> Number {
        self.number
    }

    /// Payload as it arrives. `done` is told where the bytes are when they are in the file (not yet durable); whoever
    /// waits for it before the next holds one piece in memory.
    pub fn write(
        &mut self,
        payload: Bytes,
        done: impl FnOnce(Result<Written, AppendError>) + Send + 'static,
    ) {
        let first = !std::mem::replace(&mut self.begun, true);
        let stream = Arc::clone(&self.stream);
        let done = Done::new(done);
        self.send(Job::Block { upload: self.id, first, stream, number: self.number, payload, done });
    }

    /// The last word. `done` is told when the fragment survives a power cut and is listed, or why not.
    pub fn commit(mut self, commit: Commit, done: impl FnOnce(Result<(), AppendError>) + Send + 'static) {
        let first = !self.begun;
        self.begun = false;
        let stream = Arc::clone(&self.stream);
        let (commit, done) = (Box::new(commit), Done::new(done));
        self.send(Job::Commit { upload: self.id, first, stream, number: self.number, commit, done });
    }

    fn send(&self, job: Job) {
        // A job that nobody takes tells so when it is dropped.
        let _ = self.shard.send(job);
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.begun {
            self.send(Job::Abort { upload: self.id });
        }
    }
}

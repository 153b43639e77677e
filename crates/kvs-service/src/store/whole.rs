//! The store as its users see it.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use kvs_media::time::Utc;

use super::catalog::{Catalog, Stream};
use super::disk::Disk;
use super::error::StoreError;
use super::folder::Folder;
use super::fragment::Fragment;
use super::index::{After, Between, RedbIndex, TimeIndex};
use super::log::{SegmentLog, SegmentStore};
use super::number::{FragmentRow, Number, StreamId, Written};
use super::numbering::Numbering;
use super::recovery::{Recovery, recover};
use super::retention;
use super::shard::{Ground, Job, Shard, Upload, run};
use super::verify::{Verification, verify};
use crate::keys::Keyring;
use crate::random::{Random, SystemRandom};

/// How a store is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Writers, each with a thread and an open segment.
    pub shards: u16,
    /// Bytes that a segment has before the next is begun.
    pub segment_bytes: u64,
    /// Throw the index away and make it again.
    pub rebuild_index: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { shards: 2, segment_bytes: 64 << 20, rebuild_index: false }
    }
}

/// Everything that is recorded. Calls may come from any thread; those that name a fragment's bytes or change streams
/// wait for the disk.
pub struct Store {
    log: Arc<SegmentLog>,
    numberings: Mutex<HashMap<StreamId, Numbering>>,
    writers: Mutex<Vec<(Shard, Receiver<Job>)>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Retention does one thing at a time.
    sweeping: Mutex<()>,
    _folder: Option<Folder>,
}

impl Store {
    /// Opens the store of a data folder, with the keys that are in it unless others are given.
    pub fn open(
        path: &Path,
        keyring: Option<Keyring>,
        settings: &Settings,
    ) -> Result<(Self, Recovery), StoreError> {
        let folder = Folder::claim(path)?;
        let keyring = match keyring {
            Some(keyring) => keyring,
            None => folder.keyring(&SystemRandom)?,
        };
        Self::open_in(folder, keyring, settings)
    }

    /// Opens the store of a folder that was claimed already, which stays claimed until the store is dropped.
    pub fn open_in(
        folder: Folder,
        keyring: Keyring,
        settings: &Settings,
    ) -> Result<(Self, Recovery), StoreError> {
        let disk = Arc::new(folder.disk());
        let (mut store, recovery) = Self::open_on(disk, keyring, Arc::new(SystemRandom), settings)?;
        store._folder = Some(folder);
        store.start().map_err(StoreError::disk("start a thread"))?;
        Ok((store, recovery))
    }

    /// Opens a store on any disk, with no thread running yet.
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        keyring: Keyring,
        random: Arc<dyn Random>,
        settings: &Settings,
    ) -> Result<(Self, Recovery), StoreError> {
        let catalog = Arc::new(Catalog::open(Arc::clone(&disk), keyring, Arc::clone(&random))?);
        let floors = catalog.watermarks()?;
        let remove_index = || match disk.remove(RedbIndex::FILE) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::Disk { what: "remove the index", source: error })
            }
            _ => Ok(()),
        };
        if settings.rebuild_index {
            remove_index()?;
        }
        let index = match RedbIndex::open(Arc::clone(&disk), floors.iter().copied()) {
            // Derived: a damaged one is made again.
            Err(error) if is_corrupt(&error) => {
                tracing::warn!(%error, "the index is damaged, and made again");
                remove_index()?;
                RedbIndex::open(Arc::clone(&disk), floors)
            }
            other => other,
        };
        let index = Arc::new(index?);
        let ground = Arc::new(Ground {
            disk,
            random,
            store_key: catalog.store_key().clone(),
            ids: Arc::clone(&catalog) as _,
            index: Arc::clone(&index) as _,
            segment_bytes: settings.segment_bytes,
        });
        let (log, writers) = SegmentLog::new(ground, catalog, index, settings.shards);
        let recovery = recover(&log)?;
        retention::finish(&log)?;
        let store = Self {
            log: Arc::new(log),
            numberings: Mutex::default(),
            writers: Mutex::new(writers),
            threads: Mutex::default(),
            sweeping: Mutex::default(),
            _folder: None,
        };
        Ok((store, recovery))
    }

    fn start(&self) -> std::io::Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let writers = std::mem::take(&mut *self.writers.lock().unwrap_or_else(PoisonError::into_inner));
        for (shard, jobs) in writers {
            threads.push(thread::Builder::new().name("kvs-shard".into()).spawn(move || run(shard, &jobs))?);
        }
        let index = Arc::clone(&self.log.index);
        threads.push(thread::Builder::new().name("kvs-index".into()).spawn(move || index.run())?);
        Ok(())
    }

    /// Whether all its threads are at work.
    pub fn is_alive(&self) -> bool {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        !threads.iter().any(JoinHandle::is_finished)
    }

    /// Seals what is open and writes what is in memory. Uploads that were not committed by now are gone.
    pub fn close(&self) {
        self.log.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let index = threads.len().saturating_sub(1);
        for (position, thread) in threads.into_iter().enumerate() {
            if position == index {
                self.log.index.close();
            }
            // Whoever drops the store last closes it, and that may be one of its threads, which ends by itself then.
            if thread.thread().id() == thread::current().id() {
                continue;
            }
            if thread.join().is_err() {
                tracing::error!("a thread of the store has panicked");
            }
        }
    }

    /// Makes a stream with a data key of its own, wrapped by the named master key or the usual one.
    pub fn create_stream(
        &self,
        name: &str,
        key_id: Option<&str>,
        metadata: &[u8],
    ) -> Result<Arc<Stream>, StoreError> {
        self.log.catalog.create(name, key_id, metadata)
    }

    /// Deletes a stream: its key is no more, so that its bytes are unreadable from here on. Its space comes back with
    /// [`reclaim`](Self::reclaim), which may take a while.
    pub fn delete_stream(&self, stream: StreamId) -> Result<(), StoreError> {
        retention::delete(&self.log, stream)?;
        self.numberings().remove(&stream);
        Ok(())
    }

    /// Gives back the space of streams that were deleted.
    pub fn reclaim(&self) -> Result<(), StoreError> {
        let _alone = self.sweeping.lock().unwrap_or_else(PoisonError::into_inner);
        retention::reclaim(&self.log)
    }

    /// A stream by its id.
    pub fn stream(&self, stream: StreamId) -> Option<Arc<Stream>> {
        self.log.catalog.stream(stream)
    }

    /// A stream by its name.
    pub fn stream_named(&self, name: &str) -> Option<Arc<Stream>> {
        self.log.catalog.named(name)
    }

    /// All streams.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        self.log.catalog.streams()
    }

    /// What the control plane keeps with a stream.
    pub fn metadata(&self, stream: StreamId) -> Result<Vec<u8>, StoreError> {
        self.log.catalog.metadata(stream)
    }

    /// Replaces it, durably.
    pub fn set_metadata(&self, stream: StreamId, metadata: &[u8]) -> Result<(), StoreError> {
        self.log.catalog.set_metadata(stream, metadata)
    }

    /// What gives out the numbers of a stream that was `created` then, the same for all who ask. Outlives the stream
    /// without harm.
    pub fn numbering(&self, stream: StreamId, created: Utc) -> Result<Numbering, StoreError> {
        if let Some(numbering) = self.numberings().get(&stream) {
            return Ok(numbering.clone());
        }
        let stored = self.log.index.last(stream)?.map(|row| row.number);
        let behind = stored.max(self.log.index.floor(stream));
        let mut numberings = self.numberings();
        // Asked under the lock: what is deleted from here on is taken out again.
        let found = self.log.catalog.stream(stream).ok_or(StoreError::NoStream(stream))?.found;
        let since = found.then_some(created);
        Ok(numberings.entry(stream).or_insert_with(|| Numbering::behind(behind, since)).clone())
    }

    fn numberings(&self) -> MutexGuard<'_, HashMap<StreamId, Numbering>> {
        self.numberings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a fragment.
    pub fn begin(&self, stream: StreamId, number: Number) -> Result<Upload, StoreError> {
        self.log.begin(stream, number)
    }

    /// Fragments of a stream in order, at most `limit`, behind `after`.
    pub fn list(
        &self,
        stream: StreamId,
        between: Between,
        after: Option<After>,
        limit: usize,
    ) -> Result<Vec<FragmentRow>, StoreError> {
        self.log.index.list(stream, between, after, limit)
    }

    /// A fragment by its number.
    pub fn get(&self, stream: StreamId, number: Number) -> Result<Option<FragmentRow>, StoreError> {
        self.log.index.get(stream, number)
    }

    /// The oldest fragment of a stream.
    pub fn first(&self, stream: StreamId) -> Result<Option<FragmentRow>, StoreError> {
        self.log.index.first(stream)
    }

    /// The newest fragment of a stream.
    pub fn last(&self, stream: StreamId) -> Result<Option<FragmentRow>, StoreError> {
        self.log.index.last(stream)
    }

    /// Header, tags and frame index of a fragment.
    pub fn fragment(&self, row: &FragmentRow) -> Result<Fragment, StoreError> {
        self.log.fragment(row)
    }

    /// Appends a range of a fragment's payload to `out`.
    pub fn payload(
        &self,
        fragment: &Fragment,
        range: Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.log.payload(fragment, range, out)
    }

    /// Appends what an upload has written to `out`, while it is under way and when its fragment exists. Gone when that
    /// has expired or the stream was deleted; what was never committed can be cut away and then does not read.
    pub fn written(&self, stream: StreamId, written: &Written, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.log.written(stream, written, out)
    }

    /// Removes what came before `time`. Says how many fragments.
    pub fn expire(&self, stream: StreamId, time: Utc) -> Result<u64, StoreError> {
        self.expire_all(&[(stream, time)])
    }

    /// Removes what came before its time, of each of these streams. Says how many fragments.
    pub fn expire_all(&self, streams: &[(StreamId, Utc)]) -> Result<u64, StoreError> {
        let _alone = self.sweeping.lock().unwrap_or_else(PoisonError::into_inner);
        retention::expire(&self.log, streams)
    }

    /// Removes the oldest fragments of all streams until the segments take at most so many bytes.
    pub fn shrink(&self, most: u64) -> Result<u64, StoreError> {
        let _alone = self.sweeping.lock().unwrap_or_else(PoisonError::into_inner);
        retention::shrink(&self.log, most)
    }

    /// Bytes that the segments take on the disk.
    pub fn occupied(&self) -> Result<u64, StoreError> {
        retention::occupied(&self.log)
    }

    /// Opens every record there is.
    pub fn verify(&self) -> Result<Verification, StoreError> {
        verify(&self.log)
    }

    /// Does in this thread what shards would do in theirs.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn turn(&self, now: kvs_media::time::Monotonic) {
        for (shard, jobs) in self.writers.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            shard.batch(jobs.try_iter().collect::<Vec<_>>(), now);
        }
    }

    /// Writes the index as its thread would.
    #[cfg(test)]
    pub(crate) fn write_index(&self) -> Result<(), StoreError> {
        self.log.index.write(&[])
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

fn is_corrupt(error: &StoreError) -> bool {
    match error {
        StoreError::Database { source, .. } => {
            matches!(
                **source,
                redb::Error::Corrupted(_)
                    | redb::Error::TableTypeMismatch { .. }
                    | redb::Error::UpgradeRequired(_)
            ) || matches!(&**source, redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData)
        }
        _ => false,
    }
}

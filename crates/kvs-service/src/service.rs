//! The rooms of the service, joined: what a request is done with, whatever brought it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use kvs_media::time::Utc;
use kvs_wire::{Exception, Operation, StreamArn, StreamName};
use thiserror::Error;

use crate::auth::file::{self, IdentityFileError};
use crate::auth::{Authenticator, Identities, Regions, SessionError};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{self, Answer, Change, Refusal, Streams, Version};
use crate::faults::Faults;
use crate::ingest::Moment;
use crate::keys::CryptError;
use crate::live::Keep;
use crate::metrics::Metrics;
use crate::pictures::Pool;
use crate::playback::Playback;
use crate::random::{Random, SystemRandom};
use crate::rates::Rates;
use crate::store::{Folder, Recovery, Store, StoreError, StreamId};
use crate::stream::{ActiveStream, Notice};

/// A service on a data folder that is its own.
pub struct Service {
    pub(crate) config: Config,
    pub(crate) store: Arc<Store>,
    pub(crate) authenticator: Authenticator,
    pub(crate) metrics: Metrics,
    pub(crate) faults: Faults,
    pub(crate) pictures: Pool,
    pub(crate) clock: Clock,
    pub(crate) playback: Playback,
    pub(crate) rates: Mutex<Rates<(Operation, Option<StreamId>)>>,
    /// It is to end: no new calls, and open ones as soon as they can.
    stopping: AtomicBool,
    /// Bytes of all streams that are in memory only.
    unretained: AtomicU64,
    catalog: RwLock<Catalog>,
    /// One change after another: each is decided by what the one before left.
    changing: Mutex<()>,
    identities: PathBuf,
}

#[derive(Debug)]
struct Catalog {
    streams: Streams,
    active: HashMap<StreamName, Arc<ActiveStream>>,
}

/// What was found when the data folder was opened.
#[derive(Debug)]
pub struct Opened {
    /// What the last run left behind.
    pub recovery: Recovery,
    /// Who may call.
    pub identities: Arc<Identities>,
    /// There was no root user before.
    pub created: bool,
}

/// Why a data folder cannot be served.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The store, or the folder itself.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file of those who may call.
    #[error(transparent)]
    Identities(#[from] IdentityFileError),
    /// The keys of temporary credentials.
    #[error(transparent)]
    Sessions(#[from] SessionError),
    /// Keys.
    #[error(transparent)]
    Keys(#[from] CryptError),
    /// Less space for recordings than can be worked with.
    #[error("recordings need at least {LEAST_SPACE} bytes: max_bytes is too small")]
    Space,
    /// A stream is described in a way that this version does not know.
    #[error("what is stored of the stream {name:?} cannot be read: {source}")]
    Stream {
        /// Its name.
        name: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// The least that recordings can be told to keep within.
const LEAST_SPACE: u64 = 32 << 20;

/// The file of those who may call, in the data folder.
pub const IDENTITIES: &str = "identities.json";

impl Service {
    /// Opens the data folder, which is made when it is not there. Waits for the disk.
    pub fn open(config: Config) -> Result<(Arc<Self>, Opened), OpenError> {
        let folder = Folder::claim(&config.data)?;
        let keyring = match &config.keyring {
            Some(keyring) => keyring.clone(),
            None => folder.keyring(&SystemRandom)?,
        };
        let identities_file = config.data.join(IDENTITIES);
        let (identities, created) = file::load_or_create(&identities_file, &SystemRandom)?;
        let sessions = keyring.derive("sessions")?;
        let playback = Playback::new(&keyring.derive("playback")?)?;
        let authenticator = Authenticator::new(&config.account.id, Regions::Any, &sessions, identities)?;
        let mut settings = config.store.clone();
        if let Some(most) = config.max_bytes {
            if most < LEAST_SPACE {
                return Err(OpenError::Space);
            }
            // Segments are laid out in advance, and go as a whole: they have to be small beside what there may be.
            settings.segment_bytes = settings.segment_bytes.min(most / 32);
        }
        let (store, recovery) = Store::open_in(folder, keyring, &settings)?;
        let metrics = Metrics::default();
        let (mut stored, mut active) = (Vec::new(), HashMap::new());
        for kept in store.streams() {
            let stream: control::Stream = serde_json::from_slice(&store.metadata(kept.id)?)
                .map_err(|source| OpenError::Stream { name: kept.name.clone(), source })?;
            let metrics = metrics.of(stream.name());
            active.insert(stream.name().clone(), Arc::new(ActiveStream::new(&stream, kept.id, metrics)));
            stored.push(stream);
        }
        let streams = Streams::new(config.account.clone(), config.limits.streams, stored);
        let opened = Opened { recovery, identities: authenticator.identities(), created };
        let service = Self {
            pictures: Pool::new(config.pictures.clone()),
            config,
            store: Arc::new(store),
            authenticator,
            metrics,
            faults: Faults::default(),
            clock: Clock::new(),
            playback,
            rates: Mutex::default(),
            stopping: AtomicBool::new(false),
            unretained: AtomicU64::new(0),
            catalog: RwLock::new(Catalog { streams, active }),
            changing: Mutex::default(),
            identities: identities_file,
        };
        Ok((Arc::new(service), opened))
    }

    /// Takes over what the file of those who may call says by now.
    pub fn reload_identities(&self) -> Result<(), IdentityFileError> {
        self.authenticator.replace(file::load(&self.identities)?);
        Ok(())
    }

    /// Faults that a test commands in its own process.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The time, as the service believes it to be.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now(self.faults.clock_skew())
    }

    /// A stream by its name.
    pub(crate) fn stream(&self, name: &StreamName) -> Option<Arc<ActiveStream>> {
        self.catalog().active.get(name).cloned()
    }

    /// A stream by its ARN, which a later one of the same name does not have.
    pub(crate) fn stream_by_arn(&self, arn: &StreamArn) -> Option<Arc<ActiveStream>> {
        self.stream(arn.name()).filter(|stream| stream.arn == *arn)
    }

    /// A stream by its name in the store, which no other ever has.
    pub(crate) fn stream_by_id(&self, id: StreamId) -> Option<Arc<ActiveStream>> {
        let name = self.store.stream(id)?.name.parse().ok()?;
        self.stream(&name).filter(|stream| stream.id == id)
    }

    /// Answers an operation of the control plane that changes nothing. `None` for one that is not on streams.
    pub(crate) fn describe(
        &self,
        operation: Operation,
        body: &[u8],
        endpoint: &str,
    ) -> Option<Result<Vec<u8>, Refusal>> {
        let (now, version) = (self.now().utc, Version::of([0; 20]));
        let answer = self.catalog().streams.handle(operation, body, now, version, endpoint)?;
        Some(answer.map(|answer| answer.body))
    }

    /// Answers an operation of the control plane: what it changes is stored first, then in force, and then answered.
    /// Waits for the disk.
    pub(crate) fn change(&self, operation: Operation, body: &[u8]) -> Option<Result<Vec<u8>, Refusal>> {
        let mut chance = [0; 20];
        if SystemRandom.fill(&mut chance).is_err() {
            return Some(Err(Refusal::internal("no random bytes")));
        }
        let _alone: MutexGuard<'_, ()> = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, version) = (self.now().utc, Version::of(chance));
        let answer = self.catalog().streams.handle(operation, body, now, version, "")?;
        Some(answer.and_then(|Answer { body, change }| {
            if let Some(change) = change {
                self.apply(change).map_err(|error| refusal_of(&error))?;
            }
            Ok(body)
        }))
    }

    fn apply(&self, change: Change) -> Result<(), StoreError> {
        match &change {
            Change::Put(stream) => {
                // Nothing at all in its place would be a stream that no start can read.
                let metadata = serde_json::to_vec(&**stream).map_err(|error| StoreError::Disk {
                    what: "describe the stream",
                    source: std::io::Error::other(error),
                })?;
                match self.stream_by_arn(&stream.arn) {
                    Some(active) => {
                        self.store.set_metadata(active.id, &metadata)?;
                        // What cannot be removed now is removed by the next sweep.
                        if active.set_retention(stream.retention_hours)
                            && let Err(error) = self.expire(stream, &active)
                        {
                            tracing::error!(stream = %stream.name(), %error, "cannot remove what has expired");
                        }
                    }
                    None => {
                        let key = key_of(&stream.kms_key_id);
                        let kept = self.store.create_stream(stream.name().as_str(), key, &metadata)?;
                        let metrics = self.metrics.of(stream.name());
                        let active = Arc::new(ActiveStream::new(stream, kept.id, metrics));
                        self.catalog_mut().active.insert(stream.name().clone(), active);
                    }
                }
            }
            Change::Delete(arn) => {
                if let Some(active) = self.stream_by_arn(arn) {
                    // Its sessions end before its key goes, so that they hear the reason.
                    active.delete();
                    self.account(&active, 0);
                    if let Err(error) = self.store.delete_stream(active.id) {
                        self.revive(&active);
                        return Err(error);
                    }
                    self.catalog_mut().active.remove(arn.name());
                    self.metrics.forget(arn.name());
                }
            }
        }
        self.catalog_mut().streams.apply(change);
        Ok(())
    }

    /// A stream that could not be deleted goes on, without those who were at it.
    fn revive(&self, gone: &ActiveStream) {
        let mut catalog = self.catalog_mut();
        let Some(stream) = catalog.streams.get_by_arn(&gone.arn).cloned() else { return };
        let fresh = ActiveStream::new(&stream, gone.id, Arc::clone(&gone.metrics));
        catalog.active.insert(stream.name().clone(), Arc::new(fresh));
    }

    /// Removes what is older than its stream keeps it, and what is more than the disk is meant to hold.
    pub(crate) fn sweep(&self) -> Result<(), StoreError> {
        let streams: Vec<_> = {
            let catalog = self.catalog();
            let active = |stream: &control::Stream| catalog.active.get(stream.name()).cloned();
            catalog.streams.iter().filter_map(|stream| Some((stream.clone(), active(stream)?))).collect()
        };
        self.pictures.end_idle(self.clock.monotonic());
        let now = self.now().utc;
        let due: Vec<_> = streams
            .iter()
            .inspect(|(_, active)| self.forget_old(active))
            .filter_map(|(stream, active)| Some((active.id, kept_since(stream, now)?)))
            .collect();
        let expired = self.store.expire_all(&due);
        if let Ok(removed @ 1..) = expired {
            tracing::debug!(fragments = removed, "expired");
        }
        let reclaimed = self.store.reclaim();
        // A full disk is no less full when something cannot be expired.
        if let Some(most) = self.config.max_bytes {
            let removed = self.store.shrink(most)?;
            if removed > 0 {
                tracing::info!(fragments = removed, "removed the oldest, for the recordings are full");
            }
        }
        expired.and(reclaimed)
    }

    fn expire(&self, stream: &control::Stream, active: &ActiveStream) -> Result<(), StoreError> {
        self.forget_old(active);
        if let Some(since) = kept_since(stream, self.now().utc) {
            let removed = self.store.expire(active.id, since)?;
            if removed > 0 {
                tracing::debug!(stream = %stream.name(), fragments = removed, "expired");
            }
        }
        Ok(())
    }

    /// The service stops: nothing new begins, and what is open ends as soon as it can.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.pictures.stop();
        for stream in self.catalog().active.values() {
            stream.tell_all(&Notice::Stop);
            stream.live.wake();
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// What is in memory only is not there for ever.
    pub(crate) fn forget_old(&self, stream: &ActiveStream) {
        let limits = &self.config.limits;
        let keep = Keep { age: limits.unretained, bytes: limits.unretained_bytes };
        self.account(stream, stream.live.forget_old(keep, self.clock.monotonic()));
        if self.unretained.load(Ordering::Relaxed) > limits.unretained_total_bytes {
            self.forget_oldest(limits.unretained_total_bytes / 10 * 9);
        }
    }

    /// The oldest of all streams go, until there is room for a while.
    fn forget_oldest(&self, most: u64) {
        let streams: Vec<_> = self.catalog().active.values().cloned().collect();
        let oldest = |at: usize| {
            let oldest = streams.get(at).and_then(|stream: &Arc<ActiveStream>| stream.live.oldest());
            oldest.map(|oldest| Reverse((oldest, at)))
        };
        let mut heap: BinaryHeap<_> = (0..streams.len()).filter_map(oldest).collect();
        while self.unretained.load(Ordering::Relaxed) > most
            && let Some(Reverse((_, at))) = heap.pop()
            && let Some(stream) = streams.get(at)
        {
            self.account(stream, stream.live.forget_oldest());
            heap.extend(oldest(at));
        }
    }

    /// A stream has so much in memory only.
    fn account(&self, stream: &ActiveStream, left: u64) {
        // One that was deleted has nothing, whoever adds to it at this moment.
        let left = if stream.is_deleted() { 0 } else { left };
        let before = stream.unretained.swap(left, Ordering::Relaxed);
        self.unretained.fetch_add(left, Ordering::Relaxed);
        self.unretained.fetch_sub(before, Ordering::Relaxed);
    }

    fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn catalog_mut(&self) -> std::sync::RwLockWriteGuard<'_, Catalog> {
        self.catalog.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("data", &self.config.data).finish_non_exhaustive()
    }
}

/// What came before goes.
fn kept_since(stream: &control::Stream, now: Utc) -> Option<Utc> {
    match stream.retention_hours {
        0 => Some(now),
        _ => stream.kept_since(now),
    }
}

/// The key of the keyring that a KmsKeyId names: by id, by alias, or by an ARN that ends in one of them.
fn key_of(kms_key_id: &str) -> Option<&str> {
    let name = kms_key_id.rsplit(':').next().unwrap_or(kms_key_id);
    let name = name.strip_prefix("key/").or_else(|| name.strip_prefix("alias/")).unwrap_or(name);
    (name != "aws/kinesisvideo").then_some(name)
}

/// What a caller of the control plane is told when the store does not do it.
fn refusal_of(error: &StoreError) -> Refusal {
    match error {
        StoreError::Crypt(CryptError::UnknownKey(id)) => {
            Refusal::new(Exception::InvalidArgument, format!("KmsKeyId {id:?} is not a key of this service."))
        }
        error => {
            tracing::error!(%error, "a change cannot be stored");
            Refusal::internal("The change cannot be stored.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_its_id_its_alias_or_an_arn() {
        for (kms_key_id, name) in [
            ("front", Some("front")),
            ("alias/front", Some("front")),
            ("arn:aws:kms:us-west-2:111122223333:key/front", Some("front")),
            ("arn:aws:kms:us-west-2:111122223333:alias/front", Some("front")),
            ("alias/aws/kinesisvideo", None),
            ("arn:aws:kms:us-west-2:111122223333:alias/aws/kinesisvideo", None),
        ] {
            assert_eq!(key_of(kms_key_id), name, "{kms_key_id}");
        }
    }

    #[test]
    fn little_space_is_kept_and_not_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { max_bytes: Some(LEAST_SPACE), ..Config::new(folder.path()) };
        let (service, _) = Service::open(config.clone()).unwrap();
        let stream = service.store.create_stream("cam", None, b"{}").unwrap().id;
        let number =
            service.store.numbering(stream, service.now().utc).unwrap().next(service.now().utc, 1, true);
        let mut upload = service.store.begin(stream, number).unwrap();
        upload.write(vec![7; 100_000].into(), |written| assert!(written.is_ok()));
        let (sender, stored) = std::sync::mpsc::channel();
        let commit = crate::store::Commit {
            producer_time: service.now().utc,
            length_ms: 0,
            timecode: 0,
            timecode_scale: 1_000_000,
            header: bytes::Bytes::new(),
            tags: bytes::Bytes::new(),
            frames: crate::store::FrameIndexWriter::new().finish(),
        };
        upload.commit(commit, move |result| sender.send(result).unwrap());
        stored.recv().unwrap().unwrap();
        service.sweep().unwrap();
        assert_eq!(service.store.last(stream).unwrap().unwrap().number, number);
        service.store.close();
        drop(service);
        let config = Config { max_bytes: Some(LEAST_SPACE - 1), ..config };
        assert!(matches!(Service::open(config), Err(OpenError::Space)));
    }
}

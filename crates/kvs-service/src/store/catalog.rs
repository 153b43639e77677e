//! The catalog: what cannot be rebuilt from segments. Streams with their keys, what has expired, what ids are taken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::{ReadableTable, TableDefinition};

use super::base::Base;
use super::disk::Disk;
use super::encoding::{Malformed, Reader, put_string};
use super::error::StoreError;
use super::number::{Number, SegmentId, StreamId};
use super::shard::SegmentIds;
use crate::keys::{Key, Keyring};
use crate::random::Random;

const STREAMS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("streams");
const METADATA: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("metadata");
const WATERMARKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("watermarks");
const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");

const NEXT_STREAM: &str = "stream";
const NEXT_SEGMENT: &str = "segment";
const STORE_KEY: &str = "store";
/// Segment ids that one durable commit sets aside.
const SEGMENTS_AT_ONCE: u64 = 256;
const CACHE: usize = 8 << 20;

/// A stream as the store knows it.
#[derive(Debug)]
pub struct Stream {
    /// Its id.
    pub id: StreamId,
    /// Its name; no two streams have the same.
    pub name: String,
    /// The master key that wraps its data key.
    pub key_id: String,
    pub(crate) data_key: Key,
    /// It was there when this run began.
    pub(crate) found: bool,
}

#[derive(Debug, Default)]
struct Streams {
    by_id: HashMap<StreamId, Arc<Stream>>,
    by_name: HashMap<String, StreamId>,
}

pub(crate) struct Catalog {
    base: Base,
    keyring: Keyring,
    random: Arc<dyn Random>,
    streams: RwLock<Streams>,
    /// One change of a stream at a time. Whoever only looks one up never waits for the disk.
    changing: Mutex<()>,
    segments: Mutex<std::ops::Range<u64>>,
    store_key: Key,
}

fn bound_to(stream: StreamId) -> [u8; 16] {
    let mut bound = *b"kvsdata\0\0\0\0\0\0\0\0\0";
    if let Some(last) = bound.last_chunk_mut() {
        *last = stream.0.to_le_bytes();
    }
    bound
}

pub(super) fn encode(name: &str, key_id: &str, wrapped: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in [name.as_bytes(), key_id.as_bytes(), wrapped] {
        put_string(&mut out, part);
    }
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<(String, String, &[u8]), Malformed> {
    let mut reader = Reader::new(bytes);
    let mut text = |what| {
        let text = reader.string(what)?;
        String::from_utf8(text.to_vec()).map_err(|_| Malformed { what, at: text.len() })
    };
    Ok((text("name")?, text("key id")?, reader.string("wrapped key")?))
}

impl Catalog {
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        keyring: Keyring,
        random: Arc<dyn Random>,
    ) -> Result<Self, StoreError> {
        let base = Base::open(disk, "catalog.redb", CACHE)?;
        let fresh = Key::generate(&*random)?;
        let mut sealed = Vec::new();
        put_string(&mut sealed, keyring.current().as_bytes());
        put_string(
            &mut sealed,
            &keyring.key(keyring.current())?.wrap(&fresh, STORE_KEY.as_bytes(), &*random)?,
        );
        // All tables exist from here on, and so does the store key.
        let stored = base.write(|transaction| {
            transaction.open_table(STREAMS)?;
            transaction.open_table(METADATA)?;
            transaction.open_table(WATERMARKS)?;
            transaction.open_table(COUNTERS)?;
            let mut keys = transaction.open_table(KEYS)?;
            if let Some(stored) = keys.get(STORE_KEY)? {
                return Ok(stored.value().to_vec());
            }
            keys.insert(STORE_KEY, sealed.as_slice())?;
            Ok(sealed.clone())
        })?;
        let mut reader = Reader::new(&stored);
        let mut part = || reader.string("store key").map_err(StoreError::malformed("the store key"));
        let (key_id, wrapped) = (part()?, part()?);
        let store_key =
            keyring.key(&String::from_utf8_lossy(key_id))?.unwrap(wrapped, STORE_KEY.as_bytes())?;

        let rows = base.read(|transaction| {
            let table = transaction.open_table(STREAMS)?;
            let rows = table.iter()?.map(|row| row.map(|(id, value)| (id.value(), value.value().to_vec())));
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })?;
        let mut streams = Streams::default();
        for (id, value) in rows {
            let id = StreamId(id);
            let (name, key_id, wrapped) = decode(&value).map_err(StoreError::malformed("a stream"))?;
            let data_key = keyring.key(&key_id)?.unwrap(wrapped, &bound_to(id))?;
            streams.add(Stream { id, name, key_id, data_key, found: true });
        }
        Ok(Self {
            base,
            keyring,
            random,
            streams: RwLock::new(streams),
            changing: Mutex::default(),
            segments: Mutex::new(0..0),
            store_key,
        })
    }

    pub(crate) fn store_key(&self) -> &Key {
        &self.store_key
    }

    pub(crate) fn create(
        &self,
        name: &str,
        key_id: Option<&str>,
        metadata: &[u8],
    ) -> Result<Arc<Stream>, StoreError> {
        let key_id = key_id.unwrap_or(self.keyring.current());
        let master = self.keyring.key(key_id)?;
        let data_key = Key::generate(&*self.random)?;
        // Held over the commit: two streams of one name cannot both pass.
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.named(name).is_some() {
            return Err(StoreError::NameTaken(name.to_owned()));
        }
        let id = self.take_ids(NEXT_STREAM, 1)?;
        let wrapped = master.wrap(&data_key, &bound_to(StreamId(id)), &*self.random)?;
        let value = encode(name, key_id, &wrapped);
        self.base.write(|transaction| {
            transaction.open_table(STREAMS)?.insert(id, value.as_slice())?;
            transaction.open_table(METADATA)?.insert(id, metadata)?;
            Ok(())
        })?;
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        Ok(streams.add(Stream {
            id: StreamId(id),
            name: name.to_owned(),
            key_id: key_id.to_owned(),
            data_key,
            found: false,
        }))
    }

    /// From here on nobody can read what the stream recorded: its key is no more.
    pub(crate) fn delete(&self, id: StreamId) -> Result<(), StoreError> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = self.stream(id).ok_or(StoreError::NoStream(id))?;
        self.base.write(|transaction| {
            transaction.open_table(STREAMS)?.remove(id.0)?;
            transaction.open_table(METADATA)?.remove(id.0)?;
            transaction.open_table(WATERMARKS)?.remove(id.0)?;
            Ok(())
        })?;
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.by_id.remove(&id);
        streams.by_name.remove(&stream.name);
        Ok(())
    }

    pub(crate) fn stream(&self, id: StreamId) -> Option<Arc<Stream>> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner).by_id.get(&id).cloned()
    }

    pub(crate) fn named(&self, name: &str) -> Option<Arc<Stream>> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.by_name.get(name).and_then(|id| streams.by_id.get(id)).cloned()
    }

    /// All streams in the order of their ids.
    pub(crate) fn streams(&self) -> Vec<Arc<Stream>> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = streams.by_id.values().cloned().collect();
        all.sort_unstable_by_key(|stream| stream.id);
        all
    }

    pub(crate) fn metadata(&self, id: StreamId) -> Result<Vec<u8>, StoreError> {
        let found = self.base.read(|transaction| {
            Ok(transaction.open_table(METADATA)?.get(id.0)?.map(|value| value.value().to_vec()))
        })?;
        found.ok_or(StoreError::NoStream(id))
    }

    pub(crate) fn set_metadata(&self, id: StreamId, metadata: &[u8]) -> Result<(), StoreError> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stream(id).is_none() {
            return Err(StoreError::NoStream(id));
        }
        self.base.write(|transaction| {
            transaction.open_table(METADATA)?.insert(id.0, metadata)?;
            Ok(())
        })
    }

    /// What has expired: of every stream, everything up to this number.
    pub(crate) fn watermarks(&self) -> Result<Vec<(StreamId, Number)>, StoreError> {
        self.base.read(|transaction| {
            let table = transaction.open_table(WATERMARKS)?;
            let mut marks = Vec::new();
            for row in table.iter()? {
                let (id, value) = row?;
                marks.extend(Number::from_bytes(value.value()).map(|number| (StreamId(id.value()), number)));
            }
            Ok(marks)
        })
    }

    /// Everything up to these numbers is gone for ever; a mark never goes back.
    pub(crate) fn raise_watermarks(&self, marks: &[(StreamId, Number)]) -> Result<(), StoreError> {
        self.base.write(|transaction| {
            let mut table = transaction.open_table(WATERMARKS)?;
            for (stream, number) in marks {
                let before = table.get(stream.0)?.and_then(|value| Number::from_bytes(value.value()));
                if before.is_none_or(|before| before < *number) {
                    table.insert(stream.0, number.to_bytes().as_slice())?;
                }
            }
            Ok(())
        })
    }

    fn take_ids(&self, counter: &str, count: u64) -> Result<u64, StoreError> {
        self.base.write(|transaction| {
            let mut counters = transaction.open_table(COUNTERS)?;
            let first = counters.get(counter)?.map_or(1, |value| value.value());
            counters.insert(counter, first.saturating_add(count))?;
            Ok(first)
        })
    }
}

impl SegmentIds for Catalog {
    fn next(&self) -> Result<SegmentId, StoreError> {
        let mut ids = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(id) = ids.next() {
                return Ok(SegmentId(id));
            }
            let first = self.take_ids(NEXT_SEGMENT, SEGMENTS_AT_ONCE)?;
            *ids = first..first.saturating_add(SEGMENTS_AT_ONCE);
        }
    }
}

impl Streams {
    fn add(&mut self, stream: Stream) -> Arc<Stream> {
        let stream = Arc::new(stream);
        self.by_name.insert(stream.name.clone(), stream.id);
        self.by_id.insert(stream.id, Arc::clone(&stream));
        stream
    }
}

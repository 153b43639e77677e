//! What the targets of `fuzz/` need of the inside of the store. No part of the crate's interface.

use std::sync::Arc;

use kvs_media::time::Monotonic;

use super::catalog::{self, Catalog};
use super::crypt::{Purpose, Sealer};
use super::disk::Disk;
use super::encoding::{Malformed, Reader};
use super::error::StoreError;
use super::format::{
    ALIGN, RECORD_HEADER, RecordHeader, RecordKind, SEGMENT_HEADER, SegmentHeader, TRAILER, Trailer, UNIT,
    put_record,
};
use super::fragment::{Fragment, decode_rows, encode_rows, put_row, read_row};
use super::frames::{FrameIndex, FrameIndexWriter};
use super::index::SegmentUse;
use super::number::{Number, Place, SegmentId, StreamId};
use super::recovery::Recovery;
use super::segment::Segment;
use super::whole::{Settings, Store};
use crate::keys::{KEY_BYTES, Key, Keyring};
use crate::random::Random;

const STREAM: StreamId = StreamId(3);
const SEGMENT: SegmentId = SegmentId(5);
const PLACE: Place = Place { offset: SEGMENT_HEADER, length: 7 };

/// Opens a store on any disk, with no thread running.
pub fn open(
    disk: Arc<dyn Disk>,
    keyring: Keyring,
    random: Arc<dyn Random>,
    settings: &Settings,
) -> Result<(Store, Recovery), StoreError> {
    Store::open_on(disk, keyring, random, settings)
}

/// Does what the threads of a store would have done by now.
pub fn turn(store: &Store, now: Monotonic) {
    store.turn(now);
}

/// Reads bytes as everything that the store keeps, and holds that what reads is written, and reads the same.
pub fn stored_forms(bytes: &[u8]) {
    fragment(bytes);
    frames(bytes);
    headers(bytes);
    if let Ok(rows) = decode_rows(bytes) {
        assert!(rows.len() <= bytes.len());
        assert_eq!(decode_rows(&encode_rows(&rows)), Ok(rows));
    }
    if let Ok(row) = read_row(&mut Reader::new(bytes), STREAM, Number::FIRST) {
        let mut written = Vec::new();
        put_row(&mut written, &row);
        assert_eq!(read_row(&mut Reader::new(&written), STREAM, Number::FIRST), Ok(row));
    }
    if let Ok(usage) = SegmentUse::decode(bytes) {
        assert_eq!(SegmentUse::decode(&usage.encode()), Ok(usage));
    }
    if let Ok((name, key_id, wrapped)) = catalog::decode(bytes) {
        let written = catalog::encode(&name, &key_id, wrapped);
        assert_eq!(catalog::decode(&written), Ok((name, key_id, wrapped)));
    }
    if let Some(number) = Number::from_bytes(bytes) {
        assert_eq!(number.to_bytes(), bytes);
    }
    if let Some((name, id)) =
        std::str::from_utf8(bytes).ok().and_then(|name| Some((name, SegmentId::from_file_name(name)?)))
    {
        assert!(id.file_name().ends_with(&format!("/{name}")), "{name} is not the name of {id}");
    }
}

fn fragment(bytes: &[u8]) {
    let read = |bytes: &[u8]| Fragment::decode(bytes, STREAM, SEGMENT, PLACE);
    if let Ok(fragment) = read(bytes) {
        let mut written = Vec::new();
        fragment.commit.encode(fragment.row.number, &fragment.blocks, &mut written);
        frames(fragment.commit.frames.as_bytes());
        assert_eq!(read(&written), Ok(fragment));
    }
}

/// Frames lie one behind another, and an index that is made of them has the same.
fn frames(bytes: &[u8]) {
    let index = FrameIndex::from_bytes(bytes);
    let read: Result<Vec<_>, Malformed> = index.frames().collect();
    assert!(index.frames().count() <= bytes.len());
    let Ok(frames) = read else { return };
    let (mut writer, mut end) = (FrameIndexWriter::new(), 0);
    for frame in &frames {
        assert!(end <= frame.offset);
        end = frame.offset + u64::from(frame.size);
        // One track more than a writer tells apart can be read.
        if writer.push(frame).is_err() {
            return;
        }
    }
    let again: Result<Vec<_>, Malformed> = writer.finish().frames().collect();
    assert_eq!(again, Ok(frames));
}

/// Headers and trailers as they stand, and with the checksum that makes them sound.
fn headers(bytes: &[u8]) {
    let sound = |length: usize| {
        let mut bytes = bytes.get(..length)?.to_vec();
        let check = crc32fast::hash(bytes.split_last_chunk::<4>()?.0);
        *bytes.last_chunk_mut()? = check.to_le_bytes();
        Some(bytes)
    };
    for page in [Some(bytes.to_vec()), sound(UNIT)].into_iter().flatten() {
        if let Ok(header) = SegmentHeader::parse(&page) {
            assert_eq!(SegmentHeader::parse(&header.to_bytes()), Ok(header));
        }
        if let Some(trailer) = page.first_chunk::<TRAILER>().and_then(Trailer::parse) {
            assert_eq!(Trailer::parse(&trailer.to_bytes()), Some(trailer));
        }
    }
    let mut reader = Reader::new(bytes);
    let place = (reader.array("segment"), reader.array("offset"));
    if let (Ok(segment), Ok(units)) = place {
        let segment = SegmentId(u64::from_le_bytes(segment));
        let offset = u64::from(u32::from_le_bytes(units)) * ALIGN;
        let rest = reader.take(reader.left(), "rest").unwrap_or_default();
        if let Some(header) = RecordHeader::parse(rest, segment, offset) {
            assert_eq!(rest.get(..RECORD_HEADER), Some(header.to_bytes(segment, offset).as_slice()));
        }
    }
}

/// Makes records that open, of a segment that is there: what this program never wrote, and another one might have.
pub struct Forger {
    segment: SegmentId,
    stream: StreamId,
    records: Sealer,
    store_key: Key,
}

impl Forger {
    /// For a segment and a stream of a disk.
    pub fn new(
        disk: Arc<dyn Disk>,
        keyring: Keyring,
        random: Arc<dyn Random>,
        segment: SegmentId,
        stream: StreamId,
    ) -> Result<Self, StoreError> {
        let catalog = Catalog::open(Arc::clone(&disk), keyring, random)?;
        let known = catalog.stream(stream).ok_or(StoreError::NoStream(stream))?;
        let records = Segment::open(&*disk, segment)?.records_key(&known.data_key, stream)?;
        Ok(Self { segment, stream, records, store_key: catalog.store_key().clone() })
    }

    /// A record of the stream with any body, for its place.
    pub fn record(&self, kind: RecordKind, offset: u64, body: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut out = Vec::new();
        put_record(&mut out, &self.records, self.segment, offset, (kind, self.stream), body)?;
        Ok(out)
    }

    /// Everything behind the last record, from `end` on: salt, a footer with any body, a trailer.
    pub fn footer(&self, end: u64, body: &[u8]) -> Result<Vec<u8>, StoreError> {
        let salt = [1; KEY_BYTES];
        let sealer = self.store_key.sealer(&salt, Purpose::Footer(self.segment.0))?;
        let mut out = salt.to_vec();
        out.resize(UNIT, 0);
        let kind = (RecordKind::Footer, StreamId(0));
        let footer = put_record(&mut out, &sealer, self.segment, end + ALIGN, kind, body)?;
        out.extend_from_slice(&Trailer { segment: self.segment, footer }.to_bytes());
        Ok(out)
    }
}

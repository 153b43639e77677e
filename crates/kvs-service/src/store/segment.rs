//! A segment as a file: made, opened, read at a place, scanned from end to end.

use std::collections::VecDeque;
use std::iter;
use std::ops::Range;
use std::sync::Arc;

use super::crypt::{Purpose, Sealer, TAG_BYTES};
use super::disk::{Disk, DiskFile};
use super::error::StoreError;
use super::format::{
    ALIGN, RECORD_HEADER, RecordHeader, RecordKind, SEGMENT_HEADER, SEGMENTS, SegmentHeader, TRAILER,
    Trailer, UNIT, open_record, put_record,
};
use super::fragment::{decode_rows, encode_rows};
use super::number::{FragmentRow, Place, SegmentId, StreamId};
use crate::keys::Key;

/// The least that is worth allocating at once.
const LEAST_ALLOCATION: u64 = 1 << 20;
const SALT: usize = 32;

/// An open segment; reads at any place, by any number of readers.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn DiskFile>,
}

impl Segment {
    /// Makes a segment and its name durable; says how much of `target` the disk had room for.
    pub(crate) fn create(
        disk: &dyn Disk,
        header: SegmentHeader,
        target: u64,
    ) -> Result<(Self, u64), std::io::Error> {
        let name = header.id.file_name();
        let file = disk.create(&name)?;
        let made = allocate(&*file, target).and_then(|allocated| {
            file.write_at(&header.to_bytes(), 0)?;
            file.sync()?;
            disk.sync_names(SEGMENTS)?;
            Ok(allocated)
        });
        match made {
            Ok(allocated) => Ok((Self { header, file }, allocated)),
            Err(error) => {
                // A segment without a header holds nothing; if it stays, recovery removes it.
                let _ = disk.remove(&name);
                Err(error)
            }
        }
    }

    pub(crate) fn open(disk: &dyn Disk, id: SegmentId) -> Result<Self, StoreError> {
        let file = disk.open(&id.file_name()).map_err(StoreError::disk("open a segment"))?;
        let mut bytes = [0; 64];
        let header = match file.read_at(&mut bytes, 0) {
            Ok(()) => SegmentHeader::parse(&bytes),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(super::format::FormatError::NoSegment)
            }
            Err(error) => return Err(StoreError::Disk { what: "read a segment", source: error }),
        };
        let header =
            header
                .and_then(|header| {
                    if header.id == id { Ok(header) } else { Err(super::format::FormatError::NoSegment) }
                })
                .map_err(|source| StoreError::Segment { segment: id, source })?;
        Ok(Self { header, file })
    }

    pub(crate) fn id(&self) -> SegmentId {
        self.header.id
    }

    pub(crate) fn records_key(&self, data_key: &Key, stream: StreamId) -> Result<Sealer, StoreError> {
        Ok(data_key.sealer(&self.header.salt, Purpose::Records(stream.0))?)
    }

    /// Reads and opens one record. The body is a part of `buffer`, which grows to the record and is used again.
    pub(crate) fn read<'a>(
        &self,
        sealer: &Sealer,
        (kind, stream): (RecordKind, StreamId),
        place: Place,
        buffer: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], StoreError> {
        let damaged = || StoreError::Damaged { segment: self.id(), offset: place.offset };
        let end = self.file.len().map_err(StoreError::disk("read a segment"))?;
        let length = place.length as usize + RECORD_HEADER + TAG_BYTES;
        // What a row says is bounded by what is there before memory is taken for it.
        if place.offset.checked_add(length as u64).is_none_or(|behind| behind > end) {
            return Err(damaged());
        }
        buffer.resize(length, 0);
        self.file.read_at(buffer, place.offset).map_err(StoreError::disk("read a segment"))?;
        let expected = RecordHeader { kind, stream, length: place.length };
        if RecordHeader::parse(buffer, self.id(), place.offset) != Some(expected) {
            return Err(damaged());
        }
        let body = open_record(buffer, sealer, self.id(), place.offset).map_err(|_| damaged())?;
        Ok(body)
    }

    /// Writes rows and trailer behind `end`, cuts what was allocated beyond, and makes it all durable.
    pub(crate) fn seal(
        &self,
        store_key: &Key,
        salt: [u8; SALT],
        rows: &[FragmentRow],
        end: u64,
    ) -> Result<u64, StoreError> {
        let sealer = store_key.sealer(&salt, Purpose::Footer(self.id().0))?;
        let mut out = Vec::new();
        // The salt stands in front: a footer that is written twice is never sealed twice under one key.
        out.extend_from_slice(&salt);
        out.resize(UNIT, 0);
        let offset = end + ALIGN;
        let footer = put_record(
            &mut out,
            &sealer,
            self.id(),
            offset,
            (RecordKind::Footer, StreamId(0)),
            &encode_rows(rows),
        )?;
        out.extend_from_slice(&Trailer { segment: self.id(), footer }.to_bytes());
        let length = end + out.len() as u64;
        let write = || {
            self.file.write_at(&out, end)?;
            self.file.set_len(length)?;
            self.file.sync()
        };
        write().map_err(StoreError::disk("seal a segment"))?;
        Ok(length)
    }

    /// The trailer, when the segment was sealed.
    pub(crate) fn trailer(&self) -> Result<Option<Trailer>, StoreError> {
        let length = self.file.len().map_err(StoreError::disk("read a segment"))?;
        let Some(offset) = length.checked_sub(TRAILER as u64).filter(|offset| *offset >= SEGMENT_HEADER)
        else {
            return Ok(None);
        };
        let mut bytes = [0; TRAILER];
        self.file.read_at(&mut bytes, offset).map_err(StoreError::disk("read a segment"))?;
        Ok(Trailer::parse(&bytes).filter(|trailer| {
            trailer.segment == self.id()
                && trailer.footer.offset >= SEGMENT_HEADER + ALIGN
                && trailer.footer.offset.checked_add(super::format::extent(trailer.footer.length))
                    == Some(offset)
        }))
    }

    /// The rows of a sealed segment.
    pub(crate) fn footer(&self, store_key: &Key, trailer: Trailer) -> Result<Vec<FragmentRow>, StoreError> {
        let mut salt = [0; SALT];
        self.file
            .read_at(&mut salt, trailer.footer.offset.saturating_sub(ALIGN))
            .map_err(StoreError::disk("read a segment"))?;
        let sealer = store_key.sealer(&salt, Purpose::Footer(self.id().0))?;
        let mut buffer = Vec::new();
        let body = self.read(&sealer, (RecordKind::Footer, StreamId(0)), trailer.footer, &mut buffer)?;
        let rows = decode_rows(body).map_err(StoreError::malformed("a footer"))?;
        Ok(rows.into_iter().map(|row| FragmentRow { segment: self.id(), ..row }).collect())
    }

    /// Goes through the records from `offset` to `end`.
    pub(crate) fn scan(&self, offset: u64, end: u64) -> Scan<'_> {
        // Asked before anything is read: what has been read ahead counts as written.
        let written = self.file.written(end).unwrap_or_else(|_| iter::once(0..end).collect());
        let at = offset.max(SEGMENT_HEADER);
        Scan { segment: self, at, end, written: written.into(), window: Vec::new(), window_at: 0 }
    }
}

/// Space with its place on the disk, as much of `target` as there is.
fn allocate(file: &dyn DiskFile, target: u64) -> std::io::Result<u64> {
    let mut length = target;
    loop {
        match file.allocate(length) {
            Ok(()) => return Ok(length),
            // A file system that cannot: the file grows as it is written.
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => return Ok(target),
            Err(error)
                if error.kind() == std::io::ErrorKind::StorageFull && length / 2 >= LEAST_ALLOCATION =>
            {
                length /= 2;
            }
            Err(error) => return Err(error),
        }
    }
}

/// What stands at a place of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A record whose header is sound.
    Record(u64, RecordHeader),
    /// Bytes that belong to no record, from where to where.
    Damage(u64, u64),
}

/// Goes through a segment. Holes are passed over; behind damage it goes on at the next sound header.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    segment: &'a Segment,
    at: u64,
    end: u64,
    /// Where there is something to be read.
    written: VecDeque<Range<u64>>,
    window: Vec<u8>,
    window_at: u64,
}

impl Scan<'_> {
    const WINDOW: u64 = 256 * 1024;

    /// The unit at a place, out of a window that moves forwards.
    fn unit(&mut self, at: u64) -> Result<Option<&[u8]>, StoreError> {
        if at.checked_add(ALIGN).is_none_or(|behind| behind > self.end) {
            return Ok(None);
        }
        if at < self.window_at || at + ALIGN > self.window_at + self.window.len() as u64 {
            let length = Self::WINDOW.min(self.end - at);
            self.window.resize(usize::try_from(length).unwrap_or(0), 0);
            self.window_at = at;
            let read = self.segment.file.read_at(&mut self.window, at);
            read.map_err(StoreError::disk("scan a segment"))?;
        }
        let start = usize::try_from(at - self.window_at).unwrap_or(usize::MAX);
        Ok(self.window.get(start..start.saturating_add(UNIT)))
    }

    /// Where to go on from a place that was never written, or was given back.
    fn behind_hole(&mut self, at: u64) -> Option<u64> {
        while self.written.front().is_some_and(|range| range.end <= at) {
            self.written.pop_front();
        }
        let next = self.written.front().map_or(self.end, |range| range.start);
        // Records stand at multiples of their unit.
        Some(next / ALIGN * ALIGN).filter(|next| *next > at)
    }

    fn step(&mut self) -> Result<Option<Found>, StoreError> {
        let (segment, end) = (self.segment.id(), self.end);
        let mut damage: Option<u64> = None;
        loop {
            let at = self.at;
            if let Some(behind) = self.behind_hole(at) {
                if damage.is_none() {
                    self.at = behind;
                    continue;
                }
                return Ok(damage.map(|from| Found::Damage(from, at)));
            }
            let Some(unit) = self.unit(at)? else {
                return Ok(damage.map(|from| Found::Damage(from, at)));
            };
            let sound = RecordHeader::parse(unit, segment, at).filter(|header| at + header.extent() <= end);
            let zero = unit.iter().all(|byte| *byte == 0);
            match (sound, damage) {
                (Some(_), Some(from)) => return Ok(Some(Found::Damage(from, at))),
                (Some(header), None) => {
                    self.at = at + header.extent();
                    return Ok(Some(Found::Record(at, header)));
                }
                (None, Some(from)) if zero => return Ok(Some(Found::Damage(from, at))),
                (None, None) if !zero => damage = Some(at),
                _ => {}
            }
            self.at = at + ALIGN;
        }
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Found, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.step().transpose();
        if matches!(found, Some(Err(_))) {
            self.at = self.end;
        }
        found
    }
}

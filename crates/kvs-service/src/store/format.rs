//! The bytes of a segment: its header, the header of a record, the trailer. `docs/storage.md` has the table.

use kvs_media::time::Utc;

use super::crypt::{Sealer, TAG_BYTES};
use super::encoding::Reader;
use super::number::{Place, SegmentId, StreamId};
use crate::keys::{CryptError, KEY_BYTES};

/// The folder of the segments.
pub(crate) const SEGMENTS: &str = "segments";
/// Every record begins at a multiple of this.
pub(crate) const ALIGN: u64 = 64;
/// The same, as a length in memory.
pub(crate) const UNIT: usize = 64;
/// Bytes of the segment header: its own page, so that a torn first record cannot take it along.
pub(crate) const SEGMENT_HEADER: u64 = 4096;
/// Bytes of a record header.
pub(crate) const RECORD_HEADER: usize = 32;
/// Bytes of the trailer, the last of a sealed segment.
pub(crate) const TRAILER: usize = 64;
/// The most payload that one Block record has.
pub const BLOCK_BYTES: usize = 64 * 1024;
/// The most bytes that any record's body may have; a scan believes nothing above it.
pub(crate) const LONGEST_BODY: u32 = 64 << 20;
/// The version that this code writes and reads.
pub(crate) const VERSION: u16 = 1;

const SEGMENT_MAGIC: [u8; 8] = *b"KVSSEGMT";
const TRAILER_MAGIC: [u8; 8] = *b"KVSTRAIL";
const RECORD_MAGIC: [u8; 4] = *b"KVSr";

/// What the first page of a segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) id: SegmentId,
    pub(crate) shard: u16,
    pub(crate) created: Utc,
    /// Chance that makes the keys of this segment, so that no two segments ever share one, whatever their ids.
    pub(crate) salt: [u8; KEY_BYTES],
}

impl SegmentHeader {
    const USED: usize = 64;

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(usize::try_from(SEGMENT_HEADER).unwrap_or(Self::USED));
        out.extend_from_slice(&SEGMENT_MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.shard.to_le_bytes());
        out.extend_from_slice(&self.id.0.to_le_bytes());
        out.extend_from_slice(&self.created.nanos().to_le_bytes());
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out.resize(usize::try_from(SEGMENT_HEADER).unwrap_or(Self::USED), 0);
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let used = bytes.get(..Self::USED).ok_or(FormatError::NoSegment)?;
        let (text, check) = used.split_last_chunk::<4>().ok_or(FormatError::NoSegment)?;
        let mut reader = Reader::new(text);
        let mut parse = || {
            if reader.array("magic")? != SEGMENT_MAGIC {
                return Err(reader.malformed("magic"));
            }
            Ok((
                u16::from_le_bytes(reader.array("version")?),
                Self {
                    shard: u16::from_le_bytes(reader.array("shard")?),
                    id: SegmentId(u64::from_le_bytes(reader.array("id")?)),
                    created: Utc::from_nanos(i64::from_le_bytes(reader.array("created")?)),
                    salt: reader.array("salt")?,
                },
            ))
        };
        let (version, header) = parse().map_err(|_| FormatError::NoSegment)?;
        if crc32fast::hash(text) != u32::from_le_bytes(*check) {
            return Err(FormatError::NoSegment);
        }
        if version != VERSION {
            return Err(FormatError::Version(version));
        }
        Ok(header)
    }
}

/// Why bytes are no segment or no record of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The first page is no segment header, or damaged.
    #[error("no segment header, or a damaged one")]
    NoSegment,
    /// A format that this program does not know.
    #[error("segment format {0}; this program reads {VERSION}")]
    Version(u16),
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A piece of a fragment's payload.
    Block,
    /// The commit of a fragment: it exists when this is durable.
    Fragment,
    /// The rows of a sealed segment.
    Footer,
}

impl RecordKind {
    const fn code(self) -> u8 {
        match self {
            Self::Block => 1,
            Self::Fragment => 2,
            Self::Footer => 3,
        }
    }
}

/// The plain header in front of every sealed body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: RecordKind,
    pub(crate) stream: StreamId,
    /// Bytes of the body without its tag.
    pub(crate) length: u32,
}

impl RecordHeader {
    pub(crate) fn to_bytes(self, segment: SegmentId, offset: u64) -> [u8; RECORD_HEADER] {
        let mut out = [0; RECORD_HEADER];
        let mut rest = out.as_mut_slice();
        let units = u32::try_from(offset / ALIGN).unwrap_or(u32::MAX);
        for part in [
            RECORD_MAGIC.as_slice(),
            &[self.kind.code(), 0, 0, 0],
            &self.stream.0.to_le_bytes(),
            &self.length.to_le_bytes(),
            &units.to_le_bytes(),
        ] {
            if let Some((head, tail)) = std::mem::take(&mut rest).split_at_mut_checked(part.len()) {
                head.copy_from_slice(part);
                rest = tail;
            }
        }
        let check = checksum(segment, &out);
        if let Some(last) = out.last_chunk_mut() {
            *last = check.to_le_bytes();
        }
        out
    }

    /// The header at a place; `None` when there is none, or a damaged one, or one that belongs elsewhere.
    pub(crate) fn parse(bytes: &[u8], segment: SegmentId, offset: u64) -> Option<Self> {
        let bytes: &[u8; RECORD_HEADER] = bytes.first_chunk()?;
        let mut reader = Reader::new(bytes);
        if reader.array("magic").ok()? != RECORD_MAGIC {
            return None;
        }
        let kind = match reader.array("kind").ok()? {
            [1, 0, 0, 0] => RecordKind::Block,
            [2, 0, 0, 0] => RecordKind::Fragment,
            [3, 0, 0, 0] => RecordKind::Footer,
            _ => return None,
        };
        let stream = StreamId(u64::from_le_bytes(reader.array("stream").ok()?));
        let length = u32::from_le_bytes(reader.array("length").ok()?);
        let units = u32::from_le_bytes(reader.array("place").ok()?);
        let check = u32::from_le_bytes(*bytes.last_chunk()?);
        (check == checksum(segment, bytes) && u64::from(units) == offset / ALIGN && length <= LONGEST_BODY)
            .then_some(Self { kind, stream, length })
    }

    /// From its first byte to the next record.
    pub(crate) fn extent(self) -> u64 {
        extent(self.length)
    }
}

/// Over everything before the checksum, and the segment, so that a record is at home in one segment only.
fn checksum(segment: SegmentId, header: &[u8; RECORD_HEADER]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&segment.0.to_le_bytes());
    hasher.update(header.split_last_chunk::<4>().map_or(&[], |(text, _)| text));
    hasher.finalize()
}

/// What a record with so long a body takes in its segment.
pub(crate) fn extent(length: u32) -> u64 {
    (u64::from(length) + (RECORD_HEADER + TAG_BYTES) as u64).next_multiple_of(ALIGN)
}

/// Unique for a key, since the key belongs to one segment: segment and place.
fn nonce(segment: SegmentId, offset: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    let (head, tail) = nonce.split_at_mut(8);
    head.copy_from_slice(&segment.0.to_le_bytes());
    tail.copy_from_slice(&u32::try_from(offset / ALIGN).unwrap_or(u32::MAX).to_le_bytes());
    nonce
}

/// Appends a whole record, padded, to what will be written at `offset`.
pub(crate) fn put_record(
    out: &mut Vec<u8>,
    sealer: &Sealer,
    segment: SegmentId,
    offset: u64,
    (kind, stream): (RecordKind, StreamId),
    body: &[u8],
) -> Result<Place, CryptError> {
    let length =
        u32::try_from(body.len()).ok().filter(|length| *length <= LONGEST_BODY).ok_or(CryptError::Seal)?;
    let header = RecordHeader { kind, stream, length }.to_bytes(segment, offset);
    let start = out.len();
    let whole = usize::try_from(extent(length)).map_err(|_| CryptError::Seal)?;
    out.extend_from_slice(&header);
    out.resize(start + whole, 0);
    let sealed = out
        .get_mut(start + RECORD_HEADER..)
        .and_then(|rest| rest.split_at_mut_checked(body.len()))
        .and_then(|(text, rest)| Some((text, rest.get_mut(..TAG_BYTES)?)));
    let result = match sealed {
        Some((text, tag)) => sealer.seal(nonce(segment, offset), &header, body, text, tag),
        None => Err(CryptError::Seal),
    };
    if let Err(error) = result {
        out.truncate(start);
        return Err(error);
    }
    Ok(Place { offset, length })
}

/// Opens a record's bytes, header and all; the body is left in place and returned.
pub(crate) fn open_record<'a>(
    record: &'a mut [u8],
    sealer: &Sealer,
    segment: SegmentId,
    offset: u64,
) -> Result<&'a mut [u8], CryptError> {
    let (header, sealed) = record.split_first_chunk_mut::<RECORD_HEADER>().ok_or(CryptError::Open)?;
    sealer.open(nonce(segment, offset), header.as_slice(), sealed)
}

/// The last bytes of a sealed segment: where its footer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) segment: SegmentId,
    pub(crate) footer: Place,
}

impl Trailer {
    pub(crate) fn to_bytes(self) -> [u8; TRAILER] {
        let mut text = Vec::with_capacity(TRAILER);
        text.extend_from_slice(&TRAILER_MAGIC);
        text.extend_from_slice(&self.segment.0.to_le_bytes());
        text.extend_from_slice(&self.footer.offset.to_le_bytes());
        text.extend_from_slice(&self.footer.length.to_le_bytes());
        text.resize(TRAILER - 4, 0);
        text.extend_from_slice(&crc32fast::hash(&text).to_le_bytes());
        text.try_into().unwrap_or([0; TRAILER])
    }

    pub(crate) fn parse(bytes: &[u8; TRAILER]) -> Option<Self> {
        let (text, check) = bytes.split_last_chunk::<4>()?;
        let mut reader = Reader::new(text);
        let magic: [u8; 8] = reader.array("magic").ok()?;
        let segment = SegmentId(u64::from_le_bytes(reader.array("segment").ok()?));
        let offset = u64::from_le_bytes(reader.array("offset").ok()?);
        let length = u32::from_le_bytes(reader.array("length").ok()?);
        (magic == TRAILER_MAGIC && crc32fast::hash(text) == u32::from_le_bytes(*check))
            .then_some(Self { segment, footer: Place { offset, length } })
    }
}

#[cfg(test)]
mod tests {
    use super::super::crypt::Purpose;
    use super::*;
    use crate::keys::Key;

    #[test]
    fn a_segment_header_reads_back_and_no_flipped_bit_passes() {
        let header =
            SegmentHeader { id: SegmentId(7), shard: 1, created: Utc::from_nanos(5), salt: [9; KEY_BYTES] };
        let mut bytes = header.to_bytes();
        assert_eq!(SegmentHeader::parse(&bytes), Ok(header));
        for bit in 0..SegmentHeader::USED * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::parse(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_record_opens_at_its_place_only_and_no_flipped_bit_passes() {
        let sealer = Key::new([3; 32]).sealer(&[4; 32], Purpose::Records(5)).unwrap();
        let (segment, offset) = (SegmentId(1), 4096);
        let mut bytes = Vec::new();
        let place =
            put_record(&mut bytes, &sealer, segment, offset, (RecordKind::Block, StreamId(5)), b"payload")
                .unwrap();
        assert_eq!(place, Place { offset, length: 7 });
        assert_eq!(bytes.len(), 64);
        let header = RecordHeader::parse(&bytes, segment, offset).unwrap();
        assert_eq!(header, RecordHeader { kind: RecordKind::Block, stream: StreamId(5), length: 7 });
        assert_eq!(RecordHeader::parse(&bytes, SegmentId(2), offset), None);
        assert_eq!(RecordHeader::parse(&bytes, segment, offset + 64), None);
        let used = RECORD_HEADER + 7 + TAG_BYTES;
        assert_eq!(open_record(&mut bytes.clone()[..used], &sealer, segment, offset).unwrap(), b"payload");
        assert!(open_record(&mut bytes.clone()[..used], &sealer, segment, offset + 64).is_err());
        for bit in 0..used * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open_record(&mut flipped[..used], &sealer, segment, offset).is_err(), "bit {bit}");
            assert!(
                bit >= RECORD_HEADER * 8 || RecordHeader::parse(&flipped, segment, offset).is_none(),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_trailer_reads_back() {
        let trailer = Trailer { segment: SegmentId(3), footer: Place { offset: 640, length: 99 } };
        let mut bytes = trailer.to_bytes();
        assert_eq!(Trailer::parse(&bytes), Some(trailer));
        bytes[20] ^= 1;
        assert_eq!(Trailer::parse(&bytes), None);
    }
}

//! What the store keeps of a fragment beside its payload, and the rows that a footer lists.

use bytes::Bytes;
use kvs_media::time::Utc;

use super::encoding::{Malformed, Reader, len64, put_string, put_varint, put_zigzag};
use super::format::{ALIGN, BLOCK_BYTES};
use super::frames::FrameIndex;
use super::number::{FragmentRow, Number, Place, SegmentId, StreamId};

/// What is known of a fragment when its last byte has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The producer's time of its first frame.
    pub producer_time: Utc,
    /// Last frame time less first frame time.
    pub length_ms: u32,
    /// The cluster's time in ticks.
    pub timecode: i64,
    /// Nanoseconds of a tick.
    pub timecode_scale: u64,
    /// The bytes of the document before its first cluster, as they came.
    pub header: Bytes,
    /// The producer's tags of this fragment, in a form that the caller chooses.
    pub tags: Bytes,
    /// Where the frames are in the payload.
    pub frames: FrameIndex,
}

/// A stored fragment, without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Its row in the index.
    pub row: FragmentRow,
    /// What was said of it when it was written.
    pub commit: Commit,
    /// Bytes of its payload.
    pub payload: u64,
    /// Its Block records in order.
    pub(crate) blocks: Vec<Place>,
}

/// The version of the Fragment record's body.
const VERSION: u8 = 1;

impl Commit {
    /// The body of a Fragment record.
    pub(crate) fn encode(&self, number: Number, blocks: &[Place], out: &mut Vec<u8>) {
        out.push(VERSION);
        put_varint(out, number.sequence);
        put_varint(out, number.server_ms);
        put_varint(out, u64::from(number.tail));
        put_zigzag(out, self.producer_time.nanos());
        put_varint(out, u64::from(self.length_ms));
        put_zigzag(out, self.timecode);
        put_varint(out, self.timecode_scale);
        put_string(out, &self.header);
        put_string(out, &self.tags);
        put_string(out, self.frames.as_bytes());
        put_varint(out, u64::try_from(blocks.len()).unwrap_or(u64::MAX));
        let mut last = 0;
        for block in blocks {
            let units = block.offset / ALIGN;
            put_varint(out, units.saturating_sub(last));
            put_varint(out, u64::from(block.length));
            last = units;
        }
    }

    /// Payload, header and tags: what ListFragments calls the size (kvs-api 6.1).
    pub(crate) fn size(&self, blocks: &[Place]) -> u64 {
        payload(blocks) + len64(&self.header) + len64(&self.tags)
    }
}

fn payload(blocks: &[Place]) -> u64 {
    blocks.iter().map(|block| u64::from(block.length)).sum()
}

impl Fragment {
    /// Reads the body of a Fragment record that stands at `place`.
    pub(crate) fn decode(
        body: &[u8],
        stream: StreamId,
        segment: SegmentId,
        place: Place,
    ) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        if reader.byte("version")? != VERSION {
            return Err(reader.malformed("version"));
        }
        let number = Number {
            sequence: reader.varint("sequence")?,
            server_ms: reader.varint("server time")?,
            tail: reader.small("tail")?,
        };
        let commit = Commit {
            producer_time: Utc::from_nanos(reader.zigzag("producer time")?),
            length_ms: reader.small("length")?,
            timecode: reader.zigzag("timecode")?,
            timecode_scale: reader.varint("timecode scale")?,
            header: Bytes::copy_from_slice(reader.string("header")?),
            tags: Bytes::copy_from_slice(reader.string("tags")?),
            frames: FrameIndex::from_bytes(reader.string("frames")?),
        };
        let count: usize = reader.small("blocks")?;
        // A block takes at least two bytes here.
        if count > reader.left() {
            return Err(reader.malformed("blocks"));
        }
        let mut blocks = Vec::with_capacity(count);
        let mut units = 0_u64;
        for _ in 0..count {
            units = units.checked_add(reader.varint("block")?).ok_or(reader.malformed("block"))?;
            let length: u32 = reader.small("block length")?;
            let offset = units.checked_mul(ALIGN).ok_or(reader.malformed("block"))?;
            if length as usize > BLOCK_BYTES {
                return Err(reader.malformed("block length"));
            }
            blocks.push(Place { offset, length });
        }
        let row = FragmentRow {
            stream,
            number,
            producer_time: commit.producer_time,
            length_ms: commit.length_ms,
            size: commit.size(&blocks),
            segment,
            place,
        };
        Ok(Self { row, payload: payload(&blocks), commit, blocks })
    }
}

/// The value of a row in the index; its key has stream and number.
pub(crate) fn put_row(out: &mut Vec<u8>, row: &FragmentRow) {
    put_zigzag(out, row.producer_time.nanos());
    put_varint(out, u64::from(row.length_ms));
    put_varint(out, row.size);
    put_varint(out, row.segment.0);
    put_varint(out, row.place.offset / ALIGN);
    put_varint(out, u64::from(row.place.length));
}

pub(crate) fn read_row(
    reader: &mut Reader<'_>,
    stream: StreamId,
    number: Number,
) -> Result<FragmentRow, Malformed> {
    Ok(FragmentRow {
        stream,
        number,
        producer_time: Utc::from_nanos(reader.zigzag("producer time")?),
        length_ms: reader.small("length")?,
        size: reader.varint("size")?,
        segment: SegmentId(reader.varint("segment")?),
        place: Place {
            offset: reader.varint("place")?.checked_mul(ALIGN).ok_or(reader.malformed("place"))?,
            length: reader.small("record length")?,
        },
    })
}

/// The plain body of a footer: the rows of a segment, in the order of their records.
pub(crate) fn encode_rows(rows: &[FragmentRow]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() * 48);
    put_varint(&mut out, u64::try_from(rows.len()).unwrap_or(u64::MAX));
    for row in rows {
        put_varint(&mut out, row.stream.0);
        out.extend_from_slice(&row.number.to_bytes());
        put_row(&mut out, row);
    }
    out
}

pub(crate) fn decode_rows(body: &[u8]) -> Result<Vec<FragmentRow>, Malformed> {
    let mut reader = Reader::new(body);
    let count: usize = reader.small("rows")?;
    if count > reader.left() {
        return Err(reader.malformed("rows"));
    }
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        let stream = StreamId(reader.varint("stream")?);
        let number =
            Number::from_bytes(reader.take(Number::BYTES, "number")?).ok_or(reader.malformed("number"))?;
        rows.push(read_row(&mut reader, stream, number)?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_fragment_reads_back_as_written(
            (sequence, server_ms, tail) in any::<(u64, u64, u32)>(),
            (producer, timecode, timecode_scale, length_ms) in any::<(i64, i64, u64, u32)>(),
            header: Vec<u8>, tags: Vec<u8>, frames: Vec<u8>,
            blocks in prop::collection::vec((1_u64..1 << 20, 0_u32..=65536), 0..20),
        ) {
            let number = Number { sequence, server_ms, tail };
            let mut units = 0;
            let blocks: Vec<_> = blocks
                .into_iter()
                .map(|(gap, length)| { units += gap; Place { offset: units * ALIGN, length } })
                .collect();
            let commit = Commit {
                producer_time: Utc::from_nanos(producer), length_ms, timecode, timecode_scale,
                header: header.into(), tags: tags.into(), frames: FrameIndex::from_bytes(&frames),
            };
            let mut body = Vec::new();
            commit.encode(number, &blocks, &mut body);
            let place = Place { offset: 640, length: u32::try_from(body.len()).unwrap() };
            let read = Fragment::decode(&body, StreamId(4), SegmentId(2), place).unwrap();
            prop_assert_eq!(&read.commit, &commit);
            prop_assert_eq!(&read.blocks, &blocks);
            prop_assert_eq!(decode_rows(&encode_rows(&[read.row, read.row])).unwrap(), vec![read.row; 2]);
        }

        #[test]
        fn any_bytes_are_a_fragment_or_refused(bytes: Vec<u8>) {
            let _ = Fragment::decode(&bytes, StreamId(1), SegmentId(1), Place { offset: 0, length: 0 });
            let _ = decode_rows(&bytes);
        }
    }
}

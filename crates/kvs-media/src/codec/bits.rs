//! Readers of bits and bytes that name the structure and the field in every error.

use std::io::BufRead;
use std::num::NonZeroUsize;

use bytes::Bytes;
use h264_reader::rbsp::{BitRead, BitReader, BitReaderError, ByteReader};

use super::CodecError;
use super::nal::trim_trailing_zeros;

/// Reads one structure bit by bit.
pub(crate) struct Bits<R: BufRead + Clone> {
    part: &'static str,
    inner: BitReader<R>,
}

/// The payload of a NAL unit, without its header and its emulation prevention bytes.
pub(crate) type Rbsp<'a> = ByteReader<&'a [u8]>;

impl<'a> Bits<&'a [u8]> {
    pub(crate) fn of(part: &'static str, data: &'a [u8]) -> Self {
        Self { part, inner: BitReader::new(data) }
    }
}

impl<'a> Bits<Rbsp<'a>> {
    pub(crate) fn of_rbsp(part: &'static str, payload: Rbsp<'a>) -> Self {
        Self { part, inner: BitReader::new(payload) }
    }

    pub(crate) fn of_nal(part: &'static str, nal: &'a [u8], header: NonZeroUsize) -> Self {
        // Zeros after the trailing bits would be read as a forbidden sequence.
        let nal = trim_trailing_zeros(nal);
        Self { part, inner: BitReader::new(ByteReader::skipping_bytes(nal, header)) }
    }
}

impl<R: BufRead + Clone> Bits<R> {
    pub(crate) fn flag(&mut self, field: &'static str) -> Result<bool, CodecError> {
        self.inner.read_bit(field).map_err(|e| error(self.part, &e))
    }

    /// At most 8 bits.
    pub(crate) fn u8(&mut self, bits: u32, field: &'static str) -> Result<u8, CodecError> {
        self.inner.read_var(bits, field).map_err(|e| error(self.part, &e))
    }

    /// At most 32 bits.
    pub(crate) fn u32(&mut self, bits: u32, field: &'static str) -> Result<u32, CodecError> {
        self.inner.read_var(bits, field).map_err(|e| error(self.part, &e))
    }

    /// Exp-Golomb, refused above `max`.
    pub(crate) fn ue(&mut self, max: u32, field: &'static str) -> Result<u32, CodecError> {
        match self.inner.read_ue(field).map_err(|e| error(self.part, &e))? {
            value if value > max => Err(CodecError::value(self.part, field, value)),
            value => Ok(value),
        }
    }

    pub(crate) fn skip(&mut self, bits: u32, field: &'static str) -> Result<(), CodecError> {
        self.inner.skip(bits, field).map_err(|e| error(self.part, &e))
    }

    pub(crate) fn align(&mut self, field: &'static str) -> Result<(), CodecError> {
        while !self.inner.byte_aligned() {
            self.skip(1, field)?;
        }
        Ok(())
    }

    pub(crate) fn skip_ue(&mut self, field: &'static str) -> Result<(), CodecError> {
        self.ue(u32::MAX, field).map(drop)
    }
}

pub(crate) fn error(part: &'static str, error: &BitReaderError) -> CodecError {
    match error {
        BitReaderError::ReaderError(field, io) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
            CodecError::Truncated { part, field }
        }
        BitReaderError::ReaderError(..) => {
            CodecError::Broken { part, rule: "has a byte sequence that is forbidden in a NAL unit" }
        }
        BitReaderError::ExpGolombTooLarge(field) => CodecError::value(part, field, u64::MAX),
        BitReaderError::RemainingData => CodecError::Broken { part, rule: "goes on after its end" },
    }
}

/// Reads one structure of whole bytes; what it takes out shares the memory of its input.
pub(crate) struct Fields {
    part: &'static str,
    rest: Bytes,
}

impl Fields {
    pub(crate) fn of(part: &'static str, data: &Bytes) -> Self {
        Self { part, rest: data.clone() }
    }

    pub(crate) fn take(&mut self, len: usize, field: &'static str) -> Result<Bytes, CodecError> {
        if len > self.rest.len() {
            return Err(CodecError::Truncated { part: self.part, field });
        }
        Ok(self.rest.split_to(len))
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], CodecError> {
        let (part, taken) = (self.part, self.take(N, field)?);
        <[u8; N]>::try_from(taken.as_ref()).map_err(|_| CodecError::Truncated { part, field })
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, CodecError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, CodecError> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(crate) fn u16_le(&mut self, field: &'static str) -> Result<u16, CodecError> {
        self.array(field).map(u16::from_le_bytes)
    }

    pub(crate) fn u32_le(&mut self, field: &'static str) -> Result<u32, CodecError> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(crate) fn rest(self) -> Bytes {
        self.rest
    }
}

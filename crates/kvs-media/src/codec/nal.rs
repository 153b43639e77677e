//! NAL units: Annex B streams, length-prefixed samples, and the way from one to the other.
//!
//! The service plays length-prefixed video only. A conversion is two passes over borrowed bytes: one that tells
//! the exact length, so that a place can be made, and one that writes there; nothing is copied in between.

use std::sync::LazyLock;

use bytes::BufMut;
use memchr::memmem::Finder;

/// What is wrong with the framing of NAL units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NalError {
    /// An Annex B stream must begin with a start code.
    #[error("no Annex B start code at offset 0")]
    NoStartCode,
    /// There is not one NAL unit.
    #[error("no NAL unit in {len} bytes")]
    Empty {
        /// How many bytes were searched.
        len: usize,
    },
    /// The input ends within a length field.
    #[error("the length field at offset {offset} is cut off")]
    CutLength {
        /// Where the field begins.
        offset: usize,
    },
    /// A length reaches beyond the input.
    #[error("the NAL unit at offset {offset} declares {declared} bytes, {left} are left")]
    CutUnit {
        /// Where its length field begins.
        offset: usize,
        /// What the field says.
        declared: usize,
        /// What there is after the field.
        left: usize,
    },
    /// A NAL unit is longer than four bytes can say.
    #[error("a NAL unit of {len} bytes is too long")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// The output has less room than the conversion needs.
    #[error("no room to write {needed} bytes")]
    NoRoom {
        /// How many bytes did not fit.
        needed: usize,
    },
}

/// How many bytes a length field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LengthSize {
    /// One byte.
    One,
    /// Two bytes.
    Two,
    /// Three bytes; ISO 14496-15 forbids it, encoders have written it.
    Three,
    /// Four bytes, as the service wants them.
    Four,
}

impl LengthSize {
    /// From the two bits `lengthSizeMinusOne`; higher bits are ignored.
    pub const fn from_minus_one(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::One,
            1 => Self::Two,
            2 => Self::Three,
            _ => Self::Four,
        }
    }

    /// The two bits `lengthSizeMinusOne`.
    pub const fn minus_one(self) -> u8 {
        match self {
            Self::One => 0,
            Self::Two => 1,
            Self::Three => 2,
            Self::Four => 3,
        }
    }

    /// The number of bytes.
    pub const fn bytes(self) -> usize {
        self.minus_one() as usize + 1
    }
}

/// How the NAL units of an access unit are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Start codes between them (ITU-T H.264 and H.265, Annex B).
    AnnexB,
    /// A length before each (ISO 14496-15).
    LengthPrefixed(LengthSize),
}

impl Form {
    /// The NAL units of `data`, borrowed. After an error there are no more.
    pub fn units(self, data: &[u8]) -> Units<'_> {
        match self {
            Self::AnnexB => match annex_b(data) {
                Ok(units) => Units::AnnexB(units),
                Err(error) => Units::Refused(Some(error)),
            },
            Self::LengthPrefixed(size) => Units::LengthPrefixed(length_prefixed(data, size)),
        }
    }
}

/// The NAL units of an access unit of either form, made by [`Form::units`].
#[derive(Clone, Debug)]
pub enum Units<'a> {
    /// Between start codes.
    AnnexB(AnnexB<'a>),
    /// After lengths.
    LengthPrefixed(LengthPrefixed<'a>),
    /// Nothing but what is wrong.
    Refused(Option<NalError>),
}

impl<'a> Iterator for Units<'a> {
    type Item = Result<&'a [u8], NalError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::AnnexB(units) => units.next().map(Ok),
            Self::LengthPrefixed(units) => units.next(),
            Self::Refused(error) => error.take().map(Err),
        }
    }
}

static START_CODE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\0\0\x01"));

/// A NAL unit never ends in a zero byte (H.264 7.4.1): what follows the last other byte is `trailing_zero_8bits`.
pub(crate) fn trim_trailing_zeros(mut unit: &[u8]) -> &[u8] {
    while let [rest @ .., 0] = unit {
        unit = rest;
    }
    unit
}

/// The NAL units of an Annex B stream, between 3- or 4-byte start codes, without trailing zeros; empty ones are skipped.
///
/// # Errors
/// [`NalError::NoStartCode`] when anything but zeros precedes the first start code.
pub fn annex_b(data: &[u8]) -> Result<AnnexB<'_>, NalError> {
    let first = START_CODE.find(data);
    let (before, rest) = data.split_at_checked(first.unwrap_or(data.len())).unwrap_or((data, &[]));
    if !trim_trailing_zeros(before).is_empty() {
        return Err(NalError::NoStartCode);
    }
    Ok(AnnexB { rest: rest.get(3..).unwrap_or(&[]) })
}

/// Made by [`annex_b`].
#[derive(Clone, Debug)]
pub struct AnnexB<'a> {
    /// What follows a start code; empty at the end.
    rest: &'a [u8],
}

impl<'a> Iterator for AnnexB<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = START_CODE.find(self.rest).unwrap_or(self.rest.len());
            let (unit, rest) = self.rest.split_at_checked(end)?;
            self.rest = rest.get(3..).unwrap_or(&[]);
            let unit = trim_trailing_zeros(unit);
            if !unit.is_empty() {
                return Some(unit);
            }
        }
        None
    }
}

/// The NAL units of a length-prefixed sample; empty ones are skipped. After an error there are no more.
pub fn length_prefixed(data: &[u8], size: LengthSize) -> LengthPrefixed<'_> {
    LengthPrefixed { data, offset: 0, size }
}

/// Made by [`length_prefixed`].
#[derive(Clone, Debug)]
pub struct LengthPrefixed<'a> {
    data: &'a [u8],
    offset: usize,
    size: LengthSize,
}

impl<'a> Iterator for LengthPrefixed<'a> {
    type Item = Result<&'a [u8], NalError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let offset = self.offset;
            let rest = self.data.get(offset..).filter(|rest| !rest.is_empty())?;
            let unit = split_unit(rest, offset, self.size);
            self.offset = match unit {
                Ok(unit) => offset.saturating_add(self.size.bytes()).saturating_add(unit.len()),
                Err(_) => self.data.len(),
            };
            if unit.is_ok_and(<[u8]>::is_empty) {
                continue;
            }
            return Some(unit);
        }
    }
}

fn split_unit(rest: &[u8], offset: usize, size: LengthSize) -> Result<&[u8], NalError> {
    let (field, rest) = rest.split_at_checked(size.bytes()).ok_or(NalError::CutLength { offset })?;
    let declared = field.iter().fold(0_usize, |value, byte| value << 8 | usize::from(*byte));
    rest.get(..declared).ok_or(NalError::CutUnit { offset, declared, left: rest.len() })
}

/// How long an Annex B access unit is with 4-byte lengths.
///
/// # Errors
/// When `data` is not Annex B or holds no NAL unit.
pub fn length_prefixed_len(data: &[u8]) -> Result<usize, NalError> {
    sum(annex_b(data)?.map(Ok), data, 4)
}

/// Writes an Annex B access unit with 4-byte lengths: exactly [`length_prefixed_len`] bytes.
///
/// # Errors
/// As [`length_prefixed_len`], and when `out` has no room; what was written then is part of the whole.
pub fn write_length_prefixed(data: &[u8], out: &mut impl BufMut) -> Result<(), NalError> {
    annex_b(data)?.try_for_each(|unit| put_with_length(unit, out))
}

/// How long a length-prefixed access unit is with 4-byte lengths.
///
/// # Errors
/// When a length is cut off or lies, or when there is no NAL unit.
pub fn widened_len(data: &[u8], size: LengthSize) -> Result<usize, NalError> {
    sum(length_prefixed(data, size), data, 4)
}

/// Writes a length-prefixed access unit with 4-byte lengths: exactly [`widened_len`] bytes.
///
/// # Errors
/// As [`widened_len`], and when `out` has no room; what was written then is part of the whole.
pub fn write_widened(data: &[u8], size: LengthSize, out: &mut impl BufMut) -> Result<(), NalError> {
    length_prefixed(data, size).try_for_each(|unit| put_with_length(unit?, out))
}

/// How long a length-prefixed access unit is in Annex B with 4-byte start codes.
///
/// # Errors
/// When a length is cut off or lies, or when there is no NAL unit.
pub fn annex_b_len(data: &[u8], size: LengthSize) -> Result<usize, NalError> {
    sum(length_prefixed(data, size), data, 4)
}

/// Writes a length-prefixed access unit in Annex B with 4-byte start codes: exactly [`annex_b_len`] bytes.
///
/// # Errors
/// As [`annex_b_len`], and when `out` has no room; what was written then is part of the whole.
pub fn write_annex_b(data: &[u8], size: LengthSize, out: &mut impl BufMut) -> Result<(), NalError> {
    length_prefixed(data, size).try_for_each(|unit| put(&[0, 0, 0, 1], unit?, out))
}

fn sum<'a>(
    units: impl Iterator<Item = Result<&'a [u8], NalError>>,
    data: &[u8],
    each: usize,
) -> Result<usize, NalError> {
    let mut total = 0_usize;
    for unit in units {
        let len = unit?.len();
        u32::try_from(len).map_err(|_| NalError::TooLong { len })?;
        total = total.saturating_add(each).saturating_add(len);
    }
    if total == 0 { Err(NalError::Empty { len: data.len() }) } else { Ok(total) }
}

fn put_with_length(unit: &[u8], out: &mut impl BufMut) -> Result<(), NalError> {
    let len = u32::try_from(unit.len()).map_err(|_| NalError::TooLong { len: unit.len() })?;
    put(&len.to_be_bytes(), unit, out)
}

fn put(head: &[u8; 4], unit: &[u8], out: &mut impl BufMut) -> Result<(), NalError> {
    let needed = unit.len().saturating_add(head.len());
    if out.remaining_mut() < needed {
        return Err(NalError::NoRoom { needed });
    }
    out.put_slice(head);
    out.put_slice(unit);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn converted(data: &[u8]) -> Result<Vec<u8>, NalError> {
        let mut out = Vec::new();
        write_length_prefixed(data, &mut out)?;
        Ok(out)
    }

    #[test]
    fn start_codes_of_three_and_four_bytes_and_trailing_zeros_are_taken_off() {
        let data = [0, 0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 0, 0, 0, 1, 0x65, 0, 3, 0, 0, 3, 0, 0, 0];
        let units: Vec<_> = annex_b(&data).unwrap().collect();
        assert_eq!(units, [&[0x67_u8, 1][..], &[0x68, 2], &[0x65, 0, 3, 0, 0, 3]]);
    }

    #[test]
    fn bytes_before_the_first_start_code_are_refused() {
        assert_eq!(annex_b(&[7, 0, 0, 1, 0x65]).map(drop), Err(NalError::NoStartCode));
        assert_eq!(annex_b(&[1, 2, 3]).map(drop), Err(NalError::NoStartCode));
        assert_eq!(length_prefixed_len(&[0, 0, 1, 0, 0, 1]), Err(NalError::Empty { len: 6 }));
        assert_eq!(length_prefixed_len(&[]), Err(NalError::Empty { len: 0 }));
    }

    #[test]
    fn a_length_that_lies_is_named_with_its_place() {
        let data = [0, 0, 0, 1, 0x65, 0, 0, 0, 9, 1, 2];
        let units: Vec<_> = length_prefixed(&data, LengthSize::Four).collect();
        assert_eq!(units, [Ok(&[0x65_u8][..]), Err(NalError::CutUnit { offset: 5, declared: 9, left: 2 })]);
        let data = [0, 1, 0x65, 0];
        let units: Vec<_> = length_prefixed(&data, LengthSize::Two).collect();
        assert_eq!(units, [Ok(&[0x65_u8][..]), Err(NalError::CutLength { offset: 3 })]);
    }

    #[test]
    fn an_output_that_is_too_small_is_an_error_and_not_a_panic() {
        let mut room = [0_u8; 6];
        let mut out = &mut room[..];
        assert_eq!(
            write_length_prefixed(&[0, 0, 1, 0x65, 1, 2], &mut out),
            Err(NalError::NoRoom { needed: 7 })
        );
    }

    fn units() -> impl Strategy<Value = Vec<Vec<u8>>> {
        // Any bytes but an emulated start code or a trailing zero, as an encoder guarantees.
        let unit =
            prop::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 1..200).prop_map(|bytes| {
                let mut escaped = Vec::new();
                for byte in bytes {
                    if byte <= 3 && escaped.ends_with(&[0, 0]) {
                        escaped.push(3);
                    }
                    escaped.push(byte);
                }
                escaped.push(0x80);
                escaped
            });
        prop::collection::vec(unit, 1..6)
    }

    proptest! {
        #[test]
        fn annex_b_and_back_is_identity(units in units(), zeros in 0_usize..4, short in any::<bool>()) {
            let mut stream = Vec::new();
            for unit in &units {
                stream.extend_from_slice(if short { &[0, 0, 1] } else { &[0, 0, 0, 1] });
                stream.extend_from_slice(unit);
                stream.resize(stream.len() + zeros, 0);
            }
            let sample = converted(&stream).unwrap();
            prop_assert_eq!(length_prefixed_len(&stream), Ok(sample.len()));
            let read: Result<Vec<_>, _> = length_prefixed(&sample, LengthSize::Four).collect();
            prop_assert_eq!(read.unwrap(), units.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let mut back = Vec::new();
            write_annex_b(&sample, LengthSize::Four, &mut back).unwrap();
            prop_assert_eq!(annex_b_len(&sample, LengthSize::Four), Ok(back.len()));
            prop_assert_eq!(annex_b(&back).unwrap().collect::<Vec<_>>(), units);
        }

        #[test]
        fn short_lengths_widen_to_four_bytes(units in units(), minus_one in 1_u8..4) {
            let size = LengthSize::from_minus_one(minus_one);
            let (mut narrow, mut wide) = (Vec::new(), Vec::new());
            for unit in &units {
                let length = u32::try_from(unit.len()).unwrap().to_be_bytes();
                narrow.extend_from_slice(&length[4 - size.bytes()..]);
                narrow.extend_from_slice(unit);
                wide.extend_from_slice(&length);
                wide.extend_from_slice(unit);
            }
            let mut out = Vec::new();
            write_widened(&narrow, size, &mut out).unwrap();
            prop_assert_eq!(widened_len(&narrow, size), Ok(out.len()));
            prop_assert_eq!(out, wide);
        }

        #[test]
        fn random_bytes_never_panic(data in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..300), minus_one in 0_u8..4) {
            let size = LengthSize::from_minus_one(minus_one);
            let _ = Form::AnnexB.units(&data).count();
            let _ = Form::LengthPrefixed(size).units(&data).count();
            if let Ok(len) = length_prefixed_len(&data) {
                prop_assert_eq!(converted(&data).unwrap().len(), len);
            }
            let mut out = Vec::new();
            let wrote = write_annex_b(&data, size, &mut out);
            if let Ok(len) = annex_b_len(&data, size) {
                prop_assert_eq!((wrote, out.len()), (Ok(()), len));
            }
        }
    }
}

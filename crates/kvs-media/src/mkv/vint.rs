//! Variable-length integers: ids, sizes, track numbers, and the heads that they form.

use super::{Id, ReadErrorKind};

/// The head of an element: id and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) id: Id,
    /// `None` when the size is left open.
    pub(crate) size: Option<u64>,
}

/// The longest head: a four-byte id and an eight-byte size.
pub(crate) const HEAD_MAX: usize = 12;

/// Reads the head at the start of `bytes`, and its length. `None` when `bytes` ends before the head does.
pub(crate) fn head(bytes: &[u8]) -> Result<Option<(Head, usize)>, ReadErrorKind> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let id_length = first.leading_zeros() as usize + 1;
    if id_length > 4 {
        return Err(ReadErrorKind::InvalidId(first));
    }
    let Some((id, rest)) = bytes.split_at_checked(id_length) else { return Ok(None) };
    let id = Id(id.iter().fold(0, |id, &byte| id << 8 | u32::from(byte)));
    let Some((size, size_length)) = number(rest)? else { return Ok(None) };
    Ok(Some((Head { id, size: size.known() }, id_length + size_length)))
}

/// The value of a variable-length integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    value: u64,
    length: usize,
}

impl Number {
    /// The value as a size; `None` when all value bits are set, which says "unknown".
    pub(crate) const fn known(self) -> Option<u64> {
        if self.value == max(self.length) { None } else { Some(self.value) }
    }

    /// The value as a plain number.
    pub(crate) const fn value(self) -> u64 {
        self.value
    }

    /// The value as a signed difference, as EBML lacing stores it.
    pub(crate) fn signed(self) -> i64 {
        i64::try_from(self.value).unwrap_or(i64::MAX)
            - i64::try_from(max(self.length) / 2).unwrap_or(i64::MAX)
    }
}

/// The largest value of an integer of that many bytes, and so the one that means "unknown".
const fn max(length: usize) -> u64 {
    (1 << (7 * length)) - 1
}

/// Reads the integer at the start of `bytes`, and its length. `None` when `bytes` ends before it does.
pub(crate) fn number(bytes: &[u8]) -> Result<Option<(Number, usize)>, ReadErrorKind> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let length = first.leading_zeros() as usize + 1;
    if length > 8 {
        return Err(ReadErrorKind::InvalidVint);
    }
    let Some(bytes) = bytes.get(1..length) else { return Ok(None) };
    let first = u64::from(first) & (0xFF >> length);
    let value = bytes.iter().fold(first, |value, &byte| value << 8 | u64::from(byte));
    Ok(Some((Number { value, length }, length)))
}

/// The bytes that a number takes as a vint, written as short as it goes. Sizes beyond 2^56 - 2 do not exist.
pub(crate) const fn length_of(value: u64) -> usize {
    let mut length = 1;
    while length < 8 && value >= max(length) {
        length += 1;
    }
    length
}

/// Appends `value` as a vint of `length` bytes.
pub(crate) fn put(out: &mut impl Extend<u8>, value: u64, length: usize) {
    let marked = value | 1 << (7 * length);
    out.extend(marked.to_be_bytes().into_iter().skip(8 - length));
}

/// Appends the size of `length` bytes that means "unknown".
pub(crate) fn put_unknown(out: &mut impl Extend<u8>, length: usize) {
    put(out, max(length), length);
}

/// Appends an id.
pub(crate) fn put_id(out: &mut impl Extend<u8>, id: Id) {
    let skip = (id.0.leading_zeros() / 8) as usize;
    out.extend(id.0.to_be_bytes().into_iter().skip(skip));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unknown_sizes_are_told_from_large_ones() {
        assert_eq!(head(&[0xA3, 0xFF]), Ok(Some((Head { id: Id::SIMPLE_BLOCK, size: None }, 2))));
        assert_eq!(head(&[0xA3, 0x40, 0x7F]), Ok(Some((Head { id: Id::SIMPLE_BLOCK, size: Some(127) }, 3))));
        let unknown = [0x18, 0x53, 0x80, 0x67, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(head(&unknown), Ok(Some((Head { id: Id::SEGMENT, size: None }, 12))));
    }

    #[test]
    fn ids_and_sizes_that_no_element_has_are_refused() {
        assert_eq!(head(&[0x08, 0x80]), Err(ReadErrorKind::InvalidId(0x08)));
        assert_eq!(head(&[0x00]), Err(ReadErrorKind::InvalidId(0)));
        assert_eq!(head(&[0xA3, 0x00]), Err(ReadErrorKind::InvalidVint));
    }

    #[test]
    fn signed_numbers_are_centred() {
        // The example of the Matroska specification: 0x5FFF + (-300 as two bytes) = 0x5ED3.
        assert_eq!(number(&[0x5E, 0xD3]).unwrap().unwrap().0.signed(), -300);
        assert_eq!(number(&[0xBF]).unwrap().unwrap().0.signed(), 0);
        assert_eq!(number(&[0x80]).unwrap().unwrap().0.signed(), -63);
    }

    proptest! {
        #[test]
        fn a_number_reads_back_at_every_length(value in 0_u64..(1 << 56) - 1, extra in 0_usize..8) {
            let length = (length_of(value) + extra).min(8);
            let mut bytes = Vec::new();
            put(&mut bytes, value, length);
            prop_assert_eq!(bytes.len(), length);
            for cut in 0..length {
                prop_assert_eq!(number(&bytes[..cut]), Ok(None));
            }
            let (read, read_length) = number(&bytes).unwrap().unwrap();
            prop_assert_eq!((read.known(), read_length), (Some(value), length));
        }

        #[test]
        fn no_bytes_make_a_head_panic(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
            if let Ok(Some((_, length))) = head(&bytes) {
                prop_assert!(length <= HEAD_MAX && length <= bytes.len());
            }
        }
    }
}

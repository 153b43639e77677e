//! The service's name for a fragment.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use kvs_media::time::Utc;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The longest number there is (the service model: 1 to 128 digits).
const LONGEST: usize = 128;
/// Digits that are kept without the heap; the numbers in use have 47.
const INLINE: usize = 54;
/// The random end of a number that we make.
const TAIL_BITS: u32 = 28;
const TAIL_MASK: u64 = (1 << TAIL_BITS) - 1;

/// A fragment number: 1 to 128 decimal digits that grow in the order of ingestion.
///
/// For a client it is opaque: held as sent, leading zeros and all, and ordered by value (of equal values the shorter
/// text is first, so that order and equality agree). Numbers of the usual 47 digits live without the heap.
///
/// ```
/// use kvs_wire::FragmentNumber;
/// let old: FragmentNumber = "91343852333181571046918222741096071001568090649".parse().unwrap();
/// let new: FragmentNumber = "91343852333182006801812051225829315333083406205".parse().unwrap();
/// assert!(old < new);
/// ```
#[derive(Clone)]
pub struct FragmentNumber(Digits);

#[derive(Clone)]
enum Digits {
    Inline { len: u8, digits: [u8; INLINE] },
    Heap(Box<str>),
}

/// Why a text is not a fragment number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FragmentNumberError {
    /// Nothing there.
    #[error("a fragment number without digits")]
    Empty,
    /// More than 128 digits.
    #[error("a fragment number of {length} bytes; at most 128 digits are allowed")]
    TooLong {
        /// How long it is, in bytes.
        length: usize,
    },
    /// Something that is not a decimal digit.
    #[error("a fragment number with something else than a digit at byte {position}")]
    NotADigit {
        /// Where it stands, in bytes from the start.
        position: usize,
    },
}

/// What a number that was made as the service makes them consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentNumberParts {
    /// The counter of the stream.
    pub sequence: u64,
    /// When the first byte of the fragment came in, to the millisecond.
    pub server_time: Utc,
    /// 28 bits without a meaning.
    pub tail: u32,
}

impl FragmentNumber {
    /// A number in the structure observed on the service: `2^156 + sequence * 2^92 + server_ms * 2^28 + tail`.
    ///
    /// 47 digits for every sequence below 1.7e18. `None` for a time before 1970 or a tail of more than 28 bits.
    pub fn make(sequence: u64, server_time: Utc, tail: u32) -> Option<Self> {
        let millis = u64::try_from(server_time.millis()).ok()?;
        let tail = Some(u64::from(tail)).filter(|tail| *tail <= TAIL_MASK)?;
        // Bits 0..28 tail, 28..92 milliseconds, 92..156 sequence, 156 set; in 64-bit limbs, the lowest first.
        let limbs = [
            tail | (millis << TAIL_BITS),
            (millis >> (64 - TAIL_BITS)) | (sequence << TAIL_BITS),
            (sequence >> (64 - TAIL_BITS)) | (1 << TAIL_BITS),
        ];
        let (len, digits) = to_decimal(limbs);
        Some(Self(Digits::Inline { len, digits }))
    }

    /// The parts of a number that has the structure of [`make`](Self::make); `None` for any other.
    ///
    /// For the service that made it and for people who look at it. A client draws no conclusion from it.
    pub fn parts(&self) -> Option<FragmentNumberParts> {
        let [low, middle, high] = from_decimal(self.as_str())?;
        if high >> TAIL_BITS != 1 {
            return None;
        }
        let millis = (low >> TAIL_BITS) | ((middle & TAIL_MASK) << (64 - TAIL_BITS));
        Some(FragmentNumberParts {
            sequence: (middle >> TAIL_BITS) | ((high & TAIL_MASK) << (64 - TAIL_BITS)),
            server_time: Utc::from_millis(i64::try_from(millis).ok()?)?,
            tail: u32::try_from(low & TAIL_MASK).ok()?,
        })
    }

    /// The digits, as sent.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Digits::Inline { len, digits } => digits
                .get(..usize::from(*len))
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .unwrap_or_default(),
            Digits::Heap(digits) => digits,
        }
    }
}

fn to_decimal(mut limbs: [u64; 3]) -> (u8, [u8; INLINE]) {
    let mut digits = [b'0'; INLINE];
    let mut len = 0_u8;
    for digit in digits.iter_mut().rev() {
        if limbs == [0; 3] {
            break;
        }
        let mut rest = 0_u64;
        for limb in limbs.iter_mut().rev() {
            let value = (u128::from(rest) << 64) | u128::from(*limb);
            // The rest is below ten, so that the quotient fits a limb.
            *limb = u64::try_from(value / 10).unwrap_or_default();
            rest = u64::try_from(value % 10).unwrap_or_default();
        }
        *digit = b'0' + u8::try_from(rest).unwrap_or_default();
        len += 1;
    }
    digits.rotate_left(INLINE - usize::from(len));
    (len, digits)
}

fn from_decimal(digits: &str) -> Option<[u64; 3]> {
    let mut limbs = [0_u64; 3];
    for byte in digits.bytes() {
        let mut carry = u64::from(byte.checked_sub(b'0')?);
        for limb in &mut limbs {
            let value = u128::from(*limb) * 10 + u128::from(carry);
            *limb = u64::try_from(value & u128::from(u64::MAX)).ok()?;
            carry = u64::try_from(value >> 64).ok()?;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(limbs)
}

impl FromStr for FragmentNumber {
    type Err = FragmentNumberError;

    fn from_str(text: &str) -> Result<Self, FragmentNumberError> {
        if text.is_empty() {
            return Err(FragmentNumberError::Empty);
        }
        if text.len() > LONGEST {
            return Err(FragmentNumberError::TooLong { length: text.len() });
        }
        if let Some(position) = text.bytes().position(|byte| !byte.is_ascii_digit()) {
            return Err(FragmentNumberError::NotADigit { position });
        }
        let mut digits = [0; INLINE];
        match (digits.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(text.as_bytes());
                Ok(Self(Digits::Inline { len, digits }))
            }
            _ => Ok(Self(Digits::Heap(text.into()))),
        }
    }
}

impl Ord for FragmentNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, two) = (self.as_str(), other.as_str());
        let (one_value, two_value) = (one.trim_start_matches('0'), two.trim_start_matches('0'));
        one_value
            .len()
            .cmp(&two_value.len())
            .then_with(|| one_value.cmp(two_value))
            .then_with(|| one.len().cmp(&two.len()))
    }
}

impl PartialOrd for FragmentNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for FragmentNumber {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for FragmentNumber {}

impl Hash for FragmentNumber {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for FragmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for FragmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FragmentNumber({})", self.as_str())
    }
}

impl Serialize for FragmentNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for FragmentNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = FragmentNumber;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string of 1 to 128 digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FragmentNumber, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> FragmentNumber {
        text.parse().unwrap()
    }

    #[test]
    fn the_published_vector_is_made_and_taken_apart() {
        let server_time = Utc::from_millis(1_704_164_645_000).unwrap();
        let made = FragmentNumber::make(1, server_time, 1).unwrap();
        assert_eq!(made.as_str(), "91343852333181432392682062659367423407745400833");
        assert_eq!(made.parts(), Some(FragmentNumberParts { sequence: 1, server_time, tail: 1 }));
    }

    #[test]
    fn numbers_of_the_service_say_when_their_fragment_came() {
        let parts = number("91343852333185057105875891022195998207386831087").parts().unwrap();
        assert_eq!(parts.server_time.to_string(), "2022-01-28T07:00:47.067Z");
        let parts = number("91343852333181571046918222741096071001568090649").parts().unwrap();
        assert_eq!(parts.server_time.to_string().get(..4), Some("2019"));
    }

    #[test]
    fn a_number_of_another_structure_has_no_parts() {
        let beyond = "9".repeat(128);
        for text in ["0", "1", "91343852333181432387730302044767688728495783935", beyond.as_str()] {
            assert_eq!(number(text).parts(), None, "{text}");
        }
    }

    #[test]
    fn a_number_is_not_made_from_what_does_not_fit() {
        assert_eq!(FragmentNumber::make(1, Utc::from_nanos(-1), 0), None);
        assert_eq!(FragmentNumber::make(1, Utc::EPOCH, 1 << 28), None);
        assert!(FragmentNumber::make(u64::MAX, Utc::from_nanos(i64::MAX), (1 << 28) - 1).is_some());
    }

    #[test]
    fn the_order_is_by_value_and_not_by_text() {
        let rows = ["0", "00", "7", "007", "10", "91343852333182006801812051225829315333083406205"];
        for pair in rows.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused_with_its_place() {
        assert_eq!("".parse::<FragmentNumber>(), Err(FragmentNumberError::Empty));
        assert_eq!("12a".parse::<FragmentNumber>(), Err(FragmentNumberError::NotADigit { position: 2 }));
        assert_eq!("-1".parse::<FragmentNumber>(), Err(FragmentNumberError::NotADigit { position: 0 }));
        assert_eq!(
            "1".repeat(129).parse::<FragmentNumber>(),
            Err(FragmentNumberError::TooLong { length: 129 })
        );
        assert!("1".repeat(128).parse::<FragmentNumber>().is_ok());
    }

    #[test]
    fn json_holds_it_as_a_string() {
        let json = "\"91343852333182006801812051225829315333083406205\"";
        let read: FragmentNumber = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        assert!(serde_json::from_str::<FragmentNumber>("12").is_err());
        assert!(serde_json::from_str::<FragmentNumber>("\"\"").is_err());
    }

    proptest! {
        #[test]
        fn what_is_made_is_taken_apart(sequence: u64, nanos in 0_i64.., tail in 0_u32..1 << 28) {
            let server_time = Utc::from_millis(Utc::from_nanos(nanos).millis()).unwrap();
            let made = FragmentNumber::make(sequence, server_time, tail).unwrap();
            prop_assert_eq!(made.parts(), Some(FragmentNumberParts { sequence, server_time, tail }));
            prop_assert_eq!(made.as_str().parse(), Ok(made.clone()));
            if sequence < 1_700_000_000_000_000_000 {
                prop_assert_eq!(made.as_str().len(), 47);
            }
        }

        #[test]
        fn made_numbers_are_ordered_as_their_parts(
            one in (any::<u64>(), 0_i64.., 0_u32..1 << 28),
            two in (any::<u64>(), 0_i64.., 0_u32..1 << 28),
        ) {
            let make = |(sequence, nanos, tail): (u64, i64, u32)| {
                let time = Utc::from_nanos(nanos);
                (FragmentNumber::make(sequence, time, tail).unwrap(), (sequence, time.millis(), tail))
            };
            let ((one, one_parts), (two, two_parts)) = (make(one), make(two));
            prop_assert_eq!(one.cmp(&two), one_parts.cmp(&two_parts));
        }

        #[test]
        fn the_order_agrees_with_the_value(one: u128, two: u128, zeros in 0_usize..3) {
            let padded = number(&format!("{}{one}", "0".repeat(zeros)));
            if one != two {
                prop_assert_eq!(padded.cmp(&number(&two.to_string())), one.cmp(&two));
            }
        }

        #[test]
        fn digits_are_kept_as_sent(text in "[0-9]{1,128}") {
            prop_assert_eq!(number(&text).to_string(), text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,140}") {
            let _ = text.parse::<FragmentNumber>().map(|number| number.parts());
        }
    }
}

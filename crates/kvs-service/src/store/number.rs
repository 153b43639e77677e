//! What the store calls streams, fragments and places.

use std::fmt;

use kvs_media::time::Utc;
use kvs_wire::FragmentNumber;

use super::format::{BLOCK_BYTES, extent};

/// The store's own name for a stream; never used twice, so that what a deleted stream left behind stays dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.0)
    }
}

/// A fragment number in its three parts (kvs-api 7.1), in the order of the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number {
    /// The counter of the stream.
    pub sequence: u64,
    /// When the first byte came in, milliseconds since 1970.
    pub server_ms: u64,
    /// 28 bits of chance.
    pub tail: u32,
}

impl Number {
    /// Bytes of a number where it is a key.
    pub(crate) const BYTES: usize = 20;
    /// Before every other.
    pub const FIRST: Self = Self { sequence: 0, server_ms: 0, tail: 0 };
    /// After every other.
    pub const LAST: Self = Self { sequence: u64::MAX, server_ms: u64::MAX, tail: u32::MAX };

    /// As the wire writes it; `None` for parts beyond their range.
    pub fn to_wire(self) -> Option<FragmentNumber> {
        FragmentNumber::make(self.sequence, self.server_time()?, self.tail)
    }

    /// From the wire; `None` for a number that no service made.
    pub fn from_wire(number: &FragmentNumber) -> Option<Self> {
        let parts = number.parts()?;
        let server_ms = u64::try_from(parts.server_time.millis()).ok()?;
        Some(Self { sequence: parts.sequence, server_ms, tail: parts.tail })
    }

    /// When the first byte came in.
    pub fn server_time(self) -> Option<Utc> {
        Utc::from_millis(i64::try_from(self.server_ms).ok()?)
    }

    /// The number right after this one.
    pub(crate) fn next(self) -> Self {
        match (self.tail.checked_add(1), self.server_ms.checked_add(1)) {
            (Some(tail), _) => Self { tail, ..self },
            (None, Some(server_ms)) => Self { server_ms, tail: 0, ..self },
            (None, None) => Self { sequence: self.sequence.saturating_add(1), server_ms: 0, tail: 0 },
        }
    }

    /// The number right before this one.
    pub(crate) fn previous(self) -> Option<Self> {
        match (self.tail.checked_sub(1), self.server_ms.checked_sub(1)) {
            (Some(tail), _) => Some(Self { tail, ..self }),
            (None, Some(server_ms)) => Some(Self { server_ms, tail: u32::MAX, ..self }),
            (None, None) => self.sequence.checked_sub(1).map(|sequence| Self { sequence, ..Self::LAST }),
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (sequence, rest) = bytes.split_at_mut(8);
        let (server_ms, tail) = rest.split_at_mut(8);
        sequence.copy_from_slice(&self.sequence.to_be_bytes());
        server_ms.copy_from_slice(&self.server_ms.to_be_bytes());
        tail.copy_from_slice(&self.tail.to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (sequence, rest) = bytes.split_first_chunk()?;
        let (server_ms, rest) = rest.split_first_chunk()?;
        Some(Self {
            sequence: u64::from_be_bytes(*sequence),
            server_ms: u64::from_be_bytes(*server_ms),
            tail: u32::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_wire() {
            Some(number) => f.write_str(number.as_str()),
            None => write!(f, "{}-{}-{}", self.sequence, self.server_ms, self.tail),
        }
    }
}

/// A segment's name; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl SegmentId {
    pub(crate) fn file_name(self) -> String {
        format!("{}/{:016x}.seg", super::format::SEGMENTS, self.0)
    }

    pub(crate) fn from_file_name(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 16)?;
        let lower = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        // One name only: whoever lists a file must be able to open it by its id.
        digits.bytes().all(lower).then(|| u64::from_str_radix(digits, 16).ok().map(Self))?
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {:016x}", self.0)
    }
}

/// Where a record stands in its segment, and how many bytes its body has without the seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the start of the segment.
    pub offset: u64,
    /// Bytes of the plain body.
    pub length: u32,
}

/// Where the bytes of one [`Upload::write`](super::Upload::write) are, before their fragment exists and after. Means
/// nothing to another run of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub(crate) segment: SegmentId,
    pub(crate) number: Number,
    /// The first Block record; the others stand right behind it.
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Written {
    /// How many bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Its Block records in order.
    pub(crate) fn blocks(self) -> impl Iterator<Item = Place> {
        let (mut offset, mut left) = (self.offset, self.length);
        std::iter::from_fn(move || {
            let length = u32::try_from(left.min(BLOCK_BYTES as u64)).ok().filter(|length| *length > 0)?;
            let place = Place { offset, length };
            offset = offset.checked_add(extent(length))?;
            left -= u64::from(length);
            Some(place)
        })
    }
}

/// What the index says of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentRow {
    /// Its stream.
    pub stream: StreamId,
    /// Its number.
    pub number: Number,
    /// The producer's time of its first frame.
    pub producer_time: Utc,
    /// Last frame time less first frame time, as ListFragments says it (kvs-api 6.1).
    pub length_ms: u32,
    /// Payload, header and tags in bytes.
    pub size: u64,
    /// The segment that holds it.
    pub segment: SegmentId,
    /// Its Fragment record there.
    pub place: Place,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn edge() -> impl Strategy<Value = u64> {
        prop_oneof![Just(0), Just(1), Just(u64::MAX - 1), Just(u64::MAX), any::<u64>()]
    }

    #[test]
    fn a_segment_has_one_name() {
        let id = SegmentId(0xab);
        assert_eq!(id.file_name(), "segments/00000000000000ab.seg");
        assert_eq!(SegmentId::from_file_name("00000000000000ab.seg"), Some(id));
        for name in [
            "00000000000000AB.seg",
            "+0000000000000ab.seg",
            "0000000000000ab.seg",
            "00000000000000ab",
            "é.seg",
        ] {
            assert_eq!(SegmentId::from_file_name(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn next_and_previous_are_neighbours_in_the_order_of_the_bytes(
            (sequence, server_ms, tail) in (edge(), edge(), prop_oneof![Just(0), Just(u32::MAX), any::<u32>()])
        ) {
            let number = Number { sequence, server_ms, tail };
            prop_assert_eq!(Number::from_bytes(&number.to_bytes()), Some(number));
            if number < Number::LAST {
                prop_assert!(number < number.next() && number.to_bytes() < number.next().to_bytes());
                prop_assert_eq!(number.next().previous(), Some(number));
            }
            if let Some(previous) = number.previous() {
                prop_assert_eq!(previous.next(), number);
            }
        }
    }
}

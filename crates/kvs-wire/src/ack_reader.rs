//! Acks out of a stream of bytes.

use crate::ack::{Ack, AckError};
use crate::text::{SHOWN_BYTES, shown_bytes};

/// Reads acks from the body of a PutMedia response, in pieces of any size.
///
/// Objects may stand on lines of their own, as the service sends them, or not. Whatever else comes is told as an
/// [`AckError`], and reading goes on at the next object; one that was cut short costs itself and at most the next.
/// Holds at most the beginning of one object, and that only while the rest is missing.
///
/// ```
/// use kvs_wire::{AckEvent, AckReader};
///
/// let mut reader = AckReader::new();
/// let mut events = Vec::new();
/// for piece in [&b"{\"EventType\":\"BUFF"[..], b"ERING\"}\n{\"EventType\":\"RECEIVED\"}\n"] {
///     let mut piece = piece;
///     while let Some(ack) = reader.read(&mut piece) {
///         events.push(ack.unwrap().event);
///     }
/// }
/// assert_eq!(events, [AckEvent::Buffering, AckEvent::Received]);
/// assert_eq!(reader.finish(), None);
/// ```
#[derive(Clone, Debug)]
pub struct AckReader {
    cap: usize,
    place: Place,
    /// In an object: its beginning. Between objects: the beginning of what does not belong there.
    held: Vec<u8>,
    /// Bytes between objects that are no blanks.
    garbage: u64,
}

#[derive(Clone, Debug)]
enum Place {
    Between,
    /// In an object that is kept.
    Object(Scan),
    /// In an object that has outgrown the cap and is passed over.
    Outgrown(Scan),
}

impl AckReader {
    /// The longest object that a reader holds unless told otherwise. Acks of the service stay below 1024 characters.
    pub const DEFAULT_CAP: usize = 64 * 1024;

    /// At the beginning of a body.
    pub const fn new() -> Self {
        Self::with_cap(Self::DEFAULT_CAP)
    }

    /// At the beginning of a body, to hold objects of at most `cap` bytes.
    pub const fn with_cap(cap: usize) -> Self {
        Self { cap, place: Place::Between, held: Vec::new(), garbage: 0 }
    }

    /// The next ack, or what came in its place. Takes from the front of `input` what it has used; `None` when it has
    /// used all of it and needs more. To be called again until then: what is left in `input` is not kept.
    pub fn read(&mut self, input: &mut &[u8]) -> Option<Result<Ack, AckError>> {
        while !input.is_empty() {
            let result = match self.place {
                Place::Between => self.pass_garbage(input).map(Err),
                Place::Object(_) => self.read_object(input),
                Place::Outgrown(_) => {
                    self.pass_outgrown(input);
                    None
                }
            };
            if result.is_some() {
                return result;
            }
        }
        None
    }

    /// The end of the body: what is wrong with the end of it. The reader is at the beginning of a body again.
    pub fn finish(&mut self) -> Option<AckError> {
        let error = match self.place {
            Place::Between => self.take_garbage(),
            Place::Object(_) => Some(AckError::Cut { text: shown_bytes(&self.held) }),
            Place::Outgrown(_) => None,
        };
        *self = Self::with_cap(self.cap);
        error
    }

    fn pass_garbage(&mut self, input: &mut &[u8]) -> Option<AckError> {
        let brace = input.iter().position(|byte| *byte == b'{');
        let (passed, rest) = input.split_at_checked(brace.unwrap_or(input.len()))?;
        *input = rest;
        let solid = passed.iter().filter(|byte| !byte.is_ascii_whitespace()).count();
        self.garbage = self.garbage.saturating_add(u64::try_from(solid).unwrap_or(u64::MAX));
        if self.garbage > 0 {
            let room = SHOWN_BYTES.saturating_sub(self.held.len());
            let sample = if self.held.is_empty() { passed.trim_ascii_start() } else { passed };
            self.held.extend_from_slice(sample.get(..room).unwrap_or(sample));
        }
        brace?;
        self.place = Place::Object(Scan::default());
        self.take_garbage()
    }

    fn take_garbage(&mut self) -> Option<AckError> {
        let bytes = std::mem::take(&mut self.garbage);
        let text = (bytes > 0).then(|| shown_bytes(self.held.trim_ascii()));
        self.held.clear();
        text.map(|text| AckError::Garbage { bytes, text })
    }

    fn read_object(&mut self, input: &mut &[u8]) -> Option<Result<Ack, AckError>> {
        let Place::Object(scan) = &mut self.place else { return None };
        let room = self.cap.saturating_sub(self.held.len());
        let window = input.get(..room).unwrap_or(input);
        let (used, end) = scan.run(window);
        let (object, rest) = input.split_at_checked(used)?;
        *input = rest;
        let result = match end {
            // The window ended, and not because the input did.
            None if !rest.is_empty() => {
                self.place = Place::Outgrown(scan.clone());
                self.held.clear();
                return Some(Err(AckError::TooLong { cap: self.cap }));
            }
            None => {
                self.held.extend_from_slice(object);
                return None;
            }
            // An object that came in one piece is read where it lies.
            Some(End::Closed) if self.held.is_empty() => Ack::read(object),
            Some(End::Closed) => {
                self.held.extend_from_slice(object);
                Ack::read(&self.held)
            }
            Some(End::Cut) => {
                self.held.extend_from_slice(object);
                Err(AckError::Cut { text: shown_bytes(self.held.trim_ascii_end()) })
            }
        };
        self.held.clear();
        self.place = Place::Between;
        Some(result)
    }

    fn pass_outgrown(&mut self, input: &mut &[u8]) {
        let Place::Outgrown(scan) = &mut self.place else { return };
        let (used, end) = scan.run(input);
        *input = input.get(used..).unwrap_or_default();
        if end.is_some() {
            self.place = Place::Between;
        }
    }
}

impl Default for AckReader {
    fn default() -> Self {
        Self::new()
    }
}

/// How an object ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With its last brace.
    Closed,
    /// Before it.
    Cut,
}

/// Finds the end of an object: knows strings and braces, and no other grammar. Begins at the opening brace.
#[derive(Clone, Debug, Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The last byte outside of strings that is no blank.
    last: u8,
}

impl Scan {
    /// How many of `bytes` belong to the object, and how it ends, if it does.
    ///
    /// JSON allows no line end in a string, and a brace opens only after `:`, `,` or `[`. Where either is seen the
    /// object was cut short, and what follows is of the next: a broken line does not swallow those behind it.
    fn run(&mut self, bytes: &[u8]) -> (usize, Option<End>) {
        for (at, byte) in bytes.iter().copied().enumerate() {
            let after = at + 1;
            if self.in_string {
                match byte {
                    b'\n' => return (after, Some(End::Cut)),
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' if self.depth > 0 && !matches!(self.last, b':' | b',' | b'[') => {
                    return (at, Some(End::Cut));
                }
                b'{' => self.depth += 1,
                b'}' if self.depth <= 1 => return (after, Some(End::Closed)),
                b'}' => self.depth -= 1,
                _ => {}
            }
            if !byte.is_ascii_whitespace() {
                self.last = byte;
            }
        }
        (bytes.len(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AckEvent;
    use crate::ack_strategy::any_ack;
    use proptest::prelude::*;

    type Outcome = Result<Ack, AckError>;

    fn read_pieces<'a>(mut reader: AckReader, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for mut piece in pieces {
            while let Some(outcome) = reader.read(&mut piece) {
                outcomes.push(outcome);
            }
            assert!(reader.held.len() <= reader.cap.max(SHOWN_BYTES));
        }
        outcomes.extend(reader.finish().map(Err));
        outcomes
    }

    fn read_all(bytes: &[u8]) -> Vec<Outcome> {
        read_pieces(AckReader::new(), [bytes])
    }

    fn idle() -> Outcome {
        Ok(Ack::new(AckEvent::Idle))
    }

    const IDLE: &str = r#"{"EventType":"IDLE"}"#;

    const BODY: &str = concat!(
        r#"{"EventType":"BUFFERING","FragmentTimecode":1677613819540,"FragmentNumber":"91343852333182006801812051225829315333083406205"}"#,
        "\n",
        r#"{"EventType":"RECEIVED","FragmentTimecode":1.67761381954E12,"x":{"y":["{\"}"]},"FragmentNumber":"91343852333182006801812051225829315333083406205"}"#,
        r#"{"EventType":"PERSISTED","FragmentTimecode":1677613819540,"FragmentNumber":"91343852333182006801812051225829315333083406205"}"#,
        "\r\n\n",
        r#"{"EventType":"ERROR","ErrorCode":"INVALID_MKV_DATA","ErrorId":4006}"#,
        "\n",
    );

    #[test]
    fn an_ack_split_at_every_byte_reads_the_same() {
        let whole = read_all(BODY.as_bytes());
        assert_eq!(whole.len(), 4);
        assert!(whole.iter().all(Result::is_ok));
        for at in 0..BODY.len() {
            let (one, two) = BODY.as_bytes().split_at(at);
            assert_eq!(read_pieces(AckReader::new(), [one, two]), whole, "{at}");
        }
        assert_eq!(read_pieces(AckReader::new(), BODY.as_bytes().chunks(1)), whole);
    }

    #[test]
    fn a_long_line_is_read() {
        let long = format!(r#"{{"x":"{}","EventType":"IDLE"}}"#, "y".repeat(60_000));
        assert_eq!(read_all(long.as_bytes()), [idle()]);
    }

    #[test]
    fn an_object_of_exactly_the_cap_is_read_and_one_byte_more_is_not() {
        for pieces in [1, 7, 100] {
            let read = |cap| {
                let body = format!("{IDLE}{IDLE}");
                let reader = AckReader::with_cap(cap);
                read_pieces(reader, body.as_bytes().chunks(pieces))
            };
            assert_eq!(read(IDLE.len()), [idle(), idle()]);
            let too_long = || Err(AckError::TooLong { cap: IDLE.len() - 1 });
            assert_eq!(read(IDLE.len() - 1), [too_long(), too_long()]);
        }
    }

    #[test]
    fn after_an_object_beyond_the_cap_the_next_is_read() {
        let giant = format!(r#"{{"x":{{"a":"{{"}},"y":"{}"}}"#, "\\\"}".repeat(100_000));
        let body = format!("{IDLE}\n{giant}\n{IDLE}\n");
        let expected = [idle(), Err(AckError::TooLong { cap: AckReader::DEFAULT_CAP }), idle()];
        for size in [1, 1_000, 65_536, 1_000_000] {
            assert_eq!(read_pieces(AckReader::new(), body.as_bytes().chunks(size)), expected, "{size}");
        }
    }

    #[test]
    fn an_endless_object_is_told_once_and_holds_no_memory() {
        let mut reader = AckReader::new();
        let mut told = 0;
        for _ in 0..100 {
            let mut piece = &br#"{"a":"#.repeat(10_000)[..];
            while let Some(outcome) = reader.read(&mut piece) {
                assert!(matches!(outcome, Err(AckError::TooLong { .. })));
                told += 1;
            }
            assert!(reader.held.capacity() <= 2 * AckReader::DEFAULT_CAP);
        }
        assert_eq!(told, 1);
    }

    #[test]
    fn what_is_between_objects_is_counted_and_skipped() {
        let body = format!("}} oh\n{IDLE},\t{IDLE} HTTP 500\n");
        let garbage = |bytes, text: &str| Err(AckError::Garbage { bytes, text: text.into() });
        let expected = [garbage(3, "} oh"), idle(), garbage(1, ","), idle(), garbage(7, "HTTP 500")];
        assert_eq!(read_all(body.as_bytes()), expected);
        assert_eq!(read_all(b" \r\n\t "), []);
        let long = read_all(&b"x".repeat(1_000_000));
        let [Err(AckError::Garbage { bytes: 1_000_000, text })] = &long[..] else { panic!("{long:?}") };
        assert!(text.len() < 600);
    }

    #[test]
    fn an_object_cut_short_costs_itself_and_at_most_the_next() {
        let received = r#"{"EventType":"RECEIVED","FragmentTimecode":16,"FragmentNumber":"12"}"#;
        for at in 1..received.len() {
            let part = &received[..at];
            for between in ["\n", ""] {
                let body = format!("{part}{between}{IDLE}\n{IDLE}\n{IDLE}\n");
                let outcomes = read_all(body.as_bytes());
                assert!(outcomes.iter().any(Result::is_err), "{body}");
                let kept = outcomes.iter().filter(|outcome| **outcome == idle()).count();
                assert!(kept >= 1, "{body}: {outcomes:?}");
                assert!(
                    kept >= 2 || part.ends_with([':', ',', '"']) || between.is_empty(),
                    "{body}: {outcomes:?}"
                );
                assert_eq!(outcomes.last(), Some(&idle()), "{body}");
            }
        }
    }

    #[test]
    fn a_body_that_ends_in_an_object_says_so() {
        let text = r#"{"EventType":"REC"#;
        assert_eq!(read_all(text.as_bytes()), [Err(AckError::Cut { text: text.into() })]);
        let mut reader = AckReader::new();
        assert_eq!(reader.read(&mut text.as_bytes()), None);
        assert!(reader.finish().is_some());
        assert_eq!(reader.finish(), None);
        assert_eq!(reader.read(&mut IDLE.as_bytes()), Some(idle()));
    }

    #[test]
    fn a_refused_request_in_place_of_acks_is_told() {
        let body = br#"{"message":"The security token included in the request is expired"}"#;
        let text = "The security token included in the request is expired".into();
        assert_eq!(read_all(body), [Err(AckError::NotAnAck { text })]);
    }

    #[test]
    fn a_pretty_printed_ack_is_read() {
        let body = "{\n  \"EventType\": \"IDLE\",\n  \"x\":\n{\n\"y\":[\n{},\n{}]}\n}\n";
        assert_eq!(read_all(body.as_bytes()), [idle()]);
    }

    fn split_at(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let mut start = 0;
        ends.into_iter().map(|end| bytes[std::mem::replace(&mut start, end)..end].to_vec()).collect()
    }

    proptest! {
        #[test]
        fn acks_survive_any_split(
            acks in prop::collection::vec((any_ack(), "[\\n\\r \\t]{0,3}"), 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let body: String = acks.iter().map(|(ack, blanks)| format!("{ack}{blanks}")).collect();
            let pieces = split_at(body.as_bytes(), &cuts);
            let read = read_pieces(AckReader::new(), pieces.iter().map(Vec::as_slice));
            let acks: Vec<Outcome> = acks.into_iter().map(|(ack, _)| Ok(ack)).collect();
            prop_assert_eq!(read, acks);
        }

        #[test]
        fn any_bytes_read_the_same_in_any_split(
            bytes in "([{}\\[\\]:,\"\\\\ \\na]|\\{\"EventType\":\"IDLE\"\\}){0,60}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
            cap in 1_usize..100,
        ) {
            let pieces = split_at(bytes.as_bytes(), &cuts);
            let split = read_pieces(AckReader::with_cap(cap), pieces.iter().map(Vec::as_slice));
            prop_assert_eq!(split, read_pieces(AckReader::with_cap(cap), [bytes.as_bytes()]));
        }

        #[test]
        fn after_a_line_of_noise_at_most_one_ack_is_lost(
            noise in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..300),
                "[{}\\[\\]:,\"\\\\a]{0,60}".prop_map(String::into_bytes),
            ],
        ) {
            let body = [&noise[..], b"\n", IDLE.as_bytes(), IDLE.as_bytes(), b"\n", IDLE.as_bytes()].concat();
            let outcomes = read_all(&body);
            prop_assert_eq!(outcomes.iter().rev().take(2).collect::<Vec<_>>(), [&idle(), &idle()]);
        }
    }
}

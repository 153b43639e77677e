//! What the service and its worker `kvs-picture` say to each other, over a pipe.
//!
//! ```text
//! message   its length in 4 bytes, then as many bytes; integers are big-endian
//! worker    HELLO, once, when it is ready
//! service   Request: head, media          then, of the worker, an Answer for each picture that is wanted, in order
//! ```
//!
//! Neither trusts the other: what comes in is read or refused, and nothing is longer than these limits.

use std::str;

use thiserror::Error;

/// What a worker says first: its name and the version of what follows.
pub const HELLO: &[u8] = b"kvs-picture 1";
/// Bytes of a request: a fragment and what is said of it.
pub const REQUEST_BYTES: usize = 64 << 20;
/// Bytes of a picture: GetImages gives 6291456 characters of base 64 (kvs-api 6.7).
pub const PICTURE_BYTES: usize = 6_291_456 / 4 * 3;
/// Bytes of an answer: a picture and the byte in front of it.
pub const ANSWER_BYTES: usize = PICTURE_BYTES + 1;
/// Pictures of a request.
pub const PICTURES: usize = 1_000;

/// Bytes of a frame's entry: its time, where it is, its length.
const FRAME_ENTRY: usize = 16;
/// Bytes of a text that says what went wrong.
const REASON_BYTES: usize = 1_000;

/// How a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JPEG of a quality from 1 to 100.
    Jpeg(u8),
    /// PNG.
    Png,
}

/// A frame in the media of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When it is shown, in nanoseconds from anywhere.
    pub time: i64,
    /// Where it begins in the media.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
}

/// Which pictures of a run of frames are wanted, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The codec, by the id that Matroska has for it.
    pub codec: &'a str,
    /// Its private data.
    pub private: &'a [u8],
    /// How they are written.
    pub format: Format,
    /// Pixels across; without them as many as keep the shape of the picture.
    pub width: Option<u16>,
    /// Pixels down; likewise.
    pub height: Option<u16>,
    /// The times of the pictures that are wanted, growing; each is that of a frame.
    pub wanted: Vec<i64>,
    /// The frames, in the order of decoding; the first needs none before it.
    pub frames: Vec<Frame>,
    /// What the frames are parts of.
    pub media: &'a [u8],
}

/// What becomes of a picture that was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Here it is.
    Picture(&'a [u8]),
    /// There is none.
    Failed(Failure, &'a str),
}

/// Why there is no picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing on this machine decodes the codec.
    NoDecoder,
    /// The frames do not decode to it.
    Undecodable,
    /// It cannot be written in this format and size.
    Unwritable,
    /// It is longer than [`PICTURE_BYTES`].
    TooLarge,
}

/// Why a message is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PictureError {
    /// Longer than it may be.
    #[error("a message of {length} bytes, of {most} that it may have")]
    TooLong {
        /// What it is.
        length: usize,
        /// What it may be.
        most: usize,
    },
    /// It ends too early.
    #[error("a message that ends before {0}")]
    Short(&'static str),
    /// Something in it makes no sense.
    #[error("a message whose {0} makes no sense")]
    Malformed(&'static str),
}

/// The length of a message, from the four bytes in front of it.
pub fn length(prefix: [u8; 4], most: usize) -> Result<usize, PictureError> {
    let length = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if length > most { Err(PictureError::TooLong { length, most }) } else { Ok(length) }
}

/// The four bytes in front of a message of this length.
pub fn prefix(length: usize, most: usize) -> Result<[u8; 4], PictureError> {
    let within = u32::try_from(length).ok().filter(|_| length <= most);
    within.map(u32::to_be_bytes).ok_or(PictureError::TooLong { length, most })
}

impl<'a> Request<'a> {
    /// The message up to its media, which follows it as it is.
    pub fn head(&self) -> Result<Vec<u8>, PictureError> {
        let small = |length: usize, what| u16::try_from(length).map_err(|_| PictureError::Malformed(what));
        let mut head = vec![0; 4];
        head.push(match self.format {
            Format::Png => 0,
            Format::Jpeg(quality @ 1..=100) => quality,
            Format::Jpeg(_) => return Err(PictureError::Malformed("quality")),
        });
        for pixels in [self.width, self.height] {
            head.extend_from_slice(&pixels.unwrap_or(0).to_be_bytes());
        }
        head.extend_from_slice(&small(self.codec.len(), "codec")?.to_be_bytes());
        head.extend_from_slice(self.codec.as_bytes());
        head.extend_from_slice(&prefix(self.private.len(), REQUEST_BYTES)?);
        head.extend_from_slice(self.private);
        head.extend_from_slice(&small(self.wanted.len(), "count of pictures")?.to_be_bytes());
        for time in &self.wanted {
            head.extend_from_slice(&time.to_be_bytes());
        }
        head.extend_from_slice(&prefix(self.frames.len(), REQUEST_BYTES)?);
        for Frame { time, offset, length } in &self.frames {
            head.extend_from_slice(&time.to_be_bytes());
            head.extend_from_slice(&offset.to_be_bytes());
            head.extend_from_slice(&length.to_be_bytes());
        }
        let length = (head.len() - 4).saturating_add(self.media.len());
        let prefix = prefix(length, REQUEST_BYTES)?;
        for (byte, value) in head.iter_mut().zip(prefix) {
            *byte = value;
        }
        Ok(head)
    }

    /// Reads a message, without the length in front of it.
    pub fn read(message: &'a [u8]) -> Result<Self, PictureError> {
        let mut rest = Rest(message);
        let format = match rest.array::<1>("the format")? {
            [0] => Format::Png,
            [quality @ 1..=100] => Format::Jpeg(quality),
            _ => return Err(PictureError::Malformed("format")),
        };
        let (width, height) = (rest.u16("the width")?, rest.u16("the height")?);
        let length = rest.u16("the codec")?;
        let codec = rest.take(length.into(), "the codec")?;
        let codec = str::from_utf8(codec).map_err(|_| PictureError::Malformed("codec"))?;
        let length = rest.size("the private data")?;
        let private = rest.take(length, "the private data")?;
        let count = usize::from(rest.u16("the wanted times")?);
        if count == 0 || count > PICTURES {
            return Err(PictureError::Malformed("count of pictures"));
        }
        let mut wanted = Vec::with_capacity(count);
        for _ in 0..count {
            wanted.push(i64::from_be_bytes(rest.array("the wanted times")?));
        }
        if !wanted.is_sorted_by(|a, b| a < b) {
            return Err(PictureError::Malformed("order of the wanted times"));
        }
        let count = rest.size("the frames")?;
        // What is not there is not counted on.
        if count > rest.0.len() / FRAME_ENTRY {
            return Err(PictureError::Short("the frames"));
        }
        let mut frames = Vec::with_capacity(count);
        for _ in 0..count {
            frames.push(Frame {
                time: i64::from_be_bytes(rest.array("the frames")?),
                offset: u32::from_be_bytes(rest.array("the frames")?),
                length: u32::from_be_bytes(rest.array("the frames")?),
            });
        }
        let request = Self {
            codec,
            private,
            format,
            width: Some(width).filter(|width| *width > 0),
            height: Some(height).filter(|height| *height > 0),
            wanted,
            frames,
            media: rest.0,
        };
        if request.frames.iter().any(|frame| request.payload(frame).is_none()) {
            return Err(PictureError::Short("the end of a frame"));
        }
        Ok(request)
    }

    /// The bytes of a frame. None of a frame that is not in the media; those of a request that was read are.
    pub fn payload(&self, frame: &Frame) -> Option<&'a [u8]> {
        let start = usize::try_from(frame.offset).ok()?;
        self.media.get(start..start.checked_add(usize::try_from(frame.length).ok()?)?)
    }
}

impl<'a> Answer<'a> {
    /// The message up to what follows it as it is: the picture, or the reason.
    pub fn head(&self) -> Result<[u8; 5], PictureError> {
        let (kind, length) = match self {
            Self::Picture(picture) => (0, picture.len()),
            Self::Failed(failure, _) => (failure.number(), self.body().len()),
        };
        let [a, b, c, d] = prefix(length.saturating_add(1), ANSWER_BYTES)?;
        Ok([a, b, c, d, kind])
    }

    /// What follows the head.
    pub fn body(&self) -> &'a [u8] {
        match self {
            Self::Picture(picture) => picture,
            Self::Failed(_, reason) => {
                let end =
                    (0..=reason.len().min(REASON_BYTES)).rev().find(|end| reason.is_char_boundary(*end));
                end.and_then(|end| reason.get(..end)).unwrap_or_default().as_bytes()
            }
        }
    }

    /// Reads a message, without the length in front of it.
    pub fn read(message: &'a [u8]) -> Result<Self, PictureError> {
        let (kind, rest) = message.split_first().ok_or(PictureError::Short("the answer"))?;
        if *kind == 0 {
            return Ok(Self::Picture(rest));
        }
        let failure = Failure::ALL.into_iter().find(|failure| failure.number() == *kind);
        let failure = failure.ok_or(PictureError::Malformed("answer"))?;
        let reason = str::from_utf8(rest).ok().filter(|reason| reason.len() <= REASON_BYTES);
        Ok(Self::Failed(failure, reason.ok_or(PictureError::Malformed("reason"))?))
    }
}

impl Failure {
    const ALL: [Self; 4] = [Self::NoDecoder, Self::Undecodable, Self::Unwritable, Self::TooLarge];

    const fn number(self) -> u8 {
        match self {
            Self::NoDecoder => 1,
            Self::Undecodable => 2,
            Self::Unwritable => 3,
            Self::TooLarge => 4,
        }
    }
}

/// What is still to be read of a message.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize, before: &'static str) -> Result<&'a [u8], PictureError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(PictureError::Short(before))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, before: &'static str) -> Result<[u8; N], PictureError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(PictureError::Short(before))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self, before: &'static str) -> Result<u16, PictureError> {
        Ok(u16::from_be_bytes(self.array(before)?))
    }

    fn size(&mut self, before: &'static str) -> Result<usize, PictureError> {
        length(self.array(before)?, REQUEST_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_request_reads_back_as_written(
            codec in ".{0,20}", private: Vec<u8>, quality in 0_u8..=100,
            (width, height) in any::<(u16, u16)>(),
            times in prop::collection::btree_set(any::<i64>(), 1..10),
            frames in prop::collection::vec((any::<i64>(), 0_u32..100, 0_u32..100), 0..10),
            media in prop::collection::vec(any::<u8>(), 200..300),
        ) {
            let request = Request {
                codec: &codec,
                private: &private,
                format: if quality == 0 { Format::Png } else { Format::Jpeg(quality) },
                width: Some(width).filter(|width| *width > 0),
                height: Some(height).filter(|height| *height > 0),
                wanted: times.into_iter().collect(),
                frames: frames.into_iter().map(|(time, offset, length)| Frame { time, offset, length }).collect(),
                media: &media,
            };
            let mut message = request.head().unwrap();
            message.extend_from_slice(&media);
            let (length_bytes, body) = message.split_first_chunk().unwrap();
            prop_assert_eq!(length(*length_bytes, REQUEST_BYTES).unwrap(), body.len());
            prop_assert_eq!(Request::read(body).unwrap(), request);
        }

        #[test]
        fn an_answer_reads_back_as_written(kind in 0_usize..=4, reason in ".{0,2000}", picture: Vec<u8>) {
            let answer = match kind.checked_sub(1) {
                None => Answer::Picture(&picture),
                Some(at) => Answer::Failed(Failure::ALL[at], &reason),
            };
            let mut message = answer.head().unwrap().to_vec();
            message.extend_from_slice(answer.body());
            let (length_bytes, body) = message.split_first_chunk().unwrap();
            prop_assert_eq!(length(*length_bytes, ANSWER_BYTES).unwrap(), body.len());
            match (Answer::read(body).unwrap(), answer) {
                (Answer::Failed(read, text), Answer::Failed(written, whole)) => {
                    prop_assert_eq!(read, written);
                    prop_assert!(whole.starts_with(text) && (text.len() == whole.len() || text.len() > 990));
                }
                (read, written) => prop_assert_eq!(read, written),
            }
        }

        #[test]
        fn any_bytes_are_a_message_or_refused(bytes: Vec<u8>) {
            let _ = (Request::read(&bytes), Answer::read(&bytes));
        }
    }

    #[test]
    fn what_is_too_long_is_neither_written_nor_read() {
        assert_eq!(length([1, 0, 0, 0], 100), Err(PictureError::TooLong { length: 1 << 24, most: 100 }));
        let picture = vec![0; PICTURE_BYTES + 1];
        assert!(matches!(Answer::Picture(&picture).head(), Err(PictureError::TooLong { .. })));
        assert!(Answer::Picture(&picture[1..]).head().is_ok());
    }

    #[test]
    fn frames_that_are_not_there_are_refused() {
        let frame = Frame { time: 0, offset: 2, length: 3 };
        let request = |media| Request {
            codec: "V_VP8",
            private: b"",
            format: Format::Png,
            width: None,
            height: None,
            wanted: vec![0],
            frames: vec![frame],
            media,
        };
        for (media, expected) in [(&b"12345"[..], true), (b"1234", false)] {
            let mut message = request(media).head().unwrap();
            message.extend_from_slice(media);
            assert_eq!(Request::read(&message[4..]).is_ok(), expected);
        }
        // A count of frames that no message holds takes no memory.
        let mut message = request(b"12345").head().unwrap();
        let count = message.len() - FRAME_ENTRY - 4;
        message[count..count + 4].copy_from_slice(&0x03ff_ffff_u32.to_be_bytes());
        assert_eq!(Request::read(&message[4..]), Err(PictureError::Short("the frames")));
    }
}

//! Elements inside a slice that is held whole, and how single values are read and written.

use std::time::Duration;

use bytes::Bytes;

use super::vint::{self, Head};
use super::{Id, Path, ReadError, ReadErrorKind};

/// An element held whole.
#[derive(Clone)]
pub(crate) struct Element {
    pub(crate) id: Id,
    pub(crate) body: Bytes,
    /// Of the element's first byte, from the start of the input.
    pub(crate) offset: u64,
    /// Down to and with this element.
    pub(crate) path: Path,
    head_length: usize,
}

impl Element {
    pub(crate) fn new(id: Id, body: Bytes, offset: u64, head_length: usize, parent: Path) -> Self {
        Self { id, body, offset, path: parent.child(id), head_length }
    }

    /// Of the first byte of the body.
    pub(crate) const fn body_offset(&self) -> u64 {
        self.offset + self.head_length as u64
    }

    pub(crate) const fn error(&self, kind: ReadErrorKind) -> ReadError {
        kind.at(self.offset, self.path)
    }

    /// The elements inside this one.
    pub(crate) fn children(&self) -> Children {
        Children { rest: self.body.clone(), offset: self.body_offset(), path: self.path }
    }

    /// The body as an unsigned number; no bytes are zero.
    pub(crate) fn unsigned(&self) -> Result<u64, ReadError> {
        if self.body.len() > 8 {
            return Err(self.error(ReadErrorKind::InvalidSize(self.id)));
        }
        Ok(self.body.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// The body as a number that fits 32 bits; a larger one has no meaning where this is used.
    pub(crate) fn small(&self) -> Result<u32, ReadError> {
        u32::try_from(self.unsigned()?).map_err(|_| self.error(ReadErrorKind::InvalidSize(self.id)))
    }

    /// The body as a number with a fraction; no bytes are zero. What is no number has no meaning anywhere.
    pub(crate) fn float(&self) -> Result<f64, ReadError> {
        let body: &[u8] = &self.body;
        let number = if body.is_empty() {
            Some(0.0)
        } else if let Ok(bytes) = <[u8; 4]>::try_from(body) {
            Some(f32::from_be_bytes(bytes).into())
        } else {
            <[u8; 8]>::try_from(body).ok().map(f64::from_be_bytes)
        };
        let number = number.ok_or_else(|| self.error(ReadErrorKind::InvalidSize(self.id)))?;
        if !number.is_finite() {
            return Err(self.error(ReadErrorKind::InvalidNumber(self.id)));
        }
        Ok(number)
    }

    pub(crate) fn nanos(&self) -> Result<Duration, ReadError> {
        self.unsigned().map(Duration::from_nanos)
    }

    /// The body as text, without the NULs that old SDKs pad it with. What is not UTF-8 becomes U+FFFD.
    pub(crate) fn text(&self) -> String {
        let end = self.body.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        String::from_utf8_lossy(self.body.get(..end).unwrap_or_default()).into_owned()
    }
}

/// The elements inside another. After the first error there are no more.
pub(crate) struct Children {
    rest: Bytes,
    offset: u64,
    path: Path,
}

impl Iterator for Children {
    type Item = Result<Element, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let next = self.take();
        if next.is_err() {
            self.rest.clear();
        }
        Some(next)
    }
}

impl Children {
    fn take(&mut self) -> Result<Element, ReadError> {
        let at_start = |kind: ReadErrorKind| kind.at(self.offset, self.path);
        let (Head { id, size }, head_length) = vint::head(&self.rest)
            .and_then(|head| head.ok_or(ReadErrorKind::InvalidVint))
            .map_err(at_start)?;
        let path = self.path.child(id);
        let size = size.ok_or(ReadErrorKind::UnknownSize(id).at(self.offset, path))?;
        let body_length = usize::try_from(size)
            .ok()
            .filter(|size| *size <= self.rest.len() - head_length)
            .ok_or(ReadErrorKind::ExceedsParent(id).at(self.offset, path))?;
        drop(self.rest.split_to(head_length));
        let body = self.rest.split_to(body_length);
        let element = Element { id, body, offset: self.offset, path, head_length };
        self.offset += (head_length + body_length) as u64;
        Ok(element)
    }
}

/// Appends an element with a size as short as it goes.
pub(crate) fn put(out: &mut Vec<u8>, id: Id, body: &[u8]) {
    put_sized(out, id, body, vint::length_of(body.len() as u64));
}

/// Appends an element whose size takes `size_length` bytes.
pub(crate) fn put_sized(out: &mut Vec<u8>, id: Id, body: &[u8], size_length: usize) {
    vint::put_id(out, id);
    vint::put(out, body.len() as u64, size_length);
    out.extend_from_slice(body);
}

/// Appends an unsigned number, at least one byte long.
pub(crate) fn put_unsigned(out: &mut Vec<u8>, id: Id, value: u64) {
    let skip = (value.leading_zeros() as usize / 8).min(7);
    put(out, id, value.to_be_bytes().get(skip..).unwrap_or_default());
}

/// Appends a text, unless it is empty.
pub(crate) fn put_text(out: &mut Vec<u8>, id: Id, text: &str) {
    if !text.is_empty() {
        put(out, id, text.as_bytes());
    }
}

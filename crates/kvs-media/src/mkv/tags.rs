//! Tags: text that travels with a fragment.

use bytes::Bytes;

use super::element::{self, Element};
use super::vint;
use super::{Id, ReadError, ReadErrorKind};

/// The name of the tag that ends a fragment without beginning another (kvs-api 3.10).
pub const END_OF_FRAGMENT: &str = "AWS_KINESISVIDEO_END_OF_FRAGMENT";

/// Tags inside tags are read down to this depth.
const DEPTH: usize = 8;

/// A group of name and value pairs that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tag {
    /// The pairs, in their order. A pair inside a pair follows the outer one.
    pub pairs: Vec<SimpleTag>,
    /// What the group speaks of, as the body of its Targets element; empty for the whole document or fragment.
    pub targets: Bytes,
}

impl Tag {
    /// One pair of name and text.
    pub fn text(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { pairs: vec![SimpleTag::text(name, value)], targets: Bytes::new() }
    }
}

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimpleTag {
    /// The name.
    pub name: String,
    /// The value.
    pub value: TagValue,
}

impl SimpleTag {
    /// A name and a text.
    pub fn text(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: TagValue::Text(value.into()) }
    }
}

/// What a tag says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagValue {
    /// Text; absent reads as empty.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

/// How the sizes of the elements of a tag group are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// As short as they go.
    Tight,
    /// In four bytes, as the service writes those that it inserts (kvs-api 5.3).
    FourBytes,
}

impl Sizes {
    fn put(self, out: &mut Vec<u8>, id: Id, body: &[u8]) {
        let tight = vint::length_of(body.len() as u64);
        let length = match self {
            Self::Tight => tight,
            Self::FourBytes => tight.max(4),
        };
        element::put_sized(out, id, body, length);
    }
}

/// Writes one Tags element; nothing for no groups.
pub fn write(tags: &[Tag], sizes: Sizes) -> Bytes {
    let mut out = Vec::new();
    if tags.is_empty() {
        return Bytes::new();
    }
    let (mut group, mut groups, mut pair) = (Vec::new(), Vec::new(), Vec::new());
    for tag in tags {
        group.clear();
        if !tag.targets.is_empty() {
            sizes.put(&mut group, Id::TARGETS, &tag.targets);
        }
        for SimpleTag { name, value } in &tag.pairs {
            pair.clear();
            sizes.put(&mut pair, Id::TAG_NAME, name.as_bytes());
            match value {
                TagValue::Text(text) => sizes.put(&mut pair, Id::TAG_STRING, text.as_bytes()),
                TagValue::Binary(bytes) => sizes.put(&mut pair, Id::TAG_BINARY, bytes),
            }
            sizes.put(&mut group, Id::SIMPLE_TAG, &pair);
        }
        sizes.put(&mut groups, Id::TAG, &group);
    }
    sizes.put(&mut out, Id::TAGS, &groups);
    out.into()
}

/// Reads a Tags element of at most so many groups and pairs, and says how many there are.
pub(crate) fn read(element: &Element, limit: usize) -> Result<(Vec<Tag>, usize), ReadError> {
    let (mut tags, mut left) = (Vec::new(), limit);
    for child in element.children() {
        let child = child?;
        if child.id == Id::TAG {
            take_one(&child, &mut left)?;
            tags.push(read_tag(&child, &mut left)?);
        }
    }
    Ok((tags, limit - left))
}

fn take_one(element: &Element, left: &mut usize) -> Result<(), ReadError> {
    *left = left.checked_sub(1).ok_or_else(|| element.error(ReadErrorKind::TooManyTags))?;
    Ok(())
}

fn read_tag(element: &Element, left: &mut usize) -> Result<Tag, ReadError> {
    let mut tag = Tag::default();
    for child in element.children() {
        let child = child?;
        match child.id {
            Id::TARGETS => tag.targets = child.body,
            Id::SIMPLE_TAG => read_pair(&child, &mut tag.pairs, left, DEPTH)?,
            _ => {}
        }
    }
    Ok(tag)
}

fn read_pair(
    element: &Element,
    pairs: &mut Vec<SimpleTag>,
    left: &mut usize,
    depth: usize,
) -> Result<(), ReadError> {
    take_one(element, left)?;
    let Some(depth) = depth.checked_sub(1) else { return Err(element.error(ReadErrorKind::TooDeep)) };
    let (mut name, mut value) = (String::new(), TagValue::Text(String::new()));
    let mut inner = Vec::new();
    for child in element.children() {
        let child = child?;
        match child.id {
            Id::TAG_NAME => name = child.text(),
            Id::TAG_STRING => value = TagValue::Text(child.text()),
            Id::TAG_BINARY => value = TagValue::Binary(child.body),
            Id::SIMPLE_TAG => read_pair(&child, &mut inner, left, depth)?,
            _ => {}
        }
    }
    pairs.push(SimpleTag { name, value });
    pairs.append(&mut inner);
    Ok(())
}

//! Blocks: the frames of a cluster.

use bytes::Bytes;

use super::element::Element;
use super::vint;
use super::{Id, ReadError, ReadErrorKind};
use crate::TrackNumber;

const KEY: u8 = 0x80;
const INVISIBLE: u8 = 0x08;
const LACING: u8 = 0x06;
const DISCARDABLE: u8 = 0x01;

/// The head of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHead {
    pub(crate) track: TrackNumber,
    /// Ticks from the cluster's time.
    pub(crate) offset: i16,
    flags: u8,
}

/// The longest head of a block: an eight-byte track number, the offset and the flags.
pub(crate) const BLOCK_HEAD_MAX: usize = 11;

impl BlockHead {
    pub(crate) const fn new(
        track: TrackNumber,
        offset: i16,
        key: bool,
        discardable: bool,
        invisible: bool,
    ) -> Self {
        let mut flags = 0;
        if key {
            flags |= KEY;
        }
        if discardable {
            flags |= DISCARDABLE;
        }
        if invisible {
            flags |= INVISIBLE;
        }
        Self { track, offset, flags }
    }

    pub(crate) const fn key(self) -> bool {
        self.flags & KEY != 0
    }

    pub(crate) const fn invisible(self) -> bool {
        self.flags & INVISIBLE != 0
    }

    pub(crate) const fn discardable(self) -> bool {
        self.flags & DISCARDABLE != 0
    }

    /// The same as the head of a Block inside a BlockGroup, where the bits for key and discardable are reserved.
    pub(crate) const fn in_group(self) -> Self {
        Self { flags: self.flags & !(KEY | DISCARDABLE), ..self }
    }

    pub(crate) const fn lacing(self) -> Option<Lacing> {
        match self.flags & LACING {
            0x00 => None,
            0x02 => Some(Lacing::Xiph),
            0x04 => Some(Lacing::Fixed),
            _ => Some(Lacing::Ebml),
        }
    }

    /// Reads the head at the start of `bytes`, and its length. `None` when `bytes` ends before it does.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, ReadErrorKind> {
        let Some((track, length)) = vint::number(bytes)? else { return Ok(None) };
        let Some(&[high, low, flags]) = bytes.get(length..length + 3) else { return Ok(None) };
        let offset = i16::from_be_bytes([high, low]);
        Ok(Some((Self { track: TrackNumber(track.value()), offset, flags }, length + 3)))
    }

    pub(crate) fn write(self, out: &mut impl Extend<u8>) {
        vint::put(out, self.track.0, vint::length_of(self.track.0));
        let [high, low] = self.offset.to_be_bytes();
        out.extend([high, low, self.flags]);
    }
}

/// How several frames share a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lacing {
    Xiph,
    Fixed,
    Ebml,
}

/// Cuts what follows the head of a laced block into its frames.
pub(crate) fn unlace(lacing: Lacing, mut body: Bytes) -> Result<Vec<Bytes>, ReadErrorKind> {
    let invalid = ReadErrorKind::InvalidLace;
    let (&last, rest) = body.split_first().ok_or(ReadErrorKind::ShortBlock)?;
    let last = usize::from(last);
    let mut sizes = Vec::with_capacity(last);
    let mut rest = rest;
    match lacing {
        Lacing::Fixed => {
            if rest.len() % (last + 1) != 0 {
                return Err(invalid);
            }
            sizes.resize(last, rest.len() / (last + 1));
        }
        Lacing::Xiph => {
            for _ in 0..last {
                let end = rest.iter().position(|&byte| byte != 255).ok_or(invalid)?;
                let (run, tail) = rest.split_at_checked(end + 1).ok_or(invalid)?;
                sizes.push(run.iter().map(|&byte| usize::from(byte)).sum());
                rest = tail;
            }
        }
        Lacing::Ebml => {
            let mut size = 0_i64;
            for index in 0..last {
                let (number, length) = vint::number(rest)?.ok_or(invalid)?;
                size = if index == 0 {
                    i64::try_from(number.value()).map_err(|_| invalid)?
                } else {
                    size.checked_add(number.signed()).ok_or(invalid)?
                };
                sizes.push(usize::try_from(size).map_err(|_| invalid)?);
                rest = rest.get(length..).ok_or(invalid)?;
            }
        }
    }
    let sizes_length = body.len() - rest.len();
    drop(body.split_to(sizes_length));
    let mut frames = Vec::with_capacity(last + 1);
    for size in sizes {
        if size > body.len() {
            return Err(invalid);
        }
        frames.push(body.split_to(size));
    }
    frames.push(body);
    Ok(frames)
}

/// A block group, taken apart.
pub(crate) struct BlockGroup {
    pub(crate) block: Element,
    /// In ticks.
    pub(crate) duration: Option<u64>,
    /// No other block is named as a reference.
    pub(crate) key: bool,
}

impl BlockGroup {
    pub(crate) fn read(group: &Element) -> Result<Self, ReadError> {
        let (mut block, mut duration, mut key) = (None, None, true);
        for child in group.children() {
            let child = child?;
            match child.id {
                Id::BLOCK if block.is_some() => return Err(group.error(ReadErrorKind::InvalidBlockGroup)),
                Id::BLOCK => block = Some(child),
                Id::BLOCK_DURATION => duration = Some(child.unsigned()?),
                Id::REFERENCE_BLOCK => key = false,
                _ => {}
            }
        }
        let block = block.ok_or_else(|| group.error(ReadErrorKind::InvalidBlockGroup))?;
        Ok(Self { block, duration, key })
    }
}

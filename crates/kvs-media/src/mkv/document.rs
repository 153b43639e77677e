//! The header section of the document that is being read, as it comes together.

use std::sync::Arc;

use super::element::Element;
use super::event::{Event, Tags};
use super::header::{self, Header, Info};
use super::{Id, ReadError, ReadErrorKind};
use crate::Track;

#[derive(Clone, Debug)]
pub(crate) struct Document {
    doc_type: String,
    pub(crate) segment: Option<OpenSegment>,
    info: Option<Info>,
    tracks: Option<Vec<Track>>,
    /// Complete and handed out.
    pub(crate) header: Option<Arc<Header>>,
    /// What is held until then. Grows with what has arrived and never beyond the limits.
    held: Held,
}

#[derive(Clone, Debug, Default)]
struct Held {
    raw: Vec<u8>,
    tags: Vec<Tags>,
    tags_bytes: usize,
    /// Groups and pairs, and a group more for each element.
    tags_count: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenSegment {
    pub(crate) end: Option<u64>,
    /// Where its head lies in the raw header.
    at: usize,
    head_length: usize,
}

impl Document {
    /// Begins with its EBML header.
    pub(crate) fn new(ebml: &Element, head: &[u8]) -> Result<Self, ReadError> {
        let doc_type = header::read_ebml(ebml)?;
        let raw = [head, &ebml.body].concat();
        let held = Held { raw, ..Held::default() };
        Ok(Self { doc_type, segment: None, info: None, tracks: None, header: None, held })
    }

    /// Bytes that are held for the same purpose as an element of that id.
    pub(crate) const fn held_bytes(&self, id: Id) -> usize {
        if id.0 == Id::TAGS.0 { self.held.tags_bytes } else { self.held.raw.len() }
    }

    /// Groups and pairs of tags that are held.
    pub(crate) const fn held_tags(&self) -> usize {
        self.held.tags_count
    }

    pub(crate) fn open_segment(&mut self, head: &[u8], end: Option<u64>) {
        let at = self.held.raw.len();
        self.segment = Some(OpenSegment { end, at, head_length: head.len() });
        self.held.raw.extend_from_slice(head);
    }

    /// Takes tags; they come back where the header section is complete.
    pub(crate) fn take_tags(&mut self, tags: Tags, count: usize) -> Option<Tags> {
        if self.header.is_some() {
            return Some(tags);
        }
        self.held.tags_bytes += tags.raw.len();
        self.held.tags_count += count + 1;
        self.held.tags.push(tags);
        None
    }

    /// Takes any other element of the header section. Info and Tracks may be repeated, also behind it, but must then
    /// say the same (RFC 9559, 5.1); true says that it is such a repetition behind the header section.
    pub(crate) fn take(
        &mut self,
        element: &Element,
        head: &[u8],
        most_tracks: usize,
    ) -> Result<bool, ReadError> {
        let known = match element.id {
            Id::INFO => say(&mut self.info, header::read_info(element)?, element)?,
            Id::TRACKS => say(&mut self.tracks, header::read_tracks(element, most_tracks)?, element)?,
            _ => false,
        };
        if self.header.is_none() {
            self.held.raw.extend_from_slice(head);
            self.held.raw.extend_from_slice(&element.body);
            return Ok(false);
        }
        // What was not there before the first cluster comes too late.
        if known { Ok(true) } else { Err(element.error(ReadErrorKind::Unexpected(element.id))) }
    }

    /// Says what the header section holds, unless that has happened.
    pub(crate) fn complete(&mut self, events: &mut impl Extend<Event>) {
        let (None, Some(segment)) = (&self.header, self.segment) else { return };
        let Held { raw, tags, .. } = std::mem::take(&mut self.held);
        let header = Arc::new(Header {
            doc_type: std::mem::take(&mut self.doc_type),
            info: self.info.clone().unwrap_or_default(),
            tracks: self.tracks.clone().unwrap_or_default(),
            raw: raw.into(),
            segment: segment.at..segment.at + segment.head_length,
        });
        self.header = Some(Arc::clone(&header));
        events.extend([Event::Document(header)]);
        events.extend(tags.into_iter().map(Event::Tags));
    }
}

/// Keeps what an element says; true when it was said before.
fn say<T: PartialEq>(known: &mut Option<T>, said: T, element: &Element) -> Result<bool, ReadError> {
    match known {
        Some(known) if *known != said => Err(element.error(ReadErrorKind::Contradiction(element.id))),
        Some(_) => Ok(true),
        None => {
            *known = Some(said);
            Ok(false)
        }
    }
}

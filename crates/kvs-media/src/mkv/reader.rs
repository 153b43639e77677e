//! The push parser: bytes in pieces of any size in, events out as soon as they can be told.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::block::{BLOCK_HEAD_MAX, BlockGroup, BlockHead, unlace};
use super::document::Document;
use super::element::Element;
use super::event::{Cluster, Event, Frame, FrameHead, Tags};
use super::header::Header;
use super::ids::Place;
use super::tags;
use super::vint::{self, HEAD_MAX, Head};
use super::{Id, Path, ReadError, ReadErrorKind};
use crate::time::Timecode;

/// What a [`Reader`] holds at the most, whatever a peer declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The header section, from the EBML header to the first cluster.
    pub header_bytes: usize,
    /// One Tags element.
    pub tags_bytes: usize,
    /// One frame, block group or lace.
    pub frame_bytes: usize,
    /// Tracks of a document.
    pub tracks: usize,
    /// Groups and pairs of tags: those of one Tags element, or all that come before the first cluster.
    pub tags: usize,
}

impl Default for Limits {
    /// Room for three tracks with the largest codec private data that producers send (1 MiB, kvs-api 10.5) and for
    /// a frame that fills the largest fragment (50 MB).
    fn default() -> Self {
        Self {
            header_bytes: 4 << 20,
            tags_bytes: 1 << 20,
            frame_bytes: 50_000_000,
            tracks: 128,
            tags: 10_000,
        }
    }
}

/// How frames are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Each frame whole, as [`Event::Frame`]: without a copy where it lies in one piece of the input, and copied
    /// once where it does not.
    #[default]
    Whole,
    /// Each frame as [`Event::FrameStart`], the parts that have arrived as [`Event::FramePart`] and
    /// [`Event::FrameEnd`]: never held, never copied. Only what is in a lace or in a BlockGroup is held whole, since
    /// what is known of its frames may come behind them.
    Parts,
}

/// Reads Matroska documents, one after another, from bytes that come in pieces.
///
/// Give each piece to [`read`](Self::read) until it returns `None`, and after the last one call
/// [`finish`](Self::finish) likewise. After an error every call returns that error again.
///
/// ```
/// use bytes::Bytes;
/// use kvs_media::mkv::{Event, Reader};
///
/// fn ingest(reader: &mut Reader, mut piece: Bytes) -> Result<(), kvs_media::mkv::ReadError> {
///     while let Some(event) = reader.read(&mut piece)? {
///         match event {
///             Event::Cluster(cluster) => println!("fragment {} is coming in", cluster.timecode),
///             Event::Frame(frame) => println!("{} bytes for track {}", frame.payload.len(), frame.head.track),
///             _ => {}
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Reader {
    limits: Limits,
    delivery: Delivery,
    /// Bytes consumed.
    offset: u64,
    state: State,
    /// The part of an element that has come so far, when it did not come in one piece.
    carry: Vec<u8>,
    document: Option<Document>,
    cluster: Option<OpenCluster>,
    /// Found, and not handed out yet.
    pending: VecDeque<Event>,
    failed: Option<ReadError>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// An element begins.
    Start,
    /// Its head was read, and what it means is not decided.
    Decide(Found),
    /// It is read whole.
    Whole(Found, usize),
    /// It is passed over.
    Skip(u64),
    /// A SimpleBlock, of which so many bytes are left.
    Block(Found, usize),
    /// What follows the head of a laced SimpleBlock.
    Lace(Found, BlockHead, usize),
    /// The payload of a frame that is handed out whole.
    Payload(FrameHead, usize),
    /// The payload of a frame that is handed out in parts.
    Parts(u64),
}

/// An element whose head was read.
#[derive(Clone, Copy, Debug)]
struct Found {
    head: Head,
    offset: u64,
    head_length: usize,
}

impl Found {
    fn error(self, path: Path, kind: ReadErrorKind) -> ReadError {
        kind.at(self.offset, path.child(self.head.id))
    }
}

#[derive(Clone, Copy, Debug)]
struct OpenCluster {
    offset: u64,
    end: Option<u64>,
    timecode: Option<Timecode>,
}

/// What a step of the machine came to.
enum Step {
    Event(Event),
    Again,
    /// More input is needed.
    Starved,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(Limits::default(), Delivery::default())
    }
}

impl Reader {
    /// A reader at the start of its input.
    pub fn new(limits: Limits, delivery: Delivery) -> Self {
        Self {
            limits,
            delivery,
            offset: 0,
            state: State::Start,
            carry: Vec::new(),
            document: None,
            cluster: None,
            pending: VecDeque::new(),
            failed: None,
        }
    }

    /// How many bytes were consumed.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Up to here, every byte belongs to what was told: behind it are at most the head of an element whose place is not
    /// decided, and the beginning of a cluster whose time is not known. Who keeps or forwards the bytes of a cluster as
    /// they were sent can let them go up to here, and holds the rest until the next piece.
    pub fn settled(&self) -> u64 {
        match (self.cluster, self.state) {
            (Some(OpenCluster { offset, timecode: None, .. }), _) => offset,
            (_, State::Start) => self.offset - self.carry.len() as u64,
            (_, State::Decide(found)) => found.offset,
            _ => self.offset,
        }
    }

    /// The header of the document that is being read, once it is complete.
    pub fn header(&self) -> Option<&Arc<Header>> {
        self.document.as_ref()?.header.as_ref()
    }

    /// Consumes from the front of `input` until there is something to tell. `None` once `input` is empty.
    pub fn read(&mut self, input: &mut Bytes) -> Result<Option<Event>, ReadError> {
        self.run(|reader| {
            loop {
                if let Some(event) = reader.pending.pop_front() {
                    return Ok(Some(event));
                }
                match reader.step(input)? {
                    Step::Event(event) => return Ok(Some(event)),
                    Step::Again => {}
                    Step::Starved => return Ok(None),
                }
            }
        })
    }

    /// Says that there is no more input. Returns what that completes, one by one, and then `None`.
    pub fn finish(&mut self) -> Result<Option<Event>, ReadError> {
        self.run(|reader| {
            if let Some(event) = reader.pending.pop_front() {
                return Ok(Some(event));
            }
            let whole = matches!(reader.state, State::Start) && reader.carry.is_empty();
            let has_segment = reader.document.as_ref().is_none_or(|document| document.segment.is_some());
            let open_size = reader.end_of_parent().is_none_or(|end| end == reader.offset);
            let timed = reader.cluster.is_none_or(|cluster| cluster.timecode.is_some());
            if !(whole && has_segment && open_size && timed) {
                return Err(ReadErrorKind::Truncated.at(reader.offset, reader.path()));
            }
            if reader.cluster.is_some() {
                return reader.end_cluster(true).map(Some);
            }
            if reader.document.is_some() {
                reader.end_document()?;
            }
            Ok(reader.pending.pop_front())
        })
    }

    /// Runs `work` unless an error has been met, and remembers the one that it meets.
    fn run<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, ReadError>) -> Result<T, ReadError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = work(self);
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.carry = Vec::new();
        }
        result
    }

    fn step(&mut self, input: &mut Bytes) -> Result<Step, ReadError> {
        match self.state {
            State::Start => self.start(input),
            State::Decide(found) => self.decide(found),
            State::Whole(found, size) => match self.take(input, size) {
                Some(body) => {
                    self.state = State::Start;
                    self.whole(found, body)
                }
                None => Ok(Step::Starved),
            },
            State::Skip(0) => {
                self.state = State::Start;
                Ok(Step::Again)
            }
            State::Skip(left) => {
                let length = clamp(left, input.len());
                self.advance(input, length);
                self.state = State::Skip(left - length as u64);
                Ok(if length == 0 { Step::Starved } else { Step::Again })
            }
            State::Block(found, left) => self.block(found, left, input),
            State::Lace(found, block, left) => {
                let offset = self.offset - self.carry.len() as u64;
                match self.take(input, left) {
                    Some(body) => {
                        self.state = State::Start;
                        let place = (found.offset, self.path().child(found.head.id));
                        self.frames(place, block, body, offset, block.key(), None)
                    }
                    None => Ok(Step::Starved),
                }
            }
            State::Payload(head, left) => match self.take(input, left) {
                Some(payload) => {
                    self.state = State::Start;
                    Ok(Step::Event(Event::Frame(Frame { head, payload })))
                }
                None => Ok(Step::Starved),
            },
            State::Parts(0) => {
                self.state = State::Start;
                Ok(Step::Event(Event::FrameEnd))
            }
            State::Parts(left) => {
                let length = clamp(left, input.len());
                if length == 0 {
                    return Ok(Step::Starved);
                }
                let part = input.split_to(length);
                self.offset += length as u64;
                self.state = State::Parts(left - length as u64);
                Ok(Step::Event(Event::FramePart(part)))
            }
        }
    }

    /// Ends what has reached its declared size, or reads the head of the next element.
    fn start(&mut self, input: &mut Bytes) -> Result<Step, ReadError> {
        if self.carry.is_empty() && self.end_of_parent() == Some(self.offset) {
            if self.cluster.is_some() {
                return self.end_cluster(true).map(Step::Event);
            }
            self.end_document()?;
            return Ok(Step::Again);
        }
        let offset = self.offset - self.carry.len() as u64;
        match self.take_small(input, HEAD_MAX, vint::head) {
            Ok(Some((head, head_length))) => {
                let found = Found { head, offset, head_length };
                let end = head.size.and_then(|size| self.offset.checked_add(size));
                // A new document may begin inside what was cut short.
                if let Some(parent_end) = self.end_of_parent().filter(|_| head.id != Id::EBML)
                    && (self.offset > parent_end
                        || head.size.is_some() && end.is_none_or(|end| end > parent_end))
                {
                    return Err(self.error(found, ReadErrorKind::ExceedsParent(head.id)));
                }
                if head.size.is_some() && end.is_none() {
                    return Err(self.error(found, ReadErrorKind::InvalidVint));
                }
                self.state = State::Decide(found);
                Ok(Step::Again)
            }
            Ok(None) => Ok(Step::Starved),
            Err(kind) if self.document.is_none() && offset == 0 => {
                // Not even the first element has an id: this never was Matroska.
                let kind =
                    if matches!(kind, ReadErrorKind::InvalidId(_)) { ReadErrorKind::NotEbml } else { kind };
                Err(kind.at(offset, self.path()))
            }
            Err(kind) => Err(kind.at(offset, self.path())),
        }
    }

    /// Decides what to do with an element by where it stands.
    fn decide(&mut self, found: Found) -> Result<Step, ReadError> {
        let id = found.head.id;
        // A new document ends whatever is open, whatever size that declared: the service sends one per fragment,
        // and one that it had to cut short ends like this.
        if id == Id::EBML && self.document.is_some() {
            if self.cluster.is_some() {
                let complete = self.cluster.and_then(|cluster| cluster.end).is_none();
                let event = self.end_cluster_at(found.offset, complete)?;
                return Ok(Step::Event(event));
            }
            self.end_document_at(found.offset)?;
            return Ok(Step::Again);
        }
        if self.cluster.is_some() {
            self.decide_in_cluster(found)
        } else if self.document.as_ref().is_some_and(|document| document.segment.is_some()) {
            self.decide_in_segment(found)
        } else {
            self.decide_at_top(found)
        }
    }

    fn decide_at_top(&mut self, found: Found) -> Result<Step, ReadError> {
        match (found.head.id, &mut self.document) {
            (Id::EBML, _) => self.read_whole(found, self.limits.header_bytes),
            (Id::SEGMENT, Some(document)) => {
                let end = found.head.size.map(|size| self.offset + size);
                document.open_segment(&head_bytes(found), end);
                self.state = State::Start;
                Ok(Step::Again)
            }
            // Behind an EBML header, or behind a document that has ended.
            (id, document) if document.is_some() || found.offset > 0 => match id.place() {
                None | Some(Place::Global) => self.skip(found),
                Some(_) => Err(self.error(found, ReadErrorKind::Unexpected(id))),
            },
            _ => Err(ReadErrorKind::NotEbml.at(found.offset, self.path())),
        }
    }

    fn decide_in_segment(&mut self, found: Found) -> Result<Step, ReadError> {
        let id = found.head.id;
        match id {
            Id::CLUSTER => {
                self.complete_header();
                let end = found.head.size.map(|size| self.offset + size);
                self.cluster = Some(OpenCluster { offset: found.offset, end, timecode: None });
                self.state = State::Start;
                Ok(Step::Again)
            }
            Id::TAGS => self.read_whole(found, self.limits.tags_bytes),
            _ if matches!(id.place(), Some(Place::Top | Place::Cluster | Place::Nested)) => {
                Err(self.error(found, ReadErrorKind::Unexpected(id)))
            }
            Id::INFO | Id::TRACKS => self.read_whole(found, self.limits.header_bytes),
            _ if self.header().is_some() => self.skip(found),
            // Until the header is complete every element of it is kept, as it was sent.
            _ => self.read_whole(found, self.limits.header_bytes),
        }
    }

    fn decide_in_cluster(&mut self, found: Found) -> Result<Step, ReadError> {
        let id = found.head.id;
        match (id, id.place()) {
            (Id::TIMECODE, _) => self.read_whole(found, 8),
            (Id::SIMPLE_BLOCK, _) => {
                let size = self.size_within(found, self.limits.frame_bytes)?;
                self.state = State::Block(found, size);
                Ok(Step::Again)
            }
            (Id::BLOCK_GROUP, _) => self.read_whole(found, self.limits.frame_bytes),
            (_, Some(Place::Cluster | Place::Global) | None) => self.skip(found),
            (_, Some(Place::Segment | Place::Top))
                if self.cluster.is_some_and(|cluster| cluster.end.is_none()) =>
            {
                // Nothing is consumed: with the cluster closed, the element is decided again.
                self.end_cluster_at(found.offset, true).map(Step::Event)
            }
            _ => Err(self.error(found, ReadErrorKind::Unexpected(id))),
        }
    }

    fn read_whole(&mut self, found: Found, limit: usize) -> Result<Step, ReadError> {
        let size = self.size_within(found, limit)?;
        self.state = State::Whole(found, size);
        Ok(Step::Again)
    }

    fn skip(&mut self, found: Found) -> Result<Step, ReadError> {
        let id = found.head.id;
        let size = found.head.size.ok_or_else(|| self.error(found, ReadErrorKind::UnknownSize(id)))?;
        self.state = State::Skip(size);
        if self.cluster.is_some() {
            return Ok(Step::Again);
        }
        let length = size + found.head_length as u64;
        Ok(Step::Event(Event::Skipped { id, offset: found.offset, length }))
    }

    /// The size of an element that is held whole, checked against what may be held.
    fn size_within(&self, found: Found, limit: usize) -> Result<usize, ReadError> {
        let id = found.head.id;
        let size = found.head.size.ok_or_else(|| self.error(found, ReadErrorKind::UnknownSize(id)))?;
        let held = match &self.document {
            Some(document) if document.header.is_none() => document.held_bytes(id),
            _ => 0,
        };
        let total = size.saturating_add(held as u64);
        match usize::try_from(total) {
            Ok(total) if total <= limit => Ok(total - held),
            _ => Err(self.error(found, ReadErrorKind::TooLarge { id, size: total, limit: limit as u64 })),
        }
    }

    /// Takes an element that has come whole.
    fn whole(&mut self, found: Found, body: Bytes) -> Result<Step, ReadError> {
        let element = Element::new(found.head.id, body, found.offset, found.head_length, self.path());
        match element.id {
            Id::TIMECODE => self.timecode(&element).map(Step::Event),
            Id::BLOCK_GROUP => self.block_group(&element),
            Id::TAGS => {
                let mut raw = head_bytes(found);
                raw.extend_from_slice(&element.body);
                let held = self.document.as_ref().map_or(0, Document::held_tags);
                let (tags, count) = tags::read(&element, self.limits.tags.saturating_sub(held))?;
                let tags = Tags { offset: found.offset, tags, raw: raw.into() };
                let taken = match &mut self.document {
                    Some(document) => document.take_tags(tags, count),
                    None => None,
                };
                Ok(taken.map_or(Step::Again, |tags| Step::Event(Event::Tags(tags))))
            }
            Id::EBML => {
                self.document = Some(Document::new(&element, &head_bytes(found))?);
                Ok(Step::Again)
            }
            id => {
                let Some(document) = &mut self.document else { return Ok(Step::Again) };
                let head = head_bytes(found);
                let length = (head.len() + element.body.len()) as u64;
                let repeated = document.take(&element, &head, self.limits.tracks)?;
                let skipped = Event::Skipped { id, offset: found.offset, length };
                Ok(if repeated { Step::Event(skipped) } else { Step::Again })
            }
        }
    }

    /// Hands out the header, unless that has happened.
    fn complete_header(&mut self) {
        if let Some(document) = &mut self.document {
            document.complete(&mut self.pending);
        }
    }

    fn timecode(&mut self, element: &Element) -> Result<Event, ReadError> {
        let ticks = element.unsigned()?;
        let ticks = i64::try_from(ticks).map_err(|_| element.error(ReadErrorKind::TimecodeOutOfRange))?;
        match &mut self.cluster {
            Some(cluster) if cluster.timecode.is_none() => {
                let timecode = Timecode::from_ticks(ticks);
                cluster.timecode = Some(timecode);
                Ok(Event::Cluster(Cluster { offset: cluster.offset, timecode }))
            }
            _ => Err(element.error(ReadErrorKind::SecondTimecode)),
        }
    }

    /// Reads the head of a SimpleBlock, and with that decides how the rest is handed out.
    fn block(&mut self, found: Found, left: usize, input: &mut Bytes) -> Result<Step, ReadError> {
        let longest = BLOCK_HEAD_MAX.min(left);
        let (block, length) = match self.take_small(input, longest, BlockHead::read) {
            Ok(Some(taken)) => taken,
            Ok(None) if self.carry.len() == longest => {
                return Err(self.error(found, ReadErrorKind::ShortBlock));
            }
            Ok(None) => return Ok(Step::Starved),
            Err(kind) => return Err(self.error(found, kind)),
        };
        let left = left - length;
        if block.lacing().is_some() {
            self.state = State::Lace(found, block, left);
            return Ok(Step::Again);
        }
        let head = FrameHead {
            track: block.track,
            timecode: self.block_time(block).map_err(|kind| self.error(found, kind))?,
            duration: None,
            key: block.key(),
            discardable: block.discardable(),
            invisible: block.invisible(),
            size: left as u64,
            offset: self.offset,
        };
        match self.delivery {
            Delivery::Whole => {
                self.state = State::Payload(head, left);
                Ok(Step::Again)
            }
            Delivery::Parts => {
                self.state = State::Parts(left as u64);
                Ok(Step::Event(Event::FrameStart(head)))
            }
        }
    }

    fn block_time(&self, block: BlockHead) -> Result<Timecode, ReadErrorKind> {
        if self.header().is_none_or(|header| header.track(block.track).is_none()) {
            return Err(ReadErrorKind::UnknownTrack(block.track));
        }
        let cluster = self.cluster.and_then(|cluster| cluster.timecode);
        cluster
            .ok_or(ReadErrorKind::MissingTimecode)?
            .checked_add(block.offset.into())
            .ok_or(ReadErrorKind::TimecodeOutOfRange)
    }

    fn block_group(&mut self, element: &Element) -> Result<Step, ReadError> {
        let BlockGroup { block: element, duration, key } = BlockGroup::read(element)?;
        let read = BlockHead::read(&element.body).map_err(|kind| element.error(kind))?;
        let (block, length) = read.ok_or_else(|| element.error(ReadErrorKind::ShortBlock))?;
        let block = block.in_group();
        let offset = element.body_offset() + length as u64;
        self.frames(
            (element.offset, element.path),
            block,
            element.body.slice(length..),
            offset,
            key,
            duration,
        )
    }

    /// Hands out the frames of a block whose body is held whole.
    fn frames(
        &mut self,
        (block_offset, path): (u64, Path),
        block: BlockHead,
        body: Bytes,
        body_offset: u64,
        key: bool,
        duration: Option<u64>,
    ) -> Result<Step, ReadError> {
        let error = |kind: ReadErrorKind| kind.at(block_offset, path);
        let timecode = self.block_time(block).map_err(error)?;
        let mut head = FrameHead {
            track: block.track,
            timecode,
            duration,
            key,
            discardable: block.discardable(),
            invisible: block.invisible(),
            size: body.len() as u64,
            offset: body_offset,
        };
        let Some(lacing) = block.lacing() else {
            self.push_frame(head, body);
            return Ok(Step::Again);
        };
        let frames = unlace(lacing, body).map_err(error)?;
        let payload: u64 = frames.iter().map(|frame| frame.len() as u64).sum();
        head.offset += head.size - payload;
        head.duration = duration.filter(|_| frames.len() == 1);
        // A block has one time. Those of its later frames follow from the duration that the track declares.
        let (scale, frame_nanos) = self.header().map_or((1, 0), |header| {
            let declared = header.track(block.track).and_then(|track| track.frame_duration);
            (u128::from(header.info.scale.nanos()), declared.map_or(0, |span| span.as_nanos()))
        });
        for (index, payload) in frames.into_iter().enumerate() {
            head.timecode = i64::try_from(frame_nanos * index as u128 / scale)
                .ok()
                .and_then(|ticks| timecode.checked_add(ticks))
                .ok_or(error(ReadErrorKind::TimecodeOutOfRange))?;
            head.size = payload.len() as u64;
            self.push_frame(head, payload);
            head.offset += head.size;
        }
        Ok(Step::Again)
    }

    fn push_frame(&mut self, head: FrameHead, payload: Bytes) {
        match self.delivery {
            Delivery::Whole => self.pending.push_back(Event::Frame(Frame { head, payload })),
            Delivery::Parts => {
                self.pending.push_back(Event::FrameStart(head));
                if !payload.is_empty() {
                    self.pending.push_back(Event::FramePart(payload));
                }
                self.pending.push_back(Event::FrameEnd);
            }
        }
    }

    fn end_cluster(&mut self, complete: bool) -> Result<Event, ReadError> {
        self.end_cluster_at(self.offset, complete)
    }

    fn end_cluster_at(&mut self, offset: u64, complete: bool) -> Result<Event, ReadError> {
        let path = self.path();
        match self.cluster.take() {
            Some(OpenCluster { timecode: None, offset, .. }) => {
                Err(ReadErrorKind::MissingTimecode.at(offset, path))
            }
            _ => Ok(Event::ClusterEnd { offset, complete }),
        }
    }

    fn end_document(&mut self) -> Result<(), ReadError> {
        self.end_document_at(self.offset)
    }

    fn end_document_at(&mut self, offset: u64) -> Result<(), ReadError> {
        if self.document.as_ref().is_some_and(|document| document.segment.is_none()) {
            return Err(ReadErrorKind::Truncated.at(offset, self.path()));
        }
        self.complete_header();
        self.document = None;
        self.pending.push_back(Event::DocumentEnd { offset });
        Ok(())
    }

    /// Where the innermost open element of known size ends.
    fn end_of_parent(&self) -> Option<u64> {
        let segment = self.document.as_ref().and_then(|document| document.segment);
        self.cluster.and_then(|cluster| cluster.end).or_else(|| segment.and_then(|segment| segment.end))
    }

    fn path(&self) -> Path {
        let mut path = Path::default();
        if self.document.as_ref().is_some_and(|document| document.segment.is_some()) {
            path = path.child(Id::SEGMENT);
        }
        if self.cluster.is_some() {
            path = path.child(Id::CLUSTER);
        }
        path
    }

    fn error(&self, found: Found, kind: ReadErrorKind) -> ReadError {
        found.error(self.path(), kind)
    }

    fn advance(&mut self, input: &mut Bytes, length: usize) {
        drop(input.split_to(length));
        self.offset += length as u64;
    }

    /// `size` bytes in one piece: a slice of the input where they lie in it, else gathered in the carry.
    fn take(&mut self, input: &mut Bytes, size: usize) -> Option<Bytes> {
        if self.carry.is_empty() && input.len() >= size {
            self.offset += size as u64;
            return Some(input.split_to(size));
        }
        let missing = size.saturating_sub(self.carry.len());
        let length = missing.min(input.len());
        if length > 0 {
            if self.carry.capacity() < self.carry.len() + length {
                // Room for what has come and as much again, so that a size that lies costs what was sent of it.
                let room = missing.min((self.carry.len() + length).max(RESERVE));
                self.carry.reserve_exact(room);
            }
            self.carry.extend_from_slice(input.get(..length).unwrap_or_default());
            self.advance(input, length);
        }
        (length == missing).then(|| std::mem::take(&mut self.carry).into())
    }

    /// Something short that tells its own length: read from the input where it lies in it, else gathered byte by
    /// byte in the carry, which holds at most `longest` bytes. `None` when more input is needed.
    fn take_small<T>(
        &mut self,
        input: &mut Bytes,
        longest: usize,
        read: impl Fn(&[u8]) -> Result<Option<(T, usize)>, ReadErrorKind>,
    ) -> Result<Option<(T, usize)>, ReadErrorKind> {
        if self.carry.is_empty()
            && let Some((value, length)) = read(input.get(..longest).unwrap_or(input))?
        {
            self.advance(input, length);
            return Ok(Some((value, length)));
        }
        while self.carry.len() < longest
            && let Some(&byte) = input.first()
        {
            self.carry.push(byte);
            self.advance(input, 1);
            if let Some((value, length)) = read(&self.carry)? {
                self.carry.clear();
                return Ok(Some((value, length)));
            }
        }
        Ok(None)
    }
}

/// The least room made for an element that comes in pieces.
const RESERVE: usize = 64 << 10;

fn clamp(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}

/// The head of an element as it was sent. An id has one form, and the length of the size is known.
fn head_bytes(found: Found) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_MAX);
    vint::put_id(&mut bytes, found.head.id);
    let size_length = found.head_length - bytes.len();
    match found.head.size {
        Some(size) => vint::put(&mut bytes, size, size_length),
        None => vint::put_unknown(&mut bytes, size_length),
    }
    bytes
}

//! A PutMedia call, as a machine: bytes and time in, acks and fragments out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_media::TrackNumber;
use kvs_media::mkv::{self, Cluster, Delivery, Event, FrameHead, Header, Reader, Tags};
use kvs_media::time::{Monotonic, Timecode, TimecodeScale, Utc};
use kvs_wire::{Ack, AckEvent, ErrorId, FragmentNumber, limits};

use super::refusal;

/// What the head of the call says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// What timecodes count from.
    pub timecodes: Timecodes,
    /// The producer wants acks.
    pub acks: bool,
    /// The stream keeps what comes in: then PERSISTED follows RECEIVED.
    pub persists: bool,
}

/// What timecodes count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timecodes {
    /// The Unix epoch.
    Absolute,
    /// The producer's start.
    Relative(Utc),
}

/// What a session may be. The defaults are those of the service (kvs-api 3.7, 3.9, 10.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a fragment.
    pub fragment_bytes: u64,
    /// From the earliest to the latest frame of a fragment.
    pub fragment_duration: Duration,
    /// Tracks of a session.
    pub tracks: usize,
    /// Tags of a fragment.
    pub tags: usize,
    /// Bytes of a tag's name.
    pub tag_name_bytes: usize,
    /// Bytes of a tag's value.
    pub tag_value_bytes: usize,
    /// Age of a session.
    pub session_duration: Duration,
    /// Silence after which a session ends.
    pub idle: Duration,
    /// Silence between two idle acks.
    pub idle_ack: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fragment_bytes: limits::FRAGMENT_BYTES,
            fragment_duration: limits::FRAGMENT_DURATION,
            tracks: limits::TRACKS,
            tags: limits::FRAGMENT_TAGS,
            tag_name_bytes: limits::FRAGMENT_TAG_NAME_BYTES,
            tag_value_bytes: limits::FRAGMENT_TAG_VALUE_BYTES,
            session_duration: limits::PUT_MEDIA_SESSION_DURATION,
            idle: limits::PUT_MEDIA_IDLE,
            // The documentation says "periodically"; no interval was observed.
            idle_ack: Duration::from_secs(5),
        }
    }
}

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the calendar: server timestamps.
    pub utc: Utc,
    /// By the clock that never steps: ages and silences.
    pub clock: Monotonic,
}

/// What to do next, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this ack.
    Ack(Ack),
    /// A fragment begins.
    Begin(Box<Beginning>),
    /// More of its cluster, as it was sent.
    Bytes(Bytes),
    /// A frame of it.
    Frame(Indexed),
    /// It is complete: store it, and say [`Session::persisted`] or [`Session::failed`].
    Commit(Fragment),
    /// It was refused, or cut off: forget it.
    Abort(FragmentNumber),
    /// End the response; nothing more is taken.
    Close,
}

/// What is known of a fragment when it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Beginning {
    /// Its number.
    pub number: FragmentNumber,
    /// When its first byte came in.
    pub server_time: Utc,
    /// When the producer says that it begins.
    pub producer_time: Utc,
    /// The time of its cluster, as sent.
    pub timecode: Timecode,
    /// The header section of its session.
    pub header: Arc<Header>,
    /// The Tags elements in front of it.
    pub tags: Vec<Tags>,
}

/// An entry of the frame index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indexed {
    /// The track.
    pub track: TrackNumber,
    /// When it is shown, in ticks of the session's scale.
    pub timecode: Timecode,
    /// Where its payload begins, from the first byte of the cluster.
    pub offset: u64,
    /// Bytes of its payload.
    pub size: u64,
    /// It needs no other frame.
    pub key: bool,
    /// Nothing else needs it.
    pub discardable: bool,
    /// It is not to be shown.
    pub invisible: bool,
}

/// A complete fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Its number.
    pub number: FragmentNumber,
    /// The time of its cluster, as acks name it.
    pub timecode: Timecode,
    /// From its earliest to its latest frame.
    pub length: Duration,
    /// Bytes of its cluster.
    pub bytes: u64,
    /// Its frames.
    pub frames: u64,
}

/// A PutMedia call between its head and its end.
///
/// It owns no socket and reads no clock. Whoever drives it hands in what comes and what the time is, does what comes
/// out, and calls [`poll`](Self::poll) at [`deadline`](Self::deadline). After [`Output::Close`] everything that comes in
/// is ignored, but for what is still being stored: [`persisted`](Self::persisted) and [`failed`](Self::failed) go on to
/// make acks.
#[derive(Debug)]
pub struct Session {
    opening: Opening,
    limits: Limits,
    reader: Reader,
    /// The header section of the document, once it is complete.
    header: Option<Arc<Header>>,
    /// Tags in front of the next fragment, and how many they are.
    tags: Vec<Tags>,
    tag_count: usize,
    open: Option<Open>,
    /// The time of the last fragment's cluster and of its latest frame.
    before: Option<(Timecode, Timecode)>,
    /// Bytes that are not settled yet, and where the first of them is.
    held: Vec<u8>,
    held_at: u64,
    /// Complete, and not yet known to be stored.
    storing: VecDeque<(FragmentNumber, Timecode)>,
    opened: Monotonic,
    last_byte: Monotonic,
    last_idle_ack: Monotonic,
    stopping: bool,
    ended: bool,
    /// A fault on command: so many fragments may begin, and the next is answered with this id.
    refusing: Option<(u64, ErrorId)>,
}

/// The fragment that is coming in.
#[derive(Debug)]
struct Open {
    number: FragmentNumber,
    timecode: Timecode,
    /// [`Output::Begin`] was said.
    begun: bool,
    /// Where its cluster begins, and up to where its bytes have gone out.
    start: u64,
    sent: u64,
    earliest: Option<Timecode>,
    latest: Option<Timecode>,
    frames: u64,
    /// The tracks that have no frame in it yet.
    missing: Vec<TrackNumber>,
}

/// More than this between the id of a cluster and its time is no cluster of a producer.
const MOST_HELD: u64 = 64 << 10;
/// The longest id and size of an element (RFC 8794).
const HEAD_BYTES: u64 = 12;

impl Session {
    /// The head of the call was taken.
    pub fn new(opening: Opening, limits: Limits, now: Monotonic) -> Self {
        let frame_bytes = usize::try_from(limits.fragment_bytes).unwrap_or(usize::MAX);
        // Tags are counted here, and the tracks too: one more than is taken must be read to be refused.
        let reader =
            mkv::Limits { frame_bytes, tracks: limits.tracks.saturating_add(64), ..mkv::Limits::default() };
        Self {
            opening,
            limits,
            reader: Reader::new(reader, Delivery::Parts),
            header: None,
            tags: Vec::new(),
            tag_count: 0,
            open: None,
            before: None,
            held: Vec::new(),
            held_at: 0,
            storing: VecDeque::new(),
            opened: now,
            last_byte: now,
            last_idle_ack: now,
            stopping: false,
            ended: false,
            refusing: None,
        }
    }

    /// A fault on command: a fragment, the first being 1, is answered with this id as soon as it begins.
    #[must_use]
    pub fn refusing(self, fault: Option<(u64, ErrorId)>) -> Self {
        Self { refusing: fault.map(|(fragment, id)| (fragment.saturating_sub(1), id)), ..self }
    }

    /// Bytes came in. `number` makes the number of a fragment that begins at a moment; without one the session fails.
    pub fn bytes(
        &mut self,
        piece: &Bytes,
        now: Moment,
        mut number: impl FnMut(Utc) -> Option<FragmentNumber>,
        out: &mut Vec<Output>,
    ) {
        if self.ended || piece.is_empty() {
            return;
        }
        (self.last_byte, self.last_idle_ack) = (now.clock, now.clock);
        let mut rest = piece.clone();
        while !rest.is_empty() && !self.ended {
            let part = rest.split_to(self.room().min(rest.len()));
            if let Err(id) = self.part(&part, now, &mut number, out) {
                self.refuse(id, out);
            }
        }
    }

    /// Bytes up to the next place where a limit may be passed: it is passed there, in whatever pieces they come.
    fn room(&self) -> usize {
        let (offset, settled) = (self.reader.offset(), self.reader.settled());
        let held = settled.saturating_add(MOST_HELD.min(self.most_open()));
        let open = self.open.as_ref().map_or(held, |open| open.start.saturating_add(self.most_open()));
        usize::try_from(held.min(open).saturating_sub(offset)).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// What a cluster may have while it is not known to be complete: the head of the element behind it ends it.
    fn most_open(&self) -> u64 {
        self.limits.fragment_bytes.saturating_add(HEAD_BYTES)
    }

    fn part(
        &mut self,
        part: &Bytes,
        now: Moment,
        number: &mut impl FnMut(Utc) -> Option<FragmentNumber>,
        out: &mut Vec<Output>,
    ) -> Result<(), ErrorId> {
        let start = self.reader.offset();
        let mut rest = part.clone();
        while let Some(event) = self.reader.read(&mut rest).map_err(|error| refusal::of(error.kind))? {
            self.event(event, (part, start), now, number, out)?;
            if self.ended {
                return Ok(());
            }
        }
        let (offset, settled) = (self.reader.offset(), self.reader.settled());
        if self.open.as_ref().is_some_and(|open| offset - open.start > self.most_open()) {
            return Err(refusal::TOO_LARGE);
        }
        if offset - settled > MOST_HELD.min(self.most_open()) {
            return Err(refusal::INVALID);
        }
        self.let_go(settled, (part, start), out);
        self.hold(settled, (part, start));
        Ok(())
    }

    /// The body ended as it should: what is complete is stored, what is not is refused.
    pub fn finish(&mut self, out: &mut Vec<Output>) {
        while !self.ended {
            let taken = match self.reader.finish() {
                Ok(Some(Event::ClusterEnd { complete, .. })) => self.end_fragment(complete, out),
                Ok(Some(_)) => Ok(()),
                Ok(None) => {
                    self.close(out);
                    Ok(())
                }
                Err(error) => Err(refusal::of(error.kind)),
            };
            if let Err(id) = taken {
                self.refuse(id, out);
            }
        }
    }

    /// The connection broke: what is not complete is forgotten, and there is nobody to tell.
    pub fn disconnect(&mut self, out: &mut Vec<Output>) {
        self.abort(out);
        self.ended = true;
    }

    /// A fragment is stored for good, and with it all that were complete before it were answered for.
    pub fn persisted(&mut self, number: &FragmentNumber, out: &mut Vec<Output>) {
        let at = self.storing.iter().position(|(storing, _)| storing == number);
        if let Some((number, timecode)) = at.and_then(|at| self.storing.remove(at)) {
            self.ack(Ack::of(AckEvent::Persisted, timecode.ticks(), number), out);
        }
    }

    /// A fragment could not be stored: the session ends, unless it has, and the producer sends it again.
    pub fn failed(&mut self, number: &FragmentNumber, id: ErrorId, out: &mut Vec<Output>) {
        let at = self.storing.iter().position(|(storing, _)| storing == number);
        let Some((number, timecode)) = at.and_then(|at| self.storing.remove(at)) else { return };
        self.abort(out);
        self.ack(Ack::refusal(id, Some((timecode.ticks(), number))), out);
        if !self.ended {
            self.close(out);
        }
    }

    /// Something outside of the media is wrong: what is open is forgotten, and the session ends with this error.
    pub fn fail(&mut self, id: ErrorId, out: &mut Vec<Output>) {
        if !self.ended {
            self.refuse(id, out);
        }
    }

    /// The session is to end when the fragment that is open is complete; at once when there is none.
    pub fn stop(&mut self, out: &mut Vec<Output>) {
        self.stopping = true;
        if !self.ended && self.open.is_none() {
            self.close(out);
        }
    }

    /// It was not read for a while: that was no silence of the producer.
    pub fn read_on(&mut self, now: Monotonic) {
        (self.last_byte, self.last_idle_ack) = (now, now);
    }

    /// Nothing more is taken, although more may come: a fragment that is open has to be sent again elsewhere.
    pub fn interrupt(&mut self, out: &mut Vec<Output>) {
        match self.open {
            Some(_) => self.fail(refusal::NOT_READ, out),
            None if !self.ended => self.close(out),
            None => {}
        }
    }

    /// Time went by: idle acks, and the ends that time brings.
    pub fn poll(&mut self, now: Monotonic, out: &mut Vec<Output>) {
        if self.ended {
            return;
        }
        if now.saturating_since(self.opened) >= self.limits.session_duration {
            return self.refuse(refusal::TOO_OLD, out);
        }
        if now.saturating_since(self.last_byte) >= self.limits.idle {
            // A cluster of open size may be complete, for all that the producer has to say.
            return self.finish(out);
        }
        if now.saturating_since(self.last_idle_ack) >= self.limits.idle_ack {
            self.last_idle_ack = now;
            self.ack(Ack::new(AckEvent::Idle), out);
        }
    }

    /// When to call [`poll`](Self::poll) if nothing else happens until then.
    pub fn deadline(&self) -> Option<Monotonic> {
        let old = self.opened.saturating_add(self.limits.session_duration);
        let idle = self.last_byte.saturating_add(self.limits.idle);
        let ack = self.last_idle_ack.saturating_add(self.limits.idle_ack);
        (!self.ended).then(|| old.min(idle).min(ack))
    }

    /// Fragments that are complete and not known to be stored.
    pub fn storing(&self) -> usize {
        self.storing.len()
    }

    fn event(
        &mut self,
        event: Event,
        piece: (&Bytes, u64),
        now: Moment,
        number: &mut impl FnMut(Utc) -> Option<FragmentNumber>,
        out: &mut Vec<Output>,
    ) -> Result<(), ErrorId> {
        match event {
            Event::Document(header) => self.document(header),
            Event::Tags(tags) => self.take_tags(tags),
            Event::Cluster(cluster) => {
                let number = number(now.utc).ok_or(refusal::INTERNAL)?;
                self.begin_fragment(cluster, number, now, out)
            }
            Event::FrameStart(frame) => self.frame(&frame, out),
            Event::ClusterEnd { offset, complete } => {
                self.let_go(offset, piece, out);
                self.end_fragment(complete, out)?;
                if self.stopping {
                    self.close(out);
                }
                Ok(())
            }
            // One document a session (kvs-api 3.7).
            Event::DocumentEnd { .. } => Err(refusal::INVALID),
            // Frames go out as bytes of their cluster; what is between clusters and no tag belongs to no fragment.
            _ => Ok(()),
        }
    }

    fn document(&mut self, header: Arc<Header>) -> Result<(), ErrorId> {
        if header.tracks.is_empty() {
            return Err(refusal::INVALID);
        }
        if header.tracks.len() > self.limits.tracks {
            return Err(refusal::TOO_MANY_TRACKS);
        }
        self.header = Some(header);
        Ok(())
    }

    fn take_tags(&mut self, tags: Tags) -> Result<(), ErrorId> {
        let before = self.tag_count;
        if !refusal::is_marker(&tags.tags) {
            self.tag_count = refusal::count_tags(&tags.tags, before, &self.limits)?;
        }
        // An element without a tag says nothing, and any number of them may come.
        if self.tag_count > before {
            self.tags.push(tags);
        }
        Ok(())
    }

    fn begin_fragment(
        &mut self,
        cluster: Cluster,
        number: FragmentNumber,
        now: Moment,
        out: &mut Vec<Output>,
    ) -> Result<(), ErrorId> {
        let header = Arc::clone(self.header.as_ref().ok_or(refusal::INVALID)?);
        let Cluster { offset: start, timecode } = cluster;
        let open = Open {
            number: number.clone(),
            timecode,
            begun: false,
            start,
            sent: start,
            earliest: None,
            latest: None,
            frames: 0,
            missing: header.tracks.iter().map(|track| track.number).collect(),
        };
        self.open = Some(open);
        let producer_time = self.producer_time(header.info.scale, timecode);
        let (tags, server_time) = (std::mem::take(&mut self.tags), now.utc);
        self.tag_count = 0;
        self.ack(Ack::of(AckEvent::Buffering, timecode.ticks(), number.clone()), out);
        if let Some((before, id)) = &mut self.refusing {
            let Some(left) = before.checked_sub(1) else { return Err(*id) };
            *before = left;
        }
        let producer_time = producer_time.ok_or(refusal::IMPOSSIBLE_TIME)?;
        if self.before.is_some_and(|(before, _)| timecode <= before) {
            return Err(refusal::NOT_LATER);
        }
        if let Some(open) = &mut self.open {
            open.begun = true;
        }
        out.push(Output::Begin(Box::new(Beginning {
            number,
            server_time,
            producer_time,
            timecode,
            header,
            tags,
        })));
        Ok(())
    }

    fn producer_time(&self, scale: TimecodeScale, timecode: Timecode) -> Option<Utc> {
        match self.opening.timecodes {
            Timecodes::Absolute => scale.instant(timecode),
            Timecodes::Relative(start) => scale.instant_from(start, timecode),
        }
    }

    fn frame(&mut self, frame: &FrameHead, out: &mut Vec<Output>) -> Result<(), ErrorId> {
        let scale = self.header.as_ref().map(|header| header.info.scale).unwrap_or_default();
        let Some(open) = &mut self.open else { return Err(refusal::INVALID) };
        let time = frame.timecode;
        // The earliest frame must be later than the latest of the fragment before, so every frame must.
        if self.before.is_some_and(|(_, latest)| time <= latest) {
            return Err(refusal::NOT_LATER);
        }
        let earliest = open.earliest.map_or(time, |earliest| earliest.min(time));
        let latest = open.latest.map_or(time, |latest| latest.max(time));
        (open.earliest, open.latest) = (Some(earliest), Some(latest));
        let length = scale.span(latest.ticks().saturating_sub(earliest.ticks()));
        if length.is_none_or(|length| length > self.limits.fragment_duration) {
            return Err(refusal::TOO_LONG);
        }
        let offset = frame.offset.saturating_sub(open.start);
        if offset.saturating_add(frame.size) > self.limits.fragment_bytes {
            return Err(refusal::TOO_LARGE);
        }
        open.frames += 1;
        open.missing.retain(|track| *track != frame.track);
        let FrameHead { track, timecode, size, key, discardable, invisible, .. } = *frame;
        out.push(Output::Frame(Indexed { track, timecode, offset, size, key, discardable, invisible }));
        Ok(())
    }

    /// Lets the bytes of the open cluster go, up to an offset.
    fn let_go(&mut self, end: u64, (piece, start): (&Bytes, u64), out: &mut Vec<Output>) {
        let Some(open) = &mut self.open else { return };
        let range = |from: u64, to: u64| {
            let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
            index(from)..index(to)
        };
        if open.sent < start.min(end) {
            let held =
                range(open.sent.saturating_sub(self.held_at), start.min(end).saturating_sub(self.held_at));
            if let Some(held) = self.held.get(held) {
                out.push(Output::Bytes(Bytes::copy_from_slice(held)));
            }
            open.sent = start.min(end);
        }
        let here = range(open.sent.saturating_sub(start), end.saturating_sub(start));
        if open.sent < end && here.end <= piece.len() {
            out.push(Output::Bytes(piece.slice(here)));
            open.sent = end;
        }
    }

    /// Keeps what is not settled for the next piece.
    fn hold(&mut self, settled: u64, (piece, start): (&Bytes, u64)) {
        let skip = |from: u64| usize::try_from(settled.saturating_sub(from)).unwrap_or(usize::MAX);
        let before = skip(self.held_at).min(self.held.len());
        self.held.drain(..before);
        self.held_at = settled;
        self.held.extend_from_slice(piece.get(skip(start)..).unwrap_or_default());
    }

    fn end_fragment(&mut self, complete: bool, out: &mut Vec<Output>) -> Result<(), ErrorId> {
        let scale = self.header.as_ref().map(|header| header.info.scale).unwrap_or_default();
        let Some(open) = &self.open else { return Ok(()) };
        if !complete {
            return Err(refusal::INVALID);
        }
        let (true, Some(earliest), Some(latest)) = (open.missing.is_empty(), open.earliest, open.latest)
        else {
            return Err(refusal::MISSING_TRACK);
        };
        if open.sent - open.start > self.limits.fragment_bytes {
            return Err(refusal::TOO_LARGE);
        }
        let length = scale.span(latest.ticks().saturating_sub(earliest.ticks())).unwrap_or_default();
        let fragment = Fragment {
            number: open.number.clone(),
            timecode: open.timecode,
            length,
            bytes: open.sent - open.start,
            frames: open.frames,
        };
        self.before = Some((open.timecode, latest));
        self.open = None;
        self.ack(Ack::of(AckEvent::Received, fragment.timecode.ticks(), fragment.number.clone()), out);
        if self.opening.persists {
            self.storing.push_back((fragment.number.clone(), fragment.timecode));
        }
        out.push(Output::Commit(fragment));
        Ok(())
    }

    /// Says what is wrong, forgets what is open, and ends.
    fn refuse(&mut self, id: ErrorId, out: &mut Vec<Output>) {
        let fragment = self.open.as_ref().map(|open| (open.timecode.ticks(), open.number.clone()));
        self.abort(out);
        self.ack(Ack::refusal(id, fragment), out);
        self.close(out);
    }

    fn abort(&mut self, out: &mut Vec<Output>) {
        if let Some(open) = self.open.take().filter(|open| open.begun) {
            out.push(Output::Abort(open.number));
        }
    }

    fn close(&mut self, out: &mut Vec<Output>) {
        self.ended = true;
        (self.held, self.tags) = (Vec::new(), Vec::new());
        out.push(Output::Close);
    }

    fn ack(&self, ack: Ack, out: &mut Vec<Output>) {
        // A session that is refused says why, also to a producer that wants to hear nothing else.
        if self.opening.acks || ack.event == AckEvent::Error {
            out.push(Output::Ack(ack));
        }
    }
}

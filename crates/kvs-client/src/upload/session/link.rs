//! One connection, as the session sees it: what went out on it, and what of that is acknowledged.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Buf as _;
use kvs_media::mkv::WriteError;
use kvs_media::time::{Monotonic, Timecode};
use kvs_wire::AckReader;

use super::super::buffer::{Buffer, End, Fragment, FragmentId};
use super::super::wire::{Document, Gather};
use super::Tally;

/// The name of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkId(pub(crate) u64);

/// What is handed out at a time, unless a single frame is larger.
const PIECE: usize = 32 << 10;

/// A path that carries fewer bytes a second is not worth waiting for.
const SLOWEST: u64 = 16 << 10;

/// Opening a connection takes no longer, whatever its own bounds are.
const OPENING: Duration = Duration::from_secs(120);

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    /// The head of the response has come.
    pub(crate) open: bool,
    pub(crate) since: Monotonic,
    /// Another has to take over by then.
    pub(crate) retire_at: Option<Monotonic>,
    pub(crate) endpoint: String,
    pub(crate) request_id: Option<String>,
    /// What timecodes count from.
    pub(crate) base: Timecode,
    pub(crate) acks: AckReader,
    document: Option<Document>,
    cursor: Cursor,
    sent: VecDeque<Sent>,
    finish: Finish,
    /// It has asked, and there was nothing to send.
    hungry: bool,
    /// It has asked, and only an ack makes room for more.
    full: bool,
    last_pull: Monotonic,
    /// Bytes that it got then.
    last_piece: u64,
    /// Since when there is something all the same.
    waiting: Option<Monotonic>,
    pub(crate) last_ack: Option<Monotonic>,
}

/// Where the next bytes come from.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    fragment: FragmentId,
    /// Frames of it that have gone, once it is begun.
    entries: Option<usize>,
}

/// A fragment that is on the wire, in whole or in part, and not settled.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) fragment: FragmentId,
    /// The time by which acks name it.
    pub(crate) timecode: i64,
    pub(crate) bytes: u64,
    pub(crate) begun_at: Monotonic,
    pub(crate) ended_at: Option<Monotonic>,
    pub(crate) heard: bool,
    pub(crate) received: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    No,
    /// The last fragment still needs the marker, if it has none.
    Begun,
    /// Nothing more goes out; what is on the wire is to be acknowledged.
    Marked,
}

/// What a connection is to send next.
#[derive(Debug)]
pub(crate) enum Filled {
    /// The list has something in it.
    Data,
    /// Nothing for now.
    Nothing,
    /// What comes next does not belong on this connection.
    Border,
    /// Nothing any more: the body ends here.
    Done,
    /// A fragment cannot be written, which is its own fault.
    Unwritable(FragmentId, WriteError),
}

impl Link {
    pub(crate) fn new(id: LinkId, from: FragmentId, base: Timecode, now: Monotonic) -> Self {
        Self {
            id,
            open: false,
            since: now,
            retire_at: None,
            endpoint: String::new(),
            request_id: None,
            base,
            acks: AckReader::new(),
            document: None,
            cursor: Cursor { fragment: from, entries: None },
            sent: VecDeque::new(),
            finish: Finish::No,
            hungry: true,
            full: false,
            last_pull: now,
            last_piece: 0,
            waiting: None,
            last_ack: None,
        }
    }

    /// Whether a fragment is on it, in whole or in part, and not settled.
    pub(crate) fn holds(&self, fragment: FragmentId) -> bool {
        self.sent.iter().any(|sent| sent.fragment == fragment)
    }

    /// What is on it and not settled, oldest first.
    pub(crate) const fn sent(&self) -> &VecDeque<Sent> {
        &self.sent
    }

    /// Where whoever takes over goes on.
    pub(crate) const fn next(&self) -> FragmentId {
        self.cursor.fragment
    }

    /// Goes on where another has stopped.
    pub(crate) const fn take_over(&mut self, from: FragmentId) {
        self.cursor = Cursor { fragment: from, entries: None };
    }

    /// No fragment is partly on it.
    pub(crate) const fn at_border(&self) -> bool {
        self.cursor.entries.is_none()
    }

    /// It sends what it has begun, and no more.
    pub(crate) fn finish(&mut self) {
        if self.finish == Finish::No {
            self.finish = Finish::Begun;
        }
    }

    /// It sends nothing more.
    pub(crate) fn is_finishing(&self) -> bool {
        self.finish != Finish::No
    }

    /// Something is to be asked for that was not there when it was asked last.
    pub(crate) fn wants_more(&self, buffer: &Buffer) -> bool {
        if !self.open || !self.hungry || self.full {
            return false;
        }
        match self.cursor.entries {
            Some(entries) => buffer
                .get(self.cursor.fragment)
                .is_none_or(|fragment| fragment.entries.len() > entries || fragment.end.is_some()),
            None => self.finish != Finish::No || buffer.at_or_after(self.cursor.fragment).is_some(),
        }
    }

    /// Looks whether there is something that it has not asked for.
    pub(crate) fn look(&mut self, buffer: &Buffer, now: Monotonic) {
        if self.wants_more(buffer) {
            self.waiting.get_or_insert(now);
        }
    }

    /// Whether the path, now that it asks for more, has carried what it got last at a pace that is worth waiting for: a
    /// slow path lives. One that fell silent asks too, once in a while, as far as buffers on the way grow.
    pub(crate) fn has_carried(&self, now: Monotonic) -> bool {
        let within = Duration::from_secs(1 + self.last_piece / SLOWEST);
        !self.hungry && now.saturating_since(self.last_pull) <= within
    }

    /// Puts into `out` what may go out now.
    pub(crate) fn fill(
        &mut self,
        buffer: &mut Buffer,
        (acks, leave): (bool, bool),
        now: Monotonic,
        tally: &mut Tally,
        out: &mut Gather,
    ) -> Filled {
        (self.last_pull, self.waiting, self.full) = (now, None, false);
        let filled = loop {
            if out.remaining() >= PIECE {
                break Filled::Data;
            }
            match self.step(buffer, (acks, leave), now, tally, out) {
                None => {}
                Some(Filled::Unwritable(fragment, error)) => break Filled::Unwritable(fragment, error),
                Some(_) if out.has_remaining() => break Filled::Data,
                Some(filled) => break filled,
            }
        };
        self.hungry = matches!(filled, Filled::Nothing);
        self.last_piece = out.remaining() as u64;
        filled
    }

    /// Writes one more thing, or says why not.
    fn step(
        &mut self,
        buffer: &mut Buffer,
        (acks, leave): (bool, bool),
        now: Monotonic,
        tally: &mut Tally,
        out: &mut Gather,
    ) -> Option<Filled> {
        let id = self.cursor.fragment;
        match (self.cursor.entries, self.finish) {
            (Some(entries), _) => {
                // One that was given up in the middle ends the connection from outside.
                let Some(fragment) = buffer.get(id) else { return Some(Filled::Nothing) };
                match (fragment.entries.len() > entries, fragment.end) {
                    (true, _) => match self.write_frames(fragment, entries, tally, out) {
                        Ok(written) => self.cursor.entries = Some(entries + written),
                        Err(error) => return Some(Filled::Unwritable(id, error)),
                    },
                    (false, None) => return Some(Filled::Nothing),
                    (false, Some(end)) => self.end_fragment(end, now, tally, out),
                }
                if self.cursor.entries.is_none() && !acks {
                    // Nobody will say more of it.
                    self.sent.clear();
                    if let Some(gone) = buffer.remove(id) {
                        tally.settle(&gone);
                    }
                }
                None
            }
            (None, Finish::Begun) => {
                self.mark(now, tally, out);
                self.finish = Finish::Marked;
                None
            }
            (None, Finish::Marked) if self.sent.is_empty() => Some(Filled::Done),
            (None, Finish::Marked) => Some(Filled::Nothing),
            (None, Finish::No) => {
                let Some(fragment) = buffer.at_or_after(id) else {
                    // What once followed it has been stored already.
                    self.mark(now, tally, out);
                    return Some(Filled::Nothing);
                };
                let another = self.document.as_ref().is_some_and(|document| !document.takes(fragment));
                if leave || another {
                    return Some(Filled::Border);
                }
                self.full = acks && !self.has_room();
                if self.full {
                    return Some(Filled::Nothing);
                }
                let id = fragment.id;
                if let Err(error) = self.begin_fragment(fragment, now, tally, out) {
                    return Some(Filled::Unwritable(id, error));
                }
                if let Some(fragment) = buffer.get_mut(id) {
                    fragment.sent_before = true;
                }
                None
            }
        }
    }

    /// Whether one more fragment may begin: beyond the oldest that is not received there is one on the wire at the most,
    /// since whatever a peer swallows and never acknowledges comes twice.
    fn has_room(&self) -> bool {
        self.sent.iter().filter(|sent| !sent.received).count() < 2
    }

    fn begin_fragment(
        &mut self,
        fragment: &Fragment,
        now: Monotonic,
        tally: &mut Tally,
        out: &mut Gather,
    ) -> Result<(), WriteError> {
        let before = out.remaining();
        let document = match &mut self.document {
            Some(document) => document,
            none => none.insert(Document::begin(fragment, self.base, out)?),
        };
        // The beginning of this one says that the one before has ended.
        if let Some(last) = self.sent.back_mut() {
            last.ended_at.get_or_insert(now);
        }
        let timecode = document.fragment(fragment, out)?;
        let bytes = (out.remaining() - before) as u64;
        tally.bytes_sent += bytes;
        tally.fragments_resent += u64::from(fragment.sent_before);
        self.sent.push_back(Sent {
            fragment: fragment.id,
            timecode,
            bytes,
            begun_at: now,
            ended_at: None,
            heard: false,
            received: false,
        });
        self.cursor = Cursor { fragment: fragment.id, entries: Some(0) };
        Ok(())
    }

    /// Writes frames from one on, up to a piece, and says how many.
    fn write_frames(
        &mut self,
        fragment: &Fragment,
        from: usize,
        tally: &mut Tally,
        out: &mut Gather,
    ) -> Result<usize, WriteError> {
        let Some(document) = &self.document else { return Ok(0) };
        let (before, mut written) = (out.remaining(), 0);
        for entry in fragment.entries.iter().skip(from) {
            if out.remaining() >= PIECE {
                break;
            }
            tally.frames_sent += u64::from(document.frame(entry, out)? && !entry.is_filler());
            written += 1;
        }
        let bytes = (out.remaining() - before) as u64;
        tally.bytes_sent += bytes;
        if let Some(sent) = self.sent.back_mut() {
            sent.bytes += bytes;
        }
        Ok(written)
    }

    fn end_fragment(&mut self, end: End, now: Monotonic, tally: &mut Tally, out: &mut Gather) {
        tally.fragments_sent += 1;
        if end == End::Marked {
            self.mark(now, tally, out);
        }
        self.cursor = Cursor { fragment: FragmentId(self.cursor.fragment.0 + 1), entries: None };
    }

    /// Says that the last fragment has ended, unless that is known.
    fn mark(&mut self, now: Monotonic, tally: &mut Tally, out: &mut Gather) {
        if let (Some(document), Some(last)) = (&mut self.document, self.sent.back_mut())
            && last.ended_at.is_none()
        {
            let before = out.remaining();
            document.end_of_fragment(out);
            tally.bytes_sent += (out.remaining() - before) as u64;
            last.ended_at = Some(now);
        }
    }

    /// The fragment that an ack names, or, where it names none, the one that it can only mean: the oldest that is not
    /// received.
    pub(crate) fn named(&mut self, timecode: Option<i64>) -> Option<&mut Sent> {
        match timecode {
            Some(timecode) => self.sent.iter_mut().find(|sent| sent.timecode == timecode),
            None => self.sent.iter_mut().find(|sent| !sent.received),
        }
    }

    /// Nothing more is to be heard of a fragment.
    pub(crate) fn settle(&mut self, fragment: FragmentId) {
        self.sent.retain(|sent| sent.fragment != fragment);
    }

    /// When it is dead unless something happens, and what it died of. `patience` is how long nothing may happen beyond
    /// what a slow path needs for what is on it, `lasting` how long the service may take to make something persistent.
    pub(crate) fn doom(
        &self,
        acks: bool,
        patience: Duration,
        lasting: Option<Duration>,
    ) -> Option<(Monotonic, &'static str)> {
        if !self.open {
            return Some((self.since.saturating_add(OPENING), "no answer to the request"));
        }
        let unasked = if self.hungry { self.waiting } else { Some(self.last_pull) };
        let through = patience + Duration::from_secs(self.last_piece / SLOWEST);
        let stalled = unasked.map(|since| (since.saturating_add(through), "nothing gets through"));
        if !acks {
            return stalled;
        }
        let last_ack = self.last_ack.unwrap_or(self.since);
        // What has to get through first, and what it may take.
        let after = |at: Monotonic, bytes: u64| {
            at.max(last_ack).saturating_add(patience + Duration::from_secs(bytes / SLOWEST))
        };
        let open = self.sent.iter().filter(|sent| !sent.received);
        let before = open.clone().take_while(|sent| sent.heard).map(|sent| sent.bytes).sum();
        let unheard = self.sent.iter().find(|sent| !sent.heard);
        let unheard =
            unheard.map(|sent| (after(sent.begun_at, before), "no ack for a fragment that was begun"));
        let ended = open.clone().next().and_then(|sent| Some((sent.ended_at?, sent.bytes)));
        let ended = ended.map(|(at, bytes)| (after(at, bytes), "no ack for a fragment that was sent"));
        let received = self.sent.iter().find(|sent| sent.received).and_then(|sent| sent.ended_at);
        let received = received.zip(lasting);
        let received = received.map(|(at, lasting)| {
            (at.saturating_add(lasting), "a fragment that was received is not persisted")
        });
        [stalled, unheard, ended, received].into_iter().flatten().min()
    }
}

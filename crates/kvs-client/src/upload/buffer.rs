//! The fragments that wait to be acknowledged.
//!
//! This is the narrow place between who cuts and who sends. Whatever keeps fragments does these things: it takes
//! frames at its end, hands out any fragment that it holds as often as it is asked, lets go of one that is
//! acknowledged, and gives one up for room. It holds frames and not bytes of a document, so that a fragment can go out
//! again under another header, without its tags, or in pieces.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_media::mkv::{Block, Info, Tag};
use kvs_media::time::{Monotonic, Timecode, Utc};
use kvs_media::{Track, TrackNumber};

use super::settings::Capacity;

/// The name of a fragment: ascending in the order of sending, and never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FragmentId(pub(crate) u64);

/// Between two names lie so many more, for the pieces of a fragment.
const STRIDE: u64 = 1 << 16;

/// What the document of a session declares. Fragments of one session share one; two of the same content are two
/// sessions.
#[derive(Debug)]
pub(crate) struct SessionHeader {
    pub(crate) info: Info,
    pub(crate) tracks: Vec<Track>,
}

/// A frame of a fragment.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) block: Block,
    pub(crate) payload: Bytes,
}

impl Entry {
    /// What it costs to hold it.
    const fn cost(&self) -> u64 {
        (self.payload.len() + size_of::<Self>()) as u64
    }

    /// It was put in for a track that had nothing to say.
    pub(crate) const fn is_filler(&self) -> bool {
        self.block.invisible && self.block.discardable
    }
}

/// A fragment, as far as it has come.
#[derive(Clone, Debug)]
pub(crate) struct Fragment {
    pub(crate) id: FragmentId,
    pub(crate) header: Arc<SessionHeader>,
    pub(crate) timecode: Timecode,
    pub(crate) tags: Vec<Tag>,
    pub(crate) entries: Vec<Entry>,
    /// Nothing more comes into it.
    pub(crate) end: Option<End>,
    /// When its first frame came.
    pub(crate) arrived: Monotonic,
    /// The first and the last time in it.
    pub(crate) from: Utc,
    pub(crate) to: Utc,
    /// Tracks that a refusal has taught to leave out.
    pub(crate) without: Vec<TrackNumber>,
    /// It was begun on a connection before.
    pub(crate) sent_before: bool,
    cost: u64,
    frames: u64,
    payload: u64,
}

/// How a fragment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Another follows at once.
    Followed,
    /// None follows for now: the marker says so.
    Marked,
}

impl Fragment {
    /// Without frames.
    pub(crate) fn new(
        header: Arc<SessionHeader>,
        timecode: Timecode,
        tags: Vec<Tag>,
        at: Utc,
        now: Monotonic,
    ) -> Self {
        Self {
            id: FragmentId(0),
            header,
            timecode,
            tags,
            entries: Vec::new(),
            end: None,
            arrived: now,
            from: at,
            to: at,
            without: Vec::new(),
            sent_before: false,
            cost: 0,
            frames: 0,
            payload: 0,
        }
    }

    pub(crate) fn push(&mut self, entry: Entry, at: Utc) {
        self.from = self.from.min(at);
        self.to = self.to.max(at);
        self.cost += entry.cost();
        if !entry.is_filler() {
            self.frames += 1;
            self.payload += entry.payload.len() as u64;
        }
        self.entries.push(entry);
    }

    /// Frames that were pushed to us: fillers are none.
    pub(crate) const fn frames(&self) -> u64 {
        self.frames
    }

    /// Bytes of those.
    pub(crate) const fn payload(&self) -> u64 {
        self.payload
    }

    /// From the first time in it to the last.
    fn span(&self) -> Duration {
        self.to.since(self.from).unwrap_or_default()
    }
}

/// The fragments that wait to be acknowledged, oldest first. The last may still grow.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    fragments: VecDeque<Fragment>,
    begun: u64,
    cost: u64,
    frames: u64,
    /// Media time in the fragments: the pauses between them, and what a calendar jumps, are none.
    span: Duration,
}

impl Buffer {
    /// Begins a fragment at the end.
    pub(crate) fn begin(&mut self, mut fragment: Fragment) -> FragmentId {
        self.begun += 1;
        fragment.id = FragmentId(self.begun * STRIDE);
        let id = fragment.id;
        self.fragments.push_back(fragment);
        id
    }

    /// Puts a frame into a fragment that still grows. A fragment that is not there any more, or has ended early, hands
    /// it back: the rest of a fragment that was given up goes the same way.
    pub(crate) fn append(&mut self, id: FragmentId, entry: Entry, at: Utc) -> Result<(), Entry> {
        match self.fragments.back_mut() {
            Some(fragment) if fragment.id == id && fragment.end.is_none() => {
                self.cost += entry.cost();
                self.frames += u64::from(!entry.is_filler());
                let before = fragment.span();
                fragment.push(entry, at);
                self.span += fragment.span().saturating_sub(before);
                Ok(())
            }
            _ => Err(entry),
        }
    }

    /// Ends a fragment.
    pub(crate) fn end(&mut self, id: FragmentId, end: End) {
        if let Some(fragment) = self.fragments.back_mut()
            && fragment.id == id
            && fragment.end.is_none()
        {
            fragment.end = Some(end);
        }
    }

    /// A fragment by its name.
    pub(crate) fn get(&self, id: FragmentId) -> Option<&Fragment> {
        self.fragments.get(self.index(id)?)
    }

    /// The same, to be changed. Frames come and go by other ways.
    pub(crate) fn get_mut(&mut self, id: FragmentId) -> Option<&mut Fragment> {
        let index = self.index(id)?;
        self.fragments.get_mut(index)
    }

    /// The oldest fragment at or behind a name.
    pub(crate) fn at_or_after(&self, id: FragmentId) -> Option<&Fragment> {
        self.fragments.get(self.fragments.partition_point(|fragment| fragment.id < id))
    }

    /// Fragments at or behind a name.
    pub(crate) fn count_from(&self, id: FragmentId) -> usize {
        self.fragments.len() - self.fragments.partition_point(|fragment| fragment.id < id)
    }

    /// The one in front of a fragment.
    pub(crate) fn before(&self, id: FragmentId) -> Option<&Fragment> {
        self.fragments.get(self.index(id)?.checked_sub(1)?)
    }

    /// All of them, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Fragment> {
        self.fragments.iter()
    }

    /// The oldest.
    pub(crate) fn first(&self) -> Option<&Fragment> {
        self.fragments.front()
    }

    /// Lets a fragment go, and returns it.
    pub(crate) fn remove(&mut self, id: FragmentId) -> Option<Fragment> {
        let fragment = self.fragments.remove(self.index(id)?)?;
        self.cost -= fragment.cost;
        self.frames -= fragment.frames();
        self.span = self.span.saturating_sub(fragment.span());
        Some(fragment)
    }

    /// Puts pieces into the place of a fragment, in their order. Only the last of them may still grow, and only where
    /// the fragment does; it keeps the name of the fragment then, under which frames go on coming.
    pub(crate) fn replace(&mut self, id: FragmentId, pieces: Vec<Fragment>) {
        let Some(index) = self.index(id) else { return };
        let before = index.checked_sub(1).and_then(|index| self.fragments.get(index)).map_or(0, |f| f.id.0);
        let count = pieces.len() as u64;
        // No room for that many names.
        if count == 0 || before + count > id.0 || self.remove(id).is_none() {
            return;
        }
        for (place, mut piece) in (1..).zip(pieces) {
            piece.id = FragmentId(id.0 - (count - place));
            self.cost += piece.cost;
            self.frames += piece.frames();
            self.span += piece.span();
            self.fragments.insert(index + usize::try_from(place - 1).unwrap_or_default(), piece);
        }
    }

    /// Gives a fragment up for room: the oldest that is whole and not in use. Where there is none, the one that grows
    /// is given up, or is ended where it is when it is in use: what more comes into it is lost then.
    /// Returns what was given up.
    pub(crate) fn give_up(&mut self, in_use: impl Fn(FragmentId) -> bool) -> Option<GivenUp> {
        let whole = self.fragments.iter().find(|fragment| fragment.end.is_some() && !in_use(fragment.id));
        if let Some(id) = whole.map(|fragment| fragment.id) {
            return self.remove(id).map(GivenUp::Fragment);
        }
        let growing = self.fragments.back_mut().filter(|fragment| fragment.end.is_none())?;
        if in_use(growing.id) {
            growing.end = Some(End::Marked);
            return Some(GivenUp::Rest);
        }
        let id = growing.id;
        self.remove(id).map(GivenUp::Fragment)
    }

    /// Whether so many bytes more are beyond what may be held.
    pub(crate) fn is_full(&self, capacity: Capacity, more: u64) -> bool {
        self.cost.saturating_add(more) > capacity.bytes || self.span > capacity.span
    }

    /// Bytes that it takes.
    pub(crate) const fn bytes(&self) -> u64 {
        self.cost
    }

    /// Frames in it that were pushed to us.
    pub(crate) const fn frames(&self) -> u64 {
        self.frames
    }

    /// Fragments in it.
    pub(crate) fn len(&self) -> usize {
        self.fragments.len()
    }

    /// Nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }

    /// Media time in it.
    pub(crate) const fn span(&self) -> Duration {
        self.span
    }

    fn index(&self, id: FragmentId) -> Option<usize> {
        self.fragments.binary_search_by_key(&id, |fragment| fragment.id).ok()
    }
}

/// What was given up for room.
#[derive(Debug)]
pub(crate) enum GivenUp {
    /// A fragment.
    Fragment(Fragment),
    /// What has not come yet of the one that grows.
    Rest,
}

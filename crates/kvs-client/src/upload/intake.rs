//! From frames to fragments in the buffer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_media::fragment::{
    Arrival, Counts, Cutter, Discard, Filler, Interleaver, Pace, Repair, RulesError, Step, TrackRule,
};
use kvs_media::mkv::{Block, Info, SimpleTag, Tag};
use kvs_media::time::{Monotonic, RunningTime, Timecode, TimecodeScale, Utc};
use kvs_media::{Track, TrackNumber};
use kvs_wire::limits::FRAGMENT_TAGS;
use kvs_wire::tags::check_fragment_tag;

use super::buffer::{Buffer, End, Entry, Fragment, FragmentId, SessionHeader};
use super::settings::Settings;
use super::{Frame, PushError, TagError};

/// What the cutter had to say of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Notice {
    Repaired(Repair),
    Discarded(Discard),
}

/// Tracks, their order, and where to cut.
#[derive(Debug)]
pub(crate) struct Intake {
    lanes: Interleaver<Held>,
    cutter: Cutter,
    tracks: Vec<Lane>,
    most_tracks: usize,
    added: u64,
    info: Info,
    scale: TimecodeScale,
    max_silence: Duration,
    /// The header of the session that fragments are cut for.
    header: Option<Arc<SessionHeader>>,
    /// The fragment that grows.
    open: Option<FragmentId>,
    /// The rest of a fragment was given up, and what comes cannot be decoded before the next key frame.
    broken: bool,
    /// With every fragment.
    persistent: Vec<(String, String)>,
    /// With the next one.
    waiting: Vec<Tag>,
    /// Since when frames wait for the headers of all tracks.
    gathering: Option<Monotonic>,
    begun: bool,
    held_bytes: u64,
    steps: Vec<Step>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) frames_in: u64,
    pub(crate) bytes_in: u64,
    pub(crate) fragments_in: u64,
    /// Frames whose fragment was given up before they came.
    pub(crate) orphans: Orphans,
}

/// Frames whose fragment was given up before they came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Orphans {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) from: Utc,
    pub(crate) to: Utc,
}

#[derive(Debug)]
struct Lane {
    number: TrackNumber,
    pace: Pace,
    /// In force for what comes out of the interleaver.
    header: Option<Track>,
    /// In force for what goes into it.
    announced: Option<Track>,
    /// That goes with the next frame that is pushed.
    is_news: bool,
    /// These too.
    tags: Vec<Tagged>,
    /// Frames in the interleaver, and their bytes.
    held: usize,
    held_bytes: u64,
    leaving: bool,
    wish: bool,
}

#[derive(Clone, Debug)]
enum Tagged {
    Persistent(String, String),
    Once(Tag),
}

/// A frame in the interleaver.
#[derive(Debug)]
struct Held {
    utc: Utc,
    key: bool,
    payload: Bytes,
    /// What changes with it.
    change: Option<Box<Change>>,
}

#[derive(Debug)]
struct Change {
    header: Option<Track>,
    tags: Vec<Tagged>,
}

impl Intake {
    pub(crate) fn new(settings: &Settings) -> Result<Self, RulesError> {
        let rules = settings.rules();
        Ok(Self {
            lanes: Interleaver::new(settings.max_silence, Duration::from_nanos(rules.scale.nanos())),
            most_tracks: rules.tracks,
            cutter: Cutter::new(rules)?,
            tracks: Vec::new(),
            added: 0,
            info: Info { scale: rules.scale, ..settings.info.clone() },
            scale: rules.scale,
            max_silence: settings.max_silence,
            header: None,
            open: None,
            broken: false,
            persistent: Vec::new(),
            waiting: Vec::new(),
            gathering: None,
            begun: false,
            held_bytes: 0,
            steps: Vec::new(),
            notices: Vec::new(),
            frames_in: 0,
            bytes_in: 0,
            fragments_in: 0,
            orphans: Orphans::default(),
        })
    }

    /// Adds a track of which nothing is known yet.
    pub(crate) fn add_track(
        &mut self,
        pace: Pace,
        now: Monotonic,
        buffer: &mut Buffer,
    ) -> Result<TrackNumber, RulesError> {
        if self.tracks.len() >= self.most_tracks {
            self.see_off(now, buffer);
        }
        let count = self.tracks.len() + 1;
        if count > self.most_tracks {
            return Err(RulesError::TooManyTracks { count, most: self.most_tracks });
        }
        // The lowest number that is free: players look for track 1 first.
        let is_free = |number: &u64| !self.tracks.iter().any(|lane| lane.number.0 == *number);
        let number = TrackNumber((1..).find(is_free).unwrap_or(self.added + 1));
        self.added += 1;
        self.lanes.add(number, pace);
        self.tracks.push(Lane {
            number,
            pace,
            header: None,
            announced: None,
            is_news: false,
            tags: Vec::new(),
            held: 0,
            held_bytes: 0,
            leaving: false,
            wish: false,
        });
        Ok(number)
    }

    /// What a track's frames need from now on.
    pub(crate) fn set_header(&mut self, track: TrackNumber, header: Track) {
        let Some(lane) = self.lane(track) else { return };
        let header = Track { number: track, uid: track.0, ..header };
        if lane.announced.as_ref() != Some(&header) {
            lane.announced = Some(header);
            lane.is_news = true;
        }
    }

    /// Takes a frame.
    pub(crate) fn push(
        &mut self,
        track: TrackNumber,
        frame: Frame,
        now: Monotonic,
        buffer: &mut Buffer,
    ) -> Result<(), PushError> {
        let lane = self.lane(track).ok_or(PushError::UnknownTrack(track))?;
        let header = if std::mem::take(&mut lane.is_news) { lane.announced.clone() } else { None };
        let tags = std::mem::take(&mut lane.tags);
        let change = (header.is_some() || !tags.is_empty()).then(|| Box::new(Change { header, tags }));
        let Frame { payload, utc, timing } = frame;
        let bytes = payload.len() as u64;
        lane.held += 1;
        lane.held_bytes += bytes;
        self.held_bytes += bytes;
        self.frames_in += 1;
        self.bytes_in += bytes;
        let held = Held { utc, key: timing.key, payload, change };
        // A track of ours has a lane.
        let _ = self.lanes.push(track, timing, now, held);
        self.run(now, buffer);
        Ok(())
    }

    /// Lets go what may go by now.
    pub(crate) fn run(&mut self, now: Monotonic, buffer: &mut Buffer) {
        if !self.is_gathered(now) {
            return;
        }
        loop {
            let cutter = &self.cutter;
            let begins = |track, held: &Held| {
                held.change.as_ref().is_some_and(|change| change.header.is_some())
                    || cutter.begins(arrival(track, held, false), now)
            };
            let Some(released) = self.lanes.pop(now, begins) else { break };
            self.cut(released.track, released.item, released.stray, now, buffer);
        }
        self.cutter.poll(now, &mut self.steps);
        self.take_steps(None, now, buffer);
        self.let_leave(now, buffer);
    }

    /// When to call [`run`](Self::run) again if nothing is pushed until then.
    pub(crate) fn deadline(&self) -> Option<Monotonic> {
        if let Some(since) = self.gathering {
            return Some(since.saturating_add(self.max_silence));
        }
        [self.lanes.deadline(), self.cutter.deadline()].into_iter().flatten().min()
    }

    /// Nothing before `to` will come of a track.
    pub(crate) fn advance(
        &mut self,
        track: TrackNumber,
        to: RunningTime,
        now: Monotonic,
        buffer: &mut Buffer,
    ) {
        self.lanes.advance(track, to);
        self.run(now, buffer);
    }

    /// Nothing more will come of a track.
    pub(crate) fn end_track(&mut self, track: TrackNumber, now: Monotonic, buffer: &mut Buffer) {
        self.lanes.end(track);
        self.run(now, buffer);
    }

    /// A track goes away, once what it has pushed is cut.
    pub(crate) fn remove_track(&mut self, track: TrackNumber, now: Monotonic, buffer: &mut Buffer) {
        if let Some(lane) = self.lane(track) {
            lane.leaving = true;
        }
        self.end_track(track, now, buffer);
    }

    /// A tag for the fragment that begins with a track's next frame, or after it; without a track, for the next.
    pub(crate) fn tag(
        &mut self,
        track: Option<TrackNumber>,
        name: &str,
        value: &str,
        persist: bool,
    ) -> Result<(), TagError> {
        check_fragment_tag(name, value)?;
        let tagged = if persist {
            Tagged::Persistent(name.to_owned(), value.to_owned())
        } else {
            Tagged::Once(Tag::text(name, value))
        };
        self.add_tag(track, tagged, 1)
    }

    /// Several that belong together.
    pub(crate) fn tag_event(
        &mut self,
        track: Option<TrackNumber>,
        pairs: &[(String, String)],
    ) -> Result<(), TagError> {
        for (name, value) in pairs {
            check_fragment_tag(name, value)?;
        }
        let tag = Tag {
            pairs: pairs.iter().map(|(name, value)| SimpleTag::text(name, value)).collect(),
            ..Tag::default()
        };
        self.add_tag(track, Tagged::Once(tag), pairs.len())
    }

    fn add_tag(&mut self, track: Option<TrackNumber>, tagged: Tagged, count: usize) -> Result<(), TagError> {
        // What is on its way counts as if it all went into one fragment.
        let on_the_way = self.tracks.iter().flat_map(|lane| &lane.tags).map(|tagged| match tagged {
            Tagged::Once(tag) => tag.pairs.len(),
            Tagged::Persistent(name, value) => {
                usize::from(!value.is_empty() && !self.persistent.iter().any(|(known, _)| known == name))
            }
        });
        let waiting: usize = self.waiting.iter().map(|tag| tag.pairs.len()).sum();
        let known = |name: &str| self.persistent.iter().any(|(other, _)| other == name);
        let more = match &tagged {
            Tagged::Persistent(name, value) if value.is_empty() || known(name) => 0,
            _ => count,
        };
        let sum = on_the_way.sum::<usize>() + waiting + self.persistent.len() + more;
        if sum > FRAGMENT_TAGS {
            return Err(TagError::TooMany { most: FRAGMENT_TAGS });
        }
        match track.and_then(|track| self.lane(track)) {
            Some(lane) => lane.tags.push(tagged),
            None => self.apply_tag(tagged),
        }
        Ok(())
    }

    fn apply_tag(&mut self, tagged: Tagged) {
        match tagged {
            Tagged::Once(tag) => self.waiting.push(tag),
            Tagged::Persistent(name, value) => {
                self.persistent.retain(|(known, _)| *known != name);
                if !value.is_empty() {
                    self.persistent.push((name, value));
                }
            }
        }
    }

    /// Bytes of a track that wait to be put in order.
    pub(crate) fn held_of(&self, track: TrackNumber) -> u64 {
        self.tracks.iter().find(|lane| lane.number == track).map_or(0, |lane| lane.held_bytes)
    }

    /// Waits for no track any longer that has nothing there, until it is back.
    pub(crate) fn hurry(&mut self, now: Monotonic, buffer: &mut Buffer) {
        if !self.begun {
            self.begin();
        }
        self.lanes.hurry();
        self.run(now, buffer);
    }

    /// Time begins anew for a track: what is held of it goes now. Pictures begin a fragment then.
    pub(crate) fn flush(&mut self, track: TrackNumber, now: Monotonic, buffer: &mut Buffer) {
        let Some(pace) = self.lane(track).map(|lane| lane.pace) else { return };
        if !self.begun && self.held_of(track) > 0 {
            self.begin();
        }
        self.release(track, now, buffer);
        self.lanes.add(track, pace);
        if pace == Pace::Leading || self.tracks.len() == 1 {
            self.cutter.finish(&mut self.steps);
            self.take_steps(None, now, buffer);
        }
        self.let_leave(now, buffer);
    }

    /// Tracks that are going have nothing to wait for when others need their place.
    fn see_off(&mut self, now: Monotonic, buffer: &mut Buffer) {
        let leaving: Vec<_> =
            self.tracks.iter().filter(|lane| lane.leaving).map(|lane| lane.number).collect();
        leaving.into_iter().for_each(|track| self.release(track, now, buffer));
        self.let_leave(now, buffer);
    }

    /// Lets go what is held of a track, and takes its lane away.
    fn release(&mut self, track: TrackNumber, now: Monotonic, buffer: &mut Buffer) {
        let held: Vec<_> = self.lanes.remove(track).collect();
        held.into_iter().for_each(|held| self.cut(track, held, false, now, buffer));
    }

    /// Lets everything go that is held, whatever it waits for, and ends the fragment.
    pub(crate) fn finish(&mut self, now: Monotonic, buffer: &mut Buffer) {
        let mut queues: Vec<(TrackNumber, VecDeque<Held>)> = Vec::new();
        for lane in &self.tracks {
            queues.push((lane.number, self.lanes.remove(lane.number).collect()));
        }
        // By time, and within a track as they came.
        let first = |queues: &[(TrackNumber, VecDeque<Held>)]| {
            let fronts = queues.iter().enumerate();
            let fronts = fronts.filter_map(|(index, (_, queue))| queue.front().map(|held| (held.utc, index)));
            fronts.min().map(|(_, index)| index)
        };
        if !self.begun && !queues.iter().all(|(_, queue)| queue.is_empty()) {
            self.begin();
        }
        self.gathering = None;
        while let Some((track, queue)) = first(&queues).and_then(|index| queues.get_mut(index)) {
            let track = *track;
            if let Some(held) = queue.pop_front() {
                self.cut(track, held, false, now, buffer);
            }
        }
        for (number, pace) in self.tracks.iter().map(|lane| (lane.number, lane.pace)).collect::<Vec<_>>() {
            self.lanes.add(number, pace);
        }
        self.cutter.finish(&mut self.steps);
        self.take_steps(None, now, buffer);
        self.let_leave(now, buffer);
    }

    /// The encoder of a track is to make a key frame; said once for each wish.
    pub(crate) fn takes_key_frame_wish(&mut self, track: TrackNumber) -> bool {
        self.lane(track).is_some_and(|lane| std::mem::take(&mut lane.wish))
    }

    /// What was mended, and what was not sent.
    pub(crate) const fn counts(&self) -> &Counts {
        self.cutter.counts()
    }

    /// Frames that wait to be put in order, and their bytes.
    pub(crate) fn held(&self) -> (u64, u64) {
        (self.lanes.len() as u64, self.held_bytes)
    }

    /// The codec ids of the tracks that are declared, in order.
    pub(crate) fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.tracks.iter().filter_map(|lane| lane.header.as_ref())
    }

    fn lane(&mut self, track: TrackNumber) -> Option<&mut Lane> {
        self.tracks.iter_mut().find(|lane| lane.number == track)
    }

    /// Whether the first fragment can be cut: all tracks have shown what they are, or have had the time to.
    fn is_gathered(&mut self, now: Monotonic) -> bool {
        if self.begun {
            return true;
        }
        if self.lanes.is_empty() {
            return false;
        }
        let since = *self.gathering.get_or_insert(now);
        let shown = self.tracks.iter().all(|lane| lane.announced.is_some() || lane.leaving);
        if !shown && now < since.saturating_add(self.max_silence) {
            return false;
        }
        self.begin();
        true
    }

    /// One session from the beginning, for those that are known.
    fn begin(&mut self) {
        (self.gathering, self.begun) = (None, true);
        for lane in &mut self.tracks {
            lane.header.clone_from(&lane.announced);
        }
        self.declare();
    }

    fn cut(&mut self, track: TrackNumber, mut held: Held, stray: bool, now: Monotonic, buffer: &mut Buffer) {
        let bytes = held.payload.len() as u64;
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
        if let Some(lane) = self.lane(track) {
            lane.held = lane.held.saturating_sub(1);
            lane.held_bytes = lane.held_bytes.saturating_sub(bytes);
        }
        if let Some(change) = held.change.take() {
            let Change { header, tags } = *change;
            if let Some(header) = header {
                self.change_header(track, header);
            }
            tags.into_iter().for_each(|tagged| self.apply_tag(tagged));
        }
        self.cutter.push(arrival(track, &held, stray), now, &mut self.steps);
        self.take_steps(Some((track, held)), now, buffer);
    }

    fn change_header(&mut self, track: TrackNumber, header: Track) {
        let Some(lane) = self.lane(track) else { return };
        if lane.header.as_ref() == Some(&header) {
            return;
        }
        let declared = lane.header.as_ref().is_some_and(|known| known.kind == header.kind);
        lane.header = Some(header);
        if declared {
            self.cutter.renew_track(track, &mut self.steps);
        } else {
            self.declare();
        }
    }

    /// Tells the cutter which tracks there are.
    fn declare(&mut self) {
        let rules: Vec<TrackRule> =
            self.tracks.iter().filter_map(|lane| lane.header.as_ref()).map(TrackRule::of).collect();
        // There are no more than it takes: that was seen to when they were added.
        let _ = self.cutter.set_tracks(rules, &mut self.steps);
    }

    /// Tracks that have gone, and of which nothing is held any more.
    fn let_leave(&mut self, now: Monotonic, buffer: &mut Buffer) {
        let gone = |lane: &Lane| lane.leaving && lane.held == 0;
        if !self.tracks.iter().any(gone) {
            return;
        }
        for lane in self.tracks.iter().filter(|lane| gone(lane)) {
            // It holds nothing.
            let _ = self.lanes.remove(lane.number);
        }
        self.tracks.retain(|lane| !gone(lane));
        self.declare();
        self.take_steps(None, now, buffer);
    }

    /// Does what the cutter says, with the frame that it was told of.
    fn take_steps(&mut self, frame: Option<(TrackNumber, Held)>, now: Monotonic, buffer: &mut Buffer) {
        let mut frame = frame;
        let mut steps = std::mem::take(&mut self.steps);
        for step in steps.drain(..) {
            match step {
                Step::EndFragment { marker } => {
                    if let Some(open) = self.open.take() {
                        self.broken |= buffer.get(open).is_none_or(|fragment| fragment.end.is_some());
                        buffer.end(open, if marker { End::Marked } else { End::Followed });
                    }
                }
                Step::BeginSession(numbers) => {
                    let declared = |lane: &&Lane| numbers.contains(&lane.number);
                    let tracks = self.tracks.iter().filter(declared).filter_map(|lane| lane.header.clone());
                    let header = SessionHeader { info: self.info.clone(), tracks: tracks.collect() };
                    self.header = Some(Arc::new(header));
                }
                Step::BeginFragment { timecode, key } => self.begin_fragment(timecode, key, now, buffer),
                Step::Frame(timecode) => {
                    if let Some((track, held)) = frame.take() {
                        let block = Block { key: held.key, ..Block::new(track, timecode) };
                        self.append(Entry { block, payload: held.payload }, held.utc, buffer);
                    }
                }
                Step::Filler(number, timecode) => {
                    let header = self.tracks.iter().find(|lane| lane.number == number);
                    let header = header.and_then(|lane| lane.header.as_ref());
                    // A track that is gone is filled as it was declared.
                    let declared = self.header.as_ref().map(Arc::clone);
                    let track = declared
                        .as_ref()
                        .and_then(|header| header.tracks.iter().find(|track| track.number == number));
                    if let Some(track) = track.or(header) {
                        let filler = Filler::of(track);
                        let at = self.scale.instant(timecode).unwrap_or_default();
                        let entry =
                            Entry { block: filler.block(timecode), payload: filler.payload().clone() };
                        self.append(entry, at, buffer);
                    }
                }
                Step::Discard(discard) => {
                    frame = None;
                    self.notices.push(Notice::Discarded(discard));
                }
                Step::Repaired(repair) => self.notices.push(Notice::Repaired(repair)),
                Step::KeyFrameWanted => {
                    let video = self.tracks.iter_mut().find(|lane| lane.pace == Pace::Leading);
                    if let Some(lane) = video {
                        lane.wish = true;
                    }
                }
                _ => {}
            }
        }
        self.steps = steps;
    }

    fn begin_fragment(&mut self, timecode: Timecode, key: bool, now: Monotonic, buffer: &mut Buffer) {
        let Some(header) = self.header.as_ref().map(Arc::clone) else { return };
        self.fragments_in += 1;
        let broken = std::mem::take(&mut self.broken) && !key;
        self.broken = broken;
        if broken {
            // It needs frames that were given up.
            return;
        }
        let persistent = self.persistent.iter().map(|(name, value)| Tag::text(name, value));
        let mut tags: Vec<Tag> = persistent.collect();
        tags.append(&mut self.waiting);
        let at = self.scale.instant(timecode).unwrap_or_default();
        self.open = Some(buffer.begin(Fragment::new(header, timecode, tags, at, now)));
    }

    fn append(&mut self, entry: Entry, at: Utc, buffer: &mut Buffer) {
        let lost = match self.open {
            Some(open) => buffer.append(open, entry, at).err(),
            None => Some(entry),
        };
        if let Some(entry) = lost.filter(|entry| !entry.is_filler()) {
            let Orphans { frames, bytes, from, to } = self.orphans;
            let (from, to) = if frames == 0 { (at, at) } else { (from.min(at), to.max(at)) };
            self.orphans =
                Orphans { frames: frames + 1, bytes: bytes + entry.payload.len() as u64, from, to };
        }
    }
}

fn arrival(track: TrackNumber, held: &Held, stray: bool) -> Arrival {
    Arrival { track, pts: held.utc, key: held.key, size: held.payload.len(), stray }
}

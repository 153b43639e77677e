//! Where fragments and sessions begin and end.

use std::time::Duration;

use super::{Counts, CutCause, Discard, Repair};
use crate::time::{Monotonic, Timecode, TimecodeScale, Utc};
use crate::{TrackKind, TrackNumber};

/// The rules that fragments are cut by. The defaults keep every limit of the service (kvs-api 3.7, 10.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long a tick lasts.
    pub scale: TimecodeScale,
    /// Begin a fragment at every key frame, where not every frame is one.
    pub at_key_frames: bool,
    /// Otherwise: begin one at the first key frame after so long.
    pub target: Duration,
    /// No fragment is shorter, except the last of a session.
    pub shortest: Duration,
    /// Ask for a key frame once a fragment is so long.
    pub key_wanted: Duration,
    /// No fragment is longer: it ends without a key frame if it must.
    pub longest: Duration,
    /// No fragment is larger, with everything around the payloads.
    pub largest: u64,
    /// A fragment ends when nothing has come for so long, before the service gives the session up (30 s).
    pub idle: Duration,
    /// Time that goes back by no more than this is held; beyond it, a new session begins.
    pub backward: Duration,
    /// A video track that is so far behind the others when a fragment begins is left out of it; and at the beginning of
    /// a stream, sound waits so long for the first picture.
    pub silence: Duration,
    /// No session declares more tracks.
    pub tracks: usize,
}

/// Why [`Rules`] cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// A block's 16 bits do not reach from one end of a fragment of a second to the other.
    #[error("a tick of {} ns is too short: a block can lie no further than 32767 of them from its cluster", .0.nanos())]
    ScaleTooFine(TimecodeScale),
    /// More tracks than a session may declare.
    #[error("{count} tracks, where the service takes {most}")]
    TooManyTracks {
        /// So many.
        count: usize,
        /// So many are allowed.
        most: usize,
    },
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            scale: TimecodeScale::MILLISECOND,
            at_key_frames: true,
            target: Duration::from_secs(2),
            // Five fragments a second.
            shortest: Duration::from_millis(200),
            // Older texts of the service say 10 s where the quota now says 20 s.
            key_wanted: Duration::from_secs(10),
            longest: Duration::from_secs(19),
            // 50 MB, less what tags and a marker may take.
            largest: 49_900_000,
            // Long enough for one picture in ten seconds, and well below the service's thirty.
            idle: Duration::from_secs(20),
            backward: Duration::from_secs(1),
            silence: Duration::from_secs(5),
            tracks: 3,
        }
    }
}

/// What the cutter has to know of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackRule {
    /// The track.
    pub number: TrackNumber,
    /// What it carries: the first video track decides about cuts; without one the first audio track does.
    pub kind: TrackKind,
}

/// A frame that came out of the interleaver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its track.
    pub track: TrackNumber,
    /// When it is shown.
    pub pts: Utc,
    /// A fragment may begin with it.
    pub key: bool,
    /// Bytes of its payload.
    pub size: usize,
    /// Its time cannot be meant ([`Released::stray`](super::Released::stray)): it gets that of the track that decides.
    pub stray: bool,
}

/// What to do next, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// End the fragment. With `marker`, no other follows at once: say so, so that the service can store it.
    EndFragment {
        /// Write the end-of-fragment marker.
        marker: bool,
    },
    /// Begin a session whose header declares exactly these tracks. The one before is complete.
    BeginSession(Vec<TrackNumber>),
    /// Begin a fragment.
    BeginFragment {
        /// The time of its cluster.
        timecode: Timecode,
        /// It begins with a key frame of the track that decides, and so can be decoded alone.
        key: bool,
    },
    /// Write the frame that was pushed, with this time.
    Frame(Timecode),
    /// Write a [`Filler`](super::Filler) for this track, with this time.
    Filler(TrackNumber, Timecode),
    /// Do not write the frame that was pushed.
    Discard(Discard),
    /// Say what was mended.
    Repaired(Repair),
    /// Ask the source for a key frame.
    KeyFrameWanted,
}

/// Decides where fragments and sessions begin and end, and repairs what the service would refuse.
///
/// Every frame that is pushed comes back as exactly one [`Step::Frame`] or [`Step::Discard`]. What holds of the
/// steps: a session begins before its first fragment; a fragment has a frame or a filler of every track of its
/// session; its earliest time is after the latest time of the fragment before; no time is further from the
/// beginning of its fragment than a block can say; no rule of [`Rules`] is broken.
///
/// A fragment that would lack a frame of a track gets a [`Filler`](super::Filler): that keeps the session, and a sensor
/// that speaks once a minute costs a few bytes a fragment. Pictures cannot be filled: while there are none, sessions
/// leave their track out, and a key frame brings it back.
///
/// What goes back to the encoder's own frames, to be sent again under other rules (smaller fragments, other times),
/// goes through a new cutter: a new session has no past.
///
/// It sets no timer: [`deadline`](Self::deadline) says when to call [`poll`](Self::poll).
///
/// ```
/// use kvs_media::fragment::{Arrival, Cutter, Rules, Step, TrackRule};
/// use kvs_media::time::{Monotonic, Timecode, Utc};
/// use kvs_media::{TrackKind, TrackNumber};
///
/// let track = TrackNumber(1);
/// let mut cutter = Cutter::new(Rules::default())?;
/// let mut steps = Vec::new();
/// cutter.set_tracks([TrackRule { number: track, kind: TrackKind::Video }], &mut steps)?;
/// let pts = Utc::from_millis(1_790_000_000_000).unwrap();
/// cutter.push(Arrival { track, pts, key: true, size: 4_910, stray: false }, Monotonic::default(), &mut steps);
/// let timecode = Timecode::from_ticks(1_790_000_000_000);
/// assert_eq!(
///     steps,
///     [
///         Step::BeginSession(vec![track]),
///         Step::BeginFragment { timecode, key: true },
///         Step::Frame(timecode)
///     ]
/// );
/// # Ok::<(), kvs_media::fragment::RulesError>(())
/// ```
#[derive(Debug)]
pub struct Cutter {
    rules: Rules,
    ticks: Ticks,
    tracks: Vec<TrackState>,
    /// The track that decides about cuts, of those that are not silent.
    driver: Option<usize>,
    /// A session was begun, and nothing has asked for another since.
    in_session: bool,
    fragment: Option<Fragment>,
    /// The first tick that the next fragment may use.
    floor: i64,
    /// Why the next fragment begins, if it is not for a key frame.
    cause: CutCause,
    /// End the fragment at the next key frame, however short it is.
    split: bool,
    /// While frames cannot go out because no key frame has come.
    waiting: Option<Waiting>,
    /// When the last fragments began, in a ring.
    begun: [Option<Monotonic>; PER_SECOND],
    counts: Counts,
}

/// The spans of the rules, in ticks.
#[derive(Clone, Copy, Debug)]
struct Ticks {
    target: i64,
    shortest: i64,
    key_wanted: i64,
    longest: i64,
    backward: i64,
    silence: i64,
}

impl Ticks {
    fn of(rules: &Rules) -> Self {
        let ticks = |span| rules.scale.ticks_in(span);
        Self {
            target: ticks(rules.target),
            shortest: ticks(rules.shortest),
            key_wanted: ticks(rules.key_wanted),
            longest: ticks(rules.longest),
            backward: ticks(rules.backward),
            silence: ticks(rules.silence),
        }
    }
}

#[derive(Debug)]
struct TrackState {
    rule: TrackRule,
    /// The header of the session declares it.
    declared: bool,
    /// It has a frame in the fragment.
    in_fragment: bool,
    /// It was silent and is left out of new sessions until it is back.
    silent: bool,
    /// A frame went out that can be decoded.
    started: bool,
    /// The frame before was a key frame.
    after_key: bool,
    /// The latest tick of its frames.
    latest: Option<i64>,
}

impl TrackState {
    const fn new(rule: TrackRule) -> Self {
        Self {
            rule,
            declared: false,
            in_fragment: false,
            silent: false,
            started: false,
            after_key: false,
            latest: None,
        }
    }

    fn is_video(&self) -> bool {
        self.rule.kind == TrackKind::Video
    }
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// The tick of the first frame that could not go out.
    since: i64,
    /// The tick at which a key frame was last asked for.
    asked: i64,
}

#[derive(Debug)]
struct Fragment {
    /// The cluster's time.
    start: i64,
    /// The earliest time that a frame of it may have.
    floor: i64,
    /// The earliest and the latest time of its frames.
    earliest: i64,
    latest: i64,
    bytes: u64,
    /// Why it began, until the first frame of the track that decides shows whether that was a key frame.
    unproven: Option<CutCause>,
    key_wanted: bool,
    last_arrival: Monotonic,
}

impl Fragment {
    /// The earliest time that one more frame may have.
    fn first_possible(&self, ticks: &Ticks) -> i64 {
        self.floor
            .max(self.start.saturating_add(i16::MIN.into()))
            .max(self.latest.saturating_sub(ticks.longest))
    }
}

/// What a block adds to its payload, at the most.
const BLOCK_OVERHEAD: u64 = 20;

/// Fragments that the service takes in a second (kvs-api 10.2).
const PER_SECOND: usize = 5;

impl Cutter {
    /// Without tracks.
    pub fn new(rules: Rules) -> Result<Self, RulesError> {
        if rules.scale.span(i16::MAX.into()).is_some_and(|reach| reach < Duration::from_secs(1)) {
            return Err(RulesError::ScaleTooFine(rules.scale));
        }
        Ok(Self {
            ticks: Ticks::of(&rules),
            rules,
            tracks: Vec::new(),
            driver: None,
            in_session: false,
            fragment: None,
            floor: 0,
            cause: CutCause::Tracks,
            split: false,
            waiting: None,
            begun: [None; PER_SECOND],
            counts: Counts::default(),
        })
    }

    /// How often each thing has happened.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Says which tracks there are: the fragment ends here, and the next frame begins a new session. What is known of
    /// a track that stays is kept.
    pub fn set_tracks(
        &mut self,
        tracks: impl IntoIterator<Item = TrackRule>,
        steps: &mut Vec<Step>,
    ) -> Result<(), RulesError> {
        let tracks: Vec<TrackRule> = tracks.into_iter().collect();
        let (count, most) = (tracks.len(), self.rules.tracks);
        if count > most {
            return Err(RulesError::TooManyTracks { count, most });
        }
        self.end_fragment(true, steps);
        let mut old = std::mem::take(&mut self.tracks);
        for rule in tracks {
            let known = old.iter().position(|track| track.rule == rule).map(|index| old.swap_remove(index));
            self.tracks.push(known.unwrap_or_else(|| TrackState::new(rule)));
        }
        self.choose_driver();
        self.waiting = None;
        self.end_session();
        Ok(())
    }

    /// Says that the codec data of a track has changed: the fragment ends here, and the next frame begins a new
    /// session. Pictures cannot be decoded before the next key frame.
    pub fn renew_track(&mut self, track: TrackNumber, steps: &mut Vec<Step>) {
        self.end_fragment(true, steps);
        if let Some(track) = self.tracks.iter_mut().find(|state| state.rule.number == track) {
            track.started = false;
        }
        self.end_session();
    }

    /// Takes a frame and appends what to do.
    pub fn push(&mut self, frame: Arrival, now: Monotonic, steps: &mut Vec<Step>) {
        let Some(index) = self.tracks.iter().position(|track| track.rule.number == frame.track) else {
            return self.discard(Discard::UnknownTrack, steps);
        };
        let size = (frame.size as u64).saturating_add(BLOCK_OVERHEAD);
        if size > self.rules.largest {
            return self.discard(Discard::TooLarge, steps);
        }
        let wanted = self.rules.scale.floor(frame.pts).ticks();
        if !self.admit(index, frame, wanted, steps) {
            return self.discard(Discard::BeforeKeyFrame, steps);
        }
        let driver = self.driver;
        let drives = driver == Some(index);
        let leader = driver.and_then(|driver| self.tracks.get(driver)).and_then(|driver| driver.latest);
        let tick = leader.filter(|_| frame.stray && !drives).unwrap_or(wanted);
        match self.must_cut(index, frame, tick, now) {
            None if self.fragment.is_some() => {}
            cut => {
                if let Some(Cut::For(cause)) = cut {
                    self.cause = cause;
                }
                let key = frame.key || !self.tracks.get(index).is_some_and(TrackState::is_video);
                self.begin_fragment(index, tick, (drives, key), now, steps);
            }
        }
        self.write(index, frame, (wanted, tick), size, now, steps);
    }

    /// Whether a fragment would begin with this frame.
    pub fn begins(&self, frame: Arrival, now: Monotonic) -> bool {
        let index = self.tracks.iter().position(|track| track.rule.number == frame.track);
        let tick = self.rules.scale.floor(frame.pts).ticks();
        index.is_some_and(|index| self.fragment.is_none() || self.must_cut(index, frame, tick, now).is_some())
    }

    /// Ends a fragment to which nothing has come for a while.
    pub fn poll(&mut self, now: Monotonic, steps: &mut Vec<Step>) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.end_fragment(true, steps);
            self.cause = CutCause::Idle;
        }
    }

    /// When to call [`poll`](Self::poll) if nothing else happens until then.
    pub fn deadline(&self) -> Option<Monotonic> {
        self.fragment.as_ref().map(|fragment| fragment.last_arrival.saturating_add(self.rules.idle))
    }

    /// The next key frame begins a fragment, however short the one before is.
    pub const fn split(&mut self) {
        self.split = true;
    }

    /// Ends the fragment: nothing follows for now. What follows all the same goes on in the same session.
    pub fn finish(&mut self, steps: &mut Vec<Step>) {
        self.end_fragment(true, steps);
        self.cause = CutCause::Idle;
    }

    /// Whether a frame can be decoded by who has seen what went out. Brings a track back that was left out.
    fn admit(&mut self, index: usize, frame: Arrival, tick: i64, steps: &mut Vec<Step>) -> bool {
        let Some(track) = self.tracks.get_mut(index) else { return false };
        let decodable = !track.is_video() || frame.key || track.started && !track.silent;
        if decodable && track.silent {
            track.silent = false;
            self.choose_driver();
            self.end_fragment(false, steps);
            self.end_session();
            self.repair(Repair::Rejoined(frame.track), steps);
        }
        let driver = self.driver;
        // A stream begins with a picture. Later, sound does not wait for pictures that are late.
        let waits_for_driver = self.counts.sessions == 0
            && driver
                .filter(|driver| *driver != index)
                .and_then(|driver| self.tracks.get(driver))
                .is_some_and(TrackState::is_video);
        if decodable && !waits_for_driver {
            return true;
        }
        // A key frame is asked for at once, and again every while.
        let key_wanted = self.ticks.key_wanted;
        let asked = self.waiting.map(|waiting| waiting.asked);
        let ask = asked.is_none_or(|asked| tick.saturating_sub(asked) >= key_wanted);
        let since = self.waiting.map_or(tick, |waiting| waiting.since);
        self.waiting = Some(Waiting { since, asked: asked.filter(|_| !ask).unwrap_or(tick) });
        if ask {
            steps.push(Step::KeyFrameWanted);
        }
        if decodable
            && tick.saturating_sub(since) > self.ticks.silence
            && let Some(driver) = driver
        {
            self.leave_out(driver, steps);
            return true;
        }
        false
    }

    /// Whether the fragment has to end before this frame, and for what.
    fn must_cut(&self, index: usize, frame: Arrival, tick: i64, now: Monotonic) -> Option<Cut> {
        let fragment = self.fragment.as_ref()?;
        let track = self.tracks.get(index)?;
        let drives = self.driver == Some(index);
        if drives && (frame.key || !track.is_video()) && self.wants_cut(track, fragment, tick, now) {
            return Some(Cut::AtKey);
        }
        let size = (frame.size as u64).saturating_add(BLOCK_OVERHEAD);
        if tick.saturating_sub(fragment.earliest) > self.ticks.longest {
            Some(Cut::For(CutCause::Duration))
        } else if tick.saturating_sub(fragment.start) > i64::from(i16::MAX) {
            Some(Cut::For(CutCause::Offset))
        } else if fragment.bytes.saturating_add(size) > self.rules.largest {
            Some(Cut::For(CutCause::Size))
        } else {
            None
        }
    }

    /// Whether a key frame of the track that decides is where the fragment should end.
    fn wants_cut(&self, track: &TrackState, fragment: &Fragment, tick: i64, now: Monotonic) -> bool {
        if !track.in_fragment {
            return false;
        }
        // So far back that it would have to be moved: it begins a session.
        let moved = fragment.first_possible(&self.ticks).saturating_sub(tick);
        if self.split || moved > self.ticks.backward {
            return true;
        }
        let elapsed = tick.saturating_sub(fragment.start);
        let oldest = self.begun.iter().min().copied().flatten();
        let too_soon = oldest.is_some_and(|oldest| now.saturating_since(oldest) < Duration::from_secs(1));
        if elapsed < self.ticks.shortest || too_soon {
            return false;
        }
        // Where every frame is a key frame, that says nothing about where to cut.
        let at_key = self.rules.at_key_frames && track.is_video() && !track.after_key;
        at_key || elapsed >= self.ticks.target
    }

    fn begin_fragment(
        &mut self,
        index: usize,
        tick: i64,
        (drives, key): (bool, bool),
        now: Monotonic,
        steps: &mut Vec<Step>,
    ) {
        self.end_fragment(false, steps);
        let Ticks { backward, silence, .. } = self.ticks;
        let back = self.floor.saturating_sub(tick);
        if drives && back > backward {
            self.floor = 0;
            self.tracks.iter_mut().for_each(|track| track.latest = None);
            self.end_session();
            let back = self.rules.scale.span(back).unwrap_or(Duration::MAX);
            self.repair(Repair::TimeWentBack(back), steps);
        }
        if let Some(driver) = self.driver.filter(|driver| *driver != index)
            && let Some(state) = self.tracks.get(driver)
            && state.is_video()
            && state.latest.is_none_or(|latest| tick.saturating_sub(latest) > silence)
        {
            self.leave_out(driver, steps);
        }
        if !self.in_session {
            self.in_session = true;
            self.counts.sessions += 1;
            for track in &mut self.tracks {
                track.declared = !track.silent;
            }
            let declared = self.tracks.iter().filter(|track| track.declared).map(|track| track.rule.number);
            steps.push(Step::BeginSession(declared.collect()));
        }
        let start = tick.max(self.floor);
        self.fragment = Some(Fragment {
            start,
            floor: self.floor,
            earliest: start,
            latest: start,
            bytes: 0,
            unproven: Some(self.cause),
            key_wanted: false,
            last_arrival: now,
        });
        self.split = false;
        self.begun.rotate_left(1);
        if let Some(last) = self.begun.last_mut() {
            *last = Some(now);
        }
        self.counts.fragments += 1;
        let timecode = Timecode::from_ticks(start);
        steps.push(Step::BeginFragment { timecode, key: drives && key });
    }

    fn write(
        &mut self,
        index: usize,
        frame: Arrival,
        (wanted, tick): (i64, i64),
        size: u64,
        now: Monotonic,
        steps: &mut Vec<Step>,
    ) {
        let drives = self.driver == Some(index);
        let (Some(fragment), Some(track)) = (&mut self.fragment, self.tracks.get_mut(index)) else { return };
        let tick = tick.max(fragment.first_possible(&self.ticks));
        fragment.earliest = fragment.earliest.min(tick);
        fragment.latest = fragment.latest.max(tick);
        fragment.bytes += size;
        fragment.last_arrival = now;
        track.in_fragment = true;
        track.started = true;
        track.after_key = frame.key;
        track.latest = Some(track.latest.map_or(tick, |latest| latest.max(tick)));

        let (is_video, elapsed) = (track.is_video(), tick.saturating_sub(fragment.start));
        let unproven = if drives { fragment.unproven.take() } else { None };
        let ask = is_video && drives && !fragment.key_wanted && elapsed >= self.ticks.key_wanted;
        fragment.key_wanted |= ask;
        if is_video {
            self.waiting = None;
        }
        if let Some(cause) = unproven.filter(|_| is_video && !frame.key) {
            self.repair(Repair::CutWithoutKey(cause), steps);
            steps.push(Step::KeyFrameWanted);
        }
        if tick != wanted {
            let (from, to) = (Timecode::from_ticks(wanted), Timecode::from_ticks(tick));
            self.repair(Repair::TimeMoved { track: frame.track, from, to }, steps);
        }
        self.counts.frames += 1;
        steps.push(Step::Frame(Timecode::from_ticks(tick)));
        if ask {
            steps.push(Step::KeyFrameWanted);
        }
    }

    /// Ends the fragment, with a filler for every track that has no frame in it.
    fn end_fragment(&mut self, marker: bool, steps: &mut Vec<Step>) {
        let Some(fragment) = self.fragment.take() else { return };
        self.floor = fragment.latest.saturating_add(1);
        for index in 0..self.tracks.len() {
            let Some(track) = self.tracks.get_mut(index) else { continue };
            let present = std::mem::take(&mut track.in_fragment);
            if track.declared && !present {
                let number = track.rule.number;
                steps.push(Step::Filler(number, Timecode::from_ticks(fragment.latest)));
                self.repair(Repair::Filled(number), steps);
            }
        }
        steps.push(Step::EndFragment { marker });
    }

    fn leave_out(&mut self, index: usize, steps: &mut Vec<Step>) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        track.silent = true;
        let number = track.rule.number;
        self.choose_driver();
        self.end_session();
        self.repair(Repair::LeftOut(number), steps);
    }

    /// The next fragment begins a new session.
    const fn end_session(&mut self) {
        self.in_session = false;
        self.cause = CutCause::Tracks;
    }

    /// The first track with pictures decides, else the first with sound, else the first.
    fn choose_driver(&mut self) {
        let rank = |track: &TrackState| match track.rule.kind {
            TrackKind::Video => 0,
            TrackKind::Audio => 1,
            _ => 2,
        };
        let candidates = self.tracks.iter().enumerate().filter(|(_, track)| !track.silent);
        self.driver = candidates.min_by_key(|(_, track)| rank(track)).map(|(index, _)| index);
    }

    fn repair(&mut self, repair: Repair, steps: &mut Vec<Step>) {
        self.counts.count_repair(repair);
        steps.push(Step::Repaired(repair));
    }

    fn discard(&mut self, discard: Discard, steps: &mut Vec<Step>) {
        self.counts.count_discard(discard);
        steps.push(Step::Discard(discard));
    }
}

/// Why a fragment ends before a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    AtKey,
    For(CutCause),
}

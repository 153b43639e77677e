//! Several tracks in, one order out.

use std::collections::VecDeque;
use std::time::Duration;

use crate::TrackNumber;
use crate::time::{Monotonic, RunningTime};

/// How a track takes part in the common order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Pictures: fragments begin with its key frames. The others follow it.
    Leading,
    /// It has a frame every moment: sound. A fragment does not begin before it is there.
    Steady,
    /// It speaks when it has something to say: sensor data, events. Nothing waits for it.
    Sparse,
}

/// When a frame is shown, and what may follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// When it is shown.
    pub pts: RunningTime,
    /// It needs no other frame.
    pub key: bool,
    /// Pictures that are shown before this key frame may follow it (an open group of pictures).
    pub leading: bool,
    /// How long it lasts; zero where that is not known.
    pub duration: Duration,
}

impl Timing {
    /// A frame that needs no other.
    pub const fn at(pts: RunningTime) -> Self {
        Self { pts, key: true, leading: false, duration: Duration::ZERO }
    }
}

/// A frame whose turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released<T> {
    /// Its track.
    pub track: TrackNumber,
    /// The frame.
    pub item: T,
    /// Its time is so far ahead of the leading track, which is alive, that it cannot be meant.
    pub stray: bool,
}

/// Lets the frames of several tracks go in an order that fragments can be cut from, as soon as that is possible.
///
/// The first track of [`Pace::Leading`] leads (without one, the first that is steady). Its frames go at once. A frame of
/// another track goes when the leader has shown its time, since until then a fragment may begin before it. And a frame
/// that begins a fragment waits until every steady track has passed the end of the fragment before, so that nothing
/// that comes later belongs there: the service refuses times that go back across a border, and no others. Within a
/// track the order in which frames were pushed never changes. The stream begins with the leader's first key frame.
///
/// A track that is late is waited for, as long as it goes on: an encoder may look a second ahead. A track to which
/// nothing was pushed for `max_silence` is silent: nothing waits for it until two of its frames come closer together
/// than that. No frame is held for longer than [`LONGEST_HOLD`], and one that is further ahead of the leader than
/// [`ASTRAY`] has no time that could be meant.
///
/// It sets no timer: [`deadline`](Self::deadline) says when to call [`pop`](Self::pop) again if nothing else happens.
///
/// ```
/// use std::time::Duration;
/// use kvs_media::TrackNumber;
/// use kvs_media::fragment::{Interleaver, Pace, Timing};
/// use kvs_media::time::{Monotonic, RunningTime};
///
/// let (video, audio) = (TrackNumber(1), TrackNumber(2));
/// let at = |ms: i64| Timing::at(RunningTime::from_nanos(ms * 1_000_000));
/// let mut lanes = Interleaver::new(Duration::from_secs(1), Duration::from_millis(1));
/// lanes.add(video, Pace::Leading);
/// lanes.add(audio, Pace::Steady);
/// let now = Monotonic::default();
/// // The cutter says whether a fragment would begin with a frame; here, none but the first does.
/// let mut next = |lanes: &mut Interleaver<_>| lanes.pop(now, |_, _| false).map(|released| released.item);
///
/// lanes.push(audio, at(20), now, "sound");
/// assert_eq!(next(&mut lanes), None);
/// lanes.push(video, at(0), now, "picture");
/// assert_eq!(next(&mut lanes), Some("picture"));
/// // A key frame might come at 10 ms, and the sound would belong behind it.
/// assert_eq!(next(&mut lanes), None);
/// lanes.push(video, at(33), now, "another");
/// assert_eq!((next(&mut lanes), next(&mut lanes)), (Some("another"), Some("sound")));
/// ```
#[derive(Debug)]
pub struct Interleaver<T> {
    lanes: Vec<Lane<T>>,
    max_silence: Duration,
    /// Times closer together than this may become the same timecode.
    tick: Duration,
    /// The latest time that the leader has shown; `None` before its first key frame.
    shown: Option<RunningTime>,
    /// The latest time that has gone, of any track.
    gone: Option<RunningTime>,
}

/// No frame is held for longer.
pub const LONGEST_HOLD: Duration = Duration::from_secs(10);

/// So far apart, the times of two tracks have nothing to do with each other: an unsigned subtraction went below zero,
/// or two clocks were mixed up.
pub const ASTRAY: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Lane<T> {
    track: TrackNumber,
    pace: Pace,
    queue: VecDeque<Waiting<T>>,
    /// Nothing before this will come. `None` until there was anything.
    reached: Option<RunningTime>,
    last_arrival: Option<Monotonic>,
    /// Nothing waits for it.
    silent: bool,
    ended: bool,
}

#[derive(Debug)]
struct Waiting<T> {
    timing: Timing,
    arrived: Monotonic,
    item: T,
}

impl<T> Lane<T> {
    const fn is_awaited(&self) -> bool {
        !matches!(self.pace, Pace::Sparse) && !self.silent && !self.ended
    }

    /// Whether the others may follow it: one that has ended still does while it holds something.
    fn leads(&self) -> bool {
        self.is_awaited() || (!matches!(self.pace, Pace::Sparse) && !self.silent && !self.queue.is_empty())
    }

    /// Whether a fragment cannot begin yet, since frames may still come that belong into the one before, whose latest
    /// time is `gone`. What comes after a frame is later than it.
    fn holds(&self, gone: Option<RunningTime>) -> bool {
        let behind = |reached: RunningTime| gone.and_then(|gone| gone.since(reached)).unwrap_or_default();
        let to_come = |reached| !behind(reached).is_zero() && behind(reached) < ASTRAY;
        self.is_awaited() && self.queue.is_empty() && self.reached.is_none_or(to_come)
    }

    /// When this lane is silent, if nothing is pushed to it until then, for a frame that has waited since `arrived`.
    fn silent_at(&self, arrived: Monotonic, max_silence: Duration) -> Monotonic {
        self.last_arrival.unwrap_or(arrived).saturating_add(max_silence)
    }
}

impl<T> Interleaver<T> {
    /// Without tracks. A track to which nothing is pushed for `max_silence` is waited for no longer; `tick` is how long
    /// a tick of the document lasts.
    pub const fn new(max_silence: Duration, tick: Duration) -> Self {
        Self { lanes: Vec::new(), max_silence, tick, shown: None, gone: None }
    }

    /// Adds a track, or begins it anew.
    pub fn add(&mut self, track: TrackNumber, pace: Pace) {
        let lane = Lane {
            track,
            pace,
            queue: VecDeque::new(),
            reached: None,
            last_arrival: None,
            silent: false,
            ended: false,
        };
        match self.lanes.iter_mut().find(|lane| lane.track == track) {
            Some(old) => *old = lane,
            None => self.lanes.push(lane),
        }
    }

    /// Takes a track away and returns what it still held, in order.
    pub fn remove(&mut self, track: TrackNumber) -> impl Iterator<Item = T> + use<T> {
        let index = self.lanes.iter().position(|lane| lane.track == track);
        let queue = index.map(|index| self.lanes.remove(index).queue).unwrap_or_default();
        queue.into_iter().map(|waiting| waiting.item)
    }

    /// Takes a frame. One of a track that was not added comes back.
    pub fn push(&mut self, track: TrackNumber, timing: Timing, now: Monotonic, item: T) -> Option<T> {
        let max_silence = self.max_silence;
        let Some(lane) = self.lane(track) else { return Some(item) };
        let reached = timing.pts.saturating_add(timing.duration);
        if lane.silent {
            let gap = lane.reached.and_then(|reached| timing.pts.since(reached));
            lane.silent = gap.is_none_or(|gap| gap >= max_silence);
        }
        lane.reached = later(lane.reached, reached);
        lane.ended = false;
        lane.last_arrival = Some(now);
        lane.queue.push_back(Waiting { timing, arrived: now, item });
        None
    }

    /// Says that nothing before `to` will come from a track.
    pub fn advance(&mut self, track: TrackNumber, to: RunningTime) {
        if let Some(lane) = self.lane(track) {
            lane.reached = Some(lane.reached.map_or(to, |reached| reached.max(to)));
        }
    }

    /// Says that nothing more will come from a track. A frame that comes all the same begins it again.
    pub fn end(&mut self, track: TrackNumber) {
        if let Some(lane) = self.lane(track) {
            lane.ended = true;
        }
    }

    /// Waits no longer for the tracks of which nothing is held: they are silent until they are back.
    pub fn hurry(&mut self) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_awaited() && lane.queue.is_empty()) {
            lane.silent = true;
        }
    }

    /// The next frame that may go. `begins` says whether a fragment would begin with a frame that is next of its track.
    pub fn pop(&mut self, now: Monotonic, begins: impl Fn(TrackNumber, &T) -> bool) -> Option<Released<T>> {
        // Each round that releases nothing takes a lane out of those that are waited for.
        for _ in 0..=self.lanes.len() {
            let leader = self.leader()?;
            let lane = self.lanes.get(leader)?;
            let first = lane.queue.front();
            // Where time went back a session begins, and nothing is compared with what was before.
            let went_back = |pts: RunningTime| Some(pts.saturating_add(WENT_BACK)) < self.gone;
            let wait = self.gone.is_some()
                && first.is_some_and(|first| begins(lane.track, &first.item) && !went_back(first.timing.pts));
            if let Some(index) = self.follower(leader, wait) {
                return self.release(index, leader, false);
            }
            let (max_silence, gone) = (self.max_silence, self.gone);
            let oldest = self.oldest_follower(leader);
            let overdue = oldest.filter(|(arrived, _)| now >= arrived.saturating_add(LONGEST_HOLD));
            let lane = self.lanes.get(leader)?;
            if let Some(Waiting { arrived, .. }) = lane.queue.front() {
                let arrived = *arrived;
                let over = overdue.is_some() || now >= arrived.saturating_add(LONGEST_HOLD);
                if wait && !over {
                    for lane in self.lanes.iter_mut().filter(|lane| lane.holds(gone)) {
                        lane.silent = now >= lane.silent_at(arrived, max_silence);
                    }
                    if self.lanes.iter().any(|lane| lane.holds(gone)) {
                        return None;
                    }
                }
                return self.release(leader, leader, false);
            }
            let (arrived, index) = oldest?;
            if let Some(shown) = self.shown
                && let Some(stray) = self.stray(leader, shown)
            {
                return self.release(stray, leader, true);
            }
            if overdue.is_some() || lane.ended {
                return self.release(index, leader, false);
            }
            let silent = now >= lane.silent_at(arrived, max_silence);
            if !silent {
                return None;
            }
            self.lanes.get_mut(leader)?.silent = true;
        }
        None
    }

    /// When to call [`pop`](Self::pop) if nothing else happens until then.
    pub fn deadline(&self) -> Option<Monotonic> {
        let leader = self.leader()?;
        let lane = self.lanes.get(leader)?;
        let oldest = self.oldest_follower(leader).map(|(arrived, _)| arrived);
        let silent_at = |lane: &Lane<T>, arrived| lane.silent_at(arrived, self.max_silence);
        let (oldest, silent) = match lane.queue.front().map(|first| first.arrived) {
            // A border waits for the lanes that hold it.
            Some(arrived) => {
                let holding = self.lanes.iter().filter(|lane| lane.holds(self.gone));
                let silent = holding.map(|lane| silent_at(lane, arrived)).min();
                (oldest.map_or(arrived, |oldest| oldest.min(arrived)), silent)
            }
            // The others wait for the leader.
            None => (oldest?, Some(silent_at(lane, oldest?))),
        };
        let over = oldest.saturating_add(LONGEST_HOLD);
        Some(silent.map_or(over, |silent| silent.min(over)))
    }

    /// Frames that are held, of all tracks.
    pub fn len(&self) -> usize {
        self.lanes.iter().map(|lane| lane.queue.len()).sum()
    }

    /// Nothing is held.
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.queue.is_empty())
    }

    /// Forgets what is held and every time, and keeps the tracks: a flush.
    pub fn clear(&mut self) {
        (self.shown, self.gone) = (None, None);
        for lane in &mut self.lanes {
            lane.queue.clear();
            (lane.reached, lane.silent, lane.ended) = (None, false, false);
        }
    }

    fn lane(&mut self, track: TrackNumber) -> Option<&mut Lane<T>> {
        self.lanes.iter_mut().find(|lane| lane.track == track)
    }

    /// The lane that the others follow. Where none is waited for, one that holds something.
    fn leader(&self) -> Option<usize> {
        let rank = |lane: &Lane<T>| match (lane.leads(), lane.pace) {
            (true, Pace::Leading) => Some(0),
            (true, _) => Some(1),
            (false, _) => (!lane.queue.is_empty()).then_some(2),
        };
        let ranks = self.lanes.iter().enumerate().filter_map(|(index, lane)| Some((rank(lane)?, index)));
        ranks.min().map(|(_, index)| index)
    }

    /// The earliest frame of the other lanes that the leader has passed, or that belongs in front of its border.
    fn follower(&self, leader: usize, is_border: bool) -> Option<usize> {
        let shown = self.shown?;
        // What is shown before a frame that begins a fragment belongs in front of it. Of an open group the pictures
        // that are shown before it come after it, and nothing may come between.
        let first = self.lanes.get(leader)?.queue.front();
        let border = first.filter(|first| is_border && !first.timing.leading);
        let border = border.map(|first| first.timing.pts.saturating_sub(self.tick));
        self.firsts(leader)
            .map(|(index, first)| (first.timing.pts, index))
            .filter(|(pts, _)| *pts <= shown || border.is_some_and(|border| *pts <= border))
            .min()
            .map(|(_, index)| index)
    }

    /// The first frames of the lanes that follow.
    fn firsts(&self, leader: usize) -> impl Iterator<Item = (usize, &Waiting<T>)> {
        let lanes = self.lanes.iter().enumerate().filter(move |(index, _)| *index != leader);
        lanes.filter_map(|(index, lane)| lane.queue.front().map(|first| (index, first)))
    }

    /// The lane that follows whose first frame has waited for longest, and since when.
    fn oldest_follower(&self, leader: usize) -> Option<(Monotonic, usize)> {
        self.firsts(leader).map(|(index, first)| (first.arrived, index)).min()
    }

    /// A lane that follows whose first frame is too far ahead of a leader that has shown `shown` and goes on.
    fn stray(&self, leader: usize, shown: RunningTime) -> Option<usize> {
        let last_arrival = self.lanes.get(leader)?.last_arrival;
        self.firsts(leader)
            .filter(|(_, first)| Some(first.arrived) < last_arrival)
            .find(|(_, first)| first.timing.pts.since(shown).is_some_and(|ahead| ahead >= ASTRAY))
            .map(|(index, _)| index)
    }

    fn release(&mut self, index: usize, leader: usize, stray: bool) -> Option<Released<T>> {
        let lane = self.lanes.get_mut(index)?;
        let Waiting { timing, item, .. } = lane.queue.pop_front()?;
        let track = lane.track;
        if !stray {
            // Where the leader goes back, so does what the others are compared with.
            let leads = index == leader;
            self.gone = if leads { later(self.gone, timing.pts) } else { self.gone.max(Some(timing.pts)) };
        }
        if index == leader && (timing.key || self.shown.is_some()) {
            self.shown = later(self.shown, timing.pts);
        }
        Some(Released { track, item, stray })
    }
}

/// The later of two times, unless the new one is so much earlier that it is no reordered picture: then time itself went
/// back.
fn later(before: Option<RunningTime>, now: RunningTime) -> Option<RunningTime> {
    let went_back = |before: &RunningTime| now.saturating_add(WENT_BACK) < *before;
    before.filter(|before| *before > now && !went_back(before)).or(Some(now))
}

/// Pictures are reordered by less than this.
const WENT_BACK: Duration = Duration::from_secs(2);

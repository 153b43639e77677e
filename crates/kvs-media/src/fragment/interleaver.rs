//! Several tracks in, one order out.

use std::collections::VecDeque;
use std::time::Duration;

use crate::TrackNumber;
use crate::time::{Monotonic, RunningTime};

/// Whether others wait for a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It has a frame every moment, and fragments begin with its key frames: pictures. As [`Steady`](Self::Steady),
    /// and its first key frame goes before all that is waiting, so that the stream begins with it.
    Leading,
    /// It has a frame every moment: sound. Others wait for it, but never longer than the bound.
    Steady,
    /// It speaks when it has something to say: sensor data, events. Nothing waits for it.
    Sparse,
}

/// When a frame is shown and decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// When it is shown.
    pub pts: RunningTime,
    /// When it is decoded, where that is known.
    pub dts: Option<RunningTime>,
    /// A fragment may begin with it.
    pub key: bool,
    /// Frames that are shown before this key frame may follow it (an open group of pictures).
    pub leading: bool,
}

impl Timing {
    /// A frame that is decoded when it is shown, and needs no other.
    pub const fn at(pts: RunningTime) -> Self {
        Self { pts, dts: None, key: true, leading: false }
    }
}

/// Puts the frames of several tracks into one order, by time, without letting any track wait for long.
///
/// A frame may go once every track that others wait for has shown that nothing earlier will come from it: by a
/// later frame, by [`advance`](Self::advance), or by its end. A track that shows nothing holds the others for
/// `max_skew` once, by the clock or by media time, whichever is over first; from then on nothing waits for it until
/// two of its frames come closer together than that. Within a track the order in which frames were pushed never
/// changes.
///
/// It sets no timer: after every call, [`deadline`](Self::deadline) says when to call [`pop`](Self::pop) again if
/// nothing else happens. Of frames at the same time, that of the track which was added first goes first: add pictures
/// first, so that a key frame goes before the sound that belongs to it.
///
/// ```
/// use std::time::Duration;
/// use kvs_media::TrackNumber;
/// use kvs_media::fragment::{Interleaver, Pace, Timing};
/// use kvs_media::time::{Monotonic, RunningTime};
///
/// let (video, audio) = (TrackNumber(1), TrackNumber(2));
/// let at = |ms: i64| Timing::at(RunningTime::from_nanos(ms * 1_000_000));
/// let mut lanes = Interleaver::new(Duration::from_secs(1));
/// lanes.add(video, Pace::Leading);
/// lanes.add(audio, Pace::Steady);
/// let now = Monotonic::default();
/// lanes.push(video, at(33), now, "picture");
/// assert_eq!(lanes.pop(now), None);
/// lanes.push(audio, at(40), now, "sound");
/// assert_eq!(lanes.pop(now), Some((video, "picture")));
/// // The next picture may come before the sound: it waits, for a second at the most.
/// assert_eq!(lanes.pop(now), None);
/// let late = lanes.deadline().unwrap();
/// assert_eq!(lanes.pop(late), Some((audio, "sound")));
/// ```
#[derive(Debug)]
pub struct Interleaver<T> {
    lanes: Vec<Lane<T>>,
    max_skew: Duration,
}

#[derive(Debug)]
struct Lane<T> {
    track: TrackNumber,
    pace: Pace,
    queue: VecDeque<Waiting<T>>,
    /// Nothing before this will come. `None` until there was anything.
    reached: Option<RunningTime>,
    /// The latest time at which a frame that was pushed is shown.
    shown: Option<RunningTime>,
    /// It was silent for longer than the bound: nothing waits for it.
    silent: bool,
    ended: bool,
}

#[derive(Debug)]
struct Waiting<T> {
    order: RunningTime,
    arrived: Monotonic,
    item: T,
}

/// How far before its key frame a leading picture can be shown.
const LEADING_WINDOW: Duration = Duration::from_millis(500);

impl<T> Lane<T> {
    /// The place of a frame in the common order; never before that of the frame that was pushed before it.
    fn order(&self, timing: Timing) -> RunningTime {
        let Timing { pts, dts, key, leading } = timing;
        let order = match (key, leading && self.pace == Pace::Leading) {
            // A fragment begins here: what is shown earlier, of any track, belongs to the fragment before.
            (true, false) => pts,
            // Its leading pictures are shown after all that was shown before, and the fragment begins with the
            // first of them.
            (true, true) => {
                let earliest = dts.unwrap_or_else(|| pts.saturating_sub(LEADING_WINDOW));
                let after_shown = self.shown.map(|shown| shown.saturating_add(Duration::from_nanos(1)));
                after_shown.map_or(earliest, |after| after.max(earliest)).min(pts)
            }
            // A frame that is shown after its successors does not hold the other tracks until it is shown.
            (false, _) => dts.map_or(pts, |dts| dts.min(pts)),
        };
        self.reached.map_or(order, |reached| reached.max(order))
    }

    /// Whether a frame of another track at `order` has to wait for this one.
    fn holds(&self, order: RunningTime) -> bool {
        self.pace != Pace::Sparse
            && !self.silent
            && !self.ended
            && self.queue.is_empty()
            && self.reached.is_none_or(|reached| reached < order)
    }
}

impl<T> Interleaver<T> {
    /// Without tracks. A track that shows nothing holds the others for `max_skew`.
    pub const fn new(max_skew: Duration) -> Self {
        Self { lanes: Vec::new(), max_skew }
    }

    /// Adds a track, or begins it anew.
    pub fn add(&mut self, track: TrackNumber, pace: Pace) {
        let lane = Lane {
            track,
            pace,
            queue: VecDeque::new(),
            reached: None,
            shown: None,
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
        let max_skew = self.max_skew;
        let earliest = self.lanes.iter().filter_map(|lane| lane.queue.front()).map(|first| first.order).min();
        let Some(lane) = self.lane(track) else { return Some(item) };
        let reached = lane.order(timing);
        let begins = lane.pace == Pace::Leading && lane.shown.is_none() && timing.key;
        let order = earliest
            .filter(|_| begins)
            .map_or(reached, |earliest| earliest.saturating_sub(Duration::from_nanos(1)).min(reached));
        if lane.silent {
            let gap = lane.reached.and_then(|before| reached.since(before));
            lane.silent = gap.is_none_or(|gap| gap >= max_skew);
        }
        lane.ended = false;
        lane.reached = Some(reached);
        lane.shown = Some(lane.shown.map_or(timing.pts, |shown| shown.max(timing.pts)));
        lane.queue.push_back(Waiting { order, arrived: now, item });
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

    /// The next frame that may go, with its track.
    pub fn pop(&mut self, now: Monotonic) -> Option<(TrackNumber, T)> {
        let index = self.next()?;
        let (order, over) = {
            let lane = self.lanes.get(index)?;
            let first = lane.queue.front()?;
            (first.order, now >= self.expiry(first) || self.is_far_ahead(lane, first.order))
        };
        if self.lanes.iter().any(|lane| lane.holds(order)) {
            if !over {
                return None;
            }
            for lane in self.lanes.iter_mut().filter(|lane| lane.holds(order)) {
                lane.silent = true;
            }
        }
        let lane = self.lanes.get_mut(index)?;
        lane.queue.pop_front().map(|waiting| (lane.track, waiting.item))
    }

    /// When to call [`pop`](Self::pop) if nothing else happens until then.
    pub fn deadline(&self) -> Option<Monotonic> {
        let first = self.lanes.get(self.next()?)?.queue.front()?;
        Some(self.expiry(first))
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
        for lane in &mut self.lanes {
            lane.queue.clear();
            (lane.reached, lane.shown, lane.silent, lane.ended) = (None, None, false, false);
        }
    }

    fn lane(&mut self, track: TrackNumber) -> Option<&mut Lane<T>> {
        self.lanes.iter_mut().find(|lane| lane.track == track)
    }

    /// The lane whose first frame is the earliest of all.
    fn next(&self) -> Option<usize> {
        let firsts = self.lanes.iter().enumerate();
        firsts
            .filter_map(|(index, lane)| lane.queue.front().map(|first| (first.order, index)))
            .min()
            .map(|(_, index)| index)
    }

    fn expiry(&self, waiting: &Waiting<T>) -> Monotonic {
        waiting.arrived.saturating_add(self.max_skew)
    }

    /// The lane's own frames have gone further beyond `order` than the bound: a source faster than the clock.
    fn is_far_ahead(&self, lane: &Lane<T>, order: RunningTime) -> bool {
        lane.reached.and_then(|reached| reached.since(order)).is_some_and(|ahead| ahead >= self.max_skew)
    }
}

//! From what the reader gives to buffers with times, and marks between them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kvs_client::download::{Bounds, Fragment, Frame, Item, Range, Span};
use kvs_media::mkv::Header;
use kvs_media::time::{Monotonic, Utc};
use kvs_media::{Track, TrackKind, TrackNumber};

use super::caps;
use super::mark::{Mark, Stamp};
use super::run::Run;
use super::settings::What;
use super::stats::Tally;
use super::timeline::{ByServer, Live, Onward, Pace, Recorded};
use crate::message::{self, Ration};

/// Tracks do not end together: the next fragment may begin by so much, or a frame, before the last of them does.
const OVERLAP: i64 = 100_000_000;

/// What one place of a stream becomes.
#[derive(Debug)]
pub(super) enum Output {
    /// It is known now where stream time begins.
    Origin,
    /// What is read begins here: where a seek has led.
    Landed(i64),
    /// Between two frames.
    Mark(Mark),
    /// A frame. `offset` is its track.
    Buffer(gst::Buffer),
    /// A fragment begins here, behind which nothing is wanted when this is behind the end.
    Reached(i64),
}

/// A seek that is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Where to, in stream time.
    pub(super) position: i64,
    /// At which key frame.
    pub(super) snap: kvs_client::download::Snap,
    /// The segment begins where that is.
    pub(super) moves: bool,
}

/// What is being read, from one start to the next.
#[derive(Debug)]
pub(super) struct Reading {
    run: Arc<Run>,
    line: Option<Line>,
    server: Option<ByServer>,
    onward: Onward,
    bounds: Option<Bounds>,
    current: Option<Current>,
    /// How often it is said that the producer's clock has jumped.
    moves: Ration,
    /// The next frame is where a seek has led; what was in front of it waits.
    landing: Option<Vec<Mark>>,
    discont: bool,
    pub(super) ready: VecDeque<Output>,
    tracks: Tracks,
    /// Where the latest frame begins of which anything is known, and of those that were read.
    listed: i64,
    latest: i64,
}

/// The tracks of the fragment whose frames come, and where what was read of them ends.
#[derive(Debug, Default)]
struct Tracks {
    header: Option<Arc<Header>>,
    all: Vec<OfTrack>,
    /// Where those of other headers end.
    end: i64,
}

#[derive(Debug)]
struct OfTrack {
    number: TrackNumber,
    lasts: Option<gst::ClockTime>,
    pace: Pace,
}

impl Tracks {
    /// A fragment with this header begins.
    fn meet(&mut self, header: &Arc<Header>) {
        if self.header.as_ref().is_some_and(|own| Arc::ptr_eq(own, header)) {
            return;
        }
        self.end = self.end();
        self.header = Some(Arc::clone(header));
        let of = |track: &Track| {
            let lasts = caps::lasts(track).map(message::nanos);
            // Data is of an instant, unless it says otherwise.
            let data = matches!(track.kind, TrackKind::Metadata | TrackKind::Other(_));
            let paced = lasts.and_then(|lasts| i64::try_from(lasts).ok()).or(data.then_some(0));
            OfTrack {
                number: track.number,
                lasts: lasts.map(gst::ClockTime::from_nseconds),
                pace: Pace::new(paced),
            }
        };
        self.all = header.tracks.iter().map(of).collect();
    }

    fn of(&mut self, number: TrackNumber) -> Option<&mut OfTrack> {
        self.all.iter_mut().find(|track| track.number == number)
    }

    /// What comes does not follow what was.
    fn restart(&mut self) {
        self.all.iter_mut().for_each(|track| track.pace.restart());
    }

    /// Where all that was read ends.
    fn end(&self) -> i64 {
        self.all.iter().map(|track| track.pace.end()).fold(self.end, i64::max)
    }

    /// How long a frame lasts, of the track whose frames last longest.
    fn longest(&self) -> i64 {
        self.all.iter().map(|track| track.pace.length()).max().unwrap_or_default()
    }
}

#[derive(Debug)]
enum Line {
    Recorded(Recorded),
    Live(Live),
}

/// The fragment whose frames come.
#[derive(Debug)]
struct Current {
    fragment: Arc<Fragment>,
    stamp: Stamp,
    position: i64,
}

impl Reading {
    pub(super) fn new(run: Arc<Run>) -> Self {
        let line = match run.plan.what {
            What::Live(_) => Some(Line::Live(Live::default())),
            What::Recorded(_) => None,
        };
        Self {
            server: run.plan.by_server.then(ByServer::default),
            line,
            onward: Onward::default(),
            bounds: None,
            current: None,
            moves: Ration::new(10, Duration::from_secs(1)),
            landing: None,
            discont: true,
            ready: VecDeque::new(),
            tracks: Tracks::default(),
            listed: 0,
            latest: 0,
            run,
        }
    }

    pub(super) fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// Where stream time begins is known.
    pub(super) const fn has_origin(&self) -> bool {
        self.line.is_some()
    }

    /// The instant of a position in a range.
    pub(super) fn utc(&self, position: i64) -> Option<Utc> {
        match &self.line {
            Some(Line::Recorded(line)) => Some(line.utc(position)),
            _ => None,
        }
    }

    /// Where a range ends by its settings; the position behind its last frame.
    pub(super) fn limit(&self) -> Option<i64> {
        match (&self.line, &self.run.plan.what) {
            // By the service's clock fragments are in or out as a whole: what was sent faster than it lasts is laid out behind.
            (Some(Line::Recorded(line)), What::Recorded(Range { to: Some(to), .. }))
                if self.server.is_none() =>
            {
                Some(line.position(*to).saturating_add(1))
            }
            _ => None,
        }
    }

    /// Where the last frame ends that is known, but no later than the range.
    pub(super) fn duration(&self) -> i64 {
        self.limit().map_or(self.end(), |limit| self.end().min(limit))
    }

    /// Where a segment has to stop that is to stop at `wanted`: not behind the range. Where nothing more comes, it ends with
    /// the last frame, and not when it stops.
    pub(super) fn stop(&self, wanted: Option<i64>) -> Option<i64> {
        let stop = wanted.into_iter().chain(self.limit()).min()?;
        let open = self.bounds.as_ref().is_none_or(|bounds| bounds.open);
        (open || stop < self.end()).then_some(stop)
    }

    /// Where the last frame ends that is known.
    fn end(&self) -> i64 {
        let read = self.tracks.end();
        if self.latest >= self.listed {
            return read;
        }
        read.max(self.listed.saturating_add(self.tracks.longest()))
    }

    /// Reading goes on elsewhere. When it `lands`, the first frame is where the segment begins.
    pub(super) fn go_elsewhere(&mut self, lands: bool) {
        self.run.tally.at_tip.store(false, Ordering::Relaxed);
        self.run.go_elsewhere();
        self.current = None;
        self.discont = true;
        self.ready.clear();
        self.tracks.restart();
        self.onward = Onward::default();
        self.landing = lands.then(Vec::new);
        if let Some(server) = &mut self.server {
            server.restart();
        }
    }

    /// Takes in what comes at this running time, and adds to `ready`.
    pub(super) fn take(&mut self, item: Item, now: impl FnOnce() -> i64) {
        match item {
            Item::Range(bounds) => {
                if let Some(Line::Recorded(line)) = &self.line {
                    self.listed = self.listed.max(line.position(bounds.end));
                }
                self.bounds = Some(bounds);
            }
            Item::Fragment(fragment) => self.begin(fragment, now),
            Item::Frame(frame) => self.frame(frame, now),
            Item::Done(end) => {
                if let Some(current) = &self.current {
                    let (fragment, position) = (Arc::clone(&current.fragment), current.position);
                    self.mark(Mark::End { fragment, end: Arc::new(end), position });
                }
            }
            Item::Tip => self.run.tally.at_tip.store(true, Ordering::Relaxed),
            Item::Lost(_) => self.discont = true,
        }
    }

    fn mark(&mut self, mark: Mark) {
        match &mut self.landing {
            Some(waiting) => waiting.push(mark),
            None => self.ready.push_back(Output::Mark(mark)),
        }
    }

    fn begin(&mut self, fragment: Arc<Fragment>, now: impl FnOnce() -> i64) {
        if let Some(server) = &mut self.server {
            let moved = server.moved();
            // What is followed without a range has no place but that where it comes.
            let laid = match self.run.plan.what {
                What::Live(_) => fragment.server,
                What::Recorded(_) => fragment.begins,
            };
            server.begin(fragment.producer, fragment.server, laid, fragment.resumed);
            Tally::add(&self.run.tally.server_moved, server.moved().saturating_sub(moved));
        }
        let shift = |utc: Utc| match &self.server {
            Some(server) => server.shifted(utc),
            None => utc,
        };
        let begins = shift(fragment.producer);
        let silence = fragment.gap.map(|gap| Span { from: shift(gap.from), to: shift(gap.to) });
        if self.line.is_none() {
            let spans = self.bounds.as_ref().map_or(&[][..], |bounds| &bounds.spans);
            let line = Recorded::new(begins, self.run.plan.closes_gaps.then_some(spans));
            self.listed = self.bounds.as_ref().map_or(0, |bounds| line.position(bounds.end));
            self.line = Some(Line::Recorded(line));
            self.ready.push_back(Output::Origin);
        }
        let length = self.tracks.longest();
        let overlap = if fragment.header.tracks.len() > 1 { length.max(OVERLAP) } else { 0 };
        let now = now();
        // What goes on that was cut is where it was.
        let (moved, position) = match &mut self.line {
            Some(Line::Recorded(line)) => {
                if let Some(silence) = silence {
                    line.add(silence);
                }
                let position = line.position(begins);
                let moved = if fragment.resumed { None } else { self.onward.begin(position, length) };
                (moved, self.onward.position(position))
            }
            Some(Line::Live(live)) => {
                let moved = match live.at(begins) {
                    Some(_) if fragment.resumed => None,
                    _ => live.begin(begins, fragment.server, now, overlap),
                };
                (moved, live.at(begins).unwrap_or(now))
            }
            None => (None, 0),
        };
        if let Some(moved) = moved {
            Tally::add(&self.run.tally.time_moved, 1);
            self.discont = true;
            // Each is counted; as many are said as anybody reads.
            let running = Monotonic::from_nanos(u64::try_from(now).unwrap_or_default());
            if self.moves.admit(running).is_some() {
                self.ready.push_back(Output::Mark(Mark::Moved(moved)));
            }
        }
        self.ready.push_back(Output::Reached(position));
        let discont = std::mem::take(&mut self.discont) || silence.is_some();
        self.tracks.meet(&fragment.header);
        if discont {
            self.tracks.restart();
        }
        let silence = fragment.gap.map(|gap| (gap, position));
        if let Some((gap, _)) = silence {
            Tally::add(&self.run.tally.gaps, 1);
            let span = gap.to.since(gap.from).unwrap_or_default();
            Tally::add(&self.run.tally.gap_nanos, message::nanos(span));
        }
        self.current =
            Some(Current { stamp: Stamp::of(&fragment), fragment: Arc::clone(&fragment), position });
        self.mark(Mark::Begin { fragment, position, discont, silence });
    }

    fn frame(&mut self, frame: Frame, now: impl FnOnce() -> i64) {
        let Some(current) = &self.current else { return };
        let utc = match &mut self.server {
            Some(server) => server.utc(frame.time),
            None => frame.time,
        };
        let position = match &mut self.line {
            Some(Line::Recorded(line)) => self.onward.position(line.position(utc)),
            Some(Line::Live(live)) => live.position(utc, now()),
            None => return,
        };
        // A picture that leads the first one of all: nothing to decode it by was read.
        let Ok(pts) = u64::try_from(position) else {
            Tally::add(&self.run.tally.before_origin, 1);
            return;
        };
        self.latest = self.latest.max(position);
        self.onward.take(position);
        let own = frame.duration.map(message::nanos).map(gst::ClockTime::from_nseconds);
        let lasts = self.tracks.of(frame.track).and_then(|track| {
            track.pace.take(position, own.and_then(|own| i64::try_from(own.nseconds()).ok()));
            own.or(track.lasts)
        });
        if let Some(waiting) = self.landing.take() {
            self.ready.push_back(Output::Landed(position));
            self.ready.extend(waiting.into_iter().map(Output::Mark));
        }
        let mut buffer = gst::Buffer::from_slice(frame.payload.clone());
        // Nobody else has it yet.
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_nseconds(pts));
            buffer.set_offset(frame.track.0);
            buffer.set_duration(lasts);
            let mut flags = gst::BufferFlags::empty();
            flags.set(gst::BufferFlags::DELTA_UNIT, !frame.key);
            flags.set(gst::BufferFlags::DROPPABLE, frame.discardable);
            flags.set(gst::BufferFlags::DECODE_ONLY, frame.invisible);
            buffer.set_flags(flags);
            current.stamp.put(buffer, &frame);
        }
        self.ready.push_back(Output::Buffer(buffer));
    }
}

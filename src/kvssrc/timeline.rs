//! Stream time, and which UTC it is.
//!
//! Pure: no GStreamer. Positions are nanoseconds of stream time; zero is the first frame of a range, or of what is
//! followed.

use kvs_client::download::Span;
use kvs_media::time::Utc;

/// From the last frame before a gap that is closed to the first one behind it.
const SEAM: i64 = 40_000_000;

/// The time line of a range of the archive: fixed by its first frame, so that a position is the same frame whenever it
/// is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// Where positions go on elsewhere in time; the first at zero, sorted.
    legs: Vec<Leg>,
    /// Silences are closed.
    closes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leg {
    from: Utc,
    at: i64,
    /// Nothing of it is later than this, and what is counts as the beginning of the next.
    to: Option<Utc>,
}

impl Recorded {
    /// That of a range whose first frame is at `origin`. With `spans` silences between them are closed, and such as are
    /// found later.
    pub(crate) fn new(origin: Utc, spans: Option<&[Span]>) -> Self {
        let mut line = Self { legs: vec![Leg { from: origin, at: 0, to: None }], closes: spans.is_some() };
        let spans = spans.unwrap_or_default();
        for (before, after) in spans.iter().zip(spans.iter().skip(1)) {
            line.add(Span { from: before.to, to: after.from });
        }
        line
    }

    /// There is a silence. Closed, when that is wished and it was not known.
    pub(crate) fn add(&mut self, gap: Span) {
        let Some(last) = self.legs.last().copied().filter(|last| self.closes && gap.to > last.from) else {
            return;
        };
        // What came behind the end that is told was in the same leg.
        let end = gap.from.max(last.from);
        let at = last.at.saturating_add(apart(end, last.from)).saturating_add(SEAM);
        // Closing must not lengthen.
        if apart(gap.to, end) <= SEAM {
            return;
        }
        if let Some(last) = self.legs.last_mut() {
            last.to = Some(end);
        }
        self.legs.push(Leg { from: gap.to, at, to: None });
    }

    /// The position of an instant; negative before the first frame.
    pub(crate) fn position(&self, utc: Utc) -> i64 {
        let place = self.legs.partition_point(|leg| leg.from <= utc).saturating_sub(1);
        let Some(leg) = self.legs.get(place) else { return 0 };
        let within = leg.to.map_or(utc, |to| utc.min(to));
        leg.at.saturating_add(apart(within, leg.from))
    }

    /// The instant of a position.
    pub(crate) fn utc(&self, position: i64) -> Utc {
        let place = self.legs.partition_point(|leg| leg.at <= position).saturating_sub(1);
        let Some(leg) = self.legs.get(place) else { return Utc::EPOCH };
        let utc = Utc::from_nanos(leg.from.nanos().saturating_add(position.saturating_sub(leg.at)));
        // Between two legs nothing is: the next begins.
        match (leg.to, self.legs.get(place.saturating_add(1))) {
            (Some(to), Some(next)) if utc > to => next.from,
            _ => utc,
        }
    }
}

/// What is read of a range from one seek to the next, when the producer's clock goes back in it, as it may where it is
/// followed: time goes on behind all that was before, and where it was when the clock is right again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Onward {
    /// Ahead of the time line of the range.
    by: i64,
    /// Where the latest fragment begins on that.
    begun: Option<i64>,
    latest: Option<i64>,
}

impl Onward {
    /// A fragment begins here on the time line of the range. Before the one before it, time goes on elsewhere: by `length`
    /// behind the latest frame. By how much that is, when it is another time than before.
    pub(crate) fn begin(&mut self, position: i64, length: i64) -> Option<i64> {
        let before = self.begun.replace(position)?;
        let latest = self.latest?;
        let by = match position {
            _ if position > latest => 0,
            _ if position >= before => self.by,
            _ => latest.saturating_add(length.max(1_000_000)).saturating_sub(position),
        };
        let moved = by.saturating_sub(std::mem::replace(&mut self.by, by));
        (moved != 0).then_some(moved)
    }

    /// Where that is which is here on the time line of the range.
    pub(crate) const fn position(&self, position: i64) -> i64 {
        position.saturating_add(self.by)
    }

    /// A frame is here.
    pub(crate) fn take(&mut self, position: i64) {
        self.latest = self.latest.max(Some(position));
    }
}

/// By whose clock positions are, where that is not the producer's: fragments are moved to when they came in, and never
/// onto each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByServer {
    shift: i64,
    latest: Option<Utc>,
    /// Fragments that came in faster than they last.
    moved: u64,
}

impl ByServer {
    /// A fragment begins, which came in at `server` and lies no earlier than `laid`. One that is `resumed` is where it was.
    pub(crate) fn begin(&mut self, producer: Utc, server: Utc, laid: Utc, resumed: bool) {
        if resumed && self.latest.is_some() {
            return;
        }
        let least = self.latest.map(|latest| Utc::from_nanos(latest.nanos().saturating_add(1_000_000)));
        let begin = least.map_or(laid, |least| laid.max(least));
        self.moved = self.moved.saturating_add(u64::from(begin > server));
        self.shift = apart(begin, producer);
    }

    /// When a frame is, by the service's clock.
    pub(crate) fn utc(&mut self, producer: Utc) -> Utc {
        let utc = self.shifted(producer);
        self.latest = Some(self.latest.map_or(utc, |latest| latest.max(utc)));
        utc
    }

    /// What an instant near the fragment is by the service's clock.
    pub(crate) const fn shifted(&self, producer: Utc) -> Utc {
        Utc::from_nanos(producer.nanos().saturating_add(self.shift))
    }

    /// Reading goes on elsewhere.
    pub(crate) fn restart(&mut self) {
        self.latest = None;
    }

    /// How many fragments came in faster than they last.
    pub(crate) const fn moved(&self) -> u64 {
        self.moved
    }
}

/// What is followed, on the running time of the pipeline: the first frame is shown when it comes, and the others as far
/// from it as they were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Live {
    /// Running time of UTC zero.
    offset: Option<i64>,
    /// The latest frame, and when it came.
    latest: Option<(Utc, i64)>,
    /// The beginning of the latest fragment, and when that came in at the service.
    begun: Option<(Utc, Utc)>,
}

/// A jump beyond this is another time line: no camera jitters so.
const TOLERANCE: i64 = 1_000_000_000;

impl Live {
    /// A fragment begins at `utc`, came in at the service at `server`, and comes at this running time. Time goes on
    /// elsewhere when the producer's clock has jumped; then by how much.
    ///
    /// What is read faster than it was made, as a backlog is, steps by the service's clock as it does by the producer's.
    /// Where tracks end one after another, a fragment may begin `overlap` before the latest of the frames before it.
    pub(crate) fn begin(&mut self, utc: Utc, server: Utc, now: i64, overlap: i64) -> Option<i64> {
        let before = self.begun.replace((utc, server));
        let (Some(offset), Some((latest, came))) = (self.offset, self.latest) else {
            self.offset = Some(now.saturating_sub(utc.nanos()));
            return None;
        };
        let ahead = apart(utc, latest);
        let elapsed = now.saturating_sub(came).max(0);
        let came_alike = before.is_some_and(|(begun, came_in)| {
            apart(utc, begun).saturating_sub(apart(server, came_in)) <= TOLERANCE
        });
        if ahead > overlap.saturating_neg() && (came_alike || ahead.saturating_sub(elapsed) <= TOLERANCE) {
            return None;
        }
        // Behind all that was said.
        let least = latest.nanos().saturating_add(offset).saturating_add(1_000_000);
        let goes_on = now.max(least).saturating_sub(utc.nanos());
        self.offset = Some(goes_on);
        // What is still on its way of the time before does not count.
        self.latest = Some((utc, now));
        Some(goes_on.saturating_sub(offset))
    }

    /// The position of a frame that comes now.
    pub(crate) fn position(&mut self, utc: Utc, now: i64) -> i64 {
        let latest = match self.latest {
            Some((latest, came)) if latest >= utc => (latest, came.max(now)),
            _ => (utc, now),
        };
        self.latest = Some(latest);
        let offset = *self.offset.get_or_insert(now.saturating_sub(utc.nanos()));
        utc.nanos().saturating_add(offset)
    }

    /// The running time of an instant; none before the first frame.
    pub(crate) fn at(&self, utc: Utc) -> Option<i64> {
        Some(utc.nanos().saturating_add(self.offset?))
    }
}

/// Where the frames of a track end, of which only the beginnings are told. Positions come in decoding order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    /// How long each lasts, where the header says so.
    lasts: Option<i64>,
    /// The two latest that follow each other, as far as is known.
    latest: Option<i64>,
    before: Option<i64>,
    /// From one to the next, when the next but one came.
    step: Option<i64>,
    /// The latest of all, and how long that one says that it lasts.
    last: Option<(i64, Option<i64>)>,
}

impl Pace {
    /// That of a track whose frames last so long, where that is told.
    pub(crate) fn new(lasts: Option<i64>) -> Self {
        Self { lasts, ..Self::default() }
    }

    /// A frame begins at `position`, and says perhaps that it lasts so long.
    pub(crate) fn take(&mut self, position: i64, lasts: Option<i64>) {
        if self.last.is_none_or(|(last, _)| position >= last) {
            self.last = Some((position, lasts));
        }
        if self.latest.is_none_or(|latest| position > latest) {
            self.step = self.between().or(self.step);
            self.before = self.latest.replace(position);
        } else if self.latest > Some(position) && self.before < Some(position) {
            self.before = Some(position);
        }
    }

    /// What comes does not follow what was.
    pub(crate) fn restart(&mut self) {
        self.step = self.between().or(self.step);
        (self.latest, self.before) = (None, None);
    }

    /// How long a frame lasts that does not say so.
    pub(crate) fn length(&self) -> i64 {
        // A picture that is shown behind others comes before them: until they are there, it seems to be far from the last.
        let seen = [self.between(), self.step].into_iter().flatten().min();
        self.lasts.or(seen).unwrap_or_default()
    }

    /// Where the latest frame of all ends.
    pub(crate) fn end(&self) -> i64 {
        let (last, lasts) = self.last.unwrap_or_default();
        last.saturating_add(lasts.unwrap_or_else(|| if self.last.is_some() { self.length() } else { 0 }))
    }

    fn between(&self) -> Option<i64> {
        Some(self.latest?.saturating_sub(self.before?))
    }
}

/// Nanoseconds from `earlier` to `later`; negative when it is not.
pub(crate) const fn apart(later: Utc, earlier: Utc) -> i64 {
    later.nanos().saturating_sub(earlier.nanos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;
    const EPOCH: i64 = 1_790_000_000_000;

    fn at(ms: i64) -> Utc {
        Utc::from_millis(EPOCH + ms).unwrap()
    }

    fn gap(from: i64, to: i64) -> Span {
        Span { from: at(from), to: at(to) }
    }

    #[test]
    fn silences_stay_or_are_closed() {
        let spans = [gap(0, 1_000), gap(61_000, 63_000), gap(90_000, 91_000)];
        let kept = Recorded::new(at(0), None);
        let closed = Recorded::new(at(0), Some(&spans));
        for (utc, keep, close) in [
            (0, 0, 0),
            (960, 960, 960),
            (61_000, 61_000, 1_040),
            (63_000, 63_000, 3_040),
            (90_500, 90_500, 3_580),
            (500_000, 500_000, 413_080),
        ] {
            assert_eq!((kept.position(at(utc)), closed.position(at(utc))), (keep * MS, close * MS), "{utc}");
            assert_eq!((kept.utc(keep * MS), closed.utc(close * MS)), (at(utc), at(utc)), "{utc}");
        }
        assert_eq!(kept.position(at(-50)), -50 * MS);
        // What lies in a silence is its end.
        assert_eq!(closed.position(at(30_000)), 1_000 * MS);
        assert_eq!(closed.utc(1_020 * MS), at(61_000));
    }

    #[test]
    fn a_silence_that_comes_while_it_is_read_is_closed_too_and_once() {
        let mut line = Recorded::new(at(0), Some(&[gap(0, 1_000)]));
        line.add(gap(1_960, 10_000));
        let before = line.clone();
        line.add(gap(1_960, 10_000));
        assert_eq!(line, before);
        assert_eq!((line.position(at(1_960)), line.position(at(10_000))), (1_960 * MS, 2_000 * MS));
        let mut kept = Recorded::new(at(0), None);
        kept.add(gap(1_960, 10_000));
        assert_eq!(kept.position(at(10_000)), 10_000 * MS);
    }

    #[test]
    fn a_range_goes_on_when_the_clock_goes_back_and_where_it_was_when_that_is_right_again() {
        let mut onward = Onward::default();
        assert_eq!(onward.begin(0, 40 * MS), None);
        onward.take(10_000 * MS);
        // Two producers at once, in the order of their time.
        assert_eq!(onward.begin(8_000 * MS, 40 * MS), None);
        assert_eq!(onward.begin(-3_000 * MS, 40 * MS), Some(13_040 * MS));
        assert_eq!(onward.position(-2_960 * MS), 10_080 * MS);
        onward.take(12_000 * MS);
        assert_eq!(onward.begin(-1_000 * MS, 40 * MS), None);
        assert_eq!(onward.begin(12_001 * MS, 40 * MS), Some(-13_040 * MS));
        assert_eq!(onward.position(12_001 * MS), 12_001 * MS);
    }

    #[test]
    fn by_the_services_clock_no_fragment_lies_on_another() {
        let mut line = ByServer::default();
        line.begin(at(0), at(5_000), at(5_000), false);
        assert_eq!(line.utc(at(40)), at(5_040));
        assert_eq!(line.utc(at(1_960)), at(6_960));
        // Sent in one go.
        line.begin(at(2_000), at(5_100), at(5_100), false);
        assert_eq!((line.utc(at(2_000)), line.moved()), (at(6_961), 1));
        // The rest of it, which its producer has sent again.
        line.begin(at(2_000), at(8_000), at(8_000), true);
        assert_eq!((line.utc(at(2_040)), line.moved()), (at(7_001), 1));
        line.begin(at(4_000), at(9_000), at(9_000), false);
        assert_eq!(line.utc(at(4_000)), at(9_000));
    }

    #[test]
    fn the_first_frame_of_a_live_stream_is_shown_when_it_comes() {
        let mut live = Live::default();
        assert_eq!(live.begin(at(0), at(0), 7_000 * MS, 0), None);
        assert_eq!(live.position(at(0), 7_000 * MS), 7_000 * MS);
        // The rest of the fragment is there already.
        assert_eq!(live.position(at(960), 7_001 * MS), 7_960 * MS);
        assert_eq!(live.begin(at(1_000), at(1_000), 7_050 * MS, 0), None);
        assert_eq!(live.position(at(1_000), 7_050 * MS), 8_000 * MS);
        // A camera that pauses, and one that is late.
        assert_eq!(live.begin(at(3_601_000), at(3_601_000), 3_607_000 * MS, 0), None);
        assert_eq!(live.position(at(3_601_000), 3_607_000 * MS), 3_608_000 * MS);
    }

    #[test]
    fn a_clock_that_jumps_makes_time_go_on_where_it_is() {
        for (jump, now) in [(86_400_000, 7_100), (-86_400_000, 7_100)] {
            let mut live = Live::default();
            live.begin(at(0), at(0), 7_000 * MS, 0);
            live.position(at(0), 7_000 * MS);
            live.position(at(500), 7_020 * MS);
            let moved = live.begin(at(jump), at(1_000), now * MS, 0).unwrap();
            assert_eq!(moved.signum(), -jump.signum());
            // Not before what was said.
            assert_eq!(live.position(at(jump), now * MS), 7_501 * MS);
            assert_eq!(live.position(at(jump + 40), now * MS), 7_541 * MS);
            assert_eq!(live.begin(at(jump + 1_000), at(2_000), (now + 1_000) * MS, 0), None);
        }
    }

    #[test]
    fn tracks_that_end_one_after_another_are_no_jump() {
        let mut live = Live::default();
        live.begin(at(0), at(0), 7_000 * MS, 0);
        live.position(at(2_010), 7_010 * MS);
        let mut alone = live;
        assert_eq!(live.begin(at(2_000), at(2_000), 9_000 * MS, 100 * MS), None);
        assert_eq!(live.position(at(2_000), 9_000 * MS), 9_000 * MS);
        assert!(alone.begin(at(2_000), at(2_000), 9_000 * MS, 0).is_some());
        assert!(live.begin(at(1_000), at(4_000), 9_000 * MS, 100 * MS).is_some());
    }

    #[test]
    fn a_backlog_is_no_jump_however_far_apart_it_is() {
        let mut live = Live::default();
        // A frame every three seconds, each a fragment, all read at once; they came in a little unevenly.
        for (number, late) in [80, 300, 0, 900, 40].into_iter().enumerate() {
            let at_ms = i64::try_from(number).unwrap() * 3_000;
            assert_eq!(live.begin(at(at_ms), at(at_ms + late), 7_000 * MS, 0), None, "{number}");
            assert_eq!(live.position(at(at_ms), 7_000 * MS), (7_000 + at_ms) * MS);
        }
        // The clock jumps in the middle of it.
        assert!(live.begin(at(86_400_000), at(15_000), 7_000 * MS, 0).is_some());
        assert_eq!(live.position(at(86_400_000), 7_000 * MS), 19_001 * MS);
        assert_eq!(live.begin(at(86_403_000), at(18_000), 7_000 * MS, 0), None);
    }

    #[test]
    fn the_last_frame_lasts_as_long_as_it_says_or_its_header_or_the_one_before() {
        let end = |lasts: Option<i64>, frames: &[(i64, Option<i64>)]| {
            let mut pace = Pace::new(lasts);
            frames.iter().for_each(|(position, lasts)| pace.take(*position, *lasts));
            pace.end()
        };
        assert_eq!(end(None, &[]), 0);
        assert_eq!(end(None, &[(7, None)]), 7);
        assert_eq!(end(Some(40), &[]), 0);
        assert_eq!(end(Some(40), &[(0, None), (100, None)]), 140);
        assert_eq!(end(Some(40), &[(0, None), (100, Some(5))]), 105);
        assert_eq!(end(None, &[(0, None), (100, None)]), 200);
        // In decoding order: one group, and with the next one begun.
        assert_eq!(end(None, &[(0, None), (300, None), (100, None), (200, None)]), 400);
        let group = [(0, None), (300, None), (100, None), (200, None), (600, None)];
        assert_eq!(end(None, &group), 700);
        // Nothing follows what is elsewhere.
        let mut pace = Pace::default();
        [0, 40, 80].into_iter().for_each(|position| pace.take(position, None));
        pace.restart();
        pace.take(5_000, None);
        assert_eq!(pace.end(), 5_040);
        pace.restart();
        pace.take(60, None);
        assert_eq!((pace.end(), pace.length()), (5_040, 40));
    }

    proptest! {
        #[test]
        fn positions_go_up_with_time_and_come_back(
            lengths in prop::collection::vec((1_000_i64..100_000, 2_001_i64..1_000_000), 1..20),
            probes in prop::collection::vec((any::<prop::sample::Index>(), 0_i64..100_000), 1..50),
        ) {
            let mut spans = Vec::new();
            let mut begin = 0;
            for (length, silence) in lengths {
                spans.push(gap(begin, begin + length));
                begin += length + silence;
            }
            let line = Recorded::new(at(0), Some(&spans));
            // Found on the way, it is the same.
            let mut found = Recorded::new(at(0), Some(&[]));
            for (before, after) in spans.iter().zip(&spans[1..]) {
                found.add(Span { from: before.to, to: after.from });
            }
            prop_assert_eq!(&found, &line);
            let mut seen: Vec<_> = probes.iter().map(|(index, within)| {
                let span = index.get(&spans);
                Utc::from_nanos(span.from.nanos() + within * MS % apart(span.to, span.from))
            }).collect();
            seen.sort_unstable();
            seen.dedup();
            for pair in seen.windows(2) {
                let (one, other) = (line.position(pair[0]), line.position(pair[1]));
                prop_assert!(one < other && other - one <= apart(pair[1], pair[0]));
            }
            for utc in seen {
                prop_assert_eq!(line.utc(line.position(utc)), utc);
            }
        }

        #[test]
        fn no_time_is_too_far(a: i64, b: i64, c: i64, now: i64) {
            let [a, b, c] = [a, b, c].map(Utc::from_nanos);
            let mut line = Recorded::new(a, Some(&[]));
            line.add(Span { from: b, to: c });
            let _ = (line.position(b), line.position(c), line.utc(now));
            let mut onward = Onward::default();
            for at in [a, b, c].map(Utc::nanos) {
                onward.begin(at, now);
                onward.take(onward.position(at));
            }
            let mut live = Live::default();
            live.begin(a, b, now, 0);
            live.position(b, now);
            live.begin(c, a, now, 0);
            live.position(c, now);
            let mut server = ByServer::default();
            server.begin(a, b, c, false);
            server.utc(c);
            server.begin(c, a, b, true);
            let mut pace = Pace::new((now % 2 == 0).then_some(now));
            for at in [a, b, c] {
                pace.take(at.nanos(), (at.nanos() % 2 == 0).then_some(now));
                let _ = (pace.end(), pace.length());
            }
            pace.restart();
            let _ = pace.end();
        }
    }
}

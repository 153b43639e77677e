//! The running time of a sink, and how far UTC is ahead of it.

use std::sync::{Arc, Mutex, PoisonError};

use kvs_client::clock;
use kvs_media::time::RunningTime;

use crate::wall::Wall;

/// How far UTC is ahead of running time; one for all pads, so that they stay together.
#[derive(Debug, Default)]
pub(crate) struct Timeline(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    wall: Option<Arc<Wall>>,
    base: i64,
    /// What running time lacks since it began anew without a new base time.
    shift: i64,
    /// The flush after which running time begins anew, until the next frame shows where.
    anew: bool,
    last_flush: Option<gst::Seqnum>,
    /// Without a clock: what UTC was ahead at the first frame.
    fixed: Option<i64>,
}

/// Less is how far upstream is ahead or late, and not another time line.
const ANOTHER: i64 = 1_000_000_000;

impl Timeline {
    /// The element plays, with this clock and base time. Whatever running time lacked, it still does.
    pub(crate) fn play(&self, clock: Option<&gst::Clock>, base: i64) {
        let mut inner = self.inner();
        match clock {
            Some(clock) if inner.wall.as_ref().is_some_and(|wall| wall.is_of(clock)) => {}
            Some(clock) => inner.wall = Some(Wall::of(clock)),
            None => inner.wall = None,
        }
        inner.base = base;
    }

    /// Running time begins anew by this flush. One seek flushes every pad, and is one beginning.
    pub(crate) fn flush(&self, seqnum: gst::Seqnum) {
        let mut inner = self.inner();
        if inner.last_flush.replace(seqnum) != Some(seqnum) {
            inner.anew = true;
        }
    }

    /// How far UTC is ahead of running time, for a frame at `running`. The base time that the element has now differs from the
    /// one it played with when the pipeline itself has begun anew.
    pub(crate) fn offset(&self, base: i64, running: Option<RunningTime>) -> i64 {
        let now = clock::monotonic();
        let mut inner = self.inner();
        let Some(wall) = inner.wall.clone() else {
            let running = running.unwrap_or_default().nanos();
            return *inner.fixed.get_or_insert_with(|| clock::utc().nanos().saturating_sub(running));
        };
        if base != inner.base {
            (inner.base, inner.shift, inner.anew) = (base, 0, false);
        }
        if let (true, Some(running)) = (inner.anew, running) {
            inner.anew = false;
            let late = wall.clock_time().saturating_sub(base).saturating_sub(running.nanos());
            inner.shift = if late.saturating_abs() > ANOTHER { late } else { 0 };
        }
        wall.offset(now).saturating_add(inner.base).saturating_add(inner.shift)
    }

    /// The running time that it is now; zero without a clock.
    pub(crate) fn running(&self) -> RunningTime {
        let inner = self.inner();
        let now = inner.wall.as_ref().map_or(0, |wall| wall.clock_time().saturating_sub(inner.base));
        RunningTime::from_nanos(now.saturating_sub(inner.shift))
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gst::prelude::*;

    const SECOND: i64 = 1_000_000_000;

    fn at(seconds: i64) -> Option<RunningTime> {
        Some(RunningTime::from_nanos(seconds * SECOND))
    }

    #[test]
    fn a_running_time_that_begins_anew_goes_on_in_utc_unless_the_pipeline_does_too() {
        gst::init().unwrap();
        let clock = gst::SystemClock::obtain();
        // As if it had played for 100 s.
        let now = i64::try_from(clock.time().nseconds()).unwrap();
        let (base, timeline) = (now - 100 * SECOND, Timeline::default());
        timeline.play(Some(&clock), base);
        let before = timeline.offset(base, at(100));
        let seek = gst::Seqnum::next();
        timeline.flush(seek);
        let after = timeline.offset(base, at(0));
        assert!((after - before - 100 * SECOND).abs() < SECOND, "{}", after - before);
        // The other pad flushes by the same seek.
        timeline.flush(seek);
        assert_eq!(timeline.offset(base, at(1)), after);
        // A pause moves the base time and changes nothing else.
        timeline.play(Some(&clock), base + SECOND);
        assert_eq!(timeline.offset(base + SECOND, at(2)), after + SECOND);
        // The pipeline has begun anew, after another sink's preroll.
        assert!((timeline.offset(now, at(0)) - after).abs() < SECOND);
    }

    #[test]
    fn a_sink_without_a_clock_counts_from_its_first_frame() {
        gst::init().unwrap();
        let timeline = Timeline::default();
        let offset = timeline.offset(0, at(5));
        assert!((offset + 5 * SECOND - clock::utc().nanos()).abs() < SECOND);
        assert_eq!(timeline.offset(0, at(6)), offset);
    }
}

//! From the times that a pipeline has to UTC.
//!
//! Pure: what clocks say comes in as arguments.

use std::time::Duration;

use kvs_media::time::{RunningTime, Utc};

/// No correction is faster than this, so that time neither stands still nor runs: 500 ppm is what NTP allows itself.
const SLEW_PPM: i64 = 500;

/// Two readings of the same moment differ by as much when the machine is busy: that is no drift.
const UNCERTAIN: i64 = 2_000_000;

/// Beyond this it was the wall clock that was set, and following slowly would take half an hour.
const STEP: i64 = 1_000_000_000;

/// How far UTC is ahead of a pipeline's clock: followed, since a sound card's clock may be off by seconds a day, and
/// slowly, so that the times of frames stay in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Drift {
    offset: i64,
    observed: i64,
}

/// What an observation led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observed {
    /// Nothing, or a correction that nobody will notice.
    Followed,
    /// The wall clock was set: times go on elsewhere, by so many nanoseconds.
    Stepped(i64),
}

impl Drift {
    /// From the first reading of both clocks at one moment.
    pub(crate) const fn new(clock: i64, utc: Utc) -> Self {
        Self { offset: utc.nanos().saturating_sub(clock), observed: clock }
    }

    /// Takes in another reading of both clocks.
    pub(crate) fn observe(&mut self, clock: i64, utc: Utc) -> Observed {
        let error = utc.nanos().saturating_sub(clock).saturating_sub(self.offset);
        let elapsed = clock.saturating_sub(self.observed).max(0);
        self.observed = clock;
        if error.saturating_abs() >= STEP {
            self.offset = self.offset.saturating_add(error);
            return Observed::Stepped(error);
        }
        if error.saturating_abs() > UNCERTAIN {
            let most = elapsed / (1_000_000 / SLEW_PPM);
            self.offset = self.offset.saturating_add(error.clamp(-most, most));
        }
        Observed::Followed
    }

    /// What to add to the clock's time.
    pub(crate) const fn offset(&self) -> i64 {
        self.offset
    }
}

/// Where the UTC of frames comes from, with what that needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calendar {
    /// What upstream says of each frame, and the clock where it says nothing.
    Reference,
    /// The pipeline's clock.
    Clock,
    /// The moment at which a frame arrives.
    Arrival,
    /// The frame's own time is UTC.
    Buffer,
    /// Recorded before: running time from here on.
    From(Utc),
}

/// What is known of a buffer's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// Presentation time, as running time.
    pub(crate) pts: Option<RunningTime>,
    /// Decoding time, as running time.
    pub(crate) dts: Option<RunningTime>,
    /// Presentation time, else decoding time, as it stands in the buffer.
    pub(crate) raw: Option<i64>,
    /// How long it lasts.
    pub(crate) duration: Duration,
    /// What upstream says when it was made.
    pub(crate) reference: Option<Utc>,
}

/// What clocks say when a buffer arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Now {
    /// The wall clock.
    pub(crate) utc: Utc,
    /// The pipeline's.
    pub(crate) running: RunningTime,
    /// What to add to running time, by the pipeline's clock.
    pub(crate) offset: i64,
}

/// A time that a frame got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// In the pipeline.
    pub(crate) running: RunningTime,
    /// By the calendar.
    pub(crate) utc: Utc,
    /// What had to be mended for that.
    pub(crate) mended: Option<Mended>,
}

/// What had to be mended of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mended {
    /// It had none: it follows the frame before.
    Interpolated,
    /// It had none, nor had any before: it is shown when it arrived.
    Arrived,
    /// The calendar goes on elsewhere, by so many nanoseconds.
    Moved(i64),
}

/// The times of one track, frame by frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timetable {
    /// The last presentation time, and when what it belongs to is over.
    last: Option<(RunningTime, RunningTime)>,
    /// What upstream's reference is ahead of running time.
    reference: Option<i64>,
    /// The last difference between the calendar and running time, where that is one.
    ahead: Option<i64>,
}

/// The calendar is said to have moved when it did by more: less is what jitter does to a reference.
const NOTEWORTHY: i64 = 250_000_000;

impl Timetable {
    /// Gives a frame its times. `typical` is how long a frame of this track lasts, zero where that is not known.
    pub(crate) fn place(&mut self, calendar: Calendar, times: &Times, typical: Duration, now: Now) -> Placed {
        let (running, mut mended) = match (times.pts.or(times.dts), self.last) {
            (Some(running), _) => (running, None),
            (None, Some((_, over))) => (over, Some(Mended::Interpolated)),
            (None, None) => (now.running, Some(Mended::Arrived)),
        };
        let lasts = if times.duration.is_zero() { typical } else { times.duration };
        self.last = Some((running, running.saturating_add(lasts)));
        if let Some(utc) = times.reference {
            self.reference = Some(utc.nanos().saturating_sub(running.nanos()));
        }
        let by = |offset| Utc::from_nanos(running.nanos().saturating_add(offset));
        let (utc, ahead) = match calendar {
            Calendar::Reference => {
                let offset = self.reference.unwrap_or(now.offset);
                // To the nanosecond as it was said.
                (times.reference.unwrap_or(by(offset)), Some(offset))
            }
            Calendar::Clock => (by(now.offset), Some(now.offset)),
            Calendar::Arrival => (now.utc, None),
            Calendar::Buffer => (times.raw.map_or(now.utc, Utc::from_nanos), None),
            Calendar::From(start) => (by(start.nanos()), None),
        };
        if let (Some(before), Some(after)) = (self.ahead, ahead) {
            let by = after.saturating_sub(before);
            if by.saturating_abs() > NOTEWORTHY {
                mended = Some(Mended::Moved(by));
            }
        }
        self.ahead = ahead;
        Placed { running, utc, mended }
    }

    /// Time begins anew: nothing follows from the frames before.
    pub(crate) fn restart(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const SECOND: i64 = 1_000 * MS;
    const EPOCH: i64 = 1_790_000_000 * SECOND;

    fn at(ms: i64) -> RunningTime {
        RunningTime::from_nanos(ms * MS)
    }

    fn now() -> Now {
        Now { utc: Utc::from_nanos(EPOCH + 7_777 * MS), running: at(7_000), offset: EPOCH }
    }

    fn times(pts: Option<i64>, dts: Option<i64>) -> Times {
        Times { pts: pts.map(at), dts: dts.map(at), ..Times::default() }
    }

    #[test]
    fn a_day_beside_a_clock_that_runs_fast_stays_within_a_frame_and_in_order() {
        for ppm in [-300, -20, 0, 100, 300] {
            let mut drift = Drift::new(0, Utc::from_nanos(EPOCH));
            let mut last = i64::MIN;
            for second in 0..=24 * 3_600_i64 {
                let truth = second * SECOND;
                let clock = truth + truth / 1_000_000 * ppm;
                // Readings that come late, now and then.
                let late = second * 7_919 % 1_500 * 1_000;
                assert_eq!(drift.observe(clock, Utc::from_nanos(EPOCH + truth + late)), Observed::Followed);
                let utc = clock + drift.offset();
                assert!(
                    (utc - EPOCH - truth).abs() < 16 * MS,
                    "{ppm} ppm: {} after {second} s",
                    utc - EPOCH - truth
                );
                assert!(utc > last);
                last = utc;
            }
        }
    }

    #[test]
    fn a_wall_clock_that_is_set_is_followed_at_once_and_said() {
        let mut drift = Drift::new(5 * SECOND, Utc::from_nanos(100 * SECOND));
        assert_eq!(drift.observe(6 * SECOND, Utc::from_nanos(101 * SECOND + MS)), Observed::Followed);
        assert_eq!(drift.offset(), 95 * SECOND);
        let set = Utc::from_nanos(EPOCH + 7 * SECOND);
        assert_eq!(drift.observe(7 * SECOND, set), Observed::Stepped(EPOCH - 95 * SECOND));
        assert_eq!(drift.offset(), EPOCH);
    }

    #[test]
    fn every_calendar_has_its_own_utc() {
        let named = Utc::from_nanos(EPOCH + 123);
        let rows = [
            (Calendar::Clock, None, EPOCH + 40 * MS),
            (Calendar::Reference, None, EPOCH + 40 * MS),
            (Calendar::Reference, Some(named), EPOCH + 123),
            (Calendar::Clock, Some(named), EPOCH + 40 * MS),
            (Calendar::Arrival, Some(named), EPOCH + 7_777 * MS),
            (Calendar::Buffer, Some(named), 999),
            (Calendar::From(Utc::from_nanos(500)), Some(named), 500 + 40 * MS),
        ];
        for (calendar, reference, utc) in rows {
            let times = Times { raw: Some(999), reference, ..times(Some(40), Some(20)) };
            let placed = Timetable::default().place(calendar, &times, Duration::ZERO, now());
            assert_eq!(
                placed,
                Placed { running: at(40), utc: Utc::from_nanos(utc), mended: None },
                "{calendar:?}"
            );
        }
    }

    #[test]
    fn a_frame_without_a_time_follows_the_one_before() {
        let mut table = Timetable::default();
        let typical = Duration::from_millis(33);
        let mut place = |times: Times| table.place(Calendar::Clock, &times, typical, now());
        assert_eq!(place(times(None, None)).mended, Some(Mended::Arrived));
        assert_eq!(place(times(None, None)).running, at(7_033));
        assert_eq!(place(times(Some(100), None)).mended, None);
        assert_eq!(
            place(times(None, Some(120))),
            Placed { running: at(120), utc: Utc::from_nanos(EPOCH + 120 * MS), mended: None }
        );
        let own = Times { duration: Duration::from_millis(50), ..times(Some(200), None) };
        assert_eq!(place(own).running, at(200));
        assert_eq!(place(times(None, None)).running, at(250));
        let placed = place(times(None, None));
        assert_eq!((placed.running, placed.mended), (at(283), Some(Mended::Interpolated)));
    }

    #[test]
    fn a_reference_that_comes_late_moves_the_calendar_once_and_keeps_it() {
        let mut table = Timetable::default();
        let mut place = |pts, reference: Option<i64>| {
            let times = Times { reference: reference.map(Utc::from_nanos), ..times(Some(pts), None) };
            table.place(Calendar::Reference, &times, Duration::ZERO, now())
        };
        assert_eq!(place(0, None).utc, Utc::from_nanos(EPOCH));
        let moved = place(40, Some(EPOCH + 3_040 * MS));
        assert_eq!(
            (moved.utc, moved.mended),
            (Utc::from_nanos(EPOCH + 3_040 * MS), Some(Mended::Moved(3_000 * MS)))
        );
        // One without goes on by the last, and jitter is nothing to speak of.
        let without = place(80, None);
        assert_eq!((without.utc, without.mended), (Utc::from_nanos(EPOCH + 3_080 * MS), None));
        assert_eq!(place(120, Some(EPOCH + 3_125 * MS)).mended, None);
    }
}

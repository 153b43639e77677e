//! What a pipeline's clock says, and what the wall clock says: one mapping for all who use the same clock.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use gst::prelude::*;
use kvs_client::clock;
use kvs_media::time::{Monotonic, Utc};

use crate::utc::{Drift, Observed};

/// So often both clocks are compared.
const INTERVAL: Duration = Duration::from_secs(1);

/// How far UTC is ahead of a clock. Shared by all elements that use the clock, so that the same moment has the same UTC
/// in all of them; gone when the last of them is.
#[derive(Debug)]
pub(crate) struct Wall {
    clock: gst::Clock,
    drift: Mutex<Drift>,
    offset: AtomicI64,
    next: AtomicU64,
}

static WALLS: Mutex<Vec<Weak<Wall>>> = Mutex::new(Vec::new());

impl Wall {
    /// The mapping of a clock: the one that others use, else a new one.
    pub(crate) fn of(clock: &gst::Clock) -> Arc<Self> {
        let mut walls = WALLS.lock().unwrap_or_else(PoisonError::into_inner);
        walls.retain(|wall| wall.strong_count() > 0);
        if let Some(known) = walls.iter().filter_map(Weak::upgrade).find(|wall| wall.clock == *clock) {
            return known;
        }
        let (time, utc) = read(clock);
        let drift = Drift::new(time, utc);
        let wall = Arc::new(Self {
            clock: clock.clone(),
            offset: AtomicI64::new(drift.offset()),
            drift: Mutex::new(drift),
            next: AtomicU64::new(clock::monotonic().saturating_add(INTERVAL).nanos()),
        });
        walls.push(Arc::downgrade(&wall));
        wall
    }

    /// Whether it is this clock's.
    pub(crate) fn is_of(&self, clock: &gst::Clock) -> bool {
        self.clock == *clock
    }

    /// What the clock says now.
    pub(crate) fn clock_time(&self) -> i64 {
        nanos(self.clock.time())
    }

    /// How far UTC is ahead of the clock. Compares both when that is due, on one thread at a time.
    pub(crate) fn offset(&self, now: Monotonic) -> i64 {
        let due = self.next.load(Ordering::Relaxed);
        if now.nanos() >= due
            && let Ok(mut drift) = self.drift.try_lock()
        {
            self.next.store(now.saturating_add(INTERVAL).nanos(), Ordering::Relaxed);
            let (time, utc) = read(&self.clock);
            if let Observed::Stepped(by) = drift.observe(time, utc) {
                gst::warning!(crate::log::SINK, obj = self.clock, "the wall clock was set by {by} ns");
            }
            self.offset.store(drift.offset(), Ordering::Relaxed);
        }
        self.offset.load(Ordering::Relaxed)
    }
}

/// Both clocks at one moment: of a few readings the one that took least, since a thread may be halted in between.
fn read(clock: &gst::Clock) -> (i64, Utc) {
    let reading = || {
        let before = nanos(clock.time());
        let utc = clock::utc();
        let took = nanos(clock.time()).saturating_sub(before);
        (took, before.saturating_add(took / 2), utc)
    };
    let best = [reading(), reading(), reading()].into_iter().min_by_key(|(took, ..)| *took);
    best.map_or((0, Utc::EPOCH), |(_, time, utc)| (time, utc))
}

fn nanos(time: gst::ClockTime) -> i64 {
    i64::try_from(time.nseconds()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_use_a_clock_share_its_mapping_and_the_last_one_ends_it() {
        gst::init().unwrap();
        let clock = gst::SystemClock::obtain();
        let (one, other) = (Wall::of(&clock), Wall::of(&clock));
        assert!(Arc::ptr_eq(&one, &other));
        let weak = Arc::downgrade(&one);
        drop((one, other));
        assert!(weak.upgrade().is_none());
        let utc = Utc::from_nanos(Wall::of(&clock).offset(clock::monotonic()) + nanos(clock.time()));
        let apart = (utc.nanos() - clock::utc().nanos()).abs();
        assert!(apart < 5_000_000, "{apart} ns");
    }
}

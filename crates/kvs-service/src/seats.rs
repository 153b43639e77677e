//! How many may be in a place at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A place with so many in it.
#[derive(Debug, Default)]
pub(crate) struct Seats(Arc<AtomicUsize>);

/// Somebody who is in it, until this is dropped.
#[derive(Debug)]
pub(crate) struct Seat(Arc<AtomicUsize>);

impl Seats {
    /// Goes in, unless as many are there as may be.
    pub(crate) fn take(&self, most: usize) -> Option<Seat> {
        let more = |taken: usize| (taken < most).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Seat(Arc::clone(&self.0)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_it_is_left() {
        let seats = Seats::default();
        let (one, two) = (seats.take(2), seats.take(2));
        assert!(one.is_some() && two.is_some() && seats.take(2).is_none());
        drop(one);
        assert!(seats.take(2).is_some());
    }
}

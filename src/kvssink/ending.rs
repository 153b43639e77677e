//! When the stream is over.

/// Where the stream is on the way to its end. `T` is what names the end: the seqnum of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending<T> {
    stage: Stage<T>,
    ticket: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage<T> {
    /// More may come.
    Streaming,
    /// Nothing more comes, and not all is acknowledged.
    Draining(T),
    /// All is acknowledged, or nobody waits any longer.
    Over(T),
}

impl<T> Default for Ending<T> {
    fn default() -> Self {
        Self { stage: Stage::Streaming, ticket: 0 }
    }
}

impl<T: Copy> Ending<T> {
    /// Nothing more comes. Returns what [`expire`](Self::expire) wants to know.
    pub(crate) const fn begin(&mut self, end: T) -> u64 {
        self.ticket = self.ticket.wrapping_add(1);
        self.stage = Stage::Draining(end);
        self.ticket
    }

    /// Something comes after all.
    pub(crate) const fn restart(&mut self) {
        self.stage = Stage::Streaming;
    }

    /// All is acknowledged; true when that was waited for.
    pub(crate) const fn drain(&mut self) -> bool {
        match self.stage {
            Stage::Draining(end) => {
                self.stage = Stage::Over(end);
                true
            }
            Stage::Streaming | Stage::Over(_) => false,
        }
    }

    /// The time for the end of this ticket is over; true when it was still waited for.
    pub(crate) const fn expire(&mut self, ticket: u64) -> bool {
        self.ticket == ticket && self.drain()
    }

    /// More may come.
    pub(crate) const fn is_streaming(&self) -> bool {
        matches!(self.stage, Stage::Streaming)
    }

    /// The end, when it is there: to be said whenever the element plays.
    pub(crate) const fn reached(&self) -> Option<T> {
        match self.stage {
            Stage::Over(end) => Some(end),
            Stage::Streaming | Stage::Draining(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_there_when_all_is_acknowledged_and_not_before() {
        let mut ending = Ending::default();
        assert!(!ending.drain());
        ending.begin('a');
        assert_eq!(ending.reached(), None);
        assert!(ending.drain());
        assert!(!ending.drain());
        assert_eq!(ending.reached(), Some('a'));
    }

    #[test]
    fn a_time_that_is_over_ends_only_what_it_was_set_for() {
        let mut ending = Ending::default();
        let first = ending.begin('a');
        ending.restart();
        assert!(ending.is_streaming());
        assert!(!ending.expire(first));
        let second = ending.begin('b');
        assert!(!ending.expire(first));
        assert!(ending.expire(second));
        assert_eq!(ending.reached(), Some('b'));
    }
}

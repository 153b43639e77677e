//! Where streaming threads are held, and sent away.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What a gate does with those who come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Position {
    /// Sends them away: nothing is taken.
    Away,
    /// Holds them until it is moved.
    Held,
    /// Lets them through.
    Open,
}

/// Holds streaming threads while the element is paused, and sends them away when it stops. Who is let through does not
/// lock.
#[derive(Debug)]
pub(crate) struct Gate {
    position: AtomicU8,
    /// Held while the position or a [`Leave`] changes, so that no waiter misses it.
    moving: Mutex<()>,
    moved: Condvar,
}

/// Sends those of one pad away, whatever the gate's position: the pad flushes, or goes.
#[derive(Debug, Default)]
pub(crate) struct Leave {
    flushing: AtomicBool,
    /// For good: no end of a flush takes it back, or who deactivates the pad would wait for a thread that is held.
    gone: AtomicBool,
}

/// The gate, or its pad, takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentAway;

impl Default for Gate {
    fn default() -> Self {
        Self { position: AtomicU8::new(Position::Away as u8), moving: Mutex::new(()), moved: Condvar::new() }
    }
}

impl Gate {
    /// Moves the gate; those who wait see it.
    pub(crate) fn set(&self, position: Position) {
        let _moving = self.moving();
        self.position.store(position as u8, Ordering::Release);
        self.moved.notify_all();
    }

    /// Sends those of a pad away while it flushes.
    pub(crate) fn set_flushing(&self, leave: &Leave, flushing: bool) {
        let _moving = self.moving();
        leave.flushing.store(flushing, Ordering::Release);
        self.moved.notify_all();
    }

    /// Sends those of a pad away for good.
    pub(crate) fn set_gone(&self, leave: &Leave) {
        let _moving = self.moving();
        leave.gone.store(true, Ordering::Release);
        self.moved.notify_all();
    }

    /// Returns when the gate is open.
    ///
    /// # Errors
    /// When it, or the pad, sends away.
    pub(crate) fn pass(&self, leave: &Leave) -> Result<(), SentAway> {
        if let Some(answer) = self.answer(leave) {
            return answer;
        }
        let mut moving = self.moving();
        loop {
            if let Some(answer) = self.answer(leave) {
                return answer;
            }
            moving = self.moved.wait(moving).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether those of the pad are sent away now.
    pub(crate) fn sends_away(&self, leave: &Leave) -> bool {
        self.answer(leave) == Some(Err(SentAway))
    }

    /// Whether all are let through.
    pub(crate) fn is_open(&self) -> bool {
        self.position.load(Ordering::Acquire) == Position::Open as u8
    }

    fn answer(&self, leave: &Leave) -> Option<Result<(), SentAway>> {
        let position = self.position.load(Ordering::Acquire);
        let leaves = leave.flushing.load(Ordering::Acquire) || leave.gone.load(Ordering::Acquire);
        if leaves || position == Position::Away as u8 {
            Some(Err(SentAway))
        } else {
            (position == Position::Open as u8).then_some(Ok(()))
        }
    }

    fn moving(&self) -> MutexGuard<'_, ()> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;

    /// Somebody who passes the gate, and says what came of it.
    fn visitor(gate: &Arc<Gate>, leave: &Arc<Leave>) -> Receiver<Result<(), SentAway>> {
        let (gate, leave) = (Arc::clone(gate), Arc::clone(leave));
        let (says, said) = channel();
        let (comes, came) = channel();
        thread::spawn(move || {
            comes.send(()).unwrap();
            says.send(gate.pass(&leave)).unwrap();
        });
        came.recv().unwrap();
        said
    }

    #[test]
    fn who_comes_to_an_open_gate_is_let_through_and_to_a_new_one_sent_away() {
        let (gate, leave) = (Gate::default(), Leave::default());
        assert_eq!(gate.pass(&leave), Err(SentAway));
        gate.set(Position::Open);
        assert_eq!(gate.pass(&leave), Ok(()));
        assert!(gate.is_open());
    }

    #[test]
    fn who_is_held_goes_on_when_the_gate_opens() {
        let (gate, leave) = (Arc::new(Gate::default()), Arc::default());
        gate.set(Position::Held);
        let said = visitor(&gate, &leave);
        assert!(said.try_recv().is_err());
        gate.set(Position::Open);
        assert_eq!(said.recv().unwrap(), Ok(()));
    }

    #[test]
    fn who_is_held_is_sent_away_when_the_element_stops() {
        let (gate, leave) = (Arc::new(Gate::default()), Arc::default());
        gate.set(Position::Held);
        let said = visitor(&gate, &leave);
        gate.set(Position::Away);
        assert_eq!(said.recv().unwrap(), Err(SentAway));
    }

    #[test]
    fn a_pad_that_flushes_sends_its_own_away_and_nobody_else() {
        let (gate, flushed, other) = (Arc::new(Gate::default()), Arc::default(), Arc::default());
        gate.set(Position::Held);
        let (said, other_said) = (visitor(&gate, &flushed), visitor(&gate, &other));
        gate.set_flushing(&flushed, true);
        assert_eq!(said.recv().unwrap(), Err(SentAway));
        assert!(other_said.try_recv().is_err());
        gate.set(Position::Open);
        assert_eq!(other_said.recv().unwrap(), Ok(()));
        assert!(gate.sends_away(&flushed));
        gate.set_flushing(&flushed, false);
        assert_eq!(gate.pass(&flushed), Ok(()));
    }

    #[test]
    fn a_pad_that_goes_sends_its_own_away_whatever_flush_ends_meanwhile() {
        let (gate, leave) = (Arc::new(Gate::default()), Arc::default());
        gate.set(Position::Held);
        gate.set_flushing(&leave, true);
        gate.set_gone(&leave);
        gate.set_flushing(&leave, false);
        let said = visitor(&gate, &leave);
        assert_eq!(said.recv_timeout(std::time::Duration::from_secs(10)).unwrap(), Err(SentAway));
        assert!(gate.sends_away(&leave));
    }

    #[test]
    fn a_move_between_two_looks_is_not_missed() {
        for _ in 0..2_000 {
            let (gate, leave) = (Arc::new(Gate::default()), Arc::default());
            gate.set(Position::Held);
            let said = visitor(&gate, &leave);
            gate.set(Position::Open);
            assert_eq!(said.recv().unwrap(), Ok(()));
        }
    }
}

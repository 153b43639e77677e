//! One stream that is being sent: frames in, fragments out, until they are persisted.
//!
//! Streaming threads push frames; nothing that they call waits for the network. A task sends what is waiting, hears
//! the acks, and tells a [`Listener`] what happened.

mod buffer;
mod core;
mod intake;
mod recut;
mod report;
mod session;
mod settings;
mod stats;
mod task;
#[cfg(test)]
mod tests;
mod wire;

pub use report::{
    AckReport, ConnectionReport, ConnectionState, DropReason, Dropped, Failure, FailureKind, Listener, Report,
};
pub use settings::{Capacity, Settings, StreamSetup, WhenFull};
pub use stats::{Remainder, Stats};

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use kvs_media::fragment::{Pace, RulesError, Timing};
use kvs_media::time::{Monotonic, RunningTime, Utc};
use kvs_media::{Track, TrackNumber};
use kvs_wire::tags::FragmentTagError;
use tokio::runtime::Handle;

use self::core::Core;
use self::task::Lines;
use crate::{Client, clock};

/// A frame on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The payload, in the form that its track's header declares.
    pub payload: Bytes,
    /// When it is shown, by the calendar.
    pub utc: Utc,
    /// When it is shown, and what may follow it.
    pub timing: Timing,
}

/// Why a frame was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// No room, and the policy is to wait: here it is again.
    #[error("the buffer is full")]
    Full(Frame),
    /// The upload has failed or was stopped, which was reported.
    #[error("the upload has ended")]
    Ended,
    /// No such track.
    #[error("track {0} is not there")]
    UnknownTrack(TrackNumber),
}

/// Why a tag was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// The service would refuse it.
    #[error(transparent)]
    Refused(#[from] FragmentTagError),
    /// The service would refuse the fragment.
    #[error("a fragment has no more than {most} tags, and so many wait already")]
    TooMany {
        /// So many.
        most: usize,
    },
}

/// A name and a value that travel with a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FragmentTag {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
    /// With every fragment from now on; an empty value ends that.
    pub persist: bool,
}

/// One stream that is being sent. Clones are the same one; with the last of them it ends, whatever is not acknowledged.
#[derive(Clone, Debug)]
pub struct Upload {
    shared: Arc<Shared>,
    _last: Arc<Last>,
}

/// Ends the task when nobody can push any more.
#[derive(Debug)]
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.lock().close();
        self.0.waker.wake();
    }
}

/// What streaming threads and the task share.
#[derive(Debug)]
struct Shared {
    core: Mutex<Core>,
    /// Taken before `core`, never behind it.
    lines: Mutex<Lines>,
    /// Room came, or the end.
    changed: Condvar,
    /// How many wait for that.
    waiting: AtomicUsize,
    /// Wakes the task.
    waker: AtomicWaker,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Core> {
        // Whoever panicked in it has reported that; what it was doing is lost, and the rest is not.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what has just been pushed, unless the task is at it. True when the task has to look all the same.
    fn send(&self, now: Monotonic) -> bool {
        let busy = match self.lines.try_lock() {
            Ok(mut lines) => lines.send(self),
            Err(_) => true,
        };
        busy || {
            let core = self.lock();
            core.has_news() || core.wants_task(now)
        }
    }

    /// Who waits looks again. Telling nobody would be a system call all the same.
    fn tell_waiting(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits until told, or for so long.
    fn wait<'a>(&'a self, core: MutexGuard<'a, Core>, wait: Option<Duration>) -> MutexGuard<'a, Core> {
        // Under the lock: who changes something under it sees whom to tell.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let core = match wait {
            Some(wait) => self.changed.wait_timeout(core, wait).unwrap_or_else(PoisonError::into_inner).0,
            None => self.changed.wait(core).unwrap_or_else(PoisonError::into_inner),
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        core
    }
}

impl Upload {
    /// Takes frames from now on. Nothing is sent before [`start`](Self::start).
    ///
    /// # Errors
    /// When the rules cannot be kept.
    pub fn new(settings: Settings) -> Result<Self, RulesError> {
        let core = Core::new(settings, clock::monotonic().nanos())?;
        let shared = Arc::new(Shared {
            core: Mutex::new(core),
            lines: Mutex::default(),
            changed: Condvar::new(),
            waiting: AtomicUsize::new(0),
            waker: AtomicWaker::new(),
        });
        Ok(Self { _last: Arc::new(Last(Arc::clone(&shared))), shared })
    }

    /// Begins to send, in a task on `runtime`. The listener is called by that task, without any lock.
    pub fn start(&self, client: Arc<Client>, runtime: &Handle, listener: Arc<dyn Listener>) {
        self.shared.lock().session.start(clock::monotonic());
        runtime.spawn(task::run(Arc::clone(&self.shared), client, listener));
    }

    /// Changes what happens when no more fits.
    pub fn set_when_full(&self, when_full: WhenFull) {
        self.change(|core, _| core.settings.when_full = when_full);
    }

    /// A track will come. The first fragment waits for its header for a while.
    ///
    /// # Errors
    /// When there are as many as a session may have.
    pub fn add_track(&self, pace: Pace) -> Result<TrackNumber, RulesError> {
        self.change(|core, now| core.intake.add_track(pace, now, &mut core.buffer))
    }

    /// What the track's frames need from now on: those that are pushed behind this call. A change begins a new session
    /// where the first of them does. The number in it is set to the track's.
    pub fn set_header(&self, track: TrackNumber, header: Track) {
        self.shared.lock().intake.set_header(track, header);
    }

    /// Takes a frame. Never waits.
    ///
    /// # Errors
    /// When it was not taken.
    pub fn push(&self, track: TrackNumber, frame: Frame) -> Result<(), PushError> {
        let now = clock::monotonic();
        let mut core = self.shared.lock();
        let pushed = core.push(track, frame, now);
        let mut wake = core.wants_task(now);
        let sends = core.session.wants_more(&core.buffer, now);
        drop(core);
        // What one track pushes may make room for another.
        self.shared.tell_waiting();
        if sends {
            wake = self.shared.send(now);
        }
        if wake {
            self.shared.waker.wake();
        }
        pushed
    }

    /// Waits until there may be room for a frame that came back, or until `cancelled` says so; it is asked again after
    /// every [`wake`](Self::wake). True when there may be room.
    pub fn wait_for_room(&self, track: TrackNumber, frame: &Frame, cancelled: &dyn Fn() -> bool) -> bool {
        let mut core = self.shared.lock();
        while !cancelled() {
            if core.has_room_for(track, frame) {
                return true;
            }
            core = self.shared.wait(core, None);
        }
        false
    }

    /// Makes who waits for room look again whether to go on.
    pub fn wake(&self) {
        // Under the lock, so that nobody is between looking and waiting.
        let _core = self.shared.lock();
        self.shared.tell_waiting();
    }

    /// Nothing of the track will come that is before `to`: nothing waits for it.
    pub fn advance(&self, track: TrackNumber, to: RunningTime) {
        self.change(|core, now| core.intake.advance(track, to, now, &mut core.buffer));
    }

    /// Nothing more will come of the track, until something does.
    pub fn end_track(&self, track: TrackNumber) {
        self.change(|core, now| core.intake.end_track(track, now, &mut core.buffer));
    }

    /// The track goes away. What it has pushed is sent.
    pub fn remove_track(&self, track: TrackNumber) {
        self.change(|core, now| core.intake.remove_track(track, now, &mut core.buffer));
    }

    /// A tag for the fragment that begins with the track's next frame, or after it; without a track, for the next.
    ///
    /// # Errors
    /// When the service would refuse it, or so many wait already.
    pub fn tag(&self, track: Option<TrackNumber>, tag: &FragmentTag) -> Result<(), TagError> {
        self.shared.lock().intake.tag(track, &tag.name, &tag.value, tag.persist)
    }

    /// Several names and values that belong together: an event that the service acts on.
    ///
    /// # Errors
    /// As [`tag`](Self::tag).
    pub fn tag_event(&self, track: Option<TrackNumber>, pairs: &[(String, String)]) -> Result<(), TagError> {
        self.shared.lock().intake.tag_event(track, pairs)
    }

    /// Time begins anew for a track: what of it was pushed is sent, and pictures that come next begin a fragment.
    pub fn flush(&self, track: TrackNumber) {
        self.change(|core, now| core.intake.flush(track, now, &mut core.buffer));
    }

    /// Nothing more comes for now: the fragment ends. [`Report::Drained`] follows when all is acknowledged, unless
    /// something is pushed before.
    pub fn finish(&self) {
        self.change(Core::finish);
    }

    /// The encoder of this track is to make a key frame. Says so once for each wish.
    pub fn takes_key_frame_wish(&self, track: TrackNumber) -> bool {
        self.shared.lock().intake.takes_key_frame_wish(track)
    }

    /// Why it has ended, when that is a failure: what [`Report::Failed`] says.
    pub fn failure(&self) -> Option<Failure> {
        self.shared.lock().session.failure().cloned()
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        self.shared.lock().stats(clock::monotonic())
    }

    /// Finishes, waits until all is acknowledged, and ends. Waits no longer than `timeout`, and gives up after
    /// `patience` without an ack or a connection. What is not acknowledged then is returned, and gone.
    pub fn stop(&self, timeout: Duration, patience: Duration) -> Remainder {
        let begun = clock::monotonic();
        let deadline = begun.saturating_add(timeout);
        self.change(Core::stop);
        let mut core = self.shared.lock();
        loop {
            let now = clock::monotonic();
            let life = core.session.last_life().map_or(begun, |life| life.max(begun));
            let until = deadline.min(life.saturating_add(patience));
            if core.is_at_rest() || until <= now {
                break;
            }
            core = self.shared.wait(core, Some(until.saturating_since(now)));
        }
        let remainder = core.close();
        drop(core);
        self.shared.tell_waiting();
        self.shared.waker.wake();
        remainder
    }

    /// Changes something, and wakes who has to know.
    fn change<T>(&self, change: impl FnOnce(&mut Core, Monotonic) -> T) -> T {
        let now = clock::monotonic();
        let mut core = self.shared.lock();
        let result = change(&mut core, now);
        let wake = core.wants_task(now);
        drop(core);
        self.shared.tell_waiting();
        if wake {
            self.shared.waker.wake();
        }
        result
    }
}

//! What is behind the lock: frames in, the buffer, the session.

use std::time::Duration;

use kvs_media::TrackNumber;
use kvs_media::fragment::RulesError;
use kvs_media::time::Monotonic;

use super::buffer::{Buffer, GivenUp};
use super::intake::{Intake, Notice, Orphans};
use super::report::{DropReason, Dropped, Failure, FailureKind, Report};
use super::session::{Action, Session};
use super::settings::{Settings, WhenFull};
use super::stats::{Remainder, Stats};
use super::{Frame, PushError};

/// What may be far ahead of a path that is up is held where it comes from: so many bytes, and so many fragments that the
/// path has not begun. Memory that is filled for the first time costs more than what is sent from it.
const AHEAD: (u64, usize) = (16 << 20, 3);

/// Frames in, the buffer, the session.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) settings: Settings,
    pub(super) intake: Intake,
    pub(super) buffer: Buffer,
    pub(super) session: Session,
    /// Say when all is acknowledged.
    finishing: bool,
    /// Nothing is taken any more.
    stopping: bool,
    /// The task has to end.
    closed: bool,
    /// When the task looks again by itself.
    armed: Option<Monotonic>,
}

/// What the task does next.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) actions: Vec<Action>,
    pub(super) reports: Vec<Report>,
    /// When to look again.
    pub(super) deadline: Option<Monotonic>,
    /// The task has to end.
    pub(super) closed: bool,
}

impl Core {
    pub(super) fn new(settings: Settings, seed: u64) -> Result<Self, RulesError> {
        Ok(Self {
            intake: Intake::new(&settings)?,
            session: Session::new(&settings, seed),
            settings,
            buffer: Buffer::default(),
            finishing: false,
            stopping: false,
            closed: false,
            armed: None,
        })
    }

    pub(super) fn push(&mut self, track: TrackNumber, frame: Frame, now: Monotonic) -> Result<(), PushError> {
        if self.stopping || self.session.has_failed() {
            return Err(PushError::Ended);
        }
        if self.is_full(track, &frame) || self.is_ahead() {
            match self.settings.when_full {
                WhenFull::Block => return Err(PushError::Full(frame)),
                WhenFull::Fail => {
                    self.session.fail(Failure {
                        kind: FailureKind::Full,
                        message: format!(
                            "no room: {} bytes over {:?} wait to be acknowledged",
                            self.buffer.bytes(),
                            self.buffer.span()
                        ),
                        request_id: None,
                    });
                    return Err(PushError::Ended);
                }
                WhenFull::DropOldest => self.make_room(track, &frame, now),
            }
        }
        self.finishing = false;
        self.intake.push(track, frame, now, &mut self.buffer)
    }

    /// Whether a push would have another answer than that there is no room.
    pub(super) fn has_room_for(&self, track: TrackNumber, frame: &Frame) -> bool {
        self.stopping
            || self.session.has_failed()
            || self.settings.when_full != WhenFull::Block
            || !(self.is_full(track, frame) || self.is_ahead())
    }

    /// Who can wait is far ahead. The path goes on without anything that is not here yet.
    fn is_ahead(&self) -> bool {
        let (bytes, fragments) = AHEAD;
        self.settings.when_full == WhenFull::Block
            && self.buffer.bytes() > bytes
            && self.session.not_begun(&self.buffer).is_some_and(|waiting| waiting > fragments)
    }

    fn is_full(&self, track: TrackNumber, frame: &Frame) -> bool {
        self.is_behind(track, frame) || self.is_stored_full(frame)
    }

    /// The buffer has no room, and an ack can make some: a fragment that still grows is bounded by its rules, and is
    /// never acknowledged when nothing more comes into it.
    fn is_stored_full(&self, frame: &Frame) -> bool {
        let more = self.intake.held().1 + frame.payload.len() as u64;
        let waits_for_acks = self.buffer.first().is_some_and(|first| first.end.is_some());
        waits_for_acks && self.buffer.is_full(self.settings.capacity, more)
    }

    /// Too much of the track waits for another: a third of what may be held. Of the track that is waited for nothing
    /// waits, so that it always gets in.
    fn is_behind(&self, track: TrackNumber, frame: &Frame) -> bool {
        let held = self.intake.held_of(track);
        held > 0 && held + frame.payload.len() as u64 > self.settings.capacity.bytes / 3
    }

    fn make_room(&mut self, track: TrackNumber, frame: &Frame, now: Monotonic) {
        if self.is_behind(track, frame) {
            self.intake.hurry(now, &mut self.buffer);
        }
        while self.is_stored_full(frame) {
            let session = &self.session;
            match self.buffer.give_up(|id| session.holds(id)) {
                Some(GivenUp::Fragment(fragment)) => self.session.lose(&fragment, DropReason::Full),
                Some(GivenUp::Rest) => {}
                // All that is there is on the wire.
                None => return,
            }
        }
    }

    pub(super) fn finish(&mut self, now: Monotonic) {
        self.intake.finish(now, &mut self.buffer);
        self.finishing = true;
    }

    pub(super) fn stop(&mut self, now: Monotonic) {
        self.intake.finish(now, &mut self.buffer);
        self.stopping = true;
        self.session.end();
    }

    /// Nothing waits, and no connection is there.
    pub(super) fn is_at_rest(&self) -> bool {
        self.session.has_failed() || self.buffer.is_empty() && self.session.is_quiet()
    }

    /// Ends at once. Says what is not acknowledged.
    pub(super) fn close(&mut self) -> Remainder {
        (self.stopping, self.closed) = (true, true);
        let (frames, bytes) = self.intake.held();
        let mut rest = Remainder { fragments: self.buffer.len() as u64, frames, bytes };
        for fragment in self.buffer.iter() {
            rest.frames += fragment.frames();
            rest.bytes += fragment.payload();
        }
        rest
    }

    /// Whether the task has something to do that it does not know of.
    pub(super) fn wants_task(&self, now: Monotonic) -> bool {
        let sooner = |deadline: Monotonic| self.armed.is_none_or(|armed| deadline < armed);
        self.stopping
            || self.finishing
            || self.session.has_failed()
            || !self.intake.notices.is_empty()
            || self.session.wants_more(&self.buffer, now)
            || self.intake.deadline().is_some_and(sooner)
    }

    /// Something is to be done or to be told that came about since the last turn.
    pub(super) fn has_news(&self) -> bool {
        self.closed || self.session.has_news()
    }

    /// Looks at all that is due, and says what to do.
    pub(super) fn turn(&mut self, now: Monotonic) -> Turn {
        self.intake.run(now, &mut self.buffer);
        self.session.poll(&mut self.buffer, now);
        let mut reports: Vec<Report> = self
            .intake
            .notices
            .drain(..)
            .map(|notice| match notice {
                Notice::Repaired(repair) => Report::Repaired(repair),
                Notice::Discarded(discard) => Report::Discarded(discard),
            })
            .collect();
        let Orphans { frames, bytes, from, to } = std::mem::take(&mut self.intake.orphans);
        if frames > 0 {
            self.session.tally.frames_dropped += frames;
            self.session.tally.bytes_dropped += bytes;
            let reason = DropReason::Full;
            reports.push(Report::Dropped(Dropped { reason, fragments: 0, frames, bytes, from, to }));
        }
        reports.extend(self.session.reports());
        if self.finishing && self.buffer.is_empty() && self.intake.held().0 == 0 {
            self.finishing = false;
            reports.push(Report::Drained);
        }
        let deadline =
            [self.intake.deadline(), self.session.deadline(&self.buffer)].into_iter().flatten().min();
        self.armed = deadline;
        Turn { actions: self.session.actions().collect(), reports, deadline, closed: self.closed }
    }

    pub(super) fn stats(&self, now: Monotonic) -> Stats {
        let tally = &self.session.tally;
        let (held_frames, held_bytes) = self.intake.held();
        let oldest = self.buffer.first().map(|fragment| fragment.arrived);
        Stats {
            frames_in: self.intake.frames_in,
            bytes_in: self.intake.bytes_in,
            fragments_in: self.intake.fragments_in,
            frames_sent: tally.frames_sent,
            bytes_sent: tally.bytes_sent,
            fragments_sent: tally.fragments_sent,
            fragments_resent: tally.fragments_resent,
            fragments_received: tally.fragments_received,
            fragments_persisted: tally.fragments_persisted,
            frames_persisted: tally.frames_persisted,
            fragments_dropped: tally.fragments_dropped,
            frames_dropped: tally.frames_dropped + self.intake.orphans.frames,
            bytes_dropped: tally.bytes_dropped + self.intake.orphans.bytes,
            fragments_held: self.buffer.len() as u64,
            frames_held: self.buffer.frames() + held_frames,
            bytes_held: self.buffer.bytes() + held_bytes,
            span_held: self.buffer.span(),
            lag: oldest.map_or(Duration::ZERO, |arrived| now.saturating_since(arrived)),
            connections: tally.connections,
            reconnects: tally.reconnects,
            errors: tally.errors,
            connected: self.session.is_connected(),
            last_fragment_number: tally.last_number.clone(),
            last_fragment_time: tally.last_time,
            last_persisted_at: tally.last_persisted_at,
            cut: *self.intake.counts(),
        }
    }
}

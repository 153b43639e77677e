//! The upload of a stream, as a machine.
//!
//! What happened goes in, with the time: frames are in the [`Buffer`], acks and the fate of connections come by calls.
//! What to do comes out: [`Action`]s, bytes for a connection when it asks for them, [`Report`]s, and the time at which
//! to look again. No socket, no clock and no chance of its own.
//!
//! One connection is *current*: it sends. When its time is up a *standby* is opened beside it, and takes over at the
//! next border between fragments, so that nothing waits and nothing goes twice. What has been taken over from, or has
//! come to fragments of another header, sends no more and stays until all that it has sent is acknowledged.
//!
//! Whatever breaks: a fragment leaves the buffer only when it is acknowledged for good, and the next connection begins
//! with the oldest that is there.

mod link;
mod tally;

pub(crate) use link::LinkId;
use link::{Filled, Link};
pub(crate) use tally::Tally;

use std::time::Duration;

use kvs_media::time::{Monotonic, Timecode, TimecodeScale, Utc};
use kvs_wire::limits::{PUT_MEDIA_CALLS_PER_SECOND, PUT_MEDIA_ROTATION};
use kvs_wire::{Ack, AckEvent, ErrorId, FragmentTimecodeType, Reaction, Recovery, Refusals, Verdict};

use super::buffer::{Buffer, Fragment, FragmentId};
use super::recut;
use super::report::{
    AckReport, ConnectionReport, ConnectionState, DropReason, Dropped, Failure, FailureKind, Report,
};
use super::settings::Settings;
use super::wire::Gather;
use crate::backoff::Backoff;
use crate::report::CallFailure;

/// Where something is due, nothing may happen for so long; twice as long after each time that it was too long.
const PATIENCE: Duration = Duration::from_secs(10);

/// But no longer.
const MOST_PATIENCE: Duration = Duration::from_secs(600);

/// No connection takes over from another sooner, whatever is said of credentials.
const LEAST_TURN: Duration = Duration::from_secs(10);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Open a connection.
    Open(Opening),
    /// Give a connection up as it is.
    Abort(LinkId),
}

/// A connection to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) link: LinkId,
    /// What its timecodes count from, where they are relative.
    pub(crate) start: Option<Utc>,
    /// The credentials were refused, or end soon: get others.
    pub(crate) renew_credentials: bool,
    /// The endpoint does not answer, or not for this stream: ask for it again.
    pub(crate) renew_endpoint: bool,
}

/// A connection that is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opened {
    pub(crate) endpoint: String,
    pub(crate) request_id: Option<String>,
    /// When newer credentials can be had than those that it was opened with.
    pub(crate) renew_in: Option<Duration>,
}

/// What a connection gets to send.
#[derive(Debug)]
pub(crate) enum Pull {
    /// This.
    Data(Gather),
    /// Nothing for now: ask again when something has happened.
    Nothing,
    /// Nothing any more: the body ends.
    Done,
}

/// What the service keeps of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    /// Not known: it was not allowed to ask.
    Unknown,
    /// Fragments, so that PERSISTED comes.
    Fragments,
    /// Nothing: RECEIVED is the last word.
    Nothing,
}

/// The upload of a stream.
#[derive(Debug)]
pub(crate) struct Session {
    acks: bool,
    timecodes: FragmentTimecodeType,
    scale: TimecodeScale,
    staleness: Duration,
    startup_deadline: Option<Monotonic>,
    create: bool,
    started: Option<Monotonic>,
    startup_timeout: Option<Duration>,
    links: Vec<Link>,
    current: Option<LinkId>,
    standby: Option<LinkId>,
    opened: u64,
    backoff: Backoff,
    /// No connection is opened before.
    not_before: Monotonic,
    renew_credentials: bool,
    renew_endpoint: bool,
    keeps: Keeps,
    refusals: Refusals<FragmentId>,
    stalls: u32,
    /// Why a connection was lost last, or did not come about.
    last_cause: Option<String>,
    last_life: Option<Monotonic>,
    /// When a path asked for more last. Where it breaks at that, it has carried nothing.
    asked: Option<Monotonic>,
    /// When all is acknowledged, it ends.
    ending: bool,
    failure: Option<Failure>,
    actions: Vec<Action>,
    reports: Vec<Report>,
    pub(crate) tally: Tally,
}

impl Session {
    /// Not begun. `seed` makes the chance in its waits.
    pub(crate) fn new(settings: &Settings, seed: u64) -> Self {
        Self {
            acks: settings.acks,
            timecodes: settings.timecodes,
            scale: settings.rules.scale,
            staleness: settings.staleness,
            startup_deadline: None,
            create: settings.setup.create,
            started: None,
            startup_timeout: settings.startup_timeout,
            links: Vec::new(),
            current: None,
            standby: None,
            opened: 0,
            backoff: Backoff::new(seed),
            not_before: Monotonic::default(),
            renew_credentials: false,
            renew_endpoint: false,
            keeps: Keeps::Unknown,
            refusals: Refusals::new(),
            stalls: 0,
            last_cause: None,
            last_life: None,
            asked: None,
            ending: false,
            failure: None,
            actions: Vec::new(),
            reports: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// From now on connections may be opened.
    pub(crate) fn start(&mut self, now: Monotonic) {
        self.started = Some(now);
        self.startup_deadline = self.startup_timeout.map(|timeout| now.saturating_add(timeout));
    }

    /// What to do, in this order.
    pub(crate) fn actions(&mut self) -> impl Iterator<Item = Action> + use<'_> {
        self.actions.drain(..)
    }

    /// What to tell.
    pub(crate) fn reports(&mut self) -> impl Iterator<Item = Report> + use<'_> {
        self.reports.drain(..)
    }

    /// A connection is there, and sends.
    pub(crate) fn is_connected(&self) -> bool {
        self.current.is_some_and(|id| self.link(id).is_some_and(|link| link.open))
    }

    /// No later attempt can succeed.
    pub(crate) const fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Why.
    pub(crate) const fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// No connection is there, or being made.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.links.is_empty()
    }

    /// When an ack came last, a connection came about, or a path carried what it was given.
    pub(crate) fn last_life(&self) -> Option<Monotonic> {
        self.last_life.max(self.asked)
    }

    /// When all is acknowledged, connections end.
    pub(crate) const fn end(&mut self) {
        self.ending = true;
    }

    /// Whether a fragment is on the wire, in whole or in part, and not acknowledged.
    pub(crate) fn holds(&self, fragment: FragmentId) -> bool {
        self.links.iter().any(|link| link.holds(fragment))
    }

    /// Something is to be done or to be told that was not when it was asked last.
    pub(crate) fn has_news(&self) -> bool {
        !self.actions.is_empty() || !self.reports.is_empty()
    }

    /// Whether something came into the buffer that nobody has asked for since: who sends has to be woken.
    pub(crate) fn wants_more(&self, buffer: &Buffer, now: Monotonic) -> bool {
        match self.current.and_then(|id| self.link(id)) {
            Some(link) => link.wants_more(buffer),
            None => {
                self.started.is_some() && !self.has_failed() && self.not_before <= now && !buffer.is_empty()
            }
        }
    }

    /// Fragments that the path has not begun, while there is one.
    pub(crate) fn not_begun(&self, buffer: &Buffer) -> Option<usize> {
        let link = self.current.and_then(|id| self.link(id)).filter(|link| link.open)?;
        Some(buffer.count_from(link.next()))
    }

    /// The service has said whether the stream keeps anything.
    pub(crate) fn learn_retention(&mut self, keeps: bool, buffer: &mut Buffer) {
        self.keeps = if keeps { Keeps::Fragments } else { Keeps::Nothing };
        self.settle_received(buffer);
    }

    /// The response head of a connection has come: it may send.
    pub(crate) fn opened(&mut self, id: LinkId, opened: Opened, now: Monotonic) {
        let rotation = self.backoff.spread(PUT_MEDIA_ROTATION * 3 / 4);
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return };
        link.open = true;
        link.since = now;
        let last = opened.renew_in.map_or(rotation, |renew_in| renew_in.max(LEAST_TURN).min(rotation));
        link.retire_at = Some(now.saturating_add(last));
        link.endpoint = opened.endpoint;
        link.request_id = opened.request_id;
        self.tally.connections += 1;
        self.startup_deadline = None;
        (self.renew_credentials, self.renew_endpoint) = (false, false);
        self.last_life = Some(now);
        if self.current == Some(id) {
            self.tell_connection(ConnectionState::Connected, id);
        }
    }

    /// A connection did not come about.
    pub(crate) fn refused(&mut self, id: LinkId, failure: CallFailure, now: Monotonic) {
        if self.link(id).is_none() {
            return;
        }
        let CallFailure { recovery, kind, message, request_id, .. } = failure;
        if let Some(link) = self.links.iter_mut().find(|link| link.id == id) {
            link.request_id = request_id.clone();
        }
        match recovery {
            Recovery::BackOff => self.renew_endpoint |= self.backoff.failures() >= 2,
            Recovery::NewCredentials => self.renew_credentials = true,
            Recovery::NewEndpoint => self.renew_endpoint = true,
            Recovery::NoStream if self.create => self.renew_endpoint = true,
            Recovery::NoStream | Recovery::Fatal => {
                let kind = if recovery == Recovery::NoStream { FailureKind::NoStream } else { kind };
                return self.fail(Failure { kind, message, request_id });
            }
        }
        self.drop_link(id, Some(message), now, Wait::Backoff);
    }

    /// A connection has ended, of itself or by a fault.
    pub(crate) fn closed(&mut self, id: LinkId, cause: Option<String>, now: Monotonic) {
        let Some(link) = self.link(id) else { return };
        // The service ends what has been silent for long.
        let lived = link.last_ack.is_some() || now.saturating_since(link.since) > PATIENCE;
        let clean = link.sent().is_empty() && (link.is_finishing() || lived);
        let wait = if clean { Wait::None } else { Wait::Backoff };
        let cause = cause.or_else(|| (!clean).then(|| "the service has ended the connection".to_owned()));
        self.drop_link(id, cause, now, wait);
    }

    /// Acks came.
    pub(crate) fn heard(
        &mut self,
        id: LinkId,
        mut bytes: &[u8],
        buffer: &mut Buffer,
        (now, utc): (Monotonic, Utc),
    ) {
        while let Some(link) = self.links.iter_mut().find(|link| link.id == id) {
            match link.acks.read(&mut bytes) {
                None => return,
                Some(Ok(ack)) => {
                    link.last_ack = Some(now);
                    self.last_life = Some(now);
                    self.take_ack(id, ack, buffer, (now, utc));
                }
                Some(Err(error)) => tracing::warn!(%error, "something between the acks"),
            }
        }
    }

    /// What a connection is to send.
    pub(crate) fn pull(&mut self, id: LinkId, buffer: &mut Buffer, now: Monotonic) -> Pull {
        let mut out = Gather::default();
        loop {
            let leave = self.standby.is_some_and(|id| self.link(id).is_some_and(|link| link.open));
            let sends = self.current == Some(id);
            let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return Pull::Nothing };
            if !link.open || !(sends || link.is_finishing()) {
                return Pull::Nothing;
            }
            if link.has_carried(now) {
                self.last_life = self.last_life.max(self.asked.replace(now));
            }
            match link.fill(buffer, (self.acks, leave), now, &mut self.tally, &mut out) {
                Filled::Data => return Pull::Data(out),
                Filled::Nothing => return Pull::Nothing,
                Filled::Done => return Pull::Done,
                Filled::Border => self.hand_over(),
                Filled::Unwritable(fragment, error) => {
                    // Part of it may be in the list already.
                    self.give_up(fragment, &error, buffer);
                    self.break_link(id, error.to_string(), now, Wait::Backoff);
                    return Pull::Nothing;
                }
            }
        }
    }

    /// Looks at what is due.
    pub(crate) fn poll(&mut self, buffer: &mut Buffer, now: Monotonic) {
        if self.has_failed() || self.started.is_none() {
            return;
        }
        if self.startup_deadline.is_some_and(|deadline| deadline <= now) {
            return self.fail(Failure {
                kind: FailureKind::StartupTimeout,
                message: self.late(now),
                request_id: None,
            });
        }
        if self.verdict_on_keeping().is_some_and(|at| at <= now) {
            tracing::info!(
                "nothing was ever persisted: the stream keeps nothing, and RECEIVED is the last word"
            );
            self.keeps = Keeps::Nothing;
            self.settle_received(buffer);
        }
        for link in &mut self.links {
            link.look(buffer, now);
        }
        while let Some((id, why)) = self.doomed(now) {
            self.stalls = (self.stalls + 1).min(16);
            self.break_link(id, why.to_owned(), now, Wait::Backoff);
        }
        self.replace_current(buffer, now);
        if self.ending && buffer.is_empty() {
            self.standby_is_not_needed();
            for link in &mut self.links {
                if link.open {
                    link.finish();
                } else {
                    self.actions.push(Action::Abort(link.id));
                }
            }
            self.links.retain(|link| link.open);
        }
    }

    /// When it is clear that the stream keeps nothing, where that was not to be asked: something was received, and
    /// nothing was ever persisted.
    fn verdict_on_keeping(&self) -> Option<Monotonic> {
        if self.keeps != Keeps::Unknown || !self.acks {
            return None;
        }
        let received = self.links.iter().flat_map(|link| link.sent().iter().find(|sent| sent.received));
        let since = received.filter_map(|sent| sent.ended_at).min()?;
        Some(since.saturating_add(self.staleness))
    }

    fn late(&self, now: Monotonic) -> String {
        let waited = self.started.map(|started| now.saturating_since(started)).unwrap_or_default();
        let cause = self.last_cause.as_deref().unwrap_or("there was nothing to send");
        format!("not connected within {} s, after {} attempts: {cause}", waited.as_secs(), self.opened)
    }

    /// When to look again if nothing else happens.
    pub(crate) fn deadline(&self, buffer: &Buffer) -> Option<Monotonic> {
        if self.has_failed() || self.started.is_none() {
            return None;
        }
        let doom = self.links.iter().filter_map(|link| self.doom_of(link)).map(|(at, _)| at);
        let open = self.needs_connection(buffer).then_some(self.not_before);
        let rotate = self.rotation_due();
        doom.chain(self.startup_deadline).chain(open).chain(rotate).chain(self.verdict_on_keeping()).min()
    }

    fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.iter().find(|link| link.id == id)
    }

    fn doom_of(&self, link: &Link) -> Option<(Monotonic, &'static str)> {
        // A standby has nothing to say yet.
        if link.open && self.standby == Some(link.id) {
            return None;
        }
        let longer = |span: Duration| (span * (1 << self.stalls.min(10))).min(MOST_PATIENCE.max(span));
        // Until it is known whether anything is kept, nobody is late with it.
        let lasting = (self.keeps == Keeps::Fragments).then(|| longer(self.staleness));
        link.doom(self.acks, longer(PATIENCE), lasting)
    }

    fn doomed(&self, now: Monotonic) -> Option<(LinkId, &'static str)> {
        let due =
            |link: &Link| self.doom_of(link).filter(|(at, _)| *at <= now).map(|(_, why)| (link.id, why));
        self.links.iter().find_map(due)
    }

    /// Where the next connection begins: behind what those that still wait for acks have sent.
    fn first_to_send(&self) -> FragmentId {
        let waiting = self.links.iter().filter(|link| link.is_finishing());
        waiting.map(Link::next).max().unwrap_or(FragmentId(0))
    }

    fn needs_connection(&self, buffer: &Buffer) -> bool {
        self.current.is_none() && buffer.at_or_after(self.first_to_send()).is_some()
    }

    fn rotation_due(&self) -> Option<Monotonic> {
        let current = self.current.and_then(|id| self.link(id))?;
        if self.standby.is_some() || self.ending {
            return None;
        }
        current.retire_at.map(|at| at.max(self.not_before))
    }

    fn replace_current(&mut self, buffer: &Buffer, now: Monotonic) {
        if self.needs_connection(buffer)
            && let Some(first) = buffer.at_or_after(self.first_to_send())
        {
            // A standby is there already when what it stood by for has gone.
            if let Some(standby) = self.standby.take() {
                self.promote(standby, self.first_to_send());
            } else if self.not_before <= now {
                let id = self.open(first.timecode, now);
                self.current = Some(id);
                self.tell_connection(ConnectionState::Connecting, id);
            }
        }
        if self.rotation_due().is_some_and(|at| at <= now) {
            let current = self.current.and_then(|id| self.link(id));
            let first = current.and_then(|link| buffer.at_or_after(link.next()));
            let base =
                first.map(|first| first.timecode).or(current.map(|link| link.base)).unwrap_or_default();
            self.standby = Some(self.open(base, now));
        }
        // Nothing is on its way: it need not wait for a fragment to end.
        let ready = self.standby.is_some_and(|id| self.link(id).is_some_and(|link| link.open));
        let current = self.current.and_then(|id| self.link(id));
        if ready && current.is_some_and(|link| link.at_border() && buffer.at_or_after(link.next()).is_none())
        {
            self.hand_over();
        }
    }

    fn open(&mut self, first: Timecode, now: Monotonic) -> LinkId {
        self.opened += 1;
        let id = LinkId(self.opened);
        let relative = self.timecodes == FragmentTimecodeType::Relative;
        let base = if relative { first } else { Timecode::default() };
        self.links.push(Link::new(id, self.first_to_send(), base, now));
        self.not_before = now.saturating_add(Duration::from_secs(1) / PUT_MEDIA_CALLS_PER_SECOND);
        self.actions.push(Action::Open(Opening {
            link: id,
            start: self.scale.instant(base).filter(|_| relative),
            renew_credentials: self.renew_credentials,
            renew_endpoint: self.renew_endpoint,
        }));
        id
    }

    /// The current connection sends no more; a standby takes over.
    fn hand_over(&mut self) {
        let Some(old) = self.current.take() else { return };
        let mut next = FragmentId(0);
        if let Some(link) = self.links.iter_mut().find(|link| link.id == old) {
            link.finish();
            next = link.next();
        }
        match self.standby.take() {
            Some(standby) if self.link(standby).is_some_and(|link| link.open) => self.promote(standby, next),
            // It was to carry on with what there is no more of.
            Some(standby) => self.abort(standby),
            None => {}
        }
    }

    fn promote(&mut self, id: LinkId, from: FragmentId) {
        self.current = Some(id);
        if let Some(link) = self.links.iter_mut().find(|link| link.id == id) {
            link.take_over(from);
            if link.open {
                self.tell_connection(ConnectionState::Connected, id);
            }
        }
    }

    fn standby_is_not_needed(&mut self) {
        if let Some(standby) = self.standby.take() {
            self.abort(standby);
        }
    }

    fn abort(&mut self, id: LinkId) {
        self.links.retain(|link| link.id != id);
        self.actions.push(Action::Abort(id));
    }

    /// Gives a connection up, and begins again with what it has not brought through.
    fn break_link(&mut self, id: LinkId, cause: String, now: Monotonic, wait: Wait) {
        self.actions.push(Action::Abort(id));
        self.drop_link(id, Some(cause), now, wait);
    }

    /// A connection is no more.
    fn drop_link(&mut self, id: LinkId, cause: Option<String>, now: Monotonic, wait: Wait) {
        self.asked = None;
        let Some(index) = self.links.iter().position(|link| link.id == id) else { return };
        let link = self.links.remove(index);
        if wait != Wait::None {
            self.last_cause.clone_from(&cause);
        }
        let pause = match wait {
            Wait::None => Duration::ZERO,
            Wait::Backoff => self.backoff.fail(),
            Wait::UntilHelped => self.backoff.fail_until_helped(),
        };
        self.not_before = self.not_before.max(now.saturating_add(pause));
        if self.standby == Some(id) {
            self.standby = None;
            return;
        }
        let was_current = self.current == Some(id);
        if was_current {
            self.current = None;
        } else if !link.sent().is_empty() {
            // It has not brought everything through, and what was sent behind it has to go behind it again.
            let others: Vec<LinkId> = self.links.iter().map(|link| link.id).collect();
            others.into_iter().for_each(|id| self.abort(id));
            (self.current, self.standby) = (None, None);
        } else {
            return;
        }
        let state = if wait == Wait::None {
            ConnectionState::Idle
        } else {
            self.tally.reconnects += u64::from(link.open);
            ConnectionState::Waiting(self.not_before.saturating_since(now))
        };
        let report = self.report_of(&link, state, cause);
        self.reports.push(report);
    }

    fn take_ack(&mut self, id: LinkId, ack: Ack, buffer: &mut Buffer, (now, utc): (Monotonic, Utc)) {
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return };
        let error = ack.event == AckEvent::Error;
        let named = if ack.event == AckEvent::Idle { None } else { link.named(ack.fragment_timecode) };
        let mut about = None;
        if let Some(sent) = named {
            sent.heard = true;
            // A service that stops, or has waited for too long, completes what it has of a fragment. More of it is to
            // come here, so that it is not done with: it goes again, as a whole.
            let whole = sent.ended_at.is_some();
            let first =
                whole && !sent.received && matches!(ack.event, AckEvent::Received | AckEvent::Persisted);
            sent.received |= first;
            let after = sent.ended_at.map(|at| now.saturating_since(at));
            about = Some((sent.fragment, after));
            if first {
                self.tally.fragments_received += 1;
                self.backoff.succeed();
                self.stalls = self.stalls.saturating_sub(1);
            }
        }
        if let Some(number) = ack.fragment_number.clone().filter(|_| !error) {
            self.tally.last_number = Some(number);
        }
        let begin = about.and_then(|(fragment, _)| buffer.get(fragment)).map(|fragment| fragment.from);
        let after = about.and_then(|(_, after)| after);
        self.reports.push(Report::Ack(AckReport { ack: ack.clone(), begin, after }));
        match (ack.event, about) {
            (AckEvent::Persisted, Some((fragment, Some(_)))) => {
                self.keeps = Keeps::Fragments;
                self.tally.last_persisted_at = Some(utc);
                self.settle(id, fragment, buffer);
            }
            (AckEvent::Received, Some((fragment, Some(_)))) if self.keeps == Keeps::Nothing => {
                self.settle(id, fragment, buffer);
            }
            (AckEvent::Error, about) => {
                self.take_error(id, &ack, about.map(|(fragment, _)| fragment), buffer, now);
            }
            _ => {}
        }
    }

    /// A fragment is acknowledged for good.
    fn settle(&mut self, id: LinkId, fragment: FragmentId, buffer: &mut Buffer) {
        if let Some(link) = self.links.iter_mut().find(|link| link.id == id) {
            link.settle(fragment);
        }
        self.refusals.settle_through(&fragment);
        if let Some(gone) = buffer.remove(fragment) {
            self.tally.settle(&gone);
        }
    }

    fn settle_received(&mut self, buffer: &mut Buffer) {
        if self.keeps != Keeps::Nothing {
            return;
        }
        let received: Vec<_> = self
            .links
            .iter()
            .flat_map(|link| {
                link.sent().iter().filter(|sent| sent.received).map(|sent| (link.id, sent.fragment))
            })
            .collect();
        received.into_iter().for_each(|(link, fragment)| self.settle(link, fragment, buffer));
    }

    /// A fragment was refused, or the session was.
    fn take_error(
        &mut self,
        id: LinkId,
        ack: &Ack,
        fragment: Option<FragmentId>,
        buffer: &mut Buffer,
        now: Monotonic,
    ) {
        self.tally.errors += 1;
        let error = ack.error();
        let reaction = ack.reaction().unwrap_or(Reaction::Resend);
        let said = error.map_or_else(
            || "an error without a number".to_owned(),
            |error| format!("{error}: {}", error.meaning()),
        );
        if reaction == Reaction::Stop {
            let request_id = self.link(id).and_then(|link| link.request_id.clone());
            return self.fail(Failure { kind: stop_kind(error), message: said, request_id });
        }
        if let Some(fragment) = fragment {
            match self.refusals.refuse(fragment, error) {
                Verdict::Drop => self.give_up(fragment, &said, buffer),
                Verdict::Resend => recut::amend(fragment, reaction, buffer),
            }
        }
        let wait = if reaction == Reaction::ResendAfterHelp { Wait::UntilHelped } else { Wait::Backoff };
        self.break_link(id, said, now, wait);
    }

    /// Drops a fragment that cannot be sent.
    fn give_up(&mut self, fragment: FragmentId, why: &dyn std::fmt::Display, buffer: &mut Buffer) {
        if let Some(gone) = buffer.remove(fragment) {
            self.lose(&gone, DropReason::Refused(why.to_string()));
        }
    }

    /// A fragment is lost, and that is said.
    pub(crate) fn lose(&mut self, fragment: &Fragment, reason: DropReason) {
        self.tally.lose(fragment);
        self.reports.push(Report::Dropped(Dropped {
            reason,
            fragments: 1,
            frames: fragment.frames(),
            bytes: fragment.payload(),
            from: fragment.from,
            to: fragment.to,
        }));
    }

    /// It ends here.
    pub(crate) fn fail(&mut self, failure: Failure) {
        if self.has_failed() {
            return;
        }
        self.failure = Some(failure.clone());
        self.actions.extend(self.links.drain(..).map(|link| Action::Abort(link.id)));
        (self.current, self.standby) = (None, None);
        self.reports.push(Report::Failed(failure));
    }

    /// Says how it stands with a connection that is there, or is being made.
    fn tell_connection(&mut self, state: ConnectionState, id: LinkId) {
        let Some(link) = self.link(id) else { return };
        let report = self.report_of(link, state, None);
        self.reports.push(report);
    }

    fn report_of(&self, link: &Link, state: ConnectionState, cause: Option<String>) -> Report {
        Report::Connection(ConnectionReport {
            state,
            endpoint: link.endpoint.clone(),
            attempts: self.backoff.failures(),
            cause,
            request_id: link.request_id.clone(),
        })
    }
}

/// How long to wait after a connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    None,
    Backoff,
    UntilHelped,
}

fn stop_kind(error: Option<ErrorId>) -> FailureKind {
    match error {
        Some(ErrorId(4008 | 4507)) => FailureKind::NoStream,
        _ => FailureKind::Refused,
    }
}

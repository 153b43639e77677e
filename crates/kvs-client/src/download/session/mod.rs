//! The reading of a stream, as a machine.
//!
//! What happened goes in, with the time: pages of lists, what was found in answers, the fate of calls. What to do comes
//! out: [`Action`]s, [`Item`]s for who takes, [`Report`]s, and the time at which to look again. No socket, no clock and
//! no chance of its own.
//!
//! A range is surveyed first. Then its fragments are fetched by batches: one answer is being read, the next one is asked
//! for before that is used up, and the list of what follows before that. Lists tell of what has settled; from the last
//! fragment of that on, whatever comes is followed, by the order of the service, for ever or until the range ends.

mod archive;
mod follow;
mod line;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use kvs_media::time::{Monotonic, Utc};
use kvs_wire::limits::GET_MEDIA_CALLS_PER_SECOND;
use kvs_wire::{FragmentNumber, FragmentSelectorType, Recovery, StartSelector};

use self::archive::Archive;
use self::follow::Follow;
use self::line::Line;
pub(super) use self::line::{CallId, Now};
use self::standing::{Denial, Standing};
use super::chunk::{Found, Head};
use super::entry::Entry;
use super::item::{Fragment, Item, Lost, LostReason, Span};
use super::layout::Layout;
use super::listing::{Ask, Survey};
use super::order::{By, Order, Verdict};
use super::queue::End;
use super::report::{ConnectionReport, ConnectionState, Failure, FailureKind, Report};
use super::settings::{Place, Settings};
use super::stats::Stats;
use crate::backoff::Backoff;
use crate::client::FragmentPage;
use crate::report::CallFailure;

/// From one call to the next: a quarter more than the service allows.
const BETWEEN_CALLS: Duration = Duration::from_millis(1_250 / GET_MEDIA_CALLS_PER_SECOND as u64);

/// An answer that had nothing is asked for again after so long; the service waits for three seconds itself.
const IDLE: Duration = Duration::from_millis(500);

/// Where something should come, nothing may come for so long; twice as long after each time that it was too long.
const PATIENCE: Duration = Duration::from_secs(10);

/// But no longer: the service lets a producer be silent for thirty seconds.
const MOST_PATIENCE: Duration = Duration::from_secs(40);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask for a list.
    List {
        id: CallId,
        ask: Ask,
        /// The endpoint does not answer, or not for this stream: ask for it again.
        renew_endpoint: bool,
    },
    /// Ask for media.
    Open { id: CallId, want: Want, renew_endpoint: bool },
    /// Give a call up.
    Close(CallId),
}

/// Which media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Those that come.
    Live(StartSelector),
    /// Those of these fragments.
    Fragments(Vec<FragmentNumber>),
}

/// The reading of a stream.
#[derive(Debug)]
pub(super) struct Session {
    timeline: FragmentSelectorType,
    survey: Option<Survey>,
    archive: Option<Archive>,
    follow: Option<Follow>,
    order: Order,
    /// Of what is followed.
    layout: Layout,
    entry: Option<Entry>,
    /// A fragment that was handed out and comes again: it begins when there is more of it.
    repeated: Option<Head>,
    /// A list that was asked for.
    listing: Option<CallId>,
    /// The answer that is being read.
    current: Option<Line>,
    /// The one behind it.
    ahead: Option<Line>,
    calls: u64,
    backoff: Backoff,
    /// No call is made before.
    not_before: Monotonic,
    last_live: Option<Monotonic>,
    renew_endpoint: bool,
    patience: Duration,
    /// Of who signs, by the kind of call: policies name them one by one.
    lists: Standing,
    fragments: Standing,
    live: Standing,
    connected: bool,
    endpoint: String,
    /// When something new came last.
    last_news: Option<Monotonic>,
    /// The service's clock, as the last list has it.
    answered: Option<Utc>,
    /// What a range has was told.
    told_range: bool,
    /// That all that is recorded was handed out was told.
    told_tip: bool,
    /// A fragment was handed out, or a part of one.
    given: bool,
    end: Option<End>,
    actions: Vec<Action>,
    reports: Vec<Report>,
    pub(super) items: Vec<Item>,
    pub(super) stats: Stats,
}

impl Session {
    /// Not begun. `seed` makes the chance in its waits.
    pub(super) fn new(settings: &Settings, seed: u64) -> Self {
        let (timeline, survey, archive, follow, entry) = match &settings.place {
            Place::Follow(selector) => {
                let follow = Follow::new(selector.clone(), None);
                (FragmentSelectorType::ProducerTimestamp, None, None, Some(follow), None)
            }
            Place::Range(range) => {
                let survey = Survey::new(range.timeline, range.from, range.to, range.spans);
                let archive = Archive::new(*range, settings.settle);
                let entry = range.begin.map(Entry::new);
                (range.timeline, Some(survey), Some(archive), None, entry)
            }
        };
        Self {
            timeline,
            survey,
            archive,
            follow,
            order: Order::default(),
            layout: Layout::new(timeline),
            entry,
            repeated: None,
            listing: None,
            current: None,
            ahead: None,
            calls: 0,
            backoff: Backoff::new(seed),
            not_before: Monotonic::default(),
            last_live: None,
            renew_endpoint: false,
            patience: PATIENCE,
            lists: Standing::default(),
            fragments: Standing::default(),
            live: Standing::default(),
            connected: false,
            endpoint: String::new(),
            last_news: None,
            answered: None,
            told_range: false,
            told_tip: false,
            given: false,
            end: None,
            actions: Vec::new(),
            reports: Vec::new(),
            items: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// What to do, in this order.
    pub(super) fn actions(&mut self) -> impl Iterator<Item = Action> + use<'_> {
        self.actions.drain(..)
    }

    /// What to tell.
    pub(super) fn reports(&mut self) -> impl Iterator<Item = Report> + use<'_> {
        self.reports.drain(..)
    }

    /// How it ended.
    pub(super) const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The answer that is to be read now.
    pub(super) fn reading(&self) -> Option<CallId> {
        self.current.as_ref().filter(|line| line.open).map(|line| line.id)
    }

    /// The time goes on. `room`: what comes can be handed out.
    pub(super) fn turn(&mut self, now: Now, room: bool) {
        if self.end.is_some() {
            return;
        }
        self.last_news.get_or_insert(now.clock);
        if let Some(line) = &mut self.current {
            if !room {
                // Nobody reads what may be there.
                line.life = now.clock;
            }
            if line.open && now.clock >= line.life.saturating_add(self.patience) {
                self.patience = (self.patience * 2).min(MOST_PATIENCE);
                self.break_off("nothing comes", now);
            }
        }
        self.want(now);
    }

    /// When to look again, whatever happens. What could be done now was done.
    pub(super) fn deadline(&self, now: Now) -> Option<Monotonic> {
        if self.end.is_some() {
            return None;
        }
        let open = self.current.as_ref().filter(|line| line.open);
        let stalled = open.map(|line| line.life.saturating_add(self.patience));
        let due = Some(self.not_before).filter(|at| *at > now.clock);
        [stalled, due].into_iter().flatten().min()
    }

    fn want(&mut self, now: Now) {
        while self.end.is_none() && self.step(now) {}
        if self.end.is_some() || now.clock < self.not_before {
            return;
        }
        self.want_list(now);
        match (&self.archive, &self.follow) {
            _ if self.survey.is_some() => {}
            (Some(_), _) => self.want_fragments(now),
            (None, Some(_)) => self.want_live(now),
            (None, None) => {}
        }
    }

    /// Goes from one kind of reading to the next, when that is due.
    fn step(&mut self, now: Now) -> bool {
        if let Some(survey) = self.survey.take_if(|survey| survey.is_done()) {
            self.surveyed(survey);
            return true;
        }
        let idle = self.survey.is_none() && self.current.is_none() && self.listing.is_none();
        if idle && let Some(archive) = self.archive.take_if(|archive| archive.is_done()) {
            self.leave(archive, now);
            return true;
        }
        false
    }

    fn want_list(&mut self, now: Now) {
        let here = self.answered.unwrap_or(now.utc).max(now.utc);
        if self.listing.is_some() {
            return;
        }
        let ask = match (&mut self.survey, &mut self.archive) {
            (Some(survey), _) => survey.ask(here),
            (None, Some(archive)) => archive.ask(here),
            (None, None) => None,
        };
        if let Some(ask) = ask {
            let id = self.next_call();
            self.listing = Some(id);
            self.stats.lists += 1;
            let renew_endpoint = std::mem::take(&mut self.renew_endpoint);
            self.connecting();
            self.actions.push(Action::List { id, ask, renew_endpoint });
        }
    }

    fn next_call(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }

    fn connecting(&mut self) {
        if !self.connected && self.backoff.failures() == 0 && self.calls == 1 {
            self.report_connection(ConnectionState::Connecting, None, None);
        }
    }

    fn report_connection(
        &mut self,
        state: ConnectionState,
        cause: Option<String>,
        request_id: Option<String>,
    ) {
        let attempts = self.backoff.failures();
        let endpoint = self.endpoint.clone();
        let report = ConnectionReport { state, endpoint, attempts, cause, request_id };
        self.reports.push(Report::Connection(report));
    }

    fn open(&mut self, want: Want, rows: usize, now: Now) -> Line {
        let id = self.next_call();
        let renew_endpoint = std::mem::take(&mut self.renew_endpoint);
        self.connecting();
        self.actions.push(Action::Open { id, want, renew_endpoint });
        Line::new(id, rows, now.clock)
    }

    /// A page of a list has come.
    pub(super) fn listed(&mut self, id: CallId, page: FragmentPage, now: Now) {
        if self.listing != Some(id) {
            return;
        }
        self.listing = None;
        self.lists.answered();
        self.answered = Some(page.answered);
        self.backoff.succeed();
        self.take_page(page);
        self.want(now);
    }

    /// A call for media is answered.
    pub(super) fn opened(&mut self, id: CallId, endpoint: &str, request_id: Option<String>, now: Now) {
        let Some(line) = self.line(id) else { return };
        (line.open, line.since, line.life) = (true, now.clock, now.clock);
        self.standing(false).answered();
        self.stats.connections += 1;
        if !self.connected {
            self.endpoint.clear();
            self.endpoint.push_str(endpoint);
            self.report_connection(ConnectionState::Connected, None, request_id);
            self.connected = true;
        }
        if self.follow.as_ref().is_some_and(Follow::is_now) {
            self.tell_tip();
        }
    }

    /// A call did not come about.
    pub(super) fn failed(&mut self, id: CallId, failure: CallFailure, now: Now) {
        let list = self.listing == Some(id);
        if list {
            self.listing = None;
        } else if self.line(id).is_some() {
            self.close(id);
        } else {
            return;
        }
        self.stats.failures += 1;
        let CallFailure { recovery, kind, message, request_id, signer } = failure;
        let mut helpless = false;
        match recovery {
            Recovery::BackOff => self.renew_endpoint |= self.backoff.failures() >= 2,
            Recovery::NewEndpoint => self.renew_endpoint = true,
            Recovery::NewCredentials => match self.standing(list).denied(signer, now.clock) {
                Denial::Again => {}
                Denial::Helpless => helpless = true,
                Denial::Final => {
                    return self.fail(Failure { kind: FailureKind::Refused, message, request_id });
                }
            },
            Recovery::NoStream | Recovery::Fatal => {
                let kind = if recovery == Recovery::NoStream { FailureKind::NoStream } else { kind };
                return self.fail(Failure { kind, message, request_id });
            }
        }
        let wait = if helpless { self.backoff.fail_until_helped() } else { self.backoff.fail() };
        self.pause(wait, Some(message), request_id, now);
    }

    /// Something has come in an answer.
    pub(super) fn found(&mut self, id: CallId, found: Found, now: Now) {
        let Some(line) = self.current.as_mut().filter(|line| line.id == id) else { return };
        line.life = now.clock;
        line.fresh = true;
        self.patience = PATIENCE;
        match found {
            Found::Begin(head) => {
                if self.archive.is_some() && !self.expect(&head, now) {
                    return;
                }
                self.begin(&head, now);
            }
            Found::Frame(frame) => {
                if self.order.takes(&frame) {
                    if let Some(head) = self.repeated.take() {
                        self.give_fragment(&head, None, true);
                    }
                    self.layout.reach(frame.time);
                    self.backoff.succeed();
                    self.last_news = Some(now.clock);
                    self.give(Item::Frame(frame));
                } else {
                    self.stats.duplicate_frames += 1;
                }
            }
            Found::End(end) => {
                let (number, behind) = (end.number.clone(), end.behind_now);
                let length = self.order.length(end.last);
                if self.repeated.is_none() {
                    self.layout.reach(end.last);
                }
                let is_new = self.order.end();
                self.backoff.succeed();
                if self.repeated.take().is_some() {
                    self.stats.duplicates += 1;
                } else if is_new {
                    self.stats.fragments += 1;
                    self.give(Item::Done(end));
                }
                if self.archive.is_some() {
                    self.fetched(&number);
                } else {
                    self.followed(behind, length);
                }
            }
            Found::Cut => self.unreadable(None, "it ends before its end".to_owned(), true, now),
            Found::Failure { number, id, message } => self.refused(number, id, message, now),
            Found::Damaged { number, why, fatal } => self.unreadable(number, why, fatal, now),
        }
    }

    /// Bytes have come.
    pub(super) fn received(&mut self, id: CallId, bytes: usize, now: Now) {
        self.stats.bytes = self.stats.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if let Some(line) = self.line(id) {
            line.life = now.clock;
        }
    }

    /// An answer has ended: as it should, or broken.
    pub(super) fn ended(&mut self, id: CallId, broken: Option<String>, now: Now) {
        if let Some(cause) = broken {
            if self.current.as_ref().is_some_and(|line| line.id == id) {
                self.break_off(&cause, now);
            } else if self.ahead.as_ref().is_some_and(|line| line.id == id) {
                self.ahead = None;
            }
        } else if let Some(line) = self.current.take_if(|line| line.id == id) {
            if self.archive.is_some() {
                self.answered_all(&line, now);
            } else {
                self.answer_over(&line, now);
            }
        }
        self.want(now);
    }

    /// Of the calls that list, or of those for media that are made now.
    const fn standing(&mut self, list: bool) -> &mut Standing {
        match (list, &self.archive) {
            (true, _) => &mut self.lists,
            (false, Some(_)) => &mut self.fragments,
            (false, None) => &mut self.live,
        }
    }

    fn line(&mut self, id: CallId) -> Option<&mut Line> {
        [&mut self.current, &mut self.ahead].into_iter().flatten().find(|line| line.id == id)
    }

    fn close(&mut self, id: CallId) {
        if self.current.take_if(|line| line.id == id).is_some() {
            self.order.cut();
        } else if self.ahead.take_if(|line| line.id == id).is_none() {
            return;
        }
        self.actions.push(Action::Close(id));
    }

    /// What is being read is given up, with what was to follow.
    fn close_all(&mut self) {
        for line in [&mut self.current, &mut self.ahead] {
            if let Some(line) = line.take() {
                self.actions.push(Action::Close(line.id));
            }
        }
        self.order.cut();
    }

    /// What is being read broke: again, from behind what was whole.
    fn break_off(&mut self, cause: &str, now: Now) {
        self.close_all();
        self.stats.reconnects += 1;
        let wait = self.backoff.fail();
        self.pause(wait, Some(cause.to_owned()), None, now);
    }

    fn pause(&mut self, wait: Duration, cause: Option<String>, request_id: Option<String>, now: Now) {
        self.not_before = self.not_before.max(now.clock.saturating_add(wait));
        self.connected = false;
        self.report_connection(ConnectionState::Waiting(wait), cause, request_id);
    }

    fn fail(&mut self, failure: Failure) {
        self.close_all();
        self.flush_entry();
        self.reports.push(Report::Failed(failure.clone()));
        self.end = Some(End::Failed(failure));
    }

    /// The range is at its end.
    fn finish(&mut self) {
        self.close_all();
        // Who began within it knows that there is something, and may be behind the last of it.
        if !self.given && (self.entry.is_none() || !self.told_range) {
            let message = match self.stats.lost {
                0 => "nothing is recorded in the range".to_owned(),
                lost => format!("nothing of the range can be read: {lost} lost"),
            };
            return self.fail(Failure { kind: FailureKind::Empty, message, request_id: None });
        }
        self.flush_entry();
        self.end = Some(End::Range);
    }

    fn flush_entry(&mut self) {
        if let Some(mut entry) = self.entry.take() {
            entry.finish(&mut self.items);
        }
    }

    fn begin(&mut self, head: &Head, now: Now) {
        let by = if self.archive.is_some() { By::List } else { By::Number };
        if self.is_beyond(head) {
            return self.finish();
        }
        self.repeated = None;
        if self.is_before(head) {
            self.layout.begin(head.producer, head.server);
            return self.order.pass(head);
        }
        let (verdict, lost) = self.order.begin(head, by);
        if let Some(lost) = lost {
            self.lose(lost);
        }
        let (gap, resumed) = match verdict {
            Verdict::Old => {
                self.layout.pass();
                self.stats.duplicates += 1;
                return;
            }
            Verdict::Repeated => {
                self.repeated = Some(head.clone());
                return;
            }
            Verdict::New(gap) => (gap, false),
            Verdict::Resumed => (None, true),
        };
        self.last_news = Some(now.clock);
        self.stats.gaps += u64::from(gap.is_some());
        self.give_fragment(head, gap, resumed);
    }

    fn give_fragment(&mut self, head: &Head, gap: Option<Span>, resumed: bool) {
        self.tell_first(head);
        self.given = true;
        let begins = match &self.archive {
            Some(archive) => archive.begin_of(head),
            None if resumed => self.layout.resume(head.producer),
            None => self.layout.begin(head.producer, head.server),
        };
        let Head { number, producer, server, tags, header } = head.clone();
        let fragment = Fragment { number, producer, server, begins, tags, header, gap, resumed };
        self.give(Item::Fragment(Arc::new(fragment)));
    }

    fn give(&mut self, item: Item) {
        self.stats.frames += u64::from(matches!(item, Item::Frame(_)));
        match &mut self.entry {
            None => self.items.push(item),
            Some(entry) => {
                if entry.take(item, &mut self.items) {
                    self.entry = None;
                }
            }
        }
    }

    fn lose(&mut self, lost: Lost) {
        self.stats.lost += 1;
        self.reports.push(Report::Lost(lost.clone()));
        self.give(Item::Lost(lost));
    }

    /// Something that is there cannot be had as it is. `fatal`: nor what is behind it in the same answer.
    fn unreadable(&mut self, number: Option<FragmentNumber>, why: String, fatal: bool, now: Now) {
        let reason = LostReason::Damaged(why);
        if self.archive.is_some() {
            self.archive_unreadable(number, reason, fatal, now);
        } else {
            self.live_unreadable(number, reason, fatal, now);
        }
    }
}

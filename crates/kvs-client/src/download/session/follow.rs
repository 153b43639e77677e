//! Reading what comes.

use std::time::Duration;

use kvs_media::time::Utc;
use kvs_wire::{ErrorId, FragmentNumber, StartSelector};

use super::super::item::{Item, Lost, LostReason};
use super::super::report::Report;
use super::line::{Line, Now};
use super::{BETWEEN_CALLS, IDLE, Session, Want};

/// A fragment that ended no longer ago is the last one, whatever its length.
const TIP: Duration = Duration::from_secs(2);

/// What lies in the past for so long does not come any more, where it was to be waited for.
const LATE: Duration = Duration::from_secs(15);

/// An answer that had nothing for so long had nothing to give: the service waits for three seconds (kvs-api 5.5).
const WAITED: Duration = Duration::from_secs(2);

/// So many answers in a row that had nothing mean the same, however short.
const EMPTY: u32 = 4;

/// So often is asked again for what cannot be read.
const ATTEMPTS: u32 = 3;

/// Fragment not found, at the end of an answer.
const NOT_FOUND: ErrorId = ErrorId(4000);

/// Reading what comes.
#[derive(Debug)]
pub(super) struct Follow {
    /// Where it begins, as long as nothing is whole.
    selector: StartSelector,
    /// Where the range begins and ends, when it is one.
    range: Option<(Utc, Option<Utc>)>,
    /// What could not be read, and how often.
    damage: Option<(Option<FragmentNumber>, u32)>,
    /// Answers in a row that had nothing.
    empty: u32,
}

impl Follow {
    /// `range`: it is the rest of a range, and this is where that begins and ends.
    pub(super) const fn new(selector: StartSelector, range: Option<(Utc, Option<Utc>)>) -> Self {
        Self { selector, range, damage: None, empty: 0 }
    }

    /// Nothing that is recorded is wanted.
    pub(super) const fn is_now(&self) -> bool {
        matches!(self.selector, StartSelector::Now)
    }

    pub(super) const fn is_of_range(&self) -> bool {
        self.range.is_some()
    }

    pub(super) fn until(&self) -> Option<Utc> {
        self.range.and_then(|(_, to)| to)
    }

    pub(super) fn from(&self) -> Option<Utc> {
        self.range.map(|(from, _)| from)
    }
}

impl Session {
    pub(super) fn want_live(&mut self, now: Now) {
        let Some(follow) = &self.follow else { return };
        if self.current.is_some() {
            return;
        }
        // The service counts calls.
        let earliest = self.last_live.map_or(now.clock, |last| last.saturating_add(BETWEEN_CALLS));
        if now.clock < earliest {
            self.not_before = self.not_before.max(earliest);
            return;
        }
        self.last_live = Some(now.clock);
        let selector = match self.order.whole() {
            Some(number) => StartSelector::AfterFragment(number.clone()),
            None => follow.selector.clone(),
        };
        let line = self.open(Want::Live(selector), 0, now);
        self.current = Some(line);
    }

    /// A fragment is whole: whether it was the last that is recorded.
    pub(super) fn followed(&mut self, behind: Option<Duration>, length: Duration) {
        if let Some(follow) = &mut self.follow {
            follow.damage = None;
        }
        if behind.is_some() {
            self.stats.behind_now = behind;
        }
        if behind.is_some_and(|behind| behind <= TIP.max(length * 3 / 2)) {
            self.tell_tip();
        }
    }

    pub(super) fn tell_tip(&mut self) {
        if !self.told_tip {
            self.told_tip = true;
            self.give(Item::Tip);
        }
    }

    /// An answer has come to its end: nothing came for a while, or the service had enough.
    pub(super) fn answer_over(&mut self, line: &Line, now: Now) {
        // What was cut is asked for again, and what is new as well: from behind what is whole.
        let cut = self.order.is_open();
        self.order.cut();
        let Some(follow) = &mut self.follow else { return };
        if line.fresh {
            follow.empty = 0;
            self.stats.reconnects += 1;
            return;
        }
        follow.empty += 1;
        // The service waits for a while before it says that nothing is there; others say so at once.
        let idle = now.clock.saturating_since(line.since) >= WAITED || follow.empty >= EMPTY;
        self.not_before = self.not_before.max(now.clock.saturating_add(IDLE));
        if cut || !idle {
            return;
        }
        self.tell_tip();
        let news = self.last_news.unwrap_or(now.clock);
        self.reports.push(Report::NoData { since: now.clock.saturating_since(news) });
        let until = self.follow.as_ref().and_then(Follow::until);
        if until.is_some_and(|until| now.utc.since(until).is_some_and(|late| late >= LATE)) {
            self.finish();
        }
    }

    /// The service says at the end of an answer why it is one.
    pub(super) fn refused(
        &mut self,
        number: Option<FragmentNumber>,
        id: Option<ErrorId>,
        message: String,
        now: Now,
    ) {
        if self.archive.is_some() {
            return self.archive_refused(number, id, message, now);
        }
        let cause = format!("{message} ({})", id.map_or(0, |id| id.0));
        self.close_all();
        self.stats.reconnects += 1;
        if id == Some(NOT_FOUND)
            && let Some(follow) = &mut self.follow
            && self.order.whole().is_some()
        {
            // It does not know what was read of it: by its clock, then.
            let from = self.order.forget();
            follow.selector = from.map_or(StartSelector::Now, StartSelector::ServerTime);
        }
        let helpless = id.is_some_and(|ErrorId(id)| (4500..4600).contains(&id));
        let wait = if helpless { self.backoff.fail_until_helped() } else { self.backoff.fail() };
        self.pause(wait, Some(cause), None, now);
    }

    /// What came cannot be read. It is asked for again, and passed over when that does not help.
    pub(super) fn live_unreadable(
        &mut self,
        number: Option<FragmentNumber>,
        why: LostReason,
        fatal: bool,
        now: Now,
    ) {
        let number = number.or_else(|| self.order.number());
        let at = self.order.producer();
        let Some(follow) = &mut self.follow else { return };
        let before = follow.damage.take().filter(|(known, _)| *known == number).map_or(0, |(_, times)| times);
        let attempts = before + 1;
        if fatal && attempts < ATTEMPTS {
            follow.damage = Some((number.clone(), attempts));
            // What is not a fragment at all may come from a host that is none of the service's.
            self.renew_endpoint |= number.is_none();
            return self.break_off(&why.to_string(), now);
        }
        match &number {
            Some(number) => self.order.skip(number),
            None => {
                self.order.forget();
                if let Some(follow) = &mut self.follow {
                    follow.selector = StartSelector::Now;
                }
            }
        }
        let cause = why.to_string();
        self.lose(Lost { number, at, why });
        if fatal {
            self.break_off(&cause, now);
        }
    }
}

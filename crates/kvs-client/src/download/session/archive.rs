//! Reading what is recorded: the plan, and how it is fetched.

use std::collections::VecDeque;
use std::time::Duration;

use kvs_media::time::Utc;
use kvs_wire::limits::FRAGMENT_DURATION;
use kvs_wire::{ErrorId, FragmentNumber, StartSelector};

use super::super::chunk::Head;
use super::super::item::{Bounds, Item, Lost, LostReason, Span};
use super::super::layout::Layout;
use super::super::listing::{Ask, Survey, Windows};
use super::super::order::GAP;
use super::super::report::FailureKind;
use super::super::settings::Range;
use super::follow::Follow;
use super::line::{Line, Now};
use super::{Failure, FragmentSelectorType, Session, Want};
use crate::client::{FragmentPage, ListedFragment};

/// Fragments of the first batch: little, so that it comes soon. Each further one is twice as large.
const FIRST_BATCH: usize = 4;
/// A fifth of what the service allows in a second (kvs-api 10.3).
const MOST_BATCH: usize = 100;
/// With fewer fragments than this left to fetch, the next window is listed.
const LOW: usize = 2 * MOST_BATCH;

/// So often is asked again for what cannot be read.
const ATTEMPTS: u32 = 3;
/// What is younger may not be everywhere in the service yet.
const YOUNG: Duration = Duration::from_secs(60);

/// FRAGMENT_NOT_FOUND, in the place of a fragment.
const NOT_FOUND: ErrorId = ErrorId(3000);

/// What is to be fetched.
#[derive(Debug)]
pub(super) struct Archive {
    range: Range,
    settle: Duration,
    windows: Windows,
    layout: Layout,
    plan: VecDeque<Planned>,
    /// The newest fragment that has settled.
    seam: Option<FragmentNumber>,
    /// The range goes on beyond what has settled.
    tail: bool,
    batch: usize,
}

#[derive(Debug)]
struct Planned {
    row: ListedFragment,
    /// Where it lies.
    span: Span,
    attempts: u32,
}

impl Archive {
    pub(super) fn new(range: Range, settle: Duration) -> Self {
        let (from, slack) = range.begin.map_or((range.from, Duration::ZERO), |begin| (begin.at, GAP));
        // By the service's clock, where a fragment lies depends on all that is before.
        let (from, slack) = match range.timeline {
            FragmentSelectorType::ProducerTimestamp => (from.max(range.from), slack),
            FragmentSelectorType::ServerTimestamp => (range.from, Duration::ZERO),
        };
        let windows = Windows::new(range.timeline, from, range.to, slack);
        Self {
            tail: range.to.is_none(),
            range,
            settle,
            windows,
            layout: Layout::new(range.timeline),
            plan: VecDeque::new(),
            seam: None,
            batch: FIRST_BATCH,
        }
    }

    /// Whether the survey lists what is fetched first.
    const fn shares_survey(&self) -> bool {
        self.range.begin.is_none() && !self.range.spans
    }

    pub(super) fn is_done(&self) -> bool {
        self.windows.is_done() && self.plan.is_empty()
    }

    pub(super) fn ask(&mut self, now: Utc) -> Option<Ask> {
        if self.plan.len() >= LOW { None } else { self.windows.ask(now) }
    }

    /// When what is listed has settled, when some of the range may not have: what has not is followed later.
    fn settled(&mut self, answered: Utc) -> Option<Utc> {
        let settled = answered.checked_sub(self.settle).unwrap_or(answered);
        self.tail |= self.range.to.is_none_or(|to| to > settled);
        self.tail.then_some(settled)
    }

    /// Plans what a window has.
    fn add(&mut self, rows: Vec<ListedFragment>) {
        let mut planned = Vec::with_capacity(rows.len());
        for row in rows {
            if self.seam.as_ref().is_none_or(|seam| *seam < row.number) {
                self.seam = Some(row.number.clone());
            }
            if let Some(span) = self.layout.lay(&row) {
                planned.push(Planned { row, span, attempts: 0 });
            }
        }
        if let Some(at) = self.range.begin.map(|begin| begin.at) {
            // Of those that begin before, the last one may be the one that is still to be seen then.
            let before = planned.iter().take_while(|planned| planned.span.from <= at).count();
            let covers = |planned: &Planned| at.since(planned.span.to).is_none_or(|silence| silence <= GAP);
            let keep = before.checked_sub(1).filter(|last| planned.get(*last).is_some_and(covers));
            planned.drain(..keep.unwrap_or(before));
        }
        self.plan.extend(planned);
    }

    /// Where the fragment begins that comes.
    pub(super) fn begin_of(&self, head: &Head) -> Utc {
        let planned = self.plan.iter().find(|planned| planned.row.number == head.number);
        planned.map_or(head.producer, |planned| planned.span.from)
    }

    fn numbers(&self, from: usize, most: usize) -> Vec<FragmentNumber> {
        self.plan.iter().skip(from).take(most).map(|planned| planned.row.number.clone()).collect()
    }
}

impl Session {
    pub(super) fn take_page(&mut self, page: FragmentPage) {
        let Some(archive) = &mut self.archive else { return };
        let settled = archive.settled(page.answered);
        if let Some(survey) = &mut self.survey {
            if let Some(rows) = survey.take(page, settled)
                && archive.shares_survey()
            {
                archive.add(rows);
            }
        } else if let Some(rows) = archive.windows.take(page, settled) {
            archive.add(rows);
        }
    }

    /// What the range has is known.
    pub(super) fn surveyed(&mut self, survey: Survey) {
        let Some(archive) = &mut self.archive else { return };
        let (bounds, windows) = survey.into_parts();
        if archive.shares_survey() {
            archive.windows = windows;
        }
        match bounds {
            Some(bounds) => {
                let open = archive.tail;
                self.tell_range(Bounds { open, ..bounds });
            }
            None if archive.tail => {}
            None => {
                let message = "nothing is recorded in the range".to_owned();
                self.fail(Failure { kind: FailureKind::Empty, message, request_id: None });
            }
        }
    }

    /// When it begins, by the clock that counts.
    const fn begin_of(&self, head: &Head) -> Utc {
        match self.timeline {
            FragmentSelectorType::ProducerTimestamp => head.producer,
            FragmentSelectorType::ServerTimestamp => head.server,
        }
    }

    fn tell_range(&mut self, bounds: Bounds) {
        self.told_range = true;
        self.items.push(Item::Range(bounds));
    }

    /// The first fragment comes before anything was recorded that could be surveyed.
    pub(super) fn tell_first(&mut self, head: &Head) {
        let ranged = self.archive.is_some() || self.follow.as_ref().is_some_and(Follow::is_of_range);
        if ranged && !self.told_range {
            let first = self.begin_of(head);
            self.tell_range(Bounds { first, end: first, spans: Vec::new(), open: true });
        }
    }

    /// All that has settled was fetched.
    pub(super) fn leave(&mut self, archive: Archive, now: Now) {
        if !archive.tail {
            return self.finish();
        }
        let Range { timeline, from, to, begin, .. } = archive.range;
        let at = begin.map_or(from, |begin| begin.at);
        let selector = match (&archive.seam, timeline) {
            (Some(seam), _) => {
                self.order.skip(seam);
                StartSelector::AfterFragment(seam.clone())
            }
            (None, FragmentSelectorType::ProducerTimestamp) => StartSelector::ProducerTime(at),
            (None, FragmentSelectorType::ServerTimestamp) => StartSelector::ServerTime(from),
        };
        self.layout = archive.layout;
        self.last_news = Some(now.clock);
        self.follow = Some(Follow::new(selector, Some((at, to))));
    }

    pub(super) fn want_fragments(&mut self, now: Now) {
        let Some(archive) = &self.archive else { return };
        let from = match (&self.current, &self.ahead) {
            (None, _) => 0,
            // Before the last quarter of it is used up.
            (Some(line), None) if line.open && line.rows <= (line.asked / 4).max(1) => line.rows,
            _ => return,
        };
        let numbers = archive.numbers(from, archive.batch);
        let rows = numbers.len();
        if rows == 0 {
            return;
        }
        let line = self.open(Want::Fragments(numbers), rows, now);
        if self.current.is_none() {
            self.current = Some(line);
        } else {
            self.ahead = Some(line);
        }
    }

    /// A fragment begins: whether it is the one that is next. What was passed over is not there.
    pub(super) fn expect(&mut self, head: &Head, now: Now) -> bool {
        let rows = self.current.as_ref().map_or(0, |line| line.rows);
        let place = self.archive.as_ref().and_then(|archive| {
            archive.plan.iter().take(rows).position(|planned| planned.row.number == head.number)
        });
        let Some(place) = place else {
            let why = "a fragment came that was not asked for".to_owned();
            self.archive_unreadable(None, LostReason::Damaged(why), true, now);
            return false;
        };
        for _ in 0..place {
            self.archive_unreadable(None, LostReason::Missing, false, now);
            if self.current.is_none() {
                return false;
            }
        }
        true
    }

    /// A fragment is whole.
    pub(super) fn fetched(&mut self, number: &FragmentNumber) {
        let Some(archive) = &mut self.archive else { return };
        if archive.plan.front().is_some_and(|planned| planned.row.number == *number) {
            archive.plan.pop_front();
            if let Some(line) = &mut self.current {
                line.rows = line.rows.saturating_sub(1);
            }
        }
    }

    /// An answer has come to its end.
    pub(super) fn answered_all(&mut self, line: &Line, now: Now) {
        self.order.cut();
        if line.rows == 0 {
            if let Some(archive) = &mut self.archive {
                archive.batch = (archive.batch * 2).min(MOST_BATCH);
            }
            self.current = self.ahead.take();
            if let Some(line) = &mut self.current {
                line.life = now.clock;
            }
            return;
        }
        self.archive_unreadable(None, LostReason::Missing, true, now);
    }

    /// The fragment that is next cannot be had, or not now.
    pub(super) fn archive_unreadable(
        &mut self,
        number: Option<FragmentNumber>,
        why: LostReason,
        fatal: bool,
        now: Now,
    ) {
        let here = self.answered.unwrap_or(now.utc);
        let Some(archive) = &mut self.archive else { return };
        let rows = self.current.as_ref().map_or(0, |line| line.rows);
        let known = number.is_none_or(|number| {
            archive.plan.iter().take(rows.max(1)).any(|planned| planned.row.number == number)
        });
        let Some(front) = archive.plan.front_mut().filter(|_| known) else {
            return self.break_off("the answer is not what was asked for", now);
        };
        front.attempts += 1;
        let young = here.since(front.row.server).is_none_or(|age| age < YOUNG);
        let most = match &why {
            // What is there no longer does not come back.
            LostReason::Missing if !young => 1,
            // Read again, it would be the same.
            LostReason::Damaged(_) if !fatal => 1,
            _ => ATTEMPTS,
        };
        if front.attempts < most {
            let cause = format!("fragment {}: {why}", front.row.number);
            return self.break_off(&cause, now);
        }
        let lost = Lost { number: Some(front.row.number.clone()), at: Some(front.row.producer), why };
        archive.plan.pop_front();
        if let Some(line) = &mut self.current {
            line.rows = line.rows.saturating_sub(1);
        }
        self.order.give_up();
        self.lose(lost);
        if fatal {
            self.close_all();
        }
    }

    /// The service says in the place of a fragment that it does not give it.
    pub(super) fn archive_refused(
        &mut self,
        number: Option<FragmentNumber>,
        id: Option<ErrorId>,
        message: String,
        now: Now,
    ) {
        let why =
            if id == Some(NOT_FOUND) { LostReason::Missing } else { LostReason::Refused { id, message } };
        self.archive_unreadable(number, why, false, now);
    }

    /// Whether a fragment ends before what is read begins. Asked for what is still to come, a service gives what comes
    /// before that too.
    pub(super) fn is_before(&self, head: &Head) -> bool {
        let end = self.layout.next(head.producer, head.server).checked_add(FRAGMENT_DURATION);
        let from = self.follow.as_ref().and_then(Follow::from).filter(|_| !self.given);
        from.is_some_and(|from| end.is_some_and(|end| end < from))
    }

    /// Whether a fragment begins behind the end of what is read.
    pub(super) fn is_beyond(&self, head: &Head) -> bool {
        let time = self.begin_of(head);
        self.follow.as_ref().and_then(Follow::until).is_some_and(|until| time > until)
    }
}

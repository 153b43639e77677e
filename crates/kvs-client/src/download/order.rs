//! What of all that comes is new.
//!
//! A call that breaks is made again from behind the last fragment that was whole; a producer that lost its connection
//! sends again what was not acknowledged, under new numbers. Each frame is handed out once all the same.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kvs_media::TrackNumber;
use kvs_media::time::Utc;
use kvs_wire::FragmentNumber;

use super::chunk::Head;
use super::item::{Frame, Lost, LostReason, Span};

/// A silence between fragments that is longer is a gap.
pub(super) const GAP: Duration = Duration::from_secs(2);

/// A producer sends again what it holds, which is minutes; what begins at the same time much later is something else.
const RESENT: Duration = Duration::from_secs(300);

/// Fragments that are remembered: five a second for that long.
const REMEMBERED: usize = 1_500;

/// Frames that may be missing where a fragment comes again, before those that follow are new.
const AHEAD: usize = 64;

/// By whose order fragments come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The service's: by their numbers. What is not above the last is no news.
    Number,
    /// A list's.
    List,
}

/// What a fragment is that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was handed out whole.
    Old,
    /// It was not, behind this silence.
    New(Option<Span>),
    /// Some of it was, or may have been.
    Resumed,
}

type Times = BTreeMap<TrackNumber, VecDeque<Utc>>;

/// What was handed out.
#[derive(Debug, Default)]
pub(super) struct Order {
    whole: Option<FragmentNumber>,
    open: Option<Open>,
    cut: Option<Cut>,
    /// When fragments that are whole begin, and when they came.
    recent: VecDeque<(Utc, Utc)>,
    /// The latest time in the last fragment.
    last: Option<Utc>,
}

/// The fragment that is coming.
#[derive(Debug)]
struct Open {
    number: FragmentNumber,
    producer: Utc,
    server: Utc,
    verdict: Verdict,
    given: Times,
    last: Option<Utc>,
}

/// One that was cut.
#[derive(Debug)]
struct Cut {
    number: FragmentNumber,
    producer: Utc,
    /// The latest frame of it.
    to: Utc,
    /// What was handed out of it and has not come again.
    given: Times,
    /// Something that begins within it has come.
    resumed: bool,
}

impl Order {
    /// The last fragment that is whole, by the service's order.
    pub(super) const fn whole(&self) -> Option<&FragmentNumber> {
        self.whole.as_ref()
    }

    /// The fragment that is coming.
    pub(super) fn number(&self) -> Option<FragmentNumber> {
        self.open.as_ref().map(|open| open.number.clone())
    }

    /// When it begins.
    pub(super) fn producer(&self) -> Option<Utc> {
        self.open.as_ref().map(|open| open.producer)
    }

    /// How long it is, when it ends so.
    pub(super) fn length(&self, last: Utc) -> Duration {
        self.open.as_ref().and_then(|open| last.since(open.producer)).unwrap_or_default()
    }

    /// Whether one is coming.
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Nothing up to this number is news.
    pub(super) fn skip(&mut self, number: &FragmentNumber) {
        if self.whole.as_ref().is_none_or(|whole| whole < number) {
            self.whole = Some(number.clone());
        }
        self.open = None;
        self.cut = None;
    }

    /// The numbers that were read mean nothing any more. When the last of them came.
    pub(super) fn forget(&mut self) -> Option<Utc> {
        (self.whole, self.open, self.cut) = (None, None, None);
        self.recent.back().map(|(_, server)| *server)
    }

    /// A fragment begins. What can no longer come is told.
    pub(super) fn begin(&mut self, head: &Head, by: By) -> (Verdict, Option<Lost>) {
        self.cut();
        let below = by == By::Number && self.whole.as_ref().is_some_and(|whole| head.number <= *whole);
        let (mut verdict, mut lost) = (Verdict::Old, None);
        if !below && !self.is_recent(head) {
            let continues = self.cut.as_ref().is_some_and(|cut| cut.is_continued_by(head));
            verdict = match (&mut self.cut, continues) {
                (Some(cut), true) => {
                    cut.resumed = true;
                    Verdict::Resumed
                }
                (cut, _) => {
                    lost = cut.take().filter(|cut| !cut.resumed).map(Cut::lost);
                    let last = self.last.and_then(|last| Some((last, head.producer.since(last)?)));
                    let gap = last.filter(|(_, silence)| *silence > GAP);
                    Verdict::New(gap.map(|(from, _)| Span { from, to: head.producer }))
                }
            };
        }
        self.open = Some(Open {
            number: head.number.clone(),
            producer: head.producer,
            server: head.server,
            verdict: verdict.clone(),
            given: Times::new(),
            last: None,
        });
        (verdict, lost)
    }

    /// Whether a frame of the fragment that is coming is to be handed out.
    pub(super) fn takes(&mut self, frame: &Frame) -> bool {
        let Some(open) = &mut self.open else { return false };
        if open.verdict == Verdict::Old {
            return false;
        }
        let given = open.given.entry(frame.track).or_default();
        if open.verdict == Verdict::Resumed
            && let Some(before) = self.cut.as_mut().and_then(|cut| cut.given.get_mut(&frame.track))
            && let Some(place) = before.iter().take(AHEAD).position(|time| *time == frame.time)
        {
            given.extend(before.drain(..=place));
            return false;
        }
        given.push_back(frame.time);
        open.last = open.last.max(Some(frame.time));
        true
    }

    /// The fragment that is coming is whole. False when it is old.
    pub(super) fn end(&mut self) -> bool {
        let Some(open) = self.open.take() else { return false };
        if self.whole.as_ref().is_none_or(|whole| *whole < open.number) {
            self.whole = Some(open.number.clone());
        }
        if open.verdict == Verdict::Old {
            return false;
        }
        if self.cut.as_ref().is_some_and(|cut| cut.number == open.number || cut.producer == open.producer) {
            self.cut = None;
        }
        let last = open.given.values().flatten().max().copied();
        self.last = last.or(Some(open.producer)).max(open.last);
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((open.producer, open.server));
        true
    }

    /// The fragment that is coming does not come to its end.
    pub(super) fn cut(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        if open.verdict == Verdict::Old {
            return;
        }
        let mut to = open.given.values().flatten().max().copied().unwrap_or(open.producer);
        if let Some(cut) = self.cut.take().filter(|_| open.verdict == Verdict::Resumed) {
            to = to.max(cut.to);
            for (track, times) in cut.given {
                open.given.entry(track).or_default().extend(times);
            }
        }
        self.last = self.last.max(Some(to));
        let Open { number, producer, given, .. } = open;
        self.cut = Some(Cut { number, producer, to, given, resumed: false });
    }

    /// What was cut cannot come any more.
    pub(super) fn give_up(&mut self) {
        (self.open, self.cut) = (None, None);
    }

    fn is_recent(&self, head: &Head) -> bool {
        let near = |server: Utc| {
            let apart = i128::from(head.server.nanos()) - i128::from(server.nanos());
            apart.unsigned_abs() <= RESENT.as_nanos()
        };
        self.recent.iter().any(|(producer, server)| *producer == head.producer && near(*server))
    }
}

impl Cut {
    fn is_continued_by(&self, head: &Head) -> bool {
        self.number == head.number || (self.producer..=self.to).contains(&head.producer)
    }

    fn lost(self) -> Lost {
        Lost { number: Some(self.number), at: Some(self.producer), why: LostReason::Cut }
    }
}

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
pub(super) const RESENT: Duration = Duration::from_secs(300);

/// Fragments that are remembered: five a second for that long.
pub(super) const REMEMBERED: usize = 1_500;

/// Of so many of them it is remembered what was in them. When a producer goes, the service may take what has come for
/// the whole fragment; when the producer comes back, it sends all of it.
const KNOWN: usize = 16;

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
    /// So it was, but there may be more of it now.
    Repeated,
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
    /// Those that were whole, the newest last.
    recent: VecDeque<Known>,
    /// The latest time in the last fragment.
    last: Option<Utc>,
}

/// One that was whole.
#[derive(Debug)]
struct Known {
    producer: Utc,
    server: Utc,
    /// What was handed out of it, of the last ones.
    given: Option<Times>,
}

/// The fragment that is coming.
#[derive(Debug)]
struct Open {
    number: FragmentNumber,
    producer: Utc,
    server: Utc,
    verdict: Verdict,
    /// What was handed out of one that began at the same time and has not come again.
    before: Times,
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
        self.recent.back().map(|known| known.server)
    }

    /// A fragment begins. What can no longer come is told.
    pub(super) fn begin(&mut self, head: &Head, by: By) -> (Verdict, Option<Lost>) {
        self.cut();
        let below = by == By::Number && self.whole.as_ref().is_some_and(|whole| head.number <= *whole);
        let (mut verdict, mut lost, mut before) = (Verdict::Old, None, Times::new());
        match self.known(head).map(|known| known.given.clone()) {
            _ if below => {}
            Some(None) => {}
            Some(Some(given)) => (verdict, before) = (Verdict::Repeated, given),
            None => (verdict, lost) = self.unknown(head),
        }
        self.open = Some(Open::new(head, verdict.clone(), before));
        (verdict, lost)
    }

    /// A fragment begins of which nothing is wanted.
    pub(super) fn pass(&mut self, head: &Head) {
        self.cut();
        self.open = Some(Open::new(head, Verdict::Old, Times::new()));
    }

    /// One begins that was not whole before.
    fn unknown(&mut self, head: &Head) -> (Verdict, Option<Lost>) {
        if let Some(cut) = self.cut.as_mut().filter(|cut| cut.is_continued_by(head)) {
            cut.resumed = true;
            return (Verdict::Resumed, None);
        }
        let lost = self.cut.take().filter(|cut| !cut.resumed).map(Cut::lost);
        let last = self.last.and_then(|last| Some((last, head.producer.since(last)?)));
        let gap = last.filter(|(_, silence)| *silence > GAP);
        (Verdict::New(gap.map(|(from, _)| Span { from, to: head.producer })), lost)
    }

    /// Whether a frame of the fragment that is coming is to be handed out.
    pub(super) fn takes(&mut self, frame: &Frame) -> bool {
        let Some(open) = &mut self.open else { return false };
        if open.verdict == Verdict::Old {
            return false;
        }
        let given = open.given.entry(frame.track).or_default();
        let before = match open.verdict {
            Verdict::Resumed => self.cut.as_mut().and_then(|cut| cut.given.get_mut(&frame.track)),
            _ => open.before.get_mut(&frame.track),
        };
        if let Some(before) = before
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
        let Some(mut open) = self.open.take() else { return false };
        if self.whole.as_ref().is_none_or(|whole| *whole < open.number) {
            self.whole = Some(open.number.clone());
        }
        if open.verdict == Verdict::Old {
            return false;
        }
        let same = |cut: &mut Cut| cut.number == open.number || cut.producer == open.producer;
        if let Some(cut) = self.cut.take_if(same) {
            open.before = cut.given;
        }
        let last = open.given.values().flatten().max().copied();
        self.last = last.or(Some(open.producer)).max(open.last);
        self.remember(open);
        true
    }

    /// The fragment that is coming does not come to its end.
    pub(super) fn cut(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        match open.verdict {
            Verdict::Old => return,
            // What there is of it now is known; it may come a third time.
            Verdict::Repeated => return self.remember(open),
            _ => {}
        }
        let mut to = open.given.values().flatten().max().copied().unwrap_or(open.producer);
        if let Some(cut) = self.cut.take().filter(|_| open.verdict == Verdict::Resumed) {
            to = to.max(cut.to);
            append(&mut open.given, cut.given);
        }
        self.last = self.last.max(Some(to));
        let Open { number, producer, given, .. } = open;
        self.cut = Some(Cut { number, producer, to, given, resumed: false });
    }

    /// What was cut cannot come any more.
    pub(super) fn give_up(&mut self) {
        (self.open, self.cut) = (None, None);
    }

    fn remember(&mut self, open: Open) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        if let Some(place) = self.recent.len().checked_sub(KNOWN)
            && let Some(known) = self.recent.get_mut(place)
        {
            known.given = None;
        }
        let Open { producer, server, mut given, before, .. } = open;
        // It may be shorter this time than it was before.
        append(&mut given, before);
        self.recent.push_back(Known { producer, server, given: Some(given) });
    }

    /// The last one that began at the same time for its producer, and not long ago.
    fn known(&self, head: &Head) -> Option<&Known> {
        let near = |server: Utc| {
            let apart = i128::from(head.server.nanos()) - i128::from(server.nanos());
            apart.unsigned_abs() <= RESENT.as_nanos()
        };
        self.recent.iter().rev().find(|known| known.producer == head.producer && near(known.server))
    }
}

fn append(times: &mut Times, others: Times) {
    for (track, others) in others {
        times.entry(track).or_default().extend(others);
    }
}

impl Open {
    fn new(head: &Head, verdict: Verdict, before: Times) -> Self {
        let Head { number, producer, server, .. } = head;
        let (number, given, last) = (number.clone(), Times::new(), None);
        Self { number, producer: *producer, server: *server, verdict, before, given, last }
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

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use kvs_media::mkv::{Header, Info};
    use std::sync::Arc;

    fn at(millis: i64) -> Utc {
        Utc::from_millis(1_795_145_031_000 + millis).unwrap()
    }

    fn number(sequence: u64) -> FragmentNumber {
        FragmentNumber::make(sequence, at(0), 1).unwrap()
    }

    fn head(sequence: u64, producer: i64) -> Head {
        let header = Header {
            doc_type: String::new(),
            info: Info::default(),
            tracks: Vec::new(),
            raw: Bytes::new(),
            segment: 0..0,
        };
        let (producer, server) = (at(producer), at(producer));
        Head { number: number(sequence), producer, server, tags: Vec::new(), header: Arc::new(header) }
    }

    fn frame(track: u64, time: i64) -> Frame {
        Frame {
            track: TrackNumber(track),
            time: at(time),
            key: false,
            discardable: false,
            invisible: false,
            duration: None,
            payload: Bytes::new(),
        }
    }

    /// A fragment with these times of the first track: which of them are taken.
    fn takes(order: &mut Order, times: &[i64]) -> Vec<i64> {
        times.iter().copied().filter(|time| order.takes(&frame(1, *time))).collect()
    }

    #[test]
    fn what_is_not_above_the_last_number_is_old_and_by_a_list_it_is_not() {
        let mut order = Order::default();
        assert_eq!(order.begin(&head(5, 0), By::Number), (Verdict::New(None), None));
        assert_eq!(takes(&mut order, &[0, 40]), [0, 40]);
        assert!(order.end());
        assert_eq!(order.begin(&head(4, 60_000), By::Number).0, Verdict::Old);
        assert!(takes(&mut order, &[60_000]).is_empty());
        assert!(!order.end());
        assert_eq!(order.whole(), Some(&number(5)));
        assert_eq!(order.begin(&head(4, 1_000), By::List).0, Verdict::New(None));
    }

    #[test]
    fn of_what_was_cut_the_rest_is_taken_also_under_another_number_and_in_the_order_of_decoding() {
        for again in [1, 1_001] {
            let mut order = Order::default();
            order.begin(&head(1, 0), By::Number);
            // As with pictures that are shown before those that they are made of.
            assert_eq!(takes(&mut order, &[0, 120, 40]), [0, 120, 40]);
            assert!(order.takes(&frame(2, 0)));
            order.cut();
            assert_eq!(order.begin(&head(again, 0), By::Number), (Verdict::Resumed, None));
            assert_eq!(takes(&mut order, &[0, 120, 40, 80, 240]), [80, 240]);
            assert!(!order.takes(&frame(2, 0)) && order.takes(&frame(2, 20)));
            // And a second time.
            order.cut();
            assert_eq!(order.begin(&head(again, 0), By::Number), (Verdict::Resumed, None));
            assert_eq!(takes(&mut order, &[0, 120, 40, 80, 240, 160]), [160]);
            assert!(order.end());
        }
    }

    #[test]
    fn what_never_comes_again_is_told_when_something_else_does() {
        let mut order = Order::default();
        order.begin(&head(1, 0), By::Number);
        takes(&mut order, &[0, 40]);
        order.cut();
        let (verdict, lost) = order.begin(&head(2, 5_000), By::Number);
        assert_eq!(lost, Some(Lost { number: Some(number(1)), at: Some(at(0)), why: LostReason::Cut }));
        assert_eq!(verdict, Verdict::New(Some(Span { from: at(40), to: at(5_000) })));
    }

    #[test]
    fn what_is_sent_again_in_parts_is_taken_once() {
        let mut order = Order::default();
        order.begin(&head(1, 0), By::Number);
        takes(&mut order, &[0, 40, 80, 120]);
        order.cut();
        assert_eq!(order.begin(&head(1_001, 0), By::Number).0, Verdict::Resumed);
        assert!(takes(&mut order, &[0, 40]).is_empty());
        order.cut();
        assert_eq!(order.begin(&head(1_002, 80), By::Number).0, Verdict::Resumed);
        assert_eq!(takes(&mut order, &[80, 120, 160]), [160]);
    }

    #[test]
    fn what_was_whole_and_comes_again_longer_gives_the_rest_and_then_nothing() {
        let mut order = Order::default();
        for (sequence, times, taken) in [
            (1, &[0, 40, 80][..], &[0, 40, 80][..]),
            // Shorter first, then longer.
            (1_001, &[0, 40], &[]),
            (2_001, &[0, 40, 80, 120], &[120]),
            (3_001, &[0, 40, 80, 120], &[]),
        ] {
            order.begin(&head(sequence, 0), By::Number);
            assert_eq!(takes(&mut order, times), taken, "{sequence}");
            order.end();
        }
    }

    #[test]
    fn what_begins_at_the_same_time_much_later_is_something_else() {
        let mut order = Order::default();
        order.begin(&head(1, 0), By::Number);
        takes(&mut order, &[0]);
        order.end();
        let late = Head { server: at(600_000), ..head(2, 0) };
        assert_eq!(order.begin(&late, By::Number).0, Verdict::New(None));
        assert_eq!(takes(&mut order, &[0]), [0]);
    }

    #[test]
    fn a_silence_of_more_than_two_seconds_is_a_gap() {
        let mut order = Order::default();
        for (sequence, begin, gap) in [(1, 0, None), (2, 2_040, None), (3, 4_081, Some((2_080, 4_081)))] {
            let (verdict, _) = order.begin(&head(sequence, begin), By::Number);
            let gap = gap.map(|(from, to)| Span { from: at(from), to: at(to) });
            assert_eq!(verdict, Verdict::New(gap), "{sequence}");
            takes(&mut order, &[begin, begin + 40]);
            order.end();
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut order = Order::default();
        for place in 0..5_000_u64 {
            let begin = i64::try_from(place).unwrap() * 200;
            order.begin(&head(place, begin), By::Number);
            takes(&mut order, &[begin]);
            order.end();
        }
        assert_eq!(order.recent.len(), REMEMBERED);
        assert_eq!(order.recent.iter().filter(|known| known.given.is_some()).count(), KNOWN);
    }
}

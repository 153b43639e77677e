//! What is recorded in a range: lists, a window of time after another.
//!
//! A list is in no order, not even across its pages. So a window is known when all of its pages are, and only then is
//! it sorted; the windows follow the density of what is recorded, so that few calls list much, and none lists too much.

use std::collections::HashMap;
use std::time::Duration;

use kvs_media::time::Utc;
use kvs_wire::limits::{FRAGMENT_DURATION, LIST_FRAGMENTS_RESULTS};
use kvs_wire::{FragmentNumber, FragmentSelector, FragmentSelectorType, TimestampRange};

use super::item::{Bounds, Span};
use super::layout::Layout;
use super::order::GAP;
use crate::client::{FragmentPage, ListedFragment};

/// The first window: 300 fragments of two seconds.
const FIRST: Duration = Duration::from_secs(600);
/// A window with more rows than this is listed again in parts.
const MOST_ROWS: usize = 5 * LIST_FRAGMENTS_RESULTS;
/// Pages of one window, empty ones too.
const MOST_PAGES: usize = 64;
/// Later than any recording, and within what times can be: the year 2200.
pub(super) const FAR: Utc = Utc::from_nanos(7_258_118_400_000_000_000);

/// A call for a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) selector: FragmentSelector,
    pub(super) token: Option<String>,
}

/// When a fragment begins, by the clock that counts.
pub(super) const fn time_of(row: &ListedFragment, timeline: FragmentSelectorType) -> Utc {
    match timeline {
        FragmentSelectorType::ProducerTimestamp => row.producer,
        FragmentSelectorType::ServerTimestamp => row.server,
    }
}

/// The time of its last frame.
pub(super) fn end_of(row: &ListedFragment, timeline: FragmentSelectorType) -> Utc {
    let begin = time_of(row, timeline);
    begin.checked_add(row.length).unwrap_or(begin)
}

/// One window, until all of its pages have come.
#[derive(Debug)]
struct Window {
    timeline: FragmentSelectorType,
    from: Utc,
    to: Utc,
    rows: Vec<ListedFragment>,
    token: Option<String>,
    pages: usize,
    /// What came to the service later has not settled for all of its pages: the first of them may be the oldest.
    settled: Option<Utc>,
}

/// What a page means for a window.
enum Gathered {
    More,
    TooMany,
    All,
}

impl Window {
    const fn new(timeline: FragmentSelectorType, from: Utc, to: Utc) -> Self {
        Self { timeline, from, to, rows: Vec::new(), token: None, pages: 0, settled: None }
    }

    fn ask(&self) -> Option<Ask> {
        let range = TimestampRange::new(self.from, self.to).ok()?;
        let selector = FragmentSelector { selector_type: self.timeline, range };
        Some(Ask { selector, token: self.token.clone() })
    }

    fn take(&mut self, page: FragmentPage, settled: Option<Utc>) -> Gathered {
        self.settled = [self.settled, settled].into_iter().flatten().min();
        self.rows.extend(page.fragments);
        self.token = page.next_token;
        self.pages = self.pages.saturating_add(1);
        let endless = self.token.is_some() && self.pages >= MOST_PAGES;
        if self.rows.len() > MOST_ROWS || (endless && !self.rows.is_empty()) {
            return Gathered::TooMany;
        }
        if self.token.is_some() && !endless { Gathered::More } else { Gathered::All }
    }
}

/// What has settled, in the order of its time. Of fragments that begin at the same time for their producer the newest
/// counts, since it has sent them again; but not one that was cut when the producer went, where there is a longer one.
/// By the service's clock the newest may be behind what follows it, so that each stays in its place, and what comes twice
/// is passed over when it comes.
fn sorted(
    mut rows: Vec<ListedFragment>,
    timeline: FragmentSelectorType,
    settled: Option<Utc>,
) -> Vec<ListedFragment> {
    // First of all: what has not settled is not there, and takes nothing's place.
    rows.retain(|row| settled.is_none_or(|settled| row.server <= settled));
    if timeline == FragmentSelectorType::ProducerTimestamp {
        let mut best: HashMap<Utc, (Duration, FragmentNumber)> = HashMap::with_capacity(rows.len());
        for row in &rows {
            let known = best.entry(row.producer).or_insert_with(|| (row.length, row.number.clone()));
            if (known.0, &known.1) < (row.length, &row.number) {
                *known = (row.length, row.number.clone());
            }
        }
        rows.retain(|row| best.get(&row.producer).is_some_and(|(_, number)| *number == row.number));
    }
    rows.sort_unstable_by(|one, two| {
        time_of(one, timeline).cmp(&time_of(two, timeline)).then_with(|| one.number.cmp(&two.number))
    });
    rows.dedup_by(|one, two| one.number == two.number);
    rows
}

/// A range, window after window.
#[derive(Debug)]
pub(super) struct Windows {
    timeline: FragmentSelectorType,
    /// What is wanted begins here; what begins before, only when it covers this.
    from: Utc,
    to: Utc,
    /// A fragment that ends up to so long before still covers it.
    slack: Duration,
    next: Option<Utc>,
    span: Duration,
    /// The next window ends here, whatever its span.
    until: Option<Utc>,
    window: Option<Window>,
    /// The last row that was handed out: windows share the instant at which they meet.
    last: Option<(Utc, FragmentNumber)>,
    /// Nothing that is wanted was handed out yet.
    first: bool,
    /// The latest frame that was listed, settled or not.
    latest: Option<Utc>,
}

impl Windows {
    pub(super) fn new(timeline: FragmentSelectorType, from: Utc, to: Option<Utc>, slack: Duration) -> Self {
        let to = to.unwrap_or(FAR).max(from);
        let start = from.checked_sub(FRAGMENT_DURATION).unwrap_or(from);
        Self {
            timeline,
            from,
            to,
            slack,
            next: Some(start),
            span: FIRST,
            until: None,
            window: None,
            last: None,
            first: true,
            latest: None,
        }
    }

    /// Whether all of it was listed.
    pub(super) const fn is_done(&self) -> bool {
        self.next.is_none()
    }

    /// The next call; `None` when all was listed. `now` by the service's clock: what lies ahead is one window.
    pub(super) fn ask(&mut self, now: Utc) -> Option<Ask> {
        let start = self.next?;
        if self.window.is_none() {
            // The first one looks back by what the longest fragment lasts.
            let span = self.span.max(FRAGMENT_DURATION * 2);
            let end = start.checked_add(span).filter(|end| *end < self.to && *end < now).unwrap_or(self.to);
            let end = self.until.take().unwrap_or(end);
            self.window = Some(Window::new(self.timeline, start, end));
        }
        self.window.as_ref()?.ask()
    }

    /// A page has come. All rows of a window that came to the service before `settled`, in their order, when that was
    /// the last page of it.
    pub(super) fn take(&mut self, page: FragmentPage, settled: Option<Utc>) -> Option<Vec<ListedFragment>> {
        let window = self.window.as_mut()?;
        match window.take(page, settled) {
            Gathered::More => return None,
            Gathered::TooMany => {
                let times = || window.rows.iter().map(|row| time_of(row, self.timeline));
                let (earliest, latest) = (times().min()?, times().max()?);
                self.span = latest.since(earliest).unwrap_or_default() / 8;
                // So many fragments do not begin at one instant: then what has come of them has to do.
                if self.span >= Duration::from_millis(10) {
                    // What lies before them may be little, and is listed at once.
                    self.until = Some(earliest).filter(|earliest| {
                        earliest.since(window.from).is_some_and(|before| before > FRAGMENT_DURATION * 2)
                    });
                    self.window = None;
                    return None;
                }
            }
            Gathered::All => {}
        }
        let (end, settled) = (window.to, window.settled);
        let rows = std::mem::take(&mut window.rows);
        self.latest = self.latest.max(rows.iter().map(|row| end_of(row, self.timeline)).max());
        let mut rows = sorted(rows, self.timeline, settled);
        self.window = None;
        self.next = (end < self.to).then_some(end);
        self.span = match rows.len() {
            0 => self.span.saturating_mul(8),
            1..=250 => self.span.saturating_mul(2),
            251..=LIST_FRAGMENTS_RESULTS => self.span,
            _ => self.span / 2,
        };
        if let Some((time, number)) = &self.last {
            rows.retain(|row| (time_of(row, self.timeline), &row.number) > (*time, number));
        }
        if self.first {
            // Of those that begin before, the last one may cover the beginning.
            let before = rows.iter().take_while(|row| time_of(row, self.timeline) <= self.from).count();
            let covers = |row: &ListedFragment| {
                let end = end_of(row, self.timeline);
                end.checked_add(self.slack).unwrap_or(end) >= self.from
            };
            let keep = before.checked_sub(1).filter(|last| rows.get(*last).is_some_and(covers));
            rows.drain(..keep.unwrap_or(before));
            self.first = end <= self.from;
        }
        if let Some(row) = rows.last() {
            self.last = Some((time_of(row, self.timeline), row.number.clone()));
        }
        Some(rows)
    }
}

/// What there is between two instants: the first, the last, and what lies between when that is wanted.
#[derive(Debug)]
pub(super) struct Survey {
    timeline: FragmentSelectorType,
    from: Utc,
    to: Option<Utc>,
    forward: Windows,
    back: Option<Back>,
    all: bool,
    first: Option<Utc>,
    end: Option<Utc>,
    spans: Vec<Span>,
    layout: Layout,
}

/// From the end, for the last fragment.
#[derive(Debug)]
struct Back {
    to: Utc,
    span: Duration,
    window: Option<Window>,
    found: bool,
}

impl Survey {
    pub(super) fn new(timeline: FragmentSelectorType, from: Utc, to: Option<Utc>, all: bool) -> Self {
        let forward = Windows::new(timeline, from, to, Duration::ZERO);
        let (layout, spans) = (Layout::new(timeline), Vec::new());
        Self { timeline, from, to, forward, back: None, all, first: None, end: None, spans, layout }
    }

    /// The next call; `None` when all is known.
    pub(super) fn ask(&mut self, now: Utc) -> Option<Ask> {
        if self.first.is_none() || self.all {
            return self.forward.ask(now);
        }
        if self.forward.is_done() {
            return None;
        }
        let (first, to) = (self.first?, self.to.unwrap_or(FAR));
        let back = self.back.get_or_insert(Back { to, span: FIRST, window: None, found: false });
        if back.window.is_none() {
            if back.found || back.to <= first {
                return None;
            }
            // What lies ahead of now is one window.
            let near = if back.to > now { now } else { back.to };
            let from = near.checked_sub(back.span).unwrap_or(first).max(first).min(back.to);
            back.window = Some(Window::new(self.timeline, from, back.to));
        }
        back.window.as_ref()?.ask()
    }

    /// A page has come. What begins the range, when it has brought that.
    pub(super) fn take(&mut self, page: FragmentPage, settled: Option<Utc>) -> Option<Vec<ListedFragment>> {
        if self.first.is_none() || self.all {
            let rows = self.forward.take(page, settled)?;
            self.note(&rows);
            return Some(rows);
        }
        let back = self.back.as_mut()?;
        let window = back.window.as_mut()?;
        let from = window.from;
        match window.take(page, None) {
            Gathered::More => {}
            // The last one is among those that begin no earlier than the last of these.
            Gathered::TooMany => {
                let latest = window.rows.iter().map(|row| time_of(row, self.timeline)).max();
                let last = window.rows.iter().map(|row| end_of(row, self.timeline)).max();
                self.end = self.end.max(last);
                let again = latest.filter(|latest| *latest > from);
                back.found = again.is_none();
                back.window = again.map(|latest| Window::new(self.timeline, latest, back.to));
            }
            Gathered::All => {
                let last = window.rows.iter().map(|row| end_of(row, self.timeline)).max();
                self.end = self.end.max(last);
                back.found = last.is_some();
                (back.span, back.to, back.window) = (back.span.saturating_mul(8), from, None);
            }
        }
        None
    }

    fn note(&mut self, rows: &[ListedFragment]) {
        for row in rows {
            let Some(Span { from, to }) = self.layout.lay(row) else { continue };
            self.first.get_or_insert(from);
            self.end = self.end.max(Some(to));
            if !self.all {
                continue;
            }
            match self.spans.last_mut() {
                Some(span) if from.since(span.to).is_none_or(|silence| silence <= GAP) => {
                    span.to = span.to.max(to);
                }
                _ => self.spans.push(Span { from, to }),
            }
        }
    }

    /// Whether all is known.
    pub(super) fn is_done(&self) -> bool {
        let found = |back: &Back| back.found || self.first.is_some_and(|first| back.to <= first);
        self.forward.is_done() || (!self.all && self.back.as_ref().is_some_and(found))
    }

    /// What was found, if anything was, and where the lists stand.
    pub(super) fn into_parts(self) -> (Option<Bounds>, Windows) {
        let (from, to) = (self.from, self.to.unwrap_or(FAR));
        let inside = |time: Utc| time.max(from).min(to);
        let span = |span: &Span| Span { from: inside(span.from), to: inside(span.to) };
        let end = self.end.max(self.forward.latest);
        let bounds = self.first.zip(end).map(|(first, end)| Bounds {
            first: inside(first),
            end: inside(end).max(inside(first)),
            spans: self.spans.iter().map(span).collect(),
            open: false,
        });
        (bounds, self.forward)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCER: FragmentSelectorType = FragmentSelectorType::ProducerTimestamp;
    const SERVER: FragmentSelectorType = FragmentSelectorType::ServerTimestamp;

    fn at(millis: i64) -> Utc {
        Utc::from_millis(1_795_145_031_000 + millis).unwrap()
    }

    fn row(sequence: u64, producer: i64, server: i64) -> ListedFragment {
        ListedFragment {
            number: FragmentNumber::make(sequence, at(server), 1).unwrap(),
            producer: at(producer),
            server: at(server),
            length: Duration::from_millis(1_900),
            bytes: 1,
        }
    }

    fn page(fragments: Vec<ListedFragment>, more: bool) -> FragmentPage {
        FragmentPage { fragments, next_token: more.then(|| "more".to_owned()), answered: at(0) }
    }

    fn producers(rows: &[ListedFragment]) -> Vec<i64> {
        rows.iter().map(|row| row.producer.millis() - at(0).millis()).collect()
    }

    /// What a service answers that has these rows, a thousand a page, backwards.
    fn answer(all: &[ListedFragment], ask: &Ask, timeline: FragmentSelectorType) -> FragmentPage {
        let range = ask.selector.range;
        let inside = |row: &&ListedFragment| (range.start()..=range.end()).contains(&time_of(row, timeline));
        let rows: Vec<_> = all.iter().rev().filter(inside).cloned().collect();
        let from: usize = ask.token.as_ref().map_or(0, |token| token.parse().unwrap());
        let to = rows.len().min(from + 1_000);
        let next_token = (to < rows.len()).then(|| to.to_string());
        FragmentPage { fragments: rows[from..to].to_vec(), next_token, answered: at(0) }
    }

    /// Lists all of it; gives the rows and the number of calls.
    fn list(mut windows: Windows, all: &[ListedFragment], now: Utc) -> (Vec<ListedFragment>, usize) {
        let (mut rows, mut calls) = (Vec::new(), 0);
        while let Some(ask) = windows.ask(now) {
            calls += 1;
            assert!(calls < 1_000, "it never ends");
            rows.extend(windows.take(answer(all, &ask, windows.timeline), None).unwrap_or_default());
        }
        (rows, calls)
    }

    #[test]
    fn a_window_is_known_when_all_of_its_pages_are() {
        let mut windows = Windows::new(PRODUCER, at(0), Some(at(10_000)), Duration::ZERO);
        assert_eq!(windows.ask(at(100_000)).unwrap().selector.range.start(), at(-20_000));
        assert_eq!(windows.take(page(vec![row(3, 6_000, 3), row(1, 2_000, 1)], true), None), None);
        assert_eq!(windows.ask(at(100_000)).unwrap().token.as_deref(), Some("more"));
        let rows = windows.take(page(vec![row(2, 4_000, 2)], false), None).unwrap();
        assert_eq!(producers(&rows), [2_000, 4_000, 6_000]);
        assert!(windows.is_done() && windows.ask(at(100_000)).is_none());
    }

    #[test]
    fn what_has_settled_had_so_when_the_first_page_came() {
        let mut windows = Windows::new(PRODUCER, at(0), None, Duration::ZERO);
        windows.ask(at(20_000));
        assert_eq!(windows.take(page(vec![row(3, 6_000, 6_000)], true), Some(at(5_000))), None);
        let rows = windows.take(page(vec![row(2, 4_000, 4_000)], false), Some(at(60_000))).unwrap();
        assert_eq!(producers(&rows), [4_000]);
    }

    #[test]
    fn the_fragment_that_covers_the_beginning_is_the_first() {
        let all: Vec<_> = (0..10).map(|place| row(place, i64::try_from(place).unwrap() * 2_000, 0)).collect();
        for (from, first) in [(5_000, 4_000), (4_000, 4_000), (5_950, 6_000), (-5_000, 0)] {
            let windows = Windows::new(PRODUCER, at(from), Some(at(12_000)), Duration::ZERO);
            let (rows, _) = list(windows, &all, at(100_000));
            let expected: Vec<i64> = (first..=12_000).step_by(2_000).collect();
            assert_eq!(producers(&rows), expected, "{from}");
        }
        // Who seeks means the one that is still to be seen then.
        let windows = Windows::new(PRODUCER, at(5_950), None, GAP);
        assert_eq!(producers(&list(windows, &all, at(100_000)).0)[0], 4_000);
    }

    #[test]
    fn of_what_begins_at_the_same_time_the_newest_counts_and_what_has_not_settled_does_not() {
        let rows =
            vec![row(1, 0, 0), row(2, 2_000, 2_000), row(1_001, 2_000, 9_000), row(1_002, 4_000, 9_500)];
        assert_eq!(sorted(rows.clone(), PRODUCER, None), [rows[0].clone(), rows[2].clone(), rows[3].clone()]);
        let settled = sorted(rows.clone(), PRODUCER, Some(at(9_200)));
        assert_eq!(settled, [rows[0].clone(), rows[2].clone()]);
        assert_eq!(sorted(rows.clone(), PRODUCER, Some(at(8_000))), rows[..2]);
        assert_eq!(sorted(rows.clone(), SERVER, None), rows);
        let cut = ListedFragment { length: Duration::from_millis(500), ..row(2_001, 2_000, 9_600) };
        let with_cut = [rows.clone(), vec![cut]].concat();
        assert_eq!(sorted(with_cut, PRODUCER, None), [rows[0].clone(), rows[2].clone(), rows[3].clone()]);
    }

    #[test]
    fn years_of_nothing_cost_a_few_calls_and_what_is_dense_is_listed_in_parts() {
        let day = 86_400_000;
        let mut all: Vec<_> = (0..20_000)
            .map(|place| row(place, i64::try_from(place).unwrap() * 200, i64::try_from(place).unwrap() * 200))
            .collect();
        let years = 40 * 365 * day;
        for timeline in [PRODUCER, SERVER] {
            let windows = Windows::new(timeline, at(-years), None, Duration::ZERO);
            let (rows, calls) = list(windows, &all, at(day));
            assert_eq!(rows, all, "{timeline:?}");
            assert!(calls < 120, "{calls}");
        }
        // Producers whose clocks are ahead are listed as well.
        all.push(row(90_000, years, 5_000_000));
        let windows = Windows::new(PRODUCER, at(-years), None, Duration::ZERO);
        assert_eq!(list(windows, &all, at(day)).0, all);
    }

    #[test]
    fn windows_share_an_instant_and_no_row() {
        let all: Vec<_> =
            (0..3_000).map(|place| row(place, i64::try_from(place).unwrap() * 1_000, 0)).collect();
        let windows = Windows::new(PRODUCER, at(0), Some(at(2_999_000)), Duration::ZERO);
        let (rows, calls) = list(windows, &all, at(10_000_000));
        assert_eq!(rows, all);
        assert!(calls >= 3, "{calls}");
    }

    fn survey(mut survey: Survey, all: &[ListedFragment], now: Utc) -> (Option<Bounds>, usize) {
        let mut calls = 0;
        while !survey.is_done() {
            let Some(ask) = survey.ask(now) else { break };
            calls += 1;
            assert!(calls < 1_000, "it never ends");
            survey.take(answer(all, &ask, survey.timeline), None);
        }
        assert!(survey.is_done());
        (survey.into_parts().0, calls)
    }

    #[test]
    fn a_survey_finds_the_first_and_the_last_and_all_that_lies_between_when_asked() {
        let year = 365 * 86_400_000;
        let mut all: Vec<_> =
            (0..500).map(|place| row(place, i64::try_from(place).unwrap() * 2_000, 0)).collect();
        all.extend((0..500).map(|place| row(1_000 + place, year + i64::try_from(place).unwrap() * 2_000, 0)));
        let end = at(year + 499 * 2_000 + 1_900);
        for (to, expected) in [(None, end), (Some(at(500_500)), at(500_500)), (Some(at(2 * year)), end)] {
            let (bounds, calls) = survey(Survey::new(PRODUCER, at(-year), to, false), &all, at(year * 3 / 2));
            let bounds = bounds.unwrap();
            assert_eq!((bounds.first, bounds.end, bounds.spans.len()), (at(0), expected, 0), "{to:?}");
            assert!(calls < 20, "{calls}");
        }
        let (bounds, _) = survey(Survey::new(PRODUCER, at(100), None, true), &all, at(2 * year));
        let spans = [Span { from: at(100), to: at(999_900) }, Span { from: at(year), to: end }];
        assert_eq!(bounds.unwrap().spans, spans);
        assert_eq!(survey(Survey::new(PRODUCER, at(-year), Some(at(-5_000)), false), &all, at(year)).0, None);
    }
}

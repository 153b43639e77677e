//! Where fragments lie on the time line that a range is read by.

use std::collections::VecDeque;
use std::time::Duration;

use kvs_media::time::Utc;
use kvs_wire::FragmentSelectorType;

use super::item::Span;
use super::listing::{end_of, time_of};
use super::order::{REMEMBERED, RESENT};
use crate::client::ListedFragment;

/// From the last frame of a fragment to what came in before that was over.
const SEAM: i64 = 1_000_000;

/// By the producer's clock, a fragment begins when that says. By the service's, when it came in, but behind what came in
/// before: what comes faster than it lasts lies end to end. Where one lies follows from the list of all before it, and so
/// is the same wherever reading begins.
#[derive(Debug)]
pub(super) struct Layout {
    timeline: FragmentSelectorType,
    /// The latest frame that was laid.
    end: Option<Utc>,
    /// Of the fragment that was laid last: when it begins for its producer, and where it lies. Nothing of the one that
    /// comes is laid where that is `None`.
    last: Option<(Utc, Utc)>,
    /// Those of a list, since what was sent again takes no time.
    recent: VecDeque<Laid>,
}

#[derive(Debug)]
struct Laid {
    producer: Utc,
    server: Utc,
    begins: Utc,
    length: Duration,
}

impl Layout {
    pub(super) const fn new(timeline: FragmentSelectorType) -> Self {
        Self { timeline, end: None, last: None, recent: VecDeque::new() }
    }

    /// Where a fragment begins that comes next.
    pub(super) fn next(&self, producer: Utc, server: Utc) -> Utc {
        match (self.timeline, self.end) {
            (FragmentSelectorType::ProducerTimestamp, _) => producer,
            (FragmentSelectorType::ServerTimestamp, None) => server,
            (FragmentSelectorType::ServerTimestamp, Some(end)) => {
                server.max(Utc::from_nanos(end.nanos().saturating_add(SEAM)))
            }
        }
    }

    /// A fragment comes next. Where it begins.
    pub(super) fn begin(&mut self, producer: Utc, server: Utc) -> Utc {
        let begins = self.next(producer, server);
        self.last = Some((producer, begins));
        self.end = self.end.max(Some(begins));
        begins
    }

    /// More comes of the last one, or of one like it, from here on. Where that begins.
    pub(super) fn resume(&self, producer: Utc) -> Utc {
        self.last.map_or(producer, |last| shifted(producer, last))
    }

    /// What comes is not laid: it is there already.
    pub(super) const fn pass(&mut self) {
        self.last = None;
    }

    /// A frame of it has come. By whole milliseconds, as lists have it.
    pub(super) fn reach(&mut self, time: Utc) {
        let Some((producer, begins)) = self.last else { return };
        let length = time.nanos().saturating_sub(producer.nanos()).max(0);
        let end = begins.nanos().saturating_add(length - length % 1_000_000);
        self.end = self.end.max(Some(Utc::from_nanos(end)));
    }

    /// A row of a list comes next: from where to where it lies, when it is not there already.
    pub(super) fn lay(&mut self, row: &ListedFragment) -> Option<Span> {
        if self.timeline == FragmentSelectorType::ProducerTimestamp {
            return Some(Span { from: time_of(row, self.timeline), to: end_of(row, self.timeline) });
        }
        let ListedFragment { producer, server, length, .. } = *row;
        let is_same = |laid: &&mut Laid| {
            laid.producer == producer && server.since(laid.server).is_none_or(|apart| apart <= RESENT)
        };
        let from = match self.recent.iter_mut().rev().find(is_same) {
            Some(laid) if laid.length >= length => return None,
            Some(laid) => {
                laid.length = length;
                laid.begins
            }
            None => {
                let begins = self.begin(producer, server);
                if self.recent.len() == REMEMBERED {
                    self.recent.pop_front();
                }
                self.recent.push_back(Laid { producer, server, begins, length });
                begins
            }
        };
        let to = from.checked_add(length).unwrap_or(from);
        self.end = self.end.max(Some(to));
        Some(Span { from, to })
    }
}

/// When something is, by where its fragment lies.
fn shifted(time: Utc, (producer, begins): (Utc, Utc)) -> Utc {
    let since = time.nanos().saturating_sub(producer.nanos());
    Utc::from_nanos(begins.nanos().saturating_add(since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvs_wire::FragmentNumber;

    const SERVER: FragmentSelectorType = FragmentSelectorType::ServerTimestamp;

    fn at(millis: i64) -> Utc {
        Utc::from_millis(1_795_145_031_000 + millis).unwrap()
    }

    fn row(producer: i64, server: i64, length: u64) -> ListedFragment {
        ListedFragment {
            number: FragmentNumber::make(1, at(server), 1).unwrap(),
            producer: at(producer),
            server: at(server),
            length: Duration::from_millis(length),
            bytes: 1,
        }
    }

    fn span(from: i64, to: i64) -> Option<Span> {
        Some(Span { from: at(from), to: at(to) })
    }

    #[test]
    fn what_comes_faster_than_it_lasts_lies_end_to_end_and_what_comes_again_takes_no_time() {
        let mut layout = Layout::new(SERVER);
        assert_eq!(layout.lay(&row(0, 5_000, 900)), span(5_000, 5_900));
        assert_eq!(layout.lay(&row(1_000, 5_100, 900)), span(5_901, 6_801));
        assert_eq!(layout.lay(&row(1_000, 5_200, 900)), None);
        // Cut the first time.
        assert_eq!(layout.lay(&row(1_000, 5_300, 1_900)), span(5_901, 7_801));
        assert_eq!(layout.lay(&row(3_000, 9_000, 900)), span(9_000, 9_900));
        assert_eq!(layout.lay(&row(1_000, 400_000, 900)), span(400_000, 400_900));
        let mut layout = Layout::new(FragmentSelectorType::ProducerTimestamp);
        assert_eq!(layout.lay(&row(0, 5_000, 900)), span(0, 900));
        assert_eq!((layout.next(at(500), at(0)), layout.begin(at(500), at(0))), (at(500), at(500)));
    }

    #[test]
    fn what_is_followed_lies_where_its_list_will_have_it() {
        let (mut listed, mut followed) = (Layout::new(SERVER), Layout::new(SERVER));
        for (producer, server) in [(0, 0), (1_000, 100), (2_000, 2_500), (3_000, 3_001)] {
            let from = listed.lay(&row(producer, server, 900)).unwrap().from;
            assert_eq!(followed.begin(at(producer), at(server)), from);
            followed.reach(Utc::from_nanos(at(producer + 900).nanos() + 999_999));
            assert_eq!(followed.resume(at(producer + 40)).nanos() - from.nanos(), 40_000_000);
        }
    }
}

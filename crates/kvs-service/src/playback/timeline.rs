//! A session, as a machine: fragments in, one after another, and out what its playlist shows at a time.
//!
//! What it shows follows from the ticket, the fragments and the time alone, so that it can be made again when it was
//! forgotten, and continues as it was.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kvs_media::time::Utc;
use kvs_wire::{Exception, limits};

use super::facts::Facts;
use super::program::{Program, Unplayable};
use super::request::{Discontinuities, Format, Mode};
use super::ticket::Ticket;
use crate::store::{After, FragmentRow, Number};

/// Fragments that join within this are taken to join (kvs-api 6.4).
const TOLERANCE: Duration = Duration::from_millis(50);
/// Where a session's media times begin: late enough for what has to be decoded before it is shown.
pub(crate) const ORIGIN: Duration = Duration::from_secs(10);
/// A replay begins with so many, which is what players keep from the end.
const AT_ONCE: usize = 3;
/// Fragments that have left the playlist and may still be asked for, by whoever read it before.
const BEHIND: usize = 32;

/// A fragment in a session.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) number: Number,
    /// When it begins, by the session's clock.
    pub(crate) start: Utc,
    pub(crate) duration: Duration,
    pub(crate) bytes: u64,
    /// Which of the session's headers it has.
    pub(crate) header: usize,
    pub(crate) program: Arc<Program>,
    /// It does not join the one before.
    pub(crate) discontinuity: bool,
    /// When it begins and ends, by the producer's clock.
    producer_time: Utc,
    producer_end: Utc,
    /// Where it begins in the media time of a manifest.
    pub(crate) at: Duration,
    /// In a replay, how long after the session began it is shown.
    release: Duration,
}

/// A session's fragments.
#[derive(Debug)]
pub(crate) struct Timeline {
    ticket: Ticket,
    /// Those that are known, without the `gone` that came before.
    entries: VecDeque<Entry>,
    gone: u64,
    gone_discontinuities: u64,
    newest: Option<After>,
    /// What a replay has shown, it shows, whatever the calendar does.
    reached: Duration,
    /// There will be no others.
    complete: bool,
    /// It ends here: what comes next cannot be played in this session.
    broken: Option<Unplayable>,
    /// The headers so far.
    headers: Vec<Arc<Program>>,
    /// The longest fragment so far.
    longest: Duration,
    /// How long those last together that a replay begins with.
    head: Duration,
}

/// What a playlist shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    pub(crate) entries: &'a [Entry],
    /// The place of the first in the session.
    pub(crate) sequence: u64,
    /// Discontinuities before the first.
    pub(crate) discontinuities: u64,
    /// Nothing will be added.
    pub(crate) ended: bool,
    /// The longest fragment of the session so far.
    pub(crate) longest: Duration,
    /// How long those last together that a replay began with.
    pub(crate) head: Duration,
}

impl Timeline {
    pub(crate) fn new(ticket: Ticket) -> Self {
        Self {
            ticket,
            entries: VecDeque::new(),
            gone: 0,
            gone_discontinuities: 0,
            newest: None,
            reached: Duration::ZERO,
            complete: false,
            broken: None,
            headers: Vec::new(),
            longest: Duration::ZERO,
            head: Duration::ZERO,
        }
    }

    pub(crate) const fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// The last fragment that was added.
    pub(crate) const fn newest(&self) -> Option<After> {
        self.newest
    }

    /// Whether it has what it shows at a time, as far as that is recorded.
    pub(crate) fn has_enough(&self, now: Utc) -> bool {
        if self.complete || self.broken.is_some() {
            return true;
        }
        match self.ticket.wish.mode {
            Mode::Live => false,
            Mode::LiveReplay => self.entries.back().is_some_and(|entry| entry.release > self.age(now)),
            Mode::OnDemand => self.entries.len() >= usize::from(self.ticket.wish.most),
        }
    }

    /// There will be no others.
    pub(crate) const fn complete(&mut self) {
        self.complete = true;
    }

    fn age(&self, now: Utc) -> Duration {
        now.since(self.ticket.created).unwrap_or_default().max(self.reached)
    }

    /// Those before this one have expired, and are not there any more: the places of the others stay as they are, or grow.
    pub(crate) const fn begin_behind(&mut self, first: Number) {
        if self.newest.is_none() {
            self.gone = first.sequence.saturating_sub(self.ticket.first.sequence);
        }
    }

    /// Adds the fragment behind the last. What cannot be played in this session ends it there.
    pub(crate) fn push(&mut self, facts: Facts, now: Utc) {
        if self.broken.is_some() {
            return;
        }
        self.newest = Some(After { producer_time: facts.producer_time, number: facts.number });
        // A decoder cannot begin there. What comes next is a jump.
        if !facts.begins_with_key {
            return;
        }
        match self.entry(&facts) {
            Ok(entry) => {
                if self.headers.len() <= entry.header {
                    self.headers.push(Arc::clone(&entry.program));
                }
                self.longest = self.longest.max(entry.duration);
                if entry.release.is_zero() {
                    self.head = self.head.saturating_add(entry.duration);
                }
                self.entries.push_back(entry);
                self.let_go(now);
            }
            Err(why) => self.broken = Some(why),
        }
    }

    /// Passes over a fragment that cannot be read, or that repeats another.
    pub(crate) const fn pass(&mut self, row: &FragmentRow) {
        self.newest = Some(After { producer_time: row.producer_time, number: row.number });
    }

    /// Whether one with the same time by the producer's clock is there.
    pub(crate) fn repeats(&self, row: &FragmentRow) -> bool {
        self.entries.iter().rev().any(|entry| entry.producer_time == row.producer_time)
    }

    /// Nothing comes behind what is there.
    pub(crate) const fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Ends the session here.
    pub(crate) fn end(&mut self, why: Unplayable) {
        self.broken.get_or_insert(why);
    }

    fn entry(&self, facts: &Facts) -> Result<Entry, Unplayable> {
        let wish = &self.ticket.wish;
        facts.program.admit(wish.format.api())?;
        let before = self.entries.back();
        let (header, program) = match before {
            Some(before) if before.program.goes_on(&facts.program) => {
                (before.header, Arc::clone(&before.program))
            }
            Some(before) => {
                changeable(wish.format, before, &facts.program)?;
                (before.header + 1, Arc::clone(&facts.program))
            }
            None => (0, Arc::clone(&facts.program)),
        };
        let start = facts.start(wish.clock);
        let joins = before.is_some_and(|before| joins(before.start, before.duration, start));
        // What was held up on its way joins, whenever it arrived.
        let follows = before.is_some_and(|before| joins_at(before.producer_end, facts.producer_time));
        let changes = before.is_some_and(|before| before.header != header);
        let discontinuity = match wish.discontinuities {
            Discontinuities::Always => true,
            // Nobody can go on where time goes back.
            Discontinuities::Never => before.is_some_and(|before| start < before.start),
            Discontinuities::OnDiscontinuity => changes || (before.is_some() && !joins),
        };
        let placed = self.ticket.media_time(start);
        let at = match before {
            Some(before) if joins => before.at.saturating_add(start.since(before.start).unwrap_or_default()),
            // What is played as a whole has no gaps; what is live keeps to the clock, by which players find its end.
            Some(before) if follows || wish.mode != Mode::Live => before.at.saturating_add(before.duration),
            Some(before) => placed.max(before.at.saturating_add(before.duration)),
            None => placed,
        };
        let known = self.gone.saturating_add(u64::try_from(self.entries.len()).unwrap_or(u64::MAX));
        let release = match before {
            Some(before) if known >= at_once(wish.most) => before.release.saturating_add(facts.duration),
            _ => Duration::ZERO,
        };
        Ok(Entry {
            number: facts.number,
            start,
            duration: facts.duration,
            producer_time: facts.producer_time,
            producer_end: facts.producer_time.checked_add(facts.duration).unwrap_or(facts.producer_time),
            bytes: facts.bytes,
            header,
            program,
            discontinuity,
            at,
            release,
        })
    }

    /// What has left the playlist for long goes.
    fn let_go(&mut self, now: Utc) {
        let most = usize::from(self.ticket.wish.most) + BEHIND;
        while self.ticket.wish.mode != Mode::OnDemand && self.shown(now) > most {
            let Some(entry) = self.entries.pop_front() else { return };
            self.gone += 1;
            self.gone_discontinuities += u64::from(entry.discontinuity);
        }
    }

    /// Entries that are shown or were.
    fn shown(&self, now: Utc) -> usize {
        match self.ticket.wish.mode {
            Mode::Live | Mode::OnDemand => self.entries.len(),
            Mode::LiveReplay => {
                let age = self.age(now);
                self.entries.partition_point(|entry| entry.release <= age)
            }
        }
    }

    /// What the playlist shows. It is an error once nothing of it can be.
    pub(crate) fn window(&mut self, now: Utc) -> Result<Window<'_>, Unplayable> {
        self.reached = self.age(now);
        self.let_go(now);
        let (shown, most) = (self.shown(now), usize::from(self.ticket.wish.most));
        let first = match self.ticket.wish.mode {
            Mode::OnDemand => 0,
            Mode::Live | Mode::LiveReplay => shown.saturating_sub(most),
        };
        if let Some(why) = self.broken.as_ref().filter(|_| shown == 0) {
            return Err(why.clone());
        }
        let before = self.entries.iter().take(first).filter(|entry| entry.discontinuity).count();
        let all_shown = shown == self.entries.len();
        let ended = all_shown && (self.complete || self.broken.is_some());
        let last = if self.ticket.wish.mode == Mode::OnDemand { shown.min(most) } else { shown };
        Ok(Window {
            entries: self.entries.make_contiguous().get(first..last).unwrap_or_default(),
            sequence: self.gone.saturating_add(u64::try_from(first).unwrap_or(u64::MAX)),
            discontinuities: self
                .gone_discontinuities
                .saturating_add(u64::try_from(before).unwrap_or(u64::MAX)),
            ended,
            longest: self.longest,
            head: self.head,
        })
    }

    /// The fragment at a place in the session.
    pub(crate) fn at(&self, place: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(place.checked_sub(self.gone)?).ok()?)
    }

    /// The header of this place in the session.
    pub(crate) fn header(&self, header: usize) -> Option<&Arc<Program>> {
        self.headers.get(header)
    }

    /// What it takes in memory, about.
    pub(crate) fn cost(&self) -> usize {
        size_of::<Self>() + self.entries.capacity() * size_of::<Entry>()
    }
}

impl Entry {
    /// How long it lasts in a row with the one behind it.
    pub(crate) fn lasts(&self, next: Option<&Self>) -> Duration {
        let next = next.and_then(|next| next.at.checked_sub(self.at));
        next.filter(|until| until.abs_diff(self.duration) <= TOLERANCE).unwrap_or(self.duration)
    }
}

/// How many a replay begins with.
fn at_once(most: u16) -> u64 {
    u64::from(most).min(AT_ONCE as u64)
}

/// Whether something begins where what began before it ends.
pub(crate) fn joins(before: Utc, lasts: Duration, start: Utc) -> bool {
    before.checked_add(lasts).is_some_and(|end| joins_at(end, start))
}

fn joins_at(end: Utc, start: Utc) -> bool {
    end.since(start).is_some_and(|overlap| overlap <= TOLERANCE)
        || start.since(end).is_some_and(|gap| gap <= TOLERANCE)
}

/// Whether a session may go on with another header (kvs-api 6.2).
fn changeable(format: Format, before: &Entry, next: &Program) -> Result<(), Unplayable> {
    if !before.program.is_like(next) {
        let message = "The tracks change within the session.";
        return Err(Unplayable::new(Exception::UnsupportedStreamMediaType, message));
    }
    let message = match format {
        Format::Dash => "The codec private data changes within the session.",
        _ if before.header >= limits::PLAYBACK_PRIVATE_DATA_CHANGES => {
            "The codec private data changes too often within the session."
        }
        _ => return Ok(()),
    };
    Err(Unplayable::new(Exception::InvalidCodecPrivateData, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playback::program::tests::{program, program_of};
    use crate::playback::request::{Range, Wish};
    use crate::store::StreamId;
    use proptest::prelude::*;

    const ZERO: Utc = Utc::from_nanos(1_700_000_000_000_000_000);

    fn after(millis: u64) -> Utc {
        ZERO.checked_add(Duration::from_millis(millis)).unwrap()
    }

    fn wish(mode: Mode, most: u16) -> Wish {
        let range = Some(Range { start: ZERO, end: None }).filter(|_| mode != Mode::Live);
        let live = Wish::of_session(false, b"{}", ZERO).unwrap();
        Wish { mode, most, range, discontinuities: Discontinuities::OnDiscontinuity, ..live }
    }

    fn timeline(wish: Wish) -> Timeline {
        Timeline::new(Ticket { stream: StreamId(1), wish, created: ZERO, first: Number::FIRST, zero: ZERO })
    }

    fn facts(sequence: u64, start: u64, duration: u64) -> Facts {
        Facts {
            number: Number { sequence, server_ms: 0, tail: 0 },
            producer_time: after(start),
            server_time: after(start),
            duration: Duration::from_millis(duration),
            begins_with_key: true,
            bytes: 1_000,
            program: program(),
        }
    }

    fn shown(timeline: &mut Timeline, now: u64) -> (u64, Vec<u64>) {
        let window = timeline.window(after(now)).unwrap();
        (window.sequence, window.entries.iter().map(|entry| entry.number.sequence).collect())
    }

    #[test]
    fn a_live_window_slides_and_counts() {
        let mut timeline = timeline(wish(Mode::Live, 3));
        for number in 0..200 {
            timeline.push(facts(number, number * 1_000, 1_000), after(number * 1_000));
            let first = number.saturating_sub(2);
            let expected = (first, (first..=number).collect());
            assert_eq!(shown(&mut timeline, number * 1_000), expected);
            assert!(timeline.entries.len() <= 3 + BEHIND);
            // Whoever read the playlist some time ago still finds what it named.
            assert_eq!(
                timeline.at(first.saturating_sub(30)).unwrap().number.sequence,
                first.saturating_sub(30)
            );
        }
        assert!(!timeline.window(after(0)).unwrap().ended);
        assert!(timeline.at(200).is_none() && timeline.at(0).is_none());
    }

    #[test]
    fn discontinuities_are_counted_when_they_leave() {
        let mut timeline = timeline(wish(Mode::Live, 2));
        // Fragment 50 begins 51 ms too late, fragment 51 as much as may be.
        for number in 0..100 {
            let late = u64::from(number >= 50) * 51 + u64::from(number >= 51) * 50;
            timeline.push(facts(number, number * 1_000 + late, 1_000), after(0));
        }
        let window = timeline.window(after(0)).unwrap();
        assert_eq!((window.sequence, window.discontinuities), (98, 1));
        assert!(window.entries.iter().all(|entry| !entry.discontinuity));
        assert!(timeline.entries.iter().all(|entry| !entry.discontinuity));
    }

    #[test]
    fn a_replay_shows_a_fragment_when_it_would_have_come() {
        let mut timeline = timeline(wish(Mode::LiveReplay, 4));
        for number in 0..10 {
            assert!(!timeline.has_enough(after(0)) || number > 3);
            timeline.push(facts(number, number * 2_000, 2_000), after(0));
        }
        assert_eq!(shown(&mut timeline, 0), (0, vec![0, 1, 2]));
        assert_eq!(shown(&mut timeline, 1_999), (0, vec![0, 1, 2]));
        assert_eq!(shown(&mut timeline, 2_000), (0, vec![0, 1, 2, 3]));
        assert_eq!(shown(&mut timeline, 4_000), (1, vec![1, 2, 3, 4]));
        timeline.complete();
        assert!(!timeline.window(after(13_999)).unwrap().ended);
        assert!(timeline.window(after(14_000)).unwrap().ended);
    }

    #[test]
    fn a_range_is_shown_from_its_beginning_and_ends() {
        let mut timeline = timeline(wish(Mode::OnDemand, 5));
        for number in 0..5 {
            assert!(!timeline.has_enough(after(0)));
            // An hour between each two.
            timeline.push(facts(number, number * 3_600_000, 1_500), after(0));
        }
        assert!(timeline.has_enough(after(0)));
        timeline.complete();
        let window = timeline.window(after(0)).unwrap();
        assert!(window.ended && window.sequence == 0 && window.entries.len() == 5);
        let at: Vec<u128> = window.entries.iter().map(|entry| entry.at.as_millis()).collect();
        assert_eq!(at, [10_000, 11_500, 13_000, 14_500, 16_000]);
    }

    #[test]
    fn what_joins_keeps_its_distance_and_what_is_live_keeps_to_the_clock() {
        let mut timeline = timeline(wish(Mode::Live, 10));
        for (number, start) in [0, 1_010, 1_990, 60_000].into_iter().enumerate() {
            timeline.push(facts(number as u64, start, 1_000), after(0));
        }
        let window = timeline.window(after(0)).unwrap();
        let at: Vec<u128> = window.entries.iter().map(|entry| entry.at.as_millis()).collect();
        assert_eq!(at, [10_000, 11_010, 11_990, 70_000]);
        let lasts: Vec<u128> = (0..4)
            .map(|index| window.entries[index].lasts(window.entries.get(index + 1)).as_millis())
            .collect();
        assert_eq!(lasts, [1_010, 980, 1_000, 1_000]);
    }

    #[test]
    fn another_header_is_another_place_and_another_codec_is_the_end() {
        let mut timeline = timeline(wish(Mode::Live, 10));
        timeline.push(facts(0, 0, 1_000), after(0));
        let changed = Facts { program: program_of("h264-baseline"), ..facts(1, 1_000, 1_000) };
        timeline.push(changed, after(0));
        timeline.push(facts(2, 2_000, 1_000), after(0));
        let window = timeline.window(after(0)).unwrap();
        let headers: Vec<_> =
            window.entries.iter().map(|entry| (entry.header, entry.discontinuity)).collect();
        assert_eq!(headers, [(0, false), (1, true), (2, true)]);
        assert!(timeline.header(2).is_some() && timeline.header(3).is_none());
        let other = Facts { program: program_of("h265-main"), ..facts(3, 3_000, 1_000) };
        timeline.push(other, after(0));
        timeline.push(facts(4, 4_000, 1_000), after(0));
        let window = timeline.window(after(0)).unwrap();
        assert!(window.ended && window.entries.len() == 3);
    }

    #[test]
    fn a_session_that_can_show_nothing_says_why() {
        let mut dash = timeline(Wish { format: Format::HlsTs, ..wish(Mode::OnDemand, 10) });
        dash.push(Facts { program: program_of("h265-main"), ..facts(0, 0, 1_000) }, after(0));
        assert_eq!(dash.window(after(0)).unwrap_err().exception, Exception::UnsupportedStreamMediaType);
        let mut dash = timeline(Wish { format: Format::Dash, ..wish(Mode::OnDemand, 10) });
        dash.push(facts(0, 0, 1_000), after(0));
        dash.push(Facts { program: program_of("h264-baseline"), ..facts(1, 1_000, 1_000) }, after(0));
        let window = dash.window(after(0)).unwrap();
        assert!(window.ended && window.entries.len() == 1);
        // One that no decoder can begin with is left out.
        let mut live = timeline(wish(Mode::Live, 10));
        live.push(Facts { begins_with_key: false, ..facts(0, 0, 1_000) }, after(0));
        live.push(facts(1, 1_000, 1_000), after(0));
        assert_eq!(shown(&mut live, 0), (0, vec![1]));
    }

    proptest! {
        /// Forgotten and made again it shows what it showed.
        #[test]
        fn a_session_goes_on_as_it_was_when_it_is_made_again(
            steps in prop::collection::vec((1_u64..5_000, 1_u64..4_000), 1..120),
            most in 1_u16..10,
            replays: bool,
        ) {
            let wish = wish(if replays { Mode::LiveReplay } else { Mode::Live }, most);
            let (mut kept, mut start, mut sequence) = (timeline(wish), 0, 0);
            let mut all = Vec::new();
            for (number, (gap, duration)) in steps.into_iter().enumerate() {
                start += gap;
                all.push(facts(number as u64, start, duration));
                kept.push(all[number].clone(), after(start));
                let mut again = timeline(wish);
                all.iter().for_each(|facts| again.push(facts.clone(), after(start)));
                let (one, other) = (kept.window(after(start)).unwrap(), again.window(after(start)).unwrap());
                prop_assert_eq!(one.sequence, other.sequence);
                prop_assert_eq!(one.discontinuities, other.discontinuities);
                let of = |window: Window<'_>| -> Vec<_> {
                    window.entries.iter().map(|entry| (entry.number, entry.at, entry.discontinuity)).collect()
                };
                prop_assert_eq!(of(one), of(other));
                prop_assert!(one.sequence >= sequence && one.entries.len() <= usize::from(most));
                sequence = one.sequence;
                // No two overlap in media time.
                prop_assert!(one.entries.windows(2).all(|pair| pair[0].at < pair[1].at));
            }
        }
    }
}

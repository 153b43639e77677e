//! A service in simulated time: what a producer has sent to it at any moment, and what it tells of that.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_media::mkv::{Header, Info};
use kvs_media::time::{Monotonic, Utc};
use kvs_media::{Track, TrackKind, TrackNumber};
use kvs_wire::{FragmentNumber, FragmentSelectorType, StartSelector};

use super::super::chunk::{Found, Head};
use super::super::item::{FragmentEnd, Frame};
use super::super::listing::Ask;
use crate::client::{FragmentPage, ListedFragment};

/// The time at which a world begins.
pub(super) const BASE: i64 = 1_795_145_031_000_000_000;
pub(super) const SECOND: i64 = 1_000_000_000;
/// From one fragment to the next; ten frames are in each.
pub(super) const LENGTH: i64 = 2 * SECOND;
pub(super) const FRAMES: u64 = 10;

/// Evenly distributed numbers: SplitMix64.
#[derive(Clone, Debug)]
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// So often of a thousand times.
    pub(super) fn often(&mut self, of_thousand: u64) -> bool {
        self.below(1_000) < of_thousand
    }
}

pub(super) fn utc(nanos: i64) -> Utc {
    Utc::from_nanos(BASE + nanos)
}

/// Times of a world count from its beginning; what is before is history.
pub(super) fn monotonic(nanos: i64) -> Monotonic {
    Monotonic::from_nanos(u64::try_from(nanos + 1_000_000 * SECOND).unwrap())
}

/// A fragment as it came in.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    pub(super) number: FragmentNumber,
    pub(super) begin: i64,
    pub(super) server: i64,
    /// When a frame came, which one, and its time.
    frames: Vec<(i64, u64, i64)>,
    /// When it was whole, or was given up.
    end: i64,
    whole: bool,
    /// From when on it is listed.
    listed: i64,
}

/// All that ever comes in.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) recorded: Vec<Recorded>,
    header: Arc<Header>,
    /// Pages that were promised, by their tokens.
    pages: Vec<Vec<ListedFragment>>,
}

impl Service {
    /// A producer sends from `from` to `to`; it is away now and then, sends again what it does not know to be stored,
    /// and then catches up.
    pub(super) fn new(chance: &mut Chance, from: i64, to: i64, breaks: u64) -> Self {
        let mut recorded = Vec::new();
        let (mut sequence, mut cursor) = (1_000, from);
        let mut fragment = 0;
        while from + fragment * LENGTH < to {
            let begin = from + fragment * LENGTH;
            let breaks_off = chance.often(breaks).then(|| 1 + chance.below(FRAMES - 1));
            let mut frames = Vec::new();
            for frame in 0..breaks_off.unwrap_or(FRAMES) {
                let time = begin + i64::try_from(frame).unwrap() * LENGTH / i64::try_from(FRAMES).unwrap();
                cursor = (cursor + 1_000_000).max(time);
                frames.push((cursor, u64::try_from(fragment).unwrap() * FRAMES + frame, time));
            }
            let server = frames[0].0;
            let number = FragmentNumber::make(sequence, utc(server), 1).unwrap();
            sequence += 1;
            // What a producer has left behind may be kept as it is, or not at all.
            let whole = breaks_off.is_none() || chance.often(400);
            if breaks_off.is_some() {
                cursor += i64::try_from(chance.below(3_000)).unwrap() * 1_000_000;
            }
            let end = cursor + 1_000_000;
            let listed = end + i64::try_from(chance.below(8_000)).unwrap() * 1_000_000;
            recorded.push(Recorded { number, begin, server, frames, end, whole, listed });
            fragment += 1;
            if breaks_off.is_some() {
                fragment -= 1 + i64::try_from(chance.below(3)).unwrap().min(fragment - 1);
                sequence += 1_000 - sequence % 1_000;
                cursor += i64::try_from(chance.below(5_000)).unwrap() * 1_000_000;
            }
        }
        Self { recorded, header: Arc::new(header()), pages: Vec::new() }
    }

    /// Frames that were sent in all.
    pub(super) fn frames(&self) -> u64 {
        self.recorded.iter().flat_map(|recorded| &recorded.frames).map(|frame| frame.1 + 1).max().unwrap_or(0)
    }

    pub(super) fn get(&self, number: &FragmentNumber) -> Option<&Recorded> {
        self.recorded.iter().find(|recorded| recorded.number == *number)
    }

    /// What is there for who reads as it comes, behind a fragment.
    pub(super) fn after(&self, number: Option<&FragmentNumber>, now: i64) -> Option<&Recorded> {
        let there = |recorded: &&Recorded| recorded.server <= now && (recorded.whole || recorded.end > now);
        let behind = |recorded: &&Recorded| number.is_none_or(|number| recorded.number > *number);
        self.recorded.iter().filter(there).filter(behind).min_by_key(|recorded| recorded.number.clone())
    }

    /// Behind which fragment a call begins.
    pub(super) fn before(&self, selector: &StartSelector, now: i64) -> Option<FragmentNumber> {
        let at = match selector {
            StartSelector::AfterFragment(number) => return Some(number.clone()),
            StartSelector::ProducerTime(at) | StartSelector::ServerTime(at) => at.nanos() - BASE,
            StartSelector::Now => now,
            _ => i64::MIN,
        };
        // Of what is there: when that is all before the instant, what comes next is given, whatever its time.
        let before =
            |recorded: &&Recorded| recorded.server <= now && recorded.begin.saturating_add(LENGTH) <= at;
        self.recorded.iter().filter(before).map(|recorded| recorded.number.clone()).max()
    }

    /// A page of a list: in no order, late, and of a few rows.
    pub(super) fn list(&mut self, ask: &Ask, now: i64, chance: &mut Chance) -> FragmentPage {
        let mut rows = match &ask.token {
            Some(token) => std::mem::take(&mut self.pages[token.parse::<usize>().unwrap()]),
            None => {
                let range = ask.selector.range;
                let producer = ask.selector.selector_type == FragmentSelectorType::ProducerTimestamp;
                let wanted = |recorded: &&Recorded| {
                    let time = utc(if producer { recorded.begin } else { recorded.server });
                    recorded.whole && recorded.listed <= now && (range.start()..=range.end()).contains(&time)
                };
                let mut rows: Vec<_> = self.recorded.iter().filter(wanted).map(Recorded::listed).collect();
                for place in (1..rows.len()).rev() {
                    rows.swap(place, usize::try_from(chance.below(place as u64 + 1)).unwrap());
                }
                rows
            }
        };
        let rest = rows.split_off(rows.len().min(30));
        let next_token = (!rest.is_empty()).then(|| {
            self.pages.push(rest);
            (self.pages.len() - 1).to_string()
        });
        // A date has whole seconds.
        let answered = utc(now - (BASE + now).rem_euclid(SECOND));
        FragmentPage { fragments: rows, next_token, answered }
    }

    pub(super) fn head(&self, recorded: &Recorded) -> Head {
        Head {
            number: recorded.number.clone(),
            producer: utc(recorded.begin),
            server: utc(recorded.server),
            tags: Vec::new(),
            header: Arc::clone(&self.header),
        }
    }
}

impl Recorded {
    fn listed(&self) -> ListedFragment {
        let last = self.frames.last().unwrap().2;
        ListedFragment {
            number: self.number.clone(),
            producer: utc(self.begin),
            server: utc(self.server),
            length: Duration::from_nanos(u64::try_from(last - self.begin).unwrap()),
            bytes: 1_000,
        }
    }

    /// The part of it that is next, when so many were given; `Err` when none will follow.
    pub(super) fn part(&self, given: usize, now: i64) -> Result<Option<Found>, ()> {
        match self.frames.get(given) {
            Some((at, id, time)) if *at <= now => Ok(Some(Found::Frame(Frame {
                track: TrackNumber(1),
                time: utc(*time),
                key: given == 0,
                discardable: false,
                invisible: false,
                duration: None,
                payload: Bytes::copy_from_slice(&id.to_be_bytes()),
            }))),
            Some(_) => Ok(None),
            None if self.end > now => Ok(None),
            None if !self.whole => Err(()),
            None => Ok(Some(Found::End(FragmentEnd {
                number: self.number.clone(),
                tags: Vec::new(),
                token: Some((&self.number).into()),
                behind_now: Some(Duration::from_nanos(u64::try_from(now - self.end).unwrap())),
                last: utc(self.frames.last().unwrap().2),
            }))),
        }
    }
}

fn header() -> Header {
    Header {
        doc_type: "matroska".into(),
        info: Info::default(),
        tracks: vec![Track::new(TrackNumber(1), TrackKind::Video, "V_VP8")],
        raw: Bytes::new(),
        segment: 0..0,
    }
}

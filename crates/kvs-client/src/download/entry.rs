//! Where a reader begins within a fragment: at the key frame that an instant means.
//!
//! What comes before it is held until it is known whether it is wanted: never more than what lies between two key
//! frames, and one fragment at the most where none is wanted.

use std::sync::Arc;

use kvs_media::time::Utc;
use kvs_media::{TrackKind, TrackNumber};

use super::item::{Fragment, Frame, Item};
use super::settings::{Begin, Snap};

/// Bytes that are held at the most: a stream without key frames begins where it may.
const MOST_HELD: usize = 64 << 20;

/// Holds what comes until the key frame is found.
#[derive(Debug)]
pub(super) struct Entry {
    begin: Begin,
    fragment: Option<Arc<Fragment>>,
    /// The track whose key frames count: the first of pictures, else the first.
    leading: Option<TrackNumber>,
    /// What would be handed out if the last key frame is the one.
    held: Vec<Item>,
    /// Bytes of payload in it.
    bytes: usize,
    /// When that key frame is, by the clock that counts.
    key: Option<Utc>,
}

impl Entry {
    pub(super) const fn new(begin: Begin) -> Self {
        Self { begin, fragment: None, leading: None, held: Vec::new(), bytes: 0, key: None }
    }

    /// Takes an item. True when the beginning is found: then what is to be handed out is in `out`, and everything from
    /// then on is to be.
    pub(super) fn take(&mut self, item: Item, out: &mut Vec<Item>) -> bool {
        match item {
            Item::Fragment(fragment) => {
                let pictures = fragment.header.tracks.iter().find(|track| track.kind == TrackKind::Video);
                self.leading = pictures.or(fragment.header.tracks.first()).map(|track| track.number);
                self.fragment = Some(Arc::clone(&fragment));
                self.held.push(Item::Fragment(fragment));
                false
            }
            Item::Frame(frame) => self.frame(frame, out),
            Item::Done(end) => {
                match self.key {
                    // What ends before the instant may be followed by what is nearer; it is kept until that is known.
                    Some(_) => self.held.push(Item::Done(end)),
                    None => self.drop_held(),
                }
                false
            }
            other => {
                out.push(other);
                false
            }
        }
    }

    /// Nothing more comes: what is held is what there is.
    pub(super) fn finish(&mut self, out: &mut Vec<Item>) {
        if self.key.is_some() {
            out.append(&mut self.held);
        }
    }

    fn drop_held(&mut self) {
        self.held.clear();
        self.bytes = 0;
    }

    fn frame(&mut self, frame: Frame, out: &mut Vec<Item>) -> bool {
        self.bytes = self.bytes.saturating_add(frame.payload.len());
        if self.bytes > MOST_HELD {
            self.held.push(Item::Frame(frame));
            out.append(&mut self.held);
            return true;
        }
        let leads = self.leading.is_none_or(|leading| leading == frame.track);
        if !leads {
            self.held.push(Item::Frame(frame));
            return false;
        }
        let (time, at) = (self.time_of(&frame), self.begin.at);
        // In the order of decoding no key frame comes behind what is shown after it.
        let passed = time >= at;
        let found = match (self.begin.snap, frame.key) {
            (Snap::Accurate | Snap::Before, true) if time <= at || self.key.is_none() => {
                self.begin_at(frame, time);
                time >= at
            }
            (Snap::After, true) if passed => {
                self.begin_at(frame, time);
                true
            }
            (Snap::Nearest, true) => {
                let nearer = self.key.is_none_or(|key| apart(time, at) < apart(key, at));
                if nearer {
                    self.begin_at(frame, time);
                } else {
                    self.held.push(Item::Frame(frame));
                }
                passed
            }
            (Snap::After, _) => false,
            (snap, _) => {
                if self.key.is_some() {
                    self.held.push(Item::Frame(frame));
                }
                let decided = match snap {
                    // A later one would be further away.
                    Snap::Nearest => self.key.is_some_and(|key| apart(time, at) >= apart(key, at)),
                    _ => self.key.is_some(),
                };
                passed && decided
            }
        };
        if found {
            out.append(&mut self.held);
        }
        found
    }

    /// This key frame may be the one: of what is held, its fragment and what other tracks have from it on are left.
    fn begin_at(&mut self, frame: Frame, time: Utc) {
        let from = frame.time;
        self.held.retain(|item| match item {
            Item::Frame(held) => Some(held.track) != self.leading && held.time >= from,
            _ => false,
        });
        if let Some(fragment) = &self.fragment {
            self.held.insert(0, Item::Fragment(Arc::clone(fragment)));
        }
        self.held.push(Item::Frame(frame));
        let size = |item: &Item| if let Item::Frame(frame) = item { frame.payload.len() } else { 0 };
        self.bytes = self.held.iter().map(size).sum();
        self.key = Some(time);
    }

    /// By the clock that counts.
    fn time_of(&self, frame: &Frame) -> Utc {
        let Some(fragment) = &self.fragment else { return frame.time };
        let ahead = fragment.begins.nanos().saturating_sub(fragment.producer.nanos());
        Utc::from_nanos(frame.time.nanos().saturating_add(ahead))
    }
}

fn apart(one: Utc, other: Utc) -> u64 {
    one.nanos().abs_diff(other.nanos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use kvs_media::Track;
    use kvs_media::mkv::{Header, Info};
    use kvs_wire::FragmentNumber;

    use super::super::item::FragmentEnd;

    fn at(millis: i64) -> Utc {
        Utc::from_millis(1_795_145_031_000 + millis).unwrap()
    }

    fn number(begin: i64) -> FragmentNumber {
        FragmentNumber::make(u64::try_from(begin).unwrap(), at(0), 1).unwrap()
    }

    /// Begins by the producer's clock, which is a minute behind the service's.
    fn fragment(begin: i64, ahead: i64) -> Item {
        let track = |number, kind| Track::new(TrackNumber(number), kind, "");
        let header = Header {
            doc_type: String::new(),
            info: Info::default(),
            tracks: vec![track(1, TrackKind::Audio), track(2, TrackKind::Video)],
            raw: Bytes::new(),
            segment: 0..0,
        };
        Item::Fragment(Arc::new(Fragment {
            number: number(begin),
            producer: at(begin),
            server: at(begin + 60_000),
            begins: at(begin + ahead),
            tags: Vec::new(),
            header: Arc::new(header),
            gap: None,
            resumed: false,
        }))
    }

    fn frame(track: u64, time: i64, key: bool) -> Item {
        Item::Frame(Frame {
            track: TrackNumber(track),
            time: at(time),
            key,
            discardable: false,
            invisible: false,
            duration: None,
            payload: Bytes::from_static(b"frame"),
        })
    }

    fn done(begin: i64) -> Item {
        let number = number(begin);
        Item::Done(FragmentEnd { number, tags: Vec::new(), token: None, behind_now: None, last: at(begin) })
    }

    /// Two fragments of two seconds, with pictures every 200 ms, of which every fifth is a key frame, and sound that is
    /// 100 ms behind them in the file.
    fn recording(ahead: i64) -> Vec<Item> {
        let mut items = Vec::new();
        for begin in [0, 2_000] {
            items.push(fragment(begin, ahead));
            for place in 0..10 {
                items.push(frame(2, begin + place * 200, place % 5 == 0));
                items.push(frame(1, begin + place * 200 + 100, true));
            }
            items.push(done(begin));
        }
        items
    }

    /// The first picture, the first sound, and the fragments that begin.
    fn entered(at_: i64, snap: Snap, ahead: i64) -> (i64, i64, Vec<i64>) {
        let begin = Begin { at: at(at_), snap };
        let (mut entry, mut out, mut found) = (Entry::new(begin), Vec::new(), false);
        for item in recording(ahead) {
            if found {
                out.push(item);
            } else {
                found = entry.take(item, &mut out);
            }
        }
        entry.finish(&mut out);
        assert!(matches!(out.first(), Some(Item::Fragment(_))), "{out:?}");
        let millis = |time: Utc| time.millis() - at(0).millis();
        let first = |track| {
            out.iter().find_map(|item| match item {
                Item::Frame(frame) if frame.track == TrackNumber(track) => Some(millis(frame.time)),
                _ => None,
            })
        };
        let begins = out.iter().filter_map(|item| match item {
            Item::Fragment(fragment) => Some(millis(fragment.producer)),
            _ => None,
        });
        (first(2).unwrap(), first(1).unwrap(), begins.collect())
    }

    #[test]
    fn the_key_frame_that_is_meant_is_the_first_and_sound_begins_with_it() {
        let rows = [
            (Snap::Accurate, 0, 0),
            (Snap::Accurate, 999, 0),
            (Snap::Before, 1_000, 1_000),
            (Snap::Before, 1_900, 1_000),
            (Snap::Accurate, 2_500, 2_000),
            (Snap::Accurate, 9_000, 3_000),
            (Snap::After, 1, 1_000),
            (Snap::After, 1_000, 1_000),
            (Snap::After, 1_001, 2_000),
            (Snap::Nearest, 400, 0),
            (Snap::Nearest, 600, 1_000),
            (Snap::Nearest, 1_400, 1_000),
            (Snap::Nearest, 1_600, 2_000),
            (Snap::Nearest, 1_000, 1_000),
        ];
        for (snap, at, first) in rows {
            // By the producer's clock, and where what came in lies by the service's.
            for ahead in [0, 60_000] {
                let (picture, sound, fragments) = entered(at + ahead, snap, ahead);
                assert_eq!((picture, sound), (first, first + 100), "{snap:?} {at} {ahead}");
                let expected: Vec<i64> = if first < 2_000 { vec![0, 2_000] } else { vec![2_000] };
                assert_eq!(fragments, expected, "{snap:?} {at}");
            }
        }
    }

    #[test]
    fn nothing_is_at_or_behind_the_instant_and_nothing_comes() {
        let begin = Begin { at: at(60_000), snap: Snap::After };
        let mut entry = Entry::new(begin);
        let mut out = Vec::new();
        assert!(!recording(0).into_iter().any(|item| entry.take(item, &mut out)));
        entry.finish(&mut out);
        assert!(out.is_empty(), "{out:?}");
    }
}

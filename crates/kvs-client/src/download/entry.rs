//! Where a reader begins within a fragment: at the key frame that an instant means.
//!
//! What comes before it is held until it is known whether it is wanted: never more than what lies between two key
//! frames, and one fragment at the most where none is wanted.

use std::sync::Arc;

use kvs_media::time::Utc;
use kvs_media::{TrackKind, TrackNumber};
use kvs_wire::FragmentSelectorType;

use super::item::{Fragment, Frame, Item};
use super::settings::{Begin, Snap};

/// Holds what comes until the key frame is found.
#[derive(Debug)]
pub(super) struct Entry {
    begin: Begin,
    timeline: FragmentSelectorType,
    fragment: Option<Arc<Fragment>>,
    /// The track whose key frames count: the first of pictures, else the first.
    leading: Option<TrackNumber>,
    /// What would be handed out if the last key frame is the one.
    held: Vec<Item>,
    /// When that is, by the clock that counts.
    key: Option<Utc>,
}

impl Entry {
    pub(super) const fn new(begin: Begin, timeline: FragmentSelectorType) -> Self {
        Self { begin, timeline, fragment: None, leading: None, held: Vec::new(), key: None }
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
                    None => self.held.clear(),
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

    fn frame(&mut self, frame: Frame, out: &mut Vec<Item>) -> bool {
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
        self.key = Some(time);
    }

    /// By the clock that counts.
    fn time_of(&self, frame: &Frame) -> Utc {
        let Some(fragment) = &self.fragment else { return frame.time };
        match self.timeline {
            FragmentSelectorType::ProducerTimestamp => frame.time,
            FragmentSelectorType::ServerTimestamp => {
                let ahead = fragment.server.nanos().saturating_sub(fragment.producer.nanos());
                Utc::from_nanos(frame.time.nanos().saturating_add(ahead))
            }
        }
    }
}

fn apart(one: Utc, other: Utc) -> u64 {
    one.nanos().abs_diff(other.nanos())
}

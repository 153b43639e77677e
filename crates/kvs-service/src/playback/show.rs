//! What is behind the URLs of a session.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_media::TrackNumber;
use kvs_media::time::{Monotonic, Utc};
use kvs_wire::{Exception, FragmentSelectorType};

use super::assembly::Assembly;
use super::packaging::{Row, Scene, clip, initialization, segment, transport};
use super::program::Unplayable;
use super::request::{ClipWish, Range};
use super::sessions::{Playback, PlaybackError, held};
use super::ticket::Ticket;
use super::{dash, hls};
use crate::store::{Fragment, FragmentRow, Number, Store, StoreError, StreamId};

/// Something that a session shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// The playlist of playlists.
    Master,
    /// The playlist of a track.
    Playlist(TrackNumber),
    /// The manifest.
    Manifest,
    /// What a track begins with, and which header of the session it is of.
    Init(TrackNumber, u64),
    /// A track of a fragment.
    Media(TrackNumber, MediaOf),
    /// All of a fragment.
    Ts(MediaOf),
}

/// How a fragment is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaOf {
    Number(Number),
    /// Its place in the session.
    Place(u64),
}

/// What is sent.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) body: Assembly,
    /// It is sound alone.
    pub(crate) sound: bool,
}

impl From<String> for Shown {
    fn from(text: String) -> Self {
        Self::of(text.into())
    }
}

impl Shown {
    fn of(bytes: Bytes) -> Self {
        let mut body = Assembly::default();
        body.bytes(bytes);
        Self { body, sound: false }
    }
}

fn none() -> Unplayable {
    Unplayable::new(Exception::ResourceNotFound, "There is no such fragment in the session.")
}

impl Playback {
    /// Whether a session may ask for something now.
    pub(crate) fn take(&self, token: &str, resource: Resource, limit: u32, now: Monotonic) -> bool {
        let mut hasher = DefaultHasher::new();
        (token, std::mem::discriminant(&resource)).hash(&mut hasher);
        // Each track has a playlist and an initialization segment of its own.
        if let Resource::Playlist(track) | Resource::Init(track, _) = resource {
            track.0.hash(&mut hasher);
        }
        held(&self.rates).take(hasher.finish(), limit, 1, now)
    }

    /// What a session shows. Waits for the disk.
    pub(crate) fn show(
        &self,
        store: &Store,
        token: &str,
        ticket: Ticket,
        resource: Resource,
        now: Utc,
    ) -> Result<Shown, PlaybackError> {
        match resource {
            Resource::Master => self.with_timeline(store, token, ticket, now, |timeline| {
                let window = timeline.window(now)?;
                let first = window.entries.first().ok_or_else(none)?;
                let bits = hls::bits(window.entries);
                Ok(hls::master(&ticket.wish, &first.program, bits, token).into())
            }),
            Resource::Playlist(track) => self.with_timeline(store, token, ticket, now, |timeline| {
                let window = timeline.window(now)?;
                let first = window.entries.first().ok_or_else(none)?;
                first.program.track(track).ok_or_else(none)?;
                Ok(hls::media(&ticket.wish, &window, token, track).into())
            }),
            Resource::Manifest => self.with_timeline(store, token, ticket, now, |timeline| {
                let window = timeline.window(now)?;
                let first = window.entries.first().ok_or_else(none)?;
                Ok(dash::manifest(&ticket, &first.program, &window, token, now).into())
            }),
            Resource::Init(track, header) => {
                let program = self.with_timeline(store, token, ticket, now, |timeline| {
                    let header = usize::try_from(header).ok().and_then(|header| timeline.header(header));
                    header.cloned().ok_or_else(none)
                })?;
                let (bytes, sound) = initialization(&program, track)?;
                Ok(Shown { sound, ..Shown::of(bytes) })
            }
            Resource::Media(track, media) => {
                let (fragment, at, sequence) = self.media(store, token, ticket, media, now)?;
                let program = self.program(&fragment)?;
                let (body, sound) = segment(fragment, &program, track, at, sequence)?;
                Ok(Shown { body, sound })
            }
            Resource::Ts(media) => {
                let (fragment, at, _) = self.media(store, token, ticket, media, now)?;
                let program = self.program(&fragment)?;
                Ok(Shown::of(transport(store, &fragment, &program, at)?))
            }
        }
    }

    /// A fragment, when it begins in the session's media time, and its place.
    fn media(
        &self,
        store: &Store,
        token: &str,
        ticket: Ticket,
        media: MediaOf,
        now: Utc,
    ) -> Result<(Arc<Fragment>, Duration, u32), PlaybackError> {
        let (number, at, sequence) = match media {
            MediaOf::Number(number) => (number, None, 1),
            MediaOf::Place(place) => self.with_timeline(store, token, ticket, now, |timeline| {
                let entry = timeline.at(place).ok_or_else(none)?;
                Ok((entry.number, Some(entry.at), u32::try_from(place).unwrap_or(u32::MAX)))
            })?,
        };
        let fragment = self.fragment(store, ticket.stream, number)?;
        let start = match ticket.wish.clock {
            FragmentSelectorType::ProducerTimestamp => fragment.row.producer_time,
            FragmentSelectorType::ServerTimestamp => number.server_time().unwrap_or(ticket.zero),
        };
        if !ticket.covers(number, start) {
            return Err(none().into());
        }
        Ok((Arc::new(fragment), at.unwrap_or_else(|| ticket.media_time(start)), sequence))
    }

    /// The fragments that a clip is made of, at most so many. Waits for the disk.
    pub(crate) fn clip_rows(
        &self,
        store: &Store,
        stream: StreamId,
        wish: ClipWish,
        most: usize,
    ) -> Result<Vec<FragmentRow>, StoreError> {
        let range = Range { start: wish.start, end: Some(wish.end) };
        self.rows(store, stream, wish.clock, range, most)
    }

    /// The clip of fragments, with so many bytes of media at the most. Waits for the disk.
    pub(crate) fn clip(
        &self,
        store: &Store,
        clock: FragmentSelectorType,
        rows: &[FragmentRow],
        bytes: u64,
    ) -> Result<Assembly, PlaybackError> {
        let (mut scenes, mut row, mut left) = (Vec::with_capacity(rows.len()), Row::default(), bytes);
        let mut first = None;
        for fragment in rows {
            let facts = match self.facts(store, fragment) {
                Err(PlaybackError::Store(error)) => {
                    tracing::warn!(number = %fragment.number, %error, "a fragment is left out of a clip");
                    continue;
                }
                other => other?,
            };
            let program = first.get_or_insert_with(|| Arc::clone(&facts.program));
            if !program.goes_on(&facts.program) {
                let message = "The codec private data or the tracks change within the clip.";
                return Err(Unplayable::new(Exception::InvalidCodecPrivateData, message).into());
            }
            if scenes.is_empty() {
                program.admit(kvs_media::playback::Api::GetClip)?;
            }
            if !facts.begins_with_key {
                continue;
            }
            left = match left.checked_sub(facts.bytes) {
                Some(left) => left,
                // At least one: it is no clip otherwise.
                None if scenes.is_empty() => 0,
                None => break,
            };
            let at = row.place(facts.start(clock), facts.duration);
            scenes.push(Scene { fragment: Arc::new(store.fragment(fragment)?), at });
        }
        match first {
            Some(program) if !scenes.is_empty() => Ok(clip(&program, scenes)?),
            _ => Err(PlaybackError::nothing()),
        }
    }
}

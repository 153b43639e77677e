//! What is stored, in the containers of players.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_media::mp4::{Clip, Mp4Error, Mp4Track, Segment, init};
use kvs_media::time::{TimecodeScale, Utc};
use kvs_media::timing::{Place, Sample};
use kvs_media::ts::{Program as TsProgram, TsError};
use kvs_media::{Track, TrackNumber};
use kvs_wire::Exception;

use super::assembly::{Assembly, group_of_whole, read};
use super::facts::frames_of;
use super::program::{Program, Unplayable};
use super::sessions::PlaybackError;
use super::timeline::joins;
use crate::store::{Fragment, FrameEntry, Store};

/// What cannot be put into a container.
impl From<Mp4Error> for Unplayable {
    fn from(error: Mp4Error) -> Self {
        Self::new(Exception::InvalidMediaFrame, error.to_string())
    }
}

/// The initialization segment of a track.
pub(crate) fn initialization(program: &Program, track: TrackNumber) -> Result<(Bytes, bool), Unplayable> {
    let track = mp4_track(program, track)?;
    Ok((init(&[track])?, track.sound().is_some()))
}

fn mp4_track(program: &Program, track: TrackNumber) -> Result<&Mp4Track, Unplayable> {
    let none = || Unplayable::new(Exception::ResourceNotFound, format!("There is no track {track}."));
    let played = program.track(track).ok_or_else(none)?;
    played.mp4.as_ref().map_err(|error| error.clone().into())
}

/// The frames of a track that go into a container, with where they are.
pub(super) fn samples(fragment: &Fragment, track: TrackNumber) -> impl Iterator<Item = (Sample, Range<u64>)> {
    frames_of(fragment, track).filter_map(sample)
}

fn sample(frame: FrameEntry) -> Option<(Sample, Range<u64>)> {
    let range = frame.offset..frame.offset.checked_add(frame.size.into())?;
    let sample = Sample { time: frame.time, size: frame.size, key: frame.key };
    (!range.is_empty()).then_some((sample, range))
}

pub(super) fn scale(fragment: &Fragment) -> TimecodeScale {
    TimecodeScale::from_nanos(fragment.commit.timecode_scale).unwrap_or(TimecodeScale::MILLISECOND)
}

/// A media segment: one track of one fragment, which begins `at` a time of the session.
pub(crate) fn segment(
    fragment: Arc<Fragment>,
    program: &Program,
    number: TrackNumber,
    at: Duration,
    sequence: u32,
) -> Result<(Assembly, bool), Unplayable> {
    let track = mp4_track(program, number)?;
    let place = Place { start: at, scale: scale(&fragment), next: None };
    let head =
        Segment::new(track, place, samples(&fragment, number).map(|(sample, _)| sample))?.head(sequence);
    let ranges: Vec<_> = samples(&fragment, number).map(|(_, range)| range).collect();
    let mut body = Assembly::default();
    body.bytes(head);
    body.stored(fragment, ranges.into_iter());
    Ok((body, track.sound().is_some()))
}

impl From<TsError> for Unplayable {
    fn from(error: TsError) -> Self {
        Self::new(Exception::InvalidMediaFrame, error.to_string())
    }
}

/// All of a fragment as MPEG-TS. Everything in it is written anew: it is made whole, from what is read in pieces.
pub(crate) fn transport(
    store: &Store,
    fragment: &Fragment,
    program: &Program,
    at: Duration,
) -> Result<Bytes, PlaybackError> {
    let frames = frames_of_all(fragment, program);
    let tracks: Vec<&Track> = program.tracks().iter().map(|played| &played.track).collect();
    let place = Place { start: at, scale: scale(fragment), next: None };
    let samples = frames.iter().map(|(track, sample, _)| (*track, *sample));
    let tables = TsProgram::new(&tracks, place.scale).map_err(Unplayable::from)?;
    let mut segment = tables.segment(place, samples).map_err(Unplayable::from)?;
    let mut out = Vec::new();
    let mut ranges: VecDeque<_> = frames.into_iter().map(|(_, _, range)| range).collect();
    let mut broken = 0_usize;
    while !ranges.is_empty() {
        let whole = group_of_whole(&mut ranges);
        let bytes = read(store, fragment, &whole)?;
        let mut rest = &bytes[..];
        for range in whole {
            let size = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let (payload, after) = rest.split_at_checked(size).unwrap_or((rest, &[]));
            rest = after;
            match segment.write(payload, &mut out) {
                // It is left out: the others can be shown.
                Err(TsError::Frame { .. }) => broken += 1,
                other => other.map_err(Unplayable::from)?,
            }
        }
    }
    segment.finish(&mut out);
    if broken > 0 {
        tracing::warn!(number = %fragment.row.number, broken, "frames are left out of a segment");
    }
    Ok(out.into())
}

/// The frames of all tracks that are played, each with its track's place.
fn frames_of_all(fragment: &Fragment, program: &Program) -> Vec<(usize, Sample, Range<u64>)> {
    let tracks = program.tracks();
    let place_of = |frame: &FrameEntry| tracks.iter().position(|played| played.track.number.0 == frame.track);
    let frames = fragment.commit.frames.frames().map_while(Result::ok).filter(|frame| !frame.invisible);
    let placed = frames.filter_map(|frame| {
        let (sample, range) = sample(frame)?;
        Some((place_of(&frame)?, sample, range))
    });
    placed.collect()
}

/// A fragment of a clip, and when it begins in the clip.
pub(crate) struct Scene {
    pub(crate) fragment: Arc<Fragment>,
    pub(crate) at: Duration,
}

/// A clip of fragments whose headers are alike.
pub(crate) fn clip(program: &Program, scenes: Vec<Scene>) -> Result<Assembly, Unplayable> {
    let played = program.tracks();
    let tracks: Vec<&Mp4Track> =
        played.iter().map(|played| mp4_track(program, played.track.number)).collect::<Result<_, _>>()?;
    let mut clip = Clip::new(&tracks)?;
    let mut media = Assembly::default();
    for Scene { fragment, at } in scenes {
        let frames = frames_of_all(&fragment, program);
        let place = Place { start: at, scale: scale(&fragment), next: None };
        clip.push(place, frames.iter().map(|(track, sample, _)| (*track, *sample)))?;
        media.stored(fragment, frames.into_iter().map(|(_, _, range)| range));
    }
    let mut whole = Assembly::default();
    whole.bytes(clip.finish()?.head);
    whole.append(media);
    Ok(whole)
}

/// When fragments begin in a clip: as far apart as they were where they join, and one behind another where they do not.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// When the last began by the clock, when in the clip, and how long it lasts.
    last: Option<(Utc, Duration, Duration)>,
}

impl Row {
    pub(crate) fn place(&mut self, start: Utc, duration: Duration) -> Duration {
        let at = match self.last {
            None => Duration::ZERO,
            Some((before, at, lasts)) if joins(before, lasts, start) => {
                at.saturating_add(start.since(before).unwrap_or_default())
            }
            Some((_, at, lasts)) => at.saturating_add(lasts),
        };
        self.last = Some((start, at, duration));
        at
    }
}

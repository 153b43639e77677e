//! What a playlist has to know of a fragment.

use std::sync::Arc;
use std::time::Duration;

use kvs_media::TrackNumber;
use kvs_media::time::Utc;
use kvs_wire::FragmentSelectorType;

use super::program::Program;
use crate::store::{Fragment, FrameEntry, Number};

/// How long a picture lasts where nothing tells.
const TYPICAL: Duration = Duration::from_millis(40);

/// A fragment, as a playlist sees it.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) number: Number,
    pub(crate) producer_time: Utc,
    pub(crate) server_time: Utc,
    /// From its first frame to the end of its last, by its first track.
    pub(crate) duration: Duration,
    /// A decoder can begin with it.
    pub(crate) begins_with_key: bool,
    /// Payload bytes.
    pub(crate) bytes: u64,
    pub(crate) program: Arc<Program>,
}

impl Facts {
    /// Of a fragment and what its header says.
    pub(crate) fn of(fragment: &Fragment, program: Arc<Program>) -> Self {
        let lead = program.tracks().first().map(|played| &played.track);
        let span = lead.and_then(|track| Span::of(fragment, track.number));
        let duration = span.map_or(TYPICAL, |span| {
            span.duration(fragment.commit.timecode_scale, lead.and_then(|track| track.frame_duration))
        });
        Self {
            number: fragment.row.number,
            producer_time: fragment.row.producer_time,
            server_time: fragment.row.number.server_time().unwrap_or(Utc::EPOCH),
            duration,
            begins_with_key: lead
                .is_none_or(|track| frames_of(fragment, track.number).next().is_some_and(|frame| frame.key)),
            bytes: fragment.payload,
            program,
        }
    }

    /// When it begins, by a clock.
    pub(crate) const fn start(&self, clock: FragmentSelectorType) -> Utc {
        match clock {
            FragmentSelectorType::ProducerTimestamp => self.producer_time,
            FragmentSelectorType::ServerTimestamp => self.server_time,
        }
    }
}

/// The times of a track's frames in a fragment, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) frames: u64,
}

impl Span {
    /// None where the track has no frame.
    pub(crate) fn of(fragment: &Fragment, track: TrackNumber) -> Option<Self> {
        frames_of(fragment, track).fold(None, |span: Option<Self>, frame| {
            let time = i64::from(frame.time);
            Some(match span {
                None => Self { first: time, last: time, frames: 1 },
                Some(Self { first, last, frames }) => {
                    Self { first: first.min(time), last: last.max(time), frames: frames + 1 }
                }
            })
        })
    }

    /// How long its last frame lasts: as the track says, or as its others do.
    pub(crate) fn last_duration(self, tick: u64, told: Option<Duration>) -> Duration {
        let between = self.last.abs_diff(self.first).checked_div(self.frames - 1);
        let between = between.map(|ticks| Duration::from_nanos(ticks.saturating_mul(tick)));
        told.or(between).filter(|span| !span.is_zero()).unwrap_or(TYPICAL)
    }

    fn duration(self, tick: u64, told: Option<Duration>) -> Duration {
        let between = Duration::from_nanos(self.last.abs_diff(self.first).saturating_mul(tick));
        between.saturating_add(self.last_duration(tick, told))
    }
}

/// The frames of a track in the order of their bytes; what cannot be read ends them.
pub(crate) fn frames_of(fragment: &Fragment, track: TrackNumber) -> impl Iterator<Item = FrameEntry> {
    let frames = fragment.commit.frames.frames().map_while(Result::ok);
    frames.filter(move |frame| frame.track == track.0 && !frame.invisible)
}

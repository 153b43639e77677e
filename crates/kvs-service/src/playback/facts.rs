//! What a playlist has to know of a fragment.

use std::sync::Arc;
use std::time::Duration;

use kvs_media::TrackNumber;
use kvs_media::mp4::Segment;
use kvs_media::time::Utc;
use kvs_media::timing::Place;
use kvs_wire::FragmentSelectorType;

use super::packaging::{samples, scale};
use super::program::{Played, Program};
use super::timeline::ORIGIN;
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
        let lead = program.tracks().first();
        let begins_with_key = lead
            .is_none_or(|lead| frames_of(fragment, lead.track.number).next().is_some_and(|frame| frame.key));
        Self {
            number: fragment.row.number,
            producer_time: fragment.row.producer_time,
            server_time: fragment.row.number.server_time().unwrap_or(Utc::EPOCH),
            duration: lead.and_then(|lead| lasts(fragment, lead)).unwrap_or(TYPICAL),
            begins_with_key,
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

/// How long the frames of a track last, as its segment says.
fn lasts(fragment: &Fragment, played: &Played) -> Option<Duration> {
    let track = played.mp4.as_ref().ok()?;
    let samples = samples(fragment, played.track.number).map(|(sample, _)| sample);
    // Late enough for what is shown before the fragment's own time.
    let segment = Segment::new(track, Place { start: ORIGIN, scale: scale(fragment), next: None }, samples);
    segment.ok().map(|segment| segment.duration()).filter(|lasts| !lasts.is_zero())
}

/// The frames of a track in the order of their bytes; what cannot be read ends them.
pub(crate) fn frames_of(fragment: &Fragment, track: TrackNumber) -> impl Iterator<Item = FrameEntry> {
    let frames = fragment.commit.frames.frames().map_while(Result::ok);
    frames.filter(move |frame| frame.track == track.0 && !frame.invisible)
}

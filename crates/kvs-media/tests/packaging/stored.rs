//! Recordings as a store holds them: fragments with an index of their frames.

use std::time::Duration;

use bytes::Bytes;
use kvs_media::mkv::Event;
use kvs_media::mp4::Mp4Track;
use kvs_media::time::TimecodeScale;
use kvs_media::timing::{Place, Sample, first_shown};
use kvs_media::{AudioShape, Track, TrackKind, TrackNumber, VideoShape};

use crate::samples::{events, folder, sample};

/// A recording: its tracks, and its fragments.
pub(crate) struct Stored {
    pub(crate) scale: TimecodeScale,
    pub(crate) tracks: Vec<Track>,
    pub(crate) fragments: Vec<Fragment>,
}

/// A fragment: when it begins, and its frames as they are stored, each with its track's place.
pub(crate) struct Fragment {
    pub(crate) start: Duration,
    pub(crate) frames: Vec<(usize, Sample, Bytes)>,
}

impl Stored {
    pub(crate) fn sample(name: &str) -> Self {
        let events = events(sample(name));
        let Some(Event::Document(header)) = events.first() else { panic!("{name}") };
        let scale = header.info.scale;
        let mut fragments: Vec<(i64, Fragment)> = Vec::new();
        for event in &events {
            match event {
                Event::Cluster(cluster) => {
                    let start = scale.span(cluster.timecode.ticks()).unwrap();
                    let fragment = Fragment { start, frames: Vec::new() };
                    fragments.push((cluster.timecode.ticks(), fragment));
                }
                Event::Frame(frame) => {
                    let track =
                        header.tracks.iter().position(|track| track.number == frame.head.track).unwrap();
                    let (start, fragment) = fragments.last_mut().unwrap();
                    let time = i32::try_from(frame.head.timecode.ticks() - *start).unwrap();
                    let size = u32::try_from(frame.payload.len()).unwrap();
                    let sample = Sample { time, size, key: frame.head.key };
                    fragment.frames.push((track, sample, frame.payload.clone()));
                }
                _ => {}
            }
        }
        let fragments = fragments.into_iter().map(|(_, fragment)| fragment).collect();
        Self { scale, tracks: header.tracks.clone(), fragments }
    }

    /// The first track without the others.
    pub(crate) fn keep_first_track(&mut self) {
        self.tracks.truncate(1);
        self.fragments.iter_mut().for_each(|fragment| fragment.frames.retain(|(track, ..)| *track == 0));
    }

    /// The same, so many seconds later.
    pub(crate) fn later(&self, seconds: u64) -> Self {
        let later = |fragment: &Fragment| Fragment {
            start: fragment.start + Duration::from_secs(seconds),
            frames: fragment.frames.clone(),
        };
        let fragments = self.fragments.iter().map(later).collect();
        Self { scale: self.scale, tracks: self.tracks.clone(), fragments }
    }

    pub(crate) fn mp4_tracks(&self) -> Vec<Mp4Track> {
        self.tracks.iter().map(|track| Mp4Track::new(track, self.scale).unwrap()).collect()
    }

    /// The samples of one track in one fragment.
    pub(crate) fn samples(&self, fragment: usize, track: usize) -> Vec<Sample> {
        let frames = &self.fragments[fragment].frames;
        frames.iter().filter(|(of, ..)| *of == track).map(|(_, sample, _)| *sample).collect()
    }

    /// Where a fragment is for one of its tracks, with what follows.
    pub(crate) fn place(&self, fragment: usize, track: usize) -> Place {
        let next = self
            .fragments
            .get(fragment + 1)
            .map(|next| first_shown(next.start, self.scale, self.samples(fragment + 1, track).into_iter()));
        Place { start: self.fragments[fragment].start, scale: self.scale, next }
    }

    /// The payloads of one track in one fragment.
    pub(crate) fn payload(&self, fragment: usize, track: usize) -> Vec<u8> {
        let frames = &self.fragments[fragment].frames;
        frames.iter().filter(|(of, ..)| *of == track).flat_map(|(.., payload)| payload.to_vec()).collect()
    }

    /// When each frame of a track is shown, sorted, in nanoseconds.
    pub(crate) fn shown(&self, track: usize) -> Vec<i64> {
        let scale = i64::try_from(self.scale.nanos()).unwrap();
        let of_fragment = |fragment: &Fragment| {
            let start = i64::try_from(fragment.start.as_nanos()).unwrap();
            let frames = fragment.frames.iter().filter(|(of, ..)| *of == track);
            frames.map(|(_, sample, _)| start + i64::from(sample.time) * scale).collect::<Vec<_>>()
        };
        let mut shown: Vec<i64> = self.fragments.iter().flat_map(of_fragment).collect();
        shown.sort_unstable();
        shown
    }
}

/// A track of H.264 with a record of an encoder.
pub(crate) fn video() -> Track {
    let mut track = Track::new(TrackNumber(1), TrackKind::Video, "V_MPEG4/ISO/AVC");
    track.codec_private = std::fs::read(folder().join("codec/h264-high.avcC")).unwrap().into();
    track.video = Some(VideoShape { width: 1, height: 1 });
    track
}

/// A track of AAC.
pub(crate) fn aac(rate: u32, channels: u8) -> Track {
    let config = kvs_media::codec::aac::AudioSpecificConfig::lc(rate, channels).unwrap();
    let mut track = Track::new(TrackNumber(2), TrackKind::Audio, "A_AAC");
    track.codec_private = config.write().unwrap();
    track.audio = Some(AudioShape { rate: f64::from(rate), channels: channels.into(), bit_depth: None });
    track
}

//! Which of the service's playback calls a list of tracks satisfies, and why not.
//!
//! The rules are those of the developer guide, "Video playback track requirements". They regard the header only: that
//! a fragment begins with a key frame and that its private data stays the same, the media itself must show.
//!
//! ```
//! use kvs_media::playback::{Api, check};
//! use kvs_media::{Track, TrackKind, TrackNumber};
//!
//! let video = Track::new(TrackNumber(1), TrackKind::Video, "V_MPEG4/ISO/AVC");
//! let report = check(&[video]);
//! let reasons = report.of(Api::GetClip).unwrap_err();
//! assert_eq!(reasons[0].to_string(), "Missing codec private data in fragment for track 1.");
//! ```

use std::fmt;

use crate::codec::aac::AudioSpecificConfig;
use crate::codec::h264::AvcConfig;
use crate::codec::h265::{self, HevcConfig};
use crate::codec::wave::WaveFormat;
use crate::codec::{Codec, CodecError};
use crate::{Track, TrackKind, TrackNumber};

/// A call by which media is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// GetClip.
    GetClip,
    /// GetDASHStreamingSessionURL.
    Dash,
    /// GetHLSStreamingSessionURL with fragmented MP4.
    HlsFmp4,
    /// GetHLSStreamingSessionURL with MPEG-TS.
    HlsTs,
    /// GetImages.
    GetImages,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::GetClip, Self::Dash, Self::HlsFmp4, Self::HlsTs, Self::GetImages];

    /// What it plays as track 1.
    const fn plays_first(self, codec: Codec) -> bool {
        match (self, codec) {
            (Self::GetImages, _) => matches!(codec.kind(), TrackKind::Video),
            (_, Codec::H264) => true,
            (_, Codec::H265) => !matches!(self, Self::HlsTs),
            (_, Codec::Aac) => !matches!(self, Self::GetClip),
            _ => false,
        }
    }

    /// What it plays as track 2 beside `first`.
    const fn plays_second(self, first: Codec, second: Codec) -> bool {
        match second {
            _ if matches!(self, Self::GetImages) => true,
            Codec::Aac => matches!(first, Codec::H264 | Codec::H265),
            Codec::Alaw => matches!(self, Self::GetClip | Self::Dash) && matches!(first, Codec::H264),
            Codec::Mulaw => matches!(self, Self::Dash) && matches!(first, Codec::H264),
            _ => false,
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GetClip => "GetClip",
            Self::Dash => "DASH",
            Self::HlsFmp4 => "HLS (fragmented MP4)",
            Self::HlsTs => "HLS (MPEG-TS)",
            Self::GetImages => "GetImages",
        })
    }
}

/// Why a call does not play a list of tracks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no track.
    NoTracks,
    /// There are more than two tracks.
    TooManyTracks {
        /// How many.
        count: usize,
    },
    /// The tracks are not numbered from 1 on.
    Numbering {
        /// The number that was expected.
        expected: TrackNumber,
        /// The number that is there.
        found: TrackNumber,
    },
    /// Both codecs are played, but the video must be track 1.
    Order {
        /// The number of the video track.
        video: TrackNumber,
    },
    /// The codec is not played in this place.
    UnsupportedCodec {
        /// The track.
        track: TrackNumber,
        /// Its codec id.
        codec_id: String,
        /// The codec id of track 1, when the codec is refused as track 2 beside it.
        beside: Option<String>,
    },
    /// The payload is compressed or encrypted by Matroska itself.
    Encoded {
        /// The track.
        track: TrackNumber,
    },
    /// The codec needs private data, and there is none.
    MissingPrivate {
        /// The track.
        track: TrackNumber,
    },
    /// The private data cannot be read.
    InvalidPrivate {
        /// The track.
        track: TrackNumber,
        /// What is wrong with it.
        error: CodecError,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTracks => f.write_str("There is no track."),
            Self::TooManyTracks { count } => write!(f, "There are {count} tracks, at most 2 are played."),
            Self::Numbering { expected, found } => {
                write!(f, "Track {found} must have the number {expected}.")
            }
            Self::Order { video } => write!(f, "The video must be track 1 and not track {video}."),
            Self::UnsupportedCodec { track, codec_id, beside: None } => {
                write!(f, "The codec {codec_id} is not supported in track {track}.")
            }
            Self::UnsupportedCodec { track, codec_id, beside: Some(first) } => {
                write!(f, "The codec {codec_id} is not supported in track {track} beside {first}.")
            }
            Self::Encoded { track } => write!(f, "The content of track {track} is encoded."),
            // The wording of the service.
            Self::MissingPrivate { track } => {
                write!(f, "Missing codec private data in fragment for track {track}.")
            }
            Self::InvalidPrivate { track, error } => {
                write!(f, "Invalid codec private data in fragment for track {track}: {error}.")
            }
        }
    }
}

/// The answer for each call: nothing, or all the reasons why it does not play the tracks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    answers: [(Api, Result<(), Vec<Reason>>); 5],
}

impl Report {
    /// The answer for one call.
    pub fn of(&self, api: Api) -> Result<(), &[Reason]> {
        let answer = self.answers.iter().find(|(of, _)| *of == api);
        answer.map_or(Ok(()), |(_, answer)| answer.as_ref().copied().map_err(Vec::as_slice))
    }

    /// Every call and its answer.
    pub fn answers(&self) -> impl Iterator<Item = (Api, Result<(), &[Reason]>)> {
        self.answers.iter().map(|(api, answer)| (*api, answer.as_ref().copied().map_err(Vec::as_slice)))
    }

    /// Every call plays the tracks.
    pub fn is_playable_everywhere(&self) -> bool {
        self.answers.iter().all(|(_, answer)| answer.is_ok())
    }
}

/// A line for each call.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (api, answer)) in self.answers.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            match answer {
                Ok(()) => write!(f, "{api}: yes")?,
                Err(reasons) => {
                    write!(f, "{api}: no.")?;
                    for reason in reasons {
                        write!(f, " {reason}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Checks the tracks of a header against the rules of every call.
pub fn check(tracks: &[Track]) -> Report {
    let mut tracks: Vec<Checked<'_>> = tracks.iter().map(Checked::of).collect();
    tracks.sort_by_key(|checked| checked.track.number);
    Report {
        answers: Api::ALL.map(|api| {
            let reasons = reasons(api, &tracks);
            (api, if reasons.is_empty() { Ok(()) } else { Err(reasons) })
        }),
    }
}

/// A track with what its private data is worth.
struct Checked<'a> {
    track: &'a Track,
    codec: Option<Codec>,
    private: Result<(), CodecError>,
}

impl<'a> Checked<'a> {
    fn of(track: &'a Track) -> Self {
        // Without its private data an ACM track has no codec, and yet that data is what is wrong with it.
        let private = if track.codec_id == "A_MS/ACM" {
            required(track).and_then(|()| WaveFormat::parse(&track.codec_private).map(drop))
        } else {
            Ok(())
        };
        // A codec in another wrapping than the service's ids is another codec to it.
        let known = Codec::of(track).filter(|c| c.codec_id() == track.codec_id || *c == Codec::Aac);
        let private = private.and_then(|()| known.map_or(Ok(()), |codec| check_private(codec, track)));
        Self { track, codec: known, private }
    }
}

fn required(track: &Track) -> Result<(), CodecError> {
    if track.codec_private.is_empty() { Err(CodecError::MissingPrivate) } else { Ok(()) }
}

/// What playback needs of the private data: enough to write the init segment of an MP4.
fn check_private(codec: Codec, track: &Track) -> Result<(), CodecError> {
    let needs = |held: bool, part, rule| if held { Ok(()) } else { Err(CodecError::Broken { part, rule }) };
    match codec {
        Codec::H264 => {
            required(track)?;
            let config = AvcConfig::parse(&track.codec_private)?;
            config.picture()?;
            needs(!config.pps.is_empty(), "avcC", "needs a PPS")
        }
        Codec::H265 => {
            required(track)?;
            let config = HevcConfig::parse(&track.codec_private)?;
            config.sps()?;
            needs(config.units(h265::VPS).next().is_some(), "hvcC", "needs a VPS")?;
            needs(config.units(h265::PPS).next().is_some(), "hvcC", "needs a PPS")
        }
        Codec::Aac => {
            required(track)?;
            AudioSpecificConfig::parse(&track.codec_private).map(drop)
        }
        _ => Ok(()),
    }
}

fn reasons(api: Api, tracks: &[Checked<'_>]) -> Vec<Reason> {
    let mut found = Vec::new();
    let Some(first) = tracks.first() else {
        return vec![Reason::NoTracks];
    };
    // Images are made of track 1, whatever is beside it.
    let played = if api == Api::GetImages { tracks.get(..1).unwrap_or(tracks) } else { tracks };
    if played.len() > 2 {
        found.push(Reason::TooManyTracks { count: played.len() });
    }
    for (expected, checked) in (1_u64..).map(TrackNumber).zip(played) {
        if checked.track.number != expected {
            found.push(Reason::Numbering { expected, found: checked.track.number });
            break;
        }
    }
    let second = played.get(1);
    match video_after_sound(api, first, second) {
        Some(video) => found.push(Reason::Order { video }),
        None => {
            if !first.codec.is_some_and(|codec| api.plays_first(codec)) {
                found.extend(unsupported(first, None));
            } else if let Some(second) = second
                && !first.codec.zip(second.codec).is_some_and(|(a, b)| api.plays_second(a, b))
            {
                found.extend(unsupported(second, Some(first)));
            }
        }
    }
    for checked in played.iter().take(2) {
        let track = checked.track.number;
        if checked.track.encoded {
            found.push(Reason::Encoded { track });
        }
        match &checked.private {
            Ok(()) => {}
            Err(CodecError::MissingPrivate) => found.push(Reason::MissingPrivate { track }),
            Err(error) => found.push(Reason::InvalidPrivate { track, error: error.clone() }),
        }
    }
    found
}

/// The number of a video track that would be played if it were the first.
fn video_after_sound(api: Api, first: &Checked<'_>, second: Option<&Checked<'_>>) -> Option<TrackNumber> {
    let second = second?;
    let (a, b) = first.codec.zip(second.codec)?;
    let swapped = matches!(b.kind(), TrackKind::Video) && api.plays_first(b) && api.plays_second(b, a);
    swapped.then_some(second.track.number)
}

/// None when the codec is hidden by bad private data, which is reported itself.
fn unsupported(checked: &Checked<'_>, beside: Option<&Checked<'_>>) -> Option<Reason> {
    if checked.codec.is_none() && checked.private.is_err() {
        return None;
    }
    Some(Reason::UnsupportedCodec {
        track: checked.track.number,
        codec_id: checked.track.codec_id.clone(),
        beside: beside.map(|first| first.track.codec_id.clone()),
    })
}

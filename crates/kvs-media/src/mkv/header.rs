//! The header section of a document: what it is and which tracks it has.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::element::{self, Element};
use super::{Id, ReadError, ReadErrorKind};
use crate::time::TimecodeScale;
use crate::{AudioShape, Track, TrackKind, TrackNumber, VideoShape};

/// What a document says of itself.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Info {
    /// How long a tick lasts.
    pub scale: TimecodeScale,
    /// The identity of the document.
    pub segment_uid: Option<[u8; 16]>,
    /// A title for people; empty when there is none.
    pub title: String,
    /// The library that wrote it.
    pub muxing_app: String,
    /// The application that wrote it.
    pub writing_app: String,
    /// How long it is, in ticks, where its writer knew.
    pub duration: Option<f64>,
}

/// The header section of a document, read.
#[derive(Clone, PartialEq)]
pub struct Header {
    /// `matroska` or `webm`.
    pub doc_type: String,
    /// What the document says of itself.
    pub info: Info,
    /// Its tracks, in their order.
    pub tracks: Vec<Track>,
    /// The section as it was sent, from the EBML header to the element before the first cluster, without any Tags.
    pub raw: Bytes,
    /// Where in `raw` the id and size of Segment are.
    pub segment: Range<usize>,
}

impl Header {
    /// The track with that number.
    pub fn track(&self, number: TrackNumber) -> Option<&Track> {
        self.tracks.iter().find(|track| track.number == number)
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("doc_type", &self.doc_type)
            .field("info", &self.info)
            .field("tracks", &self.tracks)
            .field("raw", &format_args!("{} bytes", self.raw.len()))
            .field("segment", &self.segment)
            .finish()
    }
}

/// Checks an EBML header and reads its document type.
pub(crate) fn read_ebml(ebml: &Element) -> Result<String, ReadError> {
    // Absent, they have these values (RFC 8794, 11.2).
    let (mut doc_type, mut id_length, mut size_length) = (String::from("matroska"), 4, 8);
    for child in ebml.children() {
        let child = child?;
        match child.id {
            Id::DOC_TYPE => doc_type = child.text(),
            Id::EBML_MAX_ID_LENGTH => id_length = child.unsigned()?,
            Id::EBML_MAX_SIZE_LENGTH => size_length = child.unsigned()?,
            _ => {}
        }
    }
    if doc_type != "matroska" && doc_type != "webm" {
        return Err(ebml.error(ReadErrorKind::NotMatroska));
    }
    if id_length > 4 || size_length > 8 {
        return Err(ebml.error(ReadErrorKind::UnsupportedEbml));
    }
    Ok(doc_type)
}

pub(crate) fn read_info(element: &Element) -> Result<Info, ReadError> {
    let mut info = Info::default();
    for child in element.children() {
        let child = child?;
        match child.id {
            Id::TIMECODE_SCALE => {
                let nanos = child.unsigned()?;
                info.scale =
                    TimecodeScale::from_nanos(nanos).ok_or_else(|| child.error(ReadErrorKind::ZeroScale))?;
            }
            Id::SEGMENT_UID => info.segment_uid = child.body.as_ref().try_into().ok(),
            Id::TITLE => info.title = child.text(),
            Id::MUXING_APP => info.muxing_app = child.text(),
            Id::WRITING_APP => info.writing_app = child.text(),
            Id::DURATION => info.duration = Some(child.float()?),
            _ => {}
        }
    }
    Ok(info)
}

pub(crate) fn read_tracks(element: &Element, limit: usize) -> Result<Vec<Track>, ReadError> {
    let mut tracks: Vec<Track> = Vec::new();
    for child in element.children() {
        let child = child?;
        if child.id != Id::TRACK_ENTRY {
            continue;
        }
        if tracks.len() == limit {
            return Err(child.error(ReadErrorKind::TooManyTracks(limit)));
        }
        let track = read_track(&child)?;
        if tracks.iter().any(|other| other.number == track.number) {
            return Err(child.error(ReadErrorKind::InvalidTrackNumber));
        }
        tracks.push(track);
    }
    Ok(tracks)
}

fn read_track(entry: &Element) -> Result<Track, ReadError> {
    let mut track = Track::new(TrackNumber(0), TrackKind::Other(0), "");
    for child in entry.children() {
        let child = child?;
        match child.id {
            Id::TRACK_NUMBER => track.number = TrackNumber(child.unsigned()?),
            Id::TRACK_UID => track.uid = child.unsigned()?,
            Id::TRACK_TYPE => track.kind = TrackKind::from_number(child.unsigned()?),
            Id::NAME => track.name = child.text(),
            Id::CODEC_ID => track.codec_id = child.text(),
            Id::CODEC_PRIVATE => track.codec_private = child.body,
            // The newer form wins over the older one where a track has both.
            Id::LANGUAGE if track.language.is_empty() => track.language = child.text(),
            Id::LANGUAGE_BCP47 => track.language = child.text(),
            Id::DEFAULT_DURATION => {
                track.frame_duration = Some(child.nanos()?).filter(|span| !span.is_zero());
            }
            Id::VIDEO => track.video = read_video(&child)?,
            Id::AUDIO => track.audio = Some(read_audio(&child)?),
            Id::CONTENT_ENCODINGS => track.encoded = true,
            _ => {}
        }
    }
    if track.number.0 == 0 {
        return Err(entry.error(ReadErrorKind::InvalidTrackNumber));
    }
    Ok(track)
}

fn read_video(element: &Element) -> Result<Option<VideoShape>, ReadError> {
    let (mut width, mut height) = (0, 0);
    for child in element.children() {
        let child = child?;
        match child.id {
            Id::PIXEL_WIDTH => width = child.small()?,
            Id::PIXEL_HEIGHT => height = child.small()?,
            _ => {}
        }
    }
    Ok((width > 0 && height > 0).then_some(VideoShape { width, height }))
}

fn read_audio(element: &Element) -> Result<AudioShape, ReadError> {
    // Absent, they have these values (RFC 9559, 5.1.4.1.29).
    let mut audio = AudioShape { rate: 8_000.0, channels: 1, bit_depth: None };
    for child in element.children() {
        let child = child?;
        match child.id {
            Id::SAMPLING_FREQUENCY => audio.rate = child.float()?,
            Id::CHANNELS => audio.channels = child.small()?,
            Id::BIT_DEPTH => audio.bit_depth = Some(child.small()?),
            _ => {}
        }
    }
    Ok(audio)
}

/// Writes a header section in the layout that producers send (kvs-api 4.1), with sizes as short as they go.
pub(crate) fn write(info: &Info, tracks: &[Track]) -> Bytes {
    let mut out = Vec::new();
    let mut body = Vec::new();
    element::put_unsigned(&mut body, Id::EBML_VERSION, 1);
    element::put_unsigned(&mut body, Id::EBML_READ_VERSION, 1);
    element::put_unsigned(&mut body, Id::EBML_MAX_ID_LENGTH, 4);
    element::put_unsigned(&mut body, Id::EBML_MAX_SIZE_LENGTH, 8);
    element::put_text(&mut body, Id::DOC_TYPE, "matroska");
    // 2 is the version that brought SimpleBlock, and the one that producers declare.
    element::put_unsigned(&mut body, Id::DOC_TYPE_VERSION, 2);
    element::put_unsigned(&mut body, Id::DOC_TYPE_READ_VERSION, 2);
    element::put(&mut out, Id::EBML, &body);

    super::vint::put_id(&mut out, Id::SEGMENT);
    out.push(UNKNOWN_SIZE);

    body.clear();
    if let Some(uid) = info.segment_uid {
        element::put(&mut body, Id::SEGMENT_UID, &uid);
    }
    element::put_unsigned(&mut body, Id::TIMECODE_SCALE, info.scale.nanos());
    if let Some(duration) = info.duration {
        element::put(&mut body, Id::DURATION, &duration.to_be_bytes());
    }
    element::put_text(&mut body, Id::TITLE, &info.title);
    element::put_text(&mut body, Id::MUXING_APP, &info.muxing_app);
    element::put_text(&mut body, Id::WRITING_APP, &info.writing_app);
    element::put(&mut out, Id::INFO, &body);

    body.clear();
    for track in tracks {
        element::put(&mut body, Id::TRACK_ENTRY, &write_track(track));
    }
    element::put(&mut out, Id::TRACKS, &body);
    out.into()
}

/// The size of an element that is left open, in one byte.
pub(crate) const UNKNOWN_SIZE: u8 = 0xFF;

fn write_track(track: &Track) -> Vec<u8> {
    let mut entry = Vec::new();
    element::put_unsigned(&mut entry, Id::TRACK_NUMBER, track.number.0);
    element::put_unsigned(&mut entry, Id::TRACK_UID, track.uid);
    element::put_unsigned(&mut entry, Id::TRACK_TYPE, track.kind.number());
    // Laces are never written.
    element::put_unsigned(&mut entry, Id::FLAG_LACING, 0);
    element::put_text(&mut entry, Id::NAME, &track.name);
    element::put_text(&mut entry, Id::LANGUAGE, &track.language);
    if let Some(duration) = track.frame_duration {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        element::put_unsigned(&mut entry, Id::DEFAULT_DURATION, nanos);
    }
    element::put_text(&mut entry, Id::CODEC_ID, &track.codec_id);
    let mut shape = Vec::new();
    if let Some(video) = track.video {
        element::put_unsigned(&mut shape, Id::PIXEL_WIDTH, video.width.into());
        element::put_unsigned(&mut shape, Id::PIXEL_HEIGHT, video.height.into());
        element::put(&mut entry, Id::VIDEO, &shape);
        shape.clear();
    }
    if let Some(audio) = track.audio {
        element::put(&mut shape, Id::SAMPLING_FREQUENCY, &audio.rate.to_be_bytes());
        element::put_unsigned(&mut shape, Id::CHANNELS, audio.channels.into());
        if let Some(depth) = audio.bit_depth {
            element::put_unsigned(&mut shape, Id::BIT_DEPTH, depth.into());
        }
        element::put(&mut entry, Id::AUDIO, &shape);
    }
    if !track.codec_private.is_empty() {
        element::put(&mut entry, Id::CODEC_PRIVATE, &track.codec_private);
    }
    entry
}

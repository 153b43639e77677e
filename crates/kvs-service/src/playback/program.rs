//! What a header says of the media behind it, as players need it.

use std::sync::Arc;

use bytes::Bytes;
use kvs_media::codec::{Codec, Description, describe};
use kvs_media::mkv::{Event, Header, Reader};
use kvs_media::mp4::{Mp4Error, Mp4Track};
use kvs_media::playback::{Api, Reason, Report, check};
use kvs_media::time::TimecodeScale;
use kvs_media::{Track, TrackNumber};
use kvs_wire::Exception;

/// Why something is not played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Unplayable {
    pub(crate) exception: Exception,
    pub(crate) message: String,
}

impl Unplayable {
    pub(crate) fn new(exception: Exception, message: impl Into<String>) -> Self {
        Self { exception, message: message.into() }
    }

    fn of(reasons: &[Reason]) -> Self {
        // What is missing is said before what follows from it.
        let rank = |reason: &Reason| match reason {
            Reason::MissingPrivate { .. } => (0, Exception::MissingCodecPrivateData),
            Reason::InvalidPrivate { .. } => (1, Exception::InvalidCodecPrivateData),
            _ => (2, Exception::UnsupportedStreamMediaType),
        };
        let first = reasons.iter().min_by_key(|reason| rank(reason).0);
        match first {
            Some(reason) => Self::new(rank(reason).1, reason.to_string()),
            None => Self::new(Exception::UnsupportedStreamMediaType, "There is nothing to be played."),
        }
    }
}

/// The tracks of a header.
#[derive(Debug)]
pub(crate) struct Program {
    report: Report,
    /// How long the ticks of its times are, on which the clocks of containers depend.
    scale: TimecodeScale,
    tracks: Vec<Played>,
}

/// One of the tracks that are played.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) track: Track,
    pub(crate) codec: Codec,
    pub(crate) description: Description,
    pub(crate) mp4: Result<Mp4Track, Mp4Error>,
}

impl Program {
    /// From the bytes of a document before its first cluster.
    pub(crate) fn read(header: &Bytes) -> Result<Self, Unplayable> {
        let document = Self::document(header)?;
        let report = check(&document.tracks);
        let mut tracks: Vec<&Track> = document.tracks.iter().collect();
        tracks.sort_by_key(|track| track.number);
        let tracks = tracks.into_iter().take(2).filter_map(|track| {
            let description = describe(track).ok()?;
            let mp4 = Mp4Track::new(track, document.info.scale);
            Some(Played { codec: description.codec, description, mp4, track: track.clone() })
        });
        Ok(Self { report, scale: document.info.scale, tracks: tracks.collect() })
    }

    fn document(header: &Bytes) -> Result<Arc<Header>, Unplayable> {
        let none = || "The header of the fragment cannot be read.".to_owned();
        let (mut bytes, mut reader) = (header.clone(), Reader::default());
        loop {
            let event = match reader.read(&mut bytes) {
                Ok(None) => reader.finish(),
                other => other,
            };
            match event {
                Ok(Some(Event::Document(document))) => return Ok(document),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Err(Unplayable::new(Exception::InvalidMediaFrame, none())),
            }
        }
    }

    /// Whether a call plays it.
    pub(crate) fn admit(&self, api: Api) -> Result<(), Unplayable> {
        self.report.of(api).map_err(Unplayable::of)
    }

    /// The tracks that are played, by their numbers.
    pub(crate) fn tracks(&self) -> &[Played] {
        &self.tracks
    }

    /// A track by its number.
    pub(crate) fn track(&self, number: TrackNumber) -> Option<&Played> {
        self.tracks.iter().find(|played| played.track.number == number)
    }

    /// Whether decoders go on without being set up anew.
    pub(crate) fn goes_on(&self, next: &Self) -> bool {
        self.is_like(next)
            && self.scale == next.scale
            && self
                .tracks
                .iter()
                .zip(&next.tracks)
                .all(|(before, after)| before.track.codec_private == after.track.codec_private)
    }

    /// Whether the same codecs are in the same tracks, which no session sees change.
    pub(crate) fn is_like(&self, next: &Self) -> bool {
        let of = |program: &Self| -> Vec<_> {
            program.tracks.iter().map(|played| (played.track.number, played.codec)).collect()
        };
        of(self) == of(next)
    }

    /// Codecs as players want them named, of all tracks.
    pub(crate) fn codecs(&self) -> String {
        let names: Vec<&str> =
            self.tracks.iter().filter_map(|played| played.description.rfc6381.as_deref()).collect();
        names.join(",")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use kvs_media::mkv::{Info, Writer};
    use kvs_media::{AudioShape, TrackKind, VideoShape};

    /// A header with pictures of one of the samples, and sound.
    fn tracks(sample: &str) -> Vec<Track> {
        let data = |name: &str| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../kvs-media/tests/data/codec/");
            Bytes::from(std::fs::read([folder, name].concat()).unwrap())
        };
        let (id, extension) = match sample.starts_with("h265") {
            true => ("V_MPEGH/ISO/HEVC", "hvcC"),
            false => ("V_MPEG4/ISO/AVC", "avcC"),
        };
        let mut video = Track::new(TrackNumber(1), TrackKind::Video, id);
        video.codec_private = data(&format!("{sample}.{extension}"));
        video.video = Some(VideoShape { width: 160, height: 120 });
        let mut sound = Track::new(TrackNumber(2), TrackKind::Audio, "A_AAC");
        sound.codec_private = Bytes::from_static(&[0x11, 0x90]);
        sound.audio = Some(AudioShape { rate: 48_000.0, channels: 2, bit_depth: None });
        vec![video, sound]
    }

    fn read(tracks: &[Track]) -> Result<Arc<Program>, Unplayable> {
        let (_, header) = Writer::new(&Info::default(), tracks).unwrap();
        Program::read(&header).map(Arc::new)
    }

    pub(in crate::playback) fn program_of(sample: &str) -> Arc<Program> {
        read(&tracks(sample)).unwrap()
    }

    pub(in crate::playback) fn program() -> Arc<Program> {
        program_of("h264-high")
    }

    #[test]
    fn what_cannot_be_played_is_said_by_its_first_cause() {
        let missing = |change: &dyn Fn(&mut Vec<Track>)| {
            let mut tracks = tracks("h264-high");
            change(&mut tracks);
            read(&tracks).unwrap().admit(Api::HlsFmp4).unwrap_err()
        };
        let none = missing(&|tracks| tracks[1].codec_private = Bytes::new());
        assert_eq!(none.exception, Exception::MissingCodecPrivateData);
        assert_eq!(none.message, "Missing codec private data in fragment for track 2.");
        let broken = missing(&|tracks| tracks[0].codec_private = Bytes::from_static(&[1, 2, 3]));
        assert_eq!(broken.exception, Exception::InvalidCodecPrivateData);
        let other = missing(&|tracks| tracks[0].codec_id = "V_VP8".to_owned());
        assert_eq!(other.exception, Exception::UnsupportedStreamMediaType);
        assert!(program().admit(Api::HlsFmp4).is_ok() && program().codecs().ends_with(",mp4a.40.2"));
        let unreadable = Program::read(&Bytes::from_static(b"no header")).unwrap_err();
        assert_eq!(unreadable.exception, Exception::InvalidMediaFrame);
    }

    #[test]
    fn a_program_goes_on_with_the_same_private_data() {
        assert!(program().goes_on(&program()));
        assert!(program().is_like(&program_of("h264-baseline")));
        assert!(!program().goes_on(&program_of("h264-baseline")));
        assert!(!program().is_like(&program_of("h265-main")));
    }
}

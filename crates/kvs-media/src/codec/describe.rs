//! What a playlist or caps say of a track, from its header alone.

use bytes::Bytes;

use super::aac::AudioSpecificConfig;
use super::av1::Av1Config;
use super::h264::AvcConfig;
use super::h265::HevcConfig;
use super::opus::OpusHead;
use super::wave::WaveFormat;
use super::{Codec, CodecError, Form, FrameRate, ParameterSets, Picture, data, vp};
use crate::{Track, TrackKind, VideoShape};

/// Everything that the header of a track tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// What it carries.
    pub codec: Codec,
    /// The codec string of RFC 6381 for `CODECS` attributes and MIME types; `None` for timed data and PCM.
    pub rfc6381: Option<String>,
    /// Size to show: by the sequence header, else as declared.
    pub size: Option<VideoShape>,
    /// Frames a second: by the sequence header, else by the duration that is declared for a frame.
    pub frame_rate: Option<FrameRate>,
    /// What the sequence header says, for codecs whose private data holds one.
    pub picture: Option<Picture>,
    /// Rate and channels that come out of the decoder.
    pub sound: Option<Sound>,
    /// The media type of timed data.
    pub media_type: Option<String>,
}

/// The shape of decoded sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    /// Channels.
    pub channels: u32,
}

/// Describes a track.
///
/// ```
/// use kvs_media::codec::describe;
/// use kvs_media::{Track, TrackKind, TrackNumber};
///
/// # fn main() -> Result<(), kvs_media::codec::CodecError> {
/// let mut track = Track::new(TrackNumber(2), TrackKind::Audio, "A_AAC");
/// track.codec_private = vec![0x12, 0x10].into();
/// let sound = describe(&track)?;
/// assert_eq!(sound.rfc6381.as_deref(), Some("mp4a.40.2"));
/// assert_eq!(sound.sound.map(|shape| shape.rate), Some(44_100));
/// # Ok(()) }
/// ```
///
/// # Errors
/// When the codec is not known, or needs private data that is missing or cannot be read.
pub fn describe(track: &Track) -> Result<Description, CodecError> {
    // An empty WAVEFORMATEX names no codec; say that it is missing and not that the id is unknown.
    if matches!(track.codec_id.as_str(), "A_MS/ACM" | "V_MS/VFW/FOURCC") {
        required(&track.codec_private)?;
    }
    if track.codec_id == "A_MS/ACM" {
        WaveFormat::parse(&track.codec_private)?;
    }
    let codec = Codec::of(track).ok_or_else(|| CodecError::Unknown(track.codec_id.clone()))?;
    let mut found = Description {
        codec,
        rfc6381: None,
        size: track.video,
        frame_rate: track
            .frame_duration
            .filter(|_| codec.kind() == TrackKind::Video)
            .and_then(|duration| FrameRate::new(1_000_000_000, u64::try_from(duration.as_nanos()).ok()?)),
        picture: None,
        sound: None,
        media_type: None,
    };
    match codec {
        Codec::H264 | Codec::H265 | Codec::Av1 => found.add_sequence(codec, &video_private(track)?)?,
        Codec::Vp8 => found.rfc6381 = Some("vp8".to_owned()),
        Codec::Vp9 => found.add_vp9(track),
        // ISO 14496-1 object type indication of ISO 10918-1.
        Codec::Mjpeg => found.rfc6381 = Some("mp4v.6C".to_owned()),
        Codec::Aac => {
            let config = aac_config(track)?;
            found.rfc6381 = Some(config.rfc6381());
            found.sound =
                Some(Sound { rate: config.output_rate(), channels: u32::from(config.output_channels()) });
        }
        Codec::Opus => {
            let head = OpusHead::parse(required(&track.codec_private)?)?;
            found.rfc6381 = Some("opus".to_owned());
            found.sound = Some(Sound { rate: 48_000, channels: u32::from(head.channels) });
        }
        Codec::Alaw | Codec::Mulaw => {
            let format = WaveFormat::parse(required(&track.codec_private)?)?;
            // The sample entries that MP4RA registers.
            found.rfc6381 = Some(if codec == Codec::Alaw { "alaw" } else { "ulaw" }.to_owned());
            found.sound = Some(Sound { rate: format.rate, channels: u32::from(format.channels) });
        }
        Codec::Pcm(_) => found.sound = sound_of_pcm(track),
        Codec::Data => {
            let caps = data::parse(required(&track.codec_private)?)?;
            found.media_type = Some(data::media_type(caps).to_owned());
        }
    }
    Ok(found)
}

impl Description {
    fn add_sequence(&mut self, codec: Codec, private: &Bytes) -> Result<(), CodecError> {
        let (text, picture) = match codec {
            Codec::H264 => {
                let config = AvcConfig::parse(private)?;
                (config.rfc6381(), config.picture()?)
            }
            Codec::H265 => {
                let config = HevcConfig::parse(private)?;
                (config.rfc6381(), config.picture()?)
            }
            _ => {
                let config = Av1Config::parse(private)?;
                let header = config.sequence_header();
                let text = config.rfc6381(header.as_ref().ok());
                // The record may leave the sequence header to the stream.
                let Ok(header) = header else {
                    self.rfc6381 = Some(text);
                    return Ok(());
                };
                (text, header.picture)
            }
        };
        self.rfc6381 = Some(text);
        self.size = Some(VideoShape { width: picture.width, height: picture.height });
        self.frame_rate = picture.frame_rate.or(self.frame_rate);
        self.picture = Some(picture);
        Ok(())
    }

    fn add_vp9(&mut self, track: &Track) {
        let told = Vp9Features::parse(&track.codec_private);
        let level = told.level.or_else(|| {
            let size = self.size?;
            Some(vp::vp9_level(size.width, size.height, self.frame_rate.map(FrameRate::as_f64)))
        });
        self.rfc6381 = Some(vp::vp9_rfc6381(
            told.profile.unwrap_or(0),
            level.unwrap_or(10),
            told.bit_depth.unwrap_or(8),
        ));
    }
}

/// The private data of VP9 in Matroska (WebM's "VP9 Codec Feature Metadata"): id, length 1, value, each a byte.
#[derive(Default)]
struct Vp9Features {
    profile: Option<u8>,
    level: Option<u8>,
    bit_depth: Option<u8>,
}

impl Vp9Features {
    fn parse(private: &[u8]) -> Self {
        let mut found = Self::default();
        for feature in private.chunks_exact(3) {
            match *feature {
                [1, 1, profile] => found.profile = Some(profile),
                [2, 1, level] => found.level = Some(level),
                [3, 1, depth] => found.bit_depth = Some(depth),
                [4, 1, _] => {}
                _ => break,
            }
        }
        found
    }
}

fn required(private: &Bytes) -> Result<&Bytes, CodecError> {
    if private.is_empty() { Err(CodecError::MissingPrivate) } else { Ok(private) }
}

/// The record of the codec, out of Video for Windows' wrapping when there is one.
fn video_private(track: &Track) -> Result<Bytes, CodecError> {
    let private = required(&track.codec_private)?;
    if track.codec_id != "V_MS/VFW/FOURCC" {
        return Ok(private.clone());
    }
    // What follows the 40 bytes of BITMAPINFOHEADER: the record, or Annex B.
    let rest = if private.len() > 40 { private.slice(40..) } else { Bytes::new() };
    let codec = Codec::of(track).ok_or_else(|| CodecError::Unknown(track.codec_id.clone()))?;
    match ParameterSets::of(codec) {
        Some(mut sets) if required(&rest)?.starts_with(&[0, 0]) && codec != Codec::Av1 => {
            sets.push(&rest, Form::AnnexB)?;
            sets.codec_private()
        }
        _ => Ok(required(&rest)?.clone()),
    }
}

/// The configuration of an AAC track: its private data, or by the older ids that tell the profile and need none.
pub(crate) fn aac_config(track: &Track) -> Result<AudioSpecificConfig, CodecError> {
    if !track.codec_private.is_empty() {
        return AudioSpecificConfig::parse(&track.codec_private);
    }
    let object_type = match track.codec_id.rsplit('/').next() {
        Some("MAIN") => 1,
        Some("LC") => 2,
        Some("SSR") => 3,
        Some("LTP") => 4,
        _ => return Err(CodecError::MissingPrivate),
    };
    let sound = sound_of_shape(track).ok_or(CodecError::MissingPrivate)?;
    let channels = u8::try_from(sound.channels).map_err(|_| CodecError::MissingPrivate)?;
    let config = AudioSpecificConfig::lc(sound.rate, channels).ok_or(CodecError::MissingPrivate)?;
    Ok(AudioSpecificConfig { object_type, ..config })
}

/// Rate and channels of uncompressed sound: of its WAVEFORMATEX, else as declared.
pub(super) fn sound_of_pcm(track: &Track) -> Option<Sound> {
    if track.codec_id != "A_MS/ACM" {
        return sound_of_shape(track);
    }
    let format = WaveFormat::parse(&track.codec_private).ok()?;
    Some(Sound { rate: format.rate, channels: u32::from(format.channels) })
}

fn sound_of_shape(track: &Track) -> Option<Sound> {
    let shape = track.audio?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    let rate = (shape.rate >= 1.0 && shape.rate <= f64::from(u32::MAX)).then_some(shape.rate as u32)?;
    (shape.channels > 0).then_some(Sound { rate, channels: shape.channels })
}

//! The codecs that are known, and the ids by which Matroska names them.

use super::{PcmFormat, data, wave};
use crate::{Track, TrackKind};

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264, AVC.
    H264,
    /// H.265, HEVC.
    H265,
    /// AV1.
    Av1,
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// A JPEG a frame.
    Mjpeg,
    /// MPEG-2 or MPEG-4 AAC.
    Aac,
    /// Opus.
    Opus,
    /// G.711 A-law.
    Alaw,
    /// G.711 µ-law.
    Mulaw,
    /// Uncompressed sound.
    Pcm(PcmFormat),
    /// Timed data of a media type, see [`data`].
    Data,
}

impl Codec {
    /// What `track` carries by its codec id, private data and shape; `None` when it is nothing known here.
    pub fn of(track: &Track) -> Option<Self> {
        let bits = track.audio.and_then(|shape| shape.bit_depth);
        Some(match track.codec_id.as_str() {
            "V_MPEG4/ISO/AVC" => Self::H264,
            "V_MPEGH/ISO/HEVC" => Self::H265,
            "V_AV1" => Self::Av1,
            "V_VP8" => Self::Vp8,
            "V_VP9" => Self::Vp9,
            "V_MJPEG" => Self::Mjpeg,
            "V_MS/VFW/FOURCC" => return Self::of_fourcc(wave::bitmap_fourcc(&track.codec_private)?),
            "A_OPUS" => Self::Opus,
            "A_MS/ACM" => return wave::WaveFormat::parse(&track.codec_private).ok()?.codec(),
            "A_PCM/INT/LIT" => Self::Pcm(PcmFormat::integer(bits?, false)?),
            "A_PCM/INT/BIG" => Self::Pcm(PcmFormat::integer(bits?, true)?),
            "A_PCM/FLOAT/IEEE" => Self::Pcm(PcmFormat::float(bits?)?),
            data::CODEC_ID => Self::Data,
            id if id == "A_AAC" || id.starts_with("A_AAC/") => Self::Aac,
            _ => return None,
        })
    }

    fn of_fourcc(fourcc: [u8; 4]) -> Option<Self> {
        Some(match &fourcc.map(|byte| byte.to_ascii_uppercase()) {
            b"H264" | b"AVC1" | b"X264" => Self::H264,
            b"H265" | b"HEVC" | b"HVC1" | b"HEV1" => Self::H265,
            b"AV01" => Self::Av1,
            b"VP80" => Self::Vp8,
            b"VP90" => Self::Vp9,
            b"MJPG" | b"JPEG" => Self::Mjpeg,
            _ => return None,
        })
    }

    /// The codec id that it is written with: Matroska's registered one, or ours for timed data.
    pub const fn codec_id(self) -> &'static str {
        match self {
            Self::H264 => "V_MPEG4/ISO/AVC",
            Self::H265 => "V_MPEGH/ISO/HEVC",
            Self::Av1 => "V_AV1",
            Self::Vp8 => "V_VP8",
            Self::Vp9 => "V_VP9",
            Self::Mjpeg => "V_MJPEG",
            Self::Aac => "A_AAC",
            Self::Opus => "A_OPUS",
            Self::Alaw | Self::Mulaw => "A_MS/ACM",
            Self::Pcm(format) => format.codec_id(),
            Self::Data => data::CODEC_ID,
        }
    }

    /// The kind of track that carries it.
    pub const fn kind(self) -> TrackKind {
        match self {
            Self::H264 | Self::H265 | Self::Av1 | Self::Vp8 | Self::Vp9 | Self::Mjpeg => TrackKind::Video,
            Self::Aac | Self::Opus | Self::Alaw | Self::Mulaw | Self::Pcm(_) => TrackKind::Audio,
            Self::Data => TrackKind::Metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AudioShape, TrackNumber};
    use bytes::Bytes;

    fn track(kind: TrackKind, id: &str, private: &[u8], bit_depth: Option<u32>) -> Track {
        let mut track = Track::new(TrackNumber(1), kind, id);
        track.codec_private = Bytes::copy_from_slice(private);
        track.audio = Some(AudioShape { rate: 8_000.0, channels: 1, bit_depth });
        track
    }

    #[test]
    fn every_codec_is_found_again_by_the_id_it_is_written_with() {
        let pcm = |bits, big| Codec::Pcm(PcmFormat::integer(bits, big).unwrap());
        let rows = [
            (Codec::H264, None),
            (Codec::H265, None),
            (Codec::Av1, None),
            (Codec::Vp8, None),
            (Codec::Vp9, None),
            (Codec::Mjpeg, None),
            (Codec::Aac, None),
            (Codec::Opus, None),
            (Codec::Alaw, None),
            (Codec::Mulaw, None),
            (Codec::Data, None),
            (pcm(16, false), Some(16)),
            (pcm(24, true), Some(24)),
            (Codec::Pcm(PcmFormat::float(32).unwrap()), Some(32)),
        ];
        for (codec, bits) in rows {
            let private = wave::WaveFormat::g711(codec, 1, 8_000).map(|wave| wave.write().to_vec());
            let track = track(codec.kind(), codec.codec_id(), &private.unwrap_or_default(), bits);
            assert!(track.codec_id.len() <= 32);
            assert_eq!(Codec::of(&track), Some(codec));
        }
    }

    #[test]
    fn a_fourcc_and_a_wave_tag_name_the_codec() {
        let mut header = [0_u8; 40];
        header[16..20].copy_from_slice(b"MJPG");
        assert_eq!(Codec::of(&track(TrackKind::Video, "V_MS/VFW/FOURCC", &header, None)), Some(Codec::Mjpeg));
        header[16..20].copy_from_slice(b"h264");
        assert_eq!(Codec::of(&track(TrackKind::Video, "V_MS/VFW/FOURCC", &header, None)), Some(Codec::H264));
        assert_eq!(Codec::of(&track(TrackKind::Video, "V_MS/VFW/FOURCC", &header[..19], None)), None);
        assert_eq!(Codec::of(&track(TrackKind::Audio, "A_MS/ACM", &[6, 0], None)), None);
        assert_eq!(Codec::of(&track(TrackKind::Audio, "A_AAC/MPEG4/MAIN", &[], None)), Some(Codec::Aac));
        assert_eq!(Codec::of(&track(TrackKind::Audio, "A_AACS", &[], None)), None);
        assert_eq!(Codec::of(&track(TrackKind::Audio, "A_PCM/INT/LIT", &[], None)), None);
    }
}

//! A frame in which nothing is heard or said, to fill a fragment that would lack one.

use std::time::Duration;

use bytes::Bytes;

use super::aac::AudioSpecificConfig;
use super::opus::OpusHead;
use super::wave::{self, WaveFormat};
use super::{Codec, CodecError};
use crate::Track;

/// One frame of silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The payload of its block.
    pub data: Bytes,
    /// How long it lasts; zero for timed data.
    pub duration: Duration,
}

/// `raw_data_block` of AAC with one `single_channel_element` (ISO 14496-3 4.4.2): id 0 and tag 0 (7 bits), `global_gain` 0 (8),
/// an `ics_info` of long blocks with `max_sfb` 0 (11), which leaves no section, scale factor or spectral data, no pulse,
/// TNS or gain control (3), and `ID_END` (3).
const AAC_MONO: [u8; 4] = [0, 0, 0, 0b111];

/// The same with one `channel_pair_element`: id 1, tag 0, `common_window` 1 (8 bits), an `ics_info` with `max_sfb` 0 (11),
/// `ms_mask_present` 0 (2), for each channel `global_gain` 0 and three flags (2 x 11), `ID_END` (3), and padding (2).
const AAC_STEREO: [u8; 6] = [0b0010_0001, 0, 0, 0, 0, 0b0001_1100];

/// An Opus packet of one 20 ms CELT frame (TOC 0xf8; RFC 6716 3.1) whose range coder begins with the silence flag
/// (4.3): all bits set are the least probable symbol, and that is silence.
const OPUS: [u8; 3] = [0xf8, 0xff, 0xfe];

/// How much silence of a codec without frames makes one.
const SPAN_MILLIS: u64 = 20;

/// A frame of silence for `track`; `None` for video, for what is not known here, and for sound of more than two channels
/// in AAC and Opus.
pub fn silence(track: &Track) -> Option<Silence> {
    let codec = Codec::of(track)?;
    match codec {
        Codec::Aac => aac(&super::describe::aac_config(track).ok()?),
        Codec::Opus => opus(OpusHead::parse(&track.codec_private)),
        Codec::Alaw | Codec::Mulaw => {
            let format = WaveFormat::parse(&track.codec_private).ok()?;
            // The codes of the smallest positive value (ITU-T G.711 tables 1a and 2a).
            let byte = if codec == Codec::Alaw { 0xd5 } else { 0xff };
            samples(codec, byte, 1, u32::from(format.channels), format.rate)
        }
        Codec::Pcm(format) => {
            let sound = super::describe::sound_of_pcm(track)?;
            samples(codec, format.silence(), u64::from(format.bytes()), sound.channels, sound.rate)
        }
        Codec::Data => Some(Silence { data: Bytes::new(), duration: Duration::ZERO }),
        Codec::H264 | Codec::H265 | Codec::Av1 | Codec::Vp8 | Codec::Vp9 | Codec::Mjpeg => None,
    }
}

fn aac(config: &AudioSpecificConfig) -> Option<Silence> {
    // Main, LC and LTP share this syntax; SBR is an optional element after it.
    let data: &'static [u8] = match (config.object_type, config.channel_config) {
        (1 | 2 | 4, 1) => &AAC_MONO,
        (1 | 2 | 4, 2) => &AAC_STEREO,
        _ => return None,
    };
    Some(Silence { data: Bytes::from_static(data), duration: config.frame_duration() })
}

fn opus(head: Result<OpusHead, CodecError>) -> Option<Silence> {
    // Several streams in a packet need a frame each. A mono packet is legal in a stereo stream.
    head.ok()?
        .mapping
        .is_none()
        .then(|| Silence { data: Bytes::from_static(&OPUS), duration: Duration::from_millis(20) })
}

fn samples(codec: Codec, byte: u8, sample: u64, channels: u32, rate: u32) -> Option<Silence> {
    // Bounds what a header that lies can make us allocate.
    if channels > 64 || rate > 768_000 {
        return None;
    }
    let count = (u64::from(rate) * SPAN_MILLIS).div_ceil(1000).max(1);
    let len = usize::try_from(count * sample * u64::from(channels)).ok()?;
    let duration = wave::duration(codec, channels, rate, len)?;
    Some(Silence { data: vec![byte; len].into(), duration })
}

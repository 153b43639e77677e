//! Uncompressed sound and G.711: WAVEFORMATEX, sample formats, durations.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::bits::Fields;
use super::{Codec, CodecError};

const TAG_PCM: u16 = 1;
const TAG_FLOAT: u16 = 3;
const TAG_ALAW: u16 = 6;
const TAG_MULAW: u16 = 7;

/// How a sample of uncompressed sound is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PcmFormat {
    bytes: u8,
    float: bool,
    big_endian: bool,
}

impl PcmFormat {
    /// Integers: unsigned at 8 bits, signed above (Matroska's `A_PCM/INT`). `None` unless 8, 16, 24 or 32.
    pub const fn integer(bits: u32, big_endian: bool) -> Option<Self> {
        let bytes = match bits {
            8 => 1,
            16 => 2,
            24 => 3,
            32 => 4,
            _ => return None,
        };
        Some(Self { bytes, float: false, big_endian: big_endian && bytes > 1 })
    }

    /// IEEE numbers, little endian. `None` unless 32 or 64 bits.
    pub const fn float(bits: u32) -> Option<Self> {
        match bits {
            32 => Some(Self { bytes: 4, float: true, big_endian: false }),
            64 => Some(Self { bytes: 8, float: true, big_endian: false }),
            _ => None,
        }
    }

    /// Bytes a sample.
    pub const fn bytes(self) -> u8 {
        self.bytes
    }

    /// Bits a sample.
    pub const fn bits(self) -> u32 {
        self.bytes as u32 * 8
    }

    /// It is IEEE numbers.
    pub const fn is_float(self) -> bool {
        self.float
    }

    /// The most significant byte comes first.
    pub const fn is_big_endian(self) -> bool {
        self.big_endian
    }

    /// The byte of which silence consists.
    pub const fn silence(self) -> u8 {
        if self.bytes == 1 { 0x80 } else { 0 }
    }

    pub(crate) const fn codec_id(self) -> &'static str {
        match (self.float, self.big_endian) {
            (true, _) => "A_PCM/FLOAT/IEEE",
            (false, true) => "A_PCM/INT/BIG",
            (false, false) => "A_PCM/INT/LIT",
        }
    }
}

/// WAVEFORMATEX: the private data of `A_MS/ACM`.
///
/// Of a foreign one only tag, channels, rate and, for PCM, the bits of a sample are to be trusted: AWS's own producer writes 0
/// bits and an eighth of the byte rate for G.711.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaveFormat {
    /// `wFormatTag`.
    pub tag: u16,
    /// `nChannels`.
    pub channels: u16,
    /// `nSamplesPerSec`.
    pub rate: u32,
    /// `wBitsPerSample`.
    pub bits: u16,
}

impl WaveFormat {
    /// That of G.711; `None` for another codec.
    pub const fn g711(codec: Codec, channels: u16, rate: u32) -> Option<Self> {
        let tag = match codec {
            Codec::Alaw => TAG_ALAW,
            Codec::Mulaw => TAG_MULAW,
            _ => return None,
        };
        Some(Self { tag, channels, rate, bits: 8 })
    }

    /// Reads one of at least 16 bytes.
    ///
    /// # Errors
    /// When it is shorter, or says that there are no channels or no samples.
    pub fn parse(private: &Bytes) -> Result<Self, CodecError> {
        const PART: &str = "WAVEFORMATEX";
        let mut fields = Fields::of(PART, private);
        let tag = fields.u16_le("wFormatTag")?;
        let channels = fields.u16_le("nChannels")?;
        let rate = fields.u32_le("nSamplesPerSec")?;
        fields.take(6, "nBlockAlign")?;
        let bits = fields.u16_le("wBitsPerSample")?;
        if channels == 0 {
            return Err(CodecError::value(PART, "nChannels", 0_u8));
        }
        if rate == 0 {
            return Err(CodecError::value(PART, "nSamplesPerSec", 0_u8));
        }
        Ok(Self { tag, channels, rate, bits })
    }

    /// The 18 bytes, with nothing after them.
    pub fn write(&self) -> Bytes {
        let block = u32::from(self.channels).saturating_mul(u32::from(self.bits.div_ceil(8)));
        let mut out = BytesMut::with_capacity(18);
        out.put_u16_le(self.tag);
        out.put_u16_le(self.channels);
        out.put_u32_le(self.rate);
        out.put_u32_le(self.rate.saturating_mul(block));
        out.put_u16_le(u16::try_from(block).unwrap_or(u16::MAX));
        out.put_u16_le(self.bits);
        out.put_u16_le(0);
        out.freeze()
    }

    /// The codec of the tag.
    pub fn codec(&self) -> Option<Codec> {
        match self.tag {
            TAG_ALAW => Some(Codec::Alaw),
            TAG_MULAW => Some(Codec::Mulaw),
            TAG_PCM => PcmFormat::integer(u32::from(self.bits), false).map(Codec::Pcm),
            TAG_FLOAT => PcmFormat::float(u32::from(self.bits)).map(Codec::Pcm),
            _ => None,
        }
    }
}

/// How long `len` bytes of G.711 or PCM last; `None` for another codec, or without rate or channels.
pub fn duration(codec: Codec, channels: u32, rate: u32, len: usize) -> Option<Duration> {
    let sample = match codec {
        Codec::Alaw | Codec::Mulaw => 1,
        Codec::Pcm(format) => u64::from(format.bytes()),
        _ => return None,
    };
    let samples = u64::try_from(len).ok()?.checked_div(sample.checked_mul(u64::from(channels))?)?;
    let nanos = u128::from(samples).checked_mul(1_000_000_000)?.checked_div(u128::from(rate))?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// `biCompression` of a BITMAPINFOHEADER: the private data of `V_MS/VFW/FOURCC`.
pub(crate) fn bitmap_fourcc(private: &[u8]) -> Option<[u8; 4]> {
    private.get(16..20)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_header_of_another_producer_is_read_and_ours_is_the_textbook() {
        // A-law mono 48 kHz as a shipped client wrote it: byte rate an eighth, no bits.
        let seen = [6, 0, 1, 0, 0x80, 0xbb, 0, 0, 0x70, 0x17, 0, 0, 1, 0, 0, 0, 0, 0];
        let wave = WaveFormat::parse(&Bytes::copy_from_slice(&seen)).unwrap();
        assert_eq!((wave.codec(), wave.channels, wave.rate), (Some(Codec::Alaw), 1, 48_000));
        let ours = WaveFormat::g711(Codec::Mulaw, 2, 8_000).unwrap().write();
        assert_eq!(&ours[..], [7, 0, 2, 0, 0x40, 0x1f, 0, 0, 0x80, 0x3e, 0, 0, 2, 0, 8, 0, 0, 0]);
        assert_eq!(
            WaveFormat::parse(&ours.slice(..15)),
            Err(CodecError::Truncated { part: "WAVEFORMATEX", field: "wBitsPerSample" })
        );
    }

    #[test]
    fn bytes_tell_the_duration() {
        assert_eq!(duration(Codec::Alaw, 1, 8_000, 160), Some(Duration::from_millis(20)));
        let pcm = Codec::Pcm(PcmFormat::integer(24, false).unwrap());
        assert_eq!(duration(pcm, 2, 48_000, 6 * 480), Some(Duration::from_millis(10)));
        assert_eq!(duration(pcm, 0, 48_000, 6), None);
        assert_eq!(duration(pcm, 2, 0, 6), None);
        assert_eq!(duration(Codec::Opus, 2, 48_000, 6), None);
    }

    proptest! {
        #[test]
        fn a_wave_format_reads_as_it_was_written(tag: u16, channels in 1_u16.., rate in 1_u32.., bits: u16) {
            let wave = WaveFormat { tag, channels, rate, bits };
            prop_assert_eq!(WaveFormat::parse(&wave.write()), Ok(wave));
        }

        #[test]
        fn random_bytes_never_panic(private in prop::collection::vec(any::<u8>(), 0..40), len: usize, channels: u32, rate: u32) {
            let private = Bytes::from(private);
            if let Some(codec) = WaveFormat::parse(&private).ok().and_then(|wave| wave.codec()) {
                let _ = duration(codec, channels, rate, len);
            }
        }
    }
}

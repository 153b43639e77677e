//! AAC: AudioSpecificConfig (ISO 14496-3 1.6.2.1). Its transport is in [`super::adts`].

use std::time::Duration;

use bytes::Bytes;

use super::CodecError;
use super::bits::Bits;

const CONFIG: &str = "AudioSpecificConfig";

/// `audioObjectType` of AAC-LC.
pub const LC: u8 = 2;
const SBR: u8 = 5;
const PS: u8 = 29;
const LOW_DELAY: u8 = 23;
const ENHANCED_LOW_DELAY: u8 = 39;
/// Announces a backward compatible SBR extension.
const SYNC_SBR: u32 = 0x2b7;
/// Announces a backward compatible PS extension.
const SYNC_PS: u32 = 0x548;

pub(super) const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Channels of each `channelConfiguration`; 0 where it does not tell.
pub(super) const CHANNELS: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8, 0];

/// What a decoder of AAC must know before the first frame: Matroska's private data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioSpecificConfig {
    /// `audioObjectType` of the core; 2 is AAC-LC.
    pub object_type: u8,
    /// Samples a second of the core.
    pub rate: u32,
    /// `channelConfiguration`; 0 when a program config element tells the channels.
    pub channel_config: u8,
    /// Channels of the core.
    pub channels: u8,
    /// Frames have 960 samples and not 1024.
    pub short_frames: bool,
    /// Spectral band replication (HE-AAC), when it is signalled.
    pub sbr: Option<BandReplication>,
}

/// What is signalled of HE-AAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BandReplication {
    /// Samples a second of the output.
    pub rate: u32,
    /// Parametric stereo (HE-AAC v2): a mono core becomes stereo.
    pub parametric_stereo: bool,
    /// Signalled by the object type, so that an AAC-LC decoder does not play it; else by an extension at the end.
    pub hierarchical: bool,
}

impl AudioSpecificConfig {
    /// That of AAC-LC with 1024 samples a frame; `None` when the channels (1 to 6, or 8) have no configuration.
    pub fn lc(rate: u32, channels: u8) -> Option<Self> {
        let config = CHANNELS.iter().take(8).position(|c| *c == channels && channels > 0)?;
        let channel_config = u8::try_from(config).ok()?;
        (rate > 0 && rate < 1 << 24).then_some(Self {
            object_type: LC,
            rate,
            channel_config,
            channels,
            short_frames: false,
            sbr: None,
        })
    }

    /// Reads a configuration. Of object types without the general audio syntax only the head is read.
    ///
    /// # Errors
    /// When it ends early or holds a reserved value.
    pub fn parse(private: &[u8]) -> Result<Self, CodecError> {
        let bits = &mut Bits::of(CONFIG, private);
        let mut object_type = object_type(bits)?;
        let rate = sampling_frequency(bits)?;
        let channel_config = bits.u8(4, "channelConfiguration")?;
        let mut channels = CHANNELS.get(usize::from(channel_config)).copied().unwrap_or_default();
        if channels == 0 && channel_config != 0 {
            return Err(CodecError::value(CONFIG, "channelConfiguration", channel_config));
        }
        let mut sbr = None;
        if matches!(object_type, SBR | PS) {
            let parametric_stereo = object_type == PS;
            sbr = Some(BandReplication {
                rate: sampling_frequency(bits)?,
                parametric_stereo,
                hierarchical: true,
            });
            object_type = self::object_type(bits)?;
        }
        let mut short_frames = false;
        if matches!(object_type, 1..=4 | 6 | 7 | 17 | 19..=23) {
            short_frames = bits.flag("frameLengthFlag")?;
            if bits.flag("dependsOnCoreCoder")? {
                bits.skip(14, "coreCoderDelay")?;
            }
            let extension = bits.flag("extensionFlag")?;
            if channel_config == 0 {
                channels = program_config_element(bits)?;
            }
            if matches!(object_type, 6 | 20) {
                bits.skip(3, "layerNr")?;
            }
            if extension {
                match object_type {
                    22 => bits.skip(16, "numOfSubFrame")?,
                    17 | 19 | 20 | 23 => bits.skip(3, "aacSectionDataResilienceFlag")?,
                    _ => {}
                }
                bits.skip(1, "extensionFlag3")?;
            }
            if sbr.is_none() {
                // Whatever stands here that is no extension is padding.
                sbr = backward_compatible(bits).unwrap_or_default();
            }
        }
        Ok(Self { object_type, rate, channel_config, channels, short_frames, sbr })
    }

    /// The bytes of the configuration: two for plain AAC at a listed rate, five at any other.
    ///
    /// # Errors
    /// When a program config element would be needed, or a value does not fit.
    pub fn write(&self) -> Result<Bytes, CodecError> {
        if self.channel_config == 0 || self.channel_config > 15 {
            return Err(CodecError::value(CONFIG, "channelConfiguration", self.channel_config));
        }
        if !matches!(self.object_type, 1..=4) {
            return Err(CodecError::value(CONFIG, "audioObjectType", self.object_type));
        }
        let mut out = BitWriter::default();
        let explicit = self.sbr.filter(|sbr| sbr.hierarchical);
        out.put(
            5,
            match explicit {
                Some(sbr) if sbr.parametric_stereo => u32::from(PS),
                Some(_) => u32::from(SBR),
                None => u32::from(self.object_type),
            },
        );
        out.put_rate(self.rate)?;
        out.put(4, u32::from(self.channel_config));
        if let Some(sbr) = explicit {
            out.put_rate(sbr.rate)?;
            out.put(5, u32::from(self.object_type));
        }
        out.put(3, u32::from(self.short_frames) << 2);
        if let Some(sbr) = self.sbr.filter(|sbr| !sbr.hierarchical) {
            out.put(11, SYNC_SBR);
            out.put(5, u32::from(SBR));
            out.put(1, 1);
            out.put_rate(sbr.rate)?;
            if sbr.parametric_stereo {
                out.put(11, SYNC_PS);
                out.put(1, 1);
            }
        }
        Ok(out.finish())
    }

    /// Samples a second that come out of the decoder.
    pub fn output_rate(&self) -> u32 {
        self.sbr.map_or(self.rate, |sbr| sbr.rate)
    }

    /// Channels that come out of the decoder.
    pub fn output_channels(&self) -> u8 {
        if self.sbr.is_some_and(|sbr| sbr.parametric_stereo) && self.channels == 1 {
            2
        } else {
            self.channels
        }
    }

    /// Samples of the core in a frame: half as many in the low delay object types (ISO 14496-3 4.5.1.1).
    pub fn frame_samples(&self) -> u32 {
        let samples = if self.short_frames { 960 } else { 1024 };
        if matches!(self.object_type, LOW_DELAY | ENHANCED_LOW_DELAY) { samples / 2 } else { samples }
    }

    /// How long a frame lasts.
    pub fn frame_duration(&self) -> Duration {
        let samples = u64::from(self.frame_samples());
        let nanos = samples.saturating_mul(1_000_000_000).checked_div(u64::from(self.rate));
        Duration::from_nanos(nanos.unwrap_or_default())
    }

    /// The codec string of RFC 6381, such as `mp4a.40.2`.
    pub fn rfc6381(&self) -> String {
        let object_type = match self.sbr {
            Some(sbr) if sbr.parametric_stereo => PS,
            Some(_) => SBR,
            None => self.object_type,
        };
        format!("mp4a.40.{object_type}")
    }
}

fn object_type(bits: &mut Bits<&[u8]>) -> Result<u8, CodecError> {
    match bits.u8(5, "audioObjectType")? {
        31 => Ok(bits.u8(6, "audioObjectTypeExt")?.saturating_add(32)),
        0 => Err(CodecError::value(CONFIG, "audioObjectType", 0_u8)),
        object_type => Ok(object_type),
    }
}

fn sampling_frequency(bits: &mut Bits<&[u8]>) -> Result<u32, CodecError> {
    let index = bits.u8(4, "samplingFrequencyIndex")?;
    if index == 15 {
        return match bits.u32(24, "samplingFrequency")? {
            0 => Err(CodecError::value(CONFIG, "samplingFrequency", 0_u8)),
            rate => Ok(rate),
        };
    }
    let rate = RATES.get(usize::from(index)).copied();
    rate.ok_or(CodecError::value(CONFIG, "samplingFrequencyIndex", index))
}

/// 1.6.6.1: SBR and PS that an older decoder passes over.
fn backward_compatible(bits: &mut Bits<&[u8]>) -> Result<Option<BandReplication>, CodecError> {
    let announced = bits.u32(11, "syncExtensionType")? == SYNC_SBR && object_type(bits)? == SBR;
    if !announced || !bits.flag("sbrPresentFlag")? {
        return Ok(None);
    }
    let rate = sampling_frequency(bits)?;
    let mut stereo =
        || Ok::<_, CodecError>(bits.u32(11, "syncExtensionType")? == SYNC_PS && bits.flag("psPresentFlag")?);
    let parametric_stereo = stereo().unwrap_or_default();
    Ok(Some(BandReplication { rate, parametric_stereo, hierarchical: false }))
}

/// 4.4.1.1, as far as the number of channels and where it ends.
fn program_config_element(bits: &mut Bits<&[u8]>) -> Result<u8, CodecError> {
    bits.skip(10, "element_instance_tag")?;
    let mut counts = [0_u8; 3];
    for count in &mut counts {
        *count = bits.u8(4, "num_channel_elements")?;
    }
    let lfe = bits.u8(2, "num_lfe_channel_elements")?;
    let associated = bits.u32(3, "num_assoc_data_elements")?;
    let coupling = bits.u32(4, "num_valid_cc_elements")?;
    for mixdown in [4, 4, 3] {
        if bits.flag("mixdown_present")? {
            bits.skip(mixdown, "mixdown_element_number")?;
        }
    }
    let mut channels = lfe;
    for _ in 0..counts.iter().sum() {
        channels = channels.saturating_add(1).saturating_add(u8::from(bits.flag("element_is_cpe")?));
        bits.skip(4, "element_tag_select")?;
    }
    bits.skip(u32::from(lfe) * 4 + associated * 4 + coupling * 5, "element_tag_select")?;
    bits.align("byte_alignment")?;
    let comment = bits.u32(8, "comment_field_bytes")?;
    bits.skip(comment * 8, "comment_field_data")?;
    Ok(channels)
}

/// Bits in a row, at most 128: twice what the longest configuration needs.
#[derive(Default)]
struct BitWriter {
    value: u128,
    len: u32,
}

impl BitWriter {
    fn put(&mut self, bits: u32, value: u32) {
        self.value = self.value << bits | u128::from(value);
        self.len += bits;
    }

    fn put_rate(&mut self, rate: u32) -> Result<(), CodecError> {
        if let Some(index) = RATES.iter().position(|listed| *listed == rate) {
            self.put(4, u32::try_from(index).unwrap_or(15));
        } else if rate > 0 && rate < 1 << 24 {
            self.put(4, 15);
            self.put(24, rate);
        } else {
            return Err(CodecError::value(CONFIG, "samplingFrequency", rate));
        }
        Ok(())
    }

    fn finish(self) -> Bytes {
        let bytes = (self.value << 128_u32.saturating_sub(self.len)).to_be_bytes();
        let len = usize::try_from(self.len.div_ceil(8)).unwrap_or_default();
        Bytes::copy_from_slice(bytes.get(..len).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_configurations_read_and_write() {
        let lc = |rate, channels| AudioSpecificConfig::lc(rate, channels).unwrap();
        let sbr = |rate, parametric_stereo, hierarchical| {
            Some(BandReplication { rate, parametric_stereo, hierarchical })
        };
        let rows: [(&[u8], AudioSpecificConfig, &str); 6] = [
            (&[0x12, 0x10], lc(44_100, 2), "mp4a.40.2"),
            (&[0x15, 0x88], lc(8_000, 1), "mp4a.40.2"),
            // Explicit frequency: 5 + 4 + 24 + 4 + 3 bits.
            (&[0x17, 0x80, 0x22, 0x60, 0x90], lc(17_601, 2), "mp4a.40.2"),
            (
                &[0x2b, 0x92, 0x08, 0x00],
                AudioSpecificConfig { sbr: sbr(44_100, false, true), ..lc(22_050, 2) },
                "mp4a.40.5",
            ),
            (
                &[0xeb, 0x8a, 0x08, 0x00],
                AudioSpecificConfig { sbr: sbr(44_100, true, true), ..lc(22_050, 1) },
                "mp4a.40.29",
            ),
            (
                &[0x13, 0x90, 0x56, 0xe5, 0xa0],
                AudioSpecificConfig { sbr: sbr(44_100, false, false), ..lc(22_050, 2) },
                "mp4a.40.5",
            ),
        ];
        for (bytes, config, codec) in rows {
            assert_eq!(AudioSpecificConfig::parse(bytes), Ok(config), "{bytes:x?}");
            assert_eq!(config.rfc6381(), codec);
            assert_eq!(&config.write().unwrap()[..], bytes);
        }
    }

    #[test]
    fn a_frame_has_as_many_samples_as_its_object_type() {
        let lc = AudioSpecificConfig::lc(48_000, 2).unwrap();
        let short = AudioSpecificConfig { short_frames: true, ..lc };
        let low_delay = |config| AudioSpecificConfig { object_type: LOW_DELAY, ..config };
        let found = [lc, short, low_delay(lc), low_delay(short)].map(|config| config.frame_samples());
        assert_eq!(found, [1024, 960, 512, 480]);
        assert_eq!(low_delay(short).frame_duration(), Duration::from_millis(10));
    }

    #[test]
    fn a_signal_that_there_is_no_sbr_is_no_sbr() {
        // As ffmpeg's encoder writes it.
        let config = AudioSpecificConfig::parse(&[0x11, 0x90, 0x56, 0xe5, 0x00]).unwrap();
        assert_eq!(config, AudioSpecificConfig::lc(48_000, 2).unwrap());
    }

    #[test]
    fn a_program_config_element_tells_the_channels() {
        // LC 48 kHz, configuration 0; front: one single and one pair; one LFE; no comment.
        let bits = "00010 0011 0000 000 0000 01 0011 0010 0000 0000 01 000 0000 000 0 0000 1 0000 0000 0000000 00000000";
        let bits: String = bits.split(' ').collect();
        let bytes: Vec<u8> = bits
            .as_bytes()
            .chunks(8)
            .map(|c| c.iter().fold(0, |v, b| v << 1 | (b - b'0')) << (8 - c.len()))
            .collect();
        let config = AudioSpecificConfig::parse(&bytes).unwrap();
        assert_eq!((config.channels, config.channel_config), (4, 0));
        assert!(config.write().is_err());
    }

    #[test]
    fn reserved_values_are_named() {
        assert_eq!(
            AudioSpecificConfig::parse(&[0x16, 0x90]),
            Err(CodecError::value(CONFIG, "samplingFrequencyIndex", 13_u8))
        );
        assert_eq!(
            AudioSpecificConfig::parse(&[0x12]),
            Err(CodecError::Truncated { part: CONFIG, field: "samplingFrequencyIndex" })
        );
        assert_eq!(
            AudioSpecificConfig::parse(&[0x12, 0x40]),
            Err(CodecError::value(CONFIG, "channelConfiguration", 8_u8))
        );
    }

    fn rate() -> impl Strategy<Value = u32> {
        prop_oneof![prop::sample::select(&RATES[..]), 1_u32..1 << 24]
    }

    proptest! {
        #[test]
        fn a_configuration_reads_as_it_was_written(
            object_type in 1_u8..=4, rate in rate(), channel_config in prop::sample::select(vec![1_u8, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14]),
            short_frames: bool, sbr in prop::option::of((rate(), any::<bool>(), any::<bool>())),
        ) {
            let channels = CHANNELS[usize::from(channel_config)];
            let sbr = sbr.map(|(rate, parametric_stereo, hierarchical)| BandReplication { rate, parametric_stereo, hierarchical });
            let config = AudioSpecificConfig { object_type, rate, channel_config, channels, short_frames, sbr };
            prop_assert_eq!(AudioSpecificConfig::parse(&config.write().unwrap()), Ok(config));
        }

        #[test]
        fn random_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(config) = AudioSpecificConfig::parse(&data) {
                let _ = (config.write(), config.frame_duration(), config.rfc6381(), config.output_channels());
            }
        }
    }
}

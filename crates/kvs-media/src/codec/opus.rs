//! Opus: the identification header (RFC 7845), the duration of a packet (RFC 6716).

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::CodecError;
use super::bits::Fields;

const PART: &str = "OpusHead";

/// The identification header of RFC 7845 5.1, which is Matroska's private data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpusHead {
    /// Output channels, at least one.
    pub channels: u8,
    /// Samples at 48 kHz to be dropped from the beginning.
    pub pre_skip: u16,
    /// The rate of what was encoded; 0 when unknown. Decoding is at 48 kHz whatever it says.
    pub input_rate: u32,
    /// Gain in 1/256 dB.
    pub output_gain: i16,
    /// How streams become channels; `None` is family 0: one stream, mono or stereo.
    pub mapping: Option<ChannelMapping>,
}

/// How the coded streams become output channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelMapping {
    /// The mapping family: 1 is the Vorbis order, 255 has no defined meaning.
    pub family: u8,
    /// Streams in each packet.
    pub streams: u8,
    /// How many of them are stereo.
    pub coupled: u8,
    /// The decoded channel of each output channel; 255 is silence.
    pub table: Bytes,
}

impl OpusHead {
    /// That of a mono or stereo stream with the encoder's usual delay of 312 samples.
    pub const fn simple(channels: u8, input_rate: u32) -> Self {
        Self { channels, pre_skip: 312, input_rate, output_gain: 0, mapping: None }
    }

    /// Reads a header; what follows it is ignored, as RFC 7845 wants it.
    ///
    /// # Errors
    /// When the magic, the version or the channel mapping is not right.
    pub fn parse(private: &Bytes) -> Result<Self, CodecError> {
        let mut fields = Fields::of(PART, private);
        if fields.take(8, "magic")? != "OpusHead" {
            return Err(CodecError::Broken { part: PART, rule: "does not begin with its name" });
        }
        match fields.u8("version")? {
            // The upper half is the major version.
            version if version & 0xf0 != 0 => return Err(CodecError::value(PART, "version", version)),
            _ => {}
        }
        let channels = fields.u8("channel count")?;
        let pre_skip = fields.u16_le("pre-skip")?;
        let input_rate = fields.u32_le("input sample rate")?;
        let output_gain = fields.array("output gain").map(i16::from_le_bytes)?;
        let mapping = match fields.u8("mapping family")? {
            0 => None,
            family => Some(ChannelMapping {
                family,
                streams: fields.u8("stream count")?,
                coupled: fields.u8("coupled count")?,
                table: fields.take(usize::from(channels), "channel mapping")?,
            }),
        };
        let head = Self { channels, pre_skip, input_rate, output_gain, mapping };
        head.check()?;
        Ok(head)
    }

    fn check(&self) -> Result<(), CodecError> {
        let most = match &self.mapping {
            None => 2,
            Some(mapping) if mapping.family == 1 => 8,
            Some(_) => 255,
        };
        if self.channels == 0 || self.channels > most {
            return Err(CodecError::value(PART, "channel count", self.channels));
        }
        let Some(mapping) = &self.mapping else { return Ok(()) };
        let decoded = u16::from(mapping.streams) + u16::from(mapping.coupled);
        if mapping.streams == 0 || mapping.coupled > mapping.streams || decoded > 255 {
            return Err(CodecError::value(PART, "stream count", mapping.streams));
        }
        if mapping.table.len() != usize::from(self.channels) {
            return Err(CodecError::Broken { part: PART, rule: "must map each channel" });
        }
        match mapping.table.iter().find(|index| **index != 255 && u16::from(**index) >= decoded) {
            Some(index) => Err(CodecError::value(PART, "channel mapping", *index)),
            None => Ok(()),
        }
    }

    /// The bytes of the header.
    ///
    /// # Errors
    /// When the channel mapping is not right.
    pub fn write(&self) -> Result<Bytes, CodecError> {
        self.check()?;
        let mut out = BytesMut::with_capacity(32);
        out.put_slice(b"OpusHead");
        out.put_u8(1);
        out.put_u8(self.channels);
        out.put_u16_le(self.pre_skip);
        out.put_u32_le(self.input_rate);
        out.put_i16_le(self.output_gain);
        match &self.mapping {
            None => out.put_u8(0),
            Some(mapping) => {
                out.put_slice(&[mapping.family, mapping.streams, mapping.coupled]);
                out.put_slice(&mapping.table);
            }
        }
        Ok(out.freeze())
    }
}

/// How long a packet lasts (RFC 6716 3.1 and 3.2).
///
/// # Errors
/// When it is empty, ends before its frame count, or claims more than 120 ms.
pub fn packet_duration(packet: &[u8]) -> Result<Duration, CodecError> {
    const PART: &str = "Opus packet";
    let toc = packet.first().ok_or(CodecError::Truncated { part: PART, field: "TOC" })?;
    let frame = match (toc >> 3, toc >> 3 & 3) {
        (0..=11, 0) | (12..=15, 0 | 2) | (16.., 2) => 10_000,
        (0..=11, 1) | (12..=15, _) | (16.., 3) => 20_000,
        (0..=11, 2) => 40_000,
        (0..=11, _) => 60_000,
        (16.., 0) => 2_500,
        (16.., _) => 5_000,
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).ok_or(CodecError::Truncated { part: PART, field: "frame count" })? & 0x3f,
    };
    let micros = u64::from(count) * frame;
    if micros == 0 || micros > 120_000 {
        return Err(CodecError::value(PART, "duration", micros));
    }
    Ok(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_header_of_rfc_7845_reads_in_both_families() {
        let stereo = OpusHead::simple(2, 48_000);
        let bytes = stereo.write().unwrap();
        assert_eq!(&bytes[..], b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0");
        assert_eq!(OpusHead::parse(&bytes), Ok(stereo));
        let surround =
            Bytes::from_static(b"OpusHead\x01\x06\x38\x01\x80\xbb\0\0\0\0\x01\x04\x02\0\x04\x01\x02\x03\x05");
        let head = OpusHead::parse(&surround).unwrap();
        assert_eq!(head.mapping.as_ref().map(|m| (m.streams, m.coupled)), Some((4, 2)));
        assert_eq!(head.write().unwrap(), surround);
    }

    #[test]
    fn a_mapping_to_a_channel_that_is_not_there_is_refused() {
        let private = Bytes::from_static(b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\x01\x01\0\0\x01");
        assert_eq!(OpusHead::parse(&private), Err(CodecError::value("OpusHead", "channel mapping", 1_u8)));
        let private = Bytes::from_static(b"OpusHead\x01\x03\x38\x01\x80\xbb\0\0\0\0\0");
        assert_eq!(OpusHead::parse(&private), Err(CodecError::value("OpusHead", "channel count", 3_u8)));
    }

    #[test]
    fn the_toc_tells_the_duration() {
        let rows: [(&[u8], u64); 8] = [
            (&[0x00], 10_000),
            (&[0x18], 60_000),
            (&[0x60], 10_000),
            (&[0x68], 20_000),
            (&[0x80], 2_500),
            (&[0xf8], 20_000),
            (&[0xf9], 40_000),
            (&[0xfb, 0x03], 60_000),
        ];
        for (packet, micros) in rows {
            assert_eq!(packet_duration(packet), Ok(Duration::from_micros(micros)), "{packet:x?}");
        }
        assert!(packet_duration(&[]).is_err());
        assert!(packet_duration(&[0xfb]).is_err());
        assert!(packet_duration(&[0xfb, 0]).is_err());
        assert_eq!(packet_duration(&[0x83, 48]), Ok(Duration::from_millis(120)));
        assert!(packet_duration(&[0x83, 49]).is_err());
    }

    prop_compose! {
        fn mapping()(streams in 1_u8..=100, coupled in 0_u8..=100, family in 1_u8.., table in prop::collection::vec(any::<u8>(), 1..=8))
            -> ChannelMapping {
            let coupled = coupled.min(streams);
            let decoded = streams + coupled;
            let table: Vec<u8> = table.iter().map(|index| if *index == 255 { 255 } else { index % decoded }).collect();
            ChannelMapping { family, streams, coupled, table: table.into() }
        }
    }

    proptest! {
        #[test]
        fn a_header_reads_as_it_was_written(mono: bool, pre_skip: u16, input_rate: u32, output_gain: i16, mapping in prop::option::of(mapping())) {
            let channels = mapping.as_ref().map_or(2 - u8::from(mono), |m| u8::try_from(m.table.len()).unwrap());
            let head = OpusHead { channels, pre_skip, input_rate, output_gain, mapping };
            prop_assert_eq!(OpusHead::parse(&head.write().unwrap()), Ok(head));
        }

        #[test]
        fn random_bytes_never_panic(mut private in prop::collection::vec(any::<u8>(), 0..64), named: bool) {
            let _ = packet_duration(&private);
            if named {
                private.splice(0..0, *b"OpusHead\x01");
            }
            let _ = OpusHead::parse(&private.into());
        }
    }
}

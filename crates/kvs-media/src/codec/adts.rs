//! ADTS (ISO 14496-3 1.A.2): the transport of AAC without a container.
//!
//! ```
//! # fn main() -> Result<(), kvs_media::codec::CodecError> {
//! # let buffer: &[u8] = include_bytes!("../../tests/data/codec/aac-mono-16k.aac");
//! for block in kvs_media::codec::adts::blocks(buffer) {
//!     let (header, raw) = block?;
//!     assert_eq!(header.config()?.rfc6381(), "mp4a.40.2");
//!     assert!(!raw.is_empty());
//! }
//! # Ok(()) }
//! ```

use super::CodecError;
use super::aac::{AudioSpecificConfig, CHANNELS, RATES};
use super::bits::Bits;

const ADTS: &str = "ADTS";

/// The header of an ADTS frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// `profile_ObjectType` plus one: the audio object type.
    pub object_type: u8,
    /// Samples a second.
    pub rate: u32,
    /// `channel_configuration`; 0 when a program config element tells the channels.
    pub channel_config: u8,
    /// The whole frame with its header.
    pub frame_len: usize,
    /// Raw data blocks in the frame, 1 to 4, of 1024 samples each.
    pub blocks: u8,
    /// A checksum follows the header, and each block when there are several.
    pub protected: bool,
}

impl Header {
    /// Reads the header at the beginning of `data`, of which the rest need not be there.
    ///
    /// # Errors
    /// When there is none, or it holds a reserved value or a length that is too short.
    pub fn parse(data: &[u8]) -> Result<Self, CodecError> {
        let bits = &mut Bits::of(ADTS, data);
        let sync = bits.u32(12, "syncword")?;
        if sync != 0xfff {
            return Err(CodecError::value(ADTS, "syncword", sync));
        }
        bits.skip(1, "ID")?;
        match bits.u8(2, "layer")? {
            0 => {}
            layer => return Err(CodecError::value(ADTS, "layer", layer)),
        }
        let protected = !bits.flag("protection_absent")?;
        let object_type = bits.u8(2, "profile")?.saturating_add(1);
        let index = bits.u8(4, "sampling_frequency_index")?;
        let rate = RATES.get(usize::from(index)).copied();
        let rate = rate.ok_or(CodecError::value(ADTS, "sampling_frequency_index", index))?;
        bits.skip(1, "private_bit")?;
        let channel_config = bits.u8(3, "channel_configuration")?;
        bits.skip(4, "original_copy")?;
        let length = bits.u32(13, "frame_length")?;
        bits.skip(11, "adts_buffer_fullness")?;
        let blocks = bits.u8(2, "number_of_raw_data_blocks_in_frame")?.saturating_add(1);
        let header = Self {
            object_type,
            rate,
            channel_config,
            frame_len: usize::try_from(length).unwrap_or_default(),
            blocks,
            protected,
        };
        if header.frame_len < header.payload_offset() {
            return Err(CodecError::value(ADTS, "frame_length", length));
        }
        Ok(header)
    }

    /// Where the first raw data block begins.
    fn payload_offset(&self) -> usize {
        match (self.protected, self.blocks) {
            (false, _) => 7,
            // The positions of the blocks after the first, and the checksum.
            (true, blocks) => 7 + 2 * usize::from(blocks.saturating_sub(1)) + 2,
        }
    }

    /// The configuration of the stream.
    ///
    /// # Errors
    /// When the channels are told by a program config element only.
    pub fn config(&self) -> Result<AudioSpecificConfig, CodecError> {
        let channels = CHANNELS.get(usize::from(self.channel_config)).copied().unwrap_or_default();
        if channels == 0 {
            return Err(CodecError::value(ADTS, "channel_configuration", self.channel_config));
        }
        Ok(AudioSpecificConfig {
            object_type: self.object_type,
            rate: self.rate,
            channel_config: self.channel_config,
            channels,
            short_frames: false,
            sbr: None,
        })
    }
}

/// The header before one raw data block of so many bytes, without a checksum.
///
/// # Errors
/// When ADTS cannot say the configuration, or the block is longer than 8184 bytes.
pub fn header(config: &AudioSpecificConfig, block: usize) -> Result<[u8; 7], CodecError> {
    let refused = |field, value: u8| CodecError::value(ADTS, field, value);
    let profile = config.object_type.wrapping_sub(1);
    if profile > 3 {
        return Err(refused("profile", profile));
    }
    let index = RATES.iter().position(|rate| *rate == config.rate).and_then(|index| u8::try_from(index).ok());
    let index = index.ok_or(CodecError::value(ADTS, "sampling_frequency_index", config.rate))?;
    let channels = config.channel_config;
    if !matches!(channels, 1..=7) {
        return Err(refused("channel_configuration", channels));
    }
    if config.short_frames {
        return Err(CodecError::Broken { part: ADTS, rule: "has frames of 1024 samples only" });
    }
    let len = block.saturating_add(7);
    let len = u16::try_from(len).ok().filter(|len| *len < 1 << 13);
    let len = len.ok_or(CodecError::value(ADTS, "frame_length", block as u64))?;
    // The 13 bits of the length lie in three bytes; the buffer fullness is all ones, and there is one block.
    let [_, top, high, low] = (u32::from(len) << 5).to_be_bytes();
    let first = profile << 6 | index << 2 | channels >> 2;
    Ok([0xff, 0xf1, first, (channels & 3) << 6 | top, high, low | 0x1f, 0xfc])
}

/// The raw data blocks of all ADTS frames in `data`, borrowed: each is a frame as Matroska stores it. After an error there
/// are no more.
pub fn blocks(data: &[u8]) -> Blocks<'_> {
    Blocks { rest: data, frame: None }
}

/// Made by [`blocks`].
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    rest: &'a [u8],
    /// The frame of which blocks are left, and how many were given out.
    frame: Option<(Header, &'a [u8], u8)>,
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<(Header, &'a [u8]), CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.frame.is_none() && self.rest.is_empty() {
            return None;
        }
        let block = self.block();
        if block.is_err() {
            (self.rest, self.frame) = (&[], None);
        }
        Some(block)
    }
}

impl<'a> Blocks<'a> {
    fn block(&mut self) -> Result<(Header, &'a [u8]), CodecError> {
        let (header, frame, given) = match self.frame.take() {
            Some(frame) => frame,
            None => {
                let header = Header::parse(self.rest)?;
                let cut = CodecError::Truncated { part: ADTS, field: "frame" };
                let (frame, rest) = self.rest.split_at_checked(header.frame_len).ok_or(cut)?;
                self.rest = rest;
                (header, frame, 0)
            }
        };
        if given.saturating_add(1) < header.blocks {
            self.frame = Some((header, frame, given.saturating_add(1)));
        }
        let broken = |rule| CodecError::Broken { part: ADTS, rule };
        let payload = frame.get(header.payload_offset()..).unwrap_or_default();
        if header.blocks == 1 {
            return Ok((header, payload));
        }
        if !header.protected {
            // Only decoding could tell where a block ends.
            return Err(broken("several raw data blocks without their positions"));
        }
        let position = |block: u8| -> Option<usize> {
            let Some(before) = block.checked_sub(1) else { return Some(0) };
            let at = 7 + 2 * usize::from(before);
            frame.get(at..at + 2)?.first_chunk().map(|bytes| usize::from(u16::from_be_bytes(*bytes)))
        };
        let begin = position(given);
        let end = if self.frame.is_some() { position(given.saturating_add(1)) } else { Some(payload.len()) };
        // Each block is followed by its own checksum.
        let range = begin.zip(end.and_then(|end| end.checked_sub(2)));
        let block = range.and_then(|(begin, end)| payload.get(begin..end));
        block.map(|block| (header, block)).ok_or(broken("a raw data block lies outside the frame"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(blocks: u8, protected: bool, len: u16) -> Vec<u8> {
        let [high, low] = (len << 5).to_be_bytes();
        let top = u8::try_from(len >> 11).unwrap();
        vec![0xff, 0xf0 | u8::from(!protected), 0x4c, 0x80 | top, high, low | 0x1f, 0xfc | (blocks - 1)]
    }

    #[test]
    fn several_blocks_of_a_protected_frame_are_told_apart() {
        let mut frame = header(3, true, 7 + 6 + 3 + 2 + 2 + 2 + 1 + 2);
        frame.extend([0, 5, 0, 9, 0xcc, 0xcc]);
        frame.extend([1, 1, 1, 0xcc, 0xcc, 2, 2, 0xcc, 0xcc, 3, 0xcc, 0xcc]);
        let twice = [frame.clone(), frame.clone()].concat();
        let found: Vec<_> = blocks(&twice).map(|block| block.unwrap().1).collect();
        assert_eq!(found, [&[1_u8, 1, 1][..], &[2, 2], &[3], &[1, 1, 1], &[2, 2], &[3]]);
        frame[1] |= 1;
        assert!(blocks(&frame).all(|block| matches!(block, Err(CodecError::Broken { .. }))));
        assert_eq!(blocks(&frame).count(), 1);
    }

    #[test]
    fn a_header_reads_as_it_was_written() {
        for (rate, channels) in
            RATES.iter().flat_map(|rate| [1_u8, 2, 6, 8].map(|channels| (*rate, channels)))
        {
            let config = AudioSpecificConfig::lc(rate, channels).unwrap();
            for len in [1_usize, 340, 8_184] {
                let written = super::header(&config, len).unwrap();
                let read = Header::parse(&written).unwrap();
                assert_eq!((read.config().unwrap(), read.frame_len, read.blocks), (config, len + 7, 1));
                assert!(!read.protected);
            }
            assert_eq!(
                super::header(&config, 8_185),
                Err(CodecError::value(ADTS, "frame_length", 8_185_u64))
            );
        }
        let lc = AudioSpecificConfig::lc(44_100, 2).unwrap();
        for refused in [
            AudioSpecificConfig { object_type: 5, ..lc },
            AudioSpecificConfig { rate: 44_101, ..lc },
            AudioSpecificConfig { channel_config: 0, ..lc },
            AudioSpecificConfig { short_frames: true, ..lc },
        ] {
            assert!(super::header(&refused, 100).is_err());
        }
    }

    #[test]
    fn a_frame_shorter_than_its_header_is_refused() {
        let error = CodecError::value(ADTS, "frame_length", 8_u8);
        assert_eq!(blocks(&[header(1, true, 8), vec![0; 9]].concat()).collect::<Vec<_>>(), [Err(error)]);
    }

    #[test]
    fn a_frame_that_is_cut_off_is_an_error_after_the_whole_ones() {
        let mut stream = header(1, false, 9);
        stream.extend([1, 2]);
        stream.extend(header(1, false, 9));
        let found: Vec<_> = blocks(&stream).collect();
        assert!(found[0].as_ref().is_ok_and(|(_, block)| block == &[1, 2]));
        assert_eq!(found[1], Err(CodecError::Truncated { part: ADTS, field: "frame" }));
        assert_eq!(found.len(), 2);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(mut data in prop::collection::vec(any::<u8>(), 0..100), synced: bool) {
            if synced {
                data.splice(0..0, [0xff, 0xf0]);
            }
            prop_assert!(blocks(&data).count() <= data.len());
        }
    }
}

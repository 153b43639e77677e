//! VP8 and VP9: key frames and sizes from the frame header.

use super::bits::Bits;
use super::{Chroma, CodecError};

/// What a frame header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameHead {
    /// A frame that needs others.
    Inter,
    /// A frame by which decoding can begin.
    Key(KeyFrame),
}

/// What the header of a key frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFrame {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The profile (VP8: the version).
    pub profile: u8,
    /// Bits a sample.
    pub bit_depth: u8,
    /// How colour is sampled.
    pub chroma: Chroma,
}

/// Reads the head of a VP8 frame (RFC 6386 section 9.1). An empty frame repeats the one before.
///
/// # Errors
/// When a key frame ends early or lacks its start code.
pub fn vp8(frame: &[u8]) -> Result<FrameHead, CodecError> {
    let Some(first) = frame.first().filter(|byte| *byte & 1 == 0) else {
        return Ok(FrameHead::Inter);
    };
    let Some(&[a, b, c, w0, w1, h0, h1]) = frame.get(3..10).and_then(|head| head.first_chunk::<7>()) else {
        return Err(CodecError::Truncated { part: "VP8 key frame", field: "height" });
    };
    if [a, b, c] != [0x9d, 0x01, 0x2a] {
        return Err(CodecError::Broken { part: "VP8 key frame", rule: "has no start code" });
    }
    // The upper two bits are a scaling hint.
    let size = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    let (width, height) = (size(w0, w1), size(h0, h1));
    Ok(FrameHead::Key(KeyFrame {
        width,
        height,
        profile: first >> 1 & 7,
        bit_depth: 8,
        chroma: Chroma::Yuv420,
    }))
}

/// Reads the head of a VP9 frame or superframe (VP9 6.2), whose first frame tells.
///
/// # Errors
/// When it ends early or is no VP9 frame.
pub fn vp9(frame: &[u8]) -> Result<FrameHead, CodecError> {
    const PART: &str = "VP9 frame";
    let bits = &mut Bits::of(PART, frame);
    let marker = bits.u8(2, "frame_marker")?;
    if marker != 2 {
        return Err(CodecError::value(PART, "frame_marker", marker));
    }
    let low = bits.u8(1, "profile_low_bit")?;
    let profile = bits.u8(1, "profile_high_bit")? << 1 | low;
    if profile == 3 {
        bits.skip(1, "reserved_zero")?;
    }
    let existing = bits.flag("show_existing_frame")?;
    if existing || bits.flag("frame_type")? {
        return Ok(FrameHead::Inter);
    }
    bits.skip(2, "show_frame")?;
    let sync = bits.u32(24, "frame_sync_code")?;
    if sync != 0x49_83_42 {
        return Err(CodecError::value(PART, "frame_sync_code", sync));
    }
    let bit_depth = match profile {
        0 | 1 => 8,
        _ if bits.flag("ten_or_twelve_bit")? => 12,
        _ => 10,
    };
    let rgb = bits.u8(3, "color_space")? == 7;
    if !rgb {
        bits.skip(1, "color_range")?;
    }
    let chroma = match (profile & 1 == 1, rgb) {
        (true, true) => {
            bits.skip(1, "reserved_zero")?;
            Chroma::Yuv444
        }
        (true, false) => match bits.u8(3, "subsampling")? >> 1 {
            3 => Chroma::Yuv420,
            2 => Chroma::Yuv422,
            // 4:4:0 has no name here; what matters is that it is not 4:2:0.
            _ => Chroma::Yuv444,
        },
        (false, true) => return Err(CodecError::value(PART, "color_space", 7_u8)),
        (false, false) => Chroma::Yuv420,
    };
    let width = bits.u32(16, "frame_width_minus_1")?.saturating_add(1);
    let height = bits.u32(16, "frame_height_minus_1")?.saturating_add(1);
    Ok(FrameHead::Key(KeyFrame { width, height, profile, bit_depth, chroma }))
}

/// The codec string of VP9 (VP Codec ISO Media File Format Binding), such as `vp09.00.10.08`.
pub fn vp9_rfc6381(profile: u8, level: u8, bit_depth: u8) -> String {
    format!("vp09.{profile:02}.{level:02}.{bit_depth:02}")
}

/// Ten times the lowest VP9 level that allows pictures of this size, and this many of them a second when told.
pub fn vp9_level(width: u32, height: u32, frame_rate: Option<f64>) -> u8 {
    // Level, luma samples a second, luma samples a picture, samples along a side (VP9 Annex A).
    const LEVELS: [(u8, u64, u64, u32); 14] = [
        (10, 829_440, 36_864, 512),
        (11, 2_764_800, 73_728, 768),
        (20, 4_608_000, 122_880, 960),
        (21, 9_216_000, 245_760, 1_344),
        (30, 20_736_000, 552_960, 2_048),
        (31, 36_864_000, 983_040, 2_752),
        (40, 83_558_400, 2_228_224, 4_160),
        (41, 160_432_128, 2_228_224, 4_160),
        (50, 311_951_360, 8_912_896, 8_384),
        (51, 588_251_136, 8_912_896, 8_384),
        (52, 1_176_502_272, 8_912_896, 8_384),
        (60, 1_176_502_272, 35_651_584, 16_832),
        (61, 2_353_004_544, 35_651_584, 16_832),
        (62, 4_706_009_088, 35_651_584, 16_832),
    ];
    let picture = u64::from(width) * u64::from(height);
    #[expect(clippy::cast_precision_loss, reason = "below 2^53 for every picture of a level")]
    let fits = |rate: u64| frame_rate.is_none_or(|fps| picture as f64 * fps <= rate as f64);
    let level = LEVELS
        .iter()
        .find(|(_, rate, size, side)| picture <= *size && width.max(height) <= *side && fits(*rate));
    level.map_or(62, |(level, ..)| *level)
}

//! AV1: open bitstream units, the sequence header, the av1C record, temporal units.

use bytes::{BufMut, Bytes};

use super::bits::{Bits, Fields};
use super::{AccessUnit, Chroma, CodecError, FrameRate, Picture, RandomAccess};

/// A sequence header.
pub const SEQUENCE_HEADER: u8 = 1;
/// A temporal delimiter.
pub const TEMPORAL_DELIMITER: u8 = 2;
/// A frame header.
pub const FRAME_HEADER: u8 = 3;
/// A frame header with its tiles.
pub const FRAME: u8 = 6;

/// An open bitstream unit (AV1 5.3), borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obu<'a> {
    /// `obu_type`.
    pub unit_type: u8,
    /// The unit without its header.
    pub payload: &'a [u8],
    /// The unit with its header.
    pub whole: &'a [u8],
}

/// The units of `data` in the low-overhead form; one without a size reaches to the end. After an error there are no more.
pub fn obus(data: &[u8]) -> Obus<'_> {
    Obus { rest: data }
}

/// Made by [`obus`].
#[derive(Clone, Debug)]
pub struct Obus<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Obus<'a> {
    type Item = Result<Obu<'a>, CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let unit = split(self.rest);
        self.rest = match unit {
            Ok(unit) => self.rest.get(unit.whole.len()..).unwrap_or(&[]),
            Err(_) => &[],
        };
        Some(unit)
    }
}

fn split(data: &[u8]) -> Result<Obu<'_>, CodecError> {
    let cut = |field| CodecError::Truncated { part: "OBU", field };
    let (head, mut rest) = data.split_first().ok_or(cut("obu_header"))?;
    if head & 0x80 != 0 {
        return Err(CodecError::value("OBU", "obu_forbidden_bit", 1_u8));
    }
    if head & 4 != 0 {
        rest = rest.get(1..).ok_or(cut("obu_extension_header"))?;
    }
    let mut size = rest.len();
    if head & 2 != 0 {
        (size, rest) = leb128(rest)?;
    }
    let (payload, after) = rest.split_at_checked(size).ok_or(cut("payload"))?;
    let whole = data.get(..data.len().saturating_sub(after.len())).unwrap_or(data);
    Ok(Obu { unit_type: head >> 3 & 15, payload, whole })
}

/// 4.10.5: at most eight bytes and 32 bits.
fn leb128(data: &[u8]) -> Result<(usize, &[u8]), CodecError> {
    let mut value = 0_u64;
    let mut rest = data;
    for shift in (0..56).step_by(7) {
        let (byte, after) =
            rest.split_first().ok_or(CodecError::Truncated { part: "OBU", field: "obu_size" })?;
        rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let size = u32::try_from(value).ok().and_then(|size| usize::try_from(size).ok());
            return size.map(|size| (size, rest)).ok_or(CodecError::value("OBU", "obu_size", value));
        }
    }
    Err(CodecError::Broken { part: "OBU", rule: "obu_size is longer than eight bytes" })
}

fn put_leb128(mut value: usize, out: &mut Vec<u8>) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0x7f);
        value >>= 7;
        if value == 0 {
            return out.put_u8(low);
        }
        out.put_u8(low | 0x80);
    }
}

/// A temporal unit as Matroska stores it: without the temporal delimiter that it begins with.
///
/// # Errors
/// When the first unit cannot be read.
pub fn without_temporal_delimiter(data: &[u8]) -> Result<&[u8], CodecError> {
    let mut rest = data;
    while !rest.is_empty() {
        let unit = split(rest)?;
        if unit.unit_type != TEMPORAL_DELIMITER {
            break;
        }
        rest = rest.get(unit.whole.len()..).unwrap_or(&[]);
    }
    Ok(rest)
}

/// What a temporal unit is: a shown key frame is a random access point. Reads up to the first frame header; allocates
/// nothing.
///
/// # Errors
/// When a unit before the first frame cannot be read.
pub fn inspect(data: &[u8]) -> Result<AccessUnit, CodecError> {
    let mut found = AccessUnit::default();
    let mut reduced = false;
    for unit in obus(data) {
        let unit = unit?;
        match unit.unit_type {
            SEQUENCE_HEADER => {
                found.has_parameter_sets = true;
                reduced = unit.payload.first().is_some_and(|byte| byte & 8 != 0);
            }
            FRAME_HEADER | FRAME => {
                found.has_picture = true;
                // show_existing_frame (1), frame_type (2; 0 is a key frame), show_frame (1): 5.9.2.
                let shown_key = unit.payload.first().is_some_and(|byte| byte & 0xf0 == 0x10);
                found.random_access = (reduced || shown_key).then_some(RandomAccess::Idr);
                break;
            }
            _ => {}
        }
    }
    Ok(found)
}

/// What a sequence header says (5.5), as far as the private data and the codec string repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceHeader {
    /// Of the pictures; the level is `seq_level_idx` of the first operating point.
    pub picture: Picture,
    /// `seq_tier` of the first operating point: the High tier.
    pub high_tier: bool,
    /// `chroma_sample_position`, 0 to 3.
    pub chroma_position: u8,
    /// `color_primaries`, `transfer_characteristics`, `matrix_coefficients`, when described.
    pub colour: Option<[u8; 3]>,
    /// `color_range`: all values are used.
    pub full_range: bool,
    /// `film_grain_params_present`.
    pub film_grain: bool,
}

/// Reads the payload of a sequence header unit.
///
/// # Errors
/// When it ends early or names a profile that does not exist.
pub fn parse_sequence_header(payload: &[u8]) -> Result<SequenceHeader, CodecError> {
    let bits = &mut Bits::of("sequence header", payload);
    let profile = bits.u8(3, "seq_profile")?;
    if profile > 2 {
        return Err(CodecError::value("sequence header", "seq_profile", profile));
    }
    bits.skip(1, "still_picture")?;
    let reduced = bits.flag("reduced_still_picture_header")?;
    let operation = if reduced {
        Operation { level: bits.u8(5, "seq_level_idx")?, high_tier: false, frame_rate: None }
    } else {
        operation(bits)?
    };
    let width_bits = bits.u32(4, "frame_width_bits_minus_1")?.saturating_add(1);
    let height_bits = bits.u32(4, "frame_height_bits_minus_1")?.saturating_add(1);
    let width = bits.u32(width_bits, "max_frame_width_minus_1")?.saturating_add(1);
    let height = bits.u32(height_bits, "max_frame_height_minus_1")?.saturating_add(1);
    if !reduced && bits.flag("frame_id_numbers_present_flag")? {
        bits.skip(7, "delta_frame_id_length_minus_2")?;
    }
    bits.skip(3, "use_128x128_superblock")?;
    if !reduced {
        tools(bits)?;
    }
    bits.skip(3, "enable_superres")?;
    let colour = colour_config(bits, profile)?;
    Ok(SequenceHeader {
        picture: Picture {
            width,
            height,
            pixel_aspect: None,
            frame_rate: operation.frame_rate,
            // Output order is decoding order: a frame to be shown later is shown by a later header.
            reorder_depth: Some(0),
            bit_depth: colour.bit_depth,
            chroma: colour.chroma,
            profile,
            level: operation.level,
        },
        high_tier: operation.high_tier,
        chroma_position: colour.position,
        colour: colour.described,
        full_range: colour.full_range,
        film_grain: bits.flag("film_grain_params_present")?,
    })
}

struct Operation {
    level: u8,
    high_tier: bool,
    frame_rate: Option<FrameRate>,
}

fn operation(bits: &mut Bits<&[u8]>) -> Result<Operation, CodecError> {
    let mut frame_rate = None;
    let mut delay_bits = None;
    if bits.flag("timing_info_present_flag")? {
        let units = bits.u32(32, "num_units_in_display_tick")?;
        let scale = bits.u32(32, "time_scale")?;
        if bits.flag("equal_picture_interval")? {
            let ticks = uvlc(bits)?.saturating_add(1);
            frame_rate = FrameRate::new(u64::from(scale), u64::from(units).saturating_mul(ticks));
        }
        if bits.flag("decoder_model_info_present_flag")? {
            delay_bits = Some(bits.u32(5, "buffer_delay_length_minus_1")?.saturating_add(1));
            bits.skip(42, "num_units_in_decoding_tick")?;
        }
    }
    let display_delay = bits.flag("initial_display_delay_present_flag")?;
    let mut first = None;
    for _ in 0..=bits.u8(5, "operating_points_cnt_minus_1")? {
        bits.skip(12, "operating_point_idc")?;
        let level = bits.u8(5, "seq_level_idx")?;
        let high_tier = level > 7 && bits.flag("seq_tier")?;
        first.get_or_insert((level, high_tier));
        if let Some(delay_bits) = delay_bits
            && bits.flag("decoder_model_present_for_this_op")?
        {
            bits.skip(delay_bits.saturating_mul(2).saturating_add(1), "decoder_buffer_delay")?;
        }
        if display_delay && bits.flag("initial_display_delay_present_for_this_op")? {
            bits.skip(4, "initial_display_delay_minus_1")?;
        }
    }
    let (level, high_tier) = first.unwrap_or_default();
    Ok(Operation { level, high_tier, frame_rate })
}

/// 4.10.3.
fn uvlc(bits: &mut Bits<&[u8]>) -> Result<u64, CodecError> {
    let mut zeros = 0_u32;
    while !bits.flag("num_ticks_per_picture_minus_1")? {
        zeros = zeros.saturating_add(1);
    }
    if zeros >= 32 {
        return Ok(u64::from(u32::MAX));
    }
    let base = (1_u64 << zeros).saturating_sub(1);
    Ok(base.saturating_add(u64::from(bits.u32(zeros, "num_ticks_per_picture_minus_1")?)))
}

fn tools(bits: &mut Bits<&[u8]>) -> Result<(), CodecError> {
    bits.skip(4, "enable_interintra_compound")?;
    let order_hint = bits.flag("enable_order_hint")?;
    if order_hint {
        bits.skip(2, "enable_jnt_comp")?;
    }
    let screen_content =
        bits.flag("seq_choose_screen_content_tools")? || bits.flag("seq_force_screen_content_tools")?;
    if screen_content && !bits.flag("seq_choose_integer_mv")? {
        bits.skip(1, "seq_force_integer_mv")?;
    }
    if order_hint {
        bits.skip(3, "order_hint_bits_minus_1")?;
    }
    Ok(())
}

struct Colour {
    bit_depth: u8,
    chroma: Chroma,
    position: u8,
    described: Option<[u8; 3]>,
    full_range: bool,
}

/// 5.5.2.
fn colour_config(bits: &mut Bits<&[u8]>, profile: u8) -> Result<Colour, CodecError> {
    let high = bits.flag("high_bitdepth")?;
    let bit_depth = match (high, profile) {
        (false, _) => 8,
        (true, 2) if bits.flag("twelve_bit")? => 12,
        (true, _) => 10,
    };
    let monochrome = profile != 1 && bits.flag("mono_chrome")?;
    let described = if bits.flag("color_description_present_flag")? {
        let primaries = bits.u8(8, "color_primaries")?;
        Some([primaries, bits.u8(8, "transfer_characteristics")?, bits.u8(8, "matrix_coefficients")?])
    } else {
        None
    };
    if monochrome {
        let full_range = bits.flag("color_range")?;
        return Ok(Colour { bit_depth, chroma: Chroma::Monochrome, position: 0, described, full_range });
    }
    // sRGB: BT.709 primaries, sRGB transfer, identity matrix.
    let (full_range, chroma) = if described == Some([1, 13, 0]) {
        (true, Chroma::Yuv444)
    } else {
        let full_range = bits.flag("color_range")?;
        let chroma = match profile {
            0 => Chroma::Yuv420,
            1 => Chroma::Yuv444,
            _ if bit_depth < 12 => Chroma::Yuv422,
            _ if !bits.flag("subsampling_x")? => Chroma::Yuv444,
            _ if bits.flag("subsampling_y")? => Chroma::Yuv420,
            _ => Chroma::Yuv422,
        };
        (full_range, chroma)
    };
    let position = if chroma == Chroma::Yuv420 { bits.u8(2, "chroma_sample_position")? } else { 0 };
    bits.skip(1, "separate_uv_delta_q")?;
    Ok(Colour { bit_depth, chroma, position, described, full_range })
}

/// The configuration record of the AV1 ISOBMFF binding ("av1C"), which is Matroska's private data too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Av1Config {
    /// `seq_profile`, 3 bits.
    pub profile: u8,
    /// `seq_level_idx_0`, 5 bits.
    pub level: u8,
    /// `seq_tier_0`: the High tier.
    pub high_tier: bool,
    /// Bits a sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// How colour is sampled.
    pub chroma: Chroma,
    /// `chroma_sample_position`, 2 bits.
    pub chroma_position: u8,
    /// `initial_presentation_delay_minus_one`, 4 bits.
    pub presentation_delay_minus_one: Option<u8>,
    /// `configOBUs`: the sequence header unit and metadata.
    pub obus: Bytes,
}

impl Av1Config {
    /// The record for a sequence header, given as the payload of its unit.
    ///
    /// # Errors
    /// When the header cannot be read.
    pub fn from_sequence_header(payload: &[u8]) -> Result<Self, CodecError> {
        let header = parse_sequence_header(payload)?;
        let mut obu = vec![SEQUENCE_HEADER << 3 | 2];
        put_leb128(payload.len(), &mut obu);
        obu.put_slice(payload);
        Ok(Self {
            profile: header.picture.profile,
            level: header.picture.level,
            high_tier: header.high_tier,
            bit_depth: header.picture.bit_depth,
            chroma: header.picture.chroma,
            chroma_position: header.chroma_position,
            presentation_delay_minus_one: None,
            obus: obu.into(),
        })
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When it is shorter than four bytes or marker and version are not 1.
    pub fn parse(private: &Bytes) -> Result<Self, CodecError> {
        let mut fields = Fields::of("av1C", private);
        match fields.u8("version")? {
            0x81 => {}
            version => return Err(CodecError::value("av1C", "version", version)),
        }
        let [levels, flags, delay] = fields.array("initial_presentation_delay")?;
        let chroma = match (flags & 0x10 != 0, flags & 8 != 0, flags & 4 != 0) {
            (true, ..) => Chroma::Monochrome,
            (_, true, true) => Chroma::Yuv420,
            (_, true, false) => Chroma::Yuv422,
            (_, false, _) => Chroma::Yuv444,
        };
        Ok(Self {
            profile: levels >> 5,
            level: levels & 0x1f,
            high_tier: flags & 0x80 != 0,
            bit_depth: match (flags & 0x40 != 0, flags & 0x20 != 0) {
                (false, _) => 8,
                (true, false) => 10,
                (true, true) => 12,
            },
            chroma,
            chroma_position: flags & 3,
            presentation_delay_minus_one: (delay & 0x10 != 0).then_some(delay & 15),
            obus: fields.rest(),
        })
    }

    /// The bytes of the record; what does not fit its bits is cut to them.
    pub fn write(&self) -> Bytes {
        let (x, y) = match self.chroma {
            Chroma::Monochrome | Chroma::Yuv420 => (8, 4),
            Chroma::Yuv422 => (8, 0),
            Chroma::Yuv444 => (0, 0),
        };
        let mut out = Vec::with_capacity(self.obus.len().saturating_add(4));
        out.put_u8(0x81);
        out.put_u8(self.profile << 5 | self.level & 0x1f);
        out.put_u8(
            u8::from(self.high_tier) << 7
                | u8::from(self.bit_depth > 8) << 6
                | u8::from(self.bit_depth > 10) << 5
                | u8::from(self.chroma == Chroma::Monochrome) << 4
                | x
                | y
                | self.chroma_position & 3,
        );
        out.put_u8(self.presentation_delay_minus_one.map_or(0, |delay| 0x10 | delay & 15));
        out.put_slice(&self.obus);
        out.into()
    }

    /// What the sequence header in the record says.
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn sequence_header(&self) -> Result<SequenceHeader, CodecError> {
        for unit in obus(&self.obus) {
            let unit = unit?;
            if unit.unit_type == SEQUENCE_HEADER {
                return parse_sequence_header(unit.payload);
            }
        }
        Err(CodecError::Broken { part: "av1C", rule: "has no sequence header" })
    }

    /// The codec string of the AV1 ISOBMFF binding, such as `av01.0.04M.08`; the long form when it differs from its
    /// defaults in what `header` tells of colour.
    pub fn rfc6381(&self, header: Option<&SequenceHeader>) -> String {
        let tier = if self.high_tier { 'H' } else { 'M' };
        let short = format!("av01.{}.{:02}{tier}.{:02}", self.profile, self.level, self.bit_depth);
        let colour = header.and_then(|header| header.colour);
        let full_range = header.is_some_and(|header| header.full_range);
        if self.chroma == Chroma::Yuv420 && colour.is_none_or(|c| c == [1; 3]) && !full_range {
            return short;
        }
        let [primaries, transfer, matrix] = colour.unwrap_or([1; 3]);
        let (x, y) = if self.chroma == Chroma::Monochrome { (2, 2) } else { self.chroma.subsampling() };
        let position = if (x, y) == (2, 2) { self.chroma_position } else { 0 };
        format!(
            "{short}.{}.{}{}{position}.{primaries:02}.{transfer:02}.{matrix:02}.{}",
            u8::from(self.chroma == Chroma::Monochrome),
            x.saturating_sub(1),
            y.saturating_sub(1),
            u8::from(full_range),
        )
    }
}

//! H.264 (ITU-T H.264, ISO 14496-10): parameter sets, the avcC record, access units.

use std::io::Read;
use std::num::NonZeroUsize;

use bytes::{BufMut, Bytes};
use h264_reader::nal::sps::{
    AspectRatioInfo, ChromaFormat, FrameMbsFlags, PicOrderCntType, ProfileIdc, SeqParameterSet, SpsError,
};
use h264_reader::rbsp::{BitRead, BitReader, BitReaderError, ByteReader, Integer, Primitive};

use super::bits::{Bits, Fields, Rbsp, error};
use super::nal::trim_trailing_zeros;
use super::{AccessUnit, Chroma, CodecError, Form, FrameRate, LengthSize, Picture, RandomAccess};

pub(crate) const HEADER: NonZeroUsize = NonZeroUsize::MIN;

/// `nal_unit_type` of a unit (H.264 table 7-1); 0 for an empty one.
pub fn unit_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |byte| byte & 0x1f)
}

/// A slice of a picture that is not an IDR picture.
pub const SLICE: u8 = 1;
/// A slice of an IDR picture.
pub const IDR: u8 = 5;
/// Supplemental enhancement information.
pub const SEI: u8 = 6;
/// A sequence parameter set.
pub const SPS: u8 = 7;
/// A picture parameter set.
pub const PPS: u8 = 8;

/// `payloadType` of a recovery point message (H.264 D.1).
const RECOVERY_POINT: u64 = 6;

/// `seq_parameter_set_id` of an SPS.
pub(crate) fn sps_id(unit: &[u8]) -> Result<u8, CodecError> {
    let mut bits = Bits::of_nal("SPS", unit, HEADER);
    bits.skip(24, "level_idc")?;
    small(bits.ue(31, "seq_parameter_set_id")?)
}

/// `pic_parameter_set_id` of a PPS.
pub(crate) fn pps_id(unit: &[u8]) -> Result<u8, CodecError> {
    small(Bits::of_nal("PPS", unit, HEADER).ue(255, "pic_parameter_set_id")?)
}

fn small(id: u32) -> Result<u8, CodecError> {
    u8::try_from(id).map_err(|_| CodecError::value("parameter set", "id", id))
}

/// What a sequence parameter set says of its pictures. Takes the whole NAL unit with its header.
///
/// Tolerant where decoders are: a level that is too low for the picture, reference counts that contradict the VUI and
/// bytes after the end are common in cameras and do not keep a picture from being shown.
///
/// # Errors
/// When it is no SPS, ends early, or describes a picture that cannot be.
pub fn parse_sps(unit: &[u8]) -> Result<Picture, CodecError> {
    if unit_type(unit) != SPS {
        return Err(CodecError::value("SPS", "nal_unit_type", unit_type(unit)));
    }
    let unit = trim_trailing_zeros(unit);
    let &[header, profile, flags, level, ..] = unit else {
        return Err(CodecError::Truncated { part: "SPS", field: "level_idc" });
    };
    if unit.len() > usize::from(u16::MAX) {
        return Err(CodecError::Broken { part: "SPS", rule: "is longer than 65535 bytes" });
    }
    // 255 is no level: the reader then measures nothing against the limits of table A-1. No escape is torn by it, as the
    // byte after the level begins an id of at most 31 and is at least 4.
    let mut unlimited = unit.to_vec();
    unlimited.splice(..4, [header, profile, flags, 0xff]);
    let read = |vui| SeqParameterSet::from_bits(LenientSps::of(&unlimited, vui));
    let sps = read(true).or_else(|_| read(false)).map_err(|e| sps_error(&e))?;
    picture(&sps, profile, flags, level)
}

fn picture(sps: &SeqParameterSet, profile: u8, flags: u8, level: u8) -> Result<Picture, CodecError> {
    let (width, height) = sps.pixel_dimensions().map_err(|e| sps_error(&e))?;
    if width == 0 || height == 0 {
        return Err(CodecError::Broken { part: "SPS", rule: "crops the whole picture away" });
    }
    let chroma = match sps.chroma_info.chroma_format {
        ChromaFormat::Monochrome => Chroma::Monochrome,
        ChromaFormat::YUV420 => Chroma::Yuv420,
        ChromaFormat::YUV422 => Chroma::Yuv422,
        ChromaFormat::YUV444 => Chroma::Yuv444,
        ChromaFormat::Invalid(idc) => return Err(CodecError::value("SPS", "chroma_format_idc", idc)),
    };
    let vui = sps.vui_parameters.as_ref();
    let aspect = vui.and_then(|vui| vui.aspect_ratio_info.as_ref()).and_then(AspectRatioInfo::get);
    let timing = vui.and_then(|vui| vui.timing_info.as_ref());
    Ok(Picture {
        width,
        height,
        pixel_aspect: aspect.map(|(x, y)| (u32::from(x), u32::from(y))),
        // A tick is a field (E.2.1), also in progressive video.
        frame_rate: timing
            .and_then(|t| FrameRate::new(u64::from(t.time_scale), u64::from(t.num_units_in_tick) * 2)),
        reorder_depth: Some(reorder_depth(sps, profile, flags, level)),
        bit_depth: sps.chroma_info.bit_depth_luma_minus8.saturating_add(8),
        chroma,
        profile,
        level,
    })
}

/// `max_num_reorder_frames`, told or inferred as E.2.1 says, with two cases in which no encoder reorders.
fn reorder_depth(sps: &SeqParameterSet, profile: u8, flags: u8, level: u8) -> u32 {
    if let Some(told) = sps.vui_parameters.as_ref().and_then(|vui| vui.bitstream_restrictions.as_ref()) {
        return told.max_num_reorder_frames.min(16);
    }
    let intra_only = matches!(profile, 44 | 86 | 100 | 110 | 122 | 244) && flags & 0x10 != 0;
    // Type 2 makes output order decoding order (8.2.1.3). Baseline (66) has no B slices.
    if intra_only || profile == 66 || sps.pic_order_cnt == PicOrderCntType::TypeTwo {
        return 0;
    }
    let fields = matches!(sps.frame_mbs_flags, FrameMbsFlags::Fields { .. });
    let rows = sps.pic_height_in_map_units().saturating_mul(if fields { 2 } else { 1 });
    let size = sps.pic_width_in_mbs().saturating_mul(rows).max(1);
    max_dpb_macroblocks(flags, level)
        .and_then(|limit| limit.checked_div(size))
        .map_or(16, |frames| frames.min(16))
}

fn max_dpb_macroblocks(flags: u8, level: u8) -> Option<u32> {
    let level = h264_reader::nal::sps::Level::from_constraint_flags_and_level_idc(flags.into(), level);
    level.limits().map(|limits| limits.max_dpb_mbs)
}

fn sps_error(e: &SpsError) -> CodecError {
    match e {
        SpsError::RbspReaderError(e) => error("SPS", e),
        SpsError::FieldValueTooLarge { name, value } | SpsError::FieldValueTooSmall { name, value } => {
            CodecError::value("SPS", name, *value)
        }
        SpsError::BitDepthOutOfRange(value) => CodecError::value("SPS", "bit_depth_minus8", *value),
        SpsError::Log2MaxFrameNumMinus4OutOfRange(value) => {
            CodecError::value("SPS", "log2_max_frame_num_minus4", *value)
        }
        SpsError::CpbCountOutOfRange(value) => CodecError::value("SPS", "cpb_cnt_minus1", *value),
        SpsError::BadSeqParamSetId(_) | SpsError::UnknownSeqParamSetId(_) => {
            CodecError::Broken { part: "SPS", rule: "has an id above 31" }
        }
        SpsError::PicOrderCnt(_) => {
            CodecError::Broken { part: "SPS", rule: "has no valid picture order count" }
        }
        SpsError::ScalingMatrix(_) => CodecError::Broken { part: "SPS", rule: "has no valid scaling matrix" },
        SpsError::CroppingError(_) => {
            CodecError::Broken { part: "SPS", rule: "crops the whole picture away" }
        }
    }
}

/// The bits of an SPS as the strict reader can bear them: it may be told that there is no VUI, and that nothing follows.
struct LenientSps<'a> {
    inner: BitReader<Rbsp<'a>>,
    vui: bool,
}

impl<'a> LenientSps<'a> {
    fn of(unit: &'a [u8], vui: bool) -> Self {
        Self { inner: BitReader::new(ByteReader::skipping_h264_header(unit)), vui }
    }
}

impl BitRead for LenientSps<'_> {
    fn read_ue(&mut self, name: &'static str) -> Result<u32, BitReaderError> {
        self.inner.read_ue(name)
    }

    fn read_se(&mut self, name: &'static str) -> Result<i32, BitReaderError> {
        self.inner.read_se(name)
    }

    fn read_bit(&mut self, name: &'static str) -> Result<bool, BitReaderError> {
        let bit = self.inner.read_bit(name)?;
        Ok(bit && (self.vui || name != "vui_parameters_present_flag"))
    }

    fn read<const BITS: u32, I: Integer>(&mut self, name: &'static str) -> Result<I, BitReaderError> {
        self.inner.read::<BITS, I>(name)
    }

    fn read_var<I: Integer>(&mut self, bits: u32, name: &'static str) -> Result<I, BitReaderError> {
        self.inner.read_var(bits, name)
    }

    fn read_to<V: Primitive>(&mut self, name: &'static str) -> Result<V, BitReaderError> {
        self.inner.read_to(name)
    }

    fn skip(&mut self, bits: u32, name: &'static str) -> Result<(), BitReaderError> {
        self.inner.skip(bits, name)
    }

    fn byte_aligned(&self) -> bool {
        self.inner.byte_aligned()
    }

    fn has_more_rbsp_data(&mut self, name: &'static str) -> Result<bool, BitReaderError> {
        self.inner.has_more_rbsp_data(name)
    }

    fn finish_rbsp(self) -> Result<(), BitReaderError> {
        Ok(())
    }

    fn finish_sei_payload(self) -> Result<(), BitReaderError> {
        Ok(())
    }
}

/// What the units of an access unit say of it. Reads up to the first slice and no further; allocates nothing.
///
/// # Errors
/// When it cannot be divided into NAL units.
pub fn inspect(data: &[u8], form: Form) -> Result<AccessUnit, CodecError> {
    let mut found = AccessUnit::default();
    for unit in form.units(data) {
        if found.look_at_h264(unit?) {
            break;
        }
    }
    Ok(found)
}

impl AccessUnit {
    /// Takes in one unit; true when it is a slice, after which nothing more is to be learnt.
    pub(crate) fn look_at_h264(&mut self, unit: &[u8]) -> bool {
        match unit_type(unit) {
            SPS | PPS => self.has_parameter_sets = true,
            SEI if self.random_access.is_none() => self.random_access = recovery_point(unit),
            kind @ (SLICE..=IDR) => {
                self.has_picture = true;
                if kind == IDR {
                    self.random_access = Some(RandomAccess::Idr);
                }
                self.leads = matches!(self.random_access, Some(RandomAccess::Recovery { .. }));
                self.discardable = unit.first().is_some_and(|byte| byte & 0x60 == 0);
                return true;
            }
            _ => {}
        }
        false
    }
}

/// A recovery point within an SEI unit. A unit that cannot be read says nothing: decoders pass over it as well.
fn recovery_point(unit: &[u8]) -> Option<RandomAccess> {
    let mut bytes = ByteReader::skipping_h264_header(trim_trailing_zeros(unit));
    loop {
        let (kind, len) = (sei_number(&mut bytes)?, sei_number(&mut bytes)?);
        if kind == RECOVERY_POINT {
            let frames = Bits::of_rbsp("recovery point", bytes).ue(u32::MAX, "recovery_frame_cnt").ok()?;
            return Some(RandomAccess::Recovery { frames });
        }
        let skipped = std::io::copy(&mut bytes.by_ref().take(len), &mut std::io::sink()).ok()?;
        if skipped < len {
            return None;
        }
    }
}

/// `payloadType` or `payloadSize` (7.3.2.3.1): every byte of 255 adds on, the first other byte ends it.
fn sei_number(bytes: &mut Rbsp<'_>) -> Option<u64> {
    let mut number = 0_u64;
    loop {
        let mut byte = [0_u8];
        bytes.read_exact(&mut byte).ok()?;
        let [byte] = byte;
        number = number.checked_add(u64::from(byte))?;
        if byte != 0xff {
            return Some(number);
        }
    }
}

/// The decoder configuration record of ISO 14496-15 5.3.3.1 ("avcC").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvcConfig {
    /// `AVCProfileIndication`.
    pub profile: u8,
    /// `profile_compatibility`, the constraint flags.
    pub compatibility: u8,
    /// `AVCLevelIndication`.
    pub level: u8,
    /// How the lengths in samples are written.
    pub length_size: LengthSize,
    /// Sequence parameter sets, at most 31.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, at most 255.
    pub pps: Vec<Bytes>,
    /// What the High profiles add at the end.
    pub high: Option<HighConfig>,
}

/// The end of an avcC record of the High profiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HighConfig {
    /// How colour is sampled.
    pub chroma: Chroma,
    /// Bits a sample of brightness, 8 to 15.
    pub bit_depth_luma: u8,
    /// Bits a sample of colour, 8 to 15.
    pub bit_depth_chroma: u8,
    /// Sequence parameter set extensions.
    pub sps_extensions: Vec<Bytes>,
}

impl AvcConfig {
    /// The record for these parameter sets (whole NAL units), for samples with 4-byte lengths.
    ///
    /// # Errors
    /// When there is no SPS or the first cannot be read.
    pub fn from_parameter_sets(sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<Self, CodecError> {
        let first = sps.first().ok_or(CodecError::Broken { part: "avcC", rule: "needs an SPS" })?;
        let picture = parse_sps(first)?;
        let compatibility = first.get(2).copied().unwrap_or_default();
        let high = (!matches!(picture.profile, 66 | 77 | 88)).then(|| HighConfig {
            chroma: picture.chroma,
            bit_depth_luma: picture.bit_depth,
            bit_depth_chroma: chroma_depth(first).unwrap_or(picture.bit_depth),
            sps_extensions: Vec::new(),
        });
        let length_size = LengthSize::Four;
        Ok(Self {
            profile: picture.profile,
            compatibility,
            level: picture.level,
            length_size,
            sps,
            pps,
            high,
        })
    }

    /// Reads a record. An end of the High profiles that cannot be read is taken as none, as decoders do.
    ///
    /// # Errors
    /// When the version is not 1 or a parameter set is cut off.
    pub fn parse(private: &Bytes) -> Result<Self, CodecError> {
        let mut fields = Fields::of("avcC", private);
        match fields.u8("configurationVersion")? {
            1 => {}
            version => return Err(CodecError::value("avcC", "configurationVersion", version)),
        }
        let [profile, compatibility, level] = fields.array("AVCLevelIndication")?;
        let length_size = LengthSize::from_minus_one(fields.u8("lengthSizeMinusOne")?);
        let count = u16::from(fields.u8("numOfSequenceParameterSets")? & 0x1f);
        let sps = units(&mut fields, count, "sequenceParameterSetNALUnit")?;
        let count = u16::from(fields.u8("numOfPictureParameterSets")?);
        let pps = units(&mut fields, count, "pictureParameterSetNALUnit")?;
        let high = if matches!(profile, 66 | 77 | 88) { None } else { high_config(&mut fields).ok() };
        Ok(Self { profile, compatibility, level, length_size, sps, pps, high })
    }

    /// The bytes of the record.
    ///
    /// # Errors
    /// When there are more sets than can be counted, or one is longer than 65535 bytes.
    pub fn write(&self) -> Result<Bytes, CodecError> {
        let mut out = Vec::with_capacity(64);
        out.extend([1, self.profile, self.compatibility, self.level, 0xfc | self.length_size.minus_one()]);
        out.put_u8(0xe0 | count(&self.sps, 31, "numOfSequenceParameterSets")?);
        put_units(&self.sps, &mut out)?;
        out.put_u8(count(&self.pps, 255, "numOfPictureParameterSets")?);
        put_units(&self.pps, &mut out)?;
        if let Some(high) = &self.high {
            out.put_u8(0xfc | high.chroma.idc());
            out.put_u8(0xf8 | depth_minus_8(high.bit_depth_luma)?);
            out.put_u8(0xf8 | depth_minus_8(high.bit_depth_chroma)?);
            out.put_u8(count(&high.sps_extensions, 255, "numOfSequenceParameterSetExt")?);
            put_units(&high.sps_extensions, &mut out)?;
        }
        Ok(out.into())
    }

    /// What the first sequence parameter set says of the pictures.
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn picture(&self) -> Result<Picture, CodecError> {
        parse_sps(self.sps.first().ok_or(CodecError::Broken { part: "avcC", rule: "needs an SPS" })?)
    }

    /// The codec string of RFC 6381, such as `avc1.42c032`.
    pub fn rfc6381(&self) -> String {
        format!("avc1.{:02x}{:02x}{:02x}", self.profile, self.compatibility, self.level)
    }
}

/// Bits a sample of colour, which [`Picture`] has no use for; `None` of a profile whose SPS does not tell (7.3.2.1.1).
fn chroma_depth(sps: &[u8]) -> Option<u8> {
    let profile = *sps.get(1)?;
    if !ProfileIdc::from(profile).has_chroma_info() {
        return None;
    }
    let mut bits = Bits::of_nal("SPS", sps, HEADER);
    bits.skip(24, "level_idc").ok()?;
    bits.skip_ue("seq_parameter_set_id").ok()?;
    if bits.ue(3, "chroma_format_idc").ok()? == 3 {
        bits.skip(1, "separate_colour_plane_flag").ok()?;
    }
    bits.skip_ue("bit_depth_luma_minus8").ok()?;
    u8::try_from(bits.ue(6, "bit_depth_chroma_minus8").ok()?.checked_add(8)?).ok()
}

fn high_config(fields: &mut Fields) -> Result<HighConfig, CodecError> {
    let idc = fields.u8("chroma_format")? & 3;
    let chroma = Chroma::from_idc(u32::from(idc)).unwrap_or(Chroma::Yuv420);
    let bit_depth_luma = (fields.u8("bit_depth_luma_minus8")? & 7).saturating_add(8);
    let bit_depth_chroma = (fields.u8("bit_depth_chroma_minus8")? & 7).saturating_add(8);
    let count = u16::from(fields.u8("numOfSequenceParameterSetExt")?);
    let sps_extensions = units(fields, count, "sequenceParameterSetExtNALUnit")?;
    Ok(HighConfig { chroma, bit_depth_luma, bit_depth_chroma, sps_extensions })
}

fn depth_minus_8(depth: u8) -> Result<u8, CodecError> {
    depth.checked_sub(8).filter(|d| *d <= 7).ok_or(CodecError::value("avcC", "bit_depth", depth))
}

pub(crate) fn units(fields: &mut Fields, count: u16, field: &'static str) -> Result<Vec<Bytes>, CodecError> {
    (0..count)
        .map(|_| {
            let len = fields.u16(field)?;
            fields.take(usize::from(len), field)
        })
        .collect()
}

fn count(units: &[Bytes], max: u8, field: &'static str) -> Result<u8, CodecError> {
    let count = u8::try_from(units.len()).ok().filter(|count| *count <= max);
    count.ok_or(CodecError::value("avcC", field, units.len() as u64))
}

pub(crate) fn put_units(units: &[Bytes], out: &mut Vec<u8>) -> Result<(), CodecError> {
    for unit in units {
        let len = u16::try_from(unit.len());
        out.put_u16(len.map_err(|_| CodecError::value("parameter set", "length", unit.len() as u64))?);
        out.put_slice(unit);
    }
    Ok(())
}

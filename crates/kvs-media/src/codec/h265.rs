//! H.265 (ITU-T H.265, ISO 23008-2): parameter sets, the hvcC record, access units.

use std::fmt::Write as _;
use std::num::NonZeroUsize;

use bytes::{BufMut, Bytes};

use super::bits::{Bits, Fields, Rbsp};
use super::h264::{put_units, units};
use super::{AccessUnit, Chroma, CodecError, Form, FrameRate, LengthSize, Picture, RandomAccess};

pub(crate) const HEADER: NonZeroUsize = match NonZeroUsize::new(2) {
    Some(two) => two,
    None => NonZeroUsize::MIN,
};

/// `nal_unit_type` of a unit (H.265 table 7-1); 63, which is unspecified, for an empty one.
pub fn unit_type(unit: &[u8]) -> u8 {
    unit.first().map_or(63, |byte| byte >> 1 & 0x3f)
}

/// `nuh_layer_id` of a unit: 0 for the base layer, which alone every decoder shows.
pub fn layer(unit: &[u8]) -> u8 {
    match unit {
        [first, second, ..] => (first & 1) << 5 | second >> 3,
        _ => 0,
    }
}

/// A video parameter set.
pub const VPS: u8 = 32;
/// A sequence parameter set.
pub const SPS: u8 = 33;
/// A picture parameter set.
pub const PPS: u8 = 34;

/// `profile_tier_level` as far as the private data and the codec string repeat it (7.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileTierLevel {
    /// `general_profile_space`, 0 to 3.
    pub profile_space: u8,
    /// `general_tier_flag`: the High tier.
    pub high_tier: bool,
    /// `general_profile_idc`.
    pub profile: u8,
    /// `general_profile_compatibility_flag`, flag 0 in the highest bit.
    pub compatibility: u32,
    /// The six bytes from `general_progressive_source_flag` on.
    pub constraints: [u8; 6],
    /// `general_level_idc`: thirty times the level.
    pub level: u8,
}

/// What a sequence parameter set says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// Of its pictures.
    pub picture: Picture,
    /// Profile, tier and level.
    pub ptl: ProfileTierLevel,
    /// Bits a sample of colour.
    pub bit_depth_chroma: u8,
    /// `sps_max_sub_layers_minus1` plus one.
    pub temporal_layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub temporal_id_nested: bool,
    /// `min_spatial_segmentation_idc` of the VUI; 0 when it is silent.
    pub min_spatial_segmentation: u16,
}

pub(crate) fn vps_id(unit: &[u8]) -> Result<u8, CodecError> {
    Bits::of_nal("VPS", unit, HEADER).u8(4, "vps_video_parameter_set_id")
}

pub(crate) fn sps_id(unit: &[u8]) -> Result<u8, CodecError> {
    let mut bits = Bits::of_nal("SPS", unit, HEADER);
    bits.skip(4, "sps_video_parameter_set_id")?;
    let sub_layers = bits.u8(3, "sps_max_sub_layers_minus1")?;
    bits.skip(1, "sps_temporal_id_nesting_flag")?;
    profile_tier_level(&mut bits, sub_layers)?;
    let id = bits.ue(15, "sps_seq_parameter_set_id")?;
    u8::try_from(id).map_err(|_| CodecError::value("SPS", "sps_seq_parameter_set_id", id))
}

pub(crate) fn pps_id(unit: &[u8]) -> Result<u8, CodecError> {
    let id = Bits::of_nal("PPS", unit, HEADER).ue(63, "pps_pic_parameter_set_id")?;
    u8::try_from(id).map_err(|_| CodecError::value("PPS", "pps_pic_parameter_set_id", id))
}

fn profile_tier_level(bits: &mut Bits<Rbsp<'_>>, sub_layers: u8) -> Result<ProfileTierLevel, CodecError> {
    let profile_space = bits.u8(2, "general_profile_space")?;
    let high_tier = bits.flag("general_tier_flag")?;
    let profile = bits.u8(5, "general_profile_idc")?;
    let compatibility = bits.u32(32, "general_profile_compatibility_flag")?;
    let mut constraints = [0_u8; 6];
    for byte in &mut constraints {
        *byte = bits.u8(8, "general_constraint_flags")?;
    }
    let level = bits.u8(8, "general_level_idc")?;
    let mut skipped = 0_u32;
    for layer in 0..8_u8 {
        if layer < sub_layers {
            let profile_present = bits.flag("sub_layer_profile_present_flag")?;
            let level_present = bits.flag("sub_layer_level_present_flag")?;
            skipped += 88 * u32::from(profile_present) + 8 * u32::from(level_present);
        } else if sub_layers > 0 {
            bits.skip(2, "reserved_zero_2bits")?;
        }
    }
    bits.skip(skipped, "sub_layer_profile_tier_level")?;
    Ok(ProfileTierLevel { profile_space, high_tier, profile, compatibility, constraints, level })
}

/// Reads a sequence parameter set: the whole NAL unit with its header.
///
/// A VUI that cannot be read is taken as silent: it holds nothing that decoding needs.
///
/// # Errors
/// When it is no SPS, ends early, or describes a picture that cannot be.
pub fn parse_sps(unit: &[u8]) -> Result<Sps, CodecError> {
    if unit_type(unit) != SPS {
        return Err(CodecError::value("SPS", "nal_unit_type", unit_type(unit)));
    }
    let bits = &mut Bits::of_nal("SPS", unit, HEADER);
    bits.skip(4, "sps_video_parameter_set_id")?;
    let sub_layers = bits.u8(3, "sps_max_sub_layers_minus1")?;
    if sub_layers > 6 {
        return Err(CodecError::value("SPS", "sps_max_sub_layers_minus1", sub_layers));
    }
    let temporal_id_nested = bits.flag("sps_temporal_id_nesting_flag")?;
    let ptl = profile_tier_level(bits, sub_layers)?;
    bits.ue(15, "sps_seq_parameter_set_id")?;
    let chroma = Chroma::from_idc(bits.ue(3, "chroma_format_idc")?).unwrap_or(Chroma::Yuv444);
    if chroma == Chroma::Yuv444 {
        bits.skip(1, "separate_colour_plane_flag")?;
    }
    let mut width = bits.ue(65_535, "pic_width_in_luma_samples")?;
    let mut height = bits.ue(65_535, "pic_height_in_luma_samples")?;
    if bits.flag("conformance_window_flag")? {
        let (across, down) = chroma.subsampling();
        let mut crop = |size: &mut u32, unit: u32| -> Result<(), CodecError> {
            let offset = bits.ue(65_535, "conf_win_offset")?;
            *size = size.saturating_sub(offset.saturating_mul(unit));
            Ok(())
        };
        crop(&mut width, across)?;
        crop(&mut width, across)?;
        crop(&mut height, down)?;
        crop(&mut height, down)?;
    }
    if width == 0 || height == 0 {
        return Err(CodecError::Broken { part: "SPS", rule: "has a picture without pixels" });
    }
    // hvcC has three bits for each; 16-bit video could not be declared.
    let luma_extra = bits.ue(7, "bit_depth_luma_minus8")?;
    let chroma_extra = bits.ue(7, "bit_depth_chroma_minus8")?;
    let order_bits = bits.ue(12, "log2_max_pic_order_cnt_lsb_minus4")?.saturating_add(4);
    let reorder = reorder_pictures(bits, sub_layers)?;
    let vui = rest_and_vui(bits, order_bits, sub_layers).unwrap_or_default();
    Ok(Sps {
        picture: Picture {
            width,
            height,
            pixel_aspect: vui.pixel_aspect,
            frame_rate: vui.frame_rate,
            reorder_depth: Some(reorder),
            bit_depth: depth(luma_extra),
            chroma,
            profile: ptl.profile,
            level: ptl.level,
        },
        ptl,
        bit_depth_chroma: depth(chroma_extra),
        temporal_layers: sub_layers.saturating_add(1),
        temporal_id_nested,
        min_spatial_segmentation: vui.min_spatial_segmentation,
    })
}

fn depth(minus_8: u32) -> u8 {
    u8::try_from(minus_8.saturating_add(8)).unwrap_or(u8::MAX)
}

/// `sps_max_num_reorder_pics` of the highest temporal layer, which is the whole stream.
fn reorder_pictures(bits: &mut Bits<Rbsp<'_>>, sub_layers: u8) -> Result<u32, CodecError> {
    let all = bits.flag("sps_sub_layer_ordering_info_present_flag")?;
    let mut reorder = 0;
    for _ in if all { 0 } else { sub_layers }..=sub_layers {
        bits.ue(15, "sps_max_dec_pic_buffering_minus1")?;
        reorder = bits.ue(15, "sps_max_num_reorder_pics")?;
        bits.skip_ue("sps_max_latency_increase_plus1")?;
    }
    Ok(reorder)
}

#[derive(Default)]
struct Vui {
    pixel_aspect: Option<(u32, u32)>,
    frame_rate: Option<FrameRate>,
    min_spatial_segmentation: u16,
}

/// The SPS from the coding block sizes on: everything up to the VUI must be read to find the VUI.
fn rest_and_vui(bits: &mut Bits<Rbsp<'_>>, order_bits: u32, sub_layers: u8) -> Result<Vui, CodecError> {
    for field in ["log2_min_luma_coding_block_size_minus3", "log2_diff_max_min_luma_coding_block_size"] {
        bits.skip_ue(field)?;
    }
    for field in ["log2_min_luma_transform_block_size_minus2", "log2_diff_max_min_luma_transform_block_size"]
    {
        bits.skip_ue(field)?;
    }
    bits.skip_ue("max_transform_hierarchy_depth_inter")?;
    bits.skip_ue("max_transform_hierarchy_depth_intra")?;
    if bits.flag("scaling_list_enabled_flag")? && bits.flag("sps_scaling_list_data_present_flag")? {
        scaling_list_data(bits)?;
    }
    bits.skip(2, "sample_adaptive_offset_enabled_flag")?;
    if bits.flag("pcm_enabled_flag")? {
        bits.skip(8, "pcm_sample_bit_depth")?;
        bits.skip_ue("log2_min_pcm_luma_coding_block_size_minus3")?;
        bits.skip_ue("log2_diff_max_min_pcm_luma_coding_block_size")?;
        bits.skip(1, "pcm_loop_filter_disabled_flag")?;
    }
    short_term_ref_pic_sets(bits)?;
    if bits.flag("long_term_ref_pics_present_flag")? {
        for _ in 0..bits.ue(32, "num_long_term_ref_pics_sps")? {
            bits.skip(order_bits.saturating_add(1), "lt_ref_pic_poc_lsb_sps")?;
        }
    }
    bits.skip(2, "strong_intra_smoothing_enabled_flag")?;
    if bits.flag("vui_parameters_present_flag")? {
        vui_parameters(bits, sub_layers)
    } else {
        Ok(Vui::default())
    }
}

/// 7.3.4.
fn scaling_list_data(bits: &mut Bits<Rbsp<'_>>) -> Result<(), CodecError> {
    for size in 0..4_u32 {
        let coefficients = 64_u32.min(1 << (4 + 2 * size));
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if !bits.flag("scaling_list_pred_mode_flag")? {
                bits.skip_ue("scaling_list_pred_matrix_id_delta")?;
                continue;
            }
            let dc = u32::from(size > 1);
            for _ in 0..coefficients + dc {
                bits.skip_ue("scaling_list_delta_coef")?;
            }
        }
    }
    Ok(())
}

/// 7.3.7 and 7.4.8, as far as the number of pictures in each set, on which the length of the next depends.
fn short_term_ref_pic_sets(bits: &mut Bits<Rbsp<'_>>) -> Result<(), CodecError> {
    let mut pictures = 0_u32;
    for index in 0..bits.ue(64, "num_short_term_ref_pic_sets")? {
        if index > 0 && bits.flag("inter_ref_pic_set_prediction_flag")? {
            bits.skip(1, "delta_rps_sign")?;
            bits.skip_ue("abs_delta_rps_minus1")?;
            let mut kept = 0;
            for _ in 0..=pictures {
                let used = bits.flag("used_by_curr_pic_flag")?;
                if used || bits.flag("use_delta_flag")? {
                    kept += 1;
                }
            }
            pictures = kept;
        } else {
            pictures = bits.ue(16, "num_negative_pics")? + bits.ue(16, "num_positive_pics")?;
            for _ in 0..pictures {
                bits.skip_ue("delta_poc_minus1")?;
                bits.skip(1, "used_by_curr_pic_flag")?;
            }
        }
        if pictures > 32 {
            return Err(CodecError::value("SPS", "NumDeltaPocs", pictures));
        }
    }
    Ok(())
}

/// E.2.1.
fn vui_parameters(bits: &mut Bits<Rbsp<'_>>, sub_layers: u8) -> Result<Vui, CodecError> {
    let mut vui = Vui::default();
    if bits.flag("aspect_ratio_info_present_flag")? {
        vui.pixel_aspect = match bits.u8(8, "aspect_ratio_idc")? {
            255 => {
                let (x, y) = (bits.u32(16, "sar_width")?, bits.u32(16, "sar_height")?);
                (x > 0 && y > 0).then_some((x, y))
            }
            idc => sample_aspect(idc),
        };
    }
    if bits.flag("overscan_info_present_flag")? {
        bits.skip(1, "overscan_appropriate_flag")?;
    }
    if bits.flag("video_signal_type_present_flag")? {
        bits.skip(4, "video_format")?;
        if bits.flag("colour_description_present_flag")? {
            bits.skip(24, "colour_description")?;
        }
    }
    if bits.flag("chroma_loc_info_present_flag")? {
        bits.skip_ue("chroma_sample_loc_type_top_field")?;
        bits.skip_ue("chroma_sample_loc_type_bottom_field")?;
    }
    bits.skip(3, "frame_field_info_present_flag")?;
    if bits.flag("default_display_window_flag")? {
        for _ in 0..4 {
            bits.skip_ue("def_disp_win_offset")?;
        }
    }
    if bits.flag("vui_timing_info_present_flag")? {
        let units = bits.u32(32, "vui_num_units_in_tick")?;
        let scale = bits.u32(32, "vui_time_scale")?;
        vui.frame_rate = FrameRate::new(u64::from(scale), u64::from(units));
        if bits.flag("vui_poc_proportional_to_timing_flag")? {
            bits.skip_ue("vui_num_ticks_poc_diff_one_minus1")?;
        }
        if bits.flag("vui_hrd_parameters_present_flag")? {
            hrd_parameters(bits, sub_layers)?;
        }
    }
    if bits.flag("bitstream_restriction_flag")? {
        bits.skip(3, "tiles_fixed_structure_flag")?;
        let idc = bits.ue(4_095, "min_spatial_segmentation_idc")?;
        vui.min_spatial_segmentation = u16::try_from(idc).unwrap_or_default();
    }
    Ok(vui)
}

/// Table E.1.
fn sample_aspect(idc: u8) -> Option<(u32, u32)> {
    let idc = usize::from(idc).checked_sub(1)?;
    [
        (1, 1),
        (12, 11),
        (10, 11),
        (16, 11),
        (40, 33),
        (24, 11),
        (20, 11),
        (32, 11),
        (80, 33),
        (18, 11),
        (15, 11),
        (64, 33),
        (160, 99),
        (4, 3),
        (3, 2),
        (2, 1),
    ]
    .get(idc)
    .copied()
}

/// E.2.2 and E.2.3, with common information, as the VUI has it.
fn hrd_parameters(bits: &mut Bits<Rbsp<'_>>, sub_layers: u8) -> Result<(), CodecError> {
    let nal = bits.flag("nal_hrd_parameters_present_flag")?;
    let vcl = bits.flag("vcl_hrd_parameters_present_flag")?;
    let mut sub_pictures = false;
    if nal || vcl {
        sub_pictures = bits.flag("sub_pic_hrd_params_present_flag")?;
        if sub_pictures {
            bits.skip(19, "tick_divisor_minus2")?;
        }
        bits.skip(8, "bit_rate_scale")?;
        if sub_pictures {
            bits.skip(4, "cpb_size_du_scale")?;
        }
        bits.skip(15, "initial_cpb_removal_delay_length_minus1")?;
    }
    for _ in 0..=sub_layers {
        let fixed_general = bits.flag("fixed_pic_rate_general_flag")?;
        let fixed = fixed_general || bits.flag("fixed_pic_rate_within_cvs_flag")?;
        let mut low_delay = false;
        if fixed {
            bits.skip_ue("elemental_duration_in_tc_minus1")?;
        } else {
            low_delay = bits.flag("low_delay_hrd_flag")?;
        }
        let count = if low_delay { 0 } else { bits.ue(31, "cpb_cnt_minus1")? };
        for _ in 0..u32::from(nal) + u32::from(vcl) {
            for _ in 0..=count {
                bits.skip_ue("bit_rate_value_minus1")?;
                bits.skip_ue("cpb_size_value_minus1")?;
                if sub_pictures {
                    bits.skip_ue("cpb_size_du_value_minus1")?;
                    bits.skip_ue("bit_rate_du_value_minus1")?;
                }
                bits.skip(1, "cbr_flag")?;
            }
        }
    }
    Ok(())
}

/// What the units of an access unit say of it. Reads up to the first slice and no further; allocates nothing.
///
/// # Errors
/// When it cannot be divided into NAL units.
pub fn inspect(data: &[u8], form: Form) -> Result<AccessUnit, CodecError> {
    let mut found = AccessUnit::default();
    for unit in form.units(data) {
        if found.look_at_h265(unit?) {
            break;
        }
    }
    Ok(found)
}

impl AccessUnit {
    /// Takes in one unit; true when it is a slice, after which nothing more is to be learnt. Types as in table 7-1.
    pub(crate) fn look_at_h265(&mut self, unit: &[u8]) -> bool {
        let kind = unit_type(unit);
        match kind {
            0..=31 => {
                self.has_picture = true;
                self.leading = matches!(kind, 6..=9);
                self.skipped_leading = matches!(kind, 8 | 9);
                // Below 16 an even type is a sub-layer picture that no other of its layer refers to.
                self.discardable = kind < 16 && kind & 1 == 0;
                self.random_access = match kind {
                    16..=18 => Some(RandomAccess::BrokenLink),
                    19 | 20 => Some(RandomAccess::Idr),
                    21 => Some(RandomAccess::Cra),
                    _ => None,
                };
                true
            }
            VPS | SPS | PPS => {
                self.has_parameter_sets = true;
                false
            }
            _ => false,
        }
    }
}

/// The decoder configuration record of ISO 14496-15 8.3.3.1 ("hvcC").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HevcConfig {
    /// Profile, tier and level.
    pub ptl: ProfileTierLevel,
    /// `min_spatial_segmentation_idc`, 12 bits.
    pub min_spatial_segmentation: u16,
    /// `parallelismType`, 2 bits.
    pub parallelism: u8,
    /// How colour is sampled.
    pub chroma: Chroma,
    /// Bits a sample of brightness, 8 to 15.
    pub bit_depth_luma: u8,
    /// Bits a sample of colour, 8 to 15.
    pub bit_depth_chroma: u8,
    /// Frames in 256 seconds; 0 when not told.
    pub average_frame_rate: u16,
    /// `constantFrameRate`, 2 bits.
    pub constant_frame_rate: u8,
    /// `numTemporalLayers`, 3 bits; 0 when not told.
    pub temporal_layers: u8,
    /// `temporalIdNested`.
    pub temporal_id_nested: bool,
    /// How the lengths in samples are written.
    pub length_size: LengthSize,
    /// Parameter sets, by type.
    pub arrays: Vec<UnitArray>,
}

/// NAL units of one type in an hvcC record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitArray {
    /// `array_completeness`: samples hold no further units of the type.
    pub complete: bool,
    /// `NAL_unit_type`.
    pub unit_type: u8,
    /// The units.
    pub units: Vec<Bytes>,
}

impl HevcConfig {
    /// The record for these parameter sets (whole NAL units), for samples with 4-byte lengths.
    ///
    /// # Errors
    /// When there is no SPS or the first cannot be read.
    pub fn from_parameter_sets(
        vps: Vec<Bytes>,
        sps: Vec<Bytes>,
        pps: Vec<Bytes>,
    ) -> Result<Self, CodecError> {
        let first = parse_sps(sps.first().ok_or(CodecError::Broken { part: "hvcC", rule: "needs an SPS" })?)?;
        let array = |unit_type, units| UnitArray { complete: true, unit_type, units };
        Ok(Self {
            ptl: first.ptl,
            min_spatial_segmentation: first.min_spatial_segmentation,
            parallelism: 0,
            chroma: first.picture.chroma,
            bit_depth_luma: first.picture.bit_depth,
            bit_depth_chroma: first.bit_depth_chroma,
            average_frame_rate: 0,
            constant_frame_rate: 0,
            temporal_layers: first.temporal_layers,
            temporal_id_nested: first.temporal_id_nested,
            length_size: LengthSize::Four,
            arrays: vec![array(VPS, vps), array(SPS, sps), array(PPS, pps)],
        })
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When the version is not 1 or a parameter set is cut off.
    pub fn parse(private: &Bytes) -> Result<Self, CodecError> {
        let mut fields = Fields::of("hvcC", private);
        match fields.u8("configurationVersion")? {
            // Version 0 was written before the record was final; it reads alike.
            0 | 1 => {}
            version => return Err(CodecError::value("hvcC", "configurationVersion", version)),
        }
        let general = fields.u8("general_profile_idc")?;
        let ptl = ProfileTierLevel {
            profile_space: general >> 6,
            high_tier: general & 0x20 != 0,
            profile: general & 0x1f,
            compatibility: fields.array("general_profile_compatibility_flags").map(u32::from_be_bytes)?,
            constraints: fields.array("general_constraint_indicator_flags")?,
            level: fields.u8("general_level_idc")?,
        };
        let min_spatial_segmentation = fields.u16("min_spatial_segmentation_idc")? & 0xfff;
        let parallelism = fields.u8("parallelismType")? & 3;
        let idc = fields.u8("chroma_format_idc")? & 3;
        let bit_depth_luma = (fields.u8("bit_depth_luma_minus8")? & 7).saturating_add(8);
        let bit_depth_chroma = (fields.u8("bit_depth_chroma_minus8")? & 7).saturating_add(8);
        let average_frame_rate = fields.u16("avgFrameRate")?;
        let flags = fields.u8("lengthSizeMinusOne")?;
        let arrays = (0..fields.u8("numOfArrays")?)
            .map(|_| {
                let head = fields.u8("NAL_unit_type")?;
                let count = fields.u16("numNalus")?;
                let units = units(&mut fields, count, "nalUnit")?;
                Ok(UnitArray { complete: head & 0x80 != 0, unit_type: head & 0x3f, units })
            })
            .collect::<Result<_, CodecError>>()?;
        Ok(Self {
            ptl,
            min_spatial_segmentation,
            parallelism,
            chroma: Chroma::from_idc(u32::from(idc)).unwrap_or(Chroma::Yuv420),
            bit_depth_luma,
            bit_depth_chroma,
            average_frame_rate,
            constant_frame_rate: flags >> 6,
            temporal_layers: flags >> 3 & 7,
            temporal_id_nested: flags & 4 != 0,
            length_size: LengthSize::from_minus_one(flags),
            arrays,
        })
    }

    /// The bytes of the record. Arrays without units are left out.
    ///
    /// # Errors
    /// When a field or a parameter set does not fit.
    pub fn write(&self) -> Result<Bytes, CodecError> {
        let bounded = |value: u8, max: u8, field| {
            if value > max { Err(CodecError::value("hvcC", field, value)) } else { Ok(value) }
        };
        let depth = |value: u8, field| bounded(value.wrapping_sub(8), 7, field);
        let mut out = Vec::with_capacity(128);
        let space = bounded(self.ptl.profile_space, 3, "general_profile_space")?;
        let profile = bounded(self.ptl.profile, 31, "general_profile_idc")?;
        out.extend([1, space << 6 | u8::from(self.ptl.high_tier) << 5 | profile]);
        out.put_u32(self.ptl.compatibility);
        out.extend(self.ptl.constraints);
        out.put_u8(self.ptl.level);
        out.put_u16(0xf000 | self.min_spatial_segmentation & 0xfff);
        out.put_u8(0xfc | bounded(self.parallelism, 3, "parallelismType")?);
        out.put_u8(0xfc | self.chroma.idc());
        out.put_u8(0xf8 | depth(self.bit_depth_luma, "bit_depth_luma")?);
        out.put_u8(0xf8 | depth(self.bit_depth_chroma, "bit_depth_chroma")?);
        out.put_u16(self.average_frame_rate);
        out.put_u8(
            bounded(self.constant_frame_rate, 3, "constantFrameRate")? << 6
                | bounded(self.temporal_layers, 7, "numTemporalLayers")? << 3
                | u8::from(self.temporal_id_nested) << 2
                | self.length_size.minus_one(),
        );
        let arrays = self.arrays.iter().filter(|array| !array.units.is_empty());
        let count = arrays.clone().count();
        out.put_u8(u8::try_from(count).map_err(|_| CodecError::value("hvcC", "numOfArrays", count as u64))?);
        for array in arrays {
            out.put_u8(u8::from(array.complete) << 7 | bounded(array.unit_type, 63, "NAL_unit_type")?);
            let count = u16::try_from(array.units.len());
            out.put_u16(count.map_err(|_| CodecError::value("hvcC", "numNalus", array.units.len() as u64))?);
            put_units(&array.units, &mut out)?;
        }
        Ok(out.into())
    }

    /// The units of a type.
    pub fn units(&self, unit_type: u8) -> impl Iterator<Item = &Bytes> {
        self.arrays.iter().filter(move |array| array.unit_type == unit_type).flat_map(|array| &array.units)
    }

    /// What the first sequence parameter set says.
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn sps(&self) -> Result<Sps, CodecError> {
        parse_sps(self.units(SPS).next().ok_or(CodecError::Broken { part: "hvcC", rule: "needs an SPS" })?)
    }

    /// The codec string of ISO 14496-15 E.3, such as `hvc1.1.6.L93.B0`.
    pub fn rfc6381(&self) -> String {
        let space = ["", "A", "B", "C"].get(usize::from(self.ptl.profile_space)).copied().unwrap_or("");
        let tier = if self.ptl.high_tier { 'H' } else { 'L' };
        let compatibility = self.ptl.compatibility.reverse_bits();
        let mut text = format!("hvc1.{space}{}.{compatibility:X}.{tier}{}", self.ptl.profile, self.ptl.level);
        let used = self.ptl.constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for byte in self.ptl.constraints.iter().take(used) {
            // Writing to a string does not fail.
            let _ = write!(text, ".{byte:X}");
        }
        text
    }
}

//! The parameter sets of H.265, as far as they describe the pictures.

use super::bits::{Bits, Rbsp};
use super::h265::{HEADER, SPS, VPS, unit_type};
use super::{Chroma, CodecError, FrameRate, Picture};

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

pub(crate) fn profile_tier_level(
    bits: &mut Bits<Rbsp<'_>>,
    sub_layers: u8,
) -> Result<ProfileTierLevel, CodecError> {
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

/// 7.3.7 and 7.4.8: a set may be predicted from the one before, and its length depends on which pictures that one holds.
fn short_term_ref_pic_sets(bits: &mut Bits<Rbsp<'_>>) -> Result<(), CodecError> {
    // Distances in picture order: the past from the nearest on, then the future from the nearest on.
    let mut set: Vec<i32> = Vec::new();
    for index in 0..bits.ue(64, "num_short_term_ref_pic_sets")? {
        if index > 0 && bits.flag("inter_ref_pic_set_prediction_flag")? {
            predict_ref_pic_set(bits, &mut set)?;
        } else {
            set.clear();
            let past = bits.ue(16, "num_negative_pics")?;
            let future = bits.ue(16, "num_positive_pics")?;
            for (count, sign) in [(past, -1), (future, 1)] {
                let mut distance = 0_i32;
                for _ in 0..count {
                    distance = distance.saturating_add(step(bits, "delta_poc_minus1")?);
                    set.push(sign * distance);
                    bits.skip(1, "used_by_curr_pic_flag")?;
                }
            }
        }
        if set.len() > 32 {
            return Err(CodecError::value("SPS", "NumDeltaPocs", set.len() as u64));
        }
    }
    Ok(())
}

/// Moves each picture of the set, and the one that the set belonged to, by `deltaRps`; keeps those that are flagged and are
/// not the current picture (7-61, 7-62).
fn predict_ref_pic_set(bits: &mut Bits<Rbsp<'_>>, set: &mut Vec<i32>) -> Result<(), CodecError> {
    let sign = if bits.flag("delta_rps_sign")? { -1 } else { 1 };
    let delta = sign * step(bits, "abs_delta_rps_minus1")?;
    set.push(0);
    let mut kept = Vec::with_capacity(set.len());
    for distance in set.iter() {
        let used = bits.flag("used_by_curr_pic_flag")?;
        let moved = distance.saturating_add(delta);
        if (used || bits.flag("use_delta_flag")?) && moved != 0 {
            kept.push(moved);
        }
    }
    kept.sort_unstable_by_key(|distance| (*distance > 0, distance.unsigned_abs()));
    *set = kept;
    Ok(())
}

fn step(bits: &mut Bits<Rbsp<'_>>, field: &'static str) -> Result<i32, CodecError> {
    let minus_1 = bits.ue(32_767, field)?;
    Ok(i32::try_from(minus_1).unwrap_or(32_767).saturating_add(1))
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

/// The frame rate of a video parameter set, the whole NAL unit: where it is told when the VUI is silent (7.3.2.1).
pub fn vps_frame_rate(unit: &[u8]) -> Option<FrameRate> {
    if unit_type(unit) != VPS {
        return None;
    }
    vps_timing(&mut Bits::of_nal("VPS", unit, HEADER)).ok().flatten()
}

fn vps_timing(bits: &mut Bits<Rbsp<'_>>) -> Result<Option<FrameRate>, CodecError> {
    bits.skip(12, "vps_max_layers_minus1")?;
    let sub_layers = bits.u8(3, "vps_max_sub_layers_minus1")?;
    bits.skip(17, "vps_temporal_id_nesting_flag")?;
    profile_tier_level(bits, sub_layers)?;
    reorder_pictures(bits, sub_layers)?;
    let last_layer = bits.u32(6, "vps_max_layer_id")?;
    let layer_sets = bits.ue(1_023, "vps_num_layer_sets_minus1")?;
    bits.skip(layer_sets * (last_layer + 1), "layer_id_included_flag")?;
    if !bits.flag("vps_timing_info_present_flag")? {
        return Ok(None);
    }
    let units = bits.u32(32, "vps_num_units_in_tick")?;
    Ok(FrameRate::new(u64::from(bits.u32(32, "vps_time_scale")?), u64::from(units)))
}

//! H.265 (ITU-T H.265, ISO 23008-2): parameter sets, the hvcC record, access units.

use std::fmt::Write as _;
use std::num::NonZeroUsize;

use bytes::{BufMut, Bytes};

use super::bits::{Bits, Fields};
use super::h264::{put_units, units};
use super::h265_sets::profile_tier_level;
pub use super::h265_sets::{ProfileTierLevel, Sps, parse_sps, vps_frame_rate};
use super::{AccessUnit, Chroma, CodecError, Form, LengthSize, Picture, RandomAccess};

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
                // Of types 18 (BLA_N_LP) and 20 (IDR_N_LP) alone no leading picture may follow.
                self.leads = matches!(kind, 16 | 17 | 19 | 21);
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

    /// What the first sequence parameter set says of the pictures, with the frame rate of the video parameter set when it
    /// has none.
    ///
    /// # Errors
    /// As [`Self::sps`].
    pub fn picture(&self) -> Result<Picture, CodecError> {
        let picture = self.sps()?.picture;
        let frame_rate = picture.frame_rate.or_else(|| vps_frame_rate(self.units(VPS).next()?));
        Ok(Picture { frame_rate, ..picture })
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

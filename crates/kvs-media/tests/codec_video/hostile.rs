//! What was written reads as the same, and no bytes do harm.

use super::*;

fn units(max: usize) -> impl Strategy<Value = Vec<Bytes>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50).prop_map(Bytes::from), 0..=max)
}

fn chroma() -> impl Strategy<Value = Chroma> {
    prop::sample::select(vec![Chroma::Monochrome, Chroma::Yuv420, Chroma::Yuv422, Chroma::Yuv444])
}

prop_compose! {
    fn high()(chroma in chroma(), bit_depth_luma in 8_u8..=15, bit_depth_chroma in 8_u8..=15, sps_extensions in units(3)) -> HighConfig {
        HighConfig { chroma, bit_depth_luma, bit_depth_chroma, sps_extensions }
    }
}

prop_compose! {
    fn avc()(profile: u8, compatibility: u8, level: u8, length in 0_u8..4, sps in units(31), pps in units(40), high in prop::option::of(high())) -> AvcConfig {
        let high = high.filter(|_| !matches!(profile, 66 | 77 | 88));
        AvcConfig { profile, compatibility, level, length_size: LengthSize::from_minus_one(length), sps, pps, high }
    }
}

prop_compose! {
    fn ptl()(profile_space in 0_u8..4, high_tier: bool, profile in 0_u8..32, compatibility: u32, constraints: [u8; 6], level: u8) -> ProfileTierLevel {
        ProfileTierLevel { profile_space, high_tier, profile, compatibility, constraints, level }
    }
}

prop_compose! {
    fn array()(complete: bool, unit_type in 0_u8..64, first in units(1), more in units(5)) -> UnitArray {
        let units = if first.is_empty() { vec![Bytes::from_static(b"x")] } else { [first, more].concat() };
        UnitArray { complete, unit_type, units }
    }
}

prop_compose! {
    fn hevc()(ptl in ptl(), numbers in (0_u16..4096, 0_u8..4, 8_u8..16, 8_u8..16), average_frame_rate: u16,
              flags in (0_u8..4, 0_u8..8, any::<bool>(), 0_u8..4), chroma in chroma(), arrays in prop::collection::vec(array(), 0..5)) -> HevcConfig {
        let (min_spatial_segmentation, parallelism, bit_depth_luma, bit_depth_chroma) = numbers;
        let (constant_frame_rate, temporal_layers, temporal_id_nested, length) = flags;
        HevcConfig {
            ptl, min_spatial_segmentation, parallelism, chroma, bit_depth_luma, bit_depth_chroma, average_frame_rate,
            constant_frame_rate, temporal_layers, temporal_id_nested, length_size: LengthSize::from_minus_one(length), arrays,
        }
    }
}

prop_compose! {
    fn av1_config()(profile in 0_u8..8, level in 0_u8..32, high_tier: bool, bit_depth in prop::sample::select(vec![8_u8, 10, 12]), chroma in chroma(),
                    chroma_position in 0_u8..4, presentation_delay_minus_one in prop::option::of(0_u8..16), obus in prop::collection::vec(any::<u8>(), 0..50)) -> Av1Config {
        Av1Config { profile, level, high_tier, bit_depth, chroma, chroma_position, presentation_delay_minus_one, obus: obus.into() }
    }
}

/// Random bytes, and real ones with a few bytes changed: those reach deeper.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let changed =
        (0..8_usize, any::<bool>(), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6));
    let changed = changed.prop_map(|(at, stream, changes)| {
        let (_, data, private, ..) = &sequences()[at];
        let mut data = if stream { data[..data.len().min(1200)].to_vec() } else { private.to_vec() };
        for (index, value) in changes {
            let at = index.index(data.len());
            data[at] = value;
        }
        data
    });
    let zeros = prop_oneof![Just(0_u8), Just(0), Just(1), Just(0xff), any::<u8>()];
    prop_oneof![changed, prop::collection::vec(zeros, 0..300)]
}

proptest! {
    #[test]
    fn an_avcc_reads_as_it_was_written(config in avc()) {
        prop_assert_eq!(AvcConfig::parse(&config.write().unwrap()), Ok(config));
    }

    #[test]
    fn an_hvcc_reads_as_it_was_written(config in hevc()) {
        prop_assert_eq!(HevcConfig::parse(&config.write().unwrap()), Ok(config));
    }

    #[test]
    fn an_av1c_reads_as_it_was_written(config in av1_config()) {
        prop_assert_eq!(Av1Config::parse(&config.write()), Ok(config));
    }

    #[test]
    fn hostile_bytes_never_panic(data in hostile(), minus_one in 0_u8..4) {
        let bytes = Bytes::from(data.clone());
        let forms = [Form::AnnexB, Form::LengthPrefixed(LengthSize::from_minus_one(minus_one))];
        for codec in [Codec::H264, Codec::H265, Codec::Av1] {
            let _ = describe(&track(codec, bytes.clone()));
            for form in forms {
                let mut sets = ParameterSets::of(codec).unwrap();
                let _ = sets.push_private(&bytes);
                if sets.push(&data, form).is_ok() && sets.is_complete() {
                    // What was accepted can always be written and read again.
                    let private = sets.codec_private().unwrap();
                    let mut again = ParameterSets::of(codec).unwrap();
                    prop_assert!(again.push_private(&private).unwrap());
                    prop_assert_eq!(again.picture().unwrap(), sets.picture().unwrap());
                }
            }
        }
        for form in forms {
            let _ = (h264::inspect(&data, form), h265::inspect(&data, form));
        }
        for head in [0x67_u8, 0x42, 0x40] {
            let mut unit = data.clone();
            unit.insert(0, head);
            let _ = (h264::parse_sps(&unit), h265::parse_sps(&unit), h265::vps_frame_rate(&unit));
        }
        let _ = (av1::inspect(&data), av1::without_temporal_delimiter(&data), av1::parse_sequence_header(&data));
        prop_assert!(av1::obus(&data).count() <= data.len());
        let _ = (vp::vp8(&data), vp::vp9(&data), jpeg::parse(&data));
        let _ = jpeg::parse(&[&[0xff, 0xd8][..], &data].concat());
    }
}

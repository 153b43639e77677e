//! What headers say, those of our own making among them where encoders at hand do not say it.

use super::*;

/// Headers of our own making, to say what encoders at hand do not.
struct SpsBits(String);

impl SpsBits {
    fn bits(mut self, bits: &str) -> Self {
        self.0.push_str(&bits.replace(' ', ""));
        self
    }

    fn ue(self, value: u32) -> Self {
        let bits = format!("{:b}", value + 1);
        let zeros = "0".repeat(bits.len() - 1);
        self.bits(&zeros).bits(&bits)
    }

    fn unit(self, head: &[u8]) -> Vec<u8> {
        let bits = self.bits("1").0;
        let mut unit = head.to_vec();
        for byte in bits.as_bytes().chunks(8) {
            let value = byte.iter().fold(0_u8, |value, bit| value << 1 | (bit - b'0')) << (8 - byte.len());
            if !head.is_empty() && value <= 3 && unit.ends_with(&[0, 0]) {
                unit.push(3);
            }
            unit.push(value);
        }
        unit
    }
}

/// Width and height in macroblocks; `order` is pic_order_cnt_type with what belongs to it; `vui` follows its flag.
fn avc_sps(profile: u8, flags: u8, level: u8, order: u32, refs: u32, size: (u32, u32), vui: &str) -> Vec<u8> {
    let mut sps = SpsBits(String::new()).ue(0);
    if !matches!(profile, 66 | 77 | 88) {
        sps = sps.ue(1).ue(0).ue(0).bits("0 0");
    }
    sps = sps.ue(0).ue(order);
    if order == 0 {
        sps = sps.ue(0);
    }
    sps = sps.ue(refs).bits("0").ue(size.0 - 1).ue(size.1 - 1).bits("1 1 0").bits(vui);
    sps.unit(&[0x67, profile, flags, level])
}

#[test]
fn the_reorder_depth_of_h264_is_inferred_where_the_vui_is_silent() {
    let depth = |sps: &[u8]| h264::parse_sps(sps).unwrap().reorder_depth;
    let hd = (120, 68);
    // E.2.1: MaxDpbFrames. Level 4.0 holds 32768 macroblocks, 4 frames of 1080p; 16 frames of QCIF.
    assert_eq!(depth(&avc_sps(77, 0, 40, 0, 1, hd, "0")), Some(4));
    assert_eq!(depth(&avc_sps(100, 0, 40, 0, 1, (11, 9), "0")), Some(16));
    assert_eq!(depth(&avc_sps(77, 0, 40, 2, 1, hd, "0")), Some(0), "output order is decoding order");
    assert_eq!(depth(&avc_sps(66, 0xc0, 40, 0, 1, hd, "0")), Some(0), "no B slices");
    assert_eq!(depth(&avc_sps(122, 0x10, 40, 0, 0, hd, "0")), Some(0), "intra only");
}

#[test]
fn an_sps_that_contradicts_itself_is_read_as_decoders_do() {
    // A level far too low for the picture, as cheap cameras declare it.
    let sps = avc_sps(77, 0, 10, 2, 1, (120, 68), "0");
    let picture = h264::parse_sps(&sps).unwrap();
    assert_eq!((picture.width, picture.height, picture.level), (1920, 1088, 10));
    // More reference frames than the VUI lets the decoder hold: aspect to HRD absent, restriction present.
    let vui = "1 0 0 0 0 0 0 0 0 1 1 1 1 1 1 1 1";
    let sps = avc_sps(77, 0, 40, 2, 4, (120, 68), vui);
    assert_eq!(h264::parse_sps(&sps).unwrap().width, 1920);
    // Zeros and garbage after the end.
    let padded = [&avc_sps(77, 0, 40, 2, 1, (120, 68), "0")[..], &[0xaa, 0, 0, 0]].concat();
    assert_eq!(h264::parse_sps(&padded).unwrap().height, 1088);
}

#[test]
fn an_avcc_of_several_sets_keeps_them_all() {
    let config = AvcConfig::parse(&sample!("h264-high.avcC")).unwrap();
    let second = avc_sps(100, 0, 40, 2, 1, (20, 10), "0");
    let sps = vec![config.sps[0].clone(), second.into()];
    let pps = vec![config.pps[0].clone(), Bytes::from_static(&[0x68, 0x5a])];
    let built = AvcConfig::from_parameter_sets(sps, pps).unwrap();
    assert_eq!(AvcConfig::parse(&built.write().unwrap()), Ok(built));
}

#[test]
fn an_sps_that_does_not_tell_its_colour_is_not_asked_for_it() {
    // Profile 103 is unassigned: its SPS goes on with log2_max_frame_num_minus4 behind the id.
    let sps = SpsBits(String::new()).ue(0).ue(0).ue(0).ue(1).ue(1).bits("0").ue(19).ue(9).bits("1 1 0 0");
    let sps: Bytes = sps.unit(&[0x67, 103, 0, 31]).into();
    let high = AvcConfig::from_parameter_sets(vec![sps], Vec::new()).unwrap().high.unwrap();
    assert_eq!((high.chroma, high.bit_depth_luma, high.bit_depth_chroma), (Chroma::Yuv420, 8, 8));
}

#[test]
fn temporal_delimiters_are_taken_off_and_key_frames_found() {
    let stream = sample!("av1.obu");
    // The temporal units, each from its delimiter on.
    let mut units: Vec<Vec<u8>> = Vec::new();
    for unit in av1::obus(&stream) {
        let unit = unit.unwrap();
        if unit.unit_type == av1::TEMPORAL_DELIMITER {
            units.push(Vec::new());
        }
        units.last_mut().unwrap().extend(unit.whole);
    }
    assert_eq!(units.len(), 4);
    for (at, unit) in units.iter().enumerate() {
        let stripped = av1::without_temporal_delimiter(unit).unwrap();
        assert_eq!(stripped, &unit[2..]);
        let found = av1::inspect(stripped).unwrap();
        assert!(found.has_picture);
        assert_eq!(found.random_access, (at == 0).then_some(RandomAccess::Idr), "unit {at}");
    }
}

#[test]
fn the_long_codec_string_tells_what_differs_from_the_short() {
    let mut config = Av1Config::parse(&sample!("av1-10bit.av1C")).unwrap();
    let mut header = config.sequence_header().unwrap();
    // The example of the specification: Main profile, level 4.0, 10 bits, BT.2020, PQ, limited range.
    (config.level, header.colour, config.chroma_position) = (8, Some([9, 16, 9]), 2);
    assert_eq!(config.rfc6381(Some(&header)), "av01.0.08M.10.0.112.09.16.09.0");
    config.chroma = Chroma::Monochrome;
    assert_eq!(config.rfc6381(None), "av01.0.08M.10.1.112.01.01.01.0");
}

#[test]
fn key_frames_of_vp8_and_vp9_tell_their_size() {
    let files = [(vp::vp8 as fn(&[u8]) -> _, sample!("vp8.ivf")), (vp::vp9, sample!("vp9.ivf"))];
    for (head, file) in files {
        let heads: Vec<FrameHead> = ivf(&file).into_iter().map(|frame| head(frame).unwrap()).collect();
        let FrameHead::Key(key) = heads[0] else { panic!("the first frame is a key frame") };
        assert_eq!((key.width, key.height, key.profile, key.bit_depth), (132, 98, 0, 8));
        assert_eq!(heads[1..], [FrameHead::Inter, FrameHead::Inter]);
    }
    let mut track = track(Codec::Vp9, Bytes::new());
    track.video = Some(VideoShape { width: 132, height: 98 });
    assert_eq!(describe(&track).unwrap().rfc6381.as_deref(), Some("vp09.00.10.08"));
    track.codec_private = Bytes::from_static(&[1, 1, 2, 2, 1, 31, 3, 1, 10]);
    assert_eq!(describe(&track).unwrap().rfc6381.as_deref(), Some("vp09.02.31.10"));
    assert_eq!(vp::vp9_level(1920, 1080, Some(60.0)), 41);
    assert_eq!(vp::vp9_level(1920, 1080, None), 40);
}

#[test]
fn the_colour_of_vp9_is_read_in_each_profile() {
    // Marker, profile low and high, (reserved), a shown key frame, sync code, (depth), colour space and range, sampling.
    let frame = |head: &str, colour: &str| {
        let sync = format!("0 0 1 0 {:024b}", 0x49_83_42);
        let unit = SpsBits(String::new()).bits(head).bits(&sync).bits(colour);
        unit.bits(&format!("{:016b} {:016b}", 1919, 1079)).unit(&[])
    };
    let rows = [
        ("10 0 0", "001 0", 0, 8, Chroma::Yuv420),
        ("10 1 0", "001 0 10 0", 1, 8, Chroma::Yuv422),
        ("10 1 0", "001 0 00 0", 1, 8, Chroma::Yuv444),
        ("10 1 0", "111 0", 1, 8, Chroma::Yuv444),
        ("10 0 1", "0 001 0", 2, 10, Chroma::Yuv420),
        ("10 1 1 0", "1 001 0 11 0", 3, 12, Chroma::Yuv420),
    ];
    for (head, colour, profile, bit_depth, chroma) in rows {
        let expected = vp::KeyFrame { width: 1920, height: 1080, profile, bit_depth, chroma };
        assert_eq!(vp::vp9(&frame(head, colour)), Ok(FrameHead::Key(expected)), "{head} {colour}");
    }
}

#[test]
fn an_av1_sequence_header_with_timing_and_a_decoder_model_is_read() {
    // Main; timing 1001 of 60000, nine ticks a picture (uvlc); delays of 6 bits; two operating points.
    let header =
        SpsBits(String::new()).bits("000 0 0").bits(&format!("1 {:032b} {:032b} 1 0001001", 1001, 60_000));
    let header = header.bits(&format!("1 00101 {:032b} 00000 00000", 1)).bits("1 00001");
    let header = header.bits("000000000001 01001 1 1 000000 000000 0 1 0011").bits("000000000011 00101 0 0");
    // 1920 and 1080 in 11 bits each; frame ids; the tools, with screen content chosen per frame and an order hint.
    let header = header
        .bits("1010 1010")
        .bits(&format!("{:011b} {:011b}", 1919, 1079))
        .bits("1 0000 000")
        .bits("0 0 0");
    let header = header.bits("0 0 0 0").bits("1 0 0").bits("1 0 1").bits("011").bits("0 0 0");
    // 10 bits, colour, described as BT.2020 PQ, limited range, chroma at the left; film grain.
    let header = header.bits("1 0 1 00001001 00010000 00001001 0 01 0").bits("1");
    let found = av1::parse_sequence_header(&header.unit(&[])).unwrap();
    let expected = Picture {
        width: 1920,
        height: 1080,
        pixel_aspect: None,
        frame_rate: FrameRate::new(60_000, 9_009),
        ..picture(0, 10, Chroma::Yuv420, 0, 9)
    };
    assert_eq!(found.picture, expected);
    assert_eq!((found.high_tier, found.film_grain, found.colour), (true, true, Some([9, 16, 9])));
    assert_eq!((found.chroma_position, found.full_range), (1, false));
}

#[test]
fn a_jpeg_tells_its_size() {
    let image = sample!("picture.jpg");
    let picture = jpeg::parse(&image).unwrap();
    assert_eq!(
        (picture.width, picture.height, picture.bit_depth, picture.chroma),
        (132, 98, 8, Chroma::Yuv420)
    );
    for len in 0..image.len() {
        if let Ok(cut) = jpeg::parse(&image[..len]) {
            assert_eq!(cut, picture);
        }
    }
}

#[test]
fn the_frame_header_of_a_jpeg_is_found_behind_other_segments() {
    // A JFIF head, fill bytes, a huge comment; 1920x1080, three components at 2x1; then a Huffman table that is no header.
    let comment = [&[0xff, 0xfe, 0x01, 0x02][..], &[0xd8; 256]].concat();
    let frame = [0xff, 0xc2, 0, 17, 8, 0x04, 0x38, 0x07, 0x80, 3, 1, 0x21, 0, 2, 0x11, 1, 3, 0x11, 1];
    let image =
        [&[0xff, 0xd8, 0xff, 0xe0, 0, 4, 9, 9, 0xff, 0xff, 0xc4, 0, 3, 7][..], &comment, &frame].concat();
    let picture = jpeg::parse(&image).unwrap();
    assert_eq!((picture.width, picture.height, picture.chroma), (1920, 1080, Chroma::Yuv422));
    let empty = [&image[..image.len() - 14], &[0, 0], &image[image.len() - 12..]].concat();
    assert_eq!(
        jpeg::parse(&empty),
        Err(CodecError::Broken { part: "JPEG", rule: "has a picture without pixels" })
    );
    let headless = CodecError::Broken { part: "JPEG", rule: "has no frame header before its scan" };
    assert_eq!(jpeg::parse(&[0xff, 0xd8, 0xff, 0xd9]), Err(headless));
}

#[test]
fn video_for_windows_wraps_the_same_data() {
    let mut wrapped = vec![0_u8; 40];
    wrapped[16..20].copy_from_slice(b"H264");
    let mut track = track(Codec::H264, wrapped.clone().into());
    track.codec_id = "V_MS/VFW/FOURCC".to_owned();
    assert_eq!(describe(&track), Err(CodecError::MissingPrivate));
    for rest in [sample!("h264-baseline.avcC"), sample!("h264-baseline.h264")] {
        track.codec_private = [&wrapped[..], &rest].concat().into();
        assert_eq!(describe(&track).unwrap().rfc6381.as_deref(), Some("avc1.42c00b"));
    }
}

#[test]
fn an_hevc_string_leaves_out_trailing_zero_bytes() {
    let mut config = HevcConfig::parse(&sample!("h265-main.hvcC")).unwrap();
    (config.ptl.level, config.ptl.constraints) = (93, [0xb0, 0, 0, 0, 0, 0]);
    assert_eq!(config.rfc6381(), "hvc1.1.6.L93.B0");
    (config.ptl.profile_space, config.ptl.high_tier, config.ptl.constraints) = (1, true, [0; 6]);
    assert_eq!(config.rfc6381(), "hvc1.A1.6.H93");
    config.ptl.constraints = [0x90, 0, 3, 0, 0, 0];
    assert_eq!(config.rfc6381(), "hvc1.A1.6.H93.90.0.3");
}

/// profile_tier_level of Main, level 3.1, with one sub-layer that repeats profile and level.
fn ptl_with_sub_layer(sps: SpsBits) -> SpsBits {
    let profile = format!("00 0 00001 {:032b} {:048b}", 0x6000_0000_u32, 0x9000_0000_0000_u64);
    let general = format!("{profile} {:08b}", 93);
    // The flags of the sub-layer, and padding to eight pairs.
    let sps = sps.bits(&general).bits("1 1").bits(&"00".repeat(7));
    sps.bits(&general)
}

#[test]
fn an_h265_sps_with_everything_in_it_is_read_to_its_end() {
    let mut sps = ptl_with_sub_layer(SpsBits(String::new()).bits("0000 001 1")).ue(3).ue(1).ue(1288).ue(728);
    // Cropped by 8 columns and 8 rows in units of two; 8 bits; 8 bits of order count; ordering for both sub-layers.
    sps =
        sps.bits("1").ue(1).ue(3).ue(0).ue(4).ue(0).ue(0).ue(4).bits("1").ue(2).ue(1).ue(0).ue(4).ue(3).ue(0);
    sps = sps.ue(0).ue(3).ue(0).ue(3).ue(1).ue(1);
    // Scaling lists: each predicted, but the first of each size, which is spelled out.
    sps = sps.bits("1 1");
    for (coefficients, lists) in [(16, 6), (64, 6), (65, 6), (65, 2)] {
        sps = sps.bits("1").bits(&"1".repeat(coefficients));
        for _ in 1..lists {
            sps = sps.bits("0").ue(0);
        }
    }
    // AMP, SAO; PCM of 8 bits.
    sps = sps.bits("1 1").bits("1 0111 0111").ue(0).ue(0).bits("0");
    // Sets of reference pictures: two before and one after; one predicted from it, of which a kept picture becomes the
    // current one and drops out; one from that, which then has two entries.
    sps = sps.ue(3).ue(2).ue(1).ue(0).bits("1").ue(0).bits("1").ue(0).bits("1");
    sps = sps.bits("1 0").ue(0).bits("1 00 00 1");
    sps = sps.bits("1 0").ue(0).bits("1 01");
    // One long-term picture of 8 bits; temporal MVP, strong smoothing.
    sps = sps.bits("1").ue(1).bits("10101010 1").bits("1 1");
    // VUI: 4:3 pixels by number, overscan, signal type with colours, chroma place, default window.
    sps = sps
        .bits("1")
        .bits("1 00001110")
        .bits("1 0")
        .bits("1 101 0 1 00000001 00000001 00000001")
        .bits("1")
        .ue(0)
        .ue(0);
    sps = sps.bits("000").bits("1").ue(0).ue(0).ue(0).ue(0);
    // Timing: 1001 of 60000, ticks of order 1; HRD of both kinds with sub-pictures for two sub-layers.
    sps = sps.bits(&format!("1 {:032b} {:032b} 1", 1001, 60_000)).ue(0);
    sps = sps
        .bits("1")
        .bits("1 1 1")
        .bits("00000000 00000 0 00000")
        .bits("0000 0000")
        .bits("0000")
        .bits("10111 10111 10111");
    let entry = |sps: SpsBits| sps.ue(999).ue(999).ue(9).ue(9).bits("0");
    // Fixed rate, two buffers; then neither fixed nor low delay, one buffer.
    sps = sps.bits("1").ue(0).ue(1);
    sps = entry(entry(entry(entry(sps))));
    sps = sps.bits("0 0 0").ue(0);
    sps = entry(entry(sps));
    // Restrictions with a spatial segmentation of 77, and no extension.
    sps = sps.bits("1 000").ue(77).ue(0).ue(0).ue(15).ue(15).bits("0");
    let unit = sps.unit(&[0x42, 1]);
    let found = h265::parse_sps(&unit).unwrap();
    let expected = Picture {
        width: 1280,
        height: 720,
        pixel_aspect: Some((4, 3)),
        frame_rate: FrameRate::new(60_000, 1_001),
        ..picture(3, 8, Chroma::Yuv420, 1, 93)
    };
    assert_eq!((found.picture, found.temporal_layers, found.min_spatial_segmentation), (expected, 2, 77));
}

#[test]
fn the_video_parameter_set_tells_the_frame_rate_where_the_vui_is_silent() {
    // Two sub-layers, ordering for the last; three layer sets of two layers; 1001 units in a tick of 30000 a second.
    let vps = SpsBits(String::new()).bits("0000 11 000000 001 1").bits(&"1".repeat(16));
    let vps = ptl_with_sub_layer(vps).bits("0").ue(4).ue(2).ue(5).bits("000001").ue(2).bits("10 01");
    let vps = vps.bits(&format!("1 {:032b} {:032b} 0", 1_001, 30_000)).ue(0).bits("0").unit(&[0x40, 1]);
    assert_eq!(h265::vps_frame_rate(&vps), Some(FrameRate { frames: 30_000, seconds: 1_001 }));
    let config = HevcConfig::parse(&sample!("h265-main.hvcC")).unwrap();
    assert_eq!(h265::vps_frame_rate(&config.units(h265::VPS).next().unwrap()[..]), None);
    assert_eq!(h265::vps_frame_rate(&vps[..20]), None);
    // A VUI that tells has the last word.
    let arrays = [
        vec![vps.into()],
        config.units(h265::SPS).cloned().collect(),
        config.units(h265::PPS).cloned().collect(),
    ];
    let [vps, sps, pps] = arrays;
    assert_eq!(
        HevcConfig::from_parameter_sets(vps, sps, pps).unwrap().picture().unwrap().frame_rate,
        RATE_25
    );
}

#[test]
fn sets_of_an_enhancement_layer_are_left_to_the_stream() {
    let stream = sample!("h265-main.h265");
    let mut sets = ParameterSets::of(Codec::H265).unwrap();
    sets.push(&stream, Form::AnnexB).unwrap();
    let mut sps =
        HevcConfig::parse(&sample!("h265-main.hvcC")).unwrap().units(h265::SPS).next().unwrap().to_vec();
    (sps[1], sps[20]) = (sps[1] | 8, 0xff);
    assert!(!sets.push(&[&[0, 0, 1][..], &sps].concat(), Form::AnnexB).unwrap().changed);
}

#[test]
fn an_endless_supply_of_sets_is_refused() {
    let mut sets = ParameterSets::of(Codec::H264).unwrap();
    let big = vec![0xff_u8; 60_000];
    let mut pushed = (0..=255_u32).map(|id| {
        let pps = SpsBits(String::new()).ue(id).unit(&[0x68]);
        sets.push(&[&[0, 0, 1][..], &pps, &big].concat(), Form::AnnexB).is_ok()
    });
    assert!(pushed.by_ref().take(4).all(|ok| ok));
    assert!(pushed.all(|ok| !ok));
}

//! Video headers of real encoders. What is expected here is what ffprobe 5.1, ffmpeg's MP4 muxer and its DASH codec
//! strings say of the same files (`tests/data/codec/make.sh`).
#![cfg(test)]

use bytes::Bytes;
use kvs_media::codec::av1::{self, Av1Config};
use kvs_media::codec::h264::{self, AvcConfig, HighConfig};
use kvs_media::codec::h265::{self, HevcConfig, ProfileTierLevel, UnitArray};
use kvs_media::codec::vp::{self, FrameHead};
use kvs_media::codec::{
    AccessUnit, Chroma, Codec, CodecError, Description, Form, FrameRate, LengthSize, ParameterSets, Picture,
    RandomAccess, describe, jpeg, nal,
};
use kvs_media::{Track, TrackNumber, VideoShape};
use proptest::prelude::*;

macro_rules! sample {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!("data/codec/", $name)))
    };
}

const RATE_25: Option<FrameRate> = Some(FrameRate { frames: 25, seconds: 1 });

fn picture(reorder: u32, bit_depth: u8, chroma: Chroma, profile: u8, level: u8) -> Picture {
    Picture {
        width: 132,
        height: 98,
        pixel_aspect: Some((1, 1)),
        frame_rate: RATE_25,
        reorder_depth: Some(reorder),
        bit_depth,
        chroma,
        profile,
        level,
    }
}

/// What ffmpeg's encoder stream, private data, codec string and picture of each sample are.
fn sequences() -> Vec<(Codec, Bytes, Bytes, &'static str, Picture)> {
    use Chroma::{Yuv420, Yuv422};
    let av1 =
        |bit_depth| Picture { pixel_aspect: None, frame_rate: None, ..picture(0, bit_depth, Yuv420, 0, 0) };
    vec![
        (
            Codec::H264,
            sample!("h264-high.h264"),
            sample!("h264-high.avcC"),
            "avc1.64000b",
            picture(2, 8, Yuv420, 100, 11),
        ),
        (
            Codec::H264,
            sample!("h264-open.h264"),
            sample!("h264-open.avcC"),
            "avc1.4d400b",
            picture(2, 8, Yuv420, 77, 11),
        ),
        (
            Codec::H264,
            sample!("h264-baseline.h264"),
            sample!("h264-baseline.avcC"),
            "avc1.42c00b",
            picture(0, 8, Yuv420, 66, 11),
        ),
        (
            Codec::H264,
            sample!("h264-high422.h264"),
            sample!("h264-high422.avcC"),
            "avc1.7a000b",
            picture(2, 10, Yuv422, 122, 11),
        ),
        (
            Codec::H265,
            sample!("h265-main.h265"),
            sample!("h265-main.hvcC"),
            "hvc1.1.6.L30.90",
            picture(2, 8, Yuv420, 1, 30),
        ),
        (
            Codec::H265,
            sample!("h265-main10.h265"),
            sample!("h265-main10.hvcC"),
            "hvc1.2.4.L30.90",
            picture(2, 10, Yuv420, 2, 30),
        ),
        (Codec::Av1, sample!("av1.obu"), sample!("av1.av1C"), "av01.0.00M.08", av1(8)),
        (Codec::Av1, sample!("av1-10bit.obu"), sample!("av1-10bit.av1C"), "av01.0.00M.10", av1(10)),
    ]
}

fn track(codec: Codec, private: Bytes) -> Track {
    let mut track = Track::new(TrackNumber(1), codec.kind(), codec.codec_id());
    track.codec_private = private;
    track
}

#[test]
fn private_data_built_from_the_stream_is_that_of_ffmpeg_byte_for_byte() {
    for (codec, stream, private, name, expected) in sequences() {
        let mut sets = ParameterSets::of(codec).unwrap();
        let fed = sets.push(&stream, Form::AnnexB).unwrap();
        assert!(
            fed.changed && fed.unit.has_parameter_sets && fed.unit.random_access == Some(RandomAccess::Idr),
            "{name}"
        );
        assert_eq!(sets.codec_private().unwrap(), private, "{name}");
        assert_eq!(sets.picture().unwrap(), expected, "{name}");
        // The same again, now out of the private data, is no change.
        assert!(!sets.push(&stream, Form::AnnexB).unwrap().changed);
        assert!(!sets.push_private(&private).unwrap());
        assert_eq!(sets.codec_private().unwrap(), private, "{name}");
    }
}

#[test]
fn a_track_is_described_by_its_private_data() {
    for (codec, _, private, name, expected) in sequences() {
        let found = describe(&track(codec, private)).unwrap();
        assert_eq!(
            found,
            Description {
                codec,
                rfc6381: Some(name.to_owned()),
                size: Some(VideoShape { width: 132, height: 98 }),
                frame_rate: expected.frame_rate,
                picture: Some(expected),
                sound: None,
                media_type: None,
            }
        );
    }
    assert_eq!(describe(&track(Codec::H264, Bytes::new())), Err(CodecError::MissingPrivate));
    assert_eq!(
        describe(&track(Codec::H264, Bytes::from_static(&[0, 0, 0, 1]))),
        Err(CodecError::Value { part: "avcC", field: "configurationVersion", value: 0 })
    );
}

#[test]
fn private_data_reads_and_writes_to_the_same_bytes() {
    for (codec, _, private, ..) in sequences() {
        let written = match codec {
            Codec::H264 => AvcConfig::parse(&private).unwrap().write().unwrap(),
            Codec::H265 => HevcConfig::parse(&private).unwrap().write().unwrap(),
            _ => Av1Config::parse(&private).unwrap().write(),
        };
        assert_eq!(written, private);
    }
}

#[test]
fn private_data_that_is_cut_off_anywhere_never_describes_another_picture() {
    for (codec, _, private, name, expected) in sequences() {
        for len in 0..private.len() {
            if let Ok(found) = describe(&track(codec, private.slice(..len))) {
                assert_eq!(found.rfc6381.as_deref(), Some(name));
                assert!(found.picture.is_none_or(|picture| picture == expected), "{name} at {len}");
            }
        }
    }
}

/// The access units of an Annex B stream, with 4-byte lengths: a new one begins with the first unit after a slice that is
/// no slice, or with a slice that begins a picture.
fn access_units(stream: &[u8], is_slice: fn(&[u8]) -> bool, header: usize) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = vec![Vec::new()];
    let mut after_slice = false;
    for unit in nal::annex_b(stream).unwrap() {
        let slice = is_slice(unit);
        if after_slice && (!slice || unit[header] & 0x80 != 0) {
            found.push(Vec::new());
        }
        after_slice = slice;
        let last = found.last_mut().unwrap();
        last.extend(u32::try_from(unit.len()).unwrap().to_be_bytes());
        last.extend(unit);
    }
    found
}

const LENGTHS: Form = Form::LengthPrefixed(LengthSize::Four);

#[test]
fn recovery_points_of_open_groups_are_told_from_idr_pictures() {
    let units = access_units(&sample!("h264-open.h264"), |unit| matches!(h264::unit_type(unit), 1..=5), 1);
    let found: Vec<AccessUnit> = units.iter().map(|unit| h264::inspect(unit, LENGTHS).unwrap()).collect();
    assert_eq!(found.len(), 20);
    let points: Vec<_> = found
        .iter()
        .enumerate()
        .filter_map(|(at, unit)| unit.random_access.map(|point| (at, point)))
        .collect();
    // The key frames that ffprobe names.
    let recovery = RandomAccess::Recovery { frames: 0 };
    assert_eq!(points, [(0, RandomAccess::Idr), (7, recovery), (15, recovery)]);
    assert!(!recovery.is_closed() && recovery.is_clean());
    assert!(found.iter().any(|unit| unit.discardable) && found.iter().all(|unit| unit.has_picture));
    assert!(!found[7].discardable);
}

#[test]
fn a_recovery_point_is_found_behind_other_messages_and_none_in_a_broken_unit() {
    // pic_timing of 3 bytes, one with an escaped zero; user data of 300 bytes; the recovery point with 5 frames; a slice.
    let user_data = [&[5, 0xff, 45][..], &[7; 300]].concat();
    let sei = [&[0x06, 1, 4, 0, 0, 3, 1, 9][..], &user_data, &[6, 1, 0x32, 0x80]].concat();
    let unit = |sei: &[u8]| [&[0, 0, 1][..], sei, &[0, 0, 1, 0x41, 0x9a]].concat();
    let found = h264::inspect(&unit(&sei), Form::AnnexB).unwrap();
    assert_eq!(found.random_access, Some(RandomAccess::Recovery { frames: 5 }));
    assert!(!found.random_access.unwrap().is_clean());
    for len in 1..sei.len() - 2 {
        let found = h264::inspect(&unit(&sei[..len]), Form::AnnexB).unwrap();
        assert!(found.random_access.is_none() && found.has_picture, "{len}");
    }
}

#[test]
fn leading_pictures_of_open_groups_are_found() {
    let is_slice: fn(&[u8]) -> bool = |unit| h265::unit_type(unit) < 32;
    let units = access_units(&sample!("h265-main.h265"), is_slice, 2);
    let found: Vec<AccessUnit> = units.iter().map(|unit| h265::inspect(unit, LENGTHS).unwrap()).collect();
    assert_eq!(found.len(), 20);
    let at = |wanted: RandomAccess| found.iter().position(|unit| unit.random_access == Some(wanted));
    assert_eq!(at(RandomAccess::Idr), Some(0));
    let cra = at(RandomAccess::Cra).unwrap();
    assert!(found[cra + 1].leading && found[cra + 1].skipped_leading);
    assert!(found[..cra].iter().all(|unit| !unit.leading));
}

#[test]
fn each_h265_slice_type_is_what_table_7_1_says() {
    let inspect = |kind: u8| h265::inspect(&[0, 0, 1, kind << 1, 1, 0x80], Form::AnnexB).unwrap();
    let list = |is: fn(&AccessUnit) -> bool| (0..64).filter(|kind| is(&inspect(*kind))).collect::<Vec<u8>>();
    assert_eq!(list(|unit| unit.has_picture), (0..32).collect::<Vec<u8>>());
    assert_eq!(list(|unit| unit.has_parameter_sets), [h265::VPS, h265::SPS, h265::PPS]);
    assert_eq!(list(|unit| unit.leading), [6, 7, 8, 9]);
    assert_eq!(list(|unit| unit.skipped_leading), [8, 9]);
    assert_eq!(list(|unit| unit.discardable), [0, 2, 4, 6, 8, 10, 12, 14]);
    assert_eq!(list(|unit| unit.random_access == Some(RandomAccess::BrokenLink)), [16, 17, 18]);
    assert_eq!(list(|unit| unit.random_access == Some(RandomAccess::Idr)), [19, 20]);
    assert_eq!(list(|unit| unit.random_access == Some(RandomAccess::Cra)), [21]);
}

#[test]
fn only_a_shown_new_key_frame_begins_an_av1_group() {
    let inspect = |head: u8| av1::inspect(&[av1::FRAME << 3 | 2, 1, head]).unwrap().random_access;
    // show_existing_frame, two bits of frame_type, show_frame.
    let found: Vec<u8> = (0..16).filter(|bits| inspect(bits << 4).is_some()).collect();
    assert_eq!(found, [0b0001]);
}

#[test]
fn both_forms_of_an_access_unit_say_the_same() {
    for (codec, stream, ..) in sequences().into_iter().filter(|row| row.0 != Codec::Av1) {
        let mut lengths = Vec::new();
        nal::write_length_prefixed(&stream, &mut lengths).unwrap();
        let [mut a, mut b] = [(); 2].map(|()| ParameterSets::of(codec).unwrap());
        assert_eq!(a.push(&stream, Form::AnnexB).unwrap(), b.push(&lengths, LENGTHS).unwrap());
        assert_eq!(a.codec_private().unwrap(), b.codec_private().unwrap());
    }
}

#[test]
fn the_order_of_sets_is_no_change_and_other_bytes_are() {
    let private = sample!("h264-high.avcC");
    let config = AvcConfig::parse(&private).unwrap();
    let mut sets = ParameterSets::of(Codec::H264).unwrap();
    assert!(sets.push_private(&private).unwrap());
    let stream =
        |units: &[&[u8]]| units.iter().flat_map(|unit| [&[0, 0, 1], *unit].concat()).collect::<Vec<u8>>();
    let reversed = stream(&[&config.pps[0], &config.sps[0]]);
    assert!(!sets.push(&reversed, Form::AnnexB).unwrap().changed);
    assert_eq!(sets.codec_private().unwrap(), private);
    // Another level, as after a change of bit rate.
    let mut sps = config.sps[0].to_vec();
    sps[3] = 31;
    assert!(sets.push(&stream(&[&sps]), Form::AnnexB).unwrap().changed);
    let changed = AvcConfig::parse(&sets.codec_private().unwrap()).unwrap();
    assert_eq!((changed.level, changed.sps.len(), &changed.pps), (31, 1, &config.pps));
    // A set that cannot be read is refused, and the one before stays.
    let before = sets.codec_private().unwrap();
    assert!(sets.push(&stream(&[&sps[..8]]), Form::AnnexB).is_err());
    assert_eq!(sets.codec_private().unwrap(), before);
}

#[test]
fn private_data_for_short_lengths_is_rewritten_for_long_ones() {
    let mut private = sample!("h264-high.avcC").to_vec();
    private[4] = 0xfd;
    let mut sets = ParameterSets::of(Codec::H264).unwrap();
    sets.push_private(&private.into()).unwrap();
    assert_eq!(sets.length_size(), LengthSize::Two);
    assert_eq!(sets.codec_private().unwrap(), sample!("h264-high.avcC"));
}

#[test]
fn there_is_no_private_data_before_all_sets_have_come() {
    let config = AvcConfig::parse(&sample!("h264-high.avcC")).unwrap();
    let mut sets = ParameterSets::of(Codec::H264).unwrap();
    assert_eq!(sets.codec_private(), Err(CodecError::MissingPrivate));
    sets.push(&[&[0, 0, 1][..], &config.sps[0]].concat(), Form::AnnexB).unwrap();
    assert!(!sets.is_complete());
    assert_eq!(sets.codec_private(), Err(CodecError::MissingPrivate));
    assert!(ParameterSets::of(Codec::Aac).is_none());
}

/// An SPS of our own making, to say what encoders at hand do not.
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
            if value <= 3 && unit.ends_with(&[0, 0]) {
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
    // Level 0 and no constraints, whose zeros must be escaped before an id that begins with seven more.
    let escaped = [&[0x67, 77, 0, 0, 3][..], &[0x01, 0x80]].concat();
    assert_eq!(
        h264::parse_sps(&escaped),
        Err(CodecError::Broken { part: "SPS", rule: "has an id above 31" })
    );
    // Zeros and garbage after the end.
    let padded = [&avc_sps(77, 0, 40, 2, 1, (120, 68), "0")[..], &[0xaa, 0, 0, 0]].concat();
    assert_eq!(h264::parse_sps(&padded).unwrap().height, 1088);
}

#[test]
fn an_interlaced_anamorphic_camera_is_measured_right() {
    // From the sub stream of a Dahua IPC-HDW5231R-Z.
    let sps = [
        0x67, 0x64, 0x00, 0x16, 0xac, 0x1b, 0x1a, 0x80, 0xb0, 0x3d, 0xff, 0xff, 0x00, 0x28, 0x00, 0x21, 0x6e,
        0x0c, 0x0c, 0x0c, 0x80, 0x00, 0x01, 0xf4, 0x00, 0x00, 0x27, 0x10, 0x74, 0x30, 0x07, 0xd0, 0x00, 0x07,
        0xa1, 0x25, 0xde, 0x5c, 0x68, 0x60, 0x0f, 0xa0, 0x00, 0x0f, 0x42, 0x4b, 0xbc, 0xb8, 0x50,
    ];
    let picture = h264::parse_sps(&sps).unwrap();
    assert_eq!((picture.width, picture.height, picture.pixel_aspect), (704, 480, Some((40, 33))));
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

/// The frames of an IVF file.
fn ivf(file: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut frames) = (&file[32..], Vec::new());
    while let Some((head, after)) = rest.split_at_checked(12) {
        let len = usize::try_from(u32::from_le_bytes(head[..4].try_into().unwrap())).unwrap();
        frames.push(&after[..len]);
        rest = &after[len..];
    }
    frames
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

#[test]
fn the_video_parameter_set_tells_the_frame_rate_where_the_vui_is_silent() {
    // Main profile, one layer, 3 ordering numbers, no layer sets; 1001 units in a tick of 30000 a second.
    let ptl = format!("{:08b} {:032b} {:048b} {:08b}", 1, 0x6000_0000_u32, 0x9000_0000_0000_u64, 93);
    let timing = format!("1 {:032b} {:032b} 0 1", 1_001, 30_000);
    let vps = SpsBits(String::new()).bits("0000 11 000000 000 1").bits(&"1".repeat(16)).bits(&ptl).bits("1");
    let vps = vps.ue(4).ue(2).ue(5).bits("000000").ue(0).bits(&timing).bits("0").unit(&[0x40, 1]);
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

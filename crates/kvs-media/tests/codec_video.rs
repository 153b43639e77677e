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
    RandomAccess, describe, jpeg, nal, random_access,
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
fn many_encoder_settings_read_as_ffprobe_says() {
    for line in include_str!("data/codec/variants.txt").lines() {
        let columns: Vec<&str> = line.split(' ').collect();
        let [name, codec, private, width, height, aspect, rate, reorder, pixels, level] = columns[..] else {
            panic!("ten columns: {line}")
        };
        let codec = [("h264", Codec::H264), ("h265", Codec::H265), ("av1", Codec::Av1)]
            .iter()
            .find(|row| row.0 == codec)
            .unwrap()
            .1;
        let private: Bytes = (0..private.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&private[at..at + 2], 16).unwrap())
            .collect();
        let found = describe(&track(codec, private.clone())).unwrap().picture.unwrap();
        let said = format!("{} {} {:?} {}", found.width, found.height, found.reorder_depth, found.level);
        assert_eq!(said, format!("{width} {height} Some({reorder}) {level}"), "{name}");
        let chroma = [
            ("gray", Chroma::Monochrome),
            ("gbrp", Chroma::Yuv444),
            ("444", Chroma::Yuv444),
            ("422", Chroma::Yuv422),
        ];
        let chroma = chroma.iter().find(|row| pixels.contains(row.0)).map_or(Chroma::Yuv420, |row| row.1);
        // ffprobe calls x264's monochrome 4:2:0, as its decoder fills in the colour.
        assert!(
            found.chroma == chroma || (name == "gray" && codec == Codec::H264),
            "{name}: {:?}",
            found.chroma
        );
        let depth =
            [("10le", 10), ("12le", 12)].iter().find(|row| pixels.ends_with(row.0)).map_or(8, |row| row.1);
        assert_eq!(found.bit_depth, depth, "{name}");
        if codec != Codec::Av1 {
            let ratio = |x: u32, y: u32, mark| format!("{x}{mark}{y}");
            assert_eq!(found.pixel_aspect.map(|(x, y)| ratio(x, y, ':')).as_deref(), Some(aspect), "{name}");
            assert_eq!(
                found.frame_rate.map(|r| ratio(r.frames, r.seconds, '/')).as_deref(),
                Some(rate),
                "{name}"
            );
        }
        // What is rebuilt from the sets alone is the same again, but for SEI, which x265 adds to its own.
        let stream = |units: Vec<&Bytes>| {
            units.into_iter().flat_map(|unit| [&[0, 0, 1], &unit[..]].concat()).collect()
        };
        let (sets, expected): (Vec<u8>, Bytes) = match codec {
            Codec::H264 => {
                let config = AvcConfig::parse(&private).unwrap();
                (stream(config.sps.iter().chain(&config.pps).collect()), private)
            }
            Codec::H265 => {
                let mut config = HevcConfig::parse(&private).unwrap();
                config.arrays.retain(|array| (h265::VPS..=h265::PPS).contains(&array.unit_type));
                (
                    stream(config.arrays.iter().flat_map(|array| &array.units).collect()),
                    config.write().unwrap(),
                )
            }
            _ => (Av1Config::parse(&private).unwrap().obus.to_vec(), private),
        };
        let mut rebuilt = ParameterSets::of(codec).unwrap();
        rebuilt.push(&sets, Form::AnnexB).unwrap();
        assert_eq!(rebuilt.codec_private().unwrap(), expected, "{name}");
    }
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
    assert_eq!(found.iter().filter(|unit| unit.leads).count(), 2);
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
    assert_eq!(list(|unit| unit.discardable), []);
    assert_eq!(list(|unit| unit.leads), [16, 17, 19, 21]);
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
fn an_access_unit_that_is_refused_changes_no_set() {
    let private = sample!("h264-high.avcC");
    let config = AvcConfig::parse(&private).unwrap();
    let mut sets = ParameterSets::of(Codec::H264).unwrap();
    sets.push_private(&private).unwrap();
    let mut sps = config.sps[0].to_vec();
    sps[3] = 31;
    let good = [&[0, 0, 1][..], &sps].concat();
    // The set is good, and the one behind it is cut off.
    let bad = [&good[..], &[0, 0, 1, 0x68]].concat();
    assert!(sets.push(&bad, Form::AnnexB).is_err());
    assert_eq!(sets.codec_private().unwrap(), private);
    // The change is not lost: it is told when it can be read.
    assert!(sets.push(&good, Form::AnnexB).unwrap().changed);
}

#[test]
fn a_set_that_comes_twice_counts_as_it_came_last() {
    let private = sample!("h264-high.avcC");
    let config = AvcConfig::parse(&private).unwrap();
    let mut sets = ParameterSets::of(Codec::H264).unwrap();
    sets.push_private(&private).unwrap();
    let mut other = config.sps[0].to_vec();
    other[3] = 31;
    let stream = [&[0, 0, 1][..], &other, &[0, 0, 1], &config.sps[0]].concat();
    assert!(!sets.push(&stream, Form::AnnexB).unwrap().changed);
    assert_eq!(sets.codec_private().unwrap(), private);
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
fn padding_behind_a_set_is_no_change() {
    let config = AvcConfig::parse(&sample!("h264-high.avcC")).unwrap();
    let padded = AvcConfig { sps: vec![[&config.sps[0][..], &[0, 0]].concat().into()], ..config };
    let private = padded.write().unwrap();
    let mut sets = ParameterSets::of(Codec::H264).unwrap();
    sets.push_private(&private).unwrap();
    assert!(!sets.push(&sample!("h264-high.h264"), Form::AnnexB).unwrap().changed);
    assert_eq!(sets.codec_private().unwrap(), private);
}

#[test]
fn a_frame_of_any_codec_tells_whether_it_is_a_key_frame() {
    let idr = Ok(Some(RandomAccess::Idr));
    for (codec, stream, ..) in sequences() {
        assert_eq!(random_access(codec, &stream, Form::AnnexB), idr);
    }
    for (codec, file) in [(Codec::Vp8, sample!("vp8.ivf")), (Codec::Vp9, sample!("vp9.ivf"))] {
        let found: Vec<_> =
            ivf(&file).into_iter().map(|frame| random_access(codec, frame, LENGTHS)).collect();
        assert_eq!(found, [idr.clone(), Ok(None), Ok(None)]);
    }
    assert_eq!(random_access(Codec::Mjpeg, &[], LENGTHS), idr);
    assert_eq!(random_access(Codec::Data, &[], LENGTHS), idr);
    assert!(random_access(Codec::H264, &[0, 0, 0, 9], LENGTHS).is_err());
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

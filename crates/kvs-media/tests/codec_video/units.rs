//! Access units: which of them decoding can begin with, and the sets that are found in them.

use super::*;

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

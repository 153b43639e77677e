//! Any bytes as a sequence header: what it says is possible, and the record that is made of it says the same.
#![no_main]

use bytes::Bytes;
use kvs_media::codec::av1::{self, Av1Config};
use kvs_media::codec::h264::{self, AvcConfig};
use kvs_media::codec::h265::{self, HevcConfig};
use kvs_media::codec::{Chroma, Picture};
use libfuzzer_sys::fuzz_target;

/// The profiles whose SPS holds `chroma_format_idc` (H.264 7.3.2.1.1); the others are 4:2:0 of 8 bits.
const H264_WITH_CHROMA: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

fn check(picture: Picture) {
    assert!(picture.width > 0 && picture.height > 0);
    assert!(picture.pixel_aspect.is_none_or(|(x, y)| x > 0 && y > 0));
    assert!(picture.frame_rate.is_none_or(|rate| rate.frames > 0 && rate.seconds > 0));
    assert!(picture.reorder_depth.is_some_and(|depth| depth <= 16));
    assert!((8..=15).contains(&picture.bit_depth));
}

fn avc(unit: &Bytes) {
    let Ok(picture) = h264::parse_sps(unit) else { return };
    check(picture);
    let config = AvcConfig::from_parameter_sets(vec![unit.clone()], Vec::new()).unwrap();
    assert_eq!((config.profile, config.level), (picture.profile, picture.level));
    let high = config.high.as_ref().filter(|_| !H264_WITH_CHROMA.contains(&picture.profile));
    if let Some(high) = high {
        let plain = (Chroma::Yuv420, 8, 8);
        assert_eq!((high.chroma, high.bit_depth_luma, high.bit_depth_chroma), plain);
    }
    assert_eq!(config.picture(), Ok(picture));
    assert_eq!(AvcConfig::parse(&config.write().unwrap()), Ok(config));
}

fn hevc(unit: &Bytes) {
    let _ = h265::vps_frame_rate(unit);
    let Ok(sps) = h265::parse_sps(unit) else { return };
    check(sps.picture);
    assert!((1..=7).contains(&sps.temporal_layers) && (8..=15).contains(&sps.bit_depth_chroma));
    let mut config = HevcConfig::from_parameter_sets(Vec::new(), vec![unit.clone()], Vec::new()).unwrap();
    assert_eq!(config.sps(), Ok(sps));
    let written = config.write().unwrap();
    config.arrays.retain(|array| !array.units.is_empty());
    assert_eq!(HevcConfig::parse(&written), Ok(config));
}

fn av1(payload: &Bytes) {
    let Ok(header) = av1::parse_sequence_header(payload) else { return };
    check(header.picture);
    let config = Av1Config::from_sequence_header(payload).unwrap();
    assert_eq!(config.sequence_header(), Ok(header));
    assert_eq!(Av1Config::parse(&config.write()), Ok(config));
}

fuzz_target!(|bytes: &[u8]| {
    let unit = Bytes::copy_from_slice(bytes.get(..usize::from(u16::MAX)).unwrap_or(bytes));
    avc(&unit);
    hevc(&unit);
    av1(&unit);
    // Zeros behind a header are padding, and change nothing.
    let padded = [bytes, &[0, 0]].concat();
    assert_eq!(h264::parse_sps(&padded).ok(), h264::parse_sps(bytes).ok());
    assert_eq!(h265::parse_sps(&padded).ok(), h265::parse_sps(bytes).ok());
    assert_eq!(h265::vps_frame_rate(&padded), h265::vps_frame_rate(bytes));
    if let Ok(header) = av1::parse_sequence_header(bytes) {
        assert_eq!(av1::parse_sequence_header(&padded), Ok(header));
    }
});

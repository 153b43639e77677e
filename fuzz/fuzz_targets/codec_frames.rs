//! Any bytes as a frame of every codec: parts lie within the frame and cover it, durations are possible.
#![no_main]

use std::time::Duration;

use kvs_media::codec::aac::AudioSpecificConfig;
use kvs_media::codec::vp::FrameHead;
use kvs_media::codec::{
    Codec, Form, LengthSize, PcmFormat, RandomAccess, adts, av1, jpeg, opus, random_access, vp, wave,
};
use libfuzzer_sys::fuzz_target;

const SOUND: [Codec; 4] = [Codec::Aac, Codec::Opus, Codec::Alaw, Codec::Mulaw];

fn open_bitstream_units(data: &[u8]) {
    let mut end = 0;
    let mut whole = true;
    for unit in av1::obus(data) {
        assert!(whole, "units go on after an error");
        let Ok(unit) = unit else {
            whole = false;
            continue;
        };
        assert_eq!(unit.whole.as_ptr_range().start, data[end..].as_ptr());
        assert!(unit.whole.ends_with(unit.payload) && unit.payload.len() < unit.whole.len());
        end += unit.whole.len();
    }
    assert!(!whole || end == data.len());
    let Ok(stored) = av1::without_temporal_delimiter(data) else { return };
    assert!(data.ends_with(stored));
    assert_eq!(av1::inspect(stored), av1::inspect(data));
    let first = av1::obus(stored).next();
    assert!(first.is_none_or(|unit| unit.is_ok_and(|unit| unit.unit_type != av1::TEMPORAL_DELIMITER)));
}

fn key_frames(data: &[u8]) {
    for (codec, head) in [(Codec::Vp8, vp::vp8(data)), (Codec::Vp9, vp::vp9(data))] {
        let point = random_access(codec, data, Form::AnnexB);
        assert_eq!(point.is_err(), head.is_err());
        assert_eq!(point == Ok(Some(RandomAccess::Idr)), matches!(head, Ok(FrameHead::Key(_))));
    }
    if let Ok(FrameHead::Key(frame)) = vp::vp9(data) {
        assert!(frame.width > 0 && frame.height > 0 && frame.profile < 4);
        for rate in [None, Some(30.0)] {
            assert!((10..=62).contains(&vp::vp9_level(frame.width, frame.height, rate)));
        }
    }
    if let Ok(picture) = jpeg::parse(data) {
        assert!(picture.width > 0 && picture.height > 0);
    }
}

fn transport(data: &[u8]) {
    let (mut bytes, mut left) = (0, 0);
    let mut whole = true;
    for block in adts::blocks(data) {
        assert!(whole, "blocks go on after an error");
        let Ok((header, raw)) = block else {
            whole = false;
            continue;
        };
        if left == 0 {
            assert_eq!(adts::Header::parse(&data[bytes..]), Ok(header));
            (bytes, left) = (bytes + header.frame_len, header.blocks);
        }
        left -= 1;
        let (frame, raw) = (data[..bytes].as_ptr_range(), raw.as_ptr_range());
        assert!(frame.start < raw.start && raw.end <= frame.end, "a block outside its frame");
        if let Ok(config) = header.config() {
            let written = config.write().unwrap();
            assert_eq!(AudioSpecificConfig::parse(&written), Ok(config));
        }
    }
    assert!(!whole || (bytes, left) == (data.len(), 0));
}

fn durations(data: &[u8]) {
    if let Ok(duration) = opus::packet_duration(data) {
        assert!(!duration.is_zero() && duration <= Duration::from_millis(120));
    }
    let number = |at: usize| data.get(at..at + 4).map_or(1, |b| u32::from_be_bytes(b.try_into().unwrap()));
    let (channels, rate) = (number(0), number(4));
    let pcm = [8, 16, 24, 32].iter().filter_map(|bits| PcmFormat::integer(*bits, true)).map(Codec::Pcm);
    for codec in SOUND.into_iter().chain(pcm) {
        let short = wave::duration(codec, channels, rate, data.len());
        let long = wave::duration(codec, channels, rate, data.len() * 2);
        assert!(short <= long);
        let told = !matches!(codec, Codec::Aac | Codec::Opus) && channels > 0 && rate > 0;
        assert_eq!(short.is_some(), told);
    }
}

fuzz_target!(|data: &[u8]| {
    open_bitstream_units(data);
    key_frames(data);
    transport(data);
    durations(data);
    for codec in SOUND.into_iter().chain([Codec::Mjpeg, Codec::Data]) {
        assert_eq!(random_access(codec, data, Form::AnnexB), Ok(Some(RandomAccess::Idr)));
    }
    for codec in [Codec::H264, Codec::H265, Codec::Av1] {
        for form in [Form::AnnexB, Form::LengthPrefixed(LengthSize::Two)] {
            let _ = random_access(codec, data, form);
        }
    }
});

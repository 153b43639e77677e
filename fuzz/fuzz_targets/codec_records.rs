//! Any bytes as the private data of every codec: what parses can be written, and reads back the same.
#![no_main]

use bytes::Bytes;
use kvs_media::codec::aac::AudioSpecificConfig;
use kvs_media::codec::av1::Av1Config;
use kvs_media::codec::h264::AvcConfig;
use kvs_media::codec::h265::HevcConfig;
use kvs_media::codec::opus::OpusHead;
use kvs_media::codec::wave::WaveFormat;
use kvs_media::codec::{Picture, data};
use libfuzzer_sys::fuzz_target;

fn is_shown(picture: Picture) -> bool {
    picture.width > 0 && picture.height > 0 && picture.reorder_depth.is_none_or(|depth| depth <= 16)
}

fn avc(private: &Bytes) {
    let Ok(config) = AvcConfig::parse(private) else { return };
    assert_eq!(AvcConfig::parse(&config.write().unwrap()), Ok(config.clone()));
    assert_eq!(config.rfc6381().len(), "avc1.42c032".len());
    assert!(config.picture().is_ok_and(is_shown) || config.picture().is_err());
}

fn hevc(private: &Bytes) {
    let Ok(mut config) = HevcConfig::parse(private) else { return };
    let written = config.write().unwrap();
    config.arrays.retain(|array| !array.units.is_empty());
    assert!(config.rfc6381().starts_with("hvc1."));
    assert!(config.picture().is_ok_and(is_shown) || config.picture().is_err());
    assert_eq!(HevcConfig::parse(&written), Ok(config));
}

fn av1(private: &Bytes) {
    let Ok(config) = Av1Config::parse(private) else { return };
    let header = config.sequence_header().ok();
    assert!(header.is_none_or(|header| is_shown(header.picture)));
    assert!(config.rfc6381(header.as_ref()).starts_with("av01."));
    assert_eq!(Av1Config::parse(&config.write()), Ok(config));
}

fn aac(private: &[u8]) {
    let Ok(config) = AudioSpecificConfig::parse(private) else { return };
    assert!(config.rate > 0 && config.output_rate() > 0 && !config.frame_duration().is_zero());
    assert!(config.output_channels() >= config.channels);
    assert!(config.rfc6381().starts_with("mp4a.40."));
    match config.write() {
        Ok(written) => assert_eq!(AudioSpecificConfig::parse(&written), Ok(config)),
        Err(_) => assert!(config.channel_config == 0 || !matches!(config.object_type, 1..=4)),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let private = Bytes::copy_from_slice(bytes);
    avc(&private);
    hevc(&private);
    av1(&private);
    aac(bytes);
    if let Ok(head) = OpusHead::parse(&private) {
        assert_eq!(OpusHead::parse(&head.write().unwrap()), Ok(head));
    }
    if let Ok(format) = WaveFormat::parse(&private) {
        assert!(format.channels > 0 && format.rate > 0);
        assert_eq!(WaveFormat::parse(&format.write()), Ok(format));
    }
    match data::parse(bytes) {
        Ok(caps) => {
            assert!(data::media_type(caps).contains('/') && !caps.contains('\0'));
            assert_eq!(data::write(caps), Ok(private));
        }
        // The caps are refused by the writer as they are by the reader.
        Err(error) => {
            if let Ok(text) = std::str::from_utf8(bytes) {
                assert_eq!(data::write(text), Err(error));
            }
        }
    }
});

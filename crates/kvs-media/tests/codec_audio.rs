//! Sound of real encoders, and silence by the judgement of a real decoder.
#![cfg(test)]

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use kvs_media::codec::aac::AudioSpecificConfig;
use kvs_media::codec::adts;
use kvs_media::codec::opus::{self, OpusHead};
use kvs_media::codec::wave::WaveFormat;
use kvs_media::codec::{Codec, CodecError, PcmFormat, Sound, data, describe, silence};
use kvs_media::{AudioShape, Track, TrackNumber};

fn track(codec: Codec, private: Bytes) -> Track {
    let mut track = Track::new(TrackNumber(2), codec.kind(), codec.codec_id());
    track.codec_private = private;
    track
}

fn aac_track(rate: u32, channels: u8) -> Track {
    track(Codec::Aac, AudioSpecificConfig::lc(rate, channels).unwrap().write().unwrap())
}

#[test]
fn adts_of_an_encoder_becomes_raw_frames_and_a_configuration() {
    // The configurations that GStreamer's aacparse makes of the same files.
    let rows: [(&[u8], &[u8], u32, u32); 2] = [
        (include_bytes!("data/codec/aac-mono-16k.aac"), &[0x14, 0x08], 16_000, 1),
        (include_bytes!("data/codec/aac-stereo-48k.aac"), &[0x11, 0x90], 48_000, 2),
    ];
    for (stream, private, rate, channels) in rows {
        let mut left = stream;
        for block in adts::blocks(stream) {
            let (header, raw) = block.unwrap();
            assert_eq!(&header.config().unwrap().write().unwrap()[..], private);
            assert_eq!(&left[7..header.frame_len], raw);
            left = &left[header.frame_len..];
        }
        assert!(left.is_empty());
        let found = describe(&track(Codec::Aac, Bytes::copy_from_slice(private))).unwrap();
        assert_eq!(
            (found.rfc6381.as_deref(), found.sound),
            (Some("mp4a.40.2"), Some(Sound { rate, channels }))
        );
    }
}

#[test]
fn an_older_id_tells_the_profile_without_private_data() {
    let mut track = track(Codec::Aac, Bytes::new());
    assert_eq!(describe(&track), Err(CodecError::MissingPrivate));
    track.codec_id = "A_AAC/MPEG4/MAIN".to_owned();
    assert_eq!(describe(&track), Err(CodecError::MissingPrivate));
    track.audio = Some(AudioShape { rate: 22_050.0, channels: 2, bit_depth: None });
    let found = describe(&track).unwrap();
    assert_eq!(found.rfc6381.as_deref(), Some("mp4a.40.1"));
    assert_eq!(found.sound, Some(Sound { rate: 22_050, channels: 2 }));
    track.codec_id = "A_AAC/MPEG2/LC".to_owned();
    assert_eq!(describe(&track).unwrap().rfc6381.as_deref(), Some("mp4a.40.2"));
}

#[test]
fn sound_and_data_are_described() {
    let wave = WaveFormat::g711(Codec::Mulaw, 2, 8_000).unwrap().write();
    let found = describe(&track(Codec::Mulaw, wave)).unwrap();
    assert_eq!(
        (found.rfc6381.as_deref(), found.sound),
        (Some("ulaw"), Some(Sound { rate: 8_000, channels: 2 }))
    );
    let found = describe(&track(Codec::Opus, OpusHead::simple(1, 16_000).write().unwrap())).unwrap();
    assert_eq!(
        (found.rfc6381.as_deref(), found.sound),
        (Some("opus"), Some(Sound { rate: 48_000, channels: 1 }))
    );
    let found = describe(&track(Codec::Data, data::write("meta/x-klv, parsed=true").unwrap())).unwrap();
    assert_eq!((found.rfc6381, found.media_type.as_deref()), (None, Some("meta/x-klv")));
    let mut acm = track(Codec::Alaw, Bytes::new());
    assert_eq!(describe(&acm), Err(CodecError::MissingPrivate));
    acm.codec_private = Bytes::from_static(&[6, 0, 1, 0]);
    assert_eq!(describe(&acm), Err(CodecError::Truncated { part: "WAVEFORMATEX", field: "nSamplesPerSec" }));
    acm.codec_id = "A_DTS".to_owned();
    assert_eq!(describe(&acm), Err(CodecError::Unknown("A_DTS".to_owned())));
}

#[test]
fn g711_and_pcm_silence_is_twenty_milliseconds_of_the_quiet_code() {
    let alaw =
        silence(&track(Codec::Alaw, WaveFormat::g711(Codec::Alaw, 2, 8_000).unwrap().write())).unwrap();
    assert_eq!((alaw.data.as_ref(), alaw.duration), (&[0xd5; 320][..], Duration::from_millis(20)));
    let mulaw =
        silence(&track(Codec::Mulaw, WaveFormat::g711(Codec::Mulaw, 1, 8_000).unwrap().write())).unwrap();
    assert_eq!(mulaw.data.as_ref(), [0xff; 160]);
    for (bits, byte) in [(8, 0x80), (16, 0), (24, 0)] {
        let mut pcm = track(Codec::Pcm(PcmFormat::integer(bits, false).unwrap()), Bytes::new());
        pcm.audio = Some(AudioShape { rate: 44_100.0, channels: 1, bit_depth: Some(bits) });
        let silence = silence(&pcm).unwrap();
        assert_eq!(silence.data, vec![byte; 882 * usize::try_from(bits).unwrap() / 8]);
        assert_eq!(silence.duration, Duration::from_millis(20));
        // A header that lies is not believed.
        pcm.audio = Some(AudioShape { rate: 4e9, channels: u32::MAX, bit_depth: Some(bits) });
        assert_eq!(self::silence(&pcm), None);
    }
}

#[test]
fn pcm_in_a_wave_header_is_pcm() {
    let mut acm = track(Codec::Alaw, WaveFormat { tag: 1, channels: 2, rate: 16_000, bits: 16 }.write());
    assert_eq!(Codec::of(&acm), Some(Codec::Pcm(PcmFormat::integer(16, false).unwrap())));
    let found = describe(&acm).unwrap();
    assert_eq!((found.rfc6381, found.sound), (None, Some(Sound { rate: 16_000, channels: 2 })));
    assert_eq!(silence(&acm).unwrap().data.len(), 320 * 4);
    acm.codec_private = WaveFormat { tag: 3, channels: 1, rate: 48_000, bits: 32 }.write();
    assert_eq!(Codec::of(&acm), PcmFormat::float(32).map(Codec::Pcm));
    acm.codec_private = WaveFormat { tag: 2, channels: 1, rate: 48_000, bits: 4 }.write();
    assert_eq!(describe(&acm), Err(CodecError::Unknown("A_MS/ACM".to_owned())));
}

#[test]
fn silence_is_empty_for_data_and_none_for_video() {
    let empty = silence(&track(Codec::Data, data::write("application/x-json").unwrap())).unwrap();
    assert!(empty.data.is_empty() && empty.duration.is_zero());
    for codec in [Codec::H264, Codec::H265, Codec::Av1, Codec::Vp8, Codec::Vp9, Codec::Mjpeg] {
        assert_eq!(silence(&track(codec, Bytes::new())), None);
    }
    assert_eq!(silence(&aac_track(48_000, 6)), None);
}

/// Decodes with ffmpeg to 16-bit samples.
fn decoded(input: &[u8], format: &str) -> Vec<i16> {
    let file =
        std::env::temp_dir().join(format!("kvs-media-{}-{format}-{}", std::process::id(), input.len()));
    std::fs::write(&file, input).unwrap();
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-xerror", "-f", format, "-i"])
        .arg(&file)
        .args(["-f", "s16le", "-"])
        .output();
    std::fs::remove_file(&file).unwrap();
    let output = output.expect("ffmpeg is installed");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "ffmpeg: {said}");
    output.stdout.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

#[test]
fn a_decoder_hears_nothing_in_aac_silence() {
    for (rate, channels) in [(48_000, 1), (48_000, 2), (8_000, 1), (44_100, 2), (96_000, 2)] {
        let silence = silence(&aac_track(rate, channels)).unwrap();
        assert_eq!(silence.duration.as_nanos(), u128::from(1_024_000_000_000 / u64::from(rate)));
        // ADTS, as a raw frame has no form of its own: 7 bytes of header, LC.
        let index =
            [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000]
                .iter()
                .position(|listed| *listed == rate)
                .unwrap();
        let index = u8::try_from(index).unwrap();
        let len = u8::try_from(silence.data.len() + 7).unwrap();
        let head = [0xff, 0xf1, 1 << 6 | index << 2, channels << 6, len >> 3, len << 5 | 0x1f, 0xfc];
        let frame = [&head[..], &silence.data].concat();
        assert_eq!(adts::blocks(&frame).next().unwrap().unwrap().1, &silence.data[..]);
        let samples = decoded(&frame.repeat(10), "aac");
        assert_eq!(samples.len(), 10 * 1024 * usize::from(channels));
        assert!(samples.iter().all(|sample| *sample == 0), "{rate} Hz, {channels} channels");
    }
}

/// An Ogg page with whole packets (RFC 3533).
fn ogg_page(flags: u8, granule: u64, sequence: u32, packets: &[&[u8]]) -> Vec<u8> {
    let mut page =
        [&b"OggS\0"[..], &[flags], &granule.to_le_bytes(), &[1, 0, 0, 0], &sequence.to_le_bytes(), &[0; 4]]
            .concat();
    page.push(u8::try_from(packets.len()).unwrap());
    page.extend(packets.iter().map(|packet| u8::try_from(packet.len()).unwrap()));
    packets.iter().for_each(|packet| page.extend(*packet));
    let mut crc = 0_u32;
    for byte in &page {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 };
        }
    }
    page.splice(22..26, crc.to_le_bytes());
    page
}

#[test]
fn a_decoder_hears_nothing_in_opus_silence() {
    for channels in [1, 2] {
        let head = OpusHead::simple(channels, 48_000).write().unwrap();
        let silence = silence(&track(Codec::Opus, head.clone())).unwrap();
        assert_eq!(opus::packet_duration(&silence.data), Ok(silence.duration));
        let file = [
            ogg_page(2, 0, 0, &[&head]),
            ogg_page(0, 0, 1, &[b"OpusTags\0\0\0\0\0\0\0\0"]),
            ogg_page(4, 10 * 960, 2, &[&silence.data[..]; 10]),
        ]
        .concat();
        let samples = decoded(&file, "ogg");
        assert!(samples.len() >= 9 * 960 * usize::from(channels), "{}", samples.len());
        assert!(samples.iter().all(|sample| *sample == 0), "{channels} channels");
    }
}

#[test]
fn a_decoder_hears_next_to_nothing_in_g711_silence() {
    for (codec, format) in [(Codec::Alaw, "alaw"), (Codec::Mulaw, "mulaw")] {
        let silence = silence(&track(codec, WaveFormat::g711(codec, 1, 8_000).unwrap().write())).unwrap();
        let samples = decoded(&silence.data, format);
        // A-law has no zero: its smallest value is 8 of 32768.
        assert!(samples.len() == 160 && samples.iter().all(|sample| sample.abs() <= 8));
    }
}

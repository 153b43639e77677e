//! Any track: its description, the rules of playback and its silence agree with each other.
//!
//! Input: a line of the codec id and up to six numbers (rate, channels and bits of sound, width, height, nanoseconds
//! a frame); then the private data.
#![no_main]

use std::time::Duration;

use bytes::Bytes;
use kvs_media::codec::aac::AudioSpecificConfig;
use kvs_media::codec::{Codec, describe, opus, silence, wave};
use kvs_media::playback::{Api, check};
use kvs_media::{AudioShape, Track, TrackKind, TrackNumber, VideoShape};
use libfuzzer_sys::fuzz_target;

/// The longest silence: 20 ms of 64 channels at 768 kHz in 64 bits.
const MOST_SILENCE: usize = 15_360 * 64 * 8;

fn track(head: &str, private: &[u8]) -> Track {
    let mut words = head.split(' ');
    let id = words.next().unwrap_or_default();
    let kind = match id.get(..1) {
        Some("V") => TrackKind::Video,
        Some("A") => TrackKind::Audio,
        _ => TrackKind::Metadata,
    };
    let mut track = Track::new(TrackNumber(2), kind, id);
    track.codec_private = Bytes::copy_from_slice(private);
    let rate = words.next().and_then(|word| word.parse().ok());
    let mut number = || words.next()?.parse().ok();
    track.audio =
        rate.zip(number()).map(|(rate, channels)| AudioShape { rate, channels, bit_depth: number() });
    track.video = number().zip(number()).map(|(width, height)| VideoShape { width, height });
    track.frame_duration = number().map(|nanos| Duration::from_nanos(nanos.into()));
    track
}

fn companion() -> Track {
    let mut track = Track::new(TrackNumber(1), TrackKind::Video, "V_MPEG4/ISO/AVC");
    let private = include_bytes!("../../crates/kvs-media/tests/data/codec/h264-high.avcC");
    track.codec_private = Bytes::from_static(private);
    track
}

fn check_silence(track: &Track) {
    let Some(silence) = silence(track) else { return };
    let description = describe(track);
    assert!(silence.data.len() <= MOST_SILENCE);
    match Codec::of(track).unwrap() {
        Codec::Data => {
            assert!(silence.data.is_empty() && silence.duration.is_zero());
            return;
        }
        Codec::Aac => {
            let config = AudioSpecificConfig::parse(&track.codec_private);
            assert!(
                config.is_ok_and(|config| config.frame_duration() == silence.duration)
                    || track.codec_private.is_empty()
            );
        }
        Codec::Opus => assert_eq!(opus::packet_duration(&silence.data), Ok(silence.duration)),
        codec => {
            let sound = description.as_ref().unwrap().sound.unwrap();
            let duration = wave::duration(codec, sound.channels, sound.rate, silence.data.len());
            assert_eq!(duration, Some(silence.duration));
        }
    }
    assert!(!silence.data.is_empty() && !silence.duration.is_zero());
    assert!(description.unwrap().sound.is_some());
}

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let Ok(head) = std::str::from_utf8(&input[..end]) else { return };
    let mut track = track(head, input.get(end + 1..).unwrap_or_default());
    check_silence(&track);

    let described = describe(&track);
    match &described {
        Ok(description) => {
            assert_eq!(Codec::of(&track), Some(description.codec));
            assert!(description.codec.codec_id().len() <= 32);
            // It goes into the quoted list of a CODECS attribute.
            let fits = |text: &String| text.bytes().all(|b| b.is_ascii_graphic() && !b"\",".contains(&b));
            assert!(description.rfc6381.as_ref().is_none_or(fits));
            assert!(description.frame_rate.is_none_or(|rate| rate.frames > 0 && rate.seconds > 0));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }

    let companion = companion();
    let report = check(&[companion.clone(), track.clone()]);
    assert_eq!(report, check(&[track.clone(), companion.clone()]), "the order of the tracks matters");
    for (api, answer) in report.answers() {
        // GetImages looks at the first track only.
        let may_play = described.is_ok() || api == Api::GetImages;
        let holds = answer.map_or_else(|reasons| !reasons.is_empty(), |()| may_play);
        assert!(holds, "{api} plays what cannot be described");
    }
    assert_eq!(report.of(Api::GetImages), Ok(()));

    track.number = TrackNumber(1);
    let alone = check(std::slice::from_ref(&track));
    for (api, answer) in alone.answers() {
        assert_eq!(answer, alone.of(api));
        assert!(answer.is_err() || described.is_ok() || api == Api::GetImages);
    }
    assert!(alone.to_string().lines().count() >= Api::ALL.len());
    track.encoded = true;
    assert!(check(&[track]).answers().all(|(_, answer)| answer.is_err()));
});

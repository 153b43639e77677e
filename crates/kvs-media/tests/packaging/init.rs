//! The init segment, box by box.

use bytes::Bytes;
use kvs_media::codec::wave::WaveFormat;
use kvs_media::codec::{Codec, CodecError, FrameRate, Sound};
use kvs_media::mkv::Event;
use kvs_media::mp4::{Mp4Error, Mp4Track, init};
use kvs_media::time::TimecodeScale;
use kvs_media::{Track, TrackKind, TrackNumber, VideoShape};
use mp4_atom::{Any, Codec as Entry, Ftyp, Moov, Trak};
use proptest::prelude::*;

use crate::parsed::{boxes, moov};
use crate::samples::{events, folder};
use crate::stored::{Stored, aac, video};

const MS: TimecodeScale = TimecodeScale::MILLISECOND;

fn hevc() -> Track {
    let mut track = Track::new(TrackNumber(1), TrackKind::Video, "V_MPEGH/ISO/HEVC");
    track.codec_private = std::fs::read(folder().join("codec/h265-main10.hvcC")).unwrap().into();
    track
}

fn g711(codec: Codec) -> Track {
    let mut track = Track::new(TrackNumber(2), TrackKind::Audio, "A_MS/ACM");
    track.codec_private = WaveFormat::g711(codec, 2, 8_000).unwrap().write();
    track
}

fn mp4(track: &Track) -> Mp4Track {
    Mp4Track::new(track, MS).unwrap()
}

fn entry(trak: &Trak) -> &Entry {
    let [entry] = &trak.mdia.minf.stbl.stsd.codecs[..] else { panic!("one description") };
    entry
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn an_init_segment_is_ftyp_and_moov_and_nothing_else() {
    let (video, sound) = (mp4(&video()), mp4(&aac(44_100, 2)));
    let bytes = init(&[&video, &sound]).unwrap();
    let [(_, Any::Ftyp(Ftyp { major_brand, .. })), (_, Any::Moov(Moov { mvhd, mvex, trak, .. }))] =
        &boxes(&bytes)[..]
    else {
        panic!("{:?}", boxes(&bytes));
    };
    assert_eq!(major_brand, &b"iso6".into());
    assert_eq!((mvhd.timescale, mvhd.duration, mvhd.next_track_id), (1_000, 0, 3));
    let defaults: Vec<_> =
        mvex.as_ref().unwrap().trex.iter().map(|trex| (trex.track_id, trex.default_sample_flags)).collect();
    assert_eq!(defaults, [(1, 0x0101_0000), (2, 0x0200_0000)]);
    let tracks: Vec<_> = trak
        .iter()
        .map(|trak| (trak.tkhd.track_id, trak.mdia.mdhd.timescale, trak.mdia.hdlr.handler))
        .collect();
    assert_eq!(tracks, [(1, 90_000, b"vide".into()), (2, 441_000, b"soun".into())]);
    for trak in trak {
        let stbl = &trak.mdia.minf.stbl;
        assert!(
            stbl.stts.entries.is_empty()
                && stbl.stsc.entries.is_empty()
                && trak.tkhd.enabled
                && trak.tkhd.in_movie
        );
        assert!(stbl.stco.as_ref().is_some_and(|stco| stco.entries.is_empty()));
        assert_eq!(trak.mdia.minf.dinf.dref.entries.len(), 1);
        assert_eq!(trak.edts, None);
    }
    assert!(trak[0].mdia.minf.vmhd.is_some() && trak[1].mdia.minf.smhd.is_some());
}

#[test]
fn a_record_is_carried_over_byte_for_byte() {
    for (track, codec) in [(video(), "avc1.640028"), (hevc(), "hvc1.2.4.L60.90")] {
        let described = kvs_media::codec::describe(&track).unwrap();
        let found = mp4(&track);
        assert_eq!(found.rfc6381(), described.rfc6381.as_deref().unwrap(), "{codec}");
        let bytes = init(&[&found]).unwrap();
        assert!(contains(&bytes, &track.codec_private));
        let moov = moov(&bytes);
        let trak = &moov.trak[0];
        let size = found.size().unwrap();
        let visual = match entry(trak) {
            Entry::Avc1(entry) => {
                let config = kvs_media::codec::h264::AvcConfig::parse(&track.codec_private).unwrap();
                assert_eq!(entry.avcc.sequence_parameter_sets, config.sps);
                assert_eq!(entry.avcc.picture_parameter_sets, config.pps);
                assert_eq!(entry.avcc.length_size, 4);
                &entry.visual
            }
            Entry::Hvc1(entry) => {
                assert_eq!(entry.hvcc.general_level_idc, track.codec_private[12]);
                &entry.visual
            }
            other => panic!("{other:?}"),
        };
        assert_eq!((u32::from(visual.width), u32::from(visual.height)), (size.width, size.height));
        assert_eq!(u32::from(trak.tkhd.width.integer()), size.width);
        assert_eq!(u32::from(trak.tkhd.height.integer()), size.height);
    }
}

#[test]
fn sound_says_its_rate_its_channels_and_its_configuration() {
    for (rate, channels, timescale) in
        [(48_000, 2, 48_000), (44_100, 1, 441_000), (8_000, 1, 8_000), (96_000, 6, 96_000)]
    {
        let track = aac(rate, channels);
        let found = mp4(&track);
        assert_eq!((found.rfc6381(), found.timescale()), ("mp4a.40.2", timescale));
        assert_eq!(found.sound(), Some(Sound { rate, channels: channels.into() }));
        let moov = moov(&init(&[&found]).unwrap());
        let Entry::Mp4a(entry) = entry(&moov.trak[0]) else { panic!() };
        assert_eq!((entry.audio.channel_count, entry.audio.sample_size), (channels.into(), 16));
        // 16 bits cannot hold the highest.
        assert_eq!(u32::from(entry.audio.sample_rate.integer()), if rate > 65_535 { 0 } else { rate });
        let config = &entry.esds.es_desc.dec_config;
        assert_eq!((config.object_type_indication, config.stream_type), (0x40, 5));
        let specific = format!("{:?}", config.dec_specific);
        assert!(specific.contains(&format!("{:?}", track.codec_private.to_vec())), "{specific}");
    }
}

#[test]
fn g711_has_the_entries_of_quicktime() {
    for (codec, name) in [(Codec::Alaw, b"alaw"), (Codec::Mulaw, b"ulaw")] {
        let found = mp4(&g711(codec));
        assert_eq!(found.timescale(), 8_000);
        assert_eq!(found.rfc6381().as_bytes(), name);
        let moov = moov(&init(&[&found]).unwrap());
        assert!(
            matches!(entry(&moov.trak[0]), Entry::Unknown(kind, _) if kind == &name.into()),
            "{:?}",
            entry(&moov.trak[0])
        );
    }
}

#[test]
fn pictures_with_oblong_pixels_are_shown_wider() {
    // ffmpeg writes the shape into the parameter sets.
    let path = folder().join("x264-closed-gop.mkv");
    let shape = "h264_metadata=sample_aspect_ratio=4/3";
    let arguments =
        ["-v", "error", "-i", path.to_str().unwrap(), "-c", "copy", "-bsf:v", shape, "-f", "matroska", "-"];
    let output = std::process::Command::new("ffmpeg").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let events = events(output.stdout.into());
    let Some(Event::Document(header)) = events.first() else { panic!() };
    let bytes = init(&[&mp4(&header.tracks[0])]).unwrap();
    let trak = &moov(&bytes).trak[0];
    let Entry::Avc1(entry) = entry(trak) else { panic!() };
    let pasp = entry.pasp.as_ref().unwrap();
    assert_eq!((pasp.h_spacing, pasp.v_spacing), (4, 3));
    assert_eq!((entry.visual.width, entry.visual.height), (160, 120));
    // 213 1/3 columns, in 65536ths.
    assert_eq!((trak.tkhd.width.integer(), trak.tkhd.width.decimal()), (213, 0x5555));
    assert_eq!(trak.tkhd.height.integer(), 120);
}

#[test]
fn a_language_and_a_frame_rate_are_carried_over() {
    let mut track = aac(48_000, 1);
    for (told, expected) in [("deu", "deu"), ("", "und"), ("de-CH", "und"), ("DEU", "und")] {
        track.language = told.to_owned();
        let moov = moov(&init(&[&mp4(&track)]).unwrap());
        assert_eq!(moov.trak[0].mdia.mdhd.language, expected);
    }
    let stored = Stored::sample("x264-closed-gop");
    assert_eq!(stored.mp4_tracks()[0].frame_rate(), Some(FrameRate { frames: 20, seconds: 1 }));
    assert_eq!(stored.mp4_tracks()[0].size(), Some(VideoShape { width: 160, height: 120 }));
}

#[test]
fn what_has_no_form_is_refused_with_its_reason() {
    let mut vp8 = Track::new(TrackNumber(1), TrackKind::Video, "V_VP8");
    let unsupported = Mp4Error::Unsupported { track: TrackNumber(1), codec_id: "V_VP8".to_owned() };
    assert_eq!(Mp4Track::new(&vp8, MS).unwrap_err(), unsupported);
    vp8.codec_id = "V_NONE".to_owned();
    assert!(matches!(Mp4Track::new(&vp8, MS), Err(Mp4Error::Unsupported { .. })));

    let missing = Track { codec_private: Bytes::new(), ..video() };
    let private = |error| Mp4Error::Private { track: TrackNumber(1), error };
    assert_eq!(Mp4Track::new(&missing, MS).unwrap_err(), private(CodecError::MissingPrivate));
    // The set of pictures is cut off: count 0.
    let whole = kvs_media::codec::h264::AvcConfig::parse(&video().codec_private).unwrap();
    let bare = kvs_media::codec::h264::AvcConfig { pps: Vec::new(), high: None, ..whole }.write().unwrap();
    let bare = Track { codec_private: bare, ..video() };
    assert_eq!(
        Mp4Track::new(&bare, MS).unwrap_err(),
        private(CodecError::Broken { part: "avcC", rule: "needs a PPS" })
    );

    let encoded = Track { encoded: true, ..video() };
    assert_eq!(Mp4Track::new(&encoded, MS).unwrap_err(), Mp4Error::Encoded(TrackNumber(1)));
    for number in [0, u64::from(u32::MAX), u64::MAX] {
        let track = Track { number: TrackNumber(number), ..video() };
        assert_eq!(Mp4Track::new(&track, MS).unwrap_err(), Mp4Error::Number(TrackNumber(number)));
    }
    let track = mp4(&video());
    assert_eq!(init(&[&track, &track]).unwrap_err(), Mp4Error::Twice(TrackNumber(1)));
    let mut fast = g711(Codec::Alaw);
    fast.codec_private = WaveFormat::g711(Codec::Alaw, 1, u32::MAX).unwrap().write();
    assert!(matches!(Mp4Track::new(&fast, MS), Err(Mp4Error::Private { .. })));
}

proptest! {
    #[test]
    fn private_data_that_is_broken_is_refused_or_read_by_others(
        which in 0_usize..4, at in any::<prop::sample::Index>(), byte: u8, cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut track = [video(), hevc(), aac(44_100, 2), g711(Codec::Alaw)][which].clone();
        let mut private = track.codec_private.to_vec();
        let at = at.index(private.len());
        private[at] = byte;
        if let Some(cut) = cut {
            private.truncate(cut.index(private.len()));
        }
        track.codec_private = private.into();
        if let Ok(found) = Mp4Track::new(&track, MS) {
            let bytes = init(&[&found]).unwrap();
            // Not every record that decoders take is one to a strict reader; the boxes around it are.
            prop_assert_eq!(&bytes[4..8], b"ftyp");
            let len = u32::from_be_bytes(*bytes[24 + 4..].first_chunk().unwrap());
            prop_assert_eq!(24 + 4 + len as usize, bytes.len());
        }
    }

    #[test]
    fn any_private_data_is_borne(private in prop::collection::vec(any::<u8>(), 0..80), which in 0_usize..4) {
        let mut track = [video(), hevc(), aac(44_100, 2), g711(Codec::Alaw)][which].clone();
        track.codec_private = private.into();
        let _ = Mp4Track::new(&track, MS).map(|track| init(&[&track]));
    }
}

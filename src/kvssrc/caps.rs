//! From the header of a track to caps: the way back of the sink's.

use bytes::Bytes;
use kvs_media::codec::aac::AudioSpecificConfig;
use kvs_media::codec::h264::AvcConfig;
use kvs_media::codec::h265::HevcConfig;
use kvs_media::codec::opus::OpusHead;
use kvs_media::codec::{Codec, CodecError, Description, PcmFormat, data, describe};
use kvs_media::{Track, TrackKind};

/// The caps of a track whose codec nobody here knows.
const UNKNOWN: &str = "application/x-kvs-unknown";

/// What comes out of a pad for a track.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Format {
    /// Its caps.
    pub(crate) caps: gst::Caps,
    /// How many pictures may be decoded before one and shown after it.
    pub(crate) reorder_depth: u32,
    /// How long a frame lasts, where that is told.
    pub(crate) lasts: Option<std::time::Duration>,
    /// Any frame can be decoded without the others.
    pub(crate) all_key: bool,
    /// Why the caps say less than they should.
    pub(crate) warning: Option<String>,
}

impl Format {
    /// What comes out for a track. Always something: what cannot be decoded can still be stored.
    pub(crate) fn of(track: &Track) -> Self {
        let described = if track.encoded {
            Err("its frames are compressed or encrypted by the container".to_owned())
        } else {
            describe(track).or_else(|error| bare(track, error)).map_err(|error| error.to_string())
        };
        let shown = described.and_then(|description| {
            let caps = media(track, &description).map_err(|error| error.to_string())?;
            Ok((caps, description))
        });
        match shown {
            Ok((caps, description)) => Self {
                caps,
                reorder_depth: reorder_depth(&description),
                lasts: length(&description),
                all_key: track.kind != TrackKind::Video || description.codec == Codec::Mjpeg,
                warning: needs_private(track).then(|| {
                    format!(
                        "track {} ({}) has no private data: decoders may wait for it",
                        track.number, track.codec_id
                    )
                }),
            },
            Err(error) => Self {
                caps: unknown(track),
                reorder_depth: 0,
                lasts: track.frame_duration,
                all_key: track.kind != TrackKind::Video,
                warning: Some(format!(
                    "track {} ({}) cannot be described: {error}",
                    track.number, track.codec_id
                )),
            },
        }
    }
}

/// How long a frame of a track lasts, where its header tells.
pub(crate) fn lasts(track: &Track) -> Option<std::time::Duration> {
    let described = (!track.encoded).then(|| describe(track).ok()).flatten();
    described.and_then(|description| length(&description)).or(track.frame_duration)
}

fn length(description: &Description) -> Option<std::time::Duration> {
    let rate = description.frame_rate?;
    let nanos = u64::from(rate.seconds).saturating_mul(1_000_000_000);
    nanos.checked_div(rate.frames.into()).map(std::time::Duration::from_nanos)
}

/// A description without what the private data would tell, of codecs that can say it in band or by the track's shape.
fn bare(track: &Track, error: CodecError) -> Result<Description, CodecError> {
    let Some(codec @ (Codec::H264 | Codec::H265 | Codec::Av1)) = Codec::of(track) else {
        return Err(error);
    };
    Ok(Description {
        codec,
        rfc6381: None,
        size: track.video,
        frame_rate: None,
        picture: None,
        sound: None,
        media_type: None,
    })
}

fn needs_private(track: &Track) -> bool {
    matches!(Codec::of(track), Some(Codec::H264 | Codec::H265)) && record(track).is_none()
}

/// What reorders, and over how much. AV1, VP8 and VP9 hide what is not shown within a frame.
fn reorder_depth(description: &Description) -> u32 {
    match (description.codec, description.picture) {
        (Codec::H264 | Codec::H265, Some(picture)) => picture.reorder_depth.unwrap_or_default(),
        _ => 0,
    }
}

fn media(track: &Track, description: &Description) -> Result<gst::Caps, CodecError> {
    let caps = match description.codec {
        Codec::H264 => h264(track),
        Codec::H265 => h265(track),
        Codec::Av1 => gst::Caps::builder("video/x-av1")
            .field("stream-format", "obu-stream")
            .field("alignment", "tu")
            .field_if_some("codec_data", buffer(&track.codec_private))
            .build(),
        Codec::Vp8 => gst::Caps::new_empty_simple("video/x-vp8"),
        Codec::Vp9 => gst::Caps::new_empty_simple("video/x-vp9"),
        Codec::Mjpeg => gst::Caps::builder("image/jpeg").field("parsed", true).build(),
        Codec::Aac => aac(track, description)?,
        Codec::Opus => return opus(&track.codec_private),
        Codec::Alaw => sound("audio/x-alaw", description)?,
        Codec::Mulaw => sound("audio/x-mulaw", description)?,
        Codec::Pcm(format) => pcm(format, description)?,
        Codec::Data => return timed(track),
    };
    Ok(if track.kind == TrackKind::Video { with_picture(caps, description) } else { caps })
}

/// The decoder's record: the private data, out of Video for Windows' wrapping when there is one. `None` when there is none,
/// and the parameter sets must be in band.
fn record(track: &Track) -> Option<Bytes> {
    let private = &track.codec_private;
    let record = match track.codec_id.as_str() {
        "V_MS/VFW/FOURCC" if private.len() > 40 => private.slice(40..),
        "V_MS/VFW/FOURCC" => return None,
        _ => private.clone(),
    };
    // Both records begin with their version, Annex B with zeros.
    (record.first() == Some(&1)).then_some(record)
}

fn h264(track: &Track) -> gst::Caps {
    let builder = gst::Caps::builder("video/x-h264").field("alignment", "au");
    let Some((record, config)) = record(track).and_then(|record| {
        let config = AvcConfig::parse(&record).ok()?;
        Some((record, config))
    }) else {
        return builder.field("stream-format", "byte-stream").build();
    };
    builder
        .field("stream-format", "avc")
        .field_if_some("codec_data", buffer(&record))
        .field_if_some("profile", h264_profile(config.profile, config.compatibility))
        .field_if_some("level", h264_level(config.profile, config.compatibility, config.level))
        .build()
}

/// The names of caps; H.264 A.2.
fn h264_profile(profile: u8, flags: u8) -> Option<&'static str> {
    let flag = |number: u8| flags & (0x80 >> number) != 0;
    Some(match profile {
        66 if flag(1) => "constrained-baseline",
        66 => "baseline",
        77 => "main",
        88 => "extended",
        100 if flag(4) && flag(5) => "constrained-high",
        100 if flag(4) => "progressive-high",
        100 => "high",
        110 if flag(3) => "high-10-intra",
        110 if flag(4) => "progressive-high-10",
        110 => "high-10",
        122 if flag(3) => "high-4:2:2-intra",
        122 => "high-4:2:2",
        244 if flag(3) => "high-4:4:4-intra",
        244 => "high-4:4:4",
        44 => "cavlc-4:4:4-intra",
        _ => return None,
    })
}

fn h264_level(profile: u8, flags: u8, level: u8) -> Option<String> {
    match level {
        11 if matches!(profile, 66 | 77 | 88) && flags & 0x10 != 0 => Some("1b".to_owned()),
        9 => Some("1b".to_owned()),
        0 | 255 => None,
        _ if level.is_multiple_of(10) => Some((level / 10).to_string()),
        _ => Some(format!("{}.{}", level / 10, level % 10)),
    }
}

fn h265(track: &Track) -> gst::Caps {
    let builder = gst::Caps::builder("video/x-h265").field("alignment", "au");
    let Some((record, config)) = record(track).and_then(|record| {
        let config = HevcConfig::parse(&record).ok()?;
        Some((record, config))
    }) else {
        return builder.field("stream-format", "byte-stream").build();
    };
    let ptl = config.ptl;
    let profile = match ptl.profile {
        1 => Some("main"),
        2 => Some("main-10"),
        3 => Some("main-still-picture"),
        _ => None,
    };
    let level = match ptl.level {
        0 => None,
        level if level.is_multiple_of(30) => Some((level / 30).to_string()),
        level => Some(format!("{}.{}", level / 30, level % 30 / 3)),
    };
    // Whether sets may be in band too: ISO 14496-15 8.4.1.
    let complete = !config.arrays.is_empty() && config.arrays.iter().all(|array| array.complete);
    builder
        .field("stream-format", if complete { "hvc1" } else { "hev1" })
        .field_if_some("codec_data", buffer(&record))
        .field_if_some("profile", profile)
        .field("tier", if ptl.high_tier { "high" } else { "main" })
        .field_if_some("level", level)
        .build()
}

fn with_picture(mut caps: gst::Caps, description: &Description) -> gst::Caps {
    let Some(structure) = caps.make_mut().structure_mut(0) else { return caps };
    let number = |number: u32| i32::try_from(number).ok().filter(|number| *number > 0);
    if let Some((width, height)) =
        description.size.and_then(|size| Some((number(size.width)?, number(size.height)?)))
    {
        structure.set("width", width);
        structure.set("height", height);
    }
    if let Some((frames, seconds)) =
        description.frame_rate.and_then(|rate| Some((number(rate.frames)?, number(rate.seconds)?)))
    {
        structure.set("framerate", gst::Fraction::new(frames, seconds));
    }
    let aspect = description.picture.and_then(|picture| picture.pixel_aspect);
    if let Some((across, down)) = aspect.and_then(|(across, down)| Some((number(across)?, number(down)?))) {
        structure.set("pixel-aspect-ratio", gst::Fraction::new(across, down));
    }
    caps
}

fn aac(track: &Track, description: &Description) -> Result<gst::Caps, CodecError> {
    let mut private = track.codec_private.clone();
    if private.is_empty() {
        // The older ids tell the profile, and have none.
        let config = description
            .sound
            .and_then(|sound| AudioSpecificConfig::lc(sound.rate, u8::try_from(sound.channels).ok()?))
            .ok_or(CodecError::MissingPrivate)?;
        private = config.write()?;
    }
    let mut caps = sound("audio/mpeg", description)?;
    if let Some(structure) = caps.make_mut().structure_mut(0) {
        structure.set("mpegversion", 4);
        structure.set("framed", true);
        structure.set("stream-format", "raw");
        structure.set_if_some("codec_data", buffer(&private));
    }
    Ok(caps)
}

/// As GStreamer's own readers of Opus: all of the header, and the header itself for its gain and delay.
fn opus(private: &Bytes) -> Result<gst::Caps, CodecError> {
    let head = OpusHead::parse(private)?;
    // RFC 7845 5.2, with nothing to say.
    let tags = Bytes::from_static(b"OpusTags\x06\0\0\0kvssrc\0\0\0\0");
    let headers = gst::Array::new([private, &tags].into_iter().filter_map(buffer));
    let builder = gst::Caps::builder("audio/x-opus")
        .field("rate", 48_000)
        .field("channels", i32::from(head.channels))
        .field("streamheader", headers);
    Ok(match &head.mapping {
        None => builder
            .field("channel-mapping-family", 0)
            .field("stream-count", 1)
            .field("coupled-count", i32::from(head.channels > 1))
            .build(),
        Some(mapping) => builder
            .field("channel-mapping-family", i32::from(mapping.family))
            .field("stream-count", i32::from(mapping.streams))
            .field("coupled-count", i32::from(mapping.coupled))
            .field("channel-mapping", gst::Array::new(mapping.table.iter().map(|index| i32::from(*index))))
            .build(),
    })
}

fn pcm(format: PcmFormat, description: &Description) -> Result<gst::Caps, CodecError> {
    let name = match (format.bits(), format.is_float(), format.is_big_endian()) {
        (8, false, _) => "U8",
        (16, false, false) => "S16LE",
        (16, false, true) => "S16BE",
        (24, false, false) => "S24LE",
        (24, false, true) => "S24BE",
        (32, false, false) => "S32LE",
        (32, false, true) => "S32BE",
        (32, true, _) => "F32LE",
        (64, true, _) => "F64LE",
        _ => return Err(CodecError::Broken { part: "PCM", rule: "has samples of no size that is known" }),
    };
    let mut caps = sound("audio/x-raw", description)?;
    let channels = description.sound.map_or(0, |sound| sound.channels);
    if let Some(structure) = caps.make_mut().structure_mut(0) {
        structure.set("format", name);
        structure.set("layout", "interleaved");
        if channels > 2 {
            // Nothing in the header says where they are.
            structure.set("channel-mask", gst::Bitmask::new(0));
        }
    }
    Ok(caps)
}

fn sound(name: &str, description: &Description) -> Result<gst::Caps, CodecError> {
    let number = |number: u32| i32::try_from(number).ok().filter(|number| *number > 0);
    let shape = description.sound.and_then(|sound| Some((number(sound.rate)?, number(sound.channels)?)));
    let (rate, channels) = shape.ok_or(CodecError::MissingPrivate)?;
    Ok(gst::Caps::builder(name).field("rate", rate).field("channels", channels).build())
}

/// A sink has written the caps of its pad.
fn timed(track: &Track) -> Result<gst::Caps, CodecError> {
    let text = data::parse(&track.codec_private)?;
    let caps: gst::Caps =
        text.parse().map_err(|_| CodecError::Broken { part: "data caps", rule: "are no caps" })?;
    if caps.is_fixed() {
        Ok(caps)
    } else {
        Err(CodecError::Broken { part: "data caps", rule: "leave a choice" })
    }
}

fn unknown(track: &Track) -> gst::Caps {
    let kind = match track.kind {
        TrackKind::Video => "video",
        TrackKind::Audio => "audio",
        TrackKind::Metadata => "metadata",
        TrackKind::Other(17) => "subtitle",
        TrackKind::Other(_) => "other",
    };
    // Text of a peer: what a string of caps cannot hold is left out.
    let id: String = track.codec_id.chars().filter(|letter| !letter.is_control()).collect();
    gst::Caps::builder(UNKNOWN)
        .field("kind", kind)
        .field("codec-id", id)
        .field_if("encoded", true, track.encoded)
        .field_if_some("codec_data", buffer(&track.codec_private))
        .build()
}

fn buffer(bytes: &Bytes) -> Option<gst::Buffer> {
    (!bytes.is_empty()).then(|| gst::Buffer::from_slice(bytes.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kvssink::caps::Format as Sunk;
    use kvs_media::{AudioShape, TrackNumber, VideoShape};

    fn sunk(caps: &str) -> Sunk {
        gst::init().unwrap();
        let caps = caps.parse::<gst::Caps>().unwrap();
        Sunk::of_media(&caps).or_else(|_| Sunk::of_data(&caps)).unwrap()
    }

    fn sample(name: &str) -> Bytes {
        let path = format!("{}/crates/kvs-media/tests/data/codec/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).unwrap().into()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    #[rustfmt::skip]
    fn what_the_sink_makes_of_caps_becomes_the_same_caps_again() {
        for caps in [
            "video/x-vp8, width=(int)320, height=(int)240",
            "video/x-vp9, width=(int)320, height=(int)240",
            "image/jpeg, parsed=(boolean)true, width=(int)320, height=(int)240",
            "audio/mpeg, rate=(int)44100, channels=(int)2, mpegversion=(int)4, framed=(boolean)true, stream-format=(string)raw, codec_data=(buffer)1210",
            "audio/mpeg, rate=(int)16000, channels=(int)1, mpegversion=(int)4, framed=(boolean)true, stream-format=(string)raw, codec_data=(buffer)1408",
            "audio/x-alaw, rate=(int)8000, channels=(int)1",
            "audio/x-mulaw, rate=(int)16000, channels=(int)2",
            "audio/x-raw, rate=(int)48000, channels=(int)2, format=(string)S16LE, layout=(string)interleaved",
            "audio/x-raw, rate=(int)48000, channels=(int)2, format=(string)S24BE, layout=(string)interleaved",
            "audio/x-raw, rate=(int)8000, channels=(int)1, format=(string)U8, layout=(string)interleaved",
            "audio/x-raw, rate=(int)8000, channels=(int)1, format=(string)S32BE, layout=(string)interleaved",
            "audio/x-raw, rate=(int)48000, channels=(int)6, format=(string)F32LE, layout=(string)interleaved, channel-mask=(bitmask)0x0000000000000000",
            "audio/x-raw, rate=(int)48000, channels=(int)2, format=(string)F64LE, layout=(string)interleaved",
            "application/json, schema=(string)door",
            "meta/x-klv, parsed=(boolean)true",
        ] {
            let format = Format::of(&sunk(caps).track);
            assert_eq!((format.caps.to_string().as_str(), format.warning), (caps, None));
        }
    }

    #[test]
    fn nal_units_come_with_their_record_and_what_it_says() {
        for (name, caps, said) in [
            ("h264-baseline.avcC", "video/x-h264, stream-format=avc", ["constrained-baseline", "avc"]),
            ("h264-high.avcC", "video/x-h264, stream-format=avc", ["high", "avc"]),
            ("h264-high422.avcC", "video/x-h264, stream-format=avc", ["high-4:2:2", "avc"]),
            ("h265-main.hvcC", "video/x-h265, stream-format=hvc1", ["main", "hvc1"]),
            ("h265-main10.hvcC", "video/x-h265, stream-format=hvc1", ["main-10", "hvc1"]),
        ] {
            let record = sample(name);
            let caps = format!("{caps}, alignment=au, codec_data=(buffer){}", hex(&record));
            let track = sunk(&caps).track;
            let format = Format::of(&track);
            let structure = format.caps.structure(0).unwrap();
            let text = |field| structure.get::<String>(field).unwrap();
            assert_eq!([text("profile"), text("stream-format")], said, "{name}");
            assert!(
                structure.get::<i32>("width").unwrap() > 0 && text("level").parse::<f32>().is_ok(),
                "{name}"
            );
            assert_eq!(format.warning, None, "{name}");
            // A sink takes it, and makes the same of it.
            let again = Sunk::of_media(&format.caps).unwrap().track;
            assert_eq!((again.codec_id, again.codec_private), (track.codec_id, record), "{name}");
        }
    }

    #[test]
    fn av1_and_opus_come_with_all_that_their_headers_say() {
        let caps =
            format!("video/x-av1, stream-format=obu-stream, codec_data=(buffer){}", hex(&sample("av1.av1C")));
        let track = sunk(&caps).track;
        let format = Format::of(&track);
        assert_eq!(Sunk::of_media(&format.caps).unwrap().track.codec_private, track.codec_private);
        assert!(format.caps.structure(0).unwrap().get::<i32>("height").unwrap() > 0);
        for caps in [
            "audio/x-opus, channel-mapping-family=0, channels=2, rate=48000",
            "audio/x-opus, channel-mapping-family=1, channels=3, rate=48000, stream-count=2, coupled-count=1, channel-mapping=(int)<0, 2, 1>",
        ] {
            let track = sunk(caps).track;
            let mut format = Format::of(&track);
            assert_eq!(Sunk::of_media(&format.caps).unwrap().track, track);
            // And without the header, for who looks at the fields only.
            format.caps.make_mut().structure_mut(0).unwrap().remove_field("streamheader");
            assert_eq!(Sunk::of_media(&format.caps).unwrap().track.codec_private, track.codec_private);
        }
    }

    #[test]
    fn pictures_are_as_deep_as_their_header_says() {
        for (name, depth) in [("h264-baseline.avcC", 0), ("h264-high.avcC", 2), ("h264-open.avcC", 2)] {
            let mut track = Track::new(TrackNumber(1), TrackKind::Video, "V_MPEG4/ISO/AVC");
            track.codec_private = sample(name);
            gst::init().unwrap();
            assert_eq!(Format::of(&track).reorder_depth, depth, "{name}");
        }
    }

    #[test]
    fn what_nobody_knows_is_described_with_a_warning() {
        gst::init().unwrap();
        let mut track = Track::new(TrackNumber(3), TrackKind::Audio, "A_DTS");
        track.codec_private = Bytes::from_static(&[1, 2]);
        let format = Format::of(&track);
        assert_eq!(
            format.caps.to_string(),
            "application/x-kvs-unknown, kind=(string)audio, codec-id=(string)A_DTS, codec_data=(buffer)0102"
        );
        assert_eq!(format.warning.unwrap(), "track 3 (A_DTS) cannot be described: unknown codec \"A_DTS\"");
        let mut track = Track::new(TrackNumber(1), TrackKind::Video, "V_VP8");
        track.encoded = true;
        let format = Format::of(&track);
        assert!(format.caps.to_string().contains("encoded=(boolean)true"));
        assert!(format.warning.unwrap().contains("compressed or encrypted"));
        // Text tracks, data without caps, sound without a shape, a record that is none.
        for (kind, id, private) in [
            (TrackKind::Other(17), "S_TEXT/UTF8", &b""[..]),
            (TrackKind::Metadata, "D_KVS/CAPS", b"json"),
            (TrackKind::Metadata, "D_KVS/CAPS", b"a/b, c=[1, 2]"),
            (TrackKind::Audio, "A_PCM/INT/LIT", b""),
            (TrackKind::Audio, "A_OPUS", b"OpusHead"),
            (TrackKind::Audio, "A_AAC", b""),
        ] {
            let mut track = Track::new(TrackNumber(1), kind, id);
            track.codec_private = Bytes::from_static(private);
            let format = Format::of(&track);
            assert_eq!(format.caps.structure(0).unwrap().name(), UNKNOWN, "{id}");
            assert!(format.warning.is_some(), "{id}");
        }
    }

    #[test]
    fn without_a_record_the_stream_itself_has_to_say_it() {
        gst::init().unwrap();
        for (id, private) in
            [("V_MPEG4/ISO/AVC", &b""[..]), ("V_MPEG4/ISO/AVC", b"\0\0\0\x01\x67"), ("V_MPEGH/ISO/HEVC", b"")]
        {
            let mut track = Track::new(TrackNumber(1), TrackKind::Video, id);
            track.codec_private = Bytes::from_static(private);
            track.video = Some(VideoShape { width: 16, height: 8 });
            let format = Format::of(&track);
            let structure = format.caps.structure(0).unwrap();
            assert_eq!(structure.get::<&str>("stream-format"), Ok("byte-stream"));
            assert_eq!(structure.get("width"), Ok(16));
            assert!(format.warning.unwrap().contains("private data"));
        }
        let mut track = Track::new(TrackNumber(1), TrackKind::Audio, "A_AAC/MPEG4/LC");
        track.audio = Some(AudioShape { rate: 8_000.0, channels: 1, bit_depth: None });
        let format = Format::of(&track);
        assert_eq!(format.caps.structure(0).unwrap().get::<&gst::BufferRef>("codec_data").unwrap().size(), 2);
    }
}

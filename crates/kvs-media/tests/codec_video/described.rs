//! What private data say of a track, and how they are made of its stream.

use super::*;

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
    for line in include_str!("../data/codec/variants.txt").lines() {
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

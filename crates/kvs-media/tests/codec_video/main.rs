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
        Bytes::from_static(include_bytes!(concat!("../data/codec/", $name)))
    };
}

mod described;
mod headers;
mod hostile;
mod units;

const LENGTHS: Form = Form::LengthPrefixed(LengthSize::Four);
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

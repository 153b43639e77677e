//! The stream that is read and written: frames of 8 KB, a fragment every 60.
#![allow(dead_code)]

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use kvs_media::codec::aac::AudioSpecificConfig;
use kvs_media::mkv::{Block, Delivery, Event, Info, Limits, Reader, Writer};
use kvs_media::mp4::Mp4Track;
use kvs_media::time::{Timecode, TimecodeScale};
use kvs_media::timing::{Place, Sample};
use kvs_media::{Track, TrackKind, TrackNumber};

pub(crate) const TRACK: TrackNumber = TrackNumber(1);
pub(crate) const SIZE: usize = 8_192;

pub(crate) fn stream(frames: i64) -> Bytes {
    let track = Track::new(TRACK, TrackKind::Video, "V_MPEG4/ISO/AVC");
    let (mut writer, header) = Writer::new(&Info::default(), &[track]).unwrap();
    let mut out = header.to_vec();
    for index in 0..frames {
        let timecode = Timecode::from_ticks(index * 33);
        if index % 60 == 0 {
            out.extend_from_slice(&writer.cluster(timecode).unwrap());
        }
        out.extend_from_slice(&writer.frame(Block::new(TRACK, timecode), SIZE).unwrap());
        out.resize(out.len() + SIZE, 7);
    }
    out.into()
}

pub(crate) fn read(stream: &Bytes, delivery: Delivery, piece: usize) -> u64 {
    let mut reader = Reader::new(Limits::default(), delivery);
    let mut rest = stream.clone();
    let mut payload = 0;
    while !rest.is_empty() {
        let mut piece = rest.split_to(piece.min(rest.len()));
        while let Some(event) = reader.read(&mut piece).unwrap() {
            match event {
                Event::Frame(frame) => payload += frame.payload.len() as u64,
                Event::FramePart(part) => payload += part.len() as u64,
                _ => {}
            }
        }
    }
    payload
}

pub(crate) fn write(frames: i64) -> usize {
    let track = Track::new(TRACK, TrackKind::Video, "V_MPEG4/ISO/AVC");
    let (mut writer, _) = Writer::new(&Info::default(), &[track]).unwrap();
    let mut length = 0;
    for index in 0..frames {
        let timecode = Timecode::from_ticks(index * 33);
        if index % 60 == 0 {
            length += writer.cluster(timecode).unwrap().len();
        }
        length += black_box(writer.frame(Block::new(TRACK, timecode), SIZE).unwrap()).len();
    }
    length
}

/// The order in which stored frames are shown.
#[derive(Clone, Copy)]
pub(crate) enum Shown {
    InOrder,
    Reordered,
    Sound,
}

/// A thousand frames of one track in a fragment.
pub(crate) struct Stored {
    pub(crate) track: Mp4Track,
    pub(crate) place: Place,
    pub(crate) samples: Vec<Sample>,
}

pub(crate) fn stored(shown: Shown) -> Stored {
    let scale = TimecodeScale::MILLISECOND;
    let track = if matches!(shown, Shown::Sound) {
        let mut track = Track::new(TrackNumber(2), TrackKind::Audio, "A_AAC");
        track.codec_private = AudioSpecificConfig::lc(44_100, 2).unwrap().write().unwrap();
        track
    } else {
        let mut track = Track::new(TRACK, TrackKind::Video, "V_MPEG4/ISO/AVC");
        track.codec_private = Bytes::from_static(include_bytes!("../../tests/data/codec/h264-high.avcC"));
        track
    };
    let time = |index: i32| match shown {
        Shown::InOrder => index * 1_000 / 30,
        // A picture, the one that three more refer to, and those three.
        Shown::Reordered => (index / 4 * 4 + [0, 4, 2, 1][index.unsigned_abs() as usize % 4]) * 1_000 / 30,
        Shown::Sound => (index * 1_024_000) / 44_100,
    };
    let samples =
        (0..1_000).map(|index| Sample { time: time(index), size: 8_192, key: index % 60 == 0 }).collect();
    let place = Place {
        start: Duration::from_secs(1_795_145_031),
        scale,
        next: Some(Duration::from_secs(1_795_145_065)),
    };
    Stored { track: Mp4Track::new(&track, scale).unwrap(), place, samples }
}

pub(crate) fn stored_pair(shown: Shown) -> [Stored; 2] {
    [stored(shown), stored(Shown::Sound)]
}

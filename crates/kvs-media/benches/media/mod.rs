//! The stream that is read and written: frames of 8 KB, a fragment every 60.
#![allow(dead_code)]

use std::hint::black_box;

use bytes::Bytes;
use kvs_media::mkv::{Block, Delivery, Event, Info, Limits, Reader, Writer};
use kvs_media::time::Timecode;
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

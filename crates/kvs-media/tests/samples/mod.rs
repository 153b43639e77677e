//! The media samples, and what other people's readers find in them (see data/README.md).
#![allow(dead_code, clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use kvs_media::TrackNumber;
use kvs_media::mkv::{Delivery, Event, Frame, Limits, ReadError, Reader};

/// The folder of the samples.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// The names of all Matroska samples, without extension.
pub(crate) fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "mkv"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert!(names.len() > 20, "the samples are gone");
    names
}

pub(crate) fn sample(name: &str) -> Bytes {
    std::fs::read(folder().join(name).with_extension("mkv")).unwrap().into()
}

/// Reads `bytes` in the pieces that `lengths` says, over and over, and then what is left.
pub(crate) fn read_in_pieces(
    reader: &mut Reader,
    mut bytes: Bytes,
    lengths: impl Iterator<Item = usize>,
) -> (Vec<Event>, Result<(), ReadError>) {
    let mut events = Vec::new();
    let mut lengths = lengths.map(|length| length.max(1));
    while !bytes.is_empty() {
        let length = lengths.next().unwrap_or(usize::MAX).min(bytes.len());
        let mut piece = bytes.split_to(length);
        loop {
            match reader.read(&mut piece) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Err(error)),
            }
        }
        assert!(piece.is_empty(), "a reader that wants more has taken all");
    }
    loop {
        match reader.finish() {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, Ok(())),
            Err(error) => return (events, Err(error)),
        }
    }
}

/// Reads `bytes` in one piece.
pub(crate) fn read(bytes: Bytes) -> (Vec<Event>, Result<(), ReadError>) {
    read_in_pieces(&mut Reader::default(), bytes, std::iter::empty())
}

/// All that is in a document that must be good.
pub(crate) fn events(bytes: Bytes) -> Vec<Event> {
    let (events, result) = read(bytes);
    result.unwrap();
    events
}

pub(crate) fn frames(events: &[Event]) -> Vec<Frame> {
    let frame = |event: &Event| match event {
        Event::Frame(frame) => Some(frame.clone()),
        _ => None,
    };
    events.iter().filter_map(frame).collect()
}

pub(crate) fn small_limits() -> Limits {
    Limits { header_bytes: 64 << 10, tags_bytes: 16 << 10, frame_bytes: 256 << 10, tracks: 8, tags: 100 }
}

pub(crate) fn parts_reader() -> Reader {
    Reader::new(Limits::default(), Delivery::Parts)
}

/// Puts the frames that came in parts together again.
pub(crate) fn join_parts(events: Vec<Event>) -> Vec<Event> {
    let mut joined = Vec::new();
    let mut open: Option<(kvs_media::mkv::FrameHead, Vec<u8>)> = None;
    for event in events {
        match event {
            Event::FrameStart(head) => assert!(open.replace((head, Vec::new())).is_none()),
            Event::FramePart(part) => {
                assert!(!part.is_empty());
                open.as_mut().expect("a part of no frame").1.extend_from_slice(&part);
            }
            Event::FrameEnd => {
                let (head, payload) = open.take().expect("an end of no frame");
                assert_eq!(head.size, payload.len() as u64);
                joined.push(Event::Frame(Frame { head, payload: payload.into() }));
            }
            other => joined.push(other),
        }
    }
    joined
}

pub(crate) fn adler32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    high << 16 | low
}

/// What others found.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) documents: Vec<TrueDocument>,
    pub(crate) packets: Vec<TruePacket>,
}

#[derive(Debug, Default)]
pub(crate) struct TrueDocument {
    pub(crate) scale: u64,
    pub(crate) tracks: Vec<(TrackNumber, String, Vec<u8>)>,
    /// Nanoseconds.
    pub(crate) clusters: Vec<i64>,
    pub(crate) blocks: Vec<TrueBlock>,
}

#[derive(Debug)]
pub(crate) struct TrueBlock {
    pub(crate) track: TrackNumber,
    pub(crate) nanos: i64,
    pub(crate) key: bool,
    pub(crate) discardable: bool,
    /// Size and hash.
    pub(crate) frames: Vec<(usize, u32)>,
}

#[derive(Debug)]
pub(crate) struct TruePacket {
    pub(crate) stream: u64,
    pub(crate) size: usize,
    pub(crate) hash: u32,
}

pub(crate) fn truth(name: &str) -> Truth {
    let text = std::fs::read_to_string(folder().join(name).with_extension("truth")).unwrap();
    let mut truth = Truth::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |index: usize| words[index].parse::<u64>().unwrap();
        let hash = |hex: &str| u32::from_str_radix(hex, 16).unwrap();
        if words[0] == "document" {
            truth.documents.push(TrueDocument::default());
            continue;
        }
        if words[0] == "packet" {
            let (stream, size) = (number(1), words[3].parse().unwrap());
            truth.packets.push(TruePacket { stream, size, hash: hash(words[5]) });
            continue;
        }
        let Some(document) = truth.documents.last_mut() else { continue };
        match words[0] {
            "track" => {
                let hex = if words[3] == "-" { "" } else { words[3] };
                let private =
                    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
                document.tracks.push((TrackNumber(number(1)), words[2].to_owned(), private.collect()));
            }
            "scale" => document.scale = number(1),
            "cluster" => document.clusters.push(words[1].parse().unwrap()),
            "simple" | "group" => document.blocks.push(TrueBlock {
                track: TrackNumber(number(1)),
                nanos: words[2].parse().unwrap(),
                key: words[3].contains('K'),
                discardable: words[3].contains('D'),
                frames: words[4..]
                    .iter()
                    .map(|frame| {
                        let (size, hex) = frame.split_once(':').unwrap();
                        (size.parse().unwrap(), hash(hex))
                    })
                    .collect(),
            }),
            "segment" | "stream" => {}
            other => panic!("{name}: unknown fact {other}"),
        }
    }
    truth
}

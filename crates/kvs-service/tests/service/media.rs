//! Media to put, and what was got.

use bytes::Bytes;
use kvs_media::mkv::{Block, Event, Info, Reader, Tag, TagValue, Writer};
use kvs_media::time::Timecode;
use kvs_media::{AudioShape, Track, TrackKind, TrackNumber};
use kvs_wire::tags::ChunkTags;

/// 2026-11-20, in milliseconds.
pub(crate) const BASE: i64 = 1_795_145_031_000;

/// A body that is written piece by piece.
pub(crate) struct Body {
    writer: Writer,
    header: Option<Bytes>,
}

impl Body {
    /// Of so many tracks.
    pub(crate) fn new(tracks: u64) -> Self {
        let tracks: Vec<Track> =
            (1..=tracks).map(|number| Track::new(TrackNumber(number), TrackKind::Video, "V_VP8")).collect();
        Self::of(&tracks)
    }

    /// Of pictures of one of kvs-media's samples, and of sound.
    pub(crate) fn playable(sample: &str) -> Self {
        let private = concat!(env!("CARGO_MANIFEST_DIR"), "/../kvs-media/tests/data/codec/");
        let private = std::fs::read(format!("{private}{sample}")).unwrap();
        let id = if sample.ends_with(".hvcC") { "V_MPEGH/ISO/HEVC" } else { "V_MPEG4/ISO/AVC" };
        let mut video = Track::new(TrackNumber(1), TrackKind::Video, id);
        video.codec_private = private.into();
        let mut sound = Track::new(TrackNumber(2), TrackKind::Audio, "A_AAC");
        sound.codec_private = Bytes::from_static(&[0x11, 0x90]);
        sound.audio = Some(AudioShape { rate: 48_000.0, channels: 2, bit_depth: None });
        Self::of(&[video, sound])
    }

    /// Of these tracks.
    pub(crate) fn of(tracks: &[Track]) -> Self {
        let (writer, header) = Writer::new(&Info::default(), tracks).unwrap();
        Self { writer, header: Some(header) }
    }

    /// A fragment of a second with 25 pictures and 48 frames of sound, each of which says what it is. Its pictures, one
    /// behind another, and its sound.
    pub(crate) fn second(&mut self, millis: i64, name: &str) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let (mut bytes, mut pictures, mut sound) = (self.cluster(millis), Vec::new(), Vec::new());
        let mut heard = 0;
        for picture in 0..25_i64 {
            let at = millis + picture * 40;
            let mut payload = format!("{name} picture {picture} ").into_bytes();
            payload.resize(if picture == 0 { 20_000 } else { 3_000 }, b'p');
            bytes.extend_from_slice(&self.frame(1, at, picture == 0, &payload));
            pictures.extend_from_slice(&payload);
            while heard * 1_000 / 48 < (picture + 1) * 40 && heard < 48 {
                let mut payload = format!("{name} sound {heard} ").into_bytes();
                payload.resize(200, b's');
                bytes.extend_from_slice(&self.frame(2, millis + heard * 1_000 / 48, true, &payload));
                sound.extend_from_slice(&payload);
                heard += 1;
            }
        }
        (bytes, pictures, sound)
    }

    /// The header, when it was not written yet, and the beginning of a cluster.
    pub(crate) fn cluster(&mut self, millis: i64) -> Vec<u8> {
        let mut bytes = self.header.take().map(|header| header.to_vec()).unwrap_or_default();
        bytes.extend_from_slice(&self.writer.cluster(Timecode::from_ticks(millis)).unwrap());
        bytes
    }

    pub(crate) fn frame(&mut self, track: u64, millis: i64, key: bool, payload: &[u8]) -> Vec<u8> {
        let block = Block { key, ..Block::new(TrackNumber(track), Timecode::from_ticks(millis)) };
        let mut bytes = self.writer.frame(block, payload.len()).unwrap().to_vec();
        bytes.extend_from_slice(payload);
        bytes
    }

    pub(crate) fn tag(&mut self, name: &str, value: &str) -> Vec<u8> {
        let mut bytes = self.header.take().map(|header| header.to_vec()).unwrap_or_default();
        bytes.extend_from_slice(&self.writer.tags(&[Tag::text(name, value)]));
        bytes
    }

    pub(crate) fn marker(&mut self) -> Vec<u8> {
        self.writer.end_of_fragment().to_vec()
    }

    /// A fragment of one track: a key frame and as many others as payloads follow, 40 ms apart.
    pub(crate) fn fragment(&mut self, millis: i64, payloads: &[&[u8]]) -> Vec<u8> {
        let mut bytes = self.cluster(millis);
        for (time, (at, payload)) in (millis..).step_by(40).zip(payloads.iter().enumerate()) {
            bytes.extend_from_slice(&self.frame(1, time, at == 0, payload));
        }
        bytes
    }
}

/// A chunk of GetMedia, as a client sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) own: ChunkTags,
    pub(crate) tags: Vec<(String, String)>,
    /// Track, time, key flag and payload.
    pub(crate) frames: Vec<(u64, i64, bool, Bytes)>,
}

impl Chunk {
    pub(crate) fn number(&self) -> String {
        self.own.fragment_number.as_ref().unwrap().to_string()
    }

    pub(crate) fn payloads(&self) -> Vec<&[u8]> {
        self.frames.iter().map(|(.., payload)| &payload[..]).collect()
    }
}

/// Reads what GetMedia answered.
pub(crate) fn chunks(bytes: &[u8]) -> Vec<Chunk> {
    let mut reader = Reader::default();
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut take = |event: Event| match event {
        Event::Document(_) => chunks.push(Chunk::default()),
        Event::Tags(tags) => {
            let pairs = tags.tags.into_iter().flat_map(|tag| tag.pairs);
            let chunk = chunks.last_mut().unwrap();
            for pair in pairs {
                let TagValue::Text(value) = pair.value else { panic!("a binary tag") };
                if !chunk.own.read(&pair.name, &value).unwrap() {
                    chunk.tags.push((pair.name, value));
                }
            }
        }
        Event::Frame(frame) => {
            let chunk = chunks.last_mut().unwrap();
            chunk.frames.push((
                frame.head.track.0,
                frame.head.timecode.ticks(),
                frame.head.key,
                frame.payload,
            ));
        }
        _ => {}
    };
    while let Some(event) = reader.read(&mut rest).unwrap() {
        take(event);
    }
    while let Some(event) = reader.finish().unwrap() {
        take(event);
    }
    chunks
}

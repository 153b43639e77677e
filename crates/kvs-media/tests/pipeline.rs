//! The whole way: what encoders made, interleaved, cut, written, read, and compared with what went in.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

mod samples;

use std::time::Duration;

use bytes::Bytes;
use kvs_media::fragment::{
    Arrival, Cutter, Filler, Interleaver, Pace, Released, Rules, Step, Timing, TrackRule, is_filler,
};
use kvs_media::mkv::{Block, Event, Frame, Info, Writer};
use kvs_media::time::{Monotonic, RunningTime, Timecode, TimecodeScale, Utc};
use kvs_media::{Track, TrackKind, TrackNumber};
use samples::{events, frames, sample};

/// 2026-11-20, in nanoseconds.
const START: i64 = 1_795_145_031_000_000_000;

/// A sink without its threads: frames in, one document a session out.
struct Sink {
    tracks: Vec<Track>,
    lanes: Interleaver<Frame>,
    cutter: Cutter,
    scale: TimecodeScale,
    writer: Option<Writer>,
    sessions: Vec<Vec<u8>>,
    steps: Vec<Step>,
}

impl Sink {
    fn new(tracks: &[Track]) -> Self {
        let mut lanes = Interleaver::new(Duration::from_secs(1), Duration::from_millis(1));
        for track in tracks {
            let pace = match track.kind {
                TrackKind::Video => Pace::Leading,
                TrackKind::Audio => Pace::Steady,
                _ => Pace::Sparse,
            };
            lanes.add(track.number, pace);
        }
        let mut sink = Self {
            tracks: tracks.to_vec(),
            lanes,
            cutter: Cutter::new(Rules::default()).unwrap(),
            scale: TimecodeScale::MILLISECOND,
            writer: None,
            sessions: Vec::new(),
            steps: Vec::new(),
        };
        sink.cutter.set_tracks(tracks.iter().map(TrackRule::of), &mut sink.steps).unwrap();
        sink
    }

    fn push(&mut self, frame: Frame, nanos: i64) {
        let is_video = self.tracks[0].kind == TrackKind::Video && frame.head.track == self.tracks[0].number;
        let timing = Timing {
            key: frame.head.key,
            // Whether leading pictures follow a key frame is not in the header; a sink would look at the access unit.
            leading: frame.head.key && is_video,
            ..Timing::at(RunningTime::from_nanos(nanos))
        };
        // A camera: the clock runs as the pictures do.
        let now = Monotonic::from_nanos(nanos.unsigned_abs());
        assert_eq!(self.lanes.push(frame.head.track, timing, now, frame), None);
        self.run(now);
    }

    fn run(&mut self, now: Monotonic) {
        while let Some(Released { item: frame, stray, .. }) =
            self.lanes.pop(now, |_, frame| self.cutter.begins(arrival(frame), now))
        {
            assert!(!stray);
            self.cutter.push(arrival(&frame), now, &mut self.steps);
            self.write(Some(&frame));
        }
    }

    fn write(&mut self, frame: Option<&Frame>) {
        for step in std::mem::take(&mut self.steps) {
            match step {
                Step::BeginSession(numbers) => {
                    let tracks: Vec<Track> =
                        self.tracks.iter().filter(|track| numbers.contains(&track.number)).cloned().collect();
                    let info = Info { scale: self.scale, ..Info::default() };
                    let (writer, header) = Writer::new(&info, &tracks).unwrap();
                    self.writer = Some(writer);
                    self.sessions.push(header.to_vec());
                }
                Step::BeginFragment { timecode, .. } => {
                    let head = self.writer.as_mut().unwrap().cluster(timecode).unwrap();
                    self.sessions.last_mut().unwrap().extend_from_slice(&head);
                }
                Step::Frame(timecode) => {
                    let Frame { head, payload } = frame.unwrap();
                    let (key, discardable, invisible) = (head.key, head.discardable, head.invisible);
                    self.block(Block { track: head.track, timecode, key, discardable, invisible }, payload);
                }
                Step::Filler(number, timecode) => {
                    let filler = Filler::of(self.tracks.iter().find(|track| track.number == number).unwrap());
                    self.block(filler.block(timecode), filler.payload());
                }
                Step::EndFragment { marker: true } => {
                    let marker = self.writer.as_mut().unwrap().end_of_fragment();
                    self.sessions.last_mut().unwrap().extend_from_slice(&marker);
                }
                _ => {}
            }
        }
    }

    fn block(&mut self, block: Block, payload: &Bytes) {
        let head = self.writer.as_ref().unwrap().frame(block, payload.len()).unwrap();
        let out = self.sessions.last_mut().unwrap();
        out.extend_from_slice(&head);
        out.extend_from_slice(payload);
    }

    fn finish(mut self) -> Vec<Bytes> {
        while let Some(deadline) = self.lanes.deadline() {
            self.run(deadline);
        }
        self.cutter.finish(&mut self.steps);
        self.write(None);
        self.sessions.into_iter().map(Bytes::from).collect()
    }
}

fn arrival(frame: &Frame) -> Arrival {
    let pts = Utc::from_nanos(START + frame.head.timecode.ticks() * 1_000);
    Arrival { track: frame.head.track, pts, key: frame.head.key, size: frame.payload.len(), stray: false }
}

/// The frames of a sample, their times in microseconds, each track as if it came from a thread of its own.
fn recording(name: &str) -> (Vec<Track>, Vec<Frame>) {
    let found = events(sample(name));
    let Some(Event::Document(header)) = found.first() else { panic!("{name}") };
    let scale = i64::try_from(header.info.scale.nanos()).unwrap();
    let mut frames = frames(&found);
    for frame in &mut frames {
        frame.head.timecode = Timecode::from_ticks(frame.head.timecode.ticks() * scale / 1_000);
    }
    (header.tracks.clone(), frames)
}

/// What a reader of the stream gets: without fillers.
fn received(sessions: &[Bytes]) -> Vec<(Frame, usize)> {
    let mut received = Vec::new();
    for session in sessions {
        let found = events(session.clone());
        let mut fragment = 0;
        let Some(Event::Document(header)) = found.first().cloned() else { panic!() };
        for event in found {
            match event {
                Event::Cluster(_) => fragment += 1,
                Event::Frame(frame) => {
                    let kind = header.track(frame.head.track).unwrap().kind;
                    if !is_filler(kind, &frame.head) {
                        received.push((frame, fragment));
                    }
                }
                _ => {}
            }
        }
    }
    received
}

fn of(track: TrackNumber, frames: impl IntoIterator<Item = Frame>) -> Vec<Frame> {
    frames.into_iter().filter(|frame| frame.head.track == track).collect()
}

#[test]
fn every_frame_of_every_encoder_comes_out_as_it_went_in() {
    for name in [
        "x264-closed-gop",
        "x264-open-gop",
        "x265-b-frames-opus",
        "x265-open-gop",
        "av1-aom",
        "vp8-opus",
        "vp9-opus",
        "mjpeg-pcm",
        "alaw",
        "mulaw-stereo",
        "aac-stereo-44100",
        "mkvmerge-lacing-ebml",
        "gst-seekable",
    ] {
        let (tracks, recorded) = recording(name);
        let mut sink = Sink::new(&tracks);
        for frame in &recorded {
            sink.push(frame.clone(), frame.head.timecode.ticks() * 1_000);
        }
        let counts = *sink.cutter.counts();
        let sessions = sink.finish();
        assert_eq!((sessions.len(), counts.times_moved), (1, 0), "{name}: {counts:?}");
        let came: Vec<Frame> = received(&sessions).into_iter().map(|(frame, _)| frame).collect();
        for track in &tracks {
            let (went_in, came_out) = (of(track.number, recorded.clone()), of(track.number, came.clone()));
            assert_eq!(went_in.len(), came_out.len(), "{name}");
            for (before, after) in went_in.iter().zip(&came_out) {
                assert!(before.payload == after.payload, "{name}");
                let flags = |frame: &Frame| (frame.head.key, frame.head.discardable, frame.head.invisible);
                assert_eq!(flags(before), flags(after), "{name}");
                let floored = TimecodeScale::MILLISECOND
                    .floor(Utc::from_nanos(START + before.head.timecode.ticks() * 1_000));
                assert_eq!(after.head.timecode, floored, "{name}");
            }
        }
    }
}

#[test]
fn a_microphone_that_is_muted_leaves_no_trace_in_what_is_read() {
    for name in ["x264-closed-gop", "x265-b-frames-opus", "mjpeg-pcm"] {
        let (tracks, recorded) = recording(name);
        let (video, audio) = (tracks[0].number, tracks[1].number);
        // The pictures six times over, and the sound only at the beginning.
        let mut sink = Sink::new(&tracks);
        let mut went_in = Vec::new();
        for round in 0..6 {
            for frame in &recorded {
                if round > 0 && frame.head.track == audio {
                    continue;
                }
                let mut frame = frame.clone();
                let nanos = (frame.head.timecode.ticks() + round * 2_100_000) * 1_000;
                frame.head.timecode = Timecode::from_ticks(nanos / 1_000);
                went_in.push(frame.clone());
                sink.push(frame, nanos);
            }
        }
        let sessions = sink.finish();
        assert_eq!(sessions.len(), 1, "{name}");
        // On the wire every fragment has sound, and a decoder that knows nothing of fillers can play it.
        let found = events(sessions[0].clone());
        let mut silent = 0;
        for fragment in found.split(|event| matches!(event, Event::ClusterEnd { .. })) {
            let sounds = of(audio, frames(fragment));
            let pictures = of(video, frames(fragment));
            assert!(pictures.is_empty() || !sounds.is_empty(), "{name}: a fragment without sound");
            for sound in sounds.iter().filter(|sound| is_filler(TrackKind::Audio, &sound.head)) {
                assert!(!sound.payload.is_empty() && sound.head.key);
                silent += 1;
            }
        }
        assert!(silent >= 4, "{name}: {silent}");
        let came: Vec<Frame> = received(&sessions).into_iter().map(|(frame, _)| frame).collect();
        for track in [video, audio] {
            let payloads =
                |frames: Vec<Frame>| frames.into_iter().map(|frame| frame.payload).collect::<Vec<_>>();
            assert!(payloads(of(track, came.clone())) == payloads(of(track, went_in.clone())), "{name}");
        }
    }
}

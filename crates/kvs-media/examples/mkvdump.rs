//! Shows what is in a PutMedia body, a GetMedia answer or any Matroska file, as it comes in.
//!
//! `cargo run -p kvs-media --example mkvdump -- [--json] FILE|-`
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::process::ExitCode;

use bytes::Bytes;
use kvs_media::codec::describe;
use kvs_media::mkv::{Delivery, Event, FrameHead, Header, Limits, ReadError, Reader, Tag, TagValue};
use kvs_media::time::{Timecode, TimecodeScale};
use kvs_media::{Track, TrackKind};
use serde::Serialize;
use serde_json::{Map, Value, json};

const USAGE: &str = "usage: mkvdump [--json] FILE|-";

fn main() -> ExitCode {
    let (mut as_json, mut file) = (false, None);
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("--json") => as_json = true,
            Some("-h" | "--help") => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            Some(option) if option.starts_with("--") => return misused(),
            _ if file.is_some() => return misused(),
            _ => file = Some(argument),
        }
    }
    let Some(file) = file else { return misused() };
    let input: Box<dyn Read> = if file == "-" {
        Box::new(io::stdin().lock())
    } else {
        match File::open(&file) {
            Ok(file) => Box::new(file),
            Err(error) => {
                eprintln!("mkvdump: {}: {error}", file.display());
                return ExitCode::from(2);
            }
        }
    };
    let out = BufWriter::new(io::stdout().lock());
    let mut dump = Dump { out, as_json, scale: TimecodeScale::default(), cluster: Timecode::default() };
    match dump.run(input) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever reads this has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mkvdump: {error}");
            ExitCode::from(2)
        }
    }
}

fn misused() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Document,
    Track { number: u64, codec: &'a str, private_size: usize },
    Tags { tags: Map<String, Value> },
    Cluster { timecode: i64 },
    Frame { track: u64, timecode: i64, key: bool, size: u64 },
    Error { offset: u64, message: String },
}

struct Dump<W> {
    out: W,
    as_json: bool,
    scale: TimecodeScale,
    cluster: Timecode,
}

impl<W: Write> Dump<W> {
    /// Prints what `input` holds. False when it holds an error.
    fn run(&mut self, mut input: impl Read) -> io::Result<bool> {
        // A person wants to see what is there, even where the service would refuse it.
        let limits = Limits {
            header_bytes: 256 << 20,
            tags_bytes: 64 << 20,
            frame_bytes: 256 << 20,
            tracks: 1_000,
            tags: 1_000_000,
        };
        let mut reader = Reader::new(limits, Delivery::Parts);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = match input.read(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut piece = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
            loop {
                let event = if length == 0 { reader.finish() } else { reader.read(&mut piece) };
                match event {
                    Ok(Some(event)) => self.event(&event)?,
                    Ok(None) => break,
                    Err(error) => {
                        self.error(&error)?;
                        self.out.flush()?;
                        return Ok(false);
                    }
                }
            }
            self.out.flush()?;
            if length == 0 {
                return Ok(true);
            }
        }
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Document(header) => {
                self.scale = header.info.scale;
                self.document(header)?;
                header.tracks.iter().try_for_each(|track| self.track(track))
            }
            Event::Tags(tags) => self.tags(&tags.tags),
            Event::Cluster(cluster) => {
                self.cluster = cluster.timecode;
                self.cluster(cluster.offset)
            }
            Event::FrameStart(frame) => self.frame(frame),
            Event::ClusterEnd { offset, complete: false } if !self.as_json => {
                writeln!(self.out, "  cut short at byte {offset}")
            }
            Event::Skipped { id, offset, length } if !self.as_json => {
                writeln!(self.out, "{id} of {length} bytes at byte {offset}")
            }
            _ => Ok(()),
        }
    }

    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        writeln!(self.out)
    }

    fn document(&mut self, header: &Header) -> io::Result<()> {
        if self.as_json {
            return self.line(&Line::Document);
        }
        let info = &header.info;
        write!(self.out, "document {}, {} ns a tick", header.doc_type, info.scale.nanos())?;
        for text in [&info.title, &info.muxing_app, &info.writing_app] {
            if !text.is_empty() {
                write!(self.out, ", {text:?}")?;
            }
        }
        writeln!(self.out)
    }

    fn track(&mut self, track: &Track) -> io::Result<()> {
        if self.as_json {
            return self.line(&Line::Track {
                number: track.number.0,
                codec: &track.codec_id,
                private_size: track.codec_private.len(),
            });
        }
        let kind = match track.kind {
            TrackKind::Video => "video",
            TrackKind::Audio => "audio",
            TrackKind::Metadata => "data",
            _ => "other",
        };
        write!(self.out, "  track {} {kind} {}", track.number, track.codec_id.escape_debug())?;
        if let Some(video) = track.video {
            write!(self.out, " {}x{}", video.width, video.height)?;
        }
        if let Some(audio) = track.audio {
            write!(self.out, " {} Hz {} channels", audio.rate, audio.channels)?;
        }
        write!(self.out, ", {} bytes of private data", track.codec_private.len())?;
        match describe(track) {
            Ok(description) => {
                if let Some(codec) = description.rfc6381 {
                    write!(self.out, ", {codec}")?;
                }
            }
            Err(error) => write!(self.out, ", {error}")?,
        }
        if !track.name.is_empty() {
            write!(self.out, ", {:?}", track.name)?;
        }
        writeln!(self.out, "{}", if track.encoded { ", encoded" } else { "" })
    }

    fn tags(&mut self, tags: &[Tag]) -> io::Result<()> {
        let pairs = tags.iter().flat_map(|tag| &tag.pairs);
        if self.as_json {
            let text = |value: &TagValue| match value {
                TagValue::Text(text) => json!(text),
                TagValue::Binary(bytes) => json!({ "binary_size": bytes.len() }),
            };
            let tags: Map<String, Value> = pairs.map(|pair| (pair.name.clone(), text(&pair.value))).collect();
            return self.line(&Line::Tags { tags });
        }
        writeln!(self.out, "tags")?;
        for pair in pairs {
            // A producer's text is no command to a terminal.
            let name = pair.name.escape_debug();
            match &pair.value {
                TagValue::Text(text) => writeln!(self.out, "  {name} = {}", text.escape_debug())?,
                TagValue::Binary(bytes) => writeln!(self.out, "  {name} = {} bytes", bytes.len())?,
            }
        }
        Ok(())
    }

    fn cluster(&mut self, offset: u64) -> io::Result<()> {
        let timecode = self.cluster;
        if self.as_json {
            return self.line(&Line::Cluster { timecode: timecode.ticks() });
        }
        write!(self.out, "cluster {timecode}")?;
        if let Some(instant) = self.scale.instant(timecode) {
            write!(self.out, " ({instant})")?;
        }
        writeln!(self.out, " at byte {offset}")
    }

    fn frame(&mut self, frame: &FrameHead) -> io::Result<()> {
        if self.as_json {
            return self.line(&Line::Frame {
                track: frame.track.0,
                timecode: frame.timecode.ticks(),
                key: frame.key,
                size: frame.size,
            });
        }
        let offset = frame.timecode.ticks().saturating_sub(self.cluster.ticks());
        write!(self.out, "  {offset:+6} track {} {:>8} bytes", frame.track, frame.size)?;
        let marks = [(frame.key, "key"), (frame.discardable, "discardable"), (frame.invisible, "invisible")];
        for (_, mark) in marks.iter().filter(|(set, _)| *set) {
            write!(self.out, " {mark}")?;
        }
        writeln!(self.out)
    }

    fn error(&mut self, error: &ReadError) -> io::Result<()> {
        if self.as_json {
            let message = format!("{} in {}", error.kind, error.path);
            return self.line(&Line::Error { offset: error.offset, message });
        }
        writeln!(self.out, "error: {error}")
    }
}

//! What a picture costs (performance.md, E1): CPU time of the worker, beside ffmpeg on the same media in the same minute.
//!
//! `cargo bench -p kvs-picture`; needs ffmpeg. The media is 20 s of 1080p30 at 4 Mbit/s with B-frames, a key frame every
//! two seconds.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing
)]

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bytes::Bytes;
use kvs_media::mkv::{Event, Reader};
use kvs_wire::picture::{self, ANSWER_BYTES, Answer, Format, Frame, Request};

const SECONDS: usize = 20;

/// Frames in the order of decoding: time, whether it is a key frame, payload; and the private data.
type Media = (Vec<(i64, bool, Bytes)>, Bytes);

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("media.mkv");
    let source = format!("testsrc2=size=1920x1080:rate=30:duration={SECONDS}");
    let made =
        ffmpeg(&["-f", "lavfi", "-i", &source, "-c:v", "libx264", "-preset", "veryfast", "-b:v", "4M"])
            .args(["-pix_fmt", "yuv420p", "-bf", "2", "-g", "60", "-sc_threshold", "0"])
            .arg(&file)
            .status();
    assert!(made.unwrap().success());
    let media = read(&std::fs::read(&file).unwrap());
    let keys = media.0.iter().filter(|(_, key, _)| *key).count();
    println!("{} frames, {keys} of them key frames; CPU time in ms, five times each\n", media.0.len());
    println!("{:<46} {:>8} {:>8} {:>8}", "", "median", "min", "max");
    // A picture of every key frame, as a thumbnail asks for it.
    measure("kvs-picture: a key frame", || worker(&media, 60, Format::Jpeg(80)));
    measure("ffmpeg: a key frame", || {
        let child = ffmpeg(&["-threads", "1", "-skip_frame", "nokey", "-i", file.to_str().unwrap()])
            .args(["-fps_mode", "passthrough", "-q:v", "4", "-f", "image2pipe", "-c:v", "mjpeg", "-"])
            .stdout(Stdio::null())
            .spawn();
        ended(child.unwrap()) / keys as f64
    });
    measure("kvs-picture: five a second, each", || worker(&media, 6, Format::Jpeg(80)));
    measure("kvs-picture: one a second, each", || worker(&media, 30, Format::Jpeg(80)));
    measure("kvs-picture: a key frame as PNG", || worker(&media, 60, Format::Png));
}

fn ffmpeg(arguments: &[&str]) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y"]).args(arguments).stdin(Stdio::null());
    command
}

fn measure(what: &str, run: impl Fn() -> f64) {
    let mut times: Vec<f64> = (0..5).map(|_| run()).collect();
    times.sort_by(f64::total_cmp);
    println!("{what:<46} {:>8.1} {:>8.1} {:>8.1}", times[2], times[0], times[4]);
}

fn read(file: &[u8]) -> Media {
    let (mut reader, mut rest) = (Reader::default(), Bytes::copy_from_slice(file));
    let (mut frames, mut private) = (Vec::new(), Bytes::new());
    while let Some(event) = reader.read(&mut rest).unwrap() {
        match event {
            Event::Document(header) => private = header.tracks[0].codec_private.clone(),
            Event::Frame(frame) => {
                frames.push((frame.head.timecode.ticks() * 1_000_000, frame.head.key, frame.payload));
            }
            _ => {}
        }
    }
    (frames, private)
}

/// CPU time of the worker for each picture, every `step`th frame being one. Its start does not count.
fn worker((frames, private): &Media, step: usize, format: Format) -> f64 {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kvs-picture"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    message(&mut output);
    let groups: Vec<_> = frames.chunk_by(|_, next| !next.1).collect();
    // What is loaded with the first picture is loaded once.
    ask(&mut input, &mut output, groups[0], private, step, format);
    let (before, mut pictures) = (cpu(&child), 0);
    for group in &groups {
        pictures += ask(&mut input, &mut output, group, private, step, format);
    }
    let spent = cpu(&child) - before;
    drop(input);
    child.wait().unwrap();
    spent / pictures as f64
}

fn ask(
    input: &mut ChildStdin,
    output: &mut ChildStdout,
    group: &[(i64, bool, Bytes)],
    private: &[u8],
    step: usize,
    format: Format,
) -> usize {
    let mut wanted: Vec<i64> = group.iter().map(|(time, ..)| *time).collect();
    wanted.sort_unstable();
    let wanted: Vec<i64> = wanted.into_iter().step_by(step).collect();
    let last = group.iter().rposition(|(time, ..)| wanted.contains(time)).unwrap();
    let (mut media, mut frames) = (Vec::new(), Vec::new());
    for (time, _, payload) in &group[..=last] {
        let (offset, length) = (media.len() as u32, payload.len() as u32);
        frames.push(Frame { time: *time, offset, length });
        media.extend_from_slice(payload);
    }
    let (width, height) = (None, None);
    let request =
        Request { codec: "V_MPEG4/ISO/AVC", private, format, width, height, wanted, frames, media: &media };
    input.write_all(&request.head().unwrap()).unwrap();
    input.write_all(&media).unwrap();
    for _ in &request.wanted {
        let answer = message(output);
        assert!(matches!(Answer::read(&answer).unwrap(), Answer::Picture(_)));
    }
    request.wanted.len()
}

fn message(output: &mut ChildStdout) -> Vec<u8> {
    let mut prefix = [0; 4];
    output.read_exact(&mut prefix).unwrap();
    let mut message = vec![0; picture::length(prefix, ANSWER_BYTES).unwrap()];
    output.read_exact(&mut message).unwrap();
    message
}

/// Milliseconds that a process has worked, all of its threads.
fn cpu(child: &Child) -> f64 {
    let nanos =
        |text: String| text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or_default();
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    let each =
        tasks.map(|task| nanos(std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap()));
    each.sum::<f64>() / 1e6
}

/// The same of one that comes to its end.
fn ended(mut child: Child) -> f64 {
    // Children that were waited for; a tick is 10 ms.
    let waited_for = || {
        let text = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields = text.rsplit_once(") ").unwrap().1.split(' ').skip(13).take(2);
        fields.map(|ticks| ticks.parse::<f64>().unwrap() * 10.0).sum::<f64>()
    };
    let before = waited_for();
    assert!(child.wait().unwrap().success());
    waited_for() - before
}

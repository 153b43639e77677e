//! The worker alone, asked over its pipes.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use kvs_wire::picture::{self, ANSWER_BYTES, Answer, Failure, Format, Frame, HELLO, Request};

use super::media::{Encoded, H264, RECIPES, STEP, VP8, brightness, encoded, seen};

/// Where times begin: nothing counts them from zero.
const BASE: i64 = -7_000_000_000;

struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Worker {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kvs-picture"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut worker = Self { child, input, output };
        assert_eq!(worker.message(100), HELLO);
        worker
    }

    fn message(&mut self, most: usize) -> Vec<u8> {
        let mut prefix = [0; 4];
        self.output.read_exact(&mut prefix).unwrap();
        let mut message = vec![0; picture::length(prefix, most).unwrap()];
        self.output.read_exact(&mut message).unwrap();
        message
    }

    fn ask(&mut self, request: &Request<'_>) -> Vec<Result<Vec<u8>, (Failure, String)>> {
        let input = self.input.as_mut().unwrap();
        input.write_all(&request.head().unwrap()).unwrap();
        input.write_all(request.media).unwrap();
        input.flush().unwrap();
        let answers =
            request.wanted.iter().map(|_| match Answer::read(&self.message(ANSWER_BYTES)).unwrap() {
                Answer::Picture(picture) => Ok(picture.to_vec()),
                Answer::Failed(failure, why) => Err((failure, why.to_owned())),
            });
        answers.collect()
    }

    /// Ends as it should when nobody asks any more.
    fn end(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// The frames up to those with the wanted numbers, as a request, which is shown to `ask`.
fn requested<T>(
    encoded: &Encoded,
    wanted: &[u8],
    change: impl FnOnce(&mut Request<'_>),
    ask: impl FnOnce(&Request<'_>) -> T,
) -> T {
    let position = |number: u8| encoded.frames.iter().position(|frame| frame.0 == number).unwrap();
    let last = wanted.iter().map(|number| position(*number)).max().unwrap();
    let first = (0..=position(wanted[0])).rev().find(|at| encoded.frames[*at].1).unwrap();
    let (mut media, mut frames) = (b"something else".to_vec(), Vec::new());
    for (number, _, payload) in &encoded.frames[first..=last] {
        let time = BASE + i64::from(*number) * STEP;
        let (offset, length) = (u32::try_from(media.len()).unwrap(), u32::try_from(payload.len()).unwrap());
        frames.push(Frame { time, offset, length });
        media.extend_from_slice(payload);
        media.extend_from_slice(b"between");
    }
    let mut request = Request {
        codec: encoded.codec,
        private: &encoded.private,
        format: Format::Jpeg(80),
        width: None,
        height: None,
        wanted: wanted.iter().map(|number| BASE + i64::from(*number) * STEP).collect(),
        frames,
        media: &media,
    };
    change(&mut request);
    ask(&request)
}

#[test]
fn each_codec_gives_the_picture_that_is_wanted() {
    let mut worker = Worker::start();
    for recipe in RECIPES {
        let encoded = encoded(recipe, 25, (160, 120));
        assert_eq!(encoded.frames.len(), 25, "{recipe:?}");
        for wanted in [&[0_u8][..], &[7], &[9], &[10], &[13, 14, 19], &[24], &[20, 21, 22, 23, 24]] {
            let pictures = requested(&encoded, wanted, |_| {}, |request| worker.ask(request));
            for (number, picture) in wanted.iter().zip(pictures) {
                let picture = picture.unwrap_or_else(|why| panic!("{recipe:?} {number}: {why:?}"));
                assert_eq!(seen(&picture), ((160, 120), *number), "{recipe:?} {wanted:?}");
            }
        }
    }
    worker.end();
}

#[test]
fn pictures_have_the_format_and_the_size_that_is_wanted() {
    let mut worker = Worker::start();
    let encoded = encoded(H264, 6, (320, 240));
    let mut lengths = Vec::new();
    for (format, start, width, height, size) in [
        (Format::Jpeg(100), &b"\xff\xd8"[..], None, None, (320, 240)),
        (Format::Jpeg(10), b"\xff\xd8", None, None, (320, 240)),
        (Format::Png, b"\x89PNG", None, None, (320, 240)),
        (Format::Png, b"\x89PNG", Some(160), None, (160, 120)),
        (Format::Jpeg(80), b"\xff\xd8", None, Some(480), (640, 480)),
        (Format::Jpeg(80), b"\xff\xd8", Some(200), Some(300), (200, 300)),
    ] {
        let pictures = requested(
            &encoded,
            &[2, 5],
            |request| (request.format, request.width, request.height) = (format, width, height),
            |request| worker.ask(request),
        );
        for (picture, number) in pictures.iter().zip([2, 5]) {
            let picture = picture.as_ref().unwrap();
            assert!(picture.starts_with(start));
            assert_eq!(seen(picture), (size, number));
        }
        lengths.push(pictures[0].as_ref().unwrap().len());
    }
    assert!(lengths[0] > lengths[1], "the quality is heard: {lengths:?}");
    worker.end();
}

#[test]
fn black_and_white_stay_what_they_are() {
    let mut worker = Worker::start();
    let encoded = encoded(H264, 2, (320, 240));
    // With a shape that is not the picture's there is nothing beside it either.
    for (format, height) in
        [(Format::Jpeg(95), None), (Format::Png, None), (Format::Jpeg(95), Some(40)), (Format::Png, Some(40))]
    {
        let change = |request: &mut Request<'_>| {
            (request.format, request.width, request.height) = (format, height.map(|_| 320), height);
        };
        let pictures = requested(&encoded, &[1], change, |request| worker.ask(request));
        let (dark, bright) = brightness(pictures[0].as_ref().unwrap());
        // Luma 60 and 190 of 16 to 235 are 51 and 203 of 0 to 255.
        assert!(
            dark.abs_diff(51) < 12 && bright.abs_diff(203) < 12,
            "{format:?} {height:?}: {dark} {bright}"
        );
    }
    worker.end();
}

#[test]
fn what_does_not_decode_is_told_and_the_next_decodes() {
    let mut worker = Worker::start();
    for recipe in [H264, VP8] {
        let encoded = encoded(recipe, 8, (160, 120));
        let mut broken = encoded.clone();
        for (.., payload) in &mut broken.frames {
            payload.iter_mut().for_each(|byte| *byte = !*byte);
        }
        let answers = requested(&broken, &[0, 3], |_| {}, |request| worker.ask(request));
        assert!(answers.iter().all(|answer| matches!(answer, Err((Failure::Undecodable, _)))), "{answers:?}");
        let answers = requested(&encoded, &[3], |_| {}, |request| worker.ask(request));
        assert_eq!(seen(answers[0].as_ref().unwrap()).1, 3);
        // A picture that no frame has.
        let answers =
            requested(&encoded, &[1, 4], |request| request.wanted[0] += 1, |request| worker.ask(request));
        assert!(matches!(answers[0], Err((Failure::Undecodable, _))), "{answers:?}");
        assert_eq!(seen(answers[1].as_ref().unwrap()).1, 4);
        let answers =
            requested(&encoded, &[1], |request| request.codec = "V_THEORA", |request| worker.ask(request));
        assert!(
            matches!(&answers[0], Err((Failure::NoDecoder, why)) if why.contains("V_THEORA")),
            "{answers:?}"
        );
    }
    worker.end();
}

#[test]
fn a_decoder_that_is_given_up_leaves_nothing_behind() {
    let mut worker = Worker::start();
    let mut encoded = encoded(VP8, 1, (160, 120));
    encoded.frames[0].2 = b"nothing that decodes".to_vec();
    let mut fail = |times| {
        for _ in 0..times {
            let answers = requested(&encoded, &[0], |_| {}, |request| worker.ask(request));
            assert!(answers[0].is_err());
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", worker.child.id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let before = fail(200);
    let after = fail(1_000);
    assert!(after < before + 5_000, "{before} kB, then {after} kB");
    worker.end();
}

#[test]
fn a_header_that_asks_for_more_memory_than_there_is_gets_none() {
    let mut worker = Worker::start();
    let mut encoded = encoded(RECIPES[6], 1, (160, 120));
    let picture = &mut encoded.frames[0].2;
    let size = picture.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap() + 5;
    picture[size..size + 4].copy_from_slice(&[0xff, 0, 0xff, 0]);
    let answers = requested(&encoded, &[0], |_| {}, |request| worker.ask(request));
    assert!(matches!(answers[0], Err((Failure::Undecodable, _))), "{answers:?}");
    worker.end();
}

#[test]
fn who_runs_it_by_hand_is_told_what_it_is() {
    let told = Command::new(env!("CARGO_BIN_EXE_kvs-picture")).arg("--help").output().unwrap();
    assert_eq!((told.status.code(), told.stdout.as_slice()), (Some(2), &b""[..]));
    assert!(String::from_utf8(told.stderr).unwrap().contains("kvs serve"));
}

#[test]
fn what_is_no_request_ends_the_worker() {
    for bytes in [&[0xff; 100][..], b"\0\0\0\x05hello"] {
        let mut worker = Worker::start();
        worker.input.as_mut().unwrap().write_all(bytes).unwrap();
        assert_eq!(worker.child.wait().unwrap().code(), Some(1));
    }
}

//! The command line of the example `mkvdump`, as README shows it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

mod samples;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use samples::{events, folder, frames, names, sample};
use serde_json::{Value, json};

/// The example as it is now: a test that is run alone does not have it built.
fn mkvdump() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--package",
            "kvs-media",
            "--example",
            "mkvdump",
            "--message-format",
            "json",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let built = lines(&output).into_iter().find_map(|line| line["executable"].as_str().map(PathBuf::from));
    built.expect("cargo says where it put the example")
}

fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(mkvdump())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_kind_of_line_has_the_fields_that_are_promised() {
    let path = folder().join("x264-closed-gop.mkv");
    let output = run(&["--json", path.to_str().unwrap()], b"");
    assert!(output.status.success() && output.stderr.is_empty());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut starts = text.lines();
    assert_eq!(starts.next(), Some(r#"{"type":"document"}"#));
    assert_eq!(
        starts.next(),
        Some(r#"{"type":"track","number":1,"codec":"V_MPEG4/ISO/AVC","private_size":45}"#)
    );
    assert_eq!(starts.next(), Some(r#"{"type":"track","number":2,"codec":"A_AAC","private_size":5}"#));
    assert!(starts.next().unwrap().starts_with(r#"{"type":"tags","tags":{"#));
    assert_eq!(starts.next(), Some(r#"{"type":"cluster","timecode":21}"#));
    assert_eq!(starts.next(), Some(r#"{"type":"frame","track":1,"timecode":21,"key":true,"size":1776}"#));
}

#[test]
fn every_frame_of_every_sample_is_shown_and_stdin_shows_the_same_as_a_file() {
    for name in names() {
        let output = run(&["--json", "-"], &sample(&name));
        assert!(output.status.success(), "{name}");
        let shown: Vec<Value> = lines(&output).into_iter().filter(|line| line["type"] == "frame").collect();
        let wanted: Vec<Value> = frames(&events(sample(&name)))
            .iter()
            .map(|frame| {
                let head = frame.head;
                json!({
                    "type": "frame", "track": head.track.0, "timecode": head.timecode.ticks(),
                    "key": head.key, "size": frame.payload.len(),
                })
            })
            .collect();
        assert!(shown == wanted, "{name}");
        let path = folder().join(&name).with_extension("mkv");
        assert_eq!(run(&["--json", path.to_str().unwrap()], b"").stdout, output.stdout, "{name}");
    }
}

#[test]
fn what_is_wrong_is_the_last_line_and_the_exit_code() {
    let output = run(&["--json", "-"], &sample("alaw").slice(..5_000));
    assert_eq!(output.status.code(), Some(1));
    let last = lines(&output).pop().unwrap();
    assert_eq!((&last["type"], &last["offset"]), (&json!("error"), &json!(5_000)));
    assert!(last["message"].as_str().unwrap().contains("Segment/Cluster"));
    let output = run(&["-"], b"GIF89a");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"error: no EBML header at byte 0 in the top level\n");
}

#[test]
fn a_command_line_that_makes_no_sense_is_answered_with_how_to_use_it() {
    for arguments in [&[][..], &["--yaml", "-"], &["a", "b"]] {
        let output = run(arguments, b"");
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(output.stderr, b"usage: mkvdump [--json] FILE|-\n");
    }
    let output = run(&["/does/not/exist.mkv"], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("mkvdump: /does/not/exist.mkv: "));
}

#[test]
fn what_has_come_is_shown_before_the_rest_comes() {
    let bytes = sample("x264-closed-gop");
    let mut child = Command::new(mkvdump())
        .args(["--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    stdin.write_all(&bytes[..3_000]).unwrap();
    // With the input still open, the first frame is read to its line's end.
    let mut shown = Vec::new();
    while !String::from_utf8_lossy(&shown).contains(r#""size":1776}"#) {
        let mut buffer = [0; 512];
        let length = stdout.read(&mut buffer).unwrap();
        assert!(length > 0, "it ended early");
        shown.extend_from_slice(&buffer[..length]);
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

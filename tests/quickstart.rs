//! The README's one command.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::process::Command;
use std::time::Duration;

use common::child::{finish, text};

#[test]
fn the_quickstart_records_and_shows_what_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/quickstart.sh"));
    command
        .args(["--debug", "--seconds", "3"])
        .env("KVS_QUICKSTART_DATA", folder.path().join("data"))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let output = finish(command, Duration::from_secs(1_500));
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    for step in ["1/5", "2/5", "3/5", "4/5", "5/5", "Recorded and stored."] {
        assert!(said.contains(step), "{step}: {said}");
    }
    // The service goes with the script.
    let running = std::fs::read_to_string(folder.path().join("data/service.json"));
    let pid = running
        .ok()
        .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).unwrap()["pid"].as_u64());
    assert!(pid.is_none_or(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()));
}

#[test]
fn the_quickstart_refuses_what_it_does_not_know() {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/quickstart.sh"));
    command
        .args(["--seconds", "none"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let output = finish(command, Duration::from_secs(20));
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

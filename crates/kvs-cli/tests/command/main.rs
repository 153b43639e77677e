//! The command as its users have it: whole, and over its own standard streams.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access;
mod child;
mod clients;
mod record;
mod serve;
mod upload;
mod verify;

use child::{Scratch, answer, run};

#[test]
fn completions_know_the_commands() {
    let folder = Scratch::new("completions");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = answer(&run(&folder, &["completions", shell]));
        assert!(script.contains("fragments") && script.contains("tls-self-signed"), "{shell}");
    }
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let folder = Scratch::new("pipe");
    let mut child = child::kvs(&folder)
        .args(["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*child::text(&output.stderr)), (Some(0), ""));
}

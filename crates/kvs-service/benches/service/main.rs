//! The service through its listener, in figures, beside what the machine does in the same minute.
//! `cargo bench -p kvs-service --bench service [-- NAME...]`, with names such as `b1`.
//!
//! The service is a child process on core 0, and CPU and RSS are those of that process; the load comes from this one,
//! on core 1. `KVS_BENCH_SECONDS`, `KVS_BENCH_PRODUCERS` (a list), `KVS_BENCH_FRAGMENTS` and `KVS_BENCH_FOLDER` change
//! what is done; nginx and curl are measured where they are installed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod child;
#[allow(dead_code)]
#[path = "../../tests/service/client.rs"]
mod client;
mod load;
#[path = "../machine/mod.rs"]
mod machine;
#[allow(dead_code)]
#[path = "../../tests/service/media.rs"]
mod media;
mod peers;
mod playback;
mod rows;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine::{descriptors, middle, percentiles, pin};

fn main() {
    descriptors();
    match std::env::var(child::ROLE).as_deref() {
        Ok("serve") => {
            pin(0);
            return child::serve();
        }
        Ok("fill") => return child::fill(),
        _ => pin(1),
    }
    let root = std::env::var_os("KVS_BENCH_FOLDER")
        .map_or_else(|| concat!(env!("CARGO_TARGET_TMPDIR"), "/service").into(), PathBuf::from);
    let _ = std::fs::remove_dir_all(&root);
    std::fs::create_dir_all(&root).unwrap();
    let names = std::env::args().skip(1).filter(|name| !name.starts_with('-'));
    let names: Vec<String> = names.map(|name| name.to_ascii_lowercase()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(rows::all(&root, |name| names.is_empty() || names.iter().any(|wanted| wanted == name)));
    let _ = std::fs::remove_dir_all(&root);
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How long something is measured.
fn seconds() -> Duration {
    Duration::from_secs(number("KVS_BENCH_SECONDS", 10))
}

/// Says a row at once, with the load of the machine.
fn row(name: &str, value: &str) {
    let load = machine::load();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{name:<64} {value}  [load {load}]").unwrap();
}

/// CPU of a process, to the nanosecond: that of its threads, and of those that have ended by now.
pub(crate) struct Meter {
    process: String,
    threads: RefCell<HashMap<OsString, f64>>,
}

impl Meter {
    fn new(process: impl ToString) -> Self {
        Self { process: process.to_string(), threads: RefCell::default() }
    }

    /// Milliseconds since its start.
    fn cpu(&self) -> f64 {
        let mut threads = self.threads.borrow_mut();
        for thread in std::fs::read_dir(Path::new("/proc").join(&self.process).join("task")).unwrap() {
            let thread = thread.unwrap();
            // One that ends at this moment has been seen before.
            let Ok(text) = std::fs::read_to_string(thread.path().join("schedstat")) else { continue };
            let nanos: f64 = text.split(' ').next().unwrap().parse().unwrap();
            threads.insert(thread.file_name(), nanos / 1e6);
        }
        threads.values().sum()
    }
}

//! The sink in figures, beside what the machine does in the same minute.
//! `cargo bench -p gst-plugin-kvs --bench kvssink [-- [--quick] [--rows A1,A9]]`
//!
//! What is measured is a child process on core 0, which says its CPU, memory and threads itself; the service is
//! another on core 1, with its limits lifted and TLS with an authority of its own. Where an element is subtracted, the
//! same pipeline ran with `fakesink sync=false async=false` just before or after. `KVS_BENCH_RUNNER` is put before the
//! child: `perf record -g -o FILE`, for one. Films are made by ffmpeg and kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod film;
#[path = "../../crates/kvs-service/benches/machine/mod.rs"]
mod machine;
mod rows;
mod service;
mod sink;
mod table;
mod window;

use std::path::{Path, PathBuf};
use std::time::Duration;

/// What this program is started as.
const ROLE: &str = "KVS_SINK_BENCH_ROLE";

fn main() {
    machine::descriptors();
    match std::env::var(ROLE).as_deref() {
        Ok("serve") => {
            machine::pin(1);
            return service::serve();
        }
        Ok("sink") => {
            machine::pin(0);
            return sink::play();
        }
        _ => machine::pin(1),
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = std::env::var_os("KVS_BENCH_FOLDER").map_or_else(|| kept.join("kvssink"), PathBuf::from);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = arguments.iter().skip_while(|argument| *argument != "--rows").nth(1);
    let wanted: Vec<String> =
        wanted.into_iter().flat_map(|list| list.split(',')).map(str::to_ascii_uppercase).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    rows::all(&rows::Bench { folder: folder.clone(), films: kept.join("films"), quick }, |name| {
        wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)
    });
    let _ = std::fs::remove_dir_all(&folder);
}

/// The clock that all processes of the machine share.
fn now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

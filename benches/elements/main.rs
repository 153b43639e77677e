//! The elements in figures, beside what the machine does in the same minute.
//! `cargo bench -p gst-plugin-kvs --bench elements [-- [--quick] [--rows A1,C2]]`
//!
//! What is measured is a child process on core 0, which says its CPU, memory and threads itself; the service is
//! another on core 1, with its limits lifted and TLS with an authority of its own. Where a sink is subtracted, the same
//! pipeline ran with `fakesink sync=false async=false` just before or after; what a source reads was streamed by the
//! sink. `KVS_BENCH_RUNNER` is put before the child: `perf record -g -o FILE`, for one. Films are made by ffmpeg and kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod common;
mod sink;
mod source;

fn main() {
    common::Bench::run();
}

//! What benches need of the machine: cores, clocks, calibrations, and figures of which there are several.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// The whole process, and what it starts, on one core.
pub(crate) fn pin(core: usize) {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    // A machine of one core has no other.
    let _ = rustix::thread::sched_setaffinity(None, &cores);
}

/// A thousand connections are more than a shell allows by default.
pub(crate) fn descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Runnable processes over the last minute.
pub(crate) fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

/// Milliseconds of CPU that a megabyte takes: AES-256-GCM in blocks of 64 KiB.
pub(crate) fn seals() -> Vec<f64> {
    let mut block = vec![7_u8; 64 << 10];
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32]).unwrap());
    let mut seal = || {
        let started = Instant::now();
        for _ in 0..2_000 {
            let nonce = Nonce::assume_unique_for_key([0; 12]);
            let _ = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut block).unwrap();
        }
        started.elapsed().as_secs_f64() * 1e3 / (2_000.0 * 65_536.0 / 1e6)
    };
    (0..5).map(|_| seal()).collect()
}

/// How long it takes until 256 KiB that were appended are on the disk.
pub(crate) fn syncs(folder: &Path) -> Vec<Duration> {
    let file = File::create(folder.join("calibration")).unwrap();
    let bytes = vec![7; 256 << 10];
    let sync = |at: u64| {
        file.write_all_at(&bytes, at * bytes.len() as u64).unwrap();
        let started = Instant::now();
        file.sync_data().unwrap();
        started.elapsed()
    };
    (0..50).map(sync).collect()
}

/// A list of figures in its middle, and its ends.
pub(crate) fn middle(values: &mut [f64]) -> String {
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len() - 1;
    format!("{:.3} ({:.3} to {:.3})", values[last / 2], values[0], values[last])
}

/// How long things took.
pub(crate) fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let Some(last) = times.len().checked_sub(1) else { return "none".to_owned() };
    let at = |part: usize| times[last * part / 100];
    format!("p50 {:.2?}, p99 {:.2?}, max {:.2?} of {}", at(50), at(99), at(100), times.len())
}

//! Pictures out of what is recorded: which frames they are made of, and the workers that decode them.
//!
//! The service links no decoder. `kvs-picture` is a program of its own, run as a bounded pool of workers; what crashes
//! one or hangs in it costs a picture.

mod plan;
mod pool;
mod program;
mod worker;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

pub(crate) use plan::{At, Footage, Run, Shot};
pub(crate) use pool::{Pool, Unready};

/// How pictures are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program `kvs-picture`; without one, that beside the running program, or the first in PATH.
    pub program: Option<PathBuf>,
    /// Workers at a time.
    pub workers: usize,
    /// A picture that takes longer is none, and its worker is ended.
    pub patience: Duration,
    /// A worker that has nothing to do for so long is ended.
    pub idle: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            program: None,
            // Each has one thread that decodes.
            workers: thread::available_parallelism().map_or(1, usize::from),
            patience: Duration::from_secs(20),
            idle: Duration::from_secs(60),
        }
    }
}

//! A worker as the service sees it: a child process that may do anything, or nothing.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use kvs_wire::picture::{self, ANSWER_BYTES, HELLO, PictureError, REQUEST_BYTES};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// For a worker to be ready: the first on a machine looks through all plugins of GStreamer.
const START: Duration = Duration::from_secs(30);

/// What a worker may know of the environment: where libraries and plugins are. Keys are in it too.
const KNOWN: [&str; 8] = [
    "PATH",
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "RUST_BACKTRACE",
];

/// A child that is ready. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

/// Why there is nothing more to be had of a worker.
#[derive(Debug, Error)]
pub(crate) enum WorkerError {
    /// It cannot be run.
    #[error("it does not start: {0}")]
    Start(io::Error),
    /// It says something else first than a worker does.
    #[error("it is no kvs-picture of this version")]
    Stranger,
    /// It has ended, or its pipe has.
    #[error("it has ended: {0}")]
    Ended(io::Error),
    /// It does nothing.
    #[error("it took longer than {} s", .0.as_secs_f32())]
    Hangs(Duration),
    /// What is said is no message.
    #[error(transparent)]
    Message(#[from] PictureError),
}

impl Worker {
    /// Runs the program, and waits until it is ready.
    pub(super) async fn start(program: &Path) -> Result<Self, WorkerError> {
        let known = |name: &OsStr| {
            let name = name.to_string_lossy();
            KNOWN.contains(&&*name) || name.starts_with("GST_") || name.starts_with("LC_")
        };
        let mut child = Command::new(program)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| known(name)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(WorkerError::Start)?;
        let none = || WorkerError::Start(io::ErrorKind::BrokenPipe.into());
        let (input, output) = (child.stdin.take().ok_or_else(none)?, child.stdout.take().ok_or_else(none)?);
        let mut worker = Self { child, input, output };
        let hello = within(START, read(&mut worker.output, HELLO.len())).await?;
        if hello == HELLO { Ok(worker) } else { Err(WorkerError::Stranger) }
    }

    /// Sends a request: its head and its media.
    pub(super) async fn send(
        &mut self,
        head: &[u8],
        media: &[u8],
        patience: Duration,
    ) -> Result<(), WorkerError> {
        let input = &mut self.input;
        let send = async {
            input.write_all(head).await.map_err(WorkerError::Ended)?;
            input.write_all(media).await.map_err(WorkerError::Ended)
        };
        within(patience, send).await
    }

    /// The next answer, as it was sent.
    pub(super) async fn answer(&mut self, patience: Duration) -> Result<Vec<u8>, WorkerError> {
        within(patience, read(&mut self.output, ANSWER_BYTES)).await
    }

    /// Whether it has not ended in the meantime.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its process, for the log.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

/// Whether a request of so many bytes can be sent.
pub(super) fn fits(bytes: u64) -> bool {
    u64::try_from(REQUEST_BYTES).is_ok_and(|most| bytes <= most)
}

async fn read(output: &mut ChildStdout, most: usize) -> Result<Vec<u8>, WorkerError> {
    let mut prefix = [0; 4];
    output.read_exact(&mut prefix).await.map_err(WorkerError::Ended)?;
    let mut message = vec![0; picture::length(prefix, most)?];
    output.read_exact(&mut message).await.map_err(WorkerError::Ended)?;
    Ok(message)
}

async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, WorkerError>>,
) -> Result<T, WorkerError> {
    tokio::time::timeout(patience, work).await.unwrap_or(Err(WorkerError::Hangs(patience)))
}

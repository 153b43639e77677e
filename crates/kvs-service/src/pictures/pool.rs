//! The workers: as many as may be, started when they are needed, ended when they are not.

use std::sync::{Mutex, MutexGuard, PoisonError};

use kvs_media::time::Monotonic;
use kvs_wire::picture::{Answer, Failure, PictureError, Request};
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Settings;
use super::program;
use super::worker::{Worker, WorkerError, fits};

/// All workers of a service.
#[derive(Debug)]
pub(crate) struct Pool {
    settings: Settings,
    seats: Semaphore,
    /// Those that have nothing to do, and since when.
    idle: Mutex<Vec<(Worker, Monotonic)>>,
}

/// Why no picture can be made at all.
#[derive(Debug, Error)]
pub(crate) enum Unready {
    /// There is no such program.
    #[error(
        "pictures are made by the program kvs-picture, which is neither beside kvs nor in PATH (kvs serve --pictures)"
    )]
    NoProgram,
    /// It does not work.
    #[error("pictures are made by {program}, and {error}")]
    NoWorker {
        /// The program.
        program: String,
        /// What is wrong with it.
        error: WorkerError,
    },
    /// The service stops.
    #[error("the service stops")]
    Stopping,
}

/// Why there is none of a picture that was wanted.
#[derive(Debug, Error)]
pub(crate) enum Lost {
    /// It could not be made.
    #[error("{failure:?}: {reason}")]
    Failed {
        /// What kind.
        failure: Failure,
        /// In the words of the worker.
        reason: String,
    },
    /// Its worker was lost over it.
    #[error("kvs-picture was lost over it: {0}")]
    Worker(#[from] WorkerError),
    /// Workers were lost over what comes before it.
    #[error("kvs-picture was lost over what comes before it")]
    Before,
    /// There is no worker for it.
    #[error(transparent)]
    Unready(#[from] Unready),
    /// It cannot be asked for.
    #[error(transparent)]
    Request(#[from] PictureError),
}

/// A picture, or why there is none.
pub(crate) type Made = Result<Vec<u8>, Lost>;

impl Pool {
    pub(crate) fn new(settings: Settings) -> Self {
        let seats = Semaphore::new(settings.workers.clamp(1, Semaphore::MAX_PERMITS));
        Self { settings, seats, idle: Mutex::default() }
    }

    /// Whether a worker can be asked: starts one when there is none.
    pub(crate) async fn prepare(&self, now: Monotonic) -> Result<(), Unready> {
        if !self.idle().is_empty() || self.seats.available_permits() == 0 {
            return Ok(());
        }
        let (worker, _) = self.enter().await?.worker().await?;
        self.idle().push((worker, now));
        Ok(())
    }

    /// A place among the workers, as soon as there is one.
    pub(crate) async fn enter(&self) -> Result<Seat<'_>, Unready> {
        let permit = self.seats.acquire().await.map_err(|_| Unready::Stopping)?;
        Ok(Seat { pool: self, _permit: permit })
    }

    /// Ends what has had nothing to do for long.
    pub(crate) fn end_idle(&self, now: Monotonic) {
        self.idle().retain(|(_, since)| now.saturating_since(*since) < self.settings.idle);
    }

    /// Ends what has nothing to do, and starts no more.
    pub(crate) fn stop(&self) {
        self.seats.close();
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Worker, Monotonic)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the workers: one works for whoever has it.
#[derive(Debug)]
pub(crate) struct Seat<'a> {
    pool: &'a Pool,
    _permit: SemaphorePermit<'a>,
}

impl Seat<'_> {
    /// Makes the pictures that a request wants, each or not. What loses its worker is not made; what comes behind it
    /// is asked of another, once. `now` is asked for when that is done.
    pub(crate) async fn make(&mut self, mut request: Request<'_>, now: impl Fn() -> Monotonic) -> Vec<Made> {
        let count = request.wanted.len();
        let mut made: Vec<Made> = Vec::with_capacity(count);
        let (mut attempts, mut spared) = (0, false);
        while attempts < ATTEMPTS && !request.wanted.is_empty() {
            let (mut worker, is_new) = match self.worker().await {
                Ok(worker) => worker,
                Err(unready) => {
                    made.push(Err(unready.into()));
                    break;
                }
            };
            let before = made.len();
            let Err(lost) = ask(&mut worker, &request, &self.pool.settings, &mut made).await else {
                self.pool.idle().push((worker, now()));
                return made;
            };
            tracing::warn!(worker = worker.id(), %lost, "kvs-picture is ended");
            let answered = made.len() - before;
            // It may have ended while it waited, which no picture is to blame for.
            let waited = !is_new && answered == 0 && matches!(lost, Lost::Worker(WorkerError::Ended(_)));
            if waited && !std::mem::replace(&mut spared, true) {
                continue;
            }
            attempts += 1;
            request.wanted.drain(..(answered + 1).min(request.wanted.len()));
            made.push(Err(lost));
        }
        made.resize_with(count, || Err(Lost::Before));
        made
    }

    /// One that has nothing to do, or a new one; and whether it is new.
    async fn worker(&self) -> Result<(Worker, bool), Unready> {
        // The last to work is the most likely to have what comes next in its caches.
        let next = || self.pool.idle().pop();
        while let Some((mut worker, _)) = next() {
            if worker.is_alive() {
                return Ok((worker, false));
            }
        }
        let (running, path) = (std::env::current_exe().ok(), std::env::var_os("PATH"));
        let given = self.pool.settings.program.as_deref();
        let program = program::find(given, running.as_deref(), path.as_deref()).ok_or(Unready::NoProgram)?;
        let started = Worker::start(&program).await;
        let worker =
            started.map_err(|error| Unready::NoWorker { program: program.display().to_string(), error })?;
        tracing::debug!(worker = worker.id(), program = %program.display(), "kvs-picture is started");
        Ok((worker, true))
    }
}

/// Workers that a request is asked of: whoever breaks one after the other is left.
const ATTEMPTS: usize = 2;

async fn ask(
    worker: &mut Worker,
    request: &Request<'_>,
    settings: &Settings,
    made: &mut Vec<Made>,
) -> Result<(), Lost> {
    let head = request.head()?;
    worker.send(&head, request.media, settings.patience).await?;
    for _ in &request.wanted {
        let mut answer = worker.answer(settings.patience).await?;
        match Answer::read(&answer)? {
            Answer::Picture(_) => {
                // The byte in front of a picture says that it is one.
                answer.remove(0);
                made.push(Ok(answer));
            }
            Answer::Failed(failure, reason) => {
                made.push(Err(Lost::Failed { failure, reason: reason.to_owned() }));
            }
        }
    }
    Ok(())
}

/// Whether so many bytes of media can be asked about, beside what is said of them.
pub(super) fn takes(media: u64, frames: usize) -> bool {
    // A frame is said in 16 bytes; the rest is private data and times.
    let said = u64::try_from(frames).unwrap_or(u64::MAX).saturating_mul(16).saturating_add(4 << 20);
    fits(media.saturating_add(said))
}

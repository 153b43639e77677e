//! The one tokio runtime of the process.

use std::cell::RefCell;
use std::io;

use once_cell::sync::OnceCell;
use tokio::runtime::{Builder, Handle, Runtime};

static RUNTIME: OnceCell<Runtime> = OnceCell::new();

thread_local! {
    static EVENTS: RefCell<Option<tracing::subscriber::DefaultGuard>> = const { RefCell::new(None) };
}

/// The runtime that all elements share, started when the first of them needs it. It is never stopped: what ends is the
/// tasks on it.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn handle() -> io::Result<&'static Handle> {
    RUNTIME
        .get_or_try_init(|| {
            Builder::new_multi_thread()
                .worker_threads(2)
                // Names are looked up and files read there: hundreds of elements that start at once queue for it.
                .max_blocking_threads(8)
                .thread_name("kvs-io")
                .on_thread_start(|| EVENTS.set(crate::log::take_events()))
                .enable_all()
                .build()
        })
        .map(Runtime::handle)
}

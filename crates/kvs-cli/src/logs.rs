//! The log, on standard error.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::failure::{Failure, While as _};

/// Starts it: what is said before is lost. JSON is one object a line.
pub(crate) fn start(filter: Option<&str>, json: bool) -> Result<(), Failure> {
    let filter = filter.unwrap_or("info");
    let filter = EnvFilter::try_new(filter).doing(format_args!("the log filter {filter:?}"))?;
    // What cannot be logged is lost, and nothing else: said on the same closed pipe or full disk, it would be a panic.
    let log = fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    if json {
        log.json().flatten_event(true).init();
    } else {
        log.with_ansi(io::stderr().is_terminal()).init();
    }
    Ok(())
}

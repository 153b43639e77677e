//! Why a command failed: one line for a person.

use std::error::Error;
use std::fmt;
use std::io;

/// What is said on standard error before exit code 1.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This.
    Said(String),
    /// Nothing, and it is no failure: whoever read our output has enough.
    ReaderGone,
}

impl Failure {
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        // Whatever an error of somebody else's looks like, it stays one line.
        let lines = what.to_string();
        let words: Vec<_> = lines.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        Self::Said(words.join("; "))
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let dynamic: &(dyn Error + 'static) = &error;
        match dynamic.downcast_ref::<io::Error>() {
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::new(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Said(said) => said,
            Self::ReaderGone => "nobody reads the output",
        })
    }
}

/// Says what was being done when something failed.
pub(crate) trait While<T> {
    /// `what: error`.
    fn doing(self, what: impl fmt::Display) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> While<T> for Result<T, E> {
    fn doing(self, what: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format_args!("{what}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(failure: Failure) -> Option<String> {
        match failure {
            Failure::Said(text) => Some(text),
            Failure::ReaderGone => None,
        }
    }

    #[test]
    fn a_failure_is_one_line() {
        assert_eq!(text(Failure::new("a\n  b\n\n")).as_deref(), Some("a; b"));
        let missing: Result<(), _> = Err(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(
            text(missing.doing("cannot read x").unwrap_err()).unwrap(),
            "cannot read x: entity not found"
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert!(text(io::Error::from(io::ErrorKind::BrokenPipe).into()).is_none());
        assert!(text(io::Error::from(io::ErrorKind::ConnectionReset).into()).is_some());
    }
}

//! As whom the client calls.

mod chain;
mod file;
mod iot;
mod kept;
mod source;

pub(crate) use kept::{KeptCredentials, due};
pub(crate) use source::Source;

/// Why nobody signs a call. None of these says anything that is secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// There are none at all, or they cannot be used: no time mends that.
    #[error("there are no credentials: {0}")]
    None(String),
    /// They could not be fetched just now.
    #[error("the credentials could not be fetched: {0}")]
    Unavailable(String),
}

impl CredentialsError {
    /// Whoever had some once has a source for them: what is wrong with it now may be right later.
    fn passing(self) -> Self {
        match self {
            Self::None(reason) | Self::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

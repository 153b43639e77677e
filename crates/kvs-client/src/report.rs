//! What a sender and a reader tell alike: how it stands with the connection, and why it ended.

use std::time::Duration;

use kvs_wire::{Exception, Recovery};

use crate::client::{CallError, CredentialsError};

/// How it stands with the connection.
#[derive(Clone, Debug)]
pub struct ConnectionReport {
    /// What it is now.
    pub state: ConnectionState,
    /// Where to; empty when that is not known yet.
    pub endpoint: String,
    /// Attempts since it was last there.
    pub attempts: u32,
    /// Why it went, or did not come.
    pub cause: Option<String>,
    /// The service's name for the request, to quote to its people.
    pub request_id: Option<String>,
}

/// What a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// Being made.
    Connecting,
    /// There.
    Connected,
    /// Not there; tried again after so long.
    Waiting(Duration),
    /// Not there, and nothing waits to be sent.
    Idle,
}

/// Why no later attempt can succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Of what kind.
    pub kind: FailureKind,
    /// For people: what, where, and what to do.
    pub message: String,
    /// The service's name for the request, when it was the service.
    pub request_id: Option<String>,
}

/// Of what kind a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Something that was set cannot be.
    Settings,
    /// There are no credentials at all.
    NoCredentials,
    /// The service refuses the name or the request itself.
    Refused,
    /// The stream is not there, and may not be made; or it is deleted.
    NoStream,
    /// Not connected within the time that was set.
    StartupTimeout,
    /// No room, and that was to be a failure.
    Full,
    /// Nothing is recorded in the range that was to be read, or nothing of it can be.
    Empty,
}

/// A call that did not come about, as the machines know it.
#[derive(Clone, Debug)]
pub(crate) struct CallFailure {
    /// What to do about it.
    pub(crate) recovery: Recovery,
    /// What it means when that is nothing.
    pub(crate) kind: FailureKind,
    /// For people.
    pub(crate) message: String,
    /// The service's name for the request, when it was the service.
    pub(crate) request_id: Option<String>,
    /// What is wrong with who signed it, where that is it.
    pub(crate) signer: Signer,
}

/// What is wrong with who signed a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    /// The credentials have expired: somebody renews them, and is late.
    Expired,
    /// The signature is not theirs, or nobody knows whose it is.
    Unproven,
    /// Whoever it is may not.
    Denied,
}

impl From<&CallError> for CallFailure {
    fn from(error: &CallError) -> Self {
        use Exception::{
            AccessDenied, ExpiredToken, InvalidClientTokenId, NotAuthorized, OptInRequired,
            UnrecognizedClient,
        };
        Self {
            recovery: error.recovery(),
            kind: match error {
                CallError::Credentials(CredentialsError::None(_)) => FailureKind::NoCredentials,
                CallError::Settings(_) => FailureKind::Settings,
                _ => FailureKind::Refused,
            },
            message: error.to_string(),
            request_id: error.request_id().map(ToOwned::to_owned),
            signer: match error.exception() {
                Some(ExpiredToken) => Signer::Expired,
                Some(
                    AccessDenied | NotAuthorized | UnrecognizedClient | InvalidClientTokenId | OptInRequired,
                ) => Signer::Denied,
                _ => Signer::Unproven,
            },
        }
    }
}

//! Why a call did not succeed, and what is done about it.

use std::borrow::Cow;
use std::error::Error;
use std::path::PathBuf;

use kvs_wire::{Exception, Operation, Recovery, ServiceError};

use super::credentials::CredentialsError;

/// Something that was set cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A URL that is none, or not one of a service.
    #[error("{what}: {reason}")]
    Url {
        /// Where it was set, or who gave it.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file of certificates or a key that cannot be used.
    #[error("{what} {path}: {reason}", path = .path.display())]
    File {
        /// What it is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A text that cannot be sent.
    #[error("{what}: {reason}")]
    Text {
        /// What it is.
        what: &'static str,
        /// What is wrong with it.
        reason: Cow<'static, str>,
    },
}

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The service refuses it.
    #[error("{operation}: {error}")]
    Refused {
        /// The call.
        operation: Operation,
        /// What the service says.
        error: ServiceError,
        /// The service's name for the request, to quote to its people.
        request_id: Option<String>,
    },
    /// The service is not reached, or does not answer in time.
    #[error("{operation}: {doing} {place}: {cause}")]
    Network {
        /// The call.
        operation: Operation,
        /// What was being done.
        doing: &'static str,
        /// Where.
        place: String,
        /// What went wrong.
        cause: String,
    },
    /// The service answers what it should not.
    #[error("{operation}: the answer has no {missing}")]
    Answer {
        /// The call.
        operation: Operation,
        /// What is not in it.
        missing: &'static str,
    },
    /// Nobody signs it.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Something that was set cannot be.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl CallError {
    /// What is done about it. Only what no time mends is fatal.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Refused { error, .. } => error.recovery(),
            Self::Network { .. } => Recovery::BackOff,
            // So a host answers that is not the one for it.
            Self::Answer { .. } => Recovery::NewEndpoint,
            Self::Credentials(CredentialsError::Unavailable(_)) => Recovery::BackOff,
            Self::Credentials(CredentialsError::None(_)) | Self::Settings(_) => Recovery::Fatal,
        }
    }

    /// The exception, when it is a refusal by a known one.
    pub const fn exception(&self) -> Option<Exception> {
        match self {
            Self::Refused { error, .. } => error.exception,
            _ => None,
        }
    }

    /// The service's name for the request, to quote to its people.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Refused { request_id, .. } => request_id.as_deref(),
            _ => None,
        }
    }
}

impl SettingsError {
    /// A text that cannot be sent, or what cannot be done at all.
    pub(crate) fn text(what: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Text { what, reason: reason.into() }
    }
}

/// Characters of a cause that are shown.
const CAUSE_CHARACTERS: usize = 600;

/// An error and its causes in one line, each said once, without the Debug form of anything.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let said = error.to_string();
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        next = error.source();
    }
    cut(&text)
}

/// As much of a text as is shown.
pub(crate) fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(CAUSE_CHARACTERS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

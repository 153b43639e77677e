//! What can be wrong with the bytes of a codec.

use super::nal::NalError;

/// Why the bytes of a codec could not be read or built: which structure, and which field of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The codec id, with its private data, names nothing known here.
    #[error("unknown codec {0:?}")]
    Unknown(String),
    /// The codec cannot be described without private data, and there is none.
    #[error("codec private data is missing")]
    MissingPrivate,
    /// The structure ends before all of a field was read.
    #[error("{part} ends within {field}")]
    Truncated {
        /// The structure, such as `avcC`.
        part: &'static str,
        /// The field by its name in the specification.
        field: &'static str,
    },
    /// A field holds a value that it must not have.
    #[error("{part}: {field} must not be {value}")]
    Value {
        /// The structure, such as `avcC`.
        part: &'static str,
        /// The field by its name in the specification.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
    /// The structure breaks another rule of its specification.
    #[error("{part}: {rule}")]
    Broken {
        /// The structure, such as `avcC`.
        part: &'static str,
        /// What does not hold.
        rule: &'static str,
    },
    /// The access unit cannot be divided into NAL units.
    #[error(transparent)]
    Nal(#[from] NalError),
}

impl CodecError {
    pub(crate) fn value(part: &'static str, field: &'static str, value: impl Into<u64>) -> Self {
        Self::Value { part, field, value: value.into() }
    }
}

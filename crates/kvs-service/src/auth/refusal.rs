//! Why a request is not let in, in the service's own words.

use kvs_wire::Exception;
use thiserror::Error;

use super::timestamp::Timestamp;

/// Why a request does not prove who sent it. Its text is the message on the wire (kvs-api 0.4) and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Neither an `Authorization` header nor a signature in the query.
    #[error("Missing Authentication Token")]
    Missing,
    /// More than is looked at.
    #[error("The {what} exceeds {limit}.")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it may be.
        limit: usize,
    },
    /// A signature both in a header and in the query.
    #[error("Only one authentication mechanism is allowed: the Authorization header or the query string.")]
    TwoMechanisms,
    /// Something other than `AWS4-HMAC-SHA256`.
    #[error("Unsupported signing algorithm: only AWS4-HMAC-SHA256 is accepted.")]
    Algorithm,
    /// A part of the signature is not there.
    #[error("{place} requires '{part}' parameter.")]
    Absent {
        /// Where it should be.
        place: &'static str,
        /// What it is called.
        part: &'static str,
    },
    /// A part that decides is there twice.
    #[error("'{part}' may be given only once.")]
    Repeated {
        /// What it is called.
        part: &'static str,
    },
    /// A part is not of its form.
    #[error("'{part}' is not in a valid format.")]
    Malformed {
        /// What it is called.
        part: &'static str,
    },
    /// `X-Amz-Expires` is none of 1 to 604800.
    #[error("X-Amz-Expires must be between 1 and 604800 seconds.")]
    Lifetime,
    /// A header that must be signed is not.
    #[error("'{name}' must be a 'SignedHeader' in the AWS Authorization.")]
    NotSigned {
        /// The header.
        name: &'static str,
    },
    /// `SignedHeaders` names a header that the request does not have.
    #[error("A header named in 'SignedHeaders' is not in the request.")]
    SignedHeaderAbsent,
    /// The scope's date is not the signature's.
    #[error(
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
         '{}' != '{}', from '{signed}'.", scope.date(), signed.date()
    )]
    ScopeDate {
        /// The date in the scope.
        scope: Timestamp,
        /// The time of the signature.
        signed: Timestamp,
    },
    /// Signed for another region.
    #[error("Credential should be scoped to a valid region.")]
    ScopeRegion,
    /// Signed for another service.
    #[error("Credential should be scoped to correct service: 'kinesisvideo'.")]
    ScopeService,
    /// The scope does not end as it must.
    #[error("Credential should be scoped with a valid terminator: 'aws4_request'.")]
    ScopeTerminator,
    /// Signed too long ago.
    #[error("Signature expired: {signed} is now earlier than {limit} ({now} - {span}.)")]
    Expired {
        /// When it was signed.
        signed: Timestamp,
        /// The earliest that would do.
        limit: Timestamp,
        /// What time it is here.
        now: Timestamp,
        /// How far back is allowed, such as `5 min`.
        span: Span,
    },
    /// Signed in the future.
    #[error("Signature not yet current: {signed} is still later than {limit} ({now} + 5 min.)")]
    NotYetCurrent {
        /// When it was signed.
        signed: Timestamp,
        /// The latest that would do.
        limit: Timestamp,
        /// What time it is here.
        now: Timestamp,
    },
    /// `x-amz-content-sha256` is nothing that this operation takes.
    #[error("The value of 'x-amz-content-sha256' is not supported for this operation.")]
    PayloadForm,
    /// The body is not the one that was announced.
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed.")]
    PayloadMismatch,
    /// The signature is another than ours.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
         Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
    /// No such access key, or a session token that is not ours or not of this key.
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// Temporary credentials whose time is over.
    #[error("The security token included in the request is expired")]
    ExpiredToken,
}

/// How far back a signature may lie, as the message says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The skew that every signature is allowed.
    Skew,
    /// What a presigned request asked for, in seconds.
    Presigned(u32),
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Skew => f.write_str("5 min"),
            Self::Presigned(seconds) => write!(f, "{seconds} sec"),
        }
    }
}

impl Refusal {
    /// What it is called on the wire; with it come the status and the form of the body.
    pub const fn exception(&self) -> Exception {
        match self {
            Self::Missing => Exception::MissingAuthenticationToken,
            Self::TooLarge { .. } => Exception::Validation,
            Self::TwoMechanisms
            | Self::Algorithm
            | Self::Absent { .. }
            | Self::Repeated { .. }
            | Self::Malformed { .. }
            | Self::Lifetime => Exception::IncompleteSignature,
            Self::NotSigned { .. }
            | Self::SignedHeaderAbsent
            | Self::ScopeDate { .. }
            | Self::ScopeRegion
            | Self::ScopeService
            | Self::ScopeTerminator
            | Self::Expired { .. }
            | Self::NotYetCurrent { .. }
            | Self::PayloadForm
            | Self::PayloadMismatch
            | Self::Mismatch => Exception::InvalidSignature,
            Self::UnknownKey => Exception::UnrecognizedClient,
            Self::ExpiredToken => Exception::ExpiredToken,
        }
    }

    /// Writes the body of the response.
    pub fn write_body(&self, out: &mut Vec<u8>) {
        self.exception().write_body(&self.to_string(), out);
    }
}

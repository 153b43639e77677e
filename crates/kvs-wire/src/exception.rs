//! What the service calls its refusals.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::text::{JsonString, scalar, shown, shown_bytes};

/// What a client does after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// The same again, later: the service is busy, failing, or not yet in the state that the call needs.
    BackOff,
    /// Again with new credentials and a new signature. When those are refused too, later again: a policy can change.
    NewCredentials,
    /// Again at the endpoint that GetDataEndpoint names now.
    NewEndpoint,
    /// There is no such stream, or none that is active: create it if that is allowed, else give up.
    NoStream,
    /// Never again: the request itself is wrong.
    Fatal,
}

/// Who writes a refusal, and how: the guide's two forms.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Author {
    /// The operation: `{"Message":...}`.
    Operation,
    /// The front end, before the operation runs: `{"message":...}`.
    FrontEnd,
}

macro_rules! exceptions {
    ($($(#[$doc:meta])* $exception:ident $name:literal $status:literal $author:ident $recovery:ident,)*) => {
        /// A refusal by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Exception { $($(#[$doc])* $exception,)* }

        impl Exception {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$exception,)*];

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$exception => $name,)* }
            }

            /// The HTTP status it comes with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$exception => $status,)* }
            }

            /// What a client does after it.
            pub const fn recovery(self) -> Recovery {
                match self { $(Self::$exception => Recovery::$recovery,)* }
            }

            /// The value of the header `x-amzn-ErrorType`: the name and its namespace.
            pub const fn error_type(self) -> &'static str {
                match self { $(Self::$exception => exceptions!(@ $author $name),)* }
            }

            const fn author(self) -> Author {
                match self { $(Self::$exception => Author::$author,)* }
            }
        }
    };
    (@ Operation $name:literal) => { concat!($name, ":https://kinesisvideo.amazonaws.com/doc/2017-09-30/") };
    (@ FrontEnd $name:literal) => { concat!($name, ":http://internal.amazon.com/coral/com.amazon.coral.service/") };
}

// Statuses are the models', with 403 for denials: the models say 401, responses 403. Of the front end's names only
// InvalidSignatureException was seen on this service, the others are those of its siblings.
exceptions! {
    /// A policy denies the call.
    AccessDenied "AccessDeniedException" 403 Operation NewCredentials,
    /// A policy denies the call, in the words of the older operations.
    NotAuthorized "NotAuthorizedException" 403 Operation NewCredentials,
    /// The account has as many streams as it may.
    AccountStreamLimitExceeded "AccountStreamLimitExceededException" 400 Operation BackOff,
    /// The account has as many channels as it may.
    AccountChannelLimitExceeded "AccountChannelLimitExceededException" 400 Operation BackOff,
    /// Too many calls.
    ClientLimitExceeded "ClientLimitExceededException" 400 Operation BackOff,
    /// Too many connections.
    ConnectionLimitExceeded "ConnectionLimitExceededException" 400 Operation BackOff,
    /// The device has as many streams as it may; declared, and not in use.
    DeviceStreamLimitExceeded "DeviceStreamLimitExceededException" 400 Operation BackOff,
    /// Something in the request is wrong.
    InvalidArgument "InvalidArgumentException" 400 Operation Fatal,
    /// The device does not fit; declared, and not in use.
    InvalidDevice "InvalidDeviceException" 400 Operation Fatal,
    /// This host does not serve the stream.
    InvalidEndpoint "InvalidEndpointException" 400 Operation NewEndpoint,
    /// The ARN is not of the right form.
    InvalidResourceFormat "InvalidResourceFormatException" 400 Operation Fatal,
    /// The stream keeps nothing, and the call needs what is kept.
    NoDataRetention "NoDataRetentionException" 400 Operation Fatal,
    /// The name is taken, or the stream is just being changed.
    ResourceInUse "ResourceInUseException" 400 Operation BackOff,
    /// No such stream, or not active; for playback, also no fragment in the range.
    ResourceNotFound "ResourceNotFoundException" 404 Operation NoStream,
    /// The stream has no edge configuration.
    StreamEdgeConfigurationNotFound "StreamEdgeConfigurationNotFoundException" 404 Operation Fatal,
    /// More than 50 tags.
    TagsPerResourceExceededLimit "TagsPerResourceExceededLimitException" 400 Operation Fatal,
    /// The version is not the latest.
    VersionMismatch "VersionMismatchException" 400 Operation BackOff,
    /// The tracks are of codecs that cannot be played this way.
    UnsupportedStreamMediaType "UnsupportedStreamMediaTypeException" 400 Operation Fatal,
    /// A track has no codec private data.
    MissingCodecPrivateData "MissingCodecPrivateDataException" 400 Operation Fatal,
    /// The codec private data of a track is wrong, or changes where it may not.
    InvalidCodecPrivateData "InvalidCodecPrivateDataException" 400 Operation Fatal,
    /// A frame cannot be parsed.
    InvalidMediaFrame "InvalidMediaFrameException" 400 Operation Fatal,
    /// More fragments than a call may name; on the quotas page only.
    FragmentLimitExceeded "FragmentLimitExceededException" 400 Operation Fatal,
    /// The signature is wrong, or its time is.
    InvalidSignature "InvalidSignatureException" 403 FrontEnd NewCredentials,
    /// The access key is not known.
    UnrecognizedClient "UnrecognizedClientException" 403 FrontEnd NewCredentials,
    /// The access key is not known, in the words of the common errors.
    InvalidClientTokenId "InvalidClientTokenId" 403 FrontEnd NewCredentials,
    /// The session token has expired.
    ExpiredToken "ExpiredTokenException" 403 FrontEnd NewCredentials,
    /// The request is not signed.
    MissingAuthenticationToken "MissingAuthenticationTokenException" 403 FrontEnd NewCredentials,
    /// The signature lacks a part.
    IncompleteSignature "IncompleteSignatureException" 400 FrontEnd NewCredentials,
    /// The request came too late.
    RequestExpired "RequestExpired" 400 FrontEnd NewCredentials,
    /// The account is not subscribed.
    OptInRequired "OptInRequired" 403 FrontEnd NewCredentials,
    /// Too many calls, in the words of the common errors.
    Throttling "ThrottlingException" 400 FrontEnd BackOff,
    /// Something in the request is wrong, in the words of the common errors.
    Validation "ValidationException" 400 FrontEnd Fatal,
    /// The service failed inside.
    InternalFailure "InternalFailure" 500 FrontEnd BackOff,
    /// The service is not there at the moment.
    ServiceUnavailable "ServiceUnavailable" 503 FrontEnd BackOff,
    /// No such operation, in the words of the common errors.
    InvalidAction "InvalidAction" 400 FrontEnd NewEndpoint,
    /// No such operation on this host. Comes with status 200 and a body of its own.
    UnknownOperation "UnknownOperationException" 200 FrontEnd NewEndpoint,
}

impl Exception {
    /// The exception of this name, with or without `Exception` at its end.
    pub fn from_name(name: &str) -> Option<Self> {
        let stem = |name| str::strip_suffix(name, "Exception").unwrap_or(name);
        let synonym = match stem(name) {
            "ValidationError" => "Validation",
            "InternalServerError" | "InternalServer" | "InternalError" => "InternalFailure",
            "NotAuthorised" => "NotAuthorized",
            other => other,
        };
        Self::ALL.iter().copied().find(|exception| stem(exception.name()) == synonym)
    }

    /// The exception that a value of the header `x-amzn-ErrorType` names.
    pub fn from_error_type(value: &str) -> Option<Self> {
        Self::from_name(type_name(value))
    }

    /// Writes the body of the response.
    pub fn write_body(self, message: &str, out: &mut Vec<u8>) {
        // A vector takes every write.
        let _ = match (self, self.author()) {
            (Self::UnknownOperation, _) => out.write_all(
                br#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#,
            ),
            (_, Author::Operation) => write!(out, r#"{{"Message":{}}}"#, JsonString(message)),
            (_, Author::FrontEnd) => write!(out, r#"{{"message":{}}}"#, JsonString(message)),
        };
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The bare name in a header's or a body's type: behind the namespace of `a.b.c#Name`, before that of `Name:http://`.
fn type_name(value: &str) -> &str {
    let end = value.find([':', ',']).unwrap_or(value.len());
    let name = value.get(..end).unwrap_or_default();
    name.rsplit_once('#').map_or(name, |(_, name)| name).trim()
}

/// A refusal as a client has received it. Its texts are cut when they are long.
///
/// ```
/// use kvs_wire::{Exception, Recovery, ServiceError};
/// let error = ServiceError::read(403, None, br#"{"message":"The security token included in the request is expired"}"#);
/// assert_eq!(error.unwrap().recovery(), Recovery::NewCredentials);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} (HTTP {status}): {message}", self.title())]
pub struct ServiceError {
    /// The HTTP status.
    pub status: u16,
    /// The exception, when it is a known one.
    pub exception: Option<Exception>,
    /// The name as sent; empty when there is none.
    pub name: String,
    /// The message; a body without one is itself the message.
    pub message: String,
}

/// What a body may say, in every spelling that was seen.
#[derive(Deserialize)]
struct BodyFields<'a> {
    #[serde(borrow, rename = "Message")]
    message: Option<&'a RawValue>,
    #[serde(borrow, rename = "message")]
    front_end_message: Option<&'a RawValue>,
    #[serde(borrow, rename = "__type")]
    type_name: Option<&'a RawValue>,
    #[serde(borrow, rename = "Output")]
    output: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct OutputFields<'a> {
    #[serde(borrow, rename = "__type")]
    type_name: Option<&'a RawValue>,
}

impl ServiceError {
    /// Reads a response by its status, its header `x-amzn-ErrorType` and its body; `None` when it is none.
    ///
    /// A response of status 200 is one when its body says `Output.__type`: so the service answers what it does not
    /// know. To be called with the whole of a JSON body, whose length the caller bounds.
    pub fn read(status: u16, error_type: Option<&str>, body: &[u8]) -> Option<Self> {
        let fields = serde_json::from_slice::<BodyFields<'_>>(body).ok();
        let in_output = fields
            .as_ref()
            .and_then(|fields| serde_json::from_str::<OutputFields<'_>>(fields.output?.get()).ok()?.type_name)
            .map(scalar);
        if (200..300).contains(&status) && in_output.is_none() {
            return None;
        }
        let in_body = || fields.as_ref().and_then(|fields| fields.type_name).map(scalar);
        let given = error_type
            .filter(|value| !type_name(value).is_empty())
            .map(Cow::Borrowed)
            .or_else(in_body)
            .or(in_output)
            .unwrap_or_default();
        let name = type_name(&given);
        let message = fields
            .as_ref()
            .and_then(|fields| fields.message.or(fields.front_end_message))
            .map_or_else(|| shown_bytes(body), |message| shown(&scalar(message)));
        Some(Self { status, exception: Exception::from_name(name), name: shown(name), message })
    }

    /// What a client does after it: by the exception, else by the status. Only what is known to be final is.
    pub fn recovery(&self) -> Recovery {
        // A data call at the control host, or at a host of other streams: the troubleshooting page's text for it.
        if self.message.contains("Unable to determine service/operation name") {
            return Recovery::NewEndpoint;
        }
        match (self.exception, self.status) {
            (Some(exception), _) => exception.recovery(),
            (None, 401 | 403) => Recovery::NewCredentials,
            // Of a stream that is missing the service says so by name; this is somebody on the way.
            (None, 404) => Recovery::NewEndpoint,
            (None, _) => Recovery::BackOff,
        }
    }

    fn title(&self) -> &str {
        if self.name.is_empty() { "refused" } else { &self.name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(exception: Exception, message: &str) -> String {
        let mut out = Vec::new();
        exception.write_body(message, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_values_of_the_service_s_header_are_read() {
        for (value, exception) in [
            (
                "ResourceNotFoundException:https://kinesisvideo.amazonaws.com/doc/2017-09-30/",
                Some(Exception::ResourceNotFound),
            ),
            (
                "InvalidSignatureException:http://internal.amazon.com/coral/com.amazon.coral.service/",
                Some(Exception::InvalidSignature),
            ),
            ("ClientLimitExceededException", Some(Exception::ClientLimitExceeded)),
            ("ClientLimitExceededException,", Some(Exception::ClientLimitExceeded)),
            (" com.amazon.coral.service#UnknownOperationException ", Some(Exception::UnknownOperation)),
            ("ClientLimitExceeded", Some(Exception::ClientLimitExceeded)),
            ("ValidationError", Some(Exception::Validation)),
            ("TeapotException:http://x", None),
            (":ClientLimitExceededException", None),
            ("", None),
        ] {
            assert_eq!(Exception::from_error_type(value), exception, "{value}");
        }
    }

    #[test]
    fn both_body_forms_are_written() {
        let message = "The requested stream is not found or not active.";
        assert_eq!(body(Exception::ResourceNotFound, message), format!(r#"{{"Message":"{message}"}}"#));
        assert_eq!(body(Exception::InvalidSignature, "a \"b\"\n"), r#"{"message":"a \"b\"\n"}"#);
        // The length of this body was seen in a response: 90 bytes.
        assert_eq!(body(Exception::UnknownOperation, "x").len(), 90);
    }

    #[test]
    fn responses_of_the_service_are_read() {
        let rows: [(u16, &str, &str, Option<Exception>, Recovery); 8] = [
            (
                404,
                "ResourceNotFoundException:https://kinesisvideo.amazonaws.com/doc/2017-09-30/",
                r#"{"Message":"The requested stream is not found or not active."}"#,
                Some(Exception::ResourceNotFound),
                Recovery::NoStream,
            ),
            (
                403,
                "",
                r#"{"message":"The security token included in the request is invalid."}"#,
                None,
                Recovery::NewCredentials,
            ),
            (
                401,
                "NotAuthorizedException:",
                r#"{"Message":null}"#,
                Some(Exception::NotAuthorized),
                Recovery::NewCredentials,
            ),
            (
                400,
                "ClientLimitExceededException",
                r#"{"Message":"Limit exceeded on number of requests for GetDataEndpoint API for resource 'cam1'"}"#,
                Some(Exception::ClientLimitExceeded),
                Recovery::BackOff,
            ),
            (
                200,
                "",
                r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#,
                Some(Exception::UnknownOperation),
                Recovery::NewEndpoint,
            ),
            (
                403,
                "AccessDeniedException",
                r#"{"Message":"Unable to determine service/operation name to be authorized"}"#,
                Some(Exception::AccessDenied),
                Recovery::NewEndpoint,
            ),
            (
                400,
                "",
                r#"{"__type":"x#InvalidArgumentException","message":"StreamName"}"#,
                Some(Exception::InvalidArgument),
                Recovery::Fatal,
            ),
            (502, "", "<html>Bad gateway</html>", None, Recovery::BackOff),
        ];
        for (status, error_type, body, exception, recovery) in rows {
            let error = ServiceError::read(status, Some(error_type), body.as_bytes()).unwrap();
            assert_eq!(
                (error.status, error.exception, error.recovery()),
                (status, exception, recovery),
                "{body}"
            );
        }
    }

    #[test]
    fn a_success_is_no_refusal() {
        for body in
            ["", "{}", r#"{"DataEndpoint":"https://x"}"#, r#"{"Output":{}}"#, r#"{"Output":5}"#, "\u{1a}E"]
        {
            assert_eq!(ServiceError::read(200, None, body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn a_refusal_reads_well() {
        let read =
            |status, body: &str| ServiceError::read(status, None, body.as_bytes()).unwrap().to_string();
        assert_eq!(read(403, r#"{"message":"denied"}"#), "refused (HTTP 403): denied");
        assert_eq!(read(500, r#"{"__type":"a#Odd","Message":"x"}"#), "Odd (HTTP 500): x");
        assert!(read(500, &"x".repeat(1_000_000)).len() < 600);
    }

    #[test]
    fn only_what_is_known_to_be_final_is_fatal() {
        for status in 400..600 {
            let error = ServiceError::read(status, Some("TeapotException"), b"").unwrap();
            assert_ne!(error.recovery(), Recovery::Fatal);
        }
        for exception in Exception::ALL.iter().filter(|exception| exception.status() >= 500) {
            assert_eq!(exception.recovery(), Recovery::BackOff);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(exception in prop::sample::select(Exception::ALL), message in ".{0,100}") {
            let written = body(exception, &message);
            let status = exception.status();
            let error = ServiceError::read(status, Some(exception.error_type()), written.as_bytes()).unwrap();
            prop_assert_eq!(error.exception, Some(exception));
            prop_assert_eq!(&error.name, exception.name());
            if exception != Exception::UnknownOperation {
                prop_assert_eq!(error.message, message);
            }
        }

        #[test]
        fn any_response_is_read(
            status: u16,
            error_type in proptest::option::of(".{0,40}"),
            body in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..100),
                "\\{\"(Output|Message|message|__type)\":.{0,40}\\}".prop_map(String::into_bytes),
            ],
        ) {
            let _ = ServiceError::read(status, error_type.as_deref(), &body).map(|error| error.recovery());
        }
    }
}

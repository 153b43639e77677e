//! Which path is answered by whom.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use kvs_media::time::Utc;
use kvs_wire::{Exception, Operation, headers};

use super::body::{Answered, Body};
use super::connection::Connection;
use super::{call, plain};
use crate::auth::{Denial, Refusal as Unknown};
use crate::control::Refusal;
use crate::random::{Random as _, SystemRandom};
use crate::service::Service;

const ERROR_TYPE: HeaderName = HeaderName::from_static(headers::ERROR_TYPE);
const REQUEST_ID: HeaderName = HeaderName::from_static(headers::REQUEST_ID);

/// Answers a request; every answer has the id of its request.
pub(crate) async fn answer(
    service: Arc<Service>,
    connection: Connection,
    request: Request<Incoming>,
) -> Answered<Response<Body>> {
    let id = request_id();
    connection.begin(request.body());
    let (method, path) = (request.method().clone(), request.uri().path());
    let operation = Operation::from_path(path).filter(|_| method == Method::POST);
    let mut response = match operation {
        Some(operation) => {
            let answered = call::answer(&service, connection, operation, request).await;
            let response = answered.unwrap_or_else(Refused::into_response);
            tracing::debug!(%operation, status = response.status().as_u16(), id, "call");
            response
        }
        None => plain::answer(&service, &connection, request).await,
    };
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    // By the clock that signatures are checked by: who is refused for the time learns it here.
    if let Some(date) = http_date(service.now().utc) {
        response.headers_mut().insert(DATE, date);
    }
    Ok(response)
}

fn http_date(now: Utc) -> Option<HeaderValue> {
    // A year has four digits in it. `Utc` ends in 2262.
    let since = Duration::from_millis(u64::try_from(now.millis()).ok()?);
    HeaderValue::from_str(&httpdate::fmt_http_date(UNIX_EPOCH.checked_add(since)?)).ok()
}

/// Why a call is not answered as it wants to be.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Nobody knows who it is from.
    Unknown(Unknown),
    /// They may not.
    Denied(Denial),
    /// It is wrong.
    Wrong(Refusal),
    /// A fault on command.
    Fault(u16),
}

impl Refused {
    pub(crate) fn new(exception: Exception, message: impl Into<String>) -> Self {
        Self::Wrong(Refusal::new(exception, message))
    }

    /// Something in the request is wrong.
    pub(crate) fn argument(message: impl ToString) -> Self {
        Self::new(Exception::InvalidArgument, message.to_string())
    }

    /// No such stream.
    pub(crate) fn no_stream() -> Self {
        Self::new(Exception::ResourceNotFound, "The requested stream is not found or not active.")
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let mut body = Vec::new();
        let exception = match &self {
            Self::Unknown(refusal) => {
                refusal.write_body(&mut body);
                refusal.exception()
            }
            Self::Denied(denial) => {
                denial.write_body(&mut body);
                denial.exception()
            }
            Self::Wrong(refusal) => {
                refusal.exception.write_body(&refusal.message, &mut body);
                refusal.exception
            }
            Self::Fault(status) => {
                let exception = match status {
                    403 => Exception::AccessDenied,
                    404 => Exception::ResourceNotFound,
                    400..500 => Exception::ClientLimitExceeded,
                    503 => Exception::ServiceUnavailable,
                    _ => Exception::InternalFailure,
                };
                exception.write_body("A fault on command.", &mut body);
                exception
            }
        };
        let status = match self {
            Self::Fault(status) => status,
            _ => exception.status(),
        };
        let mut response = json(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // A response of status 200 says in its body what is wrong.
        if exception != Exception::UnknownOperation {
            response.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(exception.error_type()));
        }
        response
    }
}

impl From<Unknown> for Refused {
    fn from(refusal: Unknown) -> Self {
        Self::Unknown(refusal)
    }
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Wrong(refusal)
    }
}

/// A response of JSON.
pub(crate) fn json(body: impl Into<Body>) -> Response<Body> {
    typed(headers::JSON, body)
}

/// A response of some type.
pub(crate) fn typed(content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// 16 bytes of chance in the form of a UUID of version 4.
fn request_id() -> String {
    let mut bytes = [0; 16];
    // An id that is not unique is no reason to answer nothing.
    let _ = SystemRandom.fill(&mut bytes);
    let number = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0b11 << 62) | (4 << 76) | (0b10 << 62);
    let hex = format!("{number:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_a_random_uuid() {
        let id = request_id();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]), "{id}");
        assert_ne!(id, request_id());
    }
}

//! A call of an operation: who it is from, what it is about, whether it may be.

use std::sync::{Arc, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Request, Response};
use kvs_wire::{Exception, Operation, Plane, StreamArn, StreamName, headers};
use serde::Deserialize;

use super::body::{self, Body, Unread};
use super::connection::Connection;
use super::route::{Refused, json};
use super::{archive, get_media, images, playback, put_media};
use crate::auth::{self, Authentication, Principal, Resource};
use crate::control::Refusal;
use crate::service::Service;
use crate::stream::ActiveStream;

/// Answers a call.
pub(crate) async fn answer(
    service: &Arc<Service>,
    connection: Connection,
    operation: Operation,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refused> {
    let (parts, body) = request.into_parts();
    let unknown = |refusal: auth::Refusal| {
        // Strangers would fill the log.
        tracing::debug!(peer = %connection.peer, %operation, why = %refusal, "not authenticated");
        Refused::from(refusal)
    };
    let authentication = authenticate(service, &parts).map_err(unknown)?;
    if operation == Operation::PutMedia {
        let Authentication::Complete(principal) = authentication else {
            let why = "PutMedia is signed with the hash of an empty body, or with UNSIGNED-PAYLOAD.";
            return Err(Refused::new(Exception::InvalidSignature, why));
        };
        let target = Target::of_headers(&parts)?;
        authorize(service, &principal, operation, &target)?;
        let stream = target.admit(service, operation)?;
        return put_media::answer(service, stream, connection, &parts, body).await;
    }
    let limits = &service.config.limits;
    let body = body::read(body, limits.body_bytes, limits.body_timeout).await.map_err(|why| match why {
        Unread::TooLarge => Refused::argument(format!("The body exceeds {} bytes.", limits.body_bytes)),
        Unread::TooSlow => Refused::new(Exception::RequestExpired, "The body did not come in time."),
        Unread::Broken => Refused::argument("The body cannot be read."),
    })?;
    connection.request_is_read();
    let principal = match authentication {
        Authentication::Complete(principal) => principal,
        Authentication::AwaitsBody(signatory) => {
            let mut hash = [0; 32];
            hash.copy_from_slice(digest(&SHA256, &body).as_ref());
            signatory.with_body(&hash).map_err(unknown)?
        }
    };
    let target = Target::of_body(operation, &body);
    authorize(service, &principal, operation, &target)?;
    match operation.plane() {
        Plane::Control => control(service, connection, operation, &target, &parts, body).await,
        Plane::Data(_) => {
            // What is wrong with the request is said before what is wrong with the stream.
            match operation {
                Operation::GetMedia => get_media::answer(service, connection, &target, &body).await,
                Operation::ListFragments => archive::list_fragments(service, &target, body).await,
                Operation::GetMediaForFragmentList => {
                    archive::media_for_fragment_list(service, connection, &target, &body).await
                }
                Operation::GetHLSStreamingSessionURL | Operation::GetDASHStreamingSessionURL => {
                    let endpoint = endpoint(service, &connection, &parts);
                    playback::begin(service, &target, operation, endpoint, body).await
                }
                Operation::GetClip => playback::clip(service, connection, &target, body).await,
                Operation::GetImages => images::answer(service, connection, &target, &body).await,
                _ => Err(Refused::new(Exception::UnknownOperation, "")),
            }
        }
    }
}

async fn control(
    service: &Arc<Service>,
    connection: Connection,
    operation: Operation,
    target: &Target,
    parts: &Parts,
    body: Bytes,
) -> Result<Response<Body>, Refused> {
    if let Some(status) = service.faults.refusal(operation, target.named()) {
        return Err(Refused::Fault(status));
    }
    target.check_rate(service, operation)?;
    let answer = if changes(operation) {
        let service = Arc::clone(service);
        let changed = tokio::task::spawn_blocking(move || service.change(operation, &body)).await;
        changed.unwrap_or_else(|_| Some(Err(Refusal::internal("The change failed."))))
    } else {
        let endpoint = endpoint(service, &connection, parts);
        service.describe(operation, &body, &endpoint)
    };
    let answer = answer.unwrap_or_else(|| Err(Refusal::new(Exception::UnknownOperation, "")));
    Ok(json(answer?))
}

/// Whether an operation of the control plane may change something.
fn changes(operation: Operation) -> bool {
    !["Describe", "List", "Get"].iter().any(|verb| operation.name().starts_with(verb))
}

/// Where this service is, as a client can reach it: as it was told, or under the name that the client used.
fn endpoint(service: &Service, connection: &Connection, parts: &Parts) -> String {
    if let Some(advertised) = &service.config.advertise {
        return advertised.trim_end_matches('/').to_owned();
    }
    let scheme = if connection.place.secure { "https" } else { "http" };
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| parts.uri.authority().map(Authority::as_str));
    // Some clients send the host without a port (kvs-api 0.5): the port is the listener's.
    let name = host.map(|host| match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    });
    let (local, port) = (connection.place.local.ip(), connection.place.local.port());
    match name.filter(|name| !name.is_empty()) {
        Some(name) => format!("{scheme}://{name}:{port}"),
        None => format!("{scheme}://{}", std::net::SocketAddr::new(local, port)),
    }
}

/// Who sent this, by what the head says.
fn authenticate(service: &Service, parts: &Parts) -> Result<Authentication, auth::Refusal> {
    let headers: Vec<(&str, &[u8])> =
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request = auth::Request {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &headers,
    };
    service.authenticator.authenticate(request, service.now().utc)
}

fn authorize(
    service: &Service,
    principal: &Principal,
    operation: Operation,
    target: &Target,
) -> Result<(), Refused> {
    let action = format!("kinesisvideo:{}", operation.name());
    let (arn, shown) = target.resource(service);
    let grant = principal.authorize(&action, Resource { arn: &arn, shown: &shown });
    if let Err(denial) = &grant {
        tracing::info!(who = principal.arn(), %operation, resource = %shown, why = %denial.reason, "denied");
    }
    grant?;
    Ok(())
}

/// The stream that a call is about, if it says one.
#[derive(Debug, Default)]
pub(crate) struct Target {
    name: Option<StreamName>,
    arn: Option<StreamArn>,
}

impl Target {
    /// Of a JSON body. One that makes no sense names nothing; what is wrong with it, the operation says.
    ///
    /// It names what the operation will act on, and nothing else: who may do something to one stream could otherwise
    /// name that one beside the other.
    pub(super) fn of_body(operation: Operation, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Named {
            #[serde(rename = "StreamName")]
            name: Option<String>,
            #[serde(rename = "StreamARN")]
            arn: Option<String>,
        }
        let Ok(Named { name, arn }) = serde_json::from_slice(body) else { return Self::default() };
        let (name, arn) = match operation {
            Operation::ListStreams | Operation::ListEdgeAgentConfigurations => (None, None),
            Operation::CreateStream => (name, None),
            Operation::DeleteStream => (None, arn),
            _ => (name, arn),
        };
        Self { name: name.and_then(|name| name.parse().ok()), arn: arn.and_then(|arn| arn.parse().ok()) }
    }

    /// Of the headers of PutMedia.
    fn of_headers(parts: &Parts) -> Result<Self, Refused> {
        let text = |name: &'static str| -> Result<Option<&str>, Refused> {
            let Some(value) = parts.headers.get(name) else { return Ok(None) };
            let text = value.to_str().map_err(|_| Refused::argument(format!("{name} is not text.")))?;
            Ok(Some(text.trim()))
        };
        let (name, arn) = (text(headers::STREAM_NAME)?, text(headers::STREAM_ARN)?);
        if name.is_some() == arn.is_some() {
            let both = [headers::STREAM_NAME, headers::STREAM_ARN].join(" or ");
            return Err(Refused::argument(format!("Either {both} must be given, and not both.")));
        }
        Ok(Self {
            name: name.map(str::parse).transpose().map_err(Refused::argument)?,
            arn: arn.map(str::parse).transpose().map_err(Refused::argument)?,
        })
    }

    fn named(&self) -> Option<&StreamName> {
        self.name.as_ref().or_else(|| self.arn.as_ref().map(StreamArn::name))
    }

    /// What policies name, and what a refusal shows.
    fn resource(&self, service: &Service) -> (String, String) {
        if let Some(arn) = &self.arn {
            return (arn.to_string(), arn.to_string());
        }
        let Some(name) = &self.name else { return ("*".to_owned(), "*".to_owned()) };
        let arn = match service.stream(name) {
            Some(stream) => stream.arn.to_string(),
            None => {
                let account = &service.config.account;
                let (partition, region, id) = (&account.partition, &account.region, &account.id);
                format!("arn:{partition}:kinesisvideo:{region}:{id}:stream/{name}/0")
            }
        };
        (arn, name.to_string())
    }

    fn check_rate(&self, service: &Service, operation: Operation) -> Result<(), Refused> {
        let limits = &service.config.limits;
        let all = match operation {
            Operation::DescribeStream | Operation::GetDataEndpoint => limits.describe_calls,
            _ => limits.control_calls,
        };
        let named = self.named().filter(|_| operation != Operation::CreateStream);
        if let Some(stream) = named.and_then(|name| service.stream(name)) {
            charge(service, operation, Some(&stream), limits.control_calls_per_stream, 1)?;
        }
        charge(service, operation, None, all, 1)
    }

    /// The stream, for a call of the data plane.
    pub(crate) fn find(&self, service: &Service) -> Result<Arc<ActiveStream>, Refused> {
        let stream = match (&self.name, &self.arn) {
            (None, None) => return Err(Refused::argument("Either StreamName or StreamARN must be given.")),
            (Some(_), Some(_)) => {
                return Err(Refused::argument("Either StreamName or StreamARN must be given, and not both."));
            }
            (Some(name), None) => service.stream(name),
            (None, Some(arn)) => service.stream_by_arn(arn),
        };
        stream.ok_or_else(Refused::no_stream)
    }

    /// The stream, when a call of the data plane may be now.
    pub(crate) fn admit(
        &self,
        service: &Service,
        operation: Operation,
    ) -> Result<Arc<ActiveStream>, Refused> {
        let stream = self.find(service)?;
        if let Some(status) = service.faults.refusal(operation, Some(stream.name())) {
            return Err(Refused::Fault(status));
        }
        let limits = &service.config.limits;
        match operation {
            Operation::PutMedia => {
                charge(service, operation, Some(&stream), limits.put_media_calls, 1)?;
            }
            Operation::GetMedia => {
                charge(service, operation, Some(&stream), limits.get_media_calls, 1)?;
            }
            _ => {}
        }
        Ok(stream)
    }
}

/// Takes so many calls, or points, of those that there are in a second.
pub(crate) fn charge(
    service: &Service,
    operation: Operation,
    stream: Option<&ActiveStream>,
    limit: u32,
    cost: u32,
) -> Result<(), Refused> {
    let now = service.clock.monotonic();
    let mut rates = service.rates.lock().unwrap_or_else(PoisonError::into_inner);
    if rates.take((operation, stream.map(|stream| stream.id)), limit, cost, now) {
        return Ok(());
    }
    let of = stream.map_or_else(String::new, |stream| format!(" for resource '{}'", stream.name()));
    let message = format!("Limit exceeded on number of requests for {operation} API{of}");
    Err(Refused::new(Exception::ClientLimitExceeded, message))
}

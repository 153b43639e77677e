//! What is no operation of the service: the page, health, metrics, credentials for containers, faults for tests.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use kvs_wire::Exception;

use super::body::{self, Body};
use super::connection::Connection;
use super::route::{Refused, json, typed};
use super::{page, playback};
use crate::random::SystemRandom;
use crate::service::Service;

const TEXT: &str = "text/plain; charset=utf-8";
/// The form that Prometheus reads.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Credentials for containers last so long when nothing else is asked for.
const LIFETIME: Duration = Duration::from_secs(3_600);

pub(crate) async fn answer(
    service: &Arc<Service>,
    connection: &Connection,
    request: Request<Incoming>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if let Some(response) = playback::answer(service, &parts).await {
        return response;
    }
    if let Some(response) = page::answer(&parts) {
        return response;
    }
    let (method, path) = (&parts.method, parts.uri.path());
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match path {
        "/health" if reads && service.store.is_alive() => typed(TEXT, b"ok\n".to_vec()),
        "/health" if reads => said(
            StatusCode::SERVICE_UNAVAILABLE,
            "A thread of the store has ended: start the service again.\n",
        ),
        "/metrics" if reads => metrics(service, connection, &parts),
        "/credentials" if *method == Method::GET => credentials(service, &parts),
        "/faults" if service.config.allow_faults => faults(service, connection, method, body).await,
        "/faults" => said(StatusCode::NOT_FOUND, "Faults are commanded when kvs serve has --allow-faults.\n"),
        "/health" | "/metrics" => {
            let mut response = said(StatusCode::METHOD_NOT_ALLOWED, "Only GET is answered here.\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        // What AWS answers to a path that it does not know (kvs-api 0.4).
        _ if *method == Method::POST => Refused::new(Exception::UnknownOperation, "").into_response(),
        _ => said(StatusCode::NOT_FOUND, "There is nothing here.\n"),
    }
}

fn said(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = typed(TEXT, text.as_bytes().to_vec());
    *response.status_mut() = status;
    response
}

fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    Some(value.strip_prefix("Bearer ").unwrap_or(value))
}

/// The names of streams are for those on this machine, and for those who name the token.
fn metrics(service: &Service, connection: &Connection, parts: &Parts) -> Response<Body> {
    let token = service.config.metrics_token.as_deref();
    let named = token.is_some_and(|token| {
        let given = bearer(parts).unwrap_or_default().as_bytes();
        aws_lc_rs::constant_time::verify_slices_are_equal(given, token.as_bytes()).is_ok()
    });
    if !named && !is_here(connection.peer.ip()) {
        return said(StatusCode::FORBIDDEN, "Metrics need the metrics_token of the configuration.\n");
    }
    typed(METRICS, service.metrics.text().into_bytes())
}

fn is_here(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Temporary credentials in the form that containers get them in, for whoever names the token of a user.
fn credentials(service: &Service, parts: &Parts) -> Response<Body> {
    let refused = |status, code: &str, message: &str| {
        let mut response =
            json(serde_json::json!({ "code": code, "message": message }).to_string().into_bytes());
        *response.status_mut() = status;
        response
    };
    let query = parts.uri.query().unwrap_or_default();
    let lifetime = query.split('&').find_map(|pair| pair.strip_prefix("for="));
    let lifetime = lifetime.map_or(Some(LIFETIME), |text| text.parse().ok().map(Duration::from_secs));
    let Some(lifetime) = lifetime else {
        return refused(StatusCode::BAD_REQUEST, "InvalidArgument", "for must be a number of seconds");
    };
    let Some(user) = bearer(parts).and_then(|token| service.authenticator.user_of_container(token)) else {
        return refused(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "the authorization token is not one of a user",
        );
    };
    let now = service.now().utc;
    match service.authenticator.issue(&user, lifetime, None, now, &SystemRandom) {
        Ok(issued) => {
            let mut response = json(issued.container_json().as_bytes().to_vec());
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => refused(StatusCode::BAD_REQUEST, "InvalidArgument", &error.to_string()),
    }
}

/// Faults are commanded from this machine.
async fn faults(
    service: &Service,
    connection: &Connection,
    method: &Method,
    body: Incoming,
) -> Response<Body> {
    if !is_here(connection.peer.ip()) {
        return said(StatusCode::FORBIDDEN, "Faults are commanded from the same machine.\n");
    }
    match *method {
        Method::POST => {
            let limits = &service.config.limits;
            let Ok(body) = body::read(body, limits.body_bytes, limits.body_timeout).await else {
                return said(StatusCode::BAD_REQUEST, "The fault cannot be read.\n");
            };
            connection.request_is_read();
            match service.faults.set(&body) {
                Ok(()) => said(StatusCode::OK, "It is set.\n"),
                Err(error) => said(StatusCode::BAD_REQUEST, &format!("{error}\n")),
            }
        }
        Method::DELETE => {
            service.faults.clear();
            said(StatusCode::OK, "There is no fault any more.\n")
        }
        _ => said(StatusCode::METHOD_NOT_ALLOWED, "POST sets a fault, DELETE takes all back.\n"),
    }
}

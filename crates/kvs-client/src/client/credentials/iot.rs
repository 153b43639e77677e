//! The credentials of a role, for a device that shows its certificate (kvs-api 8.1).

use std::pin::pin;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sdk_kinesisvideo::primitives::{DateTime, DateTimeFormat};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, DATE, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::CredentialsError;
use crate::client::dial::{dial, driven};
use crate::client::error::{SettingsError, causes, cut};
use crate::client::service_clock::{ServiceClock, system_time, utc};
use crate::client::settings::IotSettings;
use crate::client::tls::mutual_tls;
use crate::client::url::ServiceUrl;

const THING_NAME: &str = "x-amzn-iot-thingname";
/// Bytes of an answer: tokens have at most a few thousand.
const MOST: usize = 64 << 10;

#[derive(Deserialize)]
struct Answer {
    credentials: Granted,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Granted {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

/// Asks the provider of a device's account.
pub(super) async fn fetch(
    settings: &IotSettings,
    clock: &ServiceClock,
) -> Result<Credentials, CredentialsError> {
    let none = |error: SettingsError| CredentialsError::None(error.to_string());
    let url = url(settings).map_err(none)?;
    let request = request(settings, &url).map_err(none)?;
    let files = settings.clone();
    // Read each time: certificates of devices are renewed, too.
    let tls =
        tokio::task::spawn_blocking(move || mutual_tls(&files.ca, &files.certificate, &files.private_key));
    let tls = tls.await.map_err(|_| CredentialsError::Unavailable("no TLS".to_owned()))?.map_err(none)?;
    let unavailable = |doing: &str, cause: &str| {
        CredentialsError::Unavailable(format!("{doing} {}: {cause}", url.authority()))
    };
    let stream = dial(&url, tls.into(), settings.connect_timeout)
        .await
        .map_err(|error| unavailable(error.doing, &error.cause))?;
    let answered = tokio::time::timeout(settings.call_timeout, async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let answer = async { read(sender.send_request(request).await?).await };
        driven(pin!(connection), answer).await
    });
    let asking = "asking";
    let (head, body) = match answered.await {
        Err(_) => {
            let seconds = settings.call_timeout.as_secs_f32();
            return Err(unavailable(asking, &format!("no answer within {seconds} s")));
        }
        Ok(Err(error)) => return Err(unavailable(asking, &causes(&*error))),
        Ok(Ok(answer)) => answer,
    };
    // What expires by that clock is compared with this one.
    if let Some(date) = head.headers.get(DATE).and_then(|date| date.to_str().ok()) {
        clock.learn(date);
    }
    if !head.status.is_success() {
        return Err(unavailable(asking, &refusal(head.status.as_u16(), &body)));
    }
    // Its own text would show a part of the content.
    let answer: Answer = serde_json::from_slice(&body).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        unavailable(asking, &format!("the answer is not the JSON that it should be ({place})"))
    })?;
    let Granted { access_key_id, secret_access_key, session_token, expiration } = answer.credentials;
    let expiry: Option<SystemTime> =
        DateTime::from_str(&expiration, DateTimeFormat::DateTime).ok().and_then(utc).map(system_time);
    let expiry = expiry.ok_or_else(|| unavailable(asking, "the expiration in the answer is no time"))?;
    Ok(Credentials::new(access_key_id, secret_access_key, Some(session_token), Some(expiry), "IoT"))
}

fn url(settings: &IotSettings) -> Result<ServiceUrl, SettingsError> {
    let what = "the endpoint of IoT";
    let endpoint = &*settings.endpoint;
    let url = if endpoint.contains("://") { endpoint.to_owned() } else { format!("https://{endpoint}") };
    let url = ServiceUrl::parse(what, &url)?;
    // The certificate is shown to nobody otherwise.
    if url.is_tls() { Ok(url) } else { Err(SettingsError::Url { what, reason: "it has to be https://" }) }
}

fn request(settings: &IotSettings, url: &ServiceUrl) -> Result<Request<Empty<Bytes>>, SettingsError> {
    let alias = &*settings.role_alias;
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "=@-_".contains(letter);
    if alias.is_empty() || alias.len() > 128 || !alias.chars().all(allowed) {
        let reason = "it is not 1 to 128 of letters, digits, '=', '@', '-' and '_'";
        return Err(SettingsError::text("the alias of the role", reason));
    }
    let wrong = |reason| SettingsError::text("the name of the thing", reason);
    let mut builder = Request::get(url.path(&format!("/role-aliases/{alias}/credentials")))
        .header(HOST, url.authority())
        .header(ACCEPT, "*/*");
    if !settings.thing_name.is_empty() {
        let thing = HeaderValue::from_str(&settings.thing_name);
        builder = builder.header(THING_NAME, thing.map_err(|_| wrong("it cannot be sent as a header"))?);
    }
    builder.body(Empty::new()).map_err(|_| wrong("no request can be made of it"))
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn read(
    answer: Response<Incoming>,
) -> Result<(hyper::http::response::Parts, Zeroizing<Vec<u8>>), BoxError> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MOST).collect().await?.to_bytes();
    Ok((head, Zeroizing::new(body.to_vec())))
}

/// What a refusal says (`{"message":...}`).
fn refusal(status: u16, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    match serde_json::from_slice::<Said>(body) {
        Ok(said) => format!("refused (HTTP {status}): {}", cut(&said.message)),
        Err(_) => format!("refused (HTTP {status})"),
    }
}

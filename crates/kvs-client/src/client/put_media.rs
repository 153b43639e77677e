//! A PutMedia call: opened here, and driven by who has its body.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{DATE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use kvs_media::time::Utc;
use kvs_wire::{EpochSeconds, FragmentTimecodeType, Operation, ServiceError, StreamName, headers};
use zeroize::Zeroizing;

use super::Client;
use super::call::of_context;
use super::credentials::due;
use super::dial::{Stream, dial, driven};
use super::error::{CallError, SettingsError, causes};
use super::service_clock::{system_time, utc_of};
use super::url::ServiceUrl;

/// Bytes that hyper gathers before it waits for the socket: little, so that what is behind them can still be left out.
const GATHERED: usize = 16 << 10;
/// Bytes of the body of a refusal that are read.
const REFUSAL: usize = 64 << 10;
const OPERATION: Operation = Operation::PutMedia;
const USER: &str = concat!("gst-plugin-kvs/", env!("CARGO_PKG_VERSION"));

type BoxError = Box<dyn Error + Send + Sync>;

/// What a PutMedia call says before its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutMediaRequest {
    /// The stream.
    pub stream: StreamName,
    /// What timecodes count from.
    pub timecodes: FragmentTimecodeType,
    /// When the session begins, which relative timecodes count from.
    pub start: Utc,
    /// Whether acks are wanted.
    pub acks: bool,
}

/// A call that the service has taken: nothing of its body has been sent yet.
pub struct OpenPutMedia<B: Body + 'static> {
    /// Sends and receives as long as it is polled.
    pub connection: Connection<B>,
    /// What the service answers.
    pub acks: Acks,
    /// The service's name for the request.
    pub request_id: Option<String>,
    /// In so long newer credentials can be had than those that signed it: time for another session.
    pub renew_in: Option<Duration>,
    /// In so long those expire.
    pub expires_in: Option<Duration>,
}

/// Sends and receives as long as it is polled; done when both are.
#[must_use = "nothing is sent unless it is polled"]
pub struct Connection<B: Body + 'static>(Pin<Box<http1::Connection<TokioIo<Stream>, B>>>);

/// A connection that broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection: {0}")]
pub struct ConnectionError(String);

impl ConnectionError {
    pub(super) const fn new(cause: String) -> Self {
        Self(cause)
    }
}

impl From<hyper::Error> for ConnectionError {
    fn from(error: hyper::Error) -> Self {
        Self(causes(&error))
    }
}

impl<B> Future for Connection<B>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Output = Result<(), ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map_err(Into::into)
    }
}

/// Without the body, which may be anything.
impl<B: Body + 'static> std::fmt::Debug for OpenPutMedia<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("OpenPutMedia");
        shown.field("request_id", &self.request_id).field("renew_in", &self.renew_in);
        shown.finish_non_exhaustive()
    }
}

impl<B: Body + 'static> std::fmt::Debug for Connection<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

/// The bytes of acks as they come. They come while the [`Connection`] is polled.
#[derive(Debug)]
pub struct Acks(Incoming);

impl Acks {
    /// The next ones; `None`: the service has ended the call. Nothing is lost when this is not waited for.
    pub async fn next(&mut self) -> Option<Result<Bytes, ConnectionError>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same, for who polls.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ConnectionError>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.0).poll_frame(cx) else { return Poll::Pending };
            match frame.map(|frame| frame.map(hyper::body::Frame::into_data)) {
                Some(Ok(Ok(bytes))) => return Poll::Ready(Some(Ok(bytes))),
                // Trailers.
                Some(Ok(Err(_))) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Client {
    /// Opens a PutMedia call and waits until the service has taken it. The body is polled from the start, and has to
    /// give nothing before that; its length is not known. `renew`: the credentials were refused the last time.
    ///
    /// # Errors
    /// When the service is not reached, does not answer in time, or refuses.
    pub async fn put_media<B>(
        &self,
        endpoint: &ServiceUrl,
        request: &PutMediaRequest,
        renew: bool,
        body: B,
    ) -> Result<OpenPutMedia<B>, CallError>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let network = |doing, cause| {
            let place = endpoint.to_string();
            CallError::Network { operation: OPERATION, doing, place, cause }
        };
        let settings = self.settings();
        let credentials = self.credentials(renew).await?;
        let region = self.context.region().await.map_err(|error| of_context(OPERATION, error))?;
        let tls = self.context.tls().await?;
        let stream = dial(endpoint, tls, settings.connect_timeout)
            .await
            .map_err(|error| network(error.doing, error.cause))?;
        // As late as can be: a signature is good for minutes.
        let now = self.now();
        let head = Head { endpoint, request, user: settings.user_agent.as_deref().unwrap_or(USER) };
        let request = head.signed(&credentials, region.as_ref(), now)?.map(|()| body);
        let within = settings.call_timeout;
        let answered = tokio::time::timeout(within, ask(stream, request)).await;
        let answered = answered
            .map_err(|_| network("waiting for", format!("no answer within {} s", within.as_secs_f32())))?;
        let (mut connection, response) =
            answered.map_err(|error| network("opening a session with", causes(&error)))?;
        let text = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let request_id = text(headers::REQUEST_ID);
        if let Some(date) = text(DATE.as_str()) {
            self.context.clock.learn(&date);
        }
        if is_taken(&response) {
            let expiry = credentials.expiry().map(utc_of);
            let left = |until: Utc| until.since(self.now()).unwrap_or_default();
            let renew_in = expiry.map(|expiry| left(due(expiry, now)));
            let (acks, expires_in) = (Acks(response.into_body()), expiry.map(left));
            return Ok(OpenPutMedia { connection, acks, request_id, renew_in, expires_in });
        }
        let error = refusal(response, &mut connection, within).await.ok_or_else(|| {
            network("opening a session with", "the answer is neither acks nor a refusal".to_owned())
        })?;
        Err(CallError::Refused { operation: OPERATION, error, request_id })
    }
}

/// Sends the head and waits for the answer's.
async fn ask<B>(
    stream: Stream,
    request: Request<B>,
) -> Result<(Connection<B>, Response<Incoming>), hyper::Error>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let handshake = http1::Builder::new().max_buf_size(GATHERED).handshake(TokioIo::new(stream)).await?;
    let (mut sender, connection) = handshake;
    let mut connection = Connection(Box::pin(connection));
    let response = driven(&mut connection, sender.send_request(request)).await?;
    Ok((connection, response))
}

/// Whether acks follow. With status 200 and a body that has a length a host answers to a path that it does not know
/// (kvs-api 0.4).
fn is_taken(response: &Response<Incoming>) -> bool {
    response.status() == StatusCode::OK
        && response.headers().get(headers::ERROR_TYPE).is_none()
        && response.body().size_hint().exact().is_none()
}

/// Reads a refusal: its text is none when it does not come in time, or is too long.
async fn refusal<B>(
    response: Response<Incoming>,
    connection: &mut Connection<B>,
    within: Duration,
) -> Option<ServiceError>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    let body = driven(connection, Limited::new(body, REFUSAL).collect());
    let body = tokio::time::timeout(within, body);
    let body = body.await.ok().and_then(Result::ok).map(Collected::to_bytes).unwrap_or_default();
    let error_type = head.headers.get(headers::ERROR_TYPE).and_then(|kind| kind.to_str().ok());
    ServiceError::read(head.status.as_u16(), error_type, &body)
}

/// The head of a request.
struct Head<'a> {
    endpoint: &'a ServiceUrl,
    request: &'a PutMediaRequest,
    user: &'a str,
}

impl Head<'_> {
    /// Signed are the host, the time, the token and what is the service's own: proxies change the rest (kvs-api 3.2).
    /// The hash is that of an empty body.
    fn signed(&self, credentials: &Credentials, region: &str, now: Utc) -> Result<Request<()>, CallError> {
        let wrong = |what, reason: &(dyn Error + 'static)| SettingsError::text(what, causes(reason));
        let start = EpochSeconds(self.request.start).to_string();
        let own = [
            (HOST.as_str(), self.endpoint.authority()),
            (headers::STREAM_NAME, self.request.stream.as_str()),
            (headers::PRODUCER_START_TIMESTAMP, &start),
            (headers::FRAGMENT_ACKNOWLEDGMENT_REQUIRED, if self.request.acks { "1" } else { "0" }),
            (headers::FRAGMENT_TIMECODE_TYPE, self.request.timecodes.name()),
        ];
        let path = self.endpoint.path(OPERATION.path());
        let scheme = if self.endpoint.is_tls() { "https" } else { "http" };
        let uri = format!("{scheme}://{}{path}", self.endpoint.authority());
        let identity = credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("kinesisvideo")
            .time(system_time(now))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| wrong("the signature", &error))?
            .into();
        let signable = SignableRequest::new("POST", &uri, own.into_iter(), SignableBody::Bytes(b""))
            .map_err(|error| wrong("the signature", &error))?;
        let signed = sign(signable, &parameters).map_err(|error| wrong("the signature", &error))?;
        let (instructions, _) = signed.into_parts();
        let mut request = Request::new(());
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = path.parse().map_err(|_| SettingsError::text("endpoint", "its path is none"))?;
        let all = request.headers_mut();
        for (name, value) in own.into_iter().chain(instructions.headers()) {
            let secret = Zeroizing::new(value.to_owned());
            let mut value = HeaderValue::from_str(&secret).map_err(|error| wrong("a header", &error))?;
            let name = HeaderName::try_from(name).map_err(|error| wrong("a header", &error))?;
            value.set_sensitive(matches!(name.as_str(), "authorization" | "x-amz-security-token"));
            all.insert(name, value);
        }
        let user = HeaderValue::from_str(self.user);
        all.insert(USER_AGENT, user.map_err(|error| wrong("the user agent", &error))?);
        Ok(request)
    }
}

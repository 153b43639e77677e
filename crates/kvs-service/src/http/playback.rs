//! Playback: sessions are begun by calls, and what they show is read with plain GETs, by whoever has the token.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use kvs_media::TrackNumber;
use kvs_media::time::Utc;
use kvs_wire::{Exception, FragmentNumber, Operation};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::archive::kept;
use super::body::{Body, Broken, Source};
use super::call::{Target, charge};
use super::connection::Connection;
use super::route::{Refused, json as json_response, typed};
use crate::metrics::{Counter, Latency, StreamMetrics};
use crate::playback::{
    Assembly, ClipWish, Format, MediaOf, Mode, Piece, PlaybackError, Resource, Ticket, TicketError,
    Unplayable, Wish, dash, hls,
};
use crate::random::SystemRandom;
use crate::service::Service;
use crate::store::{Number, StreamId};
use crate::stream::ActiveStream;

const HLS: &str = "/hls/v1/";
const DASH: &str = "/dash/v1/";
const PLAYLIST: &str = "application/vnd.apple.mpegurl";
const MANIFEST: &str = "application/dash+xml";
const VIDEO: &str = "video/mp4";
const AUDIO: &str = "audio/mp4";
const TS: &str = "video/mp2t";
const TEXT: &str = "text/plain; charset=utf-8";
/// Who asks more often than he may waits so long at the most.
const MOST_WAIT: Duration = Duration::from_secs(1);

impl From<PlaybackError> for Refused {
    fn from(error: PlaybackError) -> Self {
        match error {
            PlaybackError::Unplayable(Unplayable { exception, message }) => Self::new(exception, message),
            other => {
                tracing::error!(error = %other, "playback failed");
                Self::new(Exception::InternalFailure, "What is stored cannot be played.")
            }
        }
    }
}

/// Does something that waits for the disk.
async fn blocking<T: Send + 'static>(
    service: &Arc<Service>,
    work: impl FnOnce(&Service) -> Result<T, PlaybackError> + Send + 'static,
) -> Result<T, PlaybackError> {
    // Nobody closes it.
    let _seat = service.playback.seats.acquire().await;
    let service = Arc::clone(service);
    tokio::task::spawn_blocking(move || work(&service)).await.unwrap_or_else(|error| {
        let source = std::io::Error::other(error);
        Err(PlaybackError::Store(crate::store::StoreError::Disk { what: "read the store", source }))
    })
}

/// Answers GetHLSStreamingSessionURL and GetDASHStreamingSessionURL.
pub(crate) async fn begin(
    service: &Arc<Service>,
    target: &Target,
    operation: Operation,
    endpoint: String,
    body: Bytes,
) -> Result<Response<Body>, Refused> {
    let now = service.now().utc;
    let dash = operation == Operation::GetDASHStreamingSessionURL;
    let wish = Wish::of_session(dash, &body, now).map_err(Refused::argument)?;
    let stream = kept(service, target, operation)?;
    let started = service.clock.monotonic();
    let metrics = &stream.metrics;
    let (requests, success, latency) = match dash {
        true => (&metrics.dash_requests, &metrics.dash_success, &metrics.dash_latency),
        false => (&metrics.hls_requests, &metrics.hls_success, &metrics.hls_latency),
    };
    requests.one();
    charge(service, operation, Some(&stream), service.config.limits.playback_calls, 1)?;
    let id = stream.id;
    let token = blocking(service, move |service| {
        service.playback.begin(&service.store, id, wish, now, &SystemRandom)
    })
    .await?;
    let (name, place) = match dash {
        true => ("DASHStreamingSessionURL", [DASH, dash::MANIFEST].concat()),
        false => ("HLSStreamingSessionURL", [HLS, hls::MASTER_PLAYLIST].concat()),
    };
    let url = format!("{endpoint}{place}?SessionToken={token}");
    success.one();
    latency.record(service.clock.monotonic().saturating_since(started));
    Ok(json_response(json!({ name: url }).to_string().into_bytes()))
}

/// Answers GetClip.
pub(crate) async fn clip(
    service: &Arc<Service>,
    connection: Connection,
    target: &Target,
    body: Bytes,
) -> Result<Response<Body>, Refused> {
    let wish = ClipWish::of_clip(&body, service.now().utc).map_err(Refused::argument)?;
    let stream = kept(service, target, Operation::GetClip)?;
    let started = service.clock.monotonic();
    stream.metrics.clip_requests.one();
    let (id, limits) = (stream.id, &service.config.limits);
    let (fragments, bytes) = (limits.clip_fragments, limits.clip_bytes);
    // Paid before it is read, whatever becomes of it.
    charge(service, Operation::GetClip, Some(&stream), limits.playback_calls, 1)?;
    let rows = blocking(service, move |service| {
        Ok(service.playback.clip_rows(&service.store, id, wish, fragments)?)
    });
    let rows = rows.await?;
    let points = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    charge(service, Operation::ListFragments, Some(&stream), limits.fragment_metadata_points, points)?;
    let media = Operation::GetMediaForFragmentList;
    charge(service, media, Some(&stream), limits.fragment_media_points, points)?;
    let clip =
        blocking(service, move |service| service.playback.clip(&service.store, wish.clock, &rows, bytes));
    let clip = clip.await?;
    stream.metrics.metadata_points.add(points.into());
    stream.metrics.media_points.add(points.into());
    stream.metrics.clip_success.one();
    stream.metrics.clip_latency.record(service.clock.monotonic().saturating_since(started));
    let mut response = typed(VIDEO, Body::Whole(Bytes::new()));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(clip.len()));
    *response.body_mut() =
        Body::of(Sending::new(service, stream, clip, Some(|metrics| &metrics.clip_bytes), Some(connection)));
    Ok(response)
}

/// Answers a GET of what a session shows. None where the path is another's.
pub(crate) async fn answer(service: &Arc<Service>, parts: &Parts) -> Option<Response<Body>> {
    let path = parts.uri.path();
    let (dash, name) = match (path.strip_prefix(HLS), path.strip_prefix(DASH)) {
        (Some(name), _) => (false, name),
        (None, Some(name)) => (true, name),
        (None, None) => return None,
    };
    let mut response = match parts.method {
        Method::GET | Method::HEAD => match read(service, dash, name, parts).await {
            Ok(response) => response,
            Err((status, text)) => said(status, &text),
        },
        Method::OPTIONS => preflight(),
        _ => {
            let mut response = said(StatusCode::METHOD_NOT_ALLOWED, "Only GET is answered here.");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
            response
        }
    };
    // Players run on pages of anybody; the token is what opens.
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Content-Length, Content-Range, Date, x-amzn-RequestId"),
    );
    Some(response)
}

fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::Whole(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Range"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

fn said(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = typed(TEXT, format!("{text}\n").into_bytes());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

type Said = (StatusCode, String);

fn wrong(text: &str) -> Said {
    (StatusCode::BAD_REQUEST, text.to_owned())
}

/// What a query says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query<'a> {
    token: Option<&'a str>,
    track: Option<&'a str>,
    sequence: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Query<'a> {
    fn of(query: &'a str) -> Self {
        let mut found = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "SessionToken" => found.token = Some(value),
                "TrackNumber" => found.track = Some(value),
                "SequenceNumber" => found.sequence = Some(value),
                "FragmentNumber" => found.fragment = Some(value),
                _ => {}
            }
        }
        found
    }

    fn track(&self) -> Result<TrackNumber, Said> {
        let Some(track) = self.track else { return Ok(TrackNumber(1)) };
        track.parse().map(TrackNumber).map_err(|_| wrong("TrackNumber is a number."))
    }

    fn sequence(&self) -> Result<Option<u64>, Said> {
        let sequence = self.sequence.map(str::parse).transpose();
        sequence.map_err(|_| wrong("SequenceNumber is a number."))
    }

    /// The media that is meant: HLS names fragments, DASH their places.
    fn media(&self, dash: bool) -> Result<MediaOf, Said> {
        if dash {
            let place = self.sequence()?.and_then(|number| number.checked_sub(1));
            return place.map(MediaOf::Place).ok_or_else(|| wrong("SequenceNumber is missing."));
        }
        let number = self.fragment.and_then(|text| text.parse::<FragmentNumber>().ok());
        let number = number.as_ref().and_then(Number::from_wire);
        number.map(MediaOf::Number).ok_or_else(|| wrong("FragmentNumber is not one."))
    }
}

async fn read(service: &Arc<Service>, dash: bool, name: &str, parts: &Parts) -> Result<Response<Body>, Said> {
    let query = Query::of(parts.uri.query().unwrap_or_default());
    let now = service.now().utc;
    let token = query.token.ok_or_else(|| wrong("SessionToken is missing."))?;
    let ticket = service.playback.ticket(token, now).map_err(|why| {
        let text = match why {
            TicketError::Unknown => "Streaming session token is invalid",
            TicketError::Expired => "Streaming session token is expired",
        };
        (StatusCode::FORBIDDEN, text.to_owned())
    })?;
    let resource = match (ticket.wish.format, name) {
        (Format::HlsMp4 | Format::HlsTs, hls::MASTER_PLAYLIST) => Resource::Master,
        (Format::HlsMp4 | Format::HlsTs, hls::MEDIA_PLAYLIST) => Resource::Playlist(query.track()?),
        (Format::HlsTs, hls::TS_MEDIA) => Resource::Ts(query.media(false)?),
        (Format::HlsMp4 | Format::Dash, hls::MP4_INIT) => {
            Resource::Init(query.track()?, query.sequence()?.unwrap_or(0))
        }
        (Format::HlsMp4 | Format::Dash, hls::MP4_MEDIA) => {
            Resource::Media(query.track()?, query.media(dash)?)
        }
        (Format::Dash, dash::MANIFEST) => Resource::Manifest,
        _ => return Err((StatusCode::NOT_FOUND, "There is nothing here.".to_owned())),
    };
    if dash != (ticket.wish.format == Format::Dash) {
        return Err((StatusCode::NOT_FOUND, "The session is of another protocol.".to_owned()));
    }
    let gone = || (StatusCode::NOT_FOUND, "The stream of the session is gone.".to_owned());
    let stream = service.stream_by_id(ticket.stream).ok_or_else(gone)?;
    admit(service, &stream, token, &ticket, resource).await?;
    let started = service.clock.monotonic();
    let (requests, success, latency) = counters(&stream, resource);
    requests.one();
    let room = match resource {
        Resource::Ts(MediaOf::Number(number)) => Some(room(service, ticket.stream, number).await?),
        _ => None,
    };
    let owned: Box<str> = token.into();
    let shown = blocking(service, move |service| {
        service.playback.show(&service.store, &owned, ticket, resource, now)
    });
    let shown = shown.await.map_err(|error| said_of(&error))?;
    success.one();
    latency.record(service.clock.monotonic().saturating_since(started));
    let content_type = match resource {
        Resource::Master | Resource::Playlist(_) => PLAYLIST,
        Resource::Manifest => MANIFEST,
        Resource::Init(..) | Resource::Media(..) if shown.sound => AUDIO,
        Resource::Init(..) | Resource::Media(..) => VIDEO,
        Resource::Ts(_) => TS,
    };
    let mut response = send(service, stream, shown.body, room, &parts.headers, resource)?;
    let fits = response.status() != StatusCode::RANGE_NOT_SATISFIABLE;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let cached = if fits { cache(&ticket, resource, now) } else { HeaderValue::from_static("no-store") };
    headers.insert(CACHE_CONTROL, cached);
    Ok(response)
}

/// Why there is nothing to show.
fn said_of(error: &PlaybackError) -> Said {
    match error {
        PlaybackError::Unplayable(Unplayable { exception, message }) => {
            (StatusCode::from_u16(exception.status()).unwrap_or(StatusCode::BAD_REQUEST), message.clone())
        }
        other => {
            tracing::error!(error = %other, "playback failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "What is stored cannot be played.".to_owned())
        }
    }
}

/// Room in memory for a fragment that is sent in another form, as long as it is held.
async fn room(
    service: &Arc<Service>,
    stream: StreamId,
    number: Number,
) -> Result<OwnedSemaphorePermit, Said> {
    let size = blocking(service, move |service| service.playback.size(&service.store, stream, number));
    let size = size.await.map_err(|error| said_of(&error))?;
    // Packets are a little more than what is in them.
    let kib = u32::try_from(size.saturating_add(size / 16) >> 10).unwrap_or(u32::MAX).saturating_add(1);
    let room = Arc::clone(&service.playback.room).acquire_many_owned(kib);
    let full = || (StatusCode::SERVICE_UNAVAILABLE, "Too much is being sent at the moment.".to_owned());
    tokio::time::timeout(MOST_WAIT, room).await.ok().and_then(Result::ok).ok_or_else(full)
}

/// A fragment that is named by its number stays as it is for as long as the session lives, and so does all of what is
/// played as a whole. What else is live changes, or may be counted otherwise when the session was forgotten and made again.
fn cache(ticket: &Ticket, resource: Resource, now: Utc) -> HeaderValue {
    let numbered =
        matches!(resource, Resource::Media(_, MediaOf::Number(_)) | Resource::Ts(MediaOf::Number(_)));
    if !numbered && ticket.wish.mode != Mode::OnDemand {
        return HeaderValue::from_static("no-store");
    }
    let left = ticket.expires().and_then(|expires| expires.since(now)).unwrap_or_default();
    let value = format!("private, max-age={}", left.as_secs());
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("no-store"))
}

/// Whoever asks too often waits, and is refused only when that does not help: players give up at an error.
async fn admit(
    service: &Service,
    stream: &ActiveStream,
    token: &str,
    ticket: &Ticket,
    resource: Resource,
) -> Result<(), Said> {
    let limits = &service.config.limits;
    let most: u32 = ticket.wish.most.into();
    let (rate, points) = match resource {
        Resource::Playlist(_) | Resource::Manifest => (limits.playback_lists, Some((true, most))),
        Resource::Master | Resource::Init(..) => (limits.playback_lists, None),
        Resource::Media(..) | Resource::Ts(_) => (limits.playback_media, Some((false, 1))),
    };
    let begun = service.clock.monotonic();
    let mut session = false;
    loop {
        // Once: waiting for the stream's points takes nothing more of the session's.
        session = session || service.playback.take(token, resource, rate, service.clock.monotonic());
        let allowed = session
            && points.is_none_or(|(metadata, points)| {
                let (operation, limit, used) = match metadata {
                    true => (
                        Operation::ListFragments,
                        limits.fragment_metadata_points,
                        &stream.metrics.metadata_points,
                    ),
                    false => (
                        Operation::GetMediaForFragmentList,
                        limits.fragment_media_points,
                        &stream.metrics.media_points,
                    ),
                };
                let charged = charge(service, operation, Some(stream), limit, points).is_ok();
                used.add(if charged { points.into() } else { 0 });
                charged
            });
        if allowed {
            return Ok(());
        }
        if service.clock.monotonic().saturating_since(begun) >= MOST_WAIT {
            return Err((StatusCode::TOO_MANY_REQUESTS, "Rate exceeded".to_owned()));
        }
        tokio::time::sleep(MOST_WAIT / 20).await;
    }
}

fn counters(stream: &ActiveStream, resource: Resource) -> (&Counter, &Counter, &Latency) {
    let all = &stream.metrics;
    match resource {
        Resource::Master => (&all.master_requests, &all.master_success, &all.master_latency),
        Resource::Playlist(_) => (&all.playlist_requests, &all.playlist_success, &all.playlist_latency),
        Resource::Manifest => (&all.manifest_requests, &all.manifest_success, &all.manifest_latency),
        Resource::Init(..) => (&all.init_requests, &all.init_success, &all.init_latency),
        Resource::Media(..) => (&all.media_requests, &all.media_success, &all.media_latency),
        Resource::Ts(_) => (&all.ts_requests, &all.ts_success, &all.ts_latency),
    }
}

/// The whole of it, or the part that was asked for.
fn send(
    service: &Arc<Service>,
    stream: Arc<ActiveStream>,
    mut body: Assembly,
    room: Option<OwnedSemaphorePermit>,
    headers: &HeaderMap,
    resource: Resource,
) -> Result<Response<Body>, Said> {
    let whole = body.len();
    let mut response = Response::new(Body::Whole(Bytes::new()));
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    match headers.get(RANGE).and_then(|range| part(range.to_str().ok()?, whole)) {
        None => {}
        Some(Ok(range)) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {}-{}/{whole}", range.start, range.end - 1);
            let value = HeaderValue::from_str(&text).map_err(|_| wrong("Range"))?;
            response.headers_mut().insert(CONTENT_RANGE, value);
            body.cut(&range);
        }
        Some(Err(())) => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            let value = HeaderValue::from_str(&format!("bytes */{whole}")).map_err(|_| wrong("Range"))?;
            response.headers_mut().insert(CONTENT_RANGE, value);
            return Ok(response);
        }
    }
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let counted: Option<Counted> = match resource {
        Resource::Ts(_) => Some(|metrics| &metrics.ts_bytes),
        Resource::Media(..) => Some(|metrics| &metrics.media_bytes),
        _ => None,
    };
    *response.body_mut() =
        Body::of(Sending { _room: room, ..Sending::new(service, stream, body, counted, None) });
    Ok(response)
}

/// The part that a `Range` asks for: none where it asks for nothing that is known, an error where there is none of it.
fn part(range: &str, whole: u64) -> Option<Result<Range<u64>, ()>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let found = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(whole),
        (Ok(first), _) if last.is_empty() => first..whole,
        (_, Ok(last)) if first.is_empty() => whole.saturating_sub(last)..whole,
        // Several parts, or something else: the whole is right too.
        _ => return None,
    };
    Some(if found.start < found.end { Ok(found) } else { Err(()) })
}

/// What counts the bytes of an answer.
type Counted = fn(&StreamMetrics) -> &Counter;

/// An answer on its way out.
struct Sending {
    body: Assembly,
    counted: Option<Counted>,
    stream: Arc<ActiveStream>,
    service: Arc<Service>,
    _connection: Option<Connection>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Sending {
    fn new(
        service: &Arc<Service>,
        stream: Arc<ActiveStream>,
        body: Assembly,
        counted: Option<Counted>,
        connection: Option<Connection>,
    ) -> Self {
        Self { body, counted, stream, service: Arc::clone(service), _connection: connection, _room: None }
    }
}

impl Source for Sending {
    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        let bytes = match self.body.next()? {
            Piece::Bytes(bytes) => bytes,
            Piece::Stored { fragment, ranges } => {
                let number = fragment.row.number;
                let read = blocking(&self.service, move |service| {
                    Ok(crate::playback::read(&service.store, &fragment, &ranges)?)
                });
                match read.await {
                    Ok(bytes) => bytes,
                    // Its length was said: all that is left is to end in the middle.
                    Err(error) => {
                        tracing::error!(stream = %self.stream.name(), %number, %error, "cannot be read");
                        return Some(Err(Broken));
                    }
                }
            }
        };
        if let Some(counted) = self.counted {
            counted(&self.stream.metrics).add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        }
        Some(Ok(bytes))
    }
}

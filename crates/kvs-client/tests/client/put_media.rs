//! PutMedia: opening it, and what is done when it is not opened.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame};
use kvs_client::Client;
use kvs_client::client::{
    CallError, ClientSettings, CredentialsFrom, Environment, NewStream, OpenPutMedia, PutMediaRequest,
    ServiceUrl,
};
use kvs_client::clock;
use kvs_media::mkv::{Block, Info, Writer};
use kvs_media::time::Timecode;
use kvs_media::{Track, TrackKind, TrackNumber};
use kvs_wire::{AckEvent, AckReader, ApiName, FragmentTimecodeType, Recovery};

use crate::fake::{Fake, STAY, by_clock, response};
use crate::running::{PATIENCE, Running, credential_file, settings, some_keys};

/// Parts that are sent as they are.
#[derive(Debug)]
struct Gathered {
    parts: Vec<Bytes>,
    /// How often they were taken without a copy.
    vectored: Arc<AtomicUsize>,
}

impl Buf for Gathered {
    fn remaining(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.parts.first().map_or(&[], |part| part)
    }

    fn chunks_vectored<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        self.vectored.fetch_add(1, Ordering::Relaxed);
        let count = self.parts.len().min(out.len());
        for (slot, part) in out.iter_mut().zip(&self.parts) {
            *slot = IoSlice::new(part);
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(part) = self.parts.first_mut() {
            let some = count.min(part.len());
            part.advance(some);
            count -= some;
            if !part.is_empty() {
                return;
            }
            self.parts.remove(0);
        }
    }
}

/// A body that gives what a test puts in.
#[derive(Clone, Default)]
struct Media {
    state: Arc<Mutex<State>>,
    vectored: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Vec<Bytes>>,
    ended: bool,
    waker: Option<Waker>,
}

impl Media {
    fn send(&self, parts: Vec<Bytes>) {
        let mut state = self.state.lock().unwrap();
        state.waiting.push(parts);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn end(&self) {
        let mut state = self.state.lock().unwrap();
        state.ended = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

impl Body for Media {
    type Data = Gathered;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Gathered>, Self::Error>>> {
        let mut state = self.state.lock().unwrap();
        if !state.waiting.is_empty() {
            let parts = state.waiting.remove(0);
            return Poll::Ready(Some(Ok(Frame::data(Gathered {
                parts,
                vectored: Arc::clone(&self.vectored),
            }))));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

fn request() -> PutMediaRequest {
    PutMediaRequest {
        stream: "cam1".parse().unwrap(),
        timecodes: FragmentTimecodeType::Absolute,
        start: clock::utc(),
        acks: true,
    }
}

/// Polls the connection until something comes of the rest.
async fn drive<T>(
    open: &mut OpenPutMedia<Media>,
    rest: impl AsyncFnOnce(&mut kvs_client::client::Acks) -> T,
) -> T {
    let work = async {
        tokio::select! {
            biased;
            rest = rest(&mut open.acks) => rest,
            ended = &mut open.connection => panic!("the connection has ended: {ended:?}"),
        }
    };
    tokio::time::timeout(PATIENCE, work).await.expect("nothing comes")
}

async fn acked(acks: &mut kvs_client::client::Acks, wanted: AckEvent) {
    let mut reader = AckReader::new();
    while let Some(bytes) = acks.next().await {
        let bytes = bytes.unwrap();
        let mut rest = &bytes[..];
        while let Some(ack) = reader.read(&mut rest) {
            if ack.unwrap().event == wanted {
                return;
            }
        }
    }
    panic!("no such ack");
}

/// A document of one fragment, in parts: heads and payloads.
fn fragment(millis: i64, frames: usize) -> Vec<Bytes> {
    let track = Track::new(TrackNumber(1), TrackKind::Video, "V_VP8");
    let (mut writer, header) = Writer::new(&Info::default(), &[track]).unwrap();
    let mut parts =
        vec![header, Bytes::copy_from_slice(&writer.cluster(Timecode::from_ticks(millis)).unwrap())];
    for (time, at) in (millis..).step_by(40).zip(0..frames) {
        let block = Block { key: at == 0, ..Block::new(TrackNumber(1), Timecode::from_ticks(time)) };
        let payload = Bytes::from(vec![7; 5_000]);
        parts.push(Bytes::copy_from_slice(&writer.frame(block, payload.len()).unwrap()));
        parts.push(payload);
    }
    parts.push(Bytes::copy_from_slice(&writer.end_of_fragment()));
    parts
}

async fn upload(running: &Running, client: &Client) {
    let stream = request().stream;
    let new = NewStream { retention_hours: 24, media_type: None, tags: Vec::new() };
    client.create(&stream, &new).await.unwrap();
    let endpoint = client.data_endpoint(&stream, ApiName::PutMedia).await.unwrap();
    assert_eq!(endpoint.is_tls(), running.tls.is_some());
    let media = Media::default();
    let mut open = client.put_media(&endpoint, &request(), false, media.clone()).await.unwrap();
    assert!(open.request_id.as_ref().is_some_and(|id| id.len() == 36));
    media.send(fragment(clock::utc().millis(), 20));
    drive(&mut open, async |acks| acked(acks, AckEvent::Persisted).await).await;
    // Heads and payloads have reached the socket, or TLS, as they were.
    assert!(media.vectored.load(Ordering::Relaxed) > 0);
    media.end();
    let OpenPutMedia { connection, mut acks, .. } = open;
    let rest = async { while acks.next().await.is_some() {} };
    let end = futures_util::future::join(connection, rest);
    tokio::time::timeout(PATIENCE, end).await.unwrap().0.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_uploaded_and_acknowledged() {
    let running = Running::start().await;
    upload(&running, &running.client()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_uploaded_over_tls_with_temporary_credentials() {
    let running = Running::with_tls().await;
    let path = running.folder.path().join("credential");
    std::fs::write(&path, credential_file(&running.session(Duration::from_secs(3_600)))).unwrap();
    let settings = settings(running.url(), CredentialsFrom::File(path), running.tls.as_ref());
    upload(&running, &Client::new(settings, Environment::default())).await;
}

/// Counts what is taken of it, and always has more.
struct Endless {
    first: Vec<Bytes>,
    taken: Arc<AtomicUsize>,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = if self.first.is_empty() { Bytes::from(vec![7; 60_000]) } else { self.first.remove(0) };
        self.taken.fetch_add(next.len(), Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(next))))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_stalls_swallows_little() {
    const STALL: usize = 10_000;
    for running in [Running::start().await, Running::with_tls().await] {
        let client = running.client();
        let new = NewStream { retention_hours: 24, media_type: None, tags: Vec::new() };
        client.create(&request().stream, &new).await.unwrap();
        running.fault(&format!(r#"{{"what":{{"stall_after":{{"bytes":{STALL}}}}}}}"#));
        let endpoint = client.data_endpoint(&request().stream, ApiName::PutMedia).await.unwrap();
        // The service reads the frame of 40 MB that begins there as it comes.
        let track = Track::new(TrackNumber(1), TrackKind::Video, "V_VP8");
        let (mut writer, header) = Writer::new(&Info::default(), &[track]).unwrap();
        let millis = Timecode::from_ticks(clock::utc().millis());
        let cluster = Bytes::copy_from_slice(&writer.cluster(millis).unwrap());
        let block = Block { key: true, ..Block::new(TrackNumber(1), millis) };
        let frame = Bytes::copy_from_slice(&writer.frame(block, 40_000_000).unwrap());
        let taken = Arc::new(AtomicUsize::new(0));
        let body = Endless { first: vec![header, cluster, frame], taken: Arc::clone(&taken) };
        let open = client.put_media(&endpoint, &request(), false, body).await.unwrap();
        let mut connection = open.connection;
        // Until nothing more is taken for a while.
        let mut before = usize::MAX;
        while taken.load(Ordering::Relaxed) != before {
            before = taken.load(Ordering::Relaxed);
            let some = tokio::time::timeout(Duration::from_millis(300), &mut connection).await;
            assert!(some.is_err(), "the connection has ended: {some:?}");
        }
        assert!((STALL..STALL + 500_000).contains(&before), "{before} bytes are taken");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_knows_when_it_is_time_for_another_one() {
    let running = Running::start().await;
    let stream = request().stream;
    let new = NewStream { retention_hours: 0, media_type: None, tags: Vec::new() };
    running.client().create(&stream, &new).await.unwrap();
    let path = running.folder.path().join("credential");
    std::fs::write(&path, credential_file(&running.session(Duration::from_secs(100)))).unwrap();
    let client =
        Client::new(settings(running.url(), CredentialsFrom::File(path), None), Environment::default());
    let endpoint = client.data_endpoint(&stream, ApiName::PutMedia).await.unwrap();
    let open = client.put_media(&endpoint, &request(), false, Media::default()).await.unwrap();
    let (renew, expires) = (open.renew_in.unwrap().as_secs(), open.expires_in.unwrap().as_secs());
    assert!((95..=100).contains(&expires) && (70..=75).contains(&renew), "{renew} {expires}");
    let lasting = running.client().put_media(&endpoint, &request(), false, Media::default()).await.unwrap();
    assert_eq!((lasting.renew_in, lasting.expires_in), (None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_refused_once_by_its_time_and_then_taken() {
    let fake = Fake::start(|_, asked| {
        by_clock(600, asked, Some(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()))
    })
    .await;
    let (client, endpoint) = client_of(&fake);
    let refused = client.put_media(&endpoint, &request(), false, Media::default()).await.unwrap_err();
    assert_eq!(refused.recovery(), Recovery::NewCredentials, "{refused}");
    client.put_media(&endpoint, &request(), false, Media::default()).await.unwrap();
}

fn client_of(fake: &Fake) -> (Arc<Client>, ServiceUrl) {
    let settings = ClientSettings {
        connect_timeout: Duration::from_millis(500),
        call_timeout: Duration::from_millis(500),
        ..settings(fake.url(), some_keys(), None)
    };
    (Client::new(settings, Environment::default()), ServiceUrl::parse("fake", &fake.url()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_goes_out_at_once_and_signs_what_proxies_leave_alone() {
    let fake =
        Fake::start(|_, _| Some(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec())).await;
    let (client, endpoint) = client_of(&fake);
    // Were anything of the body needed, this would not return.
    client.put_media(&endpoint, &request(), false, Media::default()).await.unwrap();
    let asked = &fake.asked()[0];
    assert_eq!(asked.line(), "POST /putMedia HTTP/1.1");
    assert_eq!(asked.body, "", "nothing of the body before the response");
    assert_eq!(asked.header("host"), Some(&*fake.address.to_string()));
    assert_eq!(asked.header("x-amzn-stream-name"), Some("cam1"));
    assert_eq!(asked.header("x-amzn-fragment-timecode-type"), Some("ABSOLUTE"));
    assert_eq!(asked.header("x-amzn-fragment-acknowledgment-required"), Some("1"));
    assert_eq!(asked.header("transfer-encoding"), Some("chunked"));
    assert_eq!(asked.header("expect"), None);
    assert_eq!(asked.header("x-amz-security-token"), Some("tOkEn"));
    let start = asked.header("x-amzn-producer-start-timestamp").unwrap();
    assert_eq!(start.split_once('.').unwrap().1.len(), 3, "{start}");
    let signed = asked.header("authorization").unwrap();
    let names = "SignedHeaders=host;x-amz-date;x-amz-security-token;x-amzn-fragment-acknowledgment-required;\
                 x-amzn-fragment-timecode-type;x-amzn-producer-start-timestamp;x-amzn-stream-name,";
    assert!(signed.contains(names) && signed.contains("/us-west-2/kinesisvideo/"), "{signed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_say_what_is_done_about_them() {
    let long = "x".repeat(1_000_000);
    type Row<'a> = (Option<Vec<u8>>, Option<Recovery>, &'a str);
    let typed = |status, kind: &str, body: &str| {
        response(status, &[("x-amzn-ErrorType", kind), ("x-amzn-RequestId", "quoted")], body)
    };
    let unknown =
        r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#;
    let late = format!("HTTP/1.1 404 No\r\n{STAY}Content-Length: 100\r\n\r\n{{");
    let header = format!("HTTP/1.1 200 OK\r\nX-Long: {long}\r\n\r\n");
    let rows: [Row<'_>; 14] = [
        (Some(header.into_bytes()), None, "opening a session with"),
        // A text that does not come is none.
        (Some(late.into_bytes()), Some(Recovery::NewEndpoint), "HTTP 404"),
        (
            typed(404, "ResourceNotFoundException:https://x", r#"{"Message":"no"}"#),
            Some(Recovery::NoStream),
            "no",
        ),
        (
            typed(403, "", r#"{"message":"The security token included in the request is expired"}"#),
            Some(Recovery::NewCredentials),
            "is expired",
        ),
        (
            typed(400, "InvalidEndpointException", "{}"),
            Some(Recovery::NewEndpoint),
            "InvalidEndpointException",
        ),
        (typed(400, "ConnectionLimitExceededException", "{}"), Some(Recovery::BackOff), "ConnectionLimit"),
        (typed(400, "InvalidArgumentException", "{}"), Some(Recovery::Fatal), "InvalidArgument"),
        (typed(500, "", ""), Some(Recovery::BackOff), "HTTP 500"),
        (response(200, &[], unknown), Some(Recovery::NewEndpoint), "UnknownOperationException"),
        // A text that is too long is none.
        (typed(503, "", &long), Some(Recovery::BackOff), "HTTP 503"),
        (
            Some(b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()),
            Some(Recovery::NewCredentials),
            "HTTP 403",
        ),
        (response(200, &[], "{}"), None, "neither acks nor a refusal"),
        (Some(b"SSH-2.0-x\r\n".to_vec()), None, "opening a session with"),
        (Some(Vec::new()), None, "opening a session with"),
    ];
    for (answer, recovery, said) in rows {
        let shown = String::from_utf8_lossy(answer.as_deref().unwrap()).chars().take(60).collect::<String>();
        let fake = Fake::start(move |_, _| answer.clone()).await;
        let (client, endpoint) = client_of(&fake);
        let error = client.put_media(&endpoint, &request(), false, Media::default()).await.unwrap_err();
        assert!(error.to_string().contains(said) && !error.to_string().contains("xxx"), "{shown}: {error}");
        match (&error, recovery) {
            (CallError::Refused { .. }, Some(recovery)) => assert_eq!(error.recovery(), recovery, "{shown}"),
            (CallError::Network { .. }, None) => assert_eq!(error.recovery(), Recovery::BackOff),
            _ => panic!("{shown}: {error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_answer_is_not_waited_for() {
    let fake = Fake::start(|_, _| None).await;
    let (client, endpoint) = client_of(&fake);
    let request = request();
    let open = client.put_media(&endpoint, &request, false, Media::default());
    let error = tokio::time::timeout(PATIENCE, open).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("PutMedia: waiting for http://127.0.0.1"), "{error}");
    // TLS with who says nothing.
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let deaf = ServiceUrl::parse("deaf", &format!("https://{}", deaf.local_addr().unwrap())).unwrap();
    let open = client.put_media(&deaf, &request, false, Media::default());
    let error = tokio::time::timeout(PATIENCE, open).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("PutMedia: TLS with https://127.0.0.1"), "{error}");
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gone = ServiceUrl::parse("gone", &format!("http://{gone}")).unwrap();
    let error = client.put_media(&gone, &request, false, Media::default()).await.unwrap_err();
    assert!(error.to_string().contains("connecting to http://127.0.0.1"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_trusted_is_told_nothing() {
    let running = Running::with_tls().await;
    let settings = ClientSettings { ca_file: None, ..running.settings() };
    let client = Client::new(settings, Environment::default());
    let endpoint = ServiceUrl::parse("endpoint", &running.url()).unwrap();
    let error = client.put_media(&endpoint, &request(), false, Media::default()).await.unwrap_err();
    assert!(error.to_string().contains("TLS with https://localhost"), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(error.recovery(), Recovery::BackOff);
}

#[tokio::test]
async fn a_name_that_cannot_be_sent_is_final() {
    let fake = Fake::start(|_, _| None).await;
    let settings =
        ClientSettings { user_agent: Some("a\nb".to_owned()), ..settings(fake.url(), some_keys(), None) };
    let client = Client::new(settings, Environment::default());
    let endpoint = ServiceUrl::parse("fake", &fake.url()).unwrap();
    let error = client.put_media(&endpoint, &request(), false, Media::default()).await.unwrap_err();
    assert!(error.to_string().starts_with("the user agent: "), "{error}");
    assert_eq!(error.recovery(), Recovery::Fatal);
}

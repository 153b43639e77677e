//! What is done to the service: connections that cost little, producers and readers.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use kvs_media::mkv::{Event, Reader};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::client::{ABSOLUTE, Client};
use crate::media::{BASE, Body};

/// Where to connect, and as whom.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) client: Client,
    pub(crate) tls: Option<TlsConnector>,
}

pub(crate) trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}
type Wire = Box<dyn Both>;

/// The time that frames are stamped with.
fn clock() -> Duration {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    ORIGIN.elapsed()
}

impl Target {
    async fn connect(&self) -> Wire {
        let tcp = TcpStream::connect(self.client.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = "localhost".try_into().unwrap();
        match &self.tls {
            None => Box::new(tcp),
            Some(tls) => Box::new(tls.connect(name, tcp).await.unwrap()),
        }
    }

    /// Sends a request, and reads the head of its response. What came behind that is left in the buffer.
    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> (Wire, BytesMut) {
        let mut head = format!("POST {path} HTTP/1.1\r\n");
        for (name, value) in self.client.signed(path, headers, body.unwrap_or_default().as_bytes()) {
            head += &format!("{name}: {value}\r\n");
        }
        head += &match body {
            Some(body) => format!("content-length: {}\r\n\r\n{body}", body.len()),
            None => "transfer-encoding: chunked\r\n\r\n".to_owned(),
        };
        let mut wire = self.connect().await;
        wire.write_all(head.as_bytes()).await.unwrap();
        wire.flush().await.unwrap();
        let mut read = BytesMut::new();
        let end = loop {
            if let Some(end) = find(&read, b"\r\n\r\n") {
                break end + 4;
            }
            assert!(wire.read_buf(&mut read).await.unwrap() > 0, "no response");
        };
        let head = read.split_to(end);
        assert!(head.starts_with(b"HTTP/1.1 200"), "{}{}", head.escape_ascii(), read.escape_ascii());
        (wire, read)
    }

    async fn put(&self, stream: &str) -> (Wire, BytesMut) {
        self.post("/putMedia", &[("x-amzn-stream-name", stream), ABSOLUTE], None).await
    }

    /// A GetMedia answer.
    pub(crate) async fn get(&self, stream: &str, selector: &str) -> Getting {
        let body = json!({ "StreamName": stream, "StartSelector": { "StartSelectorType": selector } });
        let (wire, read) = self.post("/getMedia", &[], Some(&body.to_string())).await;
        Getting { wire, read }
    }

    pub(crate) async fn call(&self, operation: kvs_wire::Operation, body: Value) -> Value {
        self.client.ok(operation, body).await
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn put_chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// The frames of a fragment, made once.
pub(crate) struct Film {
    frames: Vec<Vec<u8>>,
    payload: usize,
    /// Between two frames; none when a fragment comes at once.
    every: Duration,
    /// Between two fragments.
    period: Duration,
    /// Frames say when they were sent.
    stamped: bool,
}

impl Film {
    /// 2 Mbit/s, 30 frames and half a key frame a second.
    pub(crate) fn two_megabits() -> Self {
        Self::new(60, 8_300, Duration::from_secs(2), true)
    }

    pub(crate) fn new(frames: usize, payload: usize, period: Duration, spread: bool) -> Self {
        let every = period / frames as u32;
        let mut body = Body::new(1);
        body.cluster(BASE);
        let times = (BASE..).step_by(every.as_millis().max(1) as usize);
        let bytes = vec![7; payload];
        let frames = times.take(frames).enumerate().map(|(at, time)| body.frame(1, time, at == 0, &bytes));
        let every = if spread { every } else { Duration::ZERO };
        Self { frames: frames.collect(), payload, every, period, stamped: false }
    }

    pub(crate) fn stamped(self) -> Self {
        Self { stamped: true, ..self }
    }

    /// Bytes of a fragment, about.
    pub(crate) fn bytes(&self) -> f64 {
        self.frames.iter().map(|frame| frame.len() as f64).sum()
    }

    /// Writes a document of so many fragments.
    pub(crate) fn write(&self, file: &std::path::Path, fragments: i64) {
        let mut file = std::io::BufWriter::new(std::fs::File::create(file).unwrap());
        let mut body = Body::new(1);
        for fragment in 0..fragments {
            file.write_all(&body.cluster(BASE + fragment * self.period_ms())).unwrap();
            self.frames.iter().for_each(|frame| file.write_all(frame).unwrap());
        }
        file.flush().unwrap();
    }

    fn period_ms(&self) -> i64 {
        self.period.as_millis() as i64
    }
}

/// What producers and readers have seen.
#[derive(Default)]
pub(crate) struct Tally {
    /// From the last byte of a fragment to its PERSISTED.
    pub(crate) persisted: Vec<Duration>,
    /// From a frame's first byte in to its last byte out.
    pub(crate) frames: Vec<Duration>,
    pub(crate) read: f64,
    /// By how much the load came late.
    pub(crate) late: Duration,
}

pub(crate) type Shared = Arc<Mutex<Tally>>;

/// Producers in real time, evenly apart from each other, for as long as the set is there.
pub(crate) async fn producers(
    target: &Target,
    streams: &[String],
    film: &Arc<Film>,
    tally: &Shared,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let mut wires = Vec::new();
    for stream in streams {
        wires.push(target.put(stream).await.0);
    }
    let begin = tokio::time::Instant::now();
    for (at, wire) in wires.into_iter().enumerate() {
        let start = begin + film.period.mul_f64(at as f64 / streams.len() as f64);
        tasks.spawn(produce(wire, Arc::clone(film), start, Arc::clone(tally)));
    }
    tasks
}

async fn produce(wire: Wire, film: Arc<Film>, start: tokio::time::Instant, tally: Shared) {
    let sent = Arc::new(Mutex::new(VecDeque::new()));
    let (read, mut write) = tokio::io::split(wire);
    let mut acks = JoinSet::new();
    acks.spawn(take_acks(read, Arc::clone(&sent), Arc::clone(&tally)));
    let (mut body, mut out, mut due) = (Body::new(1), Vec::new(), start);
    let last = film.frames.len() - 1;
    for fragment in 0_i64.. {
        for (at, frame) in film.frames.iter().enumerate() {
            if at == 0 {
                put_chunk(&mut out, &body.cluster(BASE + fragment * film.period_ms()));
            }
            if at == 0 || !film.every.is_zero() {
                tokio::time::sleep_until(due).await;
                let mut tally = tally.lock().unwrap();
                tally.late = tally.late.max(due.elapsed());
                due += if film.every.is_zero() { film.period } else { film.every };
            }
            put_chunk(&mut out, frame);
            if film.stamped {
                let at = out.len() - 2 - film.payload;
                out[at..at + 8].copy_from_slice(&(clock().as_nanos() as u64).to_be_bytes());
            }
            if at == last {
                put_chunk(&mut out, &body.marker());
                sent.lock().unwrap().push_back(Instant::now());
            } else if film.every.is_zero() && at + 1 < last {
                continue;
            }
            write.write_all(&out).await.unwrap();
            write.flush().await.unwrap();
            out.clear();
        }
    }
}

async fn take_acks(mut read: ReadHalf<Wire>, sent: Arc<Mutex<VecDeque<Instant>>>, tally: Shared) {
    let mut buffer = BytesMut::new();
    while read.read_buf(&mut buffer).await.unwrap() > 0 {
        assert!(find(&buffer, b"ERROR").is_none(), "{}", buffer.escape_ascii());
        while let Some(at) = find(&buffer, b"PERSISTED") {
            buffer.advance(at + 9);
            let sent = sent.lock().unwrap().pop_front();
            tally.lock().unwrap().persisted.extend(sent.map(|sent| sent.elapsed()));
        }
        let rest = buffer.len().min(8);
        buffer.advance(buffer.len() - rest);
    }
}

/// Sends fragments as fast as they are taken, in HTTP chunks of this size or of one frame each, and reads the answer to
/// its end.
pub(crate) async fn bulk(target: &Target, stream: &str, film: &Film, fragments: i64, chunk: Option<usize>) {
    let (wire, mut answer) = target.put(stream).await;
    let (mut read, mut write) = tokio::io::split(wire);
    let reading = tokio::spawn(async move {
        read.read_to_end(&mut Vec::new()).await.unwrap_or_default();
    });
    answer.clear();
    let (mut body, mut media, mut out) = (Body::new(1), Vec::new(), Vec::new());
    for fragment in 0..fragments {
        media.clear();
        out.clear();
        media.extend_from_slice(&body.cluster(BASE + fragment * film.period_ms()));
        match chunk {
            Some(chunk) => {
                film.frames.iter().for_each(|frame| media.extend_from_slice(frame));
                media.chunks(chunk).for_each(|bytes| put_chunk(&mut out, bytes));
            }
            None => {
                put_chunk(&mut out, &media);
                film.frames.iter().for_each(|frame| put_chunk(&mut out, frame));
            }
        }
        write.write_all(&out).await.unwrap();
    }
    // A second request that ends the connection: all that was before it was taken when it is answered.
    let end = "0\r\n\r\nGET /end HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    write.write_all(end.as_bytes()).await.unwrap();
    write.flush().await.unwrap();
    reading.await.unwrap();
}

/// A GetMedia answer.
pub(crate) struct Getting {
    wire: Wire,
    read: BytesMut,
}

impl Getting {
    /// Reads so many bytes and forgets them.
    pub(crate) async fn take(&mut self, bytes: f64) {
        let mut taken = self.read.len() as f64;
        let mut buffer = vec![0; 256 << 10];
        while taken < bytes {
            let read = self.wire.read(&mut buffer).await.unwrap();
            assert!(read > 0, "the answer ended after {taken} bytes");
            taken += read as f64;
        }
    }

    /// Reads on and counts.
    pub(crate) async fn count(mut self, tally: Shared) {
        let mut buffer = vec![0; 32 << 10];
        loop {
            let read = self.wire.read(&mut buffer).await.unwrap();
            assert!(read > 0, "the answer ended");
            tally.lock().unwrap().read += read as f64;
        }
    }

    /// Reads on, and looks when each frame was sent.
    pub(crate) async fn watch(mut self, tally: Shared) {
        let mut reader = Reader::default();
        loop {
            let mut chunk = self.chunk().await;
            while let Some(event) = reader.read(&mut chunk).unwrap() {
                if let Event::Frame(frame) = event {
                    let sent = u64::from_be_bytes(*frame.payload.first_chunk().unwrap());
                    let late = clock().saturating_sub(Duration::from_nanos(sent));
                    tally.lock().unwrap().frames.push(late);
                }
            }
        }
    }

    async fn chunk(&mut self) -> Bytes {
        loop {
            if let Some(end) = find(&self.read, b"\r\n") {
                let length = std::str::from_utf8(&self.read[..end]).unwrap();
                let length = usize::from_str_radix(length, 16).unwrap();
                if self.read.len() >= end + 2 + length + 2 {
                    self.read.advance(end + 2);
                    let chunk = self.read.split_to(length).freeze();
                    self.read.advance(2);
                    return chunk;
                }
            }
            assert!(self.wire.read_buf(&mut self.read).await.unwrap() > 0, "the answer ended");
        }
    }
}

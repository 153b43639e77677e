//! A window on the way to the service: it ends TLS, notes when media come, and hands them on in the clear.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kvs_client::clock;
use kvs_media::mkv::{Delivery, Event, Limits, Reader};
use kvs_service::tls::Tls;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::common::child::now;

/// What the way does.
#[derive(Debug, Default)]
struct Way {
    target: Mutex<Option<SocketAddr>>,
    /// In each direction.
    delay: Duration,
    /// Nothing gets through, and nobody says so.
    hole: AtomicBool,
    /// Seconds at which the first byte of each frame came; a list for each call.
    calls: Mutex<Vec<Vec<f64>>>,
}

/// A window, in a thread of its own.
pub(crate) struct Window {
    way: Arc<Way>,
    pub(crate) address: SocketAddr,
    pub(crate) ca: PathBuf,
}

impl Window {
    pub(crate) fn open(folder: &Path, delay: Duration) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let tls = Tls::self_signed(folder, &[], clock::utc()).unwrap();
        let ca = tls.ca().unwrap().to_owned();
        let way = Arc::new(Way { delay, ..Way::default() });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&way);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                let tls = Arc::new(tls);
                loop {
                    let (client, _) = listener.accept().await.unwrap();
                    tokio::spawn(carry(client, Arc::clone(&shared), Arc::clone(&tls)));
                }
            });
        });
        Self { way, address, ca }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn lead_to(&self, target: SocketAddr) {
        *self.way.target.lock().unwrap() = Some(target);
    }

    /// From now on nothing gets through.
    pub(crate) fn set_hole(&self) {
        self.way.hole.store(true, Ordering::Release);
    }

    /// Whether media have come.
    pub(crate) fn has_seen(&self) -> bool {
        self.way.calls.lock().unwrap().iter().any(|call| !call.is_empty())
    }

    /// When the first byte of each frame came: a list for each PutMedia call.
    pub(crate) fn calls(&self) -> Vec<Vec<f64>> {
        self.way.calls.lock().unwrap().clone()
    }
}

/// Seconds that a round trip takes in truth, the fastest of some: timers are late, each time.
pub(crate) fn round_trip(delay: Duration) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let way = Way { delay, ..Way::default() };
        let ((mut near, near_end), (far, far_end)) = (tokio::io::duplex(64), tokio::io::duplex(64));
        let ((near_in, near_out), (far_in, far_out)) = (split(near_end), split(far_end));
        let (mut echo_in, mut echo_out) = split(far);
        let measure = async {
            let mut fastest = f64::INFINITY;
            for _ in 0..10 {
                let sent = now();
                near.write_all(&[0]).await.unwrap();
                near.read_exact(&mut [0]).await.unwrap();
                fastest = fastest.min((now() - sent).as_secs_f64());
            }
            fastest
        };
        tokio::select! {
            fastest = measure => fastest,
            () = late(near_in, far_out, &way, Duration::ZERO) => f64::NAN,
            () = late(far_in, near_out, &way, Duration::ZERO) => f64::NAN,
            _ = tokio::io::copy(&mut echo_in, &mut echo_out) => f64::NAN,
        }
    })
}

async fn carry(client: TcpStream, way: Arc<Way>, tls: Arc<Tls>) {
    client.set_nodelay(true).unwrap();
    if way.hole.load(Ordering::Acquire) {
        return std::future::pending().await;
    }
    if way.delay.is_zero() {
        return look(client, &way, &tls).await;
    }
    // Loopback makes the connection at once; the first bytes pay for the round trip that it takes elsewhere.
    let (outer, inner) = tokio::io::duplex(256 << 10);
    let (client_in, client_out) = client.into_split();
    let (outer_in, outer_out) = split(outer);
    let there = late(client_in, outer_out, &way, way.delay * 2);
    let back = late(outer_in, client_out, &way, Duration::ZERO);
    tokio::join!(there, back, look(inner, &way, &tls));
}

/// What is read comes out later, and no slower; the first of it another while later.
async fn late(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, way: &Way, first: Duration) {
    let (sender, mut pieces) = mpsc::channel(1_000);
    let begun = Instant::now();
    let reading = async move {
        loop {
            let mut piece = Vec::with_capacity(16 << 10);
            if !matches!(from.read_buf(&mut piece).await, Ok(1..)) {
                break;
            }
            let due = (Instant::now() + way.delay).max(begun + first + way.delay);
            let _ = sender.send((due, piece)).await;
        }
    };
    let writing = async {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() || to.flush().await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}

async fn look(client: impl AsyncRead + AsyncWrite + Unpin, way: &Way, tls: &Tls) {
    let Ok(client) = tls.acceptor().accept(client).await else { return };
    let target = way.target.lock().unwrap().unwrap();
    let service = TcpStream::connect(target).await.unwrap();
    service.set_nodelay(true).unwrap();
    let (mut client_in, mut client_out) = split(client);
    let (mut service_in, mut service_out) = service.into_split();
    let there = async {
        let mut sight = Sight::default();
        let mut piece = vec![0; 64 << 10];
        while let Ok(count @ 1..) = client_in.read(&mut piece).await {
            let came = now().as_secs_f64();
            if way.hole.load(Ordering::Acquire) {
                std::future::pending::<()>().await;
            }
            sight.see(&piece[..count], came, way);
            if service_out.write_all(&piece[..count]).await.is_err() {
                break;
            }
        }
        let _ = service_out.shutdown().await;
    };
    let back = async {
        let mut piece = vec![0; 64 << 10];
        while let Ok(count @ 1..) = service_in.read(&mut piece).await {
            if way.hole.load(Ordering::Acquire) {
                std::future::pending::<()>().await;
            }
            if client_out.write_all(&piece[..count]).await.is_err() || client_out.flush().await.is_err() {
                break;
            }
        }
        let _ = client_out.shutdown().await;
    };
    tokio::join!(there, back);
}

/// What is seen of a connection: of a PutMedia call the frames, of others nothing.
#[derive(Default)]
struct Sight {
    head: Vec<u8>,
    /// The call's place in the list, and what reads it.
    media: Option<(usize, Dechunked, Reader)>,
    other: bool,
}

impl Sight {
    fn see(&mut self, bytes: &[u8], came: f64, way: &Way) {
        if self.other {
            return;
        }
        let mut rest = bytes.to_vec();
        if self.media.is_none() {
            self.head.append(&mut rest);
            let Some(end) = self.head.windows(4).position(|window| window == b"\r\n\r\n") else { return };
            self.other = !self.head.starts_with(b"POST /putMedia ");
            if self.other {
                return;
            }
            rest = self.head.split_off(end + 4);
            let mut calls = way.calls.lock().unwrap();
            calls.push(Vec::new());
            let reader = Reader::new(Limits::default(), Delivery::Parts);
            self.media = Some((calls.len() - 1, Dechunked::default(), reader));
        }
        let (call, chunks, reader) = self.media.as_mut().unwrap();
        for mut piece in chunks.take(&rest) {
            while let Some(event) = reader.read(&mut piece).unwrap() {
                if matches!(event, Event::FrameStart(_)) {
                    way.calls.lock().unwrap()[*call].push(came);
                }
            }
        }
    }
}

/// A body without its chunks.
#[derive(Default)]
struct Dechunked {
    line: Vec<u8>,
    /// Bytes of the chunk that are to come, with the line end behind it.
    left: usize,
}

impl Dechunked {
    fn take(&mut self, mut bytes: &[u8]) -> VecDeque<Bytes> {
        let mut pieces = VecDeque::new();
        while !bytes.is_empty() {
            if self.left > 0 {
                let here = self.left.min(bytes.len());
                let media = here.min(self.left.saturating_sub(2));
                pieces.push_back(Bytes::copy_from_slice(&bytes[..media]));
                self.left -= here;
                bytes = &bytes[here..];
                continue;
            }
            self.line.push(bytes[0]);
            bytes = &bytes[1..];
            if self.line.ends_with(b"\r\n") {
                let size = std::str::from_utf8(&self.line).unwrap().trim();
                self.left = usize::from_str_radix(size, 16).unwrap() + 2;
                self.line.clear();
            }
        }
        pieces
    }
}

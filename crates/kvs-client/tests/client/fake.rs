//! A peer that answers as a test says, and counts what it is asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// One request to a connection: its head and its body, as far as it has a length.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        Some(lines.find(|(own, _)| own.eq_ignore_ascii_case(name))?.1)
    }

    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }
}

pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// The answer to a request; `None`: none, ever.
type Answer = Arc<dyn Fn(usize, &Asked) -> Option<Vec<u8>> + Send + Sync>;

impl Fake {
    /// Answers with what a function makes of how many were asked before, and of what is asked.
    pub(crate) async fn start(
        answer: impl Fn(usize, &Asked) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self::with_tls(None, answer).await
    }

    pub(crate) async fn with_tls(
        tls: Option<ServerConfig>,
        answer: impl Fn(usize, &Asked) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, all): (Answer, _) = (Arc::new(answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (answer, all, tls) = (Arc::clone(&answer), Arc::clone(&all), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(tcp, &answer, &all).await,
                        Some(tls) => {
                            if let Ok(tls) = tls.accept(tcp).await {
                                serve(tls, &answer, &all).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut wire: impl AsyncRead + AsyncWrite + Unpin, answer: &Answer, all: &Mutex<Vec<Asked>>) {
    let mut bytes = Vec::new();
    let (head, end) = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break (String::from_utf8(bytes[..end].to_vec()).unwrap(), end + 4);
        }
        if wire.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let mut asked = Asked { head, body: String::new() };
    let length: usize = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + length {
        wire.read_buf(&mut bytes).await.unwrap();
    }
    asked.body = String::from_utf8(bytes[end..].to_vec()).unwrap();
    let before = {
        let mut all = all.lock().unwrap();
        all.push(asked.clone());
        all.len() - 1
    };
    match answer(before, &asked) {
        Some(answer) => {
            let _ = wire.write_all(&answer).await;
            if answer.windows(STAY.len()).any(|part| part == STAY.as_bytes()) {
                gone(wire).await;
            } else {
                let _ = wire.shutdown().await;
            }
        }
        None => gone(wire).await,
    }
}

/// An answer with this in it is not the end of the connection.
pub(crate) const STAY: &str = "X-Stay: 1\r\n";

/// Until the peer goes.
async fn gone(mut wire: impl AsyncRead + Unpin) {
    while wire.read(&mut [0; 1_000]).await.is_ok_and(|count| count > 0) {}
}

/// A response with a body.
pub(crate) fn response(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    let stays = headers.iter().any(|(name, _)| STAY.starts_with(name));
    let close: &[_] = if stays { &[] } else { &[("Connection", "close")] };
    for (name, value) in headers.iter().chain(close) {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    Some(bytes)
}

/// The answer of a service whose clock is ahead by so many seconds: it refuses a signature that is not of its time, by
/// its date.
pub(crate) fn by_clock(ahead: i64, asked: &Asked, answer: Option<Vec<u8>>) -> Option<Vec<u8>> {
    use aws_sdk_kinesisvideo::primitives::{DateTime, DateTimeFormat};
    let stamp = asked.header("x-amz-date").unwrap();
    let (date, time) = (&stamp[..8], &stamp[9..15]);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &time[..2],
        &time[2..4],
        &time[4..]
    );
    let signed = DateTime::from_str(&text, DateTimeFormat::DateTime).unwrap().secs();
    let now = kvs_client::clock::utc().millis() / 1_000 + ahead;
    if (signed - now).abs() < 300 {
        return answer;
    }
    let date = DateTime::from_secs(now).fmt(DateTimeFormat::HttpDate).unwrap();
    let headers = [("Date", &*date), ("x-amzn-ErrorType", "InvalidSignatureException")];
    response(403, &headers, r#"{"message":"Signature expired: it is not of this time"}"#)
}

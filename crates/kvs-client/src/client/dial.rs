//! A connection of our own to a service.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::causes;
use super::url::ServiceUrl;

/// Bytes that the kernel takes which the peer has not. More of them come twice when the connection is lost. The
/// kernel doubles it for its own use.
const SEND_BUFFER: usize = 64 << 10;
/// Bytes that wait in the kernel to be sent for the first time; what is behind them waits here, where it can still
/// be left out.
const NOT_SENT: u32 = 16 << 10;
/// A peer whose kernel acknowledges nothing for so long is gone.
const USER_TIMEOUT: Duration = Duration::from_secs(10);
/// The next address is tried after so long (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// A connection, with or without TLS.
#[derive(Debug)]
pub(super) struct Stream(Inner);

#[derive(Debug)]
enum Inner {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why there is no connection: what was being done, and what went wrong.
#[derive(Debug)]
pub(super) struct DialError {
    pub(super) doing: &'static str,
    pub(super) cause: String,
}

/// Connects, within a time for all of it.
pub(super) async fn dial(
    url: &ServiceUrl,
    tls: Arc<ClientConfig>,
    within: Duration,
) -> Result<Stream, DialError> {
    let end = tokio::time::Instant::now() + within;
    let late = || format!("no answer within {} s", within.as_secs_f32());
    let failed = |doing| move |error: io::Error| DialError { doing, cause: causes(&error) };
    let resolving = "looking up";
    let found = timeout_at(end, tokio::net::lookup_host((url.host(), url.port()))).await;
    let found = found.map_err(|_| DialError { doing: resolving, cause: late() })?;
    let addresses = in_turn(found.map_err(failed(resolving))?);
    let connecting = "connecting to";
    let tcp = timeout_at(end, connect(addresses)).await;
    let tcp = tcp.map_err(|_| DialError { doing: connecting, cause: late() })?;
    let tcp = tcp.map_err(failed(connecting))?;
    if !url.is_tls() {
        return Ok(Stream(Inner::Plain(tcp)));
    }
    let securing = "TLS with";
    let name = ServerName::try_from(url.host().to_owned());
    let name = name.map_err(|error| DialError { doing: securing, cause: causes(&error) })?;
    let tls = timeout_at(end, TlsConnector::from(tls).connect(name, tcp)).await;
    let tls = tls.map_err(|_| DialError { doing: securing, cause: late() })?;
    Ok(Stream(Inner::Tls(Box::new(tls.map_err(failed(securing))?))))
}

/// Polls a connection for as long as something is waited for that comes by it. What has come counts, also when the
/// connection has ended.
pub(super) async fn driven<T>(connection: impl Future + Unpin, work: impl Future<Output = T>) -> T {
    match select(pin!(work), connection).await {
        Either::Left((done, _)) => done,
        Either::Right((_, work)) => work.await,
    }
}

/// The resolver's order, but the kinds of addresses by turns (RFC 8305 section 4).
fn in_turn(addresses: impl Iterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut first = VecDeque::new();
    let mut other = VecDeque::new();
    for address in addresses {
        match first.front() {
            Some(one) if SocketAddr::is_ipv4(one) != address.is_ipv4() => other.push_back(address),
            _ => first.push_back(address),
        }
    }
    let mut all = VecDeque::with_capacity(first.len() + other.len());
    while !first.is_empty() || !other.is_empty() {
        all.extend(first.pop_front());
        all.extend(other.pop_front());
    }
    all
}

/// To the first address that answers. The last failure is told.
async fn connect(mut addresses: VecDeque<SocketAddr>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut attempts = FuturesUnordered::new();
    loop {
        attempts.extend(addresses.pop_front().map(connect_to));
        let next = async {
            if addresses.is_empty() {
                std::future::pending::<()>().await;
            } else {
                tokio::time::sleep(STAGGER).await;
            }
        };
        tokio::select! {
            done = attempts.next() => match done {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => last = error,
                None => return Err(last),
            },
            () = next => {}
        }
    }
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    {
        let socket = SockRef::from(&socket);
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.set_tcp_notsent_lowat(NOT_SENT)?;
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    }
    socket.connect(address).await
}

impl Stream {
    #[cfg(test)]
    fn tcp(&self) -> &TcpStream {
        match &self.0 {
            Inner::Plain(tcp) => tcp,
            Inner::Tls(tls) => tls.get_ref().0,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Inner::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

/// Vectored in both forms: hyper then hands over what a body gives without copying it.
impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Inner::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Inner::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Inner::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, parts),
            Inner::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Inner::Plain(tcp) => tcp.is_write_vectored(),
            Inner::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Inner::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Inner::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_of_addresses_come_by_turns() {
        let six = |port| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port));
        let four = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let turns = in_turn([six(1), six(2), six(3), four(4), four(5)].into_iter());
        assert_eq!(turns, [six(1), four(4), six(2), four(5), six(3)]);
        assert_eq!(in_turn([four(1)].into_iter()), [four(1)]);
        assert!(in_turn(std::iter::empty()).is_empty());
    }

    #[tokio::test]
    async fn little_is_kept_in_the_kernel() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        // The port before is nobody's, with any luck; what answers is found all the same.
        let there = listener.local_addr().unwrap();
        let stream = connect([SocketAddr::from(([127, 0, 0, 2], there.port())), there].into()).await.unwrap();
        let stream = Stream(Inner::Plain(stream));
        let socket = SockRef::from(stream.tcp());
        assert!(socket.send_buffer_size().unwrap() <= 2 * SEND_BUFFER);
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), NOT_SENT);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
        assert!(stream.tcp().nodelay().unwrap() && stream.is_write_vectored());
    }

    #[tokio::test]
    async fn who_is_not_there_is_an_error_at_once() {
        let error = connect(VecDeque::new()).await.unwrap_err();
        assert_eq!(error.to_string(), "the name has no address");
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = connect([gone].into()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}

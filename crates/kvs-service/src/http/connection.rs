//! A connection, from its first request to its last byte.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, watch};

use super::body::Broken;
use super::route;
use super::wire::{Socket, Wire};
use crate::faults::End;
use crate::service::Service;

/// Where the service listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) local: SocketAddr,
    pub(crate) secure: bool,
}

/// What a call knows of the connection that it came on.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) place: Place,
    pub(crate) peer: SocketAddr,
    /// It is to be reset when it ends: a fault on command.
    reset: Arc<AtomicBool>,
    /// It is to stand still: a fault on command.
    stall: Arc<Notify>,
    /// Not all of a request was read.
    unread: Arc<AtomicBool>,
}

impl Connection {
    /// A request came, with a body or without.
    pub(crate) fn begin(&self, body: &Incoming) {
        self.unread.store(!body.is_end_stream(), Ordering::Relaxed);
    }

    /// All of the request was read: whoever sent it waits for nothing but the response.
    pub(crate) fn request_is_read(&self) {
        self.unread.store(false, Ordering::Relaxed);
    }

    /// Ends in the way that a fault commands.
    pub(crate) async fn end(&self, how: End) -> Broken {
        // What was written before goes out while the connection waits.
        tokio::task::yield_now().await;
        match how {
            End::Close => {}
            End::Reset => self.reset.store(true, Ordering::Relaxed),
            End::Stall => {
                self.stall.notify_one();
                std::future::pending::<()>().await;
            }
        }
        Broken
    }
}

/// Bytes of a request that wait to be read.
const BUFFER: usize = 64 << 10;
/// What a client still sends behind a refusal or an error ack is read for so long, or that would be lost in a reset.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 << 20;

pub(crate) async fn serve(
    service: Arc<Service>,
    place: Place,
    peer: SocketAddr,
    socket: Socket,
    mut closing: watch::Receiver<bool>,
) {
    let limits = &service.config.limits;
    let wire = Wire::new(socket, limits.stall_timeout);
    let connection =
        Connection { place, peer, reset: Arc::default(), stall: Arc::default(), unread: Arc::default() };
    let Connection { reset, stall, unread, .. } = connection.clone();
    let calls = {
        let service = Arc::clone(&service);
        service_fn(move |request| Box::pin(route::answer(Arc::clone(&service), connection.clone(), request)))
    };
    let mut http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        // Whoever has said all may close that half, and still hears the answer.
        .half_close(true)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(wire), calls);
    let ended = {
        // Kept over all polls: they are woken once, while the connection is woken by every frame.
        let (mut stalled, mut closes) = (pin!(stall.notified()), pin!(closing.wait_for(|closing| *closing)));
        let mut open = true;
        loop {
            tokio::select! {
                biased;
                ended = poll_fn(|context| http.poll_without_shutdown(context)) => break Some(ended),
                () = &mut stalled => break None,
                _ = &mut closes, if open => {
                    open = false;
                    std::pin::Pin::new(&mut http).graceful_shutdown();
                }
            }
        }
    };
    let mut wire = http.into_parts().io.into_inner();
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            tracing::debug!(%peer, %error, "a connection broke");
            // What is no request was not read to its end either.
            unread.store(true, Ordering::Relaxed);
        }
        None => {
            // The call is over, and its place at the stream free; the socket stays open, and silent.
            let _ = closing.wait_for(|closing| *closing).await;
            return;
        }
    }
    if reset.load(Ordering::Relaxed) {
        // Closed with no time to linger, a socket answers with a reset.
        let _ = rustix::net::sockopt::set_socket_linger(wire.socket().tcp(), Some(Duration::ZERO));
        return;
    }
    let linger = async {
        wire.shutdown().await?;
        if !unread.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (mut left, mut sink) = (LINGER_BYTES, vec![0; BUFFER]);
        while left > 0 {
            match wire.read(&mut sink).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // Whoever is gone by now needs nothing more.
    let _ = tokio::time::timeout(LINGER, linger).await;
}

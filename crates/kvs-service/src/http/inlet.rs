//! A socket that is read in large pieces, in whatever small ones it is asked.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TLS record of full size, and what is often behind it.
const AHEAD: usize = 20 << 10;

/// The socket below TLS: rustls asks for 4 KiB at a time, the kernel is asked for what is there.
pub(crate) struct Inlet {
    tcp: TcpStream,
    /// What was read ahead, from `next` to `end`. Made when it is first needed.
    ahead: Box<[u8]>,
    next: usize,
    end: usize,
}

impl Inlet {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self { tcp, ahead: Box::default(), next: 0, end: 0 }
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }
}

impl AsyncRead for Inlet {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.next == this.end {
            if this.ahead.is_empty() {
                this.ahead = vec![0; AHEAD].into();
            }
            let mut ahead = ReadBuf::new(&mut this.ahead);
            ready!(Pin::new(&mut this.tcp).poll_read(context, &mut ahead))?;
            (this.next, this.end) = (0, ahead.filled().len());
        }
        let ahead = this.ahead.get(this.next..this.end).unwrap_or_default();
        let taken = ahead.len().min(buffer.remaining());
        buffer.put_slice(ahead.get(..taken).unwrap_or_default());
        this.next += taken;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Inlet {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

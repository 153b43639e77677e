//! Bodies, in and out.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};

/// The body of a response.
pub(crate) enum Body {
    /// All of it is there.
    Whole(Bytes),
    /// It comes as it is made.
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, Broken>> + Send>>),
}

/// The connection ends in the middle of a response, because that is what was commanded or because nothing else is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response ends here")]
pub(crate) struct Broken;

/// Something that makes a response piece by piece.
pub(crate) trait Source: Send + 'static {
    /// The next piece; none at the end.
    fn next(&mut self) -> impl Future<Output = Option<Result<Bytes, Broken>>> + Send;
}

impl Body {
    /// What a source makes.
    pub(crate) fn of(source: impl Source) -> Self {
        // Boxed, for it is moved with every piece.
        Self::Stream(Box::pin(stream::unfold(Box::new(source), |mut source| async move {
            let piece = source.next().await?;
            Some((piece, source))
        })))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Whole(bytes.into())
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Stream(stream) => stream.as_mut().poll_next(context).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// Why the body of a request was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    TooSlow,
    /// The client is gone, or does not speak HTTP.
    Broken,
}

/// Reads the whole body of a request that carries no media.
pub(crate) async fn read(mut body: Incoming, most: usize, timeout: Duration) -> Result<Bytes, Unread> {
    // What is announced is believed before a byte of it is read.
    if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(Unread::TooLarge);
    }
    let read = async {
        let mut whole: Option<BytesMut> = None;
        let mut first = Bytes::new();
        while let Some(frame) = body.frame().await {
            let Ok(bytes) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
            let length = whole.as_ref().map_or(first.len(), BytesMut::len);
            if length.saturating_add(bytes.len()) > most {
                return Err(Unread::TooLarge);
            }
            match &mut whole {
                Some(whole) => whole.extend_from_slice(&bytes),
                None if first.is_empty() => first = bytes,
                None => whole = Some([&*first, &*bytes].concat().as_slice().into()),
            }
        }
        Ok(whole.map_or(first, BytesMut::freeze))
    };
    match tokio::time::timeout(timeout, pin!(read)).await {
        Ok(read) => read,
        Err(_) => Err(Unread::TooSlow),
    }
}

/// Never fails; for handlers that answer everything.
pub(crate) type Answered<T> = Result<T, Infallible>;

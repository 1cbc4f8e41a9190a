//! The one type of body, of requests and of responses.

use ::http::HeaderMap;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncRead;
use tokio_util::sync::CancellationToken;

mod pipe;
mod reader;
mod received;
mod until;

pub use pipe::BodyWriter;
pub use reader::BodyReader;
pub(super) use received::Pace;

use pipe::{Piped, Produced};
use received::Received;

/// An error of whoever produces a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A stream of bytes with an optional length.
pub struct Body {
    kind: Kind,
    limit: u64,
    seen: u64,
}

enum Kind {
    Full(Bytes),
    Slices { slices: std::vec::IntoIter<Bytes>, left: u64 },
    Received(Box<Received>),
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>),
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is larger than its reader takes; answer 413.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: u64,
    },
    /// The client sends it more slowly than the server waits; answer 408.
    #[error("the body arrives too slowly")]
    TooSlow,
    /// The client left, or sent a malformed body.
    #[error("receiving the body")]
    Receive(#[source] hyper::Error),
    /// Our own source of it failed.
    #[error("producing the body")]
    Produce(#[source] BoxError),
    /// Its writer was dropped without finishing.
    #[error("the writer of the body left before its end")]
    Abandoned,
}

impl From<BodyError> for io::Error {
    fn from(error: BodyError) -> Self {
        let kind = match &error {
            BodyError::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            BodyError::TooSlow => io::ErrorKind::TimedOut,
            BodyError::Receive(_) => io::ErrorKind::ConnectionReset,
            BodyError::Produce(_) => io::ErrorKind::Other,
            BodyError::Abandoned => io::ErrorKind::BrokenPipe,
        };
        io::Error::new(kind, error)
    }
}

impl Body {
    fn new(kind: Kind) -> Self {
        Self { kind, limit: u64::MAX, seen: 0 }
    }

    /// No bytes.
    pub fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// Bytes that are all there.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::new(Kind::Full(bytes.into()))
    }

    /// Many prepared pieces, given out without copying; the length is their sum.
    pub fn slices(slices: Vec<Bytes>) -> Self {
        let left = slices.iter().map(length).sum();
        Self::new(Kind::Slices { slices: slices.into_iter(), left })
    }

    /// What a reader gives, in pieces of up to 64 KiB.
    pub fn from_reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Self::wrap(reader::ReaderBody::new(reader))
    }

    /// Another body.
    pub fn wrap(body: impl HttpBody<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self::new(Kind::Stream(Box::pin(body)))
    }

    /// What a future writes. The body owns the future: it runs only while somebody takes the bytes, and is dropped
    /// with the body, so when the client leaves. An error cuts the body, so that the client sees it is not whole.
    pub fn produce<F, Fut>(write: F) -> Self
    where
        F: FnOnce(BodyWriter) -> Fut,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Self::wrap(Produced::new(write))
    }

    /// The same body, but when the token fires before its end, it ends there with these trailers: for answers that
    /// would go on for ever.
    #[must_use]
    pub fn until(self, stop: CancellationToken, trailers: HeaderMap) -> Self {
        Self::wrap(until::Until::new(self, stop, trailers))
    }

    /// A writer for another task and the body that it fills; see [`BodyWriter::finish`].
    pub fn pipe() -> (BodyWriter, Self) {
        let (writer, body) = Piped::new();
        (writer, Self::wrap(body))
    }

    /// What a client sends, and the count of its bytes unless there are none.
    pub(super) fn incoming(incoming: Incoming, pace: Pace) -> (Self, Option<Arc<AtomicU64>>) {
        if incoming.is_end_stream() {
            return (Self::empty(), None);
        }
        let received = Received::new(incoming, pace);
        let counter = received.counter();
        (Self::new(Kind::Received(Box::new(received))), Some(counter))
    }

    /// Lowers the bound on the whole body. A declared length above it fails before a byte is read or asked for.
    #[must_use]
    pub fn limit(mut self, max_bytes: u64) -> Self {
        self.limit = self.limit.min(max_bytes);
        self
    }

    /// The bytes as a reader.
    pub fn reader(self) -> BodyReader {
        BodyReader::new(self)
    }

    /// Gathers the whole body, which may have at most `max_bytes`.
    ///
    /// # Errors
    /// When it is larger, or breaks off.
    pub async fn collect(self, max_bytes: u64) -> Result<Bytes, BodyError> {
        let mut body = self.limit(max_bytes);
        let Some(first) = body.data().await? else { return Ok(Bytes::new()) };
        let Some(second) = body.data().await? else { return Ok(first) };
        let mut all = Vec::from(first);
        all.extend_from_slice(&second);
        while let Some(more) = body.data().await? {
            all.extend_from_slice(&more);
        }
        Ok(all.into())
    }

    /// Waits for the next piece; `None` is the end.
    ///
    /// # Errors
    /// When the body breaks off.
    pub async fn data(&mut self) -> Result<Option<Bytes>, BodyError> {
        std::future::poll_fn(|cx| self.poll_data(cx)).await
    }

    /// Polls for the next piece, passing over trailers.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            match ready!(Pin::new(&mut *self).poll_frame(cx)) {
                None => return Poll::Ready(Ok(None)),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Ok(Some(data))),
                    Err(_trailers) => {}
                },
            }
        }
    }

    fn poll_kind(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.kind {
            Kind::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Slices { slices, left } => {
                Poll::Ready(slices.find(|slice| !slice.is_empty()).map(|slice| {
                    *left -= length(&slice);
                    Ok(Frame::data(slice))
                }))
            }
            Kind::Received(received) => received.poll_frame(cx),
            Kind::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let limit = self.limit;
        if self.seen == 0 && self.size_hint().lower() > limit {
            return Poll::Ready(Some(Err(BodyError::TooLarge { limit })));
        }
        let polled = ready!(self.poll_kind(cx));
        if let Some(Ok(frame)) = &polled {
            self.seen += frame.data_ref().map_or(0, length);
            if self.seen > limit {
                return Poll::Ready(Some(Err(BodyError::TooLarge { limit })));
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::Slices { left, .. } => *left == 0,
            Kind::Received(received) => received.is_end_stream(),
            Kind::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Full(bytes) => SizeHint::with_exact(length(bytes)),
            Kind::Slices { left, .. } => SizeHint::with_exact(*left),
            Kind::Received(received) => received.size_hint(),
            Kind::Stream(stream) => stream.size_hint(),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("size", &self.size_hint().exact()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

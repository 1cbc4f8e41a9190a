//! Bodies that would go on for ever, and end when the server stops.

use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::HeaderMap;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::BodyError;

/// A body that ends with trailers of its own when the server stops before it does.
pub(super) struct Until<B> {
    body: B,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Sent once.
    last: Option<HeaderMap>,
}

impl<B> Until<B> {
    pub(super) fn new(body: B, stop: CancellationToken, last: HeaderMap) -> Self {
        Self { body, stop: Box::pin(stop.cancelled_owned()), last: Some(last) }
    }
}

impl<B: HttpBody<Data = Bytes, Error = BodyError> + Unpin> HttpBody for Until<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.last.is_none() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        std::task::ready!(self.stop.as_mut().poll(context));
        Poll::Ready(self.last.take().map(|last| Ok(Frame::trailers(last))))
    }

    fn is_end_stream(&self) -> bool {
        self.last.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

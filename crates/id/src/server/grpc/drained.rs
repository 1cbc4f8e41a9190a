//! Answers that would go on for ever, and end when the server stops.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

/// A body that ends as unavailable when the server stops before it does.
pub(super) struct UntilDrain {
    body: tonic::body::Body,
    drain: Pin<Box<WaitForCancellationFutureOwned>>,
    is_cut: bool,
}

impl UntilDrain {
    pub(super) fn new(body: tonic::body::Body, drain: CancellationToken) -> Self {
        Self { body, drain: Box::pin(drain.cancelled_owned()), is_cut: false }
    }
}

impl HttpBody for UntilDrain {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_cut {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        std::task::ready!(self.drain.as_mut().poll(cx));
        self.is_cut = true;
        let mut trailers = http::HeaderMap::new();
        Status::unavailable("the server stops").add_header(&mut trailers)?;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_cut || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

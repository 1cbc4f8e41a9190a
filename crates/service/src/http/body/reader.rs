//! Bodies as readers, and readers as bodies.

use super::{Body, BodyError};
use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// Bytes asked of a reader at once.
const PIECE: usize = 64 << 10;

/// A body read as bytes; its errors carry a [`BodyError`].
#[derive(Debug)]
pub struct BodyReader {
    body: Body,
    present: Bytes,
}

impl BodyReader {
    pub(super) fn new(body: Body) -> Self {
        Self { body, present: Bytes::new() }
    }

    /// Gives back what was not read yet; bytes that came and were not taken are gone.
    pub fn into_rest(self) -> Body {
        self.body
    }
}

impl AsyncBufRead for BodyReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.present.is_empty()
            && let Some(bytes) = ready!(this.body.poll_data(cx))?
        {
            this.present = bytes;
        }
        Poll::Ready(Ok(&this.present))
    }

    fn consume(mut self: Pin<&mut Self>, n: usize) {
        self.present.advance(n);
    }
}

impl AsyncRead for BodyReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let present = ready!(self.as_mut().poll_fill_buf(cx))?;
        let n = present.len().min(buf.remaining());
        buf.put_slice(&present[..n]);
        self.consume(n);
        Poll::Ready(Ok(()))
    }
}

/// A reader given out as a body.
pub(super) struct ReaderBody<R> {
    reader: Pin<Box<R>>,
    room: BytesMut,
}

impl<R> ReaderBody<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader: Box::pin(reader), room: BytesMut::new() }
    }
}

impl<R: AsyncRead> HttpBody for ReaderBody<R> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        this.room.reserve(PIECE);
        let read = ready!(tokio_util::io::poll_read_buf(this.reader.as_mut(), cx, &mut this.room));
        Poll::Ready(match read {
            Ok(0) => None,
            Ok(_) => Some(Ok(Frame::data(this.room.split().freeze()))),
            Err(error) => Some(Err(BodyError::Produce(error.into()))),
        })
    }
}

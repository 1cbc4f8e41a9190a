//! The body of a request as a reader: encoding undone, size bounded, and the first thing wrong remembered.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hakata_forge::hosting::Service;
use hakata_service::http::{self, Body};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::framing::Framing;
use crate::inflate::Inflater;
use crate::request_head::Encoding;

/// Bytes that are read at once when nobody wants them.
const SCRATCH_BYTES: usize = 16 << 10;

/// What is wrong with a body. The client is to blame for every one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// There is no byte in it.
    #[error("request body is empty")]
    Empty,
    /// Its gzip, or a pkt-line in it, is not whole at its end.
    #[error("request body is cut short")]
    Truncated,
    /// It is not in pkt-lines.
    #[error("request body is not in pkt-lines")]
    NotPktLine,
    /// It is not gzip although its header says so.
    #[error("body is not gzip")]
    NotGzip,
    /// Something follows the end of the gzip member.
    #[error("bytes follow the end of the gzip body")]
    Trailing,
    /// It is larger than it may be, inflated.
    #[error("request body exceeds {max_bytes} bytes")]
    TooLarge {
        /// What it may have.
        max_bytes: u64,
    },
    /// It inflates more than it may.
    #[error("gzip body inflates more than {max_ratio} times")]
    Ratio {
        /// How often its own size it may have.
        max_ratio: u64,
    },
    /// It comes too slowly.
    #[error("request body arrives too slowly")]
    TooSlow,
    /// The connection, the chunks or the length of the body broke.
    #[error("request body ended early")]
    Broken,
}

/// What is to be expected of one body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Where it goes.
    pub(crate) service: Service,
    /// How it is encoded.
    pub(crate) encoding: Encoding,
    /// Whether the client waits for `100 Continue`, which the first read sends.
    pub(crate) is_awaited: bool,
    /// Inflated bytes, if bounded here.
    pub(crate) max_bytes: Option<u64>,
    /// Inflated bytes per byte of gzip, once past the first mebibyte.
    pub(crate) max_ratio: u64,
}

/// The place where a reader leaves what went wrong, for the one who answers.
pub(crate) type Fault = Arc<OnceLock<BodyError>>;

/// Reads a body. Holds one frame of it and, for gzip, zlib's window: memory stays flat.
pub(crate) struct RequestBody {
    body: Body,
    frame: Bytes,
    inflater: Option<Inflater>,
    framing: Framing,
    max_bytes: Option<u64>,
    is_awaited: bool,
    n_wire: u64,
    n_read: u64,
    ended: bool,
    /// An error that was met while looking ahead.
    ahead: Option<BodyError>,
    fault: Fault,
}

impl RequestBody {
    /// Wraps a body.
    pub(crate) fn new(body: Body, expected: Expected) -> Self {
        let inflater = match expected.encoding {
            Encoding::Plain => None,
            Encoding::Gzip => Some(Inflater::new(expected.max_ratio)),
        };
        Self {
            body,
            frame: Bytes::new(),
            inflater,
            framing: Framing::new(expected.service),
            max_bytes: expected.max_bytes,
            is_awaited: expected.is_awaited,
            n_wire: 0,
            n_read: 0,
            ended: false,
            ahead: None,
            fault: Fault::default(),
        }
    }

    /// Returns the place where the first [`BodyError`] will stand.
    pub(crate) fn fault(&self) -> Fault {
        Arc::clone(&self.fault)
    }

    /// Reads and forgets what is left, so that a client which sends its whole request before it reads gets
    /// to the answer, and so that what is wrong behind the last packet is found too; gives up after
    /// `max_bytes` or `patience`. A client that waits to be told to send is not told.
    pub(crate) async fn discard(&mut self, max_bytes: u64, patience: Duration) {
        if self.is_awaited || self.fault.get().is_some() {
            return;
        }
        let until = self.n_wire.saturating_add(max_bytes);
        let mut scratch = vec![0; SCRATCH_BYTES];
        let rest =
            async { while self.n_wire <= until && matches!(self.read(&mut scratch).await, Ok(1..)) {} };
        // Whoever is too slow is cut by the connection's own rules; nothing is lost but the rest.
        let _ = tokio::time::timeout(patience, rest).await;
    }

    /// Fills `frame`; false at the end of the body.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        self.is_awaited = false;
        while self.frame.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => {
                    self.ended = true;
                    return Poll::Ready(Ok(false));
                }
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Err(error.into()));
                }
                // Trailers are of no use here.
                Some(Ok(frame)) => self.frame = frame.into_data().unwrap_or_default(),
            }
            self.n_wire += self.frame.len() as u64;
        }
        Poll::Ready(Ok(true))
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<Result<(), BodyError>> {
        loop {
            if let Some(error) = self.ahead.take() {
                return Poll::Ready(Err(error));
            }
            if !self.ended && self.frame.is_empty() {
                ready!(self.poll_frame(cx))?;
            }
            if self.frame.is_empty() {
                return Poll::Ready(self.check_end());
            }
            let before = out.filled().len();
            self.take(out)?;
            let taken = &out.filled()[before..];
            if !taken.is_empty() {
                self.framing.feed(taken)?;
                let n = taken.len();
                self.look_ahead(cx);
                return Poll::Ready(self.count(n));
            }
        }
    }

    /// Asks for the next frame before it is needed. The connection notices that its client has left only once
    /// a body was read to its very end, and whoever reads stops at the last packet.
    fn look_ahead(&mut self, cx: &mut Context<'_>) {
        if !self.frame.is_empty() || self.ended {
            return;
        }
        if let Poll::Ready(Err(error)) = self.poll_frame(cx) {
            self.ahead = Some(error);
        }
    }

    /// Moves bytes of the frame to `out`; none, if the inflater needs more to make any.
    fn take(&mut self, out: &mut ReadBuf<'_>) -> Result<(), BodyError> {
        let Some(inflater) = &mut self.inflater else {
            let n = self.frame.len().min(out.remaining());
            out.put_slice(&self.frame[..n]);
            self.frame.advance(n);
            return Ok(());
        };
        let step = inflater.step(&self.frame, out.initialize_unfilled())?;
        self.frame.advance(step.consumed);
        out.advance(step.produced);
        Ok(())
    }

    fn count(&mut self, n: usize) -> Result<(), BodyError> {
        self.n_read += n as u64;
        match self.max_bytes {
            Some(max_bytes) if self.n_read > max_bytes => Err(BodyError::TooLarge { max_bytes }),
            _ => Ok(()),
        }
    }

    fn check_end(&self) -> Result<(), BodyError> {
        match &self.inflater {
            _ if self.n_wire == 0 => Err(BodyError::Empty),
            Some(inflater) if !inflater.ended() => Err(BodyError::Truncated),
            // A gzip of nothing is nothing.
            _ if self.n_read == 0 => Err(BodyError::Empty),
            _ if !self.framing.may_end() => Err(BodyError::Truncated),
            _ => Ok(()),
        }
    }
}

impl From<http::BodyError> for BodyError {
    fn from(error: http::BodyError) -> Self {
        match error {
            http::BodyError::TooLarge { limit } => Self::TooLarge { max_bytes: limit },
            http::BodyError::TooSlow => Self::TooSlow,
            http::BodyError::Receive(_) | http::BodyError::Produce(_) | http::BodyError::Abandoned => {
                Self::Broken
            }
        }
    }
}

impl AsyncRead for RequestBody {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let filled = out.filled().len();
        let error = match this.fault.get() {
            Some(error) => error.clone(),
            None => match ready!(this.poll_bytes(cx, out)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) => error,
            },
        };
        out.set_filled(filled);
        let error = this.fault.get_or_init(|| error).clone();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)))
    }
}

#[cfg(test)]
mod tests;

//! Packets in and out, with buffers that do not grow.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use hakata_pkt_line::{DecodeError, FLUSH, MAX_PAYLOAD, Packet, decode, encode_header};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_util::io::poll_read_buf;

/// Bytes asked of the client at once.
const PIECE: usize = 32 << 10;

/// Why a conversation cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The client is gone, or takes nothing any more.
    #[error("the client left")]
    Left,
    /// What it sends is no pkt-line.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A packet that does not belong where it is.
    #[error("a packet that has no meaning here")]
    Odd,
    /// What followed a refusal was too much to be read to its end.
    #[error("{0}")]
    Refused(String),
    /// An object could not be read to its end.
    #[error("the object could not be read to its end")]
    Source,
}

impl From<io::Error> for WireError {
    fn from(_: io::Error) -> Self {
        Self::Left
    }
}

/// A conversation by pkt-line.
pub(super) struct Wire {
    input: Box<dyn AsyncRead + Send + Unpin>,
    buffer: BytesMut,
    output: Box<dyn AsyncWrite + Send + Unpin>,
    /// Whether the flush of the message under way was read.
    at_end: bool,
}

/// The bytes behind the delimiter of a message, as a stream.
pub(super) struct Section<'a> {
    wire: &'a mut Wire,
    current: Bytes,
}

impl Wire {
    pub(super) fn new(
        input: Box<dyn AsyncRead + Send + Unpin>,
        output: Box<dyn AsyncWrite + Send + Unpin>,
    ) -> Self {
        Self { input, buffer: BytesMut::new(), output, at_end: true }
    }

    /// Reads the next packet of a message; `None`: its flush.
    pub(super) async fn packet(&mut self) -> Result<Option<Packet>, WireError> {
        self.at_end = false;
        let packet = loop {
            if let Some(packet) = decode(&mut self.buffer)? {
                break packet;
            }
            self.buffer.reserve(PIECE);
            if self.input.read_buf(&mut self.buffer).await? == 0 {
                return Err(WireError::Left);
            }
        };
        match packet {
            Packet::Flush => {
                self.at_end = true;
                Ok(None)
            }
            Packet::ResponseEnd => Err(WireError::Odd),
            packet => Ok(Some(packet)),
        }
    }

    /// Tells whether the message under way was read to its flush.
    pub(super) fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// Reads bytes behind a delimiter.
    pub(super) fn section(&mut self) -> Section<'_> {
        Section { wire: self, current: Bytes::new() }
    }

    /// Reads what is left of a message that is refused, within bounds, so that a client that sends all before it reads
    /// gets to the answer; false if there is too much of it.
    pub(super) async fn skip(&mut self, most: u64, within: Duration) -> Result<bool, WireError> {
        let rest = async {
            let mut n_read = 0;
            while !self.at_end && n_read <= most {
                if let Some(Packet::Data(bytes)) = self.packet().await? {
                    n_read += bytes.len() as u64;
                }
            }
            Ok(self.at_end)
        };
        tokio::time::timeout(within, rest).await.unwrap_or(Ok(false))
    }

    /// Sends bytes that are packets already.
    pub(super) async fn send(&mut self, packets: &[u8]) -> Result<(), WireError> {
        self.output.write_all(packets).await?;
        Ok(self.output.flush().await?)
    }

    /// Sends a stream as data, and its flush.
    pub(super) async fn send_from(&mut self, mut source: impl AsyncRead + Unpin) -> Result<(), WireError> {
        const HEADER: usize = 4;
        let mut packet = vec![0; HEADER + MAX_PAYLOAD];
        loop {
            let n = source.read(&mut packet[HEADER..]).await.map_err(|_| WireError::Source)?;
            if n == 0 {
                return self.send(FLUSH).await;
            }
            packet[..HEADER].copy_from_slice(&encode_header(n));
            self.output.write_all(&packet[..HEADER + n]).await?;
        }
    }
}

impl AsyncRead for Section<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let odd = |error: WireError| io::Error::new(io::ErrorKind::InvalidData, error);
        let Self { wire, current } = &mut *self;
        while current.is_empty() && !wire.at_end {
            match decode(&mut wire.buffer).map_err(|error| odd(error.into()))? {
                Some(Packet::Data(bytes)) => *current = bytes,
                Some(Packet::Flush) => wire.at_end = true,
                Some(_) => return Poll::Ready(Err(odd(WireError::Odd))),
                None => {
                    wire.buffer.reserve(PIECE);
                    if ready!(poll_read_buf(Pin::new(&mut wire.input), cx, &mut wire.buffer))? == 0 {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                }
            }
        }
        let n = current.len().min(buf.remaining());
        buf.put_slice(&current[..n]);
        current.advance(n);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hakata_pkt_line::{DELIM, FLUSH, encode};
    use tokio::io::AsyncReadExt;

    use super::{Wire, WireError};

    fn wire(packets: &[u8]) -> Wire {
        Wire::new(Box::new(std::io::Cursor::new(packets.to_vec())), Box::new(tokio::io::sink()))
    }

    fn data(n: usize) -> Vec<u8> {
        let mut packets = Vec::new();
        (0..n).for_each(|_| encode(&[7; 10_000], &mut packets));
        packets
    }

    #[tokio::test]
    async fn a_section_ends_with_its_flush_and_nowhere_else() {
        let mut read = Vec::new();
        let whole = [&data(9)[..], FLUSH, b"0009after"].concat();
        let mut wire_ = wire(&whole);
        assert!(wire_.packet().await.unwrap().is_some());
        wire_.section().read_to_end(&mut read).await.unwrap();
        assert_eq!(read.len(), 80_000);
        assert!(wire_.packet().await.unwrap().is_some(), "the next message is whole");
        for (bad, kind) in [
            (data(2), std::io::ErrorKind::UnexpectedEof),
            ([&data(2)[..], DELIM].concat(), std::io::ErrorKind::InvalidData),
            ([&data(2)[..], b"0002"].concat(), std::io::ErrorKind::InvalidData),
            ([&data(2)[..], b"zzzz"].concat(), std::io::ErrorKind::InvalidData),
        ] {
            let mut wire = wire(&bad);
            assert!(wire.packet().await.unwrap().is_some());
            let error = wire.section().read_to_end(&mut read).await.unwrap_err();
            assert_eq!(error.kind(), kind);
        }
    }

    #[tokio::test]
    async fn what_is_refused_is_read_to_its_end_within_bounds() {
        let message = [&data(9)[..], FLUSH].concat();
        for (most, is_read) in [(90_000, true), (50_000, false)] {
            let mut wire = wire(&message);
            assert!(wire.packet().await.unwrap().is_some());
            assert_eq!(wire.skip(most, Duration::from_secs(60)).await.unwrap(), is_read, "{most}");
        }
        let mut cut = wire(&data(3));
        assert!(cut.packet().await.unwrap().is_some());
        assert!(matches!(cut.skip(u64::MAX, Duration::from_secs(60)).await, Err(WireError::Left)));
    }

    /// However a client cuts and pads its packets, no more than one of them and one piece waits.
    #[tokio::test]
    async fn the_buffer_is_bounded() {
        let mut wire = wire(&[&data(200)[..], FLUSH].concat());
        while wire.packet().await.unwrap().is_some() {
            assert!(wire.buffer.capacity() <= 256 << 10, "{}", wire.buffer.capacity());
        }
    }
}

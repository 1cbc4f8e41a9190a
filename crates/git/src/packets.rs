//! Reading pkt-lines from a stream, one at a time and never a byte further.

use std::io;

use bytes::{Bytes, BytesMut};
use hakata_pkt_line::{DecodeError, Packet, decode};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Why no packet can be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadPacketError {
    /// The bytes are not a pkt-line.
    #[error("reading a pkt-line")]
    Malformed(#[from] DecodeError),
    /// The stream ends within a packet.
    #[error("the stream ends within a pkt-line")]
    Truncated,
    /// More bytes than the message may have.
    #[error("the message is longer than {limit} bytes")]
    TooLong {
        /// The most it may have.
        limit: u64,
    },
    /// The stream failed.
    #[error("reading from the client")]
    Io(#[from] io::Error),
}

/// Reads packets of one message within a bound of bytes; what follows the message stays in the stream.
pub(crate) struct Packets<'a, R> {
    input: &'a mut R,
    limit: u64,
    left: u64,
}

impl<'a, R: AsyncRead + Unpin> Packets<'a, R> {
    /// Reads from `input`, which should be buffered, at most `limit` bytes.
    pub(crate) fn new(input: &'a mut R, limit: u64) -> Self {
        Self { input, limit, left: limit }
    }

    /// Gives the next message its own bound.
    pub(crate) fn renew(&mut self) {
        self.left = self.limit;
    }

    /// Says whether the present message has begun.
    pub(crate) fn has_read(&self) -> bool {
        self.left < self.limit
    }

    /// Reads the next packet; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Packet>, ReadPacketError> {
        let mut buffer = BytesMut::zeroed(4);
        match self.input.read(&mut buffer).await? {
            0 => return Ok(None),
            n => self.fill(&mut buffer[n..]).await?,
        }
        self.spend(4)?;
        if let Some(packet) = decode(&mut buffer)? {
            return Ok(Some(packet));
        }
        let digits = std::str::from_utf8(&buffer[..4]).unwrap_or_default();
        // `decode` has accepted the digits, so only the payload is missing.
        let len = usize::from_str_radix(digits, 16).unwrap_or(4);
        self.spend(len as u64 - 4)?;
        buffer.resize(len, 0);
        self.fill(&mut buffer[4..]).await?;
        Ok(decode(&mut buffer)?)
    }

    /// Reads the next line of a message; `None` at its flush packet or at the end of the stream.
    pub(crate) async fn line(&mut self) -> Result<Option<Bytes>, ReadPacketError> {
        match self.next().await? {
            Some(Packet::Data(line)) => Ok(Some(line)),
            Some(Packet::Flush) => Ok(None),
            Some(Packet::Delim | Packet::ResponseEnd) => Err(DecodeError::Range { len: 1 }.into()),
            None => Err(ReadPacketError::Truncated),
        }
    }

    async fn fill(&mut self, buffer: &mut [u8]) -> Result<(), ReadPacketError> {
        self.input.read_exact(buffer).await.map(drop).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ReadPacketError::Truncated,
            _ => error.into(),
        })
    }

    fn spend(&mut self, n: u64) -> Result<(), ReadPacketError> {
        self.left = self.left.checked_sub(n).ok_or(ReadPacketError::TooLong { limit: self.limit })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hakata_pkt_line::Packet;
    use tokio::io::AsyncReadExt;

    use super::{Packets, ReadPacketError};

    #[tokio::test]
    async fn what_follows_the_message_stays_in_the_stream() {
        let mut input = &b"0009done\n0004000000010002PACK"[..];
        let mut packets = Packets::new(&mut input, 1_000);
        assert_eq!(packets.next().await.unwrap(), Some(Packet::Data("done\n".into())));
        assert_eq!(packets.next().await.unwrap(), Some(Packet::Data("".into())));
        assert_eq!(packets.next().await.unwrap(), Some(Packet::Flush));
        assert_eq!(packets.next().await.unwrap(), Some(Packet::Delim));
        assert_eq!(packets.next().await.unwrap(), Some(Packet::ResponseEnd));
        let mut rest = Vec::new();
        input.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"PACK");
    }

    #[tokio::test]
    async fn streams_that_stop_short_or_run_on_are_refused() {
        let mut input = &b"0009do"[..];
        let refused = Packets::new(&mut input, 100).next().await;
        assert!(matches!(refused, Err(ReadPacketError::Truncated)), "{refused:?}");
        let mut input = &b"00"[..];
        let refused = Packets::new(&mut input, 100).next().await;
        assert!(matches!(refused, Err(ReadPacketError::Truncated)), "{refused:?}");
        let mut input = &b"0009done\n"[..];
        let refused = Packets::new(&mut input, 8).next().await;
        assert!(matches!(refused, Err(ReadPacketError::TooLong { limit: 8 })), "{refused:?}");
        let mut input = &b"GET / HTTP/1.1"[..];
        let refused = Packets::new(&mut input, 100).next().await;
        assert!(matches!(refused, Err(ReadPacketError::Malformed(_))), "{refused:?}");
        assert!(Packets::new(&mut &b""[..], 100).next().await.unwrap().is_none());
    }
}

//! A stream of bytes as parts in memory, each hashed while it comes.

use std::io;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};
use hakata_runtime::metrics::GaugeGuard;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::metrics::{PART_WAITED, PARTS};
use crate::key::Family;

/// Room that a part begins with; it grows as bytes come, so that a small blob takes little.
const FIRST_ROOM: usize = 64 << 10;

/// Parts that may still be made. Half of them are for packs alone: LFS objects come at the pace of clients, and a push
/// must not wait for those.
pub(super) struct Rooms {
    packs: Arc<Semaphore>,
    lfs: Arc<Semaphore>,
}

impl Rooms {
    /// Shares out so many, and at least one for each.
    pub(super) fn new(n_parts: usize) -> Self {
        let half = (n_parts / 2).max(1);
        let rest = n_parts.saturating_sub(half).max(1);
        Self { packs: Arc::new(Semaphore::new(half)), lfs: Arc::new(Semaphore::new(rest)) }
    }

    pub(super) fn of(&self, family: Family) -> &Arc<Semaphore> {
        match family {
            Family::Packs => &self.packs,
            Family::Lfs => &self.lfs,
        }
    }
}

/// The right to hold one part in memory.
#[derive(Debug)]
pub(super) struct Room {
    _permit: OwnedSemaphorePermit,
    _counted: GaugeGuard,
}

/// A part, whole.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) bytes: Bytes,
    /// In base64, as headers carry it.
    pub(super) sha256: String,
    /// Whether the source has no more.
    pub(super) is_last: bool,
    pub(super) room: Room,
}

impl Room {
    /// Waits until one more part may be in memory.
    pub(super) async fn take(parts: &Arc<Semaphore>) -> io::Result<Self> {
        let since = Instant::now();
        let permit = parts.clone().acquire_owned().await.map_err(io::Error::other)?;
        PART_WAITED.observe_duration(since.elapsed());
        Ok(Self { _permit: permit, _counted: PARTS.track() })
    }
}

impl Part {
    /// Reads the next part of a source: `most` bytes, or what is left.
    pub(super) async fn read(
        source: &mut (impl AsyncRead + Unpin),
        most: usize,
        parts: &Arc<Semaphore>,
    ) -> io::Result<Self> {
        let room = Room::take(parts).await?;
        let mut bytes = BytesMut::with_capacity(FIRST_ROOM.min(most));
        let mut digest = Context::new(&SHA256);
        let mut is_last = false;
        while bytes.len() < most && !is_last {
            let at = bytes.len();
            if at == bytes.capacity() {
                bytes = enlarged(&bytes, most);
            }
            let space = (bytes.capacity() - at).min(most - at);
            is_last = source.read_buf(&mut (&mut bytes).limit(space)).await? == 0;
            digest.update(&bytes[at..]);
        }
        let sha256 = STANDARD.encode(digest.finish());
        Ok(Self { bytes: bytes.freeze(), sha256, is_last, room })
    }
}

/// Copies what has come into more room; growing in place would end at a power of two above the most.
fn enlarged(bytes: &BytesMut, most: usize) -> BytesMut {
    let mut larger = BytesMut::with_capacity(bytes.len().saturating_mul(4).min(most));
    larger.extend_from_slice(bytes);
    larger
}

/// Hashes bytes for a header.
pub(super) fn sha256(bytes: &[u8]) -> String {
    STANDARD.encode(aws_lc_rs::digest::digest(&SHA256, bytes))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::{Part, sha256};

    #[tokio::test]
    async fn a_stream_becomes_parts_of_one_size_and_a_rest() {
        let all = Arc::new(Semaphore::new(4));
        let bytes: Vec<u8> = (0..250_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut source = &bytes[..];
        let mut read = Vec::new();
        let mut n_parts = 0;
        loop {
            let part = Part::read(&mut source, 100_000, &all).await.unwrap();
            assert_eq!(all.available_permits(), 3, "a part holds its room");
            assert!(part.bytes.len() <= 100_000);
            assert_eq!(part.sha256, sha256(&part.bytes));
            read.extend_from_slice(&part.bytes);
            n_parts += 1;
            if part.is_last {
                break;
            }
            assert_eq!(part.bytes.len(), 100_000);
        }
        assert_eq!((n_parts, &read), (3, &bytes));
        assert_eq!(all.available_permits(), 4);
    }
}

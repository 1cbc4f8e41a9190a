//! Parts on their way in.

use std::io;

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes asked for at once.
const PIECE: usize = 64 << 10;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// As many bytes as were wanted; the hash counts them.
    Whole(Bytes),
    /// Fewer, and then the end.
    Short,
}

/// Reads so many bytes, and hashes them.
pub(super) async fn read(
    source: &mut (impl AsyncRead + Unpin),
    n_bytes: u64,
    hasher: &mut Sha256,
) -> io::Result<Piece> {
    let wanted = usize::try_from(n_bytes).unwrap_or(usize::MAX);
    let mut content = BytesMut::with_capacity(wanted.min(PIECE));
    while content.len() < wanted {
        let before = content.len();
        let piece = PIECE.min(wanted - before);
        content.reserve(piece);
        if (&mut *source).take(piece as u64).read_buf(&mut content).await? == 0 {
            return Ok(Piece::Short);
        }
        hasher.update(&content[before..]);
    }
    Ok(Piece::Whole(content.freeze()))
}

/// Tells whether there is nothing more.
pub(super) async fn is_at_end(source: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut one = [0];
    !matches!(source.read(&mut one).await, Ok(1..))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::{Piece, is_at_end, read};

    #[tokio::test]
    async fn a_part_is_whole_or_short() {
        let bytes = vec![7; 200_000];
        let (mut source, mut hasher) = (&bytes[..], Sha256::new());
        assert_eq!(
            read(&mut source, 150_000, &mut hasher).await.unwrap(),
            Piece::Whole(bytes[..150_000].to_vec().into())
        );
        assert_eq!(hasher.clone().finalize(), Sha256::digest(&bytes[..150_000]));
        assert!(!is_at_end(&mut &bytes[..]).await);
        assert_eq!(read(&mut source, 50_001, &mut hasher).await.unwrap(), Piece::Short);
        assert!(is_at_end(&mut source).await);
    }
}

//! A tree as one file: `git archive --remote` for browsers and scripts.

use bytes::{Bytes, BytesMut};
use hakata_forge::hosting::{self, Output};
use hakata_forge::{Error, Forge, Grant, Kind, Read};
use hakata_pkt_line::{Band, FLUSH, Packet, decode, encode_parts};
use tokio::sync::mpsc;

/// Packets that git may be ahead of the client.
const MAX_FRAMES: usize = 4;

/// The kinds of archive that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArchiveFormat {
    /// A gzipped tar.
    TarGz,
    /// A zip.
    Zip,
}

impl ArchiveFormat {
    /// Every format, for tables.
    pub(crate) const ALL: [Self; 2] = [Self::TarGz, Self::Zip];

    /// Returns the tail of the file's name, the dot included.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::TarGz => ".tar.gz",
            Self::Zip => ".zip",
        }
    }

    /// Returns the media type.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::TarGz => "application/gzip",
            Self::Zip => "application/zip",
        }
    }
}

/// Writes the archive of a revision that a ref leads to, every path below a directory named after the
/// repository.
pub(crate) async fn write(
    forge: &Forge,
    grant: &Grant<Read>,
    revision: &[u8],
    format: ArchiveFormat,
    mut out: Output<'static>,
) -> Result<(), Error> {
    let request = arguments(revision, grant.path().name.as_str(), format);
    let (sender, frames) = mpsc::channel(MAX_FRAMES);
    let writing = async {
        // Dropped at the end, so that the other half ends too.
        let mut wrapped = Output::Frames(sender);
        hosting::archive(forge, grant, &request[..], &mut wrapped).await
    };
    let (written, unwrapped) = tokio::join!(writing, unwrap(frames, &mut out));
    match (written, unwrapped) {
        (Ok(_), outcome) => outcome,
        // What git says of a revision it does not have is on no band: it just ends.
        (Err(_), Err(error)) => Err(error),
        (Err(error), Ok(())) => Err(error),
    }
}

/// Writes a request of `git upload-archive`, an argument a line. A revision that looks like an option is none:
/// the route refuses it.
fn arguments(revision: &[u8], name: &str, format: ArchiveFormat) -> Vec<u8> {
    let mut request = Vec::new();
    let format = &format.suffix()[1..];
    encode_parts(&[b"argument --format=", format.as_bytes(), b"\n"], &mut request);
    encode_parts(&[b"argument --prefix=", name.as_bytes(), b"/\n"], &mut request);
    encode_parts(&[b"argument ", revision, b"\n"], &mut request);
    request.extend_from_slice(FLUSH);
    request
}

/// Takes an archive out of its packets: `ACK`, a flush, then side-band. Anything else means that there is
/// none. The other bands have words for a terminal.
async fn unwrap(mut frames: mpsc::Receiver<Bytes>, out: &mut Output<'static>) -> Result<(), Error> {
    let (mut buffer, mut n_bytes) = (BytesMut::new(), 0);
    while let Some(frame) = frames.recv().await {
        buffer.extend_from_slice(&frame);
        while let Some(packet) = decode(&mut buffer).map_err(Error::internal)? {
            let Packet::Data(line) = packet else { continue };
            match line.first().copied().and_then(Band::from_code) {
                Some(Band::Primary) => {
                    n_bytes += line.len() - 1;
                    // A client that left drops this future.
                    let _ = out.send(line.slice(1..)).await;
                }
                Some(Band::Progress) => {}
                None if line.starts_with(b"ACK") => {}
                Some(Band::Fatal) | None => return Err(no_revision()),
            }
        }
    }
    if n_bytes == 0 { Err(no_revision()) } else { Ok(()) }
}

fn no_revision() -> Error {
    Error::new(Kind::NotFound, "no such branch, tag or commit")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hakata_forge::hosting::Output;
    use hakata_pkt_line::{Band, encode, encode_band};
    use tokio::sync::mpsc;

    use super::{ArchiveFormat, arguments, unwrap};

    #[test]
    fn a_revision_is_one_argument() {
        let request = arguments(b"v1", "tools", ArchiveFormat::TarGz);
        let expected = b"001dargument --format=tar.gz\n001dargument --prefix=tools/\n0010argument v1\n0000";
        assert_eq!(request, expected, "{}", String::from_utf8_lossy(&request));
    }

    async fn unwrapped(wire: &[u8]) -> Option<Vec<u8>> {
        let (sender, frames) = mpsc::channel(wire.len());
        for piece in wire.chunks(3) {
            sender.send(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        drop(sender);
        let (sender, mut unwrapped) = mpsc::channel(64);
        unwrap(frames, &mut Output::Frames(sender)).await.ok()?;
        let mut archive = Vec::new();
        while let Some(piece) = unwrapped.recv().await {
            archive.extend_from_slice(&piece);
        }
        Some(archive)
    }

    #[tokio::test]
    async fn only_the_first_band_is_the_archive() {
        let mut wire = Vec::new();
        encode(b"ACK\n", &mut wire);
        wire.extend_from_slice(b"0000");
        assert_eq!(unwrapped(&wire).await, None, "an answer without an archive is none");
        encode_band(Band::Primary, b"some", &mut wire);
        encode_band(Band::Progress, b"words", &mut wire);
        encode_band(Band::Primary, b"thing", &mut wire);
        assert_eq!(unwrapped(&wire).await.as_deref(), Some(&b"something"[..]));
        encode_band(Band::Fatal, b"no", &mut wire);
        assert_eq!(unwrapped(&wire).await, None);
        let mut refused = Vec::new();
        encode(b"NACK no\n", &mut refused);
        assert_eq!(unwrapped(&refused).await, None);
    }
}

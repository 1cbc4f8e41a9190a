//! upload-archive: `git archive --remote`. Source: git-upload-archive(1).

use hakata_pkt_line::{FLUSH, encode_parts};
use tokio::io::{AsyncRead, AsyncWriteExt};

use super::request::{RequestError, chomp, quote};
use super::upload_pack::Command as Counted;
use super::{FetchStats, Output, ServeError, Source, fetch};
use crate::Git;
use crate::command::{Command, Subcommand};
use crate::packets::Packets;

/// Arguments of one request and their bytes. Source: `MAX_ARGS` in git's upload-archive.c.
const MAX_ARGUMENTS: usize = 64;
const MAX_REQUEST: u64 = 256 << 10;

/// One request for an archive.
#[derive(Clone, Copy)]
pub struct UploadArchive<'a> {
    /// The git to run.
    pub git: &'a Git,
    /// The repository.
    pub source: &'a dyn Source,
}

/// Serves one archive, counting in `stats` as it goes. git itself allows only trees that a ref leads to.
///
/// # Errors
/// As [`upload_pack`](super::upload_pack()); a refused client is told by a `NACK` line.
pub async fn upload_archive<R: AsyncRead + Unpin + Send>(
    request: UploadArchive<'_>,
    input: &mut R,
    output: &mut Output<'_>,
    stats: &mut FetchStats,
) -> Result<(), ServeError> {
    let served = serve(request, input, output, stats).await;
    if let Err(ServeError::Refused(refused)) = &served {
        let mut line = Vec::new();
        encode_parts(&[b"NACK ", refused.to_string().as_bytes(), b"\n"], &mut line);
        output.send(line.into()).await.map_err(ServeError::Gone)?;
    }
    output.flush().await.map_err(ServeError::Gone)?;
    served
}

async fn serve<R: AsyncRead + Unpin + Send>(
    request: UploadArchive<'_>,
    input: &mut R,
    output: &mut Output<'_>,
    stats: &mut FetchStats,
) -> Result<(), ServeError> {
    let arguments = read_arguments(&mut Packets::new(input, MAX_REQUEST)).await?;
    Counted::Archive.count();
    let dir = request.source.directory().await.map_err(ServeError::Directory)?;
    let command = Command::new(Subcommand::UploadArchive).dir((*dir).as_ref()).flag(".");
    let mut serving = fetch::Serving::start(request.git, &command, stats).await?;
    let stdin = serving.child.stdin();
    let writing = async move {
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(&arguments).await;
        }
    };
    let stdout = serving.child.stdout();
    let gone = output.closed();
    let moving = async { tokio::join!(writing, fetch::relay(stdout, output, serving.stats)).1 };
    tokio::select! {
        moved = moving => moved?,
        () = gone => return Err(ServeError::Gone(std::io::ErrorKind::BrokenPipe.into())),
    }
    serving.finish().await
}

/// Reads `argument <word>` lines and writes them for git, if each is one that is harmless.
async fn read_arguments<R: AsyncRead + Unpin>(packets: &mut Packets<'_, R>) -> Result<Vec<u8>, ServeError> {
    let mut out = Vec::new();
    let mut n = 0;
    let mut only_operands = false;
    while let Some(line) = packets.line().await? {
        let word = chomp(&line).strip_prefix(b"argument ").ok_or_else(|| RequestError::unexpected(&line))?;
        n += 1;
        if n > MAX_ARGUMENTS {
            return Err(RequestError::TooMany { what: "arguments", limit: MAX_ARGUMENTS }.into());
        }
        if !only_operands && word.starts_with(b"-") && !is_harmless(word) {
            return Err(RequestError::Malformed(format!("option '{}' is not allowed", quote(word))).into());
        }
        only_operands |= word == b"--";
        encode_parts(&[b"argument ", word, b"\n"], &mut out);
    }
    out.extend_from_slice(FLUSH);
    Ok(out)
}

/// Says whether an option only changes what the archive looks like.
fn is_harmless(option: &[u8]) -> bool {
    matches!(option, b"--" | b"--list" | b"-l" | b"--verbose" | b"-v")
        || option.starts_with(b"--format=")
        || option.starts_with(b"--prefix=")
        || option.starts_with(b"--mtime=")
        || matches!(option, [b'-', b'0'..=b'9'])
}

#[cfg(test)]
mod tests {
    use super::is_harmless;

    #[test]
    fn only_options_about_the_archive_pass() {
        for option in ["--format=tar.gz", "--prefix=a/", "-9", "--list", "--"] {
            assert!(is_harmless(option.as_bytes()), "{option}");
        }
        for option in ["--output=/tmp/x", "-o", "--exec=x", "--remote=x", "--add-file=/etc/passwd", "-10"] {
            assert!(!is_harmless(option.as_bytes()), "{option}");
        }
    }
}

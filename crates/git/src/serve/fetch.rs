//! One run of `git upload-pack`, behind a request that we have checked.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdout;

use super::{FetchStats, Output, ServeError};
use crate::command::{Command, Subcommand};
use crate::process::Child;
use crate::{Git, GitDir};

/// Bytes that are read from git at a time, the capacity of a pipe.
const PIECE: usize = 64 << 10;

/// The version that git is asked to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V0,
    V2,
}

/// Builds the command line of upload-pack.
pub(super) fn command(dir: &GitDir, version: Version) -> Command {
    let command = Command::new(Subcommand::UploadPack).dir(dir).flag("--strict");
    let command = match version {
        Version::V0 => command,
        Version::V2 => command.env("GIT_PROTOCOL", "version=2"),
    };
    command.operand(".")
}

/// Hands one request to git and its reply to the client.
pub(super) async fn stateless(
    git: &Git,
    dir: &GitDir,
    version: Version,
    request: Vec<u8>,
    output: &mut Output<'_>,
    stats: &mut FetchStats,
) -> Result<(), ServeError> {
    let command = command(dir, version).flag("--stateless-rpc");
    let mut child = Child::spawn(git, &command).await.map_err(ServeError::Child)?;
    stats.n_fetches += 1;
    let stdin = child.stdin();
    let writing = async move {
        if let Some(mut stdin) = stdin {
            // If git stops reading it has said why, or its status will.
            let _ = stdin.write_all(&request).await;
        }
    };
    let gone = output.closed();
    let stdout = child.stdout();
    let moving = async { tokio::join!(writing, relay(stdout, output, stats)).1 };
    tokio::select! {
        moved = moving => moved?,
        () = gone => return Err(ServeError::Gone(std::io::ErrorKind::BrokenPipe.into())),
    }
    finish(child, stats).await
}

/// Sends the client what git says until git is done.
pub(super) async fn relay(
    stdout: Option<impl AsyncReadExt + Unpin>,
    output: &mut Output<'_>,
    stats: &mut FetchStats,
) -> Result<(), ServeError> {
    let Some(mut stdout) = stdout else { return Ok(()) };
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        // A broken pipe from git is seen again when it is reaped.
        let Ok(n @ 1..) = stdout.read_buf(&mut buffer).await else { return Ok(()) };
        stats.sent_bytes += n as u64;
        output.send(buffer.split().freeze()).await.map_err(ServeError::Gone)?;
        output.flush().await.map_err(ServeError::Gone)?;
    }
}

/// Waits for git's end.
pub(super) async fn finish(child: Child, stats: &mut FetchStats) -> Result<(), ServeError> {
    let finished = child.finish().await.map_err(ServeError::Child)?;
    stats.cpu += finished.cpu;
    finished.success().map(drop).map_err(ServeError::Child)
}

/// The output of git, read ahead.
pub(super) type Buffered = tokio::io::BufReader<ChildStdout>;

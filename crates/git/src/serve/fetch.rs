//! One run of `git upload-pack`, behind a request that we have checked.

use bytes::BytesMut;
use hakata_pkt_line::{DELIM, FLUSH, Packet, RESPONSE_END, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::ChildStdout;

use super::upload_pack::SENT;
use super::{FetchStats, Output, ServeError};
use crate::command::{Command, Subcommand};
use crate::packets::Packets;
use crate::process::Child;
use crate::{Git, GitDir};

/// Bytes that are read from git at a time, the capacity of a pipe.
const PIECE: usize = 64 << 10;

/// The longest reply before a pack, in bytes: acknowledgements and shallow boundaries.
const MAX_HEAD: u64 = 64 << 20;

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

/// One request, checked and spelled by us.
pub(super) struct Exchange {
    pub(super) version: Version,
    pub(super) request: Vec<u8>,
    /// Lines that we answer ourselves, to stand before the section `packfile` of the reply.
    pub(super) before_pack: Vec<u8>,
}

/// Hands one request to git and its reply to the client.
pub(super) async fn stateless(
    git: &Git,
    dir: &GitDir,
    exchange: Exchange,
    output: &mut Output<'_>,
    stats: &mut FetchStats,
) -> Result<(), ServeError> {
    let Exchange { version, request, before_pack } = exchange;
    let command = command(dir, version).flag("--stateless-rpc");
    let mut serving = Serving::start(git, &command, stats).await?;
    serving.stats.n_fetches += 1;
    let stdin = serving.child.stdin();
    let writing = async move {
        if let Some(mut stdin) = stdin {
            // If git stops reading it has said why, or its status will.
            let _ = stdin.write_all(&request).await;
        }
    };
    let gone = output.closed();
    let stdout = serving.child.stdout().map(BufReader::new);
    let relaying = relay_with(stdout, before_pack, output, serving.stats);
    let moving = async { tokio::join!(writing, relaying).1 };
    tokio::select! {
        moved = moving => moved?,
        () = gone => return Err(ServeError::Gone(std::io::ErrorKind::BrokenPipe.into())),
    }
    serving.finish().await
}

/// Sends the client what git says, with lines of ours before the pack.
async fn relay_with(
    mut stdout: Option<Buffered>,
    before_pack: Vec<u8>,
    output: &mut Output<'_>,
    stats: &mut FetchStats,
) -> Result<(), ServeError> {
    if let Some(stdout) = stdout.as_mut().filter(|_| !before_pack.is_empty()) {
        let mut packets = Packets::new(stdout, MAX_HEAD);
        // If git fails here its end says so.
        while let Ok(Some(packet)) = packets.next().await {
            let is_pack =
                matches!(&packet, Packet::Data(line) if line.ends_with(b"packfile\n") && line.len() <= 10);
            let mut out = if is_pack { before_pack.clone() } else { Vec::new() };
            encode_packet(&packet, &mut out);
            output.send(out.into()).await.map_err(ServeError::Gone)?;
            if is_pack {
                break;
            }
        }
    }
    relay(stdout, output, stats).await
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
        output.send(buffer.split().freeze()).await.map_err(ServeError::Gone)?;
        stats.sent_bytes += n as u64;
        SENT.add(n as u64);
        output.flush().await.map_err(ServeError::Gone)?;
    }
}

fn encode_packet(packet: &Packet, out: &mut Vec<u8>) {
    match packet {
        Packet::Data(line) => encode(line, out),
        Packet::Flush => out.extend_from_slice(FLUSH),
        Packet::Delim => out.extend_from_slice(DELIM),
        Packet::ResponseEnd => out.extend_from_slice(RESPONSE_END),
    }
}

/// A git that serves a client, and where its figures go: also those of one that is killed since its client left.
pub(super) struct Serving<'a> {
    pub(super) child: Child,
    pub(super) stats: &'a mut FetchStats,
}

impl<'a> Serving<'a> {
    pub(super) async fn start(
        git: &Git,
        command: &Command,
        stats: &'a mut FetchStats,
    ) -> Result<Self, ServeError> {
        let child = Child::spawn(git, command).await.map_err(ServeError::Child)?;
        Ok(Self { child, stats })
    }

    /// Waits for git's end.
    pub(super) async fn finish(mut self) -> Result<(), ServeError> {
        let finished = self.child.reap().await.map_err(ServeError::Child)?;
        self.stats.cpu += finished.cpu;
        finished.success().map(drop).map_err(ServeError::Child)
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.stats.cpu += self.child.cpu_so_far();
    }
}

/// The output of git, read ahead.
pub(super) type Buffered = tokio::io::BufReader<ChildStdout>;

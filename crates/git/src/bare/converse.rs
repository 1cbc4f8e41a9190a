//! One conversation with an operator's repository, held by git itself.

use std::io;
use std::net::IpAddr;

use bytes::BytesMut;
use hakata_runtime::metrics::{Counter, CounterFamily, Label, Metric};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};

use super::patient::PatientChild;
use super::root::Repository;
use crate::command::{Command, Subcommand};
use crate::process::{ChildError, Finished, ask};
use crate::serve::Output;

/// Bytes that are moved at a time, the capacity of a pipe.
const PIECE: usize = 64 << 10;

/// Longest advertisement that is read, in bytes: some millions of refs.
const MAX_ADVERTISEMENT: u64 = 512 << 20;

static SENT: Counter =
    Counter::new("hakata_bare_sent_bytes_total", "Bytes that git sent from an operator's own repositories");
static ENDED: CounterFamily<(Program, End)> = CounterFamily::new(
    "hakata_bare_conversations_total",
    "Conversations with an operator's own repositories, by git's end of them",
);

/// Lists the metrics of conversations.
pub(super) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&SENT, &ENDED]
}

/// A program of git that speaks to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Program {
    /// Serves fetches.
    UploadPack,
    /// Serves pushes.
    ReceivePack,
    /// Serves archives.
    UploadArchive,
}

/// How git ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Done,
    Failed,
    Cut,
}

/// Who is at the other end, for hooks and the reflog.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// The name that was proven by a password; empty: anonymous.
    pub user: String,
    /// The address.
    pub address: Option<IpAddr>,
}

/// What one conversation is about.
#[derive(Clone, Copy, Debug)]
pub struct Conversation<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// What git runs.
    pub program: Program,
    /// The client's `Git-Protocol`, as it came.
    pub protocol: Option<&'a str>,
    /// Who talks.
    pub visitor: &'a Visitor,
}

/// Why a conversation ended early.
#[derive(Debug, thiserror::Error)]
pub enum ConverseError {
    /// The request broke off or was bad; its reader knows why.
    #[error("reading a request")]
    Request(#[source] io::Error),
    /// The client left.
    #[error("the client left")]
    Gone(#[source] io::Error),
    /// git did not run, or was stopped.
    #[error("running git")]
    Child(#[source] ChildError),
}

impl Program {
    /// Lists all.
    pub const ALL: [Self; 3] = [Self::UploadPack, Self::ReceivePack, Self::UploadArchive];

    /// Returns the name on the wire, without `git-`.
    pub const fn name(self) -> &'static str {
        self.subcommand().name()
    }

    /// Returns the key of the configuration that turns it on and off over HTTP.
    pub const fn key(self) -> &'static str {
        match self {
            Self::UploadPack => "http.uploadpack",
            Self::ReceivePack => "http.receivepack",
            Self::UploadArchive => "http.uploadarchive",
        }
    }

    const fn subcommand(self) -> Subcommand {
        match self {
            Self::UploadPack => Subcommand::UploadPack,
            Self::ReceivePack => Subcommand::ReceivePack,
            Self::UploadArchive => Subcommand::UploadArchive,
        }
    }
}

impl Label for Program {
    const KEY: &'static str = "program";

    fn value(self) -> &'static str {
        self.name()
    }
}

impl Label for End {
    const KEY: &'static str = "end";

    fn value(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cut => "cut",
        }
    }
}

impl Conversation<'_> {
    /// Asks git for its advertisement, without the line that HTTP puts before it. A git that fails has said what it
    /// could, which is the answer, as it is with git's own server.
    ///
    /// # Errors
    /// When git does not run.
    pub async fn advertise(&self) -> Result<bytes::Bytes, ChildError> {
        let command = self.command().flag("--http-backend-info-refs").flag(".");
        let (finished, said) = ask(self.repository.git(), &command, Vec::new(), MAX_ADVERTISEMENT).await?;
        self.note(&finished);
        Ok(said.into())
    }

    /// Hands the request to git and git's reply to the client, until git ends.
    ///
    /// # Errors
    /// Any [`ConverseError`]; git sees the end of its request then and is given time to clean up, behind our back.
    pub async fn serve<R: AsyncRead + Unpin + Send>(
        &self,
        input: &mut R,
        output: &mut Output<'_>,
    ) -> Result<(), ConverseError> {
        let command = match self.program {
            // It has only one way to speak.
            Program::UploadArchive => self.command().flag("."),
            Program::UploadPack | Program::ReceivePack => self.command().flag("--stateless-rpc").flag("."),
        };
        let spawned = PatientChild::spawn(self.repository.git(), &command).await;
        let (mut running, stdin) = spawned.map_err(ConverseError::Child)?;
        let mut cut = Cut(Some(self.program));
        let gone = output.closed();
        tokio::select! {
            // git's end is the end; what the client says afterwards interests nobody.
            relayed = relay(running.stdout.as_mut(), output) => relayed?,
            broken = feed(input, stdin) => return Err(ConverseError::Request(broken)),
            () = gone => return Err(ConverseError::Gone(io::ErrorKind::BrokenPipe.into())),
        }
        let finished = running.finish().await.map_err(ConverseError::Child)?;
        cut.0 = None;
        if let Some(finished) = finished {
            self.note(&finished);
        }
        Ok(())
    }

    /// Counts an end, and writes down what git says to its operator.
    fn note(&self, finished: &Finished) {
        let (program, said) = (self.program.name(), finished.message());
        let path = self.repository.path().display();
        if finished.status.success() {
            ENDED.get((self.program, End::Done)).inc();
            if !said.is_empty() {
                tracing::debug!(program, repository.path = %path, git.said = said, "git has something to say");
            }
        } else {
            ENDED.get((self.program, End::Failed)).inc();
            tracing::info!(program, repository.path = %path, status = %finished.status, git.said = said, "git ended a conversation");
        }
    }

    fn command(&self) -> Command {
        let Visitor { user, address } = self.visitor;
        let name = if user.is_empty() { "anonymous" } else { user };
        let host = address.map_or_else(|| "(none)".to_owned(), |address| address.to_string());
        let mut command = self
            .repository
            .command(self.program.subcommand())
            .env("GIT_COMMITTER_NAME", name)
            .env("GIT_COMMITTER_EMAIL", format!("{name}@http.{host}"))
            .env("GATEWAY_INTERFACE", "CGI/1.1")
            .env("GIT_PROJECT_ROOT", self.repository.root().path());
        if !user.is_empty() {
            command = command.env("REMOTE_USER", user);
        }
        if let Some(address) = address {
            command = command.env("REMOTE_ADDR", address.to_string());
        }
        match self.protocol {
            Some(protocol) => command.env("GIT_PROTOCOL", protocol),
            None => command,
        }
    }
}

/// Counts a conversation that was dropped before git ended.
struct Cut(Option<Program>);

impl Drop for Cut {
    fn drop(&mut self) {
        if let Some(program) = self.0 {
            ENDED.get((program, End::Cut)).inc();
        }
    }
}

/// Moves a request to git; returns only if the request breaks off. A git that reads no further has said why, or its
/// status will; the rest stays unread.
///
/// The last piece is held back until the request is known to be whole: a push whose request is broken is then never
/// more than a part of one to git, which refuses it and cleans up.
async fn feed<R: AsyncRead + Unpin>(input: &mut R, stdin: Option<ChildStdin>) -> io::Error {
    let Some(mut stdin) = stdin else { return std::future::pending().await };
    let (mut held, mut next) = (BytesMut::with_capacity(PIECE), BytesMut::with_capacity(PIECE));
    loop {
        next.clear();
        next.reserve(PIECE);
        let read = match input.read_buf(&mut next).await {
            Ok(n_bytes) => n_bytes,
            Err(broken) => return broken,
        };
        if stdin.write_all(&held).await.is_err() || read == 0 {
            break;
        }
        std::mem::swap(&mut held, &mut next);
    }
    drop(stdin);
    std::future::pending().await
}

/// Moves git's reply to the client.
async fn relay(stdout: Option<&mut ChildStdout>, output: &mut Output<'_>) -> Result<(), ConverseError> {
    let Some(stdout) = stdout else { return Ok(()) };
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        // A broken pipe from git is seen again when it is reaped.
        let Ok(n @ 1..) = stdout.read_buf(&mut buffer).await else { return Ok(()) };
        output.send(buffer.split().freeze()).await.map_err(ConverseError::Gone)?;
        SENT.add(n as u64);
        output.flush().await.map_err(ConverseError::Gone)?;
    }
}

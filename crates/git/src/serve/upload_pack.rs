//! A whole conversation with a client that fetches.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use hakata_pkt_line::{MAX_PAYLOAD, encode_parts};
use hakata_runtime::metrics::{Counter, CounterFamily, Label, Metric};
use tokio::io::AsyncRead;

use super::request::Bounds;
use super::wants::Asked;
use super::{
    Mode, OpenDirectoryError, Output, Protocol, ProtocolVersion, RequestError, Source, stateful, v0, v2,
};
use crate::objects::ReadError;
use crate::packets::ReadPacketError;
use crate::process::ChildError;
use crate::refs::RefSnapshot;
use crate::{Git, GitDir};

static COMMANDS: CounterFamily<Command> =
    CounterFamily::new("hakata_git_fetch_commands_total", "Commands of fetching clients, by command");
static REFUSED: Counter = Counter::new(
    "hakata_git_fetch_refused_total",
    "Requests of fetching clients that were refused as they stood",
);
pub(super) static SENT: Counter =
    Counter::new("hakata_git_fetch_sent_bytes_total", "Bytes that git sent to fetching clients");

/// Lists the metrics of fetches.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&COMMANDS, &REFUSED, &SENT]
}

/// How much one request may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Lines that want an object or a ref.
    pub n_wants: usize,
    /// Lines that tell of an object or a shallow boundary.
    pub n_haves: usize,
    /// Bytes of one request, inflated.
    pub request_bytes: u64,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self { n_wants: 100_000, n_haves: 100_000, request_bytes: 10 << 20 }
    }
}

/// What a conversation came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchStats {
    /// `ls-refs` and advertisements answered.
    pub n_listings: u32,
    /// Fetches that git answered, one for each round of a negotiation in version 2 and over HTTP.
    pub n_fetches: u32,
    /// Objects wanted.
    pub n_wants: u64,
    /// Objects the client said to have.
    pub n_haves: u64,
    /// Bytes that git produced.
    pub sent_bytes: u64,
    /// Processor time of git, in steps of 10 ms a process.
    pub cpu: Duration,
    /// Whether history was cut.
    pub shallow: bool,
    /// Whether objects were left out.
    pub filtered: bool,
    /// What the client calls itself, bounded and safe for a log.
    pub agent: Option<String>,
}

/// One conversation.
#[derive(Clone, Copy)]
pub struct UploadPack<'a> {
    /// The git to run.
    pub git: &'a Git,
    /// The refs to show.
    pub snapshot: &'a RefSnapshot,
    /// The repository above.
    pub source: &'a dyn Source,
    /// The dialect.
    pub protocol: Protocol,
    /// How much one request may ask for.
    pub limits: FetchLimits,
}

impl UploadPack<'_> {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds { n_wants: self.limits.n_wants, n_haves: self.limits.n_haves }
    }
}

/// Why a conversation ended early.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The request cannot be served as it stands. The client has been told by an `ERR` line.
    #[error("refusing a request")]
    Refused(#[source] RequestError),
    /// The client left, or its connection failed. Nobody is left to be told.
    #[error("the client left")]
    Gone(#[source] io::Error),
    /// The directory cannot be had. Nothing of the reply has been sent.
    #[error("opening the repository")]
    Directory(#[source] OpenDirectoryError),
    /// Wants cannot be checked. Nothing of the reply has been sent.
    #[error("checking what is wanted")]
    Read(#[source] ReadError),
    /// git did not run, or failed. Nothing has been sent if [`ChildError::Limited`] or
    /// [`ChildError::Spawn`]; otherwise git has told the client what it could.
    #[error("running git")]
    Child(#[source] ChildError),
}

impl ServeError {
    /// Says whether the client still listens and has been told nothing about the end of its request.
    pub fn is_untold(&self) -> bool {
        match self {
            Self::Directory(_) | Self::Read(_) => true,
            Self::Child(error) => matches!(error, ChildError::Limited(_) | ChildError::Spawn { .. }),
            Self::Refused(_) | Self::Gone(_) => false,
        }
    }
}

impl From<RequestError> for ServeError {
    fn from(refused: RequestError) -> Self {
        Self::Refused(refused)
    }
}

impl From<ReadPacketError> for ServeError {
    fn from(error: ReadPacketError) -> Self {
        match error {
            ReadPacketError::Malformed(error) => RequestError::Malformed(error.to_string()).into(),
            ReadPacketError::Truncated => RequestError::Truncated.into(),
            ReadPacketError::TooLong { limit } => {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                RequestError::TooMany { what: "bytes", limit }.into()
            }
            ReadPacketError::Io(error) => Self::Gone(error),
        }
    }
}

/// Renders an `ERR` line, with which a server ends a conversation.
pub fn encode_error(message: &str) -> Bytes {
    let mut out = Vec::new();
    let end = message.floor_char_boundary(MAX_PAYLOAD - 8);
    encode_parts(&[b"ERR ", &message.as_bytes()[..end]], &mut out);
    out.into()
}

/// Serves one conversation: with [`Mode::Stateful`] from the advertisement to the end, with
/// [`Mode::Stateless`] one request, whose end is the end of `input` or its last packet.
///
/// `input` should be buffered. Dropping the future kills git. `stats` is kept up to date on the way: whoever drops the
/// future, or gets an error, finds there what was done until then.
///
/// # Errors
/// Any [`ServeError`]; each says what the client has been told.
pub async fn upload_pack<R: AsyncRead + Unpin + Send>(
    conversation: UploadPack<'_>,
    input: &mut R,
    output: &mut Output<'_>,
    stats: &mut FetchStats,
) -> Result<(), ServeError> {
    let protocol = conversation.protocol;
    let served = match (protocol.version, protocol.mode) {
        (ProtocolVersion::V2, _) => v2::serve(&conversation, input, output, stats).await,
        (_, Mode::Stateless) => v0::serve(&conversation, input, output, stats).await,
        (_, Mode::Stateful) => stateful::serve(&conversation, input, output, stats).await,
    };
    if let Err(ServeError::Refused(refused)) = &served {
        REFUSED.inc();
        output.send(encode_error(&refused.to_string())).await.map_err(ServeError::Gone)?;
    }
    output.flush().await.map_err(ServeError::Gone)?;
    served
}

/// Finds the first want that is refused, as an error.
pub(super) async fn check_wants(
    conversation: &UploadPack<'_>,
    dir: &GitDir,
    wants: &[hakata_names::Oid],
) -> Result<(), ServeError> {
    let UploadPack { git, snapshot, source, .. } = *conversation;
    match (Asked { git, dir, snapshot, source, oids: wants }).first_refused().await? {
        Some(oid) => Err(RequestError::NotOurRef(oid).into()),
        None => Ok(()),
    }
}

/// A command as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Command {
    Advertise,
    LsRefs,
    Fetch,
    ObjectInfo,
    Archive,
}

impl Command {
    pub(super) fn count(self) {
        COMMANDS.get(self).inc();
    }
}

impl Label for Command {
    const KEY: &'static str = "command";

    fn value(self) -> &'static str {
        match self {
            Self::Advertise => "advertise",
            Self::LsRefs => "ls-refs",
            Self::Fetch => "fetch",
            Self::ObjectInfo => "object-info",
            Self::Archive => "archive",
        }
    }
}

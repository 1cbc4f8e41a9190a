//! The commands of a push.

use std::collections::HashSet;
use std::io;

use bytes::Bytes;
use hakata_names::{ObjectFormat, Oid, ParseRefNameError, RefName, RefUpdate, escape_controls};
use tokio::io::AsyncRead;

use crate::packets::{Packets, ReadPacketError};

/// Longest name of a refused ref that is repeated to the client, in bytes.
const MAX_ECHO: usize = 1_024;

/// How much one push may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushLimits {
    /// Ref updates.
    pub n_updates: usize,
    /// Shallow boundaries.
    pub n_shallow: usize,
    /// Push options.
    pub n_options: usize,
    /// Bytes before the pack.
    pub request_bytes: u64,
}

impl Default for PushLimits {
    fn default() -> Self {
        Self { n_updates: 10_000, n_shallow: 10_000, n_options: 64, request_bytes: 16 << 20 }
    }
}

/// What a client asks for before its pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushRequest {
    /// The updates, in the client's order, each ref once.
    pub updates: Vec<RefUpdate>,
    /// Commands whose ref cannot exist here; each is to be reported as `ng`.
    pub refused: Vec<RefusedCommand>,
    /// How the client wants to be answered.
    pub capabilities: PushCapabilities,
    /// Push options, in order, without line feeds.
    pub options: Vec<Bytes>,
    /// Commits whose parents the client does not have.
    pub shallow: Vec<Oid>,
    has_pack: bool,
}

impl PushRequest {
    /// Says whether a pack follows: unless every command is a deletion.
    pub fn has_pack(&self) -> bool {
        self.has_pack
    }

    /// Lists the objects that refs shall point to, each once.
    pub fn new_tips(&self) -> Vec<Oid> {
        let mut tips: Vec<Oid> = self.updates.iter().filter_map(|update| update.new).collect();
        tips.sort_unstable();
        tips.dedup();
        tips
    }
}

/// A command that names no ref of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCommand {
    /// The name as sent, without control characters, bounded.
    pub name: Bytes,
    /// What is wrong with it.
    pub reason: ParseRefNameError,
}

/// The report that a client asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReportStatus {
    /// None: it is told nothing.
    #[default]
    None,
    /// `report-status`.
    V1,
    /// `report-status-v2`: with options behind each `ok`.
    V2,
}

/// How a client wants its push done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushCapabilities {
    /// The report it understands.
    pub report: ReportStatus,
    /// Whether reports and progress travel in side-band packets.
    pub side_band: bool,
    /// Whether all updates fail if one does.
    pub atomic: bool,
    /// Whether progress is unwelcome.
    pub quiet: bool,
    /// Whether it sends push options.
    pub push_options: bool,
    /// What it calls itself, bounded and safe for a log.
    pub agent: Option<String>,
}

/// Why a push cannot be read. The message may be shown to the client in an `ERR` line.
#[derive(Debug, thiserror::Error)]
pub enum ReadPushError {
    /// The bytes are not the protocol's.
    #[error("protocol error: {0}")]
    Malformed(String),
    /// The stream ends within the request.
    #[error("the request ends too early")]
    Truncated,
    /// More than we take.
    #[error("too many {what} in one push (limit {limit})")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many we take.
        limit: u64,
    },
    /// A ref is named twice.
    #[error("multiple updates for ref '{0}' not allowed")]
    Duplicate(RefName),
    /// The client's objects are of the other format.
    #[error("mismatched object format: server {server}; client {client}")]
    Format {
        /// Ours.
        server: ObjectFormat,
        /// The client's word, safe for a log.
        client: String,
    },
    /// Signed pushes are not offered.
    #[error("signed pushes are not supported")]
    Signed,
    /// The connection failed.
    #[error("reading the push")]
    Io(#[source] io::Error),
}

impl From<ReadPacketError> for ReadPushError {
    fn from(error: ReadPacketError) -> Self {
        match error {
            ReadPacketError::Malformed(error) => Self::Malformed(error.to_string()),
            ReadPacketError::Truncated => Self::Truncated,
            ReadPacketError::TooLong { limit } => Self::TooMany { what: "bytes before the pack", limit },
            ReadPacketError::Io(error) => Self::Io(error),
        }
    }
}

/// Reads commands and push options; the pack, if any, is what follows in `input`, which should be buffered.
///
/// `None` if the client has nothing to push: it hung up, or sent nothing but a flush.
///
/// # Errors
/// Any [`ReadPushError`].
pub async fn read_request<R: AsyncRead + Unpin>(
    input: &mut R,
    format: ObjectFormat,
    limits: &PushLimits,
) -> Result<Option<PushRequest>, ReadPushError> {
    let mut packets = Packets::new(input, limits.request_bytes);
    let mut reading =
        Reading { format, limits, names: HashSet::new(), request: PushRequest::default(), n: 0 };
    while let Some(line) = match packets.line().await {
        Err(ReadPacketError::Truncated) if !packets.has_read() => return Ok(None),
        line => line?,
    } {
        reading.take(&line)?;
    }
    if reading.n == 0 {
        return Ok(None);
    }
    let mut request = reading.request;
    if request.capabilities.push_options {
        while let Some(option) = packets.line().await? {
            if request.options.len() >= limits.n_options {
                return Err(too_many("push options", limits.n_options));
            }
            let end = option.len() - usize::from(option.ends_with(b"\n"));
            request.options.push(option.slice(..end));
        }
    }
    Ok(Some(request))
}

struct Reading<'a> {
    format: ObjectFormat,
    limits: &'a PushLimits,
    names: HashSet<RefName>,
    request: PushRequest,
    n: usize,
}

impl Reading<'_> {
    fn take(&mut self, line: &[u8]) -> Result<(), ReadPushError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if let Some(hex) = line.strip_prefix(b"shallow ") {
            return self.take_shallow(hex);
        }
        let (command, words) = match line.iter().position(|byte| *byte == 0) {
            Some(at) => (&line[..at], Some(&line[at + 1..])),
            None => (line, None),
        };
        if let Some(words) = words.filter(|_| self.n == 0) {
            self.take_capabilities(words)?;
        }
        if command.starts_with(b"push-cert") {
            return Err(ReadPushError::Signed);
        }
        self.take_command(command)
    }

    fn take_shallow(&mut self, hex: &[u8]) -> Result<(), ReadPushError> {
        let oid = Oid::parse_wire(hex, self.format).ok().flatten();
        let oid = oid.ok_or_else(|| malformed("expected shallow sha, got", hex))?;
        if self.request.shallow.len() >= self.limits.n_shallow {
            return Err(too_many("shallow lines", self.limits.n_shallow));
        }
        self.request.shallow.push(oid);
        Ok(())
    }

    fn take_command(&mut self, command: &[u8]) -> Result<(), ReadPushError> {
        let unexpected = || malformed("expected old/new/ref, got", command);
        let hex_len = self.format.hex_len();
        if command.len() < 2 * hex_len + 3 || command[hex_len] != b' ' || command[2 * hex_len + 1] != b' ' {
            return Err(unexpected());
        }
        let old = Oid::parse_wire(&command[..hex_len], self.format).map_err(|_| unexpected())?;
        let new =
            Oid::parse_wire(&command[hex_len + 1..2 * hex_len + 1], self.format).map_err(|_| unexpected())?;
        if self.n >= self.limits.n_updates {
            return Err(too_many("ref updates", self.limits.n_updates));
        }
        self.n += 1;
        self.request.has_pack |= new.is_some();
        let name = &command[2 * hex_len + 2..];
        match RefName::parse(name) {
            Ok(name) if !self.names.insert(name.clone()) => return Err(ReadPushError::Duplicate(name)),
            Ok(name) => self.request.updates.push(RefUpdate { name, old, new }),
            Err(reason) => {
                let name = Bytes::from(escape_controls(&name[..name.len().min(MAX_ECHO)]).replace(' ', "?"));
                self.request.refused.push(RefusedCommand { name, reason });
            }
        }
        Ok(())
    }

    fn take_capabilities(&mut self, words: &[u8]) -> Result<(), ReadPushError> {
        let mut client = None;
        let capabilities = &mut self.request.capabilities;
        for word in words.split(|byte| *byte == b' ') {
            match word {
                b"report-status" if capabilities.report == ReportStatus::None => {
                    capabilities.report = ReportStatus::V1;
                }
                b"report-status-v2" => capabilities.report = ReportStatus::V2,
                b"side-band-64k" => capabilities.side_band = true,
                b"atomic" => capabilities.atomic = true,
                b"quiet" => capabilities.quiet = true,
                b"push-options" => capabilities.push_options = true,
                word => {
                    if let Some(agent) = word.strip_prefix(b"agent=") {
                        capabilities.agent = Some(escape_controls(&agent[..agent.len().min(120)]));
                    } else if let Some(name) = word.strip_prefix(b"object-format=") {
                        client = Some(name);
                    }
                }
            }
        }
        let client = client.unwrap_or(ObjectFormat::Sha1.name().as_bytes());
        if client != self.format.name().as_bytes() {
            let client = escape_controls(&client[..client.len().min(32)]);
            return Err(ReadPushError::Format { server: self.format, client });
        }
        Ok(())
    }
}

fn malformed(what: &str, line: &[u8]) -> ReadPushError {
    ReadPushError::Malformed(format!("{what} '{}'", escape_controls(&line[..line.len().min(120)])))
}

fn too_many(what: &'static str, limit: usize) -> ReadPushError {
    ReadPushError::TooMany { what, limit: limit as u64 }
}

#[cfg(test)]
mod tests;

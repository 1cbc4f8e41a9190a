//! Versions 0 and 1 in requests that stand alone. Source: gitprotocol-pack(5), gitprotocol-http(5).

use hakata_names::ObjectFormat;
use hakata_pkt_line::{FLUSH, Packet, encode, encode_parts};
use tokio::io::AsyncRead;

use super::request::{Bounds, Deepen, RequestError, Wanted, chomp, parse_oid, quote};
use super::upload_pack::{Command, check_wants};
use super::{FetchStats, Output, ServeError, UploadPack, fetch};
use crate::packets::Packets;
use crate::refs::RefSnapshot;

/// Capabilities that are handed on to git if the client names them.
const CAPABILITIES: [&str; 13] = [
    "multi_ack",
    "multi_ack_detailed",
    "no-done",
    "thin-pack",
    "side-band",
    "side-band-64k",
    "ofs-delta",
    "shallow",
    "deepen-since",
    "deepen-not",
    "no-progress",
    "include-tag",
    "filter",
];

pub(super) async fn serve<R: AsyncRead + Unpin + Send>(
    conversation: &UploadPack<'_>,
    input: &mut R,
    output: &mut Output<'_>,
    stats: &mut FetchStats,
) -> Result<(), ServeError> {
    let UploadPack { git, snapshot, source, limits, .. } = *conversation;
    let bounds = conversation.bounds();
    let mut packets = Packets::new(input, limits.request_bytes);
    let Some(needs) = Needs::read(&mut packets, snapshot, bounds).await? else {
        return if packets.has_read() { Ok(()) } else { Err(RequestError::Truncated.into()) };
    };
    let mut request = needs.encode(git.capabilities().agent());
    let mut haves = Haves::new(snapshot.format(), bounds.n_haves);
    while let Some(packet) = packets.next().await? {
        haves.take(&packet, &mut request)?;
        if haves.done {
            break;
        }
    }
    Command::Fetch.count();
    needs.count(stats);
    stats.n_haves += haves.n as u64;
    let dir = source.directory().await.map_err(ServeError::Directory)?;
    let dir = (*dir).as_ref();
    check_wants(conversation, dir, &needs.wanted.wants).await?;
    let exchange = fetch::Exchange { version: fetch::Version::V0, request, before_pack: Vec::new() };
    fetch::stateless(git, dir, exchange, output, stats).await
}

/// What a client wants, up to the first flush.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) wanted: Wanted,
    capabilities: Vec<&'static str>,
    agent: Option<String>,
}

impl Needs {
    /// Reads them; `None` if the client wants nothing.
    pub(super) async fn read<R: AsyncRead + Unpin>(
        packets: &mut Packets<'_, R>,
        refs: &RefSnapshot,
        bounds: Bounds,
    ) -> Result<Option<Self>, ServeError> {
        let mut needs = Self::default();
        let mut is_first = true;
        loop {
            let line = match packets.next().await? {
                Some(Packet::Data(line)) => line,
                Some(Packet::Flush) => break,
                None if is_first => return Ok(None),
                None => return Err(RequestError::Truncated.into()),
                Some(_) => return Err(RequestError::unexpected(b"0001").into()),
            };
            needs.take(chomp(&line), is_first, refs, bounds)?;
            is_first = false;
        }
        needs.wanted.check()?;
        Ok((!needs.wanted.wants.is_empty()).then_some(needs))
    }

    fn take(
        &mut self,
        line: &[u8],
        is_first: bool,
        refs: &RefSnapshot,
        bounds: Bounds,
    ) -> Result<(), RequestError> {
        // Capabilities follow the first id: `want <oid> <capability> <capability>…`.
        let end = b"want ".len() + refs.format().hex_len();
        let (line, words) = match line.get(end) {
            Some(b' ') if is_first && line.starts_with(b"want ") => (&line[..end], &line[end + 1..]),
            _ => (line, &b""[..]),
        };
        self.take_capabilities(words, refs.format())?;
        if self.wanted.take(line, refs, bounds)? {
            return Ok(());
        }
        Err(RequestError::unexpected(line))
    }

    fn take_capabilities(&mut self, words: &[u8], format: ObjectFormat) -> Result<(), RequestError> {
        for word in words.split(|byte| *byte == b' ') {
            if let Some(known) = CAPABILITIES.iter().find(|known| known.as_bytes() == word) {
                if !self.capabilities.contains(known) {
                    self.capabilities.push(known);
                }
            } else if word == b"deepen-relative" {
                self.wanted.deepen.relative = true;
            } else if let Some(agent) = word.strip_prefix(b"agent=") {
                self.agent = Some(quote(agent));
            } else if let Some(name) = word.strip_prefix(b"object-format=")
                && name != format.name().as_bytes()
            {
                let both = format!("mismatched object format: server {format}; client {}", quote(name));
                return Err(RequestError::Malformed(both));
            }
        }
        Ok(())
    }

    pub(super) fn count(&self, stats: &mut FetchStats) {
        stats.n_wants += self.wanted.wants.len() as u64;
        stats.filtered |= self.wanted.filter.is_some();
        stats.shallow |= self.wanted.deepen != Deepen::default();
        stats.agent = self.agent.clone();
    }

    /// Writes the wants as we would have made them ourselves, with their flush.
    pub(super) fn encode(&self, agent: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.wanted.wants.len() * 80);
        let mut words = self.capabilities.join(" ");
        if self.wanted.deepen.relative {
            words.push_str(" deepen-relative");
        }
        for (n, oid) in self.wanted.wants.iter().enumerate() {
            let oid = oid.to_string();
            match n {
                0 => {
                    let parts = [
                        b"want ",
                        oid.as_bytes(),
                        b" ",
                        words.as_bytes(),
                        b" agent=",
                        agent.as_bytes(),
                        b"\n",
                    ];
                    encode_parts(&parts, &mut out);
                }
                _ => encode_parts(&[b"want ", oid.as_bytes(), b"\n"], &mut out),
            }
        }
        self.wanted.encode_rest(&mut out);
        out.extend_from_slice(FLUSH);
        out
    }
}

/// The negotiation: rounds of `have`, each ended by a flush, until `done`.
pub(super) struct Haves {
    format: ObjectFormat,
    limit: usize,
    pub(super) n: usize,
    pub(super) done: bool,
}

impl Haves {
    pub(super) fn new(format: ObjectFormat, limit: usize) -> Self {
        Self { format, limit, n: 0, done: false }
    }

    /// Checks one packet and writes it for git.
    pub(super) fn take(&mut self, packet: &Packet, out: &mut Vec<u8>) -> Result<(), RequestError> {
        match packet {
            Packet::Flush => out.extend_from_slice(FLUSH),
            Packet::Data(line) => match chomp(line) {
                b"done" => {
                    self.done = true;
                    encode(b"done\n", out);
                }
                line => {
                    let hex = line.strip_prefix(b"have ").ok_or_else(|| RequestError::unexpected(line))?;
                    let oid = parse_oid(hex, self.format, line)?;
                    self.n += 1;
                    if self.n > self.limit {
                        return Err(RequestError::TooMany { what: "haves", limit: self.limit });
                    }
                    encode_parts(&[b"have ", oid.to_string().as_bytes(), b"\n"], out);
                }
            },
            Packet::Delim | Packet::ResponseEnd => return Err(RequestError::unexpected(b"0001")),
        }
        Ok(())
    }
}

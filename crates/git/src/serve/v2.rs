//! Version 2: a loop over commands. Source: gitprotocol-v2(5).

use std::collections::HashSet;

use bytes::Bytes;
use hakata_names::{ObjectFormat, RefName};
use hakata_pkt_line::{DELIM, FLUSH, Packet, encode, encode_parts};
use tokio::io::AsyncRead;

use super::object_info::ObjectInfo;
use super::request::{Bounds, RequestError, Wanted, chomp, parse_oid, push, quote};
use super::upload_pack::{Command, check_wants};
use super::{FetchStats, Mode, Output, ServeError, Service, UploadPack, advertise, fetch, ls_refs};
use crate::packets::Packets;
use crate::refs::RefSnapshot;

/// Lines of capabilities that a request may open with; `server-option` may repeat.
const MAX_CAPABILITY_LINES: usize = 256;

/// Lines of arguments that are a word each, in the order in which git is told them.
const FLAGS: [&str; 8] = [
    "thin-pack",
    "no-progress",
    "include-tag",
    "ofs-delta",
    "sideband-all",
    "wait-for-done",
    "deepen-relative",
    "done",
];

pub(super) async fn serve<R: AsyncRead + Unpin + Send>(
    conversation: &UploadPack<'_>,
    input: &mut R,
    output: &mut Output<'_>,
    stats: &mut FetchStats,
) -> Result<(), ServeError> {
    let UploadPack { git, snapshot, protocol, limits, .. } = *conversation;
    if protocol.mode == Mode::Stateful {
        let lines = advertise(snapshot, Service::UploadPack, protocol, git.capabilities());
        output.send_all(lines).await.map_err(ServeError::Gone)?;
        output.flush().await.map_err(ServeError::Gone)?;
    }
    let mut packets = Packets::new(input, limits.request_bytes);
    loop {
        packets.renew();
        let Some(opening) = Opening::read(&mut packets, snapshot.format()).await? else {
            return match protocol.mode {
                Mode::Stateless if !packets.has_read() => Err(RequestError::Truncated.into()),
                _ => Ok(()),
            };
        };
        stats.agent = stats.agent.take().or(opening.agent);
        match opening.command {
            Asked::LsRefs => {
                let request = ls_refs::LsRefs::read(&mut packets, opening.has_arguments).await?;
                Command::LsRefs.count();
                stats.n_listings += 1;
                output.send_all(request.answer(snapshot)).await.map_err(ServeError::Gone)?;
            }
            Asked::ObjectInfo => {
                let bounds = conversation.bounds();
                let request = ObjectInfo::read(&mut packets, opening.has_arguments, snapshot, bounds).await?;
                Command::ObjectInfo.count();
                let pieces = [request.answer(conversation).await?];
                output.send_all(pieces).await.map_err(ServeError::Gone)?;
            }
            Asked::Fetch => {
                let bounds = conversation.bounds();
                let request = Fetch::read(&mut packets, opening.has_arguments, snapshot, bounds).await?;
                Command::Fetch.count();
                serve_fetch(conversation, &request, output, stats).await?;
            }
        }
        if protocol.mode == Mode::Stateless {
            return Ok(());
        }
        output.flush().await.map_err(ServeError::Gone)?;
    }
}

async fn serve_fetch(
    conversation: &UploadPack<'_>,
    request: &Fetch,
    output: &mut Output<'_>,
    stats: &mut FetchStats,
) -> Result<(), ServeError> {
    let UploadPack { git, snapshot, source, .. } = *conversation;
    if request.is_idle() {
        return Ok(());
    }
    request.count(stats);
    let dir = source.directory().await.map_err(ServeError::Directory)?;
    let dir = (*dir).as_ref();
    check_wants(conversation, dir, &request.wanted.wants).await?;
    let exchange = fetch::Exchange {
        version: fetch::Version::V2,
        request: request.encode(git.capabilities().agent(), snapshot.format()),
        before_pack: request.encode_wanted_refs(),
    };
    fetch::stateless(git, dir, exchange, output, stats).await
}

/// The commands we answer.
enum Asked {
    LsRefs,
    Fetch,
    ObjectInfo,
}

/// Command and capabilities of a request, as far as its delimiter.
struct Opening {
    command: Asked,
    agent: Option<String>,
    has_arguments: bool,
}

impl Opening {
    /// Reads up to the delimiter or flush; `None` if the client has no more requests.
    async fn read<R: AsyncRead + Unpin>(
        packets: &mut Packets<'_, R>,
        format: ObjectFormat,
    ) -> Result<Option<Self>, ServeError> {
        let (mut command, mut agent, mut client_format) = (None, None, ObjectFormat::Sha1);
        let mut has_arguments = false;
        for n_lines in 0..=MAX_CAPABILITY_LINES {
            let line = match packets.next().await? {
                Some(Packet::Data(line)) => line,
                Some(Packet::Flush) | None if n_lines == 0 => return Ok(None),
                Some(Packet::Flush) => break,
                Some(Packet::Delim) => {
                    has_arguments = true;
                    break;
                }
                Some(Packet::ResponseEnd) => return Err(RequestError::unexpected(b"0002").into()),
                None => return Err(RequestError::Truncated.into()),
            };
            if n_lines == MAX_CAPABILITY_LINES {
                return Err(
                    RequestError::TooMany { what: "capabilities", limit: MAX_CAPABILITY_LINES }.into()
                );
            }
            let line = chomp(&line);
            match split(line) {
                (b"command", Some(name)) => set_command(&mut command, name)?,
                (b"agent", Some(name)) => agent = Some(quote(name)),
                (b"object-format", Some(name)) => client_format = parse_format(name)?,
                (b"server-option" | b"session-id", Some(_)) => {}
                _ => return Err(malformed(format!("unknown capability '{}'", quote(line))).into()),
            }
        }
        if client_format != format {
            let both = format!("mismatched object format: server {format}; client {client_format}");
            return Err(malformed(both).into());
        }
        let command = command.ok_or_else(|| malformed("no command requested".to_owned()))?;
        Ok(Some(Self { command, agent, has_arguments }))
    }
}

fn set_command(command: &mut Option<Asked>, name: &[u8]) -> Result<(), RequestError> {
    if command.is_some() {
        return Err(malformed(format!("command '{}' requested after another command", quote(name))));
    }
    *command = Some(match name {
        b"ls-refs" => Asked::LsRefs,
        b"fetch" => Asked::Fetch,
        b"object-info" => Asked::ObjectInfo,
        _ => return Err(malformed(format!("invalid command '{}'", quote(name)))),
    });
    Ok(())
}

fn parse_format(name: &[u8]) -> Result<ObjectFormat, RequestError> {
    let found = std::str::from_utf8(name).ok().and_then(ObjectFormat::from_name);
    found.ok_or_else(|| malformed(format!("unknown object format '{}'", quote(name))))
}

fn malformed(message: String) -> RequestError {
    RequestError::Malformed(message)
}

fn split(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    match line.iter().position(|byte| *byte == b'=') {
        Some(at) => (&line[..at], Some(&line[at + 1..])),
        None => (line, None),
    }
}

/// Reads the next argument of a command; `None` at its end.
pub(super) async fn next_argument<R: AsyncRead + Unpin>(
    packets: &mut Packets<'_, R>,
    has_arguments: bool,
) -> Result<Option<Bytes>, ServeError> {
    if !has_arguments {
        return Ok(None);
    }
    match packets.next().await? {
        Some(Packet::Data(line)) => Ok(Some(line)),
        Some(Packet::Flush) => Ok(None),
        Some(Packet::Delim | Packet::ResponseEnd) => {
            Err(malformed("expected flush after arguments".to_owned()).into())
        }
        None => Err(RequestError::Truncated.into()),
    }
}

/// The arguments of `fetch`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fetch {
    wanted: Wanted,
    /// Names of refs, or `HEAD`, with what the snapshot has for them. git is asked for the objects: it
    /// would put the names before a shallow boundary, where its own client does not look for them.
    want_refs: Vec<(hakata_names::Oid, Bytes)>,
    /// The same names, to find one that is told twice: clients that mirror want every ref by name.
    want_ref_names: HashSet<Bytes>,
    haves: Vec<hakata_names::Oid>,
    flags: [bool; FLAGS.len()],
}

impl Fetch {
    async fn read<R: AsyncRead + Unpin>(
        packets: &mut Packets<'_, R>,
        has_arguments: bool,
        refs: &RefSnapshot,
        bounds: Bounds,
    ) -> Result<Self, ServeError> {
        let mut request = Self::default();
        while let Some(line) = next_argument(packets, has_arguments).await? {
            request.take(chomp(&line), refs, bounds)?;
        }
        request.wanted.check()?;
        request.wanted.deepen.relative = request.has("deepen-relative");
        Ok(request)
    }

    fn take(&mut self, line: &[u8], refs: &RefSnapshot, bounds: Bounds) -> Result<(), RequestError> {
        if let Some(at) = FLAGS.iter().position(|flag| flag.as_bytes() == line) {
            self.flags[at] = true;
        } else if let Some(hex) = line.strip_prefix(b"have ") {
            push(&mut self.haves, parse_oid(hex, refs.format(), line)?, "haves", bounds.n_haves)?;
        } else if let Some(name) = line.strip_prefix(b"want-ref ") {
            let target = match name {
                b"HEAD" => refs.head_target(),
                name => RefName::parse(name).ok().and_then(|name| refs.find(&name)).map(|at| at.oid),
            };
            let target = target.ok_or_else(|| RequestError::UnknownRef(quote(name)))?;
            let name = Bytes::copy_from_slice(name);
            if !self.want_ref_names.insert(name.clone()) {
                return Err(malformed(format!("duplicate want-ref {}", quote(&name))));
            }
            push(&mut self.want_refs, (target, name), "want-refs", bounds.n_wants)?;
        } else if !self.wanted.take(line, refs, bounds)? {
            return Err(RequestError::unexpected(line));
        }
        Ok(())
    }

    fn has(&self, flag: &str) -> bool {
        FLAGS.iter().position(|known| *known == flag).is_some_and(|at| self.flags[at])
    }

    /// Says whether there is nothing to do, not even to acknowledge what the client has.
    fn is_idle(&self) -> bool {
        self.wanted.wants.is_empty() && self.want_refs.is_empty() && !self.has("wait-for-done")
    }

    fn count(&self, stats: &mut FetchStats) {
        stats.n_wants += (self.wanted.wants.len() + self.want_refs.len()) as u64;
        stats.n_haves += self.haves.len() as u64;
        stats.filtered |= self.wanted.filter.is_some();
        stats.shallow |= self.wanted.deepen != super::request::Deepen::default();
    }

    /// Writes the section `wanted-refs` of the reply, empty if no ref was asked for by name.
    fn encode_wanted_refs(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.want_refs.is_empty() {
            // With `sideband-all` every line is in a band, delimiters are not.
            let band: &[u8] = if self.has("sideband-all") { b"\x01" } else { b"" };
            encode_parts(&[band, b"wanted-refs\n"], &mut out);
            for (oid, name) in &self.want_refs {
                encode_parts(&[band, oid.to_string().as_bytes(), b" ", name, b"\n"], &mut out);
            }
            out.extend_from_slice(DELIM);
        }
        out
    }

    /// Writes the request as we would have made it ourselves.
    fn encode(&self, agent: &str, format: ObjectFormat) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + (self.wanted.wants.len() + self.haves.len()) * 80);
        encode(b"command=fetch", &mut out);
        encode_parts(&[b"agent=", agent.as_bytes()], &mut out);
        encode_parts(&[b"object-format=", format.name().as_bytes()], &mut out);
        out.extend_from_slice(DELIM);
        for (flag, _) in FLAGS.iter().zip(self.flags).filter(|(flag, set)| *set && **flag != "done") {
            encode_parts(&[flag.as_bytes(), b"\n"], &mut out);
        }
        for oid in self.wanted.wants.iter().chain(self.want_refs.iter().map(|(oid, _)| oid)) {
            encode_parts(&[b"want ", oid.to_string().as_bytes(), b"\n"], &mut out);
        }
        self.wanted.encode_rest(&mut out);
        for oid in &self.haves {
            encode_parts(&[b"have ", oid.to_string().as_bytes(), b"\n"], &mut out);
        }
        if self.has("done") {
            encode(b"done\n", &mut out);
        }
        out.extend_from_slice(FLUSH);
        out
    }
}

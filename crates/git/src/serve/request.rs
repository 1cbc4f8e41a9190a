//! Words that requests of all versions share.

use hakata_names::{ObjectFormat, Oid, RefName, escape_controls};
use hakata_pkt_line::encode_parts;

use super::filter::Filter;
use crate::refs::RefSnapshot;

/// Longest piece of a client's line that an error repeats, in bytes.
const MAX_QUOTED: usize = 120;

/// Why a request cannot be served; the message is what the client is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The bytes are not the protocol's.
    #[error("{0}")]
    Malformed(String),
    /// More lines or bytes than we take.
    #[error("too many {what} in one request (limit {limit})")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many we take.
        limit: usize,
    },
    /// The stream ended within a request.
    #[error("the request ends too early")]
    Truncated,
    /// An object that no visible ref leads to, or that does not exist: the client cannot tell which.
    #[error("upload-pack: not our ref {0}")]
    NotOurRef(Oid),
    /// A ref asked for by a name, safe for logs, that does not exist.
    #[error("unknown ref {0}")]
    UnknownRef(String),
}

impl RequestError {
    /// Says that a line was not expected, quoting its beginning.
    pub(crate) fn unexpected(line: &[u8]) -> Self {
        Self::Malformed(format!("unexpected line: '{}'", quote(line)))
    }
}

/// Renders the beginning of what a client sent, safe for logs and terminals.
pub(crate) fn quote(line: &[u8]) -> String {
    escape_controls(&line[..line.len().min(MAX_QUOTED)])
}

/// Drops the line feed that most lines end with.
pub(crate) fn chomp(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// Reads an object id of the repository's format.
pub(crate) fn parse_oid(hex: &[u8], format: ObjectFormat, line: &[u8]) -> Result<Oid, RequestError> {
    Oid::parse_wire(hex, format).ok().flatten().ok_or_else(|| RequestError::unexpected(line))
}

/// Reads a positive decimal number.
pub(crate) fn parse_number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// How much history a client wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deepen {
    /// Commits from each tip.
    pub(crate) depth: Option<u32>,
    /// Count `depth` from the present boundary.
    pub(crate) relative: bool,
    /// Nothing older than this, in seconds since 1970.
    pub(crate) since: Option<u64>,
    /// Nothing reachable from these.
    pub(crate) not: Vec<RefName>,
}

/// What a `fetch` asks for, whatever the version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Objects by id.
    pub(crate) wants: Vec<Oid>,
    /// The client's shallow boundary.
    pub(crate) shallow: Vec<Oid>,
    /// How deep.
    pub(crate) deepen: Deepen,
    /// Which objects to leave out.
    pub(crate) filter: Option<Filter>,
}

/// How many lines of a kind one request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) n_wants: usize,
    pub(crate) n_haves: usize,
}

/// Lines of [`deepen-not`](Deepen::not) that one request may have.
const MAX_DEEPEN_NOT: usize = 1_000;

impl Wanted {
    /// Takes a line that versions 0 and 2 spell alike; `false` if it is another.
    pub(crate) fn take(
        &mut self,
        line: &[u8],
        refs: &RefSnapshot,
        bounds: Bounds,
    ) -> Result<bool, RequestError> {
        let Some(space) = line.iter().position(|byte| *byte == b' ') else {
            return Ok(false);
        };
        let value = &line[space + 1..];
        match &line[..space] {
            b"want" => {
                push(&mut self.wants, parse_oid(value, refs.format(), line)?, "wants", bounds.n_wants)?
            }
            b"shallow" => {
                push(
                    &mut self.shallow,
                    parse_oid(value, refs.format(), line)?,
                    "shallow lines",
                    bounds.n_haves,
                )?;
            }
            b"deepen" => {
                let depth =
                    parse_number(value).filter(|depth| (1..=i32::MAX.cast_unsigned()).contains(depth));
                self.deepen.depth = Some(depth.ok_or_else(|| invalid("deepen", line))?);
            }
            b"deepen-since" => {
                let since =
                    parse_number(value).filter(|since| (1..=i64::MAX.cast_unsigned()).contains(since));
                self.deepen.since = Some(since.ok_or_else(|| invalid("deepen-since", line))?);
            }
            b"deepen-not" => {
                let name = find_short(value, refs).ok_or_else(|| {
                    RequestError::Malformed(format!("git upload-pack: ambiguous deepen-not: {}", quote(line)))
                })?;
                push(&mut self.deepen.not, name, "deepen-not lines", MAX_DEEPEN_NOT)?;
            }
            b"filter" => self.filter = Some(Filter::parse(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Writes what stands behind the wants, in the order of git's own client; alike in versions 0 and 2.
    pub(crate) fn encode_rest(&self, out: &mut Vec<u8>) {
        for oid in &self.shallow {
            encode_parts(&[b"shallow ", oid.to_string().as_bytes(), b"\n"], out);
        }
        if let Some(depth) = self.deepen.depth {
            encode_parts(&[b"deepen ", depth.to_string().as_bytes(), b"\n"], out);
        }
        if let Some(since) = self.deepen.since {
            encode_parts(&[b"deepen-since ", since.to_string().as_bytes(), b"\n"], out);
        }
        for name in &self.deepen.not {
            encode_parts(&[b"deepen-not ", name.as_bytes(), b"\n"], out);
        }
        if let Some(filter) = &self.filter {
            encode_parts(&[b"filter ", filter.as_str().as_bytes(), b"\n"], out);
        }
    }

    /// Refuses what git would die of.
    pub(crate) fn check(&self) -> Result<(), RequestError> {
        let deepen = &self.deepen;
        if deepen.depth.is_some() && (deepen.since.is_some() || !deepen.not.is_empty()) {
            let both = "git upload-pack: deepen and deepen-since (or deepen-not) cannot be used together";
            return Err(RequestError::Malformed(both.to_owned()));
        }
        Ok(())
    }
}

/// Adds to a list that has a limit.
pub(crate) fn push<T>(
    list: &mut Vec<T>,
    item: T,
    what: &'static str,
    limit: usize,
) -> Result<(), RequestError> {
    if list.len() >= limit {
        return Err(RequestError::TooMany { what, limit });
    }
    list.push(item);
    Ok(())
}

fn invalid(what: &str, line: &[u8]) -> RequestError {
    RequestError::Malformed(format!("invalid {what}: {}", quote(line)))
}

/// Finds the one ref that a short name means, in the order of gitrevisions(7); several are none.
fn find_short(short: &[u8], refs: &RefSnapshot) -> Option<RefName> {
    let expand = |before: &[u8], after: &[u8]| {
        RefName::parse(&[before, short, after].concat()).ok().filter(|name| refs.find(name).is_some())
    };
    let rules: [(&[u8], &[u8]); 5] =
        [(b"", b""), (b"refs/", b""), (b"refs/tags/", b""), (b"refs/heads/", b""), (b"refs/remotes/", b"")];
    let mut found = rules.into_iter().filter_map(|(before, after)| expand(before, after));
    let name = found.next()?;
    found.next().is_none().then_some(name)
}

//! What a commit says: people, message, signature.

use bytes::Bytes;
use hakata_names::Oid;

use super::message::{self, Trailer};
use super::raw_commit::RawCommit;
use crate::objects::{Kind, ReadError, View, broken, our_oid};

/// A commit. Texts are bytes in the encoding that the commit declares; [`Commit::text`] decodes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its name.
    pub oid: Oid,
    /// Its tree.
    pub tree: Oid,
    /// Its parents, in order.
    pub parents: Vec<Oid>,
    /// Who wrote it.
    pub author: Person,
    /// Who committed it.
    pub committer: Person,
    /// Name of the encoding of its texts; UTF-8 without one.
    pub encoding: Option<Vec<u8>>,
    /// Further headers in order, signatures among them: name and value.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The message, from the first line on.
    pub message: Vec<u8>,
}

/// Somebody at some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// The name, as it is written.
    pub name: Vec<u8>,
    /// The e-mail address, as it is written.
    pub email: Vec<u8>,
    /// Seconds since 1970, if the commit says it in a way that git understands.
    pub time: Option<i64>,
    /// Minutes east of UTC.
    pub offset_minutes: i32,
}

impl View {
    /// Reads a commit.
    ///
    /// # Errors
    /// [`ReadError::Absent`], or [`ReadError::Object`] if it is broken or no commit.
    pub fn read_commit(&self, oid: &Oid) -> Result<Commit, ReadError> {
        parse(oid, &self.commit_content(oid)?)
    }

    /// Reads a commit as it is stored.
    pub(super) fn commit_content(&self, oid: &Oid) -> Result<Bytes, ReadError> {
        self.read_counted(oid, Kind::Commit)
    }
}

fn parse(oid: &Oid, content: &[u8]) -> Result<Commit, ReadError> {
    let raw = RawCommit::new(content);
    let tree = raw.tree().ok_or_else(|| broken(oid, "it names no tree"))?;
    let mut commit = Commit {
        oid: *oid,
        tree: our_oid(tree, oid)?,
        parents: raw.parents().map(|id| our_oid(id, oid)).collect::<Result<_, _>>()?,
        author: Person::default(),
        committer: Person::default(),
        encoding: None,
        headers: Vec::new(),
        message: raw.message.to_vec(),
    };
    for header in raw.headers() {
        match header.name {
            b"author" => commit.author = Person::parse(&header.unfolded()),
            b"committer" => commit.committer = Person::parse(&header.unfolded()),
            b"encoding" => commit.encoding = Some(header.unfolded()),
            name => commit.headers.push((name.to_vec(), header.unfolded())),
        }
    }
    Ok(commit)
}

impl Commit {
    /// Decodes one of the commit's texts; what makes no sense becomes U+FFFD.
    pub fn text(&self, bytes: &[u8]) -> String {
        message::decode(bytes, self.encoding.as_deref())
    }

    /// Returns the first paragraph of the message on one line, as `%s` of git.
    pub fn subject(&self) -> Vec<u8> {
        message::subject(&self.message)
    }

    /// Finds the trailers at the end of the message.
    pub fn trailers(&self) -> Vec<Trailer> {
        message::trailers(&self.message)
    }
}

impl Person {
    /// Parses `name <mail> seconds zone` as leniently as git. Source: `split_ident_line` of git.
    pub(super) fn parse(line: &[u8]) -> Self {
        let find = |byte| line.iter().position(|at| *at == byte);
        let Some(open) = find(b'<') else { return Self::default() };
        let name = line[..open].trim_ascii_end().to_vec();
        let Some(close) = find(b'>').filter(|close| *close > open) else {
            return Self { name, ..Self::default() };
        };
        let email = line[open + 1..close].to_vec();
        let last = line.iter().rposition(|at| *at == b'>').unwrap_or(close);
        let mut words = line[last + 1..].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let time = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
        let zone = words.next().and_then(parse_zone);
        match (time, zone) {
            (Some(time), Some(offset_minutes)) => Self { name, email, time: Some(time), offset_minutes },
            _ => Self { name, email, ..Self::default() },
        }
    }
}

/// Parses `+0900` to minutes.
fn parse_zone(word: &[u8]) -> Option<i32> {
    let sign = match word.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: i32 =
        std::str::from_utf8(&word[1..]).ok()?.parse().ok().filter(|n| (0..=9_999).contains(n))?;
    Some(sign * (digits / 100 * 60 + digits % 100))
}

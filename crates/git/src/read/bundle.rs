//! Refs and their objects in one file, to be carried to where no server is. Source: gitformat-bundle(5).
//!
//! ```text
//! # v2 git bundle\n                     "# v3 …" and "@object-format=sha256\n" where objects are named by SHA-256
//! -<oid> <subject>\n …                  commits that whoever reads it must have
//! <oid> <ref name>\n …
//! \n
//! PACK…
//! ```
//! The head is written here, of refs that the caller hands in: the directory may be ahead of them. The pack is git's.

use std::collections::HashSet;

use bytes::Bytes;
use hakata_names::{ObjectFormat, Oid};

use super::blob::deadline;
use super::{Allowance, Pieces};
use crate::command::{Command, Subcommand};
use crate::objects::{Kind, Objects, ReadError, View};
use crate::read::pipe::Pipe;

/// Most commits that may be asked of whoever reads a bundle.
const MAX_PREREQUISITES: usize = 100_000;

/// Longest line of `rev-list` that is read, and longest subject that is told.
const MAX_LINE: usize = 256;

/// A ref that goes into a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleRef {
    /// Its name: fully qualified, or `HEAD`.
    pub name: Vec<u8>,
    /// Where it points.
    pub oid: Oid,
}

/// A question for a bundle.
#[derive(Clone, Debug)]
pub struct BundleQuery {
    /// The refs, at least one.
    pub refs: Vec<BundleRef>,
    /// Commits that whoever reads it has, with all that they lead to.
    pub excluded: Vec<Oid>,
    /// The hash function.
    pub format: ObjectFormat,
}

/// A bundle in pieces of at most 128 KiB. Dropping it kills git.
pub struct Bundle {
    head: Bytes,
    pack: Pieces,
}

impl Objects {
    /// Starts to write a bundle. A ref whose commit is among what is excluded is left out, as git does.
    ///
    /// # Errors
    /// [`ReadError::Absent`], [`ReadError::Invalid`] if nothing is left to be bundled, [`ReadError::Child`].
    pub async fn bundle(&self, query: BundleQuery, allowance: &Allowance) -> Result<Bundle, ReadError> {
        let deadline = deadline(allowance);
        let BundleQuery { mut refs, excluded, format } = query;
        let mut prerequisites = Vec::new();
        if !excluded.is_empty() {
            let known = refs.clone();
            let commits = self.read_within(allowance, move |view| behind(view, &known)).await?;
            let tips: Vec<Oid> = commits.iter().copied().flatten().collect();
            let edge = self.edge(&tips, &excluded, allowance).await?;
            let mut commits = commits.into_iter();
            refs.retain(|_| commits.next().flatten().is_none_or(|commit| edge.shown.contains(&commit)));
            let oids = edge.boundary;
            prerequisites = self.read_within(allowance, move |view| subjects(view, &oids)).await?;
        }
        if refs.is_empty() {
            return Err(ReadError::Invalid("there is nothing left to be bundled".to_owned()));
        }
        let head = head(&refs, &prerequisites, format);
        let wanted = refs.iter().map(|at| format!("{}\n", at.oid));
        let unwanted = prerequisites.iter().map(|(oid, _)| format!("^{oid}\n"));
        let input: String = wanted.chain(unwanted).collect();
        let command = Command::new(Subcommand::PackObjects)
            .dir(self.dir())
            .flag("--revs")
            .flag("--stdout")
            .flag("--delta-base-offset")
            .flag_if(!prerequisites.is_empty(), "--thin")
            .flag("--quiet");
        let pack = Pieces::start(self, &command, input.into_bytes(), allowance).await?.until(deadline);
        Ok(Bundle { head, pack })
    }

    /// Finds the commits at which the excluded history begins, and which tips are not in it.
    async fn edge(&self, tips: &[Oid], excluded: &[Oid], allowance: &Allowance) -> Result<Edge, ReadError> {
        let wanted = tips.iter().map(|oid| format!("{oid}\n"));
        let unwanted = excluded.iter().map(|oid| format!("^{oid}\n"));
        let input: String = wanted.chain(unwanted).collect();
        let command = Command::new(Subcommand::RevList).dir(self.dir()).flag("--boundary").flag("--stdin");
        let mut pipe = Pipe::start_with(self, &command, input.into_bytes(), allowance).await?;
        let tips: HashSet<Oid> = tips.iter().copied().collect();
        let mut edge = Edge { boundary: Vec::new(), shown: HashSet::new() };
        let broken = || ReadError::Walk("git lists commits in an unknown way".into());
        while let Some(line) = pipe.read_until(b'\n', MAX_LINE).await? {
            let boundary = line.strip_prefix(b"-");
            let oid = Oid::parse_hex(boundary.unwrap_or(&line)).map_err(|_| broken())?;
            if boundary.is_some() {
                edge.boundary.push(oid);
            } else if tips.contains(&oid) {
                edge.shown.insert(oid);
            }
            if edge.boundary.len() > MAX_PREREQUISITES {
                return Err(ReadError::Invalid(
                    "too many commits would be asked of who reads the bundle".into(),
                ));
            }
        }
        if let Some(finished) = pipe.finish().await? {
            finished.success()?;
        }
        Ok(edge)
    }
}

/// Where the history of a bundle ends.
struct Edge {
    /// Commits that are not in it, and have children that are.
    boundary: Vec<Oid>,
    /// Tips that are in it.
    shown: HashSet<Oid>,
}

/// Finds the commit behind each ref; `None` for what is no commit.
fn behind(view: &View, refs: &[BundleRef]) -> Result<Vec<Option<Oid>>, ReadError> {
    let find = |at: &BundleRef| {
        let oid = view.peel(&at.oid)?.unwrap_or(at.oid);
        let kind = view.header(&oid)?.ok_or(ReadError::Absent(oid))?.kind;
        Ok((kind == Kind::Commit).then_some(oid))
    };
    refs.iter().map(find).collect()
}

/// Reads the first lines of commits, for people.
fn subjects(view: &View, oids: &[Oid]) -> Result<Vec<(Oid, Vec<u8>)>, ReadError> {
    let read = |oid: &Oid| {
        let mut subject = view.read_commit(oid)?.subject();
        subject.retain(|byte| !byte.is_ascii_control());
        subject.truncate(MAX_LINE);
        Ok((*oid, subject))
    };
    oids.iter().map(read).collect()
}

fn head(refs: &[BundleRef], prerequisites: &[(Oid, Vec<u8>)], format: ObjectFormat) -> Bytes {
    let mut head = match format {
        ObjectFormat::Sha1 => b"# v2 git bundle\n".to_vec(),
        ObjectFormat::Sha256 => b"# v3 git bundle\n@object-format=sha256\n".to_vec(),
    };
    for (oid, subject) in prerequisites {
        head.push(b'-');
        oid.write_hex(&mut head);
        head.push(b' ');
        head.extend_from_slice(subject);
        head.push(b'\n');
    }
    for at in refs {
        at.oid.write_hex(&mut head);
        head.push(b' ');
        head.extend_from_slice(&at.name);
        head.push(b'\n');
    }
    head.push(b'\n');
    head.into()
}

impl Bundle {
    /// Returns the next piece; `None` at the end.
    ///
    /// # Errors
    /// [`ReadError::Exhausted`], or [`ReadError::Child`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        if self.head.is_empty() {
            return self.pack.next().await;
        }
        let n = self.head.len().min(super::MAX_CHUNK);
        Ok(Some(self.head.split_to(n)))
    }
}

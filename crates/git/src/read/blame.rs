//! Which commit each line of a file comes from, as git finds it.

use std::ops::RangeInclusive;

use hakata_names::{Oid, TreePath};

use super::allowance::Allowance;
use super::pipe::Pipe;
use super::quoted::unquote;
use crate::command::{Command, Subcommand};
use crate::diff::Whitespace;
use crate::objects::{Objects, ReadError, View};

/// Most commits that can be ignored.
const MAX_IGNORED: usize = 1_000;

/// Most ranges of lines.
const MAX_RANGES: usize = 100;

/// Longest line of git's answer, in bytes: a quoted path.
const MAX_LINE: usize = 32 << 10;

/// A question for the origin of a file's lines.
#[derive(Clone, Debug)]
pub struct BlameQuery {
    /// The commit, or a tag of it.
    pub commit: Oid,
    /// The file.
    pub path: TreePath,
    /// Lines, from 1 on; all without any.
    pub ranges: Vec<RangeInclusive<u32>>,
    /// Commits that changed nothing of interest; unknown ones are no error.
    pub ignored: Vec<Oid>,
    /// Which whitespace counts; amounts only are not told from all.
    pub whitespace: Whitespace,
}

/// Lines that come from one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlameHunk {
    /// The commit.
    pub commit: Oid,
    /// Path of the file in that commit.
    pub path: Vec<u8>,
    /// First line in that commit, from 1 on.
    pub original_line: u32,
    /// First line in the file that was asked about, from 1 on.
    pub line: u32,
    /// How many lines.
    pub n_lines: u32,
    /// Where the file came from before that commit: commit and path.
    pub previous: Option<(Oid, Vec<u8>)>,
}

/// Hunks in the order in which git finds them, which is not that of the lines.
pub struct Blame {
    pipe: Pipe,
    previous: std::collections::HashMap<Oid, Option<(Oid, Vec<u8>)>>,
}

impl Objects {
    /// Starts git to find where the lines of a file come from.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] if there is no such commit or file, [`ReadError::Invalid`] for too many ranges or ignored
    /// commits, [`ReadError::Child`].
    pub async fn blame(&self, query: BlameQuery, allowance: &Allowance) -> Result<Blame, ReadError> {
        if query.ranges.len() > MAX_RANGES || query.ignored.len() > MAX_IGNORED {
            return Err(ReadError::Invalid("too many ranges or ignored commits".to_owned()));
        }
        let asked = query.clone();
        let pipe = if query.ignored.is_empty() {
            // git begins while it is found out whether there is something to do.
            let checking = self.read_within(allowance, move |view| check(view, &asked));
            let command = command(self, &query);
            tokio::try_join!(checking, Pipe::start(self, &command, allowance))?.1
        } else {
            let known = move |view: &View| {
                check(view, &asked)?;
                Ok(asked.ignored.into_iter().filter(|oid| view.commit(oid).is_ok()).collect())
            };
            let ignored = self.read_within(allowance, known).await?;
            Pipe::start(self, &command(self, &BlameQuery { ignored, ..query }), allowance).await?
        };
        Ok(Blame { pipe, previous: std::collections::HashMap::new() })
    }
}

/// Makes sure that there is a file to be blamed.
fn check(view: &View, query: &BlameQuery) -> Result<(), ReadError> {
    let commit = view.commit_of(&query.commit)?;
    let entry = view.find_entry(&commit, &query.path)?.filter(|entry| entry.kind.is_blob());
    let entry = entry.ok_or_else(|| ReadError::NotFound(query.path.as_bytes().to_vec()))?;
    let size = view.header(&entry.oid)?.map_or(0, |header| header.size_bytes);
    view.meter().take_bytes(size)
}

fn command(objects: &Objects, query: &BlameQuery) -> Command {
    let command = Command::new(Subcommand::Blame).dir(objects.dir()).flag("--incremental");
    let command = command.flag_if(query.whitespace != Whitespace::Exact, "-w");
    let command =
        query.ignored.iter().fold(command, |command, oid| command.option("--ignore-rev", oid.to_string()));
    let command = query.ranges.iter().fold(command, |command, range| {
        command.short("-L", format!("{},{}", range.start().max(&1), range.end()))
    });
    command.oid(&query.commit).paths([&query.path])
}

impl Blame {
    /// Returns the next hunk; `None` at the end.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] if a range is not within the file, [`ReadError::Exhausted`], [`ReadError::Child`].
    pub async fn next(&mut self) -> Result<Option<BlameHunk>, ReadError> {
        let Some(head) = self.pipe.read_until(b'\n', MAX_LINE).await? else {
            return self.end().await;
        };
        let mut hunk = parse_head(&head).ok_or_else(unknown)?;
        let mut previous = None;
        loop {
            let line = self.pipe.read_until(b'\n', MAX_LINE).await?.ok_or_else(unknown)?;
            if let Some(rest) = line.strip_prefix(b"previous ") {
                previous = Some(parse_previous(rest).ok_or_else(unknown)?);
            } else if let Some(path) = line.strip_prefix(b"filename ") {
                hunk.path = unquote(path);
                break;
            }
        }
        // git tells what it knows of a commit once.
        let known = self.previous.entry(hunk.commit).or_insert_with(|| previous.clone());
        hunk.previous = previous.or_else(|| known.clone());
        Ok(Some(hunk))
    }

    async fn end(&mut self) -> Result<Option<BlameHunk>, ReadError> {
        match self.pipe.finish().await? {
            Some(finished) if !finished.status.success() => {
                let said = finished.message();
                let is_outside = said.contains("has only") && said.contains("line");
                Err(if is_outside {
                    ReadError::Invalid("a range of lines is not within the file".to_owned())
                } else {
                    finished.failed().into()
                })
            }
            _ => Ok(None),
        }
    }
}

/// Parses `<oid> <original line> <line> <number of lines>`.
fn parse_head(line: &[u8]) -> Option<BlameHunk> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let commit = Oid::parse_hex(words.next()?.as_bytes()).ok()?;
    let mut number = || words.next()?.parse().ok();
    let (original_line, line, n_lines) = (number()?, number()?, number()?);
    Some(BlameHunk { commit, path: Vec::new(), original_line, line, n_lines, previous: None })
}

/// Parses `<oid> <path>`.
fn parse_previous(line: &[u8]) -> Option<(Oid, Vec<u8>)> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    Some((Oid::parse_hex(&line[..space]).ok()?, unquote(&line[space + 1..])))
}

fn unknown() -> ReadError {
    ReadError::Walk("git blamed in an unknown way".into())
}

//! Text in the files of a commit, found by `git grep`.

use hakata_names::{Oid, TreePath};

use super::allowance::Allowance;
use super::pipe::Pipe;
use crate::command::{Command, Subcommand};
use crate::objects::{Objects, ReadError};

/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 1_000;

/// Most bytes of a line that are returned.
const MAX_LINE: usize = 1_024;

/// Longest path, in bytes.
const MAX_PATH: usize = 4_096;

/// How a pattern is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pattern {
    /// As text.
    #[default]
    Text,
    /// As an extended regular expression without references back, which take exponential time.
    Regex,
}

/// A question for lines.
#[derive(Clone, Debug)]
pub struct SearchQuery {
    /// A tree, commit or tag.
    pub root: Oid,
    /// What is looked for.
    pub pattern: String,
    /// How the pattern is read.
    pub how: Pattern,
    /// Whether upper and lower case are the same.
    pub ignore_case: bool,
    /// Files and directories; all without one.
    pub paths: Vec<TreePath>,
    /// Most lines of one file.
    pub max_per_file: u32,
    /// Most lines in all.
    pub limit: usize,
}

/// A line that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchHit {
    /// Path of the file.
    pub path: Vec<u8>,
    /// The line, from 1 on.
    pub line: u32,
    /// First byte of the first match in the line, from 1 on.
    pub column: u32,
    /// Beginning of the line, at most 1 KiB.
    pub content: Vec<u8>,
}

/// Matching lines, file after file. Binary files are left out.
pub struct Search {
    pipe: Pipe,
    left: usize,
    has_more: bool,
    prefix: Vec<u8>,
}

impl Objects {
    /// Starts git to search the files of a tree.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] for a pattern that is empty, too long or of several lines, [`ReadError::Absent`],
    /// [`ReadError::Child`].
    pub async fn search(&self, query: SearchQuery, allowance: &Allowance) -> Result<Search, ReadError> {
        check(&query)?;
        let root = query.root;
        let tree = self.read_within(allowance, move |view| view.tree_of(&root)).await?;
        let command = Command::new(Subcommand::Grep)
            .dir(self.dir())
            .flag("-I")
            .flag("-n")
            .flag("-z")
            .flag("--column")
            .flag("--full-name")
            .flag("--no-color")
            .flag(match query.how {
                Pattern::Text => "--fixed-strings",
                Pattern::Regex => "--extended-regexp",
            })
            .flag_if(query.ignore_case, "--ignore-case")
            .number("--threads", 1)
            .number("--max-count", query.max_per_file)
            .short("-e", &query.pattern)
            .operand(tree.to_string())
            .paths(&query.paths);
        let pipe = Pipe::start(self, &command, allowance).await?;
        let prefix = format!("{tree}:").into_bytes();
        Ok(Search { pipe, left: query.limit, has_more: false, prefix })
    }
}

fn check(query: &SearchQuery) -> Result<(), ReadError> {
    let pattern = query.pattern.as_bytes();
    let wrong = match query.how {
        _ if pattern.is_empty() => "the pattern is empty",
        _ if pattern.len() > MAX_PATTERN => "the pattern is longer than 1000 bytes",
        _ if pattern.contains(&b'\n') || pattern.contains(&0) => "the pattern has several lines",
        Pattern::Regex if refers_back(pattern) => "the pattern refers back to what matched before",
        _ => return Ok(()),
    };
    Err(ReadError::Invalid(wrong.to_owned()))
}

/// Says whether a backslash that is not itself escaped stands before a digit.
fn refers_back(pattern: &[u8]) -> bool {
    let mut is_escaped = false;
    for byte in pattern {
        if is_escaped && byte.is_ascii_digit() {
            return true;
        }
        is_escaped = *byte == b'\\' && !is_escaped;
    }
    false
}

impl Search {
    /// Returns the next line; `None` at the end or behind the limit.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] for a pattern that git does not understand, [`ReadError::Exhausted`],
    /// [`ReadError::Child`].
    pub async fn next(&mut self) -> Result<Option<SearchHit>, ReadError> {
        if !self.pipe.is_open() {
            return Ok(None);
        }
        let unknown = || ReadError::Walk("git found lines in an unknown way".into());
        let Some(path) = self.pipe.read_until(0, MAX_PATH + self.prefix.len()).await? else {
            return self.end().await;
        };
        let path = path.strip_prefix(&self.prefix[..]).ok_or_else(unknown)?.to_vec();
        let mut numbers = [0; 2];
        for number in &mut numbers {
            let digits = self.pipe.read_until(0, 16).await?.ok_or_else(unknown)?;
            *number = std::str::from_utf8(&digits).ok().and_then(|n| n.parse().ok()).ok_or_else(unknown)?;
        }
        let content = self.pipe.read_until(b'\n', MAX_LINE).await?.ok_or_else(unknown)?;
        if self.left == 0 {
            self.has_more = true;
            self.pipe.stop();
            return Ok(None);
        }
        self.left -= 1;
        let [line, column] = numbers;
        Ok(Some(SearchHit { path, line, column, content }))
    }

    /// Says whether there are more lines than were asked for; known at the end.
    pub fn has_more(&self) -> bool {
        self.has_more
    }

    async fn end(&mut self) -> Result<Option<SearchHit>, ReadError> {
        let Some(finished) = self.pipe.finish().await? else { return Ok(None) };
        match finished.status.code() {
            // git says so of no match at all.
            Some(0 | 1) => Ok(None),
            // `fatal: -e option, '(': Unmatched ( or \(`
            _ if finished.message().contains("-e option, ") => {
                Err(ReadError::Invalid("the pattern is no regular expression".to_owned()))
            }
            _ => Err(finished.failed().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::refers_back;

    #[test]
    fn references_back_are_told_from_escaped_backslashes() {
        assert!(refers_back(br"(a)\1"));
        assert!(refers_back(br"\\\2"));
        assert!(!refers_back(br"a\\1"));
        assert!(!refers_back(br"\.1"));
    }
}

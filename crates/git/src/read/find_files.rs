//! Files found by a part of their path, as people type it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hakata_names::Oid;

use super::tree::{Depth, TreeWalk};
use crate::objects::{ReadError, View, object_id};

/// Longest text that is looked for, in bytes.
const MAX_TEXT: usize = 256;

/// How a path matches a text. ASCII letters match in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The text is a part of the path.
    Part,
    /// The bytes of the text are in the path in this order.
    Fuzzy,
}

/// Files that match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundFiles {
    /// Paths, the best first.
    pub paths: Vec<Vec<u8>>,
    /// How many there are in all.
    pub n_matches: u64,
}

impl View {
    /// Finds the files below a tree whose paths match a text, the `limit` best of them: where the text is in
    /// the file's name, at the beginning of words and without gaps, and then the shorter path.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] for a text that is too long, [`ReadError::Exhausted`], and errors of reading.
    pub fn find_files(
        &self,
        root: &Oid,
        text: &[u8],
        how: Match,
        limit: usize,
    ) -> Result<FoundFiles, ReadError> {
        if text.len() > MAX_TEXT {
            return Err(ReadError::Invalid(format!("the text has more than {MAX_TEXT} bytes")));
        }
        let text = text.to_ascii_lowercase();
        let mut walk = TreeWalk::start(self, object_id(&self.tree_of(root)?), Depth::Files)?;
        let mut best = BinaryHeap::new();
        let mut n_matches = 0;
        while walk.next()?.is_some() {
            let path = walk.path();
            let Some(score) = score(path, &text, how) else { continue };
            n_matches += 1;
            // The worst on top; of equal ones that which came later.
            best.push((Reverse(score), path.len(), n_matches, path.to_vec()));
            if best.len() > limit {
                best.pop();
            }
        }
        let paths = best.into_sorted_vec().into_iter().map(|(.., path)| path).collect();
        Ok(FoundFiles { paths, n_matches })
    }
}

/// Rates a match; `None` if it is none.
fn score(path: &[u8], text: &[u8], how: Match) -> Option<i64> {
    let name = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    if text.is_empty() {
        return Some(0);
    }
    match how {
        Match::Part => {
            let last = path.len().checked_sub(text.len())?;
            let fits = |at: &usize| path[*at..at + text.len()].eq_ignore_ascii_case(text);
            let at = (name..=last).find(fits).or_else(|| (0..=last).find(fits))?;
            Some(rate(path, name, at) + i64::from(path.len() == at + text.len()))
        }
        // The file's name is what people type, so the whole text is looked for there first.
        Match::Fuzzy => {
            fuzzy(path, name, name, text).map(|score| score + 8).or_else(|| fuzzy(path, 0, name, text))
        }
    }
}

fn fuzzy(path: &[u8], from: usize, name: usize, text: &[u8]) -> Option<i64> {
    let (mut at, mut total, mut before) = (from, 0, None);
    for wanted in text {
        let found = at + path[at..].iter().position(|byte| byte.to_ascii_lowercase() == *wanted)?;
        total += rate(path, name, found);
        total += if before.is_some_and(|before| before + 1 == found) { 5 } else { 0 };
        before = Some(found);
        at = found + 1;
    }
    Some(total)
}

/// Rates the place of a byte that matches.
fn rate(path: &[u8], name: usize, at: usize) -> i64 {
    let starts_word = match at.checked_sub(1).map(|before| path[before]) {
        None => true,
        Some(before) => {
            !before.is_ascii_alphanumeric() || before.is_ascii_lowercase() && path[at].is_ascii_uppercase()
        }
    };
    i64::from(at >= name) * 2 + i64::from(starts_word) * 3 + i64::from(at == name) * 2
}

#[cfg(test)]
mod tests {
    use super::{Match, score};

    #[test]
    fn better_places_are_rated_higher() {
        let cases = [
            (Match::Part, "log", "src/log.rs", "catalog/x"),
            (Match::Part, "log", "src/log.rs", "src/blog.rs"),
            (Match::Fuzzy, "rdme", "README", "rust/dim/e"),
            (Match::Fuzzy, "fb", "src/foo_bar.rs", "src/offbeat.rs"),
            (Match::Fuzzy, "main", "src/main.rs", "m/a/i/n"),
        ];
        for (how, text, better, worse) in cases {
            let rate = |path: &str| score(path.as_bytes(), text.as_bytes(), how);
            assert!(rate(better) > rate(worse), "{text}: {better} {worse}");
            assert!(rate(worse).is_some(), "{text} is in {worse}");
        }
        assert_eq!(score(b"abc", b"cb", Match::Fuzzy), None);
        assert_eq!(score(b"ab", b"abc", Match::Part), None);
    }
}

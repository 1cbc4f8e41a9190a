//! Patterns of protection rules.

use std::fmt;

use crate::RefName;

/// Longest pattern in bytes; more is no use, as ref names end there too.
const MAX_PATTERN_BYTES: usize = 255;

/// A glob over short branch or tag names: `*` matches within a component, `**` across components, `?` one
/// character within a component. `release/*` matches `release/1.0`, not `release/1/x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefPattern(String);

/// Why text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseRefPatternError {
    /// Empty, too long, or with a control character or white space.
    #[error("pattern is empty, longer than {MAX_PATTERN_BYTES} bytes, or has white space in it")]
    Malformed,
}

impl RefPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`ParseRefPatternError::Malformed`].
    pub fn parse(pattern: &str) -> Result<Self, ParseRefPatternError> {
        let bad = |c: char| c.is_control() || c.is_whitespace();
        if pattern.is_empty() || pattern.len() > MAX_PATTERN_BYTES || pattern.contains(bad) {
            return Err(ParseRefPatternError::Malformed);
        }
        Ok(Self(pattern.to_owned()))
    }

    /// Returns the pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the short name of `name` (behind `refs/heads/` or `refs/tags/`) matches; linear in
    /// the product of both lengths, never exponential.
    pub fn matches(&self, name: &RefName) -> bool {
        matches_bytes(self.0.as_bytes(), name.short())
    }

    /// Whether a path matches that is no ref's, as of a file: the same rules, the same cost.
    pub fn matches_path(&self, path: &[u8]) -> bool {
        matches_bytes(self.0.as_bytes(), path)
    }
}

/// Matches by a table of reachable positions, so that hostile patterns cost no more than others.
fn matches_bytes(pattern: &[u8], text: &[u8]) -> bool {
    let mut reachable = vec![false; text.len() + 1];
    reachable[0] = true;
    let mut rest = pattern;
    while let Some((first, tail)) = rest.split_first() {
        let (deep, star) = (rest.starts_with(b"**"), *first == b'*');
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            if star {
                let crosses = at > 0 && next[at - 1] && (deep || text[at - 1] != b'/');
                next[at] = reachable[at] || crosses;
            } else if at > 0 && reachable[at - 1] {
                let byte = text[at - 1];
                next[at] = *first == byte || (*first == b'?' && byte != b'/');
            }
        }
        reachable = next;
        rest = if deep { &rest[2..] } else { tail };
    }
    reachable[text.len()]
}

impl fmt::Display for RefPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{RefPattern, matches_bytes};

    #[test]
    fn globs_match_as_people_expect() {
        let cases = [
            ("main", "main", true),
            ("main", "main2", false),
            ("release/*", "release/1.0", true),
            ("release/*", "release/1/x", false),
            ("release/*", "release/", true),
            ("release/**", "release/1/x", true),
            ("**", "a/b/c", true),
            ("*", "a/b", false),
            ("v?.?", "v1.2", true),
            ("v?", "v/", false),
            ("**/hotfix", "a/b/hotfix", true),
            ("a**b*c", "axx/yb1c", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches_bytes(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn hostile_patterns_cost_no_more_than_others() {
        let pattern = "*a".repeat(100);
        assert!(!matches_bytes(pattern.as_bytes(), &[b'b'; 255]));
        assert!(RefPattern::parse(&"*".repeat(256)).is_err() && RefPattern::parse("a b").is_err());
    }
}

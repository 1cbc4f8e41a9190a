//! Paths within a tree.

use std::fmt;

use crate::escape_controls;

/// Longest path in bytes. Source: `PATH_MAX` of Linux.
const MAX_TREE_PATH_BYTES: usize = 4_096;

/// A path of a tree entry: bytes, components separated by `/`, relative, without `.`, `..` or empty parts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Box<[u8]>);

/// Why bytes are not a tree path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTreePathError {
    /// Longer than a checkout could hold.
    #[error("path is longer than {MAX_TREE_PATH_BYTES} bytes")]
    TooLong,
    /// Empty, absolute, with a NUL byte, or with an empty, `.` or `..` component.
    #[error("path is not well formed")]
    Malformed,
}

impl TreePath {
    /// Parses a path.
    ///
    /// # Errors
    /// Any [`ParseTreePathError`].
    pub fn parse(path: &[u8]) -> Result<Self, ParseTreePathError> {
        if path.len() > MAX_TREE_PATH_BYTES {
            return Err(ParseTreePathError::TooLong);
        }
        let bad = |part: &[u8]| part.is_empty() || part == b"." || part == b"..";
        if path.contains(&0) || path.split(|byte| *byte == b'/').any(bad) {
            return Err(ParseTreePathError::Malformed);
        }
        Ok(Self(path.into()))
    }

    /// Returns the path's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape_controls(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreePath({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::TreePath;

    #[test]
    fn only_relative_clean_paths_parse() {
        assert!(TreePath::parse(b"a/b c/\xff").is_ok());
        for bad in [&b""[..], b"/a", b"a/", b"a//b", b"a/../b", b"./a", b"a\0b", &[b'a'; 4097]] {
            assert!(TreePath::parse(bad).is_err(), "{bad:?}");
        }
    }
}

//! Fully qualified names of refs.

use std::fmt;
use std::sync::Arc;

use crate::escape_controls;

/// Longest ref name in bytes. Source: the `ref` table's key, which every supported database can index.
pub const MAX_REF_NAME_BYTES: usize = 1_024;

/// Longest component of a ref name in bytes. Source: `NAME_MAX` of Linux file systems, on which a cache
/// keeps the ref as a file.
pub const MAX_COMPONENT_BYTES: usize = 255;

/// The fully qualified name of a ref, such as `refs/heads/main`: bytes, case-sensitive, cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefName(Arc<[u8]>);

/// Why bytes are not a ref name that Hakata stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseRefNameError {
    /// It does not start with `refs/` and another component.
    #[error("ref name is not below refs/")]
    NotQualified,
    /// Longer than [`MAX_REF_NAME_BYTES`].
    #[error("ref name is longer than {MAX_REF_NAME_BYTES} bytes")]
    TooLong,
    /// A component is longer than [`MAX_COMPONENT_BYTES`].
    #[error("a component of the ref name is longer than {MAX_COMPONENT_BYTES} bytes")]
    ComponentTooLong,
    /// Refused by git's own rules.
    #[error("ref name is not well formed")]
    Malformed,
}

impl RefName {
    /// Parses a fully qualified ref name.
    ///
    /// The rules are git's own plus lengths. Source: git-check-ref-format(1).
    ///
    /// # Errors
    /// Any [`ParseRefNameError`].
    pub fn parse(name: &[u8]) -> Result<Self, ParseRefNameError> {
        if name.len() > MAX_REF_NAME_BYTES {
            return Err(ParseRefNameError::TooLong);
        }
        let rest = name.strip_prefix(b"refs/").ok_or(ParseRefNameError::NotQualified)?;
        if rest.is_empty() {
            return Err(ParseRefNameError::NotQualified);
        }
        check_components(name)?;
        Ok(Self(name.into()))
    }

    /// Parses the name of the branch `short`, such as `main`.
    ///
    /// # Errors
    /// Any [`ParseRefNameError`]; also for a branch called `HEAD`, or one that starts with `-`, which git
    /// refuses to create.
    pub fn parse_branch(short: &[u8]) -> Result<Self, ParseRefNameError> {
        if short == b"HEAD" || short.starts_with(b"-") {
            return Err(ParseRefNameError::Malformed);
        }
        Self::parse(&[b"refs/heads/", short].concat())
    }

    /// Returns the name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the part behind `refs/heads/` if this names a branch.
    pub fn branch(&self) -> Option<&[u8]> {
        self.0.strip_prefix(b"refs/heads/")
    }

    /// Returns the part behind `refs/tags/` if this names a tag.
    pub fn tag(&self) -> Option<&[u8]> {
        self.0.strip_prefix(b"refs/tags/")
    }

    /// Returns the short name that people use: behind `refs/heads/` or `refs/tags/`, else the whole name.
    pub fn short(&self) -> &[u8] {
        self.branch().or_else(|| self.tag()).unwrap_or(&self.0)
    }

    /// Lists the proper directories of the name, shortest first: `refs/heads/a/b` gives `refs`,
    /// `refs/heads`, `refs/heads/a`. None of them may be a ref while this one is.
    pub fn directories(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &self.0[..at])
    }
}

/// Checks every component and every byte by git's rules.
fn check_components(name: &[u8]) -> Result<(), ParseRefNameError> {
    for component in name.split(|byte| *byte == b'/') {
        if component.len() > MAX_COMPONENT_BYTES {
            return Err(ParseRefNameError::ComponentTooLong);
        }
        if component.is_empty() || component.starts_with(b".") || component.ends_with(b".lock") {
            return Err(ParseRefNameError::Malformed);
        }
    }
    let forbidden = |byte: &u8| {
        *byte < 0x20 || matches!(byte, b' ' | b'~' | b'^' | b':' | b'?' | b'*' | b'[' | b'\\' | 0x7f)
    };
    let pair = |pair: &[u8]| pair == b".." || pair == b"@{";
    if name.iter().any(forbidden) || name.windows(2).any(pair) || name.ends_with(b".") {
        return Err(ParseRefNameError::Malformed);
    }
    Ok(())
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape_controls(&self.0))
    }
}

impl fmt::Debug for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefName({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ParseRefNameError, RefName};

    #[test]
    fn well_formed_names_keep_their_bytes() {
        for name in
            [&b"refs/heads/main"[..], b"refs/heads/a/b", b"refs/x", b"refs/heads/\xff\xfe", b"refs/heads/@"]
        {
            assert_eq!(RefName::parse(name).map(|n| n.as_bytes().to_vec()), Ok(name.to_vec()));
        }
    }

    #[test]
    fn names_that_git_refuses_are_refused() {
        let long = [b"refs/heads/".as_slice(), &[b'a'; 256]].concat();
        let cases: [(&[u8], ParseRefNameError); 18] = [
            (b"", ParseRefNameError::NotQualified),
            (b"HEAD", ParseRefNameError::NotQualified),
            (b"refs/", ParseRefNameError::NotQualified),
            (b"main", ParseRefNameError::NotQualified),
            (b"refs//a", ParseRefNameError::Malformed),
            (b"refs/heads/", ParseRefNameError::Malformed),
            (b"refs/heads/.a", ParseRefNameError::Malformed),
            (b"refs/heads/../../x", ParseRefNameError::Malformed),
            (b"refs/heads/a..b", ParseRefNameError::Malformed),
            (b"refs/heads/a.lock", ParseRefNameError::Malformed),
            (b"refs/heads/a.lock/b", ParseRefNameError::Malformed),
            (b"refs/heads/a.", ParseRefNameError::Malformed),
            (b"refs/heads/a b", ParseRefNameError::Malformed),
            (b"refs/heads/a@{b", ParseRefNameError::Malformed),
            (b"refs/heads/a\0", ParseRefNameError::Malformed),
            (b"refs/heads/a\x7f", ParseRefNameError::Malformed),
            (b"refs/heads/a\\b", ParseRefNameError::Malformed),
            (&long, ParseRefNameError::ComponentTooLong),
        ];
        for (name, error) in cases {
            assert_eq!(RefName::parse(name), Err(error), "{}", String::from_utf8_lossy(name));
        }
        assert_eq!(RefName::parse(&[b'a'; 1025]), Err(ParseRefNameError::TooLong));
        assert!(RefName::parse_branch(b"-x").is_err() && RefName::parse_branch(b"HEAD").is_err());
    }

    #[test]
    fn short_names_and_directories() {
        let name = RefName::parse(b"refs/heads/a/b").expect("valid");
        assert_eq!(name.branch(), Some(&b"a/b"[..]));
        assert_eq!(name.tag(), None);
        let directories: Vec<&[u8]> = name.directories().collect();
        assert_eq!(directories, [&b"refs"[..], b"refs/heads", b"refs/heads/a"]);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = RefName::parse(&bytes);
            let _ = RefName::parse_branch(&bytes);
        }
    }
}

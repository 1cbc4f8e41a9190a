//! Names of owners and repositories, as they stand in URLs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest name of an owner or repository in bytes.
pub const MAX_NAME_BYTES: usize = 100;

/// Why text is not a name of an owner or repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseNameError {
    /// Empty or longer than [`MAX_NAME_BYTES`].
    #[error("name must have 1 to {MAX_NAME_BYTES} characters")]
    Length,
    /// A character outside `A-Z a-z 0-9 . _ -`.
    #[error("name may have letters, digits, dots, underscores and hyphens only")]
    Character,
    /// Starts with a dot or a hyphen, has `..` in it, or ends with `.`, `.git`, `.lock` or the like.
    #[error(
        "name may not start with a dot or hyphen, contain '..', or end in '.', '.git', '.lock', '.wiki' or '.bundle'"
    )]
    Shape,
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses a name; the case is kept.
            ///
            /// # Errors
            /// Any [`ParseNameError`].
            pub fn parse(name: &str) -> Result<Self, ParseNameError> {
                check(name)?;
                Ok(Self(name.to_owned()))
            }

            /// Returns the name as its owner wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Returns the form that must be unique: ASCII lower case.
            pub fn folded(&self) -> String {
                self.0.to_ascii_lowercase()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseNameError;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                Self::parse(name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseNameError;

            fn try_from(name: String) -> Result<Self, Self::Error> {
                Self::parse(&name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    )+};
}

names! {
    /// The name of a user or group.
    OwnerName,
    /// The name of a repository below its owner.
    RepositoryName,
}

fn check(name: &str) -> Result<(), ParseNameError> {
    const TAILS: [&str; 5] = [".", ".git", ".lock", ".wiki", ".bundle"];
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(ParseNameError::Length);
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        return Err(ParseNameError::Character);
    }
    let folded = name.to_ascii_lowercase();
    let bad_tail = TAILS.iter().any(|tail| folded.ends_with(tail));
    if name.starts_with(['.', '-']) || name.contains("..") || bad_tail {
        return Err(ParseNameError::Shape);
    }
    Ok(())
}

/// Where a repository is found: `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryPath {
    /// The user or group that owns it.
    pub owner: OwnerName,
    /// Its name below the owner.
    pub name: RepositoryName,
}

/// Why text is not a repository's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseRepositoryPathError {
    /// There are not exactly two components.
    #[error("repository must be written OWNER/NAME")]
    Components,
    /// A component is not a name.
    #[error("repository name is not valid")]
    Name(#[from] ParseNameError),
}

impl RepositoryPath {
    /// Parses `owner/name`.
    ///
    /// # Errors
    /// Any [`ParseRepositoryPathError`].
    pub fn parse(path: &str) -> Result<Self, ParseRepositoryPathError> {
        let (owner, name) = path.split_once('/').ok_or(ParseRepositoryPathError::Components)?;
        if name.contains('/') {
            return Err(ParseRepositoryPathError::Components);
        }
        Ok(Self { owner: OwnerName::parse(owner)?, name: RepositoryName::parse(name)? })
    }

    /// Parses the path part of a URL as git clients write it: an optional leading `/`, an optional
    /// trailing `/`, and an optional `.git` tail.
    ///
    /// # Errors
    /// Any [`ParseRepositoryPathError`].
    pub fn parse_url(path: &str) -> Result<Self, ParseRepositoryPathError> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        Self::parse(path.strip_suffix(".git").unwrap_or(path))
    }
}

impl fmt::Display for RepositoryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl std::str::FromStr for RepositoryPath {
    type Err = ParseRepositoryPathError;

    fn from_str(path: &str) -> Result<Self, Self::Err> {
        Self::parse(path)
    }
}

impl TryFrom<String> for RepositoryPath {
    type Error = ParseRepositoryPathError;

    fn try_from(path: String) -> Result<Self, Self::Error> {
        Self::parse(&path)
    }
}

impl From<RepositoryPath> for String {
    fn from(path: RepositoryPath) -> Self {
        path.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{OwnerName, RepositoryPath};

    #[test]
    fn names_of_the_usual_kind_parse() {
        for name in ["alice", "A", "a.b_c-d", "0", "x.github.io"] {
            assert!(OwnerName::parse(name).is_ok(), "{name}");
        }
        assert_eq!(OwnerName::parse("Alice").map(|n| n.folded()), Ok("alice".to_owned()));
    }

    #[test]
    fn names_that_could_be_paths_or_options_are_refused() {
        let long = "a".repeat(101);
        for name in [
            "", ".", "..", ".a", "-a", "a/b", "a\\b", "a b", "a.git", "a.GIT", "a.lock", "a..b", "é", "a\0",
            "a%2e", &long,
        ] {
            assert!(OwnerName::parse(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn urls_of_all_spellings_name_one_repository() {
        for url in ["/alice/tools", "alice/tools.git", "/alice/tools.git/", "alice/tools/"] {
            assert_eq!(
                RepositoryPath::parse_url(url).map(|p| p.to_string()),
                Ok("alice/tools".to_owned()),
                "{url}"
            );
        }
        for url in [
            "",
            "/",
            "alice",
            "alice/",
            "//alice/tools",
            "a/b/c",
            "../a/b",
            "~alice/tools",
            "alice/tools.git.git",
        ] {
            assert!(RepositoryPath::parse_url(url).is_err(), "{url}");
        }
    }
}

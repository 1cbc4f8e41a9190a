//! What a token may be used for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Reads the repositories that its user may read.
    RepoRead,
    /// Pushes where its user may; includes `repo:read`.
    RepoWrite,
    /// Changes settings of repositories, deletes them; includes `repo:write`.
    RepoAdmin,
    /// Reads its user's own account.
    UserRead,
    /// Changes its user's own account, keys and tokens; includes `user:read`.
    UserWrite,
    /// Uses its user's rank as an administrator. Without it an administrator's token is an ordinary user's.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 6] =
        [Self::RepoRead, Self::RepoWrite, Self::RepoAdmin, Self::UserRead, Self::UserWrite, Self::Admin];

    /// Returns the scope's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RepoRead => "repo:read",
            Self::RepoWrite => "repo:write",
            Self::RepoAdmin => "repo:admin",
            Self::UserRead => "user:read",
            Self::UserWrite => "user:write",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::RepoRead => 1,
            Self::RepoWrite => 2,
            Self::RepoAdmin => 4,
            Self::UserRead => 8,
            Self::UserWrite => 16,
            Self::Admin => 32,
        }
    }

    /// The bits of this scope and of those that include it.
    const fn allowed_by(self) -> u8 {
        match self {
            Self::RepoRead => 1 | 2 | 4,
            Self::RepoWrite => 2 | 4,
            Self::RepoAdmin => 4,
            Self::UserRead => 8 | 16,
            Self::UserWrite => 16,
            Self::Admin => 32,
        }
    }
}

/// A set of scopes. As text: words with commas between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scopes(u8);

/// Text that is no set of scopes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseScopesError {
    /// A word that is no scope.
    #[error("'{0}' is no scope; there are repo:read, repo:write, repo:admin, user:read, user:write, admin")]
    Unknown(String),
    /// A token for nothing is a mistake.
    #[error("a token needs at least one scope")]
    Empty,
}

impl Scopes {
    /// Everything: what a password or a key may be used for.
    pub const ALL: Self = Self(63);

    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Returns the set as a byte, for tokens of our own.
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// Reads such a byte.
    pub(crate) const fn from_bits(bits: u8) -> Option<Self> {
        if bits <= Self::ALL.0 { Some(Self(bits)) } else { None }
    }

    /// Makes a set of one.
    pub const fn only(scope: Scope) -> Self {
        Self(scope.bit())
    }

    /// Adds a scope.
    #[must_use]
    pub const fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// Whether the set has `scope`, or one that includes it.
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & scope.allowed_by() != 0
    }

    /// Whether everything that `other` allows is allowed by this set too: a token may not make a stronger one.
    pub fn cover(self, other: Self) -> bool {
        Scope::ALL.into_iter().all(|scope| self.allow(scope) || !other.allow(scope))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = Scope::ALL.iter().filter(|scope| self.0 & scope.bit() != 0).map(|scope| scope.as_str());
        f.write_str(&words.collect::<Vec<_>>().join(","))
    }
}

impl std::str::FromStr for Scopes {
    type Err = ParseScopesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut scopes = Self::NONE;
        for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
            let known = Scope::ALL.into_iter().find(|scope| scope.as_str() == word);
            scopes = scopes.with(known.ok_or_else(|| ParseScopesError::Unknown(word.to_owned()))?);
        }
        if scopes == Self::NONE { Err(ParseScopesError::Empty) } else { Ok(scopes) }
    }
}

impl TryFrom<String> for Scopes {
    type Error = ParseScopesError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Scopes> for String {
    fn from(scopes: Scopes) -> Self {
        scopes.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{ParseScopesError, Scope, Scopes};

    #[test]
    fn words_go_both_ways_and_unknown_ones_are_named() {
        let scopes: Scopes = "repo:write,user:read".parse().unwrap();
        assert_eq!(scopes.to_string(), "repo:write,user:read");
        assert_eq!("repo:wirte".parse::<Scopes>(), Err(ParseScopesError::Unknown("repo:wirte".into())));
        assert_eq!(" , ".parse::<Scopes>(), Err(ParseScopesError::Empty));
    }

    #[test]
    fn larger_scopes_include_smaller_ones_of_their_kind_only() {
        let write = Scopes::only(Scope::RepoWrite);
        assert!(
            write.allow(Scope::RepoRead) && !write.allow(Scope::RepoAdmin) && !write.allow(Scope::UserRead)
        );
        let admin = Scopes::only(Scope::Admin);
        assert!(!admin.allow(Scope::RepoRead), "rank is no way around the other scopes");
        assert!(
            Scopes::ALL.cover(write) && write.cover(Scopes::only(Scope::RepoRead)) && !write.cover(admin)
        );
    }
}

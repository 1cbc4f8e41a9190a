//! Who is asking.

use hakata_names::{KeyId, OwnerName, RepositoryId, TokenId, UserId};

use crate::{Scope, Scopes};

/// Who is asking, with proof behind it: only [`crate::auth`] and the local administrator make other actors
/// than `Anonymous`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Nobody signed in.
    Anonymous,
    /// A person, or a program of a person.
    User {
        /// The user's row.
        id: UserId,
        /// The user's name.
        name: OwnerName,
        /// Whether the user administers the whole installation.
        is_admin: bool,
        /// What was shown as proof.
        via: Via,
    },
    /// A key that belongs to one repository and to no person.
    DeployKey {
        /// The key's row.
        key: KeyId,
        /// The only repository it may touch.
        repository: RepositoryId,
        /// Whether it may push.
        can_write: bool,
    },
    /// The operator at the machine itself, or the product's own tasks.
    System,
}

/// What a user showed as proof of who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// The password.
    Password,
    /// A token with these scopes.
    Token {
        /// The token's row.
        id: TokenId,
        /// What the token may be used for.
        scopes: Scopes,
    },
    /// An SSH key, proven by a signature.
    Key {
        /// The key's row.
        id: KeyId,
    },
}

impl Actor {
    /// Returns the user, if a person is behind this.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::User { id, .. } => Some(*id),
            Self::Anonymous | Self::DeployKey { .. } | Self::System => None,
        }
    }

    /// Returns the name for greetings and logs; never a secret.
    pub fn name(&self) -> &str {
        match self {
            Self::Anonymous => "anonymous",
            Self::User { name, .. } => name.as_str(),
            Self::DeployKey { .. } => "deploy key",
            Self::System => "system",
        }
    }

    /// Returns what the proof may be used for: everything, unless it is a token.
    pub fn scopes(&self) -> Scopes {
        match self {
            Self::User { via: Via::Token { scopes, .. }, .. } => *scopes,
            _ => Scopes::ALL,
        }
    }

    /// Whether this actor administers the installation by this proof.
    pub fn is_admin(&self) -> bool {
        match self {
            Self::System => true,
            Self::User { is_admin, .. } => *is_admin && self.scopes().allow(Scope::Admin),
            Self::Anonymous | Self::DeployKey { .. } => false,
        }
    }
}

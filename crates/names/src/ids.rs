//! Row ids: 64-bit integers of the database, one newtype per family so that they cannot be swapped.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(i64);

        impl $name {
            /// Wraps a number that came from the database.
            pub const fn new(id: i64) -> Self {
                Self(id)
            }

            /// Returns the number; always between 1 and 2^53 - 1 for a stored row.
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl From<i64> for $name {
            fn from(id: i64) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

ids! {
    /// Identifies whoever can own repositories: a user or a group.
    OwnerId,
    /// Identifies a user; the same number as the user's [`OwnerId`].
    UserId,
    /// Identifies a group (an organization); the same number as the group's [`OwnerId`].
    GroupId,
    /// Identifies a repository.
    RepositoryId,
    /// Identifies a pack; also the key of its bytes in the blob store.
    PackId,
    /// Identifies an SSH public key of a user or of a repository.
    KeyId,
    /// Identifies an access token.
    TokenId,
    /// Identifies one protection rule of a repository.
    ProtectionId,
    /// Identifies an event.
    EventId,
    /// Identifies a job.
    JobId,
    /// Identifies an audit row.
    AuditId,
    /// Identifies a webhook.
    WebhookId,
    /// Identifies what a webhook was told, or is to be told, once.
    DeliveryId,
    /// Identifies a mirror: that a repository follows another, or is followed.
    MirrorId,
    /// Identifies an import that runs as a job.
    ImportId,
    /// Identifies what one user is told by mail, once.
    NoticeId,
    /// Identifies an LFS object; also the key of its bytes in the blob store.
    LfsObjectId,
    /// Identifies a lock on a path of a repository.
    LfsLockId,
}

impl UserId {
    /// Returns the same identity in its role as an owner of repositories.
    pub const fn owner(self) -> OwnerId {
        OwnerId(self.0)
    }
}

impl GroupId {
    /// Returns the same identity in its role as an owner of repositories.
    pub const fn owner(self) -> OwnerId {
        OwnerId(self.0)
    }
}

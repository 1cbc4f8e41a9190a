//! Closed sets that are stored as words, so that a person at the database's prompt can read them; roles are numbers,
//! because they are compared.

use serde::{Deserialize, Serialize};

/// Declares an enum with the word that is stored for each variant.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Returns the word that is stored and shown.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Finds the variant of a word.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl From<$name> for crate::value::Value<'static> {
            fn from(value: $name) -> Self {
                Self::Text(Some(value.as_str()))
            }
        }
    )+};
}

words! {
    /// What an owner is.
    OwnerKind {
        /// A person or machine that can sign in.
        User = "user",
        /// A group of users.
        Group = "group",
    }
    /// Whether an owner may act.
    OwnerState {
        /// As usual.
        Active = "active",
        /// May not sign in; its repositories stay.
        Disabled = "disabled",
    }
    /// Where a repository is in its life.
    RepositoryState {
        /// Being filled by an import or a fork; not to be seen yet.
        Creating = "creating",
        /// As usual.
        Active = "active",
        /// Readable, accepts no change.
        Archived = "archived",
        /// Gone for everybody; kept for the restore period.
        Deleted = "deleted",
    }
    /// Who may see a repository without being named.
    Visibility {
        /// Nobody.
        Private = "private",
        /// Everybody.
        Public = "public",
    }
    /// Where a pack is in its life.
    PackState {
        /// Its bytes may be incomplete; no repository uses it.
        Staged = "staged",
        /// A repository uses it, or did until a moment ago.
        Live = "live",
        /// No repository uses it; its bytes go after a while.
        Dead = "dead",
    }
    /// Where an LFS object is in its life.
    LfsObjectState {
        /// Its bytes may be incomplete; no repository has it.
        Staged = "staged",
        /// A repository has it, or had until a moment ago.
        Live = "live",
        /// No repository has it; its bytes go after a while.
        Dead = "dead",
    }
    /// Which refs a protection is about.
    ProtectionKind {
        /// Refs below `refs/heads/`.
        Branch = "branch",
        /// Refs below `refs/tags/`.
        Tag = "tag",
    }
    /// Where a job is in its life.
    JobState {
        /// To be claimed when its time comes.
        Waiting = "waiting",
        /// A worker has it.
        Claimed = "claimed",
        /// Finished.
        Done = "done",
        /// Given up; kept for a person to look at.
        Buried = "buried",
    }
    /// Where a delivery of a webhook is in its life.
    DeliveryState {
        /// A job will send it, again if need be.
        Waiting = "waiting",
        /// Its webhook is paused; no job will send it.
        Held = "held",
        /// The receiver took it.
        Delivered = "delivered",
        /// Given up.
        Failed = "failed",
    }
    /// Where a notice is in its life.
    NoticeState {
        /// A job will send it.
        Waiting = "waiting",
        /// A digest will tell of it.
        Held = "held",
        /// It was taken by the mail server.
        Sent = "sent",
        /// Given up.
        Failed = "failed",
        /// When its turn came, its reader was not to be told any more.
        Dropped = "dropped",
    }
    /// Who follows whom in a mirror.
    Direction {
        /// Our repository follows the other.
        Pull = "pull",
        /// The other follows ours.
        Push = "push",
    }
    /// Where an import is in its life.
    ImportState {
        /// A job will begin it, or try it again.
        Waiting = "waiting",
        /// A worker is at it.
        Running = "running",
        /// The repository is here.
        Done = "done",
        /// Given up; nothing is left of it.
        Failed = "failed",
    }
    /// How much a user wants to hear of a repository.
    WatchLevel {
        /// Nothing.
        Ignoring = "ignoring",
        /// What is about the user.
        Participating = "participating",
        /// Everything.
        Watching = "watching",
    }
    /// How notices of a user are collected.
    Digest {
        /// Each is a letter.
        Off = "off",
        /// One letter an hour.
        Hourly = "hourly",
        /// One letter a day.
        Daily = "daily",
    }
}

/// What somebody may do in a repository; a greater role includes the lesser ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Fetches.
    Reporter = 1,
    /// Also pushes.
    Developer = 2,
    /// Also changes settings, protections and deploy keys.
    Maintainer = 3,
    /// Also deletes, renames, changes members and visibility.
    Owner = 4,
}

/// Stored where a protection asks for a role that nobody has.
const NOBODY: i64 = 5;

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 4] = [Self::Reporter, Self::Developer, Self::Maintainer, Self::Owner];

    /// Returns the word that is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reporter => "reporter",
            Self::Developer => "developer",
            Self::Maintainer => "maintainer",
            Self::Owner => "owner",
        }
    }

    /// Finds the role of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    pub(crate) fn stored(self) -> i64 {
        self as i64
    }

    pub(crate) fn from_stored(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.stored() == number)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Stores the least role that a protection asks for; `None`: no role is enough.
pub(crate) fn least_stored(role: Option<Role>) -> i64 {
    role.map_or(NOBODY, Role::stored)
}

#[cfg(test)]
mod tests {
    use super::{JobState, NOBODY, RepositoryState, Role, least_stored};

    #[test]
    fn words_and_numbers_read_back() {
        assert_eq!(RepositoryState::parse("archived"), Some(RepositoryState::Archived));
        assert_eq!(JobState::parse("Waiting"), None, "case counts");
        assert_eq!(Role::from_stored(Role::Developer.stored()), Some(Role::Developer));
        assert_eq!(Role::from_stored(NOBODY), None);
        assert_eq!(least_stored(None), NOBODY);
        assert!(Role::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(Role::parse("owner"), Some(Role::Owner));
    }
}

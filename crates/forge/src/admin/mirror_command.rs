//! The commands about mirrors and imports of other hosts' repositories.

use std::fmt;

use hakata_names::{ImportId, MirrorId, RepositoryPath};
use hakata_store::{Direction, Visibility};
use serde::{Deserialize, Serialize};

use super::words;

/// `hakata repo mirror …`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum MirrorCommand {
    /// Makes a mirror, and syncs it.
    Add(MirrorAdd),
    /// Lists mirrors, of one repository or all.
    List {
        /// Whose.
        #[serde(default)]
        path: Option<RepositoryPath>,
    },
    /// Ends a mirror.
    Remove {
        /// Which.
        #[serde(with = "words")]
        id: MirrorId,
    },
    /// Syncs at once.
    Sync {
        /// Which.
        #[serde(with = "words")]
        id: MirrorId,
    },
    /// Lets it rest.
    Pause {
        /// Which.
        #[serde(with = "words")]
        id: MirrorId,
    },
    /// Ends a pause.
    Resume {
        /// Which.
        #[serde(with = "words")]
        id: MirrorId,
    },
}

/// `hakata repo mirror add …`.
#[derive(Clone, Serialize, Deserialize)]
pub struct MirrorAdd {
    /// Our repository.
    pub path: RepositoryPath,
    /// Who follows whom.
    pub direction: Direction,
    /// The other host's.
    pub url: String,
    /// Who we say there that we are.
    #[serde(default)]
    pub user: Option<String>,
    /// The password or token; it is never shown again.
    #[serde(default)]
    pub password: Option<String>,
    /// Patterns over branches; none: all.
    #[serde(default)]
    pub branches: Vec<String>,
    /// Whether tags and notes are mirrored.
    pub tags: bool,
    /// Whether what is pushed may lose commits there.
    pub force: bool,
    /// Whether fetched objects with fsck warnings are taken.
    #[serde(default)]
    pub accept_warnings: bool,
    /// Seconds between two syncs; 0: only when there is reason to; without it, the configured time.
    #[serde(default)]
    pub every_s: Option<u64>,
    /// Whether what is in the repository that follows may go.
    #[serde(default)]
    pub overwrite: bool,
}

/// `hakata repo import URL …`.
#[derive(Clone, Serialize, Deserialize)]
pub struct ImportUrl {
    /// The other host's repository.
    pub url: String,
    /// Where to.
    pub path: RepositoryPath,
    /// Who may read it.
    pub visibility: Visibility,
    /// Who we say there that we are.
    #[serde(default)]
    pub user: Option<String>,
    /// The password or token; it is forgotten when the import ends.
    #[serde(default)]
    pub password: Option<String>,
    /// `sha1` or `sha256`; without it, the first.
    #[serde(default)]
    pub object_format: Option<String>,
    /// Whether objects with fsck warnings are taken.
    #[serde(default)]
    pub accept_warnings: bool,
}

/// `hakata repo imports …`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum ImportsCommand {
    /// Lists imports, the newest first.
    List {
        /// At most so many.
        limit: u16,
    },
    /// Gives one up.
    Cancel {
        /// Which.
        #[serde(with = "words")]
        id: ImportId,
    },
}

/// Shows what is done to which, never a password or a URL.
impl fmt::Debug for MirrorCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(add) => write!(f, "Add({}, {})", add.path, add.direction),
            Self::List { path } => write!(f, "List({path:?})"),
            Self::Remove { id } => write!(f, "Remove({id})"),
            Self::Sync { id } => write!(f, "Sync({id})"),
            Self::Pause { id } => write!(f, "Pause({id})"),
            Self::Resume { id } => write!(f, "Resume({id})"),
        }
    }
}

/// Shows where to, never a password or a URL.
impl fmt::Debug for ImportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImportUrl({})", self.path)
    }
}

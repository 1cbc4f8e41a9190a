//! What may be said about importing a whole tree.

use std::path::PathBuf;

use hakata_names::OwnerName;
use serde::{Deserialize, Serialize};

use crate::Visibility;

/// `hakata repo import --tree …`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImportTree {
    /// The directory; this process reads it.
    pub directory: PathBuf,
    /// Who gets them all; without it each repository's folder names its owner.
    #[serde(default)]
    pub owner: Option<OwnerName>,
    /// Patterns of what is left out: of any one name, or of a path below the directory.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Who may read them.
    pub visibility: Visibility,
    /// Whether objects with fsck warnings are taken.
    #[serde(default)]
    pub accept_warnings: bool,
    /// Whether repositories that are here are passed over, and those that a cut import left are finished.
    #[serde(default)]
    pub skip_existing: bool,
    /// Whether to tell only what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// What to do for owners that do not exist.
    #[serde(default)]
    pub missing: MissingOwners,
}

/// What becomes of owners that do not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingOwners {
    /// They are named, and nothing is done.
    #[default]
    Refused,
    /// They become users, who cannot sign in until they are given a key or a password.
    Users,
    /// They become groups of this user.
    GroupsOf(OwnerName),
}

//! The folder, and one repository in it.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hakata_runtime::units::ByteSize;

use super::configuration::Known;
use super::find::{FindError, Found, find};
use super::kept::Kept;
use crate::command::{Command, Subcommand, Variables};
use crate::process::ask;
use crate::{Git, GitDir};

/// Longest list of configuration files that git names, in bytes.
const MAX_NAMES: u64 = 64 << 10;

/// What an operator may set about a folder.
#[derive(Clone, Debug)]
pub struct RootSettings {
    /// Variables that every git process of this folder inherits, such as `HOME`.
    pub variables: Vec<(&'static str, OsString)>,
    /// Whether repositories need no `git-daemon-export-ok`.
    pub export_all: bool,
    /// Whether answers of git about refs are kept while nothing has changed.
    pub keep_answers: bool,
    /// Memory for answers that are kept.
    pub kept: ByteSize,
}

/// Why a folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenRootError {
    /// Nothing is there.
    #[error("{} does not exist", .path.display())]
    Absent {
        /// Its path.
        path: PathBuf,
    },
    /// It is a file or the like.
    #[error("{} is not a folder", .path.display())]
    NotAFolder {
        /// Its path.
        path: PathBuf,
    },
    /// It cannot be looked at.
    #[error("opening {}", .path.display())]
    Io {
        /// Its path.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
}

/// A folder of repositories. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Root(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    git: Git,
    path: PathBuf,
    variables: Variables,
    export_all: bool,
    config_files: Vec<PathBuf>,
    kept: Kept,
    owner: u32,
}

/// A repository in the folder, found by its path just now. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repository {
    root: Root,
    found: Arc<Found>,
    /// Its configuration, if what was kept of it still holds.
    known: Option<Arc<Known>>,
}

impl Root {
    /// Opens a folder; asks git once where the configuration of system and user lies.
    ///
    /// # Errors
    /// Each is a sentence for the operator.
    pub async fn open(git: &Git, path: &Path, settings: RootSettings) -> Result<Self, OpenRootError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => OpenRootError::Absent { path: path.to_owned() },
            _ => OpenRootError::Io { path: path.to_owned(), source },
        };
        let resolved = std::fs::canonicalize(path).map_err(failed)?;
        if !resolved.is_dir() {
            return Err(OpenRootError::NotAFolder { path: path.to_owned() });
        }
        std::fs::read_dir(&resolved).map_err(failed)?;
        let RootSettings { variables, export_all, keep_answers, kept } = settings;
        let variables: Variables = variables.into();
        let config_files = config_files(git, &variables).await;
        Ok(Self(Arc::new(Inner {
            git: git.clone(),
            path: resolved,
            variables,
            export_all,
            kept: Kept::new(kept, keep_answers),
            config_files,
            owner: rustix::process::geteuid().as_raw(),
        })))
    }

    /// Returns the folder, resolved.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Tells whether the folder belongs to another user than the one we run as.
    pub fn is_of_another(&self) -> bool {
        std::fs::metadata(&self.0.path).is_ok_and(|it| it.uid() != self.0.owner)
    }

    /// Finds the repository that a path below the folder names, with the endings that git tries; `None` if there is
    /// none, or it lies outside.
    ///
    /// # Errors
    /// A file in its place that git would choke on.
    pub async fn find(&self, below: &[u8]) -> Result<Option<Repository>, FindError> {
        let (root, below) = (self.clone(), below.to_owned());
        // One visit to the pool for both looks at the disk.
        let found = self.0.git.blocking().run(move || {
            let Some(found) = find(root.path(), &below)? else { return Ok(None) };
            let known = root.kept().configuration(found.dir.path()).filter(|known| known.holds());
            Ok(Some(Repository { root, found: Arc::new(found), known }))
        });
        found.await.map_err(FindError::Busy)?
    }

    pub(super) fn git(&self) -> &Git {
        &self.0.git
    }

    pub(super) fn variables(&self) -> &Variables {
        &self.0.variables
    }

    pub(super) fn kept(&self) -> &Kept {
        &self.0.kept
    }

    pub(super) fn exports_all(&self) -> bool {
        self.0.export_all
    }

    /// Lists the files of configuration outside of repositories, whether they exist or not.
    pub(super) fn config_files(&self) -> &[PathBuf] {
        &self.0.config_files
    }
}

impl Repository {
    /// Tells whether it may be served at all: all may, or it has `git-daemon-export-ok`.
    pub fn is_exported(&self) -> bool {
        self.root.exports_all() || self.found.is_exported
    }

    /// Returns the directory, resolved.
    pub fn path(&self) -> &Path {
        self.found.dir.path()
    }

    /// Returns the configuration that was found to hold.
    pub(super) fn known_to_hold(&self) -> Option<&Arc<Known>> {
        self.known.as_ref()
    }

    pub(super) fn dir(&self) -> &GitDir {
        &self.found.dir
    }

    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    pub(super) fn git(&self) -> &Git {
        self.root.git()
    }

    /// Tells whether git trusts it without asking `safe.directory`.
    pub(super) fn is_ours(&self) -> bool {
        self.found.owner == self.root.0.owner
    }

    /// Starts a command line in it.
    pub(super) fn command(&self, subcommand: Subcommand) -> Command {
        Command::new(subcommand).for_operator(self.root.variables()).inside(self.dir())
    }
}

/// Asks git for the files of the system's and the user's configuration. A git that does not tell has none.
async fn config_files(git: &Git, variables: &Variables) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for name in ["GIT_CONFIG_SYSTEM", "GIT_CONFIG_GLOBAL"] {
        let command = Command::new(Subcommand::Var).for_operator(variables).flag(name);
        if let Ok((finished, said)) = ask(git, &command, Vec::new(), MAX_NAMES).await
            && finished.status.success()
        {
            let names = said.split(|byte| *byte == b'\n').filter(|name| !name.is_empty());
            files.extend(names.map(|name| PathBuf::from(OsString::from_vec(name.to_vec()))));
        }
    }
    files
}

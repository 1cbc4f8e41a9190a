//! The files of a commit or directory in one file.

use hakata_names::{Oid, TreePath};

use super::{Allowance, Pieces};
use crate::command::{Command, Subcommand};
use crate::objects::{Objects, ReadError};

/// Most paths of one question, and their bytes: they stand on a command line.
const MAX_PATHS: usize = 1_000;
const MAX_PATHS_BYTES: usize = 64 << 10;

/// How files are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// POSIX tar, with the commit in a pax header.
    #[default]
    Tar,
    /// The same through gzip.
    TarGz,
    /// ZIP.
    Zip,
}

/// A question for an archive.
#[derive(Clone, Debug)]
pub struct ArchiveQuery {
    /// A commit, a tag that leads to one, or a tree.
    pub root: Oid,
    /// What the file is.
    pub format: ArchiveFormat,
    /// A directory that everything is put into; `None` for none.
    pub prefix: Option<TreePath>,
    /// Files and directories; all without one.
    pub paths: Vec<TreePath>,
}

impl ArchiveFormat {
    const fn name(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::Zip => "zip",
        }
    }
}

impl Objects {
    /// Starts git to write an archive, with what the attributes within the tree say (`export-ignore`, `export-subst`).
    /// The allowance's time and bytes hold for the whole of it.
    ///
    /// # Errors
    /// [`ReadError::Absent`] or [`ReadError::Invalid`] for what has no tree, [`ReadError::NotFound`] for a path that is
    /// not there, [`ReadError::Child`].
    pub async fn archive(&self, query: ArchiveQuery, allowance: &Allowance) -> Result<Pieces, ReadError> {
        let n_bytes: usize = query.paths.iter().map(|path| path.as_bytes().len()).sum();
        if query.paths.len() > MAX_PATHS || n_bytes > MAX_PATHS_BYTES {
            let sentence =
                format!("an archive is of up to {MAX_PATHS} paths and {MAX_PATHS_BYTES} bytes of them");
            return Err(ReadError::Invalid(sentence));
        }
        let mut command = Command::new(Subcommand::Archive)
            .dir(self.dir())
            .option("--format", query.format.name())
            .oid(&query.root);
        if let Some(prefix) = &query.prefix {
            use std::os::unix::ffi::OsStrExt;
            let prefix = [prefix.as_bytes(), b"/"].concat();
            command = command.option("--prefix", std::ffi::OsStr::from_bytes(&prefix));
        }
        if !query.paths.is_empty() {
            command = command.paths(&query.paths);
        }
        self.read_within(allowance, move |view| {
            let tree = view.tree_of(&query.root)?;
            for path in &query.paths {
                let found = view.find_entry(&tree, path)?;
                found.ok_or_else(|| ReadError::NotFound(path.as_bytes().to_vec()))?;
            }
            Ok(())
        })
        .await?;
        Pieces::start(self, &command, Vec::new(), allowance).await
    }
}

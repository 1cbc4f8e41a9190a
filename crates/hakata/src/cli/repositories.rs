//! `repo`: its flags, and the administrative commands that they stand for.

use crate::cli::import::Import;
use crate::cli::mirrors::{Imports, MirrorCommand};
use crate::cli::words::{self, LeastRole};
use crate::output::{Failure, is_interactive};
use clap::{Args, Subcommand};
use hakata_forge::admin;
use hakata_forge::{Role, Visibility};
use hakata_names::{OwnerName, RepositoryPath};
use hakata_runtime::units::ByteSize;
use std::path::{Path, PathBuf};

/// `hakata repo …`
#[derive(Debug, Subcommand)]
pub(crate) enum RepoCommand {
    /// Creates an empty repository
    Create {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        path: RepositoryPath,
        /// Lets everybody read it
        #[arg(long)]
        public: bool,
        /// How its objects are named [default: repositories.object_format]
        #[arg(long, value_name = "FORMAT", value_parser = ["sha1", "sha256"])]
        object_format: Option<String>,
        /// What it is, in a line
        #[arg(long, value_name = "WORDS")]
        description: Option<String>,
    },
    /// Lists repositories
    List {
        /// Only those of one owner
        #[arg(long, value_name = "NAME")]
        owner: Option<OwnerName>,
        /// Those that were deleted and can be restored
        #[arg(long, conflicts_with = "owner")]
        deleted: bool,
    },
    /// Deletes a repository
    Delete {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        path: RepositoryPath,
        /// Asks nothing, as when there is no terminal
        #[arg(long)]
        yes: bool,
    },
    /// Brings a deleted repository back under its old name
    Restore {
        /// The repository's id, from `repo list --deleted`
        id: i64,
    },
    /// Moves a repository to another name or owner; the old name does not lead to it
    Rename {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        path: RepositoryPath,
        /// Its new name, or path
        #[arg(value_name = "[OWNER/]NAME")]
        to: String,
    },
    /// Takes over repositories from this machine, or one from another host
    Import(Import),
    /// Lists imports from other hosts and how far they are, or gives one up
    Imports(Imports),
    /// Lets repositories follow those of other hosts, or be followed by them
    #[command(subcommand)]
    Mirror(MirrorCommand),
    /// Prints the directory of a repository's ordinary bare copy
    Path(One),
    /// Shows or sets the branch that clones check out
    DefaultBranch {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        path: RepositoryPath,
        /// The branch, which need not exist yet; absent shows it
        branch: Option<String>,
    },
    /// Sets who may read a repository
    Visibility {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        path: RepositoryPath,
        /// Who may read it
        #[arg(value_parser = words::visibility())]
        visibility: Visibility,
    },
    /// Makes a repository read-only
    Archive(One),
    /// Lets an archived repository change again
    Unarchive(One),
    /// Sets how large a repository may grow
    Quota {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        path: RepositoryPath,
        /// The size, such as 20GiB; absent takes the default again
        size: Option<ByteSize>,
    },
    /// Protects branches or tags against some pushes
    Protect(Protect),
    /// Lists the protections of a repository
    Protections(One),
    /// Removes a protection
    Unprotect {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        path: RepositoryPath,
        /// Its pattern, as given to protect
        pattern: String,
        /// The pattern is of tags
        #[arg(long)]
        tag: bool,
    },
    /// Gives a person a role in a repository, or takes it
    Collaborator {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        path: RepositoryPath,
        /// The person
        user: OwnerName,
        /// What the person may do
        #[arg(long, default_value = "developer", value_parser = words::role())]
        role: Role,
        /// Takes the role away
        #[arg(long, conflicts_with = "role")]
        remove: bool,
    },
    /// Checks rows against bytes, and the objects themselves
    Verify(One),
    /// Makes the rows of a repository again from its bare directory
    Recover {
        /// The bare directory
        source: PathBuf,
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        path: RepositoryPath,
    },
}

/// A command about one repository and nothing else.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The repository
    #[arg(value_name = "OWNER/NAME")]
    path: RepositoryPath,
}

/// `hakata repo protect …`
#[derive(Debug, Args)]
pub(crate) struct Protect {
    /// The repository
    #[arg(value_name = "OWNER/NAME")]
    path: RepositoryPath,
    /// Branches by name or pattern: main, release/*
    pattern: String,
    /// The pattern is of tags
    #[arg(long)]
    tag: bool,
    /// The least role that may push
    #[arg(
        long,
        visible_alias = "allow-role",
        default_value = "developer",
        value_name = "ROLE",
        value_parser = words::least_role()
    )]
    push: LeastRole,
    /// Lets a person push who has not that role, but may push to the repository
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    allow_user: Vec<OwnerName>,
    /// Allows forced pushes
    #[arg(long)]
    allow_force: bool,
    /// Allows deletion
    #[arg(long)]
    allow_delete: bool,
}

impl RepoCommand {
    /// Makes the administrative command; paths become absolute, since a server has another working directory.
    pub(crate) fn into_command(self) -> Result<admin::Command, Failure> {
        use admin::RepoCommand as Admin;
        let seen_by = |public| if public { Visibility::Public } else { Visibility::Private };
        Ok(admin::Command::Repo(match self {
            Self::Create { path, public, object_format, description } => {
                Admin::Create { path, visibility: seen_by(public), object_format, description }
            }
            Self::List { deleted: true, .. } => Admin::ListDeleted,
            Self::List { owner, .. } => Admin::List { owner },
            Self::Delete { path, yes } => {
                confirm(&path, yes)?;
                Admin::Delete { path }
            }
            Self::Restore { id } => Admin::Restore { id: id.into() },
            Self::Rename { path, to } => {
                let to = if to.contains('/') { to } else { format!("{}/{to}", path.owner) };
                let to =
                    to.parse().map_err(|error| Failure::usage(format!("{to:?} is no new path: {error}")))?;
                Admin::Rename { path, to }
            }
            Self::Import(import) => import.into_command()?,
            Self::Imports(imports) => imports.into_command(),
            Self::Mirror(mirror) => mirror.into_command()?,
            Self::Path(One { path }) => Admin::Path { path },
            Self::DefaultBranch { path, branch } => Admin::DefaultBranch { path, branch },
            Self::Visibility { path, visibility } => Admin::Visibility { path, visibility },
            Self::Archive(One { path }) => Admin::Archive { path, archived: true },
            Self::Unarchive(One { path }) => Admin::Archive { path, archived: false },
            Self::Quota { path, size } => Admin::Quota { path, quota: size },
            Self::Protect(protect) => protect.into_command(),
            Self::Protections(One { path }) => Admin::Protections { path },
            Self::Unprotect { path, pattern, tag } => Admin::Unprotect { path, tags: tag, pattern },
            Self::Collaborator { path, user, role, remove } => {
                Admin::Collaborator { path, user, role: (!remove).then_some(role) }
            }
            Self::Verify(One { path }) => Admin::Verify { path },
            Self::Recover { source, path } => Admin::Recover { source: absolute(&source)?, path },
        }))
    }
}

impl Protect {
    fn into_command(self) -> admin::RepoCommand {
        let Self { path, pattern, tag, push, allow_user, allow_force, allow_delete } = self;
        admin::RepoCommand::Protect {
            path,
            tags: tag,
            pattern,
            push: push.0,
            force: allow_force,
            delete: allow_delete,
            allowed: allow_user,
        }
    }
}

/// Lets a deletion through when it is meant; a script is taken at its word.
fn confirm(path: &RepositoryPath, yes: bool) -> Result<(), Failure> {
    if yes || !is_interactive() || crate::output::ask(&format!("Delete {path}?")) {
        return Ok(());
    }
    Err(Failure::refused(format!("{path} was not deleted")))
}

/// Makes a path that means the same to a server, which has another working directory.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::failed(format!("reading {}", path.display()), &error))
}

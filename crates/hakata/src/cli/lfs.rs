//! `lfs`: how to serve Git LFS alone, and the administrative commands about it.

use crate::cli::ServeArgs;
use clap::{Args, Subcommand};
use hakata_forge::admin;
use hakata_names::RepositoryPath;

/// How to serve Git LFS, or what to do about it.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LfsArgs {
    /// How to serve.
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    /// What to do instead.
    #[command(subcommand)]
    pub(crate) command: Option<LfsCommand>,
}

/// `hakata lfs …`
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum LfsCommand {
    /// Tells how much is used, by a repository or by those that use most
    Usage {
        /// Only this repository
        #[arg(value_name = "OWNER/NAME")]
        path: Option<RepositoryPath>,
        /// Adds up the repositories of each owner
        #[arg(long, conflicts_with = "path")]
        by_owner: bool,
    },
    /// Lists the locks of a repository, newest first
    Locks {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        path: RepositoryPath,
    },
    /// Takes a lock away, whoever has it
    Unlock {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        path: RepositoryPath,
        /// The path that is locked, or the lock's id
        #[arg(value_name = "PATH|ID")]
        lock: String,
    },
}

impl LfsCommand {
    /// Makes the administrative command.
    pub(crate) fn into_command(self) -> admin::Command {
        admin::Command::Lfs(match self {
            Self::Usage { path, by_owner } => admin::LfsCommand::Usage { path, by_owner },
            Self::Locks { path } => admin::LfsCommand::Locks { path },
            Self::Unlock { path, lock } => admin::LfsCommand::Unlock { path, lock },
        })
    }
}

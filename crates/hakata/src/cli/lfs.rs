//! `lfs`: how to serve Git LFS alone, and the administrative commands about it.

use crate::cli::ServeArgs;
use clap::{Args, Subcommand};
use hakata_forge::admin;
use hakata_names::RepositoryPath;
use hakata_runtime::units::ByteSize;

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
    /// Puts objects in quarantine that no commit points to, and removes those that were in it for lfs.gc_quarantine
    Gc {
        /// Only this repository
        #[arg(value_name = "OWNER/NAME")]
        path: Option<RepositoryPath>,
        /// Only says what would be done
        #[arg(long)]
        dry_run: bool,
        /// Also where no commit points to any object, as where a repository keeps those of others
        #[arg(long)]
        even_without_pointers: bool,
    },
    /// Takes objects out of quarantine, and lets those be sent again that were removed
    Restore {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        path: RepositoryPath,
        /// Only these objects; without any, all that are in quarantine
        #[arg(value_name = "OID")]
        oids: Vec<String>,
    },
    /// Removes objects from a repository for good: who asks for them is told so, and nobody can send them again
    Remove {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        path: RepositoryPath,
        /// The objects
        #[arg(value_name = "OID", required = true)]
        oids: Vec<String>,
    },
    /// Reads all objects again, and says which are bad: the next who pushes sends those again
    Scrub {
        /// Bytes in a second, instead of lfs.scrub_rate
        #[arg(long, value_name = "SIZE")]
        rate: Option<ByteSize>,
        /// Leaves out those that were read within lfs.scrub_every
        #[arg(long)]
        due: bool,
    },
    /// Copies all objects, and the packs beside them, to the store that storage.moving names; goes on where it was
    MigrateStorage,
}

impl LfsCommand {
    /// Makes the administrative command.
    pub(crate) fn into_command(self) -> admin::Command {
        admin::Command::Lfs(match self {
            Self::Usage { path, by_owner } => admin::LfsCommand::Usage { path, by_owner },
            Self::Locks { path } => admin::LfsCommand::Locks { path },
            Self::Unlock { path, lock } => admin::LfsCommand::Unlock { path, lock },
            Self::Gc { path, dry_run, even_without_pointers } => {
                admin::LfsCommand::Gc { path, dry_run, even_without_pointers }
            }
            Self::Restore { path, oids } => admin::LfsCommand::Restore { path, oids },
            Self::Remove { path, oids } => admin::LfsCommand::Remove { path, oids },
            Self::MigrateStorage => admin::LfsCommand::MigrateStorage,
            Self::Scrub { rate, due } => admin::LfsCommand::Scrub { rate, due },
        })
    }
}

//! `queue`: its flags, and the administrative commands that they stand for.

use crate::cli::words;
use clap::{Args, Subcommand};
use hakata_forge::admin::{self, Which};
use hakata_forge::jobs::{JobState, Kind};

/// `hakata queue …`
#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// Lists jobs that are not done
    List {
        /// Only those in this state
        #[arg(long, value_parser = words::state())]
        state: Option<JobState>,
        /// Only those of this kind
        #[arg(long, value_parser = words::kind())]
        kind: Option<Kind>,
    },
    /// Shows a job
    Show {
        /// The job's id, from `queue list`
        id: i64,
    },
    /// Lets a buried or waiting job run as soon as it can
    Retry(WhichArgs),
    /// Deletes a job that no worker has
    Purge(WhichArgs),
    /// Lets no worker take jobs of a kind, on any node
    Pause {
        /// The kind
        #[arg(value_parser = words::kind())]
        kind: Kind,
    },
    /// Lets workers take jobs of a kind again
    Resume {
        /// The kind
        #[arg(value_parser = words::kind())]
        kind: Kind,
    },
}

/// One job, or all that are buried.
#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// The job's id, from `queue list`
    #[arg(required_unless_present = "buried")]
    id: Option<i64>,
    /// All buried jobs, up to 1000
    #[arg(long, conflicts_with = "id")]
    buried: bool,
    /// Only those of this kind
    #[arg(long, requires = "buried", value_parser = words::kind())]
    kind: Option<Kind>,
}

impl WhichArgs {
    fn which(&self) -> Which {
        self.id.map_or(Which::Buried(self.kind), |id| Which::Job(id.into()))
    }
}

impl QueueCommand {
    /// Makes the administrative command.
    pub(crate) fn into_command(self) -> admin::Command {
        admin::Command::Queue(match self {
            Self::List { state, kind } => admin::QueueCommand::List { state, kind },
            Self::Show { id } => admin::QueueCommand::Show { id: id.into() },
            Self::Retry(which) => admin::QueueCommand::Retry { which: which.which() },
            Self::Purge(which) => admin::QueueCommand::Purge { which: which.which() },
            Self::Pause { kind } => admin::QueueCommand::Pause { kind },
            Self::Resume { kind } => admin::QueueCommand::Resume { kind },
        })
    }
}

//! `mail`, `user mail` and `user watch`: their flags, and the administrative commands that they stand for.

use crate::cli::words;
use clap::{Args, Subcommand};
use hakata_forge::admin::{self, LanguageWish};
use hakata_forge::{Digest, NoticeState, WatchLevel};
use hakata_names::{OwnerName, RepositoryPath};

/// `hakata mail …`
#[derive(Debug, Subcommand)]
pub(crate) enum MailCommand {
    /// Sends a letter now, to find out whether mail works
    Test {
        /// Where to, such as alice@example.org
        address: String,
    },
    /// Lists whom was told what, newest first
    List {
        /// Only what is in this state
        #[arg(long, value_parser = words::notice_state())]
        state: Option<NoticeState>,
        /// How many to list
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u16,
    },
}

/// `hakata user mail …`
#[derive(Debug, Args)]
pub(crate) struct MailWish {
    /// The account's name
    name: OwnerName,
    /// Sends mail there from now on; an empty one sends none
    #[arg(long)]
    address: Option<String>,
    /// Whether there is mail beside what is about the account's security
    #[arg(long, value_parser = words::on_or_off())]
    notices: Option<bool>,
    /// Collects notices into one letter
    #[arg(long, value_parser = words::digest())]
    digest: Option<Digest>,
    /// The language of letters
    #[arg(long, value_parser = words::language())]
    language: Option<LanguageWish>,
}

/// `hakata user watch …`
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The account's name
    name: OwnerName,
    /// The repository, as OWNER/NAME
    path: RepositoryPath,
    /// Everything, what is about the person, or nothing
    #[arg(long, default_value = "watching", value_parser = words::watch_level())]
    level: WatchLevel,
}

impl MailCommand {
    /// Makes the administrative command.
    pub(crate) fn into_command(self) -> admin::Command {
        admin::Command::Mail(match self {
            Self::Test { address } => admin::MailCommand::Test { address },
            Self::List { state, limit } => admin::MailCommand::List { state, limit },
        })
    }
}

impl MailWish {
    /// Makes the administrative command.
    pub(crate) fn into_command(self) -> admin::Command {
        let Self { name: user, address, notices, digest, language } = self;
        admin::Command::Mail(admin::MailCommand::Wish { user, address, notices, digest, language })
    }
}

impl Watch {
    /// Makes the administrative command.
    pub(crate) fn into_command(self) -> admin::Command {
        let Self { name: user, path, level } = self;
        admin::Command::Mail(admin::MailCommand::Watch { user, path, level })
    }
}

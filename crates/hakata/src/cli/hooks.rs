//! `hook`: its flags, and the administrative commands that they stand for.

use crate::cli::{input, words};
use crate::output::Failure;
use clap::{Args, Subcommand};
use hakata_forge::admin;
use hakata_forge::webhooks::{ContentType, EventKind, Format, Place};
use hakata_names::{OwnerName, RepositoryPath};
use hakata_runtime::units::Span;

/// `hakata hook …`
#[derive(Debug, Subcommand)]
pub(crate) enum HookCommand {
    /// Lists webhooks
    List {
        /// Only those of a repository OWNER/NAME, of an owner NAME, or of everywhere (*)
        #[arg(value_parser = place)]
        place: Option<Place>,
    },
    /// Adds a webhook
    Add(HookAdd),
    /// Removes a webhook
    Remove(One),
    /// Sends a test
    Test(One),
    /// Lists what a webhook was told, or shows one delivery with its attempts
    Deliveries {
        /// The webhook's id, from `hook list`
        id: i64,
        /// The delivery's id, to show it whole
        delivery: Option<i64>,
        /// How many to list
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u16,
    },
    /// Sends a delivery again, or all that failed
    Redeliver {
        /// The webhook's id, from `hook list`
        id: i64,
        /// The delivery's id, from `hook deliveries`
        #[arg(required_unless_present = "failed_since")]
        delivery: Option<i64>,
        /// All that failed in the last time, such as 2h
        #[arg(long, value_name = "TIME", conflicts_with = "delivery")]
        failed_since: Option<Span>,
    },
    /// Holds what a webhook is told back
    Pause(One),
    /// Sends what was held back, and everything from now on
    Resume(One),
}

/// `hakata hook add …`
#[derive(Debug, Args)]
pub(crate) struct HookAdd {
    /// A repository OWNER/NAME, an owner NAME for all of theirs, or * for all
    #[arg(value_parser = place)]
    place: Place,
    /// Where to send it: http or https
    url: String,
    /// Reads the secret that requests are signed with as one line of standard input
    #[arg(long)]
    secret_stdin: bool,
    /// In whose words
    #[arg(long, default_value = "gitea", value_parser = words::format())]
    format: Format,
    /// How bodies are written
    #[arg(long, default_value = "json", value_parser = words::content_type())]
    content_type: ContentType,
    /// What it is told of, with commas
    #[arg(long, value_name = "EVENTS", default_value = "push,create,delete", value_delimiter = ',', value_parser = words::event())]
    events: Vec<EventKind>,
    /// Only branches that match, such as release/*
    #[arg(long, value_name = "PATTERN")]
    branches: Option<String>,
}

/// One webhook.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The webhook's id, from `hook list`
    id: i64,
}

impl HookCommand {
    /// Makes the administrative command, reading the secret from standard input.
    pub(crate) fn into_command(self) -> Result<admin::Command, Failure> {
        use admin::HookCommand as Hook;
        let command = match self {
            Self::List { place } => Hook::List { place },
            Self::Add(add) => add.into_command()?,
            Self::Remove(One { id }) => Hook::Remove { id: id.into() },
            Self::Test(One { id }) => Hook::Test { id: id.into() },
            Self::Deliveries { id, delivery: None, limit } => Hook::Deliveries { id: id.into(), limit },
            Self::Deliveries { id, delivery: Some(delivery), .. } => {
                Hook::Delivery { id: id.into(), delivery: delivery.into() }
            }
            Self::Redeliver { id, delivery: Some(delivery), .. } => {
                Hook::Redeliver { id: id.into(), delivery: delivery.into() }
            }
            Self::Redeliver { id, failed_since, .. } => {
                let since_s = failed_since.map_or(0, |since| since.duration().as_secs());
                Hook::RedeliverFailed { id: id.into(), since_s }
            }
            Self::Pause(One { id }) => Hook::Pause { id: id.into() },
            Self::Resume(One { id }) => Hook::Resume { id: id.into() },
        };
        Ok(admin::Command::Hook(command))
    }
}

impl HookAdd {
    fn into_command(self) -> Result<admin::HookCommand, Failure> {
        let secret = if self.secret_stdin { Some(input::password_line()?) } else { None };
        let Self { place, url, format, content_type, events, branches, .. } = self;
        Ok(admin::HookCommand::Add { place, url, secret, format, content_type, events, branches })
    }
}

fn place(text: &str) -> Result<Place, String> {
    match text {
        "*" => Ok(Place::Everywhere),
        _ if text.contains('/') => {
            text.parse::<RepositoryPath>().map(Place::Repository).map_err(|error| error.to_string())
        }
        _ => text.parse::<OwnerName>().map(Place::Owner).map_err(|error| error.to_string()),
    }
}

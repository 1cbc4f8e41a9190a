//! Running a command.

use serde::{Deserialize, Serialize};

use super::{Command, Outcome, accounts, doctor, groups, hooks, lfs, mail, queue, repositories, rules};
use crate::{Actor, Error, Forge};

/// How far a long command is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Note {
    /// What is going on, as a word or two.
    pub phase: String,
    /// How much is done.
    pub done: u64,
    /// How much there is, if known.
    pub total: Option<u64>,
    /// What is counted: `objects`, `bytes`, …
    pub unit: String,
    /// What is seen of it where nothing moves: in a log, in a pipe.
    #[serde(default)]
    pub plain: Plain,
}

/// What is seen of a step without a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plain {
    /// How far it is, now and then.
    #[default]
    Sometimes,
    /// Nothing.
    Never,
    /// This line.
    Line(String),
    /// This line, which a terminal shows too.
    Alarm(String),
}

/// Somebody who wants to know how far a long command is; must not block.
pub type Progress<'a> = dyn FnMut(Note) + Send + 'a;

/// Runs a command as the operator of the installation.
///
/// # Errors
/// As the command; [`crate::Kind`] decides the exit code.
pub async fn run(forge: &Forge, command: Command, progress: &mut Progress<'_>) -> Result<Outcome, Error> {
    run_as(forge, &Actor::System, command, progress).await
}

/// Runs a command with the rights of `actor`, as far as it asks for grants.
async fn run_as(
    forge: &Forge,
    actor: &Actor,
    command: Command,
    progress: &mut Progress<'_>,
) -> Result<Outcome, Error> {
    match command {
        Command::User(command) => accounts::user(forge, actor, command).await,
        Command::Key(command) => accounts::key(forge, actor, command).await,
        Command::Token(command) => accounts::token(forge, actor, command).await,
        Command::Repo(command) => match rules::run(forge, actor, command).await? {
            rules::Ran::Done(outcome) => Ok(outcome),
            rules::Ran::NotMine(command) => repositories::run(forge, actor, command, progress).await,
        },
        Command::Group(command) => groups::run(forge, actor, command).await,
        Command::Queue(command) => queue::run(forge, actor, command).await,
        Command::Hook(command) => hooks::run(forge, actor, command).await,
        Command::Lfs(command) => lfs::run(forge, actor, command, progress).await,
        Command::Mail(command) => mail::run(forge, actor, command).await,
        Command::Doctor => doctor::run(forge).await,
    }
}

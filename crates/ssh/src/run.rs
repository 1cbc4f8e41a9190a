//! Carries out what a client asked for, and says no in words.

mod git;
mod lfs;
mod people;

use crate::channel::{Output, Streams};
use crate::command::{Command, GitService};
use crate::live::Live;
use crate::metrics::CommandLabel;
use crate::server::Shared;
use hakata_forge::hosting::ProtocolVersion;
use hakata_forge::{Actor, Error, Kind};
use tokio::io::AsyncWriteExt;

/// The exit status of a refusal to a person.
const REFUSED: u32 = 1;

/// The exit status of a git program that failed, as git's own.
const GIT_FAILED: u32 = 128;

/// What a channel was asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// A command line that parsed.
    Command(Command, ProtocolVersion),
    /// Something that is not offered, with the sentence that says so.
    Refused(String),
    /// No command at all.
    Greeting,
}

impl Job {
    /// Names the job for the metrics.
    pub(crate) fn label(&self) -> CommandLabel {
        match self {
            Self::Command(Command::Git { service: GitService::UploadPack, .. }, _) => {
                CommandLabel::UploadPack
            }
            Self::Command(Command::Git { service: GitService::ReceivePack, .. }, _) => {
                CommandLabel::ReceivePack
            }
            Self::Command(Command::Git { service: GitService::UploadArchive, .. }, _) => {
                CommandLabel::UploadArchive
            }
            Self::Command(Command::People(_), _) => CommandLabel::People,
            Self::Greeting => CommandLabel::Greeting,
            Self::Command(Command::LfsAuthenticate { .. }, _) => CommandLabel::LfsAuthenticate,
            Self::Command(Command::LfsTransfer { .. }, _) => CommandLabel::LfsTransfer,
            Self::Refused(_) => CommandLabel::Refused,
        }
    }
}

/// Runs a job to its exit status. Dropping the future ends everything that runs for it.
pub(crate) async fn run(shared: &Shared, live: &Live, actor: &Actor, job: Job, mut streams: Streams) -> u32 {
    match job {
        Job::Greeting => people::greet(actor, &mut streams.output).await,
        Job::Refused(sentence) => {
            tracing::debug!(client.address = %live.peer, user = actor.name(), reason = sentence, "ssh request refused");
            refuse(&mut streams.errors, &sentence).await
        }
        Job::Command(Command::LfsAuthenticate { path, operation }, _) => {
            lfs::authenticate(shared, live, actor, &path, operation, streams).await
        }
        Job::Command(Command::LfsTransfer { path, operation }, _) => {
            lfs::transfer(shared, live, actor, path, operation, streams).await
        }
        Job::Command(Command::People(command), _) => people::run(shared, live, actor, command, streams).await,
        Job::Command(Command::Git { service, path }, version) => {
            let git = crate::realm::GitCommand { service, path: &path, version };
            git::run(shared, live, actor, git, streams).await
        }
    }
}

/// Writes a sentence to a person and fails.
async fn refuse(errors: &mut Output, sentence: &str) -> u32 {
    let line = format!("hakata: {sentence}\n");
    // The client may be gone; the exit status says the same.
    let _ = errors.write_all(line.as_bytes()).await;
    REFUSED
}

/// Logs an error once, as loudly as its kind asks for.
fn log_error(live: &Live, actor: &Actor, what: &str, error: &Error) {
    let (peer, user, kind, cause) = (&live.peer, actor.name(), error.kind().as_str(), error.chain());
    match error.kind() {
        Kind::Internal => {
            tracing::error!(client.address = %peer, user, command = what, kind, cause, "{error}");
        }
        Kind::Unavailable => {
            tracing::warn!(client.address = %peer, user, command = what, kind, cause, "{error}");
        }
        Kind::NotFound | Kind::Invalid => {
            tracing::debug!(client.address = %peer, user, command = what, kind, cause, "{error}");
        }
        _ => tracing::info!(client.address = %peer, user, command = what, kind, cause, "{error}"),
    }
}

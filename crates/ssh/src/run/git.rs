//! Git's server programs.

use super::{GIT_FAILED, log_error};
use crate::channel::{Output, Streams};
use crate::command::GitService;
use crate::live::Live;
use crate::realm::GitCommand;
use crate::server::Shared;
use hakata_forge::{Actor, Error};
use tokio::io::AsyncWriteExt;

/// Longest text of an `ERR` line; far below what a pkt-line holds.
const MAX_ERR_BYTES: usize = 1000;

/// Runs one program. A refusal before the first byte becomes an `ERR` pkt-line, which git shows as
/// `fatal: remote error: …`; later ones were told within the conversation.
pub(super) async fn run(
    shared: &Shared,
    live: &Live,
    actor: &Actor,
    git: GitCommand<'_>,
    mut streams: Streams,
) -> u32 {
    let Streams { input, output, .. } = &mut streams;
    match shared.realm.run_git(actor, git, input, &mut *output).await {
        Ok(()) => 0,
        Err(error) => {
            log_error(live, actor, name(git.service), &error);
            if !output.has_sent() {
                tell(output, &error).await;
            }
            GIT_FAILED
        }
    }
}

async fn tell(output: &mut Output, error: &Error) {
    let mut text = error.err_line();
    let end = text.floor_char_boundary(MAX_ERR_BYTES);
    text.truncate(end);
    let mut line = Vec::new();
    hakata_pkt_line::encode(format!("ERR {text}\n").as_bytes(), &mut line);
    // The client may be gone; the exit status says the same.
    let _ = output.write_all(&line).await;
}

fn name(service: GitService) -> &'static str {
    match service {
        GitService::UploadPack => "git-upload-pack",
        GitService::ReceivePack => "git-receive-pack",
        GitService::UploadArchive => "git-upload-archive",
    }
}

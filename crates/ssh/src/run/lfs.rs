//! Signing in to LFS over HTTP by the key of an SSH connection. Source: git-lfs, docs/api/server-discovery.md.

use super::{REFUSED, log_error, refuse};
use crate::channel::{Output, Streams};
use crate::live::Live;
use crate::server::Shared;
use hakata_forge::Actor;
use hakata_forge::lfs::Operation;
use hakata_names::RepositoryPath;
use serde_json::json;
use tokio::io::AsyncWriteExt;

/// What a shell ends with that does not find a program: clients take it for a server without the command.
const NOT_FOUND: u32 = 127;

/// Answers where the LFS of a repository is, and with what to come there.
pub(super) async fn authenticate(
    shared: &Shared,
    live: &Live,
    actor: &Actor,
    path: &RepositoryPath,
    operation: Operation,
    mut streams: Streams,
) -> u32 {
    let Some(root) = &shared.settings.lfs_url else {
        return not_found("git-lfs-authenticate", &mut streams.errors).await;
    };
    let signed_in = match shared.realm.sign_in_to_lfs(actor, path, operation).await {
        Ok(signed_in) => signed_in,
        Err(error) => {
            log_error(live, actor, "git-lfs-authenticate", &error);
            return refuse(&mut streams.errors, &error.err_line()).await;
        }
    };
    let answer = json!({
        "href": format!("{root}/{}.git/info/lfs", signed_in.path),
        "header": { "Authorization": format!("Bearer {}", signed_in.token.expose()) },
        "expires_in": signed_in.expires_in.as_secs(),
    });
    match streams.output.write_all(answer.to_string().as_bytes()).await {
        Ok(()) => 0,
        Err(_) => REFUSED,
    }
}

/// Says what a shell would say, so that clients go another way.
pub(super) async fn not_found(command: &str, errors: &mut Output) -> u32 {
    // The client may be gone; the exit status says the same.
    let _ = errors.write_all(format!("{command}: not found\n").as_bytes()).await;
    NOT_FOUND
}

//! LFS: over SSH itself, which another face speaks, and signing in to LFS over HTTP by the key of an SSH connection.
//!
//! Clients try the first before the second. Source: git-lfs, docs/proposals/ssh_adapter.md, docs/api/server-discovery.md.

use super::{REFUSED, log_error, refuse};
use crate::carried::LfsSession;
use crate::channel::{Output, Streams};
use crate::live::Live;
use crate::server::Shared;
use crate::settings::LfsUrl;
use hakata_forge::Actor;
use hakata_forge::lfs::Operation;
use hakata_names::RepositoryPath;
use serde_json::json;
use std::net::IpAddr;
use tokio::io::AsyncWriteExt;

/// What a shell ends with that does not find a program: clients take it for a server without the command.
const NOT_FOUND: u32 = 127;

/// What a client from elsewhere hears that would be sent to itself.
const NO_PUBLIC_URL: &str = "this server does not know by which URL you reach it over HTTP \
    (hint: its operator sets http.public_url; transfers over SSH need git-lfs 3.0 or newer and no such URL)";

/// Answers where the LFS of a repository is, and with what to come there.
pub(super) async fn authenticate(
    shared: &Shared,
    live: &Live,
    actor: &Actor,
    path: &RepositoryPath,
    operation: Operation,
    mut streams: Streams,
) -> u32 {
    let root = match root_for(&shared.settings.lfs_url, live.peer.ip()) {
        Ok(Some(root)) => root,
        Ok(None) => return not_found("git-lfs-authenticate", &mut streams.errors).await,
        Err(sentence) => return refuse(&mut streams.errors, sentence).await,
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

/// Hands a channel over to whoever speaks LFS.
pub(super) async fn transfer(
    shared: &Shared,
    live: &Live,
    actor: &Actor,
    path: RepositoryPath,
    operation: Operation,
    mut streams: Streams,
) -> u32 {
    let Some(carry) = &shared.lfs_transfer else {
        return not_found("git-lfs-transfer", &mut streams.errors).await;
    };
    let Streams { input, output, errors } = streams;
    let session = LfsSession {
        actor: actor.clone(),
        address: live.peer.ip(),
        path,
        operation,
        input: Box::new(input),
        output: Box::new(output),
        errors: Box::new(errors),
    };
    carry(session).await
}

/// Says what a shell would say, so that clients go another way.
pub(super) async fn not_found(command: &str, errors: &mut Output) -> u32 {
    // The client may be gone; the exit status says the same.
    let _ = errors.write_all(format!("{command}: not found\n").as_bytes()).await;
    NOT_FOUND
}

/// Finds where a client goes; one from elsewhere is not sent to its own loopback address.
fn root_for(url: &LfsUrl, peer: Option<IpAddr>) -> Result<Option<&str>, &'static str> {
    match url {
        LfsUrl::Nowhere => Ok(None),
        LfsUrl::Loopback(_) if peer.is_some_and(|ip| !ip.to_canonical().is_loopback()) => Err(NO_PUBLIC_URL),
        LfsUrl::Everywhere(root) | LfsUrl::Loopback(root) => Ok(Some(root)),
    }
}

#[cfg(test)]
mod tests {
    use super::{LfsUrl, root_for};

    #[test]
    fn nobody_is_sent_to_its_own_machine() {
        let url = "http://127.0.0.1:3000".to_owned();
        for (peer, is_sent) in [
            (Some("127.0.0.1"), true),
            (Some("::1"), true),
            (Some("::ffff:127.0.0.1"), true),
            (None, true),
            (Some("192.0.2.7"), false),
            (Some("2001:db8::7"), false),
            (Some("::ffff:192.0.2.7"), false),
        ] {
            let peer = peer.map(|peer| peer.parse().unwrap());
            let root = root_for(&LfsUrl::Loopback(url.clone()), peer).map(|root| root.map(str::to_owned));
            assert_eq!(root.is_ok(), is_sent, "{peer:?}: {root:?}");
            let root = root_for(&LfsUrl::Everywhere(url.clone()), peer).map(|root| root.map(str::to_owned));
            assert_eq!(root, Ok(Some(url.clone())), "what was configured is told to everybody");
        }
        assert_eq!(root_for(&LfsUrl::Nowhere, None), Ok(None));
    }
}

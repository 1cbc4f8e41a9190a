//! Making another host's repository what ours is.

use hakata_git::quarantine::Fsck;
use hakata_names::RefName;
use hakata_repository::PushTo;
use hakata_store::mirrors::Mirror;

use super::Filter;
use super::sync::remark;
use crate::remotes::{Remotes, Trouble};

/// Pushes what differs; a ref that the other side refuses is a trouble that only people can end.
pub(super) async fn run(remotes: &Remotes, mirror: &Mirror) -> Result<Option<String>, Trouble> {
    let forge = &remotes.forge;
    let login = forge.open_login(mirror.id.into(), mirror.login.as_deref()).await;
    let login = login.map_err(|error| Trouble::Never(Trouble::from(error).text().to_owned()))?;
    let filter = Filter::of(mirror)?;
    let remote = remotes.remote(&mirror.url, login, u64::MAX, Fsck::Strict).await?;
    let opened = forge.repositories().open(mirror.repository).await?;
    let is_followed = |name: &RefName| filter.has(name);
    let max_refs = forge.settings().max_refs_per_repository;
    let to = PushTo { is_followed: &is_followed, is_forced: mirror.is_forced, max_refs };
    let results = opened.push_to(&remote, &to).await?;
    let refused = results
        .iter()
        .filter_map(|(name, result)| result.as_ref().err().map(|why| (name.to_string(), why.as_str())));
    match remark(refused) {
        Some(text) => Err(Trouble::Never(text)),
        None => {
            let n_refs = results.len();
            if n_refs > 0 {
                tracing::info!(
                    repository.id = mirror.repository.get(),
                    mirror.id = mirror.id.get(),
                    push.refs = n_refs,
                    "pushed to another host's repository"
                );
            }
            Ok(None)
        }
    }
}

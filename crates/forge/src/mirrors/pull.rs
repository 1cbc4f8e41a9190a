//! Making our repository what another host's is: fetched, judged by the rules, committed like a push.

use hakata_git::quarantine::Fsck;
use hakata_repository::{Arrived, Atomicity, Follow, Intent, Reason, RefRefusal};
use hakata_store::mirrors::Mirror;

use super::Filter;
use super::sync::remark;
use crate::hosting::Judged;
use crate::remotes::{Remotes, Trouble};
use crate::{Actor, Error, Kind};

/// Follows once; answers what does not follow.
pub(super) async fn run(remotes: &Remotes, mirror: &Mirror) -> Result<Option<String>, Trouble> {
    let forge = &remotes.forge;
    let login = forge.open_login(mirror.id.into(), mirror.login.as_deref()).await;
    let login = login.map_err(|error| Trouble::Never(Trouble::from(error).text().to_owned()))?;
    let filter = Filter::of(mirror)?;
    let rules = forge.rules(&Actor::System, mirror.repository).await?;
    let fsck = if mirror.accepts_warnings { Fsck::Hashes } else { Fsck::Strict };
    let room_bytes = rules.quota.room();
    let remote = remotes.remote(&mirror.url, login, room_bytes, fsck).await?;
    let opened = forge.repositories().open(mirror.repository).await?;
    let max_refs = forge.settings().max_refs_per_repository;
    let is_followed = |name: &hakata_names::RefName| filter.has(name);
    let follow = Follow { is_followed: &is_followed, max_refs, room_bytes, fsck };
    let Arrived { mut received, default_ref, .. } = opened.fetch_from(&remote, &follow, |_| {}).await?;
    let objects = received.objects().cloned();
    let refused = rules.judge_all(forge, &opened, received.updates(), objects.as_ref()).await?;
    for (name, refused) in refused {
        received.refuse(&name, RefRefusal::Denied(refused.reason));
    }
    let n_moves = received.updates().len();
    let intent = Intent {
        actor: None,
        // What comes first happened long ago: it is nobody's news.
        reason: if opened.snapshot().is_empty() { Reason::Import } else { Reason::Mirror },
        atomicity: Atomicity::Each,
        policy_version: rules.policy_version,
        default_ref,
        idempotency_key: None,
    };
    let prepared = received.prepare(intent).within_quota(forge.settings().repository_quota.bytes());
    let judged = Judged { actor: &Actor::System, repository: &opened, prepared, objects };
    let committed = forge.commit_judged(
        judged,
        |rules| match rules.standing.repository.is_mirror {
            true => Ok(()),
            false => Err(Error::new(Kind::Conflict, "the repository does not follow the other any more")),
        },
        |_, _| {},
    );
    let committed = match committed.await? {
        Ok(committed) => committed,
        Err(full) => return Err(Trouble::Never(full.refusal())),
    };
    if committed.version.is_some() {
        tracing::info!(
            repository.id = mirror.repository.get(),
            mirror.id = mirror.id.get(),
            push.refs = n_moves,
            "followed another host's repository"
        );
    }
    let texts: Vec<(String, String)> = committed
        .refs
        .iter()
        .filter_map(|(name, answer)| {
            answer.as_ref().err().map(|refusal| (name.to_string(), refusal.to_string()))
        })
        .collect();
    Ok(remark(texts.iter().map(|(name, why)| (name.clone(), why.as_str()))))
}

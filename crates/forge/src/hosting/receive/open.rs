//! Opening what is pushed to, and the checks that cost nothing.

use hakata_git::receive::PushRequest;
use hakata_git::refs::RefSnapshot;
use hakata_names::RefUpdate;
use hakata_repository::{RefRefusal, Repository};
use hakata_store::Visibility;

use super::super::PushTarget;
use super::super::create::Created;
use super::super::judge::Refused;
use crate::quota::Quota;
use crate::{Actor, Error, Forge, Kind};

/// The repository of a push.
pub(super) struct Opened {
    pub(super) actor: Actor,
    pub(super) repository: Repository,
    pub(super) created: Option<Created>,
}

impl Opened {
    /// Opens the repository, making it first if it is absent. Two first pushes at once: the second finds what
    /// the first has made.
    pub(super) async fn open(
        forge: &Forge,
        target: PushTarget,
        request: &PushRequest,
    ) -> Result<Self, Error> {
        let actor = target.actor().clone();
        let (id, created) = match target {
            PushTarget::Existing(grant) => (grant.repository(), None),
            PushTarget::Absent(creation) => {
                if request.updates.iter().all(|update| update.new.is_none()) {
                    return Err(Error::new(Kind::Invalid, "there is no such repository to delete refs from"));
                }
                match forge.create_by_push(&creation, visibility(request)).await {
                    Ok(created) => (created.id, Some(created)),
                    Err(error) if error.kind() == Kind::Conflict => {
                        match forge.open_push(&creation.actor, &creation.path).await? {
                            PushTarget::Existing(grant) => (grant.repository(), None),
                            PushTarget::Absent(_) => return Err(error),
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        Ok(Self { actor, repository: forge.repositories().open(id).await?, created })
    }
}

/// The push option `public` makes the new repository public.
fn visibility(request: &PushRequest) -> Visibility {
    if request.options.iter().any(|option| &option[..] == b"public") {
        Visibility::Public
    } else {
        Visibility::Private
    }
}

/// Lists push options that mean nothing here, for the person who wrote them.
pub(super) fn unknown_options(request: &PushRequest) -> Vec<String> {
    let known = |option: &[u8]| matches!(option, b"public" | b"private");
    let unknown = request.options.iter().filter(|option| !known(option)).take(3);
    let line = |option: &bytes::Bytes| {
        let shown = hakata_names::escape_controls(&option[..option.len().min(60)]);
        format!("warning: push option '{shown}' is not known here")
    };
    unknown.map(line).collect()
}

/// Refuses an update that expects the ref elsewhere than it is.
pub(super) fn check_stale(update: &RefUpdate, snapshot: &RefSnapshot) -> Result<(), Refused> {
    let actual = snapshot.find(&update.name).map(|at| at.oid);
    if update.old == actual {
        return Ok(());
    }
    Err(Refused {
        reason: RefRefusal::Stale { actual }.to_string(),
        hint: Some("somebody else pushed meanwhile: git pull, then push again".to_owned()),
    })
}

/// Refuses refs beyond the repository's limit.
pub(super) fn check_count(n_refs: usize, update: &RefUpdate, most: usize) -> Result<(), Refused> {
    if update.old.is_none() && update.new.is_some() && n_refs > most {
        return Err(Refused { reason: format!("a repository may have {most} refs"), hint: None });
    }
    Ok(())
}

/// Refuses new objects for a full repository; deletions always pass.
pub(super) fn check_room(is_full: bool, update: &RefUpdate, quota: &Quota) -> Result<(), Refused> {
    if is_full && update.new.is_some() {
        return Err(no_room(quota));
    }
    Ok(())
}

/// The refusal of what does not fit.
pub(super) fn no_room(quota: &Quota) -> Refused {
    let hint = "delete what is not needed, or ask an administrator for a larger quota";
    Refused { reason: quota.refusal(), hint: Some(hint.to_owned()) }
}

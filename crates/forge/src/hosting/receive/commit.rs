//! Committing what was judged, and judging again when the rules changed meanwhile.

use hakata_git::objects::Objects;
use hakata_names::{RefName, RefUpdate};
use hakata_repository::{
    Atomicity, CommitError, Committed, Intent, Prepared, Reason, Received, RefRefusal, Repository, no_rows,
};

use super::super::Output;
use super::super::judge::Refused;
use super::super::rules::Rules;
use super::Push;
use super::open::{self, Opened};
use crate::quota::Quota;
use crate::{Actor, Error, Forge, Kind};

/// A change that was judged by the rules, and what it takes to judge it again.
pub(crate) struct Judged<'a> {
    pub(crate) actor: &'a Actor,
    pub(crate) repository: &'a Repository,
    pub(crate) prepared: Prepared,
    pub(crate) objects: Option<Objects>,
}

impl Forge {
    /// Commits; when the rules have changed since they were read, judges by the new ones, if `may_go_on` lets it, and
    /// tries again. `refuse` hears of what is refused then. The inner error is a quota that others have used up
    /// meanwhile, or that has no room for the pack as it is kept.
    pub(crate) async fn commit_judged(
        &self,
        judged: Judged<'_>,
        may_go_on: impl Fn(&Rules) -> Result<(), Error>,
        mut refuse: impl FnMut(&RefName, Refused),
    ) -> Result<Result<Committed, Quota>, Error> {
        let Judged { actor, repository, mut prepared, objects } = judged;
        loop {
            let again = match repository.commit(prepared, no_rows).await {
                Ok(committed) => return Ok(Ok(committed)),
                Err(CommitError::Full { of, limit_bytes, used_bytes }) => {
                    return Ok(Err(Quota { of, limit: limit_bytes, used: used_bytes }));
                }
                Err(CommitError::PolicyChanged { prepared, .. }) => *prepared,
                Err(error) => return Err(error.into()),
            };
            prepared = again;
            let rules = self.rules(actor, repository.id()).await?;
            may_go_on(&rules)?;
            let refused = rules.judge_all(self, repository, prepared.updates(), objects.as_ref()).await?;
            for (name, refused) in refused {
                prepared.refuse(&name, RefRefusal::Denied(refused.reason.clone()));
                refuse(&name, refused);
            }
            prepared.set_policy_version(rules.policy_version);
        }
    }
}

impl Push<'_> {
    /// Judges the received push with its objects, commits it, and records what became of each ref.
    pub(super) async fn commit(
        &mut self,
        opened: &Opened,
        rules: Rules,
        mut received: Received,
        output: &mut Output<'_>,
    ) -> Result<(), Error> {
        // The rules are those of the commit; who pushes is asked here, as the pack may have taken hours.
        self.forge.check_not_revoked(&opened.actor).await?;
        let objects = received.objects().cloned();
        self.judge_sizes(&mut received);
        let refused =
            rules.judge_all(self.forge, &opened.repository, received.updates(), objects.as_ref()).await?;
        for (name, refused) in refused {
            received.refuse(&name, RefRefusal::Denied(refused.reason.clone()));
            self.verdicts.refuse(&name, refused);
        }
        let size_bytes = received.size_bytes();
        let atomic = self.request.capabilities.atomic;
        let intent = Intent {
            actor: opened.actor.user(),
            reason: Reason::Push,
            atomicity: if atomic { Atomicity::Whole } else { Atomicity::Each },
            policy_version: rules.policy_version,
            default_ref: new_head(&opened.repository, received.updates()),
            idempotency_key: None,
        };
        let default_quota = self.forge.settings().repository_quota.bytes();
        let prepared = received.prepare(intent).within_quota(default_quota);
        let judged = Judged { actor: &opened.actor, repository: &opened.repository, prepared, objects };
        let (forge, verdicts) = (self.forge, &mut self.verdicts);
        let refuse = |name: &RefName, refused| verdicts.refuse(name, refused);
        let committed = match forge.commit_judged(judged, |_| Ok(()), refuse).await? {
            Ok(committed) => committed,
            Err(full) => {
                for update in &self.request.updates {
                    self.verdicts.refuse(&update.name, open::no_room(&full));
                }
                return Ok(());
            }
        };
        self.record(&committed);
        if let Some(warning) = rules.quota.warning(size_bytes).filter(|_| committed.n_accepted() > 0) {
            self.say(output, &[warning]).await?;
        }
        Ok(())
    }

    fn record(&mut self, committed: &Committed) {
        for (name, answer) in &committed.refs {
            if let Err(refusal) = answer {
                self.verdicts.refuse(name, Refused { reason: refusal.to_string(), hint: hint(refusal) });
            }
        }
        self.measured.moved.n_refs = committed.n_accepted();
    }
}

/// Where HEAD of a repository without branches goes: to its default if that is pushed, else to the first branch
/// that is.
fn new_head(repository: &Repository, updates: &[RefUpdate]) -> Option<RefName> {
    if repository.snapshot().iter().any(|at| at.name.branch().is_some()) {
        return None;
    }
    let mut branches = updates.iter().filter(|update| update.new.is_some() && update.name.branch().is_some());
    let first = branches.next()?;
    let has_default =
        updates.iter().any(|update| update.new.is_some() && update.name == *repository.default_ref());
    (!has_default).then(|| first.name.clone())
}

fn hint(refusal: &RefRefusal) -> Option<String> {
    match refusal {
        RefRefusal::Stale { .. } => {
            Some("somebody else pushed meanwhile: git pull, then push again".to_owned())
        }
        RefRefusal::Shallow => {
            Some("your clone is shallow: git fetch --unshallow, then push again".to_owned())
        }
        _ => None,
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        let kind = match &error {
            CommitError::Absent(_) => return Self::repository_not_found().with_source(error),
            CommitError::Inactive { .. } => {
                return Self::new(Kind::Forbidden, "this repository is archived and read-only")
                    .with_source(error);
            }
            CommitError::Full { of, limit_bytes: limit, used_bytes: used } => {
                let quota = Quota { of: *of, limit: *limit, used: *used };
                return Self::new(Kind::TooLarge, quota.refusal()).with_source(error);
            }
            CommitError::Unknown(_) => {
                let hint = "git fetch shows whether it was; to push again does no harm";
                return Self::unknown_outcome(error).with_hint(hint);
            }
            CommitError::RolledBack(_) => Kind::Unavailable,
            CommitError::Store(store) if store.is_transient() => Kind::Unavailable,
            CommitError::Contended | CommitError::PackSwept | CommitError::PolicyChanged { .. } => {
                Kind::Conflict
            }
            CommitError::Stopped(_) => Kind::Unavailable,
            _ => Kind::Internal,
        };
        match kind {
            Kind::Internal => Self::internal(error),
            Kind::Conflict => {
                Self::new(kind, "the repository changed too often meanwhile, push again").with_source(error)
            }
            kind => Self::unless_full(kind, "the push could not be stored now, push again", error),
        }
    }
}

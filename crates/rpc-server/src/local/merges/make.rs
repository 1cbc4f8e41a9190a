//! The commits that merge a head into a branch.

use bytes::Bytes;
use hakata_git::merge::{MergesOnTheWay, Replay};
use hakata_git::write::{Bounds, Signer, clean_message};
use hakata_names::Oid;
use hakata_rpc::v1::{FastForward, Form, MergeResponse, Revision};
use hakata_rpc::{Call, Code, Status};

use super::super::{Local, status};
use super::check::{Relation, relation};
use super::conflicts::not_made;
use super::land::Made;
use super::target::{Receiver, Target};
use crate::metrics::Limit;
use crate::settings::at_most;

/// What is offered to a branch.
pub(in super::super) struct Offer {
    pub(in super::super) revision: Option<Revision>,
    /// Where the caller thinks it is; empty means anywhere.
    pub(in super::super) expected: Bytes,
}

/// How a head comes into a branch.
pub(in super::super) enum Way {
    Merge {
        fast_forward: FastForward,
        allow_unrelated: bool,
        message: Bytes,
        author: Signer,
        committer: Signer,
    },
    Squash {
        message: Bytes,
        author: Signer,
        committer: Signer,
    },
    Rebase {
        refuse_merges: bool,
        committer: Signer,
    },
    FastForward,
}

/// How much one merge may make.
#[derive(Clone, Copy)]
pub(in super::super) struct Most {
    commits: usize,
    bounds: Bounds,
}

impl Local {
    pub(in super::super) fn most(&self) -> Most {
        Most { commits: self.0.settings.limits.commits, bounds: self.bounds() }
    }

    /// Merges what is offered into a branch, and moves it.
    pub(super) async fn merge_into(
        &self,
        base: Receiver,
        head: Offer,
        way: Way,
        (form, call): (Form, Call),
    ) -> Result<MergeResponse, Status> {
        let how = (form, call.clone());
        let merging = async |target: Target| {
            let head = target.offered(head.revision.as_ref(), &head.expected).await?;
            let made = target.merged(head, way, self.most()).await?;
            self.land(target, made, Vec::new(), how).await
        };
        self.once(base, (form, &call), merging).await
    }
}

impl Target {
    /// Makes what merges a head.
    pub(in super::super) async fn merged(&self, head: Oid, way: Way, most: Most) -> Result<Made, Status> {
        let base = self.oid;
        let (relation, _) = self.opened.read(move |view| relation(view, &base, &head)).await?;
        let allows_unrelated = matches!(way, Way::Merge { allow_unrelated: true, .. });
        match (relation, &way) {
            (Relation::Merged, _) => return Ok(Made::existing(base)),
            (Relation::Unrelated, _) if !allows_unrelated => {
                return Err(Status::invalid("the two sides share no history"));
            }
            (Relation::FastForward, Way::FastForward) => return Ok(Made::existing(head)),
            (Relation::FastForward, Way::Merge { fast_forward, .. })
                if *fast_forward != FastForward::Never =>
            {
                return Ok(Made::existing(head));
            }
            (_, Way::FastForward | Way::Merge { fast_forward: FastForward::Only, .. }) => {
                let said = format!("{} has commits that the head has not", self.name);
                return Err(Status::new(Code::FailedPrecondition, said));
            }
            _ => {}
        }
        match way {
            Way::Merge { message, author, committer, .. } => {
                self.committed(head, &[head], &message, (author, committer), most.bounds).await
            }
            Way::Squash { message, author, committer } => {
                self.committed(head, &[], &message, (author, committer), most.bounds).await
            }
            Way::Rebase { refuse_merges, committer } => {
                self.rebased(head, refuse_merges, committer, most).await
            }
            Way::FastForward => Ok(Made::existing(head)),
        }
    }

    /// Begins to make commits on top of the branch.
    pub(super) async fn replay(&self, committer: Signer, bounds: Bounds) -> Result<Replay, Status> {
        let allowance = self.opened.allowance();
        let started = Replay::start(self.opened.objects(), self.oid, committer, bounds, &allowance);
        started.await.map_err(not_made)
    }

    /// Makes one commit of the branch and a head.
    async fn committed(
        &self,
        head: Oid,
        further: &[Oid],
        message: &[u8],
        (author, committer): (Signer, Signer),
        bounds: Bounds,
    ) -> Result<Made, Status> {
        let message = clean_message(message);
        if message.is_empty() {
            return Err(Status::invalid("the request has no message"));
        }
        let mut replay = self.replay(committer, bounds).await?;
        let tree = replay.merge(head).await.map_err(not_made)?;
        replay.commit(tree, further, author, message).await.map_err(not_made)?;
        Ok(Made::commits(replay))
    }

    /// Puts the commits of a head on top of the branch.
    async fn rebased(
        &self,
        head: Oid,
        refuse_merges: bool,
        committer: Signer,
        most: Most,
    ) -> Result<Made, Status> {
        let merges = if refuse_merges { MergesOnTheWay::Refuse } else { MergesOnTheWay::Flatten };
        let (objects, allowance) = (self.opened.objects(), self.opened.allowance());
        let series = objects.rebase_series(self.oid, head, merges, most.commits, &allowance).await;
        let series = series.map_err(|error| status(&error))?;
        at_most(Limit::Commits, series.len(), most.commits)?;
        let mut replay = self.replay(committer, most.bounds).await?;
        for commit in series {
            replay.rebase(commit).await.map_err(not_made)?;
        }
        Ok(Made::commits(replay))
    }
}

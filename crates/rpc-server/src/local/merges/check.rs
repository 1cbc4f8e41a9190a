//! How two commits stand to each other.

use hakata_git::merge::MergeQuery;
use hakata_git::objects::{ReadError, View};
use hakata_names::Oid;
use hakata_rpc::v1::{CheckMergeRequest, CheckMergeResponse, MergeState};
use hakata_rpc::{Call, Status};

use super::super::messages::oid_bytes;
use super::super::{Local, status};
use super::conflicts::conflicting;

/// How a head stands to a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Merged,
    FastForward,
    Diverged,
    Unrelated,
}

/// Compares two histories.
pub(super) fn relation(view: &View, base: &Oid, head: &Oid) -> Result<(Relation, Vec<Oid>), ReadError> {
    let bases = view.merge_bases(base, &[*head])?;
    let relation = match &bases[..] {
        [] => Relation::Unrelated,
        [only] if only == head => Relation::Merged,
        [only] if only == base => Relation::FastForward,
        _ => Relation::Diverged,
    };
    Ok((relation, bases))
}

impl Local {
    pub(super) async fn check_merge(
        &self,
        request: CheckMergeRequest,
        call: Call,
    ) -> Result<CheckMergeResponse, Status> {
        let opened = self.open(request.repository.as_ref(), &call).await?;
        let (base, head) = (opened.named(request.base.as_ref())?, opened.named(request.head.as_ref())?);
        let compare = move |view: &View| {
            let (base, head) = (base.commit(view)?, head.commit(view)?);
            let (relation, bases) = relation(view, &base, &head)?;
            let counts = view.ahead_behind(&[(head, base)])?;
            let tree = match relation {
                Relation::Merged => Some(view.commit(&base)?.tree),
                Relation::FastForward => Some(view.commit(&head)?.tree),
                Relation::Diverged | Relation::Unrelated => None,
            };
            Ok(((base, head), (relation, bases), counts.first().copied().unwrap_or_default(), tree))
        };
        let ((base, head), (relation, bases), apart, tree) = opened.read(compare).await?;
        let mut answer = CheckMergeResponse {
            base_oid: oid_bytes(&base),
            head_oid: oid_bytes(&head),
            merge_base_oids: bases.iter().map(oid_bytes).collect(),
            ahead: apart.ahead,
            behind: apart.behind,
            ..CheckMergeResponse::default()
        };
        let state = match (relation, tree) {
            (Relation::Unrelated, _) if !request.allow_unrelated => MergeState::Unrelated,
            (Relation::Diverged | Relation::Unrelated, _) | (_, None) => {
                let only = bases.first().copied().filter(|_| bases.len() == 1);
                let query = MergeQuery { base: only, ours: base, theirs: head };
                let merged = opened.objects().try_merge(&query, &opened.allowance()).await;
                let merged = merged.map_err(|error| status(&error))?;
                answer.tree_oid = oid_bytes(&merged.tree);
                answer.conflicts = merged.conflicts.iter().map(conflicting).collect();
                answer.truncated = merged.is_truncated;
                if merged.is_clean { MergeState::Clean } else { MergeState::Conflicts }
            }
            (Relation::Merged, Some(tree)) => {
                answer.tree_oid = oid_bytes(&tree);
                MergeState::Merged
            }
            (Relation::FastForward, Some(tree)) => {
                answer.tree_oid = oid_bytes(&tree);
                MergeState::FastForward
            }
        };
        answer.set_state(state);
        Ok(answer)
    }
}

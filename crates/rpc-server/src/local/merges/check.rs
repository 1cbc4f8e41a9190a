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
            let tree = match relation {
                Relation::Merged => Some(view.commit(&base)?.tree),
                Relation::FastForward => Some(view.commit(&head)?.tree),
                Relation::Diverged | Relation::Unrelated => None,
            };
            Ok(((base, head), (relation, bases), tree))
        };
        let ((base, head), (relation, bases), tree) = opened.read(compare).await?;
        let is_merged_here = match relation {
            Relation::Merged | Relation::FastForward => false,
            Relation::Unrelated => request.allow_unrelated,
            Relation::Diverged => true,
        };
        let merge = async {
            if !is_merged_here {
                return Ok(None);
            }
            let only = bases.first().copied().filter(|_| bases.len() == 1);
            let query = MergeQuery { base: only, ours: base, theirs: head };
            let merged = opened.objects().try_merge(&query, &opened.allowance()).await;
            merged.map(Some).map_err(|error| status(&error))
        };
        // While one is merged the other is counted.
        let count = opened.read(move |view| view.ahead_behind(&[(head, base)]));
        let (merged, counts) = tokio::try_join!(merge, count)?;
        let apart = counts.first().copied().unwrap_or_default();
        let mut answer = CheckMergeResponse {
            base_oid: oid_bytes(&base),
            head_oid: oid_bytes(&head),
            merge_base_oids: bases.iter().map(oid_bytes).collect(),
            ahead: apart.ahead,
            behind: apart.behind,
            ..CheckMergeResponse::default()
        };
        if let Some(merged) = &merged {
            answer.tree_oid = oid_bytes(&merged.tree);
            answer.conflicts = merged.conflicts.iter().map(conflicting).collect();
            answer.truncated = merged.is_truncated;
        } else if let Some(tree) = tree {
            answer.tree_oid = oid_bytes(&tree);
        }
        answer.set_state(match (relation, merged) {
            (_, Some(merged)) if merged.is_clean => MergeState::Clean,
            (_, Some(_)) => MergeState::Conflicts,
            (Relation::Merged, None) => MergeState::Merged,
            (Relation::FastForward, None) => MergeState::FastForward,
            (Relation::Unrelated | Relation::Diverged, None) => MergeState::Unrelated,
        });
        Ok(answer)
    }
}

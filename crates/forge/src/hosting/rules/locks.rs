//! The judgement of a push by locks of LFS.

use std::sync::Arc;

use hakata_git::objects::{Objects, ReadError, View};
use hakata_names::{RefName, RefUpdate};
use hakata_repository::Repository;
use hakata_store::ref_log::{self, LoggedMove};

use super::Rules;
use crate::hosting::judge::Refused;
use crate::lfs::{MAX_MOVES, Present, Touched};
use crate::{Error, Forge};

impl Rules {
    /// Answers updates that change what somebody else has locked, and all of them if that cannot be told.
    pub(super) async fn judge_locks(
        &self,
        forge: &Forge,
        repository: &Repository,
        updates: &[RefUpdate],
        objects: &Objects,
    ) -> Result<Vec<(RefName, Refused)>, Error> {
        let present = Arc::new(present(repository));
        let (asked, guards, there) = (updates.to_vec(), self.guards.clone(), present.clone());
        let look = move |view: &View| guards.find_touched(view, &asked, &there);
        let touched = match objects.read(look).await {
            Ok(touched) => touched,
            Err(error) => return unknown(error, updates),
        };
        let since = touched.iter().filter(|at| at.maker.is_some()).map(|at| at.guarded.locked_at).min();
        let touched = match since {
            None => touched,
            Some(since) => {
                let mut conn = forge.db().read().await?;
                let moves = ref_log::moved_since(&mut conn, repository.id(), since, MAX_MOVES + 1).await?;
                drop(conn);
                let look = move |view: &View| not_holders(view, touched, &present, &moves);
                match objects.read(look).await {
                    Ok(touched) => touched,
                    Err(error) => return unknown(error, updates),
                }
            }
        };
        let hint = "git lfs locks shows who has what; a maintainer can unlock by force";
        let mut refused: Vec<(usize, Refused)> = Vec::new();
        for at in touched {
            // One reason a ref is enough.
            if refused.last().is_none_or(|(update, _)| *update != at.update) {
                let reason = Refused { reason: at.guarded.reason(), hint: Some(hint.to_owned()) };
                refused.push((at.update, reason));
            }
        }
        Ok(refused.into_iter().map(|(update, reason)| (updates[update].name.clone(), reason)).collect())
    }
}

/// Leaves out what the holders themselves brought.
fn not_holders(
    view: &View,
    touched: Vec<Touched>,
    present: &Present,
    moves: &[LoggedMove],
) -> Result<Vec<Touched>, ReadError> {
    let is_cut = i64::try_from(moves.len()).is_ok_and(|n| n > MAX_MOVES);
    let mut left = Vec::new();
    for at in touched {
        if is_cut || !at.is_holders(view, present, moves)? {
            left.push(at);
        }
    }
    Ok(left)
}

/// What is pushed to, before the push.
fn present(repository: &Repository) -> Present {
    let snapshot = repository.snapshot();
    let heads = snapshot.iter().filter(|at| at.name.branch().is_some());
    Present {
        default_tip: snapshot.find(repository.default_ref()).map(|at| at.oid),
        heads: heads.map(|at| (at.name.as_bytes().to_vec(), at.oid)).collect(),
    }
}

/// Refuses every update that could change a file: what cannot be judged is not let through.
fn unknown(error: ReadError, updates: &[RefUpdate]) -> Result<Vec<(RefName, Refused)>, Error> {
    if let ReadError::Busy(_) | ReadError::Cancelled = error {
        return Err(Error::internal(error));
    }
    let cause = Error::internal(error);
    tracing::error!(cause = %cause.chain(), "a push cannot be judged by locks and is refused");
    let refuse = |update: &RefUpdate| {
        let reason = Refused {
            reason: "it cannot be told whether this changes a locked file".to_owned(),
            hint: Some("objects of the repository cannot be read: the server's log says which".to_owned()),
        };
        (update.name.clone(), reason)
    };
    Ok(updates.iter().filter(|update| update.new.is_some()).map(refuse).collect())
}

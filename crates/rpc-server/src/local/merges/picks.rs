//! Commits that are repeated or taken back.

use hakata_git::merge::EmptyPicks;
use hakata_git::write::clean_message;
use hakata_names::Oid;
use hakata_rpc::v1::{CherryPickRequest, EmptyPick, MergeResponse, RevertRequest, Revision};
use hakata_rpc::{Call, Status};

use super::super::Local;
use super::super::made::form;
use super::conflicts::not_made;
use super::land::Made;
use super::make::MAX_COMMITS;
use super::people::{committer, signer};
use super::target::Target;

impl Local {
    pub(super) async fn cherry_pick(
        &self,
        request: CherryPickRequest,
        call: Call,
    ) -> Result<MergeResponse, Status> {
        let form = form(request.form)?;
        let empty = match request.empty() {
            EmptyPick::Unspecified | EmptyPick::Refuse => EmptyPicks::Refuse,
            EmptyPick::Drop => EmptyPicks::Drop,
            EmptyPick::Keep => EmptyPicks::Keep,
        };
        let committer = committer(request.committer, None)?;
        let target = Target::find(self, request.repository.as_ref(), &request.ref_name, &call).await?;
        if let Some(answer) = self.merged_before(&target, &call).await? {
            return Ok(answer);
        }
        let target = target.at(&request.expected_oid)?;
        let commits = picked(&target, &request.commits).await?;
        let mut replay = target.replay(committer).await?;
        for commit in commits {
            replay.pick(commit, mainline(request.mainline), empty).await.map_err(not_made)?;
        }
        let made = Made::commits(replay);
        self.land(target, made, Vec::new(), (form, call)).await
    }

    pub(super) async fn revert(&self, request: RevertRequest, call: Call) -> Result<MergeResponse, Status> {
        let author = signer(request.author, "author")?;
        let form = form(request.form)?;
        let committer = committer(request.committer, Some(&author))?;
        let message = clean_message(&request.message);
        if !message.is_empty() && request.commits.len() > 1 {
            return Err(Status::invalid("a message is for one commit"));
        }
        let message = (!message.is_empty()).then_some(message);
        let target = Target::find(self, request.repository.as_ref(), &request.ref_name, &call).await?;
        if let Some(answer) = self.merged_before(&target, &call).await? {
            return Ok(answer);
        }
        let target = target.at(&request.expected_oid)?;
        let commits = picked(&target, &request.commits).await?;
        let mut replay = target.replay(committer).await?;
        for commit in commits {
            let reverted = replay.revert(commit, mainline(request.mainline), author.clone(), message.clone());
            reverted.await.map_err(not_made)?;
        }
        let made = Made::commits(replay);
        self.land(target, made, Vec::new(), (form, call)).await
    }
}

/// Finds the commits that a request names.
async fn picked(target: &Target, revisions: &[Revision]) -> Result<Vec<Oid>, Status> {
    match revisions.len() {
        0 => Err(Status::invalid("the request names no commits")),
        1..=MAX_COMMITS => target.opened.commits(revisions).await,
        _ => Err(Status::invalid(format!("more than {MAX_COMMITS} commits"))),
    }
}

fn mainline(number: u32) -> Option<u32> {
    (number > 0).then_some(number)
}

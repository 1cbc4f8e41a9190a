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
use super::people::{committer, signer};
use super::target::{Receiver, Target};
use crate::metrics::Limit;
use crate::settings::at_most;

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
        let (commits, how) = (request.commits, (form, call.clone()));
        let picking = async |target: Target| {
            let commits = self.picked(&target, &commits).await?;
            let mut replay = target.replay(committer, self.bounds()).await?;
            for commit in commits {
                replay.pick(commit, mainline(request.mainline), empty).await.map_err(not_made)?;
            }
            self.land(target, Made::commits(replay), Vec::new(), how).await
        };
        let base = Receiver::of(request.repository, request.ref_name, request.expected_oid);
        self.once(base, (form, &call), picking).await
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
        let (commits, how) = (request.commits, (form, call.clone()));
        let reverting = async |target: Target| {
            let commits = self.picked(&target, &commits).await?;
            let mut replay = target.replay(committer, self.bounds()).await?;
            for commit in commits {
                let mainline = mainline(request.mainline);
                let reverted = replay.revert(commit, mainline, author.clone(), message.clone());
                reverted.await.map_err(not_made)?;
            }
            self.land(target, Made::commits(replay), Vec::new(), how).await
        };
        let base = Receiver::of(request.repository, request.ref_name, request.expected_oid);
        self.once(base, (form, &call), reverting).await
    }
}

impl Local {
    /// Finds the commits that a request names.
    async fn picked(&self, target: &Target, revisions: &[Revision]) -> Result<Vec<Oid>, Status> {
        if revisions.is_empty() {
            return Err(Status::invalid("the request names no commits"));
        }
        at_most(Limit::Commits, revisions.len(), self.0.settings.limits.commits)?;
        target.opened.commits(revisions).await
    }
}

fn mainline(number: u32) -> Option<u32> {
    (number > 0).then_some(number)
}

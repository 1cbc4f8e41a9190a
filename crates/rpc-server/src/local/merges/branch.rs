//! One commit on top of a branch.

use bytes::Bytes;
use hakata_git::objects::View;
use hakata_git::write::{NewCommit, NewObjects, Signer, clean_message};
use hakata_names::{Oid, RefName, RefUpdate};
use hakata_repository::Repository;
use hakata_rpc::v1::{Form, MadeCommit, Moved, RepositoryKey, Revision, Signature};
use hakata_rpc::{Call, Code, Status};

use super::super::contents::Contents;
use super::super::made::{form, signer};
use super::super::messages::optional;
use super::super::repositories::branch;
use super::super::{Local, Opened, optional_oid, status};
use super::write_status;

/// The branch that gets a commit.
pub(super) struct Branch {
    name: RefName,
    expected: Bytes,
    start: Option<Revision>,
    form: Form,
}

/// Who makes a commit and what it says.
pub(super) struct Words {
    author: Signer,
    committer: Signer,
    message: Vec<u8>,
}

/// Whether a commit may change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Empty {
    Allowed,
    Refused,
}

impl Branch {
    pub(super) fn parse(
        name: &[u8],
        expected: Bytes,
        start: Option<Revision>,
        raw_form: i32,
    ) -> Result<Self, Status> {
        Ok(Self { name: branch(name)?, expected, start, form: form(raw_form)? })
    }

    /// Finds where the branch is and what its next commit comes after.
    async fn place(&self, opened: &Opened) -> Result<Place, Status> {
        let snapshot = opened.repository.snapshot();
        let expected = optional_oid(&self.expected, opened.repository.format())?;
        let tip = snapshot.find(&self.name).map(|found| found.oid);
        let is_as_expected = if self.start.is_some() {
            tip.is_none() && expected.is_none()
        } else {
            expected.is_none() || tip == expected
        };
        if !is_as_expected {
            let moved = Moved {
                ref_name: Bytes::copy_from_slice(self.name.as_bytes()),
                expected_oid: optional(expected.as_ref()),
                actual_oid: optional(tip.as_ref()),
            };
            return Err(Status::moved(format!("{} is not where it was expected", self.name), moved));
        }
        let parent = match (&self.start, tip) {
            (Some(start), _) => Some(opened.commit(Some(start)).await?),
            (None, Some(tip)) => Some(tip),
            (None, None) if snapshot.is_empty() => None,
            (None, None) => return Err(Status::not_found(format!("there is no {}", self.name))),
        };
        Ok(Place { tip, parent })
    }
}

/// Where a branch is, and what its next commit comes after.
struct Place {
    tip: Option<Oid>,
    parent: Option<Oid>,
}

impl Words {
    pub(super) fn parse(
        author: Option<Signature>,
        committer: Option<Signature>,
        message: &[u8],
    ) -> Result<Self, Status> {
        let author = author.ok_or_else(|| Status::invalid("the request names no author"))?;
        let committer = committer.unwrap_or_else(|| author.clone());
        let message = clean_message(message);
        if message.is_empty() {
            return Err(Status::invalid("the request has no message"));
        }
        Ok(Self { author: signer(author), committer: signer(committer), message })
    }
}

impl Local {
    /// Makes the tree that an edit makes of the branch's, a commit of it, and commits or prepares that. `prepare` fetches
    /// what the edit needs, once it is clear that the commit has to be made.
    pub(super) async fn commit_to<P, F>(
        &self,
        key: Option<&RepositoryKey>,
        branch: Branch,
        words: Words,
        empty: Empty,
        call: Call,
        prepare: P,
    ) -> Result<MadeCommit, Status>
    where
        P: AsyncFnOnce(Repository) -> Result<(F, Contents), Status>,
        F: FnOnce(&View, &mut NewObjects, Option<Oid>) -> Result<Oid, Status> + Send + 'static,
    {
        let opened = self.open(key, &call).await?;
        if branch.form == Form::Commit
            && let Some(made) = self.made_before(&opened.repository, &branch.name, &call).await?
        {
            return Ok(made);
        }
        let made = self.make_on(&opened, &branch, words, empty, &call, prepare).await;
        match made {
            // Its own repetition may have been faster.
            Err(error) if branch.form == Form::Commit && call.idempotency_key.is_some() => {
                self.made_before(&opened.repository, &branch.name, &call).await?.ok_or(error)
            }
            made => made,
        }
    }

    async fn make_on<P, F>(
        &self,
        opened: &Opened,
        branch: &Branch,
        words: Words,
        empty: Empty,
        call: &Call,
        prepare: P,
    ) -> Result<MadeCommit, Status>
    where
        P: AsyncFnOnce(Repository) -> Result<(F, Contents), Status>,
        F: FnOnce(&View, &mut NewObjects, Option<Oid>) -> Result<Oid, Status> + Send + 'static,
    {
        let Place { tip, parent } = branch.place(opened).await?;
        let (edit, Contents { blobs, room, .. }) = prepare(opened.repository.clone()).await?;
        let mut objects = self.new_objects(opened.repository.format());
        if let Some(blobs) = blobs {
            objects = objects.with_long(blobs);
        }
        let work = move |view: &View| {
            let tree = parent.map(|parent| view.tree_of(&parent)).transpose()?;
            let commit = edit(view, &mut objects, tree).and_then(|edited| {
                if tree == Some(edited) && empty == Empty::Refused {
                    return Err(Status::new(Code::FailedPrecondition, "the commit would change nothing"));
                }
                let Words { author, committer, message } = words;
                let parents = Vec::from_iter(parent);
                let commit = NewCommit { tree: edited, parents, author, committer, message };
                objects.commit(&commit).map_err(write_status)
            });
            Ok(commit.map(|commit| (objects, commit)))
        };
        let made = opened.objects().read_within(&opened.allowance(), work).await;
        let (objects, oid) = made.map_err(|error| status(&error))??;
        let update = RefUpdate { name: branch.name.clone(), old: tip, new: Some(oid) };
        let delivered = self.deliver(&opened.repository, update, oid, objects, branch.form, call).await;
        drop(room);
        delivered
    }
}

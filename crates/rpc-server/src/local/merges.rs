//! Commits that are made without a worktree.

use futures_util::StreamExt;
use hakata_git::objects::View;
use hakata_git::write::{
    Act, EditError, EntryMode, Existing, FileChange, NewObjects, PathConflict, WriteError,
};
use hakata_names::{ObjectFormat, Oid};
use hakata_repository::Repository;
use hakata_rpc::v1::{
    ApplySuggestionRequest, CheckMergeRequest, CheckMergeResponse, CherryPickRequest, CommitFilesRequest,
    ConflictingPath, FastForwardRequest, FileAct, FileChange as Message, FileMode, MadeCommit, MergeRequest,
    MergeResponse, MergeService, RebaseRequest, RevertRequest, SquashRequest,
};
use hakata_rpc::{Call, Pending, Requests, Status};

use super::contents::{self, Announced, Contents};
use super::made::form;
use super::messages::optional;
use super::{Local, file_path, optional_oid, status};
use crate::metrics::Limit;
use crate::settings::at_most;
use branch::{Branch, Empty, Words};
use make::{Offer, Way};
use people::{committer, signer};
use target::Receiver;

mod branch;
mod check;
mod conflicts;
mod land;
mod make;
mod people;
mod picks;
mod suggestions;
mod target;

pub(super) use make::Way as MergeWay;
pub(super) use people::{committer as committer_of, signer as signer_of};
pub(super) use target::{Receiver as MergeReceiver, Target as MergeTarget, moved};

impl MergeService for Local {
    fn commit_files(&self, call: Call, mut requests: Requests<CommitFilesRequest>) -> Pending<MadeCommit> {
        let local = self.clone();
        Box::pin(async move {
            let first = requests.next().await.transpose()?;
            let request = first.ok_or_else(|| Status::invalid("the request has no parts"))?;
            let branch = Branch::parse(&request.ref_name, request.expected_oid, request.start, request.form)?;
            let words = Words::parse(request.author, request.committer, &request.message)?;
            let empty = if request.allow_empty { Empty::Allowed } else { Empty::Refused };
            let changes = request.changes;
            at_most(Limit::Changes, changes.len(), local.0.settings.limits.changes)?;
            if !request.content.is_empty() {
                return Err(Status::invalid("contents that changes announce come behind the first message"));
            }
            changes.iter().try_for_each(announces)?;
            let prepare = async |repository: Repository| {
                let contents = local.contents(&changes, &repository, &mut requests).await?;
                let mut oids = contents.oids.clone().into_iter();
                let edit = move |view: &View, objects: &mut NewObjects, tree: Option<Oid>| {
                    let format = objects.format();
                    let changes =
                        changes.into_iter().map(|change| parsed(change, format, &mut oids, objects));
                    let changes = changes.collect::<Result<Vec<_>, _>>()?;
                    objects.edited(view, tree.as_ref(), &changes).map_err(edit_status)
                };
                Ok((edit, contents))
            };
            local.commit_to(request.repository.as_ref(), branch, words, empty, call, prepare).await
        })
    }

    fn apply_suggestion(&self, call: Call, request: ApplySuggestionRequest) -> Pending<MadeCommit> {
        let local = self.clone();
        Box::pin(async move {
            let branch = Branch::parse(&request.ref_name, request.expected_oid, None, request.form)?;
            let words = Words::parse(request.author, request.committer, &request.message)?;
            let (suggestions, limits) = (request.suggestions, local.0.settings.limits);
            if suggestions.is_empty() {
                return Err(Status::invalid("the request has no suggestions"));
            }
            at_most(Limit::Changes, suggestions.len(), limits.changes)?;
            let edit = move |view: &View, objects: &mut NewObjects, tree: Option<Oid>| {
                suggestions::apply(view, objects, tree, suggestions, limits.suggested_file_bytes)
            };
            let prepare = async |_: Repository| Ok((edit, Contents::default()));
            local.commit_to(request.repository.as_ref(), branch, words, Empty::Refused, call, prepare).await
        })
    }

    fn check_merge(&self, call: Call, request: CheckMergeRequest) -> Pending<CheckMergeResponse> {
        let local = self.clone();
        Box::pin(async move { local.check_merge(request, call).await })
    }

    fn merge(&self, call: Call, request: MergeRequest) -> Pending<MergeResponse> {
        let local = self.clone();
        Box::pin(async move {
            let fast_forward = request.fast_forward();
            let author = signer(request.author, "author")?;
            let way = Way::Merge {
                fast_forward,
                allow_unrelated: request.allow_unrelated,
                message: request.message,
                committer: committer(request.committer, Some(&author))?,
                author,
            };
            let form = form(request.form)?;
            let head = Offer { revision: request.head, expected: request.expected_head_oid };
            let base = Receiver::of(request.repository, request.ref_name, request.expected_oid);
            local.merge_into(base, head, way, (form, call)).await
        })
    }

    fn squash(&self, call: Call, request: SquashRequest) -> Pending<MergeResponse> {
        let local = self.clone();
        Box::pin(async move {
            let author = signer(request.author, "author")?;
            let way = Way::Squash {
                message: request.message,
                committer: committer(request.committer, Some(&author))?,
                author,
            };
            let form = form(request.form)?;
            let head = Offer { revision: request.head, expected: request.expected_head_oid };
            let base = Receiver::of(request.repository, request.ref_name, request.expected_oid);
            local.merge_into(base, head, way, (form, call)).await
        })
    }

    fn rebase(&self, call: Call, request: RebaseRequest) -> Pending<MergeResponse> {
        let local = self.clone();
        Box::pin(async move {
            let committer = committer(request.committer, None)?;
            let way = Way::Rebase { refuse_merges: request.refuse_merges, committer };
            let form = form(request.form)?;
            let head = Offer { revision: request.head, expected: request.expected_head_oid };
            let base = Receiver::of(request.repository, request.ref_name, request.expected_oid);
            local.merge_into(base, head, way, (form, call)).await
        })
    }

    fn fast_forward(&self, call: Call, request: FastForwardRequest) -> Pending<MergeResponse> {
        let local = self.clone();
        Box::pin(async move {
            let form = form(request.form)?;
            let head = Offer { revision: request.head, expected: request.expected_head_oid };
            let base = Receiver::of(request.repository, request.ref_name, request.expected_oid);
            local.merge_into(base, head, Way::FastForward, (form, call)).await
        })
    }

    fn cherry_pick(&self, call: Call, request: CherryPickRequest) -> Pending<MergeResponse> {
        let local = self.clone();
        Box::pin(async move { local.cherry_pick(request, call).await })
    }

    fn revert(&self, call: Call, request: RevertRequest) -> Pending<MergeResponse> {
        let local = self.clone();
        Box::pin(async move { local.revert(request, call).await })
    }
}

impl Local {
    /// Takes the contents that changes announce, and waits for the end of the request.
    async fn contents(
        &self,
        changes: &[Message],
        repository: &Repository,
        requests: &mut Requests<CommitFilesRequest>,
    ) -> Result<Contents, Status> {
        let settings = &self.0.settings;
        let bounds = (settings.max_upload_bytes, settings.max_uploads_bytes);
        match Announced::of(changes, &self.0.uploads, bounds)? {
            Some(announced) => announced.take(repository, requests).await,
            None => contents::finish(requests).await.map(|()| Contents::default()),
        }
    }
}

/// Checks that what a change announces has its place in it.
fn announces(change: &Message) -> Result<(), Status> {
    let kind = FileAct::try_from(change.act).unwrap_or_default();
    let writes = matches!(kind, FileAct::Create | FileAct::Update | FileAct::Put);
    let takes_content = writes || kind == FileAct::Move && change.with_content;
    if change.content_bytes == 0 || takes_content && change.content.is_empty() {
        return Ok(());
    }
    let path = file_path(&change.path)?;
    Err(Status::invalid(format!("{path}: this change has no content, or it is here already")))
}

/// Reads one change; its content becomes an object, or is the next of those that came beside the request.
fn parsed(
    change: Message,
    format: ObjectFormat,
    contents: &mut impl Iterator<Item = Oid>,
    objects: &mut NewObjects,
) -> Result<FileChange, Status> {
    let path = file_path(&change.path)?;
    let expected = optional_oid(&change.expected_oid, format)?;
    let kind = FileAct::try_from(change.act).unwrap_or_default();
    let mode = mode(change.mode)?;
    let writes = matches!(kind, FileAct::Create | FileAct::Update | FileAct::Put);
    let is_move = kind == FileAct::Move;
    let takes_content = writes || is_move && change.with_content;
    if !takes_content && !change.content.is_empty() {
        return Err(Status::invalid(format!("{path}: this change has no content")));
    }
    if !is_move && (change.with_content || !change.from_path.is_empty()) {
        return Err(Status::invalid(format!("{path}: only a move has another path and says with_content")));
    }
    let mut blob = || match change.content_bytes {
        0 => objects.blob(change.content.to_vec()).map_err(write_status),
        _ => contents.next().ok_or_else(|| Status::invalid(format!("{path}: the content did not come"))),
    };
    let mut write = |existing| Ok::<_, Status>(Act::Write { blob: blob()?, mode, existing });
    let act = match kind {
        FileAct::Create => write(Existing::MustNot)?,
        FileAct::Update => write(Existing::Must)?,
        FileAct::Put => write(Existing::May)?,
        FileAct::Move => {
            let blob = if change.with_content { Some(blob()?) } else { None };
            Act::Move { from: file_path(&change.from_path)?, blob, mode }
        }
        FileAct::Delete if mode.is_none() => Act::Delete,
        FileAct::Delete => return Err(Status::invalid(format!("{path}: what goes has no mode"))),
        FileAct::SetMode => {
            let mode = mode.ok_or_else(|| Status::invalid(format!("{path}: the change names no mode")))?;
            Act::SetMode(mode)
        }
        FileAct::Unspecified => return Err(Status::invalid(format!("{path}: there is no such change"))),
    };
    Ok(FileChange { path, act, expected })
}

fn mode(raw: i32) -> Result<Option<EntryMode>, Status> {
    Ok(match FileMode::try_from(raw).map_err(|_| Status::invalid("there is no such mode"))? {
        FileMode::Unspecified => None,
        FileMode::File => Some(EntryMode::FILE),
        FileMode::Executable => Some(EntryMode::EXECUTABLE),
        FileMode::Symlink => Some(EntryMode::LINK),
    })
}

fn write_status(error: WriteError) -> Status {
    status(&error)
}

fn edit_status(error: EditError) -> Status {
    match error {
        EditError::Conflict(conflicts) => conflicting(conflicts.iter().map(message).collect()),
        EditError::Write(error) => write_status(error),
    }
}

fn conflicting(paths: Vec<ConflictingPath>) -> Status {
    Status::conflict("the branch is not as the changes expect it", paths)
}

fn message(conflict: &PathConflict) -> ConflictingPath {
    ConflictingPath {
        path: bytes::Bytes::copy_from_slice(conflict.path.as_bytes()),
        kind: conflict.what.name().to_owned(),
        base_oid: optional(conflict.expected.as_ref()),
        ours_oid: optional(conflict.actual.as_ref()),
        ..ConflictingPath::default()
    }
}

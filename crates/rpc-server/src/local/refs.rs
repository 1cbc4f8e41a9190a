//! Branches, tags and all other refs.

use bytes::Bytes;
use hakata_git::objects::ReadError;
use hakata_git::refs::{Ref as GitRef, RefSnapshot};
use hakata_git::write::{NewTag, clean_message};
use hakata_names::{Oid, RefName, UserId};
use hakata_rpc::v1::{
    AheadBehindCount, AheadBehindRequest, AheadBehindResponse, CreateBranchRequest, CreateTagRequest,
    DeleteBranchRequest, DeleteBranchResponse, DeleteTagRequest, DeleteTagResponse, GetRefRequest,
    ListBranchesRequest, ListBranchesResponse, ListRefsContainingRequest, ListRefsContainingResponse,
    ListTagsRequest, ListTagsResponse, MadeRef, Ref, RefService, ResolveRevisionRequest,
    ResolveRevisionResponse, UpdateRefsRequest, UpdateRefsResponse,
};
use hakata_rpc::{Answers, Call, Pending, Status};

use super::made::{form, signer};
use super::messages::{oid_bytes, reference};
use super::repositories::branch;
use super::revisions::kind;
use super::{Local, Opened, counted, cut, ref_name, status, uncounted};
use crate::metrics::Limit;
use crate::parts::parts;
use crate::settings::at_most;
use list::Question;

pub(super) use moves::{refused, updates};

mod list;
mod moves;
pub(super) mod tips;

/// Refs of one part.
const PART_REFS: usize = 500;

impl RefService for Local {
    fn list_branches(&self, call: Call, request: ListBranchesRequest) -> Answers<ListBranchesResponse> {
        let question = Question {
            prefix: b"refs/heads/",
            patterns: request.patterns,
            order: request.order,
            with_tips: request.with_tips,
            limit: request.limit,
            cursor: request.cursor,
        };
        let part = |branches, cursor| ListBranchesResponse { branches, cursor };
        self.clone().listed(request.repository, call, question, part)
    }

    fn list_tags(&self, call: Call, request: ListTagsRequest) -> Answers<ListTagsResponse> {
        let question = Question {
            prefix: b"refs/tags/",
            patterns: request.patterns,
            order: request.order,
            with_tips: request.with_tips,
            limit: request.limit,
            cursor: request.cursor,
        };
        let part = |tags, cursor| ListTagsResponse { tags, cursor };
        self.clone().listed(request.repository, call, question, part)
    }

    fn get_ref(&self, _call: Call, request: GetRefRequest) -> Pending<Ref> {
        let local = self.clone();
        Box::pin(async move {
            let name = ref_name(&request.ref_name)?;
            let repository = local.repository(request.repository.as_ref()).await?;
            let found = repository.snapshot().find(&name).map(reference);
            found.ok_or_else(|| Status::not_found(format!("there is no {name}")))
        })
    }

    fn resolve_revision(
        &self,
        call: Call,
        request: ResolveRevisionRequest,
    ) -> Pending<ResolveRevisionResponse> {
        let local = self.clone();
        Box::pin(async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let (oid, found) = opened.resolve_kind(request.revision.as_ref()).await?;
            let expression = request.revision.map(|revision| (revision.ref_name, revision.expression));
            let ref_name = begins_with(opened.repository.snapshot(), expression);
            Ok(ResolveRevisionResponse { oid: oid_bytes(&oid), kind: kind(found).into(), ref_name })
        })
    }

    fn create_branch(&self, call: Call, request: CreateBranchRequest) -> Pending<MadeRef> {
        let local = self.clone();
        Box::pin(async move {
            let (name, form) = (branch(&request.ref_name)?, form(request.form)?);
            let target = async |opened: &Opened| {
                let target = opened.commit(request.start.as_ref()).await?;
                Ok((target, local.new_objects(target.format())))
            };
            local.create(request.repository.as_ref(), name, target, (form, &call)).await
        })
    }

    fn delete_branch(&self, call: Call, request: DeleteBranchRequest) -> Pending<DeleteBranchResponse> {
        let local = self.clone();
        Box::pin(async move {
            let (name, form) = (branch(&request.ref_name)?, form(request.form)?);
            let deleting =
                local.delete(request.repository.as_ref(), name, &request.expected_oid, (form, &call));
            let (version, staged) = deleting.await?;
            Ok(DeleteBranchResponse { version, staged })
        })
    }

    fn create_tag(&self, call: Call, request: CreateTagRequest) -> Pending<MadeRef> {
        let local = self.clone();
        Box::pin(async move {
            let (name, form) = (tag(&request.ref_name)?, form(request.form)?);
            let message = clean_message(&request.message);
            if message.is_empty() && request.tagger.is_some() {
                return Err(Status::invalid("a tag object has a message"));
            }
            let tagger = request.tagger.map(signer);
            let named = name.clone();
            let target = async |opened: &Opened| {
                let mut target = opened.resolve(request.target.as_ref()).await?;
                let mut objects = local.new_objects(target.format());
                if !message.is_empty() {
                    let tagger = tagger.ok_or_else(|| Status::invalid("the request names no tagger"))?;
                    let kind = opened.kind(target).await?;
                    let made = NewTag { target, kind, name: named, tagger, message };
                    target = objects.tag(&made).map_err(|error| status(&error))?;
                }
                Ok((target, objects))
            };
            local.create(request.repository.as_ref(), name, target, (form, &call)).await
        })
    }

    fn delete_tag(&self, call: Call, request: DeleteTagRequest) -> Pending<DeleteTagResponse> {
        let local = self.clone();
        Box::pin(async move {
            let (name, form) = (tag(&request.ref_name)?, form(request.form)?);
            let deleting =
                local.delete(request.repository.as_ref(), name, &request.expected_oid, (form, &call));
            let (version, staged) = deleting.await?;
            Ok(DeleteTagResponse { version, staged })
        })
    }

    fn update_refs(&self, call: Call, request: UpdateRefsRequest) -> Pending<UpdateRefsResponse> {
        let local = self.clone();
        Box::pin(async move { local.update_refs(request, call).await })
    }

    fn list_refs_containing(
        &self,
        call: Call,
        request: ListRefsContainingRequest,
    ) -> Answers<ListRefsContainingResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let target = opened.commit(request.revision.as_ref()).await?;
            let snapshot = opened.repository.snapshot().clone();
            let (left, cursor) = uncounted(request.limit, &request.cursor)?;
            let behind = |found: &&GitRef| found.name.as_bytes() > cursor;
            let candidates: Vec<GitRef> = snapshot
                .iter()
                .filter(|found| found.name.as_bytes().starts_with(&request.prefix))
                .filter(behind)
                .cloned()
                .collect();
            let tips = candidates.iter().map(|found| found.peeled.unwrap_or(found.oid)).collect();
            let contains = opened.read(move |view| contains(view, &target, tips)).await?;
            let found =
                candidates.iter().zip(contains).filter(|(_, contains)| *contains).map(|(found, _)| found);
            let refs: Vec<Ref> = found.take(left).map(reference).collect();
            for (part, is_last) in cut(0, refs.len(), PART_REFS) {
                let behind = |end: usize| counted(left - end, &refs[end - 1].name);
                let cursor = if is_last { Bytes::new() } else { behind(part.end) };
                parts.give(ListRefsContainingResponse { refs: refs[part].to_vec(), cursor }).await?;
            }
            Ok(())
        })
    }

    fn ahead_behind(&self, call: Call, request: AheadBehindRequest) -> Pending<AheadBehindResponse> {
        let local = self.clone();
        Box::pin(async move {
            at_most(Limit::Pairs, request.pairs.len(), local.0.settings.limits.pairs)?;
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let named = request
                .pairs
                .iter()
                .map(|pair| Ok((opened.named(pair.head.as_ref())?, opened.named(pair.base.as_ref())?)));
            let named = named.collect::<Result<Vec<_>, Status>>()?;
            let counts = opened.read(move |view| {
                let pairs = named.iter().map(|(head, base)| Ok((head.commit(view)?, base.commit(view)?)));
                view.ahead_behind(&pairs.collect::<Result<Vec<_>, ReadError>>()?)
            });
            let counts = counts.await?;
            let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
            let counts = counts
                .iter()
                .map(|count| AheadBehindCount { ahead: number(count.ahead), behind: number(count.behind) });
            Ok(AheadBehindResponse { counts: counts.collect() })
        })
    }
}

/// Says which tips reach a commit. What is no commit, such as a tagged tree, reaches none.
fn contains(view: &hakata_git::objects::View, target: &Oid, tips: Vec<Oid>) -> Result<Vec<bool>, ReadError> {
    let mut commits = Vec::with_capacity(tips.len());
    for tip in &tips {
        let header = view.header(tip)?;
        if header.is_some_and(|header| header.kind == hakata_git::objects::Kind::Commit) {
            commits.push(*tip);
        }
    }
    let mut reached = view.tips_containing(target, &commits)?.into_iter();
    let mut commits = commits.into_iter().peekable();
    let answer =
        tips.iter().map(|tip| commits.next_if_eq(tip).is_some_and(|_| reached.next().unwrap_or(false)));
    Ok(answer.collect())
}

/// Reads the name of a tag.
fn tag(name: &[u8]) -> Result<RefName, Status> {
    let name = ref_name(name)?;
    match name.tag() {
        Some(_) => Ok(name),
        None => Err(Status::invalid(format!("{name} is no tag: its name does not begin with refs/tags/"))),
    }
}

/// Finds the ref that a revision begins with.
fn begins_with(snapshot: &RefSnapshot, revision: Option<(Bytes, String)>) -> Bytes {
    let Some((name, expression)) = revision else { return Bytes::new() };
    if !name.is_empty() {
        return name;
    }
    let end = expression.find(['^', '~', ':']).unwrap_or(expression.len());
    let short = &expression.as_bytes()[..end];
    let rules: [&[u8]; 4] = [b"", b"refs/", b"refs/tags/", b"refs/heads/"];
    let full = rules.iter().map(|rule| [rule, short].concat());
    let found = full.filter_map(|name| RefName::parse(&name).ok()).find(|name| snapshot.find(name).is_some());
    found.map(|name| Bytes::copy_from_slice(name.as_bytes())).unwrap_or_default()
}

/// For whom a call is made.
pub(super) fn actor(call: &Call) -> Option<UserId> {
    call.actor.map(UserId::new)
}

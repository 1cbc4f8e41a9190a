//! What differs.

use bytes::Bytes;
use hakata_git::diff::{DiffLimits, DiffQuery, FileOptions, PatchQuery, Renames, Versions, Whitespace};
use hakata_git::objects::View;
use hakata_names::Oid;
use hakata_rpc::v1::{
    ChangedPathsRequest, ChangedPathsResponse, Comparison, DiffRequest, DiffResponse, DiffService,
    DiffStatsRequest, DiffStatsResponse, PatchRequest, PatchResponse, RangeDiffPair, RangeDiffRequest,
    RangeDiffResponse,
};
use hakata_rpc::{Answers, Call, Pending, Status};

use super::messages::optional;
use super::{Local, Opened, cut, status, tree_paths};
use crate::parts::parts;
use files::{change, file, stats};

mod files;

/// Bytes of lines after which a part ends.
const PART_BYTES: usize = 64 << 10;

/// Paths and pairs of one part.
const PART_ROWS: usize = 200;

impl DiffService for Local {
    fn diff(&self, call: Call, request: DiffRequest) -> Answers<DiffResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let mut query = opened.comparison(&request.comparison.unwrap_or_default()).await?;
            query.file.words = request.words;
            let bounded = |asked: u32, max: usize| match asked {
                0 => max,
                asked => usize::try_from(asked).unwrap_or(usize::MAX).min(max),
            };
            query.limits.max_files = bounded(request.limit_files, query.limits.max_files);
            query.file.max_lines = bounded(request.limit_lines, query.file.max_lines);
            let begun = opened.objects().diff(&query, &opened.allowance()).await;
            let mut diff = begun.map_err(|error| status(&error))?;
            let (mut files, mut n_bytes) = (Vec::new(), 0);
            while let Some(found) = diff.next().await.map_err(|error| status(&error))? {
                let (message, length) = file(found);
                files.push(message);
                n_bytes += length;
                if n_bytes >= PART_BYTES {
                    n_bytes = 0;
                    parts.give(DiffResponse { files: std::mem::take(&mut files), truncated: false }).await?;
                }
            }
            let truncated = diff.n_changes() > query.limits.max_files;
            parts.give(DiffResponse { files, truncated }).await
        })
    }

    fn patch(&self, call: Call, request: PatchRequest) -> Answers<PatchResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let comparison = request.comparison.unwrap_or_default();
            let query = opened.comparison(&comparison).await?;
            let query = PatchQuery {
                old: query.old,
                new: query.new,
                paths: query.paths,
                binary: request.binary,
                whitespace: query.file.whitespace,
                context: comparison.context,
            };
            let begun = opened.objects().patch(query, &opened.allowance()).await;
            let mut patch = begun.map_err(|error| status(&error))?;
            while let Some(content) = patch.next().await.map_err(|error| status(&error))? {
                parts.give(PatchResponse { content }).await?;
            }
            Ok(())
        })
    }

    fn stats(&self, call: Call, request: DiffStatsRequest) -> Pending<DiffStatsResponse> {
        let local = self.clone();
        Box::pin(async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let mut query = opened.comparison(&request.comparison.unwrap_or_default()).await?;
            query.file = query.file.counting();
            query.limits.max_files = usize::MAX;
            let begun = opened.objects().diff(&query, &opened.allowance()).await;
            let mut diff = begun.map_err(|error| status(&error))?;
            let mut answer = DiffStatsResponse::default();
            while let Some(found) = diff.next().await.map_err(|error| status(&error))? {
                answer.n_added += found.n_added;
                answer.n_deleted += found.n_deleted;
                answer.files.push(stats(&found));
            }
            Ok(answer)
        })
    }

    fn changed_paths(&self, call: Call, request: ChangedPathsRequest) -> Answers<ChangedPathsResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let (sides, begin) = opened.sides(&request).await?;
            let query = DiffQuery {
                old: sides.0,
                new: Some(sides.1),
                ..opened.options(request.comparison.as_ref())?
            };
            let found = opened.objects().changes(&query, &opened.allowance()).await;
            let found = found.map_err(|error| status(&error))?;
            for (part, is_last) in cut(begin, found.len(), PART_ROWS) {
                let cursor = if is_last { Bytes::new() } else { written(&sides, part.end) };
                let changes = found[part].iter().map(change).collect();
                parts.give(ChangedPathsResponse { changes, cursor }).await?;
            }
            Ok(())
        })
    }

    fn range_diff(&self, call: Call, request: RangeDiffRequest) -> Answers<RangeDiffResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let old = (
                opened.commit(request.old_base.as_ref()).await?,
                opened.commit(request.old_head.as_ref()).await?,
            );
            let new = (
                opened.commit(request.new_base.as_ref()).await?,
                opened.commit(request.new_head.as_ref()).await?,
            );
            let found = opened.objects().range_diff(Versions { old, new }, &opened.allowance()).await;
            for pairs in found.map_err(|error| status(&error))?.chunks(PART_ROWS) {
                let pairs = pairs.iter().map(|pair| RangeDiffPair {
                    old_oid: optional(pair.old.as_ref().map(|(_, oid)| oid)),
                    new_oid: optional(pair.new.as_ref().map(|(_, oid)| oid)),
                    equal: pair.is_same,
                    subject: pair.subject.clone().into(),
                });
                parts.give(RangeDiffResponse { pairs: pairs.collect() }).await?;
            }
            Ok(())
        })
    }
}

/// Both sides of a comparison; without an old one everything is new.
type Sides = (Option<Oid>, Oid);

/// Writes where a listing goes on: the two sides, so that it stays the same when refs move, and how many were listed.
fn written(sides: &Sides, n: usize) -> Bytes {
    let old = sides.0.as_ref().map(|oid| oid.as_bytes().to_vec()).unwrap_or_default();
    [&(n as u64).to_be_bytes()[..], sides.1.as_bytes(), &old].concat().into()
}

impl Opened {
    /// Finds both sides of a listing of paths, and how many paths were listed before.
    async fn sides(&self, request: &ChangedPathsRequest) -> Result<(Sides, usize), Status> {
        let malformed = || Status::invalid("the cursor is malformed");
        if request.cursor.is_empty() {
            let default = Comparison::default();
            return Ok((self.compared(request.comparison.as_ref().unwrap_or(&default)).await?, 0));
        }
        let (n, raw) = request.cursor.split_first_chunk().ok_or_else(malformed)?;
        let format = self.repository.format();
        let length = if raw.len() == 64 || raw.len() == 40 { raw.len() / 2 } else { raw.len() };
        let whole = match format {
            hakata_names::ObjectFormat::Sha1 => 20,
            hakata_names::ObjectFormat::Sha256 => 32,
        };
        if length != whole {
            return Err(malformed());
        }
        let (new, old) = raw.split_at(length);
        let sides = (super::optional_oid(old, format)?, super::oid(new, format)?);
        Ok((sides, usize::try_from(u64::from_be_bytes(*n)).map_err(|_| malformed())?))
    }

    /// Finds what is compared with what.
    async fn compared(&self, comparison: &Comparison) -> Result<Sides, Status> {
        let head = self.named(comparison.head.as_ref())?;
        let Some(base) = &comparison.base else {
            let parent = self.read(move |view| {
                let new = head.object(view)?;
                let commit = view.resolve(format!("{new}^{{commit}}").as_bytes(), &|_| None)?;
                Ok((view.read_commit(&commit)?.parents.first().copied(), new))
            });
            return parent.await;
        };
        if !comparison.from_merge_base {
            return Ok((
                Some(self.resolve(Some(base)).await?),
                self.resolve(comparison.head.as_ref()).await?,
            ));
        }
        let old = self.named(Some(base))?;
        let find = move |view: &View| {
            let (old, head) = (old.commit(view)?, head.commit(view)?);
            Ok((view.merge_bases(&old, &[head])?.first().copied(), head))
        };
        let (base, head) = self.read(find).await?;
        base.map(|base| (Some(base), head)).ok_or_else(|| Status::invalid("the two sides share no history"))
    }

    /// Reads how to compare.
    fn options(&self, comparison: Option<&Comparison>) -> Result<DiffQuery, Status> {
        let default = Comparison::default();
        let comparison = comparison.unwrap_or(&default);
        let whitespace = match comparison.whitespace {
            0 => Whitespace::Exact,
            1 => Whitespace::IgnoreAtEnd,
            2 => Whitespace::IgnoreAmount,
            3 => Whitespace::IgnoreAll,
            _ => return Err(Status::invalid("there is no such treatment of white space")),
        };
        let defaults = FileOptions::default();
        let context = comparison.context.unwrap_or(defaults.context);
        Ok(DiffQuery {
            old: None,
            new: None,
            paths: tree_paths(&comparison.paths)?,
            renames: if comparison.no_renames { Renames::Off } else { Renames::Find },
            file: FileOptions { context, whitespace, ..defaults },
            limits: DiffLimits::default(),
        })
    }

    async fn comparison(&self, comparison: &Comparison) -> Result<DiffQuery, Status> {
        let (old, new) = self.compared(comparison).await?;
        Ok(DiffQuery { old, new: Some(new), ..self.options(Some(comparison))? })
    }
}

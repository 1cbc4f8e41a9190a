//! Merging without a worktree: by the trees alone where no file was changed on both sides, otherwise by a row of
//! `git merge-tree` processes that stay and answer one merge after another.
//!
//! [`Objects::start_merging`] hands out a process for one caller alone. What it writes goes into a scratch repository of its
//! own with the merged one behind it; nothing is written to the latter. A process is used again for the same open
//! repository only, and goes after some uses, when it wrote much, when nobody needs it for a while, and at once when the
//! caller leaves in the middle of a merge. Configuration, attributes and merge drivers of the repository do not count,
//! so that no program but git runs.
//!
//! ```text
//! caller ──▶ Merging ──▶ "OURS THEIRS\n" ──▶ git merge-tree --stdin ──▶ tree, conflicts, messages
//!               └── objects(): scratch (new trees and files) ──alternates──▶ the repository
//! ```

mod answer;
mod features;
mod kept;
mod nudge;
mod pool;
mod replay;
mod running;
mod series;
mod trees;

use std::sync::Arc;
use std::time::Instant;

use hakata_names::{ObjectFormat, Oid};
use hakata_runtime::metrics::{CounterFamily, Histogram, Label, Metric, SECONDS};

pub use answer::{Conflict, MergeMessage, Merged, Side};
pub(crate) use kept::Kept;
pub(crate) use pool::Pool;
pub use replay::{EmptyPicks, Replay, ReplayError};
pub use series::MergesOnTheWay;

use crate::objects::{Kind, Objects, ReadError, object_id, our_oid};
use crate::process::ChildError;
use crate::read::{Allowance, Deadline, deadline, until};
use pool::Out;
use running::Running;

static MERGES: CounterFamily<Outcome> = CounterFamily::new(
    "hakata_git_merges_total",
    "Merges of two commits, by how git merge-tree ended or why it was not asked",
);
static TOOK: Histogram =
    Histogram::new("hakata_git_merge_seconds", "Time that git merge-tree took for one merge", SECONDS);

/// Lists the metrics of merging.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    let mut all: Vec<&'static dyn Metric> = vec![&MERGES, &TOOK];
    all.extend(pool::metrics());
    all
}

/// How a merge ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Clean,
    Conflicts,
    Failed,
    /// No file was changed on both sides.
    Trees,
    /// The answer was known.
    Kept,
}

impl Label for Outcome {
    const KEY: &'static str = "outcome";

    fn value(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Conflicts => "conflicts",
            Self::Failed => "failed",
            Self::Trees => "trees",
            Self::Kept => "kept",
        }
    }
}

/// Two commits to be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MergeQuery {
    /// The commit that both come from; found by git, recursively if there are several, without it.
    pub base: Option<Oid>,
    /// The side that receives.
    pub ours: Oid,
    /// The side that is merged.
    pub theirs: Oid,
}

/// A process that merges for one caller. When it is dropped, the process waits for the next one, unless a merge is under
/// way: then it is killed.
pub struct Merging {
    running: Option<Running>,
    base: Objects,
    written: Option<Objects>,
    deadline: Deadline,
    out: Out,
}

impl Objects {
    /// Waits for a process that merges, and starts one if none is there. The allowance's time holds until the end of the
    /// merging.
    ///
    /// # Errors
    /// [`ReadError::Child`] if too many wait or git does not start, [`ReadError::Exhausted`], [`ReadError::Busy`].
    pub async fn start_merging(&self, allowance: &Allowance) -> Result<Merging, ReadError> {
        let deadline = deadline(allowance);
        let taken = until(deadline, self.git().merges().take(self)).await??;
        let (running, out) = taken;
        let mut merging = Merging { running, base: self.clone(), written: None, deadline, out };
        if merging.running.is_none() {
            merging.running = Some(until(deadline, Running::start(self)).await??);
        }
        Ok(merging)
    }

    /// Merges two commits, which are known to be there, without keeping what comes of it, or remembers the answer: it
    /// does not change. Where they come from, if it is said, is their only merge base. A tree that nobody wrote yet is
    /// only named.
    ///
    /// # Errors
    /// As [`start_merging`](Self::start_merging).
    pub async fn try_merge(
        &self,
        query: &MergeQuery,
        allowance: &Allowance,
    ) -> Result<Arc<Merged>, ReadError> {
        if let Some(known) = self.git().kept_merges().find(self.dir(), query.ours, query.theirs) {
            MERGES.get(Outcome::Kept).inc();
            return Ok(known);
        }
        let asked = *query;
        let by_trees = self.read_within(allowance, move |view| trees::merge(view, &asked)).await?;
        let merged = Arc::new(match by_trees {
            Some(merged) => {
                MERGES.get(Outcome::Trees).inc();
                merged
            }
            None => self.start_merging(allowance).await?.merge(query).await?,
        });
        self.git().kept_merges().put(self.dir(), query.ours, query.theirs, &merged);
        Ok(merged)
    }
}

impl Merging {
    /// Merges two commits, which may be such that [`put`](Self::put) wrote. A process that dies is replaced once.
    ///
    /// # Errors
    /// [`ReadError::Exhausted`], [`ReadError::Child`].
    pub async fn merge(&mut self, query: &MergeQuery) -> Result<Merged, ReadError> {
        let begun = Instant::now();
        let mut merged = self.ask(query).await;
        if matches!(&merged, Err(ReadError::Child(error)) if has_died(error)) {
            merged = self.ask(query).await;
        }
        TOOK.observe_duration(begun.elapsed());
        let outcome = match &merged {
            Ok(merged) if merged.is_clean => Outcome::Clean,
            Ok(_) => Outcome::Conflicts,
            Err(_) => Outcome::Failed,
        };
        MERGES.get(outcome).inc();
        merged
    }

    async fn ask(&mut self, query: &MergeQuery) -> Result<Merged, ReadError> {
        let running = match &mut self.running {
            Some(running) if running.is_ready() => running,
            dead => {
                let scratch = dead.take().map(Running::into_scratch);
                let started = match scratch {
                    Some(scratch) => until(self.deadline, Running::start_in(&self.base, scratch)).await??,
                    None => until(self.deadline, Running::start(&self.base)).await??,
                };
                self.running.insert(started)
            }
        };
        until(self.deadline, running.ask(query)).await?
    }

    /// Writes an object where the process finds it, so that it can be merged.
    ///
    /// # Errors
    /// [`ReadError::Object`] if it cannot be written, [`ReadError::Busy`].
    pub async fn put(&mut self, kind: Kind, content: Vec<u8>) -> Result<Oid, ReadError> {
        let Some(running) = &self.running else { return Err(ReadError::Cancelled) };
        let dir = running.dir().objects();
        let format = running.format();
        let write = move || write_loose(&dir, format, kind, &content);
        self.base.git().blocking().run(write).await.map_err(ReadError::Busy)?
    }

    /// Opens what was written, with the repository behind it. It is to be read only while this value lives.
    ///
    /// # Errors
    /// [`ReadError::Open`], [`ReadError::Busy`].
    pub async fn objects(&mut self) -> Result<Objects, ReadError> {
        if let Some(written) = &self.written {
            return Ok(written.clone());
        }
        let Some(running) = &mut self.running else { return Err(ReadError::Cancelled) };
        let written = running.objects(self.base.git()).await?;
        self.written = Some(written.clone());
        Ok(written)
    }
}

impl Drop for Merging {
    fn drop(&mut self) {
        self.written = None;
        if let Some(running) = self.running.take() {
            self.out.give_back(running);
        }
    }
}

/// Whether another process may do better.
fn has_died(error: &ChildError) -> bool {
    matches!(error, ChildError::Io { .. } | ChildError::Failed { .. } | ChildError::TimedOut { .. })
}

/// Writes an object as a file of its own. Blocks.
fn write_loose(
    objects: &std::path::Path,
    format: ObjectFormat,
    kind: Kind,
    content: &[u8],
) -> Result<Oid, ReadError> {
    use gix::objs::Write;
    let hash = match format {
        ObjectFormat::Sha1 => gix::hash::Kind::Sha1,
        ObjectFormat::Sha256 => gix::hash::Kind::Sha256,
    };
    let kind = match kind {
        Kind::Commit => gix::object::Kind::Commit,
        Kind::Tree => gix::object::Kind::Tree,
        Kind::Blob => gix::object::Kind::Blob,
        Kind::Tag => gix::object::Kind::Tag,
    };
    let store = gix::odb::loose::Store::at(objects.to_owned(), hash);
    let written = store.write_buf(kind, content);
    let id = written.map_err(|error| ReadError::Walk(error.to_string().into()))?;
    let named = Oid::from_bytes(id.as_slice()).map_err(|error| ReadError::Walk(error.into()))?;
    our_oid(object_id(&named), &named)
}

#[cfg(test)]
mod tests;

//! git's patch, as a stream.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use hakata_names::{Oid, TreePath};

use super::changes::Change;
use super::hunks::{FileOptions, Whitespace};
use super::stream::{DiffQuery, changes_in_process};
use super::written::write;
use crate::command::{Command, Subcommand};
use crate::objects::{Objects, ReadError, View};
use crate::read::{Allowance, Deadline, EntryKind, Exhausted, MAX_CHUNK, Pieces, deadline, left_until};

/// Bytes of files that are compared as one batch.
const BATCH_BYTES: u64 = 1 << 20;

/// Files that are compared as one batch.
const BATCH_FILES: usize = 256;

/// A question for a patch.
#[derive(Clone, Debug, Default)]
pub struct PatchQuery {
    /// A tree, commit or tag; nothing at all without one.
    pub old: Option<Oid>,
    /// A tree, commit or tag; nothing at all without one.
    pub new: Option<Oid>,
    /// Files and directories; all without one.
    pub paths: Vec<TreePath>,
    /// Whether to include what makes binary files, as `--binary`.
    pub binary: bool,
    /// Which whitespace counts.
    pub whitespace: Whitespace,
    /// Unchanged lines around a change; git's default without it.
    pub context: Option<u32>,
}

/// A patch in pieces of at most 128 KiB.
pub struct Patch(From);

enum From {
    Git(Box<Pieces>),
    Here(Here),
}

/// A patch that is written in process.
struct Here {
    parts: Pin<Box<dyn Stream<Item = Result<Vec<u8>, ReadError>> + Send>>,
    ready: Bytes,
    /// Bytes that are still allowed.
    left: u64,
}

impl Objects {
    /// Makes a patch with renames, as git writes it. The allowance's time and bytes hold for the whole patch.
    ///
    /// # Errors
    /// [`ReadError::Absent`] or [`ReadError::Invalid`] for what is no tree, [`ReadError::Exhausted`],
    /// [`ReadError::Child`], and errors of reading.
    pub async fn patch(&self, query: PatchQuery, allowance: &Allowance) -> Result<Patch, ReadError> {
        let deadline = deadline(allowance);
        if !query.binary && query.whitespace == Whitespace::Exact {
            // The bytes are those of the patch.
            let reading = Allowance { bytes: None, ..*allowance };
            let (asked, settings) = (query.clone(), self.git().settings());
            let (max_pairs, max_bytes) = (settings.in_process_renames, settings.in_process_file_bytes);
            let begin = move |view: &View| Batches::begin(view, &asked, max_pairs, max_bytes);
            if let Some(batches) = self.read_within(&reading, begin).await? {
                let left = allowance.bytes.unwrap_or(u64::MAX);
                let parts = batches.written(self, reading, deadline);
                return Ok(Patch(From::Here(Here { parts, ready: Bytes::new(), left })));
            }
        }
        let trees = self.trees(query.old, query.new, allowance).await?;
        let command = whitespace(Command::new(Subcommand::DiffTree).dir(self.dir()), query.whitespace)
            .flag("-r")
            .flag("-p")
            .flag("--find-renames")
            .flag("--full-index")
            .flag("--no-ext-diff")
            .flag("--no-textconv")
            .flag_if(query.binary, "--binary");
        let command = match query.context {
            Some(context) => command.number("--unified", context),
            None => command,
        };
        let command = between(command, trees, &query.paths);
        let pieces = Pieces::start(self, &command, Vec::new(), allowance).await?.until(deadline);
        Ok(Patch(From::Git(Box::new(pieces))))
    }

    /// Finds the trees that are compared; an absent one is the empty tree.
    pub(super) async fn trees(
        &self,
        old: Option<Oid>,
        new: Option<Oid>,
        allowance: &Allowance,
    ) -> Result<[Oid; 2], ReadError> {
        let find = move |view: &crate::objects::View| {
            let empty = gix::ObjectId::empty_tree(view.repository().object_hash());
            let empty = Oid::from_bytes(empty.as_slice()).map_err(|e| ReadError::Walk(e.into()))?;
            let find = |oid: Option<Oid>| oid.map_or(Ok(empty), |oid| view.tree_of(&oid));
            Ok([find(old)?, find(new)?])
        };
        self.read_within(allowance, find).await
    }
}

impl Patch {
    /// Returns the next piece; `None` at the end.
    ///
    /// # Errors
    /// [`ReadError::Exhausted`], [`ReadError::Child`], and errors of reading.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let here = match &mut self.0 {
            From::Git(pieces) => return pieces.next().await,
            From::Here(here) => here,
        };
        while here.ready.is_empty() {
            let Some(part) = here.parts.try_next().await? else { return Ok(None) };
            let n_bytes = part.len() as u64;
            here.left = here.left.checked_sub(n_bytes).ok_or_else(|| Exhausted::Bytes.error())?;
            here.ready = part.into();
        }
        Ok(Some(here.ready.split_to(here.ready.len().min(MAX_CHUNK))))
    }
}

/// What a patch that is written in process is made of.
struct Batches {
    options: FileOptions,
    /// What a single batch came to, which is written at once.
    begun: Vec<u8>,
    waiting: Vec<Vec<Change>>,
}

impl Batches {
    /// Finds what is to be written; `None` if git has to do it.
    fn begin(
        view: &View,
        query: &PatchQuery,
        max_pairs: usize,
        max_file_bytes: u64,
    ) -> Result<Option<Self>, ReadError> {
        let context = query.context.unwrap_or(FileOptions::default().context);
        let options =
            FileOptions { context, max_file_bytes, max_lines: usize::MAX, ..FileOptions::default() };
        let compared =
            DiffQuery { old: query.old, new: query.new, paths: query.paths.clone(), ..DiffQuery::default() };
        let Some(changes) = changes_in_process(view, &compared, max_pairs)? else { return Ok(None) };
        let mut batches = Self { options, begun: Vec::new(), waiting: Vec::new() };
        let (mut batch, mut n_bytes) = (Vec::new(), 0);
        for change in changes {
            let sides = [&change.old, &change.new].into_iter().flatten();
            for side in sides.filter(|side| side.kind() != EntryKind::Submodule) {
                let size = view.header(&side.oid)?.ok_or(ReadError::Absent(side.oid))?.size_bytes;
                if size > max_file_bytes {
                    return Ok(None);
                }
                n_bytes += size;
            }
            batch.push(change);
            if n_bytes >= BATCH_BYTES || batch.len() >= BATCH_FILES {
                batches.waiting.push(std::mem::take(&mut batch));
                n_bytes = 0;
            }
        }
        if batches.waiting.is_empty() {
            batches.begun = write_all(view, &batch, &options)?;
        } else if !batch.is_empty() {
            batches.waiting.push(batch);
        }
        Ok(Some(batches))
    }

    /// Writes one batch after another, several at a time.
    fn written(
        self,
        objects: &Objects,
        allowance: Allowance,
        deadline: Deadline,
    ) -> Pin<Box<dyn Stream<Item = Result<Vec<u8>, ReadError>> + Send>> {
        let n_threads = objects.git().settings().diff_threads.max(1);
        let (objects, options) = (objects.clone(), self.options);
        let write = move |changes: Vec<Change>| {
            let objects = objects.clone();
            async move {
                let left = left_until(deadline, &allowance)?;
                objects.read_within(&left, move |view| write_all(view, &changes, &options)).await
            }
        };
        let begun = stream::iter([Ok(self.begun)]);
        Box::pin(begun.chain(stream::iter(self.waiting).map(write).buffered(n_threads)))
    }
}

fn write_all(view: &View, changes: &[Change], options: &FileOptions) -> Result<Vec<u8>, ReadError> {
    let mut patch = Vec::new();
    changes.iter().try_for_each(|change| write(view, change, options, &mut patch))?;
    Ok(patch)
}

/// Adds the flag for which whitespace counts.
fn whitespace(command: Command, whitespace: Whitespace) -> Command {
    match whitespace {
        Whitespace::Exact => command,
        Whitespace::IgnoreAtEnd => command.flag("--ignore-space-at-eol"),
        Whitespace::IgnoreAmount => command.flag("--ignore-space-change"),
        Whitespace::IgnoreAll => command.flag("--ignore-all-space"),
    }
}

/// Adds two trees and the paths within them.
pub(super) fn between(command: Command, trees: [Oid; 2], paths: &[TreePath]) -> Command {
    let [old, new] = trees;
    command.operand(old.to_string()).operand(new.to_string()).paths(paths)
}

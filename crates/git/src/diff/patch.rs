//! git's own patch, as a stream.

use hakata_names::{Oid, TreePath};

use super::hunks::Whitespace;
use crate::command::{Command, Subcommand};
use crate::objects::{Objects, ReadError};
use crate::read::{Allowance, Pieces, deadline};

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

impl Objects {
    /// Starts git to make a patch with renames. The allowance's time and bytes hold for the whole patch.
    ///
    /// # Errors
    /// [`ReadError::Absent`] or [`ReadError::Invalid`] for what is no tree, [`ReadError::Child`].
    pub async fn patch(&self, query: PatchQuery, allowance: &Allowance) -> Result<Pieces, ReadError> {
        let deadline = deadline(allowance);
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
        Ok(Pieces::start(self, &command, Vec::new(), allowance).await?.until(deadline))
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

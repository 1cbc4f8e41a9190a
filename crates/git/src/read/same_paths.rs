//! Whether some files and directories are the same in two commits.

use std::collections::HashMap;

use gix::ObjectId;
use hakata_names::TreePath;

use super::changed_paths::PathKey;
use super::history::{History, Node};
use super::raw_tree::RawTree;
use crate::objects::{ReadError, View};

/// Most looks into trees that are remembered; neighbours in history share their trees.
const MAX_REMEMBERED: usize = 64 << 10;

/// Some paths, and what trees hold at them.
pub(super) struct SamePaths {
    paths: Vec<Wanted>,
    entries: HashMap<(ObjectId, usize, usize), Option<Entry>>,
    tree: RawTree,
}

struct Wanted {
    path: TreePath,
    keys: Vec<PathKey>,
}

/// Mode and object.
type Entry = (u32, ObjectId);

impl SamePaths {
    pub(super) fn new(paths: &[TreePath]) -> Self {
        let wanted =
            |path: &TreePath| Wanted { keys: PathKey::with_parents(path.as_bytes()), path: path.clone() };
        Self { paths: paths.iter().map(wanted).collect(), entries: HashMap::new(), tree: RawTree::default() }
    }

    /// Says whether a commit has the same at all paths as its nth parent.
    pub(super) fn unchanged(
        &mut self,
        history: &History<'_>,
        node: Node,
        nth: usize,
        parent: Node,
    ) -> Result<bool, ReadError> {
        let (ours, theirs) = (history.tree(node), history.tree(parent));
        if ours == theirs {
            return Ok(true);
        }
        if nth == 0
            && let Some(filter) = history.changed_paths(node)
            && self.paths.iter().all(|wanted| !wanted.keys.iter().all(|key| filter.may_contain(key)))
        {
            return Ok(true);
        }
        for at in 0..self.paths.len() {
            if !self.same_at(history.view(), at, ours, theirs)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Says whether a tree has anything at one of the paths.
    pub(super) fn any_present(&mut self, view: &View, tree: ObjectId) -> Result<bool, ReadError> {
        for at in 0..self.paths.len() {
            if self.is_present(view, at, 0, tree)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn same_at(&mut self, view: &View, at: usize, a: ObjectId, b: ObjectId) -> Result<bool, ReadError> {
        let (mut a, mut b) = (a, b);
        let n_parts = self.paths[at].keys.len();
        for part in 0..n_parts {
            let (in_a, in_b) = (self.entry(view, a, at, part)?, self.entry(view, b, at, part)?);
            if in_a == in_b {
                return Ok(true);
            }
            if part + 1 == n_parts {
                return Ok(false);
            }
            match (tree_of(in_a), tree_of(in_b)) {
                (Some(tree_a), Some(tree_b)) => (a, b) = (tree_a, tree_b),
                (Some(tree), None) | (None, Some(tree)) => {
                    return Ok(!self.is_present(view, at, part + 1, tree)?);
                }
                (None, None) => return Ok(true),
            }
        }
        Ok(true)
    }

    fn is_present(&mut self, view: &View, at: usize, part: usize, tree: ObjectId) -> Result<bool, ReadError> {
        let mut tree = tree;
        let n_parts = self.paths[at].keys.len();
        for part in part..n_parts {
            let entry = self.entry(view, tree, at, part)?;
            if entry.is_none() || part + 1 == n_parts {
                return Ok(entry.is_some());
            }
            match tree_of(entry) {
                Some(below) => tree = below,
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Finds the entry of a tree that a part of a path names.
    fn entry(
        &mut self,
        view: &View,
        tree: ObjectId,
        at: usize,
        part: usize,
    ) -> Result<Option<Entry>, ReadError> {
        if let Some(known) = self.entries.get(&(tree, at, part)) {
            return Ok(*known);
        }
        self.tree.reread(view, tree)?;
        let name = self.paths[at].path.as_bytes().split(|byte| *byte == b'/').nth(part).unwrap_or_default();
        let found = self.tree.find(name)?.map(|entry| (entry.mode, entry.object_id()));
        if self.entries.len() >= MAX_REMEMBERED {
            self.entries.clear();
        }
        self.entries.insert((tree, at, part), found);
        Ok(found)
    }
}

fn tree_of(entry: Option<Entry>) -> Option<ObjectId> {
    entry.filter(|(mode, _)| mode & 0o170_000 == 0o040_000).map(|(_, id)| id)
}

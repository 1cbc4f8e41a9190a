//! Whether some files and directories are the same in two commits.

use std::collections::HashMap;

use gix::ObjectId;
use hakata_names::TreePath;

use super::changed_paths::PathKey;
use super::history::{History, Node, NodeMap};
use super::raw_tree::RawTree;
use crate::objects::{ReadError, View};

/// Most looks into trees that are remembered; neighbours in history share their trees.
const MAX_REMEMBERED: usize = 64 << 10;

/// Some paths, and what commits hold at them.
pub(super) struct SamePaths {
    paths: Vec<Wanted>,
    /// Where in `held` stands what a commit holds, and one more; 0 if nobody looked.
    known: NodeMap<u32>,
    held: Vec<Vec<Option<Entry>>>,
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
    pub(super) fn new(history: &History<'_>, paths: &[TreePath]) -> Self {
        let wanted =
            |path: &TreePath| Wanted { keys: PathKey::with_parents(path.as_bytes()), path: path.clone() };
        Self {
            paths: paths.iter().map(wanted).collect(),
            known: NodeMap::new(history),
            held: Vec::new(),
            entries: HashMap::new(),
            tree: RawTree::default(),
        }
    }

    /// Says whether a commit has the same at all paths as its nth parent.
    pub(super) fn unchanged(
        &mut self,
        history: &History<'_>,
        node: Node,
        nth: usize,
        parent: Node,
    ) -> Result<bool, ReadError> {
        if nth == 0 && self.is_left_alone(history, node) || history.tree(node) == history.tree(parent) {
            let known = self.known.get(node);
            if known != 0 {
                *self.known.at(parent) = known;
            }
            return Ok(true);
        }
        if self.held.len() * self.paths.len() > MAX_REMEMBERED {
            self.held.clear();
            self.known = NodeMap::new(history);
        }
        let (ours, theirs) = (self.held_by(history, node)?, self.held_by(history, parent)?);
        Ok(self.held[ours] == self.held[theirs])
    }

    /// Says whether a commit has anything at one of the paths.
    pub(super) fn any_present(&mut self, history: &History<'_>, node: Node) -> Result<bool, ReadError> {
        let held = self.held_by(history, node)?;
        Ok(self.held[held].iter().any(Option::is_some))
    }

    /// Says whether a commit is known to have changed none of the paths against its first parent.
    fn is_left_alone(&self, history: &History<'_>, node: Node) -> bool {
        let Some(filter) = history.changed_paths(node) else { return false };
        // The path itself is changed more rarely than the directories above it.
        !self.paths.iter().any(|wanted| wanted.keys.iter().rev().all(|key| filter.may_contain(key)))
    }

    /// Finds what a commit holds at the paths; returns its place.
    fn held_by(&mut self, history: &History<'_>, node: Node) -> Result<usize, ReadError> {
        let known = usize::try_from(self.known.get(node)).unwrap_or(0);
        if let Some(place) = known.checked_sub(1) {
            return Ok(place);
        }
        let root = history.tree(node);
        let held = (0..self.paths.len()).map(|at| self.find(history.view(), at, root));
        let held = held.collect::<Result<_, _>>()?;
        self.held.push(held);
        *self.known.at(node) = u32::try_from(self.held.len()).unwrap_or(0);
        Ok(self.held.len() - 1)
    }

    /// Finds what a root tree holds at a path.
    fn find(&mut self, view: &View, at: usize, root: ObjectId) -> Result<Option<Entry>, ReadError> {
        let mut tree = root;
        let n_parts = self.paths[at].keys.len();
        for part in 0..n_parts {
            let entry = self.entry(view, tree, at, part)?;
            if part + 1 == n_parts {
                return Ok(entry);
            }
            match tree_of(entry) {
                Some(below) => tree = below,
                None => return Ok(None),
            }
        }
        Ok(None)
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

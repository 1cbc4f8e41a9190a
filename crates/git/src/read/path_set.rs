//! Which of many paths differ in two trees, in one walk.

use std::collections::{BTreeMap, HashMap};

use gix::ObjectId;
use hakata_names::{Oid, TreePath};

use super::raw_tree::RawTree;
use crate::objects::{ReadError, View, object_id};

/// Some paths, sorted into their directories.
#[derive(Clone, Debug, Default)]
pub struct PathSet(Node);

#[derive(Clone, Debug, Default)]
struct Node {
    /// Which path ends here.
    number: Option<usize>,
    below: BTreeMap<Box<[u8]>, Self>,
}

/// Mode and object.
type Entry = (u32, ObjectId);

impl PathSet {
    /// Sorts paths; they are known by their numbers in this order. Of equal ones the last counts.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a TreePath>) -> Self {
        let mut root = Node::default();
        for (number, path) in paths.into_iter().enumerate() {
            let mut node = &mut root;
            for part in path.as_bytes().split(|byte| *byte == b'/') {
                node = node.below.entry(part.into()).or_default();
            }
            node.number = Some(number);
        }
        Self(root)
    }
}

impl View {
    /// Finds the paths of a set at which two trees, or the trees that commits or tags lead to, do not hold the same.
    /// Only directories that differ and lead to a path are read, each once, so that the cost does not grow with the
    /// number of paths that are left alone.
    ///
    /// # Errors
    /// As [`tree_of`](Self::tree_of), [`ReadError::Exhausted`], or [`ReadError::Object`] if a tree is broken.
    pub fn differing_paths(&self, one: &Oid, other: &Oid, paths: &PathSet) -> Result<Vec<usize>, ReadError> {
        let root = |oid: &Oid| Ok::<_, ReadError>(Some((0o040_000, object_id(&self.tree_of(oid)?))));
        let mut found = Vec::new();
        let mut open = vec![(root(one)?, root(other)?, &paths.0)];
        while let Some((one, other, node)) = open.pop() {
            if one == other {
                continue;
            }
            found.extend(node.number);
            if node.below.is_empty() {
                continue;
            }
            let (ones, others) = (self.entries_of(one, node)?, self.entries_of(other, node)?);
            for (name, below) in &node.below {
                open.push((ones.get(&**name).copied(), others.get(&**name).copied(), below));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Reads the entries of a directory that a set leads to; none if it is no directory.
    fn entries_of<'n>(
        &self,
        directory: Option<Entry>,
        node: &'n Node,
    ) -> Result<HashMap<&'n [u8], Entry>, ReadError> {
        let Some((0o040_000, id)) = directory.map(|(mode, id)| (mode & 0o170_000, id)) else {
            return Ok(HashMap::new());
        };
        let tree = RawTree::read(self, id)?;
        let mut found = HashMap::new();
        for entry in tree.entries() {
            let entry = entry?;
            if let Some((name, _)) = node.below.get_key_value(entry.name) {
                found.insert(&**name, (entry.mode, entry.object_id()));
            }
        }
        Ok(found)
    }
}

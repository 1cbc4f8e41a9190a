//! Which commit changed a file last, for one path or for each entry of a directory in one walk.
//!
//! `git log -1 -- path` goes from a commit to its first parent that has the same there, until there is none:
//! the answer is where that chain ends. The chains of a directory's entries are walked together, so that each
//! commit is looked at once for all entries that it still carries.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use gix::ObjectId;
use hakata_names::{Oid, TreePath};

use super::changed_paths::PathKey;
use super::history::{History, Node};
use super::raw_tree::RawTree;
use super::same_paths::SamePaths;
use crate::objects::{ReadError, View};

/// The commit that changed an entry of a directory last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCommit {
    /// Name of the entry.
    pub name: Vec<u8>,
    /// The commit.
    pub commit: Oid,
}

/// The commits that changed the entries of a directory last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCommits {
    /// An answer for each entry, in the order of the directory.
    pub entries: Vec<LastCommit>,
    /// A commit with the same directory that every entry was followed to, far back if possible: the answers are its own
    /// too.
    pub same_since: Oid,
}

/// Finds what [`View::last_commits`] answered before for a commit and the same directory. Answers never change.
pub type KnownLastCommits<'a> = &'a dyn Fn(&Oid) -> Option<Arc<[LastCommit]>>;

impl View {
    /// Finds the last commit that changed a path, as `git log -1` does; `None` if the path never was there.
    ///
    /// # Errors
    /// [`ReadError::Absent`] for an unknown commit, [`ReadError::Exhausted`], and errors of reading.
    pub fn last_commit(&self, tip: &Oid, path: &TreePath) -> Result<Option<Oid>, ReadError> {
        let mut history = History::new(self);
        let mut paths = SamePaths::new(&history, std::slice::from_ref(path));
        let mut parents = Vec::new();
        let mut node = history.node(tip)?;
        'chain: loop {
            parents.clear();
            history.parents(node, &mut parents)?;
            for (nth, parent) in parents.iter().enumerate() {
                if paths.unchanged(&history, node, nth, *parent)? {
                    node = *parent;
                    continue 'chain;
                }
            }
            let changed = !parents.is_empty() || paths.any_present(&history, node)?;
            return changed.then(|| history.oid(node)).transpose();
        }
    }

    /// Finds for each entry of a directory the last commit that changed it, in the order of the directory.
    ///
    /// `known` is asked about every commit on the way: its answer for one serves all entries that reach it.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] if there is no such directory, [`ReadError::Exhausted`], and errors of reading.
    pub fn last_commits(
        &self,
        tip: &Oid,
        directory: Option<&TreePath>,
        known: KnownLastCommits<'_>,
    ) -> Result<LastCommits, ReadError> {
        let tree = self.directory(tip, directory)?;
        let mut history = History::new(self);
        let tip = history.node(tip)?;
        let mut same_since = tip;
        let mut walk = Walk::start(self, tree, directory)?;
        let all = (0..walk.entries.len()).collect();
        walk.carry(&history, tip, all);
        while let Some((.., node)) = walk.queue.pop() {
            let carried = walk.carried.remove(&node).unwrap_or_default();
            if carried.len() == walk.entries.len() {
                same_since = node;
            }
            if !carried.is_empty() {
                walk.visit(&mut history, node, carried, known)?;
            }
        }
        // A file that is gone by now may have been there then.
        if walk.directory_of(self, history.tree(same_since))? != Some(tree) {
            same_since = tip;
        }
        let entries = walk.entries.into_iter();
        let entries =
            entries.filter_map(|entry| Some(LastCommit { name: entry.name, commit: entry.found? })).collect();
        Ok(LastCommits { entries, same_since: history.oid(same_since)? })
    }
}

/// An entry of the directory, as the first commit has it and every commit that carries it.
struct Entry {
    name: Vec<u8>,
    mode: u32,
    id: ObjectId,
    key: PathKey,
    found: Option<Oid>,
}

struct Walk {
    directory: Vec<Vec<u8>>,
    directory_keys: Vec<PathKey>,
    entries: Vec<Entry>,
    /// Commits that carry entries, by rank and time: those that many ways lead to come late.
    queue: BinaryHeap<(u64, i64, Node)>,
    /// Entries by commit, in the order of the directory.
    carried: HashMap<Node, Vec<usize>>,
    /// The directory of commits that were looked at.
    trees: HashMap<ObjectId, Option<ObjectId>>,
    tree: RawTree,
}

impl Walk {
    fn start(view: &View, tree: ObjectId, directory: Option<&TreePath>) -> Result<Self, ReadError> {
        let path = directory.map_or(&b""[..], TreePath::as_bytes);
        let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        let tree = RawTree::read(view, tree)?;
        let mut entries = Vec::new();
        for entry in tree.entries() {
            let entry = entry?;
            view.meter().step()?;
            let whole = if path.is_empty() { entry.name.to_vec() } else { [path, b"/", entry.name].concat() };
            let (name, key) = (entry.name.to_vec(), PathKey::new(&whole));
            entries.push(Entry { name, mode: entry.mode, id: entry.object_id(), key, found: None });
        }
        Ok(Self {
            directory: parts.map(<[u8]>::to_vec).collect(),
            directory_keys: if path.is_empty() { Vec::new() } else { PathKey::with_parents(path) },
            entries,
            queue: BinaryHeap::new(),
            carried: HashMap::new(),
            trees: HashMap::new(),
            tree,
        })
    }

    /// Hands entries to a commit.
    fn carry(&mut self, history: &History<'_>, node: Node, entries: Vec<usize>) {
        if entries.is_empty() {
            return;
        }
        let carried = self.carried.entry(node).or_default();
        if carried.is_empty() {
            *carried = entries;
            self.queue.push((history.rank(node), history.time(node), node));
        } else {
            carried.extend(entries);
            carried.sort_unstable();
        }
    }

    /// Hands the entries of a commit on to its parents, and ends the chains of those that no parent has.
    fn visit(
        &mut self,
        history: &mut History<'_>,
        node: Node,
        mut left: Vec<usize>,
        known: KnownLastCommits<'_>,
    ) -> Result<(), ReadError> {
        let oid = history.oid(node)?;
        if let Some(answers) = known(&oid) {
            let answers: HashMap<&[u8], Oid> =
                answers.iter().map(|answer| (&answer.name[..], answer.commit)).collect();
            left.retain(|at| {
                let entry = &mut self.entries[*at];
                entry.found = answers.get(&entry.name[..]).copied();
                entry.found.is_none()
            });
        }
        let mut parents = Vec::new();
        history.parents(node, &mut parents)?;
        for (nth, parent) in parents.into_iter().enumerate() {
            if left.is_empty() {
                break;
            }
            let (same, different) = self.compare(history, node, nth, parent, left)?;
            self.carry(history, parent, same);
            left = different;
        }
        for at in left {
            self.entries[at].found = Some(oid);
        }
        Ok(())
    }

    /// Splits entries into those that a parent has too, and the others.
    fn compare(
        &mut self,
        history: &History<'_>,
        node: Node,
        nth: usize,
        parent: Node,
        entries: Vec<usize>,
    ) -> Result<(Vec<usize>, Vec<usize>), ReadError> {
        let (ours, theirs) = (history.tree(node), history.tree(parent));
        if ours == theirs {
            return Ok((entries, Vec::new()));
        }
        let filter = if nth == 0 { history.changed_paths(node) } else { None };
        let (mut same, unsure) = match filter {
            None => (Vec::new(), entries),
            Some(filter) if !self.directory_keys.iter().all(|key| filter.may_contain(key)) => {
                return Ok((entries, Vec::new()));
            }
            Some(filter) => entries.into_iter().partition(|at| !filter.may_contain(&self.entries[*at].key)),
        };
        if unsure.is_empty() {
            return Ok((same, unsure));
        }
        let ours = self.directory_of(history.view(), ours)?;
        match self.directory_of(history.view(), theirs)? {
            None => return Ok((same, unsure)),
            theirs if theirs == ours => same.extend(unsure),
            Some(theirs) => {
                let different = self.read_and_compare(history.view(), theirs, unsure, &mut same)?;
                same.sort_unstable();
                return Ok((same, different));
            }
        }
        same.sort_unstable();
        Ok((same, Vec::new()))
    }

    /// Compares entries with a directory, whose entries stand in the same order.
    fn read_and_compare(
        &mut self,
        view: &View,
        directory: ObjectId,
        unsure: Vec<usize>,
        same: &mut Vec<usize>,
    ) -> Result<Vec<usize>, ReadError> {
        let Self { tree, entries, .. } = self;
        tree.reread(view, directory)?;
        let mut theirs = tree.entries().peekable();
        let mut different = Vec::new();
        for at in unsure {
            let entry = &entries[at];
            let key = order_key(&entry.name, entry.mode);
            let found = loop {
                match theirs.peek() {
                    None => break None,
                    Some(Err(_)) => break theirs.next(),
                    Some(Ok(other)) if order_key(other.name, other.mode) < key => drop(theirs.next()),
                    Some(Ok(other)) if other.name == entry.name => break theirs.next(),
                    Some(Ok(_)) => break None,
                }
            };
            match found.transpose()? {
                Some(other) if other.mode == entry.mode && other.id == entry.id.as_slice() => same.push(at),
                _ => different.push(at),
            }
        }
        Ok(different)
    }

    /// Finds the directory of a root tree.
    fn directory_of(&mut self, view: &View, root: ObjectId) -> Result<Option<ObjectId>, ReadError> {
        if self.directory.is_empty() {
            return Ok(Some(root));
        }
        if let Some(known) = self.trees.get(&root) {
            return Ok(*known);
        }
        let mut at = Some(root);
        for part in &self.directory {
            let Some(id) = at else { break };
            self.tree.reread(view, id)?;
            at = self.tree.find(part)?.filter(|entry| entry.is_tree()).map(|entry| entry.object_id());
        }
        self.trees.insert(root, at);
        Ok(at)
    }
}

/// By what git sorts a directory: names, those of directories as if a slash followed.
fn order_key(name: &[u8], mode: u32) -> impl Ord + use<'_> {
    let slash = (mode & 0o170_000 == 0o040_000).then_some(b'/');
    OrderKey { name, slash }
}

#[derive(PartialEq, Eq)]
struct OrderKey<'a> {
    name: &'a [u8],
    slash: Option<u8>,
}

impl Ord for OrderKey<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let ours = self.name.iter().chain(&self.slash);
        ours.cmp(other.name.iter().chain(&other.slash))
    }
}

impl PartialOrd for OrderKey<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

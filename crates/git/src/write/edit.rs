//! Changes of files, applied to a tree without a worktree.

use std::collections::{BTreeMap, HashSet};

use hakata_names::{Oid, TreePath};

use super::{EntryMode, NewEntry, NewObjects, WriteError, checkout};
use crate::objects::{ReadError, View};
use crate::read::{Depth, ListTree};

/// One change of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// The path that it is about; the new one of a move.
    pub path: TreePath,
    /// What becomes of it.
    pub act: Act,
    /// The object that must be there before, at the old path of a move; `None` for any.
    pub expected: Option<Oid>,
}

/// What becomes of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A file or link gets this content.
    Write {
        /// The content.
        blob: Oid,
        /// What it is; `None` keeps what it was, or makes a file.
        mode: Option<EntryMode>,
        /// Whether there is one.
        existing: Existing,
    },
    /// A file, link, submodule or directory comes here from elsewhere.
    Move {
        /// Where it was.
        from: TreePath,
        /// New content of a file or link; `None` keeps it.
        blob: Option<Oid>,
        /// What it is from now on; `None` keeps that.
        mode: Option<EntryMode>,
    },
    /// A file, link, submodule or directory goes.
    Delete,
    /// A file becomes one that can be run, or no longer is.
    SetMode(EntryMode),
}

/// Whether something must be at a path before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// A file or link must.
    Must,
    /// Nothing may.
    MustNot,
    /// Both will do.
    May,
}

/// Why changes cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The tree is not as the changes expect it: here is why, in the order of the changes.
    #[error("the tree is not as the changes expect it")]
    Conflict(Vec<PathConflict>),
    /// The changes make no sense, are too many, or an object cannot be read.
    #[error("changing a tree")]
    Write(#[from] WriteError),
}

/// A path in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathConflict {
    /// The path.
    pub path: TreePath,
    /// What it is.
    pub what: Obstacle,
    /// The object that was expected there.
    pub expected: Option<Oid>,
    /// The object that is there.
    pub actual: Option<Oid>,
}

/// What is in the way of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// There is nothing.
    Missing,
    /// There is something.
    Exists,
    /// There is other content than expected.
    Differs,
    /// There is a directory, a link or a submodule where a file is needed.
    NoFile,
    /// One of the directories above is a file.
    BelowFile,
    /// One of the directories above is a symbolic link.
    BelowLink,
    /// One of the directories above is a submodule.
    BelowSubmodule,
}

impl Obstacle {
    /// Names it for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Exists => "exists",
            Self::Differs => "content",
            Self::NoFile => "no file",
            Self::BelowFile => "file/directory",
            Self::BelowLink => "symlink/directory",
            Self::BelowSubmodule => "submodule/directory",
        }
    }
}

impl NewObjects {
    /// Applies changes to a tree (`None`: an empty one) and makes the trees that this needs; answers the new root. What
    /// goes, goes before anything comes, so that two files can change places; no path may be named twice otherwise. What
    /// no change names keeps its mode and object, whatever they are.
    ///
    /// # Errors
    /// [`EditError`]. [`WriteError::Invalid`] for a path that some system could not check out, or could be hurt by.
    pub fn edited(
        &mut self,
        view: &View,
        tree: Option<&Oid>,
        changes: &[FileChange],
    ) -> Result<Oid, EditError> {
        once(changes)?;
        let root = match tree {
            Some(tree) => Directory::read(view, tree).map_err(WriteError::Read)?,
            None => Directory::default(),
        };
        let mut edit = Edit { view, root, conflicts: Vec::new() };
        let taken: Vec<Option<Node>> =
            changes.iter().map(|change| edit.take_away(change)).collect::<Result<_, _>>()?;
        for (change, taken) in changes.iter().zip(taken) {
            edit.bring(change, taken)?;
        }
        if !edit.conflicts.is_empty() {
            return Err(EditError::Conflict(edit.conflicts));
        }
        match self.written(edit.root)? {
            Some(root) => Ok(root),
            None => Ok(self.tree(Vec::new())?),
        }
    }

    /// Makes the trees of a directory that changed; `None` if nothing is left in it.
    fn written(&mut self, directory: Directory) -> Result<Option<Oid>, WriteError> {
        if let Some(origin) = directory.origin.filter(|_| !directory.changed) {
            return Ok(Some(origin));
        }
        let mut entries = Vec::with_capacity(directory.entries.len());
        for (name, node) in directory.entries {
            match node {
                Node::Kept(mode, oid) => entries.push(NewEntry { name, mode, oid }),
                Node::Open(below) => {
                    let oid = self.written(below)?;
                    entries.extend(oid.map(|oid| NewEntry { name, mode: EntryMode::TREE, oid }));
                }
            }
        }
        if entries.is_empty() { Ok(None) } else { self.tree(entries).map(Some) }
    }
}

/// Refuses changes that name a path twice, or a mode that nothing is made with.
fn once(changes: &[FileChange]) -> Result<(), WriteError> {
    let (mut goes, mut comes) = (HashSet::new(), HashSet::new());
    for change in changes {
        let (is_new, mode) = match &change.act {
            Act::Write { mode, .. } => (comes.insert(&change.path), *mode),
            Act::Move { from, mode, .. } => (goes.insert(from) && comes.insert(&change.path), *mode),
            Act::SetMode(mode) => (comes.insert(&change.path), Some(*mode)),
            Act::Delete => (goes.insert(&change.path), None),
        };
        if !is_new {
            return Err(WriteError::Invalid(format!("{} is changed twice", change.path)));
        }
        let links = !matches!(change.act, Act::SetMode(_));
        let is_made = |mode: EntryMode| {
            mode == EntryMode::FILE || mode == EntryMode::EXECUTABLE || links && mode == EntryMode::LINK
        };
        if !mode.is_none_or(is_made) {
            return Err(WriteError::Invalid(format!("{} cannot have that mode", change.path)));
        }
    }
    let deleted = changes.iter().filter(|change| change.act == Act::Delete);
    match deleted.map(|change| &change.path).find(|path| comes.contains(path)) {
        Some(path) => Err(WriteError::Invalid(format!("{path} is changed twice"))),
        None => Ok(()),
    }
}

/// A directory that was read, or is new.
#[derive(Debug, Default)]
struct Directory {
    entries: BTreeMap<Vec<u8>, Node>,
    /// The tree that it was read from.
    origin: Option<Oid>,
    changed: bool,
}

/// An entry of a directory.
#[derive(Debug)]
enum Node {
    Kept(EntryMode, Oid),
    Open(Directory),
}

impl Node {
    /// Returns mode and object, unless it is a directory that was changed.
    fn is(&self) -> (EntryMode, Option<Oid>) {
        match self {
            Self::Kept(mode, oid) => (*mode, Some(*oid)),
            Self::Open(below) => (EntryMode::TREE, below.origin.filter(|_| !below.changed)),
        }
    }

    /// Says whether it is a directory that lost everything.
    fn is_empty(&self) -> bool {
        matches!(self, Self::Open(below) if below.entries.values().all(Self::is_empty))
    }

    /// Reads a directory, or says what else it is.
    fn open(&mut self, view: &View) -> Result<Result<&mut Directory, Obstacle>, ReadError> {
        if let Self::Kept(mode, oid) = self {
            match *mode {
                mode if mode.is_tree() => *self = Self::Open(Directory::read(view, oid)?),
                mode if mode.is_link() => return Ok(Err(Obstacle::BelowLink)),
                mode if mode.is_submodule() => return Ok(Err(Obstacle::BelowSubmodule)),
                _ => return Ok(Err(Obstacle::BelowFile)),
            }
        }
        match self {
            Self::Open(below) => Ok(Ok(below)),
            Self::Kept(..) => Ok(Err(Obstacle::BelowFile)),
        }
    }
}

impl Directory {
    fn read(view: &View, tree: &Oid) -> Result<Self, ReadError> {
        let query = ListTree {
            root: *tree,
            path: None,
            depth: Depth::One,
            sizes: false,
            after: None,
            limit: usize::MAX,
        };
        let entries = view.list_tree(&query)?.entries.into_iter();
        let entries = entries.map(|entry| (entry.path, Node::Kept(EntryMode::of(entry.mode), entry.oid)));
        Ok(Self { entries: entries.collect(), origin: Some(*tree), changed: false })
    }

    /// Finds the directory that a path lies in.
    fn parent<'d, 'p>(
        &'d mut self,
        view: &View,
        path: &'p TreePath,
        absent: Absent,
    ) -> Result<Result<(&'d mut Self, &'p [u8]), Obstacle>, ReadError> {
        let mut at = self;
        let mut parts = path.as_bytes().split(|byte| *byte == b'/').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return Ok(Ok((at, part)));
            }
            let node = match absent {
                Absent::Stays => at.entries.get_mut(part),
                Absent::IsMade => {
                    let made = || Node::Open(Self { changed: true, ..Self::default() });
                    Some(at.entries.entry(part.to_vec()).or_insert_with(made))
                }
            };
            let Some(node) = node else { return Ok(Err(Obstacle::Missing)) };
            at = match node.open(view)? {
                Ok(below) => below,
                Err(obstacle) => return Ok(Err(obstacle)),
            };
            // Whoever asks for it changes something in it, or the whole edit comes to nothing.
            at.changed = true;
        }
        Ok(Err(Obstacle::Missing))
    }
}

/// What becomes of directories that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absent {
    Stays,
    IsMade,
}

/// A tree on its way.
struct Edit<'v> {
    view: &'v View,
    root: Directory,
    conflicts: Vec<PathConflict>,
}

impl Edit<'_> {
    fn conflict(&mut self, path: &TreePath, what: Obstacle, expected: Option<Oid>, actual: Option<Oid>) {
        self.conflicts.push(PathConflict { path: path.clone(), what, expected, actual });
    }

    /// Takes what goes, or moves, out of the tree.
    fn take_away(&mut self, change: &FileChange) -> Result<Option<Node>, WriteError> {
        let path = match &change.act {
            Act::Move { from, .. } => from,
            Act::Delete => &change.path,
            Act::Write { .. } | Act::SetMode(_) => return Ok(None),
        };
        self.root.changed = true;
        let found = match self.root.parent(self.view, path, Absent::Stays)? {
            Ok((directory, name)) => directory.entries.remove(name).filter(|node| !node.is_empty()),
            Err(_) => None,
        };
        let Some(node) = found else {
            self.conflict(path, Obstacle::Missing, change.expected, None);
            return Ok(None);
        };
        let (_, actual) = node.is();
        if change.expected.is_some() && actual != change.expected {
            self.conflict(path, Obstacle::Differs, change.expected, actual);
        }
        Ok(Some(node))
    }

    /// Puts what comes into the tree.
    fn bring(&mut self, change: &FileChange, taken: Option<Node>) -> Result<(), WriteError> {
        let path = &change.path;
        let is_move = matches!(change.act, Act::Move { .. });
        if change.act == Act::Delete || is_move && taken.is_none() {
            return Ok(());
        }
        self.root.changed = true;
        let (directory, name) = match self.root.parent(self.view, path, Absent::IsMade)? {
            Ok(found) => found,
            Err(what) => {
                self.conflict(path, what, None, None);
                return Ok(());
            }
        };
        let before = directory.entries.remove(name).filter(|node| !node.is_empty());
        let actual = before.as_ref().and_then(|node| node.is().1);
        match after(change, before, taken) {
            Ok(node) => {
                if let Node::Kept(mode, _) = node {
                    checkout::check(path, mode)?;
                } else {
                    checkout::check(path, EntryMode::TREE)?;
                }
                directory.entries.insert(name.to_vec(), node);
            }
            Err(what) => {
                let expected = change.expected.filter(|_| !is_move);
                self.conflict(path, what, expected, actual);
            }
        }
        Ok(())
    }
}

/// Finds what is at a path after a change, of what is there before and what comes from elsewhere.
fn after(change: &FileChange, before: Option<Node>, taken: Option<Node>) -> Result<Node, Obstacle> {
    let is_move = matches!(change.act, Act::Move { .. });
    let old = if is_move { taken.as_ref() } else { before.as_ref() }.map(Node::is);
    let is_content = |mode: EntryMode| mode.is_file() || mode.is_link();
    match &change.act {
        Act::Write { existing: Existing::MustNot, .. } | Act::Move { .. } if before.is_some() => {
            return Err(Obstacle::Exists);
        }
        Act::Write { existing: Existing::Must, .. } | Act::SetMode(_) if before.is_none() => {
            return Err(Obstacle::Missing);
        }
        _ => {}
    }
    if !is_move && change.expected.is_some() && old.and_then(|(_, oid)| oid) != change.expected {
        return Err(if old.is_none() { Obstacle::Missing } else { Obstacle::Differs });
    }
    let with = |blob: Option<Oid>, mode: Option<EntryMode>| match old {
        Some((was, Some(oid))) if is_content(was) => Ok(Node::Kept(mode.unwrap_or(was), blob.unwrap_or(oid))),
        Some(_) => Err(Obstacle::NoFile),
        None => blob.map(|blob| Node::Kept(mode.unwrap_or(EntryMode::FILE), blob)).ok_or(Obstacle::Missing),
    };
    match &change.act {
        Act::Write { blob, mode, .. } => with(Some(*blob), *mode),
        Act::Move { blob: None, mode: None, .. } => taken.ok_or(Obstacle::Missing),
        Act::Move { blob, mode, .. } => with(*blob, *mode),
        Act::SetMode(_) if old.is_some_and(|(was, _)| !was.is_file()) => Err(Obstacle::NoFile),
        Act::SetMode(mode) => with(None, Some(*mode)),
        Act::Delete => Err(Obstacle::Missing),
    }
}

#[cfg(test)]
mod tests;

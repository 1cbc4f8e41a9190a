//! Directories: one entry, and listings in pages.

use gix::ObjectId;
use hakata_names::{Oid, TreePath};

use super::raw_tree::RawTree;
use crate::objects::{Kind, ReadError, View, broken, object_id, our_oid};

/// Deepest nesting that is followed. Source: `core.maxTreeDepth` of git.
const MAX_DEPTH: usize = 2_048;

/// What an entry of a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A directory.
    Tree,
    /// A file.
    Blob,
    /// A file that can be run.
    Executable,
    /// A symbolic link; the blob is its target.
    Link,
    /// A commit of another repository.
    Submodule,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Path from the directory that was asked about; its name if that is where it lies.
    pub path: Vec<u8>,
    /// The mode as it is stored, such as `0o100644`.
    pub mode: u32,
    /// What the mode says.
    pub kind: EntryKind,
    /// The object.
    pub oid: Oid,
    /// Length of a file or of a link's target, if it was asked for.
    pub size_bytes: Option<u64>,
}

/// How deep a listing goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// The entries of one directory.
    #[default]
    One,
    /// Everything below but the directories, as `ls-tree -r`.
    Files,
    /// Everything below, a directory before its entries, as `ls-tree -r -t`.
    All,
}

/// A question for the entries of a directory.
#[derive(Clone, Debug)]
pub struct ListTree {
    /// A tree, or a commit or tag that leads to one.
    pub root: Oid,
    /// The directory below it; the root itself without one.
    pub path: Option<TreePath>,
    /// How deep to go.
    pub depth: Depth,
    /// Whether to find the sizes of files, which costs a look at each object.
    pub sizes: bool,
    /// Path of the last entry of the page before.
    pub after: Option<Vec<u8>>,
    /// Most entries of this page.
    pub limit: usize,
}

/// Some entries in git's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreePage {
    /// The entries.
    pub entries: Vec<TreeEntry>,
    /// Whether there are more behind them.
    pub has_more: bool,
}

impl View {
    /// Follows tags and commits to a tree.
    ///
    /// # Errors
    /// [`ReadError::Absent`], or [`ReadError::Invalid`] if it leads to a file.
    pub fn tree_of(&self, oid: &Oid) -> Result<Oid, ReadError> {
        let mut oid = *oid;
        if is_empty_tree(&oid) {
            return Ok(oid);
        }
        if let Some(commit) = self.graphed(&oid) {
            return our_oid(commit.root_tree_id().to_owned(), &oid);
        }
        loop {
            oid = match self.header(&oid)?.ok_or(ReadError::Absent(oid))?.kind {
                Kind::Tree => return Ok(oid),
                Kind::Commit => self.commit(&oid)?.tree,
                Kind::Tag => self.peel(&oid)?.ok_or(ReadError::Absent(oid))?,
                Kind::Blob => return Err(ReadError::Invalid(format!("{oid} is a file, not a directory"))),
            }
        }
    }

    /// Finds the entry at a path below a tree, or below the tree that a commit or tag leads to.
    ///
    /// # Errors
    /// As [`tree_of`](Self::tree_of), or [`ReadError::Object`] if a tree is broken.
    pub fn find_entry(&self, root: &Oid, path: &TreePath) -> Result<Option<TreeEntry>, ReadError> {
        let mut tree = RawTree::read(self, object_id(&self.tree_of(root)?))?;
        let mut parts = path.as_bytes().split(|byte| *byte == b'/').peekable();
        while let Some(part) = parts.next() {
            let Some(entry) = tree.find(part)? else { return Ok(None) };
            if parts.peek().is_none() {
                return TreeEntry::new(entry.mode, entry.id, path.as_bytes(), root).map(Some);
            }
            if !entry.is_tree() {
                return Ok(None);
            }
            let id = entry.object_id();
            tree.reread(self, id)?;
        }
        Ok(None)
    }

    /// Lists the entries of a directory, a page at a time.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] if the path is no directory, [`ReadError::Invalid`] if the page before does not
    /// belong to this listing, and any error of reading.
    pub fn list_tree(&self, query: &ListTree) -> Result<TreePage, ReadError> {
        let tree = self.directory(&query.root, query.path.as_ref())?;
        let mut walk = TreeWalk::start(self, tree, query.depth)?;
        if let Some(after) = &query.after {
            walk.seek(after)?;
        }
        let mut page = TreePage::default();
        while let Some(visit) = walk.next()? {
            if page.entries.len() == query.limit {
                page.has_more = true;
                break;
            }
            let entry = TreeEntry::new(visit.mode, visit.id.as_slice(), walk.path(), &query.root)?;
            page.entries.push(entry);
        }
        if query.sizes {
            for entry in page.entries.iter_mut().filter(|entry| entry.kind.is_blob()) {
                entry.size_bytes = self.header(&entry.oid)?.map(|header| header.size_bytes);
            }
        }
        Ok(page)
    }

    /// Finds the tree of a directory.
    pub(super) fn directory(&self, root: &Oid, path: Option<&TreePath>) -> Result<ObjectId, ReadError> {
        let Some(path) = path else { return self.tree_of(root).map(|oid| object_id(&oid)) };
        let entry = self.find_entry(root, path)?.filter(|entry| entry.kind == EntryKind::Tree);
        let entry = entry.ok_or_else(|| ReadError::NotFound(path.as_bytes().to_vec()))?;
        Ok(object_id(&entry.oid))
    }
}

fn is_empty_tree(oid: &Oid) -> bool {
    let id = object_id(oid);
    id == ObjectId::empty_tree(id.kind())
}

impl EntryKind {
    /// Reads what a mode says, as leniently as git.
    pub(crate) fn of_mode(mode: u32) -> Self {
        match mode & 0o170_000 {
            0o040_000 => Self::Tree,
            0o120_000 => Self::Link,
            0o160_000 => Self::Submodule,
            _ if mode & 0o100 != 0 => Self::Executable,
            _ => Self::Blob,
        }
    }

    /// Says whether the object is a blob.
    pub fn is_blob(self) -> bool {
        matches!(self, Self::Blob | Self::Executable | Self::Link)
    }
}

impl TreeEntry {
    pub(super) fn new(mode: u32, id: &[u8], path: &[u8], within: &Oid) -> Result<Self, ReadError> {
        let oid = Oid::from_bytes(id).map_err(|error| broken(within, error))?;
        Ok(Self { path: path.to_owned(), mode, kind: EntryKind::of_mode(mode), oid, size_bytes: None })
    }
}

/// A walk over a tree in git's order, without recursion.
pub(super) struct TreeWalk<'v> {
    view: &'v View,
    depth: Depth,
    levels: Vec<Level>,
    path: Vec<u8>,
}

/// An entry that a walk has come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    pub(super) mode: u32,
    pub(super) id: ObjectId,
}

struct Level {
    tree: RawTree,
    offset: usize,
    /// Length of the path of this directory, the slash behind it included.
    path_len: usize,
}

impl<'v> TreeWalk<'v> {
    pub(super) fn start(view: &'v View, tree: ObjectId, depth: Depth) -> Result<Self, ReadError> {
        let root = Level { tree: RawTree::read(view, tree)?, offset: 0, path_len: 0 };
        Ok(Self { view, depth, levels: vec![root], path: Vec::new() })
    }

    /// Returns the path of the entry that [`next`](Self::next) returned last.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// Goes to the next entry; [`path`](Self::path) names it.
    pub(super) fn next(&mut self) -> Result<Option<Visit>, ReadError> {
        loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            match self.path.len() < level.path_len {
                true => self.path.push(b'/'),
                false => self.path.truncate(level.path_len),
            }
            let mut entries = level.tree.entries_from(level.offset);
            let Some(entry) = entries.next().transpose()? else {
                self.levels.pop();
                continue;
            };
            let descend = entry.is_tree() && self.depth != Depth::One;
            let visit = Visit { mode: entry.mode, id: entry.object_id() };
            self.path.extend_from_slice(entry.name);
            level.offset = entries.offset();
            self.view.meter().step()?;
            if descend {
                self.descend(visit.id)?;
            }
            if !descend || self.depth == Depth::All {
                return Ok(Some(visit));
            }
        }
    }

    fn descend(&mut self, id: ObjectId) -> Result<(), ReadError> {
        if self.levels.len() >= MAX_DEPTH {
            return Err(ReadError::Invalid(format!("directories are nested more than {MAX_DEPTH} deep")));
        }
        let tree = RawTree::read(self.view, id)?;
        self.levels.push(Level { tree, offset: 0, path_len: self.path.len() + 1 });
        Ok(())
    }

    /// Goes to the place behind an entry that an earlier walk returned.
    fn seek(&mut self, after: &[u8]) -> Result<(), ReadError> {
        let mut parts = after.split(|byte| *byte == b'/').peekable();
        while let Some(part) = parts.next() {
            let foreign = || ReadError::Invalid("the page before is not of this listing".to_owned());
            let level = self.levels.last_mut().ok_or_else(foreign)?;
            let mut entries = level.tree.entries();
            let entry = loop {
                let entry = entries.next().transpose()?.ok_or_else(foreign)?;
                if entry.name == part {
                    break entry;
                }
            };
            let (descend, id) = (entry.is_tree() && self.depth != Depth::One, entry.object_id());
            level.offset = entries.offset();
            if self.path.len() < level.path_len {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(part);
            if descend {
                self.descend(id)?;
            } else if parts.peek().is_some() {
                return Err(foreign());
            }
        }
        Ok(())
    }
}

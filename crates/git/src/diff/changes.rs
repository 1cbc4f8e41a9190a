//! The entries in which two trees differ, in git's order.

use std::cmp::Ordering;

use gix::ObjectId;
use hakata_names::{Oid, TreePath};

use crate::objects::{ReadError, View, object_id};
use crate::read::{EntryKind, RawEntry, RawTree};

/// Deepest nesting that is followed. Source: `core.maxTreeDepth` of git.
const MAX_DEPTH: usize = 2_048;

/// One side of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSide {
    /// Path from the root.
    pub path: Vec<u8>,
    /// The mode, of which permissions other than execution do not count.
    pub mode: u32,
    /// The object.
    pub oid: Oid,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// Its content or mode is another.
    Modified,
    /// It became a file, link or submodule and was another of them.
    TypeChanged,
    /// It has another path, and this much of its content, in percent.
    Renamed(u8),
    /// It has this much of another file's content, in percent.
    Copied(u8),
}

/// A file that differs; submodules and links are files here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub status: Status,
    /// As it was.
    pub old: Option<ChangeSide>,
    /// As it is.
    pub new: Option<ChangeSide>,
}

impl Change {
    /// Makes a change that is no rename.
    pub(super) fn plain(old: Option<ChangeSide>, new: Option<ChangeSide>) -> Self {
        let kind = |side: &ChangeSide| side.mode & 0o170_000;
        let status = match (&old, &new) {
            (None, _) => Status::Added,
            (_, None) => Status::Deleted,
            (Some(old), Some(new)) if kind(old) != kind(new) => Status::TypeChanged,
            _ => Status::Modified,
        };
        Self { status, old, new }
    }

    /// Returns the path that it is listed under: the new one if there is one.
    pub fn path(&self) -> &[u8] {
        self.new.as_ref().or(self.old.as_ref()).map_or(&[], |side| &side.path)
    }
}

impl View {
    /// Lists the files in which two trees differ; absent trees are empty. Renames are not looked for.
    ///
    /// # Errors
    /// [`ReadError::Absent`], [`ReadError::Exhausted`], and errors of reading.
    pub fn tree_changes(
        &self,
        old: Option<&Oid>,
        new: Option<&Oid>,
        paths: &[TreePath],
    ) -> Result<Vec<Change>, ReadError> {
        let root = |oid: Option<&Oid>| oid.map(|oid| self.tree_of(oid)).transpose();
        let (old, new) = (root(old)?.map(|oid| object_id(&oid)), root(new)?.map(|oid| object_id(&oid)));
        let mut walk = Walk { view: self, paths, changes: Vec::new() };
        walk.compare(old, new)?;
        Ok(walk.changes)
    }
}

struct Walk<'a> {
    view: &'a View,
    paths: &'a [TreePath],
    changes: Vec<Change>,
}

/// What is still to be compared, in the order of a stack.
enum Work {
    Trees { old: Option<ObjectId>, new: Option<ObjectId>, path: Vec<u8>, depth: usize },
    Change(Change),
}

impl Walk<'_> {
    fn compare(&mut self, old: Option<ObjectId>, new: Option<ObjectId>) -> Result<(), ReadError> {
        let mut stack = vec![Work::Trees { old, new, path: Vec::new(), depth: 0 }];
        while let Some(work) = stack.pop() {
            match work {
                Work::Change(change) => self.changes.push(change),
                Work::Trees { old, new, .. } if old == new => {}
                Work::Trees { depth: MAX_DEPTH.., .. } => {
                    let said = format!("directories are nested more than {MAX_DEPTH} deep");
                    return Err(ReadError::Invalid(said));
                }
                Work::Trees { old, new, path, depth } => {
                    let start = stack.len();
                    self.compare_trees(old, new, &path, depth, &mut stack)?;
                    stack[start..].reverse();
                }
            }
        }
        Ok(())
    }

    /// Merges two directories, which are both sorted as git sorts them.
    fn compare_trees(
        &self,
        old: Option<ObjectId>,
        new: Option<ObjectId>,
        path: &[u8],
        depth: usize,
        into: &mut Vec<Work>,
    ) -> Result<(), ReadError> {
        let read = |id: Option<ObjectId>| match id {
            Some(id) => RawTree::read(self.view, id),
            None => Ok(RawTree::default()),
        };
        let (old, new) = (read(old)?, read(new)?);
        let (mut olds, mut news) = (old.entries(), new.entries());
        let (mut left, mut right) = (olds.next().transpose()?, news.next().transpose()?);
        loop {
            let order = match (&left, &right) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(left), Some(right)) => order(left, right),
            };
            self.view.meter().step()?;
            [&mut left, &mut right]
                .into_iter()
                .flatten()
                .for_each(|entry| entry.mode = canonical(entry.mode));
            let (one, other) = match order {
                Ordering::Less => (left.take(), None),
                Ordering::Greater => (None, right.take()),
                Ordering::Equal => (left.take(), right.take()),
            };
            self.compare_entries(one, other, path, depth, into)?;
            if order != Ordering::Greater {
                left = olds.next().transpose()?;
            }
            if order != Ordering::Less {
                right = news.next().transpose()?;
            }
        }
    }

    fn compare_entries(
        &self,
        old: Option<RawEntry<'_>>,
        new: Option<RawEntry<'_>>,
        path: &[u8],
        depth: usize,
        into: &mut Vec<Work>,
    ) -> Result<(), ReadError> {
        if old == new {
            return Ok(());
        }
        let name = old.as_ref().or(new.as_ref()).map_or(&b""[..], |entry| entry.name);
        let path = if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() };
        let is_tree = |entry: &Option<RawEntry<'_>>| entry.as_ref().is_some_and(RawEntry::is_tree);
        if is_tree(&old) || is_tree(&new) {
            let id = |entry: &Option<RawEntry<'_>>| entry.as_ref().map(RawEntry::object_id);
            if self.may_have(&path) {
                into.push(Work::Trees { old: id(&old), new: id(&new), path, depth: depth + 1 });
            }
        } else if self.has(&path) {
            let (old, new) = (side(old, &path)?, side(new, &path)?);
            into.push(Work::Change(Change::plain(old, new)));
        }
        Ok(())
    }

    /// Says whether a file is asked for.
    fn has(&self, path: &[u8]) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|wanted| is_within(path, wanted.as_bytes()))
    }

    /// Says whether something below a directory may be asked for.
    fn may_have(&self, path: &[u8]) -> bool {
        self.has(path) || self.paths.iter().any(|wanted| is_within(wanted.as_bytes(), path))
    }
}

fn is_within(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

/// Leaves out what does not count of a mode; old trees say who may write. Source: `canon_mode` of git.
const fn canonical(mode: u32) -> u32 {
    match mode & 0o170_000 {
        0o100_000 if mode & 0o100 != 0 => 0o100_755,
        0o100_000 => 0o100_644,
        kind @ (0o120_000 | 0o040_000) => kind,
        _ => 0o160_000,
    }
}

/// Compares by name; a directory sorts as if a slash followed, so that a file and a directory of the same name
/// are two changes.
fn order(left: &RawEntry<'_>, right: &RawEntry<'_>) -> Ordering {
    let slash = |entry: &RawEntry<'_>| entry.is_tree().then_some(b'/');
    let (a, b) = (slash(left), slash(right));
    left.name.iter().chain(&a).cmp(right.name.iter().chain(&b))
}

fn side(entry: Option<RawEntry<'_>>, path: &[u8]) -> Result<Option<ChangeSide>, ReadError> {
    let Some(entry) = entry else { return Ok(None) };
    let oid = Oid::from_bytes(entry.id).map_err(|error| ReadError::Walk(error.into()))?;
    Ok(Some(ChangeSide { path: path.to_vec(), mode: entry.mode, oid }))
}

impl ChangeSide {
    /// Returns what it is.
    pub fn kind(&self) -> EntryKind {
        EntryKind::of_mode(self.mode)
    }

    /// Says whether it is a file, not a link or submodule.
    pub(super) fn is_regular(&self) -> bool {
        matches!(self.kind(), EntryKind::Blob | EntryKind::Executable)
    }
}

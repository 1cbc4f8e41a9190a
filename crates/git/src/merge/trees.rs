//! Merges that need no content: no file was changed on both sides.
//!
//! Most pull requests touch other files than what came meanwhile. Then the merged tree is made of entries of the three
//! trees, which takes a fraction of what a process takes that reads and compares. Only where renames cannot play a part:
//! wherever git could come to another tree, or to a conflict, nothing is said, and git is asked.
//!
//! | on one side | on the other | here |
//! |---|---|---|
//! | anything | nothing | the one side |
//! | a file modified | the same | that file |
//! | a file deleted or added | the same | git: both may have moved it, to different places |
//! | anything else | anything else | git |
//! | a directory removed, files added | files added | git: the directory may have moved, and new files with it |
//!
//! Source: `merge-ort.c` of git, above all `collect_merge_info_callback` and `get_provisional_directory_renames`.

use std::cmp::Ordering;

use gix::ObjectId;
use hakata_names::Oid;

use super::{MergeQuery, Merged};
use crate::objects::{ReadError, View, our_oid};
use crate::read::{RawEntry, RawTree};
use crate::write::{Bounds, EntryMode, NewEntry, NewObjects};

/// Deepest directory that is merged here.
const MAX_DEPTH: usize = 128;

/// Merges two commits by their trees; `None` if git has to do it.
///
/// # Errors
/// [`ReadError::Exhausted`], and errors of reading.
pub(super) fn merge(view: &View, query: &MergeQuery) -> Result<Option<Merged>, ReadError> {
    let Some(base) = query.base else { return Ok(None) };
    let id = |commit: &Oid| view.tree_of(commit).map(|tree| crate::objects::object_id(&tree));
    let [base, ours, theirs] = [id(&base)?, id(&query.ours)?, id(&query.theirs)?];
    let mut merge =
        Merge { view, made: NewObjects::new(view.format(), Bounds::default()), one_sided: [vec![], vec![]] };
    let merged = match pick(Some(base), Some(ours), Some(theirs)) {
        Pick::Ours => Found::Is(ours),
        Pick::Theirs => Found::Is(theirs),
        Pick::Neither => merge.directory([base, ours, theirs], MAX_DEPTH)?,
    };
    let tree = match merged {
        Found::Is(tree) => tree,
        Found::Empty => ObjectId::empty_tree(base.kind()),
        Found::Git => return Ok(None),
    };
    if merge.may_have_moved_directories()? {
        return Ok(None);
    }
    let tree = our_oid(tree, &query.ours)?;
    Ok(Some(Merged {
        is_clean: true,
        tree,
        conflicts: Vec::new(),
        messages: Vec::new(),
        is_truncated: false,
    }))
}

struct Merge<'a> {
    view: &'a View,
    made: NewObjects,
    /// What ours and theirs alone changed: how it was, and how it is.
    one_sided: [Vec<[Option<Entry>; 2]>; 2],
}

/// What is known of a merged directory.
enum Found {
    Is(ObjectId),
    /// Nothing is left in it.
    Empty,
    /// Only git can tell.
    Git,
}

/// Which side a value is taken from.
enum Pick {
    Ours,
    Theirs,
    Neither,
}

fn pick<T: PartialEq>(base: T, ours: T, theirs: T) -> Pick {
    if theirs == base {
        Pick::Ours
    } else if ours == base {
        Pick::Theirs
    } else {
        Pick::Neither
    }
}

/// An entry without its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    mode: EntryMode,
    id: ObjectId,
}

impl Entry {
    fn of(raw: &RawEntry<'_>) -> Self {
        Self { mode: EntryMode::of(raw.mode), id: raw.object_id() }
    }

    fn tree(self) -> Option<ObjectId> {
        self.mode.is_tree().then_some(self.id)
    }

    /// Says whether git writes it again as it is.
    fn is_canonical(self) -> bool {
        let known =
            [EntryMode::FILE, EntryMode::EXECUTABLE, EntryMode::LINK, EntryMode::SUBMODULE, EntryMode::TREE];
        known.contains(&self.mode) && self.id != ObjectId::empty_tree(self.id.kind())
    }
}

impl Merge<'_> {
    /// Merges a directory that both sides changed.
    fn directory(&mut self, trees: [ObjectId; 3], depth_left: usize) -> Result<Found, ReadError> {
        let Some(depth_left) = depth_left.checked_sub(1) else { return Ok(Found::Git) };
        let [base, ours, theirs] = [self.read(trees[0])?, self.read(trees[1])?, self.read(trees[2])?];
        let mut merged = Vec::new();
        for (name, [base, ours, theirs]) in Joined::of([&base, &ours, &theirs])? {
            self.view.meter().step()?;
            let entry = match pick(base, ours, theirs) {
                Pick::Ours => {
                    self.note(0, base, ours);
                    ours
                }
                Pick::Theirs => {
                    self.note(1, base, theirs);
                    theirs
                }
                Pick::Neither => match self.both_changed([base, ours, theirs], depth_left)? {
                    Ok(entry) => entry,
                    Err(OnlyGit) => return Ok(Found::Git),
                },
            };
            let Some(entry) = entry else { continue };
            if !entry.is_canonical() {
                return Ok(Found::Git);
            }
            let oid = Oid::from_bytes(entry.id.as_slice()).map_err(|error| ReadError::Walk(error.into()))?;
            merged.push(NewEntry { name: name.to_vec(), mode: entry.mode, oid });
        }
        if merged.is_empty() {
            return Ok(Found::Empty);
        }
        // What cannot be written again is left to git.
        Ok(self.made.tree(merged).map_or(Found::Git, |tree| Found::Is(crate::objects::object_id(&tree))))
    }

    /// Merges an entry that both sides changed.
    fn both_changed(
        &mut self,
        [base, ours, theirs]: [Option<Entry>; 3],
        depth_left: usize,
    ) -> Result<Result<Option<Entry>, OnlyGit>, ReadError> {
        let (Some(base), Some(ours), Some(theirs)) = (base, ours, theirs) else { return Ok(Err(OnlyGit)) };
        Ok(match (base.tree(), ours.tree(), theirs.tree()) {
            (None, None, None) if ours == theirs => Ok(Some(ours)),
            (Some(base), Some(one), Some(other)) => match self.directory([base, one, other], depth_left)? {
                Found::Is(id) => Ok(Some(Entry { mode: EntryMode::TREE, id })),
                Found::Empty => Ok(None),
                Found::Git => Err(OnlyGit),
            },
            _ => Err(OnlyGit),
        })
    }

    fn note(&mut self, side: usize, before: Option<Entry>, after: Option<Entry>) {
        if before != after {
            self.one_sided[side].push([before, after]);
        }
    }

    fn read(&self, id: ObjectId) -> Result<RawTree, ReadError> {
        RawTree::read(self.view, id)
    }

    /// Says whether files that one side added may belong into a directory that the other side moved.
    fn may_have_moved_directories(&self) -> Result<bool, ReadError> {
        let [ours, theirs] = &self.one_sided;
        let (mut one, mut other) = (Traces::default(), Traces::default());
        one.follow(self, ours)?;
        if !one.added {
            // Nothing moved on this side, and nothing came that could follow.
            return Ok(false);
        }
        other.follow(self, theirs)?;
        Ok(other.added && (one.removed_directory || other.removed_directory))
    }
}

/// Only git can tell.
struct OnlyGit;

/// What one side did that counts for renames.
#[derive(Default)]
struct Traces {
    added: bool,
    removed_directory: bool,
}

impl Traces {
    fn follow(&mut self, merge: &Merge<'_>, changes: &[[Option<Entry>; 2]]) -> Result<(), ReadError> {
        let mut stack: Vec<[Option<Entry>; 2]> = changes.to_vec();
        while let Some([before, after]) = stack.pop() {
            if self.added && self.removed_directory {
                return Ok(());
            }
            let [old, new] = [before, after].map(|entry| entry.and_then(Entry::tree));
            match (old, new) {
                (None, None) => self.added |= before.is_none(),
                (Some(_), None) => {
                    self.removed_directory = true;
                    self.added |= after.is_some();
                }
                (None, Some(_)) => self.added = true,
                (Some(old), Some(new)) => {
                    let (old, new, none) = (merge.read(old)?, merge.read(new)?, RawTree::default());
                    for (_, [old, new, _]) in Joined::of([&old, &new, &none])? {
                        merge.view.meter().step()?;
                        if old != new {
                            stack.push([old, new]);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The entries of three directories by name.
struct Joined<'a>([std::iter::Peekable<std::vec::IntoIter<RawEntry<'a>>>; 3]);

impl<'a> Joined<'a> {
    fn of(trees: [&'a RawTree; 3]) -> Result<Self, ReadError> {
        let sorted = |tree: &'a RawTree| {
            let mut entries = tree.entries().collect::<Result<Vec<_>, _>>()?;
            // They are in git's order, in which a directory comes as if it had a slash behind it.
            entries.sort_by(|one, other| one.name.cmp(other.name));
            Ok::<_, ReadError>(entries.into_iter().peekable())
        };
        let [one, two, three] = trees;
        Ok(Self([sorted(one)?, sorted(two)?, sorted(three)?]))
    }
}

impl<'a> Iterator for Joined<'a> {
    type Item = (&'a [u8], [Option<Entry>; 3]);

    fn next(&mut self) -> Option<Self::Item> {
        let least = |best: Option<&'a [u8]>, entry: &RawEntry<'a>| match best {
            Some(best) if best.cmp(entry.name) != Ordering::Greater => Some(best),
            _ => Some(entry.name),
        };
        let name = self.0.iter_mut().filter_map(|entries| entries.peek()).fold(None, least)?;
        let take = |entries: &mut std::iter::Peekable<std::vec::IntoIter<RawEntry<'a>>>| {
            entries.next_if(|entry| entry.name == name).map(|entry| Entry::of(&entry))
        };
        let [one, two, three] = &mut self.0;
        Some((name, [take(one), take(two), take(three)]))
    }
}

//! Locks and pushes: nobody changes, by whatever client, a file that somebody else has locked.
//!
//! A push changes a file where its new tip holds another than the ref held, and no one else put it there. What came from
//! elsewhere may be taken over, unless that takes back what the ref had since:
//!
//! ```text
//! old ──────────────▶ new       the commit that made what new holds, found from new and not from old
//!  └─ merge base ◀── maker      holds what old holds: nothing is taken back
//!       maker on the default branch                          what is published may come to everybody
//!       maker on another branch, pushed since the lock       its push was judged too: it was the holder's
//!       anywhere else                                        this push made it: refused
//! ```
//!
//! What cannot be read is refused.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use hakata_git::objects::{ReadError, View};
use hakata_git::read::{LogQuery, PathSet};
use hakata_names::{Oid, RefUpdate, TreePath};
use hakata_store::lfs_locks::LfsLock;
use hakata_store::ref_log::LoggedMove;

use super::measure::{LOCKS, LockOutcome};

/// Moves of refs that are looked at for what was there when a lock was taken; beyond them, what is on other branches is
/// taken for older than the lock.
pub(crate) const MAX_MOVES: i64 = 100_000;

/// A path that a push must leave as it is, and who says so.
#[derive(Clone, Debug)]
pub(crate) struct Guarded {
    path: TreePath,
    holder: String,
    /// Since when, in ms.
    pub(crate) locked_at: i64,
}

/// All paths that somebody must leave as they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guards {
    guarded: Vec<Guarded>,
    paths: PathSet,
}

/// What the server has, before a push.
#[derive(Clone, Debug)]
pub(crate) struct Present {
    /// Where the default branch points.
    pub(crate) default_tip: Option<Oid>,
    /// Where each branch points, by its name.
    pub(crate) heads: HashMap<Vec<u8>, Oid>,
}

/// A path that an update changes, as far as can be told without the log of ref moves.
#[derive(Clone, Debug)]
pub(crate) struct Touched {
    /// Which of the updates.
    pub(crate) update: usize,
    /// The path.
    pub(crate) guarded: Guarded,
    /// The commit that made what the update brings, if it may be the holder's.
    pub(crate) maker: Option<Oid>,
}

/// The number of a path that was touched, and the commit that made what is there now, if it may be the holder's.
type Made = (usize, Option<Oid>);

impl From<LfsLock> for Guarded {
    fn from(row: LfsLock) -> Self {
        let holder = row.user_name.unwrap_or_else(|| "somebody".to_owned());
        Self { path: row.path, holder, locked_at: row.locked_at }
    }
}

impl Guarded {
    /// Says what is refused, and why.
    pub(crate) fn reason(&self) -> String {
        LOCKS.get(LockOutcome::Guarded).inc();
        format!("{} is locked by {}", self.path, self.holder)
    }
}

impl Guards {
    pub(crate) fn new(rows: Vec<LfsLock>) -> Self {
        let guarded: Vec<Guarded> = rows.into_iter().map(Guarded::from).collect();
        let paths = PathSet::new(guarded.iter().map(|one| &one.path));
        Self { guarded, paths }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.guarded.is_empty()
    }

    /// Finds what updates change or delete of these paths. A ref that is made is compared with where it leaves the default
    /// branch; one that is deleted changes no file, and neither does one that points to no commit. Trees are compared once
    /// for all paths, and once for all refs that move alike.
    ///
    /// # Errors
    /// [`ReadError`] if objects are missing or broken: then nothing is known.
    pub(crate) fn find_touched(
        &self,
        view: &View,
        updates: &[RefUpdate],
        present: &Present,
    ) -> Result<Vec<Touched>, ReadError> {
        let mut compared: HashMap<(Oid, Oid), Vec<Made>> = HashMap::new();
        let mut found = Vec::new();
        for (update, at) in updates.iter().enumerate() {
            let Some(new) = at.new.as_ref().map(|new| commit_of(view, new)).transpose()?.flatten() else {
                continue;
            };
            // Without anything to compare with, as in the first push, nothing was locked before it was there.
            let Some(old) = base_of(view, at, &new, present)? else { continue };
            let touched = match compared.get(&(old, new)) {
                Some(known) => known.clone(),
                None => {
                    let touched = self.compare(view, &old, &new, present)?;
                    compared.insert((old, new), touched.clone());
                    touched
                }
            };
            found.extend(touched.into_iter().map(|(number, maker)| {
                let guarded = self.guarded[number].clone();
                Touched { update, guarded, maker }
            }));
        }
        Ok(found)
    }

    /// Finds the paths that differ between two commits, but those that the second has from the default branch, each with
    /// the commit that made it.
    fn compare(&self, view: &View, old: &Oid, new: &Oid, present: &Present) -> Result<Vec<Made>, ReadError> {
        let mut touched = Vec::new();
        for number in view.differing_paths(old, new, &self.paths)? {
            let path = &self.guarded[number].path;
            let maker = maker_of(view, old, new, path)?;
            let maker = match maker {
                Some(maker) if takes_back(view, old, &maker, path)? => None,
                maker => maker,
            };
            match (maker, &present.default_tip) {
                (Some(maker), Some(tip)) if view.is_ancestor(&maker, &commit(view, tip)?)? => {}
                (maker, _) => touched.push((number, maker)),
            }
        }
        Ok(touched)
    }
}

impl Touched {
    /// Whether the holder of the lock brought what an update brings: it is on a branch, and came there since the lock was
    /// taken, as `moves` since then tell.
    ///
    /// # Errors
    /// [`ReadError`] if objects are missing or broken.
    pub(crate) fn is_holders(
        &self,
        view: &View,
        present: &Present,
        moves: &[LoggedMove],
    ) -> Result<bool, ReadError> {
        let Some(maker) = self.maker else { return Ok(false) };
        let heads = commits(view, present.heads.values())?;
        if view.reachable(&[maker], &heads)? != [true] {
            return Ok(false);
        }
        let mut before = present.heads.clone();
        let mut seen = HashSet::new();
        for moved in moves.iter().filter(|moved| moved.at > self.guarded.locked_at) {
            // The first move tells what was there when the lock was taken.
            if moved.name.branch().is_none() || !seen.insert(moved.name.as_bytes()) {
                continue;
            }
            match moved.old {
                Some(old) => before.insert(moved.name.as_bytes().to_vec(), old),
                None => before.remove(moved.name.as_bytes()),
            };
        }
        let before = commits(view, before.values())?;
        Ok(view.reachable(&[maker], &before)? == [false])
    }
}

/// Follows tags to a commit; `None` if they lead elsewhere.
fn commit_of(view: &View, oid: &Oid) -> Result<Option<Oid>, ReadError> {
    match view.commit_of(oid) {
        Ok(commit) => Ok(Some(commit)),
        Err(ReadError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Follows what a branch points to.
fn commit(view: &View, oid: &Oid) -> Result<Oid, ReadError> {
    view.commit_of(oid)
}

fn commits<'a>(view: &View, oids: impl Iterator<Item = &'a Oid>) -> Result<Vec<Oid>, ReadError> {
    oids.map(|oid| commit(view, oid)).collect()
}

/// What an update is compared with: where the ref was, or where its new history leaves the default branch.
fn base_of(view: &View, update: &RefUpdate, new: &Oid, present: &Present) -> Result<Option<Oid>, ReadError> {
    if let Some(old) = update.old.as_ref().map(|old| commit_of(view, old)).transpose()?.flatten() {
        return Ok(Some(old));
    }
    match &present.default_tip {
        Some(tip) => Ok(view.merge_bases(new, &[commit(view, tip)?])?.into_iter().next()),
        None => Ok(None),
    }
}

/// Finds the commit that made what `new` holds at a path, if `old` does not lead to it.
fn maker_of(view: &View, old: &Oid, new: &Oid, path: &TreePath) -> Result<Option<Oid>, ReadError> {
    let (tips, hide, paths) = (vec![*new], vec![*old], vec![path.clone()]);
    let mut maker = None;
    view.log(&LogQuery { tips, hide, paths, ..LogQuery::default() }, &mut |oid| {
        maker = Some(oid);
        ControlFlow::Break(())
    })?;
    Ok(maker)
}

/// Whether taking over what `maker` made takes back what `old` has done to the file since the two parted.
fn takes_back(view: &View, old: &Oid, maker: &Oid, path: &TreePath) -> Result<bool, ReadError> {
    let Some(base) = view.merge_bases(old, &[*maker])?.into_iter().next() else { return Ok(true) };
    Ok(view.find_entry(&base, path)? != view.find_entry(old, path)?)
}

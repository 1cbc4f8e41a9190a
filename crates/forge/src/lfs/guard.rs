//! Locks and pushes: nobody changes, by whatever client, a file that somebody else has locked.

use hakata_git::objects::{ReadError, View};
use hakata_names::{Oid, RefUpdate, TreePath};
use hakata_store::lfs_locks::LfsLock;

use super::measure::{LOCKS, LockOutcome};

/// A path that a push must leave as it is, and who says so.
#[derive(Clone, Debug)]
pub(crate) struct Guarded {
    path: TreePath,
    holder: String,
}

impl From<LfsLock> for Guarded {
    fn from(row: LfsLock) -> Self {
        Self { path: row.path, holder: row.user_name.unwrap_or_else(|| "somebody".to_owned()) }
    }
}

impl Guarded {
    /// Finds the first of these paths that an update changes or deletes. A ref that is made is compared with where it
    /// leaves the default branch; one that is deleted changes no file. What is on the default branch already may come to
    /// others.
    ///
    /// # Errors
    /// [`ReadError`] if objects are broken.
    pub(crate) fn find_touched<'a>(
        view: &View,
        update: &RefUpdate,
        default_tip: Option<&Oid>,
        guarded: &'a [Self],
    ) -> Result<Option<&'a Self>, ReadError> {
        let Some(new) = update.new.as_ref() else { return Ok(None) };
        let base = match (&update.old, default_tip) {
            (Some(old), _) => Some(*old),
            (None, Some(tip)) => branched_from(view, new, tip),
            (None, None) => None,
        };
        // Without anything to compare with, as in the first push, nothing was locked before it was there.
        let Some(base) = base else { return Ok(None) };
        let (Ok(before), Ok(after)) = (view.tree_of(&base), view.tree_of(new)) else { return Ok(None) };
        if before == after {
            return Ok(None);
        }
        let published = default_tip.and_then(|tip| view.tree_of(tip).ok());
        for one in guarded {
            let was = view.find_entry(&before, &one.path)?;
            let is = view.find_entry(&after, &one.path)?;
            if was == is {
                continue;
            }
            // What the holder has brought to the default branch may be merged by everybody.
            let is_published = match &published {
                Some(tree) => view.find_entry(tree, &one.path)? == is,
                None => false,
            };
            if !is_published {
                LOCKS.get(LockOutcome::Guarded).inc();
                return Ok(Some(one));
            }
        }
        Ok(None)
    }

    /// Says what is refused, and why.
    pub(crate) fn reason(&self) -> String {
        format!("{} is locked by {}", self.path, self.holder)
    }
}

/// The commit where a new history leaves another; `None` if they have nothing in common, or one is no commit.
fn branched_from(view: &View, new: &Oid, tip: &Oid) -> Option<Oid> {
    let (new, tip) = (view.commit_of(new).ok()?, view.commit_of(tip).ok()?);
    view.merge_bases(&new, &[tip]).ok()?.into_iter().next()
}

//! Objects that git made in a scratch, such as `git merge-tree --write-tree` leaves behind.

use std::collections::HashSet;

use hakata_names::Oid;

use super::{NewObjects, WriteError};
use crate::objects::{Kind, Objects, View, broken, object_id, our_oid};

/// The deepest directory that is followed.
const MAX_DEPTH: usize = 4_096;

impl NewObjects {
    /// Adds a tree and all below it that `base` lacks. `scratch` reads the new objects and those of `base`, as a
    /// [`Quarantine`](crate::quarantine::Quarantine) in front of it does; a directory that `base` has is not entered.
    ///
    /// # Errors
    /// [`WriteError::Read`] if an object is in neither; [`WriteError::TooLarge`], [`WriteError::TooMany`].
    pub async fn collected(
        mut self,
        scratch: &Objects,
        base: &Objects,
        tree: Oid,
    ) -> Result<Self, WriteError> {
        let base = base.clone();
        let walk = move |view: &View| {
            let base = base.library();
            Ok(self.walk(view, &base, tree).map(|()| self))
        };
        scratch.read(walk).await?
    }

    fn walk(&mut self, scratch: &View, base: &gix::Repository, tree: Oid) -> Result<(), WriteError> {
        let mut seen = HashSet::new();
        let mut waiting = vec![(tree, Kind::Tree, 0)];
        while let Some((oid, kind, depth)) = waiting.pop() {
            if !seen.insert(oid) || base.has_object(object_id(&oid)) {
                continue;
            }
            let header = scratch.header(&oid)?.ok_or(crate::objects::ReadError::Absent(oid))?;
            if header.kind != kind || depth > MAX_DEPTH {
                return Err(broken(&oid, "it is not what its tree says").into());
            }
            if header.size_bytes > self.bounds.max_bytes {
                return Err(WriteError::TooLarge { limit_bytes: self.bounds.max_bytes });
            }
            let object = scratch.repository().find_object(object_id(&oid)).map_err(|e| broken(&oid, e))?;
            if kind == Kind::Tree {
                for entry in gix::objs::TreeRefIter::from_bytes(&object.data, object.id.kind()) {
                    let entry = entry.map_err(|e| broken(&oid, e))?;
                    let kind = match entry.mode.kind() {
                        gix::objs::tree::EntryKind::Tree => Kind::Tree,
                        gix::objs::tree::EntryKind::Commit => continue,
                        _ => Kind::Blob,
                    };
                    waiting.push((our_oid(entry.oid.to_owned(), &oid)?, kind, depth + 1));
                }
            }
            self.insert(kind, object.detach().data)?;
        }
        Ok(())
    }
}

//! Connectivity of a small push, proved in process.
//!
//! git's own check loads every ref and starts a process, whatever the size of the push. Most pushes bring a few
//! commits on top of one that a ref leads to. For them this is enough, by induction over the pack: a commit is
//! complete if its parents are complete and each entry of its trees is either the entry of the same name of a
//! parent, or in the pack and complete itself. Commits outside of the pack must be reachable from refs. Whatever
//! cannot be shown this way (a directory that moved, a tag of a tree, a large push) is left to git.

use std::collections::{HashMap, HashSet};

use gix::ObjectId;
use gix::odb::pack;
use hakata_names::Oid;

use super::{ConnectivityError, Disconnected, IndexedPack, Quarantine};
use crate::Git;
use crate::objects::{Cause, ReadError, View, object_id};
use crate::refs::RefSnapshot;

/// Objects of a pack, and bytes of commits and trees, up to which a proof is tried.
const MAX_OBJECTS: u32 = 20_000;
const MAX_BYTES: usize = 64 << 20;

/// Depth of directories to which a proof is tried.
const MAX_DEPTH: usize = 128;

impl Quarantine {
    /// Checks connectivity as [`check_connected`](Self::check_connected) does, with a shorter way for small
    /// pushes: `snapshot` is of the repository behind the quarantine, whose refs lead only to whole histories.
    ///
    /// # Errors
    /// Any [`ConnectivityError`].
    pub async fn check_push(
        &self,
        git: &Git,
        snapshot: &RefSnapshot,
        pack: Option<&IndexedPack>,
        tips: &[Oid],
        shallow: &[Oid],
    ) -> Result<Vec<Disconnected>, ConnectivityError> {
        let is_small = shallow.is_empty() && pack.is_none_or(|pack| pack.n_objects <= MAX_OBJECTS);
        if is_small && self.prove(git, snapshot, pack, tips).await.unwrap_or(false) {
            return Ok(Vec::new());
        }
        self.check_connected(git, tips, shallow).await
    }

    /// Says whether connectivity is proved; `false` proves nothing.
    pub(super) async fn prove(
        &self,
        git: &Git,
        snapshot: &RefSnapshot,
        pack: Option<&IndexedPack>,
        tips: &[Oid],
    ) -> Result<bool, ReadError> {
        let objects = self.objects(git).await?;
        let (idx, tips, refs) = (pack.map(|pack| pack.idx.clone()), tips.to_vec(), snapshot.clone());
        let boundary = objects.read(move |view| {
            let kind = view.repository().object_hash();
            let index = idx.map(|idx| pack::index::File::at(idx, kind)).transpose();
            let index = index.map_err(|source| ReadError::Walk(source.into()))?;
            let mut proof =
                Proof { view, index, refs, boundary: HashSet::new(), seen: HashSet::new(), n_bytes: 0 };
            let proved = proof.tips(&tips).map_err(ReadError::Walk)?;
            Ok(proved.then_some(proof.boundary))
        });
        let Some(boundary) = boundary.await? else { return Ok(false) };
        if boundary.is_empty() {
            return Ok(true);
        }
        let Some(base) = &self.base else { return Ok(false) };
        let (boundary, refs) = (Vec::from_iter(boundary), snapshot.clone());
        let base = git.objects(base, 0).await?;
        base.read(move |view| Ok(view.reachable(&boundary, refs.tips())?.into_iter().all(|reached| reached)))
            .await
    }
}

struct Proof<'a> {
    view: &'a View,
    index: Option<pack::index::File>,
    refs: RefSnapshot,
    /// Commits outside of the pack that no ref points to: they must be reachable.
    boundary: HashSet<Oid>,
    seen: HashSet<ObjectId>,
    n_bytes: usize,
}

/// What a tree of a parent has under a name.
type Entries = HashMap<Vec<u8>, (bool, ObjectId)>;

impl<'a> Proof<'a> {
    fn tips(&mut self, tips: &[Oid]) -> Result<bool, Cause> {
        let mut waiting: Vec<ObjectId> = tips.iter().map(object_id).collect();
        while let Some(id) = waiting.pop() {
            let oid = Oid::from_bytes(id.as_slice())?;
            if self.refs.is_tip(&oid) || !self.seen.insert(id) {
                continue;
            }
            if !self.in_pack(&id) {
                self.boundary.insert(oid);
                continue;
            }
            let Some(object) = self.read(id)? else { return Ok(false) };
            match object.kind {
                gix::object::Kind::Tag => waiting.push(object.try_into_tag()?.target_id()?.detach()),
                gix::object::Kind::Commit => {
                    let commit = object.try_into_commit()?;
                    let commit = commit.decode()?;
                    let parents: Vec<ObjectId> = commit.parents().collect();
                    if !self.commit_tree(commit.tree(), &parents)? {
                        return Ok(false);
                    }
                    waiting.extend(parents);
                }
                gix::object::Kind::Tree | gix::object::Kind::Blob => return Ok(false),
            }
        }
        Ok(true)
    }

    fn commit_tree(&mut self, tree: ObjectId, parents: &[ObjectId]) -> Result<bool, Cause> {
        let mut trees = Vec::with_capacity(parents.len());
        for parent in parents {
            let Some(object) = self.read(*parent)? else { return Ok(false) };
            trees.push(object.try_into_commit()?.tree_id()?.detach());
        }
        self.tree(tree, &trees, 0)
    }

    /// Shows that a tree is complete, given trees of parents that are.
    fn tree(&mut self, tree: ObjectId, known: &[ObjectId], depth: usize) -> Result<bool, Cause> {
        if known.contains(&tree) {
            return Ok(true);
        }
        if depth > MAX_DEPTH || !self.in_pack(&tree) {
            return Ok(false);
        }
        if !self.seen.insert(tree) {
            return Ok(true);
        }
        let Some(entries) = self.entries(tree)? else { return Ok(false) };
        let mut of_parents = Vec::with_capacity(known.len());
        for parent in known {
            let Some(entries) = self.entries(*parent)? else { return Ok(false) };
            of_parents.push(entries);
        }
        for (name, (is_tree, id)) in entries {
            let same_name: Vec<(bool, ObjectId)> =
                of_parents.iter().filter_map(|entries| entries.get(&name).copied()).collect();
            let complete = same_name.contains(&(is_tree, id))
                || match is_tree {
                    true => {
                        let trees = same_name.iter().filter(|(is_tree, _)| *is_tree).map(|(_, id)| *id);
                        self.tree(id, &trees.collect::<Vec<_>>(), depth + 1)?
                    }
                    false => self.in_pack(&id),
                };
            if !complete {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads a tree, without its links to commits of other repositories.
    fn entries(&mut self, tree: ObjectId) -> Result<Option<Entries>, Cause> {
        let Some(object) = self.read(tree)? else { return Ok(None) };
        let tree = object.try_into_tree()?;
        let mut entries = Entries::new();
        for entry in tree.iter() {
            let entry = entry?;
            if !entry.mode().is_commit() {
                let name = <[u8]>::to_vec(entry.filename());
                entries.insert(name, (entry.mode().is_tree(), entry.object_id()));
            }
        }
        Ok(Some(entries))
    }

    /// Reads an object whose size is looked at first; `None` if it is absent or the proof grows too large.
    fn read(&mut self, id: ObjectId) -> Result<Option<gix::Object<'a>>, Cause> {
        let view: &'a View = self.view;
        let repository = view.repository();
        let Some(header) = repository.try_find_header(id)? else { return Ok(None) };
        self.n_bytes = self.n_bytes.saturating_add(usize::try_from(header.size())?);
        if self.n_bytes > MAX_BYTES {
            return Ok(None);
        }
        Ok(repository.try_find_object(id)?)
    }

    fn in_pack(&self, id: &ObjectId) -> bool {
        self.index.as_ref().is_some_and(|index| index.lookup(id).is_some())
    }
}

//! Reading the refs of a repository from the database.

use std::sync::Arc;

use hakata_git::refs::{Head, Ref, RefChange, RefSnapshot};
use hakata_names::{ObjectFormat, Oid, RefName, RepositoryId};
use hakata_store::ref_log::{self, LoggedMove};
use hakata_store::{Conn, Db, RepositoryState, StoreError, refs, repositories};

use crate::snapshots::Step;

/// Moves that are worth applying one by one; behind by more, all refs are read.
const MAX_MOVES: i64 = 20_000;

/// What reading gave, in a form that all who wait for it can share; `None` if there is no such repository.
pub(crate) type Loaded = Result<Option<Arc<State>>, Arc<StoreError>>;

/// A repository at one version.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) snapshot: RefSnapshot,
    pub(crate) default_ref: RefName,
    /// As it was when this state was read; commits compare it.
    pub(crate) prune_epoch: i64,
}

/// What a directory must have for a reader: the refs of a version, and nothing that was dropped before an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needed {
    pub(crate) version: i64,
    pub(crate) prune_epoch: i64,
}

impl Needed {
    /// Tells whether a directory of this version and epoch serves a reader who needs the other.
    pub(crate) fn covers(self, other: Self) -> bool {
        self.version >= other.version && self.prune_epoch >= other.prune_epoch
    }
}

impl State {
    pub(crate) fn needed(&self) -> Needed {
        Needed { version: self.version(), prune_epoch: self.prune_epoch }
    }

    pub(crate) fn version(&self) -> i64 {
        self.snapshot.version()
    }

    pub(crate) fn format(&self) -> ObjectFormat {
        self.snapshot.format()
    }

    /// Builds the state after a commit.
    pub(crate) fn stepped(&self, step: Step) -> Self {
        let mut snapshot = self.snapshot.apply(step.version, step.changes);
        let default_ref = step.default_ref.unwrap_or_else(|| self.default_ref.clone());
        if default_ref != self.default_ref {
            snapshot = snapshot.with_head(step.version, default_ref.clone());
        }
        Self { snapshot, default_ref, prune_epoch: self.prune_epoch }
    }

    /// Estimates the memory: names and oids, and the lines that are rendered when somebody asks.
    pub(crate) fn size_bytes(&self) -> u64 {
        const PER_REF: usize = 300;
        let names: usize = self.snapshot.iter().map(|at| at.name.as_bytes().len() * 3 + PER_REF).sum();
        u64::try_from(names + 1_024).unwrap_or(u64::MAX)
    }
}

/// Reads the newest state, starting from an older one if there is any.
///
/// No transaction: refs are read after the version, and the log tells what moved since that version until the refs
/// were read. Applying a move that the read has seen already changes nothing.
pub(crate) async fn load(db: Db, id: RepositoryId, known: Option<Arc<State>>) -> Loaded {
    read_newest(&db, id, known).await.map_err(Arc::new)
}

async fn read_newest(
    db: &Db,
    id: RepositoryId,
    mut known: Option<Arc<State>>,
) -> Result<Option<Arc<State>>, StoreError> {
    let mut conn = db.read().await?;
    loop {
        let Some(before) = find(&mut conn, id).await? else { return Ok(None) };
        let base = match known.take() {
            Some(known) if known.version() <= before.version => known.snapshot.clone(),
            _ => read_all(&mut conn, &before).await?,
        };
        let Some(row) = find(&mut conn, id).await? else { return Ok(None) };
        let Some(snapshot) = catch_up(&mut conn, id, &base, row.version).await? else { continue };
        let head = Head::Symbolic(row.default_ref.clone());
        let snapshot =
            if *snapshot.head() == head { snapshot } else { snapshot.with_head(row.version, head) };
        return Ok(Some(Arc::new(State {
            snapshot,
            default_ref: row.default_ref,
            prune_epoch: row.prune_epoch,
        })));
    }
}

/// Reads the row, unless the repository is gone.
async fn find(conn: &mut Conn, id: RepositoryId) -> Result<Option<repositories::Repository>, StoreError> {
    let row = repositories::find(conn, id).await?;
    Ok(row.filter(|row| row.state != RepositoryState::Deleted))
}

/// Reads every ref, some of which may be newer than the version of `row`.
async fn read_all(conn: &mut Conn, row: &repositories::Repository) -> Result<RefSnapshot, StoreError> {
    let refs = refs::list(conn, row.id).await?;
    let refs = refs.into_iter().map(|at| Ref { name: at.name, oid: at.oid, peeled: at.peeled }).collect();
    Ok(RefSnapshot::build(row.version, row.object_format, row.default_ref.clone(), refs))
}

/// Applies the log above the base, up to and including `version`.
async fn catch_up(
    conn: &mut Conn,
    id: RepositoryId,
    base: &RefSnapshot,
    version: i64,
) -> Result<Option<RefSnapshot>, StoreError> {
    let moves = moves_between(conn, id, base.version(), version).await?;
    Ok(moves.map(|moves| base.apply(version, moves.into_iter().map(|at| change(at.name, at.new, at.peeled)))))
}

/// Reads the log above `from`, up to and including `to`; `None` if it was pruned, or is so long that reading all refs
/// costs less.
pub(crate) async fn moves_between(
    conn: &mut Conn,
    id: RepositoryId,
    from: i64,
    to: i64,
) -> Result<Option<Vec<LoggedMove>>, StoreError> {
    if from == to {
        return Ok(Some(Vec::new()));
    }
    let mut moves = ref_log::since(conn, id, from, MAX_MOVES + 1).await?;
    let is_pruned = ref_log::oldest_version(conn, id).await?.is_none_or(|oldest| oldest > from + 1);
    if is_pruned || i64::try_from(moves.len()).is_ok_and(|n| n > MAX_MOVES) {
        return Ok(None);
    }
    moves.retain(|at| at.version <= to);
    Ok(Some(moves))
}

/// Says what a move did to its ref.
pub(crate) fn change(name: RefName, new: Option<Oid>, peeled: Option<Oid>) -> RefChange {
    match new {
        Some(oid) => RefChange::Set(Ref { name, oid, peeled }),
        None => RefChange::Remove(name),
    }
}

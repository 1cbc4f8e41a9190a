//! Steps 3 and 4: moving refs, judged by row counts.

use std::collections::{BTreeMap, HashMap, HashSet};

use hakata_names::{Oid, RefName, RefUpdate, RepositoryId};
use hakata_store::{Conn, StoreError, refs, refs::RefMove};

use crate::outcome::RefRefusal;

/// What became of the updates.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Moves that were made, in the order of names.
    pub(super) moves: Vec<RefMove>,
    /// The answer for every update, by name.
    pub(super) answers: BTreeMap<RefName, Result<(), RefRefusal>>,
}

/// Moves the refs that are where their updates expect them. The repository's row is locked.
///
/// Deletions come first, so that one change may replace `a` by `a/b`; a deletion that misses leaves its ref in the
/// way of the other.
pub(super) async fn apply(
    conn: &mut Conn,
    repository: RepositoryId,
    updates: &[RefUpdate],
    peeled: &HashMap<Oid, Oid>,
) -> Result<Moved, StoreError> {
    let mut moved = Moved::default();
    let (deletions, sets) = in_order(updates, peeled);
    make(conn, repository, deletions, &mut moved).await?;
    let sets = without_conflicts(conn, repository, sets, &mut moved).await?;
    make(conn, repository, sets, &mut moved).await?;
    moved.moves.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(moved)
}

/// Sorts updates by name, and deletions from the rest.
fn in_order(updates: &[RefUpdate], peeled: &HashMap<Oid, Oid>) -> (Vec<RefMove>, Vec<RefMove>) {
    let wanted = |RefUpdate { name, old, new }: &RefUpdate| RefMove {
        name: name.clone(),
        old: *old,
        new: *new,
        peeled: new.and_then(|new| peeled.get(&new).copied()),
    };
    let mut moves: Vec<RefMove> = updates.iter().map(wanted).collect();
    moves.sort_by(|a, b| a.name.cmp(&b.name));
    moves.into_iter().partition(|wanted| wanted.new.is_none())
}

/// Applies moves of different refs and notes what hit and what missed.
async fn make(
    conn: &mut Conn,
    repository: RepositoryId,
    moves: Vec<RefMove>,
    moved: &mut Moved,
) -> Result<(), StoreError> {
    let hits = refs::apply(conn, repository, &moves).await?;
    let missed: Vec<&[u8]> =
        moves.iter().zip(&hits).filter(|(_, hit)| !**hit).map(|(wanted, _)| wanted.name.as_bytes()).collect();
    let actual: HashMap<RefName, Oid> = match missed.is_empty() {
        true => HashMap::new(),
        false => refs::find_many(conn, repository, &missed)
            .await?
            .into_iter()
            .map(|at| (at.name, at.oid))
            .collect(),
    };
    for (wanted, hit) in moves.into_iter().zip(hits) {
        let stale = || RefRefusal::Stale { actual: actual.get(&wanted.name).copied() };
        let answer = if hit { Ok(()) } else { Err(stale()) };
        moved.answers.insert(wanted.name.clone(), answer);
        if hit && wanted.old != wanted.new {
            moved.moves.push(wanted);
        }
    }
    Ok(())
}

/// Refuses refs to be made that are a directory of another ref, or below one: of the table, or of this change.
async fn without_conflicts(
    conn: &mut Conn,
    repository: RepositoryId,
    sets: Vec<RefMove>,
    moved: &mut Moved,
) -> Result<Vec<RefMove>, StoreError> {
    let new: Vec<&RefName> = sets.iter().filter(|set| set.old.is_none()).map(|set| &set.name).collect();
    let clashes = refs::conflicts(conn, repository, &new, &HashSet::new()).await?;
    let mut clashes: HashMap<RefName, RefName> =
        clashes.into_iter().map(|clash| (clash.new, clash.existing)).collect();
    // In the order of names a directory comes before what is below it.
    let mut made: HashMap<Vec<u8>, RefName> = HashMap::new();
    for name in new {
        if clashes.contains_key(name) {
            continue;
        }
        match name.directories().find_map(|directory| made.get(directory)) {
            Some(other) => {
                clashes.insert(name.clone(), other.clone());
            }
            None => {
                made.insert(name.as_bytes().to_vec(), name.clone());
            }
        }
    }
    let (refused, sets): (Vec<_>, Vec<_>) = sets.into_iter().partition(|set| clashes.contains_key(&set.name));
    for set in refused {
        if let Some(other) = clashes.remove(&set.name) {
            moved.answers.insert(set.name, Err(RefRefusal::Conflict { other }));
        }
    }
    Ok(sets)
}

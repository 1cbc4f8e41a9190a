//! Moving refs by compare-and-swap, one by one or many at a time, always judged by row counts.

use std::collections::HashMap;

use hakata_names::{Oid, RefName, RepositoryId};

use super::StoredRef;
use crate::StoreError;
use crate::conn::Conn;
use crate::sql::{Again, ManySql, Sql, chunks, sql};
use crate::value::{Value, values};

/// Up to this many moves, a statement for each costs less than reading first.
const FEW: usize = 8;

/// A move of one ref; `None` stands for "does not exist".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefMove {
    /// The ref.
    pub name: RefName,
    /// Where it must point now.
    pub old: Option<Oid>,
    /// Where it shall point.
    pub new: Option<Oid>,
    /// The object behind `new`, if that is an annotated tag.
    pub peeled: Option<Oid>,
}

/// Makes a ref that does not exist; false when it does.
///
/// # Errors
/// Any [`StoreError`].
pub async fn insert_absent(
    conn: &mut Conn,
    repository: RepositoryId,
    new: &StoredRef,
) -> Result<bool, StoreError> {
    const INSERT: Sql =
        sql!(insert_absent "INSERT INTO ref (repository_id, name, oid, peeled) VALUES (?, ?, ?, ?)");
    conn.insert_absent(&INSERT, values![repository, &new.name, &new.oid, new.peeled.as_ref()]).await
}

/// Moves a ref that points to `old`; false when it points elsewhere or is absent. Moving it to where it is counts.
///
/// # Errors
/// Any [`StoreError`].
pub async fn update_from(
    conn: &mut Conn,
    repository: RepositoryId,
    old: &Oid,
    new: &StoredRef,
) -> Result<bool, StoreError> {
    const UPDATE: Sql =
        sql!("UPDATE ref SET oid = ?, peeled = ? WHERE repository_id = ? AND name = ? AND oid = ?");
    conn.execute_one(&UPDATE, values![&new.oid, new.peeled.as_ref(), repository, &new.name, old]).await
}

/// Deletes a ref that points to `old`; false when it points elsewhere or is absent.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete_from(
    conn: &mut Conn,
    repository: RepositoryId,
    name: &RefName,
    old: &Oid,
) -> Result<bool, StoreError> {
    const DELETE: Sql = sql!("DELETE FROM ref WHERE repository_id = ? AND name = ? AND oid = ?");
    conn.execute_one(&DELETE, values![repository, name, old]).await
}

/// Applies moves of different refs and tells for each, in order, whether its ref was where it had to be; the others
/// are not moved. A move from absent to absent succeeds when the ref is absent.
///
/// A few moves cost a statement each; many cost a question per 128 names and then one or two statements per 128. For
/// many, the repository's row must be locked: what was read is then still true when it is written, and the row counts
/// prove it.
///
/// # Errors
/// Any [`StoreError`]; [`StoreError::Unlocked`] when the row was not locked and somebody moved a ref in between.
pub async fn apply(
    conn: &mut Conn,
    repository: RepositoryId,
    moves: &[RefMove],
) -> Result<Vec<bool>, StoreError> {
    if moves.len() > FEW {
        return apply_many(conn, repository, moves).await;
    }
    let mut done = Vec::with_capacity(moves.len());
    for RefMove { name, old, new, peeled } in moves {
        let new = new.map(|oid| StoredRef { name: name.clone(), oid, peeled: *peeled });
        done.push(match (old, new) {
            (None, Some(new)) => insert_absent(conn, repository, &new).await?,
            (Some(old), Some(new)) => update_from(conn, repository, old, &new).await?,
            (Some(old), None) => delete_from(conn, repository, name, old).await?,
            (None, None) => super::find(conn, repository, name).await?.is_none(),
        });
    }
    Ok(done)
}

async fn apply_many(
    conn: &mut Conn,
    repository: RepositoryId,
    moves: &[RefMove],
) -> Result<Vec<bool>, StoreError> {
    let names: Vec<&[u8]> = moves.iter().map(|wanted| wanted.name.as_bytes()).collect();
    let now: HashMap<RefName, Oid> = super::find_many(conn, repository, &names)
        .await?
        .into_iter()
        .map(|found| (found.name, found.oid))
        .collect();
    let done: Vec<bool> = moves.iter().map(|wanted| now.get(&wanted.name) == wanted.old.as_ref()).collect();
    let hits = || moves.iter().zip(&done).filter(|(_, is_hit)| **is_hit).map(|(hit, _)| hit);
    let gone: Vec<(&RefName, &Oid)> = hits().filter_map(|hit| Some((&hit.name, hit.old.as_ref()?))).collect();
    let come: Vec<StoredRef> = hits()
        .filter_map(|hit| Some(StoredRef { name: hit.name.clone(), oid: hit.new?, peeled: hit.peeled }))
        .collect();
    delete_many(conn, repository, &gone).await?;
    load(conn, repository, &come).await?;
    Ok(done)
}

async fn delete_many(
    conn: &mut Conn,
    repository: RepositoryId,
    refs: &[(&RefName, &Oid)],
) -> Result<(), StoreError> {
    // The names lead into the index; without them PostgreSQL scans the table, OR by OR.
    const DELETE: ManySql = ManySql {
        head: "DELETE FROM ref WHERE repository_id = ? AND name IN (",
        row: "?",
        between: ", ",
        tail: ") AND (",
        again: Some(Again { row: "(name = ? AND oid = ?)", between: " OR ", tail: ")" }),
    };
    for refs in chunks(refs) {
        let mut values = vec![Value::from(repository)];
        values.extend(refs.iter().map(|(name, _)| Value::from(*name)));
        values.extend(refs.iter().flat_map(|(name, old)| [Value::from(*name), Value::from(*old)]));
        expect(conn.execute_many(&DELETE, refs.len(), &values).await?, refs.len())?;
    }
    Ok(())
}

/// Inserts refs that are known to be absent, 128 in a statement: imports, and the second half of [`apply`].
///
/// # Errors
/// Any [`StoreError`]; one of them existing is [`StoreError::Contended`].
pub async fn load(conn: &mut Conn, repository: RepositoryId, refs: &[StoredRef]) -> Result<(), StoreError> {
    const INSERT: ManySql = ManySql {
        head: "INSERT INTO ref (repository_id, name, oid, peeled) VALUES ",
        row: "(?, ?, ?, ?)",
        between: ", ",
        tail: "",
        again: None,
    };
    for refs in chunks(refs) {
        let values: Vec<Value<'_>> = refs
            .iter()
            .flat_map(|new| {
                [repository.into(), (&new.name).into(), (&new.oid).into(), new.peeled.as_ref().into()]
            })
            .collect();
        expect(conn.execute_many(&INSERT, refs.len(), &values).await?, refs.len())?;
    }
    Ok(())
}

fn expect(n_rows: u64, n_refs: usize) -> Result<(), StoreError> {
    if u64::try_from(n_refs) == Ok(n_rows) { Ok(()) } else { Err(StoreError::Unlocked { table: "ref" }) }
}

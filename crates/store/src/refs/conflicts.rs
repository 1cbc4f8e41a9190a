//! Directory/file conflicts: `a` and `a/b` cannot both be refs, since a repository on disk keeps them as files.

use std::collections::{BTreeSet, HashSet};

use hakata_names::{RefName, RepositoryId};

use super::find_many;
use crate::StoreError;
use crate::conn::Conn;
use crate::sql::{Sql, sql};
use crate::value::values;

/// Up to this many new names, a range question for each costs less than reading all names.
const FEW: usize = 32;

/// A new ref that cannot be beside an existing one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The ref to be made.
    pub new: RefName,
    /// The ref that is there: a directory of the new name, or a name below it.
    pub existing: RefName,
}

/// Finds the new refs that clash with refs of the table, at most one clash each, in the order of `new`. Refs in
/// `leaving` are about to be deleted and do not count. Clashes among the new names themselves are the caller's.
///
/// Few names cost a range question each and one for all their directories; many cost a scan of the repository's
/// names.
///
/// # Errors
/// Any [`StoreError`].
pub async fn conflicts(
    conn: &mut Conn,
    repository: RepositoryId,
    new: &[&RefName],
    leaving: &HashSet<RefName>,
) -> Result<Vec<Clash>, StoreError> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let mut existing = if new.len() > FEW {
        names(conn, repository).await?
    } else {
        neighbours(conn, repository, new, leaving.len()).await?
    };
    existing.retain(|name| !leaving.contains(name));
    existing.sort_unstable();
    Ok(new.iter().filter_map(|new| clash_with(new, &existing)).collect())
}

/// Lists the names that could clash: the directories of the new ones and what is below them.
async fn neighbours(
    conn: &mut Conn,
    repository: RepositoryId,
    new: &[&RefName],
    n_leaving: usize,
) -> Result<Vec<RefName>, StoreError> {
    let directories: BTreeSet<&[u8]> = new.iter().flat_map(|new| new.directories()).collect();
    let directories: Vec<&[u8]> = directories.into_iter().collect();
    let found = find_many(conn, repository, &directories).await?;
    let mut names: Vec<RefName> = found.into_iter().map(|found| found.name).collect();
    for new in new {
        names.extend(below(conn, repository, new, n_leaving).await?);
    }
    Ok(names)
}

/// Looks for a clash in names sorted by bytes.
fn clash_with(new: &RefName, existing: &[RefName]) -> Option<Clash> {
    let first_from = |key: &[u8]| existing.get(existing.partition_point(|name| name.as_bytes() < key));
    let directory = new
        .directories()
        .find_map(|directory| first_from(directory).filter(|name| name.as_bytes() == directory));
    let inside = || {
        let slash = [new.as_bytes(), b"/"].concat();
        first_from(&slash).filter(|name| name.as_bytes().starts_with(&slash))
    };
    directory.or_else(inside).map(|existing| Clash { new: new.clone(), existing: existing.clone() })
}

/// Lists names below `name/`, enough of them that one is left when `n_leaving` are not counted.
async fn below(
    conn: &mut Conn,
    repository: RepositoryId,
    name: &RefName,
    n_leaving: usize,
) -> Result<Vec<RefName>, StoreError> {
    const BELOW: Sql =
        sql!("SELECT name FROM ref WHERE repository_id = ? AND name > ? AND name < ? ORDER BY name LIMIT ?");
    // '0' is the byte after '/'.
    let (from, to) = ([name.as_bytes(), b"/"].concat(), [name.as_bytes(), b"0"].concat());
    let limit = i64::try_from(n_leaving).unwrap_or(i64::MAX).saturating_add(1);
    conn.list(&BELOW, values![repository, &from[..], &to[..], limit], |row| row.ref_name(0)).await
}

async fn names(conn: &mut Conn, repository: RepositoryId) -> Result<Vec<RefName>, StoreError> {
    const NAMES: Sql = sql!("SELECT name FROM ref WHERE repository_id = ?");
    conn.list(&NAMES, values![repository], |row| row.ref_name(0)).await
}

//! The beginning and the end of repositories.
//!
//! A repository begins as a row: empty ([`Repositories::create`]), or with refs and packs in the same transaction, as a
//! change of a repository that is not there yet (a fork). Who may do so is the caller's business; its own rows go into
//! the transaction.

use hakata_names::{ObjectFormat, OwnerId, OwnerName, RefName, RepositoryId, RepositoryName};
use hakata_store::packs::{self, Pack};
use hakata_store::repositories::{self, NewRepository as Row};
use hakata_store::{
    Conflict, Conn, RepositoryState, StoreError, Visibility, idempotency, lfs_objects, owners,
};

use crate::commit::Rows;
use crate::engine::Repositories;
use crate::outcome::Committed;

/// Answers to changes that no repository is there for yet, or any more, are kept under this id.
const NO_REPOSITORY: RepositoryId = RepositoryId::new(0);

/// A repository to be made.
#[derive(Clone, Debug)]
pub struct NewRepository {
    /// Whose it will be.
    pub owner: OwnerId,
    /// Its name.
    pub name: RepositoryName,
    /// How its objects are named.
    pub object_format: ObjectFormat,
    /// What `HEAD` points to; a fork takes its source's.
    pub default_ref: RefName,
    /// `Creating` or `Active`.
    pub state: RepositoryState,
    /// Who may see it.
    pub visibility: Visibility,
    /// A line about it.
    pub description: String,
    /// A name for the change: repeated under it, it answers with the repository that was made before.
    pub idempotency_key: Option<String>,
}

/// A repository whose first change makes its row too.
#[derive(Clone, Debug)]
pub(crate) struct Birth {
    pub(crate) new: NewRepository,
    /// The repository that it is a fork of: its LFS objects are shared too.
    pub(crate) source: RepositoryId,
    /// Packs of the source that it will share.
    pub(crate) shared: Vec<Pack>,
    /// Length of the pack of its own, in bytes.
    pub(crate) own_bytes: u64,
}

/// What is kept under the key of a change that makes or removes a repository: `7`, or of a fork `7 2 1024`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) id: RepositoryId,
    pub(crate) n_shared: usize,
    pub(crate) own_bytes: u64,
}

impl Remembered {
    fn parse(kept: &str) -> Option<Self> {
        let mut words = kept.split(' ');
        let id = words.next()?.parse().ok().map(RepositoryId::new)?;
        let mut number = || words.next().map_or(Some(0), |word| word.parse::<u64>().ok());
        let (n_shared, own_bytes) = (number()?, number()?);
        Some(Self { id, n_shared: usize::try_from(n_shared).unwrap_or(usize::MAX), own_bytes })
    }
}

/// Why a repository was not made or not deleted.
#[derive(Debug, thiserror::Error)]
pub enum LifeError {
    /// There is one of this name.
    #[error("making a repository")]
    Taken(#[source] Conflict),
    /// It is not in the state any more in which it was seen.
    #[error("repository has changed meanwhile")]
    Changed,
    /// The database failed.
    #[error("writing the row of a repository")]
    Store(#[from] StoreError),
}

/// What writing a row came to.
#[derive(Debug)]
pub(crate) enum Written {
    Yes,
    /// There is a repository of this name.
    Taken(Conflict),
    /// The same change was committed before.
    Repeated,
}

/// Why a transaction is taken back.
enum Abort {
    Life(LifeError),
    Repeated,
}

impl From<StoreError> for Abort {
    fn from(error: StoreError) -> Self {
        Self::Life(error.into())
    }
}

impl Repositories {
    /// Finds whose name this is. One question to the database.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn find_owner(&self, name: &OwnerName) -> Result<Option<OwnerId>, StoreError> {
        let owner = owners::find_by_name(&mut self.engine.db.read().await?, name).await?;
        Ok(owner.map(|owner| owner.id))
    }

    /// Makes an empty repository, with rows of the caller, in one transaction.
    ///
    /// # Errors
    /// [`LifeError`]; nothing has changed then.
    pub async fn create(&self, new: &NewRepository, also: impl Rows) -> Result<RepositoryId, LifeError> {
        let key = new.idempotency_key.as_deref().map(|key| format!("create:{key}"));
        let id: RepositoryId = self.engine.ids.next().await?;
        loop {
            if let Some(made) = self.repeated(key.as_deref()).await? {
                return Ok(made.id);
            }
            let now = self.engine.clock.now_ms();
            let made = self.engine.db.transaction(|tx| {
                let (key, also) = (key.as_deref(), &also);
                Box::pin(async move {
                    match write(tx, id, new, key.map(|key| (key, id.to_string())), now).await? {
                        Written::Yes => {}
                        Written::Taken(conflict) => return Err(Abort::Life(LifeError::Taken(conflict))),
                        Written::Repeated => return Err(Abort::Repeated),
                    }
                    Ok(also(tx, &nothing_moved()).await?)
                })
            });
            match made.await {
                Ok(()) => return Ok(id),
                Err(Abort::Life(error)) => return Err(error),
                // Somebody was faster under the same key.
                Err(Abort::Repeated) => {}
            }
        }
    }

    /// Deletes a repository that is in a state, with rows of the caller: it is gone for everybody, its name is free, and
    /// its bytes go later. Repeated under a key, it answers that it is done.
    ///
    /// # Errors
    /// [`LifeError::Changed`] if it is in another state.
    pub async fn delete(
        &self,
        id: RepositoryId,
        from: RepositoryState,
        also: impl Rows,
        idempotency_key: Option<&str>,
    ) -> Result<(), LifeError> {
        let key = idempotency_key.map(|key| format!("delete:{key}"));
        let now = self.engine.clock.now_ms();
        let deleted = self.engine.db.transaction(|tx| {
            let (key, also) = (key.as_deref(), &also);
            Box::pin(async move {
                if let Some(key) = key
                    && !idempotency::put(tx, NO_REPOSITORY, key, &id.to_string(), now).await?
                {
                    return Err(Abort::Repeated);
                }
                if !repositories::set_state(tx, id, from, RepositoryState::Deleted, now).await? {
                    return Err(Abort::Life(LifeError::Changed));
                }
                Ok(also(tx, &nothing_moved()).await?)
            })
        });
        match deleted.await {
            Ok(()) | Err(Abort::Repeated) => {}
            Err(Abort::Life(error)) => return Err(error),
        }
        self.forget(id);
        Ok(())
    }

    /// Says whether a deletion was done before under this key.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn is_deleted(&self, idempotency_key: &str) -> Result<bool, StoreError> {
        Ok(self.repeated(Some(&format!("delete:{idempotency_key}"))).await?.is_some())
    }

    /// Finds the repository that a change of the same key was about.
    pub(crate) async fn repeated(&self, key: Option<&str>) -> Result<Option<Remembered>, StoreError> {
        let Some(key) = key else { return Ok(None) };
        let kept = idempotency::find(&mut self.engine.db.read().await?, NO_REPOSITORY, key).await?;
        Ok(kept.as_deref().and_then(Remembered::parse))
    }
}

/// What rows of a caller are told where no ref moves.
fn nothing_moved() -> Committed {
    Committed { version: None, event: None, refs: Vec::new() }
}

/// Writes the row, and the answer under its key, which comes first: it tells a change that was done from a name that is
/// taken.
pub(crate) async fn write(
    conn: &mut Conn,
    id: RepositoryId,
    new: &NewRepository,
    kept: Option<(&str, String)>,
    now: i64,
) -> Result<Written, StoreError> {
    if let Some((key, answer)) = kept
        && !idempotency::put(conn, NO_REPOSITORY, key, &answer, now).await?
    {
        return Ok(Written::Repeated);
    }
    let row = Row {
        id,
        owner_id: new.owner,
        name: &new.name,
        object_format: new.object_format,
        default_ref: &new.default_ref,
        state: new.state,
        visibility: new.visibility,
        description: &new.description,
        created_at: now,
    };
    Ok(match repositories::insert(conn, &row).await? {
        Ok(()) => Written::Yes,
        Err(conflict) => Written::Taken(conflict),
    })
}

impl Birth {
    /// The key under which the answer of a fork is kept.
    pub(crate) fn key(&self) -> Option<String> {
        self.new.idempotency_key.as_deref().map(|key| format!("fork:{key}"))
    }

    /// What is kept under it.
    pub(crate) fn answer(&self, id: RepositoryId) -> String {
        format!("{id} {} {}", self.shared.len(), self.own_bytes)
    }

    /// Links the packs of the other repository, whose rows are locked from here on, so that nobody takes them away; false
    /// if one is gone already.
    pub(crate) async fn share(
        &self,
        conn: &mut Conn,
        id: RepositoryId,
        version: i64,
    ) -> Result<bool, StoreError> {
        for pack in &self.shared {
            if !packs::share(conn, pack.id, id, version).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Links the LFS objects of the source, and adds up their bytes.
    pub(crate) async fn share_lfs(
        &self,
        conn: &mut Conn,
        id: RepositoryId,
        at: i64,
    ) -> Result<i64, StoreError> {
        lfs_objects::share_all(conn, self.source, id, at).await
    }

    /// Adds up what is shared: it counts for each who has it.
    pub(crate) fn shared_bytes(&self) -> i64 {
        self.shared.iter().map(|pack| pack.size_bytes).fold(0, i64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use hakata_names::RepositoryId;

    use super::Remembered;

    #[test]
    fn answers_with_and_without_numbers_are_read() {
        let id = RepositoryId::new(7);
        assert_eq!(Remembered::parse("7"), Some(Remembered { id, n_shared: 0, own_bytes: 0 }));
        assert_eq!(Remembered::parse("7 2 1024"), Some(Remembered { id, n_shared: 2, own_bytes: 1_024 }));
        assert_eq!(Remembered::parse("7 x"), None);
    }
}

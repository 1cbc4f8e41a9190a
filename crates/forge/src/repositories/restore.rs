//! Bringing deleted repositories back.

use hakata_names::{RepositoryId, RepositoryPath};
use hakata_store::page::PageSize;
use hakata_store::repositories::{self as rows, Repository};
use hakata_store::{Conflict, RepositoryState, StoreError};
use serde_json::json;

use crate::{Actor, Error, Forge, Kind};

impl Forge {
    /// Lists the deleted repositories that nothing of is erased yet, by id.
    pub(crate) async fn deleted_repositories(&self) -> Result<Vec<Repository>, Error> {
        let (mut list, mut after) = (Vec::new(), None);
        let mut conn = self.db().read().await?;
        loop {
            let page = rows::list_in_state(&mut conn, RepositoryState::Deleted, after, PageSize::MAX).await?;
            list.extend(page.rows.into_iter().filter(is_whole));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(list),
            }
        }
    }

    /// Brings a deleted repository back under its old name. Only an administrator may: nobody else knows of it.
    pub(crate) async fn restore_repository(
        &self,
        actor: &Actor,
        id: RepositoryId,
    ) -> Result<RepositoryPath, Error> {
        let found = rows::find(&mut self.db().read().await?, id).await?;
        let found = found.filter(|row| actor.is_admin() && row.state == RepositoryState::Deleted);
        let row = found.filter(is_whole).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("there is no deleted repository {id}"))
                .with_hint("hakata repo list --deleted lists those that can be restored")
        })?;
        let path = row.path();
        let audit = self.audit(actor, "repo.restore", &path, json!({ "id": id.to_string() })).await?;
        let _changing = self.changing_policy();
        let restored = self.db().transaction(|tx| {
            let audit = &audit;
            Box::pin(async move {
                if let Err(taken) = rows::restore(tx, id).await? {
                    return Ok::<Result<(), Conflict>, StoreError>(Err(taken));
                }
                audit.write(tx).await?;
                Ok(Ok(()))
            })
        });
        restored.await?.map_err(|taken| {
            Error::new(Kind::Conflict, format!("there is another repository {path} now"))
                .with_hint("rename that one, or delete it")
                .with_source(taken)
        })?;
        self.repositories().forget(id);
        Ok(path)
    }
}

/// Tells whether nothing of a deleted repository is erased yet.
fn is_whole(row: &Repository) -> bool {
    row.deleted_at.is_some_and(|at| at > 0)
}

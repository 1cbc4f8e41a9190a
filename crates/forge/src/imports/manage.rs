//! Imports as people begin and see them.

use hakata_names::{ImportId, JobId, ObjectFormat, RepositoryPath};
use hakata_runtime::secret::Secret;
use hakata_store::imports::{self as rows, Import};
use hakata_store::jobs::{self, NewJob};
use hakata_store::page::PageSize;
use hakata_store::{ImportState, RepositoryState, StoreError, Visibility};

use crate::hosting::{self, Created};
use crate::remotes::{LoginWish, parse_url};
use crate::{Actor, Error, Forge, Kind};

/// The kind of jobs that bring in one repository.
const KIND: &str = "import";

/// An import to be begun.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) path: RepositoryPath,
    pub(crate) url: String,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret<String>>,
    pub(crate) visibility: Visibility,
    pub(crate) object_format: Option<ObjectFormat>,
    pub(crate) accepts_warnings: bool,
}

impl Forge {
    /// Begins an import where the actor may create; a worker does the rest.
    pub(crate) async fn begin_import(&self, actor: &Actor, wish: Wish) -> Result<ImportId, Error> {
        let target = parse_url(&wish.url)?;
        let login = LoginWish { user: wish.user, password: wish.password }.check()?;
        let new = hosting::Wish {
            object_format: wish.object_format.unwrap_or(ObjectFormat::Sha1),
            default_ref: self.default_ref()?,
            visibility: wish.visibility,
            state: RepositoryState::Creating,
            description: String::new(),
        };
        let repository = self.create_in_state(actor, &wish.path, new).await?;
        let mut created = Created::new(self, repository, &wish.path, wish.visibility);
        let (id, job): (ImportId, JobId) = (self.ids().next().await?, self.ids().next().await?);
        let login = match &login {
            Some(login) => Some(self.seal_login(id.into(), login).await?),
            None => None,
        };
        let now = self.clock().now_ms();
        let row = Import {
            id,
            repository,
            path: wish.path.to_string(),
            url: target.as_str().to_owned(),
            login,
            accepts_warnings: wish.accepts_warnings,
            actor: actor.user(),
            job,
            state: ImportState::Waiting,
            phase: None,
            size_bytes: 0,
            error: None,
            created_at: now,
            started_at: None,
            finished_at: None,
        };
        let (payload, authority) = (format!("{{\"import\":{id}}}"), target.authority());
        let begun = self.db().transaction(|tx| {
            let (row, payload, authority) = (&row, &payload, &authority);
            Box::pin(async move {
                rows::insert(tx, row).await?;
                let job = NewJob {
                    repository: Some(repository),
                    target: Some(authority),
                    payload,
                    ..NewJob::new(job, KIND, now)
                };
                jobs::enqueue(tx, &job).await.map(drop)
            })
        });
        begun.await.map_err(|error: StoreError| Error::from(error))?;
        created.keep();
        Ok(id)
    }

    /// Lists imports, the newest first.
    pub(crate) async fn list_imports(&self, most: usize) -> Result<Vec<Import>, Error> {
        Ok(rows::list(&mut self.db().read().await?, None, PageSize::new(most)).await?.rows)
    }

    /// Gives an import up that has not ended: nothing is left of it.
    pub(crate) async fn cancel_import(&self, actor: &Actor, id: ImportId) -> Result<(), Error> {
        let found = rows::find(&mut self.db().read().await?, id).await?;
        let import = found.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no import {id}")))?;
        let is_own = import.actor.is_some() && import.actor == actor.user();
        if !actor.is_admin() && !is_own {
            return Err(Error::new(Kind::NotFound, format!("there is no import {id}")));
        }
        let audit = self.audit(actor, "import.cancel", &import.path, serde_json::json!({})).await?;
        if !self.fail_import(&import, "cancelled", Some(&audit)).await? {
            return Err(Error::new(Kind::Conflict, format!("import {id} has ended")));
        }
        Ok(())
    }
}

/// Reads the import that a job is about.
pub(super) fn import_of(payload: &str) -> Option<ImportId> {
    let payload: serde_json::Value = serde_json::from_str(payload).ok()?;
    payload["import"].as_i64().map(ImportId::new)
}

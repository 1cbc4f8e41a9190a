//! Making the repository that is pushed to.

use hakata_names::{ObjectFormat, RefName, RepositoryId, RepositoryPath};
use hakata_repository::{LifeError, NewRepository};
use hakata_store::repositories;
use hakata_store::{RepositoryState, Visibility};
use serde_json::json;

use super::Creation;
use crate::{Error, Forge, Kind};

/// A repository just made for a push. Unless it is [kept](Self::keep), its row goes again when this is
/// dropped, also when that is because the client left.
pub(crate) struct Created {
    forge: Forge,
    pub(super) id: RepositoryId,
    pub(super) path: RepositoryPath,
    pub(super) visibility: Visibility,
    is_kept: bool,
}

/// What a new repository shall be.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) object_format: ObjectFormat,
    pub(crate) default_ref: RefName,
    pub(crate) visibility: Visibility,
    pub(crate) state: RepositoryState,
    pub(crate) description: String,
}

impl Forge {
    /// Makes the row of a repository.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when there is one of that name now.
    pub(crate) async fn create(&self, creation: &Creation, wish: Wish) -> Result<RepositoryId, Error> {
        let detail = json!({
            "visibility": wish.visibility.as_str(), "object_format": wish.object_format.name(),
        });
        let audit = self.audit(&creation.actor, "repo.create", &creation.path, detail).await?;
        let new = NewRepository {
            owner: creation.owner,
            name: creation.path.name.clone(),
            object_format: wish.object_format,
            default_ref: wish.default_ref,
            state: wish.state,
            visibility: wish.visibility,
            description: wish.description,
            idempotency_key: None,
        };
        let _changing = self.changing_policy();
        let created = self.repositories().create(&new, audit.rows()).await;
        created.map_err(|error| match error {
            LifeError::Taken(conflict) => {
                let words = format!("the repository {} exists already", creation.path);
                Error::new(Kind::Conflict, words).with_source(conflict)
            }
            other => other.into(),
        })
    }

    /// Makes the repository that a push goes to.
    pub(crate) async fn create_by_push(
        &self,
        creation: &Creation,
        visibility: Visibility,
    ) -> Result<Created, Error> {
        let wish = Wish {
            object_format: self.settings().default_object_format,
            default_ref: self.default_ref()?,
            visibility,
            state: RepositoryState::Active,
            description: String::new(),
        };
        let id = self.create(creation, wish).await?;
        hakata_runtime::fault::point("create.row");
        Ok(Created::new(self, id, &creation.path, visibility))
    }

    /// Takes back a repository into which nothing was pushed.
    pub(crate) async fn remove_unused(&self, id: RepositoryId) {
        let _changing = self.changing_policy();
        let removed =
            self.db().transaction(|tx| Box::pin(async move { repositories::remove_unused(tx, id).await }));
        if let Err(error) = removed.await {
            tracing::warn!(repository.id = id.get(), error = %error, "removing a repository that was never used");
        }
        self.repositories().forget(id);
    }
}

impl Created {
    /// Watches over a row just made.
    pub(crate) fn new(
        forge: &Forge,
        id: RepositoryId,
        path: &RepositoryPath,
        visibility: Visibility,
    ) -> Self {
        Self { forge: forge.clone(), id, path: path.clone(), visibility, is_kept: false }
    }

    /// Keeps the repository: there is something in it.
    pub(crate) fn keep(&mut self) {
        self.is_kept = true;
    }

    /// Takes it back now.
    pub(crate) async fn undo(mut self) {
        self.is_kept = true;
        self.forge.remove_unused(self.id).await;
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        if !self.is_kept {
            let (forge, id) = (self.forge.clone(), self.id);
            drop(self.forge.tasks().spawn("create.undo", async move { forge.remove_unused(id).await }));
        }
    }
}

//! Repositories begin and end. Who may do so, and how much, is judged by the caller.

use hakata_names::{ObjectFormat, RepositoryPath};
use hakata_repository::{
    Fork, ForkError, Forked, LifeError, NewRepository, RepositoryState, Visibility, no_rows,
};
use hakata_rpc::v1::{
    CreateRepositoryRequest, DeleteRepositoryRequest, DeleteRepositoryResponse, ForkRequest, ForkResponse,
    Repository as Message,
};
use hakata_rpc::{Call, Code, Status};

use super::super::made::checked_key;
use super::super::refs::actor;
use super::super::{Local, path, status};
use super::branch;

/// The branch that `HEAD` points to where nobody says otherwise.
const DEFAULT_REF: &[u8] = b"refs/heads/main";

/// The longest line about a repository, in bytes.
const MAX_DESCRIPTION: usize = 1_000;

impl Local {
    pub(super) async fn create_repository(
        &self,
        call: Call,
        request: CreateRepositoryRequest,
    ) -> Result<Message, Status> {
        let path = path(&request.path)?;
        let object_format = match request.object_format.as_str() {
            "" => ObjectFormat::Sha1,
            name => ObjectFormat::from_name(name)
                .ok_or_else(|| Status::invalid("the object format is sha1 or sha256"))?,
        };
        let default_ref = if request.default_ref.is_empty() { DEFAULT_REF } else { &request.default_ref };
        let new = NewRepository {
            object_format,
            default_ref: branch(default_ref)?,
            ..self.newborn(&path, request.description, &call).await?
        };
        let made = self.0.repositories.create(&new, no_rows).await.map_err(|error| life(&path, &error))?;
        let row = self.0.repositories.find_by_id(made).await.map_err(|error| status(&error))?;
        self.message(row.ok_or_else(|| Status::not_found("the repository was deleted"))?).await
    }

    pub(super) async fn delete_repository(
        &self,
        call: Call,
        request: DeleteRepositoryRequest,
    ) -> Result<DeleteRepositoryResponse, Status> {
        let key = checked_key(&call)?;
        if let Some(key) = key
            && self.0.repositories.is_deleted(key).await.map_err(|error| status(&error))?
        {
            return Ok(DeleteRepositoryResponse {});
        }
        let row = self.row(request.repository.as_ref()).await?;
        let deleted = self.0.repositories.delete(row.id, row.state, no_rows, key).await;
        deleted.map_err(|error| life(&row.path(), &error))?;
        Ok(DeleteRepositoryResponse {})
    }

    pub(super) async fn fork_repository(
        &self,
        call: Call,
        request: ForkRequest,
    ) -> Result<ForkResponse, Status> {
        let path = path(&request.path)?;
        if let Some(key) = checked_key(&call)?
            && let Some(forked) =
                self.0.repositories.find_forked(key).await.map_err(|error| status(&error))?
        {
            return self.forked(forked).await;
        }
        let source = self.repository(request.repository.as_ref()).await?;
        let fork = Fork {
            actor: actor(&call),
            new: self.newborn(&path, request.description, &call).await?,
            prefixes: request.ref_prefixes.iter().map(|prefix| prefix.to_vec()).collect(),
        };
        let forked = source.fork(&fork, no_rows).await.map_err(|error| match error {
            ForkError::Taken(_) => taken(&path),
            error => status(&error),
        })?;
        self.forked(forked).await
    }

    async fn forked(&self, forked: Forked) -> Result<ForkResponse, Status> {
        let row = self.0.repositories.find_by_id(forked.id).await.map_err(|error| status(&error))?;
        let row = row.ok_or_else(|| Status::not_found("the repository was deleted"))?;
        Ok(ForkResponse {
            repository: Some(self.message(row).await?),
            n_shared_packs: forked.n_shared as u64,
            copied_bytes: forked.own_bytes,
        })
    }

    /// Begins a repository that only its owner sees.
    async fn newborn(
        &self,
        path: &RepositoryPath,
        description: String,
        call: &Call,
    ) -> Result<NewRepository, Status> {
        if description.len() > MAX_DESCRIPTION {
            return Err(Status::invalid(format!("the description is longer than {MAX_DESCRIPTION} bytes")));
        }
        let owner = self.0.repositories.find_owner(&path.owner).await.map_err(|error| status(&error))?;
        Ok(NewRepository {
            owner: owner.ok_or_else(|| Status::not_found(format!("there is no owner {}", path.owner)))?,
            name: path.name.clone(),
            object_format: ObjectFormat::Sha1,
            default_ref: branch(DEFAULT_REF)?,
            state: RepositoryState::Active,
            visibility: Visibility::Private,
            description,
            idempotency_key: checked_key(call)?.map(str::to_owned),
        })
    }
}

fn life(path: &RepositoryPath, error: &LifeError) -> Status {
    match error {
        LifeError::Taken(_) => taken(path),
        LifeError::Changed => Status::new(Code::Aborted, error.to_string()),
        LifeError::Store(_) => status(error),
    }
}

fn taken(path: &RepositoryPath) -> Status {
    Status::new(Code::FailedPrecondition, format!("there is a repository {path} already"))
}

//! Repositories as a whole.

use bytes::Bytes;
use hakata_names::{RefName, RepositoryId};
use hakata_repository::{Atomicity, Finding, Intent, Prepared, Reason, RepositoryRow, no_rows};
use hakata_rpc::v1::{
    ArchiveRequest, ArchiveResponse, CreateBundleRequest, CreateBundleResponse, CreateRepositoryRequest,
    DeleteRepositoryRequest, DeleteRepositoryResponse, ForkRequest, ForkResponse, FsckRequest, FsckResponse,
    GetRepositoryRequest, ImportRequest, ImportResponse, ListRepositoriesRequest, ListRepositoriesResponse,
    OptimizeRequest, OptimizeResponse, Repository as Message, RepositoryExistsRequest,
    RepositoryExistsResponse, RepositoryService, RepositorySizeRequest, RepositorySizeResponse,
    SetDefaultBranchRequest, SetDefaultBranchResponse,
};
use hakata_rpc::{Answers, Call, Code, Pending, Status};

use super::made::checked_key;
use super::refs::actor;
use super::{Local, ref_name, status};
use crate::parts::parts;

mod files;
mod import;
mod life;

/// Findings of one part.
const FINDINGS: usize = 100;

impl RepositoryService for Local {
    fn get(&self, _call: Call, request: GetRepositoryRequest) -> Pending<Message> {
        let local = self.clone();
        Box::pin(async move {
            let row = local.row(request.repository.as_ref()).await?;
            local.message(row).await
        })
    }

    fn exists(&self, _call: Call, request: RepositoryExistsRequest) -> Pending<RepositoryExistsResponse> {
        let local = self.clone();
        Box::pin(async move {
            let exists = match local.row(request.repository.as_ref()).await {
                Ok(_) => true,
                Err(status) if status.code == Code::NotFound => false,
                Err(status) => return Err(status),
            };
            Ok(RepositoryExistsResponse { exists })
        })
    }

    fn list(&self, _call: Call, request: ListRepositoriesRequest) -> Answers<ListRepositoriesResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let mut after = after(&request.cursor)?;
            loop {
                let listed = local.0.repositories.list(after).await;
                let (rows, next) = listed.map_err(|error| status(&error))?;
                let mut repositories = Vec::with_capacity(rows.len());
                for row in rows {
                    repositories.push(local.message(row).await?);
                }
                let cursor =
                    next.map(|id| Bytes::copy_from_slice(&id.get().to_be_bytes())).unwrap_or_default();
                parts.give(ListRepositoriesResponse { repositories, cursor }).await?;
                after = next;
                if after.is_none() {
                    return Ok(());
                }
            }
        })
    }

    fn create(&self, call: Call, request: CreateRepositoryRequest) -> Pending<Message> {
        let local = self.clone();
        Box::pin(async move { local.create_repository(call, request).await })
    }

    fn delete(&self, call: Call, request: DeleteRepositoryRequest) -> Pending<DeleteRepositoryResponse> {
        let local = self.clone();
        Box::pin(async move { local.delete_repository(call, request).await })
    }

    fn fork(&self, call: Call, request: ForkRequest) -> Pending<ForkResponse> {
        let local = self.clone();
        Box::pin(async move { local.fork_repository(call, request).await })
    }

    fn optimize(&self, _call: Call, request: OptimizeRequest) -> Pending<OptimizeResponse> {
        let local = self.clone();
        Box::pin(async move {
            let repository = local.repository(request.repository.as_ref()).await?;
            let derived = repository.optimize().await.map_err(|error| status(&error))?;
            Ok(OptimizeResponse {
                n_packs: derived.n_packs as u64,
                size_bytes: derived.size_bytes,
                commit_graph: true,
                multi_pack_index: derived.multi_pack_index,
                bitmaps: derived.bitmaps,
            })
        })
    }

    fn size(&self, _call: Call, request: RepositorySizeRequest) -> Pending<RepositorySizeResponse> {
        let local = self.clone();
        Box::pin(async move {
            let repository = local.repository(request.repository.as_ref()).await?;
            let size = repository.size().await.map_err(|error| status(&error))?;
            Ok(RepositorySizeResponse {
                size_bytes: size.size_bytes,
                n_packs: size.n_packs,
                n_objects: size.n_objects,
            })
        })
    }

    fn set_default_branch(
        &self,
        call: Call,
        request: SetDefaultBranchRequest,
    ) -> Pending<SetDefaultBranchResponse> {
        let local = self.clone();
        Box::pin(async move {
            let name = branch(&request.ref_name)?;
            let row = local.row(request.repository.as_ref()).await?;
            let repository = local.0.repositories.open_row(&row).await.map_err(|error| status(&error))?;
            let intent = Intent {
                actor: actor(&call),
                reason: Reason::Settings,
                atomicity: Atomicity::Whole,
                policy_version: row.policy_version,
                default_ref: Some(name),
                idempotency_key: checked_key(&call)?.map(str::to_owned),
            };
            let prepared = Prepared::without_objects(Vec::new(), intent, repository.prune_epoch());
            let committed = repository.commit(prepared, no_rows).await.map_err(|error| status(&error))?;
            Ok(SetDefaultBranchResponse {
                version: committed.version.unwrap_or_else(|| repository.version()),
            })
        })
    }

    fn fsck(&self, _call: Call, request: FsckRequest) -> Answers<FsckResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let repository = local.repository(request.repository.as_ref()).await?;
            let findings = repository.verify().await.map_err(|error| status(&error))?;
            for findings in findings.chunks(FINDINGS) {
                let findings = findings.iter().map(finding).collect();
                parts.give(FsckResponse { findings }).await?;
            }
            Ok(())
        })
    }

    fn import(&self, call: Call, request: ImportRequest) -> Answers<ImportResponse> {
        let local = self.clone();
        parts(|parts| async move { local.import_repository(call, request, parts).await })
    }

    fn archive(&self, call: Call, request: ArchiveRequest) -> Answers<ArchiveResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            opened.archive(request, parts).await
        })
    }

    fn create_bundle(&self, call: Call, request: CreateBundleRequest) -> Answers<CreateBundleResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            opened.bundle(request, local.0.settings.limits.names, parts).await
        })
    }
}

impl Local {
    pub(super) async fn message(&self, row: RepositoryRow) -> Result<Message, Status> {
        let repository = self.0.repositories.open_row(&row).await.map_err(|error| status(&error))?;
        Ok(Message {
            id: row.id.get(),
            path: row.path().to_string(),
            object_format: row.object_format.to_string(),
            default_ref: Bytes::copy_from_slice(repository.default_ref().as_bytes()),
            version: repository.version(),
            empty: repository.snapshot().is_empty(),
            size_bytes: u64::try_from(row.size_bytes).unwrap_or(0),
        })
    }
}

/// Says what is wrong.
fn finding(found: &Finding) -> String {
    match found {
        Finding::Pack { pack, what } => format!("pack {pack}: {what}"),
        Finding::Object(what) | Finding::Directory(what) => what.clone(),
        Finding::Ref { name, .. } => format!("{name}: the directory and the rows do not agree"),
    }
}

fn after(cursor: &[u8]) -> Result<Option<RepositoryId>, Status> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let id = cursor.try_into().map(i64::from_be_bytes);
    id.map(|id| Some(RepositoryId::new(id))).map_err(|_| Status::invalid("the cursor is malformed"))
}

/// Reads the name of a branch.
pub(super) fn branch(name: &[u8]) -> Result<RefName, Status> {
    let name = ref_name(name)?;
    match name.branch() {
        Some(_) => Ok(name),
        None => {
            Err(Status::invalid(format!("{name} is no branch: its name does not begin with refs/heads/")))
        }
    }
}

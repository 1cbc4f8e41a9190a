//! Repositories of other hosts, brought in.

use hakata_git::remote::{FetchError, Remote};
use hakata_repository::{Committed, Import, ImportError, Progress, no_rows};
use hakata_rpc::v1::{ImportRequest, ImportResponse, ImportStage};
use hakata_rpc::{Call, Code, Status};
use tokio::sync::watch;

use super::super::made::checked_key;
use super::super::refs::actor;
use super::super::{Local, status};
use crate::addresses::allowed;
use crate::parts::Parts;

impl Local {
    pub(super) async fn import_repository(
        &self,
        call: Call,
        request: ImportRequest,
        parts: Parts<ImportResponse>,
    ) -> Result<(), Status> {
        let settings = &self.0.settings;
        let source = allowed(&request.url, &settings.import_from)?;
        let repository = self.repository(request.repository.as_ref()).await?;
        if let Some(kept) = self.answer_kept(&repository, &call).await? {
            let version = kept.committed.version.unwrap_or(0);
            let size = repository.size_of_version(version).await.map_err(|error| status(&error))?;
            return parts.give(done(&kept.committed, size.size_bytes, size.n_objects)).await;
        }
        if !repository.snapshot().is_empty() {
            return Err(Status::new(Code::FailedPrecondition, "the repository is not empty"));
        }
        let address = source.resolve().await?;
        let remote = Remote {
            resolved: address.map(|address| (source.host, source.port, vec![address])),
            max_bytes: settings.max_import_bytes,
            ..Remote::new(source.url)
        };
        let idempotency_key = checked_key(&call)?.map(str::to_owned);
        let import = Import { actor: actor(&call), idempotency_key, ..Import::new("") };
        // Who reads slowly misses progress, and holds nothing up; who leaves ends the import.
        let (tell, mut told) = watch::channel(None);
        let importing = repository.import_from(&remote, &import, no_rows, move |progress| {
            tell.send_replace(part(progress));
        });
        let telling = async {
            while told.changed().await.is_ok() {
                let progress = *told.borrow_and_update();
                if let Some(progress) = progress {
                    parts.give(progress).await?;
                }
            }
            Ok(())
        };
        let importing = async { importing.await.map_err(|error| refused(&error)) };
        let (imported, ()) = tokio::try_join!(importing, telling)?;
        parts.give(done(&imported.committed, imported.size_bytes, imported.n_objects.into())).await
    }
}

fn part(progress: Progress) -> Option<ImportResponse> {
    let (stage, size_bytes) = match progress {
        Progress::Fetching { size_bytes } => (ImportStage::Fetching, size_bytes),
        Progress::Indexing { size_bytes, .. } | Progress::Indexed { size_bytes, .. } => {
            (ImportStage::Indexing, size_bytes)
        }
        Progress::Opened { .. } => return None,
    };
    Some(ImportResponse { stage: stage.into(), size_bytes, ..ImportResponse::default() })
}

fn done(committed: &Committed, size_bytes: u64, n_objects: u64) -> ImportResponse {
    ImportResponse {
        stage: ImportStage::Done.into(),
        size_bytes,
        n_objects,
        n_refs: committed.n_accepted() as u64,
        version: committed.version.unwrap_or(0),
    }
}

fn refused(error: &ImportError) -> Status {
    match error {
        ImportError::Fetch(refused @ (FetchError::Refused(_) | FetchError::Login | FetchError::Format)) => {
            Status::new(Code::FailedPrecondition, refused.to_string())
        }
        ImportError::Fetch(large @ FetchError::TooLarge { .. }) => {
            Status::new(Code::ResourceExhausted, large.to_string())
        }
        ImportError::Foreign(_) => {
            tracing::info!(error = %error, "an import was refused");
            Status::new(Code::FailedPrecondition, "the objects of the other repository are not accepted")
        }
        error => status(error),
    }
}

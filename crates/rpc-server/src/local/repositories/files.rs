//! Repositories as files: archives and bundles.

use bytes::Bytes;
use hakata_git::read::{ArchiveFormat as Format, ArchiveQuery, BundleQuery, BundleRef};
use hakata_git::refs::{Head, Ref as GitRef};
use hakata_rpc::Status;
use hakata_rpc::v1::{
    ArchiveFormat, ArchiveRequest, ArchiveResponse, CreateBundleRequest, CreateBundleResponse,
};

use super::super::{Opened, ref_name, status, tree_path, tree_paths};
use crate::metrics::Limit;
use crate::parts::Parts;
use crate::settings::at_most;

impl Opened {
    pub(super) async fn archive(
        &self,
        request: ArchiveRequest,
        parts: Parts<ArchiveResponse>,
    ) -> Result<(), Status> {
        let format = match ArchiveFormat::try_from(request.format) {
            Ok(ArchiveFormat::Unspecified | ArchiveFormat::Tar) => Format::Tar,
            Ok(ArchiveFormat::TarGz) => Format::TarGz,
            Ok(ArchiveFormat::Zip) => Format::Zip,
            Err(_) => return Err(Status::invalid("there is no such format of archives")),
        };
        let prefix = request.prefix.strip_suffix(b"/").unwrap_or(&request.prefix);
        let (prefix, paths) = (tree_path(prefix)?, tree_paths(&request.paths)?);
        let root = self.resolve(request.revision.as_ref()).await?;
        let query = ArchiveQuery { root, format, prefix, paths };
        let begun = self.objects().archive(query, &self.allowance()).await;
        let mut archive = begun.map_err(|error| status(&error))?;
        while let Some(content) = archive.next().await.map_err(|error| status(&error))? {
            parts.give(ArchiveResponse { content }).await?;
        }
        Ok(())
    }

    /// Gives a bundle of at most so many names.
    pub(super) async fn bundle(
        &self,
        request: CreateBundleRequest,
        most: usize,
        parts: Parts<CreateBundleResponse>,
    ) -> Result<(), Status> {
        at_most(Limit::Names, request.ref_names.len() + request.excluded.len(), most)?;
        let refs = self.bundled(&request.ref_names)?;
        if refs.is_empty() {
            return Err(Status::invalid("the repository has nothing to be bundled"));
        }
        let excluded = self.commits(&request.excluded).await?;
        let query = BundleQuery { refs, excluded, format: self.repository.format() };
        let begun = self.objects().bundle(query, &self.allowance()).await;
        let mut bundle = begun.map_err(|error| status(&error))?;
        while let Some(content) = bundle.next().await.map_err(|error| status(&error))? {
            parts.give(CreateBundleResponse { content }).await?;
        }
        Ok(())
    }

    /// Finds the refs that were named, and `HEAD` where it points to one of them.
    fn bundled(&self, names: &[Bytes]) -> Result<Vec<BundleRef>, Status> {
        let snapshot = self.repository.snapshot();
        let found: Vec<GitRef> = match names {
            [] => snapshot.iter().cloned().collect(),
            names => {
                let find = |name: &Bytes| {
                    let name = ref_name(name)?;
                    let found = snapshot.find(&name).cloned();
                    found.ok_or_else(|| Status::not_found(format!("there is no {name}")))
                };
                names.iter().filter(|name| name.as_ref() != b"HEAD").map(find).collect::<Result<_, _>>()?
            }
        };
        let entry = |name: &[u8], found: &GitRef| BundleRef { name: name.to_vec(), oid: found.oid };
        let mut refs: Vec<_> = found.iter().map(|found| entry(found.name.as_bytes(), found)).collect();
        if let Head::Symbolic(head) = snapshot.head()
            && let Some(found) = snapshot.find(head)
            && (found_in(&refs, head.as_bytes()) || names.iter().any(|name| name.as_ref() == b"HEAD"))
        {
            refs.push(entry(b"HEAD", found));
        }
        Ok(refs)
    }
}

fn found_in(refs: &[BundleRef], name: &[u8]) -> bool {
    refs.iter().any(|at| at.name == name)
}

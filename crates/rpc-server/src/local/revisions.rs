//! What revisions name.

use hakata_git::objects::Kind;
use hakata_git::refs::RefSnapshot;
use hakata_names::{Oid, RefName};
use hakata_rpc::Status;
use hakata_rpc::v1::Revision;

use super::{Opened, oid, ref_name};

/// Looks a full ref name, or `HEAD`, up.
pub(super) fn look_up(snapshot: &RefSnapshot, name: &[u8]) -> Option<Oid> {
    if name == b"HEAD" {
        return snapshot.head_target();
    }
    snapshot.find(&RefName::parse(name).ok()?).map(|found| found.oid)
}

impl Opened {
    /// Finds the object that a revision names; none names what `HEAD` points to.
    pub(super) async fn resolve(&self, revision: Option<&Revision>) -> Result<Oid, Status> {
        let snapshot = self.repository.snapshot().clone();
        let default = Revision::default();
        let revision = revision.unwrap_or(&default);
        let set = [!revision.oid.is_empty(), !revision.ref_name.is_empty(), !revision.expression.is_empty()];
        if set.into_iter().filter(|set| *set).count() > 1 {
            return Err(Status::invalid("a revision is an oid, a ref or an expression, not several of them"));
        }
        if !revision.oid.is_empty() {
            return oid(&revision.oid, self.repository.format());
        }
        if !revision.ref_name.is_empty() {
            let name = ref_name(&revision.ref_name)?;
            let found = snapshot.find(&name).map(|found| found.oid);
            return found.ok_or_else(|| Status::not_found(format!("there is no {name}")));
        }
        if revision.expression.is_empty() {
            return snapshot
                .head_target()
                .ok_or_else(|| Status::not_found("the default branch has no commit yet"));
        }
        let expression = revision.expression.clone().into_bytes();
        self.read(move |view| view.resolve(&expression, &|name| look_up(&snapshot, name))).await
    }

    /// Finds the commit that a revision names; tag objects are followed.
    pub(super) async fn commit(&self, revision: Option<&Revision>) -> Result<Oid, Status> {
        let oid = self.resolve(revision).await?;
        self.read(move |view| view.resolve(format!("{oid}^{{commit}}").as_bytes(), &|_| None)).await
    }

    /// Says what an object is.
    pub(super) async fn kind(&self, oid: Oid) -> Result<Kind, Status> {
        let header = self.read(move |view| view.header(&oid)).await?;
        let header = header.ok_or_else(|| Status::not_found(format!("object {oid} does not exist")))?;
        Ok(header.kind)
    }

    /// Finds several commits.
    pub(super) async fn commits(&self, revisions: &[Revision]) -> Result<Vec<Oid>, Status> {
        let mut commits = Vec::with_capacity(revisions.len());
        for revision in revisions {
            commits.push(self.commit(Some(revision)).await?);
        }
        Ok(commits)
    }
}

/// Says in the contract's words what an object is.
pub(super) fn kind(kind: Kind) -> hakata_rpc::v1::ObjectKind {
    use hakata_rpc::v1::ObjectKind;
    match kind {
        Kind::Commit => ObjectKind::Commit,
        Kind::Tree => ObjectKind::Tree,
        Kind::Blob => ObjectKind::Blob,
        Kind::Tag => ObjectKind::Tag,
    }
}

//! What revisions name.

use hakata_git::objects::{Kind, ReadError, View};
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

/// What a revision names, as far as that can be said without reading objects.
#[derive(Clone, Debug)]
pub(super) enum Named {
    Object(Oid),
    Expression { expression: String, snapshot: RefSnapshot },
}

impl Named {
    /// Finds the object.
    pub(super) fn object(&self, view: &View) -> Result<Oid, ReadError> {
        match self {
            Self::Object(oid) => Ok(*oid),
            Self::Expression { expression, snapshot } => {
                view.resolve(expression.as_bytes(), &|name| look_up(snapshot, name))
            }
        }
    }

    /// Finds the commit; tag objects are followed.
    pub(super) fn commit(&self, view: &View) -> Result<Oid, ReadError> {
        view.commit_of(&self.object(view)?)
    }
}

impl Opened {
    /// Reads what a revision names; none names what `HEAD` points to.
    pub(super) fn named(&self, revision: Option<&Revision>) -> Result<Named, Status> {
        let snapshot = self.repository.snapshot();
        let default = Revision::default();
        let revision = revision.unwrap_or(&default);
        let set = [!revision.oid.is_empty(), !revision.ref_name.is_empty(), !revision.expression.is_empty()];
        if set.into_iter().filter(|set| *set).count() > 1 {
            return Err(Status::invalid("a revision is an oid, a ref or an expression, not several of them"));
        }
        if !revision.oid.is_empty() {
            return oid(&revision.oid, self.repository.format()).map(Named::Object);
        }
        if !revision.ref_name.is_empty() {
            let name = ref_name(&revision.ref_name)?;
            let found = snapshot.find(&name).map(|found| Named::Object(found.oid));
            return found.ok_or_else(|| Status::not_found(format!("there is no {name}")));
        }
        if revision.expression.is_empty() {
            let found = snapshot.head_target().map(Named::Object);
            return found.ok_or_else(|| Status::not_found("the default branch has no commit yet"));
        }
        Ok(Named::Expression { expression: revision.expression.clone(), snapshot: snapshot.clone() })
    }

    /// Finds what a revision names, and what kind of object that is, without a visit to the objects.
    fn at_once(&self, named: &Named) -> Option<(Oid, Kind)> {
        match named {
            Named::Object(oid) => {
                // What somebody names by its oid may be gone.
                let is_tip = self.repository.snapshot().head_target() == Some(*oid);
                (is_tip && self.objects().knows_commit(oid)).then_some((*oid, Kind::Commit))
            }
            Named::Expression { expression, snapshot } => {
                let refs = |name: &[u8]| look_up(snapshot, name);
                self.objects().resolve_at_once(expression.as_bytes(), &refs)
            }
        }
    }

    /// Finds what a revision names, and what kind of object that is, in a visit to the objects if need be.
    pub(super) async fn resolve_kind(&self, revision: Option<&Revision>) -> Result<(Oid, Kind), Status> {
        let named = self.named(revision)?;
        if let Some(found) = self.at_once(&named) {
            return Ok(found);
        }
        self.read(move |view| {
            let oid = named.object(view)?;
            Ok((oid, view.header(&oid)?.ok_or(ReadError::Absent(oid))?.kind))
        })
        .await
    }

    /// Finds the object that a revision names, in a visit of its own to the objects unless it is known already.
    pub(super) async fn resolve(&self, revision: Option<&Revision>) -> Result<Oid, Status> {
        let named = self.named(revision)?;
        if let Named::Object(oid) = named {
            return Ok(oid);
        }
        match self.at_once(&named) {
            Some((oid, _)) => Ok(oid),
            None => self.read(move |view| named.object(view)).await,
        }
    }

    /// Finds the commit that a revision names, in a visit of its own to the objects unless it is known already.
    pub(super) async fn commit(&self, revision: Option<&Revision>) -> Result<Oid, Status> {
        let named = self.named(revision)?;
        match self.at_once(&named) {
            Some((oid, Kind::Commit)) => Ok(oid),
            _ => self.read(move |view| named.commit(view)).await,
        }
    }

    /// Says what an object is.
    pub(super) async fn kind(&self, oid: Oid) -> Result<Kind, Status> {
        let header = self.read(move |view| view.header(&oid)).await?;
        let header = header.ok_or_else(|| Status::not_found(format!("object {oid} does not exist")))?;
        Ok(header.kind)
    }

    /// Finds several commits in one visit to the objects.
    pub(super) async fn commits(&self, revisions: &[Revision]) -> Result<Vec<Oid>, Status> {
        if revisions.is_empty() {
            return Ok(Vec::new());
        }
        let named = revisions.iter().map(|revision| self.named(Some(revision)));
        let named = named.collect::<Result<Vec<_>, _>>()?;
        self.read(move |view| named.iter().map(|named| named.commit(view)).collect()).await
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

//! The branch that receives.

use bytes::Bytes;
use hakata_names::{Oid, RefName};
use hakata_rpc::v1::{Moved, RepositoryKey, Revision};
use hakata_rpc::{Call, Status};

use super::super::messages::{oid_bytes, optional};
use super::super::repositories::branch;
use super::super::{Local, Opened, optional_oid};

/// A branch, and where it was when the operation began.
pub(in super::super) struct Target {
    pub(in super::super) opened: Opened,
    pub(in super::super) name: RefName,
    pub(in super::super) oid: Oid,
}

impl Target {
    /// Finds a branch.
    pub(in super::super) async fn find(
        local: &Local,
        key: Option<&RepositoryKey>,
        name: &[u8],
        call: &Call,
    ) -> Result<Self, Status> {
        let name = branch(name)?;
        let opened = local.open(key, call).await?;
        let found = opened.repository.snapshot().find(&name).map(|found| found.oid);
        let oid = found.ok_or_else(|| Status::not_found(format!("there is no {name}")))?;
        Ok(Self { opened, name, oid })
    }

    /// Checks that it is where the caller thinks.
    pub(in super::super) fn at(self, expected: &[u8]) -> Result<Self, Status> {
        match optional_oid(expected, self.opened.repository.format())? {
            Some(expected) if expected != self.oid => {
                Err(moved(self.name.as_bytes(), &expected, Some(&self.oid)))
            }
            _ => Ok(self),
        }
    }

    /// Finds a commit that is offered, and checks that it is what the caller thinks.
    pub(in super::super) async fn offered(
        &self,
        head: Option<&Revision>,
        expected: &[u8],
    ) -> Result<Oid, Status> {
        let head = head.ok_or_else(|| Status::invalid("the request names no head"))?;
        let oid = self.opened.commit(Some(head)).await?;
        match optional_oid(expected, self.opened.repository.format())? {
            Some(expected) if expected != oid => Err(moved(&head.ref_name, &expected, Some(&oid))),
            _ => Ok(oid),
        }
    }
}

/// Says that a ref is not where the caller thinks.
pub(in super::super) fn moved(name: &[u8], expected: &Oid, actual: Option<&Oid>) -> Status {
    let said = if name.is_empty() { "the head".into() } else { String::from_utf8_lossy(name) };
    let message = match actual {
        Some(actual) => format!("{said} is at {actual}, not at {expected}"),
        None => format!("{said} does not exist"),
    };
    let moved = Moved {
        ref_name: Bytes::copy_from_slice(name),
        expected_oid: oid_bytes(expected),
        actual_oid: optional(actual),
    };
    Status::moved(message, moved)
}

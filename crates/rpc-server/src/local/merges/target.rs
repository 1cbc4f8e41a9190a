//! The branch that receives.

use bytes::Bytes;
use hakata_names::{Oid, RefName};
use hakata_rpc::v1::{Form, MergeResponse, Moved, RepositoryKey, Revision};
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

/// The branch that a request names, and where its caller thinks it is; empty means anywhere.
pub(in super::super) struct Receiver {
    repository: Option<RepositoryKey>,
    ref_name: Bytes,
    expected: Bytes,
}

impl Receiver {
    pub(in super::super) fn of(repository: Option<RepositoryKey>, ref_name: Bytes, expected: Bytes) -> Self {
        Self { repository, ref_name, expected }
    }
}

impl Local {
    /// Does what moves a branch, unless a call of the same name did it before: then that one's answer comes again,
    /// wherever the branch is by now.
    pub(in super::super) async fn once<F>(
        &self,
        receiver: Receiver,
        (form, call): (Form, &Call),
        work: F,
    ) -> Result<MergeResponse, Status>
    where
        F: AsyncFnOnce(Target) -> Result<MergeResponse, Status>,
    {
        let name = branch(&receiver.ref_name)?;
        let opened = self.open(receiver.repository.as_ref(), call).await?;
        let repository = opened.repository.clone();
        if let Some(answer) = self.merged_before(&repository, &name, (form, call)).await? {
            return Ok(answer);
        }
        let done = match Target::find(opened, name.clone(), &receiver.expected) {
            Ok(target) => work(target).await,
            Err(error) => Err(error),
        };
        match done {
            // Its own repetition may have been faster.
            Err(error) => self.merged_before(&repository, &name, (form, call)).await?.ok_or(error),
            done => done,
        }
    }
}

impl Target {
    /// Finds a branch, which must be where the caller thinks.
    fn find(opened: Opened, name: RefName, expected: &[u8]) -> Result<Self, Status> {
        let found = opened.repository.snapshot().find(&name).map(|found| found.oid);
        let oid = found.ok_or_else(|| Status::not_found(format!("there is no {name}")))?;
        match optional_oid(expected, opened.repository.format())? {
            Some(expected) if expected != oid => Err(moved(name.as_bytes(), &expected, Some(&oid))),
            _ => Ok(Self { opened, name, oid }),
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

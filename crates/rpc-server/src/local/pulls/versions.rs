//! The refs of a pull request.
//!
//! ```text
//! refs/pull/N/head      the head that is offered now
//! refs/pull/N/V/head    the head of version V, from 1 on
//! refs/pull/N/V/base    where the branch that receives was then
//! ```
//! A commit that was offered stays as long as its version: what people said about it can be shown after a forced push.

use std::fmt;

use hakata_git::refs::RefSnapshot;
use hakata_names::{Oid, RefName, RefUpdate};
use hakata_rpc::Status;

/// One pull request, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pull(i64);

/// A head that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) number: u32,
    pub(super) head: Oid,
    pub(super) base: Oid,
}

impl fmt::Display for Pull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pull request {}", self.0)
    }
}

impl Pull {
    pub(super) fn numbered(number: i64) -> Result<Self, Status> {
        if number > 0 {
            Ok(Self(number))
        } else {
            Err(Status::invalid("pull requests have numbers from 1 on"))
        }
    }

    fn prefix(self) -> String {
        format!("refs/pull/{}/", self.0)
    }

    fn name(self, rest: &str) -> Result<RefName, Status> {
        let name = format!("{}{rest}", self.prefix());
        RefName::parse(name.as_bytes()).map_err(|error| Status::invalid(format!("{name}: {error}")))
    }

    /// Names the ref that follows the newest version.
    pub(super) fn head(self) -> Result<RefName, Status> {
        self.name("head")
    }

    /// Names the ref that keeps the head of a version.
    pub(super) fn head_of(self, version: &Version) -> Result<RefName, Status> {
        self.name(&format!("{}/head", version.number))
    }

    /// Lists the versions, the oldest first; none if there is no such pull request.
    pub(super) fn versions(self, snapshot: &RefSnapshot) -> Vec<Version> {
        let prefix = self.prefix();
        let find = |number: u32, side: &str| {
            let name = RefName::parse(format!("{prefix}{number}/{side}").as_bytes()).ok()?;
            snapshot.find(&name).map(|found| found.oid)
        };
        // Each version follows the one before, so the first that is absent is the end.
        let versions = (1..=u32::MAX).map_while(|number| {
            Some(Version { number, head: find(number, "head")?, base: find(number, "base")? })
        });
        versions.collect()
    }

    /// As [`versions`](Self::versions), where there has to be one.
    pub(super) fn get_versions(self, snapshot: &RefSnapshot) -> Result<Vec<Version>, Status> {
        let versions = self.versions(snapshot);
        if versions.is_empty() { Err(Status::not_found(format!("there is no {self}"))) } else { Ok(versions) }
    }

    /// Lists the moves that make a version.
    pub(super) fn updates(self, version: &Version, before: Option<Oid>) -> Result<Vec<RefUpdate>, Status> {
        let number = version.number;
        Ok(vec![
            RefUpdate { name: self.head()?, old: before, new: Some(version.head) },
            RefUpdate { name: self.head_of(version)?, old: None, new: Some(version.head) },
            RefUpdate { name: self.name(&format!("{number}/base"))?, old: None, new: Some(version.base) },
        ])
    }
}

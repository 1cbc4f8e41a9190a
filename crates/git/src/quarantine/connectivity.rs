//! Whether everything that new tips lead to is there.

use std::io;

use hakata_names::Oid;

use super::Quarantine;
use crate::Git;
use crate::command::{Command, Subcommand};
use crate::process::{ChildError, ask};

/// Runs of git that looking for the culprits among many tips may take; tips left over count as culprits.
const MAX_RUNS: usize = 128;

/// A tip that something is missing behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnected {
    /// The tip.
    pub tip: Oid,
    /// Why it cannot be accepted.
    pub why: Why,
}

/// Why a tip cannot be accepted. The text is git's own in `ng <ref> …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Objects are missing.
    #[error("missing necessary objects")]
    Missing,
    /// History ends at the client's shallow boundary, and this repository has a whole one.
    #[error("shallow update not allowed")]
    Shallow,
}

/// Why it cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum ConnectivityError {
    /// git did not run.
    #[error("running git")]
    Child(#[source] ChildError),
    /// The quarantine cannot be used.
    #[error("preparing the check of connectivity")]
    Storage(#[source] io::Error),
}

impl Quarantine {
    /// Checks that every object behind each tip is in the quarantine or reachable from the refs of the
    /// repository behind it. Returns the tips for which it is not so.
    ///
    /// One run of git if all is well; otherwise a bounded search for the culprits.
    ///
    /// # Errors
    /// Any [`ConnectivityError`].
    pub async fn check_connected(
        &self,
        git: &Git,
        tips: &[Oid],
        shallow: &[Oid],
    ) -> Result<Vec<Disconnected>, ConnectivityError> {
        let mut missing = Vec::new();
        let mut groups = Vec::from_iter((!tips.is_empty()).then_some(tips));
        let mut n_runs = 0;
        while let Some(group) = groups.pop() {
            n_runs += 1;
            if n_runs > MAX_RUNS {
                missing.extend_from_slice(group);
            } else if !self.is_connected(git, group, None).await? {
                match group {
                    [tip] => missing.push(*tip),
                    group => {
                        let (left, right) = group.split_at(group.len() / 2);
                        groups.extend([right, left]);
                    }
                }
            }
        }
        self.explain(git, &missing, shallow).await
    }

    /// Tells tips that only the shallow boundary cuts off from those that lack objects.
    async fn explain(
        &self,
        git: &Git,
        missing: &[Oid],
        shallow: &[Oid],
    ) -> Result<Vec<Disconnected>, ConnectivityError> {
        let mut explained = Vec::with_capacity(missing.len());
        for tip in missing.iter().copied() {
            let is_shallow = !shallow.is_empty()
                && explained.len() < MAX_RUNS
                && self.is_connected(git, &[tip], Some(shallow)).await?;
            explained.push(Disconnected { tip, why: if is_shallow { Why::Shallow } else { Why::Missing } });
        }
        Ok(explained)
    }

    async fn is_connected(
        &self,
        git: &Git,
        tips: &[Oid],
        shallow: Option<&[Oid]>,
    ) -> Result<bool, ConnectivityError> {
        let mut command = self.new_objects().flag("--objects").flag("--quiet");
        if let Some(shallow) = shallow {
            let path = self.write_shallow(shallow).map_err(ConnectivityError::Storage)?;
            command = command.env("GIT_SHALLOW_FILE", path);
        }
        let (finished, _) = ask(git, &command, lines(tips), 0).await.map_err(ConnectivityError::Child)?;
        match finished.status.code() {
            Some(0) => Ok(true),
            // git dies of an object that is not there.
            Some(_) => Ok(false),
            None => Err(ConnectivityError::Child(finished.failed())),
        }
    }

    /// Starts a `rev-list` of what is not reachable from the repository's refs.
    pub(super) fn new_objects(&self) -> Command {
        let command = Command::new(Subcommand::RevList);
        let command = match &self.base {
            Some(base) => command.dir(base).objects(&self.dir.objects(), &base.objects()),
            None => command.dir(&self.dir),
        };
        command.flag("--stdin").flag("--not").flag("--all")
    }
}

/// Writes ids for `--stdin`, which stands before `--not` on the command line and so is not negated.
pub(super) fn lines(tips: &[Oid]) -> Vec<u8> {
    let mut out = Vec::with_capacity(tips.len() * 65);
    for tip in tips {
        tip.write_hex(&mut out);
        out.push(b'\n');
    }
    out
}

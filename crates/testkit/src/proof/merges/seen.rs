//! What branches show after a crash.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::super::whole::CLONE;
use super::calls::{Adds, Asked, Outcome};
use crate::{Person, run};

/// Branches of a clone, and repositories beside it.
pub(super) struct Seen {
    branches: BTreeMap<String, Branch>,
    repositories: BTreeSet<String>,
}

#[derive(Default)]
struct Branch {
    oids: HashSet<String>,
    /// How many commits have this subject.
    subjects: HashMap<String, usize>,
}

impl Seen {
    /// Looks at the branches of the last clone that were to get something.
    pub(super) fn read(person: &Person, asked: &[Asked], repositories: BTreeSet<String>) -> Result<Self> {
        let git = |arguments: &[&str]| -> Result<String> {
            let output = run(&mut person.git(2, &[&["-C", CLONE], arguments].concat()))?;
            Ok(output.expect_success(&format!("git {arguments:?}"))?.stdout)
        };
        let listed = git(&["for-each-ref", "--format=%(refname)"])?;
        let present: BTreeSet<&str> = listed.lines().collect();
        let mut branches = BTreeMap::new();
        for asked in asked {
            if let Adds::Commits { branch, .. } = &asked.adds
                && present.contains(branch.as_str())
                && !branches.contains_key(branch)
            {
                let log = git(&["log", "--format=%H %s", branch, "--"])?;
                branches.insert(branch.clone(), Branch::parse(&log));
            }
        }
        Ok(Self { branches, repositories })
    }

    /// Says whether a change happened; one that happened in part or twice is an error.
    pub(super) fn has(&self, asked: &Asked) -> Result<bool> {
        let (branch, subjects) = match &asked.adds {
            Adds::Repository { path } => return Ok(self.repositories.contains(path)),
            Adds::Commits { branch, subjects } => (branch, subjects),
        };
        let found = self.branches.get(branch);
        let count = |subject: &String| found.and_then(|found| found.subjects.get(subject)).copied();
        let counts: Vec<usize> = subjects.iter().map(|subject| count(subject).unwrap_or(0)).collect();
        let (none, once) = (counts.iter().all(|n| *n == 0), counts.iter().all(|n| *n == 1));
        let Asked { operation, key, .. } = asked;
        ensure!(none || once, "{operation} {key} is {counts:?} times in {branch}: {subjects:?}");
        Ok(once)
    }

    /// Checks that all that was acknowledged is there, and that nothing is that was refused.
    pub(super) fn check(&self, asked: &[Asked]) -> Result<()> {
        for asked in asked {
            let (is_there, Asked { operation, key, .. }) = (self.has(asked)?, asked);
            match &asked.outcome {
                Outcome::Unknown => {}
                Outcome::Refused => ensure!(!is_there, "{operation} {key} was refused and happened"),
                Outcome::Acknowledged(answer) => {
                    ensure!(is_there, "{operation} {key} was acknowledged and is lost: {answer}");
                    self.check_oid(asked, answer)?;
                }
            }
        }
        Ok(())
    }

    /// Checks that the commit that an answer names is in the history of the branch.
    fn check_oid(&self, asked: &Asked, answer: &Value) -> Result<()> {
        let Adds::Commits { branch, .. } = &asked.adds else { return Ok(()) };
        // A move of a prepared change is answered without one.
        let Some(oid) = answer.get("oid") else { return Ok(()) };
        let oid = oid.as_str().context("an oid is text")?;
        let is_there = self.branches.get(branch).is_some_and(|branch| branch.oids.contains(oid));
        ensure!(is_there, "{} {}: {branch} has no {oid}", asked.operation, asked.key);
        Ok(())
    }
}

impl Branch {
    fn parse(log: &str) -> Self {
        let mut branch = Self::default();
        for (oid, subject) in log.lines().filter_map(|line| line.split_once(' ')) {
            branch.oids.insert(oid.to_owned());
            *branch.subjects.entry(subject.to_owned()).or_default() += 1;
        }
        branch
    }
}

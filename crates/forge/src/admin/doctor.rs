//! `hakata doctor`: what is cheap to look at and would hurt later.

use hakata_git::Version;

use super::{Cell, Outcome, Table};
use crate::{Error, Forge};

/// Versions before this one have holes that a hosted repository can reach. Source: git's security advisories of
/// July 2025.
const SECURITY_FLOOR: Version = Version { major: 2, minor: 43, patch: 7 };

pub(super) async fn run(forge: &Forge) -> Result<Outcome, Error> {
    let mut findings = Table::new(&["what", "finding", "hint"]);
    let mut find = |what: &str, finding: String, hint: &str| {
        findings.push(vec![Cell::text(what), Cell::text(finding), Cell::text(hint)]);
    };
    let version = forge.git().version();
    if version < SECURITY_FLOOR {
        let finding = format!("git {version} has known holes");
        find("git", finding, "upgrade to the newest git, or name another one as [git] binary");
    }
    if let Err(error) = forge.db().ping().await {
        find("database", error.to_string(), "look at the database's own log");
    }
    let users = forge.list_users().await?;
    if users.is_empty() {
        find(
            "users",
            "there are no users".to_owned(),
            "hakata user add NAME --admin --key ~/.ssh/id_ed25519.pub",
        );
    } else if !users.iter().any(|user| user.is_admin) {
        find("users", "nobody is an administrator".to_owned(), "hakata user admin NAME");
    }
    Ok(Outcome::Findings(findings))
}

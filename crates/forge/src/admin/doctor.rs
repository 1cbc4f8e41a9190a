//! `hakata doctor`: what is cheap to look at and would hurt later.

use super::{Cell, Outcome, Table};
use crate::{Error, Forge};

pub(super) async fn run(forge: &Forge) -> Result<Outcome, Error> {
    let mut findings = Table::new(&["what", "finding", "hint"]);
    let mut find = |what: &str, finding: String, hint: &str| {
        findings.push(vec![Cell::text(what), Cell::text(finding), Cell::text(hint)]);
    };
    let version = forge.git().version();
    if version.has_known_holes() {
        let finding = format!("git {version} has known holes unless its vendor mended it");
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

//! Floors and the isolation of faces, from cargo's own metadata.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Finding;

/// What a face (floor 5) may see besides floor 0.
const FACES_SEE: [&str; 2] = ["hakata-forge", "hakata-service"];

/// Development crates, which stand beside the building.
const BESIDE: [&str; 3] = ["xtask", "hakata-testkit", "hakata-bench"];

/// Libraries that one crate alone may use, so that their names stay behind its interface.
const OWNED: [(&str, &str); 4] =
    [("sqlx", "hakata-store"), ("gix", "hakata-git"), ("russh", "hakata-ssh"), ("argon2", "hakata-forge")];

/// Checks every dependency edge between our crates, and who uses the guarded libraries.
///
/// # Errors
/// If cargo cannot tell its metadata.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let packages = packages(root)?;
    let levels: BTreeMap<&str, Option<i64>> = packages
        .iter()
        .map(|package| (name(package), package["metadata"]["floor"]["level"].as_i64()))
        .collect();
    let mut findings = Vec::new();
    for package in &packages {
        let this = name(package);
        if BESIDE.contains(&this) {
            continue;
        }
        let Some(level) = levels[this] else {
            findings.push(Finding::new(this, "say `[package.metadata.floor] level = …` in Cargo.toml"));
            continue;
        };
        for needed in package["dependencies"].as_array().into_iter().flatten() {
            if needed["kind"] == "dev" {
                continue;
            }
            findings.extend(edge(this, level, name(needed), &levels));
        }
    }
    Ok(findings)
}

fn packages(root: &Path) -> Result<Vec<Value>> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("asking cargo for metadata")?;
    ensure!(output.status.success(), "cargo metadata ended with {}", output.status);
    let metadata: Value = serde_json::from_slice(&output.stdout).context("reading cargo's metadata")?;
    Ok(metadata["packages"].as_array().cloned().unwrap_or_default())
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap_or_default()
}

/// Judges one dependency of `this` on `needed`.
fn edge(this: &str, level: i64, needed: &str, levels: &BTreeMap<&str, Option<i64>>) -> Option<Finding> {
    if let Some((library, owner)) = OWNED.iter().find(|(library, owner)| *library == needed && *owner != this)
    {
        return Some(Finding::new(this, format!("only {owner} may use {library}")));
    }
    let lower = (*levels.get(needed)?)?;
    if lower >= level {
        return Some(Finding::new(
            this,
            format!("floor {level} may not depend on {needed} of floor {lower}"),
        ));
    }
    let hidden = level == 5 && lower > 0 && !FACES_SEE.contains(&needed);
    hidden.then(|| Finding::new(this, format!("a face may not see {needed}: ask forge")))
}

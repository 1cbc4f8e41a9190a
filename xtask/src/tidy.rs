//! `cargo xtask tidy`: the rules of the house that a machine can check.
//!
//! Each submodule checks one family of rules and returns what it found; nothing stops at the first finding.

mod effects;
mod files;
mod floors;
mod source;
mod words;

use std::path::Path;

use anyhow::{Result, bail};

/// One broken rule: where, and what to do.
pub(crate) struct Finding {
    place: String,
    rule: String,
}

impl Finding {
    fn new(place: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { place: place.into(), rule: rule.into() }
    }
}

/// Checks the whole workspace and prints every finding.
///
/// # Errors
/// If anything was found, or the workspace cannot be read.
pub(crate) fn run(root: &Path) -> Result<()> {
    let files = source::tracked(root)?;
    let sources: Vec<_> = files.iter().filter_map(|file| source::Source::read(root, file)).collect();
    let mut findings = floors::check(root)?;
    findings.extend(files::check(root, &files, &sources));
    findings.extend(effects::check(&sources));
    findings.extend(words::check(&sources));
    for finding in &findings {
        println!("{}: {}", finding.place, finding.rule);
    }
    if !findings.is_empty() {
        bail!("tidy found {} broken rules", findings.len());
    }
    println!("tidy: {} files, nothing found", files.len());
    Ok(())
}

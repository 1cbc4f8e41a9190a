//! Sizes and shapes of files.

use std::path::Path;

use super::Finding;
use super::source::Source;

/// Longest file in lines, its tests not counted.
const MAX_FILE_LINES: usize = 500;

/// Longest crate root in lines: it is a table of contents.
const MAX_LIB_LINES: usize = 120;

/// Names of modules that say nothing.
const EMPTY_NAMES: [&str; 8] =
    ["common.rs", "core.rs", "util.rs", "utils.rs", "helpers.rs", "types.rs", "misc.rs", "mod.rs"];

/// Checks every tracked file.
pub(crate) fn check(root: &Path, files: &[String], sources: &[Source]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = sources.iter().flat_map(shape).collect();
    for file in files {
        findings.extend(machine_paths(root, file));
    }
    for file in files.iter().filter(|file| file.ends_with("Cargo.toml") && file.contains('/')) {
        let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        if !text.contains("[lints]\nworkspace = true") {
            findings.push(Finding::new(file, "say `[lints] workspace = true`"));
        }
    }
    findings
}

fn shape(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.code.lines().count();
    if lines > MAX_FILE_LINES {
        findings.push(Finding::new(
            &source.path,
            format!("{lines} lines without tests, more than {MAX_FILE_LINES}"),
        ));
    }
    if source.path.ends_with("src/lib.rs") && lines > MAX_LIB_LINES {
        findings.push(Finding::new(
            &source.path,
            format!("{lines} lines: a crate's root is a table of contents"),
        ));
    }
    if !source.code.starts_with("//!") && !source.is_test {
        findings.push(Finding::new(&source.path, "begin with module documentation (`//!`)"));
    }
    let file = source.path.rsplit('/').next().unwrap_or_default();
    if EMPTY_NAMES.contains(&file) {
        findings.push(Finding::new(&source.path, "choose a name that says what is inside"));
    }
    findings
}

/// Finds paths of a developer's machine. The words are put together here so that this file is clean itself.
fn machine_paths(root: &Path, file: &str) -> Option<Finding> {
    if file.ends_with(".lock") {
        return None;
    }
    let text = std::fs::read_to_string(root.join(file)).ok()?;
    let homes = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let at = text.lines().position(|line| homes.iter().any(|home| line.contains(home)))?;
    Some(Finding::new(format!("{file}:{}", at + 1), "a path of somebody's machine"))
}

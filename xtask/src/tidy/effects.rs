//! Where side effects may happen: processes in `git`, SQL in `store`, the environment in the configuration,
//! tasks through `runtime`.

use super::Finding;
use super::source::Source;

/// A kind of side effect, the words that betray it, and who may have it.
struct Effect {
    words: &'static [&'static str],
    allowed: fn(&Source) -> bool,
    rule: &'static str,
}

const EFFECTS: [Effect; 4] = [
    Effect {
        words: &["process::Command", "Command::new("],
        allowed: |source| source.owner == "git",
        rule: "only `git` starts processes",
    },
    Effect {
        words: &["env::var", "env::vars", "env::set_var", "env::remove_var"],
        // Cargo speaks to build scripts by it.
        allowed: |source| {
            source.path.starts_with("crates/hakata/src/config") || source.path.ends_with("/build.rs")
        },
        rule: "only the configuration reads the environment",
    },
    Effect {
        words: &[
            "tokio::spawn",
            "spawn_blocking(",
            "thread::spawn",
            "thread::Builder",
            "task::spawn",
            "Handle::spawn",
        ],
        allowed: |source| source.owner == "runtime",
        rule: "spawn tasks through `runtime::tasks`, which owns them",
    },
    Effect {
        words: &["SELECT ", "INSERT INTO", "DELETE FROM", "CREATE TABLE", "BEGIN IMMEDIATE"],
        allowed: |source| source.owner == "store",
        rule: "only `store` contains SQL",
    },
];

/// Checks every file of the product.
pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_product()) {
        for effect in EFFECTS.iter().filter(|effect| !(effect.allowed)(source)) {
            for (number, line) in source.lines() {
                if effect.words.iter().any(|word| line.contains(word)) {
                    findings.push(Finding::new(format!("{}:{number}", source.path), effect.rule));
                }
            }
        }
    }
    findings
}

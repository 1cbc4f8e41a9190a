//! The steps of pushes and merges at which a crash is worth a look.

use hakata_runtime::fault;

/// Lists the fault points that pushes pass.
pub fn crash_points() -> Vec<String> {
    points(&["receive.", "push.", "commit.", "cache."])
}

/// Lists the fault points that merges pass, those included that are prepared and committed by two calls.
pub fn merge_points() -> Vec<String> {
    points(&["receive.", "stage.", "adopt.", "push.", "commit.", "cache."])
}

fn points(parts: &[&str]) -> Vec<String> {
    let is_asked_for = |name: &&str| parts.iter().any(|part| name.starts_with(part));
    fault::NAMES.iter().map(|(name, _)| *name).filter(is_asked_for).map(str::to_owned).collect()
}

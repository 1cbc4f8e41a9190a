//! The steps of a push at which a crash is worth a look.

use hakata_runtime::fault;

/// Lists the fault points that pushes pass.
pub fn crash_points() -> Vec<String> {
    let of_a_push =
        |name: &&str| ["receive.", "push.", "commit.", "cache."].iter().any(|part| name.starts_with(part));
    fault::NAMES.iter().map(|(name, _)| *name).filter(of_a_push).map(str::to_owned).collect()
}

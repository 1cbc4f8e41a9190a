//! The `[mirrors]` table, and what `[repositories]` says about imports from other hosts.

use crate::config::raw::Values;
use hakata_forge::mirrors::MirrorSettings;

/// Takes the values over, which were checked.
pub(super) fn new(values: &Values) -> MirrorSettings {
    MirrorSettings {
        every: values.duration("mirrors.every"),
        least_every: values.duration("mirrors.least_every"),
        time: values.duration("mirrors.time"),
        per_repository: values.count("mirrors.per_repository"),
        import_time: values.duration("repositories.import_time"),
        imports_kept: values.duration("repositories.imports_kept"),
    }
}

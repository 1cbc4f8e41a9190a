//! What an operator may set about mirrors and imports.

use std::time::Duration;

/// The settings; every field has a key in the configuration.
#[derive(Clone, Debug)]
pub struct MirrorSettings {
    /// Time between two tries of a mirror that does not say otherwise; give or take a tenth.
    pub every: Duration,
    /// The least time that a mirror may ask for.
    pub least_every: Duration,
    /// How long one try may take.
    pub time: Duration,
    /// Mirrors of one repository.
    pub per_repository: usize,
    /// How long one attempt of an import may take.
    pub import_time: Duration,
    /// For how long imports are kept to be looked at after their end.
    pub imports_kept: Duration,
}

impl Default for MirrorSettings {
    fn default() -> Self {
        let hour = Duration::from_secs(60 * 60);
        Self {
            every: hour,
            least_every: hour / 12,
            time: 2 * hour,
            per_repository: 10,
            import_time: 6 * hour,
            imports_kept: 30 * 24 * hour,
        }
    }
}

//! SIGHUP: the configuration is read again, so that its mistakes are told before the restart that they would break.

use crate::cli::Place;
use crate::config::{Layers, Setting};

/// Reads the configuration again and logs its problems, or which keys a restart would change.
pub(super) fn reload(before: &Layers, place: &Place, flags: &[Setting]) {
    match Layers::read(place, flags) {
        Err(failure) => {
            tracing::error!(problems = %failure, "the configuration read again is wrong; nothing changed")
        }
        Ok(now) => {
            let changed = now.differences(before);
            match changed.is_empty() {
                true => tracing::info!("the configuration read again is the same"),
                false => {
                    tracing::warn!(keys = changed.join(", "), "the configuration changed; restart to use it")
                }
            }
        }
    }
}

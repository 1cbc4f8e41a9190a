//! What an id says, as one JSON object; the twin of `katsubushi-dump`.

use serde_json::{Value, json};

use crate::layout::{IdError, Layout};

/// Describes an id as `{"time","worker_id","sequence"}`.
///
/// # Errors
/// If it is no id of the layout.
pub fn dump(layout: Layout, id: u64) -> Result<Value, IdError> {
    let parts = layout.parts(id)?;
    let time =
        jiff::Timestamp::from_millisecond(parts.unix_ms).map(|time| time.to_string()).unwrap_or_default();
    Ok(json!({ "time": time, "worker_id": parts.worker_id.get(), "sequence": parts.sequence }))
}

//! What an id says, as one JSON object; the twin of `katsubushi-dump`.

use jiff::Timestamp;

use crate::layout::{IdError, Layout};

/// Describes an id in one line, `{"time":"2017-09-04T03:12:11.615Z","worker_id":999,"sequence":1}`.
///
/// The time is UTC, its fraction as short as it can be.
///
/// # Errors
/// If it is no id of the layout.
pub fn dump(layout: Layout, id: u64) -> Result<String, IdError> {
    let parts = layout.parts(id)?;
    let error = IdError { id, max: layout.max_id() };
    let time = Timestamp::from_millisecond(parts.unix_ms).map_err(|_| error)?;
    Ok(format!(r#"{{"time":"{time}","worker_id":{},"sequence":{}}}"#, parts.worker_id, parts.sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_described_as_the_reference_does() {
        for (layout, id, line) in [
            (
                Layout::Standard,
                354_101_311_794_212_865,
                r#"{"time":"2017-09-04T03:12:11.615Z","worker_id":999,"sequence":1}"#,
            ),
            (
                Layout::Standard,
                189_608_755_200_000_000,
                r#"{"time":"2016-06-07T05:17:30Z","worker_id":0,"sequence":0}"#,
            ),
            (
                Layout::JsSafe,
                614_791_452_196_863,
                r#"{"time":"2026-11-22T01:02:03.45Z","worker_id":63,"sequence":255}"#,
            ),
            (Layout::Standard, 0, r#"{"time":"2015-01-01T00:00:00Z","worker_id":0,"sequence":0}"#),
            (
                Layout::Standard,
                i64::MAX.unsigned_abs(),
                r#"{"time":"2084-09-06T15:47:35.551Z","worker_id":1023,"sequence":4095}"#,
            ),
        ] {
            assert_eq!(dump(layout, id).as_deref(), Ok(line));
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok_and(|value| value.is_object()));
        }
    }

    #[test]
    fn what_is_no_id_is_not_described() {
        assert!(dump(Layout::Standard, 1 << 63).is_err(), "the sign bit is no time");
        let error = dump(Layout::JsSafe, 354_101_311_794_212_865).expect_err("a standard id");
        assert_eq!(
            error.to_string(),
            "354101311794212865 is no id of this layout, whose greatest is 9007199254740991"
        );
    }
}

//! Who made a commit or tag, as it is written there.

use super::WriteError;

/// The latest time that is written: what a JavaScript client can say exactly.
const MAX_TIME: i64 = 1 << 53;

/// No place on earth is further from UTC.
const MAX_OFFSET_MINUTES: i32 = 24 * 60;

/// Somebody at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The name.
    pub name: Vec<u8>,
    /// The e-mail address, without angle brackets.
    pub email: Vec<u8>,
    /// Seconds since 1970.
    pub time: i64,
    /// Minutes east of UTC.
    pub offset_minutes: i32,
}

impl Signer {
    /// Writes `name <mail> seconds zone`, with the marks left out that git leaves out.
    pub(super) fn write(&self, role: &str, out: &mut Vec<u8>) -> Result<(), WriteError> {
        let invalid = |what: &str| Err(WriteError::Invalid(format!("{what} of the {role}")));
        let (name, email) = (without_crud(&self.name), without_crud(&self.email));
        if name.is_empty() {
            return invalid("there is no name");
        }
        if name.contains(&0) || email.contains(&0) {
            return invalid("a NUL byte is in the name or e-mail address");
        }
        if !(0..=MAX_TIME).contains(&self.time) || self.offset_minutes.abs() > MAX_OFFSET_MINUTES {
            return invalid("git cannot write the time");
        }
        let (sign, minutes) =
            (if self.offset_minutes < 0 { '-' } else { '+' }, self.offset_minutes.unsigned_abs());
        let zone = format!("> {} {sign}{:02}{:02}", self.time, minutes / 60, minutes % 60);
        for part in [role.as_bytes(), b" ", &name, b" <", &email, zone.as_bytes(), b"\n"] {
            out.extend_from_slice(part);
        }
        Ok(())
    }
}

/// Leaves out what would break the line, and marks at both ends. Source: `strbuf_addstr_without_crud` of git.
fn without_crud(text: &[u8]) -> Vec<u8> {
    let is_crud = |byte: &u8| *byte <= b' ' && *byte != 0 || b",:;<>\"\\'".contains(byte);
    let Some(first) = text.iter().position(|byte| !is_crud(byte)) else { return Vec::new() };
    let last = text.iter().rposition(|byte| !is_crud(byte)).unwrap_or(first);
    text[first..=last].iter().copied().filter(|byte| !b"\n<>".contains(byte)).collect()
}

//! Whoever speaks HTTP to this port is told so, and no id is spent.

use std::io::Write;

use super::super::Settings;
use super::fields::{Fields, is_blank};

/// Methods that are no command of memcached, whatever follows them; `PRI` opens HTTP/2.
const METHODS: [&[u8]; 8] = [b"POST", b"HEAD", b"PUT", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE", b"PRI"];

/// Whether a line whose first field is `verb` is a request of HTTP. Methods are upper-case, like some clients' `GET`:
/// those ask for a single path, or end in the version.
pub(super) fn is_request(verb: &[u8], arguments: &[u8]) -> bool {
    if !verb.iter().all(u8::is_ascii_uppercase) {
        return false;
    }
    METHODS.contains(&verb)
        || last_field(arguments).starts_with(b"HTTP/")
        || verb == b"GET" && is_path(arguments)
}

fn is_path(arguments: &[u8]) -> bool {
    let mut fields = Fields::new(arguments);
    fields.next().is_some_and(|first| first.starts_with(b"/")) && fields.next().is_none()
}

fn last_field(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|&byte| !is_blank(byte)).map_or(0, |at| at + 1);
    let start = line[..end].iter().rposition(|&byte| is_blank(byte)).map_or(0, |at| at + 1);
    &line[start..end]
}

/// Appends an answer that both a person and a client of HTTP understand.
pub(super) fn write_answer(settings: &Settings, out: &mut Vec<u8>) {
    const SAYS: &str = "this port speaks memcached; HTTP is ";
    let (before, place) = match &settings.http {
        Some(place) => ("on ", place.as_str()),
        None => ("not served", ""),
    };
    let len = SAYS.len() + before.len() + place.len() + 1;
    // Writing into a vector does not fail.
    let _ = write!(
        out,
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {len}\r\n\
         Connection: close\r\n\r\n{SAYS}{before}{place}\n"
    );
}

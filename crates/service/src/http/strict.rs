//! Requests that two parsers could read in two ways are refused.
//!
//! hyper already refuses folded lines, blanks before a colon, unequal lengths, and codings that do not end in
//! `chunked`; when a length stands beside `chunked` it reads the chunks and closes afterwards, which is safe and silent.
//! A client that sends such a thing is broken or hostile, so it is told, from the bytes of the head as they came.

use ::http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use ::http::{HeaderMap, Method, Request, Version};

/// Why a request is refused with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ambiguous {
    #[error("both Content-Length and Transfer-Encoding")]
    TwoFramings,
    #[error("more than one Content-Length")]
    TwoLengths,
    #[error("a Transfer-Encoding other than chunked")]
    Coding,
    #[error("not exactly one Host")]
    Host,
    #[error("a proxy's method")]
    Connect,
}

/// Judges a request; `head` is its head as sent, or empty when it is not known.
pub(super) fn check<B>(request: &Request<B>, head: &[u8]) -> Result<(), Ambiguous> {
    if request.method() == Method::CONNECT {
        return Err(Ambiguous::Connect);
    }
    let version = request.version();
    if version > Version::HTTP_11 {
        return Ok(());
    }
    let headers = request.headers();
    let n_hosts = headers.get_all(HOST).iter().count();
    if n_hosts > 1 || (n_hosts == 0 && version == Version::HTTP_11) {
        return Err(Ambiguous::Host);
    }
    check_framing(headers, head)
}

fn check_framing(headers: &HeaderMap, head: &[u8]) -> Result<(), Ambiguous> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_coded = match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked") => true,
        _ => return Err(Ambiguous::Coding),
    };
    if !is_coded && !headers.contains_key(CONTENT_LENGTH) {
        return Ok(());
    }
    match (is_coded, n_lengths(head)) {
        (true, 1..) => Err(Ambiguous::TwoFramings),
        (false, 2..) => Err(Ambiguous::TwoLengths),
        _ => Ok(()),
    }
}

/// Counts the lines of a head that give a length; stops at the empty line.
fn n_lengths(head: &[u8]) -> usize {
    let lines = head.split(|b| *b == b'\n').take_while(|line| !matches!(line, [] | [b'\r']));
    lines.filter(|line| is_length(line)).count()
}

fn is_length(line: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length:";
    line.get(..NAME.len()).is_some_and(|start| start.eq_ignore_ascii_case(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(lines: &[&str]) -> Result<(), Ambiguous> {
        let mut request = Request::post("/").version(Version::HTTP_11);
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let mut request = request.body(()).unwrap();
        let head = format!("POST / HTTP/1.1\r\n{}\r\n\r\ncontent-length: 1\r\n", lines.join("\r\n"));
        if request.headers().contains_key(TRANSFER_ENCODING) {
            // What hyper does to a length beside chunks.
            request.headers_mut().remove(CONTENT_LENGTH);
        }
        check(&request, head.as_bytes())
    }

    #[test]
    fn ambiguous_requests_are_refused() {
        for (lines, expected) in [
            (&["Host: a", "Content-Length: 1"][..], Ok(())),
            (&["Host: a", "Transfer-Encoding: Chunked"], Ok(())),
            (&["Host: a"], Ok(())),
            (&[], Err(Ambiguous::Host)),
            (&["Host: a", "Host: a"], Err(Ambiguous::Host)),
            (&["Host: a", "Transfer-Encoding: chunked", "CONTENT-LENGTH: 1"], Err(Ambiguous::TwoFramings)),
            (&["Host: a", "Content-Length: 1", "Transfer-Encoding: chunked"], Err(Ambiguous::TwoFramings)),
            (&["Host: a", "Content-Length: 1", "content-length: 1"], Err(Ambiguous::TwoLengths)),
            (&["Host: a", "Transfer-Encoding: gzip, chunked"], Err(Ambiguous::Coding)),
            (
                &["Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
                Err(Ambiguous::Coding),
            ),
        ] {
            assert_eq!(judge(lines), expected, "{lines:?}");
        }
    }
}

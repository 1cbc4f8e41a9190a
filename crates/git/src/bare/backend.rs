//! `git http-backend` itself, for the few requests that are rare enough to be its own.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use bytes::Bytes;

use super::root::Repository;
use crate::command::{Command, Subcommand};
use crate::process::{ChildError, ask};

/// Longest reply in bytes: the list of refs for clients of the old protocol.
const MAX_REPLY: u64 = 256 << 20;

/// A file that git's server makes up: `HEAD`, `info/refs` or `objects/info/packs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request(pub(super) &'static str);

/// What git's server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendReply {
    /// The status.
    pub status: u16,
    /// Header fields in order, without the status.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Bytes,
    /// What it wrote to its error log, on one line.
    pub stderr: String,
}

impl Request {
    /// The file that every repository has.
    pub(super) const HEAD: Self = Self("/HEAD");
}

impl Repository {
    /// Asks git's own server for the refs as the old protocol lists them.
    ///
    /// # Errors
    /// When git does not run or makes no sense.
    pub async fn dumb_refs(&self) -> Result<BackendReply, ChildError> {
        self.ask_backend(Request("/info/refs")).await
    }

    /// Asks git's own server for `HEAD`.
    ///
    /// # Errors
    /// As [`dumb_refs`](Self::dumb_refs).
    pub async fn dumb_head(&self) -> Result<BackendReply, ChildError> {
        self.ask_backend(Request::HEAD).await
    }

    /// Asks git's own server for the list of packs.
    ///
    /// # Errors
    /// As [`dumb_refs`](Self::dumb_refs).
    pub async fn dumb_packs(&self) -> Result<BackendReply, ChildError> {
        self.ask_backend(Request("/objects/info/packs")).await
    }

    /// Runs git's server once, on this very directory: whether it may be served was decided before.
    pub(super) async fn ask_backend(&self, request: Request) -> Result<BackendReply, ChildError> {
        let path = self.path().as_os_str().as_bytes();
        let translated = [path, request.0.as_bytes()].concat();
        let command = Command::new(Subcommand::HttpBackend)
            .for_operator(self.root().variables())
            .about(self.dir())
            .env("REQUEST_METHOD", "GET")
            .env("GATEWAY_INTERFACE", "CGI/1.1")
            .env("SERVER_PROTOCOL", "HTTP/1.1")
            .env("PATH_TRANSLATED", OsStr::from_bytes(&translated))
            .env("GIT_HTTP_EXPORT_ALL", "1");
        let (finished, said) = ask(self.git(), &command, Vec::new(), MAX_REPLY).await?;
        let stderr = finished.message();
        let is_whole = (said.len() as u64) < MAX_REPLY;
        parse(said, stderr).filter(|_| is_whole).ok_or_else(|| ChildError::Io {
            subcommand: Subcommand::HttpBackend.name(),
            source: io::Error::new(io::ErrorKind::InvalidData, "its answer is cut or none"),
        })
    }
}

/// Reads an answer of the common gateway interface. Source: RFC 3875, section 6.
fn parse(said: Vec<u8>, stderr: String) -> Option<BackendReply> {
    let end = said.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (mut status, mut fields) = (200, Vec::new());
    for line in said[..end].split(|byte| *byte == b'\n') {
        let line = line.trim_ascii_end();
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (std::str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case("status") {
            status = std::str::from_utf8(value.get(..3)?).ok()?.parse().ok()?;
        } else {
            fields.push((name.to_owned(), value.to_vec()));
        }
    }
    let body = Bytes::from(said).slice(end + 4..);
    Some(BackendReply { status, fields, body, stderr })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_answer_is_taken_apart() {
        let said = b"Status: 404 Not Found\r\nPragma: no-cache\r\nExpires: never\r\n\r\nbody\r\n\r\n";
        let reply = parse(said.to_vec(), String::new()).unwrap();
        let fields: Vec<_> =
            reply.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        assert_eq!(fields, [("Pragma", &b"no-cache"[..]), ("Expires", b"never")]);
        assert_eq!((reply.status, &reply.body[..]), (404, &b"body\r\n\r\n"[..]));
        for broken in ["", "Pragma: x\r\n", "no colon\r\n\r\n", "Status: x\r\n\r\n"] {
            assert!(parse(broken.into(), String::new()).is_none(), "{broken:?}");
        }
    }
}

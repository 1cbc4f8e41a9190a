//! A raw HTTP client whose own cost is small: one keep-alive connection, requests made beforehand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail, ensure};

/// One keep-alive connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::with_capacity(256 * 1024, stream),
            line: String::new(),
            body: Vec::new(),
        })
    }

    /// Sends a request and reads the whole reply; every reply must be a 200.
    pub(crate) fn call(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.get_mut().write_all(request).context("sending a request")?;
        let status = self.read_line()?;
        ensure!(status.contains(" 200"), "answered {status}");
        let (mut length, mut chunked) = (None, false);
        loop {
            let line = self.read_line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = Some(value.trim().parse::<usize>().context("reading content-length")?);
            }
            chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
        }
        self.body.clear();
        match length {
            Some(length) => self.read_piece(length)?,
            None if chunked => self.read_chunks()?,
            None => bail!("a reply without a length"),
        }
        Ok(&self.body)
    }

    fn read_chunks(&mut self) -> Result<()> {
        loop {
            let size =
                usize::from_str_radix(self.read_line()?.trim(), 16).context("reading a chunk's size")?;
            self.read_piece(size)?;
            self.read_line()?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn read_piece(&mut self, length: usize) -> Result<()> {
        let at = self.body.len();
        self.body.resize(at + length, 0);
        self.stream.read_exact(&mut self.body[at..]).context("reading a reply")
    }

    fn read_line(&mut self) -> Result<&str> {
        self.line.clear();
        ensure!(self.stream.read_line(&mut self.line)? > 0, "the connection was closed");
        Ok(self.line.trim_end())
    }
}

/// A `GET info/refs` of protocol version 2.
pub(crate) fn discovery(host: &str, repository: &str) -> Vec<u8> {
    format!(
        "GET {repository}/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: {host}\r\nGit-Protocol: version=2\r\n\
         User-Agent: git/2.47.3\r\nAccept: */*\r\n\r\n"
    )
    .into_bytes()
}

/// A `POST git-upload-pack` of protocol version 2 with the given body.
pub(crate) fn upload_pack(host: &str, repository: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {repository}/git-upload-pack HTTP/1.1\r\nHost: {host}\r\nGit-Protocol: version=2\r\n\
         User-Agent: git/2.47.3\r\nContent-Type: application/x-git-upload-pack-request\r\n\
         Accept: application/x-git-upload-pack-result\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// Appends a pkt-line.
fn line(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{:04x}{text}", text.len() + 4).as_bytes());
}

/// The body of an `ls-refs` for branches and tags, as git sends it.
pub(crate) fn ls_refs() -> Vec<u8> {
    let mut body = Vec::new();
    line("command=ls-refs\n", &mut body);
    line("agent=git/2.47.3", &mut body);
    line("object-format=sha1", &mut body);
    body.extend_from_slice(b"0001");
    for argument in [
        "peel\n",
        "symrefs\n",
        "unborn\n",
        "ref-prefix refs/heads/\n",
        "ref-prefix refs/tags/\n",
        "ref-prefix HEAD\n",
    ] {
        line(argument, &mut body);
    }
    body.extend_from_slice(b"0000");
    body
}

/// The body of a `fetch` that wants these objects and has none: a full clone.
pub(crate) fn clone_all(wants: &[String]) -> Vec<u8> {
    let mut body = Vec::new();
    line("command=fetch", &mut body);
    line("agent=git/2.47.3", &mut body);
    line("object-format=sha1", &mut body);
    body.extend_from_slice(b"0001");
    for argument in ["thin-pack", "no-progress", "ofs-delta"] {
        line(argument, &mut body);
    }
    for want in wants {
        line(&format!("want {want}\n"), &mut body);
    }
    line("done\n", &mut body);
    body.extend_from_slice(b"0000");
    body
}

//! A request, read from one line.
//!
//! ```text
//! VERDICT METHOD TARGET [OPTION…] [: BODY…]
//!
//! VERDICT  =          the answer is git's, byte for byte
//!          400/200    ours is 400 where git's is 200
//! OPTION   v1 v2 gitp=TEXT                  Git-Protocol
//!          up push arch type=TEXT           Content-Type
//!          gzip x-gzip enc=TEXT             Content-Encoding; the first two encode, too
//!          chunked cut=N tail=TEXT          of the body as it is sent
//!          user                             alice and her password
//! BODY     [TEXT]  a pkt-line with a line feed      <TEXT>  one without
//!          @NAME   bytes from the folder            TEXT*N  a text, many times
//!          TEXT    as it stands
//!          $NAME within any of them is an object of the folder, \0 a zero byte, _ a blank
//! ```

use std::collections::HashMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// What a line of the table means.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) verdict: Verdict,
    pub(crate) request: Request,
}

/// What is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    /// Our status, and git's.
    Apart(u16, u16),
}

/// A request as it is sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) is_chunked: bool,
    pub(crate) is_known: bool,
    pub(crate) body: Vec<u8>,
}

/// Objects and bytes that a line may name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) oids: HashMap<&'static str, String>,
    pub(crate) bytes: HashMap<&'static str, Vec<u8>>,
}

impl Line {
    pub(crate) fn parse(text: &str, names: &Names) -> Self {
        let mut words = text.split_whitespace();
        let verdict = match words.next().unwrap() {
            "=" => Verdict::Same,
            apart => {
                let (ours, gits) = apart.split_once('/').expect("OURS/GITS");
                Verdict::Apart(ours.parse().unwrap(), gits.parse().unwrap())
            }
        };
        let mut request = Request { method: words.next().unwrap().into(), ..Request::default() };
        request.target = names.fill(words.next().unwrap());
        let (mut encodes, mut cut, mut tail) = (false, 0, String::new());
        for option in words.by_ref().take_while(|word| *word != ":") {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let mut field = |name, value: &str| request.fields.push((name, value.replace('_', " ")));
            match name {
                "v1" => field("Git-Protocol", "version=1"),
                "v2" => field("Git-Protocol", "version=2"),
                "gitp" => field("Git-Protocol", value),
                "up" => field("Content-Type", "application/x-git-upload-pack-request"),
                "push" => field("Content-Type", "application/x-git-receive-pack-request"),
                "arch" => field("Content-Type", "application/x-git-upload-archive-request"),
                "type" => field("Content-Type", value),
                "enc" => field("Content-Encoding", value),
                "gzip" | "x-gzip" => {
                    field("Content-Encoding", name);
                    encodes = true;
                }
                "chunked" => request.is_chunked = true,
                "cut" => cut = value.parse().unwrap(),
                "tail" => tail = value.to_owned(),
                "user" => {
                    // alice:secret
                    field("Authorization", "Basic YWxpY2U6c2VjcmV0");
                    request.is_known = true;
                }
                _ => panic!("no such option: {option}"),
            }
        }
        for word in words {
            names.write(word, &mut request.body);
        }
        if encodes {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&request.body).unwrap();
            request.body = encoder.finish().unwrap();
        }
        request.body.truncate(request.body.len() - cut);
        request.body.extend_from_slice(tail.as_bytes());
        Self { text: text.to_owned(), verdict, request }
    }
}

impl Names {
    fn fill(&self, text: &str) -> String {
        let mut text = text.replace("\\0", "\0").replace('_', " ");
        let mut names: Vec<_> = self.oids.keys().collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        for name in names {
            text = text.replace(&format!("${name}"), &self.oids[name]);
        }
        assert!(!text.contains('$'), "no such object: {text}");
        text
    }

    fn write(&self, word: &str, out: &mut Vec<u8>) {
        let line = |text: &str, end: &str, out: &mut Vec<u8>| {
            let text = self.fill(text) + end;
            write!(out, "{:04x}{text}", text.len() + 4).unwrap();
        };
        if let Some(text) = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')) {
            line(text, "\n", out);
        } else if let Some(text) = word.strip_prefix('<').and_then(|word| word.strip_suffix('>')) {
            line(text, "", out);
        } else if let Some(name) = word.strip_prefix('@') {
            out.extend_from_slice(&self.bytes[name]);
        } else if let Some((text, n)) = word.split_once('*') {
            out.extend_from_slice(text.repeat(n.parse().unwrap()).as_bytes());
        } else {
            out.extend_from_slice(self.fill(word).as_bytes());
        }
    }
}

impl Request {
    fn has_body(&self) -> bool {
        self.method == "POST" || !self.body.is_empty()
    }

    /// The request on the wire.
    pub(crate) fn wire(&self) -> Vec<u8> {
        let mut wire =
            format!("{} {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            wire.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.is_chunked {
            wire.push_str("Transfer-Encoding: chunked\r\n\r\n");
            let mut wire = wire.into_bytes();
            for piece in self.body.chunks(100) {
                write!(wire, "{:x}\r\n", piece.len()).unwrap();
                wire.extend_from_slice(piece);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            return wire;
        }
        if self.has_body() {
            wire.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        [wire.as_bytes(), b"\r\n", &self.body].concat()
    }

    /// The same for a program behind a web server. Source: RFC 3875.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let mut variables =
            vec![("PATH_INFO".to_owned(), decode(path)), ("QUERY_STRING".to_owned(), query.to_owned())];
        for (name, value) in &self.fields {
            let name = match *name {
                "Content-Type" => "CONTENT_TYPE".to_owned(),
                "Authorization" => continue,
                name => format!("HTTP_{}", name.to_uppercase().replace('-', "_")),
            };
            variables.push((name, value.clone()));
        }
        if self.has_body() && !self.is_chunked {
            variables.push(("CONTENT_LENGTH".to_owned(), self.body.len().to_string()));
        }
        if self.is_known {
            variables.push(("REMOTE_USER".to_owned(), "alice".to_owned()));
        }
        variables
    }
}

fn decode(path: &str) -> String {
    let mut parts = path.split('%');
    let mut decoded = parts.next().unwrap().to_owned();
    for part in parts {
        decoded.push(char::from(u8::from_str_radix(&part[..2], 16).unwrap()));
        decoded.push_str(&part[2..]);
    }
    decoded
}

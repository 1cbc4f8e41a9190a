//! Git's own HTTP server, one request a connection.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::GitDir;

/// Serves the repositories of a directory to anybody.
pub(super) struct Backend {
    address: String,
    /// The first lines of requests.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Backend {
    /// Starts a server; it ends with the process.
    pub(super) fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (asked, root) = (Arc::new(Mutex::new(Vec::new())), root.to_owned());
        let log = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, root) = (log.clone(), root.clone());
                // A client that leaves in the middle is no failure of this side.
                std::thread::spawn(move || drop(answer(stream.unwrap(), &root, &log)));
            }
        });
        Self { address, asked }
    }

    pub(super) fn url(&self, dir: &GitDir) -> String {
        let name = dir.path().file_name().unwrap().to_string_lossy().into_owned();
        format!("http://{}/{name}", self.address)
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Counts requests of a method whose URL ends in a text.
    pub(super) fn n_asked(&self, method: &str, end: &str) -> usize {
        let is_it = |line: &&String| {
            let mut words = line.split(' ');
            words.next() == Some(method) && words.next().is_some_and(|url| url.ends_with(end))
        };
        self.asked.lock().unwrap().iter().filter(is_it).count()
    }
}

fn answer(stream: TcpStream, root: &Path, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let first = line.trim_end().to_owned();
    let mut fields = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => fields.push((name.to_ascii_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let field = |name: &str| fields.iter().find(|(it, _)| it == name).map_or("", |(_, value)| value.as_str());
    let mut body = Vec::new();
    match field("content-length").parse::<u64>() {
        Ok(length) => drop(reader.by_ref().take(length).read_to_end(&mut body)?),
        Err(_) if field("transfer-encoding") == "chunked" => read_chunks(&mut reader, &mut body)?,
        Err(_) => {}
    }
    log.lock().unwrap().push(first.clone());
    let mut words = first.split(' ');
    let (method, url) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let mut child = Command::new("git")
        .arg("http-backend")
        .env_clear()
        .envs([
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("GIT_HTTP_EXPORT_ALL", "1"),
            ("HOME", "/nonexistent"),
        ])
        .envs([
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("REMOTE_ADDR", "127.0.0.1"),
        ])
        .env("GIT_PROJECT_ROOT", root)
        .envs([("REQUEST_METHOD", method), ("PATH_INFO", path), ("QUERY_STRING", query)])
        .env("CONTENT_TYPE", field("content-type"))
        .env("HTTP_CONTENT_ENCODING", field("content-encoding"))
        .env("GIT_PROTOCOL", field("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdin = child.stdin.take();
    let writing = std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&body)));
    let said = child.wait_with_output()?.stdout;
    let _ = writing.join();
    let end = said.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(0);
    let head = String::from_utf8_lossy(&said[..end]);
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    let rest = &said[end + 4..];
    let head: String =
        head.lines().filter(|line| !line.starts_with("Status: ")).map(|line| format!("{line}\r\n")).collect();
    let (length, mut stream) = (rest.len(), reader.into_inner());
    write!(stream, "HTTP/1.1 {status}\r\n{head}Content-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(rest)
}

/// Source: RFC 9112, section 7.1.
fn read_chunks(reader: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim(), 16).unwrap_or(0);
        reader.by_ref().take(length).read_to_end(body)?;
        line.clear();
        reader.read_line(&mut line)?;
        if length == 0 {
            return Ok(());
        }
    }
}

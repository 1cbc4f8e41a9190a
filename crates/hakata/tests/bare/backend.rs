//! `git http-backend` as a web server runs it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::request::Request;
use crate::server::Reply;

/// Asks git's own server.
pub(crate) fn ask(root: &Path, home: &Path, request: &Request) -> Reply {
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", home)
        .env("LC_ALL", "C")
        .env("GATEWAY_INTERFACE", "CGI/1.1")
        .env("SERVER_PROTOCOL", "HTTP/1.1")
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("GIT_PROJECT_ROOT", root)
        .env("REQUEST_METHOD", &request.method)
        .envs(request.variables())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = request.body.clone();
    let writing = std::thread::spawn(move || stdin.write_all(&body));
    let said = child.wait_with_output().unwrap().stdout;
    // git does not read what it refuses.
    let _ = writing.join().unwrap();
    parse(&said)
}

fn parse(said: &[u8]) -> Reply {
    let shown = String::from_utf8_lossy(said);
    let end = said.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| panic!("{shown}"));
    let mut reply = Reply { status: 200, fields: Vec::new(), body: said[end + 4..].to_vec() };
    for line in std::str::from_utf8(&said[..end]).unwrap().split("\r\n") {
        let (name, value) = line.split_once(": ").unwrap();
        match name {
            "Status" => reply.status = value[..3].parse().unwrap(),
            _ => reply.fields.push((name.to_lowercase(), value.to_owned())),
        }
    }
    reply
}

//! Starting, being left, being stopped.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use rustix::process::{Pid, Signal, test_kill_process};

use crate::folder::{Place, make_runnable};
use crate::server::{Server, command, wait_until};

/// A place whose repository has a hook that writes its process id to `started` and waits for `go`.
fn place_with_slow_hook(name: &str) -> Place {
    let place = Place::new();
    place.repository("a.git", &[], &[("http.receivepack", "true")]);
    let hook = place.path("root/a.git/hooks").join(name);
    let (started, go) = (place.path("started"), place.path("go"));
    let text = format!(
        "#!/bin/sh\necho $$ > '{0}.new' && mv '{0}.new' '{0}'\nwhile [ ! -e '{1}' ]; do sleep 0.05; done\n",
        started.display(),
        go.display()
    );
    std::fs::write(&hook, text).unwrap();
    make_runnable(&hook);
    place
}

fn is_alive(pid_file: &Path) -> bool {
    let pid: i32 = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    test_kill_process(Pid::from_raw(pid).unwrap()).is_ok()
}

/// Everything below a directory whose name tells of unfinished work.
fn leftovers(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".lock") || name.starts_with("incoming-") || name.starts_with("tmp_objdir") {
            found.push(path.display().to_string());
        } else if path.is_dir() {
            found.extend(leftovers(&path));
        }
    }
    found
}

/// The push of a branch that needs no new objects.
fn push_request(place: &Place) -> Vec<u8> {
    let tip = place.git("root/a.git", &["rev-parse", "main"]);
    let line = format!("{} {tip} refs/heads/new\0report-status", "0".repeat(40));
    let mut body = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
    // A pack of nothing, with its checksum.
    body.extend_from_slice(b"PACK\0\0\0\x02\0\0\0\0");
    body.extend_from_slice(&[
        0x02, 0x9d, 0x08, 0x82, 0x3b, 0xd8, 0xa8, 0xea, 0xb5, 0x10, 0xad, 0x6a, 0xc7, 0x5c, 0x82, 0x3c, 0xfd,
        0x3e, 0xd3, 0x1e,
    ]);
    let head = format!(
        "POST /a.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-git-receive-pack-request\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

#[test]
fn a_client_that_leaves_takes_its_git_and_hooks_along() {
    let place = place_with_slow_hook("pre-receive");
    let server = Server::start(&place.root(), &place.home(), &[]);
    let mut client = TcpStream::connect(&server.http).unwrap();
    client.write_all(&push_request(&place)).unwrap();
    let started = place.path("started");
    wait_until("the hook's start", || started.exists());
    assert!(is_alive(&started));
    drop(client);
    wait_until("the hook's end", || !is_alive(&started));
    let cut = "hakata_bare_conversations_total{program=\"receive-pack\",end=\"cut\"}";
    wait_until("the end in the metrics", || server.metric(cut) == 1.0);
    let of_git = |server: &Server| server.metric("hakata_git_children{subcommand=\"receive-pack\"}");
    wait_until("git to be reaped", || of_git(&server) == 0.0);
    assert_eq!(leftovers(&place.root()), Vec::<String>::new(), "git has cleaned up");
    std::fs::write(place.path("go"), "").unwrap();
    let reply = server.send(&last(push_request(&place)));
    assert!(reply.status == 200 && reply.body.windows(17).any(|it| it == b"ok refs/heads/new"), "{reply:?}");
}

/// Makes a request the last of its connection.
fn last(request: Vec<u8>) -> Vec<u8> {
    let at = request.windows(9).position(|nine| nine == b"Host: x\r\n").unwrap() + 9;
    [&request[..at], b"Connection: close\r\n", &request[at..]].concat()
}

#[test]
fn a_push_that_breaks_off_changes_nothing_and_leaves_nothing() {
    let place = Place::new();
    place.repository("a.git", &[], &[("http.receivepack", "true")]);
    let server = Server::start(&place.root(), &place.home(), &[]);
    let request = push_request(&place);
    let before = place.git("root/a.git", &["for-each-ref"]);
    let cut = "hakata_bare_conversations_total{program=\"receive-pack\",end=\"cut\"}";
    // Within the commands, between them and the pack, and one byte before the end.
    for (n, at) in [40, 20, 1].into_iter().enumerate() {
        let mut client = TcpStream::connect(&server.http).unwrap();
        client.write_all(&request[..request.len() - at]).unwrap();
        let of_git = "hakata_git_children_total{subcommand=\"receive-pack\"}";
        wait_until("git's start", || server.metric(of_git) > n as f64);
        drop(client);
        wait_until("the end in the metrics", || server.metric(cut) > n as f64);
        wait_until("git to be reaped", || {
            server.metric("hakata_git_children{subcommand=\"receive-pack\"}") == 0.0
        });
    }
    assert_eq!(place.git("root/a.git", &["for-each-ref"]), before);
    assert_eq!(leftovers(&place.root()), Vec::<String>::new(), "git has cleaned up");
}

#[test]
fn a_push_that_runs_is_finished_before_the_end() {
    let place = place_with_slow_hook("update");
    let mut server = Server::start(&place.root(), &place.home(), &[]);
    let address = server.http.clone();
    let request = last(push_request(&place));
    let client = std::thread::spawn(move || crate::server::send(&address, &request));
    let started = place.path("started");
    wait_until("the hook's start", || started.exists());
    server.signal(Signal::TERM);
    wait_until("the listener's end", || TcpStream::connect(&server.http).is_err());
    std::fs::write(place.path("go"), "").unwrap();
    let reply = client.join().unwrap().expect("an answer");
    assert!(reply.body.windows(17).any(|it| it == b"ok refs/heads/new"), "{reply:?}");
    assert_eq!(server.wait(), Some(0));
    let left: Vec<_> = std::fs::read_dir(place.home()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["server.log"], "nothing of it stays behind");
}

#[test]
fn what_a_hook_starts_for_later_lives_on() {
    let place = Place::new();
    place.repository("a.git", &[], &[("http.receivepack", "true")]);
    let hook = place.path("root/a.git/hooks/post-receive");
    let (pid, go) = (place.path("pid"), place.path("go"));
    let text = format!(
        "#!/bin/sh\n(while [ ! -e '{1}' ]; do sleep 0.05; done) >/dev/null 2>&1 &\necho $! > '{0}'\n",
        pid.display(),
        go.display()
    );
    std::fs::write(&hook, text).unwrap();
    make_runnable(&hook);
    let server = Server::start(&place.root(), &place.home(), &[]);
    let reply = server.send(&last(push_request(&place)));
    assert!(reply.body.windows(17).any(|it| it == b"ok refs/heads/new"), "{reply:?}");
    assert!(is_alive(&pid), "a hook may leave work behind, as with git's own server");
    std::fs::write(go, "").unwrap();
    wait_until("its end", || !is_alive(&pid));
}

#[test]
fn what_is_wrong_at_the_start_is_a_sentence() {
    let place = Place::new();
    std::fs::write(place.path("file"), "").unwrap();
    std::fs::write(place.path("people"), "alice:plain\n").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let people = place.path("people").display().to_string();
    for (root, flags, code, words) in [
        ("absent", &[][..], 2, "absent does not exist\nhint: "),
        ("file", &[], 2, "file is not a folder\nhint: "),
        ("root", &["--http", address.as_str()], 1, "listening for http: "),
        ("root", &["--http", "off"], 2, "the listener of this service is off\nhint: "),
        ("root", &["--htpasswd", &people], 1, "people:1: the line of alice: "),
        ("root", &["--native", "packs=on"], 2, "refs=on or refs=off"),
    ] {
        let output = command(&place.path(root), &place.home(), flags).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(words), "{flags:?}: {said}");
    }
    let left = std::fs::read_dir(place.home()).unwrap().count();
    assert_eq!(left, 0, "a start that fails leaves nothing behind");
}

/// Needs another user's directory, which only root can make.
#[test]
fn a_repository_of_another_user_is_refused_until_it_is_safe() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    place.repository("a.git", &[], &[]);
    let server = Server::start(&place.root(), &place.home(), &[]);
    let ask = || {
        let request =
            b"GET /a.git/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        server.send(request).status
    };
    assert_eq!(ask(), 200);
    std::os::unix::fs::chown(place.path("root/a.git"), Some(12_345), None).unwrap();
    assert_eq!(ask(), 500);
    let path = place.path("root/a.git").canonicalize().unwrap().display().to_string();
    place.git("", &["config", "--global", "--add", "safe.directory", &path]);
    assert_eq!(ask(), 200);
}

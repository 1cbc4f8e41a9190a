//! A running server: its start, its files, the commands it answers, and its end.

use anyhow::{Context, Result, ensure};
use hakata_testkit::{Sandbox, Server, ServerOptions, run, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

fn sandbox() -> Result<Sandbox> {
    Sandbox::new(env!("CARGO_BIN_EXE_hakata"))
}

fn get(address: &str, path: &str) -> Result<(String, String)> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
    let status = head.split(' ').nth(1).context("a head has a status")?;
    Ok((status.to_owned(), body.to_owned()))
}

#[test]
fn a_first_run_names_the_next_steps_and_ends_clean() -> Result<()> {
    let sandbox = sandbox()?;
    let mut server = Server::start(&sandbox, &ServerOptions::default())?;
    wait_until("the transcript", LIMIT, || sandbox.log().contains("  2  Push"))?;
    let log = sandbox.log();
    for wanted in [
        "(new)   config none, defaults in use (hakata config show",
        &format!("http  http://{}   ssh  ssh://{}   metrics  {}", server.http, server.ssh, server.admin),
        "  1  Create the first user   hakata user add ",
        &format!("@{}/", server.ssh),
    ] {
        assert!(log.contains(wanted), "{wanted:?} is missing from\n{log}");
    }
    assert_eq!(
        std::fs::metadata(sandbox.data())?.permissions().mode() & 0o777,
        0o700,
        "the data are private"
    );
    let socket = sandbox.data().join("admin.sock");
    assert_eq!(std::fs::metadata(&socket)?.permissions().mode() & 0o777, 0o600, "so is the socket");
    server.stop()?;
    assert!(!sandbox.path().join("ready.json").exists(), "the ready file goes with the server");
    assert!(!socket.exists(), "the socket goes with the server");
    assert!(sandbox.log().contains("stopped: "), "the end is told: {}", sandbox.log());
    let again = Server::start(&sandbox, &ServerOptions::default())?;
    ensure!(again.http != again.ssh, "a server starts on what another left");
    Ok(())
}

#[test]
fn commands_are_answered_by_the_running_server() -> Result<()> {
    let sandbox = sandbox()?;
    let mut server = Server::start(&sandbox, &ServerOptions::default())?;
    run(&mut sandbox.hakata(&["user", "add", "aiko", "--admin"]))?.expect_success("user add")?;
    let again = run(&mut sandbox.hakata(&["user", "add", "Aiko"]))?;
    assert_eq!(again.status, Some(4), "exit codes come through the socket: {}", again.stderr);
    let status = run(&mut sandbox.hakata(&["status", "--json"]))?.expect_success("status")?;
    let status: serde_json::Value = serde_json::from_str(&status.stdout)?;
    assert_eq!((&status["state"], status["pid"].as_u64()), (&"serving".into(), Some(server.pid().into())));
    let token = ["token", "new", "--user", "aiko", "--scope", "repo:read"];
    let token = run(&mut sandbox.hakata(&token))?.expect_success("token new")?.stdout;
    assert!(token.starts_with("hkt_") && token.lines().count() == 1, "{token:?}");
    server.stop()?;
    let listed = run(&mut sandbox.hakata(&["user", "list"]))?.expect_success("user list")?;
    assert!(listed.stdout.contains("aiko"), "what the server did is there without it");
    Ok(())
}

#[test]
fn a_second_server_is_refused_and_told_by_whom() -> Result<()> {
    let sandbox = sandbox()?;
    let server = Server::start(&sandbox, &ServerOptions::default())?;
    for service in ["serve", "http", "ssh"] {
        let refused = run(&mut sandbox.hakata(&[service]))?;
        assert_eq!(refused.status, Some(4), "{service}: {}", refused.stderr);
        let wanted = format!("a server (process {}) owns this data directory", server.pid());
        assert!(refused.stderr.contains(&wanted), "{service}: {}", refused.stderr);
    }
    Ok(())
}

#[test]
fn a_killed_server_leaves_nothing_in_the_way() -> Result<()> {
    let sandbox = sandbox()?;
    let mut server = Server::start(&sandbox, &ServerOptions::default())?;
    server.kill()?;
    assert!(sandbox.data().join("admin.sock").exists(), "a killed server cleans nothing up");
    let short_lived = ["scratch", "quarantine"].map(|name| sandbox.data().join(name));
    for place in &short_lived {
        std::fs::create_dir_all(place.join("incoming-0/objects"))?;
    }
    run(&mut sandbox.hakata(&["user", "add", "aiko"]))?.expect_success("user add")?;
    let again = Server::start(&sandbox, &ServerOptions::default())?;
    let listed = run(&mut sandbox.hakata(&["user", "list"]))?.expect_success("user list")?;
    assert!(listed.stdout.contains("aiko"), "pid {} answers: {}", again.pid(), listed.stdout);
    for place in &short_lived {
        assert_eq!(std::fs::read_dir(place)?.count(), 0, "{} is emptied at the start", place.display());
    }
    Ok(())
}

/// Starts a server on any data directory, with free ports for the flags, and waits until it is ready.
fn start_on(sandbox: &Sandbox, data: &Path, flags: &[&str]) -> Result<Child> {
    let ready = sandbox.path().join("ready.json");
    let _ = std::fs::remove_file(&ready);
    let mut command = sandbox.bare_hakata();
    command.arg("serve").arg("--data").arg(data).arg("--ready-file").arg(&ready);
    for flag in flags {
        command.args([flag, "127.0.0.1:0"]);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    if let Err(late) = wait_until("the ready file", LIMIT, || ready.exists()) {
        child.kill()?;
        child.wait()?;
        return Err(late);
    }
    Ok(child)
}

#[test]
fn servers_for_which_nobody_chose_a_port_for_metrics_get_along() -> Result<()> {
    let sandbox = sandbox()?;
    let mut seen = Vec::new();
    let mut running = Vec::new();
    for name in ["one", "two"] {
        running.push(start_on(&sandbox, &sandbox.path().join(name), &["--http", "--ssh"])?);
        let ready = std::fs::read_to_string(sandbox.path().join("ready.json"))?;
        let ready: serde_json::Value = serde_json::from_str(&ready)?;
        let admin = ready["admin"].as_str().context("metrics are somewhere")?.to_owned();
        assert_eq!(get(&admin, "/health/live")?.0, "200", "at {admin}");
        seen.push(admin);
    }
    for mut server in running {
        kill_process(Pid::from_child(&server), Signal::TERM)?;
        assert!(server.wait()?.success(), "SIGTERM ends with 0");
    }
    assert_ne!(seen[0], seen[1]);
    Ok(())
}

#[test]
fn a_long_data_path_gets_a_socket_of_its_own() -> Result<()> {
    let sandbox = sandbox()?;
    let long = sandbox.path().join("d".repeat(120));
    let user = |words: &[&str]| run(sandbox.bare_hakata().arg("user").args(words).arg("--data").arg(&long));
    let mut killed = start_on(&sandbox, &long, &["--http", "--ssh", "--admin"])?;
    let added = user(&["add", "aiko"]);
    let lock = std::fs::read_to_string(long.join("lock"));
    killed.kill()?;
    killed.wait()?;
    added?.expect_success("user add through the socket")?;
    let holder: serde_json::Value = serde_json::from_str(&lock?)?;
    let socket = PathBuf::from(holder["socket"].as_str().context("the lock names the socket")?);
    let folder = socket.parent().context("a socket lies in a directory")?;
    assert!(socket.as_os_str().len() <= 100 && !socket.starts_with(&long), "{}", socket.display());
    assert!(folder.exists(), "a killed server cleans nothing up");
    user(&["list"])?.expect_success("user list beside a stale socket")?;
    assert!(!folder.exists(), "the next to come removes what the killed one left: {}", folder.display());
    let mut again = start_on(&sandbox, &long, &["--http", "--ssh", "--admin"])?;
    kill_process(Pid::from_child(&again), Signal::TERM)?;
    assert!(again.wait()?.success(), "SIGTERM ends with 0");
    Ok(())
}

#[test]
fn health_metrics_and_the_root_page_answer() -> Result<()> {
    let sandbox = sandbox()?;
    let server = Server::start(&sandbox, &ServerOptions::default())?;
    assert_eq!(get(&server.admin, "/health/live")?.0, "200");
    let (status, ready) = get(&server.admin, "/health/ready")?;
    assert!(status == "200" && ready.contains("\"database\":\"ok\""), "{status} {ready}");
    let (status, metrics) = get(&server.admin, "/metrics")?;
    assert_eq!(status, "200");
    for name in ["process_resident_memory_bytes", "hakata_tasks_live", "hakata_connections_open"] {
        assert!(metrics.contains(name), "{name} is missing");
    }
    let (status, root) = get(&server.http, "/")?;
    assert!(status == "200" && root.contains("git clone"), "{status} {root}");
    assert_eq!(get(&server.http, "/no/such/page/here")?.0, "404");
    Ok(())
}

/// Takes what listens on standard input as a socket of a service manager that is called by the first argument.
const HAND_OVER: &str = r#"exec 3<&0 </dev/null; name=$1; shift
LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=$name exec "$@""#;

#[test]
fn a_service_manager_hands_its_sockets_over() -> Result<()> {
    let sandbox = sandbox()?;
    let held = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = held.local_addr()?.to_string();
    let ready = sandbox.path().join("handed.json");
    let start = |name: &str| -> Result<std::process::Command> {
        let program = sandbox.bare_hakata();
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", HAND_OVER, "sh", name]).arg(program.get_program()).arg("serve");
        command.arg("--data").arg(sandbox.data()).arg("--ready-file").arg(&ready);
        for flag in ["--http", "--ssh", "--admin"] {
            command.args([flag, "127.0.0.1:0"]);
        }
        let socket = std::os::fd::OwnedFd::from(held.try_clone()?);
        command.stdin(Stdio::from(socket)).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command)
    };
    let waiting = TcpStream::connect(&address)?;
    let mut child = start("http")?.spawn()?;
    let is_up = wait_until("the ready file", LIMIT, || ready.exists());
    let answer = is_up.and_then(|()| get(&address, "/"));
    kill_process(Pid::from_child(&child), Signal::TERM)?;
    assert!(child.wait()?.success(), "SIGTERM ends with 0");
    assert_eq!(answer?.0, "200", "the address of the socket wins over the configured one");
    drop(waiting);
    TcpStream::connect(&address).context("between two servers the socket goes on listening")?;
    let refused =
        start("htpp")?.stdin(Stdio::from(std::os::fd::OwnedFd::from(held.try_clone()?))).output()?;
    assert_eq!(refused.status.code(), Some(2), "a socket that nobody takes is refused");
    Ok(())
}

#[test]
fn one_sqlite_file_serves_one_data_directory() -> Result<()> {
    let sandbox = sandbox()?;
    let url = format!("sqlite://{}", sandbox.path().join("shared.db").display());
    let options =
        ServerOptions { settings: vec![("database.url".into(), url.clone())], ..ServerOptions::default() };
    let _server = Server::start(&sandbox, &options)?;
    let other = sandbox.path().join("other");
    let mut second = sandbox.bare_hakata();
    second.args(["user", "add", "aiko", "--data"]).arg(&other).env("HAKATA_DATABASE__URL", &url);
    let refused = run(&mut second)?;
    assert_eq!(refused.status, Some(4), "{}", refused.stderr);
    assert!(refused.stderr.contains("the Hakata of another data directory has"), "{}", refused.stderr);
    Ok(())
}

#[test]
fn a_client_too_many_hears_503() -> Result<()> {
    let sandbox = sandbox()?;
    let settings = vec![("connections.total".into(), "1".into())];
    let server = Server::start(&sandbox, &ServerOptions { settings, ..ServerOptions::default() })?;
    let _first = TcpStream::connect(&server.http)?;
    let mut heard = String::new();
    // The first is admitted before the second, in the order of the queue.
    TcpStream::connect(&server.http)?.read_to_string(&mut heard)?;
    assert!(heard.starts_with("HTTP/1.1 503 ") && heard.contains("Retry-After: "), "{heard:?}");
    Ok(())
}

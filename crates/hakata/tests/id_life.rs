//! How the id server starts, tells how it does, and ends; and its command line. Against the real process.

use anyhow::{Context, Result, ensure};
use hakata_testkit::{IdServer, Sandbox, Server, ServerOptions, Talk, run, wait_until};
use rustix::process::Signal;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

fn sandbox() -> Result<Sandbox> {
    Sandbox::new(env!("CARGO_BIN_EXE_hakata"))
}

fn options(settings: &[(&str, &str)]) -> ServerOptions {
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ServerOptions { settings, ..ServerOptions::default() }
}

/// An address of this machine where nobody listens.
fn nobody() -> Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

#[test]
fn a_stop_answers_what_arrived_and_gives_the_lease_back() -> Result<()> {
    let sandbox = sandbox()?;
    let mut server = IdServer::start(&sandbox, &options(&[("id.fence_ahead", "30s")]))?;
    let mut idle = (0..50).map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
    idle.iter_mut().try_for_each(|talk| talk.fetch().map(drop))?;
    let last = server.fetch()?;
    let mut busy = server.connect()?;
    busy.fetch()?;
    busy.send(format!("get{}\r\nget k", " k".repeat(1_000)).as_bytes())?;
    let start = Instant::now();
    server.stop()?;
    ensure!(
        start.elapsed() < Duration::from_secs(5),
        "idle connections hold nothing up: {:?}",
        start.elapsed()
    );
    let heard = String::from_utf8(busy.rest()?)?;
    assert_eq!(heard.matches("VALUE k 0 ").count(), 1_000, "what had arrived is answered");
    assert!(heard.ends_with("END\r\n"), "and what was not complete is not");
    for mut talk in idle {
        assert_eq!(talk.rest()?, b"", "an idle connection is closed without a word");
    }
    assert!(server.log().contains("stopped: everything was finished"), "{}", server.log());
    let start = Instant::now();
    let again = IdServer::start(&sandbox, &options(&[]))?;
    let id = again.fetch().context("a stop in good order leaves nothing to wait for")?;
    ensure!(
        id > last && start.elapsed() < Duration::from_secs(10),
        "{id} after {last}, {:?}",
        start.elapsed()
    );
    Ok(())
}

#[test]
fn a_second_signal_cuts_and_hangups_do_not_kill() -> Result<()> {
    let sandbox = sandbox()?;
    let mut server = IdServer::start(&sandbox, &options(&[("id.idle_timeout", "0s")]))?;
    server.signal(Signal::HUP)?;
    wait_until("the reload", LIMIT, || server.log().contains("the configuration read again is the same"))?;
    let mut deaf = server.connect()?;
    deaf.set_write_timeout(Duration::from_millis(200))?;
    let request = format!("get{}\r\n", " k".repeat(30_000));
    // Until the server reads no more: there are replies that it cannot get rid of.
    while deaf.send(request.as_bytes()).is_ok() {}
    server.signal(Signal::TERM)?;
    wait_until("the drain", LIMIT, || server.log().contains("stopping: "))?;
    ensure!(server.connect().is_err(), "a server that stops accepts nobody");
    server.signal(Signal::TERM)?;
    assert_eq!(server.wait()?, Some(0));
    assert!(server.log().contains("stopped: 1 cut"), "{}", server.log());
    Ok(())
}

#[test]
fn one_worker_id_has_one_process() -> Result<()> {
    let sandbox = sandbox()?;
    let first = IdServer::start(&sandbox, &options(&[("id.worker_id", "0")]))?;
    assert_eq!((first.fetch()? >> 12) & 1023, 0, "0 is a worker id like any other");
    let mut second = sandbox.hakata(&["id", "-worker-id", "0", "--address", "127.0.0.1:0", "--admin", "off"]);
    let second = run(&mut second)?;
    assert_eq!(second.status, Some(4), "{}", second.stderr);
    assert!(second.stderr.contains("worker id 0 is in use by another process"), "{}", second.stderr);
    Ok(())
}

#[test]
fn a_socket_file_is_replaced_only_if_nobody_answers() -> Result<()> {
    let sandbox = sandbox()?;
    let path = sandbox.path().join("id.sock");
    let at = path.display().to_string();
    let settings = [("id.address", "off"), ("id.socket", at.as_str()), ("id.socket_mode", "0660")];
    let mut server = IdServer::start(&sandbox, &options(&settings))?;
    assert_eq!(server.id, format!("unix:{at}"));
    assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, 0o660);
    let refuse =
        |socket: &str| run(&mut sandbox.hakata(&["id", "--admin", "off", "-worker-id=2", "-sock", socket]));
    let second = refuse(&at)?;
    ensure!(
        second.status == Some(1) && second.stderr.contains("another server answers on"),
        "{}",
        second.stderr
    );
    server.fetch().context("the first one does not mind")?;
    server.kill()?;
    assert!(path.exists(), "a killed server leaves its socket behind");
    let mut again = IdServer::start(&sandbox, &options(&settings))?;
    wait_until("the fence of the killed one", LIMIT, || again.fetch().is_ok())?;
    again.stop()?;
    assert!(!path.exists(), "a stopped one does not");
    let long = sandbox.path().join("s".repeat(120)).display().to_string();
    let refused = refuse(&long)?;
    ensure!(refused.stderr.contains("is longer than 107 bytes"), "{}", refused.stderr);
    let file = sandbox.path().join("file");
    std::fs::write(&file, "kept")?;
    let refused = refuse(&file.display().to_string())?;
    ensure!(refused.stderr.contains("exists and is no socket"), "{}", refused.stderr);
    assert_eq!(std::fs::read_to_string(&file)?, "kept");
    Ok(())
}

/// Takes what listens on standard input as a socket of a service manager that is called by the first argument.
const HAND_OVER: &str = r#"exec 3<&0 </dev/null; name=$1; shift
LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=$name exec "$@""#;

#[test]
fn a_service_manager_hands_its_sockets_over() -> Result<()> {
    let sandbox = sandbox()?;
    let held = std::net::TcpListener::bind("127.0.0.1:0")?;
    let (address, ready) = (held.local_addr()?.to_string(), sandbox.path().join("handed.json"));
    let start = |name: &str| -> Result<Command> {
        let program = sandbox.bare_hakata();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", HAND_OVER, "sh", name]).arg(program.get_program()).arg("id").arg("--data");
        command
            .arg(sandbox.data())
            .args(["--address", "127.0.0.1:0", "--admin", "off", "--ready-file"])
            .arg(&ready);
        command.stdin(std::os::fd::OwnedFd::from(held.try_clone()?));
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        Ok(command)
    };
    let mut early = Talk::to(&address)?;
    let mut child = start("id")?.spawn()?;
    let fetched = early.fetch();
    wait_until("the ready file", LIMIT, || ready.exists())?;
    let told: Value = serde_json::from_slice(&std::fs::read(&ready)?)?;
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM)?;
    ensure!(child.wait()?.success(), "SIGTERM ends with 0");
    fetched.context("whoever came before the server is served")?;
    assert_eq!(told["id"], address, "the address of the socket wins over the configured one");
    Talk::to(&address).context("between two servers the socket goes on listening")?;
    let refused = start("id_http")?.output()?;
    assert_eq!(refused.status.code(), Some(2), "a socket of a listener that is off is refused");
    Ok(())
}

#[test]
fn without_a_lease_it_says_so_everywhere_and_lives() -> Result<()> {
    let sandbox = sandbox()?;
    let redis = format!("redis://{}", nobody()?);
    let mut server =
        IdServer::start(&sandbox, &options(&[("id.redis", &redis), ("id.lease_patience", "200ms")]))?;
    assert_eq!(server.connect()?.ask("get k\r\n", "\r\n")?, "SERVER_ERROR no lease\r\n");
    let mut binary = server.connect()?;
    binary.send(b"\x80\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x07\0\0\0\0\0\0\0\0k")?;
    let head = binary.exactly(24)?;
    ensure!(
        head[6..8] == [0, 0x86] && head[15] == 7,
        "a temporary failure: {:?}",
        head.escape_ascii().to_string()
    );
    assert_eq!(server.get(&server.http, "/id")?.0, 503);
    assert_eq!(server.get(&server.admin, "/healthz")?.0, 200, "it lives");
    let (status, body) = server.get(&server.admin, "/readyz")?;
    ensure!(status == 503 && body.contains("\"id\":\""), "{status} {body}");
    assert_eq!(server.metric("hakata_id_refused_total")?, 3.0);
    let (_, stats) = server.get(&server.http, "/stats")?;
    let stats: Value = serde_json::from_str(&stats)?;
    assert_eq!((&stats["get_misses"], &stats["worker_id"]), (&Value::from(3), &Value::Null));
    server.stop()
}

#[test]
fn requests_over_http_are_bounded() -> Result<()> {
    let sandbox = sandbox()?;
    let server = IdServer::start(&sandbox, &options(&[("http.header_timeout", "1s")]))?;
    for (n, status, lines) in [
        ("-1", 400, 1),
        ("0", 400, 1),
        ("1", 200, 1),
        ("1000", 200, 1000),
        ("1001", 400, 1),
        ("99999999999999999999", 400, 1),
        ("many", 400, 1),
    ] {
        let (found, body) = server.get(&server.http, &format!("/ids?n={n}"))?;
        assert_eq!((found, body.lines().count()), (status, lines), "n={n}: {body}");
    }
    let (_, stats) = server.get(&server.http, "/stats")?;
    let stats: Value = serde_json::from_str(&stats)?;
    for key in
        ["pid", "uptime", "time", "curr_connections", "fence_distance_ms", "clock_offset_ms", "lease_age"]
    {
        ensure!(stats[key].is_number(), "{key} in {stats}");
    }
    assert_eq!((&stats["get_hits"], &stats["worker_id"]), (&Value::from(1001), &Value::from(1)));
    assert_eq!(server.get(&server.admin, "/readyz")?.0, 200);
    // Neither the beginning of a request nor that of HTTP/2 is waited for longer.
    for address in [&server.http, &server.grpc, &server.admin] {
        for beginning in ["", "GET /id HTTP/1.1\r\nX: ", "PRI * HTTP/2.0\r\n"] {
            let mut slow = Talk::to(address)?;
            slow.send(beginning.as_bytes())?;
            let start = Instant::now();
            slow.rest()?;
            ensure!(
                start.elapsed() < Duration::from_secs(5),
                "{beginning:?} is cut after {:?}",
                start.elapsed()
            );
        }
    }
    Ok(())
}

#[test]
fn grpc_is_spoken_without_tls() -> Result<()> {
    let sandbox = sandbox()?;
    let server = IdServer::start(&sandbox, &options(&[]))?;
    let [request, reply, heads] = ["request", "reply", "heads"].map(|name| sandbox.work().join(name));
    // FetchMulti of five: field 1, a varint.
    std::fs::write(&request, b"\0\0\0\0\x02\x08\x05")?;
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20", "--http2-prior-knowledge"])
        .args(["--header", "content-type: application/grpc", "--header", "te: trailers"])
        .arg("--data-binary")
        .arg(format!("@{}", request.display()))
        .arg("--output")
        .arg(&reply)
        .arg("--dump-header")
        .arg(&heads)
        .arg(format!("http://{}/katsubushi.Generator/FetchMulti", server.grpc));
    run(&mut curl)?.expect_success("curl")?;
    let (reply, heads) = (std::fs::read(&reply)?, std::fs::read_to_string(&heads)?);
    ensure!(heads.contains("grpc-status: 0"), "{heads}");
    ensure!(reply.len() > 5 + 2 + 5 * 8 && reply[5] == 0x0a, "{:?}", reply.escape_ascii().to_string());
    assert_eq!(server.metric("hakata_id_issued_total")?, 5.0);
    Ok(())
}

#[test]
fn the_version_is_one_and_numeric() -> Result<()> {
    let sandbox = sandbox()?;
    let server = IdServer::start(&sandbox, &options(&[]))?;
    let told = server.connect()?.ask("version\r\n", "\r\n")?;
    let version = told.trim_end().strip_prefix("VERSION ").context("a version")?;
    let number = version.split('-').next().unwrap_or_default();
    let numbers: Vec<&str> = number.split('.').collect();
    ensure!(
        numbers.len() == 3 && numbers.iter().all(|n| n.parse::<u32>().is_ok()),
        "{version} begins with N.N.N"
    );
    for words in [&["id", "--version"][..], &["id", "-version"]] {
        let shown = run(sandbox.bare_hakata().args(words))?.expect_success("hakata id")?.stdout;
        assert_eq!(shown.split_whitespace().last(), Some(version), "{words:?}");
    }
    for words in [&["--version"][..], &["version"]] {
        let shown = run(sandbox.bare_hakata().args(words))?.expect_success("hakata")?.stdout;
        let own = shown.split_whitespace().last().context("a version")?;
        ensure!(version.ends_with(&format!("-{own}")), "{words:?}: {own} is the end of {version}");
    }
    let stats = server.connect()?.ask("stats\r\n", "END\r\n")?;
    assert!(stats.contains(&format!("STAT version {version}\r\n")), "{stats}");
    Ok(())
}

#[test]
fn ids_are_taken_apart() -> Result<()> {
    let sandbox = sandbox()?;
    let dump = |words: &[&str]| run(sandbox.bare_hakata().args(["id", "dump"]).args(words));
    let shown = dump(&["354101311794212865", "354103658909954052"])?.expect_success("dump")?.stdout;
    let objects = shown.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    assert_eq!(
        objects[0],
        serde_json::json!({"time": "2017-09-04T03:12:11.615Z", "worker_id": 999, "sequence": 1})
    );
    assert_eq!(objects[1]["sequence"], 4);
    let safe = dump(&["--js-safe", "16384"])?.expect_success("dump")?.stdout;
    assert_eq!(serde_json::from_str::<Value>(&safe)?["time"], "2015-01-01T00:00:00.01Z");
    for word in ["x", "1.5", "99999999999999999999"] {
        assert_eq!(dump(&["1", word])?.status, Some(1), "{word}");
    }
    assert_eq!(dump(&[])?.status, Some(1), "nothing to take apart");
    Ok(())
}

#[test]
fn everything_together_serves_ids_when_it_is_told_to() -> Result<()> {
    let sandbox = sandbox()?;
    let socket = sandbox.path().join("id.sock").display().to_string();
    let mut server = Server::start(&sandbox, &options(&[("id.socket", &socket), ("id.layout", "js-safe")]))?;
    let id = Talk::to(&format!("unix:{socket}"))?.fetch()?;
    ensure!(id < 1 << 53, "{id} is exact in JavaScript");
    let ready: Value = serde_json::from_slice(&std::fs::read(sandbox.path().join("ready.json"))?)?;
    assert_eq!(ready["id"], format!("unix:{socket}"));
    ensure!(
        sandbox.log().contains(&format!("  ids   unix:{socket}   http  off   grpc  off")),
        "{}",
        sandbox.log()
    );
    let mut admin = Talk::to(&server.admin)?;
    admin.send(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let health = String::from_utf8(admin.rest()?)?;
    ensure!(health.starts_with("HTTP/1.1 200 ") && health.contains("\"id\":\"ok\""), "{health}");
    server.stop()?;
    let without = Server::start(&sandbox, &ServerOptions::default())?;
    ensure!(!std::path::Path::new(&socket).exists(), "process {} serves no ids", without.pid());
    Ok(())
}

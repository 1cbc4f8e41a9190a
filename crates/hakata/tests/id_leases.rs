//! Worker ids that processes lease from one another, in a database and over TLS. Against the real process.

use anyhow::{Context, Result, ensure};
use hakata_testkit::{Database, Engine, IdServer, Process, Sandbox, ServerOptions, wait_until};
use rustix::process::Signal;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// Ids of one request.
const MANY: usize = 500;

fn sandbox() -> Result<Sandbox> {
    Sandbox::new(env!("CARGO_BIN_EXE_hakata"))
}

fn options(settings: &[(&str, &str)]) -> ServerOptions {
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ServerOptions { settings, ..ServerOptions::default() }
}

/// Takes many ids, which must rise above all before and be of worker id 5.
fn take(server: &IdServer, ids: &mut Vec<u64>) -> Result<()> {
    let reply = server.connect()?.ask(&format!("get{}\r\n", " k".repeat(MANY)), "END\r\n")?;
    let new: Vec<u64> = reply.split("\r\n").filter_map(|line| line.parse().ok()).collect();
    ensure!(new.len() == MANY, "{} ids of {MANY}: {reply}", new.len());
    ensure!(new.iter().all(|id| (id >> 12) & 1023 == 5), "the one worker id that there is");
    ids.extend(new);
    // Whoever has a worker id next begins behind the fence of the one before, so they rise over all holders.
    ensure!(ids.is_sorted_by(|a, b| a < b), "an id came twice, or below an earlier one");
    Ok(())
}

/// What a server without a lease says.
fn refuses(server: &IdServer) -> Result<bool> {
    Ok(server.connect()?.ask("get k\r\n", "\r\n")? == "SERVER_ERROR no lease\r\n")
}

/// Two processes and one worker id: it goes from one to the other when its holder hangs, and when it stops.
fn one_worker_id_goes_from_process_to_process(engine: Engine) -> Result<()> {
    let sandbox = sandbox()?;
    let database = Database::create(engine)?.context("a server's database")?;
    let url = database.url();
    let options = options(&[
        ("database.url", &url),
        ("id.min_worker_id", "5"),
        ("id.max_worker_id", "5"),
        ("id.lease_ttl", "2s"),
        ("id.lease_renew", "250ms"),
        ("id.fence_ahead", "1s"),
        ("id.borrow", "500ms"),
    ]);
    let mut ids = Vec::new();
    let first = IdServer::start_as(&sandbox, "first", &options)?;
    wait_until("the first lease", LIMIT, || first.fetch().is_ok())?;
    take(&first, &mut ids)?;
    let mut second = IdServer::start_as(&sandbox, "second", &options)?;
    ensure!(refuses(&second)?, "the only worker id is taken");
    first.signal(Signal::STOP)?;
    wait_until("the lease of the one that hangs", LIMIT, || second.fetch().is_ok())?;
    take(&second, &mut ids)?;
    first.signal(Signal::CONT)?;
    ensure!(refuses(&first)?, "it wakes up behind its fence");
    wait_until("the first to hear that it lost", LIMIT, || {
        first.metric("hakata_id_lease_errors_total{reason=\"lost\"}").is_ok_and(|lost| lost == 1.0)
    })?;
    ensure!(refuses(&first)?, "and finds no other");
    take(&second, &mut ids)?;
    second.stop()?;
    wait_until("the lease that was given back", LIMIT, || first.fetch().is_ok())?;
    take(&first, &mut ids)
}

#[test]
fn one_worker_id_goes_from_process_to_process_in_postgres() -> Result<()> {
    one_worker_id_goes_from_process_to_process(Engine::Postgres)
}

#[test]
fn one_worker_id_goes_from_process_to_process_in_mariadb() -> Result<()> {
    one_worker_id_goes_from_process_to_process(Engine::Mariadb)
}

/// Starts a Redis that speaks TLS only, with a certificate of the moment in `directory`; returns it and its port.
fn redis_with_tls(directory: &Path) -> Result<(Process, u16)> {
    std::fs::create_dir_all(directory)?;
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", "0", "--tls-port", &port.to_string(), "--save", ""]);
    command.args(["--tls-auth-clients", "no", "--tls-cert-file"]).arg(&certificate);
    command.arg("--tls-key-file").arg(&key).arg("--tls-ca-cert-file").arg(&certificate);
    command.arg("--dir").arg(directory);
    let mut process = Process::spawn(&mut command, &directory.join("log"))?;
    wait_until("a Redis that listens", LIMIT, || {
        process.has_ended() || TcpStream::connect(("127.0.0.1", port)).is_ok()
    })?;
    ensure!(!process.has_ended(), "{}", std::fs::read_to_string(directory.join("log"))?);
    Ok((process, port))
}

#[test]
fn redis_is_asked_over_tls_if_its_certificate_is_trusted() -> Result<()> {
    let sandbox = sandbox()?;
    let directory = sandbox.path().join("redis");
    let (_redis, port) = redis_with_tls(&directory)?;
    let url = format!("rediss://127.0.0.1:{port}?ns=t");
    let certificate = format!("SSL_CERT_FILE={}", directory.join("cert.pem").display());
    let settings = [
        ("id.redis", url.as_str()),
        ("id.fence_ahead", "500ms"),
        ("id.lease_renew", "200ms"),
        ("id.lease_patience", "1s"),
    ];
    let trusting = ServerOptions { wrapper: vec!["env".to_owned(), certificate], ..options(&settings) };
    let mut server = IdServer::start_as(&sandbox, "trusting", &trusting)?;
    wait_until("the first lease, behind the wait of an empty Redis", LIMIT, || server.fetch().is_ok())?;
    let why = "Redis is new to these ids, was emptied or was started again: no ids are issued until";
    ensure!(server.log().contains(why), "the wait is explained: {}", server.log());
    server.stop()?;
    let stranger = IdServer::start_as(&sandbox, "stranger", &options(&settings))?;
    wait_until("a word about the certificate", LIMIT, || {
        server_says(&stranger, "certificate").unwrap_or(false)
    })?;
    ensure!(refuses(&stranger)?, "nobody is asked who cannot prove who it is");
    Ok(())
}

/// Whether readiness is refused for a reason that has a word in it.
fn server_says(server: &IdServer, word: &str) -> Result<bool> {
    let (status, body) = server.get(&server.admin, "/readyz")?;
    Ok(status == 503 && body.to_lowercase().contains(word))
}

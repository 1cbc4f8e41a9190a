//! Many clients at once, vanished clients, and a machine that runs short; against the real process.

use anyhow::{Context, Result, ensure};
use hakata_testkit::{IdServer, Sandbox, ServerOptions, Talk, run, wait_until};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);
const OPEN: &str = "hakata_connections_open{listener=\"id\"}";
const TASKS: &str = "hakata_tasks_live{task=\"id\"}";

fn sandbox() -> Result<Sandbox> {
    Sandbox::new(env!("CARGO_BIN_EXE_hakata"))
}

fn options(settings: &[(&str, &str)], wrapper: &[&str]) -> ServerOptions {
    ServerOptions {
        settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        wrapper: wrapper.iter().map(|word| (*word).to_owned()).collect(),
        ..ServerOptions::default()
    }
}

fn wait_for(server: &IdServer, metric: &str, value: f64) -> Result<()> {
    wait_until(&format!("{metric} of {value}"), LIMIT, || {
        server.metric(metric).is_ok_and(|found| found == value)
    })
}

/// Processor time that the server has used, in seconds.
fn cpu(server: &IdServer) -> Result<f64> {
    server.metric("process_cpu_seconds_total")
}

/// The same as the kernel tells it, for a server that accepts nobody.
fn cpu_of(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let behind_name = stat.rsplit_once(')').context("a name in brackets")?.1;
    let ticks = behind_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    // Ticks of user and system time are 10 ms in what Linux tells.
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

#[test]
fn three_hundred_clients_at_once_are_let_in_at_once() -> Result<()> {
    let sandbox = sandbox()?;
    let server = IdServer::start(&sandbox, &options(&[], &[]))?;
    let address: SocketAddr = server.id.parse()?;
    let gate = std::sync::Barrier::new(300);
    let mut took: Vec<Duration> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..300)
            .map(|_| {
                scope.spawn(|| -> Result<(TcpStream, Duration)> {
                    gate.wait();
                    let start = Instant::now();
                    let stream = TcpStream::connect_timeout(&address, LIMIT)?;
                    Ok((stream, start.elapsed()))
                })
            })
            .collect();
        let joined = clients
            .into_iter()
            .map(|client| client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?);
        joined.collect::<Result<Vec<_>>>().map(|all| all.into_iter().map(|(_, took)| took).collect())
    })?;
    took.sort();
    let slowest = took[took.len() - 1];
    println!("slowest of 300 connects: {slowest:?}, median {:?}", took[150]);
    // A handshake that the kernel dropped is tried again after a second.
    ensure!(slowest < Duration::from_millis(900), "a connect took {slowest:?}");
    wait_for(&server, OPEN, 0.0)
}

#[test]
fn fifty_thousand_connections_leave_nothing_behind() -> Result<()> {
    let sandbox = sandbox()?;
    let server = IdServer::start(&sandbox, &options(&[("id.max_connections_per_address", "100000")], &[]))?;
    server.fetch()?;
    wait_for(&server, OPEN, 0.0)?;
    let base = server.metric("hakata_runtime_tasks_alive")?;
    let (before, descriptors) = (server.resident_bytes()?, server.metric("process_open_fds")?);
    const EACH: usize = 12_500;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    for n in 0..EACH {
                        let mut talk = server.connect()?;
                        // Some ask, some only come and go, with a reset that leaves no port behind.
                        if n % 4 == 0 {
                            talk.fetch()?;
                        } else {
                            talk.reset_on_drop()?;
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        clients.into_iter().try_for_each(|c| c.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
    })?;
    wait_for(&server, OPEN, 0.0)?;
    wait_for(&server, TASKS, 0.0)?;
    wait_until("as many tasks as before", LIMIT, || {
        server.metric("hakata_runtime_tasks_alive").is_ok_and(|tasks| tasks <= base)
    })?;
    ensure!(server.metric("process_open_fds")? <= descriptors, "every descriptor is closed");
    let grown = server.resident_bytes()?.saturating_sub(before);
    ensure!(grown < 16 << 20, "50,000 connections left {grown} bytes behind");
    let stats = server.connect()?.ask("stats\r\n", "END\r\n")?;
    for line in ["STAT total_connections 50002\r\n", "STAT curr_connections 1\r\n", "STAT get_hits 12501\r\n"]
    {
        ensure!(stats.contains(line), "{line:?} is missing from {stats}");
    }
    Ok(())
}

#[test]
fn without_descriptors_it_serves_who_is_there_and_then_others() -> Result<()> {
    let sandbox = sandbox()?;
    let server = IdServer::start(&sandbox, &options(&[], &["prlimit", "--nofile=40:40"]))?;
    let clients = (0..60).map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
    let mut served = Vec::new();
    for mut client in clients {
        // Beyond the limit clients are closed at once, or wait in the queue.
        client.set_read_timeout(Duration::from_millis(500))?;
        if client.fetch().is_ok() {
            client.set_read_timeout(LIMIT)?;
            served.push(client);
        }
    }
    ensure!((10..40).contains(&served.len()), "{} of 60 are served by 40 descriptors", served.len());
    let (start, log) = (Instant::now(), server.log());
    while start.elapsed() < Duration::from_secs(2) {
        for client in &mut served {
            client.fetch().context("who is there is served")?;
        }
    }
    let lines = log.matches("accepting connections").count();
    ensure!(lines <= 2, "one line in a while, not {lines}");
    drop(served);
    wait_until("a fresh client that is served", LIMIT, || server.fetch().is_ok())?;
    wait_for(&server, OPEN, 0.0)?;
    let (start, before) = (Instant::now(), cpu(&server)?);
    // Clients that hold what there is, while others wait in the queue: accepting must not spin.
    let _held = (0..60).map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
    let _waiting = wait_until("never", Duration::from_secs(2), || false);
    drop(_held);
    wait_for(&server, OPEN, 0.0)?;
    let share = (cpu(&server)? - before) / start.elapsed().as_secs_f64();
    ensure!(share < 0.3, "a server that cannot accept used {:.0} % of a processor", share * 100.0);
    Ok(())
}

/// In place of the C library's accept4: the machine has no file left while the named one exists.
const NO_FILES_LEFT: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
  const char *path = getenv("NO_FILES_WHILE");
  if (path && access(path, F_OK) == 0) { errno = ENFILE; return -1; }
  int (*real)(int, struct sockaddr *, socklen_t *, int) = dlsym(RTLD_NEXT, "accept4");
  return real(fd, address, length, flags);
}
"#;

/// ENFILE, which a test cannot provoke without taking every file of the machine: accept answers it here.
#[test]
fn without_files_on_the_machine_it_serves_who_is_there_and_then_others() -> Result<()> {
    let sandbox = sandbox()?;
    let [source, library, sign] = ["enfile.c", "enfile.so", "no-files"].map(|name| sandbox.path().join(name));
    std::fs::write(&source, NO_FILES_LEFT)?;
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    run(&mut compiler)?.expect_success("cc")?;
    let preload = format!("LD_PRELOAD={}", library.display());
    let while_there = format!("NO_FILES_WHILE={}", sign.display());
    let mut server = IdServer::start(&sandbox, &options(&[], &["env", &preload, &while_there]))?;
    let mut served = server.connect()?;
    served.fetch()?;
    std::fs::write(&sign, "")?;
    let waiting = (0..5).map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
    wait_until("an error of accept", LIMIT, || server.log().contains("accepting connections"))?;
    let (start, before) = (Instant::now(), cpu_of(server.pid())?);
    let _waiting = wait_until("never", Duration::from_secs(2), || false);
    let share = (cpu_of(server.pid())? - before) / start.elapsed().as_secs_f64();
    ensure!(share < 0.3, "a server that cannot accept used {:.0} % of a processor", share * 100.0);
    served.fetch().context("who is there is served")?;
    let lines = server.log().matches("accepting connections").count();
    ensure!(lines == 1, "one line in a while, not {lines}: {}", server.log());
    std::fs::remove_file(&sign)?;
    for mut talk in waiting {
        talk.fetch().context("whoever waited is served when there are files again")?;
    }
    ensure!(server.metric("hakata_accept_errors_total{listener=\"id\"}")? > 1.0, "they are counted");
    drop(served);
    wait_for(&server, OPEN, 0.0)?;
    server.stop()
}

#[test]
fn one_connection_too_many_is_told_so() -> Result<()> {
    for (key, refused) in [("id.max_connections", "full"), ("id.max_connections_per_address", "address")] {
        let sandbox = sandbox()?;
        let server = IdServer::start(&sandbox, &options(&[(key, "3")], &[]))?;
        let mut held = (0..3).map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
        held.iter_mut().try_for_each(|talk| talk.fetch().map(drop))?;
        let heard = server.connect()?.rest()?;
        assert_eq!(String::from_utf8(heard)?, "SERVER_ERROR too many open connections\r\n", "{key}");
        held.pop();
        wait_for(&server, OPEN, 2.0)?;
        server.fetch().context("a place that is free again")?;
        let refused = format!("hakata_connections_refused_total{{listener=\"id\",reason=\"{refused}\"}}");
        ensure!(server.metric(&refused)? == 1.0, "{refused}");
    }
    Ok(())
}

#[test]
fn a_thousand_idle_connections_are_cheap() -> Result<()> {
    let sandbox = sandbox()?;
    let server = IdServer::start(&sandbox, &options(&[("id.max_connections_per_address", "5000")], &[]))?;
    // What the allocator and the metrics need once is not a connection's.
    let warm = (0..50).map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
    drop(warm);
    server.fetch()?;
    wait_for(&server, OPEN, 0.0)?;
    let before = server.resident_bytes()?;
    let mut held = Vec::new();
    for _ in 0..1_000 {
        let mut talk = server.connect()?;
        talk.ask(&format!("get{}\r\n", " k".repeat(100)), "END\r\n")?;
        held.push(talk);
    }
    wait_for(&server, OPEN, 1_000.0)?;
    let each = server.resident_bytes()?.saturating_sub(before) / 1_000;
    println!("resident bytes of an idle connection: {each}");
    ensure!(each <= 16 << 10, "an idle connection takes {each} bytes");
    Ok(())
}

/// A test that tests nothing says so.
#[expect(clippy::print_stderr, reason = "to whoever runs it")]
fn not_tested(why: &str) {
    eprintln!("NOT TESTED: {why}");
}

/// Runs a command in the network of the server.
fn beside(server: &IdServer, words: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--net", "--target", &server.pid().to_string()]).args(words);
    command
}

#[test]
fn a_client_that_vanishes_without_a_word_is_noticed() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        not_tested("taking a network away needs a network of one's own, which root may have");
        return Ok(());
    }
    let sandbox = sandbox()?;
    let admin = format!("unix:{}", sandbox.path().join("admin.sock").display());
    let settings = [
        ("admin.address", admin.as_str()),
        ("connections.keepalive", "3s"),
        ("connections.write_stall", "3s"),
        ("id.idle_timeout", "0s"),
    ];
    let up = ["unshare", "--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"];
    let server = IdServer::start(&sandbox, &options(&settings, &up))?;
    let (host, port) = server.id.rsplit_once(':').context("an address has a port")?;
    let talk = format!(
        "exec 3<>/dev/tcp/{host}/{port}; printf 'get k\\r\\n' >&3; read -r line <&3; echo \"$line\"; exec cat <&3 >/dev/null"
    );
    let mut client =
        beside(&server, &["bash", "-c", &talk]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut said = [0; 8];
    client.stdout.as_mut().context("piped")?.read_exact(&mut said)?;
    assert_eq!(&said, b"VALUE k ");
    wait_for(&server, OPEN, 1.0)?;
    run(&mut beside(&server, &["ip", "link", "set", "lo", "down"]))?
        .expect_success("taking the network away")?;
    let noticed = wait_for(&server, OPEN, 0.0).and_then(|()| wait_for(&server, TASKS, 0.0));
    client.kill()?;
    client.wait()?;
    noticed
}

#[test]
fn a_panic_in_one_connection_ends_that_connection() -> Result<()> {
    let sandbox = sandbox()?;
    let armed = ServerOptions { fault: Some("id.received:3:panic".to_owned()), ..options(&[], &[]) };
    let mut server = IdServer::start(&sandbox, &armed)?;
    let mut before = server.connect()?;
    let first = before.fetch()?;
    let mut other = server.connect()?;
    other.fetch()?;
    let mut broken = server.connect()?;
    broken.send(b"get k\r\n")?;
    assert_eq!(broken.rest()?, b"", "the connection in which it happens is closed, nothing half said");
    let second = before.fetch().context("those that were open go on")?;
    ensure!(second > first && server.fetch()? > second, "and ids rise");
    other.fetch()?;
    assert_eq!(server.metric("hakata_task_panics_total{task=\"id\"}")?, 1.0, "it is counted");
    ensure!(server.log().contains("panicked"), "and logged: {}", server.log());
    drop((before, other));
    wait_for(&server, OPEN, 0.0)?;
    wait_for(&server, TASKS, 0.0)?;
    server.stop()
}

#[test]
fn a_client_that_is_gone_in_the_middle_of_a_reply_is_no_error() -> Result<()> {
    let sandbox = sandbox()?;
    let server = IdServer::start(&sandbox, &options(&[], &[]))?;
    for _ in 0..20 {
        let mut talk = server.connect()?;
        talk.send(format!("get{}\r\n", " k".repeat(50_000)).as_bytes())?;
        let mut some = [0; 100];
        talk.read(&mut some)?;
        // Closing with replies unread resets the connection.
        drop(talk);
    }
    wait_for(&server, OPEN, 0.0)?;
    wait_for(&server, TASKS, 0.0)?;
    let mut talk: Talk = server.connect()?;
    talk.fetch()?;
    let log = server.log();
    ensure!(!log.contains("ERROR") && !log.contains("WARN"), "clients that leave fill the log: {log}");
    Ok(())
}

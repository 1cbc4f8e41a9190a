//! Clients that connect and then do nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{Person, Sandbox, Server, ServerOptions, run, wait_until};

/// How much of the stall proof to run.
#[derive(Clone, Debug)]
pub struct Stall {
    /// Connections to the SSH port that never say anything.
    pub n_idle: usize,
    /// Connections that stop in the middle of the handshake.
    pub n_stalled: usize,
    /// The server's login deadline.
    pub deadline: Duration,
}

/// Opens idle and stalled SSH connections; all must be cut at the deadline, and leave no descriptor and no
/// task behind, while somebody else still gets in.
///
/// # Errors
/// If a connection stays, or something leaks.
pub fn stall(binary: &Path, proof: &Stall) -> Result<()> {
    Sandbox::prove(binary, |sandbox| cut_all(sandbox, proof))
}

fn cut_all(sandbox: &Sandbox, proof: &Stall) -> Result<()> {
    let total = proof.n_idle + proof.n_stalled;
    let settings = [
        ("ssh.login_timeout", format!("{}ms", proof.deadline.as_millis())),
        ("connections.per_address", (total + 10).to_string()),
    ];
    let settings = settings.map(|(key, value)| (key.to_owned(), value)).to_vec();
    let options = ServerOptions { settings, ..ServerOptions::default() };
    let server = Server::start(sandbox, &options)?;
    let alice = Person::with_account(sandbox, "alice", &[], &options)?;
    run(&mut alice.ssh(&server, &["whoami"]))?.expect_success("ssh before the stall")?;
    let (descriptors, tasks) = (descriptors(&server)?, live_tasks(&alice, &server)?);
    let started = Instant::now();
    let connections = (0..total).map(|n| connect(&server, n < proof.n_idle)).collect::<Result<Vec<_>>>()?;
    run(&mut alice.ssh(&server, &["whoami"]))?.expect_success("ssh beside stalled clients")?;
    for connection in connections {
        wait_for_end(connection).context("a stalled connection is not cut")?;
    }
    let took = started.elapsed();
    ensure!(took < proof.deadline * 2 + Duration::from_secs(10), "cutting {total} connections took {took:?}");
    wait_until("the return to the same descriptors", Duration::from_secs(20), || {
        self::descriptors(&server).is_ok_and(|now| now <= descriptors + 2)
    })?;
    wait_until("the return to the same tasks", Duration::from_secs(20), || {
        live_tasks(&alice, &server).is_ok_and(|now| now <= tasks + 2)
    })?;
    run(&mut alice.ssh(&server, &["whoami"]))?.expect_success("ssh after the stall").map(drop)
}

fn connect(server: &Server, silent: bool) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(&server.ssh).context("connecting")?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    if !silent {
        // The version line, and the first bytes of a packet that never comes.
        stream.write_all(b"SSH-2.0-stalled\r\n\0\0\x01\0\x06")?;
    }
    Ok(stream)
}

/// Reads until the server closes; a reset is an end as well.
fn wait_for_end(mut stream: TcpStream) -> Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn descriptors(server: &Server) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{}/fd", server.pid())).context("counting descriptors")?.count())
}

/// Sums the gauge of live tasks.
fn live_tasks(alice: &Person, server: &Server) -> Result<usize> {
    let url = format!("http://{}/metrics", server.admin);
    let metrics = run(alice.command("curl").args(["-sf", &url]))?.expect_success("reading metrics")?.stdout;
    let mut lines = metrics.lines().filter(|line| line.starts_with("hakata_tasks"));
    let values = lines.by_ref().filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
    let values: Vec<usize> = values.collect();
    ensure!(!values.is_empty(), "no gauge of live tasks");
    Ok(values.iter().sum())
}

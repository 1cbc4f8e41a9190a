//! The servers that give out numbers.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::replies::VALUE;
use crate::meter::Meter;
use crate::peers::{free_port, wait_for};

/// A running server.
pub(super) struct Peer {
    pub(super) address: String,
    meter: Meter,
    child: Child,
}

impl Peer {
    /// CPU time so far.
    pub(super) fn cpu(&self) -> Result<Duration> {
        self.meter.used()
    }

    /// The process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// All servers of a run.
pub(super) struct Peers {
    pub(super) hakata: Peer,
    /// Hakata again, which may issue ids of the next second.
    pub(super) borrowing: Peer,
    /// A server that only reads and writes.
    pub(super) floor: Peer,
    pub(super) memcached: Peer,
    pub(super) redis: Peer,
}

impl Peers {
    /// Starts every server on a free port, each with as many threads as this machine has cores.
    pub(super) fn start(folder: &Path, binary: &Path) -> Result<Self> {
        let memcached = memcached(folder)?;
        let redis = redis(folder)?;
        let hakata_as = |name, worker_id, borrow| hakata(folder, binary, name, worker_id, borrow);
        let (hakata, borrowing) = (hakata_as("id", "1", "0s")?, hakata_as("id-borrowing", "2", "1s")?);
        Ok(Self { hakata, borrowing, floor: floor(folder)?, memcached, redis })
    }
}

fn hakata(folder: &Path, binary: &Path, name: &str, worker_id: &str, borrow: &str) -> Result<Peer> {
    let ready = folder.join(format!("{name}.json"));
    let mut command = Command::new(binary);
    command.arg("id").arg("--data").arg(folder.join(name)).arg("--ready-file").arg(&ready);
    command.env("HAKATA_ID__ADDRESS", "127.0.0.1:0").env("HAKATA_ADMIN__ADDRESS", "127.0.0.1:0");
    command.env("HAKATA_ID__WORKER_ID", worker_id).env("HAKATA_ID__BORROW", borrow);
    // All connections come from one address here.
    command.env("HAKATA_ID__MAX_CONNECTIONS", "4096").env("HAKATA_ID__MAX_CONNECTIONS_PER_ADDRESS", "4096");
    let log = folder.join(format!("{name}.log"));
    let (meter, child) = Meter::start(name, &mut command, &log)?;
    let mut peer = Peer { address: String::new(), meter, child };
    let deadline = Instant::now() + Duration::from_secs(30);
    while !ready.exists() {
        if Instant::now() > deadline {
            bail!("hakata id does not start: {}", std::fs::read_to_string(log)?);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let addresses: serde_json::Value = serde_json::from_slice(&std::fs::read(&ready)?)?;
    addresses["id"].as_str().context("hakata id tells its address")?.clone_into(&mut peer.address);
    Ok(peer)
}

fn floor(folder: &Path) -> Result<Peer> {
    let port = free_port()?.to_string();
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command.args([super::floor::ARGUMENT, &port]);
    let (meter, child) = Meter::start("floor", &mut command, &folder.join("floor.log"))?;
    let peer = Peer { address: format!("127.0.0.1:{port}"), meter, child };
    wait_for(&peer.address)?;
    Ok(peer)
}

fn memcached(folder: &Path) -> Result<Peer> {
    let port = free_port()?.to_string();
    let mut command = Command::new("memcached");
    command.args(["-l", "127.0.0.1", "-p", &port, "-U", "0", "-c", "4096", "-u", "nobody", "-t"]);
    command.arg(std::thread::available_parallelism().map_or(1, usize::from).to_string());
    let (meter, child) = Meter::start("memcached", &mut command, &folder.join("memcached.log"))?;
    let peer = Peer { address: format!("127.0.0.1:{port}"), meter, child };
    wait_for(&peer.address)?;
    store(&peer.address, "k", &VALUE.to_string())?;
    store(&peer.address, "n", "1")?;
    Ok(peer)
}

fn redis(folder: &Path) -> Result<Peer> {
    let port = free_port()?.to_string();
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no", "--dir"]);
    command.arg(folder);
    let (meter, child) = Meter::start("redis", &mut command, &folder.join("redis.log"))?;
    let peer = Peer { address: format!("127.0.0.1:{port}"), meter, child };
    wait_for(&peer.address)?;
    Ok(peer)
}

/// Stores a value in memcached.
fn store(address: &str, key: &str, value: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(format!("set {key} 0 0 {}\r\n{value}\r\n", value.len()).as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    ensure!(line == "STORED\r\n", "memcached says {line:?}");
    Ok(())
}

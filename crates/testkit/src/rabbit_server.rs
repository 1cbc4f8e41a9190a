//! A RabbitMQ of a test's own, to be killed again and again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{Process, wait_until};

/// How long a start may take, on a machine that does other things too.
const START_LIMIT: Duration = Duration::from_secs(180);

/// How long an answer may take.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Debian's server; the program of the same name in the path leaves root's rights and our environment behind.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// How a client of AMQP 0-9-1 says hello.
const HELLO: &[u8] = b"AMQP\0\0\x09\x01";

/// A broker with a node name, ports and a directory of its own, killed on drop.
pub struct RabbitServer {
    process: Process,
    directory: PathBuf,
    port: u16,
    distribution: u16,
}

impl RabbitServer {
    /// Starts RabbitMQ on free ports with its data in `directory`, which is made.
    ///
    /// # Errors
    /// If it is not installed or does not answer in time.
    pub fn start(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).context("making a directory for RabbitMQ")?;
        std::fs::write(directory.join("rabbitmq.conf"), "log.console = false\n")?;
        std::fs::write(directory.join("plugins"), "[].\n")?;
        let (port, distribution) = (free_port()?, free_port()?);
        let process = spawn(directory, port, distribution)?;
        let mut server = Self { process, directory: directory.to_owned(), port, distribution };
        server.wait()?;
        Ok(server)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Kills the process on the spot.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts a killed server again with its data.
    ///
    /// # Errors
    /// As [`RabbitServer::start`].
    pub fn start_again(&mut self) -> Result<()> {
        self.process = spawn(&self.directory, self.port, self.distribution)?;
        self.wait()
    }

    /// Waits for an answer. A server that finds its name or a port still taken is started once more.
    fn wait(&mut self) -> Result<()> {
        let mut spawned = Ok(());
        let answers = wait_until("an answer of RabbitMQ", START_LIMIT, || {
            if self.process.has_ended() {
                spawned = spawn(&self.directory, self.port, self.distribution)
                    .map(|process| self.process = process);
            }
            spawned.is_err() || answers(self.port)
        });
        spawned.and(answers)
    }
}

fn spawn(directory: &Path, port: u16, distribution: u16) -> Result<Process> {
    let mut command = Command::new(SERVER);
    command
        .env("HOME", directory)
        // The script becomes the server then, instead of its parent: who kills the process kills the server.
        .env("RUNNING_UNDER_SYSTEMD", "1")
        .env("RABBITMQ_NODENAME", format!("hakata-prove-{port}@localhost"))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", port.to_string())
        .env("RABBITMQ_DIST_PORT", distribution.to_string())
        .env("RABBITMQ_MNESIA_BASE", directory.join("data"))
        .env("RABBITMQ_LOG_BASE", directory.join("log"))
        .env("RABBITMQ_CONF_ENV_FILE", directory.join("none"))
        .env("RABBITMQ_CONFIG_FILE", directory.join("rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", directory.join("plugins"))
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
        .env("ERL_EPMD_ADDRESS", "127.0.0.1");
    Process::spawn(&mut command, &directory.join("output")).context("starting RabbitMQ")
}

/// Whether somebody on a port speaks AMQP.
fn answers(port: u16) -> bool {
    let asked = || -> std::io::Result<u8> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), CALL_LIMIT)?;
        stream.set_read_timeout(Some(CALL_LIMIT))?;
        stream.write_all(HELLO)?;
        let mut kind = [0];
        stream.read_exact(&mut kind)?;
        Ok(kind[0])
    };
    // A frame of a method; another version of the protocol says hello itself.
    asked().is_ok_and(|kind| kind == 1)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").context("finding a port for RabbitMQ")?.local_addr()?.port())
}

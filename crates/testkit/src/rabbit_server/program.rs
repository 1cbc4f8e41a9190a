//! RabbitMQ as a program that listens on this machine only. `xtask`, which depends on nothing else of ours so that it is
//! built in seconds, has this file too.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

/// Debian's server; the program of the same name in the path leaves root's rights and our environment behind.
pub(crate) const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// How a client of AMQP 0-9-1 says hello.
const HELLO: &[u8] = b"AMQP\0\0\x09\x01";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a broker listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// For clients, without TLS.
    pub(crate) clients: u16,
    /// For other nodes, of which there are none.
    pub(crate) nodes: u16,
}

/// Makes the command of a broker with its data in `directory`, which is there; `configuration` has further lines of its
/// file.
pub(crate) fn command(directory: &Path, node: &str, ports: Ports, configuration: &str) -> Result<Command> {
    let configuration = format!("log.console = false\n{configuration}");
    std::fs::write(directory.join("rabbitmq.conf"), configuration).context("configuring RabbitMQ")?;
    std::fs::write(directory.join("plugins"), "[].\n").context("configuring RabbitMQ")?;
    let mut command = Command::new(SERVER);
    command
        .env("HOME", directory)
        .env("RABBITMQ_NODENAME", format!("{node}@localhost"))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", ports.clients.to_string())
        .env("RABBITMQ_DIST_PORT", ports.nodes.to_string())
        .env("RABBITMQ_MNESIA_BASE", directory.join("data"))
        .env("RABBITMQ_LOG_BASE", directory.join("log"))
        .env("RABBITMQ_CONF_ENV_FILE", directory.join("none"))
        .env("RABBITMQ_CONFIG_FILE", directory.join("rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", directory.join("plugins"))
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
        .env("ERL_EPMD_ADDRESS", "127.0.0.1");
    Ok(command)
}

/// Tells whether somebody on a port speaks AMQP.
pub(crate) fn answers(port: u16) -> bool {
    let asked = || -> std::io::Result<u8> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(HELLO)?;
        let mut kind = [0];
        stream.read_exact(&mut kind)?;
        Ok(kind[0])
    };
    // A frame of a method; another version of the protocol says hello itself.
    asked().is_ok_and(|kind| kind == 1)
}

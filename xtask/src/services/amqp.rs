//! RabbitMQ for tests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::{Private, free_port, start, temporary};
use crate::tools;

/// Names the broker.
pub(super) const AMQP: &str = "HAKATA_TEST_AMQP_URL";

/// Debian's server; the program of the same name in the path leaves root's rights and our environment behind. Tests
/// start some of their own.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// How a client of AMQP 0-9-1 says hello.
const HELLO: &[u8] = b"AMQP\0\0\x09\x01";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Finds or starts a broker.
pub(super) fn url(private: &mut Vec<Private>) -> Result<String> {
    let url = |port: u16| format!("amqp://guest:guest@127.0.0.1:{port}/%2f");
    if !Path::new(SERVER).exists() {
        tools::install_debian("rabbitmq-server")?;
    }
    if let Ok(url) = std::env::var(AMQP) {
        return Ok(url);
    }
    if answers(5672) {
        return Ok(url(5672));
    }
    let (port, distribution, directory) = (free_port()?, free_port()?, temporary("rabbitmq")?);
    std::fs::write(directory.join("rabbitmq.conf"), "log.console = false\n")?;
    std::fs::write(directory.join("plugins"), "[].\n")?;
    let mut server = Command::new(SERVER);
    server
        .env("HOME", &directory)
        .env("RABBITMQ_NODENAME", format!("hakata-test-{}@localhost", std::process::id()))
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
    private.push(start(server, directory, || answers(port))?);
    Ok(url(port))
}

/// Whether somebody on a port speaks AMQP.
fn answers(port: u16) -> bool {
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

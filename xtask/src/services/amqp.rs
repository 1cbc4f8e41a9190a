//! RabbitMQ for tests.

// The one file that knows how a private broker is started; the crate that it belongs to needs half the product.
#[path = "../../../crates/testkit/src/rabbit_server/program.rs"]
mod program;

use std::path::Path;

use anyhow::Result;

use super::{Private, free_port, start, temporary};
use crate::tools;
use program::{Ports, SERVER, answers};

/// Names the broker.
pub(super) const AMQP: &str = "HAKATA_TEST_AMQP_URL";

/// Finds or starts a broker; tests start some of their own, too.
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
    let (ports, directory) = (Ports { clients: free_port()?, nodes: free_port()? }, temporary("rabbitmq")?);
    let node = format!("hakata-test-{}", std::process::id());
    let server = program::command(&directory, &node, ports, "")?;
    private.push(start(server, directory, || answers(ports.clients))?);
    Ok(url(ports.clients))
}

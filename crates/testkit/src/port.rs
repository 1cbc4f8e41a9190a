//! Ports for programs that cannot say which one the system gave them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Finds a port of this machine that nobody listens on just now. Somebody else may take it before it is used: whoever
/// starts a program on it starts it again then.
///
/// # Errors
/// If there is none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("finding a free port")?;
    Ok(listener.local_addr().context("asking for a port's number")?.port())
}

/// Tells whether somebody listens on a port of this machine.
pub fn is_taken(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE).is_ok()
}

//! What sockets alone allow: a server that reads, counts lines and writes canned replies, a thread a connection.
//!
//! It parses nothing, keeps nothing and is fair to nobody, so what it reaches is what this machine and the load leave
//! for a server to lose. It runs as a process of its own, which is this program again.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result};

use super::replies::VALUE;

/// The first argument that makes this program the server.
pub(crate) const ARGUMENT: &str = "--floor";

/// Serves until it is killed.
pub(crate) fn serve(port: &str) -> Result<()> {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).context("listening")?;
    for stream in listener.incoming() {
        let stream = stream.context("accepting")?;
        std::thread::Builder::new()
            .stack_size(128 << 10)
            .spawn(move || converse(stream))
            .context("a thread")?;
    }
    Ok(())
}

/// Answers every line of one key with the reply to it, as many at once as were read at once.
fn converse(mut stream: TcpStream) {
    let reply = format!("VALUE k 0 19\r\n{VALUE}\r\nEND\r\n");
    let (mut request, mut replies) = (vec![0; 64 << 10], Vec::new());
    // A small answer is sent at once, as by everybody else; an error shows at the next read.
    let _ = stream.set_nodelay(true);
    while let Ok(n_read @ 1..) = stream.read(&mut request) {
        let n_lines = request[..n_read].iter().filter(|byte| **byte == b'\n').count();
        replies.clear();
        (0..n_lines).for_each(|_| replies.extend_from_slice(reply.as_bytes()));
        if stream.write_all(&replies).is_err() {
            return;
        }
    }
}

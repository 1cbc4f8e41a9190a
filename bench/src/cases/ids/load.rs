//! The load: one thread, any number of connections, each with a bounded number of requests under way.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::epoll;

use super::replies::Dialect;

/// How long a server may say nothing at all.
const SILENCE: Duration = Duration::from_secs(10);

/// What is sent, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) n_connections: usize,
    /// Requests sent at once on a connection; the next ones follow when all are answered.
    pub(super) pipeline: usize,
    /// Keys of a request.
    pub(super) n_keys: usize,
    pub(super) lasts: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) n_values: u64,
    pub(super) took: Duration,
}

struct Connection {
    stream: TcpStream,
    /// Received and not yet read.
    input: Vec<u8>,
    /// Replies under way.
    n_awaited: usize,
    /// The number received last.
    last: u64,
}

impl Load {
    /// Opens the connections, keeps them busy, and counts the numbers received.
    ///
    /// # Errors
    /// If a reply is wrong, missing, or too many.
    pub(super) fn run(&self, address: &str, dialect: Dialect) -> Result<Done> {
        let batch = dialect.request(self.n_keys).repeat(self.pipeline);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("making an epoll")?;
        let mut connections = Vec::with_capacity(self.n_connections);
        for n in 0..self.n_connections {
            let stream = TcpStream::connect(address).context("connecting")?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let token = epoll::EventData::new_u64(n as u64);
            epoll::add(&epoll, &stream, token, epoll::EventFlags::IN).context("watching a connection")?;
            connections.push(Connection { stream, input: Vec::new(), n_awaited: 0, last: 0 });
        }
        let (started, mut n_values) = (Instant::now(), 0);
        for connection in &mut connections {
            connection.send(&batch, self.pipeline)?;
        }
        let (mut is_over, mut n_busy, mut chunk) = (false, connections.len(), vec![0; 1 << 18]);
        let mut events = Vec::with_capacity(self.n_connections);
        while n_busy > 0 {
            events.clear();
            let silence = SILENCE.try_into().context("a time for epoll")?;
            epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), Some(&silence))
                .context("waiting")?;
            ensure!(!events.is_empty(), "no reply for {SILENCE:?}");
            is_over |= started.elapsed() >= self.lasts;
            for event in &events {
                let connection = &mut connections[usize::try_from(event.data.u64())?];
                let n_replies = connection.read(&mut chunk, dialect, self.n_keys)?;
                n_values += (n_replies * self.n_keys) as u64;
                if connection.n_awaited > 0 {
                    continue;
                }
                if is_over {
                    n_busy -= 1;
                } else {
                    connection.send(&batch, self.pipeline)?;
                }
            }
        }
        Ok(Done { n_values, took: started.elapsed() })
    }
}

impl Connection {
    fn send(&mut self, batch: &[u8], n_requests: usize) -> Result<()> {
        let n = self.stream.write(batch).context("sending")?;
        ensure!(n == batch.len(), "a socket takes only {n} bytes of {}", batch.len());
        self.n_awaited = n_requests;
        Ok(())
    }

    /// Reads what there is; returns how many replies became whole.
    fn read(&mut self, chunk: &mut [u8], dialect: Dialect, n_keys: usize) -> Result<usize> {
        let n = match self.stream.read(chunk) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error).context("receiving"),
        };
        // What is whole is read where it lies; only the rest of a reply is kept.
        if self.input.is_empty() {
            let (at, n_replies) = self.take(&chunk[..n], dialect, n_keys)?;
            self.input.extend_from_slice(&chunk[at..n]);
            return Ok(n_replies);
        }
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(&chunk[..n]);
        let (at, n_replies) = self.take(&input, dialect, n_keys)?;
        input.drain(..at);
        self.input = input;
        Ok(n_replies)
    }

    fn take(&mut self, input: &[u8], dialect: Dialect, n_keys: usize) -> Result<(usize, usize)> {
        let (mut at, mut n_replies) = (0, 0);
        while let Some(length) = dialect.read(&input[at..], n_keys, &mut self.last)? {
            at += length;
            n_replies += 1;
        }
        ensure!(n_replies <= self.n_awaited, "more replies than requests");
        self.n_awaited -= n_replies;
        ensure!(self.n_awaited > 0 || at == input.len(), "bytes behind the last reply");
        Ok((at, n_replies))
    }
}

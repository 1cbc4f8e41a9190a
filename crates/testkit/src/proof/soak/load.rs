//! A client that writes down every id it receives.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::arena::{Slot, Stop};

/// How long a read waits before it looks whether the soak is over.
const LOOK: Duration = Duration::from_millis(200);

/// How long replies may take once the soak is over.
const LAST_REPLIES: Duration = Duration::from_secs(20);

/// What requests look like, in turns: how many are sent at once, and keys of each.
const SHAPES: [(usize, usize); 5] = [(1, 1), (16, 1), (1, 100), (4, 100), (1, 1_000)];

/// All ids that one client received, in a file of little-endian numbers.
pub(super) struct Received {
    pub(super) path: PathBuf,
    /// Where each connection's ids end, counted in ids; between two ends they rise.
    pub(super) ends: Vec<u64>,
}

/// Receives ids from one server until the soak is over, over as many connections as that takes.
pub(super) fn receive(slot: &Slot, stop: &Stop, path: &Path, pause: Duration) -> Result<Received> {
    let file = File::create(path).context("making a file for ids")?;
    let mut client = Client { slot, stop, pause, file: BufWriter::with_capacity(1 << 16, file), n_ids: 0 };
    let mut ends = Vec::new();
    while !stop.is_raised() {
        let stream = slot.address().map(TcpStream::connect);
        let Some(Ok(stream)) = stream else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        client.converse(stream)?;
        if ends.last() != Some(&client.n_ids) {
            ends.push(client.n_ids);
        }
    }
    client.file.flush().context("writing ids")?;
    Ok(Received { path: path.to_owned(), ends })
}

struct Client<'a> {
    slot: &'a Slot,
    stop: &'a Stop,
    pause: Duration,
    file: BufWriter<File>,
    n_ids: u64,
}

/// What a connection has received and not yet read.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    /// The highest id so far.
    last: u64,
    /// Whether the next line is an id.
    in_value: bool,
}

impl Client<'_> {
    /// Uses one connection until it ends. A server that was stopped may answer late: that answer counts too.
    fn converse(&mut self, mut stream: TcpStream) -> Result<()> {
        stream.set_read_timeout(Some(LOOK))?;
        stream.set_nodelay(true)?;
        let mut input = Input::default();
        for (n_requests, n_keys) in SHAPES.iter().cycle() {
            if self.stop.is_raised() || stream.write_all(request(*n_requests, *n_keys).as_bytes()).is_err() {
                return Ok(());
            }
            if !self.read(&mut stream, &mut input, *n_requests)? {
                return Ok(());
            }
            if !self.pause.is_zero() {
                std::thread::sleep(self.pause);
            }
        }
        Ok(())
    }

    /// Reads replies; `false` if the connection ended.
    fn read(&mut self, stream: &mut TcpStream, input: &mut Input, n_requests: usize) -> Result<bool> {
        let mut left = n_requests;
        let mut over_since = None;
        let mut chunk = [0; 1 << 16];
        while left > 0 {
            match stream.read(&mut chunk) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    input.bytes.extend_from_slice(&chunk[..n]);
                    left = left.saturating_sub(self.take(input)?);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if self.stop.is_raised() {
                        let since = *over_since.get_or_insert_with(Instant::now);
                        ensure!(since.elapsed() < LAST_REPLIES, "{} does not answer", self.slot.name);
                    }
                }
                // Killed, or cut: what came before counts.
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Takes whole lines; returns how many replies ended.
    fn take(&mut self, input: &mut Input) -> Result<usize> {
        let (mut at, mut n_replies, mut n_ids, mut n_refused) = (0, 0, 0, 0);
        while let Some(length) = input.bytes[at..].iter().position(|byte| *byte == b'\n') {
            let line = input.bytes[at..at + length].trim_ascii_end();
            at += length + 1;
            if input.in_value {
                let id: u64 =
                    std::str::from_utf8(line).ok().and_then(|id| id.parse().ok()).context("no id")?;
                ensure!(
                    id > input.last,
                    "{} issued {id} after {} on one connection",
                    self.slot.name,
                    input.last
                );
                self.file.write_all(&id.to_le_bytes()).context("writing an id")?;
                (input.last, input.in_value) = (id, false);
                n_ids += 1;
            } else if line.starts_with(b"VALUE ") {
                input.in_value = true;
            } else if line == b"END" {
                n_replies += 1;
            } else if line.starts_with(b"SERVER_ERROR ") {
                n_replies += 1;
                n_refused += 1;
            } else {
                bail!("{} said {:?}", self.slot.name, String::from_utf8_lossy(line));
            }
        }
        input.bytes.drain(..at);
        if n_ids > 0 {
            self.n_ids += n_ids;
            self.slot.note(n_ids, input.last);
        }
        if n_refused > 0 {
            self.slot.note_refusal();
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(n_replies)
    }
}

fn request(n_requests: usize, n_keys: usize) -> String {
    format!("get{}\r\n", " k".repeat(n_keys)).repeat(n_requests)
}

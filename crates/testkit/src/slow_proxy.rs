//! A relay that lets bytes through slowly, so that a transfer lasts.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

/// Bytes let through at once, in each direction.
const PIECE: usize = 16 * 1024;

/// A relay to one address, for as long as the process lives.
pub struct SlowProxy {
    /// Where it listens.
    pub address: String,
    passed: Arc<AtomicU64>,
}

impl SlowProxy {
    /// Starts a relay to `target` that lets `bytes_per_second` through, per connection and direction.
    ///
    /// # Errors
    /// If no port is free.
    pub fn start(target: &str, bytes_per_second: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("starting a relay")?;
        let address = listener.local_addr()?.to_string();
        let passed = Arc::new(AtomicU64::new(0));
        let (target, counter) = (target.to_owned(), Arc::clone(&passed));
        let pause = Duration::from_nanos(1_000_000_000 * PIECE as u64 / bytes_per_second);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&target) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                    let counter = Arc::clone(&counter);
                    std::thread::spawn(move || relay(from, to, pause, &counter));
                }
            }
        });
        Ok(Self { address, passed })
    }

    /// Bytes let through so far, in both directions.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, pause: Duration, counter: &AtomicU64) {
    let mut buffer = [0; PIECE];
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 || to.write_all(&buffer[..n]).is_err() {
            break;
        }
        counter.fetch_add(n as u64, Ordering::Relaxed);
        // A small message passes at once; only bulk is slowed down.
        if n > 1024 {
            std::thread::sleep(pause);
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

//! Many connections at once: how long the slowest takes, and what they hold while they lie idle.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::figures::Figures;
use super::peers::Peer;
use crate::meter::resident_kib;

/// Clients that connect at the same time.
const N_AT_ONCE: usize = 300;

/// Longest time for one of them.
const SLOWEST: Duration = Duration::from_millis(200);

/// Connections that lie idle.
const N_IDLE: u32 = 1_000;

/// Most memory of each, in KiB.
const IDLE_KIB: f64 = 16.0;

/// Connects many clients at once: none may wait for a SYN that was sent again, a second later.
pub(super) fn connects(peer: &Peer, figures: &mut Figures) -> Result<()> {
    let start = Barrier::new(N_AT_ONCE);
    let slowest = std::thread::scope(|scope| {
        let connect = || -> Result<Duration> {
            start.wait();
            let began = Instant::now();
            let _stream = TcpStream::connect(&peer.address).context("connecting")?;
            Ok(began.elapsed())
        };
        let clients: Vec<_> = (0..N_AT_ONCE).map(|_| scope.spawn(connect)).collect();
        let took = clients.into_iter().map(|client| client.join().map_err(|_| anyhow::anyhow!("a panic"))?);
        took.collect::<Result<Vec<Duration>>>().map(|took| took.into_iter().max().unwrap_or_default())
    })?;
    let share = SLOWEST.as_secs_f64() / slowest.as_secs_f64();
    figures.goal(
        format!("{N_AT_ONCE} connects at once, the slowest in {slowest:.1?} of {SLOWEST:?}"),
        share,
        1.0,
    );
    Ok(())
}

/// Opens connections, uses each once, and looks at the memory of the process.
pub(super) fn idle_memory(peer: &Peer, figures: &mut Figures) -> Result<()> {
    let before = resident_kib(peer.pid())?;
    let open = |_| -> Result<TcpStream> {
        let mut stream = TcpStream::connect(&peer.address).context("connecting")?;
        stream.write_all(b"get k\r\n")?;
        let mut reply = Vec::new();
        while !reply.ends_with(b"END\r\n") {
            let mut chunk = [0; 256];
            let n = stream.read(&mut chunk)?;
            ensure!(n > 0, "the server closed a connection: {:?}", String::from_utf8_lossy(&reply));
            reply.extend_from_slice(&chunk[..n]);
        }
        Ok(stream)
    };
    let idle = (0..N_IDLE).map(open).collect::<Result<Vec<TcpStream>>>()?;
    // Every reply was read, and a connection that waits owns no buffer: what is resident now stays so.
    let each = (resident_kib(peer.pid())? - before) / f64::from(N_IDLE);
    drop(idle);
    let share = if each > 0.0 { IDLE_KIB / each } else { f64::INFINITY };
    figures.goal(format!("{N_IDLE} idle connections, {each:.1} KiB each of {IDLE_KIB} KiB"), share, 1.0);
    Ok(())
}

//! What an accept loop does about errors: nothing for a peer's, a pause and one log line in a while for ours.

use rustix::io::Errno;
use std::io;
use std::time::{Duration, Instant};

/// The pause after an error that is ours; with it a process without descriptors turns the loop ten times a second.
const PAUSE: Duration = Duration::from_millis(100);

/// At most one log line in this time.
const QUIET: Duration = Duration::from_secs(10);

/// The memory of one accept loop about its errors.
#[derive(Debug)]
pub(super) struct Backoff {
    listener: &'static str,
    logged: Option<Instant>,
    n_unlogged: u64,
}

impl Backoff {
    pub(super) fn new(listener: &'static str) -> Self {
        Self { listener, logged: None, n_unlogged: 0 }
    }

    /// Judges an error of accept: `None` is to go on at once. Out of descriptors, `shed` gets one client off the queue.
    pub(super) fn pause(&mut self, error: &io::Error, shed: impl FnOnce()) -> Option<Duration> {
        let errno = Errno::from_io_error(error);
        if errno.is_some_and(is_the_peers) {
            return None;
        }
        if matches!(errno, Some(Errno::MFILE | Errno::NFILE)) {
            shed();
        }
        self.log(error);
        Some(PAUSE)
    }

    fn log(&mut self, error: &io::Error) {
        if self.logged.is_some_and(|at| at.elapsed() < QUIET) {
            self.n_unlogged += 1;
            return;
        }
        let listener = self.listener;
        tracing::error!(listener, %error, since_last = self.n_unlogged, "accepting connections");
        self.logged = Some(Instant::now());
        self.n_unlogged = 0;
    }
}

/// Errors of one connection that died in the queue. Source: accept(2), "Error handling".
fn is_the_peers(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::CONNABORTED
            | Errno::CONNRESET
            | Errno::INTR
            | Errno::PROTO
            | Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::OPNOTSUPP
            | Errno::NETUNREACH
            | Errno::PERM
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_error_costs_nothing_and_ours_sheds_and_waits() {
        let mut backoff = Backoff::new("test");
        assert_eq!(backoff.pause(&Errno::CONNABORTED.into(), || panic!("not ours")), None);
        for errno in [Errno::MFILE, Errno::NFILE] {
            let mut shed = false;
            assert_eq!(backoff.pause(&errno.into(), || shed = true), Some(PAUSE));
            assert!(shed);
        }
        assert_eq!(backoff.pause(&Errno::NOMEM.into(), || panic!("descriptors are there")), Some(PAUSE));
        assert_eq!(backoff.n_unlogged, 2, "one line, then silence for a while");
    }
}

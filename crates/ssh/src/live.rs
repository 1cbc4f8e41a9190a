//! What the parts of one connection share: the server's side, the SSH session and the running commands.

use crate::channel::Activity;
use hakata_runtime::tasks::Tasks;
use hakata_service::stream::Peer;
use russh::Disconnect;
use russh::server::Handle;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a disconnect message may wait for its turn.
const DISCONNECT_TIME: Duration = Duration::from_secs(1);

/// The state of one connection.
pub(crate) struct Live {
    /// Who is at the other end.
    pub(crate) peer: Peer,
    /// Ends the stream at once.
    pub(crate) cut: CancellationToken,
    /// Fires when the client has proven who it is.
    pub(crate) logged_in: CancellationToken,
    /// Fires when the SSH session is over: every command ends.
    pub(crate) ended: CancellationToken,
    /// The owner of the running commands.
    pub(crate) tasks: Tasks,
    /// When the sessions of LFS last exchanged a byte.
    pub(crate) transfers: Activity,
    handle: OnceLock<Handle>,
    is_draining: AtomicBool,
    is_refused: AtomicBool,
    n_commands: AtomicUsize,
    running: watch::Sender<usize>,
    last_end: watch::Sender<Option<Instant>>,
}

/// A running command, counted until this is dropped.
pub(crate) struct Running<'live>(&'live Live);

impl Live {
    /// Starts a connection; its commands run as tasks of a group of their own.
    pub(crate) fn new(peer: Peer, tasks: Tasks) -> Self {
        Self {
            peer,
            cut: CancellationToken::new(),
            logged_in: CancellationToken::new(),
            ended: CancellationToken::new(),
            tasks,
            transfers: Activity::new(),
            handle: OnceLock::new(),
            is_draining: AtomicBool::new(false),
            is_refused: AtomicBool::new(false),
            n_commands: AtomicUsize::new(0),
            running: watch::Sender::new(0),
            last_end: watch::Sender::new(None),
        }
    }

    /// Sets the handle to the session, once the banners are exchanged.
    pub(crate) fn set_handle(&self, handle: Handle) {
        let _ = self.handle.set(handle);
    }

    /// Counts a command until the guard is dropped.
    pub(crate) fn run_command(&self) -> Running<'_> {
        self.n_commands.fetch_add(1, Ordering::Relaxed);
        self.running.send_modify(|n| *n += 1);
        Running(self)
    }

    /// Counts all commands of the connection.
    pub(crate) fn n_commands(&self) -> usize {
        self.n_commands.load(Ordering::Relaxed)
    }

    /// From now on no channel is opened.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Whether no channel may be opened any more.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Whether the client was sent away for its refused logins.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    /// Waits until no command runs.
    pub(crate) async fn no_command(&self) {
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = self.running.subscribe().wait_for(|n| *n == 0).await;
    }

    /// Tells when the last command ended, if one has.
    pub(crate) fn last_end(&self) -> Option<Instant> {
        *self.last_end.borrow()
    }

    /// Waits until no command has run for `limit`.
    pub(crate) async fn idle_for(&self, limit: Duration) {
        let mut running = self.running.subscribe();
        loop {
            let _ = running.wait_for(|n| *n == 0).await;
            let has_started = tokio::time::timeout(limit, running.changed()).await.is_ok();
            if !has_started {
                return;
            }
        }
    }

    /// Sends the client away after too many refused logins.
    pub(crate) async fn refuse_login(&self, description: String) {
        self.is_refused.store(true, Ordering::Relaxed);
        self.disconnect(Disconnect::NoMoreAuthMethodsAvailable, description).await;
    }

    /// Says good-bye with a sentence that clients show; cuts when even that finds no way.
    pub(crate) async fn disconnect(&self, reason: Disconnect, description: String) {
        let Some(handle) = self.handle.get() else { return self.cut.cancel() };
        let message = handle.disconnect(reason, description, String::new());
        if !matches!(tokio::time::timeout(DISCONNECT_TIME, message).await, Ok(Ok(()))) {
            self.cut.cancel();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.last_end.send_replace(Some(Instant::now()));
        self.0.running.send_modify(|n| *n -= 1);
    }
}
